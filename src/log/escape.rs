#![forbid(unsafe_code)]
//! Text from outside, made safe for a terminal and a log.

/// An object of strings on one line. What a terminal would obey is written in JSON's own escapes.
pub(crate) fn json(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, text)| format!("\"{name}\":{}", serde_json::Value::from(*text)))
        .collect();
    let mut out = String::new();
    for c in format!("{{{}}}", members.join(",")).chars() {
        match is_obeyed(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Makes text from outside safe on a terminal and in a log: what either would obey becomes visible.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_obeyed(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Control characters, line breaks, and what turns the direction of a line.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// [`escaped`], and what looks like a token or a bearer is cut off: somebody may have typed one
/// where a name or a command belongs, and a server may repeat what it was sent.
pub(super) fn masked(text: &str) -> String {
    /// A bearer and each field of a token have this many hex digits.
    const KEY: usize = 64;
    /// What is no longer is the beginning that all tokens share, as hints show it.
    const BEGINNING: usize = "pss_service:v2".len();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let (shown, secret) = match rest.strip_prefix("pss_") {
            Some(token) => {
                let field = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
                let fields = token.split(|c| !field(c)).next().unwrap_or_default();
                // The colon behind it is the message's.
                let length = "pss_".len() + fields.trim_end_matches(':').len();
                ("pss_…", if length > BEGINNING { length } else { 0 })
            }
            None if digits >= KEY => ("…", digits),
            None => ("", 0),
        };
        let taken = if secret > 0 {
            secret
        } else {
            digits.max(first.len_utf8())
        };
        let (piece, after) = rest.split_at(taken);
        out.push_str(if secret > 0 { shown } else { piece });
        rest = after;
    }
    escaped(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_becomes_visible() {
        assert_eq!(
            escaped("a\u{1b}[31mb\n\u{9b}c\u{202e}d"),
            "a\\u{1b}[31mb\\n\\u{9b}c\\u{202e}d"
        );
        assert_eq!(escaped("grüß 👋 \\"), "grüß 👋 \\");
    }

    #[test]
    fn a_token_is_cut_off() {
        let bearer = "0123456789abcdef".repeat(4);
        for (text, shown) in [
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
            assert_eq!(masked(&text), shown);
        }
    }

    #[test]
    fn a_line_of_json_is_one_line() {
        let text = "a\"b\nc\u{9b}d\u{2028}e\u{202e}";
        let line = r#"{"message":"a\"b\nc\u009bd\u2028e\u202e"}"#;
        assert_eq!(json(&[("message", text)]), line);
    }
}
