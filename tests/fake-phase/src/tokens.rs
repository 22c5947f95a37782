//! The token endpoint: returns the account, and the apps and environment keys that it can read.

use serde_json::{Value, json};

use crate::authentication::{Refusal, account};
use crate::captures::token_body;
use crate::encryption::encrypt;
use crate::environment::Environment;
use crate::identifiers::{digest, uuid};
use crate::request::Request;
use crate::world::{Account, World};

/// Returns the JSON object for a token, with apps sorted by name and keys by their environment's ID.
pub(crate) fn body(
    world: &World,
    request: &Request,
    authorization: &str,
) -> Result<Vec<u8>, Refusal> {
    let Some(account) = account(world, authorization) else {
        return Err((403, "Token expired or deleted".to_owned()));
    };
    if request.method != "GET" {
        return Err((405, format!("Method \"{}\" not allowed.", request.method)));
    }
    let mut body = token_body(account);
    let holder = ["account_id", "user_id"]
        .iter()
        .find_map(|field| body.get(field))
        .cloned()
        .unwrap();

    // Phase says so of every app to a legacy service token.
    let is_legacy = authorization.split(' ').nth(1) == Some("Service");
    let mut apps = Vec::new();
    for app in world.apps.iter().filter(|app| app.visible_to(account)) {
        let mut readable: Vec<&Environment> = app
            .environments
            .iter()
            .filter(|env| env.readable_by(account))
            .collect();
        readable.sort_by(|one, other| one.id.cmp(&other.id));
        let keys: Vec<Value> = readable
            .into_iter()
            .map(|environment| key(environment, account, &holder))
            .collect();
        apps.push(json!({
            "id": app.id,
            "name": app.name,
            "encryption": if app.e2e || is_legacy { "E2E" } else { "SSE" },
            "environment_keys": keys,
        }));
    }
    let name = |app: &Value| app.get("name").and_then(Value::as_str).unwrap().to_owned();
    apps.sort_by_key(name);
    body.as_object_mut()
        .unwrap()
        .insert("apps".to_owned(), apps.into());
    if let Some(replacement) = &world.wrapped_key_share {
        *body.get_mut("wrapped_key_share").unwrap() = replacement.clone().into();
    }
    Ok(body.to_string().into_bytes())
}

/// Returns an environment's key, with the members that a test has replaced.
fn key(environment: &Environment, account: Account, holder: &Value) -> Value {
    let mut key = unmodified_key(environment, account, holder);
    for (member, value) in &environment.corrupted {
        *key.get_mut(member).unwrap() = value.clone();
    }
    key
}

fn unmodified_key(environment: &Environment, account: Account, holder: &Value) -> Value {
    let mut captured = environment
        .keys
        .iter()
        .filter(|(owner, _)| *owner == account);
    if let Some((_, key)) = captured.next() {
        return key.clone();
    }
    let id = environment.id.as_str();
    let kind = account.authorization_type();
    let encrypted = |text: &str| encrypt(text, account.public_key(), &[kind, id]);
    json!({
        "id": uuid(&["key", kind, id]),
        "environment": {
            "id": id,
            "name": environment.name,
            "env_type": environment.env_type,
            "index": environment.index,
            "created_at": environment.created,
            "updated_at": environment.updated,
        },
        "paths": null,
        "identity_key": environment.public_key(),
        "wrapped_seed": encrypted(&environment.seed()),
        "wrapped_salt": encrypted(&digest(&["salt", id])),
        "created_at": environment.created,
        "updated_at": environment.updated,
        "deleted_at": null,
        "user": if account == Account::User { holder.clone() } else { Value::Null },
        "service_account": if account == Account::ServiceAccount { holder.clone() } else { Value::Null },
    })
}
