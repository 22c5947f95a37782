//! The watcher, step by step: what `watcher.rs`, `cleanup.rs` and `supervise.rs` do with each action, one
//! system call at a time. Only the decisions are the program's own code.

use super::super::decide::{WatchAction, WatchInput, WatchStage, WatchState};
use super::kernel::{End, Numbers, Pending, PendingSet, Sender, Sig};
use super::scenario::{Fault, Scenario};
use super::worker::Place;
use super::world::{Daemon, WORKERS, World};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Watcher {
    pub(super) at: At,
    pub(super) stage: WatchStage,
    pub(super) command: u8,
    pub(super) standby: Option<u8>,
    pub(super) channel: Option<u8>,
    /// True if there is a deadline.
    pub(super) deadline: bool,
    /// True from the start until the signals that came before the fork have been read.
    pub(super) is_starting: bool,
    /// The signals that were pending after the fork.
    early: PendingSet,
    /// The signals that have not been read from the descriptor.
    pub(super) pending: PendingSet,
    /// The signal that is being handled.
    pub(super) in_hand: Option<InHand>,
    /// The system calls that are left of an action, the next one last.
    pub(super) calls: Vec<Call>,
    /// True if children are being reaped.
    pub(super) is_reaping: bool,
    /// How this process ends when the children have been reaped.
    pub(super) end: Option<End>,
    pub(super) deferred: Vec<(Sig, Numbers)>,
    /// How much time the cleanup has taken: 0, 1 after the grace, 2 after the time for KILL.
    pub(super) age: u8,
    /// The children that the cleanup has sent TERM, as bits: the workers, then the daemon.
    pub(super) signalled: u8,
}

/// Where the watcher is in its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// No signal is blocked yet.
    Start,
    /// All signals are blocked; the first worker is to be forked.
    Blocked,
    /// It has been forked.
    Forked,
    /// At or in poll(2).
    Polling,
    /// While poll(2) looks at its descriptors: it has looked at the socket, and this was the result.
    PollingSignals {
        has_report: bool,
    },
    /// Before the socket is read.
    Report,
    /// Before the signal descriptor is read.
    Signal,
    /// Before /proc is asked whether the sender descends from this process.
    Sender,
    /// Before waitid(2) is asked whether the command has ended.
    CommandEnd,
    /// Before the next system call of an action, or the next waitpid(2).
    Working,
    /// It has stopped itself.
    SelfStopped,
    Ended(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct InHand {
    pub(super) sig: Sig,
    pub(super) pending: Pending,
    pub(super) from_descendant: bool,
}

/// A system call of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    /// kill(2) for the command.
    Kill(u8, Sig, Numbers),
    /// waitid(2): has the command ended? If not, the restart begins.
    UnlessEnded(u8),
    /// The first signal of a restart.
    TellToStop(u8),
    KillHard(u8),
    KillDaemon {
        hard: bool,
    },
    /// Closes the socket to a standby.
    Close(u8),
    Fork(WatchStage),
    /// Reads the list of children.
    ListChildren,
    Promote,
    /// waitid(2): was the command continued?
    WasContinued(Sig),
    /// Stops this process by its default action.
    StopSelf(Sig),
    /// Takes back a pending CONT, and asks again whether the command was continued or has stopped.
    AfterStop,
}

impl Watcher {
    pub(super) fn new(stage: WatchStage) -> Self {
        Self {
            at: At::Polling,
            stage,
            command: 0,
            standby: None,
            channel: None,
            deadline: stage == WatchStage::Idle,
            is_starting: false,
            early: PendingSet::default(),
            pending: PendingSet::default(),
            in_hand: None,
            calls: Vec::new(),
            is_reaping: false,
            end: None,
            deferred: Vec::new(),
            age: 0,
            signalled: 0,
        }
    }

