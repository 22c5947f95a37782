#![forbid(unsafe_code)]
//! Quotes texts that a server sent, and redacts the parts of the request that the server has echoed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use base64ct::{Base64, Base64Url, Encoding};

use crate::error::first_chars;

/// Shorter parts of a secret are not redacted, because they occur in any text. In bytes.
const MIN_LENGTH: usize = 8;

/// The same for parts that are compared by their letters and digits only, in any case.
const MIN_LENGTH_COMPACT: usize = 16;

/// How many characters of a text are searched for secrets, and how many of several texts together. Each has
/// its share, but at least [`MIN_SEARCHED_CHARS`].
const SEARCHED_CHARS: usize = 8000;
const ALL_SEARCHED_CHARS: usize = 100_000;
const MIN_SEARCHED_CHARS: usize = 2000;

/// How many characters at the end of what is searched are not quoted, because a secret may begin there.
const NOT_QUOTED_CHARS: usize = 1000;

/// Quotes the beginning of `text`: at most `max_chars` characters, in which each part that also
/// occurs in a secret is replaced by `…`. If anything is left out, ` …` follows.
///
/// The server may have echoed a secret as it is, in base64, percent-encoded or in hex digits, with
/// blanks, `\x` or other separators in between. The text is cut before it is searched, but behind the
/// last character that can be quoted, so that a secret at the end of the quotation is recognized.
pub(crate) fn quote<'s>(
    text: &str,
    max_chars: usize,
    secrets: impl Iterator<Item = &'s [u8]>,
) -> String {
    quote_each(&[text], max_chars, secrets).concat()
}

/// Quotes the beginning of each text. The work is linear in the length of the secrets: they are gone through
/// once for all texts.
#[expect(clippy::expect_used, reason = "each byte has a mark")]
pub(crate) fn quote_each<'s>(
    texts: &[&str],
    max_chars: usize,
    secrets: impl Iterator<Item = &'s [u8]>,
) -> Vec<String> {
    let share = ALL_SEARCHED_CHARS / texts.len().max(1);
    let share = share.clamp(MIN_SEARCHED_CHARS, SEARCHED_CHARS);
    let searched: Vec<&str> = texts.iter().map(|text| first_chars(text, share)).collect();
    let is_secret = find_secrets(searched.concat().as_bytes(), secrets);
    let mut marks = is_secret.as_slice();
    let quote = |(text, searched): (&&str, &&str)| {
        let (of_text, rest) = marks
            .split_at_checked(searched.len())
            .expect("each byte has a mark");
        marks = rest;
        let quotable = match searched.len() < text.len() {
            true => share - NOT_QUOTED_CHARS,
            false => usize::MAX,
        };
        redact(searched, of_text, max_chars, quotable)
    };
    texts.iter().zip(&searched).map(quote).collect()
}

/// Replaces the marked parts, and cuts the text to `max_chars` characters, of which each is among the first
/// `quotable` ones.
fn redact(text: &str, is_secret: &[bool], max_chars: usize, quotable: usize) -> String {
    let mut redacted = String::new();
    let mut length = 0;
    let mut was_secret = false;
    for (count, (at, letter)) in text.char_indices().enumerate() {
        let is_secret = is_secret.get(at) == Some(&true);
        let shown = match (is_secret, was_secret) {
            (true, true) => None,
            (true, false) => Some('…'),
            (false, _) => Some(letter),
        };
        if count >= quotable || (length == max_chars && shown.is_some()) {
            // End with a whole word.
            let end = redacted.rfind(char::is_whitespace);
            redacted.truncate(end.unwrap_or(redacted.len()));
            redacted.push_str(" …");
            return redacted;
        }
        length += usize::from(shown.is_some());
        redacted.extend(shown);
        was_secret = is_secret;
    }
    redacted
}

