//! The numbers in the tables.

use std::collections::BTreeMap;
use std::time::Duration;

/// The times at which 50 %, 99 % and all of `count` machines got there, in seconds:
/// `0.1 / 0.2 / never`.
pub(crate) fn percentiles(times: &[Duration], count: usize) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |percent: usize| {
        let rank = (count * percent).div_ceil(100).max(1);
        let time = times.get(rank - 1);
        time.map_or("never".to_owned(), |time| {
            format!("{:.1}", time.as_secs_f64())
        })
    };
    [at(50), at(99), at(100)].join(" / ")
}

/// The most of these times that fall into one second of the clock.
pub(crate) fn peak_per_second<'t>(times: impl IntoIterator<Item = &'t Duration>) -> usize {
    let mut seconds = BTreeMap::new();
    for time in times {
        *seconds.entry(time.as_secs()).or_insert(0) += 1;
    }
    seconds.into_values().max().unwrap_or(0)
}

pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(part) / number(whole).max(1.0)
}
