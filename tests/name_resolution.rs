//! A name look-up may be slow: it has a bound of its own, and there are never more than two of a name.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::read_dir;

use fake_phase::{Certificate, Options, Phase};

use crate::support::{
    NameServer, Run, Sandbox, Status, cloud_machine, eventually, require_root, shop_id, shop_world,
    unused_port,
};

/// Only the test can bind port 53, and mount the resolver's files.
fn is_possible() -> bool {
    require_root("only root can run a name server and mount files")
}

/// Phase as `https://other.test`, which has to be resolved.
fn named_phase() -> Phase {
    let options = Options {
        certificate: Certificate::OtherName,
        ..Options::default()
    };
    Phase::with(shop_world([("KEY", "value")]), options)
}

fn run_by_name<'a>(
    sandbox: &'a Sandbox,
    phase: &Phase,
    server: &NameServer,
    max_wait: &str,
    options: &[&str],
) -> Run<'a> {
    let id = shop_id();
    let words = ["--app", &id, "--env", "Production"];
    let run = sandbox.run(words).args(["--max-wait", max_wait]);
    let run = run.env("PHASE_TIMEOUT", "1");
    let run = run.args(options).args(["echo", "started"]);
    let run = run.env("PHASE_HOST", format!("https://other.test:{}", phase.port()));
    server.resolves_for(sandbox, run)
}

const MODES: [&[&str]; 3] = [&[], &["--supervise"], &["--watch", "3600"]];

/// With a name server that drops the queries for IPv6 addresses, glibc needs 15 s.
#[test]
fn slow_lookup_outlasts_timeout() {
    if !is_possible() {
        return;
    }
    for options in MODES {
        let (phase, server) = (named_phase(), NameServer::silent());
        let sandbox = Sandbox::new(&phase);
        let mut running = run_by_name(&sandbox, &phase, &server, "100", options).spawn();
        let warning = "phase-run: warning: resolving the name other.test has taken 1 s so far: \
            waiting up to 99 s more";
        assert_eq!(running.stderr_line(), warning, "{options:?}");
        server.answer();
        let output = running.wait().assert_status(Status::Exited(0));
        assert_eq!(output.text(), "started\n", "{output}");
        assert!(!output.stderr.contains("retrying"), "{output}");
        assert!(server.queries() <= 2, "{output}");
        assert_eq!(phase.requests().len(), 1, "{output}");
    }
}

/// A look-up does not notice that resolv.conf(5) changes, but the one that starts beside it does.
#[test]
fn repaired_resolver_is_used_after_timeout() {
    if !is_possible() {
        return;
    }
    for options in MODES {
        let phase = named_phase();
        let (broken, repaired) = (NameServer::silent(), NameServer::start());
        let sandbox = Sandbox::new(&phase);
        let options = [&["--timeout", "3"], options].concat();
        let running = run_by_name(&sandbox, &phase, &broken, "25", &options).spawn();
        eventually("the first look-up runs", || match broken.queries() {
            0 => Err("no query"),
            _ => Ok(()),
        });
        repaired.set_for(&sandbox);
        let output = running.wait().assert_status(Status::Exited(0));
        assert_eq!(output.text(), "started\n", "{output}");
        assert!(!output.stderr.contains("retrying"), "{output}");
        assert_eq!((broken.queries(), repaired.queries()), (1, 1), "{output}");
    }
}

#[test]
fn hanging_lookup_ends_with_max_wait() {
    if !is_possible() {
        return;
    }
    for options in MODES {
        let (phase, server) = (named_phase(), NameServer::silent());
        let sandbox = Sandbox::new(&phase);
        let output = run_by_name(&sandbox, &phase, &server, "4", options).output();
        let output = output
            .assert_log_lines(&["warning: resolving the name other.test has taken 1 s so far"])
            .assert_refused("unreachable");
        // What is left of four seconds may be a little less.
        let why = ": name resolution did not finish within ";
        assert!(output.stderr.contains(why), "{output}");
        assert_eq!(server.queries(), 2, "{output}");
    }
}

/// The warning is left out if less than half a second of `--max-wait` is left.
#[test]
fn slow_lookup_is_not_announced_for_a_moment() {
    if !is_possible() {
        return;
    }
    let (phase, server) = (named_phase(), NameServer::silent());
    let sandbox = Sandbox::new(&phase);
    let output = run_by_name(&sandbox, &phase, &server, "1.4", &[]).output();
    let output = output.assert_refused("unreachable");
    let why = "cannot reach other.test";
    assert!(
        output
            .stderr
            .starts_with(&format!("phase-run: error[unreachable]: {why}")),
        "{output}"
    );
    assert_eq!(server.queries(), 1, "{output}");
}

/// `-vv` shows how long a look-up took.
#[test]
fn verbose_log_has_time_of_lookup() {
    if !is_possible() {
        return;
    }
    let (phase, server) = (named_phase(), NameServer::start());
    let sandbox = Sandbox::new(&phase);
    let output = run_by_name(&sandbox, &phase, &server, "0", &["-vv"]).output();
    let mut lines = output.stderr.lines();
    let lookup =
        lines.find(|line| line.starts_with("phase-run: resolving the name other.test took "));
    assert!(lookup.is_some_and(|line| line.ends_with(" ms")), "{output}");
    assert_eq!(server.queries(), 1);
}

/// The metadata services are tried twice, for five seconds each. The second try waits for the look-ups of
/// the first.
#[test]
fn retry_waits_for_running_lookup() {
    if !is_possible() {
        return;
    }
    let (machine, server) = (cloud_machine(), NameServer::silent());
    let run = machine.run_with_identity("aws", &["--timeout", "1", "--max-wait", "100"]);
    let run = run
        .args(["echo", "started"])
        .unset("AWS_EC2_METADATA_DISABLED");
    let run = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "https://other.test:1");
    let mut running = server.resolves_for(&machine, run).spawn();
    let slow = "phase-run: warning: resolving the name other.test has taken 1 s so far: \
        waiting up to 4 s more";
    assert_eq!(running.stderr_line(), slow);
    let retrying = running.stderr_line();
    let why = "cannot reach other.test:1: name resolution did not finish within 5 s; retrying in ";
    assert!(retrying.contains(why), "{retrying}");
    server.answer();
    let output = running.wait().assert_status(Status::Exited(125));
    assert!(output.stderr.contains("connection refused"), "{output}");
    assert_eq!(server.queries(), 2, "{output}");
}

/// Each retry resolves the name again, and all of them use one client, which has a thread.
#[test]
fn retries_start_no_further_client() {
    if !is_possible() {
        return;
    }
    let (phase, server) = (named_phase(), NameServer::start());
    let sandbox = Sandbox::new(&phase);
    let run = run_by_name(&sandbox, &phase, &server, "8", &[]);
    let run = run.env(
        "PHASE_HOST",
        format!("https://other.test:{}", unused_port()),
    );
    let mut running = run.spawn();
    let mut client_threads = BTreeSet::new();
    let mut retries = 0;
    while running.stderr_line().contains("; retrying in ") {
        retries += 1;
        // The last line may be the error: the process is gone then.
        let tasks = format!("/proc/{}/task", running.pid());
        let threads: Vec<String> = read_dir(tasks)
            .into_iter()
            .flatten()
            .map(|task| task.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(threads.len() <= 3, "{threads:?}");
        let main_thread = running.pid().to_string();
        client_threads.extend(threads.into_iter().filter(|task| *task != main_thread));
    }
    let _ = running.wait();
    assert!(retries > 1 && server.queries() > retries, "{retries}");
    assert_eq!(client_threads.len(), 1, "{client_threads:?}");
}