/// Returns for each byte of the text whether it belongs to a secret.
#[expect(
    clippy::expect_used,
    reason = "both lists have one item for each letter"
)]
fn find_secrets<'s>(text: &[u8], secrets: impl Iterator<Item = &'s [u8]>) -> Vec<bool> {
    let (letters, positions) = compact(text);
    let mut exact_parts = TextParts::new(text, MIN_LENGTH);
    let mut letter_parts = TextParts::new(&letters, MIN_LENGTH_COMPACT);
    for secret in secrets {
        let secret = secret.trim_ascii();
        let form: String = form_urlencoded::byte_serialize(secret).collect();
        exact_parts.find_in(form.as_bytes());
        for form in encoded_forms(secret) {
            exact_parts.find_in(&form);
            letter_parts.find_in(&compact(&form).0);
        }
    }
    let mut is_secret = vec![false; text.len()];
    for part in exact_parts.found() {
        mark(&mut is_secret, part);
    }
    for part in letter_parts.found() {
        let bounds = positions
            .get(part)
            .and_then(|part| part.first().zip(part.last()));
        let (first, last) = bounds.expect("each letter has a position");
        mark(&mut is_secret, *first..*last + 1);
    }
    // Keep the blanks at the edges of a redacted part.
    unmark_blanks_before_parts(text.iter().zip(&mut is_secret));
    unmark_blanks_before_parts(text.iter().zip(&mut is_secret).rev());
    is_secret
}

/// Returns a secret as it is, in hex digits, and in base64 with both alphabets, as part of a longer
/// text too. Of a secret that consists of hex digits, the bytes may be encoded as well.
fn encoded_forms(secret: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let hex = base16ct::lower::encode_string(secret).into_bytes();
    let mut forms = vec![secret.into(), hex.into()];
    let decoded = base16ct::mixed::decode_vec(secret).ok();
    for bytes in [Some(secret), decoded.as_deref()].into_iter().flatten() {
        // Three bytes are four characters of base64, so what comes before the secret shifts it and
        // changes its first characters.
        for (before, changed) in [(&b""[..], 0), (b"-", 2), (b"--", 3)] {
            let shifted = [before, bytes].concat();
            for text in [
                Base64::encode_string(&shifted),
                Base64Url::encode_string(&shifted),
            ] {
                forms.push(text.into_bytes().split_off(changed).into());
            }
        }
    }
    forms
}

/// Returns the letters and digits of a text in lower case, and their positions. The `x` of escapes such as
/// `\x61` is left out, so that the hex digits remain.
fn compact(text: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let before = [b' '].iter().chain(text);
    let kept = text.iter().zip(before).enumerate();
    let kept = kept
        .filter(|(_, letters)| letters.0.is_ascii_alphanumeric() && *letters != (&b'x', &b'\\'));
    let kept = kept.map(|(at, (byte, _))| (at, byte));
    kept.map(|(at, byte)| (byte.to_ascii_lowercase(), at))
        .unzip()
}

/// The parts of a text that have a certain length, and which of them also occur in a secret.
struct TextParts<'t> {
    text: &'t [u8],
    length: usize,
    in_secret: HashMap<&'t [u8], bool>,
}

impl<'t> TextParts<'t> {
    fn new(text: &'t [u8], length: usize) -> Self {
        let in_secret = text.windows(length).map(|part| (part, false)).collect();
        Self {
            text,
            length,
            in_secret,
        }
    }

    /// Looks for the parts in one form of a secret.
    fn find_in(&mut self, secret: &[u8]) {
        for part in secret.windows(self.length) {
            if let Some(found) = self.in_secret.get_mut(part) {
                *found = true;
            }
        }
    }

    /// Returns where the parts are that occur in a secret.
    fn found(&self) -> impl Iterator<Item = Range<usize>> {
        let parts = self.text.windows(self.length).enumerate();
        let found = parts.filter(|(_, part)| self.in_secret.get(part) == Some(&true));
        found.map(|(start, _)| start..start + self.length)
    }
}

#[expect(clippy::expect_used, reason = "a part that was found is in the text")]
fn mark(is_secret: &mut [bool], part: Range<usize>) {
    let part = is_secret.get_mut(part);
    part.expect("the part is in the text").fill(true);
}

