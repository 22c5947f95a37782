//! Which failures are retried, how long the delays are, and when phase-run gives up.

use std::thread::scope;
use std::time::{Duration, Instant};

use fake_phase::{Certificate, Options, Phase, Responder};

use crate::support::{Output, Run, Sandbox, Status, shop_id, unused_port};
use crate::timeouts::long_value_world;

/// More than the slowest machine adds.
const SLACK: Duration = Duration::from_secs(60);

/// A run with this `--max-wait` and a timeout of one second. Without failures it makes one request.
fn retrying<'a>(sandbox: &'a Sandbox, max_wait: &str) -> Run<'a> {
    retrying_with_timeout(sandbox, max_wait, "1")
}

fn retrying_with_timeout<'a>(sandbox: &'a Sandbox, max_wait: &str, timeout: &str) -> Run<'a> {
    let id = shop_id();
    let words = ["--app", &id, "--env", "Production", "--max-wait", max_wait];
    sandbox
        .run(words)
        .args(["--timeout", timeout, "echo", "started"])
}

/// The retries in the log: `(attempt, why)`.
fn retries(output: &Output) -> Vec<(u32, String)> {
    let lines = output.stderr.lines();
    let retry = |line: &str| {
        let (why, rest) = line
            .strip_prefix("phase-run: ")?
            .split_once("; retrying in ")?;
        let (wait, rest) = rest.split_once(" s (attempt ")?;
        let (attempt, rest) = rest.split_once(", ")?;
        let left = rest.strip_suffix(" s left)")?;
        let _: f64 = wait.parse().ok()?;
        let _: u32 = left.parse().ok()?;
        Some((attempt.parse().ok()?, why.to_owned()))
    };
    lines.filter_map(retry).collect()
}

/// Closed and reset connections, timeouts, truncated bodies and the statuses 408, 429, 500, 502, 503,
/// 504 and 520 to 524 are retried, and each retry is logged on one line.
#[test]
fn transient_failures_are_retried_and_logged() {
    let cases = [
        (Responder::status(408), "status 408"),
        (Responder::status(429), "status 429"),
        (Responder::status(500), "status 500"),
        (Responder::html(502), "status 502"),
        (Responder::html(503), "status 503"),
        (Responder::status(504), "status 504"),
        (Responder::html(520), "status 520"),
        (Responder::html(524), "status 524"),
        (
            Responder::close(),
            "the connection was closed before a response",
        ),
        (Responder::reset(), ""),
        (Responder::truncate(0), "the response was truncated"),
        (Responder::truncate(100), "the response was truncated"),
        (Responder::stall(), "no complete response within 3 s"),
        (
            Responder::stall_after(100),
            "no complete response within 3 s",
        ),
        (
            Responder::slow_drip(Duration::from_millis(500)),
            "no complete response within 3 s",
        ),
    ];
    // They run in parallel, because some of them wait for a timeout.
    scope(|scope| {
        for (responder, why) in cases {
            scope.spawn(move || {
                let phase = Phase::serve(long_value_world());
                let sandbox = Sandbox::new(&phase);
                phase.respond("", responder.times(2));
                let output = retrying_with_timeout(&sandbox, "100", "3")
                    .output()
                    .assert_status(Status::Exited(0));
                assert_eq!(output.text(), "started\n");
                let said = retries(&output);
                assert_eq!(output.stderr.lines().count(), 2, "{output}");
                let [(2, one), (3, other)] = said.as_slice() else {
                    panic!("{output}")
                };
                assert!(one.contains(why) && other.contains(why), "{output}");
                assert_eq!(phase.requests().len(), 3, "{output}");
            });
        }
    });
}

