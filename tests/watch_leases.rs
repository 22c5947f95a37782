//! `--watch` with `--dynamic`: polls take no leases, starts do, and a lease is renewed in time.

#![cfg(target_os = "linux")]

use fake_phase::{Phase, Request, Responder, World};
use serde_json::json;

use crate::support::{
    DEADLINE, PRINT_SECRET_AND_SERVE, SHOP, Sandbox, await_restart, set_secret_value,
    spawn_watched, stop_watched, wait_for_more_requests,
};

/// An app with a secret and a lease of `seconds`, polled every `every` seconds.
pub(crate) fn leased(mode: &str, seconds: i64, every: &str) -> (Phase, Sandbox, Vec<String>) {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "SECRET", "one");
    production.dynamic(
        "/",
        "orders",
        &[("DB_USER", "u1")],
        seconds.try_into().unwrap(),
    );
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let options = ["--mode", mode, "--dynamic", "--watch", every, "--"];
    let options = SHOP.iter().chain(&options).map(|word| (*word).to_owned());
    (phase, sandbox, options.collect())
}

/// For each request for secrets so far, whether it takes a lease.
pub(crate) fn leases(phase: &Phase) -> Vec<bool> {
    let requests = phase.requests();
    let of_secrets = requests
        .iter()
        .filter(|one| one.path().ends_with("/secrets/"));
    let lease = |one: &Request| one.query("lease").is_some() || one.header("lease").is_some();
    let dynamic = |one: &Request| one.query("dynamic").is_some() || one.header("dynamic").is_some();
    of_secrets
        .map(|one| {
            assert!(dynamic(one));
            lease(one)
        })
        .collect()
}

/// Only the standby that is about to start takes a lease, and leased values do not count as a
/// change.
#[test]
fn polls_take_no_lease_but_restart_does() {
    for mode in ["rest", "e2ee"] {
        let (phase, sandbox, options) = leased(mode, 3600, "1");
        let mut running = spawn_watched(sandbox.run(&options), PRINT_SECRET_AND_SERVE);
        wait_for_more_requests(&phase, 4);
        let before = leases(&phase);
        assert!(
            before[0] && before[1..].iter().all(|lease| !lease),
            "{before:?}"
        );
        set_secret_value(&phase, "two");
        await_restart(&mut running, "two");
        let all = leases(&phase);
        assert_eq!(
            all.iter().filter(|lease| **lease).count(),
            2,
            "{mode}: {all:?}"
        );
        assert_eq!(
            running.stderr_line(),
            "phase-run: the secrets have changed: restarting the command"
        );
        let _ = stop_watched(running);
    }
}

/// The command is restarted with a new lease when two thirds of the shortest lease are over.
#[test]
fn lease_is_renewed_after_two_thirds() {
    let (phase, sandbox, options) = leased("rest", 6, "600");
    let mut running = spawn_watched(sandbox.run(&options), PRINT_SECRET_AND_SERVE);
    for _ in 0..2 {
        await_restart(&mut running, "one");
        assert_eq!(
            running.stderr_line(),
            "phase-run: two thirds of a lease have passed: restarting the command with a new lease"
        );
    }
    assert_eq!(leases(&phase), [true; 3]);
    let _ = stop_watched(running);
}

/// Nothing is known of the lease's end, so the polls go on and nothing restarts the command.
#[test]
fn lease_with_unknown_end_is_not_renewed() {
    let (phase, sandbox, options) = leased("rest", 1, "1");
    phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.clear().secret("/", "SECRET", "one");
        production.dynamic_row(json!({
            "id": "d1",
            "name": "orders",
            "type": "dynamic",
            "path": "/",
            "keyMap": [{"keyName": "DB_USER"}],
            "lease": {
                "credentials": [{"key": "DB_USER", "value": "u1"}],
                "createdAt": "2026-11-24T00:00:00Z",
                "expiresAt": "2026-11-24T00:00:01+0000",
            },
        }));
    });
    let mut running = spawn_watched(sandbox.run(&options), PRINT_SECRET_AND_SERVE);
    let line = running.stderr_line();
    assert!(
        line.starts_with("phase-run: warning: the end of the lease of orders is unknown: "),
        "{line}"
    );
    wait_for_more_requests(&phase, 5);
    let all = leases(&phase);
    assert!(all[0] && all[1..].iter().all(|lease| !lease), "{all:?}");
    let _ = stop_watched(running);
}

/// A lease that has expired when it arrives does not restart the command over and over: there are
/// polls between two renewals.
#[test]
fn expired_lease_is_renewed_less_often_than_polls() {
    let (phase, sandbox, options) = leased("rest", 0, "2");
    let mut running = spawn_watched(sandbox.run(&options), PRINT_SECRET_AND_SERVE);
    await_restart(&mut running, "one");
    let all = leases(&phase);
    let (renewal, before) = all.split_last().unwrap();
    assert!(renewal & before[0], "{all:?}");
    assert!(before.len() > 1 && !before[1..].contains(&true), "{all:?}");
    let _ = stop_watched(running);
}

/// A restart that cannot lease is a failed poll: the old command keeps its lease and continues.
#[test]
fn failed_lease_leaves_command_running() {
    let (phase, sandbox, options) = leased("rest", 3600, "1");
    let mut running = spawn_watched(sandbox.run(&options), PRINT_SECRET_AND_SERVE);
    let gate = phase.gate("");
    gate.wait_for_request(DEADLINE);
    set_secret_value(&phase, "two");
    // The poll sees the change, and the request for a lease is held.
    gate.release_held();
    let _ = running.stderr_line();
    phase.respond("", Responder::error(400, "no lease today").times(3));
    gate.open();
    let line = running.stderr_line();
    assert!(
        line.contains("the command keeps running: ") && line.contains("no lease today"),
        "{line}"
    );
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}
