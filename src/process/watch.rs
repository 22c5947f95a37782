#![forbid(unsafe_code)]
//! The parent of `--watch`: supervises the command, and replaces it when its secrets have changed.
//!
//! It never fetches. A standby, forked for each poll, fetches and tells a digest; when that differs
//! it waits until the old command is gone and then becomes the new one, with what it has fetched.
//! What leads to what is `decide`'s, which is pure; [`Watcher`] does it.

mod channel;
mod cleanup;
mod decide;
mod descendants;
mod listen;
mod schedule;
mod watcher;

use std::io;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;

use super::fork::{Fork, ProcessState};
use super::signal::Signal;
use super::wait::WaitStatus;
use super::{SingleThreaded, no_process};
use crate::error::Error;
use crate::log::Log;
use channel::Role;
pub(crate) use channel::{Digest, StandbyChannel};
use watcher::Watcher;

/// How to watch, and how to restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchOptions {
    /// From one poll to the next.
    pub(crate) interval: Duration,
    /// What tells the command to stop.
    pub(crate) stop_signal: Signal,
    /// How long it may take to.
    pub(crate) grace: Duration,
    /// A start leases dynamic secrets.
    pub(crate) leases_secrets: bool,
}

/// The processes of `--watch`: [`watch`] returns once in the parent, and once in each child.
pub(crate) enum WatchOutcome {
    /// In the parent: how the last command ended.
    CommandEnded(WaitStatus),
    /// In a process that fetches.
    Child {
        single_threaded: SingleThreaded,
        /// Whose pid the command would have had.
        supervisor_pid: u32,
        standby: StandbyChannel,
    },
}

/// Forks the first child before anybody reads the token, and watches. `forget` is called in the
/// parent once that child has a copy of what has to be forgotten.
///
/// # Errors
/// `exec` when what a watcher needs is refused by the system.
pub(crate) fn watch(
    single_threaded: &SingleThreaded,
    options: &WatchOptions,
    forget: &mut dyn FnMut(),
    log: &dyn Log,
) -> Result<WatchOutcome, Error> {
    let mut watched = || -> io::Result<WatchOutcome> {
        let before = descendants::children();
        let (origin, signals) = ProcessState::save_and_block()?;
        let (channel, of_child) = channel::pair()?;
        let command = match origin.fork(single_threaded)? {
            Fork::Parent { child } => child,
            Fork::Child(single_threaded) => {
                let standby = StandbyChannel::new(of_child, Role::First, None);
                return Ok(fetching(single_threaded, &origin, standby));
            }
        };
        drop(of_child);
        forget();
        // What the command leaves comes here, and is ended before the next one starts.
        let _ = set_child_subreaper(true);
        let (own, child) = ((origin, signals), (command, channel));
        Watcher::new(single_threaded, options, log, own, child, before).wait_for_command()
    };
    watched().map_err(|error| no_process(&error))
}

fn fetching(
    single_threaded: SingleThreaded,
    origin: &ProcessState,
    standby: StandbyChannel,
) -> WatchOutcome {
    WatchOutcome::Child {
        single_threaded,
        supervisor_pid: origin.own().as_raw().cast_unsigned(),
        standby,
    }
}
