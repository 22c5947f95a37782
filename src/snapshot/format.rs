#![forbid(unsafe_code)]
//! The format of a snapshot: a header in plaintext, and secrets that only the same token decrypts.
//!
//! `magic ‖ salt ‖ time ‖ ciphertext ‖ tag`, with XChaCha20-Poly1305. Each file has its own key, derived
//! from the token and a random salt by HKDF-SHA-256 (RFC 5869), so the nonce may be constant. The header
//! is authenticated as associated data. The binding, which encodes the settings of the snapshot, is
//! encrypted before the secrets: whoever has the token can read it, and the caller must check it.

use std::time::Duration;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::NO_MEMORY;
use crate::secret::length_prefixed::{self, LENGTH_SIZE, encode_length};
use crate::secret::{Secret, SecretBytes, Token};

/// The start of a file, with the version of the format.
const MAGIC: &[u8; 22] = b"phase-run snapshot v1\n";

/// The prefix of all format versions.
const MAGIC_OF_ANY_VERSION: &[u8] = b"phase-run snapshot v";

// Sizes in bytes.
const KEY_SIZE: usize = 32;
const SALT_SIZE: usize = 32;
const TIME_SIZE: usize = 8;
const TAG_SIZE: usize = 16;
const HEADER_SIZE: usize = MAGIC.len() + SALT_SIZE + TIME_SIZE;

/// A constant, because each key encrypts one file.
const NONCE: [u8; 24] = [0; 24];

/// What a snapshot contains.
pub(super) struct SnapshotContents {
    /// When the snapshot was made, as the time since 1970.
    pub(super) created: Duration,
    /// The settings that it was made with, encoded.
    pub(super) binding: Vec<u8>,
    /// The names of the dynamic secrets that were leased. If there are any, `secrets` is empty.
    pub(super) leased: Vec<String>,
    pub(super) secrets: Vec<Secret>,
}

/// Returns whether a file starts like a snapshot of any version.
pub(super) fn is_snapshot(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC_OF_ANY_VERSION)
}

/// Encrypts a snapshot. If some of the secrets are leased, it contains only the names of these: a
/// start without their values would need Phase anyway.
///
/// # Errors
/// The reason, if the system provides no randomness or no memory.
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
    let size: usize = fields().map(|field| LENGTH_SIZE + field.len()).sum();
    let size = LENGTH_SIZE + binding.len() + LENGTH_SIZE + size;
    let mut file = Vec::new();
    file.try_reserve_exact(HEADER_SIZE + size + TAG_SIZE)
        .map_err(|_| NO_MEMORY)?;
    let mut salt = [0; SALT_SIZE];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| "the system provides no randomness")?;
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&salt);
    let millis = u64::try_from(created.as_millis()).unwrap_or(u64::MAX);
    file.extend_from_slice(&millis.to_le_bytes());
    length_prefixed::push(&mut file, binding);
    file.extend_from_slice(&encode_length(leased.len()));
    for field in fields() {
        length_prefixed::push(&mut file, field);
    }
    let (header, payload) = file
        .split_at_mut_checked(HEADER_SIZE)
        .expect("the header has been written");
    let tag = cipher(token, &salt)
        .encrypt_inout_detached(&XNonce::from(NONCE), header, payload.into())
        .ok()
        .expect("the payload is shorter than the 256 GiB that the cipher takes");
    file.extend_from_slice(&tag);
    Ok(file)
}

/// Decrypts a snapshot. Returns `None` unless every bit is as it was written, and the token is the same.
pub(super) fn decrypt(mut file: Vec<u8>, token: &Token) -> Option<SnapshotContents> {
    let (header, rest) = file.split_at_mut_checked(HEADER_SIZE)?;
    let (salt, created) = header.strip_prefix(MAGIC)?.split_at_checked(SALT_SIZE)?;
    let created = Duration::from_millis(u64::from_le_bytes(created.try_into().ok()?));
    let (payload, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG_SIZE)?)?;
    let tag = Tag::try_from(&*tag).ok()?;
    cipher(token, salt)
        .decrypt_inout_detached(&XNonce::from(NONCE), header, (&mut *payload).into(), &tag)
        .ok()?;
    parse(payload, created)
}

/// Returns the cipher with the key of one file. The key depends on the whole token: because the server
/// sees the bearer token, it must not suffice to decrypt secrets that required the token's keys.
#[expect(clippy::expect_used, reason = "the length of the key is a constant")]
fn cipher(token: &Token, salt: &[u8]) -> XChaCha20Poly1305 {
    let authorization = token.authorization();
    let parts = [authorization.as_slice()].into_iter();
    let parts: Vec<&[u8]> = parts.chain(token.keys().into_iter().flatten()).collect();
    let pseudorandom_key = Salt::new(HKDF_SHA256, salt).extract(&parts.join(&b':'));
    let mut key = Zeroizing::new([0; KEY_SIZE]);
    pseudorandom_key
        .expand(&[MAGIC], HKDF_SHA256)
        .and_then(|output| output.fill(&mut *key))
        .ok()
        .expect("HKDF-SHA-256 can fill 32 bytes");
    XChaCha20Poly1305::new(<&Key>::from(&*key))
}

