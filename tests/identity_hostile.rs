//! What was found by attack on `--identity`, each as a test.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fake_phase::{Responder, aws, azure};

use crate::identity::{simple, simple_azure};
use crate::identity_aws::{container, profiles, signed, web_identity};
use crate::proxy::refusing_proxy;
use crate::support::{Status, cloud_machine};

/// "Cloud credentials … no message has them": what Phase repeats of what it was sent, too.
#[test]
fn what_phase_repeats_of_aws_is_not_shown() {
    for status in [400, 401, 403, 404] {
        let machine = cloud_machine();
        let said = format!("no: {}", aws::SESSION.token.unwrap());
        let responder = Responder::error(status, &said);
        machine.phase.respond("/identities/", responder);
        // The run itself searches its standard error.
        let _ = machine.assert_refused(simple(&machine, &[]));
    }
}

/// The same of Azure's access token.
#[test]
fn what_phase_repeats_of_azure_is_not_shown() {
    for token in azure::TOKENS {
        let machine = cloud_machine();
        let responder = Responder::error(401, &format!("no: {token}"));
        machine.phase.respond("/identities/", responder);
        let _ = machine.assert_refused(simple_azure(&machine, &[]));
    }
}

/// What AWS's own kits read as keys of a profile is read as such, or is an error; another principal
/// never takes its place.
#[test]
fn a_profile_that_the_sdks_read_is_not_passed_over() {
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
        let file = machine.path("file", &text);
        let endpoint = format!("https://sts.{}.amazonaws.com", aws::INSTANCE_REGION);
        machine.identities(|identities| {
            identities.endpoint(&endpoint);
        });
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_CONFIG_FILE", &file);
        let run = run.unset("AWS_EC2_METADATA_DISABLED");
        let _ = run.arg("true").output();
        assert!(machine.asked().is_empty(), "the instance was asked: {text}");
    }
}

/// A signature is good for a minute, and less where the identity says so: each try has its own.
#[test]
fn each_try_is_signed_anew() {
    let machine = cloud_machine();
    let responder = Responder::rate_limited(2).times(1);
    machine.phase.respond("/identities/", responder);
    let _ = machine.assert_gets_value(simple(&machine, &["-q"]));
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

/// "Each error has its message and hint (`expectedEndpoint`)": us-east-1 has two addresses, and Phase's
/// console offers both.
#[test]
fn the_other_address_of_us_east_1_has_a_hint_that_helps() {
    let machine = cloud_machine();
    machine.identities(|identities| {
        identities.endpoint("https://sts.us-east-1.amazonaws.com");
    });
    let run = simple(&machine, &[]).env("AWS_REGION", "us-east-1");
    let output = machine.assert_refused(run);
    let useless = output.stderr.contains("set AWS_REGION=us-east-1, or");
    assert!(!useless, "it is set already\n{output}");
}

/// A path that AWS's kits would complete is not taken for a file that is not there.
#[test]
fn a_path_with_a_variable_is_told() {
    let machine = cloud_machine();
    profiles(&machine);
    for variable in ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] {
        for path in ["$HOME/.aws/credentials", "${HOME}/c", "~root/.aws/config"] {
            let run = machine.run_with_identity("aws", &[]).env(variable, path);
            let output = machine.assert_refused(run.unset("AWS_EC2_METADATA_DISABLED"));
            assert!(output.stderr.contains(path), "{output}");
        }
        let run = machine
            .run_with_identity("aws", &[])
            .env(variable, "~/.aws/credentials");
        let _ = machine.assert_gets_value(run);
    }
    assert!(machine.asked().is_empty());
}

/// STS has more than one address in a region; what is signed names the one that is asked for.
#[test]
fn the_endpoint_that_is_asked_for_is_signed() {
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
        machine.identities(|identities| {
            identities.endpoint(endpoint);
        });
        let run = simple(&machine, &[]).env("AWS_REGION", region);
        let _ = machine.assert_gets_value(run.env(variable, value));
        assert_eq!(signed(&machine).region(), Some(region));
    }
}

