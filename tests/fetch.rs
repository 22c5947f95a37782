//! The requests that a fetch sends to Phase: how many, which, and with which headers.

use fake_phase::{Options, Phase, World, app_id, bearer, service_token, user_bearer, user_token};

use crate::support::{Run, Sandbox, fake_server};

/// An app `shop` with one secret in each of two environments.
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

fn print_level<'a>(sandbox: &'a Sandbox, app: &str, environment: &str) -> Run<'a> {
    let args = [
        "--app",
        app,
        "--env",
        environment,
        "--",
        "printenv",
        "LEVEL",
    ];
    sandbox.run(args).allow_secrets_on_stdout()
}

/// Runs `run`, checks that it prints `expected`, and returns the targets of all requests.
fn targets_of_fetch(phase: &Phase, run: Run<'_>, expected: &str) -> Vec<String> {
    assert_eq!(run.output().text(), format!("{expected}\n"));
    let requests = phase.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));
    requests.into_iter().map(|request| request.target).collect()
}

/// The server compares app IDs in lower case and environment names in any case, so that one request
/// is enough.
#[test]
fn app_id_and_exact_environment_cost_one_request() {
    let id = id();
    for (app, environment) in [
        (id.clone(), "Production"),
        (id.clone(), "production"),
        (id.to_uppercase(), "PRODUCTION"),
    ] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = print_level(&sandbox, &app, environment);
        let expected = format!("/service/public/v1/secrets/?app_id={id}&env={environment}");
        assert_eq!(
            targets_of_fetch(&phase, run, "production-level"),
            [expected]
        );
        assert_eq!(phase.connections(), 1);
    }
}

/// The token endpoint returns the IDs, the encryption and the keys of all apps.
#[test]
fn app_name_costs_one_more_request() {
    for environment in ["Production", "PRODUCTION", "prod"] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = print_level(&sandbox, "SHOP", environment);
        let targets = targets_of_fetch(&phase, run, "production-level");
        let secrets = format!("/service/public/v1/secrets/?app_id={}&env=Production", id());
        assert_eq!(targets, ["/service/secrets/tokens/", &secrets]);
    }
}

/// An app ID is tried at the REST interface first. An environment's type is unknown there, so it is
/// looked up and requested again by its name.
#[test]
fn app_id_and_environment_type_cost_three_requests() {
    let secrets = |env: &str| format!("/service/public/v1/secrets/?app_id={}&env={env}", id());
    let bearer_list = format!("/service/public/v1/environments/?app_id={}", id());
    for (token, list) in [
        (service_token(), "/service/secrets/tokens/"),
        (bearer(), bearer_list.as_str()),
    ] {
        let phase = Phase::serve(two_environments_world());
        let sandbox = Sandbox::new(&phase);
        let run = print_level(&sandbox, &id(), "prod").env("PHASE_SERVICE_TOKEN", token);
        let expected = [secrets("prod"), list.to_owned(), secrets("Production")];
        assert_eq!(targets_of_fetch(&phase, run, "production-level"), expected);
    }
}

/// The user agent is `phase-run/VERSION` and reveals nothing about the host or the user. Phase
/// responds with 406 or an HTML page if the client does not accept JSON.
#[test]
fn requests_carry_only_necessary_headers() {
    let phase = Phase::serve(two_environments_world());
    let sandbox = Sandbox::new(&phase);
    let _ = print_level(&sandbox, "shop", "Production")
        .output()
        .assert_ok();
    for request in phase.requests() {
        let mut names: Vec<String> = request
            .headers
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "accept",
                "accept-encoding",
                "authorization",
                "host",
                "user-agent"
            ]
        );
        assert_eq!(request.header("Accept"), Some("application/json"));
        assert_eq!(request.header("Accept-Encoding"), Some("identity"));
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

/// A token is a full `pss_service:…` or `pss_user:…`, a bearer token with or without its type, or the
/// JSON that `phase auth --no-store` prints.
#[test]
fn each_token_form_gives_its_authorization_header() {
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
        let run = print_level(&sandbox, &id(), "Production").env("PHASE_SERVICE_TOKEN", token);
        // The fake server rejects the legacy token; only the request matters.
        let _ = run.output();
        let requests = phase.requests();
        let expected = format!("Bearer {expected}");
        assert_eq!(requests[0].header("Authorization"), Some(expected.as_str()));
    }
}

/// Trailing slashes make no difference.
#[test]
fn path_in_host_is_kept() {
    for end in ["", "/", "//"] {
        let options = Options {
            path_prefix: "/secrets/phase".into(),
            ..Options::default()
        };
        let phase = Phase::with(two_environments_world(), options);
        let sandbox = Sandbox::new(&phase);
        let host = format!("{}/secrets/phase{end}", phase.host());
        let run = print_level(&sandbox, "shop", "Production").env("PHASE_HOST", host);
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

/// RFC 3986 §2.1: characters with a meaning in a query are percent-encoded in its values.
#[test]
fn special_characters_in_names_are_percent_encoded() {
    let mut world = two_environments_world();
    let preview = world.app("shop").environment("Pre view/ü&x=1", "custom");
    preview.secret("/a b&path=/c#d+é%41", "DEEP", "a-deep-value");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let args = ["--path", "/a b&path=/c#d+é%41", "--env", "Pre view/ü&x=1"];
    let run = sandbox.run(["--app", &id()]).args(args);
    let output = run
        .args(["printenv", "DEEP"])
        .allow_secrets_on_stdout()
        .output()
        .assert_ok();
    assert_eq!(output.text(), "a-deep-value\n");
    let requests = phase.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].query("env").as_deref(), Some("Pre view/ü&x=1"));
    assert_eq!(
        requests[0].query("path").as_deref(),
        Some("/a b&path=/c#d+é%41")
    );
}

/// Plain HTTP is allowed only on this machine, where no proxy is used.
#[test]
fn plain_http_works_on_loopback_without_proxy() {
    let options = Options {
        tls: false,
        ..Options::default()
    };
    let phase = Phase::with(World::captured(), options);
    let sandbox = Sandbox::new(&phase);
    let args = [
        "--env",
        "Development",
        "--path",
        "/",
        "--host",
        &phase.host(),
    ];
    let proxy = fake_server(drop);
    let run = sandbox
        .run(["--app", app_id("shop")])
        .args(args)
        .allow_secrets_on_stdout();
    let run = run.env("http_proxy", format!("http://{proxy}"));
    let output = run.args(["printenv", "LOG_LEVEL"]).output().assert_ok();
    assert_eq!(output.text(), "trace\n");
    assert!(phase.requests().iter().all(|request| !request.tls));
}