/// Removes the marks of the blanks at the start of each marked part.
fn unmark_blanks_before_parts<'m>(marks: impl Iterator<Item = (&'m u8, &'m mut bool)>) {
    let mut was_secret = false;
    for (byte, is_secret) in marks {
        *is_secret &= was_secret || !byte.is_ascii_whitespace();
        was_secret = *is_secret;
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

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
            let sent = sent.values().map(HeaderValue::as_bytes);
            assert_eq!(quote(text, 100, sent), redacted);
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
            assert_eq!(quote(text, 100, [&secret[..]].into_iter()), redacted);
        }
    }

    #[test]
    fn every_form_of_a_hex_key_is_redacted() {
        let key = "0c1d2e3f48596a7b8c9dafb0c1d2e3f405162738495a6b7c8d9eafb1c2d3e4f5";
        let (start, end) = key.split_at(60);
        let percent: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let escaped: String = key.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let in_base64 = |text: String| Base64::encode_string(text.as_bytes());
        for form in [
            key.to_owned(),
            key.to_uppercase(),
            percent,
            escaped,
            format!("{start} {end}"),
            format!("{start}\n{end}"),
            key.split_inclusive(|c| "048".contains(c))
                .collect::<Vec<_>>()
                .join(" "),
            key.to_uppercase().replace("E3", "E3:"),
            Base64::encode_string(&base16ct::lower::decode_vec(key).unwrap()),
            Base64Url::encode_string(&base16ct::lower::decode_vec(key).unwrap()),
            base16ct::upper::encode_string(key.as_bytes()),
        ] {
            let text = format!("bad {form}!");
            let quoted = quote(&text, 300, [key.as_bytes()].into_iter());
            let quoted = quoted.replace(['%', '\\'], "").replace("x…", "…");
            assert_eq!(quoted, "bad …!", "{form}");
        }
        // What stands before and after the key in base64 shares a character with it.
        for before in [
            "",
            "B",
            "Be",
            "Bearer ",
            "Bearer User ",
            "Bearer ServiceAccount ",
        ] {
            for after in ["", ".", ".."] {
                let form = in_base64(format!("{before}{key}{after}"));
                let quoted = quote(&form, 300, [key.as_bytes()].into_iter());
                let left = form.len() - 4 * (key.len() / 3 - 1);
                assert!(
                    quoted.contains('…') && quoted.len() <= left + 3,
                    "{form}: {quoted}"
                );
            }
        }
        for text in ["0c1d2e3 f", "4051627 38495a6", "ab 0c1d2e3 48596a7"] {
            assert_eq!(quote(text, 300, [key.as_bytes()].into_iter()), text);
        }
    }

    #[test]
    fn secret_at_the_end_of_a_quotation_is_redacted() {
        let secret = "0c1d2e3f48596a7b8c9d";
        let quote = |text: &str, max| quote(text, max, [secret.as_bytes()].into_iter());
        let start = "so long ".repeat(10);
        let text = format!("{start}{secret} and more");
        let start = start.trim_end();
        assert_eq!(quote(&text, 80), format!("{start} …"));
        assert_eq!(quote(&text, 88), format!("{start} … and …"));
        assert_eq!(quote(&text, 90), format!("{start} … and more"));
        assert_eq!(quote("äöü", 2), "äö …");
        // The last characters of a part that is searched are not quoted: a secret may begin there.
        let text = format!("{}{secret} and more", " ".repeat(SEARCHED_CHARS - 7));
        assert!(!quote(&text, usize::MAX).contains('0'));
    }

    #[test]
    fn each_text_is_quoted_by_itself() {
        let secret = "0c1d2e3f48596a7b8c9d";
        let texts = ["a 0c1d2e3f48596a7b8c9d", "ä", "", "b 3f48596a c"];
        let quoted = quote_each(&texts, 100, [secret.as_bytes()].into_iter());
        assert_eq!(quoted, ["a …", "ä", "", "b … c"]);
        let long = format!("{} 3f48596a {}", "x".repeat(1500), "y".repeat(5000));
        let quoted = quote_each(
            &vec![long.as_str(); 100],
            300,
            [secret.as_bytes()].into_iter(),
        );
        assert_eq!(quoted, vec![format!("{} …", "x".repeat(300)); 100]);
    }

    #[test]
    fn long_texts_and_secrets_take_linear_work() {
        // Comparing each part with each other one would take hours.
        let secret = "abcdefg0".repeat(8 << 10);
        let text = "abcdefg1".repeat(1 << 20);
        assert!(quote(&text, 300, [secret.as_bytes()].into_iter()).len() < 310);
    }
}
