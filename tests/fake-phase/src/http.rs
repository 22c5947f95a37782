//! Reads requests and writes responses: HTTP/1.1 (RFC 9112) over TCP or TLS.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rustls::{ServerConnection, StreamOwned};

use crate::request::Request;
use crate::response::{Response, reason};

/// A connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref(),
        }
    }

    pub(crate) fn tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Sends close_notify, so that the client does not report a truncation (RFC 8446 §6.1).
    pub(crate) fn close(&mut self) -> io::Result<()> {
        if let Stream::Tls(stream) = self {
            stream.conn.send_close_notify();
        }
        self.flush()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Reads one request. Returns `None` at the end of the connection or for anything else.
pub(crate) fn read(reader: &mut impl BufRead, tls: bool) -> io::Result<Option<Request>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next())
    else {
        return Ok(None);
    };
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        tls,
        received: Instant::now(),
    };
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        request
            .headers
            .push((name.to_owned(), value.trim().to_owned()));
    }
    let length = request
        .header("Content-Length")
        .and_then(|length| length.parse().ok());
    request.body.resize(length.unwrap_or(0), 0);
    reader.read_exact(&mut request.body)?;
    request.received = Instant::now();
    Ok(Some(request))
}

/// Returns the status line and the headers.
pub(crate) fn head(response: &Response, last: bool) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        response.status,
        reason(response.status)
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if last {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Writes a complete response, without its body if the request was `HEAD`.
pub(crate) fn write(
    stream: &mut Stream,
    response: &Response,
    method: &str,
    last: bool,
) -> io::Result<()> {
    let body = if method == "HEAD" {
        0
    } else {
        response.body.len()
    };
    write_up_to(stream, response, body, last)
}

/// Writes the head and `at` bytes of the body in one write.
pub(crate) fn write_up_to(
    stream: &mut Stream,
    response: &Response,
    at: usize,
    last: bool,
) -> io::Result<()> {
    let mut bytes = head(response, last);
    bytes.extend_from_slice(response.body.get(..at).unwrap_or(&response.body));
    stream.write_all(&bytes)?;
    stream.flush()
}
