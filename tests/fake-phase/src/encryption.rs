//! The sender's side of end-to-end encryption: encrypts what phase-run has to decrypt. Random bytes
//! are derived from their purpose instead, so that every run produces the same output.

use base64ct::{Base64, Encoding};
use blake2::{Blake2b256, Blake2b512, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde_json::{Map, Value};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::environment::Row;
use crate::identifiers::digest;

/// Derives a seed from `parts`, in hex digits.
pub(crate) fn seed(parts: &[&str]) -> String {
    digest(parts)
}

/// Returns the public key of the key pair of `seed`, in hex digits.
pub(crate) fn public_key(seed: &str) -> String {
    let seed = base16ct::lower::decode_vec(seed).unwrap();
    let private: [u8; 32] = Blake2b256::digest(seed).into();
    let public = PublicKey::from(&StaticSecret::from(private));
    base16ct::lower::encode_string(public.as_bytes())
}

/// Encrypts `text` for a public key as `ph:v1:…`. The ephemeral key is derived from `purpose`.
pub(crate) fn encrypt(text: &str, public: &str, purpose: &[&str]) -> String {
    let mut receiver = [0; 32];
    base16ct::lower::decode(public, &mut receiver).unwrap();
    let ephemeral: [u8; 32] = Blake2b256::digest(digest(&[purpose, &[text]].concat())).into();
    let ephemeral = StaticSecret::from(ephemeral);
    let sender = PublicKey::from(&ephemeral);
    let shared = ephemeral.diffie_hellman(&PublicKey::from(receiver));
    let keys = Blake2b512::new_with_prefix(shared.as_bytes())
        .chain_update(sender.as_bytes())
        .chain_update(receiver)
        .finalize();
    let (_, key) = keys.split_at(32);
    let nonce: [u8; 24] = *Blake2b256::digest(sender).first_chunk().unwrap();
    let mut ciphertext = text.as_bytes().to_vec();
    let tag = XChaCha20Poly1305::new_from_slice(key)
        .unwrap()
        .encrypt_inout_detached(&nonce.into(), b"", ciphertext.as_mut_slice().into())
        .unwrap();
    ciphertext.extend_from_slice(&tag);
    ciphertext.extend_from_slice(&nonce);
    let sender = base16ct::lower::encode_string(sender.as_bytes());
    format!("ph:v1:{sender}:{}", Base64::encode_string(&ciphertext))
}

/// Converts a row of `v1/secrets/` to one of `service/secrets/`: names in snake_case, and keys,
/// values and comments encrypted.
pub(crate) fn encrypt_row(row: &Row, public: &str) -> Row {
    let id = row.text("id").to_owned();
    let encrypted = |fields: &Map<String, Value>| {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (snake_case(name), encrypt_value(name, value, public, &id)))
            .collect()
    };
    Row {
        fields: encrypted(&row.fields),
        user_fields: encrypted(&row.user_fields),
    }
}

fn encrypt_value(name: &str, value: &Value, public: &str, id: &str) -> Value {
    match value {
        // Phase leaves an empty comment as it is.
        Value::String(text) if name == "comment" && text.is_empty() => value.clone(),
        Value::String(text) if ["key", "value", "comment", "keyName"].contains(&name) => {
            encrypt(text, public, &[name, id]).into()
        }
        Value::Array(items) => items
            .iter()
            .map(|item| encrypt_value("", item, public, id))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (snake_case(name), encrypt_value(name, value, public, id)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
