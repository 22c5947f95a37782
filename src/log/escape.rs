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
                true => c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .try_for_each(|unit| write!(out, "\\u{unit:04x}")),
                false => out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes()),
            })
    }
}

/// The text with control characters, line breaks and invisible characters written as escapes.
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

/// Whether the character is a control character, a line break, or a format character, such as one that
/// changes the writing direction, or is invisible.
fn is_unsafe_to_print(c: char) -> bool {
    /// Unicode's categories Cf, Zl and Zp, and the code points with the property
    /// `Default_Ignorable_Code_Point`, as of Unicode 16.
    const FORMAT_OR_IGNORABLE: [(u32, u32); 25] = [
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x115f, 0x1160),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0x3164, 0x3164),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe0fff),
    ];
    let is_in = |(first, last): &(u32, u32)| (*first..=*last).contains(&u32::from(c));
    c.is_control() || FORMAT_OR_IGNORABLE.iter().any(is_in)
}

/// Redacts everything in the text that looks like a token or a bearer token: users type tokens where a
/// name or a command belongs, and servers repeat what they are sent.
pub(crate) fn redact(text: &str) -> String {
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
    out
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
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{2060}',
            '\u{2066}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0041}',
        ] {
            assert_eq!(escape(&c.to_string()), c.escape_unicode().to_string());
        }
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
            assert_eq!(redact(&text), redacted);
        }
    }

    #[test]
    fn json_object_is_one_line() {
        let text = "a\"b\\\nc\u{9b}d\u{2028}e\u{202e}\0\u{1f}\u{7f} \u{85}\u{e0041}ä👋\u{fffd}/";
        let line = r#"{"message":"a\"b\\\nc\u009bd\u2028e\u202e\u0000\u001f\u007f \u0085\udb40\udc41ä👋�/","a":""}"#;
        assert_eq!(json_object(&[("message", text), ("a", "")]), line);
    }
}
