//! On a terminal, a slow start shows what it is waiting for, and leaves nothing of it behind.

#![cfg(target_os = "linux")]

use fake_phase::{Phase, Responder};

use crate::support::{
    NameServer, Run, Sandbox, Status, Terminal, require_root, shop_id, shop_world,
};

const MODES: [&[&str]; 4] = [&[], &["--supervise"], &["--watch", "3600"], &["--dry-run"]];

/// The path of every request for secrets.
const SECRETS: &str = "secrets";

fn start<'a>(sandbox: &'a Sandbox, options: &[&str]) -> Run<'a> {
    let id = shop_id();
    let words = ["--app", &id, "--env", "Production"];
    let run = sandbox.run(words).args(options);
    match options.contains(&"--dry-run") {
        true => run,
        false => run.args(["echo", "the end"]),
    }
}

/// What a person sees of the line that `bytes` end in: a carriage return goes back to its start.
fn visible_line(bytes: &str) -> String {
    let line = bytes.rsplit('\n').next().unwrap_or_default();
    let mut shown: Vec<char> = Vec::new();
    for part in line.split('\r') {
        let part: Vec<char> = part.chars().collect();
        let kept = shown.split_off(part.len().min(shown.len()));
        shown = part.into_iter().chain(kept).collect();
    }
    shown.into_iter().collect::<String>().trim_end().to_owned()
}

/// Waits until the terminal shows `last`, and returns the visible line before it.
fn line_before(terminal: &mut Terminal, last: &str) -> String {
    let screen = terminal.until(last);
    visible_line(screen.strip_suffix(last).unwrap())
}

#[test]
fn slow_response_is_shown_and_erased() {
    for options in MODES {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let sandbox = Sandbox::new(&phase);
        let gate = phase.gate(SECRETS);
        let mut terminal = start(&sandbox, options).on_terminal();
        // It is drawn in place.
        for _ in 0..2 {
            let line = visible_line(&terminal.until(" s"));
            assert!(
                line.starts_with("phase-run: waiting for a response, "),
                "{line} {options:?}"
            );
        }
        gate.open();
        let output = match options.contains(&"--dry-run") {
            true => "KEY",
            false => "the end",
        };
        assert_eq!(line_before(&mut terminal, output), "", "{options:?}");
        assert_eq!(terminal.wait(), Status::Exited(0), "{options:?}");
    }
}

#[test]
fn delay_before_retry_is_counted_down() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    phase.respond(SECRETS, Responder::rate_limited(3).times(1));
    let mut terminal = start(&sandbox, &["--max-wait", "60"]).on_terminal();
    let screen = terminal.until("; retrying in ");
    assert!(
        screen.ends_with("responded with status 429; retrying in "),
        "{screen}"
    );
    let _ = terminal.line();
    let countdown = terminal.until(" s");
    assert!(
        countdown.starts_with("\rphase-run: retrying in "),
        "{countdown:?}"
    );
    assert_eq!(line_before(&mut terminal, "the end"), "");
    assert_eq!(terminal.wait(), Status::Exited(0));
}

#[test]
fn slow_lookup_is_shown() {
    if !require_root("only root can run a name server and mount files") {
        return;
    }
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    let server = NameServer::silent();
    let run = start(&sandbox, &["--max-wait", "3"]).env("PHASE_HOST", "https://other.test");
    let mut terminal = server.resolves_for(&sandbox, run).on_terminal();
    let line = visible_line(&terminal.until(" s"));
    assert!(
        line.starts_with("phase-run: resolving other.test, "),
        "{line}"
    );
    assert_eq!(
        line_before(&mut terminal, "phase-run: error[unreachable]"),
        ""
    );
}

/// The request times out after two seconds, in which the line would have been drawn.
#[test]
fn waiting_is_silent_where_nobody_reads_it() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    phase.respond(SECRETS, Responder::stall());
    let limits = ["--timeout", "2", "--max-wait", "0"];
    for options in [["-q"].as_slice(), &["--log-format", "json"]] {
        let mut terminal = start(&sandbox, &[&limits, options].concat()).on_terminal();
        let screen = terminal.until("\n");
        assert!(!screen.contains('\r'), "{screen:?}");
        assert_eq!(terminal.wait(), Status::Exited(125), "{options:?}");
    }
    let output = start(&sandbox, &limits).output();
    let output = output.assert_status(Status::Exited(125));
    assert!(!output.stderr.contains("waiting"), "{output}");
    // A job in the background would overwrite the prompt of its shell.
    let background = ["bash", "-mc", "\"$@\" & wait $!; echo ended", "bash"];
    let mut terminal = start(&sandbox, &limits).wrap(background).on_terminal();
    let screen = terminal.until("ended");
    assert!(screen.contains("error[unreachable]"), "{screen:?}");
    assert!(!screen.contains("waiting for a response"), "{screen:?}");
}
