//! Responses that do not come from the world: errors, pages of proxies, connections that stall or
//! break.

use std::time::Duration;

use crate::response::{Response, View, reason};

/// What to do with a request instead of responding from the world.
#[derive(Clone, Debug)]
pub struct Responder {
    pub(crate) fault: Fault,
    /// How many more requests it handles; `None` for all.
    pub(crate) remaining: Option<usize>,
    /// How many requests it skips first.
    pub(crate) skip: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Response(Response),
    /// Never respond.
    Stall,
    /// Send the world's response up to this byte of its body, then close the connection.
    Truncate(usize),
    /// Send the world's response up to this byte of its body, then nothing more.
    StallAfter(usize),
    /// Send the world's response, one byte of its body at each interval.
    SlowDrip(Duration),
    /// Send a chunked body of this many bytes.
    Endless(u64),
    /// Close the connection.
    Close,
    /// Reset the connection.
    Reset,
}

impl Responder {
    /// Responds with `{"error": …}` and this status.
    pub fn status(status: u16) -> Responder {
        Fault::Response(Response::error(View::Secrets, status, None, reason(status))).into()
    }

    /// Responds with `{"error": message}` and this status.
    pub fn error(status: u16, message: &str) -> Responder {
        Fault::Response(Response::error(View::Secrets, status, None, message)).into()
    }

    /// Responds with this JSON.
    pub fn json(status: u16, body: &str) -> Responder {
        Responder::raw(status, "application/json", body.as_bytes().to_vec())
    }

    /// Responds with this body.
    pub fn raw(status: u16, content_type: &str, body: Vec<u8>) -> Responder {
        Fault::Response(Response::raw(status, content_type, body)).into()
    }

    /// Responds with the login page that stock nginx sends for a wrong base path: HTML with status 200.
    pub fn html_login() -> Responder {
        let page = "<!DOCTYPE html><html><head><title>Phase Console</title></head>\
                    <body><h1>Log in</h1></body></html>";
        Responder::raw(200, "text/html; charset=utf-8", page.into())
    }

    /// Responds with an HTML page of a proxy.
    pub fn html(status: u16) -> Responder {
        Fault::Response(Response::bare_html(status)).into()
    }

    /// Responds with Phase's 429.
    pub fn rate_limited(retry_after_secs: u64) -> Responder {
        let message =
            format!("Request was throttled. Expected available in {retry_after_secs} seconds.");
        let response = Response::error(View::Secrets, 429, Some(retry_after_secs), &message);
        Fault::Response(response).into()
    }

    /// Redirects with status 302.
    pub fn redirect(to: &str) -> Responder {
        Responder::raw(302, "text/html; charset=utf-8", Vec::new()).header("Location", to)
    }

    /// Never responds; the connection stays open until the server is dropped.
    pub fn stall() -> Responder {
        Fault::Stall.into()
    }

    /// Sends the world's response with its full `Content-Length`, but closes the connection after
    /// `at_bytes` of the body, without close_notify.
    pub fn truncate(at_bytes: usize) -> Responder {
        Fault::Truncate(at_bytes).into()
    }

    /// Sends the world's response up to `at_bytes` of the body, then nothing until the server is
    /// dropped.
    pub fn stall_after(at_bytes: usize) -> Responder {
        Fault::StallAfter(at_bytes).into()
    }

    /// Sends the head of the world's response at once, then one byte of the body at each interval.
    pub fn slow_drip(every: Duration) -> Responder {
        Fault::SlowDrip(every).into()
    }

    /// Responds with a chunked list of one secret whose JSON has this many bytes.
    pub fn endless(bytes: u64) -> Responder {
        Fault::Endless(bytes).into()
    }

    /// Closes the connection before responding, with close_notify.
    pub fn close() -> Responder {
        Fault::Close.into()
    }

    /// Resets the connection before responding.
    pub fn reset() -> Responder {
        Fault::Reset.into()
    }

    /// Handles only the next `requests` requests.
    pub fn times(mut self, requests: usize) -> Responder {
        self.remaining = Some(requests);
        self
    }

    /// Skips the first `requests` requests.
    pub fn after(mut self, requests: usize) -> Responder {
        self.skip = requests;
        self
    }

    /// Sets or replaces a header of the response. Faults without a response of their own ignore it.
    pub fn header(mut self, name: &str, value: &str) -> Responder {
        if let Fault::Response(response) = &mut self.fault {
            response
                .headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
            response.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

impl From<Fault> for Responder {
    fn from(fault: Fault) -> Responder {
        Responder {
            fault,
            remaining: None,
            skip: 0,
        }
    }
}
