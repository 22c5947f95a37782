#![forbid(unsafe_code)]
//! A server or a gateway may repeat what it was sent: what `--header-file` holds is cut off, as a
//! token is.

use reqwest::header::{HeaderMap, HeaderValue};

/// In bytes. What is shorter keeps no gateway closed, and stands in any text.
const SHORTEST: usize = 8;

/// The text without a header's whole value, and without its words: of `Basic …` a server may repeat
/// the second alone, of a cookie what is behind its name.
pub(super) fn cut(text: &str, sent: &HeaderMap) -> String {
    without(text, sent.values().map(HeaderValue::as_bytes))
}

/// The same for what went out in another way.
pub(super) fn without<'s>(text: &str, sent: impl Iterator<Item = &'s [u8]>) -> String {
    let mut shown = text.to_owned();
    for value in sent {
        let value = String::from_utf8_lossy(value.trim_ascii());
        let words = value.split([' ', '\t', ',', ';', '=']);
        for secret in [value.as_ref()].into_iter().chain(words) {
            if secret.len() >= SHORTEST {
                shown = shown.replace(secret, "…");
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_cut_off_whole_or_in_words() {
        let mut sent = HeaderMap::new();
        sent.insert("x-plain", "0123456789".parse().unwrap());
        sent.insert("x-words", "Basic aGVsbG8gd29ybGQ=".parse().unwrap());
        sent.insert("cookie", "session=abcdefghij; b=1".parse().unwrap());
        for (text, shown) in [
            ("bad 0123456789, 0123456789", "bad …, …"),
            ("bad Basic aGVsbG8gd29ybGQ=!", "bad …!"),
            ("bad aGVsbG8gd29ybGQ", "bad …"),
            ("no abcdefghij in b=1", "no … in b=1"),
            ("Basic 1 session", "Basic 1 session"),
        ] {
            assert_eq!(cut(text, &sent), shown);
        }
    }
}
