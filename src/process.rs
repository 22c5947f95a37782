//! The layer that talks to the kernel: startup, exec, fork, signals, supervise and watch.
//!
//! This is the only layer that touches signals, resource limits, descriptors by number, and `unsafe`
//! code. The command inherits unchanged what phase-run was started with: signal dispositions, signal
//! mask, resource limits, descriptors and working directory.
//!
//! Linux and macOS differ in [`platform`] alone: `linux` and `macos` have the same items. What only Linux
//! can do, above all `--supervise` and `--watch`, is below `linux/`, and `macos` has a stub for it.

pub(crate) mod bounded_read;
pub(crate) mod descriptor;
pub(crate) mod env_block;
pub(crate) mod exec;
mod fork;
pub(crate) mod helper_command;
mod interpreter;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
pub(crate) mod memory_protection;
pub(crate) mod panic_hook;
pub(crate) mod secret_file;
pub(crate) mod signal;
pub(crate) mod stack_limit;
pub(crate) mod startup;
mod terminal;
pub(crate) mod wait;
pub(crate) mod watch;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;
use nix::time::clock_gettime;
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, os_error_text};
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;
pub(crate) use platform::{
    HAS_LINUX_FEATURES, Supervisor, disable_nss_modules, exec_limits, fork_command, keychain_roots,
};
use signal::SignalMask;

/// Proof that this process has one thread.
///
/// There is at most one value in each process. It is created before anything could have started a
/// second thread, or by the fork that created the process. Code that starts threads consumes it.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// Returns the proof on the first call and `None` on every later one. `main` calls this first.
    pub(crate) fn claim() -> Option<Self> {
        static CLAIMED: AtomicBool = AtomicBool::new(false);
        (!CLAIMED.swap(true, Ordering::Relaxed)).then_some(Self(()))
    }
}

/// Returns the time since the machine booted, suspend included. All processes see the same time, and
/// nobody can set it.
#[expect(clippy::expect_used, reason = "every supported kernel has the clock")]
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(platform::BOOT_CLOCK).ok();
    let now = now.expect("every kernel that can run this program has the clock");
    Duration::from(now)
}

/// The two processes of `--supervise`, as [`fork_command`] returns in each of them.
pub(crate) enum CommandFork {
    /// The parent, which never sees a secret.
    Supervisor(Supervisor),
    /// The child, which becomes the command.
    Command {
        single_threaded: SingleThreaded,
        /// The pid of the supervisor, which the command would have in exec mode.
        supervisor_pid: u32,
    },
}

/// Wraps an error of a system call that `--supervise` or `--watch` needs.
fn supervise_error(error: &io::Error) -> Error {
    Error::SuperviseFailed {
        why: os_error_text(error),
    }
}

/// Converts a deadline to the timeout of poll(2): at most an hour, and rounded up so that poll does
/// not return too early.
fn poll_timeout(deadline: Option<Instant>) -> PollTimeout {
    const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
    let Some(deadline) = deadline else {
        return PollTimeout::NONE;
    };
    let left = deadline
        .saturating_duration_since(Instant::now())
        .min(MAX_TIMEOUT);
    let millis = left.as_nanos().div_ceil(1_000_000);
    u32::try_from(millis)
        .ok()
        .and_then(|millis| PollTimeout::try_from(millis).ok())
        .unwrap_or(PollTimeout::MAX)
}

/// Calls `start`, which starts threads, while all signals are blocked. The threads inherit the mask
/// (pthread_sigmask(3)), so the calling thread alone gets the signals to this process, and they stay
/// pending while it blocks them.
pub(crate) fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mask = SignalMask::block_all();
    let result = start();
    mask.restore();
    result
}

/// Returns a random number from 0 up to but not including 1.
#[expect(clippy::expect_used, reason = "every supported kernel has getrandom")]
pub(crate) fn random_unit() -> f64 {
    try_random_unit().expect("getrandom(2) exists since Linux 3.17")
}

/// Like [`random_unit`], but returns `None` instead of panicking: a panic of the watcher would kill
/// the command.
fn try_random_unit() -> Option<f64> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_units_differ_and_are_below_one() {
        let units: Vec<f64> = (0..100).map(|_| random_unit()).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        assert!(units.iter().any(|unit| *unit != units[0]));
    }
}
