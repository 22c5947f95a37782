//! Starts that all begin in the same second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::chance::Chance;
use crate::server::{ANSWER, Answer, Server};
use crate::{peak, reached, retry};

/// How a client waits.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    /// As phase-run.
    Jittered,
    /// The same policy, with the longest wait each time.
    Regular,
}

pub(crate) struct Starts {
    fleet: usize,
    requests: Vec<Duration>,
    up: Vec<Duration>,
    ended: Vec<Duration>,
    pub(crate) gave_up: usize,
}

impl Starts {
    pub(crate) fn run(
        fleet: usize,
        client: Client,
        max_wait: Duration,
        mut server: Server,
    ) -> Self {
        let mut chance = Chance::new();
        let mut starts = Self {
            fleet,
            requests: Vec::new(),
            up: Vec::new(),
            ended: Vec::new(),
            gave_up: 0,
        };
        // When, and how many tries have failed; each began within the first second.
        let mut due: BinaryHeap<Reverse<(Duration, u32, Duration)>> = (0..fleet)
            .map(|_| Duration::from_secs_f64(chance.draw()))
            .map(|start| Reverse((start, 0, start)))
            .collect();
        while let Some(Reverse((now, failed, start))) = due.pop() {
            starts.requests.push(now);
            let there = now + ANSWER;
            let floor = match server.answer(now) {
                Answer::Secrets => {
                    starts.up.push(there);
                    continue;
                }
                Answer::Limited(floor) => Some(floor),
                Answer::Away => None,
            };
            let drawn = match client {
                Client::Jittered => chance.draw(),
                Client::Regular => 1.0,
            };
            match retry::delay(failed + 1, there - start, max_wait, floor, drawn) {
                Some(wait) => due.push(Reverse((there + wait, failed + 1, start))),
                None => {
                    starts.gave_up += 1;
                    starts.ended.push(there);
                }
            }
        }
        starts
    }

    pub(crate) fn requests_a_start(&self) -> f64 {
        ratio(self.requests.len(), self.fleet)
    }

    pub(crate) fn up(&self) -> String {
        reached(&self.up, self.fleet)
    }

    /// Whoever gives up starts from a snapshot at that moment.
    pub(crate) fn all_with_snapshots(&self) -> String {
        let all = self.up.iter().chain(&self.ended).max();
        all.map_or("never".to_owned(), |all| {
            format!("{:.1}", all.as_secs_f64())
        })
    }

    /// The most in one second from this one on.
    pub(crate) fn peak_from(&self, second: u64) -> usize {
        let later = self.requests.iter().filter(|time| time.as_secs() >= second);
        peak(&later.copied().collect::<Vec<_>>())
    }
}

pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(part) / number(whole).max(1.0)
}
