//! Polls of a watch: failures of every kind are logged once, warnings are not repeated, and a
//! terminal key may kill a poll.

#![cfg(target_os = "linux")]

use std::fs::rename;

use fake_phase::{Account, Responder, service_token, user_bearer, user_token};

use crate::support::proc::{children, wait_for_only_child};
use crate::support::{
    DEADLINE, PRINT_SECRET_AND_SERVE, SHOP, Status, WATCH, await_restart, eventually, inspector,
    kill, set_secret_value, spawn_watched, stop_watched, wait_for_more_requests, watched_shop,
};

const FAILED: &str = "phase-run: warning: a poll failed, and the command keeps running: ";

/// A failed poll does not affect the command. It is logged unless the previous poll failed by the
/// same kind of error.
#[test]
fn failed_poll_is_logged_once_per_error_kind() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&WATCH), PRINT_SECRET_AND_SERVE);
    shop.phase.respond("", Responder::status(500));
    let logged = running.stderr_line();
    assert!(
        logged.starts_with(FAILED) && logged.contains("500"),
        "{logged}"
    );
    // Another failure of the same kind is not logged.
    wait_for_more_requests(&shop.phase, 1);
    shop.phase.edit(|world| {
        world.revoke(Account::ServiceAccount);
    });
    shop.phase
        .respond("", Responder::error(401, "Token expired or deleted"));
    let logged = running.stderr_line();
    assert!(
        logged.starts_with(FAILED) && logged.contains("rejected the token"),
        "{logged}"
    );
    assert!(running.signals().is_empty());
    let _ = stop_watched(running);
}

/// The first successful poll after a failure is logged, and so is the next failure.
#[test]
fn recovered_poll_is_logged_once() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&WATCH), PRINT_SECRET_AND_SERVE);
    for _ in 0..2 {
        shop.phase.respond("", Responder::status(503).times(1));
        let logged = running.stderr_line();
        assert!(
            logged.starts_with(FAILED) && logged.contains("503"),
            "{logged}"
        );
        let logged = running.stderr_line();
        assert_eq!(logged, "phase-run: polling works again");
    }
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// A token that was rotated during an outage is used by the polls after it, and the old one is not.
#[test]
fn poll_after_outage_uses_rotated_token() {
    let shop = watched_shop();
    let token = shop.private_file("token", service_token());
    let run = shop.run(SHOP).unset("PHASE_SERVICE_TOKEN");
    let run = run.args(["--watch", "1", "--token-file", "token", "--"]);
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    shop.phase.respond("", Responder::status(503));
    let logged = running.stderr_line();
    assert!(logged.starts_with(FAILED), "{logged}");
    std::fs::write(&token, user_token()).unwrap();
    shop.phase.edit(|world| {
        world.revoke(Account::ServiceAccount);
    });
    set_secret_value(&shop.phase, "two");
    shop.phase.respond_normally();
    await_restart(&mut running, "two");
    let last = shop.phase.requests().pop().unwrap();
    let authorization = last.header("authorization").unwrap();
    assert!(authorization.ends_with(user_bearer()), "{authorization}");
    let _ = stop_watched(running);
}

/// A secret that cannot be injected must not end the command: a refused name, an impossible name, a
/// value that is too long, an unresolved reference.
#[test]
fn uninjectable_secret_fails_poll() {
    let cases: [(&[&str], &str, &str, &str); 4] = [
        (&[], "LD_PRELOAD", "x", "refusing to inject LD_PRELOAD"),
        (&[], "A=B", "x", "A=B"),
        (&[], "LARGE", &"x".repeat(200_000), "LARGE"),
        (&["--strict"], "RAW", "${NOWHERE}", "RAW"),
    ];
    for (options, key, value, named) in cases {
        let shop = watched_shop();
        let options = [options, &WATCH].concat();
        let mut running = spawn_watched(shop.run_with(&options), PRINT_SECRET_AND_SERVE);
        shop.phase.edit(|world| {
            let production = world.app("shop").environment("Production", "prod");
            production.secret("/", key, value);
        });
        let logged = running.stderr_line();
        assert!(
            logged.starts_with(FAILED) && logged.contains(named),
            "{logged}"
        );
        let _ = stop_watched(running);
    }
}

