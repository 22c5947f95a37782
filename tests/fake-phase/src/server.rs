//! The listener and its connections, each in a thread with blocking I/O.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::http::{self, Stream};
use crate::request::Request;
use crate::responder::Fault;
use crate::response::Response;
use crate::shared::Shared;

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Accepts connections until the server ends.
pub(crate) fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    for socket in listener.incoming() {
        let Ok(socket) = socket else { continue };
        let Some(id) = shared.connected(&socket) else {
            return;
        };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        thread::spawn(move || {
            // An error ends the connection, and the test sees that on the client's side.
            let _ = connection(id, socket, tls, &shared);
            shared.disconnected(id);
        });
    }
}

fn connection(
    id: usize,
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    shared: &Shared,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(config) => {
            let mut first = [0];
            socket.peek(&mut first)?;
            if first != [HANDSHAKE] {
                return refuse_plain(socket);
            }
            let tls = ServerConnection::new(config).map_err(io::Error::other)?;
            Stream::Tls(Box::new(StreamOwned::new(tls, socket)))
        }
    };
    let tls = stream.tls();
    let mut reader = BufReader::new(stream);
    loop {
        let Some(request) = http::read(&mut reader, tls)? else {
            return Ok(());
        };
        let last = request
            .header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let stream = reader.get_mut();
        match shared.handle(&request) {
            Fault::Response(response) => http::write(stream, &response, &request.method, last)?,
            Fault::Reset => return reset(id, stream, shared),
            fault => return fail(&fault, stream, &request, shared),
        }
        if last {
            return stream.close();
        }
    }
}

/// Sends nginx's response to plain HTTP on a TLS port.
fn refuse_plain(socket: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(Stream::Plain(socket));
    http::read(&mut reader, false)?;
    http::write(reader.get_mut(), &Response::bare_html(400), "GET", true)
}

/// Carries out a fault that ends the connection.
fn fail(fault: &Fault, stream: &mut Stream, request: &Request, shared: &Shared) -> io::Result<()> {
    match fault {
        Fault::Response(_) | Fault::Reset | Fault::Close => stream.close(),
        Fault::Stall => {
            shared.wait_for_end();
            Ok(())
        }
        Fault::Truncate(at) => {
            http::write_up_to(stream, &shared.world_response(request), *at, false)
        }
        Fault::StallAfter(at) => {
            http::write_up_to(stream, &shared.world_response(request), *at, false)?;
            shared.wait_for_end();
            Ok(())
        }
        Fault::SlowDrip(every) => drip(stream, &shared.world_response(request), *every, shared),
        Fault::Endless(bytes) => endless(stream, *bytes),
    }
}

fn drip(
    stream: &mut Stream,
    response: &Response,
    every: Duration,
    shared: &Shared,
) -> io::Result<()> {
    http::write_up_to(stream, response, 0, false)?;
    for byte in response.body.chunks(1) {
        if shared.wait(every, |state| state.closed) {
            return Ok(());
        }
        stream.write_all(byte)?;
        stream.flush()?;
    }
    stream.close()
}

fn endless(stream: &mut Stream, bytes: u64) -> io::Result<()> {
    const START: &[u8] = br#"[{"id":"e","key":"ENDLESS","path":"/","tags":[],"type":"secret","override":null,"value":""#;
    const END: &[u8] = br#""}]"#;
    const FILLER: &[u8] = &[b'a'; 64 << 10];
    let mut response = Response::raw(200, "application/json", Vec::new());
    response
        .headers
        .retain(|(name, _)| name != "Content-Length");
    response
        .headers
        .push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    stream.write_all(&http::head(&response, true))?;

    let around = u64::try_from(START.len() + END.len()).map_err(io::Error::other)?;
    let mut left = bytes.saturating_sub(around);
    write_chunk(stream, START)?;
    while left > 0 {
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(FILLER.len());
        write_chunk(stream, FILLER.get(..length).unwrap_or(FILLER))?;
        left -= u64::try_from(length).map_err(io::Error::other)?;
    }
    write_chunk(stream, END)?;
    write_chunk(stream, b"")?;
    stream.close()
}

/// Writes a chunk (RFC 9112 §7.1). An empty one ends the body.
fn write_chunk(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")
}

/// Resets the connection: with a linger time of 0, close(2) sends RST (tcp(7)). The copy of the socket
/// in the shared state has to be closed first.
fn reset(id: usize, stream: &Stream, shared: &Shared) -> io::Result<()> {
    SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO))?;
    shared.disconnected(id);
    Ok(())
}
