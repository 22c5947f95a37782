//! Error responses of the server: each becomes one error of the right kind, and nothing starts.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use fake_phase::{
    Account, Phase, Responder, World, app_id, bearer, exchanges, expired_bearer, service_token,
    user_token,
};

use crate::support::{Run, Sandbox};

fn echo_in_production<'a>(sandbox: &'a Sandbox, app: &str) -> Run<'a> {
    sandbox.production(app).args(["echo", "started"])
}

/// Each recorded error response, sent in reply to the request for secrets.
#[test]
fn recorded_errors_map_to_kinds() {
    let kinds = [
        ("error-app-not-found", "not-found", "nope"),
        ("error-env-not-found", "not-found", "Production"),
        ("error-env-no-access", "access", "cannot access"),
        ("error-lease-ttl", "server", "lease_ttl"),
        ("error-missing-env", "access", "context required"),
        ("error-missing-slash", "protocol", "404"),
        ("error-no-token", "token", "PHASE_SERVICE_TOKEN"),
        ("error-rate-limited", "rate-limited", "429"),
        ("error-sse-not-enabled", "config", "end-to-end"),
        ("error-token-expired", "token", "expired"),
        ("error-token-unknown", "token", "expired"),
        ("error-token-wrong-type", "token", "expired"),
    ];
    for (name, kind, text) in kinds {
        let all = exchanges();
        let exchange = all.iter().find(|exchange| exchange.name == name).unwrap();
        let header = |name: &str| {
            let found = exchange.headers.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| *value)
        };
        let body = exchange.body.as_bytes().to_vec();
        let content_type = header("Content-Type").unwrap();
        let mut responder = Responder::raw(exchange.status, content_type, body);
        if let Some(seconds) = header("Retry-After") {
            responder = responder.header("Retry-After", seconds);
        }
        let phase = Phase::start();
        phase.respond("/v1/secrets/", responder);
        let sandbox = Sandbox::new(&phase);
        // The recorded message contains the app ID of its own request, `nope`.
        let output = echo_in_production(&sandbox, app_id("shop"))
            .env("PHASE_MODE", "rest")
            .output()
            .assert_refused(kind);
        let text = if text == "nope" { app_id("shop") } else { text };
        assert!(output.stderr.contains(text), "{name}: {text}\n{output}");
    }
    let recorded = exchanges()
        .into_iter()
        .filter(|exchange| exchange.status >= 400);
    let others = [
        "error-e2ee-env-no-access",
        "error-e2ee-env-unknown",
        "error-tokens-expired",
    ];
    for exchange in recorded {
        let known = kinds.iter().any(|(name, ..)| *name == exchange.name);
        assert!(
            known || others.contains(&exchange.name),
            "{} has no row",
            exchange.name
        );
    }
}

/// Unknown, expired or mistyped tokens: the REST interface responds with 401, the token endpoint,
/// which an app name needs, with 403.
#[test]
fn rejected_token_is_named_by_its_source() {
    let unknown = "0123456789abcdef".repeat(4);
    let full = service_token().replace(bearer(), &unknown);
    for token in [
        full,
        service_token().replace(":v2:", ":v1:"),
        unknown.clone(),
        expired_bearer().to_owned(),
        format!("User {}", bearer()),
        user_token().replace("pss_user:v1", "pss_service:v2"),
    ] {
        let phase = Phase::start();
        let sandbox = Sandbox::new(&phase);
        for app in ["shop", app_id("shop")] {
            let run = echo_in_production(&sandbox, app).env("PHASE_SERVICE_TOKEN", &token);
            let output = run.output().assert_refused("token");
            assert!(
                output.stderr.contains("from PHASE_SERVICE_TOKEN"),
                "{output}"
            );
        }
    }
    let mut world = World::captured();
    world.revoke(Account::ServiceAccount);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let _ = echo_in_production(&sandbox, "shop")
        .output()
        .assert_refused("token");
}

/// Phase denies access with 401 to service accounts and with 403 to users.
#[test]
fn unreadable_environment_is_an_access_error() {
    let mut no_role = World::captured();
    no_role.forbid_reading();
    let mut hidden = World::captured();
    hidden
        .app("shop")
        .environment("Production", "prod")
        .hidden();
    let mut not_a_member = World::captured();
    not_a_member.app("shop").hidden();
    for world in [no_role, hidden, not_a_member] {
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        for token in [service_token(), user_token(), bearer()] {
            let run =
                echo_in_production(&sandbox, app_id("shop")).env("PHASE_SERVICE_TOKEN", token);
            let output = run.output().assert_refused("access");
            assert!(
                output.stderr.contains("hint: grant this account access"),
                "{output}"
            );
        }
    }
}

