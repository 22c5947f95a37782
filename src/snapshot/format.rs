#![forbid(unsafe_code)]
//! What a snapshot's file holds: a head in clear, and secrets that only this token opens.
//!
//! Pure, over bytes. `magic ‖ salt ‖ time ‖ ciphertext ‖ tag`: XChaCha20-Poly1305 under a key of its
//! own for each file, HKDF-SHA-256 (RFC 5869) of the token and the salt, so that the nonce may be
//! constant. The head and what the file is a copy of are authenticated with it.

use std::time::Duration;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::secret::{Secret, SecretBytes, Token};

/// With the version of all that follows.
const MAGIC: &[u8; 22] = b"phase-run snapshot v1\n";

/// What every version's starts with.
const ANY_VERSION: &[u8] = b"phase-run snapshot v";

const KEY: usize = 32;
const SALT: usize = 32;
const TIME: usize = 8;
const TAG: usize = 16;
const HEAD: usize = MAGIC.len() + SALT + TIME;

/// Each key is used once.
const NONCE: [u8; 24] = [0; 24];

pub(super) struct Contents {
    /// Since 1970, in whole milliseconds.
    pub(super) made: Duration,
    /// The dynamic secrets that were leased; where there are any, nothing else is kept.
    pub(super) leased: Vec<String>,
    pub(super) secrets: Vec<Secret>,
}

/// Whether a file starts as one.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(ANY_VERSION)
}

/// The file; none where the system has no randomness. Of secrets among which some are leased only
/// their names are kept: without them a start would need Phase all the same.
pub(super) fn seal(
    secrets: &[Secret],
    made: Duration,
    token: &Token,
    of: &[u8],
) -> Option<Vec<u8>> {
    let mut leased: Vec<&str> = secrets
        .iter()
        .filter_map(|secret| secret.dynamic.as_deref())
        .collect();
    leased.sort_unstable();
    leased.dedup();
    let secrets = if leased.is_empty() { secrets } else { &[] };
    let fields = || {
        let secrets = secrets.iter().flat_map(|secret| {
            let Secret {
                key,
                value,
                folder,
                kind,
                ..
            } = secret;
            [
                key.as_bytes(),
                value.expose(),
                folder.as_bytes(),
                kind.as_bytes(),
            ]
        });
        leased.iter().map(|name| name.as_bytes()).chain(secrets)
    };
    let size: usize = fields().map(|field| COUNT + field.len()).sum();
    let mut file = Vec::with_capacity(HEAD + COUNT + size + TAG);
    let mut salt = [0; SALT];
    SystemRandom::new().fill(&mut salt).ok()?;
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&salt);
    let millis = u64::try_from(made.as_millis()).unwrap_or(u64::MAX);
    file.extend_from_slice(&millis.to_le_bytes());
    file.extend_from_slice(&(leased.len() as u64).to_le_bytes());
    for field in fields() {
        file.extend_from_slice(&(field.len() as u64).to_le_bytes());
        file.extend_from_slice(field);
    }
    let (head, text) = file.split_at_mut_checked(HEAD)?;
    let tag = cipher(token, &salt)?
        .encrypt_inout_detached(&XNonce::from(NONCE), &[head, of].concat(), text.into())
        .ok()?;
    file.extend_from_slice(&tag);
    Some(file)
}

/// What is in it; none unless every bit is as it was sealed, with this token, for the same.
pub(super) fn open(mut file: Vec<u8>, token: &Token, of: &[u8]) -> Option<Contents> {
    let (head, rest) = file.split_at_mut_checked(HEAD)?;
    let (salt, made) = head.strip_prefix(MAGIC)?.split_at_checked(SALT)?;
    let made = Duration::from_millis(u64::from_le_bytes(made.try_into().ok()?));
    let (text, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG)?)?;
    let tag = Tag::try_from(&*tag).ok()?;
    cipher(token, salt)?
        .decrypt_inout_detached(
            &XNonce::from(NONCE),
            &[head, of].concat(),
            (&mut *text).into(),
            &tag,
        )
        .ok()?;
    let (leased, secrets) = fields(text)?;
    Some(Contents {
        made,
        leased,
        secrets,
    })
}

/// The key is bound to the whole token: a bearer alone, which each request shows to the server, does
/// not open what was decrypted with a full token's keys.
fn cipher(token: &Token, salt: &[u8]) -> Option<XChaCha20Poly1305> {
    let authorization = token.authorization();
    let parts = [authorization.as_slice()].into_iter();
    let parts: Vec<&[u8]> = parts.chain(token.keys().into_iter().flatten()).collect();
    let whole = parts.join(&b':');
    let mut key = Zeroizing::new([0; KEY]);
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(&whole);
    let expanded = pseudorandom.expand(&[MAGIC], HKDF_SHA256).ok()?;
    expanded.fill(&mut *key).ok()?;
    Some(XChaCha20Poly1305::new(<&Key>::from(&*key)))
}

/// Of a number, in bytes.
const COUNT: usize = 8;

/// The names of what was leased, and the secrets. The seal says that we wrote it, and still nothing
/// here trusts a length.
fn fields(text: &[u8]) -> Option<(Vec<String>, Vec<Secret>)> {
    let mut rest = text;
    let count = number(&mut rest)?;
    let mut leased = Vec::new();
    for _ in 0..count {
        leased.push(words(&mut rest)?);
    }
    let mut secrets = Vec::new();
    while !rest.is_empty() {
        secrets.push(Secret {
            key: words(&mut rest)?,
            value: SecretBytes::new(field(&mut rest)?.to_vec()),
            folder: words(&mut rest)?,
            tags: Vec::new(),
            kind: words(&mut rest)?.into(),
            dynamic: None,
        });
    }
    Some((leased, secrets))
}

