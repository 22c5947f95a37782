//! A name with several addresses, of which some are dead.

use std::io::copy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::spawn;
use std::time::{Duration, Instant};

use fake_phase::{Phase, app_id};

use crate::support::Sandbox;

/// A port where nothing is answered, not even a connection: its queue is full.
pub(crate) fn dead(address: IpAddr) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let moment = Duration::from_millis(200);
    let mut queue = Vec::new();
    while let Ok(waiting) = TcpStream::connect_timeout(&address, moment) {
        queue.push(waiting);
    }
    (listener, queue)
}

/// Hands each connection to `address` on to `port` of 127.0.0.1.
fn hand_on(address: SocketAddr, port: u16) {
    let listener = TcpListener::bind(address).unwrap();
    spawn(move || {
        for socket in listener.incoming().flatten() {
            let other = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from, mut to) = (socket.try_clone().unwrap(), other.try_clone().unwrap());
            spawn(move || copy(&mut from, &mut to));
            let (mut from, mut to) = (other, socket);
            spawn(move || copy(&mut from, &mut to));
        }
    });
}

/// `address` is dead, and comes first in getaddrinfo(3); what answers at 127.0.0.7 has a certificate
/// of another name, which shows that it was reached. Gives how long that took.
fn reached_after(address: IpAddr, timeout: &str) -> Duration {
    let phase = Phase::start();
    let (listener, _queue) = dead(address);
    let port = listener.local_addr().unwrap().port();
    hand_on(SocketAddr::from(([127, 0, 0, 7], port)), phase.port());
    let sandbox = Sandbox::new(&phase);
    let hosts = format!("{address} several.test\n127.0.0.7 several.test\n");
    sandbox.file("hosts", hosts);
    let run = sandbox.run(["--app", app_id("shop"), "--env", "Production"]);
    let run = run.args(["--timeout", timeout, "echo", "started"]);
    let run = run.env("PHASE_HOST", format!("https://several.test:{port}"));
    let mounted = "mount --bind hosts /etc/hosts && exec \"$@\"";
    let run = run.prepared(&["--mount"], mounted);
    let start = Instant::now();
    let output = run.output();
    let took = start.elapsed();
    let output = output.failed(125, "tls");
    assert!(
        output.stderr.contains("is for another host name"),
        "{output}"
    );
    took
}

/// "A dead address costs at most a third of `--timeout`".
#[test]
fn dead_address_costs_a_third_of_timeout() {
    // It was reached within the six seconds, so that the dead address did not have them all.
    let took = reached_after(Ipv4Addr::LOCALHOST.into(), "6");
    assert!(took > Duration::from_millis(1500), "{took:?}");
}

/// "one of the other family 0.3 s" (RFC 8305, «happy eyeballs»).
#[test]
fn dead_address_of_other_family_costs_less() {
    // A third of this timeout would be 100 seconds.
    let took = reached_after(Ipv6Addr::LOCALHOST.into(), "300");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
