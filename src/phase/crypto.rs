#![forbid(unsafe_code)]
//! Decrypts what Phase encrypts, with libsodium's X25519 key exchange and XChaCha20-Poly1305.
//!
//! The primitives come from libraries; this file only combines them as Phase does. Each encoding is
//! accepted in exactly one form, the one that Phase writes, so that every modified character is
//! detected. Errors say why decryption failed and never contain any of the bytes.

use base64ct::{Base64, Encoding};
use blake2::digest::array::Array;
use blake2::digest::consts::U32;
use blake2::{Blake2b256, Blake2b512, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::NO_MEMORY;
use crate::secret::SecretBytes;

/// The size of a key in bytes: the same for X25519, BLAKE2b-256 and XChaCha20-Poly1305.
pub(super) const KEY_BYTES: usize = 32;

/// The size of an XChaCha20-Poly1305 nonce in bytes.
const NONCE_BYTES: usize = 24;

/// The size of a Poly1305 tag in bytes.
const TAG_BYTES: usize = 16;

/// Why something cannot be decrypted. Never contains any of it.
pub(super) type DecryptError = &'static str;

/// The tag does not match: the key is another one, or the ciphertext was modified.
const WRONG_KEY_OR_MODIFIED: DecryptError = "it was encrypted for another key or has been modified";

/// An X25519 key pair (RFC 7748).
pub(super) struct KeyPair {
    private: StaticSecret,
    public: PublicKey,
}

impl KeyPair {
    /// Computes the public key that belongs to `private`.
    pub(super) fn from_private_key(private: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let private = StaticSecret::from(**private);
        let public = PublicKey::from(&private);
        Self { private, public }
    }

    /// Derives the key pair from a seed, as libsodium's `crypto_kx_seed_keypair` does: the private
    /// key is BLAKE2b-256 of the seed.
    pub(super) fn from_seed(seed: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let mut private = Zeroizing::new([0; KEY_BYTES]);
        let out: &mut Array<u8, _> = (&mut *private).into();
        Blake2b256::new_with_prefix(seed.as_slice()).finalize_into(out);
        Self::from_private_key(&private)
    }

    /// Compares the pair's public key with `public`, in constant time.
    pub(super) fn has_public_key(&self, public: &[u8; KEY_BYTES]) -> bool {
        self.public.as_bytes().ct_eq(public).into()
    }

    /// Decrypts a field that was encrypted for this pair's public key:
    /// `ph:v1:<ephemeral public key, hex>:<base64 of ciphertext ‖ tag ‖ nonce>`.
    pub(super) fn decrypt_field(&self, field: &str) -> Result<SecretBytes, DecryptError> {
        let Some(rest) = field.strip_prefix("ph:") else {
            return Err("it is not encrypted: it does not start with ph:");
        };
        let Some(rest) = rest.strip_prefix("v1:") else {
            return Err("its version is not supported: it does not start with ph:v1:");
        };
        let Some((ephemeral, ciphertext)) = rest.split_once(':') else {
            return Err("it is truncated");
        };
        let ephemeral = PublicKey::from(*key_from_lower_hex(ephemeral.as_bytes())?);
        let ciphertext = decode_base64(ciphertext)?;
        let shared = self.private.diffie_hellman(&ephemeral);
        // libsodium rejects such points, too: they give everybody the same shared secret.
        if !shared.was_contributory() {
            return Err("its ephemeral public key is invalid");
        }
        // libsodium's crypto_kx_server_session_keys: the first half is the key for the other
        // direction, the second half decrypts.
        let mut session_keys = Zeroizing::new([0; 2 * KEY_BYTES]);
        let out: &mut Array<u8, _> = (&mut *session_keys).into();
        Blake2b512::new_with_prefix(shared.as_bytes())
            .chain_update(ephemeral.as_bytes())
            .chain_update(self.public.as_bytes())
            .finalize_into(out);
        let (_, receive_key) = out.split_ref::<U32>();
        decrypt_aead(ciphertext, receive_key.as_ref())
    }
}

/// Decodes base64 of any length. Failing to allocate would abort the process without a message.
fn decode_base64(text: &str) -> Result<Vec<u8>, DecryptError> {
    let mut bytes = Vec::new();
    let size = text.len() / 4 * 3;
    bytes.try_reserve_exact(size).map_err(|_| NO_MEMORY)?;
    bytes.resize(size, 0);
    let decoded = Base64::decode(text, &mut bytes);
    let length = decoded.map_err(|_| "its ciphertext is not base64")?.len();
    bytes.truncate(length);
    Ok(bytes)
}

/// Decrypts `ciphertext ‖ tag ‖ nonce` (XChaCha20-Poly1305-IETF) in place.
pub(super) fn decrypt_aead(
    mut ciphertext: Vec<u8>,
    key: &[u8; KEY_BYTES],
) -> Result<SecretBytes, DecryptError> {
    const TOO_SHORT: DecryptError = "it is too short";
    let (rest, nonce) = ciphertext
        .split_last_chunk_mut::<NONCE_BYTES>()
        .ok_or(TOO_SHORT)?;
    let (text, tag) = rest.split_last_chunk_mut::<TAG_BYTES>().ok_or(TOO_SHORT)?;
    let length = text.len();
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached((&*nonce).into(), b"", text.into(), (&*tag).into())
        .map_err(|_| WRONG_KEY_OR_MODIFIED)?;
    ciphertext.truncate(length);
    Ok(SecretBytes::new(ciphertext))
}

/// Parses a key in 64 lower-case hex digits, as Phase writes it.
pub(super) fn key_from_lower_hex(
    digits: &[u8],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, DecryptError> {
    key_from_hex(digits, |digits, key| {
        base16ct::lower::decode(digits, key).is_ok()
    })
}

/// Parses a key in 64 hex digits of either case: a person may have typed the token.
pub(super) fn key_from_any_hex(digits: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, DecryptError> {
    key_from_hex(digits, |digits, key| {
        base16ct::mixed::decode(digits, key).is_ok()
    })
}

fn key_from_hex(
    digits: &[u8],
    decode: impl Fn(&[u8], &mut [u8]) -> bool,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, DecryptError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    match digits.len() == 2 * KEY_BYTES && decode(digits, &mut *key) {
        true => Ok(key),
        false => Err("it contains a key that is not 64 hex digits"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Returns a test vector encrypted with PyNaCl, and the key pairs of its account and of its
    /// environment.
    fn vector() -> (Value, KeyPair, KeyPair) {
        let text = include_str!("../../tests/vectors/sealed.json");
        let vector: Value = serde_json::from_str(text).unwrap();
        let keys: Vec<&str> = vector["keys"].as_str().unwrap().split(':').collect();
        let wrapped_share = vector["wrapped_key_share"].as_str().unwrap();
        let share = unwrap_share(wrapped_share, keys[2]).unwrap();
        let mut private = key_from_any_hex(keys[1].as_bytes()).unwrap();
        for (byte, other) in private.iter_mut().zip(share.iter()) {
            *byte ^= other;
        }
        let account = KeyPair::from_private_key(&private);
        assert!(account.has_public_key(&key_from_lower_hex(keys[0].as_bytes()).unwrap()));
        let seed = vector["wrapped_seed"].as_str().unwrap();
        let seed = account.decrypt_field(seed).unwrap();
        let environment = KeyPair::from_seed(&key_from_lower_hex(seed.expose()).unwrap());
        let public = vector["identity_key"].as_str().unwrap();
        assert!(environment.has_public_key(&key_from_lower_hex(public.as_bytes()).unwrap()));
        (vector, account, environment)
    }

    fn unwrap_share(
        wrapped: &str,
        unwrap_key: &str,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, DecryptError> {
        let wrapped = base16ct::lower::decode_vec(wrapped).map_err(|_| "not hex digits")?;
        let share = decrypt_aead(wrapped, &*key_from_any_hex(unwrap_key.as_bytes())?)?;
        key_from_lower_hex(share.expose())
    }

    /// Returns every valid string that differs from `text` in one bit.
    fn one_bit_flips(text: &str) -> impl Iterator<Item = String> {
        (0..text.len() * 8).filter_map(|bit| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            String::from_utf8(bytes).ok()
        })
    }

    /// Every bit of a field is authenticated or has one valid form, and no field can be decrypted
    /// with another key. Exhaustive for the fields of the vector.
    #[test]
    fn every_flipped_bit_is_rejected() {
        let (vector, account, environment) = vector();
        let rows = vector["rows"].as_array().unwrap();
        let mut tried = 0;
        for row in rows.iter().take(8) {
            for member in ["key", "value"] {
                let field = row[member].as_str().unwrap();
                if field.len() > 300 {
                    continue;
                }
                assert!(environment.decrypt_field(field).is_ok());
                let error = account.decrypt_field(field).unwrap_err();
                assert_eq!(error, WRONG_KEY_OR_MODIFIED);
                for flipped in one_bit_flips(field) {
                    assert!(environment.decrypt_field(&flipped).is_err(), "{flipped}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 5000);
        let seed = vector["wrapped_seed"].as_str().unwrap();
        assert!(one_bit_flips(seed).all(|flipped| account.decrypt_field(&flipped).is_err()));
        let share = vector["wrapped_key_share"].as_str().unwrap();
        let unwrap_key = vector["keys"].as_str().unwrap().rsplit(':').next().unwrap();
        assert!(one_bit_flips(share).all(|flipped| unwrap_share(&flipped, unwrap_key).is_err()));
        assert!(unwrap_share(share, unwrap_key).is_ok());
    }

    /// Tries every string of up to six parts of a small alphabet behind the prefix.
    #[test]
    fn short_fields_never_panic() {
        let (_, _, environment) = vector();
        let alphabet = ["a", "=", ":", "/", "é", "0000000000000000"];
        for length in 0..=6_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut field = "ph:v1:".to_owned();
                for _ in 0..length {
                    field.push_str(alphabet[number % alphabet.len()]);
                    number /= alphabet.len();
                }
                assert!(environment.decrypt_field(&field).is_err());
            }
        }
    }
}
