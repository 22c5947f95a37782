//! A signal during the fetch has the same effect on phase-run as on any program.

#![cfg(target_os = "linux")]

use fake_phase::Phase;
use libc::{SIGBUS, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGTERM, SIGUSR1};

use crate::support::{DEADLINE, Running, Sandbox, Status, fake_server, shop_world, stay_silent};

const WORDS: [&str; 6] = ["--app", "shop", "--env", "Production", "echo", "started"];

fn assert_killed_by(running: Running, signal: i32) {
    running.kill(signal);
    let output = running.wait().assert_status(Status::Killed(signal));
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output}"
    );
}

/// A signal during the fetch, in either of two requests, kills phase-run at once, and nothing is
/// started (signal(7)).
#[test]
fn signal_during_fetch_kills_phase_run() {
    for path in ["/tokens/", "/v1/secrets/"] {
        // Rust's runtime has handlers for the last two.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGSEGV, SIGBUS] {
            let phase = Phase::serve(shop_world([("KEY", "value")]));
            let gate = phase.gate(path);
            let sandbox = Sandbox::new(&phase);
            let running = sandbox.run(WORDS).spawn();
            gate.wait_for_request(DEADLINE);
            assert_killed_by(running, signal);
        }
    }
}

/// The server has not answered yet, not even in the TLS handshake.
#[test]
fn signal_during_handshake_kills_phase_run() {
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
        assert_killed_by(running, signal);
    }
}

/// nohup(1): an ignored signal stays ignored, in phase-run and in the command.
#[test]
fn ignored_signal_does_not_end_fetch() {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let gate = phase.gate("/v1/secrets/");
        let sandbox = Sandbox::new(&phase);
        let running = sandbox.run(WORDS).ignore(signal).spawn();
        gate.wait_for_request(DEADLINE);
        running.kill(signal);
        gate.open();
        assert_eq!(running.wait().assert_ok().text(), "started\n");
    }
}

/// Ctrl-Z and `fg`: a stopped process continues where it was (signal(7)).
#[test]
fn fetch_can_be_stopped_and_continued() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let gate = phase.gate("/v1/secrets/");
    let sandbox = Sandbox::new(&phase);
    let running = sandbox.run(WORDS).spawn();
    gate.wait_for_request(DEADLINE);
    running.kill(libc::SIGSTOP);
    crate::support::eventually("the process stops", || match running.state() {
        'T' => Ok(()),
        other => Err(other),
    });
    gate.open();
    running.kill(libc::SIGCONT);
    assert_eq!(running.wait().assert_ok().text(), "started\n");
}

/// A signal that was blocked at the start stays pending for the command (execve(2)).
#[test]
fn blocked_signal_stays_pending_for_command() {
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
    let running = sandbox
        .run(words)
        .block(SIGTERM)
        .allow_secrets_on_stdout()
        .spawn();
    gate.wait_for_request(DEADLINE);
    running.kill(SIGTERM);
    gate.open();
    let output = running.wait().assert_ok();
    let pending = format!("pending {:016x}\n", 1 << (SIGTERM - 1));
    assert!(output.text().contains(&pending), "{output}");
}
