#![forbid(unsafe_code)]
//! Fuzz targets for what parses Phase's responses; see `crate::fuzz`.

use std::time::{Duration, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::app_directory::{AccessList, match_environment};
use super::crypto::{KEY_BYTES, KeyPair};
use super::e2ee::{EncryptedSecret, EnvironmentDecryptor};
use super::lease;
use super::response::{ApiResponse, Endpoint};
use super::rows::SecretRows;
use crate::config::DynamicMode;
use crate::error::{Error, SetBy, Setting};
use crate::log::Event;
use crate::secret::Secret;

/// Drops all events.
const NO_LOG: fn(Event<'_>) = |_| {};

/// A key pair for which no data was encrypted.
fn key_pair() -> KeyPair {
    KeyPair::from_private_key(&Zeroizing::new([9; KEY_BYTES]))
}

/// Decrypts `data` as an encrypted field.
pub(crate) fn field(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        assert!(key_pair().decrypt_field(text).is_err());
    }
}

/// Parses `data` as the end of a lease. A time that is accepted lies in the years 0 to 9999, or within a
/// year of them, because of its offset.
pub(crate) fn lease_end(data: &[u8]) {
    const YEAR: Duration = Duration::from_secs(31_556_952);
    if let Some(end) = lease::parse_rfc3339(str::from_utf8(data).unwrap_or_default()) {
        assert!(UNIX_EPOCH - 1971 * YEAR < end && end < UNIX_EPOCH + 8031 * YEAR);
    }
}

/// The key of a variable that is not encrypted.
#[expect(
    clippy::unnecessary_wraps,
    reason = "an encrypted one may be unreadable"
)]
fn read_key(key: &str) -> Option<String> {
    Some(key.to_owned())
}

/// Parses `data` as rows of the REST interface.
pub(crate) fn rows(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    for dynamic_mode in [DynamicMode::List, DynamicMode::Lease { ttl: None }] {
        let rows = serde_json::from_str::<SecretRows<'_, Secret>>(text);
        if let Ok(rows) = rows {
            let _ =
                lease::variables_from_rows(rows.dynamic_rows, dynamic_mode, "x", read_key, &NO_LOG);
        }
    }
}

/// Parses `data` as encrypted rows, and decrypts them.
pub(crate) fn encrypted_rows(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    let rows = serde_json::from_str::<SecretRows<'_, EncryptedSecret>>(text);
    let Ok(rows) = rows else { return };
    let dynamic_mode = DynamicMode::List;
    let variables =
        lease::variables_from_rows(rows.dynamic_rows, dynamic_mode, "x", read_key, &NO_LOG);
    let mut secrets = rows.secrets;
    if let Ok((variables, _)) = variables {
        secrets.extend(variables.into_iter().map(EncryptedSecret::from));
    }
    let is_empty = secrets.is_empty();
    let decryptor = EnvironmentDecryptor::new(key_pair(), "x".to_owned());
    assert!(decryptor.decrypt_keys(secrets).is_err() || is_empty);
}

/// Parses `data` as the response to a request for leases, which is a refusal or rows with leases.
pub(crate) fn leases(data: &[u8]) {
    let endpoint = Endpoint::Secrets {
        environment_label: "x",
        leases: true,
    };
    let refusal = ApiResponse::for_fuzzing(400, data).error_for_status(endpoint);
    assert!(matches!(
        refusal,
        Error::LeaseFailed { .. } | Error::UnexpectedResponse { .. }
    ));
    assert!(!refusal.to_string().is_empty());
    let text = str::from_utf8(data).unwrap_or_default();
    let rows = serde_json::from_str::<SecretRows<'_, Secret>>(text);
    let Ok(rows) = rows else { return };
    let dynamic_mode = DynamicMode::Lease { ttl: None };
    let leased =
        lease::variables_from_rows(rows.dynamic_rows, dynamic_mode, "x", read_key, &NO_LOG);
    if let Ok((variables, _)) = leased {
        assert!(variables.iter().all(|variable| variable.value.is_some()));
    }
}

/// Parses `data` as the response of the token endpoint, and looks up each environment in it by its name.
pub(crate) fn token_endpoint(data: &[u8]) {
    let Ok(access_list) = AccessList::from_response(&ApiResponse::for_fuzzing(200, data), false)
    else {
        return;
    };
    for app in &access_list.apps {
        let environments = app.environments.as_deref().unwrap_or_default();
        for environment in environments.iter().take(10) {
            let setting = Setting {
                value: environment.name.clone(),
                set_by: SetBy::Option("--env"),
            };
            if let Ok((found, None)) = match_environment(environments, &setting, &app.name) {
                assert_eq!(found.name.to_lowercase(), environment.name.to_lowercase());
            }
            if let Some(key) = &environment.key {
                assert!(key_pair().decrypt_field(&key.wrapped_seed).is_err());
            }
        }
    }
}
