#![forbid(unsafe_code)]
//! Makes text from outside safe for terminals and logs.

/// A JSON object of strings on one line. Whatever a terminal would interpret is escaped as JSON does.
pub(crate) fn json_object(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, text)| format!("\"{name}\":{}", serde_json::Value::from(*text)))
        .collect();
    let mut out = String::new();
    for c in format!("{{{}}}", members.join(",")).chars() {
        match is_interpreted(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// The text with everything that a terminal or a log reader would interpret written as an escape.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_interpreted(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Whether the character is a control character, a line break, or changes the writing direction.
fn is_interpreted(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes the text and replaces whatever looks like a token or a bearer token: users type tokens
/// where a name or a command belongs, and servers repeat what they are sent.
pub(super) fn escape_and_mask(text: &str) -> String {
    /// The number of hex digits of a bearer token and of each field of a token.
    const KEY_DIGITS: usize = 64;
    /// The length of the start that all tokens share, which hints show.
    const PREFIX: usize = "pss_service:v2".len();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let (mask, masked_len) = match rest.strip_prefix("pss_") {
            Some(token) => {
                let is_field = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
                let fields = token.split(|c| !is_field(c)).next().unwrap_or_default();
                // A colon at the end belongs to the message.
                let len = "pss_".len() + fields.trim_end_matches(':').len();
                ("pss_…", if len > PREFIX { len } else { 0 })
            }
            None if digits >= KEY_DIGITS => ("…", digits),
            None => ("", 0),
        };
        let is_masked = masked_len > 0;
        let len = match is_masked {
            true => masked_len,
            false => digits.max(first.len_utf8()),
        };
        let (piece, after) = rest.split_at(len);
        out.push_str(if is_masked { mask } else { piece });
        rest = after;
    }
    escape(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escape() {
        assert_eq!(
            escape("a\u{1b}[31mb\n\u{9b}c\u{202e}d"),
            "a\\u{1b}[31mb\\n\\u{9b}c\\u{202e}d"
        );
        assert_eq!(escape("grüß 👋 \\"), "grüß 👋 \\");
    }

    #[test]
    fn tokens_are_masked() {
        let bearer = "0123456789abcdef".repeat(4);
        for (text, masked) in [
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
            assert_eq!(escape_and_mask(&text), masked);
        }
    }

    #[test]
    fn json_object_is_one_line() {
        let text = "a\"b\nc\u{9b}d\u{2028}e\u{202e}";
        let line = r#"{"message":"a\"b\nc\u009bd\u2028e\u202e"}"#;
        assert_eq!(json_object(&[("message", text)]), line);
    }
}
