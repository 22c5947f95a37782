//! Attacks on `--identity`: hostile text from clouds, from Phase and in variables.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::channel;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use fake_phase::{Request, Responder, aws, azure};
use serde_json::Value;

use crate::identity::{aws_run, azure_run};
use crate::identity_aws::{container, signed, web_identity, write_profiles};
use crate::support::{DEADLINE, Status, cloud_machine, refusing_proxy};

/// A session token that Phase repeats in an error is redacted.
#[test]
fn aws_secret_repeated_by_phase_is_redacted() {
    for status in [400, 401, 403, 404] {
        let machine = cloud_machine();
        let said = format!("no: {}", aws::SESSION.token.unwrap());
        let responder = Responder::error(status, &said);
        machine.phase.respond("/identities/", responder);
        // The run itself searches its standard error.
        let _ = machine.assert_identity_error(aws_run(&machine, &[]));
    }
}

/// An access token that Phase repeats in an error is redacted.
#[test]
fn azure_token_repeated_by_phase_is_redacted() {
    for token in azure::TOKENS {
        let machine = cloud_machine();
        let responder = Responder::error(401, &format!("no: {token}"));
        machine.phase.respond("/identities/", responder);
        let _ = machine.assert_identity_error(azure_run(&machine, &[]));
    }
}

/// The signature that was sent is redacted, even if Phase repeats it a second later, when a new one would
/// differ, or repeats that of an earlier try.
#[test]
fn aws_signature_repeated_by_phase_is_redacted() {
    let machine = cloud_machine();
    let gate = machine.phase.gate("/identities/");
    let run = aws_run(&machine, &[]).env("PHASE_MAX_WAIT", "100");
    let running = run.args(["echo", "started"]).spawn();
    gate.wait_for_request(DEADLINE);
    let responder = Responder::status(503).times(1);
    machine.phase.respond("/identities/", responder);
    gate.release_held();
    gate.wait_for_requests(2, DEADLINE);
    let requests = machine.phase.requests();
    let signed = |request: &Request| -> (String, String) {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let block = body["awsIam"]["httpRequestHeaders"].as_str().unwrap();
        let headers: Value = serde_json::from_slice(&Base64::decode_vec(block).unwrap()).unwrap();
        let authorization = headers["Authorization"].as_str().unwrap();
        let (_, signature) = authorization.rsplit_once('=').unwrap();
        (block.to_owned(), signature.to_owned())
    };
    let sent: Vec<_> = requests.iter().map(signed).collect();
    let [(one, first), (other, second)] = sent.as_slice() else {
        panic!("{requests:?}")
    };
    let said = format!("no: {one}, {first}, {other}, {second}");
    let responder = Responder::error(403, &said);
    machine.phase.respond("/identities/", responder);
    let (_open, never) = channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(1100));
    gate.open();
    let output = running.wait().assert_status(Status::Exited(125));
    assert!(output.stderr.contains(": no: …, …, …, … (403)"), "{output}");
}

/// Headers of Phase's response are redacted as its body is.
#[test]
fn login_secret_in_response_header_is_redacted() {
    let token = aws::SESSION.token.unwrap();
    for (responder, kind, shown) in [
        (
            Responder::redirect(&format!("https://elsewhere.test/?{token}&a")),
            "protocol",
            "it redirects to https://elsewhere.test/?…&a (status 302)",
        ),
        (
            Responder::status(429).header("Retry-After", &format!("no {token}")),
            "rate-limited",
            "Retry-After: no …",
        ),
    ] {
        let machine = cloud_machine();
        machine.phase.respond("/identities/", responder);
        let run = aws_run(&machine, &[]).env("PHASE_MAX_WAIT", "0");
        // The run itself searches its standard error.
        let output = run.args(["echo", "started"]).output().assert_refused(kind);
        assert!(output.stderr.contains(shown), "{output}");
    }
}

