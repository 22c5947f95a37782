//! Responses that are not from Phase are refused, and no message quotes them.

use std::io::Write;
use std::net::SocketAddr;

use fake_phase::{Options, Phase, Responder, bearer};
use nix::sys::resource::Resource;

use crate::support::{
    Output, Sandbox, Status, fake_server, read_request_head, require_root, shop_id, shop_world,
    stay_silent, unused_port, unused_uid,
};

/// Values in the responses that no message may show.
const VALUE: &str = "a-value-that-stays-unsaid";
const NUMBER: &str = "8125550199";

fn sandbox(phase: &Phase) -> Sandbox {
    let mut sandbox = Sandbox::new(phase);
    sandbox.canary(VALUE);
    sandbox.canary(NUMBER);
    sandbox
}

/// A list of one complete row, changed by `change`.
fn row(change: impl Fn(String) -> String) -> String {
    let row = format!(
        r#"{{"id":"1","key":"KEY","value":"{VALUE}","path":"/","tags":[],"type":"secret","override":null}}"#
    );
    format!("[{}]", change(row))
}

/// A response that is not JSON or has another shape is a `protocol` error. The error texts of serde
/// quote values; ours must not.
#[test]
fn unexpected_json_is_protocol_error_and_unquoted() {
    let without = |member: &str| row(|row| row.replacen(&format!("\"{member}\""), "\"other\"", 1));
    let with = |from: &str, to: &str| row(|row| row.replace(from, to));
    let value = format!("\"{VALUE}\"");
    for body in [
        String::new(),
        " \n".to_owned(),
        "{".to_owned(),
        "[".to_owned(),
        format!("[{{\"value\":\"{VALUE}\""),
        "null".to_owned(),
        format!("\"{VALUE}\""),
        NUMBER.to_owned(),
        format!("{{\"KEY\":\"{VALUE}\"}}"),
        format!("{{\"data\":{}}}", row(|row| row)),
        format!("[[\"KEY\",\"{VALUE}\"]]"),
        format!("[[\"1\",\"KEY\",\"{VALUE}\",\"/\",[],\"secret\",null]]"),
        format!("[\"{VALUE}\"]"),
        format!("{} {VALUE}", row(|row| row)),
        without("key"),
        without("value"),
        without("path"),
        without("type"),
        with(&value, NUMBER),
        with(&value, "-1.5e3"),
        with(&value, "true"),
        with(&value, "null"),
        with(&value, &format!("[{value}]")),
        with(&value, &format!("{{\"a\":{value}}}")),
        with("\"key\":\"KEY\"", &format!("\"key\":{NUMBER}")),
        with("\"tags\":[]", &format!("\"tags\":{value}")),
        with("null", &format!("{{\"value\":{NUMBER},\"isActive\":true}}")),
        with("null", &format!("{{\"value\":{value}}}")),
        with("null", &value),
        with(&value, "\"\\ud800\""),
    ] {
        let phase = Phase::serve(shop_world([("KEY", VALUE)]));
        phase.respond("/v1/secrets/", Responder::json(200, &body));
        let sandbox = sandbox(&phase);
        let output = sandbox.run_echo(&[]).output().assert_refused("protocol");
        assert!(
            output.stderr.contains("unexpected response from "),
            "{body}\n{output}"
        );
    }
}

/// JSON must be UTF-8 (RFC 8259, section 8.1).
#[test]
fn non_utf8_response_is_protocol_error() {
    let body = row(|row| row.replace("-unsaid", "\0"));
    let body: Vec<u8> = body
        .bytes()
        .map(|byte| if byte == 0 { 0xff } else { byte })
        .collect();
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let responder = Responder::raw(200, "application/json", body);
    phase.respond("/v1/secrets/", responder);
    let mut sandbox = sandbox(&phase);
    sandbox.canary("a-value-that-stays");
    let _ = sandbox.run_echo(&[]).output().assert_refused("protocol");
}

/// With a wrong base path, the default nginx of Phase answers with a login page and status 200.
#[test]
fn html_page_hints_at_host() {
    for endpoint in ["/v1/secrets/", "/tokens/"] {
        let phase = Phase::serve(shop_world([("KEY", VALUE)]));
        phase.respond(endpoint, Responder::html_login());
        let sandbox = sandbox(&phase);
        let app = shop_id();
        let app = if endpoint == "/tokens/" { "shop" } else { &app };
        let run = sandbox.run(["--app", app, "--env", "Production", "echo", "started"]);
        let output = run.output().assert_refused("protocol");
        assert!(
            output.stderr.contains("an HTML page\nhint: check --host"),
            "{output}"
        );
    }
}

