#![forbid(unsafe_code)]
//! `--header-file`: what a gateway before Phase wants to see. Read like the token, by the process
//! that fetches: configuration knows only where it is.

use std::fs::File;
use std::path::PathBuf;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::credential_file::{MAX_SIZE, regular, warn_if_exposed, whole};
use crate::error::Source;
use crate::error::{Error, os_error_text};
use crate::log::Log;

/// What phase-run says itself, and what belongs to one connection (RFC 9110 §7.6.1).
const OURS: [&str; 19] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "dynamic",
    "environment",
    "expect",
    "host",
    "keep-alive",
    "lease",
    "lease_ttl",
    "path",
    "tags",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Where the headers are; never what they are.
pub(crate) struct HeaderFile {
    pub(super) path: PathBuf,
    pub(super) source: &'static str,
}

impl HeaderFile {
    /// `Name: value` lines, without empty ones and those that start with `#`. A watch reads it again
    /// at each poll, which a pipe cannot be.
    ///
    /// # Errors
    /// `config`, with the number of a line and never what is in it.
    pub(crate) fn read(&self, again: bool, log: &dyn Log) -> Result<HeaderMap, Error> {
        let unusable = |why: String| Error::HeaderFile {
            path: self.path.clone(),
            source: Source::Named(self.source),
            why,
        };
        let unreadable = |error: std::io::Error| unusable(os_error_text(&error));
        let file = if again {
            regular(&self.path)
        } else {
            File::open(&self.path).map(Some)
        };
        let file = file.map_err(unreadable)?.ok_or_else(|| {
            let why = "with --watch it is read again, so it has to be a regular file";
            unusable(why.to_owned())
        })?;
        warn_if_exposed(&self.path, &file, log);
        let bytes = whole(file, MAX_SIZE).map_err(unreadable)?;
        let bytes = bytes.expose();
        if bytes.len() as u64 > MAX_SIZE {
            return Err(unusable(format!("it is longer than {MAX_SIZE} bytes")));
        }
        let mut headers = HeaderMap::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (name, value) =
                header(line).map_err(|flaw| unusable(format!("line {}: {flaw}", number + 1)))?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}

/// One line (RFC 9112 §5), marked as sensitive.
fn header(line: &[u8]) -> Result<(HeaderName, HeaderValue), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = colon
        .and_then(|colon| line.split_at_checked(colon))
        .ok_or("it is not Name: value")?;
    let name = HeaderName::from_bytes(name).map_err(|_| "its name is none of a header")?;
    if OURS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err("phase-run sets that header itself");
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let mut value =
        HeaderValue::from_bytes(value).map_err(|_| "its value holds control characters")?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_header_or_says_what_is_wrong() {
        for (line, name, value) in [
            ("X-Gateway: word", "x-gateway", "word"),
            ("CF-Access-Client-Id:a:b", "cf-access-client-id", "a:b"),
            ("x:", "x", ""),
        ] {
            let (found, held) = header(line.as_bytes()).unwrap();
            assert_eq!((found.as_str(), held.to_str().unwrap()), (name, value));
            assert!(held.is_sensitive());
        }
        for line in [
            "word",
            ":word",
            "X Y: z",
            "X : y",
            "X\u{e9}: y",
            "Authorization: x",
            "HOST: x",
            "proxy-authorization: x",
            "Environment: x",
            "X: a\u{1}b",
            "X: a\rb",
        ] {
            assert!(header(line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
