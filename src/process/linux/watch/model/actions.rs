//! What the watcher does with an action (`Watcher::perform`). The system calls of it follow one by one, in
//! `calls.rs`.

use super::super::super::supervise::SuperviseAction;
use super::super::decide::{AfterStop, WatchAction, WatchStage};
use super::kernel::{End, Numbers, Sig};
use super::scenario::{Fault, Scenario};
use super::watcher::{At, Call};
use super::world::{When, World};

impl World {
    pub(super) fn act(&mut self, scenario: &Scenario, action: WatchAction) {
        match action {
            WatchAction::Supervise(action) => self.supervise(action),
            WatchAction::CancelRestart(action) => {
                self.check_cancellation(scenario);
                self.supervise(action);
                self.set_after_stop(AfterStop::ExitAsCommand);
                self.dismiss_standby();
            }
            WatchAction::ExitBySignal(signal) => {
                self.check_cancellation(scenario);
                self.exit(End::Killed(Sig::of(signal)));
            }
            WatchAction::StartPoll => {
                self.polls_left -= 1;
                self.watcher.calls.push(Call::Fork(WatchStage::Polling));
                self.dismiss_standby();
            }
            WatchAction::StartLeasingFetch => {
                self.polls_left = self.polls_left.saturating_sub(1);
                self.watcher.calls.push(Call::Fork(WatchStage::Leasing));
                self.dismiss_standby();
            }
            WatchAction::RecordFirstFetch => {
                self.watcher
                    .calls
                    .extend(self.watcher.channel.take().map(Call::Close));
                self.become_idle();
            }
            WatchAction::FinishPoll | WatchAction::FailPoll => {
                self.dismiss_standby();
                self.become_idle();
            }
            WatchAction::KillStandby => {
                self.watcher
                    .calls
                    .extend(self.watcher.standby.map(Call::KillHard));
            }
            WatchAction::ContinueStandby => {
                let standby = self.watcher.standby;
                let calls = standby.map(|standby| Call::Kill(standby, Sig::Cont, 0));
                self.watcher.calls.extend(calls);
            }
            WatchAction::ScheduleRestart => {
                self.watcher.stage = WatchStage::RestartScheduled;
                self.watcher.deadline = true;
            }
            WatchAction::StopCommand => self.stop_command(),
            WatchAction::KillCommand => {
                if let WatchStage::Stopping {
                    next: AfterStop::ExitAsCommand,
                    ..
                } = self.watcher.stage
                {
                    self.violate(super::CANCELLED_KILLS_NOTHING);
                }
                self.watcher
                    .calls
                    .push(Call::KillHard(self.watcher.command));
                if let WatchStage::Stopping { next, .. } = self.watcher.stage {
                    self.watcher.stage = WatchStage::Stopping { next, killed: true };
                    self.watcher.deadline = true;
                }
            }
            WatchAction::ScheduleCleanUp if !scenario.has(Fault::PromotesWhileReaping) => {
                self.watcher.stage = WatchStage::CleaningUp;
                self.watcher.deadline = true;
            }
            WatchAction::ScheduleCleanUp | WatchAction::CleanUp => {
                self.watcher.stage = WatchStage::CleaningUp;
                self.watcher.calls.push(Call::ListChildren);
            }
            WatchAction::ExitAfterStop(status) => {
                self.set_after_stop(AfterStop::ExitAs(status));
                self.dismiss_standby();
            }
            WatchAction::DeferSignal(signal, _) => {
                let numbers = self.numbers_in_hand();
                self.watcher.deferred.push((Sig::of(signal), numbers));
            }
            WatchAction::FinishPromotion => self.finish_promotion(scenario),
        }
        self.proceed();
    }

    fn check_cancellation(&mut self, scenario: &Scenario) {
        let may_cancel = self.watcher.in_hand.is_some_and(|in_hand| {
            in_hand.sig.real().is_termination()
                && scenario.ignored != Some(in_hand.sig)
                && !in_hand.from_descendant
        });
        if !may_cancel {
            self.violate(super::ONLY_TERMINATION_CANCELS);
        }
    }

    pub(super) fn numbers_in_hand(&self) -> Numbers {
        let in_hand = self.watcher.in_hand;
        in_hand.map_or(0, |in_hand| in_hand.pending.numbers)
    }

    pub(super) fn supervise(&mut self, action: SuperviseAction) {
        let command = self.watcher.command;
        match action {
            SuperviseAction::Ignore => {}
            SuperviseAction::Reap => self.watcher.is_reaping = true,
            SuperviseAction::Forward(signal, _) => {
                let numbers = self.numbers_in_hand();
                let call = Call::Kill(command, Sig::of(signal), numbers);
                self.watcher.calls.push(call);
            }
            SuperviseAction::StopWithCommand(by) => {
                self.watcher.calls.push(Call::WasContinued(Sig::of(by)));
            }
            SuperviseAction::ExitAs(status) => self.exit(End::of(status)),
        }
    }

    /// Ends once the other children have been reaped.
    pub(super) fn exit(&mut self, end: End) {
        match self.watcher.is_reaping {
            true => self.watcher.end = Some(end),
            false => self.watcher.at = At::Ended(end),
        }
    }

    pub(super) fn set_after_stop(&mut self, next: AfterStop) {
        if let WatchStage::Stopping { killed, .. } = self.watcher.stage {
            self.watcher.stage = WatchStage::Stopping { next, killed };
        }
    }

    pub(super) fn stop_command(&mut self) {
        let command = self.watcher.command;
        self.watcher.calls.push(Call::UnlessEnded(command));
    }

    /// Tells the command to stop.
    pub(super) fn begin_restart(&mut self, scenario: &Scenario) {
        let command = self.watcher.command;
        self.watcher.calls.push(Call::Kill(command, Sig::Cont, 0));
        self.watcher.calls.push(Call::TellToStop(command));
        self.watcher.stage = WatchStage::Stopping {
            next: AfterStop::Restart,
            killed: false,
        };
        self.watcher.deadline = !scenario.has(Fault::NoGrace);
    }

    pub(super) fn dismiss_standby(&mut self) {
        self.watcher
            .calls
            .extend(self.watcher.channel.take().map(Call::Close));
        self.watcher.standby = None;
    }

    pub(super) fn become_idle(&mut self) {
        self.watcher.stage = WatchStage::Idle;
        self.watcher.deadline = true;
    }

    pub(super) fn finish_promotion(&mut self, scenario: &Scenario) {
        let command = self.watcher.command;
        let deferred = std::mem::take(&mut self.watcher.deferred);
        let kills = deferred.into_iter().rev();
        let kills = kills.map(|(sig, numbers)| Call::Kill(command, sig, numbers));
        self.watcher.calls.extend(kills);
        self.watcher
            .calls
            .extend(self.watcher.channel.take().map(Call::Close));
        self.stopping = None;
        if scenario.restarts_once {
            self.polls_left = 0;
        }
        // What was sent in this restart says nothing about the next one.
        let all = self.sent_mut(Numbers::MAX);
        all.for_each(|sent| sent.when = When::Running);
        self.become_idle();
    }
}
