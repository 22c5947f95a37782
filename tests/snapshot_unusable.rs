//! `--snapshot`: the copies that are of no use, and what is said of them.

use fake_phase::{Responder, bearer, service_token, user_bearer, user_token};

use crate::snapshot::{VALUE, kept, kept_of, two_app_world};
use crate::support::{Run, SHOP};

const FOREIGN: &str = "phase-run: error[snapshot]: cannot use the snapshot snapshot: it is damaged, or was made with another";

/// "another token, host, app, environment, filter set or mode: refused as `snapshot`"
#[test]
fn snapshot_of_other_configuration_is_rejected() {
    let line = |options: &'static str| -> Vec<&str> { options.split_whitespace().collect() };
    let shop = kept();
    let port = shop.phase.port();
    let id = two_app_world().app("shop").id().to_owned();
    let base = "--path / --tags net --only S* --except X --require SECRET";
    let made = |target: &[&str], options: &str| {
        let options: Vec<&str> = options.split_whitespace().collect();
        let _ = shop.of(target, &options).output().ok();
    };
    let refused = |run: Run<'_>| {
        let output = run.output().failed(125, "snapshot");
        assert!(output.stderr.starts_with(FOREIGN), "{output}");
    };
    let offline = |target: &[&str], options: &str| {
        let options: Vec<&str> = options.split_whitespace().collect();
        shop.of(target, &[&options[..], &["--offline"]].concat())
    };
    made(&SHOP, base);
    for other in [
        "--tags net --only S* --except X --require SECRET",
        "--path /web --tags net --only S* --except X --require SECRET",
        "--path / --path /web --tags net --only S* --except X --require SECRET",
        "--path / --only S* --except X --require SECRET",
        "--path / --tags net,x --only S* --except X --require SECRET",
        "--path / --tags net --except X --require SECRET",
        "--path / --tags net --only S --except X --require SECRET",
        "--path / --tags net --only S* --require SECRET",
        "--path / --tags net --only S* --except X --except Y --require SECRET",
        "--path / --tags net --only S* --except X",
        "--path / --tags net --only S* --only X --require SECRET",
        "--path / --tags net --only S* --except X --require SECRET --allow-empty",
        "--path / --tags net --only S* --except X --require SECRET --mode rest",
        "--path / --tags net --only S* --except X --require SECRET --mode e2ee",
    ] {
        refused(offline(&SHOP, other));
    }
    refused(offline(&["--app", "other", "--env", "Production"], base));
    refused(offline(&["--app", &id, "--env", "Production"], base));
    refused(offline(&["--app", "shop", "--env", "Staging"], base));
    refused(offline(&["--app", "shop", "--env", "prod"], base));
    let tokens = [user_token(), bearer(), user_bearer()];
    for token in tokens {
        refused(offline(&SHOP, base).env("PHASE_SERVICE_TOKEN", token));
    }
    for host in [
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}/phase"),
        "https://console.phase.dev".to_owned(),
    ] {
        refused(offline(&SHOP, base).env("PHASE_HOST", host));
    }
    // The same question in other words is the same.
    let same = offline(&["--app", "SHOP", "--env", "Production"], base);
    let same = same.env("PHASE_SERVICE_TOKEN", format!("  {}\n", service_token()));
    let same = same.env("PHASE_HOST", format!("https://LOCALHOST:{port}/"));
    let _ = same.output().notices(&["using the snapshot"]).ok();
    // So is what is done with the values afterwards.
    let later = shop.of(&SHOP, &line("--path / --tags net --only S* --except X --require SECRET --offline --prefix P_ --clean --strict --timeout 3"));
    let _ = later.args(["-c", "true"]).output();
    made(&SHOP, "--dynamic");
    refused(offline(&SHOP, ""));
    made(&SHOP, "");
    refused(offline(&SHOP, "--dynamic"));
    assert!(
        offline(&SHOP, "")
            .output()
            .stderr
            .contains("using the snapshot")
    );
}

/// "its age is always printed", "a snapshot older than this is not used"
#[test]
fn snapshot_older_than_max_age_is_not_used() {
    let shop = kept().made();
    let limit = ["--snapshot-max-age", "0.000001"];
    let output = shop.with(&["--offline", limit[0], limit[1]]).output();
    let output = output.failed(125, "snapshot");
    let said = "cannot use the snapshot snapshot: it was made 0 s ago, and --snapshot-max-age is 0.000001 s\nhint: start once without --offline";
    assert!(output.stderr.contains(said), "{output}");
    let young = ["--offline", "--snapshot-max-age", "3600"];
    let _ = shop.is_used(&young);
    let shop = shop.answers(Responder::status(503));
    let unfit = ["warning: cannot use the snapshot snapshot instead: it was made"];
    let _ = shop
        .with(&limit)
        .output()
        .notices(&unfit)
        .failed(125, "server");
    let _ = shop.is_used(&young[1..]);
}

/// The fetch's own error stays the error; why the snapshot does not help is one line before it.
#[test]
fn unusable_snapshot_warns_keeps_fetch_error() {
    let shop = kept().answers(Responder::status(503));
    let start = "warning: cannot use the snapshot snapshot instead: ";
    let failed = |run: Run<'_>, why: &str| {
        let notice = format!("{start}{why}");
        let _ = run.output().notices(&[&notice]).failed(125, "server");
    };
    failed(shop.with(&[]), "there is none");
    shop.sandbox
        .file("snapshot", "phase-run snapshot v1\nand no more");
    failed(
        shop.with(&[]),
        "it is damaged, or was made with another token",
    );
    let shop = kept().made().answers(Responder::status(503));
    failed(shop.with(&["--only", "S*"]), "it is damaged, or was made");
    failed(
        shop.with(&[]).env("PHASE_SERVICE_TOKEN", bearer()),
        "it is damaged",
    );
    // None is needed, none is looked at.
    let shop = kept();
    let _ = shop.with(&[]).output().ok();
}

/// "Leased values never enter it", and without them a snapshot is none for `--dynamic`.
#[test]
fn leased_values_are_never_in_snapshot() {
    let mut world = two_app_world();
    let production = world.app("shop").environment("Production", "prod");
    production.dynamic("/", "lender", &[("LEASED", "canary of the lease")], 600);
    let shop = kept_of(world);
    let output = shop
        .with(&["--dynamic"])
        .output()
        .notices(&["what was leased ends"])
        .ok();
    assert_eq!(output.text(), format!("{VALUE}\n"));
    let output = shop
        .with(&["--dynamic", "--offline"])
        .output()
        .failed(125, "snapshot");
    let said = "what is leased is in no snapshot, which lender would be\nhint: leave out --dynamic";
    assert!(output.stderr.contains(said), "{output}");
    let shop = shop.answers(Responder::status(503));
    let unfit = ["warning: cannot use the snapshot snapshot instead: what is leased"];
    let _ = shop
        .with(&["--dynamic"])
        .output()
        .notices(&unfit)
        .failed(125, "server");
}
