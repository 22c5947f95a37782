//! Servers that do not speak Phase's API: other servers, proxies, and unresponsive ports.

use std::io::{Read, Write, copy};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::Duration;

/// Starts a server that calls `serve` for each connection, on a thread of its own, and returns its address.
/// It runs until the test program ends.
pub(crate) fn fake_server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn(move || {
        for socket in listener.incoming().flatten() {
            let serve = serve.clone();
            spawn(move || serve(socket));
        }
    });
    address
}

/// Returns a port where nothing listens and that no other test gets. It is below the range from which the
/// kernel assigns ports (ip(7), ip_local_port_range).
pub(crate) fn unused_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id() * 97 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(20_000 + number % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Reads the head of a request up to its empty line and returns it. Closing a connection with unread data
/// resets it.
pub(crate) fn read_request_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count == 1) {
        head.extend(byte);
    }
    head
}

/// The lines of the head of a request.
fn head_lines(socket: &mut TcpStream) -> Vec<String> {
    let head = String::from_utf8(read_request_head(socket)).unwrap();
    head.lines().map(str::to_owned).collect()
}

/// Reads and never answers, until the other side closes the connection.
pub(crate) fn stay_silent(mut socket: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = socket.read(&mut buffer) {}
}

/// A proxy that answers each CONNECT with these bytes and closes. The receiver gets each request head.
pub(crate) fn refusing_proxy(answer: &'static str) -> (SocketAddr, Receiver<Vec<String>>) {
    let (sender, requests) = channel();
    let address = fake_server(move |mut socket| {
        let _ = sender.send(head_lines(&mut socket));
        let _ = socket.write_all(answer.as_bytes());
    });
    (address, requests)
}

/// A proxy that connects each CONNECT to this port of 127.0.0.1, whatever host the request names.
pub(crate) fn connecting_proxy(port: u16) -> (SocketAddr, Receiver<Vec<String>>) {
    let (sender, requests) = channel();
    let address = fake_server(move |mut socket| {
        let _ = sender.send(head_lines(&mut socket));
        let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
        let (mut up, mut down) = (socket.try_clone().unwrap(), server.try_clone().unwrap());
        spawn(move || {
            let _ = copy(&mut up, &mut down);
            let _ = down.shutdown(Shutdown::Write);
        });
        let _ = copy(&mut &server, &mut socket);
        let _ = socket.shutdown(Shutdown::Write);
    });
    (address, requests)
}

/// A port where connections are never accepted, because the queue for them is full. It stays so until both
/// parts are dropped.
pub(crate) fn unresponsive_port(address: IpAddr) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let moment = Duration::from_millis(500);
    let mut queue = Vec::new();
    while let Ok(waiting) = TcpStream::connect_timeout(&address, moment) {
        queue.push(waiting);
    }
    (listener, queue)
}
