#![forbid(unsafe_code)]
//! What reads Phase's answers, for any bytes: see `crate::fuzz`.

use zeroize::Zeroizing;

use super::crypto::{KEY, KeyPair};
use super::e2ee::open_all;
use super::lease;
use super::rows::{Rows, StaticRow, Text};
use crate::config::DynamicSecrets;
use crate::error::Error;
use crate::secret::{Secret, SecretBytes};

/// A pair that nothing was sealed for.
fn pair() -> KeyPair {
    KeyPair::of(&Zeroizing::new([9; KEY]))
}

/// A boxed field.
pub(crate) fn field(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        assert!(pair().open(text).is_err());
    }
}

/// Rows of the REST interface.
pub(crate) fn rows(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    for dynamic in [DynamicSecrets::List, DynamicSecrets::Lease { ttl: None }] {
        let rows = serde_json::from_str::<Rows<'_, Secret, SecretBytes>>(text);
        if let Ok(rows) = rows {
            let _ = lease::secrets(rows.dynamic, dynamic, "x", |value, _| Ok(value));
        }
    }
}

/// Rows that are decrypted here.
pub(crate) fn sealed_rows(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    let rows = serde_json::from_str::<Rows<'_, StaticRow<'_, Text<'_>>, Text<'_>>>(text);
    if let Ok(rows) = rows {
        let empty = rows.secrets.is_empty();
        assert!(open_all(&rows.secrets, &pair(), "x").is_err() || empty);
        let open = |Text(field): Text<'_>, name: &str| {
            let sealed = pair().open(&field);
            sealed.map_err(|why| Error::DecryptionFailed {
                what: name.to_owned(),
                why,
            })
        };
        let _ = lease::secrets(rows.dynamic, DynamicSecrets::List, "x", open);
    }
}
