//! End-to-end encrypted apps: what the command gets, and which requests are sent.

use std::collections::BTreeMap;

use fake_phase::{Phase, World, app_id, bearer, service_token, user_bearer, user_token};

use crate::support::{SHOP, Sandbox, Status, inspector, require_linux};

const TOKENS: &str = "/service/secrets/tokens/";
const SECRETS: &str = "/service/secrets/";

/// The official CLI's export of the captured app `shop-e2ee`.
fn exported() -> BTreeMap<String, String> {
    let exported = include_str!("fake-phase/captures/e2ee-expected-production.json");
    serde_json::from_str(exported).unwrap()
}

/// An end-to-end encrypted app `shop` whose Production has these secrets (folder, key, value).
pub(crate) fn e2ee_world(secrets: &[(&str, &str, &str)]) -> World {
    let mut world = World::empty();
    let production = world.app("shop").e2e().environment("Production", "prod");
    for (folder, key, value) in secrets {
        production.secret(folder, key, value);
    }
    world
}

fn request_targets(phase: &Phase) -> Vec<String> {
    let requests = phase.requests().into_iter();
    requests.map(|request| request.target).collect()
}

/// `PORT` is in two folders: the official CLI silently takes the last one, phase-run needs `--path`.
#[test]
fn captured_app_matches_official_cli_export() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let app = ["--app", "shop-e2ee", "--env", "Production"];
    let collision = sandbox.run(app).arg("true").output();
    let collision = collision.assert_error(125, "ambiguous");
    let message = "PORT has different values in /backend and /web";
    assert!(collision.stderr.contains(message), "{collision}");

    let ranked = app
        .into_iter()
        .chain(["-q", "--path", "/backend", "--path", ""]);
    let ranked = ranked.chain(["--path", "/web"]);
    let comparison = sandbox.compare_with_bare(ranked, |run| run);
    let all = exported().into_iter();
    let comparison = all.fold(comparison, |comparison, (key, value)| {
        comparison.expect_added(&key, value)
    });
    comparison.expect_removed("PHASE_SERVICE_TOKEN").check();
}

/// One warning names all four; with `--strict` it is an error.
#[test]
fn unresolvable_captured_references_are_named() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run(["-a", "shop-e2ee", "-e", "Production", "--path", "/"]);
    let names = "DANGLING, LOOP_A, LOOP_B, NO_ACCESS";
    let output = run.arg("true").output();
    let warning = format!(
        "phase-run: warning: could not resolve references in {names}; they are passed on as written\n"
    );
    assert_eq!(output.stderr, warning);
    let run = sandbox.run(["-a", "shop-e2ee", "-e", "Production", "--path", "/"]);
    let output = run.args(["--strict", "true"]).output();
    let output = output.assert_error(125, "environment");
    assert!(output.stderr.contains(&format!("references in {names}\n")));
}

/// Another user's override, or an inactive one, does not replace the value.
#[test]
fn active_override_replaces_the_users_value() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let values = |token: &str| {
        let line = "echo $THEME $BANNER";
        let run = sandbox.run(["-q", "-a", "shop-e2ee", "-e", "Production"]);
        let run = run.args(["--path", "/", "-c", line]);
        let output = run.env("PHASE_SERVICE_TOKEN", token).output().assert_ok();
        output.text().to_owned()
    };
    assert_eq!(values(service_token()), "light off\n");
    assert_eq!(values(user_token()), "dark off\n");
}

/// The same app is fetched through the REST interface and decrypted locally.
#[test]
fn both_modes_give_the_same_environment() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "ROOT", "of the root");
    production
        .secret("/backend//db/", "DEEP", "deep")
        .tags(&["net", "two words"])
        .kind("sealed");
    production
        .secret("/büro", "LOCAL", "lokal")
        .tags(&["größe"])
        .set("comment", "not empty".into());
    production
        .secret("/", "OWN", "shared")
        .overridden("own", true);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for filter in [
        &[][..],
        &["--path", "/"],
        &["--path", "backend/db"],
        &["--path", "/backend/**"],
        &["--path", "/büro"],
        &["--tags", "net,two words"],
        &["--tags", "größe,net"],
        &["--only", "*O*"],
    ] {
        for token in [service_token(), user_token()] {
            let environ = |mode: &str| {
                let run = sandbox.run(SHOP).args(["--mode", mode]).args(filter);
                let run = run.args(["--", inspector(), "report"]);
                let report = run.env("PHASE_SERVICE_TOKEN", token).report();
                let mut environ = report.environ();
                environ.sort();
                environ
            };
            assert_eq!(environ("rest"), environ("e2ee"), "{filter:?}");
            let listing = |mode: &str| {
                let run = sandbox.run(SHOP).args(["--mode", mode, "--dry-run"]);
                run.args(filter).output().assert_ok().text().to_owned()
            };
            assert_eq!(listing("rest"), listing("e2ee"), "{filter:?}");
        }
    }
}

