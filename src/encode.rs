//! From a value to shared frames: serialised once, encoded once per dialect.

mod text;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use serde::Serialize;

use self::text::OrText;
use crate::frame::Frames;
use crate::protocol::{Dialect, Memory, Outgoing};

/// Buffers that grew beyond this are not kept for the next message.
const KEEP: usize = 64 * 1024;

/// How many buffers a thread keeps: one for the data, one for the frame, and as many again for
/// a `Serialize` that itself emits.
const SPARE: usize = 4;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of this thread's, so that writing a message costs no growing of a new one.
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        // A thread that ends has none any more.
        let spare = SPARES.try_with(|spares| spares.borrow_mut().pop());
        Scratch(spare.ok().flatten().unwrap_or_default())
    }

    /// A copy that can be shared, of exactly this size: what is queued for a slow peer costs no spare capacity.
    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut buffer = mem::take(&mut self.0);
        if buffer.capacity() <= KEEP {
            buffer.clear();
            let _ = SPARES.try_with(|spares| {
                let mut spares = spares.borrow_mut();
                if spares.len() < SPARE {
                    spares.push(buffer);
                }
            });
        }
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// Serialises a payload.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Scratch, serde_json::Error> {
    let (mut json, mut text) = (serde_json::Serializer::new(Written::default()), None);
    value.serialize(OrText { json: &mut json, text: &mut text })?;
    Ok(text.or(json.into_inner().0).unwrap_or_else(Scratch::new))
}

/// What serde_json has written: a buffer from when it begins, since a plain text is written without it.
#[derive(Default)]
struct Written(Option<Scratch>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_or_insert_with(Scratch::new).extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes a packet as whole frames.
pub(crate) fn frame(dialect: &dyn Dialect, packet: &Outgoing<'_>, memory: &mut Memory) -> Scratch {
    let mut buffer = Scratch::new();
    dialect.encode(packet, memory, &mut Frames::new(&mut buffer));
    buffer
}
