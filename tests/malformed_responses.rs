//! Unusual but valid responses, malformed ones, and the memory that they may cost.

use std::fs::read_to_string;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fake_phase::{Phase, Responder, World, bearer, service_token};
use nix::sys::resource::Resource;

use crate::e2ee::e2ee_world;
use crate::support::{
    Output, Run, SHOP, Sandbox, Status, fake_server, inherited, read_request_head, require_linux,
    shop_id, shop_world, skip,
};

const BODY: &str = r#"[{"id":"1","key":"KEY","value":"value","path":"/","tags":[],"type":"secret","override":null}]"#;

fn print_key_with<'a>(sandbox: &'a Sandbox, options: &[&str]) -> Run<'a> {
    let run = sandbox.production(&shop_id()).args(["--timeout", "5"]);
    run.args(options).args(["--", "printenv", "KEY"])
}

/// Prints the key of a response that takes long to send and to parse.
fn print_key_of_large_response(sandbox: &Sandbox) -> Run<'_> {
    let run = sandbox.production(&shop_id()).args(["--timeout", "60"]);
    run.args(["--", "printenv", "KEY"])
}

/// Runs phase-run against a server that sends exactly this, with one second for retries.
fn answered(head: &'static str, body: &'static str) -> Output {
    let address = fake_server(move |mut socket| {
        read_request_head(&mut socket);
        let _ = socket.write_all(head.as_bytes());
        let _ = socket.write_all(body.as_bytes());
    });
    let sandbox = Sandbox::new(&Phase::serve(shop_world([("KEY", "value")])));
    let run = print_key_with(&sandbox, &["--max-wait", "1"]);
    run.env("PHASE_HOST", format!("http://{address}")).output()
}

/// HTTP/1.0, a body that ends with the connection, chunks, a wrong content type, unusual headers (RFC 9112).
#[test]
fn unusual_valid_responses_are_accepted() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks: &'static str =
        Box::leak(format!("{:x};x=y\r\n{BODY}\r\n0\r\nX: y\r\n\r\n", BODY.len()).into_boxed_str());
    for (head, body) in [
        ("HTTP/1.0 200 OK\r\n\r\n", BODY),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BODY),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n",
            BODY,
        ),
        (
            "HTTP/1.1 200\r\nX-Odd: \u{fc}\r\nConnection: close\r\n\r\n",
            BODY,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            BODY,
        ),
        (CHUNKED, chunks),
    ] {
        let output = answered(head, body).assert_status(Status::Exited(0));
        assert_eq!(output.text(), "value\n", "{head}");
    }
}

/// A wrong length or invalid chunks are an error, and never lead to half of the secrets.
#[test]
fn malformed_responses_are_errors() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (head, body, kind, retried) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
            BODY,
            "unreachable",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
            BODY,
            "protocol",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            BODY,
            "protocol",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            BODY,
            "protocol",
            false,
        ),
        (CHUNKED, "zzz\r\n[]\r\n0\r\n\r\n", "", true),
        (CHUNKED, "5\r\n[]\r\n", "unreachable", true),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            "[{",
            "protocol",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            "",
            "protocol",
            false,
        ),
    ] {
        let output = answered(head, body).assert_status(Status::Exited(125));
        assert!(output.stdout.is_empty(), "{output}");
        assert!(
            output.stderr.contains(&format!("error[{kind}")),
            "{head} {body} {output}"
        );
        if !kind.is_empty() {
            assert_eq!(output.stderr.contains("retrying"), retried, "{output}");
        }
    }
}

/// The peak memory of a run in KiB. That of time(1) is smaller and does not count.
fn peak(sandbox: &Sandbox, run: Run<'_>) -> u64 {
    let file = sandbox.directory().join("peak");
    let words = ["/usr/bin/time", "-f", "%M", "-o", file.to_str().unwrap()];
    let _ = run.wrap(words).output();
    let told = read_to_string(file).unwrap();
    told.lines().last().unwrap().parse().unwrap()
}

/// The peak memory is below 8 MiB, or below three times the size of a large response.
#[test]
fn peak_memory_stays_bounded() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let Some(binary) = inherited("PHASE_RUN_STATIC") else {
        skip("PHASE_RUN_STATIC does not name the static binary");
        return;
    };
    if !Path::new("/usr/bin/time").exists() {
        skip("time(1) is not installed");
        return;
    }
    let binary = binary.to_str().unwrap();
    for responder in [
        Responder::status(503),
        Responder::reset(),
        Responder::truncate(30),
        Responder::html_login(),
        Responder::slow_drip(Duration::from_millis(1)),
    ] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let mut sandbox = Sandbox::new(&phase);
        sandbox.replace_phase_run(binary);
        phase.respond("", responder.times(5));
        let peak = peak(&sandbox, print_key_with(&sandbox, &["--max-wait", "4"]));
        assert!(peak < 8 << 10, "{peak} KiB");
    }
    for mebibytes in [8, 24, 60] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let mut sandbox = Sandbox::new(&phase);
        sandbox.replace_phase_run(binary);
        phase.respond("", Responder::endless(mebibytes << 20));
        let peak = peak(&sandbox, print_key_with(&sandbox, &["--file", "*"]));
        assert!(peak < 3 * (mebibytes << 10), "{mebibytes} MiB: {peak} KiB");
        assert!(peak > mebibytes << 10, "{mebibytes} MiB: {peak} KiB");
    }
}

