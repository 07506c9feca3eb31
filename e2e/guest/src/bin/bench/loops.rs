//! The loops: the same call many times.

use std::io;

use crate::calls;

/// Runs `call` in `repeats` rounds and prints, per call, the CPU time (self and children) and the wall time
/// of each round.
fn measure(count: u32, repeats: u32, mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    // What is done only once (page faults, caches of path look-ups) is not what a call costs.
    for _ in 0..(count / 10).clamp(2, 100) {
        call()?;
    }
    for _ in 0..repeats {
        let (cpu, wall) = (calls::cpu(), calls::clock(libc::CLOCK_MONOTONIC)?);
        for _ in 0..count {
            call()?;
        }
        let (cpu, wall) = (calls::cpu() - cpu, calls::clock(libc::CLOCK_MONOTONIC)? - wall);
        let per = |ns: u64| ns as f64 / f64::from(count.max(1));
        println!("{:.1} {:.1}", per(cpu), per(wall));
    }
    Ok(())
}

/// open+close.
pub(crate) fn open(path: &str, count: u32, repeats: u32) -> io::Result<()> {
    let file = calls::c(path)?;
    measure(count, repeats, || calls::open_close(&file).map_err(io::Error::from_raw_os_error))
}

/// open+close, exactly `count` times, as fast as it goes.
pub(crate) fn flood(path: &str, count: u32) -> io::Result<()> {
    let file = calls::c(path)?;
    for _ in 0..count {
        calls::open_close(&file).map_err(io::Error::from_raw_os_error)?;
    }
    Ok(())
}

/// fork+exec+exit.
pub(crate) fn exec(program: &str, count: u32, repeats: u32) -> io::Result<()> {
    let file = calls::c(program)?;
    measure(count, repeats, || match calls::fork_exec_wait(&file)? {
        0 => Ok(()),
        status => Err(io::Error::other(format!("{program} ended with wait status {status:#x}"))),
    })
}

/// Several busy processes, half of which open what is denied, half another file: how many of each kind of
/// open did not end as it must.
pub(crate) fn deny(denied: &str, allowed: &str, processes: u32, count: u32) -> io::Result<()> {
    let (denied, allowed) = (calls::c(denied)?, calls::c(allowed)?);
    let (mut reader, writer) = io::pipe()?;
    let mut children = Vec::new();
    for process in 0..processes {
        let path = if process % 2 == 0 { &denied } else { &allowed };
        let mut writer = writer.try_clone()?;
        children.push(calls::fork(move || {
            let mut opened = 0_u32;
            for _ in 0..count {
                opened += u32::from(calls::open_close(path).is_ok());
            }
            let wrong = if process % 2 == 0 { opened } else { count - opened };
            let mut line = [0; 8];
            line[..4].copy_from_slice(&(process % 2).to_le_bytes());
            line[4..].copy_from_slice(&wrong.to_le_bytes());
            // Short writes to a pipe are whole.
            i32::from(io::Write::write_all(&mut writer, &line).is_err())
        })?);
    }
    drop(writer);
    let (mut sums, mut reports) = ([0_u64; 2], 0);
    let mut line = [0; 8];
    while io::Read::read_exact(&mut reader, &mut line).is_ok() {
        let (kind, wrong) = line.split_at(4);
        let number = |b: &[u8]| b.try_into().map_or(0, u32::from_le_bytes);
        sums[(number(kind) % 2) as usize] += u64::from(number(wrong));
        reports += 1;
    }
    for child in children {
        calls::wait(child)?;
    }
    if reports != processes {
        return Err(io::Error::other(format!("{reports} of {processes} processes reported")));
    }
    println!("{} {}", sums[0], sums[1]);
    Ok(())
}
