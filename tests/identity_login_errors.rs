//! Responses of Phase to a login other than a token.

use fake_phase::{Account, Identities, Responder};

use crate::identity::{aws_run, azure_run};
use crate::support::{Status, cloud_machine};

/// A transient failure of the login is retried, and each retry is logged.
#[test]
fn transient_login_failure_is_retried() {
    for responder in [
        Responder::status(503),
        Responder::rate_limited(1),
        Responder::status(502),
        Responder::close(),
    ] {
        let machine = cloud_machine();
        machine.phase.respond("/identities/", responder.times(1));
        let output = machine.assert_gets_value(aws_run(&machine, &[]));
        let _ = output.assert_retried().assert_ok();
        assert_eq!(machine.phase.mints().len(), 2);
    }
}

type Change = fn(&mut Identities) -> &mut Identities;

/// The error has the server's text, its status and a hint. The login is not retried.
#[test]
fn refused_login_reports_reason_and_hint() {
    let cases: [(Change, &str, &str); 9] = [
        (Identities::distrust, "Untrusted principal", "(403)"),
        (
            Identities::without_server_side_keys,
            "Server-side key management must be enabled",
            "(403)",
        ),
        (Identities::detach, "No AWS IAM identity attached", "(404)"),
        (|all| all.clock_ahead(61), "Signature expired", "(401)"),
        (|all| all.clock_ahead(-3600), "Signature expired", "clock"),
        (
            |all| all.endpoint("https://sts.eu-west-3.amazonaws.com"),
            "STS endpoint mismatch",
            "(400)",
        ),
        (
            |all| all.endpoint("https://sts.eu-west-3.amazonaws.com"),
            "STS endpoint mismatch",
            "set AWS_REGION=eu-west-3",
        ),
        (
            |all| all.endpoint("https://vpce-1.sts.eu-west-3.vpce.amazonaws.com"),
            "STS endpoint mismatch",
            "hint: change the STS endpoint of the identity in Phase's console from https://vpce-1.sts.eu-west-3.vpce.amazonaws.com ",
        ),
        (|all| all.clock_ahead(59), "", ""),
    ];
    for (change, said, more) in cases {
        let machine = cloud_machine();
        machine.edit_identities(|identities| {
            change(identities);
        });
        let run = aws_run(&machine, &["-q"]);
        if said.is_empty() {
            // Within the tolerance.
            let _ = machine.assert_gets_value(run).assert_ok();
            continue;
        }
        let output = machine.assert_identity_error(run);
        assert!(output.stderr.contains(said), "{output}");
        assert!(output.stderr.contains(more), "{output}");
        assert!(output.stderr.contains("\nhint: "), "{output}");
        assert_eq!(machine.phase.requests().len(), 1, "{said}");
    }
    for (status, message) in [
        (400, "Invalid awsIam request encoding"),
        (401, "AWS STS validation failed"),
        (404, "Service account not found"),
        (403, "Untrusted service principal"),
    ] {
        let machine = cloud_machine();
        machine
            .phase
            .respond("/identities/", Responder::error(status, message));
        let output = machine.assert_identity_error(azure_run(&machine, &[]));
        let said = format!("{message} ({status})");
        assert!(output.stderr.contains(&said), "{output}");
        assert_eq!(machine.phase.requests().len(), 1, "{said}");
    }
}

/// If Phase cannot reach STS, its text is reported like that of any other transient failure.
#[test]
fn phase_without_sts_is_reported() {
    let machine = cloud_machine();
    let responder = Responder::error(502, "Unable to connect to AWS STS");
    machine.phase.respond("/identities/", responder);
    let run = aws_run(&machine, &[]).env("PHASE_MAX_WAIT", "0");
    let output = run.arg("true").output().assert_status(Status::Exited(125));
    assert!(
        output.stderr.contains("Unable to connect to AWS STS"),
        "{output}"
    );
}

/// HTML, other JSON and a redirect are protocol errors, and no request follows.
#[test]
fn malformed_login_response_is_protocol_error() {
    let other = cloud_machine();
    for responder in [
        Responder::html_login(),
        Responder::json(200, "{}"),
        Responder::json(200, r#"{"authentication": {"token": "abc", "TTL": 3600}}"#),
        Responder::redirect(&other.phase.host()),
    ] {
        let machine = cloud_machine();
        machine.phase.respond("/identities/", responder);
        let run = aws_run(&machine, &[]).args(["echo", "started"]);
        let output = run.output().assert_error(125, "protocol");
        assert!(output.stdout.is_empty(), "{output}");
        assert_eq!(machine.phase.requests().len(), 1);
    }
    assert!(other.phase.requests().is_empty());
}

/// A minted token that Phase refuses is reported like any token, with its source.
#[test]
fn refused_minted_token_names_its_source() {
    let machine = cloud_machine();
    machine.phase.edit(|world| {
        world.revoke(Account::ServiceAccount);
    });
    let run = aws_run(&machine, &[]).arg("true");
    let output = run.output().assert_error(125, "token");
    assert!(output.stderr.contains("--identity"), "{output}");
    assert_eq!(machine.phase.mints().len(), 1);
}

/// With `--max-wait 0` each request has exactly one try, the login included.
#[test]
fn max_wait_zero_allows_one_login_try() {
    let machine = cloud_machine();
    for run in [aws_run(&machine, &[]), azure_run(&machine, &[])] {
        let _ = machine.assert_gets_value(run.env("PHASE_MAX_WAIT", "0"));
    }
    let before = machine.phase.requests().len();
    machine
        .phase
        .respond("/identities/", Responder::status(503));
    let run = aws_run(&machine, &[]).env("PHASE_MAX_WAIT", "0");
    let _ = run.arg("true").output().assert_error(125, "server");
    assert_eq!(machine.phase.requests().len() - before, 1);
}
