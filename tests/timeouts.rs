//! `--timeout` bounds one request from connecting to the last byte of the body, and `--max-wait` the
//! name look-up before it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fake_phase::{Options, Phase, Responder, World};

use crate::support::{
    DEADLINE, Output, Run, Sandbox, Status, fake_server, read_request_head, require_linux,
    require_programs, shop_id, shop_world, stay_silent,
};

/// More than the slowest machine adds. A timeout that restarts at each byte takes longer or never ends.
const SLACK: Duration = Duration::from_secs(60);

/// The shop with a value that is long enough to be truncated.
pub(crate) fn long_value_world() -> World {
    shop_world([("KEY", "a value of some length".repeat(40))])
}

/// A request with a time limit of one second.
fn limited_to_one_second(sandbox: &Sandbox) -> Run<'_> {
    sandbox.run_echo(&["--timeout", "1"])
}

/// Runs it and checks that it times out after its one second.
fn times_out(run: Run<'_>) -> Output {
    let start = Instant::now();
    let output = run.output();
    let took = start.elapsed();
    let second = Duration::from_secs(1);
    assert!(
        took >= second && took < second + SLACK,
        "{took:?}\n{output}"
    );
    assert!(output.stdout.is_empty(), "something ran\n{output}");
    let output = output.assert_error(125, "unreachable");
    assert!(
        output.stderr.contains("no complete response within 1 s"),
        "{output}"
    );
    output
}

#[test]
fn silent_server_times_out() {
    for tls in [true, false] {
        for responder in [
            Responder::stall(),
            Responder::stall_after(0),
            Responder::stall_after(100),
        ] {
            let phase = Phase::with(
                long_value_world(),
                Options {
                    tls,
                    ..Options::default()
                },
            );
            phase.respond("/v1/secrets/", responder);
            let _ = times_out(limited_to_one_second(&Sandbox::new(&phase)));
        }
    }
}

/// A timeout that restarts at each read would never end here. It holds in the process that fetches, whoever
/// its parent is.
#[test]
fn dripping_body_times_out() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    for mode in [&[][..], &["--supervise"], &["--watch", "3600"]] {
        let phase = Phase::serve(long_value_world());
        phase.respond(
            "/v1/secrets/",
            Responder::slow_drip(Duration::from_millis(500)),
        );
        let sandbox = Sandbox::new(&phase);
        let options = [&["--timeout", "1"], mode].concat();
        let _ = times_out(sandbox.run_echo(&options));
    }
}

/// A limit below a hundredth of a second is not shown as zero.
#[test]
fn tiny_timeout_is_not_shown_as_zero() {
    let phase = Phase::serve(long_value_world());
    phase.respond("/v1/secrets/", Responder::stall());
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run_echo(&["--timeout", "0.001"]);
    let output = run.output().assert_refused("unreachable");
    assert!(
        output
            .stderr
            .contains("no complete response within 0.001 s"),
        "{output}"
    );
}

/// Sends a head that never ends, ten lines a second, until the client has gone.
fn drip_a_head(mut socket: TcpStream) {
    read_request_head(&mut socket);
    let (_open, never) = channel::<()>();
    let mut lines =
        std::iter::once("HTTP/1.1 200 OK\r\n").chain(std::iter::repeat("X-More: yes\r\n"));
    while let Some(line) = lines
        .next()
        .filter(|line| socket.write_all(line.as_bytes()).is_ok())
    {
        assert!(!line.is_empty());
        let _ = never.recv_timeout(Duration::from_millis(500));
    }
}

#[test]
fn dripping_head_times_out() {
    let phase = Phase::serve(long_value_world());
    let host = format!("http://{}", fake_server(drip_a_head));
    let _ = times_out(limited_to_one_second(&Sandbox::new(&phase)).env("PHASE_HOST", host));
}

#[test]
fn unanswered_tls_handshake_times_out() {
    let phase = Phase::serve(long_value_world());
    let host = format!("https://{}", fake_server(stay_silent));
    let _ = times_out(limited_to_one_second(&Sandbox::new(&phase)).env("PHASE_HOST", host));
}

/// A server that sends a long handshake record byte by byte.
#[test]
fn dripping_tls_handshake_times_out() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let drip = |mut socket: TcpStream| {
        // The header of a record (RFC 8446, section 5.1), and then its bytes.
        let mut bytes = [22, 3, 3, 64, 0, 2, 0, 63, 252]
            .into_iter()
            .chain(std::iter::repeat(0));
        let (_open, never) = channel::<()>();
        while bytes
            .next()
            .is_some_and(|byte| socket.write_all(&[byte]).is_ok())
        {
            let _ = never.recv_timeout(Duration::from_millis(500));
        }
    };
    let phase = Phase::serve(long_value_world());
    let host = format!("https://{}", fake_server(drip));
    let _ = times_out(limited_to_one_second(&Sandbox::new(&phase)).env("PHASE_HOST", host));
}