    /// Returns the numbers of the signals that it has not dealt with.
    pub(super) fn numbers(&self) -> Numbers {
        let in_hand = self.in_hand.map_or(0, |in_hand| in_hand.pending.numbers);
        let deferred = self.deferred.iter().map(|(_, numbers)| *numbers);
        let calls = self.calls.iter().map(|call| match call {
            Call::Kill(_, _, numbers) => *numbers,
            _ => 0,
        });
        let mut all = deferred.chain(calls).fold(in_hand, |all, more| all | more);
        all |= self.pending.numbers() | self.early.numbers();
        all
    }
}

/// A step of the watcher. Where it makes a system call that depends on others or changes something for them,
/// the call is a step of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatcherStep {
    BlockSignals,
    ForkFirstWorker,
    PollReturns,
    PollLooksAtSignals,
    ReadsReport,
    ReadsSignal,
    AsksForSender,
    AsksForEnd,
    TakesEarlySignals,
    HandlesEarlySignal,
    /// All signals that were pending after the fork have been handled.
    StartIsOver,
    /// waitpid(2) returns this worker, the daemon if it is `None`.
    Reaps(Option<u8>),
    ReapsNoMore,
    Calls,
    /// fork(2) fails.
    FailsToFork,
    TimerExpires {
        later: bool,
        lease_is_expiring: bool,
    },
}

impl World {
    /// Returns the steps that the watcher can take.
    pub(super) fn watcher_steps(&self, scenario: &Scenario) -> Vec<WatcherStep> {
        let watcher = &self.watcher;
        match watcher.at {
            At::Start => vec![WatcherStep::BlockSignals],
            At::Blocked => vec![WatcherStep::ForkFirstWorker],
            At::Forked => vec![WatcherStep::TakesEarlySignals],
            At::Polling if watcher.is_starting => vec![match watcher.early.is_empty() {
                true => WatcherStep::StartIsOver,
                false => WatcherStep::HandlesEarlySignal,
            }],
            At::Polling if self.is_readable() => vec![WatcherStep::PollReturns],
            At::Polling if watcher.deadline => self.timer_steps(scenario),
            At::PollingSignals { .. } => vec![WatcherStep::PollLooksAtSignals],
            At::Report => vec![WatcherStep::ReadsReport],
            At::Signal => vec![WatcherStep::ReadsSignal],
            At::Sender => vec![WatcherStep::AsksForSender],
            At::CommandEnd => vec![WatcherStep::AsksForEnd],
            At::Working => match watcher.calls.last() {
                Some(Call::Fork(_)) if self.accidents_left > 0 => {
                    vec![WatcherStep::Calls, WatcherStep::FailsToFork]
                }
                Some(_) => vec![WatcherStep::Calls],
                None => self.reaping_steps(),
            },
            At::Polling | At::SelfStopped | At::Ended(_) => Vec::new(),
        }
    }

    fn timer_steps(&self, scenario: &Scenario) -> Vec<WatcherStep> {
        let step = |later, lease_is_expiring| WatcherStep::TimerExpires {
            later,
            lease_is_expiring,
        };
        match self.watcher.stage {
            WatchStage::Idle if self.polls_left == 0 => Vec::new(),
            WatchStage::Idle if scenario.leases => vec![step(false, false), step(false, true)],
            // The time for each phase of the cleanup may have passed or not.
            WatchStage::CleaningUp if self.watcher.age < 2 => {
                vec![step(false, false), step(true, false)]
            }
            _ => vec![step(false, false)],
        }
    }

    fn reaping_steps(&self) -> Vec<WatcherStep> {
        let workers = 0..u8::try_from(WORKERS).unwrap();
        let waitable = |worker: &u8| {
            let process = self.worker(*worker);
            matches!(process.place, Place::Zombie(_)) || process.stop_unreported
        };
        let mut steps: Vec<WatcherStep> = workers
            .filter(waitable)
            .map(|worker| WatcherStep::Reaps(Some(worker)))
            .collect();
        if self.daemon == Daemon::Zombie {
            steps.push(WatcherStep::Reaps(None));
        }
        if steps.is_empty() {
            steps.push(WatcherStep::ReapsNoMore);
        }
        steps
    }

