//! The order of the credential chain, and the error if no source is configured.

use std::path::Path;

use fake_phase::Responder;

use crate::support::{BOTOCORE, cloud_machine, pypi_packages, unused_port};
use crate::{identity_aws, identity_azure};

/// botocore finds the same access key on the same machine, with the same requests in the same
/// order.
#[test]
fn credential_chain_matches_botocore() {
    let Some(packages) = pypi_packages(&BOTOCORE) else {
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sigv4.py");
    let sources = identity_aws::SOURCES;
    let alone = (0..sources.len()).map(|index| &sources[index..=index]);
    let together = (0..sources.len()).map(|index| &sources[index..]);
    for sources in alone.chain(together) {
        let machine = cloud_machine();
        let prepare = |run, source: &identity_aws::Source| (source.1)(&machine, run);
        let python = machine.bare(["python3"]).arg(&script).arg("--credentials");
        let run = machine.with_cloud_variables(python.env("PYTHONPATH", &packages));
        let run = run.env("AWS_DEFAULT_REGION", "us-east-1");
        let output = sources.iter().fold(run, prepare).output();
        let (name, _, key) = sources[0];
        assert_eq!(
            output.text(),
            format!("{} us-east-1\n", key.id),
            "{name}\n{output}"
        );
        let theirs = machine.cloud_requests();
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_REGION", "us-east-1");
        let _ = machine.assert_gets_value(sources.iter().fold(run, prepare));
        let ours = machine.cloud_requests().split_off(theirs.len());
        assert_eq!(ours, theirs, "{name}");
    }
}

/// All sources are configured at first, then all but the first, and so on.
#[test]
fn aws_sources_follow_sdk_order() {
    let sources = identity_aws::SOURCES;
    for first in 0..sources.len() {
        let machine = cloud_machine();
        let run = machine
            .run_with_identity("aws", &[])
            .env("AWS_REGION", "us-east-1");
        let prepare = |run, source: &identity_aws::Source| (source.1)(&machine, run);
        let _ = machine.assert_gets_value(sources[first..].iter().fold(run, prepare));
        let (name, _, key) = sources[first];
        assert_eq!(
            identity_aws::signed(&machine).access_key(),
            Some(key),
            "{name}"
        );
    }
}

#[test]
fn azure_sources_follow_sdk_order() {
    let sources = identity_azure::SOURCES;
    for first in 0..sources.len() {
        let machine = cloud_machine();
        let run = machine.run_with_identity("azure", &[]);
        let prepare = |run, source: &identity_azure::Source| (source.1)(&machine, run);
        let _ = machine.assert_gets_value(sources[first..].iter().fold(run, prepare));
        let (name, _, token) = sources[first];
        assert_eq!(identity_azure::token(&machine), token, "{name}");
    }
}

/// A variable that is set but empty counts as unset.
#[test]
fn empty_cloud_variables_count_as_unset() {
    let machine = cloud_machine();
    let run = machine
        .run_with_identity("aws", &[])
        .env("AWS_REGION", "us-east-1");
    let run = run.unset("AWS_EC2_METADATA_DISABLED");
    let empty = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_PROFILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ];
    let _ = machine.assert_gets_value(empty.iter().fold(run, |run, name| run.env(name, "")));
    let empty = [
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
    ];
    let run = machine.run_with_identity("azure", &[]);
    let _ = machine.assert_gets_value(empty.iter().fold(run, |run, name| run.env(name, "")));
}

/// Without any credentials, the error lists each source with the reason in one line, and a hint
/// follows.
#[test]
fn no_aws_credentials_lists_all_sources() {
    let machine = cloud_machine();
    // botocore ignores the case too.
    let run = machine.run_with_identity("aws", &[]);
    let output = machine.assert_identity_error(run.env("AWS_EC2_METADATA_DISABLED", "True"));
    let (error, hint) = output.stderr.split_once('\n').unwrap();
    for part in [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        ".aws/credentials",
        "AWS_CONTAINER_CREDENTIALS",
        "AWS_EC2_METADATA_DISABLED",
    ] {
        assert!(error.contains(part), "{part}\n{output}");
    }
    assert!(hint.starts_with("hint: "), "{output}");
    assert!(machine.phase.requests().is_empty() && machine.cloud_requests().is_empty());
    // An instance without a role.
    machine
        .cloud
        .respond("/security-credentials/", Responder::html(404));
    let run = machine
        .run_with_identity("aws", &[])
        .env("AWS_REGION", "us-east-1");
    let output = machine.assert_identity_error(run.unset("AWS_EC2_METADATA_DISABLED"));
    assert!(
        output.stderr.contains("404") || output.stderr.contains("role"),
        "{output}"
    );
    assert!(machine.phase.requests().is_empty());
}

#[test]
fn no_azure_credentials_lists_all_sources() {
    let machine = cloud_machine();
    let nobody = format!("http://127.0.0.1:{}", unused_port());
    let run = machine.run_with_identity("azure", &[]);
    let run = run.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody);
    let output = machine.assert_identity_error(run);
    let (error, hint) = output.stderr.split_once('\n').unwrap();
    for part in [
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
        "IDENTITY_ENDPOINT",
        "metadata",
        "refused",
    ] {
        assert!(error.contains(part), "{part}\n{output}");
    }
    assert!(hint.starts_with("hint: "), "{output}");
    assert!(machine.phase.requests().is_empty() && machine.cloud_requests().is_empty());
}