/// Prepares a network namespace. Packets to 192.0.2.53 (RFC 5737) leave through the loopback interface
/// and are lost.
const NETWORK: &str = "ip link set lo up && ip route add 192.0.2.0/24 dev lo && \
    mount --bind resolv.conf /etc/resolv.conf && mount --bind nsswitch.conf /etc/nsswitch.conf && \
    exec \"$@\"";

/// A run that asks this name server for phase.test.
fn resolving_with<'a>(sandbox: &'a Sandbox, server: &str) -> Run<'a> {
    let lines = format!("nameserver {server}\noptions timeout:30 attempts:5\n");
    sandbox.file("resolv.conf", lines);
    sandbox.file("nsswitch.conf", "hosts: files dns\n");
    let run = limited_to_one_second(sandbox).env("PHASE_HOST", "https://phase.test");
    run.in_namespaces(&["--mount", "--net"], NETWORK)
}

/// The resolver would wait for 30 seconds and ask the name server five times (resolv.conf(5)). Its thread
/// delays neither the error nor the exit.
#[test]
fn silent_name_server_times_out() {
    if !require_programs(&["ip"]) {
        return;
    }
    let phase = Phase::serve(long_value_world());
    let sandbox = Sandbox::new(&phase);
    let start = Instant::now();
    let output = resolving_with(&sandbox, "192.0.2.53").output();
    assert!(start.elapsed() < Duration::from_secs(25), "{output}");
    let output = output.assert_refused("unreachable");
    assert!(
        output
            .stderr
            .contains("name resolution did not finish within 1 s"),
        "{output}"
    );
}

/// A name server that answers without an address (RFC 1035, section 4.1.1), and then runs its arguments.
const EMPTY_ANSWERS: &str = "import os, socket, sys\n\
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(('127.0.0.1', 53))\n\
    if os.fork(): os.execvp(sys.argv[1], sys.argv[1:])\n\
    import ctypes; ctypes.CDLL(None).prctl(1, 9)\n\
    os.close(1); os.close(2)\n\
    while True:\n\
    \tasked, whose = server.recvfrom(512)\n\
    \tserver.sendto(asked[:2] + b'\\x81\\x80' + asked[4:6] + bytes(6) + asked[12:], whose)\n";

/// An answer without an address is a failed look-up, which is retried.
#[test]
fn empty_dns_answer_is_retried() {
    if !require_programs(&["ip"]) {
        return;
    }
    let phase = Phase::serve(long_value_world());
    let sandbox = Sandbox::new(&phase);
    let run = resolving_with(&sandbox, "127.0.0.1").env("PHASE_MAX_WAIT", "1");
    let run = run.wrap(["python3", "-c", EMPTY_ANSWERS]);
    let output = run.output().assert_status(Status::Exited(125));
    assert!(output.stderr.contains("retrying"), "{output}");
    assert!(
        output
            .stderr
            .contains("error[unreachable]: cannot reach phase.test: name resolution failed: "),
        "{output}"
    );
}

/// `PHASE_TIMEOUT` sets the timeout, and `--timeout` overrides it.
#[test]
fn timeout_variable_applies_below_option() {
    let phase = Phase::serve(long_value_world());
    phase.respond("/v1/secrets/", Responder::stall());
    let sandbox = Sandbox::new(&phase);
    let id = shop_id();
    let run = sandbox.run(["--app", &id, "--env", "Production", "echo", "started"]);
    let _ = times_out(run.env("PHASE_TIMEOUT", "1"));
    let _ = times_out(limited_to_one_second(&sandbox).env("PHASE_TIMEOUT", "60"));
}

/// The timeout bounds a request, not the run: each of two requests has the whole time.
#[test]
fn timeout_applies_to_each_request() {
    let phase = Phase::serve(long_value_world());
    let gate = phase.gate("/tokens/");
    phase.respond("/v1/secrets/", Responder::stall());
    let sandbox = Sandbox::new(&phase);
    let words = ["--app", "shop", "--env", "Production", "--timeout", "5"];
    let start = Instant::now();
    let running = sandbox.run(words).args(["echo", "started"]).spawn();
    gate.wait_for_request(DEADLINE);
    // The time that the first request takes is not subtracted from that of the second.
    let (_open, never) = channel::<()>();
    let _ = never.recv_timeout(Duration::from_secs(1));
    gate.open();
    let output = running.wait().assert_refused("unreachable");
    assert!(output.stderr.contains("within 5 s"), "{output}");
    assert!(start.elapsed() >= Duration::from_secs(6), "{output}");
    assert_eq!(phase.requests().len(), 2);
}

/// A response that is slow but arrives in time is accepted.
#[test]
fn slow_response_within_timeout_succeeds() {
    let phase = Phase::serve(long_value_world());
    phase.respond(
        "/v1/secrets/",
        Responder::slow_drip(Duration::from_micros(100)),
    );
    let sandbox = Sandbox::new(&phase);
    let id = shop_id();
    let words = [
        "--env",
        "Production",
        "--timeout",
        "99.5",
        "echo",
        "started",
    ];
    let output = sandbox.run(["--app", &id]).args(words).output().assert_ok();
    assert_eq!(output.text(), "started\n");
}
