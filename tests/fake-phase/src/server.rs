//! The listener and its connections: a thread each, blocking.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::answer::Answer;
use crate::fault::Fault;
use crate::request::Request;
use crate::shared::Shared;
use crate::wire::{self, Stream};

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Accepts until the server ends; the listener is closed then.
pub(crate) fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    for socket in listener.incoming() {
        let Ok(socket) = socket else { continue };
        let Some(id) = shared.connected(&socket) else {
            return;
        };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        thread::spawn(move || {
            // Whatever ended a connection, the client sees it and the test asks the client.
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
        let Some(request) = wire::read(&mut reader, tls)? else {
            return Ok(());
        };
        let last = request
            .header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let stream = reader.get_mut();
        match shared.handle(&request) {
            Fault::Answer(answer) => wire::write(stream, &answer, &request.method, last)?,
            Fault::Reset => return reset(id, stream, shared),
            fault => return spoil(&fault, stream, &request, shared),
        }
        if last {
            return stream.close();
        }
    }
}

/// nginx's answer to http on its https port.
fn refuse_plain(socket: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(Stream::Plain(socket));
    wire::read(&mut reader, false)?;
    wire::write(reader.get_mut(), &Answer::bare_html(400), "GET", true)
}

/// Every one of these ends the connection.
fn spoil(fault: &Fault, stream: &mut Stream, request: &Request, shared: &Shared) -> io::Result<()> {
    match fault {
        Fault::Answer(_) | Fault::Reset | Fault::Close => stream.close(),
        Fault::Stall => {
            shared.wait_for_end();
            Ok(())
        }
        Fault::Truncate(at) => wire::write_up_to(stream, &shared.answer(request), *at, false),
        Fault::StallAfter(at) => {
            wire::write_up_to(stream, &shared.answer(request), *at, false)?;
            shared.wait_for_end();
            Ok(())
        }
        Fault::SlowDrip(every) => drip(stream, &shared.answer(request), *every, shared),
        Fault::Endless(bytes) => endless(stream, *bytes),
    }
}

fn drip(stream: &mut Stream, answer: &Answer, every: Duration, shared: &Shared) -> io::Result<()> {
    wire::write_up_to(stream, answer, 0, false)?;
    for byte in answer.body.chunks(1) {
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
    const FILLING: &[u8] = &[b'a'; 64 << 10];
    let mut answer = Answer::raw(200, "application/json", Vec::new());
    answer.headers.retain(|(name, _)| name != "Content-Length");
    answer
        .headers
        .push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    stream.write_all(&wire::head(&answer, true))?;

    let around = u64::try_from(START.len() + END.len()).map_err(io::Error::other)?;
    let mut left = bytes.saturating_sub(around);
    write_chunk(stream, START)?;
    while left > 0 {
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(FILLING.len());
        write_chunk(stream, FILLING.get(..length).unwrap_or(FILLING))?;
        left -= u64::try_from(length).map_err(io::Error::other)?;
    }
    write_chunk(stream, END)?;
    write_chunk(stream, b"")?;
    stream.close()
}

/// RFC 9112 §7.1; an empty chunk is the last.
fn write_chunk(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")
}

/// With a linger time of 0, close(2) sends a reset (tcp(7)); the kept copy of the socket goes first.
fn reset(id: usize, stream: &Stream, shared: &Shared) -> io::Result<()> {
    SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO))?;
    shared.disconnected(id);
    Ok(())
}
