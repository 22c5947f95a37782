//! The state of the whole system, and the signals in it.

use super::kernel::{End, Numbers, Pending, Sender, Sig};
use super::watcher::{At, Watcher};
use super::worker::{PENDING, Place, Worker};

/// The most workers that are forked: the first one, two polls, and one that leases.
pub(super) const WORKERS: usize = 4;

/// The most signals that are sent.
pub(super) const SENT: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) watcher: Watcher,
    pub(super) workers: [Worker; WORKERS],
    pub(super) daemon: Daemon,
    pub(super) sent: [Option<Sent>; SENT],
    /// How many more signals may be sent.
    pub(super) signals_left: u8,
    /// How many more polls may be started.
    pub(super) polls_left: u8,
    /// How many more times something may go wrong that no signal causes: a process is killed.
    pub(super) accidents_left: u8,
    /// The command that has been told to stop, until the next one is ready.
    pub(super) stopping: Option<u8>,
    /// True if the standby has been promoted in this restart.
    pub(super) promoted: bool,
    /// True if the watcher has given up on what the old command has left, and named it.
    pub(super) named_survivors: bool,
    /// True if the command had ended when poll(2) returned last.
    pub(super) ended_before_poll: bool,
    /// The property that the last step has violated.
    pub(super) violated: Option<&'static str>,
}

/// A process that the first command has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Daemon {
    /// There is none, it has been reaped.
    None,
    Running,
    /// It has been sent KILL.
    Dying,
    /// The watcher has adopted it (PR_SET_CHILD_SUBREAPER(2const)) and has not reaped it.
    Zombie,
}

/// A signal that somebody has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    pub(super) sig: Sig,
    pub(super) from: Sender,
    pub(super) to_group: bool,
    pub(super) when: When,
    /// How many times it has reached a command.
    pub(super) arrivals: u8,
    /// The command that it has reached last.
    pub(super) arrived_at: Option<u8>,
    /// How many times it may reach a command.
    pub(super) allowed: u8,
    /// True if it need not reach a command: for example because the command has ended, or because the
    /// kernel has merged it with another one.
    pub(super) settled: bool,
    /// True if the sender belongs to the command, but had ended when the watcher asked.
    pub(super) is_sender_unknown: bool,
    /// True if the watcher has had the chance to read it before it promoted the standby.
    pub(super) seen: bool,
}

impl Sent {
    /// A signal that has arrived and matters no more.
    pub(super) const OVER: Self = Self {
        sig: Sig::Winch,
        from: Sender::Stranger,
        to_group: false,
        when: When::Running,
        arrivals: 0,
        arrived_at: None,
        allowed: 0,
        settled: true,
        is_sender_unknown: false,
        seen: false,
    };
}

/// When a signal was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum When {
    /// A command runs and has not been told to stop.
    Running,
    /// The command has been told to stop.
    Stopping,
    /// The command has ended.
    Between,
    /// The next command has been told to start.
    Promoted,
}

impl World {
    pub(super) fn worker(&self, worker: u8) -> &Worker {
        &self.workers[usize::from(worker)]
    }

    pub(super) fn worker_mut(&mut self, worker: u8) -> &mut Worker {
        &mut self.workers[usize::from(worker)]
    }

    pub(super) fn violate(&mut self, property: &'static str) {
        self.violated = self.violated.or(Some(property));
    }

    /// Returns whether signals to this worker are signals to the command: it has been promoted and
    /// discards nothing any more. The first worker is the command from the start.
    pub(super) fn is_command(&self, worker: u8) -> bool {
        let place = self.worker(worker).place;
        let discards_nothing = matches!(place, Place::Discarded | Place::Ready | Place::Command);
        worker == self.watcher.command && (worker == 0 || discards_nothing)
    }

    pub(super) fn when(&self) -> When {
        match self.stopping {
            None => When::Running,
            Some(_) if self.promoted => When::Promoted,
            Some(old) if self.worker(old).is_alive() => When::Stopping,
            Some(_) => When::Between,
        }
    }

