//! Much of what is small: fragments and control frames, of which a reader of frames takes any number unless it counts them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// A request in so many fragments, all but the first and the last empty.
fn in_fragments(n: usize) -> Vec<u8> {
    let mut bytes = frame(0x01, br#"{"event":"echo","id":1"#);
    for _ in 0..n - 2 {
        bytes.extend(frame(0x00, b""));
    }
    bytes.extend(frame(0x80, b"}"));
    bytes
}

#[tokio::test]
async fn a_million_empty_fragments_close_with_1008() {
    let server = server().await;
    let mut raw = server.raw().await;
    // The limit is passed after a few of these; the rest is read and discarded, or no longer taken.
    let many = frame(0x00, b"").repeat(10_000);
    raw.write(&frame(0x01, b"")).await;
    for _ in 0..100 {
        if !raw.write(&many).await {
            break;
        }
    }
    is_closed(&mut raw, 1008, "flood").await;
    serves_others(&server).await;
}

#[tokio::test]
async fn four_thousand_and_ninety_six_fragments_are_a_message() {
    let server = server().await;
    let mut raw = server.raw().await;
    // And another one: each message counts for itself.
    for _ in 0..2 {
        raw.write(&in_fragments(4096)).await;
        assert_eq!(raw.frame().await.unwrap().json(), json!({"event": "ack", "id": 1, "data": null}));
    }
}

/// The last fragment is one, too.
#[tokio::test]
async fn one_fragment_more_closes_with_1008() {
    let server = server().await;
    let mut raw = server.raw().await;
    raw.write(&in_fragments(4097)).await;
    assert_eq!(raw.frame().await.unwrap().json()["data"]["code"], "flood");
    assert_eq!(raw.closed().await.0, 1008);
    serves_others(&server).await;
}

#[tokio::test]
async fn many_messages_of_few_fragments_are_no_flood() {
    let server = server().await;
    let handled = Count::default();
    let counted = handled.clone();
    server.io.on::<Value>("n", move |_, _| {
        counted.add();
        async {}
    });
    let mut raw = server.raw().await;
    let message = [frame(0x01, br#"{"event""#), frame(0x00, b""), frame(0x80, br#":"n"}"#)].concat();
    raw.write(&message.repeat(5_000)).await;
    until("all are handled", || handled.get() == 5_000).await;
    raw.is_alive().await;
}

#[tokio::test]
async fn a_thousand_pings_are_answered_and_one_more_closes_with_1008() {
    for (opcode, pongs) in [(0x89, 1000), (0x8a, 0)] {
        let server = server().await;
        let mut raw = server.raw().await;
        raw.write(&frame(opcode, b"?").repeat(1000)).await;
        for n in 0..pongs {
            let pong = RawFrame { opcode: 0xa, payload: b"?".to_vec() };
            assert_eq!(raw.frame().await, Some(pong), "number {n}");
        }
        raw.is_alive().await;
        raw.write(&frame(opcode, b"?")).await;
        is_closed(&mut raw, 1008, "flood").await;
        serves_others(&server).await;
    }
}

#[tokio::test]
async fn a_million_pings_close_with_1008() {
    let server = server().await;
    let mut raw = server.raw().await;
    let many = frame(0x89, &[b'?'; 125]).repeat(1_000);
    for _ in 0..1_000 {
        if !raw.write(&many).await {
            break;
        }
        if raw.stream.try_read(&mut [0; 1]).is_ok() {
            break;
        }
    }
    until("it is gone", || server.io.stats().sockets == 0).await;
    serves_others(&server).await;
}

/// Lingering is to read and discard: answers would pile up for a peer that does not read.
#[tokio::test]
async fn after_a_flood_nothing_is_answered_any_more() {
    let server = server().await;
    let mut raw = server.raw().await;
    raw.write(&frame(0x8a, b"").repeat(1001)).await;
    is_closed(&mut raw, 1008, "flood").await;
    raw.write(&frame(0x89, b"?").repeat(3)).await;
    assert_eq!(raw.frame().await, None, "nothing comes after the close frame");
}

#[tokio::test]
async fn a_flood_while_the_server_says_goodbye_is_discarded() {
    let server = server().await;
    let mut raw = server.raw().await;
    until("it is connected", || server.io.stats().sockets == 1).await;
    server.io.sockets()[0].disconnect();
    is_closed(&mut raw, 1000, "disconnect").await;
    raw.write(&frame(0x89, b"?").repeat(1100)).await;
    let mut pongs = 0;
    while raw.frame().await.is_some() {
        pongs += 1;
    }
    assert!(pongs <= 1000, "{pongs} pongs");
}

#[tokio::test]
async fn control_frames_between_fragments_count_too() {
    let server = server().await;
    let mut raw = server.raw().await;
    let mut bytes = frame(0x01, b"{");
    for _ in 0..600 {
        bytes.extend(frame(0x00, b""));
        bytes.extend(frame(0x8a, b""));
        bytes.extend(frame(0x8a, b""));
    }
    raw.write(&bytes).await;
    is_closed(&mut raw, 1008, "flood").await;
    serves_others(&server).await;
}

#[tokio::test]
#[ignore = "takes 10 s: the long form"]
async fn a_thousand_control_frames_each_ten_seconds_are_no_flood() {
    let server = server().await;
    let mut raw = server.raw().await;
    for _ in 0..2 {
        raw.write(&frame(0x8a, b"").repeat(1000)).await;
        raw.is_alive().await;
        tokio::time::sleep(Duration::from_millis(10_100)).await;
    }
    raw.is_alive().await;
}

/// A reply above what may wait pauses reading. Once it is sent, which may be at once, neither the socket's
/// being writable nor its being readable is waited for: the connection has to look again by itself.
#[tokio::test]
async fn reading_goes_on_once_a_large_reply_is_sent() {
    let server = server().await;
    let mut raw = server.raw().await;
    let ping = text_frame(&format!(r#"{{"event":"ping","data":"{}"}}"#, "x".repeat(100_000)));
    for _ in 0..3 {
        raw.write(&ping).await;
        let pong = tokio::time::timeout(Duration::from_secs(5), raw.frame()).await;
        assert_eq!(pong.expect("a pong within 5 s").unwrap().json()["event"], "pong");
    }
}

/// JSON-level pings are made answers of by the read loop itself: it pauses while they are not taken.
#[tokio::test]
async fn pings_whose_pongs_nobody_reads_pause_reading() {
    let server = server().await;
    let mut raw = server.raw().await;
    let data = "x".repeat(100_000);
    let ping = text_frame(&format!(r#"{{"event":"ping","data":"{data}"}}"#));
    let pings = 1000;
    let (mut reading, mut writing) = raw.stream.split();
    let write = async {
        for _ in 0..pings {
            tokio::io::AsyncWriteExt::write_all(&mut writing, &ping).await.unwrap();
        }
    };
    let paused = async {
        // 100 MB are on their way; what has been read stands still long before, at what the kernel holds.
        let still = settled(|| server.io.stats().messages_in).await;
        assert!(still < pings / 2, "{still} of {pings} were read");
        serves_others(&server).await;
        // It goes on where it stood, and nothing is lost.
        let mut left = pings as usize * (ping.len() - 4 - "ping".len() + "pong".len());
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let read = tokio::io::AsyncReadExt::read(&mut reading, &mut buffer);
            left -= within("pongs", read).await.unwrap();
        }
    };
    tokio::join!(write, paused);
    // The one who was served beside it sent one, too.
    assert_eq!(server.io.stats().messages_in, pings + 1);
}
