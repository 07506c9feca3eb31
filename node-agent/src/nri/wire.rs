//! What goes over an NRI socket: ttrpc messages of two logical connections, each in frames of NRI's own.
//!
//! ```text
//! frame:   connection (4) | length (4) | a piece of the connection's stream
//! stream:  message, message ...
//! message: length (4) | stream id (4) | kind (1) | flags (1) | a protobuf message
//! ```
//!
//! Numbers are big-endian. No I/O here.

use bytes::{Buf as _, BytesMut};

/// The connection on which the runtime calls the plugin.
pub const PLUGIN: u32 = 1;
/// The connection on which the plugin calls the runtime.
pub const RUNTIME: u32 = 2;

/// Kind of a message: a call.
pub const REQUEST: u8 = 1;
/// Kind of a message: the answer to a call.
pub const RESPONSE: u8 = 2;

const FRAME_HEADER: usize = 8;
const HEADER: usize = 10;

/// A message of ttrpc has at most so many bytes.
const LIMIT: usize = 4 << 20;

/// A message of one of the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which connection.
    pub connection: u32,
    /// Which call of it.
    pub stream: u32,
    /// [`REQUEST`], [`RESPONSE`], or what later versions know.
    pub kind: u8,
    /// What is said.
    pub data: Vec<u8>,
}

/// The other side does not speak NRI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {length} bytes, where {LIMIT} is the most: that is not NRI")]
pub struct TooLong {
    what: &'static str,
    length: usize,
}

impl Message {
    /// Its bytes in one frame. Go's reader takes a frame that begins with a header only if its 4,096 bytes
    /// have room for all of it; what a plugin says is much shorter.
    pub fn encode(&self) -> Vec<u8> {
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        let mut out = Vec::with_capacity(FRAME_HEADER + HEADER + self.data.len());
        out.extend(self.connection.to_be_bytes());
        out.extend(length(HEADER + self.data.len()));
        out.extend(length(self.data.len()));
        out.extend(self.stream.to_be_bytes());
        out.extend([self.kind, 0]);
        out.extend(&self.data);
        out
    }
}

/// Takes bytes as they come, and gives whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Of frames.
    input: BytesMut,
    /// By connection: pieces of messages.
    streams: [BytesMut; 2],
}

impl Decoder {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.input.extend_from_slice(bytes);
        while let Some(length) = number(&self.input, 4).filter(|_| self.input.len() >= FRAME_HEADER) {
            if length > LIMIT + HEADER {
                return Err(TooLong { what: "a frame", length });
            }
            if self.input.len() < FRAME_HEADER + length {
                break;
            }
            let connection = self.input.get_u32();
            self.input.advance(4);
            let piece = self.input.split_to(length);
            // Nobody has opened other connections.
            if let Some(stream) = index(connection).and_then(|i| self.streams.get_mut(i)) {
                stream.unsplit(piece);
            }
        }
        Ok(())
    }

    /// The next message that is there as a whole.
    pub fn message(&mut self) -> Result<Option<Message>, TooLong> {
        for connection in [PLUGIN, RUNTIME] {
            let Some(bytes) = index(connection).and_then(|i| self.streams.get_mut(i)) else { continue };
            let Some(length) = number(bytes, 0) else { continue };
            if length > LIMIT {
                return Err(TooLong { what: "a message", length });
            }
            if bytes.len() < HEADER + length {
                continue;
            }
            bytes.advance(4);
            let (stream, kind, _flags) = (bytes.get_u32(), bytes.get_u8(), bytes.get_u8());
            return Ok(Some(Message { connection, stream, kind, data: bytes.split_to(length).to_vec() }));
        }
        Ok(None)
    }
}

fn index(connection: u32) -> Option<usize> {
    usize::try_from(connection).ok()?.checked_sub(1)
}

/// Four bytes at a place, if they are there.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(decoder: &mut Decoder) -> Vec<Message> {
        std::iter::from_fn(|| decoder.message().unwrap()).collect()
    }

    fn frame(connection: u32, piece: &[u8]) -> Vec<u8> {
        let length = u32::try_from(piece.len()).unwrap().to_be_bytes();
        [&connection.to_be_bytes()[..], &length, piece].concat()
    }

    #[test]
    fn a_message_as_it_is_on_the_wire() {
        let message = Message { connection: RUNTIME, stream: 1, kind: REQUEST, data: vec![10, 0] };
        let bytes = [0, 0, 0, 2, 0, 0, 0, 12, 0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 10, 0];
        assert_eq!(message.encode(), bytes);
    }

    #[test]
    fn what_is_not_nri_is_said_at_once() {
        let error = Decoder::default().push(b"GET / HTTP/1.1\r\n").unwrap_err();
        assert!(error.to_string().contains("that is not NRI"), "{error}");
        let mut decoder = Decoder::default();
        decoder.push(&frame(PLUGIN, &[0xff, 0, 0, 0])).unwrap();
        assert!(decoder.message().unwrap_err().to_string().starts_with("a message of "));
    }

    proptest! {
        /// However the messages are cut into frames, and the frames into reads, the same messages come out;
        /// of each connection in their order.
        #[test]
        fn cuts_do_not_matter(
            sent in prop::collection::vec((1u32..=2, any::<u32>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20),
            pieces in prop::collection::vec(1usize..30, 1..8),
            reads in prop::collection::vec(1usize..50, 1..8),
        ) {
            let messages: Vec<Message> = sent
                .into_iter()
                .map(|(connection, stream, kind, data)| Message { connection, stream, kind, data })
                .collect();
            let mut pieces = pieces.into_iter().cycle();
            let mut bytes = Vec::new();
            for message in &messages {
                let encoded = message.encode();
                let mut rest = &encoded[FRAME_HEADER..];
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(pieces.next().unwrap().min(rest.len()));
                    bytes.extend(frame(message.connection, piece));
                    // Of a connection that nobody has opened.
                    bytes.extend(frame(7, b"?"));
                    rest = after;
                }
            }
            let (mut decoder, mut found, mut rest) = (Decoder::default(), Vec::new(), &bytes[..]);
            let mut reads = reads.into_iter().cycle();
            while !rest.is_empty() {
                let (read, after) = rest.split_at(reads.next().unwrap().min(rest.len()));
                decoder.push(read).unwrap();
                found.extend(all(&mut decoder));
                rest = after;
            }
            for connection in [PLUGIN, RUNTIME] {
                let of = |all: &[Message]| -> Vec<Message> {
                    all.iter().filter(|m| m.connection == connection).cloned().collect()
                };
                prop_assert_eq!(of(&found), of(&messages));
            }
            prop_assert_eq!(found.len(), messages.len());
        }

        #[test]
        fn no_bytes_can_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            if decoder.push(&bytes).is_ok() {
                while let Ok(Some(_)) = decoder.message() {}
            }
        }
    }
}
