//! What the host and the guest's first process say to each other over the virtio serial port.
//!
//! One stream of frames in each direction. A frame is a little-endian `u32` length of what follows,
//! one byte of kind, a little-endian `u32` id chosen by the host, and the payload. Requests of different
//! ids may overlap; answers carry the id of their request.

#![deny(unsafe_code)]

use std::io::{self, Read};

/// Bytes before the payload: length, kind, id.
pub const HEADER: usize = 9;
/// No frame is longer than this; a longer one means that the two sides lost each other.
pub const MAX_FRAME: usize = 1 << 20;
/// How much of a file goes into one frame.
pub const CHUNK: usize = 128 << 10;
/// The name of the virtio serial port.
pub const PORT: &str = "tetragon.ctl";

/// What a frame means. The first group goes to the guest, the second comes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Begin a file: mode (`u32`), path. Parent folders are made.
    Put = 1,
    /// More bytes of the file.
    Data = 2,
    /// The file is complete. Answered by `Done`, or by `Error` when anything about it failed.
    End = 3,
    /// Start a process: see [`Run`]. Answered by `Started`, `Output`, `Exit`, or `Error`.
    Run = 4,
    /// Send a signal (`i32`) to the process of that id; no answer, it may just have ended.
    Signal = 5,
    /// Read a file: path. Answered by `Output`s and `Done`, or `Error`.
    Get = 6,
    /// Set the clock: nanoseconds since 1970 (`u64`). Answered by `Done`.
    Clock = 7,
    /// Answered by `Pong` with the kernel's release.
    Ping = 8,
    /// Write everything out and power off.
    PowerOff = 9,

    /// The guest is there.
    Pong = 101,
    /// The process runs: its pid (`u32`).
    Started = 102,
    /// Stream (1 standard output, 2 standard error, 3 a file), bytes.
    Output = 103,
    /// The process ended: its wait status (`i32`).
    Exit = 104,
    /// The request was carried out.
    Done = 105,
    /// The request failed: why.
    Error = 106,
}

impl Kind {
    /// The kind with that number.
    #[must_use]
    pub fn from_u8(n: u8) -> Option<Kind> {
        use Kind::{
            Clock, Data, Done, End, Error, Exit, Get, Output, Ping, Pong, PowerOff, Put, Run, Signal, Started,
        };
        [Put, Data, End, Run, Signal, Get, Clock, Ping, PowerOff, Pong, Started, Output, Exit, Done, Error]
            .into_iter()
            .find(|k| *k as u8 == n)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it means.
    pub kind: Kind,
    /// Which request it belongs to.
    pub id: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame with that payload.
    #[must_use]
    pub fn new(kind: Kind, id: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, id, payload: payload.into() }
    }

    /// The frame as it goes over the port.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len() + 5).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEADER + self.payload.len());
        out.extend_from_slice(&length.to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// Takes the first frame off `buffer`, if all of it is there.
    ///
    /// # Errors
    /// When the bytes are no frame: the two sides lost each other.
    pub fn take(buffer: &mut Vec<u8>) -> io::Result<Option<Frame>> {
        let Some(length) = u32_at(buffer, 0) else { return Ok(None) };
        let length = length as usize;
        if !(5..=MAX_FRAME).contains(&length) {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        if buffer.len() < 4 + length {
            return Ok(None);
        }
        let kind = Kind::from_u8(buffer[4])
            .ok_or_else(|| io::Error::other(format!("a frame of unknown kind {}", buffer[4])))?;
        let id = u32_at(buffer, 5).unwrap_or_default();
        let payload = buffer[HEADER..4 + length].to_vec();
        buffer.drain(..4 + length);
        Ok(Some(Frame { kind, id, payload }))
    }

    /// Reads one frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// When reading fails, the stream ends inside a frame, or the bytes are no frame.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 4];
        match from.read_exact(&mut head) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_le_bytes(head) as usize;
        if !(5..=MAX_FRAME).contains(&length) {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let mut buffer = head.to_vec();
        buffer.resize(4 + length, 0);
        from.read_exact(&mut buffer[4..])?;
        Frame::take(&mut buffer)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

/// How to start a process. Its standard input is /dev/null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Standard input, output and error are the console, as controlling terminal of a new session.
    pub console: bool,
    /// The working directory.
    pub cwd: String,
    /// The program's path and its arguments.
    pub argv: Vec<String>,
    /// The environment, `NAME=value`.
    pub env: Vec<String>,
}

impl Run {
    /// As a payload: a byte of flags, then the strings, each with a NUL, and an empty one between the
    /// arguments and the environment (a byte 1 leads each string, so that empty arguments survive).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.console)];
        let mut put = |s: &str| {
            out.push(1);
            out.extend_from_slice(s.as_bytes());
            out.push(0);
        };
        put(&self.cwd);
        self.argv.iter().for_each(|s| put(s));
        out.push(0);
        for s in &self.env {
            out.push(1);
            out.extend_from_slice(s.as_bytes());
            out.push(0);
        }
        out
    }

    /// The opposite of [`Run::encode`].
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Run> {
        let (&flags, mut rest) = payload.split_first()?;
        let mut before = Vec::new();
        let mut env = Vec::new();
        let mut in_env = false;
        while let Some((&lead, tail)) = rest.split_first() {
            if lead == 0 {
                in_env = true;
                rest = tail;
                continue;
            }
            let end = tail.iter().position(|b| *b == 0)?;
            let text = String::from_utf8(tail[..end].to_vec()).ok()?;
            if in_env { &mut env } else { &mut before }.push(text);
            rest = &tail[end + 1..];
        }
        if before.len() < 2 {
            return None;
        }
        let argv = before.split_off(1);
        Some(Run { console: flags & 1 != 0, cwd: before.pop()?, argv, env })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_a_stream_cut_anywhere() {
        let frames = [
            Frame::new(Kind::Ping, 0, []),
            Frame::new(Kind::Output, 7, *b"\x01text"),
            Frame::new(Kind::Exit, 9, [0; 4]),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for cut in 0..bytes.len() {
            let mut buffer = bytes[..cut].to_vec();
            let mut got = Vec::new();
            while let Some(f) = Frame::take(&mut buffer).expect("frames") {
                got.push(f);
            }
            buffer.extend_from_slice(&bytes[cut..]);
            while let Some(f) = Frame::take(&mut buffer).expect("frames") {
                got.push(f);
            }
            assert_eq!(got, frames, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(Frame::take(&mut vec![1, 0, 0, 0, 0]).is_err(), "too short");
        assert!(Frame::take(&mut vec![0xff; 16]).is_err(), "too long");
        assert!(Frame::take(&mut vec![5, 0, 0, 0, 77, 0, 0, 0, 0]).is_err(), "unknown kind");
    }

    #[test]
    fn a_run_survives_with_empty_arguments() {
        let run = Run {
            console: true,
            cwd: "/".into(),
            argv: vec!["/bin/echo".into(), String::new(), "two words".into()],
            env: vec!["A=".into(), "B=1".into()],
        };
        assert_eq!(Run::decode(&run.encode()), Some(run));
        assert_eq!(Run::decode(&[0, 1, b'/', 0]), None, "no program");
        assert_eq!(Run::decode(&[0, 1, b'/']), None, "a string without end");
    }
}
