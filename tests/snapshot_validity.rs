//! `--snapshot`: snapshots that cannot be used, and the reasons that are given.

use fake_phase::{Responder, bearer, service_token, user_bearer, user_token};

use crate::snapshot::{VALUE, snapshot_shop, snapshot_shop_of, two_app_world};
use crate::support::{Run, SHOP};

const CANNOT_USE: &str = "phase-run: error[snapshot]: cannot use the snapshot snapshot: ";

/// A snapshot of another token, host, app, environment, filter, `--mode` or `--dynamic` is rejected.
#[test]
fn snapshot_of_other_configuration_is_rejected() {
    let line = |options: &'static str| -> Vec<&str> { options.split_whitespace().collect() };
    let shop = snapshot_shop();
    let port = shop.phase.port();
    let base = "--path / --tags net --only S* --except X --require SECRET";
    let write_snapshot = |target: &[&str], options: &str| {
        let options: Vec<&str> = options.split_whitespace().collect();
        let _ = shop.run(target, &options).output().assert_ok();
    };
    let assert_rejected = |run: Run<'_>, why: &str| {
        let output = run.output().assert_error(125, "snapshot");
        let said = format!("{CANNOT_USE}{why}\nhint: ");
        assert!(output.stderr.starts_with(&said), "{said}: {output}");
    };
    let made = |made_with: &str| match made_with.starts_with("without") {
        true => format!("it was made {made_with}"),
        false => format!("it was made with {made_with}"),
    };
    let offline = |target: &[&str], options: &str| {
        let options: Vec<&str> = options.split_whitespace().collect();
        shop.run(target, &[&options[..], &["--offline"]].concat())
    };
    write_snapshot(&SHOP, base);
    for (other, made_with) in [
        (
            "--tags net --only S* --except X --require SECRET",
            "--path /",
        ),
        (
            "--path /web --tags net --only S* --except X --require SECRET",
            "--path /",
        ),
        (
            "--path / --path /web --tags net --only S* --except X --require SECRET",
            "--path /",
        ),
        (
            "--path / --only S* --except X --require SECRET",
            "--tags net",
        ),
        (
            "--path / --tags net,x --only S* --except X --require SECRET",
            "--tags net",
        ),
        (
            "--path / --tags net --except X --require SECRET",
            "--only S*",
        ),
        (
            "--path / --tags net --only S --except X --require SECRET",
            "--only S*",
        ),
        (
            "--path / --tags net --only S* --require SECRET",
            "--except X",
        ),
        (
            "--path / --tags net --only S* --except X --except Y --require SECRET",
            "--except X",
        ),
        (
            "--path / --tags net --only S* --except X",
            "--require SECRET",
        ),
        (
            "--path / --tags net --only S* --only X --require SECRET",
            "--only S*",
        ),
        (
            "--path / --tags net --only S* --except X --require SECRET --allow-empty",
            "without --allow-empty",
        ),
        (
            "--path / --tags net --only S* --except X --require SECRET --mode rest",
            "--mode auto",
        ),
        (
            "--path / --tags net --only S* --except X --require SECRET --mode e2ee",
            "--mode auto",
        ),
    ] {
        assert_rejected(offline(&SHOP, other), &made(made_with));
    }
    for (other, made_with) in [
        (["--app", "other", "--env", "Production"], "--app shop"),
        (["--app", "shop", "--env", "Staging"], "--env Production"),
        (["--app", "shop", "--env", "prod"], "--env Production"),
    ] {
        assert_rejected(offline(&other, base), &made(made_with));
    }
    let tokens = [user_token(), bearer(), user_bearer()];
    for token in tokens {
        let run = offline(&SHOP, base).env("PHASE_SERVICE_TOKEN", token);
        assert_rejected(run, "it was made with another token, or is damaged");
    }
    for host in [
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}/phase"),
        "https://console.phase.dev".to_owned(),
    ] {
        let why = format!("it was made with --host https://localhost:{port}");
        assert_rejected(offline(&SHOP, base).env("PHASE_HOST", host), &why);
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
    assert_rejected(offline(&SHOP, ""), "it was made with --dynamic");
    write_snapshot(&SHOP, "");
    assert_rejected(offline(&SHOP, "--dynamic"), "it was made without --dynamic");
    assert!(
        offline(&SHOP, "")
            .output()
            .stderr
            .contains("using the snapshot")
    );
}

/// A snapshot that was made with an abbreviation or a name also opens with the names that Phase has.
#[test]
fn snapshot_opens_with_resolved_names() {
    let id = two_app_world().app("shop").id().to_owned();
    let shop = snapshot_shop();
    let _ = shop.run(&["--app", "SHOP", "--env", "prod"], &[]).output();
    for target in [
        ["--app", "shop", "--env", "Production"],
        ["--app", &id, "--env", "production"],
        ["--app", "shop", "--env", "prod"],
    ] {
        let output = shop.run(&target, &["--offline"]).output();
        let _ = output
            .assert_log_lines(&["using the snapshot snapshot, made "])
            .assert_ok();
    }
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
        "it was made with another token, or is damaged",
    );
    let shop = snapshot_shop()
        .with_snapshot()
        .responding(Responder::status(503));
    failed(
        shop.run_with(&["--only", "S*"]),
        "it was made without --only",
    );
    failed(
        shop.run_with(&[]).env("PHASE_SERVICE_TOKEN", bearer()),
        "it was made with another token",
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
