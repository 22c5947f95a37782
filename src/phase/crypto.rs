#![forbid(unsafe_code)]
//! Opening what Phase seals: three primitives of libsodium, put together as Phase does.
//!
//! Nothing of the cryptography is written here. Every encoding is read in the one form in which
//! Phase writes it, so that no changed character goes unnoticed. What fails says why, and never
//! holds any of the bytes.

use base64ct::{Base64, Encoding};
use blake2::digest::array::Array;
use blake2::{Blake2b256, Blake2b512, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::secret::SecretBytes;

/// Of a key, in bytes; X25519, BLAKE2b-256 and XChaCha20-Poly1305 agree on it.
pub(super) const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Why something does not open; never holds any of it.
pub(super) type Flaw = &'static str;

const FOREIGN: Flaw = "it was sealed for another key, or changed";

/// A pair of X25519 keys (RFC 7748).
pub(super) struct KeyPair {
    private: StaticSecret,
    public: PublicKey,
}

impl KeyPair {
    /// The pair of a private key.
    pub(super) fn of(private: &Zeroizing<[u8; KEY]>) -> Self {
        let private = StaticSecret::from(**private);
        let public = PublicKey::from(&private);
        Self { private, public }
    }

    /// The pair of a seed: its private key is BLAKE2b-256 of it (libsodium's crypto_kx_seed_keypair).
    pub(super) fn of_seed(seed: &Zeroizing<[u8; KEY]>) -> Self {
        let mut private = Zeroizing::new([0; KEY]);
        let out: &mut Array<u8, _> = (&mut *private).into();
        Blake2b256::new_with_prefix(seed.as_slice()).finalize_into(out);
        Self::of(&private)
    }

    /// Whether this is the pair of that public key.
    pub(super) fn has_public(&self, public: &[u8; KEY]) -> bool {
        self.public.as_bytes().ct_eq(public).into()
    }

    /// Opens a boxed field: `ph:v1:<ephemeral public key, hex>:<base64>`.
    pub(super) fn open(&self, field: &str) -> Result<SecretBytes, Flaw> {
        let Some(rest) = field.strip_prefix("ph:") else {
            return Err("it does not start with ph:, as what is encrypted does");
        };
        let Some(rest) = rest.strip_prefix("v1:") else {
            return Err("it is of a version that is not known: not ph:v1:");
        };
        let Some((ephemeral, sealed)) = rest.split_once(':') else {
            return Err("it breaks off");
        };
        let ephemeral = PublicKey::from(*lower_hex(ephemeral.as_bytes())?);
        let sealed = Base64::decode_vec(sealed).map_err(|_| "its content is not base64")?;
        let shared = self.private.diffie_hellman(&ephemeral);
        // As libsodium refuses it: such a point gives everybody the same secret.
        if !shared.was_contributory() {
            return Err("its public key is none");
        }
        let mut keys = Zeroizing::new([0; 2 * KEY]);
        let out: &mut Array<u8, _> = (&mut *keys).into();
        Blake2b512::new_with_prefix(shared.as_bytes())
            .chain_update(ephemeral.as_bytes())
            .chain_update(self.public.as_bytes())
            .finalize_into(out);
        // The first half is for the other direction (crypto_kx_server_session_keys).
        let (_, key) = keys.split_at(KEY);
        open_sealed(sealed, key)
    }
}

/// Opens `ciphertext ‖ tag ‖ nonce` (XChaCha20-Poly1305-IETF), in place.
pub(super) fn open_sealed(mut sealed: Vec<u8>, key: &[u8]) -> Result<SecretBytes, Flaw> {
    const SHORT: Flaw = "it is too short";
    let length = sealed.len().checked_sub(NONCE + TAG).ok_or(SHORT)?;
    let (text, rest) = sealed.split_at_mut(length);
    let (tag, nonce) = rest.split_at(TAG);
    let key = <&Key>::try_from(key).map_err(|_| SHORT)?;
    let tag = Tag::try_from(tag).map_err(|_| SHORT)?;
    let nonce = XNonce::try_from(nonce).map_err(|_| SHORT)?;
    XChaCha20Poly1305::new(key)
        .decrypt_inout_detached(&nonce, b"", text.into(), &tag)
        .map_err(|_| FOREIGN)?;
    sealed.truncate(length);
    Ok(SecretBytes::new(sealed))
}

/// A key in 64 hexadecimal digits, as Phase writes them: lower case.
pub(super) fn lower_hex(digits: &[u8]) -> Result<Zeroizing<[u8; KEY]>, Flaw> {
    key_of(digits, |digits, key| {
        base16ct::lower::decode(digits, key).is_ok()
    })
}

/// A key in 64 hexadecimal digits of either case, as somebody may have typed a token.
pub(super) fn mixed_hex(digits: &[u8]) -> Result<Zeroizing<[u8; KEY]>, Flaw> {
    key_of(digits, |digits, key| {
        base16ct::mixed::decode(digits, key).is_ok()
    })
}

fn key_of(
    digits: &[u8],
    decode: impl Fn(&[u8], &mut [u8]) -> bool,
) -> Result<Zeroizing<[u8; KEY]>, Flaw> {
    let mut key = Zeroizing::new([0; KEY]);
    match digits.len() == 2 * KEY && decode(digits, &mut *key) {
        true => Ok(key),
        false => Err("a key in it is not 64 hex digits"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What PyNaCl sealed, and the pairs of its account and its environment.
    fn vector() -> (Value, KeyPair, KeyPair) {
        let text = include_str!("../../tests/vectors/sealed.json");
        let vector: Value = serde_json::from_str(text).unwrap();
        let keys: Vec<&str> = vector["keys"].as_str().unwrap().split(':').collect();
        let share = wrapped_share(vector["wrapped_key_share"].as_str().unwrap(), keys[2]).unwrap();
        let mut private = mixed_hex(keys[1].as_bytes()).unwrap();
        for (byte, other) in private.iter_mut().zip(share.iter()) {
            *byte ^= other;
        }
        let account = KeyPair::of(&private);
        assert!(account.has_public(&lower_hex(keys[0].as_bytes()).unwrap()));
        let seed = vector["wrapped_seed"].as_str().unwrap();
        let seed = lower_hex(account.open(seed).unwrap().expose()).unwrap();
        let environment = KeyPair::of_seed(&seed);
        let identity = vector["identity_key"].as_str().unwrap();
        assert!(environment.has_public(&lower_hex(identity.as_bytes()).unwrap()));
        (vector, account, environment)
    }

    fn wrapped_share(wrapped: &str, unwrap: &str) -> Result<Zeroizing<[u8; KEY]>, Flaw> {
        let wrapped = base16ct::lower::decode_vec(wrapped).map_err(|_| "not hex digits")?;
        let share = open_sealed(wrapped, &*mixed_hex(unwrap.as_bytes())?)?;
        lower_hex(share.expose())
    }

    /// Every text that differs from this one in one bit, and is text at all.
    fn flips(text: &str) -> impl Iterator<Item = String> {
        (0..text.len() * 8).filter_map(|bit| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            String::from_utf8(bytes).ok()
        })
    }

    /// Bounded exhaustive: no bit of a box is without meaning, and no box opens for another key.
    #[test]
    fn every_flipped_bit_is_refused() {
        let (vector, account, environment) = vector();
        let rows = vector["rows"].as_array().unwrap();
        let mut tried = 0;
        for row in rows.iter().take(8) {
            for member in ["key", "value"] {
                let field = row[member].as_str().unwrap();
                if field.len() > 300 {
                    continue;
                }
                assert!(environment.open(field).is_ok());
                assert_eq!(account.open(field).unwrap_err(), FOREIGN);
                for flipped in flips(field) {
                    assert!(environment.open(&flipped).is_err(), "{flipped}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 5000);
        let seed = vector["wrapped_seed"].as_str().unwrap();
        assert!(flips(seed).all(|flipped| account.open(&flipped).is_err()));
        let share = vector["wrapped_key_share"].as_str().unwrap();
        let unwrap = vector["keys"].as_str().unwrap().rsplit(':').next().unwrap();
        assert!(flips(share).all(|flipped| wrapped_share(&flipped, unwrap).is_err()));
        assert!(wrapped_share(share, unwrap).is_ok());
    }

    /// Bounded exhaustive: every string of a small alphabet behind the prefix.
    #[test]
    fn no_short_field_panics() {
        let (_, _, environment) = vector();
        let alphabet = ["a", "=", ":", "/", "é", "0000000000000000"];
        for length in 0..=6_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut field = "ph:v1:".to_owned();
                for _ in 0..length {
                    field.push_str(alphabet[number % alphabet.len()]);
                    number /= alphabet.len();
                }
                assert!(environment.open(&field).is_err());
            }
        }
    }
}
