//! A name with several addresses, of which some are dead.

use std::io::copy;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::spawn;
use std::time::{Duration, Instant};

use fake_phase::{Phase, app_id};
use nix::unistd::Uid;

use crate::support::Sandbox;

/// A port of 127.0.0.1 where nothing is answered, not even a connection: its queue is full.
fn dead() -> (TcpListener, Vec<TcpStream>) {
    dead_at("127.0.0.1:0")
}

fn dead_at(address: &str) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind(address).unwrap();
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

/// "A dead address costs at most a third of `--timeout`". getaddrinfo(3) gives
/// 127.0.0.1 first; what answers at the other one has a certificate of another name, which shows
/// that it was reached.
#[test]
fn a_dead_address_leaves_time_for_the_next() {
    let phase = Phase::start();
    let (listener, _queue) = dead();
    let port = listener.local_addr().unwrap().port();
    hand_on(SocketAddr::from(([127, 0, 0, 7], port)), phase.port());
    let sandbox = Sandbox::new(&phase);
    sandbox.file("hosts", "127.0.0.1 several.test\n127.0.0.7 several.test\n");
    let user: &[&str] = match Uid::effective().is_root() {
        true => &[],
        false => &["--user", "--map-root-user"],
    };
    let run = sandbox.run(["--app", app_id("shop"), "--env", "Production"]);
    let run = run.args(["--timeout", "6", "echo", "started"]);
    let run = run.env("PHASE_HOST", format!("https://several.test:{port}"));
    let mounted = "mount --bind hosts /etc/hosts && exec \"$@\"";
    let run = run.wrap(["unshare", "--mount"]).wrap(user);
    let start = Instant::now();
    let output = run.wrap(["sh", "-c", mounted, "sh"]).output();
    let took = start.elapsed();
    let output = output.failed(125, "tls");
    assert!(output.stderr.contains("is for another name"), "{output}");
    let (least, most) = (Duration::from_millis(1500), Duration::from_secs(4));
    assert!(took > least && took < most, "{took:?}");
}

/// "one of the other family 0.3 s" (RFC 8305, «happy eyeballs»): `::1` is dead, 127.0.0.7 is not.
#[test]
fn a_dead_address_of_the_other_family_costs_less() {
    let phase = Phase::start();
    let (listener, _queue) = dead_at("[::1]:0");
    let port = listener.local_addr().unwrap().port();
    hand_on(SocketAddr::from(([127, 0, 0, 7], port)), phase.port());
    let sandbox = Sandbox::new(&phase);
    sandbox.file("hosts", "::1 several.test\n127.0.0.7 several.test\n");
    let user: &[&str] = match Uid::effective().is_root() {
        true => &[],
        false => &["--user", "--map-root-user"],
    };
    let run = sandbox.run(["--app", app_id("shop"), "--env", "Production"]);
    let run = run.args(["--timeout", "9", "echo", "started"]);
    let run = run.env("PHASE_HOST", format!("https://several.test:{port}"));
    let mounted = "mount --bind hosts /etc/hosts && exec \"$@\"";
    let run = run.wrap(["unshare", "--mount"]).wrap(user);
    let start = Instant::now();
    let output = run.wrap(["sh", "-c", mounted, "sh"]).output();
    let took = start.elapsed();
    let output = output.failed(125, "tls");
    assert!(output.stderr.contains("is for another name"), "{output}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
