//! Orders to the first process of a guest node, over QEMU's socket.
//!
//! Unlike the guests of `cargo xtask vm`, these outlive the program that started them: every command connects
//! anew, and waits while another one is connected.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::tools::PATIENCE;
use anyhow::{Context, Result, bail};
use tetragon_guest::{CHUNK, Frame, Kind, Run};

/// A connection.
pub(crate) struct Channel {
    stream: UnixStream,
    next: u32,
}

impl Channel {
    /// Connects and waits until the guest answers, which a guest that boots does at the end of that.
    pub(crate) fn connect(socket: &Path) -> Result<Channel> {
        let stream =
            UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // What a former connection did not wait for must not be taken for an answer.
        let mut channel = Channel { stream, next: std::process::id().wrapping_mul(1000) };
        channel.request(Kind::Ping, &[]).context("waiting for the guest")?;
        Ok(channel)
    }

    fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        use std::io::Write;
        Ok(self.stream.write_all(&Frame::new(kind, self.next, payload).encode())?)
    }

    /// The next frame that answers the present request.
    fn frame(&mut self) -> Result<Frame> {
        loop {
            match Frame::read(&mut self.stream) {
                Ok(Some(frame)) if frame.id != self.next => {}
                Ok(Some(Frame { kind: Kind::Error, payload, .. })) => {
                    bail!("in the guest: {}", String::from_utf8_lossy(&payload))
                }
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => bail!("the guest is gone"),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    bail!("the guest has said nothing for {} s", PATIENCE.as_secs())
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sends a request that has one answer.
    fn request(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        self.next = self.next.wrapping_add(1);
        self.send(kind, payload)?;
        self.frame().map(|_| ())
    }

    /// Sets the guest's clock to this machine's.
    pub(crate) fn set_clock(&mut self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or_default();
        self.request(Kind::Clock, &nanoseconds.to_le_bytes()).context("setting the guest's clock")
    }

    /// Writes a file of the guest.
    pub(crate) fn put(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.next = self.next.wrapping_add(1);
        let head: Vec<u8> = mode.to_le_bytes().into_iter().chain(path.bytes()).collect();
        self.send(Kind::Put, &head)?;
        for chunk in bytes.chunks(CHUNK) {
            self.send(Kind::Data, chunk)?;
        }
        self.send(Kind::End, &[])?;
        self.frame().map(|_| ()).with_context(|| format!("writing {path} in the guest"))
    }

    /// Runs a program; gives its exit status (or 128 and the signal that ended it) and what it wrote.
    pub(crate) fn run(&mut self, arguments: &[&str]) -> Result<(i32, Vec<u8>)> {
        let run = Run {
            console: false,
            cwd: "/".into(),
            argv: arguments.iter().map(|&a| a.to_owned()).collect(),
            env: vec!["PATH=/usr/sbin:/usr/bin".into(), "HOME=/root".into()],
        };
        self.next = self.next.wrapping_add(1);
        self.send(Kind::Run, &run.encode())?;
        let mut output = Vec::new();
        loop {
            let frame =
                self.frame().with_context(|| format!("running `{}` in the guest", arguments.join(" ")))?;
            match frame.kind {
                Kind::Output => output.extend_from_slice(frame.payload.get(1..).unwrap_or_default()),
                Kind::Exit => {
                    let status = frame.payload.try_into().map_or(-1, i32::from_le_bytes);
                    let signal = libc::WIFSIGNALED(status).then(|| 128 + libc::WTERMSIG(status));
                    return Ok((signal.unwrap_or_else(|| libc::WEXITSTATUS(status)), output));
                }
                _ => {}
            }
        }
    }

    /// Runs a shell script, which must succeed; what it wrote is told when it does not.
    pub(crate) fn script(&mut self, script: &str, arguments: &[&str]) -> Result<()> {
        let mut words = vec!["/bin/sh", "-c", script, "sh"];
        words.extend(arguments);
        let (status, output) = self.run(&words)?;
        if status != 0 {
            bail!("a script in the guest ended with {status}: {}", String::from_utf8_lossy(&output).trim());
        }
        Ok(())
    }
}
