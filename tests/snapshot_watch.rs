//! `--snapshot` with `--watch`: the first start may use the snapshot, a poll never does.

#![cfg(target_os = "linux")]

use fake_phase::Responder;

use crate::support::{
    PRINT_SECRET_AND_SERVE, SHOP, Shop, await_restart, set_secret_value, spawn_watched,
    stop_watched, wait_for_more_requests, watched_shop,
};

const OPTIONS: [&str; 4] = ["--watch", "1", "--snapshot", "snapshot"];

const FAILED: &str = "phase-run: warning: a poll failed, and the command keeps running: ";

fn offline(shop: &Shop) -> String {
    let run = shop.run(SHOP).args(["--snapshot", "snapshot", "--offline"]);
    let output = run
        .args(["printenv", "SECRET"])
        .allow_secrets_on_stdout()
        .output();
    let output = output
        .assert_log_lines(&["using the snapshot snapshot, made "])
        .assert_ok();
    output.text().trim_end().to_owned()
}

/// An outage is a failed poll: an old snapshot that differs must not restart the command.
#[test]
fn poll_writes_but_never_reads_snapshot() {
    let shop = watched_shop();
    // A snapshot with a value that no poll fetches.
    set_secret_value(&shop.phase, "three");
    let made = shop
        .run(SHOP)
        .args(["--snapshot", "other", "true"])
        .output();
    let _ = made.assert_ok();
    set_secret_value(&shop.phase, "one");
    let mut running = spawn_watched(shop.run_with(&OPTIONS), PRINT_SECRET_AND_SERVE);
    assert_eq!(offline(&shop), "one");
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let said = running.stderr_line();
    assert_eq!(
        said,
        "phase-run: the secrets have changed: restarting the command"
    );
    assert_eq!(offline(&shop), "two");
    shop.phase.respond("", Responder::status(503));
    let said = running.stderr_line();
    assert!(said.starts_with(FAILED) && said.contains("503"), "{said}");
    // From here on no poll writes the snapshot. A poll must not take it for a change.
    let directory = shop.directory();
    std::fs::rename(directory.join("other"), directory.join("snapshot")).unwrap();
    wait_for_more_requests(&shop.phase, 2);
    assert!(running.signals().is_empty());
    assert_eq!(offline(&shop), "three");
    let output = stop_watched(running);
    assert!(!output.stderr.contains("snapshot"), "{output}");
}

/// A poll that Phase refuses removes the snapshot, and the log says so.
#[test]
fn refused_poll_removes_snapshot_and_logs() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&OPTIONS), PRINT_SECRET_AND_SERVE);
    let refusal = Responder::error(401, "Token expired or deleted");
    shop.phase.respond("", refusal);
    let removed = "phase-run: removed the snapshot snapshot: Phase denies access to its secrets";
    assert_eq!(running.stderr_line(), removed);
    let said = running.stderr_line();
    assert!(
        said.starts_with(FAILED) && said.contains("rejected the token"),
        "{said}"
    );
    assert!(!shop.directory().join("snapshot").exists());
    let _ = stop_watched(running);
}

/// The first start may use the snapshot, and the first successful poll brings the new value.
#[test]
fn first_start_of_watch_may_use_snapshot() {
    let shop = watched_shop();
    let _ = shop
        .run(SHOP)
        .args(["--snapshot", "snapshot", "true"])
        .output()
        .assert_ok();
    set_secret_value(&shop.phase, "two");
    // The first request is the look-up by name, so one failure is enough.
    shop.phase.respond("", Responder::status(503).times(1));
    let mut running = spawn_watched(shop.run_with(&OPTIONS), PRINT_SECRET_AND_SERVE);
    assert!(
        running
            .stderr_line()
            .contains("using the snapshot snapshot, made ")
    );
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}
