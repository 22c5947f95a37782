//! A DNS server (RFC 1035) that answers when the test says so.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::spawn;

use super::run::Run;
use super::sandbox::Sandbox;

/// The type of a query for IPv4 addresses (RFC 1035, section 3.2.2).
const TYPE_A: u16 = 1;

/// A name server for every name. It runs until the test program ends. Only root can start one.
pub(crate) struct NameServer {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_open: Mutex<bool>,
    opened: Condvar,
    /// The queries for IPv4 addresses.
    queries: AtomicUsize,
}

impl NameServer {
    /// Starts a server that holds back its answers until [`Self::answer`].
    pub(crate) fn silent() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let process = std::process::id();
        let address = format!(
            "127.{}.{}.{}",
            100 + process % 100,
            process / 100 % 250,
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let socket = Arc::new(UdpSocket::bind((address.as_str(), 53)).unwrap());
        let shared = Arc::new(Shared::default());
        let answers = answer_when_open(Arc::clone(&socket), Arc::clone(&shared));
        let counted = Arc::clone(&shared);
        spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                let query = query[..length].to_vec();
                if query_type(&query) == TYPE_A {
                    counted.queries.fetch_add(1, Ordering::Relaxed);
                }
                answers.send((response(&query), client)).unwrap();
            }
        });
        Self { address, shared }
    }

    /// Starts a server that answers each name with 127.0.0.1.
    pub(crate) fn start() -> Self {
        let server = Self::silent();
        server.answer();
        server
    }

    /// Answers each query from now on, and those that were held back, with 127.0.0.1.
    pub(crate) fn answer(&self) {
        *self.shared.is_open.lock().unwrap() = true;
        self.shared.opened.notify_all();
    }

    /// The number of queries for the IPv4 address of a name. A look-up makes one.
    pub(crate) fn queries(&self) -> usize {
        self.shared.queries.load(Ordering::Relaxed)
    }

    /// Makes a run resolve names with this server, for 30 seconds and once a look-up.
    pub(crate) fn resolves_for<'a>(&self, sandbox: &Sandbox, run: Run<'a>) -> Run<'a> {
        self.set_for(sandbox);
        sandbox.file("nsswitch.conf", "hosts: files dns\n");
        let script = "mount --bind resolv.conf /etc/resolv.conf && \
            mount --bind nsswitch.conf /etc/nsswitch.conf && exec \"$@\"";
        run.in_namespaces(&["--mount"], script)
    }

    /// Makes this the name server of the look-ups that a run starts from now on.
    pub(crate) fn set_for(&self, sandbox: &Sandbox) {
        let lines = format!(
            "nameserver {}\noptions timeout:30 attempts:1\n",
            self.address
        );
        sandbox.file("resolv.conf", lines);
    }
}

type Answer = (Vec<u8>, std::net::SocketAddr);

fn answer_when_open(socket: Arc<UdpSocket>, shared: Arc<Shared>) -> Sender<Answer> {
    let (sender, answers) = channel::<Answer>();
    spawn(move || {
        for (answer, client) in answers {
            let is_open = shared.is_open.lock().unwrap();
            drop(shared.opened.wait_while(is_open, |open| !*open).unwrap());
            // A client that has given up is no fault.
            let _ = socket.send_to(&answer, client);
        }
    });
    sender
}

/// The end of the question: the name, its type and its class. Queries of glibc have no more but an EDNS
/// record, which the response leaves out.
fn question_end(query: &[u8]) -> usize {
    let mut position = 12;
    while query[position] != 0 {
        position += 1 + usize::from(query[position]);
    }
    position + 5
}

fn query_type(query: &[u8]) -> u16 {
    let end = question_end(query);
    u16::from_be_bytes([query[end - 4], query[end - 3]])
}

/// 127.0.0.1 for a query of an IPv4 address, and no address for any other.
fn response(query: &[u8]) -> Vec<u8> {
    let is_ipv4 = query_type(query) == TYPE_A;
    let mut response = query[..2].to_vec();
    response.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
    response.extend(&query[12..question_end(query)]);
    if is_ipv4 {
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    response
}