/// Parses the decrypted payload: the binding, the names of leased secrets, and the secrets. It was written
/// by phase-run, but lengths are still checked.
fn parse(payload: &[u8], created: Duration) -> Option<SnapshotContents> {
    let mut rest = payload;
    let binding = length_prefixed::take(&mut rest)?.to_vec();
    let count = length_prefixed::take_length(&mut rest)?;
    let mut leased = Vec::new();
    for _ in 0..count {
        leased.push(take_text(&mut rest)?);
    }
    let mut secrets = Vec::new();
    while !rest.is_empty() {
        secrets.push(Secret {
            key: take_text(&mut rest)?,
            value: SecretBytes::new(length_prefixed::take(&mut rest)?.to_vec()),
            folder: take_text(&mut rest)?,
            tags: Vec::new(),
            secret_type: take_text(&mut rest)?.into(),
            dynamic_secret_name: None,
            keeps_reference: false,
        });
    }
    Some(SnapshotContents {
        created,
        binding,
        leased,
        secrets,
    })
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    str::from_utf8(length_prefixed::take(rest)?)
        .ok()
        .map(str::to_owned)
}

/// Fuzz target: any bytes as a file, which must not decrypt, and as a decrypted payload.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(token) = Token::parse(&[b'a'; 2 * KEY_SIZE]) {
        for file in [data.to_vec(), [MAGIC.as_slice(), data].concat()] {
            assert!(decrypt(file, &token).is_none());
        }
    }
    let _ = parse(data, Duration::ZERO);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "pss_service:v2:0011223344556677889900112233445566778899001122334455667788990011:\
        1111111111111111111111111111111111111111111111111111111111111111:\
        2222222222222222222222222222222222222222222222222222222222222222:\
        3333333333333333333333333333333333333333333333333333333333333333";

    const CREATED: Duration = Duration::from_millis(1_234_567);

    /// The secret `K` with the value `value`, encrypted for [`TOKEN`].
    const FILE_V1: &str = "70686173652d72756e20736e617073686f742076310a83264528bb9d95e99368a4d71db51f3cb8083e643a0b\
        2627b2eaa491aed898af87d6120000000000d1273d8aeadc38b8c816247ee1c7ff65fef1eb3778cab85b8930\
        13cccc6b262f1369a38e07d7a39861a9cfef75fcf573b714a1d62115c161852279be967be2a6c2e12e3abe38\
        072a61e336ff4ba7094597f3c32a1eeaf9";

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
            keeps_reference: false,
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
        decrypt(bytes.to_vec(), &token(TOKEN)).is_some()
    }

    #[test]
    fn encrypted_secrets_decrypt_byte_for_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let secrets = [secret("\u{fc} =\n", &all, None), secret("", b"", None)];
        let file = encrypt(&secrets, CREATED, &token(TOKEN), b"binding").unwrap();
        assert_eq!(file.capacity(), file.len());
        let contents = decrypt(file, &token(TOKEN)).unwrap();
        assert_eq!((contents.created, contents.leased.len()), (CREATED, 0));
        assert_eq!(contents.binding, b"binding");
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

    /// Files that were written earlier must still open.
    #[test]
    fn file_of_format_v1_decrypts() {
        let file = base16ct::lower::decode_vec(FILE_V1).unwrap();
        let contents = decrypt(file, &token(TOKEN)).unwrap();
        assert_eq!(contents.created, CREATED);
        let [secret] = contents.secrets.as_slice() else {
            panic!("the file has one secret");
        };
        assert_eq!(
            (secret.key.as_str(), secret.value.expose()),
            ("K", &b"value"[..])
        );
    }

    #[test]
    fn two_files_of_same_secrets_differ() {
        let (one, other) = (small_file(), small_file());
        assert_ne!(
            one[MAGIC.len()..][..SALT_SIZE],
            other[MAGIC.len()..][..SALT_SIZE]
        );
        assert_ne!(one[HEADER_SIZE..], other[HEADER_SIZE..]);
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
        let contents = decrypt(file, &token(TOKEN)).unwrap();
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

    /// A bearer token decrypts no snapshot of a full token, and a full token none of a bearer token.
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
            let decrypted = decrypt(small_file(), &token(&other));
            assert!(decrypted.is_none(), "{other}");
        }
        assert!(decrypt(small_file(), &token(&format!(" {TOKEN}\n"))).is_some());
    }

    /// Parses many short payloads, although only phase-run writes them.
    #[test]
    fn no_short_payload_panics() {
        let alphabet = [0, 1, 8, b'a', 0xff];
        for length in 0..=3_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut payload = Vec::new();
                for _ in 0..length {
                    payload.extend_from_slice(&[alphabet[number % alphabet.len()]; LENGTH_SIZE]);
                    number /= alphabet.len();
                }
                for cut in 0..=payload.len() {
                    let _ = parse(&payload[..cut], CREATED);
                }
            }
        }
        assert!(parse(&[0; 2 * LENGTH_SIZE], CREATED).is_some());
    }
}
