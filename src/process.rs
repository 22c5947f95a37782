//! The process: what it was started with, and how it becomes the command.
//!
//! The only place that touches signals, limits, descriptors by number, and `unsafe`. What it was
//! started with is handed on as it was: dispositions, mask, limits, descriptors, directory.

mod code_pages;
pub(crate) mod core_dumps;
pub(crate) mod descriptor;
pub(crate) mod env_block;
pub(crate) mod exec;
mod fork;
mod loader;
pub(crate) mod secret_file;
pub(crate) mod signal;
pub(crate) mod startup;
mod supervise;
mod terminal;
pub(crate) mod wait;
pub(crate) mod watch;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, os_error_text};
use fork::{Fork, ProcessState};
pub(crate) use supervise::Supervisor;

/// The proof that there is one thread. Only one exists in the life of a process, made before
/// anything could have started a second, or by the fork that made the process; what starts threads
/// consumes it.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// The first thing that `main` does. None for every further call.
    pub(crate) fn claim() -> Option<Self> {
        static CLAIMED: AtomicBool = AtomicBool::new(false);
        (!CLAIMED.swap(true, Ordering::Relaxed)).then_some(Self(()))
    }
}

/// The time since this machine was started, what it slept included (clock_gettime(2),
/// CLOCK_BOOTTIME): the same in every process, and nobody can set it.
pub(crate) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME);
    now.map(Duration::from).unwrap_or_default()
}

/// The two processes of `--supervise`.
pub(crate) enum CommandFork {
    /// The parent, which never sees a secret.
    Supervisor(Supervisor),
    /// The child, which goes on as if there were no parent.
    Command {
        single_threaded: SingleThreaded,
        /// Whose pid the command would have had.
        supervisor_pid: u32,
    },
}

/// Forks before anybody reads the token.
///
/// # Errors
/// `exec` when fork(2) or signalfd(2) is refused.
pub(crate) fn fork_command(single_threaded: &SingleThreaded) -> Result<CommandFork, Error> {
    let forked = || {
        let (origin, signals) = ProcessState::save_and_block()?;
        Ok(match origin.fork(single_threaded)? {
            Fork::Parent { child } => CommandFork::Supervisor(Supervisor::new(child, signals)),
            Fork::Child(single_threaded) => CommandFork::Command {
                single_threaded,
                supervisor_pid: origin.own().as_raw().cast_unsigned(),
            },
        })
    };
    forked().map_err(|error| no_process(&error))
}

fn no_process(error: &io::Error) -> Error {
    Error::SpawnFailed {
        why: os_error_text(error),
    }
}

/// From 0 to 1, 1 left out.
pub(crate) fn random_unit() -> f64 {
    let mut drawn = [0; 4];
    // getrandom(2) fails where the system has none at all, as TLS would before.
    let _ = SystemRandom::new().fill(&mut drawn);
    f64::from(u32::from_ne_bytes(drawn)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_differ_and_are_below_one() {
        let drawn: Vec<f64> = (0..100).map(|_| random_unit()).collect();
        assert!(
            drawn
                .iter()
                .all(|random_unit| (0.0..1.0).contains(random_unit))
        );
        assert!(drawn.iter().any(|random_unit| *random_unit != drawn[0]));
    }
}
