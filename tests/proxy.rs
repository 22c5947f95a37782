//! Proxies: which one is used for which hosts (as curl(1) decides), what it is sent, and how it can fail.

use std::net::{SocketAddr, TcpStream};

use fake_phase::Phase;

use crate::support::{
    Output, Run, Sandbox, Status, connecting_proxy, eventually, fake_server, refusing_proxy,
    require_programs, shop_id, shop_world, stay_silent, unused_port,
};

const PASSWORD: &str = "p:ss w@rd";

pub(crate) fn print_key(sandbox: &Sandbox) -> Run<'_> {
    let id = shop_id();
    let words = ["--app", &id, "--env", "Production", "--timeout", "2"];
    sandbox
        .run(words)
        .args(["--", "printenv", "KEY"])
        .allow_secrets_on_stdout()
}

/// Runs curl and phase-run with the same variables. The proxy gets the same requests from both, or none.
#[test]
fn proxy_choice_matches_curl() {
    if !require_programs(&["curl"]) {
        return;
    }
    const NAME: &str = "https://www.example.invalid";
    const V4: &str = "https://127.0.0.9:9";
    const V6: &str = "https://[::1]:9";
    let sandbox = Sandbox::new(&Phase::serve(shop_world([("KEY", "value")])));
    // PROXY stands for the address of the proxy, DEAD for one where nothing listens.
    let cases: [(&str, &[(&str, &str)]); 46] = [
        (NAME, &[]),
        (NAME, &[("https_proxy", "PROXY")]),
        (NAME, &[("https_proxy", "http://PROXY")]),
        (NAME, &[("https_proxy", "http://PROXY/")]),
        (NAME, &[("HTTPS_PROXY", "PROXY")]),
        (NAME, &[("all_proxy", "PROXY")]),
        (NAME, &[("ALL_PROXY", "PROXY")]),
        (NAME, &[("https_proxy", "PROXY"), ("HTTPS_PROXY", "DEAD")]),
        (NAME, &[("https_proxy", "DEAD"), ("HTTPS_PROXY", "PROXY")]),
        (NAME, &[("HTTPS_PROXY", "PROXY"), ("all_proxy", "DEAD")]),
        (NAME, &[("all_proxy", "PROXY"), ("ALL_PROXY", "DEAD")]),
        (NAME, &[("https_proxy", ""), ("all_proxy", "PROXY")]),
        (NAME, &[("http_proxy", "PROXY")]),
        (NAME, &[("https_proxy", "user:word@PROXY")]),
        (NAME, &[("https_proxy", "http://us%40er:w%3Ard@PROXY")]),
        (NAME, &[("https_proxy", "user@PROXY")]),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "*")]),
        (
            NAME,
            &[
                ("https_proxy", "PROXY"),
                ("no_proxy", "www.example.invalid"),
            ],
        ),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", "example.invalid")],
        ),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", ".example.invalid")],
        ),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", "EXAMPLE.invalid")],
        ),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", "ample.invalid")],
        ),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "invalid")]),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", "a.test,invalid")],
        ),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", "a.test invalid")],
        ),
        (
            NAME,
            &[
                ("https_proxy", "PROXY"),
                ("no_proxy", "a.www.example.invalid"),
            ],
        ),
        (NAME, &[("https_proxy", "PROXY"), ("NO_PROXY", "invalid")]),
        (
            NAME,
            &[
                ("https_proxy", "PROXY"),
                ("no_proxy", "a.test"),
                ("NO_PROXY", "invalid"),
            ],
        ),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "a.test,*")]),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "* ")]),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "*.invalid")]),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "..invalid")]),
        (NAME, &[("https_proxy", "PROXY"), ("no_proxy", "invalid.")]),
        (
            NAME,
            &[("https_proxy", "PROXY"), ("no_proxy", "invalid:443")],
        ),
        (
            V4,
            &[("https_proxy", "PROXY"), ("no_proxy", "127.0.0.9/33")],
        ),
        (V4, &[("https_proxy", "PROXY"), ("no_proxy", "0.0.0.0/0")]),
        (V4, &[("https_proxy", "PROXY"), ("no_proxy", "127.0.0.9:9")]),
        (V4, &[("https_proxy", "PROXY")]),
        (V4, &[("https_proxy", "PROXY"), ("no_proxy", "127.0.0.9")]),
        (V4, &[("https_proxy", "PROXY"), ("no_proxy", "127.0.0.0/8")]),
        (
            V4,
            &[("https_proxy", "PROXY"), ("no_proxy", "127.0.0.0/29")],
        ),
        (
            V4,
            &[
                ("https_proxy", "PROXY"),
                ("no_proxy", "10.0.0.0/8,127.0.0.8/31"),
            ],
        ),
        (V4, &[("https_proxy", "PROXY"), ("no_proxy", "0.9")]),
        (V6, &[("https_proxy", "PROXY")]),
        (V6, &[("https_proxy", "PROXY"), ("no_proxy", "::1")]),
        (V6, &[("https_proxy", "PROXY"), ("no_proxy", "::2")]),
    ];
    let dead = SocketAddr::from(([127, 0, 0, 1], unused_port()));
    for (host, variables) in cases {
        let (address, requests) = refusing_proxy("HTTP/1.1 407 No\r\n\r\n");
        let with = |run: Run<'_>| {
            let mut run = run;
            for (name, value) in variables {
                let value = value.replace("PROXY", &address.to_string());
                run = run.env(name, value.replace("DEAD", &dead.to_string()));
            }
            let _ = run.output();
            let lines: Vec<String> = requests.try_iter().flatten().collect();
            let kept = |line: &String| {
                line.starts_with("CONNECT")
                    || line.starts_with("Proxy-Auth")
                    || line.starts_with("proxy-auth")
            };
            lines
                .into_iter()
                .filter(kept)
                .map(|line| line.to_lowercase())
                .collect::<Vec<_>>()
        };
        let curl = with(sandbox.bare(["curl", "-sk", "--max-time", "2", host]));
        let ours = with(print_key(&sandbox).env("PHASE_HOST", host));
        assert_eq!(ours, curl, "{host} {variables:?}");
    }
}

