//! How many enforcing actions a policy has taken within a minute.

use std::time::{Duration, Instant};

const MINUTE: usize = 60;

/// The last minute, second by second: at any moment, the sum covers the last 59 to 60 seconds.
#[derive(Clone, Debug)]
pub struct Window {
    max: u32,
    counts: [u32; MINUTE],
    /// Begin of the current second.
    second: Instant,
    /// Its place in `counts`.
    at: usize,
}

impl Window {
    /// A minute in which nothing was done, and at most `max` may be.
    pub fn new(max: u32, now: Instant) -> Window {
        Window { max, counts: [0; MINUTE], second: now, at: 0 }
    }

    /// How many may be taken.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// An action was taken. True: that was more than may be.
    pub fn add(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.second).as_secs();
        for _ in 0..seconds.min(MINUTE as u64) {
            self.at = (self.at + 1) % MINUTE;
            self.counts[self.at] = 0;
        }
        self.second += Duration::from_secs(seconds);
        self.counts[self.at] = self.counts[self.at].saturating_add(1);
        self.counts.iter().map(|n| u64::from(*n)).sum::<u64>() > u64::from(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_slides() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut w = Window::new(3, start);
        assert!(!w.add(at(0)) && !w.add(at(100)) && !w.add(at(30_000)));
        assert!(w.add(at(59_900)), "four within a minute");
        // The two of the first second are past.
        let mut w = Window::new(3, start);
        assert!(!w.add(at(0)) && !w.add(at(100)) && !w.add(at(30_000)) && !w.add(at(60_000)));
        assert!(!w.add(at(60_100)));
        assert!(w.add(at(60_200)));
        // After a long rest nothing counts.
        assert!(!w.add(at(600_000)));
        let mut none = Window::new(0, start);
        assert!(none.add(at(5)));
        // A clock that stands still or goes back harms nothing.
        assert!(none.add(at(0)));
    }
}