fn rows(count: usize, row: impl Fn(usize) -> String) -> String {
    let rows: Vec<String> = (0..count).map(row).collect();
    format!("[{}]", rows.join(","))
}

fn secret_row(number: usize, tags: &str) -> String {
    format!(
        r#"{{"id":"{number}","key":"KEY","value":"value","path":"/","tags":[{tags}],"type":"secret"}}"#
    )
}

fn dynamic_row(path: &str, keys: usize) -> String {
    let keys: Vec<String> = (0..keys)
        .map(|key| format!(r#"{{"keyName":"K{key}"}}"#))
        .collect();
    let keys = keys.join(",");
    format!(r#"{{"id":"d","name":"n","type":"dynamic","path":"{path}","keyMap":[{keys}]}}"#)
}

/// Short items of JSON need several times their size in memory, and each row costs time.
#[test]
fn lists_in_responses_are_bounded() {
    let long = "x".repeat(1 << 18);
    for (body, exceeded) in [
        (rows(20_000, |number| secret_row(number, "")), None),
        (
            rows(20_001, |number| secret_row(number, "")),
            Some("20,000 secrets"),
        ),
        (
            rows(1, |_| {
                secret_row(0, r#""","#.repeat(20_001).trim_end_matches(','))
            }),
            Some("20,000 items in a list"),
        ),
        (
            rows(11, |number| {
                secret_row(number, r#""","#.repeat(20_000).trim_end_matches(','))
            }),
            Some("200,000 tags"),
        ),
        (
            rows(1, |_| secret_row(0, "").replace("KEY", &format!("{long}x"))),
            Some("256 KiB in one name"),
        ),
        (
            rows(1, |_| dynamic_row("/", 20_001)),
            Some("20,000 items in a list"),
        ),
        (
            rows(3, |_| dynamic_row("/", 10_000)),
            Some("20,000 secrets"),
        ),
        (
            rows(1, |_| dynamic_row(&long, 100)),
            Some("16 MiB of keys, folders, tags and other names"),
        ),
        (
            rows(80, |_| secret_row(0, "").replace("KEY", &long)),
            Some("16 MiB of keys, folders, tags and other names"),
        ),
        (
            rows(80, |_| secret_row(0, &format!("\"{long}\""))),
            Some("16 MiB of keys, folders, tags and other names"),
        ),
    ] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        phase.respond("", Responder::json(200, &body));
        let sandbox = Sandbox::new(&phase);
        let output = print_key_of_large_response(&sandbox).output();
        match exceeded {
            None => assert_eq!(output.assert_ok().text(), "value\n"),
            Some(exceeded) => {
                let output = output.assert_error(125, "protocol");
                let message = format!("the response has more than {exceeded} (line 1, column ");
                assert!(output.stderr.contains(&message), "{output}");
            }
        }
    }
}

/// The rows of an end-to-end encrypted app are counted before any is decrypted: these cannot be.
#[test]
fn encrypted_rows_are_counted_before_decryption() {
    let mut world = World::empty();
    let shop = world.app("shop").e2e();
    shop.environment("Production", "prod")
        .secret("/", "KEY", "value");
    let phase = Phase::serve(world);
    let body = rows(10_001, |number| secret_row(number, ""));
    phase.respond("/service/secrets/", Responder::json(200, &body).after(1));
    let sandbox = Sandbox::new(&phase);
    let output = sandbox
        .run(SHOP)
        .arg("true")
        .output()
        .assert_error(125, "protocol");
    assert!(
        output.stderr.contains("more than 10,000 encrypted secrets"),
        "{output}"
    );
}

/// The response has to fit into memory, and then a copy of each value in it.
#[test]
fn lack_of_memory_is_an_error() {
    if !require_linux("only Linux limits the address space") {
        return;
    }
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    let mut missing = vec![
        "not enough memory for the response\n",
        "the response has more than fits into memory (line 1, column ",
    ];
    // The second limit is a few mebibytes above the first. How much the program itself needs varies.
    for mebibytes in (120..400).step_by(4) {
        phase.respond("", Responder::endless(60 << 20).times(1));
        let run = print_key_of_large_response(&sandbox);
        let output = run.limit(Resource::RLIMIT_AS, mebibytes << 20).output();
        if output.status == Status::Exited(125) {
            missing.retain(|message| !output.stderr.contains(message));
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("no limit leads to {missing:?}");
}

/// The response has to fit into memory, and then a copy of each encrypted value in it.
#[test]
fn lack_of_memory_for_encrypted_value_is_an_error() {
    if !require_linux("only Linux limits the address space") {
        return;
    }
    let value = "v".repeat(4 << 20);
    let phase = Phase::serve(e2ee_world(&[("/", "KEY", &value)]));
    let sandbox = Sandbox::new(&phase);
    let is_told = |mebibytes: u64| {
        let run = sandbox.run(SHOP).args(["--file", "KEY", "true"]);
        let output = run.limit(Resource::RLIMIT_AS, mebibytes << 20).output();
        output
            .stderr
            .contains("the response has more than fits into memory (line 1, column ")
    };
    // How much the program itself needs varies. With musl it is little, and few limits lead to the error.
    let mut limits = (8..24).chain((24..100).step_by(2));
    assert!(limits.any(is_told), "no limit leads to it");
}

/// A list of apps and environments is copied several times.
#[test]
fn list_of_apps_may_have_16_mib() {
    for (token, address) in [
        (service_token(), "/service/secrets/tokens/"),
        (bearer(), "/v1/apps/"),
    ] {
        let phase = Phase::serve(shop_world([("KEY", "value")]));
        let sandbox = Sandbox::new(&phase);
        phase.respond(address, Responder::endless((16 << 20) + 1));
        let run = sandbox.run(SHOP).args(["--timeout", "60", "true"]);
        let output = run.env("PHASE_SERVICE_TOKEN", token).output();
        let output = output.assert_error(125, "protocol");
        let message =
            "larger than 16777216 bytes, which is the limit for a list of apps and environments\n";
        assert!(output.stderr.contains(message), "{output}");
    }
}

/// Runs phase-run against a server that sends a response with these headers.
fn answered_with_headers(headers: &str) -> Output {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n");
    answered(Box::leak(head.into_boxed_str()), BODY)
}

/// Some gateways add far more than 100 headers. The message names both limits.
#[test]
fn response_may_have_1000_headers() {
    let headers = |count| -> String { (1..count).map(|n| format!("X-{n}: yes\r\n")).collect() };
    for count in [101, 1_000] {
        let output = answered_with_headers(&headers(count)).assert_status(Status::Exited(0));
        assert_eq!(output.text(), "value\n");
    }
    let long = format!("X-Long: {}\r\n", "x".repeat(5_000_000));
    for headers in [headers(1_001), long] {
        let output = answered_with_headers(&headers).assert_error(125, "protocol");
        let why = "the head of the response is too large: at most 1000 headers and 408 KiB are accepted\n";
        assert!(output.stderr.ends_with(why), "{output}");
    }
}

/// The JSON of the secrets, compressed with gzip (RFC 1952) in one stored block.
const GZIPPED: &[u8] =
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x02\0\xfd\xff[]\x29\x4c\xe2\xe3\x02\0\0\0";

/// phase-run asks for an uncompressed response. A gateway that compresses it all the same is named.
#[test]
fn compressed_response_is_named() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let gzip = |status| {
        Responder::raw(status, "application/json", GZIPPED.to_vec())
            .header("Content-Encoding", "gzip")
    };
    let sandbox = Sandbox::new(&phase);
    for (responder, kind, why) in [
        (
            gzip(200),
            "protocol",
            "the response is compressed (gzip), although phase-run asked for an uncompressed one",
        ),
        (
            gzip(200).header("Content-Encoding", "identity, x-own"),
            "protocol",
            "is compressed (an unknown coding)",
        ),
        (
            gzip(404),
            "protocol",
            "status 404, with a compressed body (gzip)",
        ),
        (gzip(503), "server", "503"),
    ] {
        phase.respond("/v1/secrets/", responder);
        let output = print_key_with(&sandbox, &[])
            .output()
            .assert_error(125, kind);
        assert!(output.stderr.contains(why), "{output}");
    }
    // A transient status is retried, whatever its body is.
    phase.respond("/v1/secrets/", Responder::json(200, BODY));
    phase.respond("/v1/secrets/", gzip(503).times(1));
    let output = print_key_with(&sandbox, &["--max-wait", "30"]).output();
    assert_eq!(output.assert_retried().text(), "value\n");
    // An encoding of `identity` is none.
    phase.respond(
        "/v1/secrets/",
        Responder::json(200, BODY).header("Content-Encoding", "Identity"),
    );
    let output = print_key_with(&sandbox, &[]).output().assert_ok();
    assert_eq!(output.text(), "value\n");
}
