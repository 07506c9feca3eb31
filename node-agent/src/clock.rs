//! Kernel times as times of day. Records carry the monotonic clock.

use tetragon_api::event::Timestamp;

/// The distance between the monotonic clock and the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Nanoseconds from the epoch to the zero of the monotonic clock.
    offset: i128,
    /// Nanoseconds by which the boot clock is ahead of the monotonic one (time asleep).
    asleep: u64,
}

impl Clock {
    /// Reads the clocks.
    pub fn now() -> Clock {
        let mono = read(libc::CLOCK_MONOTONIC);
        let wall = read(libc::CLOCK_REALTIME);
        let boot = read(libc::CLOCK_BOOTTIME);
        Clock { offset: i128::from(wall) - i128::from(mono), asleep: boot.saturating_sub(mono) }
    }

    /// A clock for tests.
    pub fn fixed(offset: u64) -> Clock {
        Clock { offset: offset.into(), asleep: 0 }
    }

    /// Follows changes of the time of day.
    pub fn refresh(&mut self) {
        *self = Clock::now();
    }

    /// The time of day of a monotonic time.
    pub fn timestamp(&self, ktime: u64) -> Timestamp {
        let ns = self.offset + i128::from(ktime);
        let second = 1_000_000_000;
        Timestamp {
            seconds: i64::try_from(ns.div_euclid(second)).unwrap_or(i64::MAX),
            nanos: i32::try_from(ns.rem_euclid(second)).unwrap_or(0),
        }
    }

    /// The monotonic time of a time since boot.
    pub fn from_boot(&self, boot: u64) -> u64 {
        boot.saturating_sub(self.asleep)
    }
}

/// Nanoseconds of the monotonic clock.
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill; the clocks asked for always exist.
    unsafe { libc::clock_gettime(clock, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        let clock = Clock::fixed(1_700_000_000_000_000_000);
        let time = clock.timestamp(1_500_000_007);
        assert_eq!((time.seconds, time.nanos), (1_700_000_001, 500_000_007));
        let before = Clock { offset: -1, asleep: 5 };
        assert_eq!((before.timestamp(0).seconds, before.timestamp(0).nanos), (-1, 999_999_999));
        assert_eq!((before.from_boot(7), before.from_boot(3)), (2, 0));
    }

    #[test]
    fn the_real_clocks_agree() {
        let clock = Clock::now();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let ours = clock.timestamp(monotonic());
        assert!((ours.seconds - i64::try_from(wall.as_secs()).unwrap()).abs() <= 2);
    }
}
