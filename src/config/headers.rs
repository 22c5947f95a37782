#![forbid(unsafe_code)]
//! `--header-file`: additional request headers for a gateway in front of Phase. Like a token, the file is
//! read by the process that fetches.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::credential_file::{MAX_SIZE, open_regular, warn_if_exposed, warn_if_replaced};
use crate::encoding::decode_file;
use crate::error::{Error, Setting, os_error_text};
use crate::log::Log;
use crate::process::bounded_read::{open_without_waiting, read_whole_within};

/// The headers that a header file must not set: those that phase-run sets, those that belong to one
/// connection (RFC 9110 §7.6.1), and those by which Phase selects secrets.
const RESERVED: [&str; 19] = [
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

/// The file with the headers, and the option or variable that names it.
pub(crate) struct HeaderFile {
    pub(super) file: Setting<PathBuf>,
    /// The longest that reading may take: the file may be a pipe.
    pub(super) read_limit: Duration,
}

impl HeaderFile {
    /// Reads the lines `Name: value`; empty lines and those that start with `#` are skipped. With
    /// `must_be_regular`, any other file is an error, because each poll of a watch reads the file again.
    ///
    /// # Errors
    /// `config`, with the number of a line and never its content.
    pub(crate) fn read(&self, must_be_regular: bool, log: &dyn Log) -> Result<HeaderMap, Error> {
        let unusable = |why: String| Error::HeaderFileUnusable {
            file: self.file.clone(),
            why,
        };
        let unreadable = |error: std::io::Error| unusable(os_error_text(&error));
        let path = &self.file.value;
        let file = match must_be_regular {
            true => open_regular(path),
            false => open_without_waiting(path).map(Some),
        };
        let file = file.map_err(unreadable)?.ok_or_else(|| {
            let why = "--watch reads it again at each poll and requires a regular file";
            unusable(why.to_owned())
        })?;
        warn_if_exposed(path, &file, log);
        if must_be_regular {
            warn_if_replaced(path, &file, log);
        }
        let bytes = read_whole_within(&file, MAX_SIZE, self.read_limit);
        let bytes = bytes.and_then(decode_file).map_err(unreadable)?;
        let mut headers = HeaderMap::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (name, value) = parse_header(line)
                .map_err(|why| unusable(format!("line {}: {why}", number + 1)))?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}

/// Parses a header line (RFC 9112 §5). The value is marked as sensitive, so that no library logs it.
fn parse_header(line: &[u8]) -> Result<(HeaderName, HeaderValue), &'static str> {
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
        return Err("expected Name: value");
    };
    let name = HeaderName::from_bytes(name).map_err(|_| "the header name is not valid")?;
    if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err("a header file must not set this header");
    }
    let mut value = HeaderValue::from_bytes(value.trim_ascii())
        .map_err(|_| "the value has control characters")?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_parsed_or_rejected() {
        for (line, name, value) in [
            ("X-Gateway: word", "x-gateway", "word"),
            ("CF-Access-Client-Id:a:b", "cf-access-client-id", "a:b"),
            ("x:", "x", ""),
        ] {
            let (parsed_name, parsed_value) = parse_header(line.as_bytes()).unwrap();
            assert_eq!(
                (parsed_name.as_str(), parsed_value.to_str().unwrap()),
                (name, value)
            );
            assert!(parsed_value.is_sensitive());
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
            assert!(parse_header(line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