/// Any bytes as a file, which nobody sealed, and as what is inside one.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(token) = Token::parse(&[b'a'; 2 * KEY]) {
        for file in [data.to_vec(), [MAGIC.as_slice(), data].concat()] {
            assert!(open(file, &token, b"of").is_none());
        }
    }
    let _ = fields(data);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn words(rest: &mut &[u8]) -> Option<String> {
    str::from_utf8(field(rest)?).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "pss_service:v2:0011223344556677889900112233445566778899001122334455667788990011:\
        1111111111111111111111111111111111111111111111111111111111111111:\
        2222222222222222222222222222222222222222222222222222222222222222:\
        3333333333333333333333333333333333333333333333333333333333333333";

    const MADE: Duration = Duration::from_millis(1_234_567);

    fn token(text: &str) -> Token {
        Token::parse(text.as_bytes()).unwrap()
    }

    fn secret(key: &str, value: &[u8], dynamic: Option<&str>) -> Secret {
        Secret {
            key: key.to_owned(),
            value: SecretBytes::new(value.to_vec()),
            folder: "/web".to_owned(),
            tags: vec!["net".to_owned()],
            kind: "sealed".into(),
            dynamic: dynamic.map(str::to_owned),
        }
    }

    fn small() -> Vec<u8> {
        seal(&[secret("K", b"value", None)], MADE, &token(TOKEN), b"of").unwrap()
    }

    fn decrypts_locally(bytes: &[u8]) -> bool {
        open(bytes.to_vec(), &token(TOKEN), b"of").is_some()
    }

    #[test]
    fn what_was_sealed_is_opened_byte_for_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let secrets = [secret("\u{fc} =\n", &all, None), secret("", b"", None)];
        let file = seal(&secrets, MADE, &token(TOKEN), b"of").unwrap();
        assert_eq!(file.capacity(), file.len());
        let contents = open(file, &token(TOKEN), b"of").unwrap();
        assert_eq!((contents.made, contents.leased.len()), (MADE, 0));
        assert_eq!(contents.secrets.len(), 2);
        for (opened, sealed) in contents.secrets.iter().zip(&secrets) {
            assert_eq!(opened.key, sealed.key);
            assert_eq!(opened.value.expose(), sealed.value.expose());
            assert_eq!((opened.folder.as_str(), &*opened.kind), ("/web", "sealed"));
            assert_eq!(opened.dynamic, None);
        }
    }

    #[test]
    fn two_files_of_the_same_have_nothing_in_common_behind_the_magic() {
        let (one, other) = (small(), small());
        assert_ne!(one[MAGIC.len()..][..SALT], other[MAGIC.len()..][..SALT]);
        assert_ne!(one[HEAD..], other[HEAD..]);
    }

    /// "Leased values never enter it": nor do the others, which could not be used without them.
    #[test]
    fn beside_what_is_leased_nothing_is_kept_but_its_names() {
        let secrets = [
            secret("A", b"1", Some("lender")),
            secret("B", b"2", None),
            secret("C", b"3", Some("lender")),
            secret("D", b"4", Some("bank")),
        ];
        let file = seal(&secrets, MADE, &token(TOKEN), b"of").unwrap();
        let contents = open(file, &token(TOKEN), b"of").unwrap();
        assert_eq!(contents.leased, ["bank", "lender"]);
        assert!(contents.secrets.is_empty());
    }

    /// Bounded exhaustive: each bit of a small file.
    #[test]
    fn every_flipped_bit_is_refused_wherever_it_is() {
        let file = small();
        assert!(decrypts_locally(&file));
        for place in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.to_vec();
                flipped[place] ^= 1 << bit;
                assert!(!decrypts_locally(&flipped), "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn every_truncation_and_every_addition_is_refused() {
        let file = small();
        for length in 0..file.len() {
            assert!(!decrypts_locally(&file[..length]), "{length} bytes");
        }
        for end in [0, b'\n', 255] {
            assert!(!decrypts_locally(&[&file[..], &[end]].concat()));
        }
        assert!(!decrypts_locally(&[&file[..], &file[..]].concat()));
        assert!(!decrypts_locally(&[0; 1000]));
    }

    /// A bearer alone opens nothing that a full token's fetch has kept, nor the other way round.
    #[test]
    fn every_part_of_the_token_counts() {
        let bearer = "0011223344556677889900112233445566778899001122334455667788990011";
        let others = [
            TOKEN.replace("v2:00", "v2:01"),
            TOKEN.replace(":111", ":211"),
            TOKEN.replace(":222", ":322"),
            TOKEN.replace(":333", ":433"),
            TOKEN.replace("service:v2", "service:v1"),
            TOKEN.replace("service:v2", "user:v1"),
            bearer.to_owned(),
            format!("User {bearer}"),
        ];
        for other in others {
            let opened = open(small(), &token(&other), b"of");
            assert!(opened.is_none(), "{other}");
        }
        assert!(open(small(), &token(TOKEN), b"oF").is_none());
        assert!(open(small(), &token(TOKEN), b"").is_none());
        assert!(open(small(), &token(&format!(" {TOKEN}\n")), b"of").is_some());
    }

    /// Bounded exhaustive: what is sealed is ours, and is read as if it were not.
    #[test]
    fn no_content_panics() {
        let alphabet = [0, 1, 8, b'a', 0xff];
        for length in 0..=3_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut text = Vec::new();
                for _ in 0..length {
                    text.extend_from_slice(&[alphabet[number % alphabet.len()]; COUNT]);
                    number /= alphabet.len();
                }
                for cut in 0..=text.len() {
                    let _ = fields(&text[..cut]);
                }
            }
        }
        assert!(fields(&0_u64.to_le_bytes()).is_some());
    }
}
