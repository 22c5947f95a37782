#![forbid(unsafe_code)]
//! Asks a proxy why it refuses a tunnel, because the HTTP library does not tell the proxy's status.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::proxy::Proxy;

/// The longest that connecting and the response may take together. Both have just worked.
const MAX_TIME: Duration = Duration::from_secs(1);

/// As much of the response as is read, in bytes. The status is at its start.
const MAX_STATUS_LINE: usize = 64;

/// Asks a proxy for a tunnel to a server again (RFC 9110, section 9.3.6), and returns the status of the
/// response. Returns `None` if there is no response within `time_left`, or if the proxy is reached over
/// TLS.
pub(super) fn refusal_status(
    proxy: &Proxy,
    addresses: &[SocketAddr],
    server: &Url,
    time_left: Duration,
) -> Option<u16> {
    let limit = MAX_TIME.min(time_left);
    if limit.is_zero() || proxy.address.scheme() != "http" {
        return None;
    }
    let start = Instant::now();
    let mut socket = TcpStream::connect_timeout(addresses.first()?, limit).ok()?;
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
        let left = limit.checked_sub(start.elapsed())?;
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
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use super::super::proxy::NoProxy;
    use super::*;

    #[test]
    fn proxy_is_not_asked_without_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let no_proxy = NoProxy::parse("").unwrap();
        let proxy = Proxy::parse(&address.to_string(), "https_proxy", no_proxy).unwrap();
        let server = Url::parse("https://phase.example.com").unwrap();
        listener.set_nonblocking(true).unwrap();
        let status = refusal_status(&proxy, &[address], &server, Duration::ZERO);
        assert_eq!(status, None);
        let outcome = listener.accept();
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::WouldBlock);
        // With time, it connects; the listener does not respond.
        let status = refusal_status(&proxy, &[address], &server, Duration::from_millis(50));
        assert_eq!(status, None);
        assert!(listener.accept().is_ok());
    }

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
