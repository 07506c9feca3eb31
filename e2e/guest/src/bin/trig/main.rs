//! `trig CALL [ARG...] [, CALL [ARG...]]...`: makes the system calls that its command line names, and no
//! others.
//!
//! The test cases run it under many names and look at what the kernel reports, so it must add nothing of
//! its own: with `panic = "abort"` (the profile `guest`) it has neither the standard library nor a C
//! start-up. Built in another profile it is an ordinary program that does the same after its start-up.
//! It prints nothing and exits with 0 or the errno of the last call; 255 and a line on standard error
//! mean that the command line was wrong.

#![cfg_attr(all(panic = "abort", not(test)), no_std, no_main)]

mod args;
#[cfg(all(panic = "abort", not(test)))]
mod bare;
mod calls;
mod sys;

use args::{Arena, Step};

/// The exit status for a command line that makes no sense.
const USAGE: i32 = 255;
/// Calls whose results can be used by later ones.
const RESULTS: usize = 128;

/// Carries out the calls in `argv[1..]`.
///
/// # Safety
/// `argv` has `argc` pointers to strings with a NUL, and a null pointer after them; `envp` ends with a null
/// pointer too.
pub(crate) unsafe fn run(
    argc: usize,
    argv: *const *const u8,
    envp: *const *const u8,
    arena: &mut Arena,
) -> i32 {
    let mut results = [0_i64; RESULTS];
    let mut done = 0;
    let mut status = 0;
    let mut at = 1;
    while at < argc {
        let mut end = at;
        // SAFETY: `end` is below `argc`.
        while end < argc && unsafe { args::text(*argv.add(end)) } != b"," {
            end += 1;
        }
        // SAFETY: `at..end` lies within `argv`; what follows `argv[argc - 1]` is the null pointer.
        let step = unsafe { args::step(argv.add(at), end - at, argc - at, &results[..done], arena) };
        let result = match step {
            Ok(Step::Call(number, values)) => {
                // SAFETY: whatever the case asks for; nothing here depends on memory that it names.
                unsafe { sys::call(number, values) }
            }
            Ok(Step::Exec(path, arguments)) => {
                // SAFETY: three pointers as execve wants them.
                let result =
                    unsafe { sys::call(sys::EXECVE, [path as i64, arguments as i64, envp as i64, 0, 0, 0]) };
                end = argc;
                result
            }
            Ok(Step::Sleep(milliseconds)) => {
                let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
                // SAFETY: `time` is a timespec and lives through the call.
                unsafe { sys::call(sys::NANOSLEEP, [time.as_ptr() as i64, 0, 0, 0, 0, 0]) }
            }
            Err(wrong) => {
                // SAFETY: `at` is below `argc`.
                let (before, what) =
                    unsafe { (wrong.what, args::text(*argv.add(at + wrong.at.min(argc - at - 1)))) };
                for part in [b"trig: ", before.as_bytes(), b": ", what, b"\n"] {
                    // SAFETY: the part lives through the call.
                    unsafe { sys::call(sys::WRITE, [2, part.as_ptr() as i64, part.len() as i64, 0, 0, 0]) };
                }
                return USAGE;
            }
        };
        status = if (-4095..0).contains(&result) { i32::try_from(-result).unwrap_or(USAGE) } else { 0 };
        if let Some(slot) = results.get_mut(done) {
            *slot = result;
            done += 1;
        }
        at = end + 1;
    }
    status
}

#[cfg(not(all(panic = "abort", not(test))))]
fn main() {
    use std::os::unix::ffi::OsStringExt;
    let strings = |all: Vec<Vec<u8>>| -> Vec<std::ffi::CString> {
        all.into_iter().filter_map(|s| std::ffi::CString::new(s).ok()).collect()
    };
    let arguments = strings(std::env::args_os().map(OsStringExt::into_vec).collect());
    let environment =
        strings(std::env::vars_os().map(|(k, v)| [k.into_vec(), v.into_vec()].join(&b'=')).collect());
    let pointers = |of: &[std::ffi::CString]| -> Vec<*const u8> {
        of.iter().map(|s| s.as_ptr().cast()).chain([core::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&arguments), pointers(&environment));
    let mut arena = Box::new(Arena::new());
    // SAFETY: both arrays end with a null pointer, and their strings live until here.
    let status = unsafe { run(arguments.len(), argv.as_ptr(), envp.as_ptr(), &mut arena) };
    std::process::exit(status);
}
