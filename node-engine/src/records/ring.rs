//! The ring buffer: reading what the programs wrote. Layout: kernel/bpf/ringbuf.c; one page with the
//! consumer's position, one with the producer's, then the data, mapped twice.

use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// Length word and page offset in front of every record.
const HEADER: usize = 8;

/// A mapped ring buffer with one reader.
#[derive(Debug)]
pub struct Ring {
    fd: std::os::fd::OwnedFd,
    consumer: *mut u8,
    producer: *mut u8,
    page: usize,
    size: usize,
}

// SAFETY: the mappings belong to this value alone; positions are atomics.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring buffer `map` of `size` bytes (a power of two).
    pub fn map(map: RawFd, size: usize) -> Result<Ring> {
        // SAFETY: plain system calls; results are checked.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let fd = libc::fcntl(map, libc::F_DUPFD_CLOEXEC, 3);
            if fd < 0 {
                return Err(std::io::Error::last_os_error());
            }
            let fd = <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd);
            let at = |len, prot, off| {
                let p = libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, map, off);
                if p == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(p.cast::<u8>()) }
            };
            let consumer = at(page, libc::PROT_READ | libc::PROT_WRITE, 0)?;
            let producer = match at(page + 2 * size, libc::PROT_READ, page as i64) {
                Ok(p) => p,
                Err(e) => {
                    libc::munmap(consumer.cast(), page);
                    return Err(e);
                }
            };
            Ok(Ring { fd, consumer, producer, page, size })
        }
    }

    /// Hands every finished record that is there to `f`; returns how many there were.
    pub fn drain(&mut self, f: &mut dyn FnMut(&[u8])) -> usize {
        let mut n = 0;
        // SAFETY: both pages begin with a position; records lie within the data, which is mapped
        // twice so that one never wraps.
        unsafe {
            let consumer = &*self.consumer.cast::<AtomicU64>();
            let producer = &*self.producer.cast::<AtomicU64>();
            let data = self.producer.add(self.page);
            let mut at = consumer.load(Ordering::Relaxed);
            // What is there now, not what comes meanwhile: a busy node must not keep the caller here.
            let end = producer.load(Ordering::Acquire);
            while at < end {
                let record = data.add(at as usize & (self.size - 1));
                let len = (*record.cast::<AtomicU32>()).load(Ordering::Acquire);
                if len & BUSY != 0 {
                    break;
                }
                let bytes = (len & !DISCARD) as usize;
                if len & DISCARD == 0 {
                    f(std::slice::from_raw_parts(record.add(HEADER), bytes));
                    n += 1;
                }
                at += ((bytes + HEADER + 7) & !7) as u64;
                consumer.store(at, Ordering::Release);
            }
            n
        }
    }

    /// Nothing is waiting.
    pub fn is_empty(&self) -> bool {
        // SAFETY: as in `drain`.
        unsafe {
            let consumer = (*self.consumer.cast::<AtomicU64>()).load(Ordering::Relaxed);
            consumer >= (*self.producer.cast::<AtomicU64>()).load(Ordering::Acquire)
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with these lengths.
        unsafe {
            libc::munmap(self.consumer.cast(), self.page);
            libc::munmap(self.producer.cast(), self.page + 2 * self.size);
        }
    }
}
