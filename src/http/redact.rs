#![forbid(unsafe_code)]
//! A server, a gateway or a cloud may repeat what it was sent: what `--header-file` holds and a cloud's
//! credentials are cut off, as a token is.

use base64ct::{Base64, Encoding};
use reqwest::header::{HeaderMap, HeaderValue};

use super::form_encode;

/// In bytes. What is shorter keeps nothing closed, and stands in any text.
const SHORTEST: usize = 8;

/// The text without what is also in a header's value, whole or in part.
pub(crate) fn headers(text: &str, sent: &HeaderMap) -> String {
    secrets(text, sent.values().map(HeaderValue::as_bytes))
}

/// The same for what went out in another way, as it is, in base64 or percent-encoded.
pub(crate) fn secrets<'s>(text: &str, sent: impl Iterator<Item = &'s [u8]>) -> String {
    let mut hidden = vec![false; text.len()];
    for secret in sent {
        let secret = secret.trim_ascii();
        let base64 = Base64::encode_string(secret);
        for form in [secret, base64.as_bytes(), &percent_encoded(secret)] {
            hide(text.as_bytes(), form, &mut hidden);
        }
    }
    // Blanks around it are the sentence's.
    let is_blank = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_whitespace);
    let mut kept = true;
    for (at, hides) in hidden.iter_mut().enumerate() {
        *hides &= !(kept && is_blank(at));
        kept = !*hides;
    }
    let mut kept = true;
    for (at, hides) in hidden.iter_mut().enumerate().rev() {
        *hides &= !(kept && is_blank(at));
        kept = !*hides;
    }
    let mut shown = String::new();
    let mut cut = false;
    for (at, letter) in text.char_indices() {
        let hides = hidden.get(at).is_some_and(|hides| *hides);
        match (hides, cut) {
            (true, false) => shown.push('…'),
            (true, true) => {}
            (false, _) => shown.push(letter),
        }
        cut = hides;
    }
    shown
}

/// Marks each run of [`SHORTEST`] bytes or more that stands in the secret too.
fn hide(text: &[u8], secret: &[u8], hidden: &mut [bool]) {
    for (at, part) in text.windows(SHORTEST).enumerate() {
        if secret.windows(SHORTEST).any(|of_secret| of_secret == part) {
            let run = hidden.iter_mut().skip(at).take(SHORTEST);
            run.for_each(|hides| *hides = true);
        }
    }
}

/// As a form writes it.
fn percent_encoded(secret: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(secret);
    let pair = form_encode(&[("", &text)]);
    pair.strip_prefix(b"=").map(<[u8]>::to_vec).unwrap_or(pair)
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
            ("ab 2345678 cd", "ab 2345678 cd"),
            ("ab 23456789 cd", "ab … cd"),
        ] {
            assert_eq!(headers(text, &sent), shown);
        }
    }

    #[test]
    fn other_forms_are_cut_off_too() {
        let secret = b"AZ~canary+secret/==";
        for (text, shown) in [
            ("bad AZ~canary+secret/==.", "bad …."),
            (
                "client_secret=AZ%7Ecanary%2Bsecret%2F%3D%3D&a",
                "client_secret=…&a",
            ),
            ("bad QVp+Y2FuYXJ5K3NlY3JldC89PQ==", "bad …"),
            ("bad canary+s, 42", "bad …, 42"),
        ] {
            assert_eq!(secrets(text, [&secret[..]].into_iter()), shown);
        }
    }
}
