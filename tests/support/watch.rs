//! Helpers for `--watch`: a server whose secret changes, and a command that reports what it was
//! started with.

use super::inspector::inspector;
use super::output::{Output, Status};
use super::proc::DEADLINE;
use super::run::Run;
use super::running::Running;
use super::shop::{Shop, shop};

use fake_phase::Phase;

/// A script that prints the value of SECRET, then serves until it has received two signals, which are
/// the TERM and CONT of a restart.
pub(crate) const PRINT_SECRET_AND_SERVE: &str = "echo \"value $SECRET\"; exec \"$0\" serve 2";

/// The options of a watch that polls as often as it may.
pub(crate) const WATCH: [&str; 2] = ["--watch", "1"];

/// A shop whose SECRET is `one`.
pub(crate) fn watched_shop() -> Shop {
    shop([("SECRET", "one")])
}

/// Starts a watch of this script, which prints `value one`, and waits until it serves.
pub(crate) fn spawn_watched(run: Run<'_>, script: &str) -> Running {
    let mut running = run.args(["sh", "-c", script, inspector()]).spawn();
    assert_eq!(running.line(), "value one");
    running.wait_until_ready();
    running
}

/// Waits for `more` further requests and returns the new total.
pub(crate) fn wait_for_more_requests(phase: &Phase, more: usize) -> usize {
    let count = phase.requests().len() + more;
    phase.wait_for_requests(count, DEADLINE).len()
}

/// Waits for the restart: the old command receives TERM and CONT, and the new one prints this value
/// and serves.
pub(crate) fn await_restart(running: &mut Running, value: &str) {
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    assert_eq!(running.line(), format!("value {value}"));
    running.wait_until_ready();
}

/// Sends phase-run the two signals that end the command, and waits for its success.
pub(crate) fn stop_watched(running: Running) -> Output {
    running.kill(libc::SIGTERM);
    running.kill(libc::SIGCONT);
    running.wait().assert_status(Status::Exited(0))
}
