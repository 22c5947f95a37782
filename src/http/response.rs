#![forbid(unsafe_code)]
//! Receives a response, within a limit on its size.

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_ENCODING, DATE, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Version, blocking};

use super::failure::{Failure, TryLimit};

/// The largest body that is accepted, in bytes. Expected responses are far smaller.
const MAX_BODY: usize = 64 << 20;

/// The largest body of one response that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyLimit {
    pub(crate) bytes: usize,
    /// What the message about a larger body says behind the number, if anything.
    pub(crate) explanation: &'static str,
}

impl BodyLimit {
    pub(crate) const DEFAULT: Self = Self {
        bytes: MAX_BODY,
        explanation: "",
    };

    /// For credentials and tokens, which are short.
    pub(crate) const SHORT: Self = Self {
        bytes: 1 << 20,
        explanation: "",
    };
}

/// The size of the head of a frame of HTTP/2 in bytes (RFC 9113, section 4.1).
const HTTP_2_FRAME_HEAD: usize = 9;

/// The most that is reserved for a body before any of it has arrived, in bytes, because a server may
/// announce any length. The body of 10,000 secrets fits, and so is never moved: each move would leave a
/// copy to wipe.
const MAX_INITIAL_CAPACITY: usize = 6 << 20;

/// The least by which the buffer of a body grows, in bytes.
const MIN_GROWTH: usize = 64 << 10;

/// A complete response.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The text of the `Retry-After` header.
    pub(crate) retry_after: Option<String>,
    /// The delay that `Retry-After` asks for.
    pub(super) min_delay: Option<Duration>,
    pub(crate) location: Option<String>,
    /// How the body is compressed, which only a response with an error status may be.
    pub(crate) compression: Option<&'static str>,
    /// The global allocator wipes it when it is freed. A wiping type would do so a second time,
    /// byte by byte, for megabytes.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Reads the rest of a response whose head has arrived.
    ///
    /// # Errors
    /// A failure if the body is incomplete, too large, or compressed although its content is needed.
    pub(super) fn receive(
        mut response: blocking::Response,
        limit: &TryLimit,
        body_limit: BodyLimit,
    ) -> Result<Self, Failure> {
        // The HTTP library takes what it cannot parse for the body of a response of this version.
        if response.version() == Version::HTTP_09 {
            let mut start = [0; HTTP_2_FRAME_HEAD];
            let length = response.read(&mut start).unwrap_or(0);
            return Err(Failure::not_http_1(start.get(..length).unwrap_or_default()));
        }
        let header = |name: HeaderName| {
            let value = response.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let [retry_after, date, location] = [RETRY_AFTER, DATE, LOCATION].map(header);
        let min_delay = retry_after
            .as_deref()
            .and_then(|text| parse_retry_after(text, date.as_deref()));
        let compression = header(CONTENT_ENCODING).and_then(|text| compression_name(&text));
        if let Some(name) = compression.filter(|_| response.status().is_success()) {
            return Err(Failure::unexpected(format!(
                "the response is compressed ({name}), although phase-run asked for an uncompressed one"
            )));
        }
        Ok(Self {
            status: response.status().as_u16(),
            compression,
            retry_after,
            min_delay,
            location,
            body: read_body(&mut response, limit, body_limit)?,
        })
    }
}

fn read_body(
    response: &mut blocking::Response,
    limit: &TryLimit,
    body_limit: BodyLimit,
) -> Result<Vec<u8>, Failure> {
    let BodyLimit { bytes, explanation } = body_limit;
    let too_large = || {
        let why = format!("the response is larger than {bytes} bytes{explanation}");
        Failure::unexpected(why)
    };
    // Failing to allocate would abort the process without a message.
    let out_of_memory = |_| Failure::unexpected("not enough memory for the response".to_owned());
    let broken = |error: io::Error| Failure::from_body_error(&error, limit);
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > bytes {
        return Err(too_large());
    }
    let mut body: Vec<u8> = Vec::new();
    body.try_reserve_exact(announced.min(MAX_INITIAL_CAPACITY))
        .map_err(out_of_memory)?;
    loop {
        // With no more to read than there is room for, `read_to_end` does not grow the vector.
        let room = body.capacity().min(bytes) - body.len();
        let read = response.by_ref().take(room as u64).read_to_end(&mut body);
        if read.map_err(broken)? < room {
            return Ok(body);
        }
        let mut next = [0];
        if response.read(&mut next).map_err(broken)? == 0 {
            return Ok(body);
        }
        if body.len() == bytes {
            return Err(too_large());
        }
        // Grow by a quarter instead of doubling: unused capacity is wiped too, which takes time.
        let additional = MIN_GROWTH.max(body.len() / 4);
        body.try_reserve_exact(additional).map_err(out_of_memory)?;
        body.extend_from_slice(&next);
    }
}

/// The name of the coding in `Content-Encoding` (RFC 9110, section 8.4), or `None` if the body is as it is.
/// Only names from the registry are repeated in messages.
fn compression_name(text: &str) -> Option<&'static str> {
    let mut codings = text.split(',').map(str::trim);
    let coding =
        codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))?;
    let known = ["br", "compress", "deflate", "gzip", "x-gzip", "zstd"];
    let known = known
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(coding));
    Some(known.unwrap_or("an unknown coding"))
}

/// Parses `Retry-After`, which holds seconds or an HTTP date (RFC 9110, section 10.2.3). A date is
/// compared with the `Date` of the same response (section 6.6.1), because our clock may be wrong.
fn parse_retry_after(text: &str, date: Option<&str>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    let now = now.unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}
