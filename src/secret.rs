#![forbid(unsafe_code)]
//! The one type for secret bytes, what Phase keeps beside them, and the token.
//!
//! Values enter through serde straight from the answer's buffer and leave as an entry of the
//! command's environment or as the content of a sealed file. Nothing here can be printed, and
//! nothing here can be copied by accident.

mod token;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(crate) use token::{Token, is_token_variable};

/// Bytes that are wiped when dropped. No Display, no Clone, and a Debug that shows nothing.
#[derive(Default)]
pub(crate) struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for those who hand them on: the request's header, the environment, a file.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Compares in a time that tells nothing but the lengths.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretBytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretBytes, E> {
                Ok(SecretBytes::new(text.as_bytes().to_vec()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<SecretBytes, E> {
                Ok(SecretBytes::new(text.into_bytes()))
            }

            // serde's own message would quote what it met instead of a string.
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<SecretBytes, E> {
                Err(E::custom("not a string"))
            }
        }
        deserializer
            .deserialize_str(Text)
            .map_err(|_| D::Error::custom("not a string"))
    }
}

/// One row of an environment of Phase, as it was selected or may be.
#[derive(Debug)]
pub(crate) struct Secret {
    /// The name as stored in Phase, before any prefix.
    pub(crate) key: String,
    pub(crate) value: SecretBytes,
    /// `/`, `/backend`, …: first slash there, last one not.
    pub(crate) folder: String,
    pub(crate) tags: Vec<String>,
    /// `secret`, `sealed`, `config`, which differ in the console only and are injected alike, or
    /// `dynamic`.
    pub(crate) kind: Cow<'static, str>,
    /// The dynamic secret that it is part of: its value is another one at each lease.
    pub(crate) dynamic: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = SecretBytes::new(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes(..)");
    }

    #[test]
    fn a_value_of_another_type_is_not_quoted() {
        for json in ["5", "true", "null", "[\"x\"]", "{\"a\":1}"] {
            let error = serde_json::from_str::<SecretBytes>(json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("not a string"), "{json}: {error}");
        }
    }
}
