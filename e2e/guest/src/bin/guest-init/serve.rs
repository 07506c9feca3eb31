//! Answers the host: files, processes, the clock.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tetragon_guest::{CHUNK, Frame, Kind, Run};

use crate::sys;

const CONSOLE: &str = "/dev/ttyS0";

/// A process that the host started, until it has ended and its output is at an end.
struct Process {
    id: u32,
    pid: u32,
}

/// One end of a process's output.
struct Stream {
    id: u32,
    number: u8,
    from: File,
}

struct Server<'a> {
    port: &'a File,
    /// The files that are being written, and what went wrong with them.
    files: HashMap<u32, (PathBuf, File, Option<String>)>,
    processes: Vec<Process>,
    streams: Vec<Stream>,
}

/// Serves until the host says to power off.
pub(crate) fn serve(port: &File) -> io::Result<()> {
    let signals = sys::child_signals()?;
    sys::set_nonblocking(port)?;
    let mut server = Server { port, files: HashMap::new(), processes: Vec::new(), streams: Vec::new() };
    let mut input = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut fds: Vec<libc::pollfd> = [port.as_raw_fd(), signals.as_raw_fd()]
            .into_iter()
            .chain(server.streams.iter().map(|s| s.from.as_raw_fd()))
            .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
            .collect();
        sys::poll(&mut fds)?;
        // From the last, so that removing one does not move those still to come.
        for (index, fd) in fds[2..].iter().enumerate().rev() {
            if fd.revents != 0 {
                server.pump(index, &mut buffer)?;
            }
        }
        if fds[1].revents != 0 {
            server.reap(&signals, &mut buffer)?;
        }
        if fds[0].revents & libc::POLLIN != 0 {
            match (&mut &*port).read(&mut buffer) {
                Ok(0) => std::thread::sleep(Duration::from_millis(5)),
                Ok(n) => input.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
            while let Some(frame) = Frame::take(&mut input)? {
                if frame.kind == Kind::PowerOff {
                    return Ok(());
                }
                server.answer(&frame)?;
            }
        } else if fds[0].revents != 0 {
            // The host is not connected (a saved guest that was just woken).
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Server<'_> {
    fn send(&self, frame: &Frame) -> io::Result<()> {
        let bytes = frame.encode();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match (&mut &*self.port).write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds =
                        [libc::pollfd { fd: self.port.as_raw_fd(), events: libc::POLLOUT, revents: 0 }];
                    sys::poll(&mut fds)?;
                    if fds[0].revents & libc::POLLOUT == 0 {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn answer(&mut self, frame: &Frame) -> io::Result<()> {
        let id = frame.id;
        let result = match frame.kind {
            Kind::Ping => {
                let release = fs::read("/proc/sys/kernel/osrelease").unwrap_or_default();
                return self.send(&Frame::new(Kind::Pong, id, release.trim_ascii_end()));
            }
            Kind::Put => self.put(id, &frame.payload).map(|()| false),
            Kind::Data => {
                self.data(id, &frame.payload);
                Ok(false)
            }
            Kind::End => self.end(id).map(|()| true),
            Kind::Run => self.run(id, &frame.payload).map(|()| false),
            Kind::Signal => {
                self.signal(id, &frame.payload);
                Ok(false)
            }
            Kind::Get => self.get(id, &frame.payload).map(|()| true),
            Kind::Clock => match frame.payload.as_slice().try_into() {
                Ok(time) => sys::set_clock(u64::from_le_bytes(time)).map(|()| true),
                Err(_) => Err(io::Error::other("a time has eight bytes")),
            },
            other => Err(io::Error::other(format!("{other:?} is nothing that a guest does"))),
        };
        match result {
            Ok(true) => self.send(&Frame::new(Kind::Done, id, [])),
            Ok(false) => Ok(()),
            Err(error) => self.send(&Frame::new(Kind::Error, id, error.to_string())),
        }
    }

    fn put(&mut self, id: u32, payload: &[u8]) -> io::Result<()> {
        let (mode, path) = payload.split_at_checked(4).ok_or_else(|| io::Error::other("no mode"))?;
        let mode = u32::from_le_bytes(mode.try_into().map_err(io::Error::other)?);
        let path = PathBuf::from(String::from_utf8(path.to_vec()).map_err(io::Error::other)?);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // A new file, so that one that is just running is not in the way, nor are hard links to it.
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        self.files.insert(id, (path, file, None));
        Ok(())
    }

    fn data(&mut self, id: u32, payload: &[u8]) {
        let Some((path, file, failed)) = self.files.get_mut(&id) else { return };
        if failed.is_none()
            && let Err(error) = file.write_all(payload)
        {
            *failed = Some(format!("writing {}: {error}", path.display()));
        }
    }

    /// Says how the file went: once, whatever failed on the way.
    fn end(&mut self, id: u32) -> io::Result<()> {
        match self.files.remove(&id) {
            Some((_, _, None)) => Ok(()),
            Some((_, _, Some(failed))) => Err(io::Error::other(failed)),
            None => Err(io::Error::other("no file was begun")),
        }
    }

    fn run(&mut self, id: u32, payload: &[u8]) -> io::Result<()> {
        let run = Run::decode(payload).ok_or_else(|| io::Error::other("not a process's description"))?;
        let mut child = start(&run)?;
        let pid = child.id();
        for (number, fd) in
            [(1, child.stdout.take().map(OwnedFd::from)), (2, child.stderr.take().map(OwnedFd::from))]
        {
            if let Some(fd) = fd {
                sys::set_nonblocking(&fd)?;
                self.streams.push(Stream { id, number, from: File::from(fd) });
            }
        }
        self.processes.push(Process { id, pid });
        self.send(&Frame::new(Kind::Started, id, pid.to_le_bytes()))
    }

    fn signal(&self, id: u32, payload: &[u8]) {
        let process = self.processes.iter().find(|p| p.id == id);
        if let (Some(process), Ok(number)) = (process, payload.try_into()) {
            // It may have ended just now; its `Exit` is on its way.
            let _ = sys::kill(process.pid, i32::from_le_bytes(number));
        }
    }

    fn get(&self, id: u32, payload: &[u8]) -> io::Result<()> {
        let path = String::from_utf8(payload.to_vec()).map_err(io::Error::other)?;
        let mut file = File::open(&path).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            self.output(id, 3, &buffer[..n])?;
        }
    }

    fn output(&self, id: u32, number: u8, bytes: &[u8]) -> io::Result<()> {
        let payload: Vec<u8> = [number].into_iter().chain(bytes.iter().copied()).collect();
        self.send(&Frame::new(Kind::Output, id, payload))
    }

    /// Sends on what one stream has; removes it at its end.
    fn pump(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
            match stream.from.read(buffer) {
                Ok(0) => break,
                Ok(n) => {
                    let (id, number) = (stream.id, stream.number);
                    self.output(id, number, &buffer[..n])?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => break,
            }
        }
        self.streams.remove(index);
        Ok(())
    }

    /// Reports the children that ended, after what they wrote. Others that hold the same pipe may go on.
    fn reap(&mut self, mut signals: &File, buffer: &mut [u8]) -> io::Result<()> {
        while signals.read(buffer).is_ok_and(|n| n > 0) {}
        while let Some((pid, status)) = sys::reap() {
            let Some(at) = self.processes.iter().position(|p| p.pid == pid) else { continue };
            let process = self.processes.remove(at);
            for index in (0..self.streams.len()).rev() {
                if self.streams[index].id == process.id {
                    self.pump(index, buffer)?;
                }
            }
            self.send(&Frame::new(Kind::Exit, process.id, status.to_le_bytes()))?;
        }
        Ok(())
    }
}

fn start(run: &Run) -> io::Result<Child> {
    let (program, arguments) = run.argv.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&run.cwd).env_clear();
    command.envs(run.env.iter().filter_map(|e| e.split_once('=')));
    if run.console {
        let console = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(CONSOLE)?;
        command.stdin(console.try_clone()?).stdout(console.try_clone()?).stderr(console);
    } else {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let terminal = run.console;
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(move || sys::before_exec(terminal)) };
    command.spawn().map_err(|e| io::Error::new(e.kind(), format!("{program}: {e}")))
}
