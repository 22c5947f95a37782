#![forbid(unsafe_code)]
//! When a watch polls, and when it restarts: pure, so that a simulation of a fleet runs the same
//! code.

use std::time::Duration;

/// Failures make polls rarer, up to this many intervals.
const RAREST: u32 = 10;

/// The longest that a restart is put off.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A shorter interval is somebody who looks at it: nothing is put off.
const FLEETS: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct PollSchedule {
    interval: Duration,
    /// How many intervals the next poll is away.
    intervals: u32,
}

impl PollSchedule {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            intervals: 1,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.intervals = 1;
    }

    pub(super) fn failed(&mut self) {
        self.intervals = (self.intervals * 2).min(RAREST);
    }

    /// Until the next poll, up to a fifth more or less: machines that started together must not ask
    /// together.
    pub(super) fn wait(&self, random_unit: f64) -> Duration {
        scaled(
            self.interval,
            f64::from(self.intervals) * (0.8 + 0.4 * random_unit),
        )
    }

    /// Until the command is restarted: a fleet must not go down in one second.
    pub(super) fn delay(&self, random_unit: f64) -> Duration {
        match self.interval < FLEETS {
            true => Duration::ZERO,
            false => scaled(self.interval.min(LONGEST_DELAY), random_unit),
        }
    }
}

/// How long after it was taken a lease is due to be replaced: there must be time left to fail and to
/// try again.
pub(super) fn old(lease: Duration) -> Duration {
    scaled(lease, 2.0 / 3.0).max(Duration::from_secs(1))
}

/// Whatever is too long to be told is for ever.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_wait_is_shifted_by_up_to_a_fifth() {
        let pace = PollSchedule::new(MINUTE);
        assert_eq!(pace.wait(0.0), Duration::from_secs(48));
        assert_eq!(pace.wait(0.5), MINUTE);
        assert!(pace.wait(0.999) < Duration::from_secs(72));
        assert!(pace.wait(0.999) > Duration::from_secs(71));
    }

    #[test]
    fn failures_double_it_up_to_tenfold_and_a_success_ends_that() {
        let mut pace = PollSchedule::new(MINUTE);
        let mut minutes = Vec::new();
        for _ in 0..6 {
            pace.failed();
            minutes.push(pace.wait(0.5).as_secs() / 60);
        }
        assert_eq!(minutes, [2, 4, 8, 10, 10, 10]);
        pace.succeeded();
        assert_eq!(pace.wait(0.5), MINUTE);
    }

    #[test]
    fn a_restart_is_put_off_by_a_random_part_of_the_interval_or_of_half_a_minute() {
        for (seconds, longest) in [
            (1.0, 0.0),
            (4.9, 0.0),
            (5.0, 5.0),
            (20.0, 20.0),
            (30.0, 30.0),
            (3600.0, 30.0),
        ] {
            let pace = PollSchedule::new(Duration::from_secs_f64(seconds));
            assert_eq!(pace.delay(0.0), Duration::ZERO);
            assert_eq!(
                pace.delay(0.5),
                Duration::from_secs_f64(longest / 2.0),
                "{seconds}"
            );
        }
    }

    #[test]
    fn a_lease_is_old_when_two_thirds_are_over() {
        assert_eq!(old(Duration::from_secs(900)), Duration::from_secs(600));
        assert_eq!(old(Duration::ZERO), Duration::from_secs(1));
    }

    #[test]
    fn what_is_too_long_is_for_ever() {
        let mut pace = PollSchedule::new(Duration::MAX);
        pace.failed();
        assert_eq!(pace.wait(0.9), Duration::MAX);
    }
}
