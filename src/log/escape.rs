#![forbid(unsafe_code)]
//! Makes text from outside safe for terminals and logs.

use std::io::{self, Write};

use serde::Serializer;
use serde_json::ser::Formatter;

/// A JSON object of strings on one line, in this order. Control characters are written as JSON escapes.
#[expect(clippy::expect_used, reason = "strings are written to memory as UTF-8")]
pub(crate) fn json_object(members: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, PrintableFormatter);
    let written = serializer.collect_map(members.iter().copied());
    written.ok().expect("a Vec takes every byte");
    String::from_utf8(out).ok().expect("JSON is UTF-8")
}

/// Writes compact JSON, and escapes more characters than JSON requires: those that are unsafe to print.
struct PrintableFormatter;

impl Formatter for PrintableFormatter {
    /// Writes a part of a string that JSON does not require to be escaped.
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        fragment
            .chars()
            .try_for_each(|c| match is_unsafe_to_print(c) {
                // All of them have four digits.
                true => write!(out, "\\u{:04x}", u32::from(c)),
                false => out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes()),
            })
    }
}

/// The text with control characters, line breaks and changes of direction written as escapes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unsafe_to_print(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Whether the character is a control character, a line break, or changes the writing direction.
fn is_unsafe_to_print(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes the text and redacts everything that looks like a token or a bearer token: users type tokens
/// where a name or a command belongs, and servers repeat what they are sent.
pub(super) fn escape_and_redact(text: &str) -> String {
    /// The number of hex digits of a bearer token and of each field of a token.
    const KEY_DIGITS: usize = 64;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hex_len = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let (redacted, len) = match token_len(rest) {
            Some(token_len) => (Some("pss_…"), token_len),
            None if hex_len >= KEY_DIGITS => (Some("…"), hex_len),
            None => (None, hex_len.max(first.len_utf8())),
        };
        let (piece, after) = rest.split_at(len);
        out.push_str(redacted.unwrap_or(piece));
        rest = after;
    }
    escape(&out)
}

/// The length of the token that the text starts with, if it starts with one.
fn token_len(text: &str) -> Option<usize> {
    /// The length of the longest prefix of a token that hints show.
    const PREFIX_LEN: usize = "pss_service:v2".len();
    let is_field = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
    let fields = text.strip_prefix("pss_")?.split(|c| !is_field(c)).next()?;
    // A colon at the end belongs to the message.
    let len = "pss_".len() + fields.trim_end_matches(':').len();
    (len > PREFIX_LEN).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            escape("a\u{1b}[31mb\n\u{9b}c\u{202e}d\u{61c}"),
            "a\\u{1b}[31mb\\n\\u{9b}c\\u{202e}d\\u{61c}"
        );
        assert_eq!(escape("grüß 👋 \\"), "grüß 👋 \\");
    }

    #[test]
    fn tokens_are_redacted() {
        let bearer = "0123456789abcdef".repeat(4);
        for (text, redacted) in [
            (
                "cannot run pss_service:v2:00aa:11 x".to_owned(),
                "cannot run pss_… x",
            ),
            (format!("User {bearer}, 1234 beef"), "User …, 1234 beef"),
            (
                "no token: pss_user:v1:0123: why".to_owned(),
                "no token: pss_…: why",
            ),
            (
                "neither pss_service:v2:… nor pss_".to_owned(),
                "neither pss_service:v2:… nor pss_",
            ),
            ("grüß 👋 pss".to_owned(), "grüß 👋 pss"),
        ] {
            assert_eq!(escape_and_redact(&text), redacted);
        }
    }

    #[test]
    fn json_object_is_one_line() {
        let text = "a\"b\\\nc\u{9b}d\u{2028}e\u{202e}\0\u{1f}\u{7f} \u{85}ä👋\u{fffd}/";
        let line =
            r#"{"message":"a\"b\\\nc\u009bd\u2028e\u202e\u0000\u001f\u007f \u0085ä👋�/","a":""}"#;
        assert_eq!(json_object(&[("message", text), ("a", "")]), line);
    }
}
