//! What is asked of Phase: how many requests, which, and with what in them.

use fake_phase::{Options, Phase, World, app_id, bearer, service_token, user_bearer, user_token};

use crate::support::{Run, Sandbox, fake_server};

/// `shop`, whose Production and Preview hold a secret each.
fn two_environments_world() -> World {
    let mut world = World::empty();
    let shop = world.app("shop");
    let production = shop.environment("Production", "prod");
    production.secret("/", "LEVEL", "production-level");
    let preview = shop.environment("Pre view/ü&x=1", "custom");
    preview.secret("/", "LEVEL", "preview-level");
    world
}

fn id() -> String {
    two_environments_world().app("shop").id().to_owned()
}

fn level<'a>(sandbox: &'a Sandbox, app: &str, environment: &str) -> Run<'a> {
    let words = [
        "--app",
        app,
        "--env",
        environment,
        "--",
        "printenv",
        "LEVEL",
    ];
    sandbox.run(words).reveals()
}

/// The targets of all requests that came, after a run whose command got `expected`.
fn targets_of_fetch(phase: &Phase, run: Run<'_>, expected: &str) -> Vec<String> {
    assert_eq!(run.output().text(), format!("{expected}\n"));
    let requests = phase.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));
    requests.into_iter().map(|request| request.target).collect()
}

/// "One HTTPS request where one can do: an app UUID and an exact environment
/// name, SSE." The server compares app ids in lower case and environments in any.
#[test]
fn an_app_id_and_an_exact_environment_cost_one_request() {
    let id = id();
    for (app, environment) in [
        (id.clone(), "Production"),
        (id.clone(), "production"),
        (id.to_uppercase(), "PRODUCTION"),
    ] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = level(&sandbox, &app, environment);
        let expected = format!("/service/public/v1/secrets/?app_id={id}&env={environment}");
        assert_eq!(
            targets_of_fetch(&phase, run, "production-level"),
            [expected]
        );
        assert_eq!(phase.connections(), 1);
    }
}

/// "With a full token and an app *name*, the token endpoint answers name, mode
/// and keys, so two."
#[test]
fn a_name_of_the_app_costs_one_request_more() {
    for environment in ["Production", "PRODUCTION", "prod"] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = level(&sandbox, "SHOP", environment);
        let targets = targets_of_fetch(&phase, run, "production-level");
        let secrets = format!("/service/public/v1/secrets/?app_id={}&env=Production", id());
        assert_eq!(targets, ["/service/secrets/tokens/", &secrets]);
    }
}

/// A UUID is tried at the REST interface first. A word that is not the whole name
/// is refused there, looked up, and asked for by its name.
#[test]
fn an_app_id_and_a_word_for_the_environment_cost_three_requests() {
    let secrets = |env: &str| format!("/service/public/v1/secrets/?app_id={}&env={env}", id());
    let bare_list = format!("/service/public/v1/environments/?app_id={}", id());
    for (token, list) in [
        (service_token(), "/service/secrets/tokens/"),
        (bearer(), bare_list.as_str()),
    ] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = level(&sandbox, &id(), "prod").env("PHASE_SERVICE_TOKEN", token);
        let expected = [secrets("prod"), list.to_owned(), secrets("Production")];
        assert_eq!(targets_of_fetch(&phase, run, "production-level"), expected);
    }
}

/// "`User-Agent: phase-run/VERSION`, nothing about the host or the user."
/// Phase answers 406 or a page to whoever does not accept JSON.
#[test]
fn a_request_holds_nothing_that_phase_does_not_need() {
    let phase = Phase::serve(two_environments_world());
    let sandbox = Sandbox::new(&phase);
    let _ = level(&sandbox, "shop", "Production").output().ok();
    for request in phase.requests() {
        let mut names: Vec<String> = request
            .headers
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        names.sort();
        assert_eq!(names, ["accept", "authorization", "host", "user-agent"]);
        assert_eq!(request.header("Accept"), Some("application/json"));
        let agent = concat!("phase-run/", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("User-Agent"), Some(agent));
        assert_eq!(
            request.header("Host"),
            phase.host().strip_prefix("https://")
        );
        assert!(request.body.is_empty() && request.tls);
    }
    assert_eq!(phase.requests().len(), 2);
}

