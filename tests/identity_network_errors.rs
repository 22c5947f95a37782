//! Failures between the machine and its cloud: timeouts, refusals, redirects, other hosts and proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::scope;
use std::time::{Duration, Instant};

use fake_phase::{Phase, Responder, World, aws, azure};
use serde_json::json;

use crate::identity::MakeRun;
use crate::identity_aws::{container, web_identity};
use crate::identity_azure::{app_service, client_secret, workload};
use crate::support::{
    CloudMachine, Output, Run, Status, cloud_machine, connecting_proxy, fake_server,
    refusing_proxy, stay_silent, unresponsive_port, unused_port,
};

/// More than a slow machine adds, and less than a `--max-wait` of 300 seconds.
const SLACK: Duration = Duration::from_secs(60);

/// Each source that needs the network, a part of the path of its first request, and a run that uses it.
const REMOTE_SOURCES: [(&str, &str, MakeRun); 7] = [
    ("web identity", "/", |machine| {
        web_identity(machine, machine.run_with_identity("aws", &[]))
    }),
    ("container", "/v2/credentials", |machine| {
        container(machine, machine.run_with_identity("aws", &[]))
    }),
    ("instance", "/latest/api/token", |machine| {
        machine
            .run_with_identity("aws", &[])
            .unset("AWS_EC2_METADATA_DISABLED")
    }),
    ("client secret", "/oauth2/v2.0/token", |machine| {
        client_secret(machine, machine.run_with_identity("azure", &[]))
    }),
    ("workload", "/oauth2/v2.0/token", |machine| {
        workload(machine, machine.run_with_identity("azure", &[]))
    }),
    ("App Service", "/msi/token", |machine| {
        app_service(machine, machine.run_with_identity("azure", &[]))
    }),
    ("Azure's instance", "/metadata/identity", |machine| {
        machine.run_with_identity("azure", &[])
    }),
];

/// The sources that are public services, not metadata services.
const SERVICES: [&str; 3] = ["web identity", "client secret", "workload"];

/// Sets the region whose STS endpoint the fake Phase expects.
fn in_us_east_1<'a>(
    run_with_source: fn(&'a CloudMachine) -> Run<'a>,
    machine: &'a CloudMachine,
) -> Run<'a> {
    run_with_source(machine).env("AWS_REGION", "us-east-1")
}

/// A transient failure does not matter. A metadata request is retried once, one to STS or Entra for
/// as long as `--max-wait` allows.
#[test]
fn cloud_request_is_retried() {
    for (name, path, run_with_source) in REMOTE_SOURCES {
        for responder in [
            Responder::status(500),
            Responder::html(503),
            Responder::close(),
            Responder::reset(),
        ] {
            let machine = cloud_machine();
            machine.cloud.respond(path, responder.clone().times(1));
            let _ = machine
                .assert_gets_value(in_us_east_1(run_with_source, &machine))
                .assert_retried()
                .assert_ok();
            assert!(machine.cloud_requests().len() >= 2, "{name}");
        }
        if SERVICES.contains(&name) {
            continue;
        }
        let machine = cloud_machine();
        machine.cloud.respond(path, Responder::status(500));
        let _ = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
        assert_eq!(machine.cloud_requests().len(), 2, "{name}");
        assert!(machine.phase.requests().is_empty());
    }
}

/// A refusal is not retried, and its status is reported.
#[test]
fn cloud_refusal_is_final_and_reported() {
    for (name, path, run_with_source) in REMOTE_SOURCES {
        for status in [400, 401, 403, 404] {
            let machine = cloud_machine();
            machine
                .cloud
                .respond(path, Responder::error(status, "the reason"));
            let output = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
            let told = output.stderr.contains(&status.to_string());
            assert!(told, "{name}\n{output}");
            assert_eq!(machine.cloud_requests().len(), 1, "{name} {status}");
            assert!(machine.phase.requests().is_empty());
        }
    }
}