/// A profile with credentials for AWS's SDKs is used or is an error. The chain never goes on to
/// another principal.
#[test]
fn profile_that_sdks_read_is_never_skipped() {
    let (id, secret) = (aws::DEFAULT_PROFILE.id, aws::DEFAULT_PROFILE.secret);
    for text in [
        format!("[default]\n  aws_access_key_id = {id}\n  aws_secret_access_key = {secret}\n"),
        format!("[default]\naws_access_key_id: {id}\naws_secret_access_key: {secret}\n"),
        format!(" [default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        format!("\u{feff}[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/shop\n".to_owned(),
        "[default]\nlogin_session = arn:aws:iam::123456789012:user/shop\n".to_owned(),
    ] {
        let machine = cloud_machine();
        let file = machine.write_file("file", &text);
        let endpoint = format!("https://sts.{}.amazonaws.com", aws::INSTANCE_REGION);
        machine.edit_identities(|identities| {
            identities.endpoint(&endpoint);
        });
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_CONFIG_FILE", &file);
        let run = run.unset("AWS_EC2_METADATA_DISABLED");
        let _ = run.arg("true").output();
        assert!(
            machine.cloud_requests().is_empty(),
            "the instance was asked: {text}"
        );
    }
}

/// A signature is valid for a minute or less, so each try is signed anew.
#[test]
fn each_login_try_has_its_own_signature() {
    let machine = cloud_machine();
    let responder = Responder::rate_limited(2).times(1);
    machine.phase.respond("/identities/", responder);
    let _ = machine.assert_gets_value(aws_run(&machine, &["-q"]));
    let mints = machine.phase.mints();
    let bodies: Vec<_> = machine.phase.requests();
    let bodies = bodies
        .iter()
        .filter(|request| request.path().contains("/identities/"));
    let bodies: Vec<_> = bodies.map(|request| request.body.clone()).collect();
    assert_eq!((mints.len(), bodies.len()), (2, 2));
    let again = bodies[0] == bodies[1];
    assert!(!again, "the signature of the first try was sent again");
    let _ = signed(&machine);
}

/// us-east-1 has two STS endpoints, and Phase's console offers both: the hint does not name a
/// setting that is set already.
#[test]
fn us_east_1_endpoint_mismatch_has_useful_hint() {
    let machine = cloud_machine();
    machine.edit_identities(|identities| {
        identities.endpoint("https://sts.us-east-1.amazonaws.com");
    });
    let run = aws_run(&machine, &[]).env("AWS_REGION", "us-east-1");
    let output = machine.assert_identity_error(run);
    let useless = output.stderr.contains("set AWS_REGION=us-east-1, or");
    assert!(!useless, "it is set already\n{output}");
}

/// A path that AWS's SDKs would expand is an error, and does not count as a missing file.
#[test]
fn unexpanded_shared_file_path_is_an_error() {
    let machine = cloud_machine();
    write_profiles(&machine);
    for variable in ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] {
        for path in ["$HOME/.aws/credentials", "${HOME}/c", "~root/.aws/config"] {
            let run = machine.run_with_identity("aws", &[]).env(variable, path);
            let output = machine.assert_identity_error(run.unset("AWS_EC2_METADATA_DISABLED"));
            assert!(output.stderr.contains(path), "{output}");
        }
        let run = machine
            .run_with_identity("aws", &[])
            .env(variable, "~/.aws/credentials");
        let _ = machine.assert_gets_value(run);
    }
    assert!(machine.cloud_requests().is_empty());
}

/// The signed request names the STS endpoint that the variables select.
#[test]
fn signature_names_selected_sts_endpoint() {
    for (variable, value, region, endpoint) in [
        (
            "AWS_STS_REGIONAL_ENDPOINTS",
            "regional",
            "us-east-1",
            "https://sts.us-east-1.amazonaws.com",
        ),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "true",
            "us-east-1",
            "https://sts-fips.us-east-1.amazonaws.com",
        ),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "true",
            "us-west-2",
            "https://sts-fips.us-west-2.amazonaws.com",
        ),
    ] {
        let machine = cloud_machine();
        machine.edit_identities(|identities| {
            identities.endpoint(endpoint);
        });
        let run = aws_run(&machine, &[]).env("AWS_REGION", region);
        let _ = machine.assert_gets_value(run.env(variable, value));
        assert_eq!(signed(&machine).region(), Some(region));
    }
}

/// The role name becomes part of a path: a name that could lead elsewhere is an error.
#[test]
fn invalid_role_name_is_not_requested() {
    for name in [
        "../../x",
        "a b",
        "a?b",
        "a\u{7}b",
        "r\u{f4}le",
        "",
        "\nname",
    ] {
        let machine = cloud_machine();
        let responder = Responder::raw(200, "text/plain", name.into());
        machine
            .cloud
            .respond("/security-credentials/", responder.times(1));
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_REGION", "us-east-1");
        let output = machine.assert_identity_error(run.unset("AWS_EC2_METADATA_DISABLED"));
        assert!(
            output.stderr.contains("the response names no role"),
            "{output}"
        );
        // The session and the list of roles.
        assert_eq!(machine.cloud_requests().len(), 2, "{name:?}");
    }
}

