//! What is explored: how the system starts, who may send what, and how much may happen.

use super::super::decide::{AfterStop, WatchStage};
use super::kernel::{End, Sender, Sig};
use super::watcher::{At, Watcher, WatcherStep};
use super::worker::{Move, Place, Worker};
use super::world::{Daemon, Sent, WORKERS, When, World};
use crate::explore::{Kind, Model};
use crate::process::terminal::Session;

/// A fault of the watcher or of a worker, put in so that the model must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The watcher forwards signals as soon as it has promoted the standby, which still discards them.
    ForwardsToStandby,
    /// The watcher reads a report before the signals, also while the standby is being promoted.
    ReportFirst,
    /// The watcher does not ask whether the command has ended before it handles a signal.
    NoReaping,
    /// The watcher promotes the standby while it reaps children, whatever signal it has in hand.
    PromotesWhileReaping,
    /// The watcher does not ask whether the command has ended before it tells it to stop.
    RestartsEnded,
    /// The watcher treats signals from before the fork like later ones.
    NoEarlySignals,
    /// The standby does not discard the signals that came before its promotion.
    NoDiscarding,
    /// The watcher does not look for what the command has left behind.
    NoCleanup,
    /// The watcher keeps a socket that the worker has closed.
    KeepsClosedSocket,
    /// The watcher waits for the command without a deadline.
    NoGrace,
}

/// A signal that may be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) sig: Sig,
    pub(super) from: Sender,
    pub(super) to_group: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// True for `--supervise`.
    pub(super) supervises_only: bool,
    /// True if the system starts with the first command running, and false if with the first process.
    pub(super) is_running: bool,
    pub(super) session: Session,
    pub(super) resumable: bool,
    /// True if a start leases secrets.
    pub(super) leases: bool,
    /// True if the first command has started a daemon.
    pub(super) has_daemon: bool,
    /// The signal that phase-run was started to ignore.
    pub(super) ignored: Option<Sig>,
    pub(super) sendings: Vec<Sending>,
    pub(super) signals: u8,
    /// How many polls may be started.
    pub(super) polls: u8,
    /// True if there are no more polls after a restart.
    pub(super) restarts_once: bool,
    pub(super) accidents: u8,
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "a counterexample shows what is in them")]
pub(super) enum Step {
    Watcher(WatcherStep),
    Worker(u8, Move),
    /// The process is killed from outside.
    WorkerIsKilled(u8),
    DaemonEnds,
    Sends(Sending),
}

impl Scenario {
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Returns whether the sender can send now.
    fn can_send(&self, world: &World, sending: Sending) -> bool {
        match sending.from {
            Sender::Daemon => world.daemon == Daemon::Running,
            Sender::Worker(worker) => {
                let process = world.worker(worker);
                process.place == Place::Command && !process.dying && !process.stopped
            }
            _ => true,
        }
    }
}

impl Model for Scenario {
    type State = World;
    type Step = Step;

    fn starts(&self) -> Vec<World> {
        let mut watcher = Watcher::new(match self.is_running && !self.supervises_only {
            true => WatchStage::Idle,
            false => WatchStage::FirstFetch,
        });
        let mut first = Worker::NOT_FORKED;
        if self.is_running {
            first.place = Place::Command;
        } else {
            watcher.at = At::Start;
            watcher.is_starting = true;
        }
        let mut workers = [const { Worker::NOT_FORKED }; WORKERS];
        workers[0] = first;
        vec![World {
            watcher,
            workers,
            daemon: match self.has_daemon {
                true => Daemon::Running,
                false => Daemon::None,
            },
            sent: [None; 3],
            signals_left: self.signals,
            polls_left: self.polls,
            accidents_left: self.accidents,
            stopping: None,
            promoted: false,
            named_survivors: false,
            ended_before_poll: false,
            violated: None,
        }]
    }

    fn steps(&self, world: &World, into: &mut Vec<(Kind, Step, World)>) {
        if matches!(world.watcher.at, At::Ended(_)) {
            return;
        }
        for step in world.watcher_steps(self) {
            let kind = match step {
                WatcherStep::TimerExpires { .. } => Kind::Sure,
                WatcherStep::FailsToFork => Kind::Chance,
                _ => Kind::Own,
            };
            into.push(after(world, kind, Step::Watcher(step), |next| {
                next.move_watcher(self, step);
            }));
        }
        for worker in 0..u8::try_from(WORKERS).unwrap() {
            for step in world.worker_moves(worker) {
                let place = world.worker(worker).place;
                let kind = match place == Place::Command && *step == Move::Exit {
                    true => Kind::Chance,
                    false => Kind::Sure,
                };
                into.push(after(world, kind, Step::Worker(worker, *step), |next| {
                    next.move_worker(self, worker, *step);
                }));
            }
            let process = world.worker(worker);
            if world.accidents_left > 0 && process.is_alive() && !process.dying {
                into.push(after(
                    world,
                    Kind::Chance,
                    Step::WorkerIsKilled(worker),
                    |next| {
                        next.accidents_left -= 1;
                        next.kill_worker(worker);
                    },
                ));
            }
        }
        if matches!(world.daemon, Daemon::Running | Daemon::Dying) {
            let kind = match world.daemon {
                Daemon::Dying => Kind::Sure,
                _ => Kind::Chance,
            };
            into.push(after(world, kind, Step::DaemonEnds, World::end_daemon));
        }
        if world.signals_left > 0 {
            for sending in &self.sendings {
                if self.can_send(world, *sending) {
                    into.push(after(world, Kind::Chance, Step::Sends(*sending), |next| {
                        next.signals_left -= 1;
                        next.send(sending.sig, sending.from, sending.to_group);
                    }));
                }
            }
        }
    }

