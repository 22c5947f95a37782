//! Phase as its clients see it: with a rate limit, or down for a while. The limit counts the accepted
//! requests of an account in a sliding window of a minute, as that of Django REST framework does.

use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(60);

/// The time from a request to its response.
pub(crate) const RESPONSE_TIME: Duration = Duration::from_millis(60);

pub(crate) enum Response {
    Secrets,
    /// Status 429, with the delay from `Retry-After`.
    RateLimited(Duration),
    /// Status 503.
    Unavailable,
}

pub(crate) struct Server {
    requests_per_minute: Option<usize>,
    outage_end: Duration,
    accepted: VecDeque<Duration>,
}

impl Server {
    /// A server with this rate limit, or with none.
    pub(crate) fn with_limit(requests_per_minute: Option<usize>) -> Self {
        Self {
            requests_per_minute,
            outage_end: Duration::ZERO,
            accepted: VecDeque::new(),
        }
    }

    /// A server without a rate limit that is down until `end`.
    pub(crate) fn down_until(end: Duration) -> Self {
        Self {
            outage_end: end,
            ..Self::with_limit(None)
        }
    }

    /// Answers a request. Each call must have a later time than the call before, or the same.
    pub(crate) fn respond(&mut self, now: Duration) -> Response {
        if now < self.outage_end {
            return Response::Unavailable;
        }
        let Some(limit) = self.requests_per_minute else {
            return Response::Secrets;
        };
        let is_outside = |accepted: &Duration| *accepted + WINDOW <= now;
        while self.accepted.front().is_some_and(is_outside) {
            self.accepted.pop_front();
        }
        if self.accepted.len() < limit {
            self.accepted.push_back(now);
            return Response::Secrets;
        }
        let oldest = self.accepted.front().copied().unwrap_or_default();
        let delay = (oldest + WINDOW).saturating_sub(now);
        Response::RateLimited(Duration::from_secs_f64(delay.as_secs_f64().ceil()))
    }
}
