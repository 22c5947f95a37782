#![forbid(unsafe_code)]
//! Checks what a variable can be named: what execve(2) cannot express, and what a shell cannot use.

/// Returns the reason if no variable can have this name, because execve(2) cannot express it.
pub(super) fn invalid_reason(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("the name is empty");
    }
    name.bytes().find_map(|byte| match byte {
        b'=' => Some("the name contains ="),
        0 => Some("the name contains a NUL byte"),
        b'\n' | b'\r' => Some("the name contains a line break"),
        _ => None,
    })
}

/// Returns whether a POSIX shell can use the variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub(super) fn is_portable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_names_follow_posix() {
        for (name, portable) in [
            ("A", true),
            ("_1", true),
            ("1A", false),
            ("a.b", false),
            ("ü", false),
            (" A", false),
        ] {
            assert_eq!(is_portable(name), portable, "{name}");
        }
    }
}
