#![forbid(unsafe_code)]
//! Helpers for the texts of errors and events.

use std::time::Duration;

use super::IgnoredProject;

/// The system's text for an error in the form used after a colon, such as `no such file or directory`.
pub(crate) fn os_error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let without_number = text.split_once(" (os error").map(|(text, _)| text);
    lowercase_first(without_number.unwrap_or(&text))
}

/// The system's text for an errno(3) in the form used after a colon.
pub(crate) fn errno_text(errno: nix::errno::Errno) -> String {
    os_error_text(&errno.into())
}

/// The text with its first letter in lower case, unless that belongs to the abbreviation `I/O`.
pub(crate) fn lowercase_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text.starts_with("I/O") => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

/// The end of a message about an allocation that failed. Rust's own handling would abort the process without a
/// message.
pub(crate) const NO_MEMORY: &str = "there is not enough memory for it";

/// A duration in its two largest units, such as `3 h 12 min`.
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

/// A duration in seconds: to the hundredth, and below a second with two digits, but at least a
/// thousandth. What is left of a limit has many digits.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().max(0.001);
    let digits = if seconds < 0.1 { 3 } else { 2 };
    let text = format!("{seconds:.digits$}");
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns the first `count` characters of a text, or all of it if it is shorter.
pub(crate) fn first_chars(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map(|(at, _)| at);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// How many names a message lists, and how many characters of them.
pub(crate) const MAX_LISTED: usize = 100;
const MAX_LISTED_CHARS: usize = 5000;

/// Lists names with `separator` between two. If there are too many, the others are only counted, as in
/// `A, B and 1,234 more`. A name that is too long is cut, as in `A …`.
pub(crate) fn list<Name: AsRef<str>>(
    names: impl ExactSizeIterator<Item = Name>,
    separator: &str,
) -> String {
    let count = names.len();
    let mut text = String::new();
    for (listed, name) in names.enumerate() {
        let name = name.as_ref();
        if listed > 0 && (listed == MAX_LISTED || text.len() + name.len() > MAX_LISTED_CHARS) {
            text.push_str(&format!(" and {} more", with_commas(count - listed)));
            return text;
        }
        if listed > 0 {
            text.push_str(separator);
        }
        let start = first_chars(name, MAX_LISTED_CHARS);
        text.push_str(start);
        if start.len() < name.len() {
            text.push_str(" …");
        }
    }
    text
}

/// A number with a comma after each three digits, such as `1,234`.
fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The end of a message that lists what the token can read; empty if that is unknown.
pub(super) fn readable_names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; this token can read {}", list(names.iter(), ", ")),
    }
}

/// Says that a `.phase.json` does not count, and why; empty if there is none.
pub(super) fn ignored_project_note(ignored_project: &Option<IgnoredProject>) -> String {
    ignored_project.as_ref().map_or(String::new(), |ignored| {
        format!(" ({} {})", ignored.path.display(), ignored.why)
    })
}

/// Lists keys with the sizes of their values.
pub(super) fn sizes(largest: &[(String, usize)]) -> String {
    let sizes: Vec<String> = largest
        .iter()
        .map(|(key, bytes)| format!("{key} ({bytes} bytes)"))
        .collect();
    sizes.join(", ")
}

/// The value, quoted if its start or end would be unclear in a sentence.
pub(super) fn quoted_if_unclear(value: &str) -> String {
    match value.trim() != value || value.is_empty() || value.ends_with(':') {
        true => format!("\"{value}\""),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_and_never_zero() {
        for (seconds_of_limit, text) in [
            (30.0, "30 s"),
            (29.999_9, "30 s"),
            (100.0, "100 s"),
            (2.483_9, "2.48 s"),
            (0.5, "0.5 s"),
            (0.123_4, "0.12 s"),
            (0.099_99, "0.1 s"),
            (0.012_34, "0.012 s"),
            (0.003_7, "0.004 s"),
            (0.001, "0.001 s"),
            (0.000_001, "0.001 s"),
            (0.0, "0.001 s"),
        ] {
            assert_eq!(seconds(Duration::from_secs_f64(seconds_of_limit)), text);
        }
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let names = |count: usize| (0..count).map(|number| number.to_string());
        let listed = |count: usize| list(names(count).collect::<Vec<_>>().iter(), ", ");
        assert_eq!(listed(0), "");
        assert_eq!(listed(1), "0");
        assert_eq!(listed(3), "0, 1, 2");
        assert!(listed(100).ends_with(", 98, 99"));
        assert!(listed(101).ends_with(", 98, 99 and 1 more"));
        assert!(listed(900_000).ends_with(", 98, 99 and 899,900 more"));
        let long = "x".repeat(4990);
        assert_eq!(
            list([long.as_str(), "short", "too long"].iter(), " and "),
            format!("{long} and short and 1 more")
        );
    }

    #[test]
    fn humanize_shows_the_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3599, "59 min 59 s"),
            (11_529, "3 h 12 min"),
            (86_399, "23 h 59 min"),
            (90_000, "1 d 1 h"),
            (u64::MAX, "213503982334601 d 7 h"),
        ] {
            assert_eq!(humanize(Duration::from_secs(seconds)), expected);
        }
    }
}