/// A response that announces more than 64 MiB is refused without reading it or reserving memory.
#[test]
fn oversized_content_length_is_refused_at_once() {
    for (length, kind) in [("67108865", "protocol"), ("200000000000", "protocol")] {
        let address = fake_server(move |mut socket| {
            read_request_head(&mut socket);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n[]");
            let _ = socket.write_all(head.as_bytes());
            stay_silent(socket);
        });
        let phase = Phase::serve(shop_world([("KEY", VALUE)]));
        let sandbox = sandbox(&phase);
        let run = sandbox
            .run_echo(&[])
            .env("PHASE_HOST", format!("http://{address}"));
        let output = run.env("PHASE_TIMEOUT", "15").output().assert_refused(kind);
        assert!(
            output.stderr.contains("larger than 67108864 bytes"),
            "{output}"
        );
    }
}

/// A look-up needs a thread, and RLIMIT_NPROC (setrlimit(2)) allows none.
#[cfg(target_os = "linux")]
#[test]
fn lookup_without_thread_is_unreachable() {
    if !require_root("only root can become another user") {
        return;
    }
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let sandbox = sandbox(&phase);
    let run = sandbox
        .run_echo(&[])
        .env("PHASE_HOST", "https://phase.example.test");
    let run = run.as_user(unused_uid()).limit(Resource::RLIMIT_NPROC, 0);
    let output = run.output().assert_refused("unreachable");
    assert!(
        output
            .stderr
            .contains("name resolution failed: cannot start a thread: "),
        "{output}"
    );
}

/// A limit that only this process could raise is not worth a retry.
#[test]
fn too_few_descriptors_fail_without_retry() {
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let sandbox = sandbox(&phase);
    let run = sandbox.run_echo(&[]).env("PHASE_MAX_WAIT", "60");
    let run = run.limit(Resource::RLIMIT_NOFILE, 5);
    let output = run.output().assert_refused("unreachable");
    let why = "cannot start the HTTP client: too many open files\n";
    assert!(output.stderr.contains(why), "{output}");
    assert!(!output.stderr.contains("retrying"), "{output}");
}

/// A body of 64 MiB is accepted. One more byte is refused, without waiting for the end of the body.
#[test]
fn body_limit_is_exactly_64_mib() {
    const MAX: u64 = 64 << 20;
    for (bytes, fits) in [(MAX, true), (MAX + 1, false), (1 << 40, false)] {
        let options = Options {
            tls: false,
            ..Options::default()
        };
        let phase = Phase::with(shop_world([("KEY", VALUE)]), options);
        phase.respond("/v1/secrets/", Responder::endless(bytes));
        let sandbox = sandbox(&phase);
        let id = shop_id();
        let words = [
            "--env",
            "Production",
            "--timeout",
            "18",
            "--except",
            "ENDLESS",
        ];
        let output = sandbox
            .run(["--app", &id])
            .args(words)
            .args(["echo", "ran"])
            .output();
        if fits {
            assert_eq!(output.assert_ok().text(), "ran\n");
        } else {
            let output = output.assert_refused("protocol");
            assert!(
                output.stderr.contains("larger than 67108864 bytes"),
                "{output}"
            );
        }
    }
}

/// The ID of the app comes from the server, and is part of the next address.
#[test]
fn endless_id_is_not_retried() {
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let id = "i".repeat(70_000);
    let body = format!(r#"{{"data":[{{"id":"{id}","name":"shop","sseEnabled":true}}]}}"#);
    phase.respond("/v1/apps/", Responder::json(200, &body));
    let sandbox = sandbox(&phase);
    let run = sandbox.production("shop").arg("true");
    let output = run.env("PHASE_SERVICE_TOKEN", bearer()).output();
    let output = output.assert_error(125, "unreachable");
    let why = ": the address of the request is longer than 65,534 bytes\n";
    assert!(output.stderr.contains(why), "{output}");
    assert!(!output.stderr.contains("retrying"), "{output}");
}

/// Redirects are not followed, neither to another server nor on the same one.
#[test]
fn redirect_is_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let phase = Phase::serve(shop_world([("KEY", VALUE)]));
        let other = Phase::serve(shop_world([("KEY", VALUE)]));
        let plain = Phase::with(
            shop_world([("KEY", VALUE)]),
            Options {
                tls: false,
                ..Options::default()
            },
        );
        let sandbox = sandbox(&phase);
        for place in [
            &other.host(),
            &plain.host(),
            &format!("{}/login/", phase.host()),
            "/login/",
        ] {
            let redirect = Responder::raw(status, "text/html", Vec::new());
            phase.respond("/v1/secrets/", redirect.header("Location", place));
            let before = phase.requests().len();
            let output = sandbox.run_echo(&[]).output().assert_refused("protocol");
            assert!(output.stderr.contains(place), "{output}");
            assert!(output.stderr.contains("hint: set --host"), "{output}");
            assert_eq!(phase.requests().len(), before + 1);
        }
        assert_eq!((other.connections(), plain.connections()), (0, 0));
    }
}

