#![forbid(unsafe_code)]
//! Whether a request is tried again, and when: exponential backoff with full jitter. Pure, so that
//! a simulation of a fleet runs the same code; its figures are why the constants are what they are.

use std::time::Duration;

/// The longest wait before the second try; each further one may be twice as long.
pub(crate) const FIRST: Duration = Duration::from_millis(500);

/// No wait is longer, but for what the server asks for.
pub(crate) const LONGEST: Duration = Duration::from_secs(8);

/// What may be another's fault for a moment: an answer of these is asked for again.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long to wait after this many tries have failed, `elapsed` after the first one began; none when
/// it is time to give up. `floor` is what the server asked for (RFC 9110 §10.2.3), and waiting less
/// would be of no use; `chance` is from 0 to 1.
pub(crate) fn wait(
    tries: u32,
    elapsed: Duration,
    max_wait: Duration,
    floor: Option<Duration>,
    random_unit: f64,
) -> Option<Duration> {
    let left = max_wait.checked_sub(elapsed)?;
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1));
    let longest = FIRST
        .saturating_mul(doubled.unwrap_or(u32::MAX))
        .min(LONGEST);
    match floor {
        // All that were refused together are told the same, and must not come back together.
        Some(floor) if !floor.is_zero() => {
            let room = left.checked_sub(floor).filter(|room| !room.is_zero())?;
            Some(floor + longest.max(floor / 2).min(room).mul_f64(random_unit))
        }
        // All the time that there is gets used, and the last of it is not spent in a hurry.
        _ => (left > FIRST).then(|| longest.min(left).mul_f64(random_unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_A_MINUTE: Duration = Duration::from_secs(30);

    fn millis(tries: u32, floor: Option<u64>, random_unit: f64) -> Option<u128> {
        let floor = floor.map(Duration::from_secs);
        let wait = wait(tries, Duration::ZERO, HALF_A_MINUTE, floor, random_unit);
        wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_drawn_in_full() {
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
    fn what_the_server_asks_for_comes_first_and_is_not_shortened() {
        assert_eq!(millis(1, Some(3), 0.0), Some(3000));
        assert_eq!(millis(1, Some(3), 0.5), Some(3750));
        assert_eq!(millis(5, Some(3), 0.5), Some(7000));
        assert_eq!(millis(1, Some(16), 0.5), Some(20_000));
        assert_eq!(millis(1, Some(0), 0.5), Some(250));
        // What is left bounds what is added, not what was asked for.
        assert_eq!(millis(1, Some(29), 0.0), Some(29_000));
        assert_eq!(millis(1, Some(29), 0.5), Some(29_500));
        for beyond in [30, 31, 3600, u64::MAX] {
            assert_eq!(millis(1, Some(beyond), 0.0), None, "{beyond}");
        }
    }

    #[test]
    fn nothing_is_waited_for_beyond_the_end() {
        let at = |elapsed, max_wait| {
            let [elapsed, max_wait] = [elapsed, max_wait].map(Duration::from_secs_f64);
            // To be asked for no wait is to be asked for none.
            let [wait, alike] =
                [None, Some(Duration::ZERO)].map(|floor| wait(9, elapsed, max_wait, floor, 1.0));
            assert_eq!(wait, alike, "{elapsed:?} {max_wait:?}");
            wait.map(|wait| wait.as_secs_f64())
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
    fn these_statuses_may_pass_and_no_other() {
        let passing: Vec<u16> = (100..600).filter(|status| is_transient(*status)).collect();
        assert_eq!(passing, [408, 429, 500, 502, 503, 504]);
    }
}
