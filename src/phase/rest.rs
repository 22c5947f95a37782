#![forbid(unsafe_code)]
//! The REST interface: an environment's secrets, decrypted by the server.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::catalogue::App;
use super::http::Client;
use super::refusal::{self, Asked};
use crate::config::Filter;
use crate::error::Error;
use crate::object::Object;
use crate::secret::{Secret, SecretBytes};

/// What came of asking for secrets.
pub(super) enum Answer {
    Secrets(Vec<Secret>),
    NoSuchApp,
    NoSuchEnvironment,
}

/// The list of rows. Each becomes a secret at once, so that there is one copy of each value.
struct Rows(Vec<Secret>);

/// A row as the server sends it; other members are of no use here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    key: String,
    value: SecretBytes,
    path: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    r#override: Option<Object<Override>>,
}

/// A user's own value, which replaces the shared one while it is active.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Override {
    value: SecretBytes,
    is_active: bool,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Rows, A::Error> {
                let mut secrets = Vec::new();
                // With two of the tags asked for, a secret comes twice: one with fewer cannot.
                let mut seen = HashSet::new();
                while let Some(Object(row)) = rows.next_element::<Object<Row<'de>>>()? {
                    if row.tags.len() < 2 || seen.insert(row.id.clone()) {
                        secrets.push(Secret::from(row));
                    }
                }
                Ok(Rows(secrets))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Asks once for an environment by its exact name, in any case.
///
/// # Errors
/// Those of a request, and of a server that refuses; `protocol` for rows of another shape.
pub(super) fn secrets(
    client: &Client<'_>,
    app: &App,
    environment: &str,
    filter: &Filter,
) -> Result<Answer, Error> {
    let tags = filter.tags.join(",");
    let mut query = vec![("app_id", app.id.as_str()), ("env", environment)];
    // What the server leaves out it never sends. It gets one filter: of two it could not be told
    // which one selects nothing.
    match filter.paths.as_slice() {
        [] if !tags.is_empty() => query.push(("tags", &tags)),
        [folder] => query.extend(folder.exact().map(|folder| ("path", folder))),
        _ => {}
    }
    let answer = client.get(&client.host().rest("v1/secrets/"), &query)?;
    let asked = Asked::Secrets {
        app: &app.name,
        environment,
    };
    match answer.status {
        200 => {
            let Rows(secrets) = answer.json("a list of secrets")?;
            Ok(Answer::Secrets(secrets))
        }
        404 => match answer.server_error().as_deref() {
            Some(text) if text.starts_with("App ") => Ok(Answer::NoSuchApp),
            Some(text) if text.starts_with("Environment ") => Ok(Answer::NoSuchEnvironment),
            _ => Err(refusal::of(&answer, asked)),
        },
        _ => Err(refusal::of(&answer, asked)),
    }
}

impl From<Row<'_>> for Secret {
    fn from(row: Row<'_>) -> Self {
        let value = match row.r#override {
            Some(Object(Override {
                value,
                is_active: true,
            })) => value,
            _ => row.value,
        };
        let kind = match row.r#type.as_ref() {
            "secret" => Cow::Borrowed("secret"),
            "sealed" => Cow::Borrowed("sealed"),
            "config" => Cow::Borrowed("config"),
            other => Cow::Owned(other.to_owned()),
        };
        Self {
            key: row.key,
            value,
            folder: row.path,
            tags: row.tags,
            kind,
        }
    }
}
