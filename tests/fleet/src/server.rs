//! Phase as a client sees it: a sliding window of a minute for an account, as its rate limiter has
//! it (Django REST framework's), or away for a while. What is refused does not count.

use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(60);

/// What an answer takes, one way and its work and back.
pub(crate) const ANSWER: Duration = Duration::from_millis(60);

pub(crate) enum Answer {
    Secrets,
    /// 429, with what `Retry-After` says.
    Limited(Duration),
    /// 503.
    Away,
}

pub(crate) struct Server {
    budget: Option<usize>,
    back: Duration,
    accepted: VecDeque<Duration>,
}

impl Server {
    pub(crate) fn limited(budget: Option<usize>) -> Self {
        Self {
            budget,
            back: Duration::ZERO,
            accepted: VecDeque::new(),
        }
    }

    pub(crate) fn away(back: Duration) -> Self {
        Self {
            back,
            ..Self::limited(None)
        }
    }

    /// Times must not go back from one call to the next.
    pub(crate) fn answer(&mut self, now: Duration) -> Answer {
        if now < self.back {
            return Answer::Away;
        }
        let Some(budget) = self.budget else {
            return Answer::Secrets;
        };
        while self
            .accepted
            .front()
            .is_some_and(|then| *then + WINDOW <= now)
        {
            self.accepted.pop_front();
        }
        if self.accepted.len() < budget {
            self.accepted.push_back(now);
            return Answer::Secrets;
        }
        let oldest = self.accepted.front().copied().unwrap_or_default();
        let wait = (oldest + WINDOW).saturating_sub(now).as_secs_f64().ceil();
        Answer::Limited(Duration::from_secs_f64(wait))
    }
}
