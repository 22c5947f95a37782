#![forbid(unsafe_code)]
//! Shell patterns for keys and variable names.

use crate::error::Error;

/// The most characters of a pattern.
const MAX_LENGTH: usize = 256;

/// A shell pattern of `*`, `?`, `[a-z]` and `[!a-z]`. It is case-sensitive.
#[derive(Debug)]
pub(crate) struct Pattern {
    glob: glob::Pattern,
    text: String,
    option: &'static str,
}

impl Pattern {
    /// Parses a pattern that was typed for `option`.
    ///
    /// # Errors
    /// `usage` if the pattern is malformed, or has a comma or a `=` outside of brackets: it was probably
    /// meant as several patterns or as a name with a value, and an option may accept that it matches
    /// nothing.
    pub(crate) fn parse(text: &str, option: &'static str) -> Result<Self, Error> {
        let invalid = |expected| Error::InvalidValue {
            option,
            value: text.to_owned(),
            expected,
        };
        if has_bare('=', text) {
            let (name, _) = text.split_once('=').unwrap_or((text, ""));
            return Err(Error::EqualsSignInPattern {
                option,
                name: name.to_owned(),
            });
        }
        if has_bare(',', text) {
            return Err(Error::CommaInPattern {
                option,
                value: text.to_owned(),
            });
        }
        // Matching takes up to as many steps as the product of both lengths, and names can have megabytes.
        if text.chars().count() > MAX_LENGTH {
            return Err(invalid("a pattern of at most 256 characters"));
        }
        // The glob crate treats these as literals; a shell does not.
        if text.contains("[:") || text.contains('\\') {
            return Err(invalid(
                "a shell pattern without named classes or backslashes",
            ));
        }
        // The glob crate treats `**` as a directory wildcard; a shell treats it like `*`.
        let mut single = text.to_owned();
        while single.contains("**") {
            single = single.replace("**", "*");
        }
        let glob = glob::Pattern::new(&single)
            .map_err(|_| invalid("a shell pattern ([ requires a closing ])"))?;
        Ok(Self {
            glob,
            text: text.to_owned(),
            option,
        })
    }

    /// Returns whether the whole name matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.glob.matches(name)
    }

    /// Returns the pattern as it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the option that the pattern was typed for.
    pub(crate) fn option(&self) -> &'static str {
        self.option
    }

    /// Returns whether the pattern matches only its own text.
    pub(super) fn is_literal(&self) -> bool {
        !self.text.contains(['*', '?', '['])
    }
}

/// Returns whether there is such a character outside of brackets.
fn has_bare(character: char, pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('[') {
        if before.contains(character) {
            return true;
        }
        // A bracket directly after the opening one, or after its `!`, does not close it.
        let set = after.strip_prefix('!').unwrap_or(after);
        let set = set.strip_prefix(']').unwrap_or(set);
        rest = set.split_once(']').map_or("", |(_, rest)| rest);
    }
    rest.contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_like_a_shell() {
        for (pattern, name, matches) in [
            ("DB_*", "DB_URL", true),
            ("DB_*", "db_url", false),
            ("*", "", true),
            ("**", "A/B", true),
            ("A**Z", "ABZ", true),
            ("?", "ü", true),
            ("?", "AB", false),
            ("[A-C]X", "BX", true),
            ("[!A]X", "AX", false),
            ("A.B", "AxB", false),
            ("*", ".A", true),
            ("A*B", "A/x/B", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern, "--only").unwrap().matches(name),
                matches,
                "{pattern} {name}"
            );
        }
        for in_brackets in ["A[,]B", "A[!,]B", "A[],]", "[,-z]", "A[=]B"] {
            assert!(
                Pattern::parse(in_brackets, "--only").is_ok(),
                "{in_brackets}"
            );
        }
        for malformed in [
            "A,B",
            ",",
            "[A],B",
            "A,[B]",
            "[]],",
            "A=B",
            "A[=]=",
            "A[",
            "[[:lower:]]*",
            "A\\*B",
        ] {
            assert!(Pattern::parse(malformed, "--only").is_err(), "{malformed}");
        }
    }
}
