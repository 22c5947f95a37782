//! Two hundred starts at once, again and again, while a fifth of the answers is faulty.

use std::time::Duration;

use fake_phase::{Phase, Responder, World};

use crate::support::{Output, Run, Running, Sandbox, Status, probe};

const STARTS: usize = 200;
const ROUNDS: usize = 10;

/// What a fault may end a start with, where it is not mended by another try.
const KINDS: [&str; 2] = ["protocol", "token"];

const VALUE: &str = "the right value\nof two lines";

/// Most pass; two are final.
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

/// All keep one snapshot.
fn start<'a>(sandbox: &'a Sandbox, id: &str, options: &[&str]) -> Run<'a> {
    let words = ["--app", id, "--env", "Production", "--timeout", "2"];
    let run = sandbox
        .run(words)
        .args(["--max-wait", "30", "--snapshot", "kept", "-q"]);
    run.args(options).args(["--", probe(), "cat-env", "KEY"])
}

/// "every one ends with its command run on right values or an error of a stated kind; nothing hangs,
/// no file is torn, no process is left". `wait` has a deadline, and waits until nobody holds an output open.
#[test]
fn every_start_of_many_ends_well_or_with_a_stated_error() {
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
            assert_eq!(offline.ok().text(), VALUE);
        }
        let left = std::fs::read_dir(sandbox.directory()).unwrap().count();
        assert!(left <= 1, "{left}");
        // All faults were met.
        let _ = phase.wait_for_requests((round + 1) * STARTS, Duration::from_secs(1));
    }
}
