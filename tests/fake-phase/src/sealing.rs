//! End-to-end encryption from the other side: seals what phase-run has to open. Everything random is
//! made from what it is for, so that every run gets the same bytes.

use base64ct::{Base64, Encoding};
use blake2::{Blake2b256, Blake2b512, Digest};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde_json::{Map, Value};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::environment::Row;
use crate::identifiers::digest;

/// A seed in hex digits, made from `parts`.
pub(crate) fn seed(parts: &[&str]) -> String {
    digest(parts)
}

/// The public key of a seed's pair, in hex digits.
pub(crate) fn public_key(seed: &str) -> String {
    let seed = base16ct::lower::decode_vec(seed).unwrap();
    let private: [u8; 32] = Blake2b256::digest(seed).into();
    let public = PublicKey::from(&StaticSecret::from(private));
    base16ct::lower::encode_string(public.as_bytes())
}

/// `ph:v1:…` of a text for the owner of this public key.
pub(crate) fn boxed(text: &str, public: &str, for_what: &[&str]) -> String {
    let mut receiver = [0; 32];
    base16ct::lower::decode(public, &mut receiver).unwrap();
    let made = [for_what, &[text]].concat();
    let ephemeral: [u8; 32] = Blake2b256::digest(digest(&made)).into();
    let ephemeral = StaticSecret::from(ephemeral);
    let sender = PublicKey::from(&ephemeral);
    let shared = ephemeral.diffie_hellman(&PublicKey::from(receiver));
    let keys = Blake2b512::new_with_prefix(shared.as_bytes())
        .chain_update(sender.as_bytes())
        .chain_update(receiver)
        .finalize();
    let (_, key) = keys.split_at(32);
    let nonce: [u8; 24] = *Blake2b256::digest(sender).first_chunk().unwrap();
    let mut sealed = text.as_bytes().to_vec();
    let tag = XChaCha20Poly1305::new_from_slice(key)
        .unwrap()
        .encrypt_inout_detached(&nonce.into(), b"", sealed.as_mut_slice().into())
        .unwrap();
    sealed.extend_from_slice(&tag);
    sealed.extend_from_slice(&nonce);
    let sender = base16ct::lower::encode_string(sender.as_bytes());
    format!("ph:v1:{sender}:{}", Base64::encode_string(&sealed))
}

/// A row of `v1/secrets/` as `service/secrets/` would have it: names in snake_case, and what the
/// server cannot read boxed.
pub(crate) fn sealed_row(row: &Row, public: &str) -> Row {
    let id = row.text("id").to_owned();
    let sealed = |fields: &Map<String, Value>| {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (snake_case(name), sealed_value(name, value, public, &id)))
            .collect()
    };
    Row {
        fields: sealed(&row.fields),
        personal: sealed(&row.personal),
    }
}

fn sealed_value(name: &str, value: &Value, public: &str, id: &str) -> Value {
    match value {
        // An empty comment is not boxed.
        Value::String(text) if name == "comment" && text.is_empty() => value.clone(),
        Value::String(text) if ["key", "value", "comment", "keyName"].contains(&name) => {
            boxed(text, public, &[name, id]).into()
        }
        Value::Array(items) => items
            .iter()
            .map(|item| sealed_value("", item, public, id))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (snake_case(name), sealed_value(name, value, public, id)))
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
