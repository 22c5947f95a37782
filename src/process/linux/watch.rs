#![forbid(unsafe_code)]
//! The parent process of `--watch`: supervises the command, and restarts it with new secrets.
//!
//! The watcher never fetches. A child that fetches is a *worker*: the first one becomes the command
//! at once, and every later one is a *standby* until it is promoted. For each poll the watcher forks
//! a standby, which fetches and reports a keyed digest of the new environment. If the digest has
//! changed, the watcher stops the old command and promotes the standby, which then becomes the new
//! command with what it has fetched. [`WatchState::decide`](decide::WatchState::decide), which is
//! pure, maps each input to an action, and [`Watcher`] performs the action.

mod channel;
mod cleanup;
mod decide;
#[cfg(test)]
mod model;
mod schedule;
mod service_manager;
mod watcher;

use std::ffi::OsStr;
use std::io;

use nix::sys::prctl::set_child_subreaper;

use super::descendants;
use super::process_state::{Fork, ProcessState};
use crate::error::Error;
use crate::log::Log;
use crate::process::terminal::TerminalMode;
use crate::process::watch::{WatchOptions, WatchOutcome};
use crate::process::{SingleThreaded, supervise_error};
use channel::WorkerPurpose;
pub(crate) use channel::{Digest, WorkerChannel};
use service_manager::ServiceManager;
use watcher::{FirstFork, Watcher};

impl WatchOutcome {
    fn worker(
        single_threaded: SingleThreaded,
        process_state: &ProcessState,
        channel: WorkerChannel,
    ) -> Self {
        Self::Worker {
            single_threaded,
            supervisor_pid: process_state.pid(),
            channel,
        }
    }
}

/// Forks the first worker before the token is used, and then watches until the command ends.
///
/// `wipe_token` is called in the parent after the first fork, when the worker has its own copy.
/// `notify_socket` is the variable `NOTIFY_SOCKET`, by which a service manager hears of restarts.
///
/// # Errors
/// `exec` if fork(2), signalfd(2), socketpair(2) or poll(2) fails.
pub(crate) fn watch(
    single_threaded: &SingleThreaded,
    options: &WatchOptions,
    notify_socket: Option<&OsStr>,
    wipe_token: &mut dyn FnMut(),
    log: &dyn Log,
) -> Result<WatchOutcome, Error> {
    let mut run = || -> io::Result<WatchOutcome> {
        let initial_children = descendants::own_children();
        let terminal_mode = TerminalMode::current();
        let (process_state, signals) = ProcessState::save_and_block()?;
        let (channel, worker_socket) = channel::socket_pair()?;
        let command_pid = match process_state.fork(single_threaded)? {
            Fork::Parent { child } => child,
            Fork::Child(single_threaded) => {
                let channel =
                    WorkerChannel::new(worker_socket, WorkerPurpose::FirstStart, None, false);
                return Ok(WatchOutcome::worker(
                    single_threaded,
                    &process_state,
                    channel,
                ));
            }
        };
        let early_signals = signals.take_pending()?;
        drop(worker_socket);
        wipe_token();
        // The command's orphans become children of this process, which ends them before a restart.
        // Where a sandbox refuses the call, they go to init and are left alone.
        let _ = set_child_subreaper(true);
        let first_fork = FirstFork {
            process_state,
            signals,
            early_signals,
            initial_children,
            terminal_mode,
            command_pid,
            channel,
            service_manager: ServiceManager::new(notify_socket),
        };
        Watcher::new(single_threaded, options, log, first_fork).run()
    };
    run().map_err(|error| supervise_error(&error))
}
