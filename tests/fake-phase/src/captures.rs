//! Recorded exchanges with a real server, and the world that they show. Its rows are the captured
//! ones, so that the views return the captured bytes.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::environment::{Environment, Row};
use crate::world::{Account, World};

static CREDENTIALS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../captures/credentials.json")).unwrap());

/// One captured exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The capture's file name, without its extension.
    pub name: &'static str,
    /// The request's method.
    pub method: &'static str,
    /// The request's path and query.
    pub target: &'static str,
    /// The request's headers.
    pub request_headers: Vec<(&'static str, &'static str)>,
    /// The response's status.
    pub status: u16,
    /// The response's headers, in order.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The response's body.
    pub body: &'static str,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../captures/", $name, ".http")))),*]
    };
}

const FILES: &[(&str, &str)] = &files![
    "apps",
    "e2ee-secrets-development",
    "e2ee-secrets-platform-production",
    "e2ee-secrets-production-path-backend",
    "e2ee-secrets-production-user",
    "e2ee-secrets-production",
    "environments",
    "error-app-not-found",
    "error-e2ee-env-no-access",
    "error-e2ee-env-unknown",
    "error-env-no-access",
    "error-env-not-found",
    "error-lease-ttl",
    "error-missing-env",
    "error-missing-slash",
    "error-no-token",
    "error-rate-limited",
    "error-sse-not-enabled",
    "error-token-expired",
    "error-token-unknown",
    "error-token-wrong-type",
    "error-tokens-expired",
    "secrets-all-user-overrides",
    "secrets-all",
    "secrets-key",
    "secrets-path-backend",
    "secrets-path-missing",
    "secrets-path-root",
    "secrets-path-unnormalised",
    "secrets-tags-duplicated-rows",
    "tokens-service-account",
    "tokens-user",
];

/// Returns all captured exchanges.
pub fn exchanges() -> Vec<Exchange> {
    FILES
        .iter()
        .map(|(name, text)| parse_exchange(name, text))
        .collect()
}

/// Returns a string from `credentials.json` by its JSON pointer.
pub(crate) fn credential(pointer: &str) -> &'static str {
    CREDENTIALS
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap()
}

/// Returns the captured body of the token endpoint for this account.
pub(crate) fn token_body(account: Account) -> Value {
    json(match account {
        Account::ServiceAccount => "tokens-service-account",
        Account::User => "tokens-user",
    })
}

/// Returns the world in which the captures were made. What no capture shows was decrypted from the
/// rows of `shop-e2ee`: the server-side encrypted apps have the same secrets.
pub(crate) fn world() -> World {
    let mut world = World::empty();
    let listed = json("apps");
    // The list starts with the newest app.
    for listed in array(&listed, "data").iter().rev() {
        let app = world.app(text(listed, "name"));
        app.id = text(listed, "id").to_owned();
        app.e2e = listed.get("sseEnabled") == Some(&Value::Bool(false));
        app.created = text(listed, "createdAt").to_owned();
        app.updated = text(listed, "updatedAt").to_owned();
    }
    for account in [Account::User, Account::ServiceAccount] {
        add_environments(&mut world, account);
    }

    let shop = world.app("shop");
    let production = shop.environment("Production", "prod");
    production.rows = rows("secrets-all", Some("secrets-all-user-overrides"));
    production.dynamic = dynamic(include_str!("../captures/secrets-dynamic-leased.json"));
    let development = shop.environment("Development", "dev");
    development.secret("/", "LOG_LEVEL", "trace");
    development.secret("/backend", "PORT", "5001");
    shop.environment("Staging", "staging")
        .secret("/", "HIDDEN", "no");

    let shop_e2ee = world.app("shop-e2ee");
    let production = shop_e2ee.environment("Production", "prod");
    production.encrypted = rows(
        "e2ee-secrets-production",
        Some("e2ee-secrets-production-user"),
    );
    production.encrypted_dynamic =
        dynamic(include_str!("../captures/e2ee-secrets-dynamic-leased.json"));
    let development = shop_e2ee.environment("Development", "dev");
    development.encrypted = rows("e2ee-secrets-development", None);

    let production = world.app("platform").environment("Production", "prod");
    production.secret("/", "REGION", "us-west-2");
    production.encrypted = rows("e2ee-secrets-platform-production", None);
    production.captured_in_both_forms = true;
    world
}

fn add_environments(world: &mut World, account: Account) {
    let body = token_body(account);
    for listed in array(&body, "apps") {
        let app = world.app(text(listed, "name"));
        let mut readable = Vec::new();
        for key in array(listed, "environment_keys") {
            let known = key.get("environment").unwrap();
            let environment = app.environment(text(known, "name"), text(known, "env_type"));
            environment.id = text(known, "id").to_owned();
            environment.index = known
                .get("index")
                .and_then(Value::as_u64)
                .unwrap()
                .try_into()
                .unwrap();
            environment.created = text(known, "created_at").to_owned();
            environment.updated = text(known, "updated_at").to_owned();
            environment.keys.push((account, key.clone()));
            readable.push(environment.id.clone());
        }
        let hidden = |environment: &&mut Environment| !readable.contains(&environment.id);
        for environment in app.environments.iter_mut().filter(hidden) {
            environment.hidden_from(account);
        }
    }
}

/// Returns the rows of one capture, with the fields that differ in the capture of a user token.
fn rows(shared: &str, user: Option<&str>) -> Vec<Row> {
    let shared = objects(json(shared));
    let users = user.map_or_else(|| shared.clone(), |user| objects(json(user)));
    let differing = |fields: &Map<String, Value>, user: Map<String, Value>| {
        user.into_iter()
            .filter(|(name, value)| fields.get(name) != Some(value))
            .collect()
    };
    let pairs = shared.into_iter().zip(users);
    pairs
        .map(|(fields, user)| Row {
            user_fields: differing(&fields, user),
            fields,
        })
        .collect()
}

fn dynamic(text: &str) -> Vec<Row> {
    let rows = objects(serde_json::from_str(text).unwrap());
    rows.into_iter()
        .map(|fields| Row {
            fields,
            user_fields: Map::new(),
        })
        .collect()
}

fn json(name: &str) -> Value {
    let (name, text) = FILES.iter().find(|(file, _)| *file == name).unwrap();
    serde_json::from_str(parse_exchange(name, text).body).unwrap()
}

fn objects(value: Value) -> Vec<Map<String, Value>> {
    let Value::Array(rows) = value else {
        panic!("not a list of rows")
    };
    rows.into_iter()
        .map(|row| row.as_object().unwrap().clone())
        .collect()
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap()
}

/// Parses a capture: the lines of the request after `> `, an empty line, and the raw response.
fn parse_exchange(name: &'static str, capture: &'static str) -> Exchange {
    let (request, response) = capture.split_once("\n\n").unwrap();
    let (head, body) = response.split_once("\n\n").unwrap();
    let mut request = request.lines().map(|line| line.strip_prefix("> ").unwrap());
    let (method, target) = request.next().unwrap().split_once(' ').unwrap();
    let mut head = head.lines();
    let status = head
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    Exchange {
        name,
        method,
        target,
        request_headers: request.map(|line| line.split_once(": ").unwrap()).collect(),
        status,
        headers: head.map(|line| line.split_once(": ").unwrap()).collect(),
        body,
    }
}
