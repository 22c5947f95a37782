#![forbid(unsafe_code)]
//! Removes secrets from texts that a server sent: it may echo parts of the request.

use base64ct::{Base64, Encoding};
use reqwest::header::{HeaderMap, HeaderValue};

/// Shorter parts of a secret are not redacted, because they occur in any text. In bytes.
const MIN_LENGTH: usize = 8;

/// Replaces each part of `text` that also occurs in the value of a header by `…`.
pub(crate) fn redact_headers(text: &str, headers: &HeaderMap) -> String {
    redact_secrets(text, headers.values().map(HeaderValue::as_bytes))
}

/// Replaces each part of `text` that also occurs in a secret by `…`. The server may have echoed the secret
/// as it is, in base64 or percent-encoded.
pub(crate) fn redact_secrets<'s>(text: &str, secrets: impl Iterator<Item = &'s [u8]>) -> String {
    let mut is_secret = vec![false; text.len()];
    for secret in secrets {
        let secret = secret.trim_ascii();
        let base64 = Base64::encode_string(secret);
        let form: String = form_urlencoded::byte_serialize(secret).collect();
        for encoded in [secret, base64.as_bytes(), form.as_bytes()] {
            mark_common_parts(text.as_bytes(), encoded, &mut is_secret);
        }
    }
    // Keep the blanks at the edges of a redacted part.
    unmark_blanks_before_parts(text.bytes().zip(&mut is_secret));
    unmark_blanks_before_parts(text.bytes().zip(&mut is_secret).rev());
    let mut redacted = String::new();
    let mut was_redacted = false;
    for (at, letter) in text.char_indices() {
        let redact = is_secret.get(at) == Some(&true);
        match (redact, was_redacted) {
            (true, false) => redacted.push('…'),
            (true, true) => {}
            (false, _) => redacted.push(letter),
        }
        was_redacted = redact;
    }
    redacted
}

/// Marks each run of [`MIN_LENGTH`] bytes or more of the text that also occurs in the secret.
fn mark_common_parts(text: &[u8], secret: &[u8], is_secret: &mut [bool]) {
    for (at, part) in text.windows(MIN_LENGTH).enumerate() {
        if secret.windows(MIN_LENGTH).any(|window| window == part) {
            let marks = is_secret.iter_mut().skip(at).take(MIN_LENGTH);
            marks.for_each(|is_secret| *is_secret = true);
        }
    }
}

/// Removes the marks of the blanks at the start of each marked part.
fn unmark_blanks_before_parts<'m>(marks: impl Iterator<Item = (u8, &'m mut bool)>) {
    let mut was_secret = false;
    for (byte, is_secret) in marks {
        *is_secret &= was_secret || !byte.is_ascii_whitespace();
        was_secret = *is_secret;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_redacted_whole_or_in_part() {
        let mut sent = HeaderMap::new();
        sent.insert("x-plain", "0123456789".parse().unwrap());
        sent.insert("x-words", "Basic aGVsbG8gd29ybGQ=".parse().unwrap());
        sent.insert("cookie", "session=abcdefghij; b=1".parse().unwrap());
        for (text, redacted) in [
            ("bad 0123456789, 0123456789", "bad …, …"),
            ("bad Basic aGVsbG8gd29ybGQ=!", "bad …!"),
            ("bad aGVsbG8gd29ybGQ", "bad …"),
            ("no abcdefghij in b=1", "no … in b=1"),
            ("Basic 1 session", "Basic 1 session"),
            ("ab 2345678 cd", "ab 2345678 cd"),
            ("ab 23456789 cd", "ab … cd"),
        ] {
            assert_eq!(redact_headers(text, &sent), redacted);
        }
    }

    #[test]
    fn encoded_secrets_are_redacted() {
        let secret = b"AZ~canary+secret/==";
        for (text, redacted) in [
            ("bad AZ~canary+secret/==.", "bad …."),
            (
                "client_secret=AZ%7Ecanary%2Bsecret%2F%3D%3D&a",
                "client_secret=…&a",
            ),
            ("bad QVp+Y2FuYXJ5K3NlY3JldC89PQ==", "bad …"),
            ("bad canary+s, 42", "bad …, 42"),
        ] {
            assert_eq!(redact_secrets(text, [&secret[..]].into_iter()), redacted);
        }
        let not_utf8 = b"\xffcanary\x80secret";
        let text = "bad %FFcanary%80secret.";
        assert_eq!(redact_secrets(text, [&not_utf8[..]].into_iter()), "bad ….");
    }
}
