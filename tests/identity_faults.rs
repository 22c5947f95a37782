//! What can go wrong between the machine and its cloud: silence, refusal, redirects, strangers and
//! proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use fake_phase::{Phase, Responder, World, aws, azure};
use serde_json::json;

use crate::addresses::dead_port;
use crate::identity::Proving;
use crate::identity_aws::{container, web_identity};
use crate::identity_azure::{app_service, client_secret, workload};
use crate::proxy::{connecting_proxy, refusing_proxy};
use crate::support::{
    CloudMachine, Run, Status, cloud_machine, fake_server, stay_silent, unused_port,
};

/// More than a slow machine adds, and less than `--max-wait` where nothing else limits the wait.
const SLACK: Duration = Duration::from_secs(60);

/// Everything that is asked over the network, and a part of the path of its first request.
const LOOK_UPS: [(&str, &str, Proving); 7] = [
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

/// Those that are somewhere else than the machine: a cloud's own.
const SERVICES: [&str; 3] = ["web identity", "client secret", "workload"];

/// Only AWS's us-east-1 is what Phase expects.
fn near<'a>(look_up: fn(&'a CloudMachine) -> Run<'a>, machine: &'a CloudMachine) -> Run<'a> {
    look_up(machine).env("AWS_REGION", "us-east-1")
}

/// "Metadata look-ups are … retried once": one failure does not matter, two do. STS and Entra are tried
/// as Phase is, as long as `--max-wait` allows.
#[test]
fn a_look_up_is_retried_once() {
    for (name, path, look_up) in LOOK_UPS {
        for responder in [
            Responder::status(500),
            Responder::html(503),
            Responder::close(),
            Responder::reset(),
        ] {
            let machine = cloud_machine();
            machine.cloud.respond(path, responder.clone().times(1));
            let _ = machine
                .assert_gets_value(near(look_up, &machine))
                .notices(&["retrying in "])
                .ok();
            assert!(machine.asked().len() >= 2, "{name}");
        }
        if SERVICES.contains(&name) {
            continue;
        }
        let machine = cloud_machine();
        machine.cloud.respond(path, Responder::status(500));
        let _ = machine.assert_refused(near(look_up, &machine));
        assert_eq!(machine.asked().len(), 2, "{name}");
        assert!(machine.phase.requests().is_empty());
    }
}

/// What the other side refuses stays refused, and its words are told, but not what it was asked with.
#[test]
fn a_refusal_is_final_and_told() {
    for (name, path, look_up) in LOOK_UPS {
        for status in [400, 401, 403, 404] {
            let machine = cloud_machine();
            machine
                .cloud
                .respond(path, Responder::error(status, "the reason"));
            let output = machine.assert_refused(near(look_up, &machine));
            let told = output.stderr.contains(&status.to_string());
            assert!(told, "{name}\n{output}");
            assert_eq!(machine.asked().len(), 1, "{name} {status}");
            assert!(machine.phase.requests().is_empty());
        }
    }
}

/// A page, other JSON, nothing, an answer without end.
#[test]
fn an_answer_of_another_shape_is_told() {
    for (name, path, look_up) in LOOK_UPS {
        for responder in [
            Responder::html_login(),
            Responder::json(200, "{}"),
            Responder::json(200, r#"{"access_token": 5, "AccessKeyId": null}"#),
            Responder::raw(200, "text/plain", Vec::new()),
            Responder::raw(200, "text/plain", b"\x1b[31m\0\xff\r\n".into()),
            Responder::endless(80 << 20),
        ] {
            let machine = cloud_machine();
            machine.cloud.respond(path, responder);
            let output = machine.assert_refused(near(look_up, &machine));
            assert!(machine.phase.requests().is_empty(), "{name}\n{output}");
        }
    }
}

/// "A metadata answer that redirects is refused."
#[test]
fn a_redirect_is_refused() {
    for (name, path, look_up) in LOOK_UPS {
        for status in [301, 302, 307, 308] {
            let (machine, other) = (cloud_machine(), cloud_machine());
            let to = format!("{}{path}", other.cloud.host());
            let responder = Responder::raw(status, "text/plain", Vec::new());
            machine
                .cloud
                .respond(path, responder.header("Location", &to));
            let output = machine.assert_refused(near(look_up, &machine));
            assert!(output.stderr.contains("redirect"), "{name}\n{output}");
            assert_eq!(other.cloud.connections(), 0, "{name}");
            assert_eq!(machine.asked().len(), 1, "{name}");
        }
    }
}

/// "bounded (1 s to connect) and retried once": where a packet is lost, two seconds.
#[test]
fn a_dead_address_costs_two_seconds_at_most() {
    let (listener, _queue) = dead_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
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
        let took = refused_after(&machine, run.env(variable, format!("http://{address}")));
        let (least, most) = (Duration::from_millis(900), Duration::from_secs(2) + SLACK);
        assert!(took > least && took < most, "{provider} {took:?}");
    }
}

