#![forbid(unsafe_code)]
//! The REST interface: an environment's secrets, decrypted by the server.

use super::client::ApiClient;
use super::directory::App;
use super::lease::{self, Lease};
use super::rows::{Override, Rows, StaticRow};
use super::status::{self, Endpoint};
use super::{ServerFilter, place};
use crate::config::DynamicSecrets;
use crate::error::Error;
use crate::secret::{Secret, SecretBytes};

/// What came of asking for secrets.
pub(super) enum RestOutcome {
    Secrets(Vec<Secret>, Option<Lease>),
    NoSuchApp,
    NoSuchEnvironment,
    /// The server cannot read them.
    EndToEnd,
}

/// Asks once for an environment by its exact name, in any case.
///
/// # Errors
/// Those of a request, and of a server that refuses; `protocol` for rows of another shape.
pub(super) fn secrets(
    client: &ApiClient<'_>,
    app: &App,
    environment: &str,
    narrowed: &ServerFilter<'_>,
    dynamic: DynamicSecrets,
) -> Result<RestOutcome, Error> {
    let ttl = dynamic.ttl().map(|seconds| seconds.to_string());
    let mut query = vec![("app_id", app.id.as_str()), ("env", environment)];
    query.extend(narrowed.folder.map(|folder| ("path", folder)));
    query.extend(narrowed.tags.as_deref().map(|tags| ("tags", tags)));
    query.extend(dynamic.request_fields(ttl.as_deref()));
    let answer = client.get(&client.host().rest_url("v1/secrets/"), &query, &[])?;
    let place = place(environment, app);
    let asked = Endpoint::Secrets {
        place: &place,
        leased: dynamic.leases(),
    };
    match answer.status {
        200 => {
            let rows: Rows<'_, Secret, SecretBytes> = answer.json("a list of secrets")?;
            let mut secrets = rows.secrets;
            let open = |value, _: &str| Ok(value);
            let (leased, lease) = lease::secrets(rows.dynamic, dynamic, &place, open)?;
            secrets.extend(leased);
            Ok(RestOutcome::Secrets(secrets, lease))
        }
        400 if answer.is_end_to_end() => Ok(RestOutcome::EndToEnd),
        404 => match answer.server_error().as_deref() {
            Some(text) if text.starts_with("App ") => Ok(RestOutcome::NoSuchApp),
            Some(text) if text.starts_with("Environment ") => Ok(RestOutcome::NoSuchEnvironment),
            _ => Err(status::error_for_status(&answer, asked)),
        },
        _ => Err(status::error_for_status(&answer, asked)),
    }
}

impl From<StaticRow<'_, SecretBytes>> for Secret {
    fn from(row: StaticRow<'_, SecretBytes>) -> Self {
        let value = match row.personal {
            Some(Override {
                value,
                is_active: true,
            }) => value,
            _ => row.value,
        };
        Self {
            key: row.key.into_owned(),
            value,
            folder: row.folder,
            tags: row.tags,
            kind: row.kind,
            dynamic: None,
        }
    }
}
