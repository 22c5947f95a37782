//! AWS: each source of credentials alone, and the signature.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fake_phase::{AccessKey, Phase, Signed, World, aws};
use serde_json::{Value, json};

use crate::identity::with_access_key;
use crate::support::{BOTOCORE, CloudMachine, Run, cloud_machine, pypi_packages, with_env};

/// The signed request of the last login.
pub(crate) fn signed(machine: &CloudMachine) -> Signed {
    machine.phase.mints().pop().unwrap().signed.unwrap()
}

/// Writes a credentials file with several profiles to `~/.aws`.
pub(crate) fn write_profiles(machine: &CloudMachine) {
    std::fs::create_dir_all(machine.directory().join(".aws")).unwrap();
    machine.file(".aws/credentials", credentials());
}

/// A credentials file in the different styles that people use.
pub(crate) fn credentials() -> String {
    let (default, other) = (aws::DEFAULT_PROFILE, aws::OTHER_PROFILE);
    format!(
        "# comment\n[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n\n\
         [other]\r\naws_access_key_id={}\r\n  ; comment\naws_secret_access_key  =  {}\n\
         AWS_SESSION_TOKEN = {}\nunknown = [x]\n[half]\naws_access_key_id = AKIAHALF\n",
        default.id,
        default.secret,
        other.id,
        other.secret,
        other.token.unwrap()
    )
}

/// A part of the name that `-v` gives a source, its setup, and its access key.
pub(crate) type Source = (
    &'static str,
    for<'a> fn(&'a CloudMachine, Run<'a>) -> Run<'a>,
    AccessKey,
);

/// The sources in the order of the SDKs.
pub(crate) const SOURCES: [Source; 5] = [
    (
        "the variables AWS_ACCESS_KEY_ID",
        |_, run| with_access_key(run, aws::ENVIRONMENT),
        aws::ENVIRONMENT,
    ),
    (
        "the web identity of AWS_WEB_IDENTITY_TOKEN_FILE",
        web_identity,
        aws::WEB_IDENTITY,
    ),
    (
        "the profile default of ",
        |machine, run| {
            write_profiles(machine);
            run
        },
        aws::DEFAULT_PROFILE,
    ),
    ("the container's endpoint", container, aws::CONTAINER),
    (
        "the instance metadata service",
        |_, run| run.unset("AWS_EC2_METADATA_DISABLED"),
        aws::METADATA,
    ),
];

pub(crate) fn web_identity<'a>(machine: &CloudMachine, run: Run<'a>) -> Run<'a> {
    let file = machine.write_file("web-token", aws::WEB_TOKEN);
    run.env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
        .env("AWS_ROLE_ARN", aws::ROLE_ARN)
}

pub(crate) fn container<'a>(machine: &CloudMachine, run: Run<'a>) -> Run<'a> {
    let uri = format!("{}/v2/credentials/abc?task=1", machine.cloud.host());
    run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri).env(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        aws::CONTAINER_AUTHORIZATION,
    )
}

/// Each source works alone: only its own requests are sent, and `-v` names it.
#[test]
fn each_aws_source_is_used_and_named() {
    let asked: [&[&str]; 5] = [
        &[],
        &["POST /"],
        &[],
        &["GET /v2/credentials/abc"],
        &[
            "PUT /latest/api/token",
            "GET /latest/meta-data/iam/security-credentials/",
            "GET /latest/meta-data/iam/security-credentials/shop-reader",
        ],
    ];
    for ((name, prepare, key), asked) in SOURCES.into_iter().zip(asked) {
        for options in [&["-v"][..], &["-vv"], &[]] {
            let machine = cloud_machine();
            let run = machine
                .run_with_identity("aws", options)
                .env("AWS_REGION", "us-east-1");
            let output = machine.assert_gets_value(prepare(&machine, run));
            match options {
                [] => assert!(output.stderr.is_empty(), "{name}\n{output}"),
                _ => assert!(output.stderr.contains(name), "{name}\n{output}"),
            }
            assert_eq!(signed(&machine).access_key(), Some(key), "{name}");
            assert_eq!(machine.cloud_requests(), asked, "{name}");
        }
    }
}

/// The session token of temporary credentials is signed and sent.
#[test]
fn session_token_is_signed() {
    for key in [aws::ENVIRONMENT, aws::SESSION] {
        let machine = cloud_machine();
        let _ =
            machine.assert_gets_value(with_access_key(machine.run_with_identity("aws", &[]), key));
        let signed = signed(&machine);
        assert_eq!(signed.access_key(), Some(key));
        assert_eq!(signed.header("X-Amz-Security-Token"), key.token);
        assert_eq!(signed.region(), Some("us-east-1"));
        assert_eq!(
            signed.url.trim_end_matches('/'),
            "https://sts.amazonaws.com"
        );
    }
    // The older name of the variable works too.
    let machine = cloud_machine();
    let run = with_access_key(machine.run_with_identity("aws", &[]), aws::SESSION);
    let run = run.unset("AWS_SESSION_TOKEN");
    let _ = machine.assert_gets_value(run.env("AWS_SECURITY_TOKEN", aws::SESSION.token.unwrap()));
    assert_eq!(signed(&machine).access_key(), Some(aws::SESSION));
}

