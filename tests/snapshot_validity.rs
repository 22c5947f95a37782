//! `--snapshot`: snapshots that cannot be used, and the reasons that are given.

use fake_phase::{Responder, bearer, service_token, user_bearer, user_token};

use crate::snapshot::{VALUE, snapshot_shop, snapshot_shop_of, two_app_world};
use crate::support::{Run, SHOP};

const FOREIGN: &str = "phase-run: error[snapshot]: cannot use the snapshot snapshot: it is damaged, or was made with another";

/// A snapshot of another token, host, app, environment, filter, `--mode` or `--dynamic` is rejected.
#[test]
fn snapshot_of_other_configuration_is_rejected() {
    let line = |options: &'static str| -> Vec<&str> { options.split_whitespace().collect() };
    let shop = snapshot_shop();
    let port = shop.phase.port();
    let id = two_app_world().app("shop").id().to_owned();
    let base = "--path / --tags net --only S* --except X --require SECRET";
    let write_snapshot = |target: &[&str], options: &str| {
        let options: Vec<&str> = options.split_whitespace().collect();
        let _ = shop.run(target, &options).output().assert_ok();
    };
    let assert_rejected = |run: Run<'_>| {
        let output = run.output().assert_error(125, "snapshot");
        assert!(output.stderr.starts_with(FOREIGN), "{output}");
    };
    let offline = |target: &[&str], options: &str| {
        let options: Vec<&str> = options.split_whitespace().collect();
        shop.run(target, &[&options[..], &["--offline"]].concat())
    };
    write_snapshot(&SHOP, base);
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
        assert_rejected(offline(&SHOP, other));
    }
    assert_rejected(offline(&["--app", "other", "--env", "Production"], base));
    assert_rejected(offline(&["--app", &id, "--env", "Production"], base));
    assert_rejected(offline(&["--app", "shop", "--env", "Staging"], base));
    assert_rejected(offline(&["--app", "shop", "--env", "prod"], base));
    let tokens = [user_token(), bearer(), user_bearer()];
    for token in tokens {
        assert_rejected(offline(&SHOP, base).env("PHASE_SERVICE_TOKEN", token));
    }
    for host in [
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}/phase"),
        "https://console.phase.dev".to_owned(),
    ] {
        assert_rejected(offline(&SHOP, base).env("PHASE_HOST", host));
    }
    // Other spellings of the same configuration are accepted.
    let same = offline(&["--app", "SHOP", "--env", "Production"], base);
    let same = same.env("PHASE_SERVICE_TOKEN", format!("  {}\n", service_token()));
    let same = same.env("PHASE_HOST", format!("https://LOCALHOST:{port}/"));
    let _ = same
        .output()
        .assert_log_lines(&["using the snapshot"])
        .assert_ok();
    // Options that only change what happens to the values do not matter.
    let later = shop.run(&SHOP, &line("--path / --tags net --only S* --except X --require SECRET --offline --prefix P_ --clean --strict --timeout 3"));
    let _ = later.args(["-c", "true"]).output();
    write_snapshot(&SHOP, "--dynamic");
    assert_rejected(offline(&SHOP, ""));
    write_snapshot(&SHOP, "");
    assert_rejected(offline(&SHOP, "--dynamic"));
    assert!(
        offline(&SHOP, "")
            .output()
            .stderr
            .contains("using the snapshot")
    );
}

/// The log has the age, and a snapshot older than `--snapshot-max-age` is not used.
#[test]
fn snapshot_older_than_max_age_is_not_used() {
    let shop = snapshot_shop().with_snapshot();
    let limit = ["--snapshot-max-age", "0.000001"];
    let output = shop.run_with(&["--offline", limit[0], limit[1]]).output();
    let output = output.assert_error(125, "snapshot");
    let said = "cannot use the snapshot snapshot: it was made 0 s ago, and --snapshot-max-age is 0.000001 s\nhint: run once without --offline";
    assert!(output.stderr.contains(said), "{output}");
    let young = ["--offline", "--snapshot-max-age", "3600"];
    let _ = shop.assert_used(&young);
    let shop = shop.responding(Responder::status(503));
    let warning = ["warning: cannot use the snapshot snapshot instead: it was made"];
    let _ = shop
        .run_with(&limit)
        .output()
        .assert_log_lines(&warning)
        .assert_error(125, "server");
    let _ = shop.assert_used(&young[1..]);
}

/// The error of the fetch stays the error, and a warning before it says why the snapshot is not used.
#[test]
fn unusable_snapshot_warns_keeps_fetch_error() {
    let shop = snapshot_shop().responding(Responder::status(503));
    let start = "warning: cannot use the snapshot snapshot instead: ";
    let failed = |run: Run<'_>, why: &str| {
        let notice = format!("{start}{why}");
        let _ = run
            .output()
            .assert_log_lines(&[&notice])
            .assert_error(125, "server");
    };
    failed(shop.run_with(&[]), "it does not exist");
    shop.sandbox
        .file("snapshot", "phase-run snapshot v1\nand no more");
    failed(
        shop.run_with(&[]),
        "it is damaged, or was made with another token",
    );
    let shop = snapshot_shop()
        .with_snapshot()
        .responding(Responder::status(503));
    failed(
        shop.run_with(&["--only", "S*"]),
        "it is damaged, or was made",
    );
    failed(
        shop.run_with(&[]).env("PHASE_SERVICE_TOKEN", bearer()),
        "it is damaged",
    );
    // After a successful fetch a missing snapshot is no warning.
    let shop = snapshot_shop();
    let _ = shop.run_with(&[]).output().assert_ok();
}

/// A snapshot contains no leased values, so it cannot be used with `--dynamic`.
#[test]
fn leased_values_are_never_in_snapshot() {
    let mut world = two_app_world();
    let production = world.app("shop").environment("Production", "prod");
    production.dynamic("/", "lender", &[("LEASED", "canary of the lease")], 600);
    let shop = snapshot_shop_of(world);
    let output = shop
        .run_with(&["--dynamic"])
        .output()
        .assert_log_lines(&["leased secrets expire at"])
        .assert_ok();
    assert_eq!(output.text(), format!("{VALUE}\n"));
    let output = shop
        .run_with(&["--dynamic", "--offline"])
        .output()
        .assert_error(125, "snapshot");
    let said = "snapshots do not contain leased secrets, such as lender\nhint: remove --dynamic";
    assert!(output.stderr.contains(said), "{output}");
    let shop = shop.responding(Responder::status(503));
    let warning = [
        "warning: cannot use the snapshot snapshot instead: snapshots do not contain leased secrets",
    ];
    let _ = shop
        .run_with(&["--dynamic"])
        .output()
        .assert_log_lines(&warning)
        .assert_error(125, "server");
}
