#![forbid(unsafe_code)]
//! The format of a snapshot: a header in clear text, and secrets that only the same token decrypts.
//!
//! `magic ‖ salt ‖ time ‖ ciphertext ‖ tag`, with XChaCha20-Poly1305. Each file has its own key, derived
//! from the token and a random salt by HKDF-SHA-256 (RFC 5869), so the nonce may be constant. The header
//! and the binding, which says what the snapshot is a copy of, are authenticated as associated data.

use std::time::Duration;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::secret::{Secret, SecretBytes, Token};

/// The start of a file, with the version of the format.
const MAGIC: &[u8; 22] = b"phase-run snapshot v1\n";

/// What the files of all versions start with.
const MAGIC_OF_ANY_VERSION: &[u8] = b"phase-run snapshot v";

// Lengths in bytes.
const KEY_LENGTH: usize = 32;
const SALT_LENGTH: usize = 32;
const TIME_LENGTH: usize = 8;
const TAG_LENGTH: usize = 16;
const HEADER_LENGTH: usize = MAGIC.len() + SALT_LENGTH + TIME_LENGTH;

/// The length of a number: of list members before a list, of bytes before a field.
const NUMBER_LENGTH: usize = 8;

/// A constant, because each key encrypts one file.
const NONCE: [u8; 24] = [0; 24];

/// What a snapshot contains.
pub(super) struct SnapshotContents {
    /// When the snapshot was made: milliseconds since 1970.
    pub(super) created: Duration,
    /// The names of the dynamic secrets that were leased. If there are any, `secrets` is empty.
    pub(super) leased: Vec<String>,
    pub(super) secrets: Vec<Secret>,
}

/// Whether a file starts like a snapshot of any version.
pub(super) fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC_OF_ANY_VERSION)
}

/// Encrypts a snapshot. If some of the secrets are leased, it contains only the names of these: a
/// start without their values would need Phase anyway.
///
/// # Errors
/// The reason, if the system provides no randomness.
#[expect(
    clippy::expect_used,
    reason = "the header has just been written, and memory ends before the cipher's limit"
)]
pub(super) fn encrypt(
    secrets: &[Secret],
    created: Duration,
    token: &Token,
    binding: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let mut leased: Vec<&str> = secrets
        .iter()
        .filter_map(|secret| secret.dynamic_secret_name.as_deref())
        .collect();
    leased.sort_unstable();
    leased.dedup();
    let secrets = if leased.is_empty() { secrets } else { &[] };
    let fields = || {
        let secrets = secrets.iter().flat_map(|secret| {
            [
                secret.key.as_bytes(),
                secret.value.expose(),
                secret.folder.as_bytes(),
                secret.secret_type.as_bytes(),
            ]
        });
        leased.iter().map(|name| name.as_bytes()).chain(secrets)
    };
    let size: usize = fields().map(|field| NUMBER_LENGTH + field.len()).sum();
    let mut file = Vec::with_capacity(HEADER_LENGTH + NUMBER_LENGTH + size + TAG_LENGTH);
    let mut salt = [0; SALT_LENGTH];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| "the system provides no randomness")?;
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&salt);
    let millis = u64::try_from(created.as_millis()).unwrap_or(u64::MAX);
    file.extend_from_slice(&millis.to_le_bytes());
    file.extend_from_slice(&(leased.len() as u64).to_le_bytes());
    for field in fields() {
        file.extend_from_slice(&(field.len() as u64).to_le_bytes());
        file.extend_from_slice(field);
    }
    let (header, text) = file
        .split_at_mut_checked(HEADER_LENGTH)
        .expect("the header has been written");
    let associated_data = [header, binding].concat();
    let tag = cipher(token, &salt)
        .encrypt_inout_detached(&XNonce::from(NONCE), &associated_data, text.into())
        .ok()
        .expect("the text is shorter than the 256 GiB that the cipher takes");
    file.extend_from_slice(&tag);
    Ok(file)
}

