//! A signal while phase-run fetches does what it does to any program.

use fake_phase::Phase;
use libc::{SIGBUS, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGTERM, SIGUSR1};

use crate::support::{DEADLINE, Running, Sandbox, Status, fake_server, shop_world, stay_silent};

const WORDS: [&str; 6] = ["--app", "shop", "--env", "Production", "echo", "started"];

fn ends_by(running: Running, signal: i32) {
    running.kill(signal);
    let output = running.wait().ended(Status::Killed(signal));
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output}"
    );
}

/// "A signal while fetching ends phase-run at once: by that signal …. Nothing was
/// started." signal(7). During either of two requests.
#[test]
fn a_signal_during_the_fetch_ends_it_by_that_signal() {
    for path in ["/tokens/", "/v1/secrets/"] {
        // The last two the runtime catches for itself.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGSEGV, SIGBUS] {
            let phase = Phase::serve(shop_world([("KEY", "value")]));
            let gate = phase.gate(path);
            let sandbox = Sandbox::new(&phase);
            let running = sandbox.run(WORDS).spawn();
            gate.arrived(DEADLINE);
            ends_by(running, signal);
        }
    }
}

/// While nothing has been answered yet, not even TLS's greeting.
#[test]
fn a_signal_during_the_handshake_ends_it_too() {
    for signal in [SIGTERM, SIGINT] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let (arrived, arrival) = std::sync::mpsc::channel();
        let address = fake_server(move |socket| {
            arrived.send(()).unwrap();
            stay_silent(socket);
        });
        let sandbox = Sandbox::new(&phase);
        let run = sandbox.run(WORDS);
        let running = run.env("PHASE_HOST", format!("https://{address}")).spawn();
        arrival.recv_timeout(DEADLINE).unwrap();
        ends_by(running, signal);
    }
}

/// nohup(1): what was ignored at the start stays ignored, in phase-run and in the command.
#[test]
fn an_ignored_signal_does_not_end_the_fetch() {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let gate = phase.gate("/v1/secrets/");
        let sandbox = Sandbox::new(&phase);
        let running = sandbox.run(WORDS).ignore(signal).spawn();
        gate.arrived(DEADLINE);
        running.kill(signal);
        gate.open();
        assert_eq!(running.wait().ok().text(), "started\n");
    }
}

/// Ctrl-Z and `fg`: signal(7), a stopped process goes on where it was.
#[test]
fn a_fetch_can_be_stopped_and_continued() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let gate = phase.gate("/v1/secrets/");
    let sandbox = Sandbox::new(&phase);
    let running = sandbox.run(WORDS).spawn();
    gate.arrived(DEADLINE);
    running.kill(libc::SIGSTOP);
    crate::support::eventually("stopped", || match running.state() {
        'T' => Ok(()),
        other => Err(other),
    });
    gate.open();
    running.kill(libc::SIGCONT);
    assert_eq!(running.wait().ok().text(), "started\n");
}

/// A signal that was blocked at the start waits for the command, which has it pending (execve(2)).
#[test]
fn a_blocked_signal_reaches_the_command() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let gate = phase.gate("/v1/secrets/");
    let sandbox = Sandbox::new(&phase);
    let words = [
        "--app",
        "shop",
        "--env",
        "Production",
        crate::support::inspector(),
        "report",
    ];
    let running = sandbox.run(words).block(SIGTERM).reveals().spawn();
    gate.arrived(DEADLINE);
    running.kill(SIGTERM);
    gate.open();
    let output = running.wait().ok();
    let pending = format!("pending {:016x}\n", 1 << (SIGTERM - 1));
    assert!(output.text().contains(&pending), "{output}");
}
