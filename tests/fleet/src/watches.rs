//! Watches that poll each minute, long after their start, and a secret that changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::chance::Chance;
use crate::schedule::PollSchedule;
use crate::server::{ANSWER, Answer, Server};
use crate::starts::ratio;
use crate::{peak, reached, retry};

const INTERVAL: Duration = Duration::from_secs(60);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Polls have found their pace by then.
const CHANGE: Duration = Duration::from_secs(3600);
const END: Duration = Duration::from_secs(3 * 3600);

pub(crate) struct Watches {
    fleet: usize,
    requests: usize,
    refused: usize,
    restarts: Vec<Duration>,
}

/// One poll: when, how many of its tries have failed, when it began, whose.
type Try = Reverse<(Duration, u32, Duration, usize)>;

impl Watches {
    pub(crate) fn run(fleet: usize, budget: Option<usize>) -> Self {
        let mut chance = Chance::new();
        let mut server = Server::limited(budget);
        let mut schedules: Vec<PollSchedule> =
            (0..fleet).map(|_| PollSchedule::new(INTERVAL)).collect();
        let mut restarted = vec![false; fleet];
        let mut watches = Self {
            fleet,
            requests: 0,
            refused: 0,
            restarts: Vec::new(),
        };
        let mut due: BinaryHeap<Try> = BinaryHeap::new();
        for (number, schedule) in schedules.iter().enumerate() {
            let first = schedule.time_to_poll(chance.draw());
            due.push(Reverse((first, 0, first, number)));
        }
        while let Some(Reverse((now, failed, start, number))) = due.pop() {
            if now > END {
                break;
            }
            let (Some(schedule), Some(done)) =
                (schedules.get_mut(number), restarted.get_mut(number))
            else {
                continue;
            };
            watches.requests += 1;
            let there = now + ANSWER;
            match server.answer(now) {
                Answer::Secrets => {
                    schedule.record_success();
                    if now >= CHANGE && !*done {
                        *done = true;
                        let delay = schedule.restart_delay(chance.draw());
                        watches.restarts.push(there + delay - CHANGE);
                    }
                }
                Answer::Limited(floor) => {
                    watches.refused += 1;
                    let again = retry::delay(
                        failed + 1,
                        there - start,
                        MAX_WAIT,
                        Some(floor),
                        chance.draw(),
                    );
                    if let Some(wait) = again {
                        due.push(Reverse((there + wait, failed + 1, start, number)));
                        continue;
                    }
                    schedule.record_failure();
                }
                Answer::Away => schedule.record_failure(),
            }
            let next = there + schedule.time_to_poll(chance.draw());
            due.push(Reverse((next, 0, next, number)));
        }
        watches
    }

    pub(crate) fn requests_a_minute(&self) -> f64 {
        let minutes = usize::try_from(END.as_secs() / 60).unwrap_or(1);
        ratio(self.requests, minutes)
    }

    /// Percent.
    pub(crate) fn refused(&self) -> f64 {
        100.0 * ratio(self.refused, self.requests)
    }

    pub(crate) fn restarted(&self) -> String {
        reached(&self.restarts, self.fleet)
    }

    pub(crate) fn peak(&self) -> usize {
        peak(&self.restarts)
    }
}
