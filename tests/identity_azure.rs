//! Azure: each source of an access token alone, and the resource of the token.

use fake_phase::{Phase, World, azure};

use crate::identity::azure_run;
use crate::support::{CloudMachine, Run, cloud_machine, with_env};

/// The access token of the last login.
pub(crate) fn token(machine: &CloudMachine) -> String {
    machine.phase.mints().pop().unwrap().access_token.unwrap()
}

/// A part of the name that `-v` gives a source, its setup, and its access token.
pub(crate) type Source = (
    &'static str,
    for<'a> fn(&'a CloudMachine, Run<'a>) -> Run<'a>,
    &'static str,
);

/// The sources in the order of the SDK.
pub(crate) const SOURCES: [Source; 4] = [
    (
        "the variable AZURE_CLIENT_SECRET",
        client_secret,
        azure::CLIENT_SECRET,
    ),
    (
        "the workload identity of AZURE_FEDERATED_TOKEN_FILE",
        workload,
        azure::WORKLOAD,
    ),
    (
        "the endpoint of the app service",
        app_service,
        azure::APP_SERVICE,
    ),
    (
        "the instance metadata service",
        |_, run| run,
        azure::METADATA,
    ),
];

pub(crate) fn client_secret<'a>(_: &CloudMachine, run: Run<'a>) -> Run<'a> {
    let variables = [
        ("AZURE_TENANT_ID", azure::TENANT),
        ("AZURE_CLIENT_ID", azure::CLIENT),
        ("AZURE_CLIENT_SECRET", azure::SECRET),
    ];
    with_env(run, variables)
}

pub(crate) fn workload<'a>(machine: &CloudMachine, run: Run<'a>) -> Run<'a> {
    let file = machine.write_file("federated", azure::FEDERATED);
    let variables = [
        ("AZURE_TENANT_ID", azure::TENANT),
        ("AZURE_CLIENT_ID", azure::CLIENT),
        ("AZURE_FEDERATED_TOKEN_FILE", &file),
    ];
    with_env(run, variables)
}

pub(crate) fn app_service<'a>(machine: &CloudMachine, run: Run<'a>) -> Run<'a> {
    let endpoint = format!("{}/msi/token", machine.cloud.host());
    run.env("IDENTITY_ENDPOINT", endpoint)
        .env("IDENTITY_HEADER", azure::IDENTITY_HEADER)
}

/// Each source works alone: one request is sent, and `-v` names the source.
#[test]
fn each_azure_source_is_used_and_named() {
    let entra = format!("POST /{}/oauth2/v2.0/token", azure::TENANT);
    let asked = [
        entra.as_str(),
        &entra,
        "GET /msi/token",
        "GET /metadata/identity/oauth2/token",
    ];
    for ((name, prepare, given), asked) in SOURCES.into_iter().zip(asked) {
        for options in [&["-v"][..], &["-vv"], &[]] {
            let machine = cloud_machine();
            let run = prepare(&machine, machine.run_with_identity("azure", options));
            let output = machine.assert_gets_value(run);
            match options {
                [] => assert!(output.stderr.is_empty(), "{name}\n{output}"),
                _ => assert!(output.stderr.contains(name), "{name}\n{output}"),
            }
            assert_eq!(token(&machine), given, "{name}");
            assert_eq!(machine.cloud_requests(), [asked], "{name}");
        }
    }
}

/// The token is requested for Phase's default resource, or for its scope at Entra.
#[test]
fn azure_token_is_for_the_expected_resource() {
    let machine = cloud_machine();
    for (_, prepare, _) in SOURCES {
        let _ =
            machine.assert_gets_value(prepare(&machine, machine.run_with_identity("azure", &[])));
        let request = machine.cloud.requests().pop().unwrap();
        let resource = match request.method.as_str() {
            "POST" => {
                let scope = request.form("scope").unwrap();
                scope.strip_suffix("/.default").unwrap().to_owned()
            }
            _ => request.query("resource").unwrap(),
        };
        // Phase accepts the audience with and without its last slash.
        assert_eq!(
            resource.trim_end_matches('/'),
            azure::RESOURCE.trim_end_matches('/')
        );
    }
}

/// A user-assigned identity is selected by its client ID, which is sent only if it is set.
#[test]
fn azure_client_id_selects_user_assigned_identity() {
    for (name, prepare, _) in &SOURCES[2..] {
        let machine = cloud_machine();
        let run = || prepare(&machine, machine.run_with_identity("azure", &[]));
        let _ = machine.assert_gets_value(run());
        let _ = machine.assert_gets_value(run().env("AZURE_CLIENT_ID", azure::CLIENT));
        let requests = machine.cloud.requests();
        let asked = requests.iter().map(|request| request.query("client_id"));
        let client = Some(azure::CLIENT.to_owned());
        assert_eq!(asked.collect::<Vec<_>>(), [None, client], "{name}");
        let _ = machine.assert_identity_error(run().env("AZURE_CLIENT_ID", "another"));
    }
}

/// Entra is asked over TLS, at an authority with and without a slash at its end.
#[test]
fn entra_is_asked_over_tls() {
    let machine = CloudMachine::with_cloud(Phase::serve(World::cloud()));
    for end in ["", "/"] {
        let authority = format!("{}{end}", machine.cloud.host());
        let run = azure_run(&machine, &[]).env("AZURE_AUTHORITY_HOST", authority);
        let _ = machine.assert_gets_value(run);
    }
    let path = format!("/{}/oauth2/v2.0/token", azure::TENANT);
    for request in machine.cloud.requests() {
        assert!(request.tls && request.path() == path, "{request:?}");
        assert_eq!(request.form("client_id").as_deref(), Some(azure::CLIENT));
    }
}

/// White space around the token of a workload identity is ignored; a missing file is named.
#[test]
fn federated_token_is_read_from_its_file() {
    let machine = cloud_machine();
    let run = || workload(&machine, machine.run_with_identity("azure", &[]));
    let file = machine.write_file("lines", &format!("{}\n", azure::FEDERATED));
    let _ = machine.assert_gets_value(run().env("AZURE_FEDERATED_TOKEN_FILE", file));
    let gone = machine.directory().join("gone");
    let output = machine.assert_identity_error(run().env("AZURE_FEDERATED_TOKEN_FILE", gone));
    assert!(output.stderr.contains("gone"), "{output}");
}