    pub(super) fn sent(&self, numbers: Numbers) -> impl Iterator<Item = &Sent> {
        let slots = self.sent.iter().enumerate();
        slots.filter_map(move |(at, sent)| sent.as_ref().filter(|_| numbers >> at & 1 == 1))
    }

    pub(super) fn sent_mut(&mut self, numbers: Numbers) -> impl Iterator<Item = &mut Sent> {
        let slots = self.sent.iter_mut().enumerate();
        slots.filter_map(move |(at, sent)| sent.as_mut().filter(|_| numbers >> at & 1 == 1))
    }

    /// These signals need not reach a command any more.
    pub(super) fn settle(&mut self, numbers: Numbers) {
        self.sent_mut(numbers).for_each(|sent| sent.settled = true);
    }

    /// These signals have reached a command.
    pub(super) fn arrive(&mut self, worker: u8, numbers: Numbers) {
        for sent in self.sent_mut(numbers) {
            // A key that is pressed during a restart may reach the old command and the new one.
            let is_first = sent.arrived_at.replace(worker) != Some(worker);
            sent.arrivals = match is_first && sent.from == Sender::Terminal {
                true => 1,
                false => sent.arrivals + 1,
            };
        }
        if self.sent(numbers).any(|sent| sent.arrivals > sent.allowed) {
            self.violate(super::NEVER_TWICE);
        }
        let other_command = |from| matches!(from, Sender::Worker(sender) if sender != worker);
        let reaches_other = self.sent(numbers).any(|sent| other_command(sent.from));
        if reaches_other && !self.named_survivors {
            self.violate(super::OWN_SIGNALS_STAY);
        }
    }

    /// Makes a signal pending in the watcher, which blocks all signals.
    pub(super) fn signal_watcher(&mut self, sig: Sig, from: Sender, numbers: Numbers) {
        if self.watcher.at == At::Start {
            // Nothing is blocked yet, and there is no command.
            self.settle(numbers);
            if sig.kills_by_default() {
                self.watcher.at = At::Ended(End::Killed(sig));
            }
            return;
        }
        if sig == Sig::Cont && self.watcher.at == At::SelfStopped {
            self.watcher.at = At::Working;
        }
        let lost = self
            .watcher
            .pending
            .generate(sig, Pending { from, numbers });
        self.settle(lost);
    }

    /// The daemon ends. The command reaps it unless the watcher has adopted it.
    pub(super) fn end_daemon(&mut self) {
        if self.worker(0).is_alive() {
            self.daemon = Daemon::None;
        } else {
            self.daemon = Daemon::Zombie;
            self.signal_watcher(Sig::Chld, Sender::Kernel, 0);
        }
    }

    /// Sends a signal to the watcher or to the whole group. It reaches all members of the group at the same
    /// moment.
    pub(super) fn send(&mut self, sig: Sig, from: Sender, to_group: bool) {
        let slot = self.sent.iter().position(Option::is_none).unwrap();
        let when = self.when();
        self.sent[slot] = Some(Sent {
            sig,
            from,
            to_group,
            when,
            arrivals: 0,
            arrived_at: None,
            allowed: match (to_group, from) {
                (false, _) => 1,
                // The watcher cannot tell whether the command has what the terminal sends at this moment.
                (true, Sender::Terminal) if self.stopping.is_some() || self.watcher.is_starting => {
                    2
                }
                (true, Sender::Terminal) => 1,
                (true, _) => 2,
            },
            // Nobody waits for what a command sends itself, or its children send while it stops.
            settled: matches!(from, Sender::Worker(_))
                || (from == Sender::Daemon && when != When::Running),
            is_sender_unknown: false,
            seen: false,
        });
        let numbers = 1 << slot;
        if to_group {
            for worker in 0..u8::try_from(WORKERS).unwrap() {
                self.signal_worker(worker, sig, numbers);
            }
        }
        self.signal_watcher(sig, from, numbers);
    }

    /// Returns the numbers of the signals that are still on their way to a command.
    pub(super) fn on_their_way(&self) -> Numbers {
        let workers = self.workers.iter().flat_map(|worker| worker.pending);
        let workers = workers.fold(0, |all, bits| all | bits) & !PENDING;
        workers | self.watcher.numbers()
    }
}
