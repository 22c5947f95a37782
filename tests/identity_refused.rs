//! What Phase may say to who proves an identity: not now, no, and things that are no answer.

use fake_phase::{Account, Identities, Responder};

use crate::identity::{simple, simple_azure};
use crate::support::{Status, cloud_machine};

/// What may pass is tried again as for all of Phase's endpoints, each retry said; a new token is
/// minted once all the same.
#[test]
fn a_mint_that_may_pass_is_tried_again() {
    for responder in [
        Responder::status(503),
        Responder::rate_limited(1),
        Responder::status(502),
        Responder::close(),
    ] {
        let machine = cloud_machine();
        machine.phase.respond("/identities/", responder.times(1));
        let output = machine.assert_gets_value(simple(&machine, &[]));
        let _ = output.notices(&["retrying in "]).ok();
        assert_eq!(machine.phase.mints().len(), 2);
    }
}

type Change = fn(&mut Identities) -> &mut Identities;

/// The server's words, its status, and what to do about it; asked once.
#[test]
fn who_is_refused_is_told_why_and_what_to_do() {
    let cases: [(Change, &str, &str); 9] = [
        (Identities::distrust, "Untrusted principal", "(403)"),
        (
            Identities::without_server_side_keys,
            "Server-side key management must be enabled",
            "(403)",
        ),
        (Identities::detach, "No AWS IAM identity attached", "(404)"),
        (|all| all.clock_ahead(61), "Signature expired", "(401)"),
        (|all| all.clock_ahead(-61), "Signature expired", "clock"),
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
        machine.identities(|identities| {
            change(identities);
        });
        let run = simple(&machine, &["-q"]);
        if said.is_empty() {
            // Within what is allowed.
            let _ = machine.assert_gets_value(run).ok();
            continue;
        }
        let output = machine.assert_refused(run);
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
        let output = machine.assert_refused(simple_azure(&machine, &[]));
        let said = format!("{message} ({status})");
        assert!(output.stderr.contains(&said), "{output}");
        assert_eq!(machine.phase.requests().len(), 1, "{said}");
    }
}

/// STS behind Phase, which is not there: like all that may pass.
#[test]
fn a_phase_that_cannot_reach_sts_is_told() {
    let machine = cloud_machine();
    let responder = Responder::error(502, "Unable to connect to AWS STS");
    machine.phase.respond("/identities/", responder);
    let run = simple(&machine, &[]).env("PHASE_MAX_WAIT", "0");
    let output = run.arg("true").output().ended(Status::Exited(125));
    assert!(
        output.stderr.contains("Unable to connect to AWS STS"),
        "{output}"
    );
}

/// A page, another JSON, a redirect: not Phase's, and nothing is asked with it.
#[test]
fn an_answer_that_is_no_token_is_a_protocol_error() {
    let other = cloud_machine();
    for responder in [
        Responder::html_login(),
        Responder::json(200, "{}"),
        Responder::json(200, r#"{"authentication": {"token": "abc", "TTL": 3600}}"#),
        Responder::redirect(&other.phase.host()),
    ] {
        let machine = cloud_machine();
        machine.phase.respond("/identities/", responder);
        let run = simple(&machine, &[]).args(["echo", "started"]);
        let output = run.output().failed(125, "protocol");
        assert!(output.stdout.is_empty(), "{output}");
        assert_eq!(machine.phase.requests().len(), 1);
    }
    assert!(other.phase.requests().is_empty());
}

/// A minted token that is refused right away is told like any token, by what it came from.
#[test]
fn a_minted_token_that_is_refused_is_told() {
    let machine = cloud_machine();
    machine.phase.edit(|world| {
        world.revoke(Account::ServiceAccount);
    });
    let run = simple(&machine, &[]).arg("true");
    let output = run.output().failed(125, "token");
    assert!(output.stderr.contains("--identity"), "{output}");
    assert_eq!(machine.phase.mints().len(), 1);
}

/// "0: exactly one request" of each, the mint included.
#[test]
fn one_try_is_enough_where_all_is_well() {
    let machine = cloud_machine();
    for run in [simple(&machine, &[]), simple_azure(&machine, &[])] {
        let _ = machine.assert_gets_value(run.env("PHASE_MAX_WAIT", "0"));
    }
    let before = machine.phase.requests().len();
    machine
        .phase
        .respond("/identities/", Responder::status(503));
    let run = simple(&machine, &[]).env("PHASE_MAX_WAIT", "0");
    let _ = run.arg("true").output().failed(125, "server");
    assert_eq!(machine.phase.requests().len() - before, 1);
}