/// TLS ends at Phase, not at the proxy, and the proxy resolves the name.
#[test]
fn proxy_tunnels_tls_to_phase() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    let (address, requests) = connecting_proxy(phase.port());
    for login in ["", "user:p%3Ass%20w%40rd@"] {
        let mut sandbox = Sandbox::new(&phase);
        sandbox.canary(PASSWORD);
        sandbox.canary("p%3Ass%20w%40rd");
        sandbox.canary("dXNlcjpwOnNzIHdAcmQ=");
        let run = print_key(&sandbox).env("https_proxy", format!("http://{login}{address}"));
        let output = run.env("PHASE_LOG_FORMAT", "text").output().assert_ok();
        assert_eq!(output.text(), "value\n");
        let lines = requests.recv().unwrap();
        let port = phase.port();
        assert_eq!(lines[0], format!("CONNECT localhost:{port} HTTP/1.1"));
        let authorization = lines
            .iter()
            .find(|line| line.to_lowercase().starts_with("proxy-authorization"));
        let authorization = authorization.map(|line| line.split_once(": ").unwrap().1);
        let expected = (!login.is_empty()).then_some("Basic dXNlcjpwOnNzIHdAcmQ=");
        assert_eq!(authorization, expected);
        assert!(
            !lines.iter().any(|line| line.contains("Bearer")),
            "{lines:?}"
        );
    }
    // A certificate for another host is refused through a proxy too.
    let run = print_key(&sandbox).env("https_proxy", address.to_string());
    let run = run.env("PHASE_HOST", "https://phase.example.invalid");
    let _ = run.output().assert_error(125, "tls");
    assert_eq!(phase.requests().len(), 2);
}

/// The log names the proxy and the variable that holds it, but never its password.
#[test]
fn verbose_log_names_proxy_without_password() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary("hunter22-word");
    let (address, _requests) = connecting_proxy(phase.port());
    let id = shop_id();
    let run = sandbox.run(["--app", &id, "--env", "Production", "-vv", "--", "true"]);
    let run = run.env("ALL_PROXY", format!("http://user:hunter22-word@{address}"));
    let output = run.output().assert_status(Status::Exited(0));
    let said = format!("phase-run: using the proxy {address} (from ALL_PROXY)\n");
    assert!(output.stderr.contains(&said), "{output}");
}

fn fetch_through(sandbox: &Sandbox, proxy: &str) -> Output {
    print_key(sandbox).env("HTTPS_PROXY", proxy).output()
}

