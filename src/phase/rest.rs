#![forbid(unsafe_code)]
//! The REST interface: fetches an environment's secrets, decrypted by the server.

use std::borrow::Cow;

use super::app_directory::{App, Environment};
use super::client::ApiClient;
use super::lease::{self, LeaseExpiry};
use super::response::Endpoint;
use super::rows::{CowStr, Override, SecretRows, StaticRow, copy_text};
use super::{ServerFilter, environment_label};
use crate::config::DynamicMode;
use crate::error::Error;
use crate::secret::{Secret, SecretBytes};

/// The result of a request for secrets to the REST interface.
pub(super) enum RestOutcome {
    /// The secrets, and when the first lease among them expires.
    Secrets(Vec<Secret>, Option<LeaseExpiry>),
    NoSuchApp,
    NoSuchEnvironment,
    /// The app is end-to-end encrypted: the server cannot decrypt its secrets.
    EndToEnd,
}

/// Fetches the environment of this exact name, in any case.
///
/// # Errors
/// Those of a request, the error that the server responds with, and those of
/// [`lease::variables_from_rows`]; `protocol` for rows of another shape or of another environment.
pub(super) fn fetch(
    client: &ApiClient<'_>,
    app: &App,
    environment: &Environment,
    server_filter: &ServerFilter<'_>,
    dynamic_mode: DynamicMode,
) -> Result<RestOutcome, Error> {
    let dynamic_fields = dynamic_mode.request_fields();
    let mut query = vec![("app_id", app.id.as_str()), ("env", &environment.name)];
    query.extend(server_filter.folder.map(|folder| ("path", folder)));
    let tags = server_filter.tag_list();
    query.extend(tags.as_deref().map(|tags| ("tags", tags)));
    query.extend(
        dynamic_fields
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let response = client.get(&client.host().rest_url("v1/secrets/"), &query, &[])?;
    let environment_label = environment_label(&environment.name, app);
    match response.status {
        200 => {
            let rows: SecretRows<'_, Secret> = response.json("a list of secrets")?;
            // The ID is only known if the app was looked up.
            let expected = environment
                .key
                .as_ref()
                .map(|key| key.environment_id.as_str());
            if let (Some(expected), Some(id)) = (expected, &rows.environment)
                && !id.eq_ignore_ascii_case(expected)
            {
                return Err(Error::UnexpectedResponse {
                    host: client.host().name().to_owned(),
                    why: format!(
                        "it has the secrets of another environment than {environment_label}"
                    ),
                    hint: None,
                });
            }
            let (variables, lease) = lease::variables_from_rows(
                rows.dynamic_rows,
                dynamic_mode,
                &environment_label,
                |key| Some(key.to_owned()),
                client.log(),
            )?;
            let mut secrets = rows.secrets;
            // Without a lease, the value is empty.
            secrets.extend(variables.into_iter().map(|variable| {
                variable
                    .map_key(Cow::into_owned)
                    .map_value(|value| match value {
                        Some(value) => SecretBytes::new(value.into_owned().into_bytes()),
                        None => SecretBytes::default(),
                    })
            }));
            return Ok(RestOutcome::Secrets(secrets, lease));
        }
        400 if response.says_end_to_end_encrypted() => return Ok(RestOutcome::EndToEnd),
        404 => match response.server_error_text() {
            Some(text) if text.starts_with("App ") => return Ok(RestOutcome::NoSuchApp),
            Some(text) if text.starts_with("Environment ") => {
                return Ok(RestOutcome::NoSuchEnvironment);
            }
            _ => {}
        },
        _ => {}
    }
    Err(response.error_for_status(Endpoint::Secrets {
        environment_label: &environment_label,
        leases: dynamic_mode.takes_leases(),
    }))
}

impl TryFrom<StaticRow<'_>> for Secret {
    type Error = &'static str;

    /// Copies the value out of the response.
    ///
    /// # Errors
    /// Those of [`copy_text`].
    fn try_from(row: StaticRow<'_>) -> Result<Self, &'static str> {
        let value = match row.personal_override {
            Some(Override {
                value: CowStr(own),
                is_active: true,
            }) => own,
            _ => row.value,
        };
        Ok(Self {
            key: row.key.into_owned(),
            value: SecretBytes::new(copy_text(value)?.into_bytes()),
            folder: row.folder,
            tags: row.tags,
            secret_type: row.secret_type,
            dynamic_secret_name: None,
            keeps_reference: false,
        })
    }
}
