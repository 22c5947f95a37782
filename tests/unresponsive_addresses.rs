//! A name with several addresses, one of which does not answer.

#![cfg(target_os = "linux")]

use std::io::copy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::spawn;
use std::time::{Duration, Instant};

use fake_phase::{Phase, app_id};

use crate::support::{Sandbox, unresponsive_port};

/// Forwards each connection to `address` to `port` of 127.0.0.1.
fn forward(address: SocketAddr, port: u16) {
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

/// Returns how long it takes to reach the second address of a host whose first one is dead. The server
/// at the second has a certificate for another host, and the error about it shows that it was reached.
fn time_to_second_address(address: IpAddr, timeout: &str) -> Duration {
    let phase = Phase::start();
    let (listener, _queue) = unresponsive_port(address);
    let port = listener.local_addr().unwrap().port();
    forward(SocketAddr::from(([127, 0, 0, 7], port)), phase.port());
    let sandbox = Sandbox::new(&phase);
    let hosts = format!("{address} several.test\n127.0.0.7 several.test\n");
    sandbox.file("hosts", hosts);
    let run = sandbox.run(["--app", app_id("shop"), "--env", "Production"]);
    let run = run.args(["--timeout", timeout, "echo", "started"]);
    let run = run.env("PHASE_HOST", format!("https://several.test:{port}"));
    let mounted = "mount --bind hosts /etc/hosts && exec \"$@\"";
    let run = run.in_namespaces(&["--mount"], mounted);
    let start = Instant::now();
    let output = run.output();
    let took = start.elapsed();
    let output = output.assert_error(125, "tls");
    assert!(
        output.stderr.contains("is for another host name"),
        "{output}"
    );
    took
}

/// A dead address costs a third of `--timeout` at most.
#[test]
fn dead_address_costs_a_third_of_timeout() {
    // The second address was reached within the timeout, so the dead one did not use all of it.
    let took = time_to_second_address(Ipv4Addr::LOCALHOST.into(), "6");
    assert!(took > Duration::from_millis(1500), "{took:?}");
}

/// A dead address of the other family costs 0.3 s (RFC 8305, "Happy Eyeballs").
#[test]
fn dead_address_of_other_family_costs_less() {
    // A third of this timeout would be 100 seconds.
    let took = time_to_second_address(Ipv6Addr::LOCALHOST.into(), "300");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
