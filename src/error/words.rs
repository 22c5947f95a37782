#![forbid(unsafe_code)]
//! Words from elsewhere, as they stand behind a colon.

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