/// Nobody listens: told at once.
#[test]
fn a_closed_port_costs_nothing() {
    let machine = cloud_machine();
    let nobody = format!("http://127.0.0.1:{}", unused_port());
    let run = machine
        .run_with_identity("aws", &[])
        .unset("AWS_EC2_METADATA_DISABLED");
    let run = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody);
    let run = run.env("PHASE_MAX_WAIT", "300");
    let took = refused_after(&machine, run.env("AWS_REGION", "us-east-1"));
    assert!(took < SLACK, "{took:?}");
}

/// Somebody listens and says nothing: within `--max-wait`, whatever `--timeout` allows.
#[test]
fn silence_is_bounded() {
    for (name, path, look_up) in LOOK_UPS {
        let machine = cloud_machine();
        machine.cloud.respond(path, Responder::stall());
        let run = near(look_up, &machine).env("PHASE_MAX_WAIT", "2");
        let took = refused_after(&machine, run.env("PHASE_TIMEOUT", "1"));
        assert!(took < Duration::from_secs(2) + SLACK, "{name} {took:?}");
    }
    let machine = cloud_machine();
    let silent = format!("http://{}", fake_server(stay_silent));
    let run = machine
        .run_with_identity("azure", &[])
        .env("PHASE_MAX_WAIT", "2");
    let took = refused_after(
        &machine,
        run.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", silent),
    );
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
}

/// "5 s for all of it", where `--timeout` and `--max-wait` allow more: what is left is for the second.
#[test]
fn metadata_that_is_silent_is_given_up_after_five_seconds() {
    let machine = cloud_machine();
    machine
        .cloud
        .respond("/metadata/identity", Responder::stall());
    let run = machine
        .run_with_identity("azure", &[])
        .env("PHASE_MAX_WAIT", "6");
    let output = machine.assert_refused(run);
    assert!(output.stderr.contains("5 s"), "{output}");
    assert_eq!(machine.asked().len(), 2, "{output}");
}

fn refused_after(machine: &CloudMachine, run: Run<'_>) -> Duration {
    let start = Instant::now();
    let _ = machine.assert_refused(run);
    start.elapsed()
}

/// "Plain http only to the link-local metadata addresses and to loopback": a stranger is named and
/// never spoken to. 192.0.2.1 (RFC 5737) would not answer, which takes a second to notice.
#[test]
fn plain_http_to_a_stranger_is_refused() {
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
        // Not loopback, whatever they look like.
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
        // Who knows an address may be who can ask there.
        assert!(!output.stderr.contains("secret-path"), "{output}");
        let _ = output.failed(125, "identity");
    }
    assert!(machine.phase.requests().is_empty());
}

/// "never through a proxy": the metadata is asked directly, over TLS as well.
#[test]
fn no_proxy_sees_metadata() {
    for (name, _, look_up) in LOOK_UPS {
        if !SERVICES.contains(&name) {
            asks_directly(&cloud_machine(), name, look_up);
        }
    }
    for (name, _, look_up) in &LOOK_UPS[1..3] {
        asks_directly(
            &CloudMachine::with(Phase::serve(World::cloud())),
            name,
            *look_up,
        );
    }
}

