//! The system calls of the watcher's actions.

use super::super::decide::{AfterStop, WatchStage};
use super::kernel::{Numbers, Sender, Sig};
use super::scenario::{Fault, Scenario};
use super::watcher::{At, Call};
use super::worker::Place;
use super::world::{Daemon, Sent, WORKERS, When, World};

impl World {
    /// Makes the next system call of an action.
    pub(super) fn call(&mut self, scenario: &Scenario) {
        let Some(call) = self.watcher.calls.pop() else {
            return;
        };
        match call {
            Call::Kill(worker, sig, numbers) => self.forward(worker, sig, numbers),
            Call::UnlessEnded(worker) => {
                if self.worker(worker).is_alive() || scenario.has(Fault::RestartsEnded) {
                    self.begin_restart(scenario);
                }
            }
            Call::TellToStop(worker) => {
                if self.ended_before_poll {
                    self.violate(super::ENDED_IS_NOT_RESTARTED);
                }
                self.stopping = Some(worker);
                self.promoted = false;
                self.forward(worker, Sig::Term, 0);
            }
            Call::KillHard(worker) => {
                self.check_not_reaped(worker);
                self.kill_worker(worker);
            }
            Call::KillDaemon { hard } => {
                if hard && self.daemon == Daemon::Running {
                    self.daemon = Daemon::Dying;
                }
            }
            Call::Close(worker) => self.worker_mut(worker).dismissed = true,
            Call::Fork(stage) => self.fork(stage),
            Call::ListChildren => self.list_children(scenario),
            Call::Promote => self.promote(scenario),
            Call::WasContinued(by) => {
                if !self.take_continuation() {
                    self.watcher.calls.push(Call::AfterStop);
                    self.watcher.calls.push(Call::StopSelf(by));
                }
            }
            Call::StopSelf(by) => {
                let session = scenario.session;
                if !scenario.resumable || !session.has_terminal || session.is_leader {
                    self.violate(super::STOPS_IN_A_JOB);
                }
                // It is unblocked, so one that is pending takes effect at the same time.
                let taken = self.watcher.pending.discard(by);
                self.settle(taken);
                self.watcher.at = At::SelfStopped;
            }
            Call::AfterStop => {
                let taken = self.watcher.pending.discard(Sig::Cont);
                let command = self.watcher.command;
                if !self.take_continuation() && !self.worker(command).stop_unreported {
                    self.forward(command, Sig::Cont, taken);
                }
                self.settle(taken);
            }
        }
        self.proceed();
    }

    fn take_continuation(&mut self) -> bool {
        let command = self.watcher.command;
        std::mem::take(&mut self.worker_mut(command).continuation_unreported)
    }

    fn check_not_reaped(&mut self, worker: u8) {
        if matches!(self.worker(worker).place, Place::Reaped(_)) {
            self.violate(super::NO_SIGNAL_TO_REAPED);
        }
    }

    fn forward(&mut self, worker: u8, sig: Sig, numbers: Numbers) {
        self.check_not_reaped(worker);
        if self
            .sent(numbers)
            .any(|sent| sent.from == Sender::Worker(worker))
        {
            self.violate(super::OWN_SIGNALS_STAY);
        }
        if self.worker(worker).is_alive() {
            self.signal_worker(worker, sig, numbers);
            return;
        }
        // The command ended before it could take the signal, or phase-run will end like it.
        let restarts = matches!(
            self.watcher.stage,
            WatchStage::Stopping {
                next: AfterStop::Restart,
                ..
            }
        );
        for sent in self.sent_mut(numbers) {
            sent.settled |= !restarts || sent.when != When::Between;
        }
    }

    fn fork(&mut self, stage: WatchStage) {
        let free = self
            .workers
            .iter()
            .position(|worker| worker.place == Place::NotForked);
        let number = u8::try_from(free.unwrap()).unwrap();
        let fetches = |place: Place| matches!(place, Place::Forked | Place::Fetching);
        if self.workers.iter().any(|worker| fetches(worker.place)) {
            self.violate(super::ONE_FETCH);
        }
        self.worker_mut(number).place = Place::Forked;
        self.watcher.standby = Some(number);
        self.watcher.channel = Some(number);
        self.watcher.stage = stage;
    }

    /// Reads the list of children, and begins what the cleanup does with them (`Cleanup::step`).
    fn list_children(&mut self, scenario: &Scenario) {
        let workers = 0..u8::try_from(WORKERS).unwrap();
        let left: Vec<u8> = workers
            .filter(|worker| {
                let place = self.worker(*worker).place;
                Some(*worker) != self.watcher.standby
                    && !matches!(place, Place::NotForked | Place::Reaped(_))
            })
            .collect();
        let has_daemon = self.daemon != Daemon::None && !self.worker(0).is_alive();
        if left.is_empty() && !has_daemon || scenario.has(Fault::NoCleanup) {
            self.watcher.calls.push(Call::Promote);
            return;
        }
        if self.watcher.age == 2 {
            self.named_survivors = true;
            self.watcher.calls.push(Call::Promote);
            return;
        }
        self.watcher.deadline = true;
        let hard = self.watcher.age == 1;
        if has_daemon && self.is_to_be_signalled(WORKERS) {
            self.watcher.calls.push(Call::KillDaemon { hard });
        }
        for worker in left {
            if self.is_to_be_signalled(usize::from(worker)) {
                if hard {
                    self.watcher.calls.push(Call::KillHard(worker));
                } else {
                    self.watcher.calls.push(Call::Kill(worker, Sig::Cont, 0));
                    self.watcher.calls.push(Call::Kill(worker, Sig::Term, 0));
                }
            }
        }
    }

    /// Every child gets TERM once, and KILL each time.
    fn is_to_be_signalled(&mut self, child: usize) -> bool {
        let bit = 1 << child;
        let is_new = self.watcher.signalled & bit == 0;
        self.watcher.signalled |= bit;
        is_new || self.watcher.age == 1
    }

    fn promote(&mut self, scenario: &Scenario) {
        let too_late = |sent: &&Sent| {
            sent.seen
                && !sent.settled
                && sent.sig.real().is_termination()
                && scenario.ignored != Some(sent.sig)
                && matches!(sent.when, When::Stopping | When::Between)
        };
        if self.sent(Numbers::MAX).any(|sent| too_late(&sent)) {
            self.violate(super::TERMINATION_CANCELS);
        }
        let Some(standby) = self.watcher.standby.take() else {
            return;
        };
        self.watcher.age = 0;
        self.watcher.signalled = 0;
        self.watcher.command = standby;
        self.watcher.stage = WatchStage::Promoting;
        self.watcher.deadline = false;
        self.promoted = true;
        let process = self.worker_mut(standby);
        process.promotion = process.is_alive();
        if scenario.has(Fault::ForwardsToStandby) {
            self.finish_promotion(scenario);
        }
    }
}
