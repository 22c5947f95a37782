#![forbid(unsafe_code)]
//! When to poll and when to restart. The code is pure, because the simulation of a fleet in
//! `tests/fleet` uses it too.

use std::time::Duration;

/// The longest time between two polls after failures, in intervals.
const MAX_BACKOFF: u32 = 10;

/// The shortest lease that is renewed before it expires. A shorter one, or one that has expired when
/// it arrives, would only restart the command over and over.
const MIN_LEASE: Duration = Duration::from_secs(5);

/// The longest delay of a restart.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(30);

/// With a shorter interval, restarts are not delayed: it is only used for experiments.
const MIN_INTERVAL_FOR_DELAY: Duration = Duration::from_secs(5);

/// The time until the next poll, and the delay of a restart.
#[derive(Debug)]
pub(super) struct PollSchedule {
    interval: Duration,
    /// The time until the next poll, in intervals: 1 unless polls have failed.
    backoff: u32,
    /// The time until the next renewal of a lease that is too short, in intervals.
    renewal_backoff: u32,
}

impl PollSchedule {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            backoff: 1,
            renewal_backoff: 1,
        }
    }

    /// Ends the backoff.
    pub(super) fn record_success(&mut self) {
        self.backoff = 1;
    }

    /// Doubles the time until the next poll, up to ten intervals.
    pub(super) fn record_failure(&mut self) {
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }

    /// Returns the time until the next poll. `random_unit` varies it by up to a fifth, so that
    /// machines that were started together do not poll together.
    pub(super) fn time_to_poll(&self, random_unit: f64) -> Duration {
        self.varied(self.backoff, random_unit)
    }

    /// Returns the time after which a lease is renewed: two thirds of its duration, so that there is
    /// time to retry a failed renewal. For a lease shorter than [`MIN_LEASE`], it is as long as after
    /// failed polls: two intervals, and twice as long each time, up to ten.
    pub(super) fn renewal_time(&mut self, lease: Duration, random_unit: f64) -> Duration {
        if lease >= MIN_LEASE {
            self.renewal_backoff = 1;
            return scaled(lease, 2.0 / 3.0);
        }
        self.renewal_backoff = (self.renewal_backoff * 2).min(MAX_BACKOFF);
        self.varied(self.renewal_backoff, random_unit)
    }

    /// Returns the time until the command is restarted: a random part of the interval, at most 30
    /// seconds, so that a fleet does not restart all at once.
    pub(super) fn restart_delay(&self, random_unit: f64) -> Duration {
        match self.interval < MIN_INTERVAL_FOR_DELAY {
            true => Duration::ZERO,
            false => scaled(self.interval.min(MAX_RESTART_DELAY), random_unit),
        }
    }

    /// Returns so many intervals, varied by up to a fifth.
    fn varied(&self, intervals: u32, random_unit: f64) -> Duration {
        let factor = f64::from(intervals) * (0.8 + 0.4 * random_unit);
        scaled(self.interval, factor)
    }
}

/// Multiplies a duration. A result that is too long becomes the longest duration.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn time_to_poll_varies_by_a_fifth() {
        let schedule = PollSchedule::new(MINUTE);
        assert_eq!(schedule.time_to_poll(0.0), Duration::from_secs(48));
        assert_eq!(schedule.time_to_poll(0.5), MINUTE);
        assert!(schedule.time_to_poll(0.999) < Duration::from_secs(72));
        assert!(schedule.time_to_poll(0.999) > Duration::from_secs(71));
    }

    #[test]
    fn failures_double_time_to_poll_up_to_tenfold() {
        let mut schedule = PollSchedule::new(MINUTE);
        let mut minutes = Vec::new();
        for _ in 0..6 {
            schedule.record_failure();
            minutes.push(schedule.time_to_poll(0.5).as_secs() / 60);
        }
        assert_eq!(minutes, [2, 4, 8, 10, 10, 10]);
        schedule.record_success();
        assert_eq!(schedule.time_to_poll(0.5), MINUTE);
    }

    #[test]
    fn restart_delay_is_random_part_of_interval() {
        for (seconds, longest) in [
            (1.0, 0.0),
            (4.9, 0.0),
            (5.0, 5.0),
            (20.0, 20.0),
            (30.0, 30.0),
            (3600.0, 30.0),
        ] {
            let schedule = PollSchedule::new(Duration::from_secs_f64(seconds));
            assert_eq!(schedule.restart_delay(0.0), Duration::ZERO);
            assert_eq!(
                schedule.restart_delay(0.5),
                Duration::from_secs_f64(longest / 2.0),
                "{seconds}"
            );
        }
    }

    #[test]
    fn renewal_time_is_two_thirds_of_lease() {
        let mut schedule = PollSchedule::new(MINUTE);
        for (lease, renewal) in [(5.0, 10.0 / 3.0), (30.0, 20.0), (900.0, 600.0)] {
            let [lease, renewal] = [lease, renewal].map(Duration::from_secs_f64);
            assert_eq!(schedule.renewal_time(lease, 0.9), renewal);
        }
    }

    #[test]
    fn renewal_of_expired_lease_backs_off() {
        let mut schedule = PollSchedule::new(MINUTE);
        let mut minutes = |lease: u64| {
            let lease = Duration::from_secs(lease);
            schedule.renewal_time(lease, 0.5).as_secs() / 60
        };
        assert_eq!([0, 1, 4, 0, 0].map(&mut minutes), [2, 4, 8, 10, 10]);
        // A lease that can be used ends the backoff.
        assert_eq!([900, 0].map(minutes), [10, 2]);
    }

    #[test]
    fn time_to_poll_does_not_overflow() {
        let mut schedule = PollSchedule::new(Duration::MAX);
        schedule.record_failure();
        assert_eq!(schedule.time_to_poll(0.9), Duration::MAX);
    }
}
