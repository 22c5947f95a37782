//! Phase Cloud has two hosts. While the first responds, phase-run connects to the second.

#![cfg(target_os = "linux")]

use std::fs::read_dir;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

use fake_phase::{Certificate, Options, Phase, Request, Responder};

use crate::support::{
    DEADLINE, NameServer, Run, Sandbox, Status, eventually, require_root, shop_id, shop_world,
};

const CONSOLE: &str = "console.phase.dev";
const API: &str = "api.phase.dev";

/// The list of what the token can read, on the first host.
const TOKENS: &str = "secrets/tokens";

fn is_possible() -> bool {
    require_root("only root can listen on port 443 and mount files")
}

/// Both hosts of Phase Cloud, on an address of their own: tests run at the same time.
fn phase_cloud() -> (Phase, Ipv4Addr) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, high.max(1), low, NEXT.fetch_add(1, Ordering::Relaxed));
    let options = Options {
        certificate: Certificate::PhaseCloud,
        ip,
        port: 443,
        ..Options::default()
    };
    (Phase::with(shop_world([("KEY", "value")]), options), ip)
}

/// Starts `echo started` with the secrets of the app `app` on Phase Cloud.
fn start<'a>(sandbox: &'a Sandbox, ip: Ipv4Addr, app: &str, options: &[&str]) -> Run<'a> {
    sandbox.file("hosts", format!("{ip} {CONSOLE} {API}\n"));
    let words = ["--app", app, "--env", "Production"];
    let run = sandbox.run(words).args(options).args(["echo", "started"]);
    let run = run.env("PHASE_HOST", format!("https://{CONSOLE}"));
    run.in_namespaces(&["--mount"], "mount --bind hosts /etc/hosts && exec \"$@\"")
}

/// Each request as its method, host and path.
fn summary(requests: &[Request]) -> Vec<String> {
    let line = |request: &Request| {
        let host = request.header("Host").unwrap();
        format!("{} {host}{}", request.method, request.path())
    };
    requests.iter().map(line).collect()
}

#[test]
fn second_host_is_connected_while_first_responds() {
    if !is_possible() {
        return;
    }
    let (phase, ip) = phase_cloud();
    let sandbox = Sandbox::new(&phase);
    sandbox.file("headers", "X-Gateway: secret of the gateway\n");
    let gate = phase.gate(TOKENS);
    let running = start(&sandbox, ip, "shop", &["--header-file", "headers"]).spawn();
    let requests = phase.wait_for_requests(2, DEADLINE);
    let early = requests.iter().find(|request| request.method == "HEAD");
    let early = early.unwrap();
    assert_eq!(early.header("Host"), Some(API));
    for secret in ["Authorization", "X-Gateway"] {
        assert_eq!(early.header(secret), None);
    }
    // The thread of the early request ends with its response. Those of `main` and of reqwest stay.
    let tasks = format!("/proc/{}/task", running.pid());
    eventually("the early request has ended", || {
        match read_dir(&tasks).unwrap().count() {
            2 => Ok(()),
            threads => Err(format!("{threads} threads")),
        }
    });
    gate.open();
    let output = running.wait().assert_status(Status::Exited(0));
    assert_eq!(output.text(), "started\n", "{output}");
    let requests = summary(&phase.requests());
    let last = requests.last().map(String::as_str);
    assert_eq!(last, Some("GET api.phase.dev/v1/secrets/"));
    assert_eq!(
        (requests.len(), phase.connections()),
        (3, 2),
        "{requests:?}"
    );
}

#[test]
fn unneeded_host_is_not_connected() {
    if !is_possible() {
        return;
    }
    for (app, options, host) in [
        (shop_id().as_str(), [].as_slice(), API),
        ("shop", &["--mode", "e2ee"], CONSOLE),
    ] {
        let (phase, ip) = phase_cloud();
        let sandbox = Sandbox::new(&phase);
        let output = start(&sandbox, ip, app, options).output();
        assert_eq!(output.text(), "started\n", "{output}");
        let requests = summary(&phase.requests());
        let is_expected = |line: &String| line.starts_with(&format!("GET {host}/"));
        assert!(requests.iter().all(is_expected), "{requests:?}");
        assert_eq!(phase.connections(), 1, "{requests:?}");
    }
}

#[test]
fn failed_early_connection_is_silent() {
    if !is_possible() {
        return;
    }
    for failure in [
        Responder::reset(),
        Responder::status(403),
        Responder::stall(),
    ] {
        let (phase, ip) = phase_cloud();
        let sandbox = Sandbox::new(&phase);
        // The request to the first host is held back, so the early one gets the only faulty response.
        let gate = phase.gate(TOKENS);
        phase.respond("/", failure.times(1));
        let running = start(&sandbox, ip, "shop", &[]).spawn();
        phase.wait_for_requests(2, DEADLINE);
        gate.open();
        let output = running.wait().assert_status(Status::Exited(0));
        assert_eq!(output.text(), "started\n", "{output}");
        assert_eq!(output.stderr, "", "{output}");
    }
}

#[test]
fn both_hosts_are_looked_up_side_by_side() {
    if !is_possible() {
        return;
    }
    let (phase, _) = phase_cloud();
    let sandbox = Sandbox::new(&phase);
    let server = NameServer::silent();
    let words = ["--app", "shop", "--env", "Production", "echo", "started"];
    let run = sandbox
        .run(words)
        .env("PHASE_HOST", format!("https://{CONSOLE}"));
    let running = server.resolves_for(&sandbox, run).spawn();
    eventually("both names are asked for", || match server.queries() {
        2 => Ok(()),
        queries => Err(format!("{queries} queries")),
    });
    running.kill(libc::SIGKILL);
    let _ = running.wait();
}
