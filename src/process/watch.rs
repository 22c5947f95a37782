#![forbid(unsafe_code)]
//! The parent of `--watch`: supervises the command, and replaces it when its secrets have changed.
//!
//! It never fetches. A standby, forked for each poll, fetches and tells a digest; when that differs
//! it waits until the old command is gone and then becomes the new one, with what it has fetched.
//! What leads to what is `decide`'s, which is pure; [`Watcher`] does it.

mod channel;
mod clearing;
mod decide;
mod family;
mod listen;
mod pace;
mod watcher;

use std::io;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;

use super::fork::{Origin, Side};
use super::signal::Signal;
use super::wait::Reaped;
use super::{SingleThreaded, no_process};
use crate::error::Error;
use crate::notice::Say;
use channel::Role;
pub(crate) use channel::{Digest, Reporter};
use watcher::Watcher;

/// How to watch, and how to restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// From one poll to the next.
    pub(crate) interval: Duration,
    /// What tells the command to stop.
    pub(crate) stop: Signal,
    /// How long it may take to.
    pub(crate) grace: Duration,
    /// A start leases dynamic secrets.
    pub(crate) leases: bool,
}

/// The processes of `--watch`: [`watch`] returns once in the parent, and once in each child.
pub(crate) enum Watched {
    /// In the parent: how the last command ended.
    Ended(Reaped),
    /// In a process that fetches.
    Fetching {
        alone: SingleThreaded,
        /// Whose pid the command would have had.
        parent: u32,
        reporter: Reporter,
    },
}

/// Forks the first child before anybody reads the token, and watches. `forget` is called in the
/// parent once that child has a copy of what has to be forgotten.
///
/// # Errors
/// `exec` when what a watcher needs is refused by the system.
pub(crate) fn watch(
    alone: &SingleThreaded,
    terms: &Terms,
    forget: &mut dyn FnMut(),
    say: Say<'_>,
) -> Result<Watched, Error> {
    let mut watched = || -> io::Result<Watched> {
        let before = family::children();
        let (origin, signals) = Origin::leave()?;
        let (channel, of_child) = channel::pair()?;
        let command = match origin.fork(alone)? {
            Side::Parent { child } => child,
            Side::Child(alone) => {
                let reporter = Reporter::new(of_child, Role::First, None);
                return Ok(fetching(alone, &origin, reporter));
            }
        };
        drop(of_child);
        forget();
        // What the command leaves comes here, and is ended before the next one starts.
        let _ = set_child_subreaper(true);
        let (own, child) = ((origin, signals), (command, channel));
        Watcher::new(alone, terms, say, own, child, before).until_end()
    };
    watched().map_err(|error| no_process(&error))
}

fn fetching(alone: SingleThreaded, origin: &Origin, reporter: Reporter) -> Watched {
    Watched::Fetching {
        alone,
        parent: origin.own().as_raw().cast_unsigned(),
        reporter,
    }
}
