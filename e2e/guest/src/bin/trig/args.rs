//! Reads `trig`'s command line: one call at a time, when its turn comes, because an argument may be the
//! result of a call before it.

use crate::calls::{self, Argument, OTHERWISE};

/// Memory for what pointer arguments point to. It is part of the program's zeroed memory: a page that no
/// argument uses is never touched.
#[repr(align(16))]
pub(crate) struct Arena {
    memory: [u8; Arena::SIZE],
    used: usize,
}

impl Arena {
    const SIZE: usize = 8 << 20;

    /// All zero.
    pub(crate) const fn new() -> Arena {
        Arena { memory: [0; Arena::SIZE], used: 0 }
    }

    /// `n` zero bytes, aligned like anything the kernel wants.
    fn take(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.used.checked_add(n)?;
        let slice = self.memory.get_mut(self.used..end)?;
        // At least one byte apart, so that two buffers never have one address.
        self.used = (end + 16) & !15;
        Some(slice)
    }
}

/// One call of the command line, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A system call: number, arguments.
    Call(i64, [i64; 6]),
    /// Become another program: path, arguments.
    Exec(*const u8, *const *const u8),
    /// Wait so many milliseconds.
    Sleep(i64),
}

/// What does not make sense, and which word it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// The string at `p`, without its NUL.
///
/// # Safety
/// `p` points to a string with a NUL that outlives `'a`.
pub(crate) unsafe fn text<'a>(p: *const u8) -> &'a [u8] {
    let mut n = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while *p.add(n) != 0 {
            n += 1;
        }
        core::slice::from_raw_parts(p, n)
    }
}

/// Reads the call in the `count` words from `words`; `rest` is how many words the command line has from
/// there.
///
/// # Safety
/// `words` has `rest` pointers to strings with a NUL, and a null pointer after them.
pub(crate) unsafe fn step(
    words: *const *const u8,
    count: usize,
    rest: usize,
    results: &[i64],
    arena: &mut Arena,
) -> Result<Step, Wrong> {
    if count == 0 {
        return Err(Wrong { at: 0, what: "a call is missing before" });
    }
    // SAFETY: the first `rest` words exist.
    let word = |i: usize| unsafe { text(*words.add(i)) };
    match word(0) {
        b"exec" if rest < 2 => return Err(Wrong { at: 0, what: "the path is missing after" }),
        // SAFETY: there are at least two words, and the null pointer follows them.
        b"exec" => return Ok(unsafe { Step::Exec(*words.add(1), words.add(1)) }),
        b"sleep" => {
            let time = if count == 2 { number(word(1)) } else { None };
            return time
                .map(Step::Sleep)
                .ok_or(Wrong { at: 0, what: "one number of milliseconds must follow" });
        }
        _ => {}
    }
    let otherwise = OTHERWISE.iter().find(|(name, ..)| name.as_bytes() == word(0));
    let name = otherwise.map_or(word(0), |(_, real, _)| real.as_bytes());
    let Some(call) = call_number(name) else {
        return Err(Wrong { at: 0, what: "there is no system call of that name" });
    };
    if count > 7 {
        return Err(Wrong { at: 7, what: "a system call has at most six arguments" });
    }
    let mut values = [0; 6];
    let mut length = 0;
    for (i, value) in values.iter_mut().enumerate().take(count - 1) {
        *value = argument(word(i + 1), results, arena, &mut length)
            .ok_or(Wrong { at: i + 1, what: "not an argument" })?;
    }
    Ok(Step::Call(call, otherwise.map_or(values, |(.., from)| moved(values, from))))
}

/// The arguments of the call that is made, from those of the one that was asked for.
fn moved(given: [i64; 6], from: &[Argument]) -> [i64; 6] {
    let mut values = [0; 6];
    for (value, from) in values.iter_mut().zip(from) {
        *value = match from {
            Argument::Given(i) => given.get(*i).copied().unwrap_or(0),
            Argument::Fixed(fixed) => *fixed,
        };
    }
    values
}

fn call_number(name: &[u8]) -> Option<i64> {
    if name.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-') {
        return number(name);
    }
    calls::number(core::str::from_utf8(name).ok()?)
}

/// One argument's value. A socket address leaves its length in `length`, for `len`.
fn argument(word: &[u8], results: &[i64], arena: &mut Arena, length: &mut i64) -> Option<i64> {
    match word {
        b"r" => return Some(results.last().copied().unwrap_or(0)),
        b"len" => return Some(*length),
        _ => {}
    }
    if let Some(text) = word.strip_prefix(b"s:") {
        // The command line's own copy, which has its NUL.
        return Some(text.as_ptr() as i64);
    }
    if let Some(n) = word.strip_prefix(b"b:") {
        let n = usize::try_from(number(n)?).ok()?;
        return Some(arena.take(n)?.as_mut_ptr() as i64);
    }
    if let Some(hex) = word.strip_prefix(b"x:") {
        return bytes(hex, arena);
    }
    if let Some(path) = word.strip_prefix(b"un:") {
        return unix_address(path, arena, length);
    }
    if let Some(address) = word.strip_prefix(b"in6:") {
        return ipv6_address(address, arena, length);
    }
    if let Some(address) = word.strip_prefix(b"in:") {
        return ipv4_address(address, arena, length);
    }
    if let Some(n) = word.strip_prefix(b"r")
        && !n.is_empty()
    {
        return results.get(usize::try_from(number(n)?).ok()?).copied();
    }
    number(word)
}

