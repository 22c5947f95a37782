//! Trust in a proxy: its certificate is verified like that of Phase, and no message shows any part of
//! its password, however its address is written.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use fake_phase::{Certificate, Options, Phase};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::{ServerConfig, ServerConnection};

use crate::proxy::print_key;
use crate::support::{
    Sandbox, connecting_proxy, fake_server, refusing_proxy, require_linux, shop_id, shop_world,
};

/// A server that accepts TLS and passes the content on to the proxy at `inner`.
fn tls_proxy(config: Arc<ServerConfig>, inner: SocketAddr) -> SocketAddr {
    fake_server(move |socket| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let inner = TcpStream::connect(inner).unwrap();
        // The client reports how the connection ended.
        let _ = copy_both_ways(tls, socket, inner);
    })
}

/// Copies in both directions until one side closes.
fn copy_both_ways(
    mut tls: ServerConnection,
    mut outer: TcpStream,
    mut inner: TcpStream,
) -> io::Result<()> {
    loop {
        while tls.wants_write() {
            tls.write_tls(&mut outer)?;
        }
        let mut sides =
            [outer.as_fd(), inner.as_fd()].map(|side| PollFd::new(side, PollFlags::POLLIN));
        poll(&mut sides, PollTimeout::NONE)?;
        let [from_outer, from_inner] = sides.map(|side| side.any().unwrap_or(false));
        if from_outer {
            if tls.read_tls(&mut outer)? == 0 {
                return Ok(());
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut plain)?;
            inner.write_all(&plain)?;
        }
        if from_inner {
            let mut plain = [0; 8192];
            let count = inner.read(&mut plain)?;
            if count == 0 {
                return Ok(());
            }
            tls.writer().write_all(&plain[..count])?;
        }
    }
}

/// The certificate of an https proxy is verified with the same roots. TLS with Phase runs inside that
/// connection.
#[test]
fn https_proxy_carries_the_fetch() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary("hunter22-word");
    let (inner, requests) = connecting_proxy(phase.port());
    let port = tls_proxy(phase.tls(), inner).port();
    for name in ["localhost", "127.0.0.1"] {
        let proxy = format!("https://user:hunter22-word@{name}:{port}");
        let output = print_key(&sandbox)
            .env("https_proxy", proxy)
            .output()
            .assert_ok();
        assert_eq!(output.text(), "value\n");
        let lines = requests.recv().unwrap();
        assert_eq!(
            lines[0],
            format!("CONNECT localhost:{} HTTP/1.1", phase.port())
        );
        let authorization = "Proxy-Authorization: Basic dXNlcjpodW50ZXIyMi13b3Jk";
        let has = lines
            .iter()
            .any(|line| line.eq_ignore_ascii_case(authorization));
        assert!(has, "{lines:?}");
    }
    // An error in the certificate of Phase names Phase, not the proxy.
    let run = print_key(&sandbox).env("https_proxy", format!("https://localhost:{port}"));
    let run = run.env("PHASE_HOST", "https://phase.example.invalid");
    let output = run.output().assert_error(125, "tls");
    let said =
        "TLS connection to phase.example.invalid failed: its certificate is for another host name";
    assert!(output.stderr.contains(said), "{output}");
}

/// A proxy with an invalid certificate gets no request, and the message says whose certificate it is.
#[test]
fn untrusted_https_proxy_is_named() {
    let proxy_refused = |sandbox: &Sandbox, port: u16, why: &str| {
        let proxy = format!("https://user:hunter22-word@localhost:{port}");
        let output = print_key(sandbox).env("https_proxy", proxy).output();
        let output = output.assert_error(125, "tls");
        let name = format!("the proxy localhost:{port}");
        let failed = match why.contains("unknown CA") {
            true => format!("cannot trust {name}: {why}"),
            false => format!("TLS connection to {name} failed: {why}"),
        };
        assert!(output.stderr.contains(&failed), "{output}");
    };
    for (certificate, why) in [
        (
            Certificate::UnknownCa,
            "its certificate is signed by an unknown CA",
        ),
        (
            Certificate::OtherName,
            "its certificate is for another host name",
        ),
        (Certificate::Expired, "its certificate has expired"),
    ] {
        let options = Options {
            certificate,
            ..Options::default()
        };
        let other = Phase::with(shop_world([("KEY", "value")]), options);
        let mut sandbox = Sandbox::new(&other);
        sandbox.canary("hunter22-word");
        proxy_refused(&sandbox, other.port(), why);
        assert!(other.requests().is_empty());
    }
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let plain = fake_server(|mut socket| {
        let _ = socket.read(&mut [0; 64]);
        let _ = socket.write_all(b"HTTP/1.1 400 No\r\n\r\n");
    });
    let sandbox = Sandbox::new(&phase);
    proxy_refused(&sandbox, plain.port(), "it does not speak TLS on this port");
}

