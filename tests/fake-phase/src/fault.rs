//! Answers that are not the world's: errors, proxies' pages, connections that stall or break.

use std::time::Duration;

use crate::answer::{Answer, View, reason};

/// What to do with a request instead of answering it by the rules.
#[derive(Clone, Debug)]
pub struct Responder {
    pub(crate) fault: Fault,
    /// For how many more requests; `None` is all.
    pub(crate) left: Option<usize>,
    /// How many requests pass before.
    pub(crate) passing: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Answer(Answer),
    /// Nothing, ever.
    Stall,
    /// The world's answer up to this byte of its body, then the end of the connection.
    Truncate(usize),
    /// The world's answer up to this byte of its body, then nothing more.
    StallAfter(usize),
    /// The world's answer, one byte of its body each time.
    SlowDrip(Duration),
    /// A body of this many bytes, chunked.
    Endless(u64),
    /// The end of the connection.
    Close,
    /// A reset.
    Reset,
}

impl Responder {
    /// `{"error": …}` with this status.
    pub fn status(status: u16) -> Responder {
        Fault::Answer(Answer::error(View::Secrets, status, None, reason(status))).into()
    }

    /// `{"error": message}` with this status.
    pub fn error(status: u16, message: &str) -> Responder {
        Fault::Answer(Answer::error(View::Secrets, status, None, message)).into()
    }

    /// This JSON, as it is.
    pub fn json(status: u16, body: &str) -> Responder {
        Responder::raw(status, "application/json", body.as_bytes().to_vec())
    }

    /// This body, as it is.
    pub fn raw(status: u16, content_type: &str, body: Vec<u8>) -> Responder {
        Fault::Answer(Answer::raw(status, content_type, body)).into()
    }

    /// The page that a wrong base path gets behind the stock nginx: 200, and HTML.
    pub fn html_login() -> Responder {
        let page = "<!DOCTYPE html><html><head><title>Phase Console</title></head>\
                    <body><h1>Log in</h1></body></html>";
        Responder::raw(200, "text/html; charset=utf-8", page.into())
    }

    /// A proxy's own HTML page with this status.
    pub fn html(status: u16) -> Responder {
        Fault::Answer(Answer::bare_html(status)).into()
    }

    /// Phase's 429.
    pub fn rate_limited(retry_after_secs: u64) -> Responder {
        let message =
            format!("Request was throttled. Expected available in {retry_after_secs} seconds.");
        let answer = Answer::error(View::Secrets, 429, Some(retry_after_secs), &message);
        Fault::Answer(answer).into()
    }

    /// 302 to another place.
    pub fn redirect(to: &str) -> Responder {
        Responder::raw(302, "text/html; charset=utf-8", Vec::new()).header("Location", to)
    }

    /// Never answers; the connection stays open until the server is dropped.
    pub fn stall() -> Responder {
        Fault::Stall.into()
    }

    /// The world's answer with its right length, cut off after `at_bytes` of the body without TLS's
    /// goodbye.
    pub fn truncate(at_bytes: usize) -> Responder {
        Fault::Truncate(at_bytes).into()
    }

    /// The world's answer up to `at_bytes` of the body, then silence until the server is dropped.
    pub fn stall_after(at_bytes: usize) -> Responder {
        Fault::StallAfter(at_bytes).into()
    }

    /// The world's answer: its head at once, then a byte of the body each `every`.
    pub fn slow_drip(every: Duration) -> Responder {
        Fault::SlowDrip(every).into()
    }

    /// A chunked list of one secret whose JSON is this long.
    pub fn endless(bytes: u64) -> Responder {
        Fault::Endless(bytes).into()
    }

    /// Closes the connection before an answer, with TLS's goodbye.
    pub fn close() -> Responder {
        Fault::Close.into()
    }

    /// Resets the connection before an answer.
    pub fn reset() -> Responder {
        Fault::Reset.into()
    }

    /// Only for the next `requests` requests.
    pub fn times(mut self, requests: usize) -> Responder {
        self.left = Some(requests);
        self
    }

    /// Lets `requests` pass before.
    pub fn after(mut self, requests: usize) -> Responder {
        self.passing = requests;
        self
    }

    /// Sets a header of the answer, in place of one of that name. Faults that have no answer of
    /// their own ignore it.
    pub fn header(mut self, name: &str, value: &str) -> Responder {
        if let Fault::Answer(answer) = &mut self.fault {
            answer
                .headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

impl From<Fault> for Responder {
    fn from(fault: Fault) -> Responder {
        Responder {
            fault,
            left: None,
            passing: 0,
        }
    }
}
