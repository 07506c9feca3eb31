//! The eBPF programs of tetragon-rs: one engine for all hooks and policies, and the base sensor.
//!
//! A hook is served by two programs: a *stub* that is attached once and stays, and an *engine* per
//! slot. The stub reads the state word, once, and tail-calls the engine of the slot that it names;
//! the engine judges the call by that slot's tables alone. The agent prepares the idle slot and
//! then changes the word: no call is judged by half of an image.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod act;
mod base;
mod call;
mod cgroups;
mod dims;
mod gate;
mod judge;
mod kernel;
mod limit;
mod maps;
mod programs;
mod read;
mod record;
mod task;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The kernel gives its tracing helpers only to programs under a compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