    fn violation(&self, world: &World) -> Option<&'static str> {
        if world.violated.is_some() {
            return world.violated;
        }
        if let At::Ended(end) = world.watcher.at {
            return (!self.is_expected_end(world, end)).then_some(super::RIGHT_STATUS);
        }
        // phase-run will end as the command has.
        let restarts = matches!(
            world.watcher.stage,
            WatchStage::Stopping {
                next: AfterStop::Restart,
                ..
            } | WatchStage::CleaningUp
                | WatchStage::Promoting
        );
        if !restarts && !world.worker(world.watcher.command).is_alive() {
            return None;
        }
        let on_their_way = world.on_their_way();
        let lost = world
            .sent
            .iter()
            .flatten()
            .enumerate()
            .any(|(number, sent)| {
                !sent.settled && sent.arrivals == 0 && on_their_way >> number & 1 == 0
            });
        lost.then_some(super::NEVER_LOST)
    }

    fn may_rest(&self, world: &World) -> bool {
        let watcher = &world.watcher;
        let waits = watcher.at == At::Polling && !world.is_readable();
        let command_decides = matches!(
            watcher.stage,
            WatchStage::Stopping {
                next: AfterStop::ExitAsCommand,
                ..
            }
        );
        // A stopped process needs somebody to continue it.
        let is_stopped =
            watcher.at == At::SelfStopped || world.workers.iter().any(|worker| worker.stopped);
        matches!(watcher.at, At::Ended(_))
            || is_stopped
            || (waits && (watcher.stage == WatchStage::Idle || command_decides))
            || (waits && self.supervises_only)
    }
}

impl Scenario {
    /// Returns whether phase-run ends in the stated way.
    fn is_expected_end(&self, world: &World, end: End) -> bool {
        if world.worker(0).place == Place::NotForked {
            return true;
        }
        let ended_as_command = Some(end) == world.worker(world.watcher.command).end();
        if world.stopping.is_none() || world.promoted {
            return ended_as_command;
        }
        // The standby that should have become the command was killed.
        let standby_was_killed = (1..u8::try_from(WORKERS).unwrap())
            .any(|worker| world.worker(worker).end() == Some(end));
        // A termination signal has come that nobody knew to be from the command's processes.
        let is_terminated = world.sent.iter().flatten().any(|sent| {
            end == End::Killed(sent.sig)
                && sent.sig.real().is_termination()
                && self.ignored != Some(sent.sig)
                && (!sent.from.is_of_tree() || sent.is_sender_unknown)
        });
        match world.watcher.stage {
            WatchStage::Stopping {
                next: AfterStop::Restart,
                ..
            } => false,
            WatchStage::Stopping {
                next: AfterStop::ExitAs(_),
                ..
            } => standby_was_killed,
            WatchStage::CleaningUp => standby_was_killed || is_terminated,
            _ => ended_as_command,
        }
    }
}

fn after(
    world: &World,
    kind: Kind,
    step: Step,
    change: impl FnOnce(&mut World),
) -> (Kind, Step, World) {
    let mut next = world.clone();
    change(&mut next);
    next.forget();
    (kind, step, next)
}

impl World {
    /// Forgets what nothing depends on any more, so that fewer states differ.
    fn forget(&mut self) {
        if matches!(self.watcher.at, At::Ended(_)) {
            return;
        }
        let on_their_way = self.on_their_way();
        for (number, slot) in self.sent.iter_mut().enumerate() {
            let is_over = |sent: &Sent| {
                on_their_way >> number & 1 == 0
                    && (sent.settled || sent.arrivals > 0)
                    && (sent.when == When::Running || !sent.sig.real().is_termination())
            };
            if slot.as_ref().is_some_and(is_over) {
                *slot = Some(Sent::OVER);
            }
        }
        if self.watcher.at == At::Polling {
            self.ended_before_poll = false;
        }
    }
}
