//! A fleet whose machines all start in the same second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::random::Random;
use crate::retry;
use crate::server::{RESPONSE_TIME, Response, Server};
use crate::statistics::{peak_per_second, percentiles, ratio};

/// How a client chooses a delay within its bound.
#[derive(Clone, Copy)]
pub(crate) enum Jitter {
    /// At random, as phase-run does.
    Full,
    /// Always the longest.
    None,
}

/// The results of a simulation.
pub(crate) struct Starts {
    fleet: usize,
    requests: Vec<Duration>,
    running: Vec<Duration>,
    gave_up: Vec<Duration>,
}

/// A try that is due: when, how many tries have failed, and when the first one began.
type Try = Reverse<(Duration, u32, Duration)>;

impl Starts {
    pub(crate) fn simulate(
        fleet: usize,
        jitter: Jitter,
        max_wait: Duration,
        mut server: Server,
    ) -> Self {
        let mut random = Random::new();
        let mut starts = Self {
            fleet,
            requests: Vec::new(),
            running: Vec::new(),
            gave_up: Vec::new(),
        };
        let mut due: BinaryHeap<Try> = (0..fleet)
            .map(|_| Duration::from_secs_f64(random.unit()))
            .map(|start| Reverse((start, 0, start)))
            .collect();
        while let Some(Reverse((now, failed, start))) = due.pop() {
            starts.requests.push(now);
            let received = now + RESPONSE_TIME;
            let min_delay = match server.respond(now) {
                Response::Secrets => {
                    starts.running.push(received);
                    continue;
                }
                Response::RateLimited(delay) => Some(delay),
                Response::Unavailable => None,
            };
            let random_unit = match jitter {
                Jitter::Full => random.unit(),
                Jitter::None => 1.0,
            };
            let elapsed = received - start;
            match retry::delay(failed + 1, elapsed, max_wait, min_delay, random_unit) {
                Some(delay) => due.push(Reverse((received + delay, failed + 1, start))),
                None => starts.gave_up.push(received),
            }
        }
        starts
    }

    pub(crate) fn requests_per_start(&self) -> f64 {
        ratio(self.requests.len(), self.fleet)
    }

    /// When 50 %, 99 % and all of the machines ran.
    pub(crate) fn running_after(&self) -> String {
        percentiles(&self.running, self.fleet)
    }

    pub(crate) fn gave_up(&self) -> usize {
        self.gave_up.len()
    }

    /// When the last machine ran, if each that gave up starts from a snapshot at that moment.
    pub(crate) fn running_with_snapshots(&self) -> String {
        let last = self.running.iter().chain(&self.gave_up).max();
        last.map_or("never".to_owned(), |last| {
            format!("{:.1}", last.as_secs_f64())
        })
    }

    /// The most requests in one second, from this second on.
    pub(crate) fn peak_from(&self, second: u64) -> usize {
        let later = self.requests.iter().filter(|time| time.as_secs() >= second);
        peak_per_second(later)
    }
}
