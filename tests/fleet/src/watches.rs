//! A fleet that has been polling each minute for long, and a secret that changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::random::Random;
use crate::retry;
use crate::schedule::PollSchedule;
use crate::server::{RESPONSE_TIME, Response, Server};
use crate::statistics::{peak_per_second, percentiles, ratio};

const INTERVAL: Duration = Duration::from_secs(60);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// When the secret changes: after the polls have spread out.
const CHANGE: Duration = Duration::from_secs(3600);
const END: Duration = Duration::from_secs(3 * 3600);

/// The results of a simulation.
pub(crate) struct Watches {
    fleet: usize,
    requests: usize,
    rate_limited: usize,
    /// The times from the change to each restart.
    restarts: Vec<Duration>,
}

/// A try that is due: when, how many tries of its poll have failed, when the poll began, and the
/// number of the machine.
type Try = Reverse<(Duration, u32, Duration, usize)>;

impl Watches {
    pub(crate) fn simulate(fleet: usize, requests_per_minute: Option<usize>) -> Self {
        let mut random = Random::new();
        let mut server = Server::with_limit(requests_per_minute);
        let mut schedules: Vec<PollSchedule> =
            (0..fleet).map(|_| PollSchedule::new(INTERVAL)).collect();
        let mut restarted = vec![false; fleet];
        let mut watches = Self {
            fleet,
            requests: 0,
            rate_limited: 0,
            restarts: Vec::new(),
        };
        let mut due: BinaryHeap<Try> = BinaryHeap::new();
        for (machine, schedule) in schedules.iter().enumerate() {
            let first = schedule.time_to_poll(random.unit());
            due.push(Reverse((first, 0, first, machine)));
        }
        while let Some(Reverse((now, failed, start, machine))) = due.pop() {
            if now > END {
                break;
            }
            let (Some(schedule), Some(restarted)) =
                (schedules.get_mut(machine), restarted.get_mut(machine))
            else {
                continue;
            };
            watches.requests += 1;
            let received = now + RESPONSE_TIME;
            match server.respond(now) {
                Response::Secrets => {
                    schedule.record_success();
                    if now >= CHANGE && !*restarted {
                        *restarted = true;
                        let delay = schedule.restart_delay(random.unit());
                        watches.restarts.push(received + delay - CHANGE);
                    }
                }
                Response::RateLimited(min_delay) => {
                    watches.rate_limited += 1;
                    let delay = retry::delay(
                        failed + 1,
                        received - start,
                        MAX_WAIT,
                        Some(min_delay),
                        random.unit(),
                    );
                    if let Some(delay) = delay {
                        due.push(Reverse((received + delay, failed + 1, start, machine)));
                        continue;
                    }
                    schedule.record_failure();
                }
                Response::Unavailable => schedule.record_failure(),
            }
            let next = received + schedule.time_to_poll(random.unit());
            due.push(Reverse((next, 0, next, machine)));
        }
        watches
    }

    pub(crate) fn requests_per_minute(&self) -> f64 {
        let minutes = usize::try_from(END.as_secs() / 60).unwrap_or(1);
        ratio(self.requests, minutes)
    }

    /// The share of requests that were rate-limited, in percent.
    pub(crate) fn rate_limited(&self) -> f64 {
        100.0 * ratio(self.rate_limited, self.requests)
    }

    /// When 50 %, 99 % and all of the machines had restarted.
    pub(crate) fn restarted_after(&self) -> String {
        percentiles(&self.restarts, self.fleet)
    }

    /// The most restarts in one second.
    pub(crate) fn peak(&self) -> usize {
        peak_per_second(&self.restarts)
    }
}
