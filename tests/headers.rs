//! `--header-file`: headers for a gateway in front of Phase, treated like the token.

use std::path::PathBuf;

use fake_phase::Responder;

use crate::support::{
    Shop, Status, await_restart, require_linux, set_mode, set_secret_value, shop, spawn_watched,
    stop_watched, watched_shop,
};

const HEADERS: &str = "# for the gateway\n\nCF-Access-Client-Id: an id of some length\r\n\
                       CF-Access-Client-Secret:  a secret of the gateway \nX-Twice: 1\nX-Twice: 2";

fn file(shop: &Shop, content: &str) -> PathBuf {
    shop.private_file("headers", content)
}

/// Each request has the headers, without the white space around their values; no message has them.
#[test]
fn every_request_has_gateway_headers() {
    for variable in [false, true] {
        let mut shop = shop([("KEY", "value")]);
        shop.canary("a secret of the gateway");
        let path = file(&shop, HEADERS);
        let run = shop.run_with(&["-vv"]).arg("true");
        let run = match variable {
            true => run.env("PHASE_HEADER_FILE", &path),
            false => shop
                .run_with(&["-vv", "--header-file", path.to_str().unwrap()])
                .arg("true"),
        };
        let _ = run.output().assert_status(Status::Exited(0));
        let requests = shop.phase.requests();
        assert!(requests.len() > 1);
        for request in requests {
            assert_eq!(
                request.header("cf-access-client-id"),
                Some("an id of some length")
            );
            assert_eq!(
                request.header("cf-access-client-secret"),
                Some("a secret of the gateway")
            );
            assert!(request.header("authorization").is_some());
        }
    }
}

/// What a server repeats of the headers is redacted, in an error and in the target of a redirect.
#[test]
fn repeated_gateway_headers_are_redacted() {
    let mut shop = shop([("KEY", "value")]);
    shop.canary("a secret of the gateway");
    shop.canary("id of some length");
    let _ = file(&shop, HEADERS);
    let said = "no: a secret of the gateway, an id of some length";
    for responder in [
        Responder::error(403, said),
        Responder::redirect(&format!("https://gateway.test/{said}")),
    ] {
        shop.phase.respond("/", responder);
        let run = shop
            .run_with(&["-vv", "--header-file", "headers"])
            .arg("true");
        let output = run.output().assert_status(Status::Exited(125));
        assert!(output.stderr.contains("no: …, …"), "{output}");
    }
}

/// The error about a header file has the number of the line and never its content.
#[test]
fn invalid_header_line_is_named_not_quoted() {
    let mut shop = shop([("KEY", "value")]);
    shop.canary("word of the gateway");
    for (content, why) in [
        ("word of the gateway", "line 1: expected Name: value"),
        (
            "A: b\n\n: word of the gateway",
            "line 3: the header name is not valid",
        ),
        (
            "A B: word of the gateway",
            "line 1: the header name is not valid",
        ),
        (
            "Authorization: word of the gateway",
            "line 1: a header file must not set this header",
        ),
        (
            "# x\nhost: word of the gateway",
            "line 2: a header file must not set this header",
        ),
        (
            "A: word of the gateway\u{1}",
            "line 1: the value has control characters",
        ),
    ] {
        let path = file(&shop, content);
        let output = shop
            .run_with(&["--header-file", "headers"])
            .arg("true")
            .output();
        let output = output.assert_error(125, "config");
        let said = format!("cannot use the header file headers (from --header-file): {why}\n");
        assert!(output.stderr.ends_with(&said), "{output}");
        drop(path);
    }
    let path = file(&shop, &format!("A: {}", "x".repeat(70_000)));
    for (path, why) in [
        (path, "it is longer than 65536 bytes"),
        ("none".into(), "no such file"),
        ("/".into(), "is a directory"),
    ] {
        let output = shop
            .run_with(&["--header-file", path.to_str().unwrap()])
            .arg("true")
            .output();
        assert!(output.stderr.contains(why), "{output}");
        let _ = output.assert_error(125, "config");
    }
    assert!(shop.phase.requests().is_empty());
}

/// An exposed header file gets the same warning as a token file.
#[test]
fn exposed_header_file_warns_its_owner() {
    let shop = shop([("KEY", "value")]);
    let path = file(&shop, HEADERS);
    set_mode(&path, 0o644);
    let output = shop
        .run_with(&["--header-file", "headers"])
        .arg("true")
        .output();
    let output = output.assert_status(Status::Exited(0));
    assert_eq!(
        output.stderr,
        "phase-run: warning: other users can read the file headers (mode 0644): run chmod 600 on it\n"
    );
}

/// Each poll of a watch reads the file again, so it must be a regular file.
#[test]
fn watch_rereads_header_file() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    let shop = watched_shop();
    let path = file(&shop, "X-Gateway: one");
    let run = shop.run_with(&["--watch", "1", "--header-file", "headers"]);
    let mut running = spawn_watched(run, "echo \"value $SECRET\"; exec \"$0\" serve 2");
    std::fs::write(&path, "X-Gateway: two").unwrap();
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let requests = shop.phase.requests();
    assert_eq!(requests.last().unwrap().header("x-gateway"), Some("two"));
    let _ = stop_watched(running);

    let (reader, _writer) = std::io::pipe().unwrap();
    let words = ["--watch", "1", "--header-file", "/dev/fd/7"];
    let output = shop
        .run_with(&words)
        .arg("true")
        .pass_descriptor(reader, 7)
        .output();
    let output = output.assert_error(125, "config");
    assert!(
        output.stderr.contains("requires a regular file"),
        "{output}"
    );
    // Without a watch, a pipe can be read.
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"X-Gateway: three").unwrap();
    drop(writer);
    let words = ["--header-file", "/dev/fd/7"];
    let _ = shop
        .run_with(&words)
        .arg("true")
        .pass_descriptor(reader, 7)
        .output()
        .assert_ok();
}
