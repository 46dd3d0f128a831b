//! How connections end: close frames good and bad, none at all, and the lingering close.

use eventwire::DisconnectReason;
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

#[tokio::test]
async fn without_a_close_frame_the_connection_is_lost() {
    let server = server().await;
    let mut reasons = reasons(&server.io);
    drop(server.raw().await);
    assert_eq!(next(&mut reasons).await, DisconnectReason::Lost);

    let reset = server.raw().await;
    reset.stream.set_zero_linger().unwrap();
    drop(reset);
    assert_eq!(next(&mut reasons).await, DisconnectReason::Lost, "by a reset");

    let mut within_a_frame = server.raw().await;
    within_a_frame.write(&text_frame(r#"{"event":"echo"}"#)[..9]).await;
    drop(within_a_frame);
    assert_eq!(next(&mut reasons).await, DisconnectReason::Lost, "inside a frame");
    until("nobody is left", || server.io.stats().sockets == 0).await;
    serves_others(&server).await;
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code() {
    let server = server().await;
    let mut reasons = reasons(&server.io);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999_u16] {
        let mut raw = server.raw().await;
        raw.write(&frame(0x88, &[&code.to_be_bytes()[..], "bye é".as_bytes()].concat())).await;
        let (closed, before) = raw.closed().await;
        assert_eq!((closed, before), (code, vec![]), "and `closing` is not told to one who goes");
        assert!(end(&mut raw).await.is_ok(), "{code}: the server closes in order");
        assert_eq!(next(&mut reasons).await, DisconnectReason::Client(code));
    }
}

#[tokio::test]
async fn a_close_frame_without_a_code_is_answered_by_one_without() {
    let server = server().await;
    let mut reasons = reasons(&server.io);
    let mut raw = server.raw().await;
    raw.write(&frame(0x88, b"")).await;
    assert_eq!(raw.frame().await, Some(RawFrame { opcode: 8, payload: vec![] }));
    assert_eq!(next(&mut reasons).await, DisconnectReason::Client(1005));
}

#[tokio::test]
async fn close_codes_that_may_not_be_sent_are_answered_by_1002() {
    let server = server().await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16] {
        let mut raw = server.raw().await;
        raw.write(&frame(0x88, &code.to_be_bytes())).await;
        assert_eq!(raw.closed().await.0, 1002, "{code}");
    }
    serves_others(&server).await;
}

#[tokio::test]
async fn a_close_frame_of_one_byte_closes_with_1002() {
    let server = server().await;
    let mut raw = server.raw().await;
    raw.write(&frame(0x88, &[3])).await;
    assert_eq!(raw.closed().await.0, 1002);
    serves_others(&server).await;
}

#[tokio::test]
async fn a_close_reason_that_is_not_utf8_closes_with_1007() {
    let server = server().await;
    let mut raw = server.raw().await;
    raw.write(&frame(0x88, b"\x03\xe8\xff")).await;
    assert_eq!(raw.closed().await.0, 1007);
    serves_others(&server).await;
}

#[tokio::test]
async fn what_comes_after_a_close_frame_is_not_handled() {
    // A little, which is read together with the close frame, and more than is read at once.
    for trailing in [10, 40_000] {
        let server = server().await;
        let mut reasons = reasons(&server.io);
        let handled = Count::default();
        let counted = handled.clone();
        server.io.on::<Value>("late", move |_, _| {
            counted.add();
            async {}
        });
        let mut raw = server.raw().await;
        let mut bytes = frame(0x88, &1000_u16.to_be_bytes());
        for _ in 0..trailing {
            bytes.extend(text_frame(r#"{"event":"late","id":1}"#));
        }
        raw.write(&bytes).await;
        assert_eq!(raw.closed().await, (1000, vec![]));
        assert_eq!(next(&mut reasons).await, DisconnectReason::Client(1000));
        assert_eq!(handled.get(), 0);
        serves_others(&server).await;
    }
}

/// A server that closes while the peer sends resets the connection, and the peer may never read why.
#[tokio::test]
async fn one_in_the_middle_of_sending_sees_1009_and_not_a_reset() {
    let server = server().await;
    let mut reasons = reasons(&server.io);
    let mut raw = server.raw().await;
    let sent = raw.write(&frame(0x81, &vec![b'x'; 10 << 20])).await;
    assert!(sent, "all of it is taken, though refused at its header");
    is_closed(&mut raw, 1009, "too_large").await;
    end(&mut raw).await.expect("an end in order, not a reset");
    assert_eq!(next(&mut reasons).await, DisconnectReason::TooLarge);
    serves_others(&server).await;
}

#[tokio::test]
async fn one_in_the_middle_of_sending_sees_1008_and_not_a_reset() {
    let server = server_with(json!({"maxInvalidFrames": 0})).await;
    let mut raw = server.raw().await;
    let mut bytes = text_frame("no envelope");
    for _ in 0..100 {
        bytes.extend(frame(0x81, &[b'x'; 100_000]));
    }
    assert!(raw.write(&bytes).await, "all of it is taken");
    is_closed(&mut raw, 1008, "invalid_frames").await;
    end(&mut raw).await.expect("an end in order, not a reset");
    serves_others(&server).await;
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_close_frame_is_left_after_a_second() {
    let server = server().await;
    let mut raw = server.raw().await;
    until("it is connected", || server.io.stats().sockets == 1).await;
    server.io.sockets()[0].disconnect();
    is_closed(&mut raw, 1000, "disconnect").await;
    // It neither answers nor goes, and sends on.
    let start = tokio::time::Instant::now();
    while raw.write(&frame(0x8a, b"on and on")).await {
        assert!(start.elapsed().as_secs() < 5, "lingering has an end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    until("nobody is left", || server.io.stats().sockets == 0).await;
}