/// The region becomes part of the address of STS, the tenant of the path at Entra: invalid ones are
/// errors.
#[test]
fn invalid_region_or_tenant_sends_no_request() {
    for region in ["evil.example/", "a b", "EU-WEST-1", ""] {
        let machine = cloud_machine();
        let responder = Responder::raw(200, "text/plain", region.into());
        machine.cloud.respond("/placement/region", responder);
        let run = machine.run_with_identity("aws", &[]);
        let output = machine.assert_identity_error(run.unset("AWS_EC2_METADATA_DISABLED"));
        assert!(
            output.stderr.contains("the response names no region"),
            "{output}"
        );
        assert!(machine.phase.requests().is_empty());
    }
    let machine = cloud_machine();
    for tenant in ["..", "a/b", "a?b", "a#b", "a b"] {
        let run = azure_run(&machine, &[]).env("AZURE_TENANT_ID", tenant);
        let output = machine.assert_identity_error(run);
        let told = "AZURE_TENANT_ID is not a tenant ID";
        assert!(output.stderr.contains(told), "{output}");
    }
    assert!(machine.cloud_requests().is_empty());
}

/// A web identity is exchanged at the STS endpoint that the variables select. A proxy sees which
/// one it is.
#[test]
fn web_identity_uses_selected_sts_endpoint() {
    let machine = cloud_machine();
    for (variable, value, region, host) in [
        ("A", "", "us-east-1", "sts.amazonaws.com"),
        ("A", "", "eu-west-3", "sts.eu-west-3.amazonaws.com"),
        ("A", "", "cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        (
            "AWS_STS_REGIONAL_ENDPOINTS",
            "regional",
            "us-east-1",
            "sts.us-east-1.amazonaws.com",
        ),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "true",
            "us-west-2",
            "sts-fips.us-west-2.amazonaws.com",
        ),
    ] {
        let (proxy, asked) = refusing_proxy("HTTP/1.1 407 No\r\n\r\n");
        let run = web_identity(&machine, machine.run_with_identity("aws", &[]));
        let run = run
            .unset("AWS_ENDPOINT_URL_STS")
            .env("AWS_REGION", region)
            .env(variable, value)
            .env("PHASE_MAX_WAIT", "0")
            .env("https_proxy", format!("http://{proxy}"));
        let _ = machine.assert_identity_error(run);
        let hosts: Vec<String> = asked.try_iter().map(|lines| lines[0].clone()).collect();
        assert_eq!(hosts, [format!("CONNECT {host}:443 HTTP/1.1")]);
    }
}

/// AWS reports by a code that the role does not trust the instance.
#[test]
fn instance_role_error_code_is_shown() {
    let machine = cloud_machine();
    let answer = r#"{"Code": "AssumeRoleUnauthorizedAccess", "Message": "no"}"#;
    let path = format!("/security-credentials/{}", aws::INSTANCE_ROLE);
    machine.cloud.respond(&path, Responder::json(200, answer));
    let run = machine
        .run_with_identity("aws", &[])
        .env("AWS_REGION", "us-east-1");
    let output = machine.assert_identity_error(run.unset("AWS_EC2_METADATA_DISABLED"));
    let code = "no access key: AssumeRoleUnauthorizedAccess";
    assert!(output.stderr.contains(code), "{output}");
}

/// Whoever knows the path of a container's endpoint may request credentials there, so `-vv` logs
/// its host only.
#[test]
fn metadata_path_is_never_logged() {
    let mut machine = cloud_machine();
    machine.canary("credentials/abc");
    let run = machine.run_with_identity("aws", &["-vv"]);
    // The run itself searches its standard error.
    let output = machine.assert_gets_value(container(&machine, run));
    let host = machine.cloud.host();
    let asked = format!("GET {}", host.trim_start_matches("http://"));
    assert!(output.stderr.contains(&asked), "{output}");
    machine
        .cloud
        .respond("/v2/credentials", Responder::status(500));
    let run = machine.run_with_identity("aws", &["-vv"]).arg("true");
    let output = container(&machine, run).output();
    let output = output.assert_status(Status::Exited(125));
    assert!(output.stderr.contains("status 500"), "{output}");
}

/// A variable that is not UTF-8 is an error: ignoring it could select another principal.
#[test]
fn non_utf8_cloud_variable_is_an_error() {
    let machine = cloud_machine();
    write_profiles(&machine);
    let name = OsStr::from_bytes(b"caf\xe9");
    for (variable, provider) in [
        ("AWS_PROFILE", "aws"),
        ("AWS_DEFAULT_PROFILE", "aws"),
        ("AZURE_CLIENT_ID", "azure"),
    ] {
        let run = machine.run_with_identity(provider, &[]).env(variable, name);
        let output = machine.assert_identity_error(run.unset("AWS_EC2_METADATA_DISABLED"));
        let told = format!("{variable}: it is not UTF-8");
        assert!(output.stderr.contains(&told), "{output}");
    }
    assert!(machine.cloud_requests().is_empty() && machine.phase.requests().is_empty());
}
