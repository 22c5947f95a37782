#![forbid(unsafe_code)]
//! Helpers for the texts of errors and events.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::{IgnoredProject, MisplacedWord, SetBy, Setting};

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

/// The hint for a setting that failed, if a variable has set it and the value has what an env file leaves
/// in it: quotation marks around it, which Docker keeps, or the end of a line.
pub(crate) fn env_file_hint(set_by: &SetBy, value: impl AsRef<OsStr>) -> Option<String> {
    let SetBy::Variable(name) = set_by else {
        return None;
    };
    match value.as_ref().as_bytes() {
        [.., b'\r'] | [.., b'\r', b'\n'] => Some(format!(
            "change the file that sets {name} to Unix line endings: the value ends with a carriage return"
        )),
        [.., b'\n'] => Some(format!("remove the line break at the end of {name}")),
        // With more of them in between, they are part of a shell command.
        [first @ (b'"' | b'\''), inner @ .., last] if first == last && !inner.contains(first) => {
            Some(quotation_marks_hint(name))
        }
        _ => None,
    }
}

fn quotation_marks_hint(name: &str) -> String {
    format!("remove the quotation marks where {name} is set: an env file of Docker keeps them")
}

/// The same hint for one of the folders in `PHASE_PATH`. Quotation marks around all of them are at one end
/// of the first and of the last.
fn env_file_hint_for_folder(folder: &str) -> Option<String> {
    const NAME: &str = "PHASE_PATH";
    let quotation_marks = ['"', '\''];
    let is_at_an_end = folder.starts_with(quotation_marks) || folder.ends_with(quotation_marks);
    env_file_hint(&SetBy::Variable(NAME), folder)
        .or_else(|| is_at_an_end.then(|| quotation_marks_hint(NAME)))
}

/// The hint for a token that cannot be read from its file.
pub(super) fn unreadable_token_hint(from: &str) -> Option<String> {
    match from {
        "standard input" => None,
        descriptor if descriptor.starts_with("descriptor ") || descriptor.starts_with("fd:") => {
            Some(
                "give phase-run an open descriptor, such as 3<FILE in a shell"
                    .to_owned(),
            )
        }
        path if path.starts_with('~') => {
            Some("use the whole path: only a shell replaces ~ by your home directory".to_owned())
        }
        _ => Some(
            "pass --token-file with a file that this user may read, or set PHASE_SERVICE_TOKEN_FILE"
                .to_owned(),
        ),
    }
}

/// The hint for a command that no folder of PATH has.
pub(super) fn missing_command_hint(command: &str) -> String {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match command.split_once('=') {
        Some((name, _)) if is_name(name) => {
            return format!("set it with env: env {command} COMMAND");
        }
        _ => {}
    }
    match command {
        "run" => MisplacedWord::Run.hint().to_owned(),
        "help" => MisplacedWord::Help.hint().to_owned(),
        option if option.starts_with('-') && !option.trim_matches('-').is_empty() => format!(
            "put options of phase-run before the -- and the command; for an image: docker run --entrypoint /phase-run IMAGE {option}"
        ),
        _ => "check the name and PATH; an alias or a function of your shell is not a program"
            .to_owned(),
    }
}

/// The end of a message that lists what a filter could name; empty if that is unknown.
pub(super) fn existing_names(option: &str, existing: &[String]) -> String {
    let what = match option {
        "--tags" => "tags",
        "--only" | "--file" => return String::new(),
        _ => "folders",
    };
    match existing {
        [] => String::new(),
        names => format!("; its {what} are {}", list(names.iter(), ", ")),
    }
}

/// The hint for a filter that matches nothing: the name that was probably meant, or how to list what
/// exists.
pub(super) fn nearest_name_hint(option: &str, value: &str, existing: &[String]) -> String {
    /// The most names that the value is compared with. Each comparison is quadratic in their lengths.
    const MAX_COMPARED: usize = 1000;
    if option == "PHASE_PATH"
        && let Some(hint) = env_file_hint_for_folder(value)
    {
        return hint;
    }
    let max_distance = value.len() / 3;
    let length = value.chars().count();
    let distance =
        |name: &String| strsim::osa_distance(&value.to_lowercase(), &name.to_lowercase());
    let nearest = existing
        .iter()
        .filter(|name| name.chars().count().abs_diff(length) <= max_distance)
        .take(MAX_COMPARED)
        .min_by_key(|name| (distance(name), strsim::osa_distance(value, name)));
    match nearest.filter(|name| distance(name) <= max_distance) {
        Some(name) if option == "PHASE_PATH" => format!("use {name} in PHASE_PATH"),
        Some(name) => format!("use {option} {}", shell_quoted(name)),
        None if existing.is_empty() || existing_names(option, existing).is_empty() => {
            "run with --dry-run without this filter to see what exists, or pass --allow-empty"
                .to_owned()
        }
        None => "use one of these, or pass --allow-empty".to_owned(),
    }
}

/// The hint for a key in several folders: the folders that keep everything and rank one of the key's
/// folders first.
pub(super) fn ranking_hint(key: &str, folders: &[String], paths: &Setting<Vec<String>>) -> String {
    let named = folders.iter().find(|folder| paths.value.contains(folder));
    let preferred = named.or(folders.first()).map_or("", String::as_str);
    let mut order: Vec<&str> = paths.value.iter().map(String::as_str).collect();
    order.retain(|path| *path != preferred);
    if order.is_empty() {
        order.push("");
    }
    order.push(preferred);
    let line = match paths.set_by {
        SetBy::Option(option) => {
            let words = order
                .iter()
                .map(|path| format!("{option} {}", shell_quoted(path)));
            format!("pass {}", words.collect::<Vec<_>>().join(" "))
        }
        _ => {
            let words = order
                .iter()
                .map(|path| if path.is_empty() { "/**" } else { path });
            format!(
                "set {}={}",
                paths.set_by,
                words.collect::<Vec<_>>().join(":")
            )
        }
    };
    match paths.value.is_empty() {
        true => format!("{line} to prefer {preferred}, or --except {key} to leave it out"),
        false => format!(
            "put {preferred} last, because the last folder that matches wins: {line}; or leave {key} out with --except"
        ),
    }
}

/// The word as it can be typed in a shell.
fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
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
    fn nearest_name_is_found_without_quadratic_work() {
        let tail = "x".repeat(3000);
        let backend = format!("/backend{tail}");
        // Comparing the value with such a name would take minutes.
        let mut names = vec!["x".repeat(1 << 24); 4];
        names.push(backend.clone());
        let hint = nearest_name_hint("--path", &format!("/bakend{tail}"), &names);
        assert_eq!(hint, format!("use --path {backend}"));
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
