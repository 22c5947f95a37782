//! A server that is not Phase.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::spawn;

/// Gives each connection to `serve`, on a thread of its own, until the test program ends.
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

/// A port where nobody listens and that stays free until it is asked for: below those that the kernel
/// gives to whoever asks for any (ip(7), ip_local_port_range).
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

/// Reads the head of a request, so that closing the socket afterwards is no reset.
pub(crate) fn read_request_head(socket: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|count| count == 1) {
        head.extend(byte);
    }
}

/// Takes what comes and says nothing, until the other side is gone.
pub(crate) fn stay_silent(mut socket: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = socket.read(&mut buffer) {}
}