/// The container's authorization token may be in a file, as with EKS Pod Identity; white space at
/// its end is ignored.
#[test]
fn container_token_file_is_read() {
    for content in [
        aws::CONTAINER_AUTHORIZATION.to_owned(),
        format!("{}\n", aws::CONTAINER_AUTHORIZATION),
    ] {
        let machine = cloud_machine();
        let file = machine.write_file("pod-token", &content);
        let uri = format!("{}/v1/credentials", machine.cloud.host());
        let run = machine.run_with_identity("aws", &[]);
        let run = run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        let run = run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file);
        // The file takes precedence over the variable.
        let _ = machine.assert_gets_value(run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "other"));
        assert_eq!(signed(&machine).access_key(), Some(aws::CONTAINER));
    }
}

/// STS gets an unsigned request over TLS, with the session name. The endpoint override is not what
/// the signed request names.
#[test]
fn web_identity_is_exchanged_at_sts() {
    let machine = CloudMachine::with_cloud(Phase::serve(World::cloud()));
    for name in [None, Some("the-pod")] {
        let run = web_identity(&machine, machine.run_with_identity("aws", &[]));
        let run = match name {
            Some(name) => run.env("AWS_ROLE_SESSION_NAME", name),
            None => run,
        };
        let _ = machine.assert_gets_value(run);
        let request = machine.cloud.requests().pop().unwrap();
        assert!(request.tls && request.header("Authorization").is_none());
        if let Some(name) = name {
            assert_eq!(request.form("RoleSessionName").as_deref(), Some(name));
        }
        let signed = signed(&machine);
        assert_eq!(signed.access_key(), Some(aws::WEB_IDENTITY));
        assert_eq!(
            signed.url.trim_end_matches('/'),
            "https://sts.amazonaws.com"
        );
    }
    // A file often ends with a line break.
    let file = machine.write_file("line", &format!("{}\n", aws::WEB_TOKEN));
    let run = web_identity(&machine, machine.run_with_identity("aws", &[]));
    let _ = machine.assert_gets_value(run.env("AWS_WEB_IDENTITY_TOKEN_FILE", file));
    // The variable for the endpoint of all services works too.
    let run = web_identity(&machine, machine.run_with_identity("aws", &[]));
    let run = run.unset("AWS_ENDPOINT_URL_STS");
    let _ = machine.assert_gets_value(run.env("AWS_ENDPOINT_URL", machine.cloud.host()));
    assert_eq!(machine.cloud.requests().len(), 4);
}

/// Phase receives byte for byte what botocore would sign, in several regions.
#[test]
fn signed_request_matches_botocore() {
    let Some(packages) = pypi_packages(&BOTOCORE) else {
        return;
    };
    let mut requests = Vec::new();
    for region in ["us-east-1", "eu-central-1", "ap-southeast-2"] {
        for (_, prepare, key) in SOURCES {
            let machine = cloud_machine();
            machine.edit_identities(|identities| {
                if region != "us-east-1" {
                    identities.endpoint(&format!("https://sts.{region}.amazonaws.com"));
                }
            });
            let run = machine
                .run_with_identity("aws", &[])
                .env("AWS_REGION", region);
            let _ = machine.assert_gets_value(prepare(&machine, run));
            requests.push(described(&signed(&machine), key));
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sigv4.py");
    let verified = |requests: &[Value]| {
        let mut python = Command::new("python3");
        python
            .arg(&script)
            .arg("--verify")
            .env("PYTHONPATH", &packages);
        python.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut python = python.spawn().unwrap();
        let mut stdin = python.stdin.take().unwrap();
        stdin
            .write_all(json!(requests).to_string().as_bytes())
            .unwrap();
        drop(stdin);
        let output = python.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    let (good, said) = verified(&requests);
    assert!(good, "{said}");
    // The script detects a wrong signature.
    requests[0]["secret_key"] = "another".into();
    assert!(!verified(&requests).0);
}

/// The signed request as input of the script.
fn described(signed: &Signed, key: AccessKey) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in &signed.headers {
        headers.insert(name.clone(), value.clone().into());
    }
    // The sender may add the host header.
    let host = signed
        .url
        .trim_start_matches("https://")
        .trim_end_matches('/');
    if signed.header("Host").is_none() {
        headers.insert("Host".to_owned(), host.into());
    }
    json!({
        "access_key": key.id,
        "secret_key": key.secret,
        "session_token": key.token,
        "region": signed.region(),
        "endpoint": signed.url,
        "amz_date": signed.header("X-Amz-Date"),
        "body": signed.body,
        "headers": headers,
    })
}

/// Invalid variables of sources that are not used do not matter.
#[test]
fn unused_aws_settings_may_be_invalid() {
    let machine = cloud_machine();
    let run = with_access_key(machine.run_with_identity("aws", &[]), aws::ENVIRONMENT);
    let run = run.unset("AWS_ENDPOINT_URL_STS");
    let variables = [
        ("AWS_ENDPOINT_URL", "http://192.0.2.1:4566"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "no address"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://192.0.2.1"),
    ];
    let _ = machine.assert_gets_value(with_env(run, variables));
    assert_eq!(signed(&machine).access_key(), Some(aws::ENVIRONMENT));
}

/// An access key ID without its secret is an error that names the missing variable.
#[test]
fn half_an_access_key_is_an_error() {
    let machine = cloud_machine();
    let run = machine.run_with_identity("aws", &[]);
    let output =
        machine.assert_identity_error(with_env(run, [("AWS_ACCESS_KEY_ID", aws::ENVIRONMENT.id)]));
    assert!(output.stderr.contains("AWS_SECRET_ACCESS_KEY"), "{output}");
    assert!(machine.phase.requests().is_empty());
}