/// Decimal, with 0x, or octal with 0 in front, as in C; negative or up to the largest unsigned number.
fn number(word: &[u8]) -> Option<i64> {
    let (negative, digits) = word.strip_prefix(b"-").map_or((false, word), |d| (true, d));
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', hex @ ..] => (16, hex),
        [b'0', octal @ ..] if !octal.is_empty() => (8, octal),
        decimal => (10, decimal),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        value = value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
    }
    match (negative, i64::try_from(value)) {
        (false, _) => Some(value.cast_signed()),
        (true, Ok(value)) => Some(-value),
        (true, Err(_)) => (value == 1 << 63).then_some(i64::MIN),
    }
}

fn bytes(hex: &[u8], arena: &mut Arena) -> Option<i64> {
    if !hex.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let memory = arena.take(hex.len() / 2)?;
    for (to, pair) in memory.iter_mut().zip(hex.chunks_exact(2)) {
        *to = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(memory.as_mut_ptr() as i64)
}

/// `struct sockaddr_un`. A leading `@` is an abstract name, whose length has no NUL.
fn unix_address(path: &[u8], arena: &mut Arena, length: &mut i64) -> Option<i64> {
    if path.len() > 107 {
        return None;
    }
    let memory = arena.take(110)?;
    memory[..2].copy_from_slice(&1_u16.to_ne_bytes());
    memory[2..2 + path.len()].copy_from_slice(path);
    let is_abstract = path.first() == Some(&b'@');
    if is_abstract {
        memory[2] = 0;
    }
    *length = i64::try_from(2 + path.len() + usize::from(!is_abstract)).ok()?;
    Some(memory.as_mut_ptr() as i64)
}

/// `struct sockaddr_in`.
fn ipv4_address(word: &[u8], arena: &mut Arena, length: &mut i64) -> Option<i64> {
    let (address, port) = address_and_port(word)?;
    let address: core::net::Ipv4Addr = address.parse().ok()?;
    let memory = arena.take(16)?;
    memory[..2].copy_from_slice(&2_u16.to_ne_bytes());
    memory[2..4].copy_from_slice(&port.to_be_bytes());
    memory[4..8].copy_from_slice(&address.octets());
    *length = 16;
    Some(memory.as_mut_ptr() as i64)
}

/// `struct sockaddr_in6`. The address may stand in brackets.
fn ipv6_address(word: &[u8], arena: &mut Arena, length: &mut i64) -> Option<i64> {
    let (address, port) = address_and_port(word)?;
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address: core::net::Ipv6Addr = bare.parse().ok()?;
    let memory = arena.take(28)?;
    memory[..2].copy_from_slice(&10_u16.to_ne_bytes());
    memory[2..4].copy_from_slice(&port.to_be_bytes());
    memory[8..24].copy_from_slice(&address.octets());
    *length = 28;
    Some(memory.as_mut_ptr() as i64)
}

fn address_and_port(word: &[u8]) -> Option<(&str, u16)> {
    let (address, port) = core::str::from_utf8(word).ok()?.rsplit_once(':')?;
    Some((address, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{HIGH, LOW, OTHER_NAMES};
    use std::ffi::CString;

    /// Reads one call of a command line, with results 11, 12 of the calls before, and gives the memory too.
    fn read(line: &[&str]) -> (Result<Step, Wrong>, Box<Arena>) {
        let words: Vec<CString> = line.iter().map(|w| CString::new(*w).expect("no NUL")).collect();
        let mut pointers: Vec<*const u8> = words.iter().map(|w| w.as_ptr().cast()).collect();
        pointers.push(core::ptr::null());
        let count = line.iter().position(|w| *w == ",").unwrap_or(line.len());
        let mut arena = Box::new(Arena::new());
        // SAFETY: words with NULs and a null pointer after them.
        let step = unsafe { step(pointers.as_ptr(), count, line.len(), &[11, 12], &mut arena) };
        (step, arena)
    }

    fn values(line: &[&str]) -> [i64; 6] {
        match read(line).0 {
            Ok(Step::Call(_, values)) => values,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn numbers() {
        for (word, value) in [
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("0x1000", Some(4096)),
            ("-0x10", Some(-16)),
            ("0755", Some(493)),
            ("08", None),
            ("5000000000", Some(5_000_000_000)),
            ("0xffffffffffffffff", Some(-1)),
            ("18446744073709551615", Some(-1)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("18446744073709551616", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("0x", None),
            ("12a", None),
        ] {
            assert_eq!(number(word.as_bytes()), value, "{word}");
        }
    }

    #[test]
    fn calls_by_name_and_number() {
        let (lseek, umount2, getpid) =
            if cfg!(target_arch = "x86_64") { (8, 166, 39) } else { (62, 39, 172) };
        assert_eq!(read(&["lseek", "-1", "-5", "4000"]).0, Ok(Step::Call(lseek, [-1, -5, 4000, 0, 0, 0])));
        assert_eq!(read(&["56", "0x20000011", "0"]).0, Ok(Step::Call(56, [0x2000_0011, 0, 0, 0, 0, 0])));
        assert_eq!(read(&["umount", "0"]).0, Ok(Step::Call(umount2, [0; 6])));
        assert_eq!(read(&["getpid", ",", "nonsense"]).0, Ok(Step::Call(getpid, [0; 6])));
    }

    #[test]
    fn results_of_calls_before() {
        assert_eq!(values(&["write", "r", "r0", "r1"])[..3], [12, 11, 12]);
        assert!(read(&["write", "r2"]).0.is_err());
    }

    #[test]
    fn socket_addresses() {
        let memory = |line: &[&str]| {
            let (step, arena) = read(line);
            let Ok(Step::Call(_, values)) = step else { panic!("{line:?}: {step:?}") };
            let at = values[1] as usize - arena.memory.as_ptr() as usize;
            arena.memory[at..at + values[2] as usize].to_vec()
        };
        assert_eq!(
            memory(&["connect", "3", "in:127.0.0.1:7841", "len"]),
            [2, 0, 0x1e, 0xa1, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let six = memory(&["connect", "3", "in6:::1:7860", "len"]);
        assert_eq!((six.len(), six[0], &six[2..4], six[23]), (28, 10, &[0x1e, 0xb4][..], 1));
        assert_eq!(six, memory(&["connect", "3", "in6:[::1]:7860", "len"]));
        assert_eq!(memory(&["connect", "3", "un:/a", "len"]), *b"\x01\0/a\0");
        assert_eq!(memory(&["connect", "3", "un:@a", "len"]), *b"\x01\0\0a");
        assert!(read(&["connect", "3", "in:127.0.0.1"]).0.is_err());
        assert!(read(&["connect", "3", "in:127.0.0.1:70000"]).0.is_err());
    }

    #[test]
    fn memory_is_apart_and_filled() {
        let (step, arena) = read(&["read", "b:0", "b:5", "x:00fF"]);
        let Ok(Step::Call(_, values)) = step else { panic!("{step:?}") };
        assert!(values[0] < values[1] && values[1] + 5 <= values[2], "{values:?}");
        let at = values[2] as usize - arena.memory.as_ptr() as usize;
        assert_eq!(arena.memory[at..at + 2], [0, 0xff]);
        for wrong in ["b:99999999999", "b:-1", "x:0", "x:zz"] {
            assert!(read(&["read", wrong]).0.is_err(), "{wrong}");
        }
    }

    #[test]
    fn exec_takes_the_rest() {
        let (step, _) = read(&["exec", "/bin/true", "a", ",", "b"]);
        assert!(matches!(step, Ok(Step::Exec(..))));
        assert!(read(&["exec"]).0.is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            &["no_such_call"][..],
            &["sleep"],
            &["sleep", "x"],
            &["lseek", "1", "2", "3", "4", "5", "6", "7"],
            &[","],
        ] {
            assert!(read(line).0.is_err(), "{line:?}");
        }
        assert_eq!(read(&["sleep", "20"]).0, Ok(Step::Sleep(20)));
    }

    #[test]
    fn calls_that_are_made_otherwise() {
        assert_eq!(
            moved([7, 8, 9, 0, 0, 0], &[Argument::Fixed(-100), Argument::Given(0), Argument::Given(2)]),
            [-100, 7, 9, 0, 0, 0]
        );
        assert!(read(&["open", "s:/a", "0"]).0.is_ok(), "x86-64 has it, arm64 makes it otherwise");
        for (name, real, from) in OTHERWISE {
            assert!(calls::number(name).is_none() && calls::number(real).is_some(), "{name}");
            assert!(from.len() <= 6, "{name}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_without_doubles() {
        let all: Vec<_> = LOW.iter().chain(HIGH).collect();
        assert!(all.windows(2).all(|w| w[0].1 < w[1].1));
        for (name, real) in OTHER_NAMES {
            assert!(all.iter().any(|(n, _)| n == real) && !all.iter().any(|(n, _)| n == name), "{name}");
        }
    }
}