/// No message shows user or password. In an invalid address they may be anywhere, so only the scheme is
/// shown.
#[test]
fn invalid_proxy_address_shows_only_its_scheme() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary("hunter22");
    let cases: [(&[u8], &str); 9] = [
        (b"http://user:hunter22\xff@proxy.test:1", "…"),
        (b"http://user:hunter22", "http://…"),
        (b"user:hunter22", "…"),
        (b"socks5://user:hunter22@proxy.test", "socks5://…"),
        (b"http://user:4711/hunter22@proxy.test:1", "http://…"),
        (b"http://user:4711?hunter22@proxy.test:1", "http://…"),
        (b"user:4711#hunter22@proxy.test:1", "…"),
        (b"http://user:4711\\hunter22@proxy.test:1", "http://…"),
        (b"user:hunter22%0a@proxy.test:1", "…"),
    ];
    for (proxy, shown) in cases {
        let entry = [b"HTTPS_PROXY=", proxy].concat();
        let output = print_key(&sandbox).env_bytes(entry).output();
        let output = output.assert_error(125, "config");
        let why = match shown {
            "socks5://…" => "SOCKS proxies are not supported",
            _ => "expected a proxy address (http://HOST:PORT or https://HOST:PORT)",
        };
        let said = format!("phase-run: error[config]: HTTPS_PROXY={shown}: {why}");
        let first_line = output.stderr.lines().next();
        let proxy = String::from_utf8_lossy(proxy);
        assert_eq!(first_line, Some(said.as_str()), "{proxy}");
    }
    assert_eq!(phase.connections(), 0);
}

/// The proxy of the test closes the connection without the end of TLS (close_notify).
#[test]
fn closing_https_proxy_is_named() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    let (inner, _requests) = refusing_proxy("");
    let proxy = format!("localhost:{}", tls_proxy(phase.tls(), inner).port());
    let run = print_key(&sandbox).env("https_proxy", format!("https://{proxy}"));
    let output = run.output().assert_error(125, "unreachable");
    let why = format!(": the proxy {proxy} closed the connection\n");
    assert!(output.stderr.contains(&why), "{output}");
}

/// The address of a proxy that no request goes through is not checked, and `-v` does not name it. In a
/// list that is partly not UTF-8, the other entries count.
#[test]
fn bypassed_proxy_is_not_checked() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    let id = shop_id();
    for list in [&b"localhost"[..], b"*", b"\xff,localhost"] {
        let words = ["--app", &id, "--env", "Production", "-v", "--", "true"];
        let run = sandbox.run(words).env("ALL_PROXY", "socks5://proxy.test");
        let output = run.env_bytes([b"NO_PROXY=", list].concat()).output();
        let output = output.assert_status(crate::support::Status::Exited(0));
        assert!(!output.stderr.contains("proxy"), "{output}");
    }
}

/// Phase Cloud has two hosts, and `no_proxy` may name one of them. Secrets come from the second.
#[test]
fn no_proxy_applies_to_each_cloud_host() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let sandbox = Sandbox::new(&Phase::serve(shop_world([("KEY", "value")])));
    let [console, api] = ["console.phase.dev", "api.phase.dev"];
    sandbox.file("hosts", format!("127.0.0.1 {console} {api}\n"));
    for (list, expected) in [
        (console, &["CONNECT api.phase.dev:443 HTTP/1.1"][..]),
        (api, &[]),
    ] {
        let (address, requests) = refusing_proxy("HTTP/1.1 407 No\r\n\r\n");
        let run = print_key(&sandbox).env("PHASE_HOST", format!("https://{console}"));
        let run = run
            .env("no_proxy", list)
            .env("https_proxy", address.to_string());
        let run = run.in_namespaces(&["--mount"], "mount --bind hosts /etc/hosts && exec \"$@\"");
        let output = run.output().assert_error(125, "unreachable");
        let requests: Vec<String> = requests
            .try_iter()
            .filter_map(|head| head.into_iter().next())
            .collect();
        assert_eq!(requests, expected, "{output}");
        let why = "cannot reach api.phase.dev: ";
        assert!(output.stderr.contains(why), "{output}");
    }
}
