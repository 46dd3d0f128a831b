//! Frames that RFC 6455 forbids, and those that it allows though they look odd.

use serde_json::json;

use crate::kit::*;
use crate::support::*;

/// Sends these bytes to a server of its own, and asserts how that ends.
async fn breaks(what: &str, bytes: &[u8], code: u16, word: &str) {
    let server = server().await;
    let mut raw = server.raw().await;
    raw.write(bytes).await;
    let (closed, before) = raw.closed().await;
    assert_eq!(closed, code, "{what}: {before:?}");
    assert_eq!(closing(&before)["code"], word, "{what}");
    serves_others(&server).await;
}

#[tokio::test]
async fn an_unmasked_frame_closes_with_1002() {
    breaks("unmasked", b"\x81\x02{}", 1002, "protocol").await;
}

#[tokio::test]
async fn reserved_bits_close_with_1002() {
    for bit in [0x40, 0x20, 0x10] {
        breaks(&format!("bit {bit:#x}"), &frame(0x81 | bit, b"{}"), 1002, "protocol").await;
    }
}

#[tokio::test]
async fn reserved_opcodes_close_with_1002() {
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        breaks(&format!("opcode {opcode:#x}"), &frame(0x80 | opcode, b""), 1002, "protocol").await;
    }
}

#[tokio::test]
async fn a_fragmented_control_frame_closes_with_1002() {
    for opcode in [8, 9, 0xa] {
        breaks(&format!("opcode {opcode:#x}"), &frame(opcode, b""), 1002, "protocol").await;
    }
}

#[tokio::test]
async fn a_control_frame_above_125_bytes_closes_with_1002() {
    for opcode in [8, 9, 0xa] {
        breaks(&format!("opcode {opcode:#x}"), &frame(0x80 | opcode, &[3; 126]), 1002, "protocol").await;
    }
}

#[tokio::test]
async fn a_continuation_of_nothing_closes_with_1002() {
    breaks("the last one", &frame(0x80, b"{}"), 1002, "protocol").await;
    breaks("one of several", &frame(0x00, b"{}"), 1002, "protocol").await;
    let after_a_whole_message = [text_frame(r#"{"event":"echo"}"#), frame(0x80, b"{}")].concat();
    breaks("after a whole message", &after_a_whole_message, 1002, "protocol").await;
}

#[tokio::test]
async fn a_new_message_inside_a_fragmented_one_closes_with_1002() {
    for first in [0x81, 0x01, 0x82] {
        let bytes = [frame(0x01, b"{"), frame(first, b"}")].concat();
        breaks(&format!("first byte {first:#x}"), &bytes, 1002, "protocol").await;
    }
}

#[tokio::test]
async fn a_binary_message_closes_with_1003() {
    breaks("whole", &frame(0x82, br#"{"event":"echo"}"#), 1003, "binary").await;
    breaks("empty", &frame(0x82, b""), 1003, "binary").await;
    breaks("fragmented", &[frame(0x02, b"a"), frame(0x80, b"b")].concat(), 1003, "binary").await;
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_1007() {
    for bad in [
        &b"{\"event\":\"\xff\"}"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"{\"event\":\"e\",\"data\":\"\x80\"}",
    ] {
        breaks(&format!("{bad:x?}"), &frame(0x81, bad), 1007, "not_utf8").await;
    }
}

#[tokio::test]
async fn text_that_ends_inside_a_character_closes_with_1007() {
    let text = r#"{"event":"echo","data":"é"#.as_bytes();
    let cut = &text[..text.len() - 1];
    breaks("in a whole frame", &frame(0x81, cut), 1007, "not_utf8").await;
    breaks("in the last fragment", &[frame(0x01, cut), frame(0x80, b"")].concat(), 1007, "not_utf8").await;
    breaks("gone on wrongly", &[frame(0x01, cut), frame(0x80, b"\"}")].concat(), 1007, "not_utf8").await;
}

#[tokio::test]
async fn a_character_may_be_split_between_fragments() {
    let server = server().await;
    let mut raw = server.raw().await;
    let text = r#"{"event":"echo","id":1,"data":"é€😀"}"#.as_bytes();
    // One byte a frame cuts every character at every place; a ping may stand between.
    let mut bytes = frame(0x01, &text[..1]);
    for byte in &text[1..text.len() - 1] {
        bytes.extend(frame(0x00, &[*byte]));
        bytes.extend(frame(0x89, b"between"));
    }
    bytes.extend(frame(0x80, &text[text.len() - 1..]));
    raw.write(&bytes).await;
    let answer = loop {
        let frame = raw.frame().await.expect("an answer");
        match frame.opcode {
            0xa => assert_eq!(frame.payload, b"between"),
            _ => break frame.json(),
        }
    };
    assert_eq!(answer, json!({"event": "ack", "id": 1, "data": "é€😀"}));
    raw.is_alive().await;
}

#[tokio::test]
async fn bytes_may_come_one_at_a_time() {
    let server = server().await;
    let mut raw = server.raw().await;
    for byte in text_frame(r#"{"event":"echo","id":"é","data":[1,2]}"#) {
        raw.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.frame().await.unwrap().json(), json!({"event": "ack", "id": "é", "data": [1, 2]}));
}

/// Who reserves what a header declares can be made to reserve anything.
#[tokio::test]
async fn a_declared_length_above_the_limit_closes_with_1009_and_reserves_nothing() {
    let server = server().await;
    let before = virtual_memory();
    let mut raws = Vec::new();
    for length in [16 << 20, (1 << 20) + 1, u64::MAX >> 1, 1 << 40].iter().cycle().take(100) {
        let mut raw = server.raw().await;
        let mut header = vec![0x81, 0xff];
        header.extend(u64::to_be_bytes(*length));
        header.extend([1, 2, 3, 4]);
        raw.write(&header).await;
        is_closed(&mut raw, 1009, "too_large").await;
        raws.push(raw);
    }
    // 100 of them would have reserved 800 MiB and more.
    let grown = virtual_memory().saturating_sub(before);
    assert!(grown < 512 << 20, "grown by {} MiB", grown >> 20);
    serves_others(&server).await;
}

/// Of this process, in bytes; 0 where the system does not tell.
fn virtual_memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}

#[tokio::test]
async fn a_message_above_the_limit_in_fragments_closes_with_1009() {
    let server = server_with(json!({"maxMessage": 1000})).await;
    let mut raw = server.raw().await;
    raw.write(&[frame(0x01, &[b'x'; 600]), frame(0x00, &[b'x'; 401])].concat()).await;
    is_closed(&mut raw, 1009, "too_large").await;
    serves_others(&server).await;
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_read() {
    let server = server_with(json!({"maxMessage": 1000})).await;
    let mut client = server.client().await;
    let bare = r#"{"event":"echo","id":1,"data":""}"#.len();
    let data = "x".repeat(1000 - bare);
    client.send_text(format!(r#"{{"event":"echo","id":1,"data":"{data}"}}"#)).await;
    assert_eq!(client.answer(1).await, Ok(json!(data)));
    client.send_text(format!(r#"{{"event":"echo","id":2,"data":"{data}x"}}"#)).await;
    assert_eq!(client.closed().await.0, 1009);
}
