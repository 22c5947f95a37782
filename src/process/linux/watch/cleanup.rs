#![forbid(unsafe_code)]
//! Ending the processes that the old command has left behind, before the new one starts.
//!
//! The watcher is a subreaper, so orphans become its children, but no signal tells it when that
//! happens. It therefore looks for children at the end of each child and every few milliseconds.

use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid};

use super::super::descendants;
use crate::process::signal::{self, Signal};

/// The time between two checks while processes are left.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// How long to wait after KILL. A process that is left then is stuck in the kernel.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The cleanup after one command.
#[derive(Debug)]
pub(super) struct Cleanup {
    start: Instant,
    grace: Duration,
    /// The processes that were sent TERM.
    signalled: Vec<Pid>,
}

/// The result of one step of a cleanup.
pub(super) enum CleanupStep {
    /// No process is left.
    Done,
    /// Processes are left, and the next step is due at this time.
    Pending(Instant),
    /// These processes could not be ended: their pids and names.
    GaveUp(Vec<String>),
}

impl Cleanup {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            start: Instant::now(),
            grace,
            signalled: Vec::new(),
        }
    }

    /// Sends TERM and CONT to each child that has not been sent them yet. After the grace, sends
    /// KILL to all children. The processes in `excluded` are left alone.
    pub(super) fn step(&mut self, excluded: &[Pid]) -> CleanupStep {
        let mut left = descendants::own_children();
        left.retain(|pid| !excluded.contains(pid));
        if left.is_empty() {
            return CleanupStep::Done;
        }
        let elapsed = self.start.elapsed();
        if elapsed >= self.grace.saturating_add(KILL_TIMEOUT) {
            return CleanupStep::GaveUp(left.into_iter().map(descendants::describe).collect());
        }
        for pid in left {
            if elapsed >= self.grace {
                kill_with_group(pid, excluded);
            } else if !self.signalled.contains(&pid) {
                self.signalled.push(pid);
                signal::send(pid, Signal::TERM);
                signal::send(pid, Signal::CONT);
            }
        }
        CleanupStep::Pending(Instant::now() + CHECK_INTERVAL)
    }
}

/// Sends KILL to a process, and to its group unless this process or an excluded one is in it.
/// The group is needed for programs that fork and exit faster than their pids can be read.
fn kill_with_group(pid: Pid, excluded: &[Pid]) {
    let may_kill = |group: &Pid| {
        let excluded = excluded.iter().map(|pid| getpgid(Some(*pid)));
        excluded
            .chain([getpgid(None)])
            .all(|other| other != Ok(*group))
    };
    if let Some(group) = getpgid(Some(pid)).ok().filter(may_kill) {
        signal::send(Pid::from_raw(-group.as_raw()), Signal::KILL);
    }
    signal::send(pid, Signal::KILL);
}
