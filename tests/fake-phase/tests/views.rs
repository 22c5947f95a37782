//! Behaviour that the captures do not show, and worlds that tests build.

use fake_phase::{Account, Phase, World};
use serde_json::Value;

use crate::client::{Client, Reply};

fn request_as(phase: &Phase, account: Account, target: &str) -> Reply {
    let authorization = match account {
        Account::ServiceAccount => format!("Bearer ServiceAccount {}", fake_phase::bearer()),
        Account::User => format!("Bearer User {}", fake_phase::user_bearer()),
    };
    Client::tls(phase)
        .request("GET", target, &[("Authorization", &authorization)])
        .unwrap()
}

fn service(phase: &Phase, target: &str) -> Reply {
    request_as(phase, Account::ServiceAccount, target)
}

fn strings(list: &Value, field: &str) -> Vec<String> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| row.get(field).unwrap().as_str().unwrap().to_owned())
        .collect()
}

/// Returns the target of `v1/secrets/` for this environment.
fn secrets(id: &str, env: &str, rest: &str) -> String {
    format!("/service/public/v1/secrets/?app_id={id}&env={env}{rest}")
}

#[test]
fn built_world_returns_names_and_secrets() {
    let mut world = World::empty();
    let app = world.app("two words");
    let id = app.id().to_owned();
    let environment = app.environment("Production", "prod");
    environment.secret("/", "NUL", "a\0b\x1b[31m");
    environment
        .secret("backend//db/", "EQ=UALS", "x")
        .tags(&["b", "a"])
        .kind("sealed");
    environment
        .secret("/", "THEME", "light")
        .overridden("dark", true);
    app.environment("Staging", "staging").hidden();
    let second = world.add_app("two words").e2e().id().to_owned();
    assert_ne!(id, second);
    let phase = Phase::serve(world);

    let reply = service(&phase, &secrets(&id, "PRODUCTION", ""));
    let rows = reply.json();
    assert_eq!(strings(&rows, "key"), ["NUL", "EQ=UALS", "THEME"]);
    assert_eq!(strings(&rows, "value"), ["a\0b\x1b[31m", "x", "light"]);
    assert!(
        String::from_utf8(reply.body)
            .unwrap()
            .contains(r#""a\u0000b\u001b[31m""#)
    );
    assert_eq!(rows.pointer("/2/override").unwrap(), &Value::Null);
    let users = request_as(&phase, Account::User, &secrets(&id, "production", "")).json();
    assert_eq!(users.pointer("/2/override/value").unwrap(), "dark");

    let tagged = service(&phase, &secrets(&id, "production", "&tags=a,b,%20c")).json();
    assert_eq!(strings(&tagged, "key"), ["EQ=UALS", "EQ=UALS"]);
    assert_eq!(
        tagged.pointer("/0/tags").unwrap().to_string(),
        r#"["a","b"]"#
    );
    let folder = service(&phase, &secrets(&id, "production", "&path=/backend/db")).json();
    assert_eq!(strings(&folder, "type"), ["sealed"]);
    assert_eq!(
        service(&phase, &secrets(&id, "production", "&path=/backend")).body,
        b"[]"
    );
    assert_eq!(
        service(&phase, &secrets(&id, "production", "&tags=A")).body,
        b"[]"
    );

    assert_eq!(service(&phase, &secrets(&id, "staging", "")).status, 401);
    assert_eq!(
        request_as(&phase, Account::User, &secrets(&id, "staging", "")).status,
        403
    );
    let upper = service(&phase, &secrets(&id.to_uppercase(), "production", ""));
    assert_eq!(upper.status, 404);

    let tokens = service(&phase, "/service/secrets/tokens/").json();
    let apps = tokens.get("apps").unwrap();
    assert_eq!(strings(apps, "id"), [id.as_str(), second.as_str()]);
    assert_eq!(strings(apps, "encryption"), ["SSE", "E2E"]);
    let keys = apps
        .pointer("/0/environment_keys")
        .unwrap()
        .as_array()
        .unwrap();
    assert_eq!(keys.len(), 1);
}

#[test]
fn built_rows_have_the_fields_of_captured_ones() {
    let phase = Phase::start();
    let fields = |env: &str| {
        let rows = service(&phase, &secrets(fake_phase::app_id("shop"), env, "")).json();
        let row = rows
            .as_array()
            .unwrap()
            .first()
            .unwrap()
            .as_object()
            .unwrap()
            .clone();
        row.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(fields("development"), fields("production"));
}

#[test]
fn listing_needs_a_role_and_server_side_encryption() {
    let phase = Phase::start();
    let environments = |app| format!("/v1/environments/?app_id={}", fake_phase::app_id(app));
    let reply = service(&phase, &environments("shop-e2ee"));
    assert_eq!(
        (reply.status, reply.error().as_str()),
        (403, "SSE is not enabled for this App.")
    );
    assert_eq!(service(&phase, &environments("shop")).status, 200);
    let one = format!("/v1/apps/{}/", fake_phase::app_id("shop"));
    assert_eq!(service(&phase, &one).json().get("name").unwrap(), "shop");
    phase.edit(|world| {
        world.forbid_listing();
    });
    assert_eq!(service(&phase, &environments("shop")).status, 403);
    assert_eq!(service(&phase, "/v1/apps/").status, 403);
    assert_eq!(service(&phase, "/service/secrets/tokens/").status, 200);
}

#[test]
fn methods_and_accept_headers_match_real_server() {
    let phase = Phase::start();
    let mut client = Client::tls(&phase);
    let target = secrets(fake_phase::app_id("shop"), "production", "");
    let bearer = format!("Bearer ServiceAccount {}", fake_phase::bearer());
    let authorization = ("Authorization", bearer.as_str());
    let html = ("Accept", "text/html");
    assert_eq!(
        client
            .request("GET", &target, &[authorization, html])
            .unwrap()
            .status,
        406
    );
    let page = client
        .request("GET", "/service/secrets/tokens/", &[authorization, html])
        .unwrap();
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    let lower = (
        "Authorization",
        bearer.replace("ServiceAccount", "serviceaccount"),
    );
    let reply = client
        .request("GET", &target, &[("Authorization", &lower.1)])
        .unwrap();
    assert_eq!(reply.status, 401);
    let long = secrets("x", &"y".repeat(9000), "");
    assert_eq!(
        client
            .request("GET", &long, &[authorization])
            .unwrap()
            .status,
        414
    );
    assert_eq!(
        client
            .request("GET", "/other", &[authorization])
            .unwrap()
            .status,
        404
    );
    client.send("HEAD", &target, &[authorization]).unwrap();
    assert_eq!(client.head().unwrap().status, 403);
}

#[test]
fn ten_thousand_rows_and_four_mib_are_served() {
    let mut world = World::empty();
    let app = world.app("big");
    let id = app.id().to_owned();
    let environment = app.environment("Production", "prod");
    for number in 0..10_000 {
        environment.secret("/", &format!("KEY_{number:05}"), "value");
    }
    environment.secret("/", "BIG", &"x".repeat(4 << 20));
    let phase = Phase::serve(world);
    let rows = service(&phase, &secrets(&id, "production", "")).json();
    assert_eq!(rows.as_array().unwrap().len(), 10_001);
}

#[test]
fn revoked_token_is_rejected_by_both_interfaces() {
    let phase = Phase::start();
    phase.edit(|world| {
        world.revoke(Account::ServiceAccount);
    });
    let target = secrets(fake_phase::app_id("shop"), "production", "");
    assert_eq!(service(&phase, &target).status, 401);
    assert_eq!(service(&phase, "/service/secrets/tokens/").status, 403);
    assert_eq!(request_as(&phase, Account::User, &target).status, 200);
}
