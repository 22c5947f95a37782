#![forbid(unsafe_code)]
//! Secret bytes, a secret as Phase stores it, and the token.
//!
//! serde reads a value straight from the buffer of the response into [`SecretBytes`]. The
//! value then becomes an entry of the command's environment or the content of a sealed file.
//! [`SecretBytes`] implements neither `Display` nor `Clone`, so a value is not printed or copied by
//! accident.
//!
//! # How memory is wiped
//!
//! - **Heap: the global allocator** in `main.rs` overwrites every block with zeros before it frees it.
//!   All wiping of heap memory rests on it, because only the allocator also sees what the TLS, HTTP and
//!   JSON libraries free, and the old block when a vector grows. Our own buffers are therefore plain
//!   `Vec<u8>` and `String`: `Zeroizing` around them would only wipe them a second time.
//! - **Stack: `Zeroizing`** of the crate zeroize, for keys in arrays such as `Zeroizing<[u8; 32]>`, which
//!   the allocator never sees. The ciphers and hashes wipe their own state (their feature `zeroize`).
//! - **[`SecretBytes`] is the exception**: it also zeroizes on drop, so that its guarantee does not depend
//!   on `main.rs`. The second pass takes about 0.2 ms per MiB of values, 2 µs for an ordinary environment.
//!
//! - **Old stack frames: [`wipe_unused_stack`]**. A move of an array can leave a copy in a frame that is
//!   not in use any more, also in the libraries.

pub(crate) mod length_prefixed;
mod token;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use token::{Token, is_token_variable};

/// How much of the stack below the current frame is wiped, in bytes. The frames that handle keys are not
/// deeper.
const WIPED_STACK_BYTES: usize = 128 << 10;

/// Overwrites the part of the stack that the functions which have returned may have used.
#[inline(never)]
pub(crate) fn wipe_unused_stack() {
    let mut unused = [0xff_u8; WIPED_STACK_BYTES];
    // zeroize writes each byte, and the optimizer may not leave that out.
    unused.zeroize();
}

/// Bytes that are zeroized on drop. There is no `Display` and no `Clone`, and `Debug` shows nothing.
#[derive(Default)]
pub(crate) struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of the bytes without copying them.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns a copy, or `None` if there is no memory for it: failing to allocate would abort the process.
    pub(crate) fn try_copy(&self) -> Option<Self> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.0.len()).ok()?;
        copy.extend_from_slice(&self.0);
        Some(Self::new(copy))
    }

    /// The bytes, for a request header, the environment or a sealed file.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time, so that the time reveals nothing but the lengths.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
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

            // serde's own message would quote the number.
            fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<SecretBytes, E> {
                Err(E::custom("not a string"))
            }
        }
        deserializer
            .deserialize_str(Text)
            .map_err(|_| D::Error::custom("not a string"))
    }
}

/// A secret as Phase stores it. `K` and `V` are the types of the key and of the value, which are others
/// while they are still encrypted.
#[derive(Debug)]
pub(crate) struct Secret<K = String, V = SecretBytes> {
    /// The name in Phase, without any prefix.
    pub(crate) key: K,
    pub(crate) value: V,
    /// The path of its folder, with a leading slash and no trailing one: `/`, `/backend`, …
    pub(crate) folder: String,
    pub(crate) tags: Vec<String>,
    /// `secret`, `sealed` or `config`, which differ only in Phase's console, or `dynamic`.
    pub(crate) secret_type: Cow<'static, str>,
    /// The name of the dynamic secret that it is part of. Its value is different in each lease.
    pub(crate) dynamic_secret_name: Option<String>,
    /// Whether the value still has a reference that names a secret, or may name one. The rest of the
    /// references that are left name nothing.
    pub(crate) keeps_reference: bool,
}

impl<K, V> Secret<K, V> {
    /// Replaces the key by what `map` returns for it.
    pub(crate) fn map_key<T>(self, map: impl FnOnce(K) -> T) -> Secret<T, V> {
        Secret {
            key: map(self.key),
            value: self.value,
            folder: self.folder,
            tags: self.tags,
            secret_type: self.secret_type,
            dynamic_secret_name: self.dynamic_secret_name,
            keeps_reference: self.keeps_reference,
        }
    }

    /// Replaces the value by what `map` returns for it.
    pub(crate) fn map_value<T>(self, map: impl FnOnce(V) -> T) -> Secret<K, T> {
        Secret {
            key: self.key,
            value: map(self.value),
            folder: self.folder,
            tags: self.tags,
            secret_type: self.secret_type,
            dynamic_secret_name: self.dynamic_secret_name,
            keeps_reference: self.keeps_reference,
        }
    }
}

/// Tests that read freed memory, through /proc.
#[cfg(test)]
#[cfg(target_os = "linux")]
mod memory_tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Whether any part of a block that was filled with 0xA5 is still in memory at `address`.
    fn is_left(address: usize, buffer: &mut [u8]) -> bool {
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(buffer, address as u64).unwrap();
        buffer.windows(16).any(|bytes| bytes == [0xa5; 16])
    }

    #[test]
    fn freed_heap_memory_is_wiped() {
        let mut buffer = vec![0; 4096];
        let block = vec![0xa5_u8; 4096];
        // The allocator gives no pages back while a block behind this one is in use.
        let _behind = vec![1_u8; 4096];
        let address = block.as_ptr().addr();
        assert!(is_left(address, &mut buffer));
        drop(block);
        assert!(!is_left(address, &mut buffer));
    }

    #[test]
    fn heap_memory_is_wiped_when_a_vector_grows() {
        let mut buffer = vec![0; 4096];
        let mut block = vec![0xa5_u8; 4096];
        let _behind = vec![1_u8; 4096];
        let address = block.as_ptr().addr();
        block.reserve(8192);
        assert_ne!(block.as_ptr().addr(), address);
        assert!(!is_left(address, &mut buffer));
    }

    #[test]
    fn unused_stack_is_wiped() {
        #[inline(never)]
        fn leave_on_stack() -> usize {
            let block = [0xa5_u8; 32 << 10];
            std::hint::black_box(&block).as_ptr().addr()
        }
        let mut buffer = vec![0; 32 << 10];
        let address = leave_on_stack();
        assert!(is_left(address, &mut buffer));
        wipe_unused_stack();
        assert!(!is_left(address, &mut buffer));
    }
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
    fn value_of_another_type_is_not_quoted() {
        for json in ["5", "true", "null", "[\"x\"]", "{\"a\":1}"] {
            let error = serde_json::from_str::<SecretBytes>(json)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("not a string"), "{json}: {error}");
        }
    }
}
