//! Looks at the agent: its time, its memory in the kernel, its metrics, and when a policy takes effect.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::calls;

/// Between two looks whether a policy has taken effect.
const PAUSE: Duration = Duration::from_micros(50);

/// How long it takes from a policy's appearance until opens of the target are refused, in ns.
pub(crate) fn appear(target: &str, limit: u32, how: &[&str]) -> io::Result<()> {
    let file = calls::c(target)?;
    calls::open_close(&file)
        .map_err(|e| io::Error::other(format!("{target} must open at first, but: errno {e}")))?;
    let start = calls::clock(libc::CLOCK_MONOTONIC)?;
    let mut client = match *how {
        ["rename", from, to] => {
            fs::rename(from, to)?;
            None
        }
        ["run", program, ref arguments @ ..] => {
            Some(Command::new(program).args(arguments).stdout(Stdio::null()).spawn()?)
        }
        _ => return Err(io::Error::other("right would be `rename FROM TO` or `run PROGRAM ARGUMENTS`")),
    };
    let refused = until_refused(&file, start, limit);
    if let Some(client) = &mut client {
        client.wait()?;
    }
    println!("{}", refused?);
    Ok(())
}

fn until_refused(file: &CStr, start: u64, limit: u32) -> io::Result<u64> {
    let end = start + u64::from(limit) * 1_000_000;
    loop {
        let refused = calls::open_close(file);
        let now = calls::clock(libc::CLOCK_MONOTONIC)?;
        match refused {
            Err(libc::EPERM) => return Ok(now - start),
            Err(other) => return Err(io::Error::from_raw_os_error(other)),
            Ok(()) if now > end => {
                let file = file.to_string_lossy();
                return Err(io::Error::other(format!("{file} is not refused after {limit} ms")));
            }
            // A single CPU is the agent's meanwhile.
            Ok(()) => std::thread::sleep(PAUSE),
        }
    }
}

/// CPU time of a process, with that of its threads that have ended.
pub(crate) fn cpu(pid: u32) -> io::Result<()> {
    println!("{}", calls::clock(calls::clock_of(pid)?)?);
    Ok(())
}

/// What the kernel counts for the maps and programs that a process has open: maps, programs.
pub(crate) fn memlock(pid: u32) -> io::Result<()> {
    let (mut maps, mut programs) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor may be closed just now.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let field = |name: &str| -> Option<u64> {
            text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        if let (Some(id), Some(bytes)) = (field("map_id"), field("memlock")) {
            maps.insert(id, bytes);
        } else if let (Some(id), Some(bytes)) = (field("prog_id"), field("memlock")) {
            programs.insert(id, bytes);
        }
    }
    println!("{} {}", maps.values().sum::<u64>(), programs.values().sum::<u64>());
    Ok(())
}

/// The body of an HTTP answer (one that is not sent in chunks, as HTTP/1.0 asks).
pub(crate) fn get(address: &str, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("the answer has no body"))?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(io::Error::other(format!("{path} answers `{status}`")));
    }
    print!("{body}");
    Ok(())
}
