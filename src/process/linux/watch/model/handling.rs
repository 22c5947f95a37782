//! How the watcher comes from an input to an action: what it reads, and in which order.

use super::super::super::signal_reader::SignalInfo;
use super::super::super::supervise::{SuperviseInput, SuperviseState};
use super::super::decide::{WatchAction, WatchInput, WatchStage, WatchState, WorkerReport};
use super::kernel::{DAEMON_PID, Pending, Sig, WATCHER_PID, worker_pid};
use super::scenario::{Fault, Scenario};
use super::watcher::{At, InHand};
use super::worker::{Answer, Message, Place};
use super::world::{Daemon, World};
use crate::process::signal::Signal;
use crate::process::wait::WaitStatus;

impl World {
    /// poll(2) looks at the socket, then at the signals. What comes in between matters only while signals
    /// take precedence, which is during the promotion.
    pub(super) fn poll(&mut self, scenario: &Scenario) {
        let has_report = self.has_report();
        if self.watcher.stage == WatchStage::Promoting && !scenario.has(Fault::ReportFirst) {
            self.watcher.at = At::PollingSignals { has_report };
        } else {
            self.watcher.at = match has_report {
                true => At::Report,
                false => At::Signal,
            };
        }
        self.ended_before_poll = !self.worker(self.watcher.command).is_alive();
        let pending = self.watcher.pending.numbers();
        self.sent_mut(pending).for_each(|sent| sent.seen = true);
    }

    pub(super) fn read_report(&mut self, scenario: &Scenario) {
        let Some(worker) = self.watcher.channel else {
            return;
        };
        let message = self.worker_mut(worker).message.take();
        let report = match message {
            // The watcher knows no digest before the first one.
            Some(Message::Digest(_)) if self.watcher.stage == WatchStage::FirstFetch => {
                WorkerReport::Changed
            }
            Some(Message::Digest(Answer::Same)) => WorkerReport::Unchanged,
            Some(Message::Digest(_)) => WorkerReport::Changed,
            Some(Message::Failure) => WorkerReport::Failed,
            Some(Message::Ready) => WorkerReport::Ready,
            None => {
                if !scenario.has(Fault::KeepsClosedSocket) {
                    self.watcher.channel = None;
                    self.worker_mut(worker).dismissed = true;
                }
                WorkerReport::Closed
            }
        };
        let action = self.state(scenario).decide(WatchInput::Report(report));
        self.act(scenario, action);
    }

    pub(super) fn take_in_hand(&mut self, scenario: &Scenario, first: Option<(Sig, Pending)>) {
        self.watcher.in_hand = first.map(|(sig, pending)| InHand {
            sig,
            pending,
            from_descendant: false,
        });
        match first {
            Some((_, pending)) if pending.from.is_of_tree() => self.watcher.at = At::Sender,
            _ => self.handle_signal(scenario),
        }
    }

    pub(super) fn handle_signal(&mut self, scenario: &Scenario) {
        let is_stopping = matches!(self.watcher.stage, WatchStage::Stopping { .. });
        match is_stopping && !scenario.has(Fault::NoReaping) {
            true => self.watcher.at = At::CommandEnd,
            false => self.decide_signal(scenario),
        }
    }

    pub(super) fn decide_signal(&mut self, scenario: &Scenario) {
        let Some(InHand {
            sig,
            pending,
            from_descendant,
        }) = self.watcher.in_hand
        else {
            return;
        };
        let (cause, sender) = pending.from.siginfo();
        let info = SignalInfo {
            signal: sig.real(),
            cause,
            sender,
        };
        let state = self.state(scenario);
        let action = match scenario.supervises_only {
            true => WatchAction::Supervise(state.supervised.decide(SuperviseInput::Signal(info))),
            false => state.decide(WatchInput::Signal {
                info,
                terminates: sig.real().is_termination() && scenario.ignored != Some(sig),
                from_descendant,
            }),
        };
        self.act(scenario, action);
        self.watcher.in_hand = None;
    }

    pub(super) fn state(&self, scenario: &Scenario) -> WatchState {
        let watcher = &self.watcher;
        let mut supervised = SuperviseState::fixed(
            worker_pid(watcher.command),
            WATCHER_PID,
            scenario.session,
            scenario.resumable,
        );
        supervised.set_starting(watcher.is_starting);
        WatchState {
            stage: watcher.stage,
            supervised,
            standby: watcher.standby.map(worker_pid),
            leases_secrets: scenario.leases,
            lease_is_expiring: false,
        }
    }

    pub(super) fn reap(&mut self) {
        self.watcher.is_reaping = true;
        self.watcher.at = At::Working;
    }

    pub(super) fn reap_child(&mut self, scenario: &Scenario, child: Option<u8>) {
        let (pid, status) = match child {
            None => {
                self.daemon = Daemon::None;
                (DAEMON_PID, WaitStatus::Exited(0))
            }
            Some(worker) => {
                let process = self.worker_mut(worker);
                let status = match process.place {
                    Place::Zombie(end) => {
                        process.place = Place::Reaped(end);
                        end.status()
                    }
                    _ => {
                        process.stop_unreported = false;
                        WaitStatus::Stopped(Signal::TSTP)
                    }
                };
                (worker_pid(worker), status)
            }
        };
        let state = self.state(scenario);
        let action = match scenario.supervises_only {
            true => {
                WatchAction::Supervise(state.supervised.decide(SuperviseInput::Child(pid, status)))
            }
            false => state.decide(WatchInput::Child(pid, status)),
        };
        self.act(scenario, action);
    }

    pub(super) fn finish_reaping(&mut self, scenario: &Scenario) {
        self.watcher.is_reaping = false;
        if let Some(end) = self.watcher.end {
            self.watcher.at = At::Ended(end);
        } else if self.watcher.in_hand.is_some() {
            self.decide_signal(scenario);
        } else {
            self.watcher.at = At::Polling;
        }
    }

    /// Goes on after an action.
    pub(super) fn proceed(&mut self) {
        let watcher = &mut self.watcher;
        if matches!(watcher.at, At::Ended(_) | At::SelfStopped) {
            return;
        }
        watcher.at = match watcher.calls.is_empty() && !watcher.is_reaping {
            true => At::Polling,
            false => At::Working,
        };
    }
}
