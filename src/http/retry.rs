#![forbid(unsafe_code)]
//! Decides whether a request is tried again and when: exponential backoff with full jitter.
//!
//! These functions are pure, so that the simulation in `tests/fleet` runs the same code. The
//! constants come from its figures.

use std::time::Duration;

/// The upper bound of the first delay. Each further one has twice the bound of the one before.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The upper bound of every delay, unless the server asks for a longer one.
const MAX_DELAY: Duration = Duration::from_secs(8);

/// Whether a status means a transient failure. With 520 to 524, Cloudflare says that it has no complete
/// response from the server behind it.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504 | 520..=524)
}

/// Returns the delay before the next try, or `None` if it is time to give up.
///
/// `tries` have failed, the first of which began `elapsed` ago. `min_delay` is what the server asked
/// for (RFC 9110, section 10.2.3). `random_unit` is a random number from 0 to 1.
pub(crate) fn delay(
    tries: u32,
    elapsed: Duration,
    max_wait: Duration,
    min_delay: Option<Duration>,
    random_unit: f64,
) -> Option<Duration> {
    let left = max_wait.checked_sub(elapsed)?;
    let factor = 1_u32.checked_shl(tries.saturating_sub(1));
    let bound = FIRST_DELAY
        .saturating_mul(factor.unwrap_or(u32::MAX))
        .min(MAX_DELAY);
    match min_delay {
        // The server asks all clients that it refused for the same delay, so jitter on top of it spreads
        // them.
        Some(min_delay) if !min_delay.is_zero() => {
            let max_jitter = left.checked_sub(min_delay).filter(|rest| !rest.is_zero())?;
            let jitter = bound.max(min_delay / 2).min(max_jitter);
            Some(min_delay + jitter.mul_f64(random_unit))
        }
        // The delay may use all the time that is left, unless that is too little for another try.
        _ => (left > FIRST_DELAY).then(|| bound.min(left).mul_f64(random_unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_WAIT: Duration = Duration::from_secs(30);

    fn millis(tries: u32, min_delay: Option<u64>, random_unit: f64) -> Option<u128> {
        let min_delay = min_delay.map(Duration::from_secs);
        let delay = delay(tries, Duration::ZERO, MAX_WAIT, min_delay, random_unit);
        delay.map(|delay| delay.as_millis())
    }

    #[test]
    fn delays_double_up_to_a_bound_with_full_jitter() {
        for (tries, longest) in [
            (1, 500),
            (2, 1000),
            (3, 2000),
            (4, 4000),
            (5, 8000),
            (6, 8000),
            (99, 8000),
        ] {
            assert_eq!(millis(tries, None, 0.0), Some(0), "{tries}");
            assert_eq!(millis(tries, None, 0.5), Some(longest / 2), "{tries}");
            assert_eq!(millis(tries, None, 1.0), Some(longest), "{tries}");
        }
    }

    #[test]
    fn retry_after_is_a_lower_bound() {
        assert_eq!(millis(1, Some(3), 0.0), Some(3000));
        assert_eq!(millis(1, Some(3), 0.5), Some(3750));
        assert_eq!(millis(5, Some(3), 0.5), Some(7000));
        assert_eq!(millis(1, Some(16), 0.5), Some(20_000));
        assert_eq!(millis(1, Some(0), 0.5), Some(250));
        // The time left bounds the jitter, not the delay that the server asked for.
        assert_eq!(millis(1, Some(29), 0.0), Some(29_000));
        assert_eq!(millis(1, Some(29), 0.5), Some(29_500));
        for too_long in [30, 31, 3600, u64::MAX] {
            assert_eq!(millis(1, Some(too_long), 0.0), None, "{too_long}");
        }
    }

    #[test]
    fn delays_end_with_max_wait() {
        let at = |elapsed, max_wait| {
            let [elapsed, max_wait] = [elapsed, max_wait].map(Duration::from_secs_f64);
            // A `Retry-After` of zero seconds is the same as none.
            let [without, with_zero] = [None, Some(Duration::ZERO)]
                .map(|min_delay| delay(9, elapsed, max_wait, min_delay, 1.0));
            assert_eq!(without, with_zero, "{elapsed:?} {max_wait:?}");
            without.map(|delay| delay.as_secs_f64())
        };
        for (elapsed, max_wait, longest) in [
            (0.0, 0.0, None),
            (1.0, 0.0, None),
            (0.0, 0.5, None),
            (0.0, 4.0, Some(4.0)),
            (0.0, 30.0, Some(8.0)),
            (25.0, 30.0, Some(5.0)),
            (29.5, 30.0, None),
            (30.0, 30.0, None),
            (99.0, 30.0, None),
        ] {
            assert_eq!(at(elapsed, max_wait), longest, "{elapsed} {max_wait}");
        }
    }

    #[test]
    fn only_these_statuses_are_transient() {
        let transient: Vec<u16> = (100..600).filter(|status| is_transient(*status)).collect();
        assert_eq!(
            transient,
            [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524]
        );
    }
}