/// If a proxy refuses, closes the connection, stays silent or cannot be reached, the message names it.
#[test]
fn failing_proxy_is_named() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary("hunter22-word");
    let cases: [(&'static str, &str); 5] = [
        (
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
            "the proxy PROXY rejected the credentials (407)",
        ),
        (
            "HTTP/1.1 403 No\r\n\r\n",
            "the proxy PROXY refused to connect to it (403)\n",
        ),
        (
            "HTTP/1.1 502 No\r\n\r\n",
            "the proxy PROXY refused to connect to it (502)\n",
        ),
        (
            "what?\r\n\r\n",
            "the proxy PROXY refused to connect to it\n",
        ),
        ("", "the proxy PROXY closed the connection"),
    ];
    for (answer, why) in cases {
        let (address, requests) = refusing_proxy(answer);
        let proxy = format!("http://user:hunter22-word@{address}");
        let run = || print_key(&sandbox).env("HTTPS_PROXY", &proxy);
        let output = run().output().assert_status(Status::Exited(125));
        let why = why.replace("PROXY", &address.to_string());
        assert!(
            output.stderr.contains(&format!(
                "error[unreachable]: cannot reach localhost:{}: {why}",
                phase.port()
            )),
            "{output}"
        );
        // Wrong credentials are not retried. Near the limit, no time may be left to ask for the status.
        let _ = requests.try_iter().count();
        let output = run().env("PHASE_MAX_WAIT", "2").output();
        let tries = requests.try_iter().count();
        assert_eq!(tries == 1, answer.contains("407"), "{output}");
    }
    let silent = fake_server(stay_silent);
    let output = fetch_through(&sandbox, &silent.to_string()).assert_error(125, "unreachable");
    assert!(
        output
            .stderr
            .contains(&format!("through the proxy {silent}")),
        "{output}"
    );
    let dead = SocketAddr::from(([127, 0, 0, 1], unused_port()));
    let output = fetch_through(&sandbox, &dead.to_string()).assert_error(125, "unreachable");
    assert!(
        output
            .stderr
            .contains(&format!("connection refused (through the proxy {dead})")),
        "{output}"
    );
    let output = fetch_through(&sandbox, "proxy.invalid:3128").assert_error(125, "unreachable");
    let why = format!(
        "cannot reach localhost:{}: name resolution of the proxy proxy.invalid:3128 failed: ",
        phase.port()
    );
    assert!(output.stderr.contains(&why), "{output}");
    assert!(!output.stderr.contains("through the proxy"), "{output}");
}

/// A scheme other than http or https is a `config` error, and nothing is sent.
#[test]
fn unsupported_proxy_scheme_is_refused() {
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary("hunter22-word");
    for proxy in [
        "socks5://proxy.test:1080",
        "socks5h://user:hunter22-word@proxy.test",
        "ftp://proxy.test",
        "http://:3128",
        "http://user:hunter22-word@proxy.test:x",
    ] {
        let output = fetch_through(&sandbox, proxy).assert_error(125, "config");
        assert!(
            output.stderr.contains("error[config]: HTTPS_PROXY="),
            "{output}"
        );
    }
    assert!(phase.requests().is_empty());
}

/// A real proxy with a password.
#[test]
fn tinyproxy_carries_the_fetch() {
    if !require_programs(&["tinyproxy"]) {
        return;
    }
    let phase = Phase::serve(shop_world([("KEY", "value")]));
    let sandbox = Sandbox::new(&phase);
    let port = unused_port();
    let lines =
        format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nBasicAuth user word\n");
    let configuration = sandbox.file("tinyproxy.conf", lines);
    let words = ["tinyproxy", "-d", "-c", configuration.to_str().unwrap()];
    let proxy = sandbox.bare(words).spawn();
    eventually("the proxy listens", || {
        TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.kind())
    });
    let output = fetch_through(&sandbox, &format!("user:word@127.0.0.1:{port}")).assert_ok();
    assert_eq!(output.text(), "value\n");
    let output = fetch_through(&sandbox, &format!("user:wrong@127.0.0.1:{port}"));
    let output = output.assert_error(125, "unreachable");
    assert!(
        output.stderr.contains("refused to connect") || output.stderr.contains("407"),
        "{output}"
    );
    proxy.kill(libc::SIGTERM);
    let _ = proxy.wait();
}
