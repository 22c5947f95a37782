//! The token endpoint: the account, and the apps and environment keys that its token can read.

use serde_json::{Value, json};

use crate::access::{Refusal, account};
use crate::captures::token_answer;
use crate::environment::Environment;
use crate::identifiers::{digest, uuid};
use crate::request::Request;
use crate::sealing::boxed;
use crate::world::{Account, World};

/// The JSON object for this token. Apps come by name, keys by their environment's id.
pub(crate) fn answer(
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
    let mut answer = token_answer(account);
    let holder = ["account_id", "user_id"]
        .iter()
        .find_map(|field| answer.get(field))
        .cloned()
        .unwrap();

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
            "encryption": if app.e2e { "E2E" } else { "SSE" },
            "environment_keys": keys,
        }));
    }
    let name = |app: &Value| app.get("name").and_then(Value::as_str).unwrap().to_owned();
    apps.sort_by_key(name);
    answer
        .as_object_mut()
        .unwrap()
        .insert("apps".to_owned(), apps.into());
    if let Some(spoiled) = &world.wrapped_key_share {
        *answer.get_mut("wrapped_key_share").unwrap() = spoiled.clone().into();
    }
    Ok(answer.to_string().into_bytes())
}

/// The captured key, or one that is made, with what a test has changed of it.
fn key(environment: &Environment, account: Account, holder: &Value) -> Value {
    let mut key = whole_key(environment, account, holder);
    for (member, value) in &environment.spoiled {
        *key.get_mut(member).unwrap() = value.clone();
    }
    key
}

fn whole_key(environment: &Environment, account: Account, holder: &Value) -> Value {
    let mut captured = environment.keys.iter().filter(|(of, _)| *of == account);
    if let Some((_, key)) = captured.next() {
        return key.clone();
    }
    let id = environment.id.as_str();
    let kind = account.authorization_type();
    let sealed = |text: &str| boxed(text, account.public_key(), &[kind, id]);
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
        "wrapped_seed": sealed(&environment.seed()),
        "wrapped_salt": sealed(&digest(&["salt", id])),
        "created_at": environment.created,
        "updated_at": environment.updated,
        "deleted_at": null,
        "user": if account == Account::User { holder.clone() } else { Value::Null },
        "service_account": if account == Account::ServiceAccount { holder.clone() } else { Value::Null },
    })
}