/// Decrypts a snapshot. Returns `None` unless every bit is as it was written, and the token and the
/// binding are the same.
pub(super) fn decrypt(
    mut file: Vec<u8>,
    token: &Token,
    binding: &[u8],
) -> Option<SnapshotContents> {
    let (header, rest) = file.split_at_mut_checked(HEADER_LENGTH)?;
    let (salt, created) = header.strip_prefix(MAGIC)?.split_at_checked(SALT_LENGTH)?;
    let created = Duration::from_millis(u64::from_le_bytes(created.try_into().ok()?));
    let (text, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG_LENGTH)?)?;
    let tag = Tag::try_from(&*tag).ok()?;
    let associated_data = [header, binding].concat();
    cipher(token, salt)
        .decrypt_inout_detached(
            &XNonce::from(NONCE),
            &associated_data,
            (&mut *text).into(),
            &tag,
        )
        .ok()?;
    let (leased, secrets) = parse(text)?;
    Some(SnapshotContents {
        created,
        leased,
        secrets,
    })
}

/// Returns the cipher with the key of one file. The key depends on the whole token: a bearer, which
/// each request shows to the server, must not decrypt what a full token's keys have decrypted.
#[expect(clippy::expect_used, reason = "the length of the key is a constant")]
fn cipher(token: &Token, salt: &[u8]) -> XChaCha20Poly1305 {
    let authorization = token.authorization();
    let parts = [authorization.as_slice()].into_iter();
    let parts: Vec<&[u8]> = parts.chain(token.keys().into_iter().flatten()).collect();
    let pseudorandom_key = Salt::new(HKDF_SHA256, salt).extract(&parts.join(&b':'));
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    pseudorandom_key
        .expand(&[MAGIC], HKDF_SHA256)
        .and_then(|output| output.fill(&mut *key))
        .ok()
        .expect("HKDF-SHA-256 can fill 32 bytes");
    XChaCha20Poly1305::new(<&Key>::from(&*key))
}

/// Parses the decrypted text: the names of leased secrets, and the secrets. Only phase-run can have
/// written it, and still no length in it is trusted.
fn parse(text: &[u8]) -> Option<(Vec<String>, Vec<Secret>)> {
    let mut rest = text;
    let count = take_number(&mut rest)?;
    let mut leased = Vec::new();
    for _ in 0..count {
        leased.push(take_text(&mut rest)?);
    }
    let mut secrets = Vec::new();
    while !rest.is_empty() {
        secrets.push(Secret {
            key: take_text(&mut rest)?,
            value: SecretBytes::new(take_field(&mut rest)?.to_vec()),
            folder: take_text(&mut rest)?,
            tags: Vec::new(),
            secret_type: take_text(&mut rest)?.into(),
            dynamic_secret_name: None,
        });
    }
    Some((leased, secrets))
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    str::from_utf8(take_field(rest)?).ok().map(str::to_owned)
}

