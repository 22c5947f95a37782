//! The load test: two hundred starts at once, again and again, while a fifth of the answers is faulty.
//! It is a test target of its own, so that it does not run beside the other tests.

#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]
#![expect(
    clippy::indexing_slicing,
    reason = "a failed step should stop the test"
)]

use fake_phase::{Phase, Responder, World};

use crate::support::{DEADLINE, Output, Run, Running, Sandbox, Status, inspector};

#[expect(
    dead_code,
    unused_imports,
    reason = "the harness serves the other test target, too"
)]
mod support;

const STARTS: usize = 200;
const ROUNDS: usize = 10;

/// The kinds of error that the two final faults cause.
const KINDS: [&str; 2] = ["protocol", "token"];

const VALUE: &str = "the right value\nof two lines";

/// Eight that a retry mends, and two that are final.
fn faults() -> [Responder; 10] {
    [
        Responder::status(500),
        Responder::html(502),
        Responder::status(503),
        Responder::rate_limited(1),
        Responder::close(),
        Responder::reset(),
        Responder::truncate(40),
        Responder::stall_after(40),
        Responder::html_login(),
        Responder::error(401, "Token expired or deleted"),
    ]
}

/// A start that writes the same snapshot as all others. A loaded machine may need much longer than the
/// default to answer, so the limits are wide.
fn start<'a>(sandbox: &'a Sandbox, id: &str, options: &[&str]) -> Run<'a> {
    let words = ["--app", id, "--env", "Production", "--timeout", "5"];
    let run = sandbox
        .run(words)
        .args(["--max-wait", "600", "--snapshot", "kept", "-q"]);
    run.args(options)
        .args(["--", inspector(), "cat-env", "KEY"])
}

/// Every start ends with its command run on right values, or with an error of a stated kind. Nothing
/// hangs, no snapshot is torn and no process is left: `wait` has a deadline, and waits until nobody
/// holds an output open.
#[test]
fn many_starts_succeed_or_fail_with_stated_error() {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "KEY", VALUE);
    let id = world.app("shop").id().to_owned();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for round in 0..ROUNDS {
        for fault in faults() {
            phase.respond("", fault.times(STARTS / 5 / faults().len()));
        }
        let running: Vec<Running> = (0..STARTS)
            .map(|_| start(&sandbox, &id, &[]).spawn())
            .collect();
        let outputs = running.into_iter().map(Running::wait);
        let (well, failed): (Vec<Output>, Vec<Output>) =
            outputs.partition(|output| output.status == Status::Exited(0));
        for output in &well {
            assert_eq!(output.text(), VALUE, "{round}");
        }
        assert!(failed.len() <= STARTS / 5, "{round}: {}", failed.len());
        for output in failed {
            let kind = KINDS
                .iter()
                .find(|kind| output.stderr.contains(&format!("error[{kind}]")));
            assert!(
                kind.is_some() && output.status == Status::Exited(125),
                "{output}"
            );
            assert!(output.stdout.is_empty(), "{output}");
        }
        // No file is torn: it opens, and nothing lies beside it. A refusal may have removed it.
        if sandbox.directory().join("kept").exists() {
            let offline = start(&sandbox, &id, &["--offline"]).output();
            assert_eq!(offline.assert_ok().text(), VALUE);
        }
        let left = std::fs::read_dir(sandbox.directory()).unwrap().count();
        assert!(left <= 1, "{left}");
        // All faults were met.
        let _ = phase.wait_for_requests((round + 1) * STARTS, DEADLINE);
    }
}