    fn expects_report(&self) -> bool {
        matches!(
            self.watcher.stage,
            WatchStage::FirstFetch
                | WatchStage::Polling
                | WatchStage::Leasing
                | WatchStage::Promoting
        )
    }

    pub(super) fn has_report(&self) -> bool {
        let channel = self.watcher.channel.filter(|_| self.expects_report());
        channel.is_some_and(|worker| {
            let worker = self.worker(worker);
            worker.message.is_some() || worker.has_closed_socket()
        })
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.watcher.pending.is_empty() || self.has_report()
    }

    pub(super) fn move_watcher(&mut self, scenario: &Scenario, step: WatcherStep) {
        match step {
            WatcherStep::BlockSignals => self.watcher.at = At::Blocked,
            WatcherStep::ForkFirstWorker => {
                self.worker_mut(0).place = Place::Forked;
                self.watcher.channel = (!scenario.supervises_only).then_some(0);
                self.watcher.at = At::Forked;
            }
            WatcherStep::TakesEarlySignals => {
                if !scenario.has(Fault::NoEarlySignals) {
                    self.watcher.early = std::mem::take(&mut self.watcher.pending);
                }
                self.reap();
            }
            WatcherStep::HandlesEarlySignal => {
                let first = self.watcher.early.take_first();
                self.take_in_hand(scenario, first);
            }
            WatcherStep::PollReturns => self.poll(scenario),
            WatcherStep::PollLooksAtSignals => {
                let At::PollingSignals { has_report } = self.watcher.at else {
                    return;
                };
                self.watcher.at = match self.watcher.pending.is_empty() {
                    false => At::Signal,
                    true if has_report => At::Report,
                    true => At::Polling,
                };
            }
            WatcherStep::ReadsReport => self.read_report(scenario),
            WatcherStep::ReadsSignal => {
                let first = self.watcher.pending.take_first();
                self.take_in_hand(scenario, first);
            }
            WatcherStep::AsksForSender => {
                if let Some(InHand { pending, .. }) = self.watcher.in_hand {
                    let is_there = match pending.from {
                        Sender::Worker(worker) => {
                            !matches!(self.worker(worker).place, Place::Reaped(_))
                        }
                        _ => self.daemon != Daemon::None,
                    };
                    if let Some(in_hand) = &mut self.watcher.in_hand {
                        in_hand.from_descendant = is_there;
                    }
                    let stops = self.stopping.is_some();
                    for sent in self.sent_mut(pending.numbers) {
                        sent.is_sender_unknown = !is_there;
                        sent.settled |= stops;
                    }
                }
                self.handle_signal(scenario);
            }
            WatcherStep::AsksForEnd => match self.worker(self.watcher.command).is_alive() {
                true => self.decide_signal(scenario),
                false => self.reap(),
            },
            WatcherStep::StartIsOver => self.watcher.is_starting = false,
            WatcherStep::Reaps(child) => self.reap_child(scenario, child),
            WatcherStep::ReapsNoMore => self.finish_reaping(scenario),
            WatcherStep::Calls => self.call(scenario),
            WatcherStep::FailsToFork => {
                self.watcher.calls.pop();
                self.accidents_left -= 1;
                self.become_idle();
                self.proceed();
            }
            WatcherStep::TimerExpires {
                later,
                lease_is_expiring,
            } => {
                self.watcher.deadline = false;
                self.watcher.age += u8::from(later);
                let state = WatchState {
                    lease_is_expiring,
                    ..self.state(scenario)
                };
                let action = state.decide(WatchInput::TimerExpired);
                let is_due = match state.stage {
                    WatchStage::Idle => lease_is_expiring,
                    stage => stage == WatchStage::RestartScheduled && scenario.leases,
                };
                if is_due != (action == WatchAction::StartLeasingFetch) {
                    self.violate(super::LEASES);
                }
                self.act(scenario, action);
            }
        }
    }
}