/// "Token: a full `pss_service:…`/`pss_user:…`, or a bare bearer, alone
/// (`ServiceAccount`) or as `ServiceAccount <hex>`, `User <hex>`, `Service <hex>`, or the JSON that
/// `phase auth --no-store` prints."
#[test]
fn each_form_of_the_token_has_its_authorization() {
    let (service, user) = (bearer(), user_bearer());
    let legacy = service_token().replace(":v2:", ":v1:");
    let printed = format!(
        "{{\"authentication\": {{\"token\": \"{}\", \"TTL\": 60}}}}",
        user_token()
    );
    for (token, expected) in [
        (
            service_token().to_owned(),
            format!("ServiceAccount {service}"),
        ),
        (user_token().to_owned(), format!("User {user}")),
        (legacy, format!("Service {service}")),
        (service.to_owned(), format!("ServiceAccount {service}")),
        (service.to_uppercase(), format!("ServiceAccount {service}")),
        (
            format!("ServiceAccount {service}"),
            format!("ServiceAccount {service}"),
        ),
        (format!("User {user}"), format!("User {user}")),
        (format!("Service {service}"), format!("Service {service}")),
        (
            format!(" \n{service}\r\n"),
            format!("ServiceAccount {service}"),
        ),
        (printed, format!("User {user}")),
    ] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = level(&sandbox, &id(), "Production").env("PHASE_SERVICE_TOKEN", token);
        // The fake has no legacy token: what counts is what was sent.
        let _ = run.output();
        let requests = phase.requests();
        let expected = format!("Bearer {expected}");
        assert_eq!(requests[0].header("Authorization"), Some(expected.as_str()));
    }
}

/// "a path in the URL is kept." With or without a slash at its end.
#[test]
fn a_path_in_the_address_is_kept() {
    for end in ["", "/", "//"] {
        let options = Options {
            path_prefix: "/secrets/phase".into(),
            ..Options::default()
        };
        let phase = Phase::with(two_environments_world(), options);
        let sandbox = Sandbox::new(&phase);
        let host = format!("{}/secrets/phase{end}", phase.host());
        let run = level(&sandbox, "shop", "Production").env("PHASE_HOST", host);
        let expected = [
            "/secrets/phase/service/secrets/tokens/".to_owned(),
            format!(
                "/secrets/phase/service/public/v1/secrets/?app_id={}&env=Production",
                id()
            ),
        ];
        assert_eq!(targets_of_fetch(&phase, run, "production-level"), expected);
    }
}

/// RFC 3986, 2.1: what has a meaning in a query is percent-encoded in its values.
#[test]
fn names_of_any_letters_reach_the_server_whole() {
    let mut world = two_environments_world();
    let preview = world.app("shop").environment("Pre view/ü&x=1", "custom");
    preview.secret("/a b&path=/c#d+é%41", "DEEP", "a-deep-value");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let words = ["--path", "/a b&path=/c#d+é%41", "--env", "Pre view/ü&x=1"];
    let run = sandbox.run(["--app", &id()]).args(words);
    let output = run.args(["printenv", "DEEP"]).reveals().output().ok();
    assert_eq!(output.text(), "a-deep-value\n");
    let requests = phase.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].query("env").as_deref(), Some("Pre view/ü&x=1"));
    assert_eq!(
        requests[0].query("path").as_deref(),
        Some("/a b&path=/c#d+é%41")
    );
}

/// "`--host URL`, `PHASE_HOST`"; plain http is for this machine, "and then
/// never through a proxy".
#[test]
fn plain_http_reaches_a_server_on_this_machine() {
    let options = Options {
        tls: false,
        ..Options::default()
    };
    let phase = Phase::with(World::captured(), options);
    let sandbox = Sandbox::new(&phase);
    let words = [
        "--env",
        "Development",
        "--path",
        "/",
        "--host",
        &phase.host(),
    ];
    let proxy = fake_server(drop);
    let run = sandbox.run(["--app", app_id("shop")]).args(words).reveals();
    let run = run.env("http_proxy", format!("http://{proxy}"));
    let output = run.args(["printenv", "LOG_LEVEL"]).output().ok();
    assert_eq!(output.text(), "trace\n");
    assert!(phase.requests().iter().all(|request| !request.tls));
}