/// An app ID is tried at the REST interface first, because most apps are encrypted by the server.
#[test]
fn encrypted_app_costs_a_token_request() {
    let id = e2ee_world(&[]).app("shop").id().to_owned();
    let rest = |env: &str| format!("/service/public/v1/secrets/?app_id={id}&env={env}");
    for (app, env, mode, expected) in [
        ("shop", "production", "auto", vec![TOKENS, SECRETS]),
        ("shop", "prod", "auto", vec![TOKENS, SECRETS]),
        ("shop", "production", "e2ee", vec![TOKENS, SECRETS]),
        (&id, "PRODUCTION", "e2ee", vec![TOKENS, SECRETS]),
        (
            &id,
            "Production",
            "auto",
            vec![&rest("Production"), TOKENS, SECRETS],
        ),
        (&id, "prod", "auto", vec![&rest("prod"), TOKENS, SECRETS]),
    ] {
        let phase = Phase::serve(e2ee_world(&[("/", "KEY", "a value")]));
        let sandbox = Sandbox::new(&phase);
        let run = sandbox.run(["-q", "-a", app, "-e", env, "--mode", mode]);
        let output = run.args(["printenv", "KEY"]).output().assert_ok();
        assert_eq!(output.text(), "a value\n");
        assert_eq!(request_targets(&phase), expected, "{app} {env} {mode}");
        assert_eq!(phase.connections(), 1);
        for request in phase
            .requests()
            .iter()
            .filter(|request| request.target == SECRETS)
        {
            assert!(request.header("Environment").is_some());
            for header in ["Path", "Tags", "dynamic", "lease", "lease_ttl"] {
                assert_eq!(request.header(header), None, "{header}");
            }
        }
    }
}

/// Holds for every app, environment and token, and after every error.
#[test]
fn mode_e2ee_never_uses_the_rest_interface() {
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let (shop, encrypted) = (app_id("shop"), app_id("shop-e2ee"));
    for app in [
        "shop",
        shop,
        "shop-e2ee",
        encrypted,
        "platform",
        "none",
        shop.trim_end_matches('1'),
    ] {
        for env in ["Production", "prod", "dev", "nope"] {
            for token in [service_token(), user_token(), bearer()] {
                let run = sandbox.run(["-q", "-a", app, "-e", env, "--path", "/", "true"]);
                let run = run.env("PHASE_MODE", "e2ee");
                let _ = run.env("PHASE_SERVICE_TOKEN", token).output();
            }
        }
    }
    let _ = sandbox.run(["--mode", "e2ee", "true"]).output();
    let run = sandbox.run(["--mode", "e2ee", "-a", encrypted, "true"]);
    let _ = run.output();
    let targets = request_targets(&phase);
    assert!(targets.len() > 50);
    for target in targets {
        assert!([TOKENS, SECRETS].contains(&target.as_str()), "{target}");
    }
    let run = sandbox.run(["-a", "shop", "-e", "Production", "--path", "/backend"]);
    let output = run.args(["--mode", "e2ee", "printenv", "PORT"]).output();
    assert_eq!(output.assert_ok().text(), "9000\n");
}

/// The server applies one folder, or else tags. A header carries only ASCII; any other filter is
/// applied by phase-run alone.
#[test]
fn one_filter_is_sent_if_it_fits_a_header() {
    for (filter, path, tags) in [
        (&["--path", "backend//db"][..], Some("/backend/db"), None),
        (&["--path", "/a b"], Some("/a b"), None),
        (&["--path", "/büro"], None, None),
        (&["--path", "/a\n"], None, None),
        (&["--path", "/a "], None, None),
        (&["--path", "/a", "--path", "/b"], None, None),
        (&["--path", "/a/**"], None, None),
        (&["--tags", "net,two words"], None, Some("net,two words")),
        (&["--tags", "größe"], None, None),
        (&["--path", "/a", "--tags", "net"], Some("/a"), None),
    ] {
        let phase = Phase::serve(e2ee_world(&[]));
        let sandbox = Sandbox::new(&phase);
        let run = sandbox.run(SHOP).args(["--allow-empty"]).args(filter);
        let _ = run.arg("true").output().assert_ok();
        let requests = phase.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].header("Path"), path, "{filter:?}");
        assert_eq!(requests[1].header("Tags"), tags, "{filter:?}");
    }
}