/// Other statuses, responses that are not from Phase and TLS errors are not retried.
#[test]
fn permanent_failures_are_not_retried() {
    for (responder, kind) in [
        (Responder::status(400), "server"),
        (Responder::error(401, "Token expired or deleted"), "token"),
        (Responder::error(403, "no access"), "access"),
        (Responder::html(403), "protocol"),
        (Responder::html(404), "protocol"),
        (Responder::status(501), "server"),
        (Responder::redirect("https://localhost/"), "protocol"),
        (Responder::html_login(), "protocol"),
        (Responder::json(200, "{}"), "protocol"),
        (Responder::endless(65 << 20), "protocol"),
    ] {
        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        phase.respond("", responder);
        // The largest response takes a busy machine more than a second.
        let _ = retrying_with_timeout(&sandbox, "30", "30")
            .output()
            .assert_error(125, kind);
        assert_eq!(phase.requests().len(), 1, "{kind}");
    }
    for certificate in [
        Certificate::Expired,
        Certificate::OtherName,
        Certificate::UnknownCa,
    ] {
        let options = Options {
            certificate,
            ..Options::default()
        };
        let phase = Phase::with(long_value_world(), options);
        let _ = retrying_with_timeout(&Sandbox::new(&phase), "30", "30")
            .output()
            .assert_error(125, "tls");
    }
}

/// `--max-wait` bounds all tries and delays together. With 0 there is one request, bounded by
/// `--timeout`.
#[test]
fn max_wait_bounds_tries_and_delays() {
    for (responder, kind) in [
        (Responder::status(503), "server"),
        (Responder::status(429), "rate-limited"),
        (Responder::stall(), "unreachable"),
        (Responder::close(), "unreachable"),
    ] {
        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        phase.respond("", responder.clone());
        let start = Instant::now();
        let output = retrying(&sandbox, "2.5").output();
        let took = start.elapsed();
        // The default is 30 seconds.
        assert!(took < Duration::from_secs(25), "{took:?}\n{output}");
        let count = phase.requests().len();
        // The last try may have too little time left to send its request.
        let said = retries(&output).len();
        assert!(said + 1 == count || said == count, "{output}");
        let last = output.stderr.lines().find(|line| line.contains("error["));
        assert!(last.unwrap().contains(kind), "{output}");
        assert!(output.stdout.is_empty() && output.status == Status::Exited(125));

        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        phase.respond("", responder);
        let _ = retrying(&sandbox, "0").output().assert_error(125, kind);
        assert_eq!(phase.requests().len(), 1);
    }
}

/// If `--max-wait` ends during the last try, the error is that of the try before.
#[test]
fn cut_short_try_keeps_previous_reason() {
    let phase = Phase::serve(long_value_world());
    let sandbox = Sandbox::new(&phase);
    phase.respond("", Responder::stall());
    phase.respond("", Responder::status(503).times(1));
    let id = shop_id();
    let words = [
        "--app",
        &id,
        "--env",
        "Production",
        "--timeout",
        "60",
        "--max-wait",
        "5",
    ];
    let output = sandbox.run(words).arg("true").output();
    assert_eq!(phase.requests().len(), 2);
    let output = output.assert_status(Status::Exited(125));
    assert!(output.stderr.contains("error[server]"), "{output}");
    assert!(output.stderr.contains("503"), "{output}");
}

/// `Retry-After` is a minimum for the delay, as seconds or as a date.
#[test]
fn retry_after_is_a_minimum_delay() {
    let date = || {
        let format = "+%a, %d %b %Y %H:%M:%S GMT";
        let output = Sandbox::offline()
            .bare(["date", "-u", "-d", "3 seconds", format])
            .output();
        output.assert_ok().text().trim().to_owned()
    };
    let seconds = || "2".to_owned();
    for (after, floor) in [(&seconds as &dyn Fn() -> String, 2.0), (&date, 1.0)] {
        let after = after();
        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        phase.respond(
            "",
            Responder::status(429)
                .header("Retry-After", &after)
                .times(1),
        );
        let start = Instant::now();
        let output = retrying_with_timeout(&sandbox, "100", "30")
            .output()
            .assert_status(Status::Exited(0));
        let took = start.elapsed().as_secs_f64();
        assert!(took >= floor, "{after}: {took}");
        assert_eq!(retries(&output).len(), 1, "{output}");
    }
}

