use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;

const MAX: usize = 300;

/// A frame as a client writes it, whatever is in it.
#[derive(Clone, Debug)]
struct Sent {
    /// The first byte.
    first: u8,
    payload: Vec<u8>,
    mask: Option<[u8; 4]>,
    /// What the header says, where that is not so.
    claims: Option<u64>,
}

impl Sent {
    fn new(first: u8, payload: impl Into<Vec<u8>>) -> Sent {
        Sent { first, payload: payload.into(), mask: Some([0x37, 0xfa, 0x21, 0x3d]), claims: None }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = self.claims.unwrap_or(self.payload.len() as u64);
        let has_mask = if self.mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![self.first];
        match length {
            0..=125 => out.push(has_mask | length as u8),
            126..=0xffff => {
                out.push(has_mask | 126);
                out.extend((length as u16).to_be_bytes());
            }
            _ => {
                out.push(has_mask | 127);
                out.extend(length.to_be_bytes());
            }
        }
        let mask = self.mask.unwrap_or_default();
        out.extend(self.mask.into_iter().flatten());
        out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }
}

/// What comes of bytes that come in parts of these sizes, again and again: up to a close frame or a fault.
fn read(bytes: &[u8], sizes: &[usize]) -> Vec<Incoming> {
    let (mut messages, mut all) = (Messages::new(MAX), Vec::new());
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (part, after) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        rest = after;
        let (mut part, mut start) = (part.to_vec(), 0);
        while start < part.len() {
            let (read, incoming) = messages.next(&mut part[start..]);
            start += read;
            let is_end = matches!(incoming, Some(Incoming::Close(..) | Incoming::Fault(_)));
            assert!(incoming.is_some() || start == part.len(), "it has stopped for nothing");
            all.extend(incoming);
            if is_end {
                return all;
            }
        }
    }
    all
}

/// The same by tungstenite.
fn read_by_another(bytes: &[u8]) -> Vec<Incoming> {
    /// Nothing comes after the bytes, and what is answered goes nowhere.
    struct Wire<'a>(Cursor<&'a [u8]>);
    impl Read for Wire<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                read => Ok(read),
            }
        }
    }
    impl Write for Wire<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let limits = WebSocketConfig::default().max_message_size(Some(MAX)).max_frame_size(Some(MAX));
    let mut other = WebSocketContext::new(Role::Server, Some(limits));
    let (mut wire, mut all) = (Wire(Cursor::new(bytes)), Vec::new());
    loop {
        let incoming = match other.read(&mut wire) {
            Ok(Message::Text(text)) => Incoming::Message { payload: text.into(), is_binary: false },
            Ok(Message::Binary(payload)) => Incoming::Message { payload, is_binary: true },
            Ok(Message::Ping(payload)) => Incoming::Ping(payload),
            Ok(Message::Pong(_)) => Incoming::Pong,
            Ok(Message::Close(None)) => Incoming::Close(1005, Bytes::new()),
            Ok(Message::Close(Some(frame))) => {
                let code = u16::from(frame.code);
                let reason = if frame.reason == "Protocol violation" { "" } else { &frame.reason };
                Incoming::Close(code, [&code.to_be_bytes(), reason.as_bytes()].concat().into())
            }
            Ok(Message::Frame(_)) => unreachable!("only whole messages are read"),
            Err(Error::Io(_)) => return all,
            Err(Error::Utf8(_)) => Incoming::Fault(DisconnectReason::NotUtf8),
            Err(Error::Capacity(_)) => Incoming::Fault(DisconnectReason::TooLarge),
            Err(_) => Incoming::Fault(DisconnectReason::Protocol),
        };
        let is_end = matches!(incoming, Incoming::Close(..) | Incoming::Fault(_));
        all.push(incoming);
        if is_end {
            return all;
        }
    }
}

/// Whether both have read the same. This reader finds a fault where its header is, the other at the frame's end; of two faults each
/// names the one that it looks for first.
fn is_same(ours: &[Incoming], theirs: &[Incoming]) -> bool {
    let by_form =
        |one: &Incoming| matches!(one, Incoming::Fault(DisconnectReason::Protocol | DisconnectReason::TooLarge));
    match (ours, theirs) {
        ([before @ .., ours], [others @ .., theirs]) if by_form(ours) && by_form(theirs) => before == others,
        ([before @ .., ours], theirs) if by_form(ours) && before == theirs => true,
        (ours, theirs) => ours == theirs,
    }
}