/// `--mode rest` is an error of kind `config`, a bearer without key shares one of kind `token`.
#[test]
fn undecryptable_app_explains_mode_or_token() {
    let id = app_id("shop-e2ee");
    let phase = Phase::start();
    let sandbox = Sandbox::new(&phase);
    let run = |app: &str, env: &str, mode: &str| {
        let run = sandbox.run(["-q", "-a", app, "-e", env, "--mode", mode]);
        run.arg("true")
    };
    for (app, env) in [
        ("shop-e2ee", "Production"),
        (id, "Production"),
        (id, "prod"),
    ] {
        let output = run(app, env, "rest").output().assert_error(125, "config");
        assert!(output.stderr.contains("end-to-end encrypted"), "{output}");
        let hint = "hint: remove --mode rest";
        assert!(output.stderr.contains(hint), "{output}");
        for token in [bearer().to_owned(), format!("User {}", user_bearer())] {
            for mode in ["auto", "e2ee"] {
                let run = run(app, env, mode).env("PHASE_SERVICE_TOKEN", &token);
                let output = run.output().assert_error(125, "token");
                assert!(output.stderr.contains("pss_service:v2:"), "{output}");
            }
            let run = run(app, env, "rest").env("PHASE_SERVICE_TOKEN", &token);
            let _ = run.output().assert_error(125, "config");
        }
    }
    let sent = phase.requests().len();
    let run = run("shop", "Production", "e2ee").env("PHASE_SERVICE_TOKEN", bearer());
    let _ = run.output().assert_error(125, "token");
    assert_eq!(phase.requests().len(), sent);
}

#[test]
fn unreadable_encrypted_environment_is_denied() {
    let mut world = e2ee_world(&[("/", "KEY", "value")]);
    world.forbid_reading();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = sandbox.run(SHOP).arg("true").output();
    let _ = output.assert_error(125, "access");
}

/// Several threads decrypt this many.
#[test]
fn thousand_encrypted_secrets_keep_their_values() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let mut world = e2ee_world(&[]);
    let production = world.app("shop").environment("Production", "prod");
    for number in 0..1000 {
        production.secret("/", &format!("KEY_{number:04}"), &format!("value {number}"));
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let report = sandbox.run(SHOP).args([inspector(), "report"]).report();
    for number in 0..1000 {
        let value = report.variable(&format!("KEY_{number:04}"));
        assert_eq!(value, Some(format!("value {number}").into_bytes()));
    }
}

/// Values, tokens and keys never appear in a message, even at the highest verbosity and after a
/// decryption error. The test harness searches the output for the canaries.
#[test]
fn messages_never_contain_encrypted_values() {
    let value = "canary of an encrypted value";
    let mut world = e2ee_world(&[
        ("/", "KEY", value),
        ("/", "REFERS", "canary before ${KEY} ${NONE}"),
    ]);
    let production = world.app("shop").environment("Production", "prod");
    production.dynamic("/", "lender", &[("LEASED", "canary of a lease")], 60);
    let seed = production.seed();
    let key = production.encrypt("CORRUPT");
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    for canary in [value, "canary before", "canary of a lease", &seed] {
        sandbox.canary(canary);
    }
    let loudest = |format: &str| {
        let options = ["-vv", "--dynamic", "--mode", "e2ee", "--log-format", format];
        sandbox.run(SHOP).args(options).arg("true").output()
    };
    for format in ["text", "json"] {
        assert_eq!(loudest(format).status, Status::Exited(0));
    }
    phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.encrypted_row(serde_json::json!({
            "id": "1", "key": key, "value": value, "path": "/", "type": "secret"
        }));
    });
    for format in ["text", "json"] {
        assert_eq!(loudest(format).status, Status::Exited(125));
    }
}
