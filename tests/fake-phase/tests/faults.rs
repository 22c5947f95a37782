//! The faults, as a client sees them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use fake_phase::{Certificate, Options, Phase, Responder, World};

use crate::client::Client;

const SOON: Duration = Duration::from_secs(20);

fn serve(options: Options) -> Phase {
    Phase::with(World::captured(), options)
}

#[test]
fn latest_responder_wins_and_expires() {
    let phase = Phase::start();
    let mut client = Client::tls(&phase);
    phase.respond("/v1/", Responder::status(503).times(2));
    phase.respond("/v1/apps", Responder::rate_limited(7).times(1));
    let mut status = |target| client.request("GET", target, &[]).unwrap().status;
    assert_eq!(status("/other/"), 404);
    assert_eq!(
        [
            status("/v1/apps/"),
            status("/v1/apps/"),
            status("/v1/apps/")
        ],
        [429, 503, 503]
    );
    assert_eq!(status("/v1/apps/"), 401);
}

#[test]
fn headers_are_set_and_replaced() {
    let phase = Phase::start();
    let mut client = Client::tls(&phase);
    phase.respond("/", Responder::redirect("http://elsewhere.test/").times(1));
    let reply = client.request("GET", "/", &[]).unwrap();
    assert_eq!(
        (reply.status, reply.header("location")),
        (302, Some("http://elsewhere.test/"))
    );
    phase.respond(
        "/",
        Responder::html_login().header("content-type", "text/plain"),
    );
    let reply = client.request("GET", "/", &[]).unwrap();
    assert_eq!(
        (reply.status, reply.header("Content-Type")),
        (200, Some("text/plain"))
    );
}

#[test]
fn gate_holds_a_request_until_opened() {
    let phase = Phase::start();
    let gate = phase.gate("/v1/apps");
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            Client::tls(&phase)
                .request("GET", "/v1/apps/", &[])
                .unwrap()
        });
        gate.wait_for_request(SOON);
        assert_eq!(phase.wait_for_requests(1, SOON).len(), 1);
        assert!(!asking.is_finished());
        gate.open();
        assert_eq!(asking.join().unwrap().status, 401);
    });
}

#[test]
fn stalls_end_with_the_server() {
    let phase = Phase::start();
    let (mut first, mut second) = (Client::tls(&phase), Client::tls(&phase));
    phase.respond("/one", Responder::stall());
    phase.respond("/two", Responder::stall_after(20));
    first.send("GET", "/one", &[]).unwrap();
    second.send("GET", "/two", &[]).unwrap();
    assert_eq!(second.head().unwrap().status, 404);
    assert_eq!(second.bytes(20).unwrap().len(), 20);
    phase.wait_for_requests(2, SOON);
    drop(phase);
    assert!(first.reply().is_err());
    assert!(second.rest().0.is_empty());
}

#[test]
fn truncated_body_ends_without_close_notify() {
    let phase = Phase::start();
    phase.respond("/", Responder::truncate(10));
    let mut client = Client::tls(&phase);
    client.send("GET", "/", &[]).unwrap();
    assert_eq!(client.head().unwrap().header("Content-Length"), Some("179"));
    let (body, end) = client.rest();
    assert_eq!(
        (body.len(), end.unwrap_err().kind()),
        (10, ErrorKind::UnexpectedEof)
    );
}

#[test]
fn slow_drip_sends_the_whole_body() {
    let phase = Phase::start();
    phase.respond("/", Responder::slow_drip(Duration::from_micros(1)));
    let reply = Client::tls(&phase).request("GET", "/", &[]).unwrap();
    assert_eq!((reply.status, reply.body.len()), (404, 179));
}

#[test]
fn endless_body_is_chunked_and_has_its_length() {
    let phase = serve(Options {
        tls: false,
        ..Options::default()
    });
    phase.respond("/", Responder::endless(200_000));
    let mut client = Client::plain(phase.port());
    client.send("GET", "/", &[]).unwrap();
    assert_eq!(
        client.head().unwrap().header("Transfer-Encoding"),
        Some("chunked")
    );
    let body = String::from_utf8(client.rest().0).unwrap();
    let chunks: Vec<&str> = body.split("\r\n").skip(1).step_by(2).collect();
    let json: serde_json::Value = serde_json::from_str(&chunks.concat()).unwrap();
    assert_eq!(
        (chunks.concat().len(), json.as_array().unwrap().len()),
        (200_000, 1)
    );
}

#[test]
fn connections_reset_or_close_before_response() {
    let phase = serve(Options {
        tls: false,
        ..Options::default()
    });
    phase.respond("/reset", Responder::reset());
    phase.respond("/close", Responder::close());
    let mut client = Client::plain(phase.port());
    client.send("GET", "/reset", &[]).unwrap();
    assert_eq!(
        client.reply().unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    let mut client = Client::plain(phase.port());
    client.send("GET", "/close", &[]).unwrap();
    assert_eq!(client.reply().unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn bad_certificates_are_bad_in_one_way() {
    for (certificate, word) in [
        (Certificate::UnknownCa, "UnknownIssuer"),
        (Certificate::OtherName, "not valid for name"),
        (Certificate::Expired, "expired"),
    ] {
        let phase = serve(Options {
            certificate,
            ..Options::default()
        });
        let error = Client::tls(&phase)
            .request("GET", "/", &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!((phase.requests().len(), phase.connections()), (0, 1));
    }
}

#[test]
fn prefix_applies_to_all_endpoints() {
    let phase = serve(Options {
        path_prefix: "/phase".into(),
        ..Options::default()
    });
    let mut client = Client::tls(&phase);
    assert_eq!(
        client
            .request("GET", "/phase/service/public/v1/apps/", &[])
            .unwrap()
            .status,
        401
    );
    assert_eq!(
        client
            .request("GET", "/service/public/v1/apps/", &[])
            .unwrap()
            .status,
        404
    );
    let last = client
        .request("GET", "/phase/v1/apps/", &[("Connection", "close")])
        .unwrap();
    assert_eq!(last.header("connection"), Some("close"));
    assert_eq!(client.rest().1.unwrap(), 0);
    assert!(phase.requests().iter().all(|request| request.tls));
}

#[test]
fn plain_http_on_the_tls_port_is_a_bad_request() {
    let phase = Phase::start();
    let reply = Client::plain(phase.port())
        .request("GET", "/v1/apps/", &[])
        .unwrap();
    assert_eq!((reply.status, phase.requests().len()), (400, 0));
}

#[test]
fn dropped_server_frees_its_port() {
    let phase = Phase::start();
    let port = phase.port();
    let mut open = TcpStream::connect(("127.0.0.1", port)).unwrap();
    open.write_all(b"\x16").unwrap();
    drop(phase);
    // Whether it ends or is reset depends on what was still unread.
    assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)));
    let again = serve(Options {
        port,
        ..Options::default()
    });
    assert_eq!(
        Client::tls(&again).request("GET", "/", &[]).unwrap().status,
        404
    );
}
