#![forbid(unsafe_code)]
//! Words from elsewhere, as they stand behind a colon.

use std::time::Duration;

/// The system's own words for an error, as they stand after a colon: `no such file or directory`.
pub(crate) fn os_error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    lowercase_first(text.split(" (os error").next().unwrap_or_default())
}

/// Words from elsewhere, as they stand after a colon.
pub(crate) fn lowercase_first(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        Some(first) if !words.starts_with("I/O") => first.to_lowercase().chain(letters).collect(),
        _ => words.to_owned(),
    }
}

/// The same for a bare errno(3).
pub(crate) fn errno_text(errno: nix::errno::Errno) -> String {
    os_error_text(&errno.into())
}

/// As somebody would say it, the two largest units: `3 h 12 min`.
pub(crate) fn humanize(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_largest_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3599, "59 min 59 s"),
            (11_529, "3 h 12 min"),
            (86_399, "23 h 59 min"),
            (90_000, "1 d 1 h"),
            (u64::MAX, "213503982334601 d 7 h"),
        ] {
            assert_eq!(humanize(Duration::from_secs(seconds)), words);
        }
    }
}