/// Nor does one see what goes in plain http to loopback, be it meant for STS or Entra.
#[test]
fn no_proxy_sees_plain_http() {
    for (name, _, look_up) in LOOK_UPS {
        if SERVICES.contains(&name) {
            asks_directly(&cloud_machine(), name, look_up);
        }
    }
}

fn asks_directly(machine: &CloudMachine, name: &str, look_up: Proving) {
    let (proxy, asked) = connecting_proxy(machine.phase.port());
    let run = proxied(near(look_up, machine), proxy);
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
    assert!(!machine.asked().is_empty());
}

/// STS and Entra are on the other side of the proxy, as Phase is.
#[test]
fn sts_and_entra_are_asked_through_a_proxy() {
    for (name, _, look_up) in LOOK_UPS
        .into_iter()
        .filter(|look_up| SERVICES.contains(&look_up.0))
    {
        let machine = CloudMachine::with(Phase::serve(World::cloud()));
        let (proxy, asked) = connecting_proxy(machine.cloud.port());
        // The proxy leads to the cloud alone: what is for Phase ends there, too.
        let run = proxied(near(look_up, &machine), proxy).env("PHASE_MAX_WAIT", "0");
        let _ = run.arg("true").output().ended(Status::Exited(125));
        let hosts: Vec<String> = asked.try_iter().map(|lines| lines[0].clone()).collect();
        let wanted = [machine.cloud.port(), machine.phase.port()];
        let wanted = wanted.map(|port| format!("CONNECT localhost:{port} HTTP/1.1"));
        assert_eq!(hosts, wanted, "{name}");
        assert!(machine.asked()[0].starts_with("POST "), "{name}");
    }
}

/// A host that needs no proxy does not speak for the others.
#[test]
fn a_phase_without_a_proxy_leaves_it_to_sts_and_entra() {
    let machine = cloud_machine();
    for (name, _, look_up) in LOOK_UPS
        .into_iter()
        .filter(|look_up| SERVICES.contains(&look_up.0))
    {
        let (proxy, asked) = refusing_proxy("HTTP/1.1 502 No\r\n\r\n");
        let run = proxied(near(look_up, &machine), proxy).env("NO_PROXY", "localhost");
        let elsewhere = "https://elsewhere.invalid";
        let run = run.env("AWS_ENDPOINT_URL_STS", elsewhere);
        let run = run.env("AZURE_AUTHORITY_HOST", elsewhere);
        let _ = machine.assert_refused(run.env("PHASE_MAX_WAIT", "0"));
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

/// What the other side repeats of what it was asked with is in no message, but the rest of its words is.
#[test]
fn what_a_cloud_repeats_is_not_shown() {
    let sent = [
        aws::WEB_TOKEN,
        aws::CONTAINER_AUTHORIZATION,
        aws::METADATA_SESSION,
        azure::SECRET,
        azure::FEDERATED,
        azure::IDENTITY_HEADER,
        // There is nothing secret in that request.
        azure::CLIENT,
    ];
    for ((name, path, look_up), secret) in LOOK_UPS.into_iter().zip(sent) {
        let machine = cloud_machine();
        let said = format!("not with {secret}, never");
        let body = match name {
            "web identity" => format!("<Error><Message>{said}</Message></Error>"),
            _ => json!({"error": said, "error_description": said, "message": said}).to_string(),
        };
        machine.cloud.respond(path, Responder::json(403, &body));
        // The run itself searches its standard error.
        let output = machine.assert_refused(near(look_up, &machine));
        if SERVICES.contains(&name) || name == "App Service" {
            assert!(output.stderr.contains("403: not with "), "{output}");
            assert!(output.stderr.contains(", never"), "{output}");
        }
        machine
            .cloud
            .respond(path, Responder::raw(403, "text/plain", said.into()));
        let _ = machine.assert_refused(near(look_up, &machine));
    }
}
