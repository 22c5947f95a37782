//! A name look-up may be slow: it has a bound of its own, and there is never more than one of a name.

use fake_phase::{Certificate, Options, Phase};

use crate::support::{NameServer, Run, Sandbox, Status, require_root, shop_id, shop_world};

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
    let words = ["--app", &id, "--env", "Production", "--timeout", "1"];
    let run = sandbox.run(words).args(["--max-wait", max_wait]);
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
        assert_eq!((server.queries(), phase.requests().len()), (1, 1));
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
        let output = run_by_name(&sandbox, &phase, &server, "2", options).output();
        let output = output
            .assert_log_lines(&["warning: resolving the name other.test has taken 1 s so far"])
            .assert_refused("unreachable");
        // What is left of two seconds may be a little less.
        let why = ": name resolution did not finish within ";
        assert!(output.stderr.contains(why), "{output}");
        assert_eq!(server.queries(), 1, "{output}");
    }
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