/// A closed or reset connection and a truncated response are `unreachable` errors.
#[test]
fn truncated_response_is_unreachable() {
    for responder in [
        Responder::truncate(0),
        Responder::truncate(1),
        Responder::truncate(200),
        Responder::close(),
        Responder::reset(),
    ] {
        for tls in [true, false] {
            let phase = Phase::with(
                shop_world([("KEY", VALUE)]),
                Options {
                    tls,
                    ..Options::default()
                },
            );
            phase.respond("/v1/secrets/", responder.clone());
            let sandbox = sandbox(&phase);
            let output = sandbox.run_echo(&[]).output().assert_refused("unreachable");
            let name = phase.host();
            let name = name.rsplit('/').next().unwrap();
            assert!(
                output.stderr.contains(&format!("cannot reach {name}: ")),
                "{output}"
            );
        }
    }
}

fn fetch_from(address: SocketAddr, sandbox: &Sandbox) -> Output {
    let host = format!("http://{address}");
    sandbox.run_echo(&[]).env("PHASE_HOST", host).output()
}

#[test]
fn non_http_server_is_protocol_error() {
    for text in [
        "SSH-2.0-OpenSSH_9.7\r\n",
        "220 mail ESMTP\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let address = fake_server(move |mut socket| {
            read_request_head(&mut socket);
            let _ = socket.write_all(text.as_bytes());
        });
        let phase = Phase::serve(shop_world([("KEY", VALUE)]));
        let output = fetch_from(address, &sandbox(&phase)).assert_refused("protocol");
        assert!(output.stderr.contains("not HTTP"), "{output}");
    }
}

/// The first frame of a server that speaks HTTP/2: without settings, and with the number of streams.
const HTTP_2_FRAMES: [&[u8]; 2] = [
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64",
];

#[test]
fn http_2_response_is_named() {
    for frame in HTTP_2_FRAMES {
        let address = fake_server(move |mut socket| {
            read_request_head(&mut socket);
            let _ = socket.write_all(frame);
            stay_silent(socket);
        });
        let phase = Phase::serve(shop_world([("KEY", VALUE)]));
        let output = fetch_from(address, &sandbox(&phase)).assert_refused("protocol");
        let message = "the response is HTTP/2, which phase-run does not support\n";
        assert!(output.stderr.contains(message), "{output}");
        let hint = "hint: enable HTTP/1.1 on the server, or on the load balancer in front of it\n";
        assert!(output.stderr.ends_with(hint), "{output}");
    }
}

/// Servers may send their settings, or a banner, as soon as they have accepted a connection.
#[test]
fn data_before_the_request_is_named() {
    let address = fake_server(|mut socket| {
        let _ = socket.write_all(HTTP_2_FRAMES[0]);
        stay_silent(socket);
    });
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let sandbox = sandbox(&phase);
    let run = sandbox.run_echo(&["--max-wait", "0"]);
    let output = run.env("PHASE_HOST", format!("http://{address}")).output();
    assert_eq!(output.status, Status::Exited(125), "{output}");
    assert!(output.stderr.contains("HTTP/2"), "{output}");
}

/// A server that sends headers without end cannot fill the memory.
#[test]
fn endless_head_is_protocol_error() {
    let address = fake_server(|mut socket| {
        read_request_head(&mut socket);
        let mut text = "HTTP/1.1 200 OK\r\n".to_owned();
        while socket.write_all(text.as_bytes()).is_ok() {
            text = "X-More: and more of it\r\n".repeat(1000);
        }
    });
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let _ = fetch_from(address, &sandbox(&phase)).assert_refused("protocol");
}

#[test]
fn closed_port_is_unreachable() {
    let address = SocketAddr::from(([127, 0, 0, 1], unused_port()));
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let output = fetch_from(address, &sandbox(&phase)).assert_refused("unreachable");
    let expected = format!("cannot reach {address}: connection refused");
    assert!(output.stderr.contains(&expected), "{output}");
}

/// A name below `invalid` is never resolved (RFC 6761, section 6.4).
#[test]
fn unresolvable_name_is_unreachable() {
    let phase = Phase::serve(shop_world([("KEY", VALUE)]));
    let sandbox = sandbox(&phase);
    let run = sandbox
        .run_echo(&[])
        .env("PHASE_HOST", "https://phase.invalid");
    let output = run.output().assert_refused("unreachable");
    assert!(
        output
            .stderr
            .contains("cannot reach phase.invalid: name resolution failed: "),
        "{output}"
    );
}
