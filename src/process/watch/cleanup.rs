#![forbid(unsafe_code)]
//! What a command leaves when it is gone, and how that is ended before the next one starts.
//!
//! Orphans come here, because a watcher is a subreaper, but nobody tells of their coming: so they
//! are looked for, at the end of each child and otherwise every few milliseconds.

use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid};

use super::super::signal::{self, Cause, Signal};
use super::descendants;

/// How often is looked, as long as somebody is left.
const TICK: Duration = Duration::from_millis(10);

/// Who is left so long after KILL cannot be ended from here.
pub(super) const LAST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Cleanup {
    since: Instant,
    grace: Duration,
    told: Vec<Pid>,
}

/// What one look came to.
pub(super) enum Look {
    Gone,
    /// Look again then.
    Left(Instant),
    /// They stay.
    ProcessesLeft(Vec<String>),
}

impl Cleanup {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            since: Instant::now(),
            grace,
            told: Vec::new(),
        }
    }

    /// TERM and CONT once to each child, whoever comes anew too; KILL to all after the grace. Those
    /// in `spared` are no part of it.
    pub(super) fn look(&mut self, spared: &[Pid]) -> Look {
        let mut left = descendants::children();
        left.retain(|pid| !spared.contains(pid));
        if left.is_empty() {
            return Look::Gone;
        }
        let waited = self.since.elapsed();
        if waited >= self.grace.saturating_add(LAST) {
            return Look::ProcessesLeft(left.into_iter().map(descendants::described).collect());
        }
        for pid in left {
            if waited >= self.grace {
                kill(pid, spared);
            } else if !self.told.contains(&pid) {
                self.told.push(pid);
                signal::send(pid, Signal::TERM, Cause::Sent);
                signal::send(pid, Signal::CONT, Cause::Sent);
            }
        }
        Look::Left(Instant::now() + TICK)
    }
}

/// With its group, where that is neither ours nor that of somebody who is spared: programs that fork
/// and exit without pause are faster than pids can be read.
fn kill(pid: Pid, spared: &[Pid]) {
    let of_others = |group: &Pid| {
        let spared = spared.iter().map(|pid| getpgid(Some(*pid)));
        spared.chain([getpgid(None)]).all(|kept| kept != Ok(*group))
    };
    if let Some(group) = getpgid(Some(pid)).ok().filter(of_others) {
        signal::send(Pid::from_raw(-group.as_raw()), Signal::KILL, Cause::Sent);
    }
    signal::send(pid, Signal::KILL, Cause::Sent);
}