#[test]
fn statuses_map_to_kinds_at_every_endpoint() {
    let html = |status| Responder::html(status);
    for (responder, kind, text) in [
        (
            Responder::rate_limited(60),
            "rate-limited",
            "Retry-After: 60",
        ),
        (html(429), "rate-limited", "429"),
        (Responder::status(500), "server", "500"),
        (html(502), "server", "responded with status 502\n"),
        (Responder::status(503), "server", "503"),
        (html(504), "server", "504"),
        (Responder::status(408), "server", "408"),
        (
            Responder::error(400, "a new rule of Phase"),
            "server",
            "a new rule of Phase",
        ),
        // An HTML page from a gateway: Phase itself responds with JSON.
        (html(401), "protocol", "hint: check for a proxy"),
        (html(403), "protocol", "hint: check for a proxy"),
        (
            html(404),
            "protocol",
            "status 404, with a body that does not come from Phase",
        ),
        (
            Responder::error(406, "Could not satisfy the request Accept header."),
            "protocol",
            "406",
        ),
        (html(414), "protocol", "414"),
        (html(405), "protocol", "405"),
        (
            Responder::raw(204, "text/plain", Vec::new()),
            "protocol",
            "status 204, with an empty body",
        ),
    ] {
        for (endpoint, token, app, word) in [
            (
                "/v1/secrets/",
                service_token(),
                app_id("shop"),
                "Production",
            ),
            ("/tokens/", service_token(), "shop", "Production"),
            ("/v1/apps/", bearer(), "shop", "Production"),
            ("/v1/environments/", bearer(), app_id("shop"), "prod"),
        ] {
            let phase = Phase::start();
            phase.respond(endpoint, responder.clone());
            let sandbox = Sandbox::new(&phase);
            let run = sandbox.run(["--app", app, "--env", word, "echo", "started"]);
            let output = run.env("PHASE_SERVICE_TOKEN", token).output();
            let output = output.assert_refused(kind);
            assert!(output.stderr.contains(text), "{endpoint}: {text}\n{output}");
            let name = phase.host().replace("https://", "");
            assert!(output.stderr.contains(&name), "{output}");
        }
    }
}

/// Server text may contain terminal escapes; `failed` also checks for control characters.
#[test]
fn server_text_is_one_escaped_line() {
    let text = "no\u{1b}[2Jway\r\nphase-run: all is well\u{7}\u{202e}\u{200b}\u{e0041}";
    for status in [400, 401, 403, 404, 500] {
        let phase = Phase::start();
        phase.respond("/v1/secrets/", Responder::error(status, text));
        let sandbox = Sandbox::new(&phase);
        let output = echo_in_production(&sandbox, app_id("shop")).output();
        assert!(output.stdout.is_empty(), "something ran\n{output}");
        assert!(
            !output
                .stderr
                .contains(['\u{1b}', '\r', '\u{7}', '\u{202e}', '\u{200b}', '\u{e0041}']),
            "{output}"
        );
        assert!(output.stderr.lines().count() <= 2, "{output}");
        assert!(output.stderr.contains("no\\u{1b}[2Jway\\r\\n"), "{output}");
    }
}

#[test]
fn long_server_text_is_truncated() {
    let phase = Phase::start();
    phase.respond(
        "/v1/secrets/",
        Responder::error(500, &"so long ".repeat(100_000)),
    );
    let sandbox = Sandbox::new(&phase);
    let output = echo_in_production(&sandbox, app_id("shop"))
        .output()
        .assert_refused("server");
    assert!(output.stderr.len() < 600, "{output}");
}

/// A server or a gateway may echo the token as it arrived, decoded, or encoded once more.
#[test]
fn echoed_token_is_redacted_in_every_form() {
    let header = format!("Bearer ServiceAccount {}", bearer());
    let (start, end) = bearer().split_at(60);
    let raw: Vec<u8> = bearer()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    for echo in [
        Base64::encode_string(header.as_bytes()),
        Base64::encode_string(bearer().as_bytes()),
        Base64UrlUnpadded::encode_string(&raw),
        bearer().to_uppercase(),
        format!("{start} {end}"),
        bearer()
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect(),
    ] {
        let phase = Phase::start();
        let text = format!("no access with {echo}");
        phase.respond("/v1/secrets/", Responder::error(401, &text));
        let sandbox = Sandbox::new(&phase);
        let output = echo_in_production(&sandbox, app_id("shop")).output();
        let message = output.assert_refused("token");
        for part in echo.as_bytes().windows(16).skip(40).step_by(16) {
            let part = str::from_utf8(part).unwrap();
            assert!(
                !message.stderr.contains(part),
                "{part} of {echo}\n{message}"
            );
        }
    }
}
