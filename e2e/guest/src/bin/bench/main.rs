//! `bench WHAT ARGUMENTS`: what `cargo xtask bench` runs where it measures. It prints numbers, one result a
//! line, and nothing else; errors go to standard error, with exit code 1.
//!
//! ```text
//! bench open PATH COUNT REPEATS        CPU and wall ns per open+close, one line a repeat
//! bench exec PROGRAM COUNT REPEATS     the same per fork+exec+exit
//! bench deny DENIED ALLOWED N COUNT    N processes, half of each kind: denied opens that got through,
//!                                      allowed opens that were refused
//! bench flood PATH COUNT               open+close, exactly so often
//! bench appear TARGET MS HOW...        does HOW (rename FROM TO, run PROGRAM ARGUMENTS); ns from then until
//!                                      an open of TARGET is refused
//! bench cpu PID                        CPU ns of a process so far
//! bench memlock PID                    bytes of all BPF maps and programs that a process holds
//! bench get HOST:PORT PATH             an HTTP answer's body
//! ```

mod calls;
mod look;
mod loops;

use std::io;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    match run(&words) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench {}: {error}", words.join(" "));
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match *words {
        ["open", path, count, repeats] => loops::open(path, number(count)?, number(repeats)?),
        ["exec", program, count, repeats] => loops::exec(program, number(count)?, number(repeats)?),
        ["deny", denied, allowed, processes, count] => {
            loops::deny(denied, allowed, number(processes)?, number(count)?)
        }
        ["flood", path, count] => loops::flood(path, number(count)?),
        ["appear", target, limit, ref how @ ..] => look::appear(target, number(limit)?, how),
        ["cpu", pid] => look::cpu(number(pid)?),
        ["memlock", pid] => look::memlock(number(pid)?),
        ["get", address, path] => look::get(address, path),
        _ => Err(io::Error::other("no such thing to do; the program's first lines list what there is")),
    }
}

fn number(text: &str) -> io::Result<u32> {
    text.parse().map_err(|e| io::Error::other(format!("`{text}` is no number: {e}")))
}