/// HTML, other JSON, an empty or a binary body are errors.
#[test]
fn malformed_cloud_response_is_an_error() {
    for (name, path, run_with_source) in REMOTE_SOURCES {
        for responder in [
            Responder::html_login(),
            Responder::json(200, "{}"),
            Responder::json(200, r#"{"access_token": 5, "AccessKeyId": null}"#),
            Responder::raw(200, "text/plain", Vec::new()),
            Responder::raw(200, "text/plain", b"\x1b[31m\0\xff\r\n".into()),
        ] {
            let machine = cloud_machine();
            machine.cloud.respond(path, responder);
            let output = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
            assert!(machine.phase.requests().is_empty(), "{name}\n{output}");
        }
    }
}

/// Credentials are short.
#[test]
fn cloud_response_may_have_1_mib() {
    for (name, path, run_with_source) in REMOTE_SOURCES {
        let machine = cloud_machine();
        machine
            .cloud
            .respond(path, Responder::endless((1 << 20) + 1));
        let output = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
        let why = ": the response is larger than 1048576 bytes";
        assert!(output.stderr.contains(why), "{name}\n{output}");
    }
}

/// A compressed response that nobody asked for is named.
#[test]
fn compressed_cloud_response_is_named() {
    for (name, path, run_with_source) in REMOTE_SOURCES {
        let machine = cloud_machine();
        let responder = Responder::json(200, "{}").header("Content-Encoding", "gzip");
        machine.cloud.respond(path, responder);
        let output = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
        let why =
            ": the response is compressed (gzip), although phase-run asked for an uncompressed one";
        assert!(output.stderr.contains(why), "{name}\n{output}");
    }
}

/// A redirect of a cloud request is an error and is not followed.
#[test]
fn cloud_redirect_is_not_followed() {
    for (name, path, run_with_source) in REMOTE_SOURCES {
        for status in [301, 302, 307, 308] {
            let (machine, other) = (cloud_machine(), cloud_machine());
            let to = format!("{}{path}", other.cloud.host());
            let responder = Responder::raw(status, "text/plain", Vec::new());
            machine
                .cloud
                .respond(path, responder.header("Location", &to));
            let output = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
            assert!(output.stderr.contains("redirect"), "{name}\n{output}");
            assert_eq!(other.cloud.connections(), 0, "{name}");
            assert_eq!(machine.cloud_requests().len(), 1, "{name}");
        }
    }
}

/// Where packets are lost, two tries of one second each are made.
#[test]
fn dead_metadata_address_costs_two_seconds() {
    let (listener, _queue) = unresponsive_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = listener.local_addr().unwrap();
    let machine = cloud_machine();
    for (provider, variable) in [
        ("aws", "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        ("azure", "AZURE_POD_IDENTITY_AUTHORITY_HOST"),
    ] {
        let run = machine
            .run_with_identity(provider, &[])
            .env("AWS_REGION", "us-east-1");
        let run = run.unset("AWS_EC2_METADATA_DISABLED");
        let run = run.env("PHASE_MAX_WAIT", "300");
        let run = run.env(variable, format!("http://{address}"));
        let (output, took) = refused_after(&machine, run);
        let (least, most) = (Duration::from_millis(1900), Duration::from_secs(2) + SLACK);
        assert!(took > least && took < most, "{provider} {took:?}");
        // A request that was sent could wait five seconds for its response.
        assert!(output.stderr.contains("within 1 s"), "{output}");
    }
}

/// A refused connection is reported at once.
#[test]
fn closed_metadata_port_fails_at_once() {
    let machine = cloud_machine();
    let nobody = format!("http://127.0.0.1:{}", unused_port());
    let run = machine
        .run_with_identity("aws", &[])
        .unset("AWS_EC2_METADATA_DISABLED");
    let run = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody);
    let run = run.env("PHASE_MAX_WAIT", "300");
    let (_, took) = refused_after(&machine, run.env("AWS_REGION", "us-east-1"));
    assert!(took < SLACK, "{took:?}");
}

/// A peer that accepts and says nothing is bounded by `--max-wait`, whether `--timeout` allows several tries
/// or more time for one.
#[test]
fn silent_cloud_is_bounded_by_max_wait() {
    // They run in parallel, because each waits for its limit.
    scope(|scope| {
        for (name, path, run_with_source) in REMOTE_SOURCES {
            for timeout in ["1", "60"] {
                scope.spawn(move || {
                    let machine = cloud_machine();
                    machine.cloud.respond(path, Responder::stall());
                    let run = in_us_east_1(run_with_source, &machine);
                    let run = run.env("PHASE_TIMEOUT", timeout);
                    refused_within_two_seconds(&machine, run);
                    let most = if timeout == "1" { 2 } else { 1 };
                    assert!(machine.cloud_requests().len() <= most, "{name} {timeout}");
                });
            }
        }
    });
    let machine = cloud_machine();
    let silent = format!("http://{}", fake_server(stay_silent));
    let run = machine.run_with_identity("azure", &[]);
    let run = run.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", silent);
    refused_within_two_seconds(&machine, run);
}

/// Checks that the run obeys a `--max-wait` of two seconds, and not the default of thirty.
fn refused_within_two_seconds(machine: &CloudMachine, run: Run<'_>) {
    let (output, took) = refused_after(machine, run.env("PHASE_MAX_WAIT", "2"));
    assert!(took < Duration::from_secs(25), "{took:?}\n{output}");
    // The limit of the try that the error is about.
    let (_, limit) = output.stderr.split_once(" response within ").unwrap();
    let (limit, _) = limit.split_once(" s").unwrap();
    assert!(limit.parse::<f64>().unwrap() <= 2.0, "{output}");
}

/// A metadata request takes at most 5 s, even if `--timeout` and `--max-wait` allow more; the
/// second try gets the rest.
#[test]
fn silent_metadata_times_out_after_five_seconds() {
    let machine = cloud_machine();
    machine
        .cloud
        .respond("/metadata/identity", Responder::stall());
    let run = machine
        .run_with_identity("azure", &[])
        .env("PHASE_MAX_WAIT", "6");
    let output = machine.assert_identity_error(run);
    assert!(output.stderr.contains("5 s"), "{output}");
    assert_eq!(machine.cloud_requests().len(), 2, "{output}");
}

fn refused_after(machine: &CloudMachine, run: Run<'_>) -> (Output, Duration) {
    let start = Instant::now();
    let output = machine.assert_identity_error(run);
    (output, start.elapsed())
}

/// Plain HTTP is allowed to link-local metadata addresses and loopback only. Nothing is sent to
/// 192.0.2.1 (RFC 5737), where waiting for an answer would take a second.
#[test]
fn plain_http_to_another_host_is_rejected() {
    let machine = cloud_machine();
    let aws = || {
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_REGION", "us-east-1");
        run.unset("AWS_EC2_METADATA_DISABLED")
    };
    let azure = || machine.run_with_identity("azure", &[]);
    let stranger = "http://192.0.2.1/secret-path";
    let metadata = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let cases = [
        (
            container(&machine, aws()),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            stranger,
        ),
        (aws(), metadata, stranger),
        (
            web_identity(&machine, aws()),
            "AWS_ENDPOINT_URL_STS",
            stranger,
        ),
        (
            client_secret(&machine, azure()),
            "AZURE_AUTHORITY_HOST",
            stranger,
        ),
        (
            app_service(&machine, azure()),
            "IDENTITY_ENDPOINT",
            stranger,
        ),
        (azure(), "AZURE_POD_IDENTITY_AUTHORITY_HOST", stranger),
        // These look like loopback addresses and are not.
        (aws(), metadata, "http://127.0.0.1.example.com/secret-path"),
        (aws(), metadata, "http://localhost@192.0.2.1/secret-path"),
        (aws(), metadata, "http://user:secret-path@127.0.0.1/"),
        (aws(), metadata, "ftp://127.0.0.1/secret-path"),
    ];
    for (run, variable, address) in cases {
        let output = run
            .env(variable, address)
            .args(["echo", "started"])
            .output();
        assert!(output.stdout.is_empty(), "{output}");
        assert!(
            output.stderr.contains(&format!(" {variable}: ")),
            "{output}"
        );
        // Whoever knows the address may request credentials there.
        assert!(!output.stderr.contains("secret-path"), "{output}");
        let _ = output.assert_error(125, "identity");
    }
    assert!(machine.phase.requests().is_empty());
}

/// Metadata requests never use a proxy, not even over TLS.
#[test]
fn metadata_requests_bypass_proxy() {
    for (name, _, run_with_source) in REMOTE_SOURCES {
        if !SERVICES.contains(&name) {
            asks_directly(&cloud_machine(), name, run_with_source);
        }
    }
    for (name, _, run_with_source) in &REMOTE_SOURCES[1..3] {
        asks_directly(
            &CloudMachine::with_cloud(Phase::serve(World::cloud())),
            name,
            *run_with_source,
        );
    }
}

/// Plain HTTP to loopback never uses a proxy, even for STS and Entra.
#[test]
fn plain_http_bypasses_proxy() {
    for (name, _, run_with_source) in REMOTE_SOURCES {
        if SERVICES.contains(&name) {
            asks_directly(&cloud_machine(), name, run_with_source);
        }
    }
}

fn asks_directly(machine: &CloudMachine, name: &str, run_with_source: MakeRun) {
    let (proxy, asked) = connecting_proxy(machine.phase.port());
    let run = proxied(in_us_east_1(run_with_source, machine), proxy);
    let _ = machine.assert_gets_value(run);
    let phase = format!("CONNECT localhost:{} HTTP/1.1", machine.phase.port());
    let lines: Vec<Vec<String>> = asked.try_iter().collect();
    assert!(
        !lines.is_empty(),
        "{name}: Phase was not asked through the proxy"
    );
    assert!(
        lines.iter().all(|lines| lines[0] == phase),
        "{name} {lines:?}"
    );
    assert!(!machine.cloud_requests().is_empty());
}

/// STS and Entra are reached through the proxy, as Phase is.
#[test]
fn sts_and_entra_use_the_proxy() {
    for (name, _, run_with_source) in REMOTE_SOURCES
        .into_iter()
        .filter(|run_with_source| SERVICES.contains(&run_with_source.0))
    {
        let machine = CloudMachine::with_cloud(Phase::serve(World::cloud()));
        let (proxy, asked) = connecting_proxy(machine.cloud.port());
        // The proxy connects to the cloud only, so the request for Phase fails.
        let run =
            proxied(in_us_east_1(run_with_source, &machine), proxy).env("PHASE_MAX_WAIT", "0");
        let _ = run.arg("true").output().assert_status(Status::Exited(125));
        let hosts: Vec<String> = asked.try_iter().map(|lines| lines[0].clone()).collect();
        let wanted = [machine.cloud.port(), machine.phase.port()];
        let wanted = wanted.map(|port| format!("CONNECT localhost:{port} HTTP/1.1"));
        assert_eq!(hosts, wanted, "{name}");
        assert!(machine.cloud_requests()[0].starts_with("POST "), "{name}");
    }
}

/// `no_proxy` for Phase's host does not affect STS and Entra.
#[test]
fn no_proxy_for_phase_keeps_proxy_for_cloud() {
    let machine = cloud_machine();
    for (name, _, run_with_source) in REMOTE_SOURCES
        .into_iter()
        .filter(|run_with_source| SERVICES.contains(&run_with_source.0))
    {
        let (proxy, asked) = refusing_proxy("HTTP/1.1 407 No\r\n\r\n");
        let run =
            proxied(in_us_east_1(run_with_source, &machine), proxy).env("NO_PROXY", "localhost");
        let elsewhere = "https://elsewhere.invalid";
        let run = run.env("AWS_ENDPOINT_URL_STS", elsewhere);
        let run = run.env("AZURE_AUTHORITY_HOST", elsewhere);
        let _ = machine.assert_identity_error(run.env("PHASE_MAX_WAIT", "0"));
        let hosts: Vec<String> = asked.try_iter().map(|lines| lines[0].clone()).collect();
        assert_eq!(hosts, ["CONNECT elsewhere.invalid:443 HTTP/1.1"], "{name}");
    }
}

fn proxied(run: Run<'_>, proxy: SocketAddr) -> Run<'_> {
    let names = [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ];
    let proxy = format!("http://{proxy}");
    names.iter().fold(run, |run, name| run.env(name, &proxy))
}

/// What a cloud repeats of the request is redacted from its error text; the rest is shown.
#[test]
fn cloud_error_text_is_redacted() {
    let sent = [
        aws::WEB_TOKEN,
        aws::CONTAINER_AUTHORIZATION,
        aws::METADATA_SESSION,
        azure::SECRET,
        azure::FEDERATED,
        azure::IDENTITY_HEADER,
        // That request has no secret.
        azure::CLIENT,
    ];
    for ((name, path, run_with_source), secret) in REMOTE_SOURCES.into_iter().zip(sent) {
        let machine = cloud_machine();
        let said = format!("not with {secret}, never");
        let body = match name {
            "web identity" => format!("<Error><Message>{said}</Message></Error>"),
            _ => json!({"error": said, "error_description": said, "message": said}).to_string(),
        };
        machine.cloud.respond(path, Responder::json(403, &body));
        // The run itself searches its standard error.
        let output = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
        if SERVICES.contains(&name) || name == "App Service" {
            assert!(output.stderr.contains("403: not with "), "{output}");
            assert!(output.stderr.contains(", never"), "{output}");
        }
        machine
            .cloud
            .respond(path, Responder::raw(403, "text/plain", said.into()));
        let _ = machine.assert_identity_error(in_us_east_1(run_with_source, &machine));
    }
}