/// Mostly texts that are whole, or cut into fragments with pings between; now and then what must not be.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let payload = prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..140),
        // The lengths at which a header grows, and those at the limit.
        1 => prop::sample::select(vec![0, 124, 125, 126, 127, MAX - 1, MAX, MAX + 1]).prop_map(|n| vec![b'x'; n]),
    ];
    let mask = prop_oneof![30 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
    let frame = (
        prop_oneof![
            8 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80]),
            3 => prop::sample::select(vec![0x89, 0x8a]),
            1 => Just(0x88),
            1 => any::<u8>(),
        ],
        payload,
        mask,
        prop_oneof![40 => Just(None), 1 => any::<u64>().prop_map(Some)],
    );
    let frame = frame.prop_map(|(first, payload, mask, claims)| Sent { first, payload, mask, claims });
    // One message after another, each cut where it may be, also within a character.
    let fragments = ("\\PC{0,60}", prop::collection::vec(0usize..200, 0..4), any::<bool>());
    let fragments = fragments.prop_map(|(text, mut cuts, pings)| {
        let bytes = text.as_bytes();
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let last = cuts.len() - 2;
        let parts = cuts.windows(2).enumerate().map(|(i, cut)| {
            let opcode = if i == 0 { Opcode::Text } else { Opcode::Continuation };
            let is_last = if i == last { 0x80 } else { 0 };
            Sent::new(is_last | opcode as u8, &bytes[cut[0]..cut[1]])
        });
        parts.flat_map(|part| [part].into_iter().chain(pings.then(|| Sent::new(0x89, *b"p")))).collect::<Vec<_>>()
    });
    let some = prop_oneof![2 => fragments, 1 => frame.prop_map(|frame| vec![frame])];
    prop::collection::vec(some, 1..12).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn whatever_a_client_sends_is_read_as_by_another_however_it_is_cut(
        sent in sent(),
        sizes in prop::collection::vec(1usize..100, 1..8),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(Sent::bytes).collect();
        let theirs = read_by_another(&bytes);
        for sizes in [&[usize::MAX], &*sizes, &[1]] {
            let ours = read(&bytes, sizes);
            prop_assert!(is_same(&ours, &theirs), "cut at {sizes:?}: {ours:?}, but {theirs:?}");
        }
    }
}

#[test]
fn a_mask_is_taken_off_wherever_the_bytes_are_cut() {
    let sent = Sent::new(0x82, (0..=255).collect::<Vec<u8>>());
    let whole = [Incoming::Message { payload: (0..=255).collect(), is_binary: true }];
    for size in 1..270 {
        assert_eq!(read(&sent.bytes(), &[size]), whole, "cut at {size}");
    }
}

#[test]
fn what_is_too_large_is_refused_by_its_header() {
    let (most, large) = (Sent::new(0x81, [b'x'; MAX]), Sent::new(0x81, [b'x'; MAX + 1]));
    let too_large = [Incoming::Fault(DisconnectReason::TooLarge)];
    assert!(matches!(&*read(&most.bytes(), &[1000]), [Incoming::Message { payload, .. }] if payload.len() == MAX));
    assert_eq!(read(&large.bytes()[..8], &[1000]), too_large);
    assert_eq!(read(&Sent { claims: Some(u64::MAX), ..large }.bytes()[..14], &[1000]), too_large);
    // All fragments together.
    let (first, last) = (Sent::new(0x01, [b'x'; MAX]), Sent::new(0x80, *b"x"));
    assert_eq!(read(&[first.bytes(), last.bytes()].concat(), &[1000]), too_large);
}

#[test]
fn close_frames_are_answered_by_what_they_say() {
    let answered = |payload: &[u8]| read(&Sent::new(0x88, payload).bytes(), &[100]).remove(0);
    let close = |code: u16, reason: &str| [&code.to_be_bytes(), reason.as_bytes()].concat();
    assert_eq!(answered(&[]), Incoming::Close(1005, Bytes::new()));
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let payload = close(code, "bye é");
        assert_eq!(answered(&payload), Incoming::Close(code, payload.into()));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        assert_eq!(answered(&close(code, "bye")), Incoming::Close(1002, close(1002, "").into()), "{code}");
    }
    assert_eq!(answered(&[3]), Incoming::Fault(DisconnectReason::Protocol));
    assert_eq!(answered(b"\x03\xe8\xff"), Incoming::Fault(DisconnectReason::NotUtf8));
}

