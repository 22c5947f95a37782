#![forbid(unsafe_code)]
//! Asks a proxy why it refuses a tunnel, because the HTTP library does not tell the proxy's status.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::proxy::Proxy;

/// The longest that connecting and the response may take. Both have just worked.
const LIMIT: Duration = Duration::from_secs(1);

/// As much of the response as is read, in bytes. The status is at its start.
const MAX_STATUS_LINE: usize = 64;

/// Asks a proxy for a tunnel to a server again (RFC 9110, section 9.3.6), and returns the status of the
/// response. Returns `None` if there is no response, or if the proxy is reached over TLS.
pub(super) fn refusal_status(proxy: &Proxy, addresses: &[SocketAddr], server: &Url) -> Option<u16> {
    if proxy.address.scheme() != "http" {
        return None;
    }
    let start = Instant::now();
    let mut socket = TcpStream::connect_timeout(addresses.first()?, LIMIT).ok()?;
    let host = server.host_str()?;
    let port = server.port_or_known_default()?;
    let mut head =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(authorization) = &proxy.authorization {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    socket.write_all(&head).ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_STATUS_LINE {
        let left = LIMIT.checked_sub(start.elapsed())?;
        socket.set_read_timeout(Some(left)).ok()?;
        match socket.read(&mut byte).ok()? {
            0 => break,
            _ if byte == *b"\n" => break,
            _ => line.extend_from_slice(&byte),
        }
    }
    parse_status(&line).filter(|status| *status != 200)
}

/// Parses the start of a response, such as `HTTP/1.1 403 Forbidden` (RFC 9112, section 4).
fn parse_status(line: &[u8]) -> Option<u16> {
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    words
        .next()
        .filter(|version| version.starts_with("HTTP/"))?;
    let status = words.next()?.parse().ok()?;
    (100..600).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_parsed_from_the_first_line() {
        for (line, status) in [
            ("HTTP/1.1 403 Forbidden\r", Some(403)),
            ("HTTP/1.0 502", Some(502)),
            ("HTTP/1.1 4030", None),
            ("HTTP/1.1", None),
            ("SSH-2.0 403", None),
            ("", None),
        ] {
            assert_eq!(parse_status(line.as_bytes()), status, "{line}");
        }
    }
}
