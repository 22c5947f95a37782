//! A process that the watcher has forked: the first worker and the standbys.

use super::kernel::{End, Numbers, SIGNALS, Sender, Sig};
use super::scenario::{Fault, Scenario};
use super::world::{Daemon, World};

/// A process that the watcher has forked (see `channel.rs` and `run/worker.rs`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) place: Place,
    /// Pending signals that the worker blocks: [`PENDING`] and the numbers of those that were sent.
    pub(super) pending: [u8; 9],
    /// The message that the watcher has not read yet. There is never a second one.
    pub(super) message: Option<Message>,
    /// True if the promotion is in the socket.
    pub(super) promotion: bool,
    /// True if the watcher has closed its end of the socket.
    pub(super) dismissed: bool,
    /// True if the worker has been sent KILL, but still runs.
    pub(super) dying: bool,
    pub(super) stopped: bool,
    /// A stop or continuation that waitid(2) has not reported yet.
    pub(super) stop_unreported: bool,
    pub(super) continuation_unreported: bool,
}

/// Marks a pending signal, whoever has sent it.
pub(super) const PENDING: u8 = 1 << 7;

/// Where a worker is in its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    NotForked,
    /// All signals are blocked, as in the watcher.
    Forked,
    /// The mask is restored.
    Fetching,
    Fetched(Answer),
    /// A failure has been reported.
    Failing,
    /// All signals are blocked again.
    Blocked(Answer),
    /// The digest has been sent.
    Waiting,
    /// The promotion has been read.
    Promoted,
    /// The pending signals have been discarded.
    Discarded,
    /// The watcher has been told so.
    Ready,
    /// The socket was closed without a promotion, and the signals have been discarded.
    Leaving,
    /// The mask is restored and the command is executed. It catches all signals.
    Command,
    Zombie(End),
    Reaped(End),
}

/// What a fetch results in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Same,
    Changed,
    /// Phase cannot be reached, refuses the token, limits requests, or a value cannot be injected.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    Digest(Answer),
    Failure,
    Ready,
}

impl Worker {
    pub(super) const NOT_FORKED: Self = Self {
        place: Place::NotForked,
        pending: [0; 9],
        message: None,
        promotion: false,
        dismissed: false,
        dying: false,
        stopped: false,
        stop_unreported: false,
        continuation_unreported: false,
    };

    pub(super) fn is_alive(&self) -> bool {
        !matches!(
            self.place,
            Place::NotForked | Place::Zombie(_) | Place::Reaped(_)
        )
    }

    pub(super) fn blocks_signals(&self) -> bool {
        matches!(
            self.place,
            Place::Forked
                | Place::Blocked(_)
                | Place::Waiting
                | Place::Promoted
                | Place::Discarded
                | Place::Ready
                | Place::Leaving
        )
    }

    pub(super) fn end(&self) -> Option<End> {
        match self.place {
            Place::Zombie(end) | Place::Reaped(end) => Some(end),
            _ => None,
        }
    }

    /// The socket is closed on exec and at the end of the process.
    pub(super) fn has_closed_socket(&self) -> bool {
        self.place == Place::Command || !self.is_alive()
    }

    /// Returns whether it can take a step of its own.
    fn runs(&self) -> bool {
        self.is_alive() && !self.dying && !self.stopped
    }
}

impl World {
    /// Sends a signal to a worker.
    pub(super) fn signal_worker(&mut self, worker: u8, sig: Sig, numbers: Numbers) {
        if !self.worker(worker).is_alive() {
            return;
        }
        if sig == Sig::Cont {
            let lost = self.worker_mut(worker).pending_take(Sig::Tstp);
            self.settle(lost);
            if self.worker(worker).stopped {
                let process = self.worker_mut(worker);
                process.stopped = false;
                process.stop_unreported = false;
                process.continuation_unreported = true;
                self.signal_watcher(Sig::Chld, Sender::Kernel, 0);
            }
        }
        if sig == Sig::Tstp {
            let lost = self.worker_mut(worker).pending_take(Sig::Cont);
            self.settle(lost);
        }
        if self.worker(worker).blocks_signals() {
            self.worker_mut(worker).pending[sig as usize] |= PENDING | numbers;
        } else {
            self.take_effect(worker, sig, numbers);
        }
    }

    /// A signal that is not blocked takes effect: the command catches it, and phase-run, which becomes the
    /// command, does what it does by default.
    fn take_effect(&mut self, worker: u8, sig: Sig, numbers: Numbers) {
        if self.is_command(worker) {
            self.arrive(worker, numbers);
        }
        if sig == Sig::Tstp {
            let process = self.worker_mut(worker);
            process.stopped = true;
            process.stop_unreported = true;
            process.continuation_unreported = false;
            self.signal_watcher(Sig::Chld, Sender::Kernel, 0);
        } else if sig.kills_by_default() && self.worker(worker).place != Place::Command {
            self.end_worker(worker, End::Killed(sig));
        }
    }