/// A `Retry-After` beyond the deadline ends the retries at once.
#[test]
fn retry_after_beyond_max_wait_gives_up() {
    for after in [
        "3600",
        "300",
        "99999999999999999999",
        "Wed, 01 Jan 2098 00:00:00 GMT",
    ] {
        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        phase.respond("", Responder::status(429).header("Retry-After", after));
        let start = Instant::now();
        let output = retrying_with_timeout(&sandbox, "300", "30")
            .output()
            .assert_error(125, "rate-limited");
        assert!(start.elapsed() < SLACK, "{output}");
        assert_eq!(phase.requests().len(), 1, "{after}");
    }
    // An invalid or past `Retry-After` is ignored.
    for after in ["soon", "-1", "Wed, 01 Jan 1998 00:00:00 GMT"] {
        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        let responder = Responder::status(429).header("Retry-After", after).times(1);
        phase.respond("", responder);
        let _ = retrying_with_timeout(&sandbox, "100", "30")
            .output()
            .assert_status(Status::Exited(0));
    }
}

/// A server that starts late, on a port where nothing listened before.
#[test]
fn server_that_starts_late_is_reached() {
    let port = unused_port();
    // Without TLS, because each server has its own certificate authority.
    let options = Options {
        port,
        tls: false,
        ..Options::default()
    };
    let sandbox = Sandbox::new(&Phase::with(long_value_world(), options.clone()));
    let mut running = retrying_with_timeout(&sandbox, "100", "30").spawn();
    let said = running.stderr_line();
    assert!(
        said.contains(": connection refused; retrying in "),
        "{said}"
    );
    let phase = Phase::with(long_value_world(), options);
    let output = running.wait();
    assert_eq!(phase.requests().len(), 1, "{output}");
    assert_eq!(output.assert_status(Status::Exited(0)).text(), "started\n");
}

/// An invalid certificate is final, even if an earlier try failed for another reason.
#[test]
fn bad_certificate_on_retry_is_refused() {
    let port = unused_port();
    let options = Options {
        port,
        ..Options::default()
    };
    let phase = Phase::with(long_value_world(), options);
    let sandbox = Sandbox::new(&phase);
    phase.respond("", Responder::status(503));
    let mut running = retrying_with_timeout(&sandbox, "100", "30").spawn();
    let _ = running.stderr_line();
    drop(phase);
    let options = Options {
        certificate: Certificate::Expired,
        port,
        ..Options::default()
    };
    let swapped = Phase::with(long_value_world(), options);
    let output = running.wait().assert_status(Status::Exited(125));
    assert!(output.stderr.contains("error[tls]"), "{output}");
    assert!(swapped.requests().is_empty());
}

/// A failed look-up is retried. A name below `invalid` is never resolved (RFC 6761, section 6.4).
#[test]
fn failed_name_resolution_is_retried() {
    let sandbox = Sandbox::new(&Phase::serve(long_value_world()));
    let run = retrying(&sandbox, "5").env("PHASE_HOST", "https://phase.invalid");
    let output = run.output().assert_status(Status::Exited(125));
    let said = retries(&output);
    assert!(!said.is_empty(), "{output}");
    assert!(
        said.iter()
            .all(|(_, why)| why.starts_with("cannot reach phase.invalid: name resolution failed: ")),
        "{output}"
    );
}

/// A signal ends phase-run at once, during a delay too.
#[test]
fn signal_during_retry_delay_kills_at_once() {
    let phase = Phase::serve(long_value_world());
    let sandbox = Sandbox::new(&phase);
    phase.respond("", Responder::status(429).header("Retry-After", "600"));
    let mut running = retrying(&sandbox, "1000").spawn();
    let said = running.stderr_line();
    assert!(said.contains("attempt 2"), "{said}");
    running.kill(libc::SIGTERM);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGTERM));
}

/// With `-q` retries are not logged. In JSON each is an object.
#[test]
fn retry_log_follows_quiet_and_json() {
    for (option, lines, holds) in [
        ("-q", 0, ""),
        ("--log-format=json", 1, "\"kind\":\"retrying\""),
    ] {
        let phase = Phase::serve(long_value_world());
        let sandbox = Sandbox::new(&phase);
        phase.respond("", Responder::status(503).times(1));
        let id = shop_id();
        let words = [
            "--app",
            &id,
            "--env",
            "Production",
            "--max-wait",
            "20",
            option,
            "true",
        ];
        let output = sandbox.run(words).output().assert_status(Status::Exited(0));
        assert_eq!(output.stderr.lines().count(), lines, "{output}");
        assert!(output.stderr.contains(holds), "{output}");
    }
}