/// Fuzz target: any bytes as a file, which must not decrypt, and as decrypted text.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(token) = Token::parse(&[b'a'; 2 * KEY_LENGTH]) {
        for file in [data.to_vec(), [MAGIC.as_slice(), data].concat()] {
            assert!(decrypt(file, &token, b"binding").is_none());
        }
    }
    let _ = parse(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "pss_service:v2:0011223344556677889900112233445566778899001122334455667788990011:\
        1111111111111111111111111111111111111111111111111111111111111111:\
        2222222222222222222222222222222222222222222222222222222222222222:\
        3333333333333333333333333333333333333333333333333333333333333333";

    const CREATED: Duration = Duration::from_millis(1_234_567);

    fn token(text: &str) -> Token {
        Token::parse(text.as_bytes()).unwrap()
    }

    fn secret(key: &str, value: &[u8], dynamic: Option<&str>) -> Secret {
        Secret {
            key: key.to_owned(),
            value: SecretBytes::new(value.to_vec()),
            folder: "/web".to_owned(),
            tags: vec!["net".to_owned()],
            secret_type: "sealed".into(),
            dynamic_secret_name: dynamic.map(str::to_owned),
        }
    }

    fn small_file() -> Vec<u8> {
        encrypt(
            &[secret("K", b"value", None)],
            CREATED,
            &token(TOKEN),
            b"binding",
        )
        .unwrap()
    }

    fn is_decrypted(bytes: &[u8]) -> bool {
        decrypt(bytes.to_vec(), &token(TOKEN), b"binding").is_some()
    }

    #[test]
    fn encrypted_secrets_decrypt_byte_for_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let secrets = [secret("\u{fc} =\n", &all, None), secret("", b"", None)];
        let file = encrypt(&secrets, CREATED, &token(TOKEN), b"binding").unwrap();
        assert_eq!(file.capacity(), file.len());
        let contents = decrypt(file, &token(TOKEN), b"binding").unwrap();
        assert_eq!((contents.created, contents.leased.len()), (CREATED, 0));
        assert_eq!(contents.secrets.len(), 2);
        for (decrypted, original) in contents.secrets.iter().zip(&secrets) {
            assert_eq!(decrypted.key, original.key);
            assert_eq!(decrypted.value.expose(), original.value.expose());
            assert_eq!(
                (decrypted.folder.as_str(), &*decrypted.secret_type),
                ("/web", "sealed")
            );
            assert_eq!(decrypted.dynamic_secret_name, None);
        }
    }

    #[test]
    fn two_files_of_same_secrets_differ() {
        let (one, other) = (small_file(), small_file());
        assert_ne!(
            one[MAGIC.len()..][..SALT_LENGTH],
            other[MAGIC.len()..][..SALT_LENGTH]
        );
        assert_ne!(one[HEADER_LENGTH..], other[HEADER_LENGTH..]);
    }

    /// Leased values never enter a snapshot. The others could not be used without them.
    #[test]
    fn leased_secrets_leave_only_their_names() {
        let secrets = [
            secret("A", b"1", Some("lender")),
            secret("B", b"2", None),
            secret("C", b"3", Some("lender")),
            secret("D", b"4", Some("bank")),
        ];
        let file = encrypt(&secrets, CREATED, &token(TOKEN), b"binding").unwrap();
        let contents = decrypt(file, &token(TOKEN), b"binding").unwrap();
        assert_eq!(contents.leased, ["bank", "lender"]);
        assert!(contents.secrets.is_empty());
    }

    /// Flips each bit of a small file.
    #[test]
    fn every_flipped_bit_is_rejected() {
        let file = small_file();
        assert!(is_decrypted(&file));
        for position in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.to_vec();
                flipped[position] ^= 1 << bit;
                assert!(!is_decrypted(&flipped), "byte {position}, bit {bit}");
            }
        }
    }

    #[test]
    fn truncated_and_extended_files_are_rejected() {
        let file = small_file();
        for length in 0..file.len() {
            assert!(!is_decrypted(&file[..length]), "{length} bytes");
        }
        for end in [0, b'\n', 255] {
            assert!(!is_decrypted(&[&file[..], &[end]].concat()));
        }
        assert!(!is_decrypted(&[&file[..], &file[..]].concat()));
        assert!(!is_decrypted(&[0; 1000]));
    }

    /// A bearer decrypts no snapshot of a full token, nor the other way round.
    #[test]
    fn every_part_of_the_token_is_in_the_key() {
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
            let decrypted = decrypt(small_file(), &token(&other), b"binding");
            assert!(decrypted.is_none(), "{other}");
        }
        assert!(decrypt(small_file(), &token(TOKEN), b"bindinG").is_none());
        assert!(decrypt(small_file(), &token(TOKEN), b"").is_none());
        assert!(decrypt(small_file(), &token(&format!(" {TOKEN}\n")), b"binding").is_some());
    }

    /// Parses many short texts, although only phase-run can have written one.
    #[test]
    fn no_short_text_panics() {
        let alphabet = [0, 1, 8, b'a', 0xff];
        for length in 0..=3_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut text = Vec::new();
                for _ in 0..length {
                    text.extend_from_slice(&[alphabet[number % alphabet.len()]; NUMBER_LENGTH]);
                    number /= alphabet.len();
                }
                for cut in 0..=text.len() {
                    let _ = parse(&text[..cut]);
                }
            }
        }
        assert!(parse(&0_u64.to_le_bytes()).is_some());
    }
}