/// A warning belongs to a start: polls that find no change do not repeat it, and a restart does.
#[test]
fn warning_is_logged_by_starts_not_by_polls() {
    let shop = watched_shop();
    shop.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.secret("/", "odd name", "x");
    });
    let odd = "phase-run: warning: shells cannot use the variable name \"odd name\"";
    let mut running = spawn_watched(shop.run_with(&WATCH), PRINT_SECRET_AND_SERVE);
    assert_eq!(running.stderr_line(), odd);
    wait_for_more_requests(&shop.phase, 2);
    set_secret_value(&shop.phase, "two");
    let mut logged = [running.stderr_line(), running.stderr_line()];
    logged.sort();
    assert_eq!(
        logged[0],
        "phase-run: the secrets have changed: restarting the command"
    );
    assert_eq!(logged[1], odd);
    await_restart(&mut running, "two");
    let output = stop_watched(running);
    assert_eq!(output.stderr.lines().count(), 3, "{output}");
}

/// A token file that has become a pipe without a writer fails the poll, and polls recover once it
/// is a file again.
#[test]
fn unreadable_token_file_fails_poll() {
    let shop = watched_shop();
    let token = shop.private_file("token", service_token());
    let run = shop.run(SHOP).unset("PHASE_SERVICE_TOKEN");
    let run = run.args(["--watch", "1", "--token-file", "token", "--"]);
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    let _ = shop.bare(["mkfifo", "token.new"]).output().assert_ok();
    rename(shop.directory().join("token.new"), &token).unwrap();
    let logged = running.stderr_line();
    let why = "it is no longer a regular file";
    assert!(
        logged.starts_with(FAILED) && logged.ends_with(why),
        "{logged}"
    );
    set_secret_value(&shop.phase, "two");
    let again = shop.private_file("token.new", service_token());
    rename(again, &token).unwrap();
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// A container that mounts the token file alone keeps the old file if it is replaced on the host. One
/// warning says so.
#[test]
fn replaced_mounted_token_file_warns_once() {
    let shop = watched_shop();
    let token = shop.private_file("token", service_token());
    let _ = shop.private_file("mounted", "");
    let run = shop.run(SHOP).unset("PHASE_SERVICE_TOKEN");
    let run = run.args(["--watch", "1", "--token-file", "mounted", "--"]);
    let run = run.in_namespaces(&["--mount"], "mount --bind token mounted && exec \"$@\"");
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    wait_for_more_requests(&shop.phase, 1);
    let new = shop.private_file("token.new", service_token());
    rename(new, &token).unwrap();
    let warning = "phase-run: warning: the file mounted was replaced or removed outside of this \
        container, so polls still read the old one: mount its directory, not the file alone";
    assert_eq!(running.stderr_line(), warning);
    wait_for_more_requests(&shop.phase, 2);
    let output = stop_watched(running);
    assert_eq!(output.stderr, format!("{warning}\n"), "{output}");
}

/// With `-v`, a poll without a change is logged.
#[test]
fn verbose_poll_logs_unchanged_secrets() {
    let shop = watched_shop();
    let mut running = spawn_watched(
        shop.run_with(&["--watch", "1", "-v"]),
        PRINT_SECRET_AND_SERVE,
    );
    eventually("an unchanged poll is logged", || {
        let line = running.stderr_line();
        match line.as_str() {
            "phase-run: the secrets have not changed" => Ok(()),
            _ => Err(line),
        }
    });
    let _ = stop_watched(running);
}

/// A standby that dies by Ctrl-C is a failed poll. A command that survives Ctrl-C is still watched,
/// and nothing is logged.
#[test]
fn ctrl_c_that_kills_standby_fails_poll() {
    let shop = watched_shop();
    let script = "stty -echo; echo \"value $SECRET\"; exec \"$0\" serve";
    let run = shop
        .run_with(&WATCH)
        .args(["sh", "-c", script, inspector()]);
    let mut terminal = run.on_terminal();
    terminal.until("value one");
    let old = terminal.wait_until_ready();
    let gate = shop.phase.gate("");
    gate.wait_for_request(DEADLINE);
    let all = children(terminal.pid());
    assert_eq!(all.len(), 2);
    terminal.press("\x03");
    assert_eq!(terminal.next_signal(), (libc::SIGINT, 128));
    wait_for_only_child(terminal.pid());
    gate.open();
    set_secret_value(&shop.phase, "two");
    assert_eq!(terminal.next_signal().0, libc::SIGTERM);
    kill(old, libc::SIGKILL);
    terminal.until("value two");
    kill(terminal.wait_until_ready(), libc::SIGKILL);
    assert_eq!(terminal.wait(), Status::Killed(libc::SIGKILL));
}