#[test]
fn a_text_that_is_wrong_is_refused_before_all_of_it_is_here() {
    let mut bytes = Sent::new(0x81, vec![b'x'; 200]).bytes();
    let header = bytes.len() - 200;
    bytes[header + 50] ^= 0x80;
    let mut messages = Messages::new(MAX);
    assert_eq!(messages.next(&mut bytes[..header + 50]).1, None);
    let (_, incoming) = messages.next(&mut bytes[header + 50..header + 60]);
    assert_eq!(incoming, Some(Incoming::Fault(DisconnectReason::NotUtf8)));
}

#[test]
fn no_more_room_is_made_than_twice_what_has_come() {
    let mut messages = Messages::new(usize::MAX);
    let declares = Sent { claims: Some(1 << 40), ..Sent::new(0x82, [0; 10]) };
    assert_eq!(messages.next(&mut declares.bytes()).1, None);
    assert!(messages.message.capacity() <= 20, "{}", messages.message.capacity());
    // The end is as large as it is said to be.
    let mut messages = Messages::new(usize::MAX);
    let mut bytes = Sent::new(0x82, vec![7; 100_000]).bytes();
    for part in bytes.chunks_mut(1000) {
        let (_, incoming) = messages.next(part);
        assert!(messages.message.capacity() <= 100_000);
        if let Some(incoming) = incoming {
            assert_eq!(incoming, Incoming::Message { payload: vec![7; 100_000].into(), is_binary: true });
            return;
        }
    }
    panic!("it has not come");
}

#[test]
fn many_fragments_make_a_message_grow_in_few_steps() {
    let mut messages = Messages::new(100_000);
    assert_eq!(messages.next(&mut Sent::new(0x02, [0; 10_000]).bytes()).1, None);
    let (mut capacity, mut grown) = (messages.message.capacity(), 0);
    for _ in 0..4_000 {
        assert_eq!(messages.next(&mut Sent::new(0x00, [0]).bytes()).1, None);
        grown +=
            usize::from(messages.message.capacity() != std::mem::replace(&mut capacity, messages.message.capacity()));
    }
    assert!(grown <= 2 && capacity <= 2 * 14_000, "{grown} times, to {capacity}");
}

#[test]
fn fragments_are_counted_for_each_message() {
    let (first, more, last) = (Sent::new(1, []).bytes(), Sent::new(0, []).bytes(), Sent::new(0x80, []).bytes());
    let most = [first.clone(), more.repeat(MAX_FRAGMENTS as usize - 2), last].concat();
    let whole = Incoming::Message { payload: Bytes::new(), is_binary: false };
    assert_eq!(read(&most.repeat(2), &[1000]), [whole.clone(), whole]);
    let ping = Sent::new(0x89, []).bytes();
    let more = [more, ping].concat();
    let too_many = [first, more.repeat(MAX_FRAGMENTS as usize)].concat();
    let read = read(&too_many, &[1000]);
    assert_eq!(read.last(), Some(&Incoming::Fault(DisconnectReason::Flood)));
    assert_eq!(read.len(), MAX_FRAGMENTS as usize, "a ping behind each but the last");
}

#[test]
fn whole_frames_are_found_wherever_the_last_is_cut() {
    let lengths = [3, 0, 126, 65_536];
    let frames = lengths.map(|length| Sent { mask: None, ..Sent::new(0x81, vec![b'x'; length]) }.bytes());
    let run = frames.concat();
    let mut ends = vec![0];
    ends.extend(frames.iter().scan(0, |end, frame| {
        *end += frame.len();
        Some(*end)
    }));
    for cut in 0..=run.len() {
        let frames = ends.iter().filter(|end| **end <= cut).count() - 1;
        assert_eq!(whole(&run[..cut]), (frames, ends[frames]), "cut at {cut}");
    }
}