    /// A worker ends: the watcher adopts its children, and then gets CHLD.
    pub(super) fn end_worker(&mut self, worker: u8, end: End) {
        // What the command has not taken yet is lost with it, as without phase-run.
        let is_settled = self.is_command(worker) || self.promoted;
        let process = self.worker_mut(worker);
        let message = process.message;
        let pending = process.pending.iter().fold(0, |all, bits| all | bits) & !PENDING;
        *process = Worker {
            place: Place::Zombie(end),
            message,
            ..Worker::NOT_FORKED
        };
        if is_settled {
            self.settle(pending);
        }
        self.signal_watcher(Sig::Chld, Sender::Kernel, 0);
    }

    /// Kills a process at once or, because that may take its time, later.
    pub(super) fn kill_worker(&mut self, worker: u8) {
        let process = self.worker_mut(worker);
        process.dying = process.is_alive();
        process.stopped = false;
    }

    /// Returns what a worker may do next.
    pub(super) fn worker_moves(&self, worker: u8) -> &'static [Move] {
        let process = self.worker(worker);
        if process.dying {
            return &[Move::Die];
        }
        if !process.runs() {
            return &[];
        }
        match process.place {
            Place::Forked => &[Move::Go(Place::Fetching)],
            Place::Fetching if worker == 0 => &[
                Move::Go(Place::Fetched(Answer::Changed)),
                Move::Go(Place::Fetched(Answer::Failed)),
            ],
            Place::Fetching => &[
                Move::Go(Place::Fetched(Answer::Same)),
                Move::Go(Place::Fetched(Answer::Changed)),
                Move::Go(Place::Fetched(Answer::Failed)),
            ],
            Place::Fetched(Answer::Failed) => &[Move::Report],
            // The first worker waits for no promotion, and blocks nothing.
            Place::Fetched(_) if worker == 0 => &[Move::Report],
            Place::Fetched(answer) => match answer {
                Answer::Same => &[Move::Go(Place::Blocked(Answer::Same))],
                _ => &[Move::Go(Place::Blocked(Answer::Changed))],
            },
            Place::Blocked(_) => &[Move::Report],
            Place::Waiting if process.promotion => &[Move::Go(Place::Promoted)],
            Place::Waiting if process.dismissed => &[Move::Go(Place::Leaving)],
            Place::Promoted => &[Move::Discard],
            Place::Discarded => &[Move::Report],
            Place::Ready => &[Move::Unblock],
            Place::Failing | Place::Leaving => &[Move::Exit],
            Place::Command => &[Move::Exit],
            _ => &[],
        }
    }

    pub(super) fn move_worker(&mut self, scenario: &Scenario, worker: u8, step: Move) {
        match step {
            Move::Die => self.end_worker(worker, End::KilledHard),
            Move::Exit => self.end_worker(worker, End::Exited(10 + worker)),
            Move::Go(place) => {
                let process = self.worker_mut(worker);
                process.place = place;
                process.promotion &= place != Place::Promoted;
            }
            Move::Report => self.report(worker),
            Move::Discard => {
                let process = self.worker_mut(worker);
                if !scenario.has(Fault::NoDiscarding) {
                    process.pending = [0; 9];
                }
                process.place = Place::Discarded;
            }
            Move::Unblock => {
                let process = self.worker_mut(worker);
                let pending = std::mem::take(&mut process.pending);
                // The exec is part of this step. What arrives in between kills the process, which a
                // command may do too.
                for (at, bits) in pending.into_iter().enumerate() {
                    if bits != 0 && self.worker(worker).is_alive() {
                        self.take_effect(worker, SIGNALS[at], bits & !PENDING);
                    } else {
                        self.settle(bits & !PENDING);
                    }
                }
                if self.worker(worker).is_alive() {
                    self.start_command(worker);
                }
            }
        }
    }

    fn report(&mut self, worker: u8) {
        let (message, place) = match self.worker(worker).place {
            Place::Fetched(Answer::Failed) => (Message::Failure, Place::Failing),
            Place::Fetched(answer) => (Message::Digest(answer), Place::Command),
            Place::Blocked(answer) => (Message::Digest(answer), Place::Waiting),
            _ => (Message::Ready, Place::Ready),
        };
        let process = self.worker_mut(worker);
        process.place = place;
        if !process.dismissed {
            process.message = Some(message);
        }
    }

    fn start_command(&mut self, worker: u8) {
        let old_is_alive = self.stopping.is_some_and(|old| self.worker(old).is_alive());
        let daemon_is_alive = matches!(self.daemon, Daemon::Running | Daemon::Dying);
        if (old_is_alive || daemon_is_alive) && !self.named_survivors {
            self.violate(super::OLD_TREE_ENDS_FIRST);
        }
        if worker != self.watcher.command {
            self.violate(super::WHOLE_ENVIRONMENT);
        }
        self.worker_mut(worker).place = Place::Command;
    }
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Go(Place),
    /// Sends a message.
    Report,
    /// Discards the pending signals.
    Discard,
    /// Restores the mask and executes the command.
    Unblock,
    Exit,
    /// KILL takes effect.
    Die,
}

impl Worker {
    fn pending_take(&mut self, sig: Sig) -> Numbers {
        std::mem::take(&mut self.pending[sig as usize]) & !PENDING
    }
}