/// The name becomes a part of a path: what could lead elsewhere is no role.
#[test]
fn what_is_no_name_of_a_role_is_not_asked_for() {
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
        let output = machine.assert_refused(run.unset("AWS_EC2_METADATA_DISABLED"));
        assert!(
            output.stderr.contains("the response names no role"),
            "{output}"
        );
        // The session, and the roles.
        assert_eq!(machine.asked().len(), 2, "{name:?}");
    }
}

/// So does the region of the metadata, in the address of STS; and a tenant, in Entra's.
#[test]
fn what_is_no_region_and_no_tenant_is_not_asked() {
    for region in ["evil.example/", "a b", "EU-WEST-1", ""] {
        let machine = cloud_machine();
        let responder = Responder::raw(200, "text/plain", region.into());
        machine.cloud.respond("/placement/region", responder);
        let run = machine.run_with_identity("aws", &[]);
        let output = machine.assert_refused(run.unset("AWS_EC2_METADATA_DISABLED"));
        assert!(
            output.stderr.contains("the response names no region"),
            "{output}"
        );
        assert!(machine.phase.requests().is_empty());
    }
    let machine = cloud_machine();
    for tenant in ["..", "a/b", "a?b", "a#b", "a b"] {
        let run = simple_azure(&machine, &[]).env("AZURE_TENANT_ID", tenant);
        let output = machine.assert_refused(run);
        let told = "AZURE_TENANT_ID is not a tenant ID";
        assert!(output.stderr.contains(told), "{output}");
    }
    assert!(machine.asked().is_empty());
}

/// The token of a web identity goes to the address that is asked for, too. No further than the proxy.
#[test]
fn a_web_identity_is_taken_to_the_endpoint_that_is_asked_for() {
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
        let (proxy, asked) = refusing_proxy("HTTP/1.1 502 No\r\n\r\n");
        let run = web_identity(&machine, machine.run_with_identity("aws", &[]));
        let run = run
            .unset("AWS_ENDPOINT_URL_STS")
            .env("AWS_REGION", region)
            .env(variable, value)
            .env("PHASE_MAX_WAIT", "0")
            .env("https_proxy", format!("http://{proxy}"));
        let _ = machine.assert_refused(run);
        let hosts: Vec<String> = asked.try_iter().map(|lines| lines[0].clone()).collect();
        assert_eq!(hosts, [format!("CONNECT {host}:443 HTTP/1.1")]);
    }
}

/// AWS says in so many words that the role does not trust the instance.
#[test]
fn an_instance_that_may_not_have_its_role_is_told() {
    let machine = cloud_machine();
    let answer = r#"{"Code": "AssumeRoleUnauthorizedAccess", "Message": "no"}"#;
    let path = format!("/security-credentials/{}", aws::INSTANCE_ROLE);
    machine.cloud.respond(&path, Responder::json(200, answer));
    let run = machine
        .run_with_identity("aws", &[])
        .env("AWS_REGION", "us-east-1");
    let output = machine.assert_refused(run.unset("AWS_EC2_METADATA_DISABLED"));
    let code = "no access key: AssumeRoleUnauthorizedAccess";
    assert!(output.stderr.contains(code), "{output}");
}

/// Who knows a container's path can ask there: `-vv` names its host alone.
#[test]
fn no_message_has_the_path_of_a_metadata_request() {
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
    let output = output.ended(Status::Exited(125));
    assert!(output.stderr.contains("status 500"), "{output}");
}

/// A name that cannot be read is not taken for none: another principal would be found.
#[test]
fn a_name_that_is_no_text_is_told() {
    let machine = cloud_machine();
    profiles(&machine);
    let name = OsStr::from_bytes(b"caf\xe9");
    for (variable, provider) in [
        ("AWS_PROFILE", "aws"),
        ("AWS_DEFAULT_PROFILE", "aws"),
        ("AZURE_CLIENT_ID", "azure"),
    ] {
        let run = machine.run_with_identity(provider, &[]).env(variable, name);
        let output = machine.assert_refused(run.unset("AWS_EC2_METADATA_DISABLED"));
        let told = format!("{variable}: it is not UTF-8");
        assert!(output.stderr.contains(&told), "{output}");
    }
    assert!(machine.asked().is_empty() && machine.phase.requests().is_empty());
}
