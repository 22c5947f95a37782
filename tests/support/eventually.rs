//! For what no descriptor announces, such as a state in /proc.

use std::fmt::Debug;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// Longer than anything takes on a loaded machine, shorter than anybody's patience.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The first success of `attempt`, which otherwise says what it saw instead.
pub(crate) fn eventually<T, Seen: Debug>(
    what: &str,
    mut attempt: impl FnMut() -> Result<T, Seen>,
) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > DEADLINE => {
                panic!("{what}: not within {DEADLINE:?}; last seen: {seen:?}")
            }
            Err(_) => park_timeout(Duration::from_millis(2)),
        }
    }
}
