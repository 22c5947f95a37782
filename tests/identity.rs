//! `--identity`: one token a start, what it is good for, what the command has of it. Where the
//! credentials come from is in `identity_aws`, `identity_profile`, `identity_azure` and
//! `identity_order`, what can go wrong on the way in `identity_faults`, what Phase may say in
//! `identity_refused`, `--watch` in `identity_watch`.

use fake_phase::{
    AccessKey, Request, aws, azure, minted_bearer, service_account_id, service_token,
};

use crate::support::{CloudMachine, Run, SHOP, cloud_machine, set_mode, shop, with};

/// In `AWS_ACCESS_KEY_ID` and so on.
pub(crate) fn keyed<'a>(run: Run<'a>, key: AccessKey) -> Run<'a> {
    let run = run.env("AWS_ACCESS_KEY_ID", key.id);
    let run = run.env("AWS_SECRET_ACCESS_KEY", key.secret);
    match key.token {
        Some(token) => run.env("AWS_SESSION_TOKEN", token),
        None => run,
    }
}

/// AWS's simplest source.
pub(crate) fn simple<'a>(machine: &'a CloudMachine, options: &[&str]) -> Run<'a> {
    keyed(machine.run_with_identity("aws", options), aws::SESSION)
}

/// Azure's.
pub(crate) fn simple_azure<'a>(machine: &'a CloudMachine, options: &[&str]) -> Run<'a> {
    let variables = [
        ("AZURE_TENANT_ID", azure::TENANT),
        ("AZURE_CLIENT_ID", azure::CLIENT),
        ("AZURE_CLIENT_SECRET", azure::SECRET),
    ];
    with(machine.run_with_identity("azure", options), variables)
}

/// A run of a machine that has what it needs.
pub(crate) type Proving = for<'a> fn(&'a CloudMachine) -> Run<'a>;

const PROVIDERS: [(&str, Proving, &str); 2] = [
    (
        "aws",
        |machine| simple(machine, &[]),
        "/service/public/identities/external/v1/aws/iam/auth/",
    ),
    (
        "azure",
        |machine| simple_azure(machine, &[]),
        "/service/public/identities/external/v1/azure/entra/auth/",
    ),
];

pub(crate) fn is_mint(request: &Request) -> bool {
    request.path().contains("/identities/")
}

/// "One mint a start", with no `Authorization`, before anything else is asked; then its token.
#[test]
fn a_start_mints_one_token_and_uses_it() {
    for (provider, run, path) in PROVIDERS {
        let machine = cloud_machine();
        let output = machine.assert_gets_value(run(&machine));
        assert!(output.stderr.is_empty(), "{output}");
        let requests = machine.phase.requests();
        let (mint, rest) = requests.split_first().unwrap();
        assert_eq!((mint.method.as_str(), mint.path()), ("POST", path));
        assert_eq!(mint.header("Authorization"), None, "{provider}");
        assert_eq!(mint.header("Content-Type"), Some("application/json"));
        assert_eq!(mint.header("User-Agent"), rest[0].header("User-Agent"));
        let used = format!("Bearer ServiceAccount {}", minted_bearer(0));
        for request in rest {
            assert!(!is_mint(request), "minted again: {provider}");
            assert_eq!(request.header("Authorization"), Some(used.as_str()));
        }
        assert!(!rest.is_empty());
        let mints = machine.phase.mints();
        assert_eq!(mints[0].account, service_account_id());
    }
}

/// It is a full token: end-to-end encryption works with it, and an app's UUID costs what it costs.
#[test]
fn the_minted_token_opens_end_to_end_encryption() {
    for e2e in [true, false] {
        for (_, run, _) in PROVIDERS {
            let machine = cloud_machine();
            machine.phase.edit(|world| {
                if e2e {
                    world.app("shop").e2e();
                }
            });
            let mode = if e2e { "auto" } else { "e2ee" };
            let _ = machine.assert_gets_value(run(&machine).env("PHASE_MODE", mode));
            let requests = machine.phase.requests();
            let boxed = requests
                .iter()
                .any(|request| request.path() == "/service/secrets/");
            assert!(boxed, "{requests:?}");
            assert_eq!(
                requests.iter().filter(|request| is_mint(request)).count(),
                1
            );
        }
    }
}

/// The variables do what the options do.
#[test]
fn the_environment_may_name_it_too() {
    let machine = cloud_machine();
    let run = machine.around(machine.run(SHOP).arg("--"));
    let run = keyed(run, aws::ENVIRONMENT).env("PHASE_IDENTITY", "aws");
    let run = run.env("PHASE_SERVICE_ACCOUNT_ID", service_account_id());
    let _ = machine.assert_gets_value(run);
    // An option comes first.
    let run = simple(&machine, &[]).env("PHASE_IDENTITY", "azure");
    let _ = machine.assert_gets_value(run.env("PHASE_SERVICE_ACCOUNT_ID", "other"));
    assert_eq!(machine.phase.mints().len(), 2);
}

/// An option that lacks its other half, is unknown, or contradicts another; nobody is asked.
#[test]
fn mistakes_are_told_before_anybody_is_asked() {
    let machine = cloud_machine();
    let id = service_account_id();
    let snapshot = [
        "--identity",
        "aws",
        "--service-account",
        &id,
        "--snapshot",
        "file",
    ];
    for (words, kind, message) in [
        (&["--identity", "aws"][..], "usage", "--service-account"),
        (&["--service-account", &id], "usage", "--identity"),
        (&snapshot, "usage", "--snapshot"),
        (
            &["--identity", "gcp", "--service-account", &id],
            "usage",
            "aws",
        ),
        (
            &["--identity", "aws", "--service-account", "no-uuid"],
            "usage",
            "no-uuid",
        ),
    ] {
        let run = machine.run(SHOP).args(words).args(["echo", "started"]);
        let run = keyed(machine.around(run), aws::ENVIRONMENT);
        let output = run.output().failed(125, kind);
        assert!(output.stderr.contains(message), "{output}");
    }
    let run = simple(&machine, &[]).env("PHASE_SNAPSHOT", "file");
    let output = run.arg("true").output().failed(125, "usage");
    assert!(output.stderr.contains("PHASE_SNAPSHOT"), "{output}");
    assert!(machine.phase.requests().is_empty());
    assert!(machine.asked().is_empty());
}

/// "A token variable beside `--identity`: the option wins, one warning"; the command has neither.
#[test]
fn a_token_beside_it_is_not_used_and_one_warning_says_so() {
    let machine = cloud_machine();
    let file = machine.path("token", service_token());
    set_mode(&file, 0o600);
    for (name, value) in [
        ("PHASE_SERVICE_TOKEN", service_token()),
        ("PHASE_SERVICE_TOKEN_FILE", &file),
    ] {
        let before = machine.phase.requests().len();
        let run = simple(&machine, &[]).env(name, value);
        let output = machine.assert_gets_value(run);
        let output = output.notices(&[&format!("warning: {name} is not used: --identity")]);
        assert!(output.stderr.is_empty(), "{output}");
        let requests = machine.phase.requests().split_off(before);
        assert!(is_mint(&requests[0]), "{name}");
    }
}

/// A `--token-file` on the line comes before a variable that asks for an identity.
#[test]
fn a_token_on_the_line_comes_before_a_variable() {
    let machine = cloud_machine();
    let file = machine.path("token", service_token());
    set_mode(&file, 0o600);
    let run = machine.run(SHOP).args(["--token-file", &file, "--"]);
    let run = machine.around(run).env("PHASE_IDENTITY", "aws");
    let run = run.env("PHASE_SERVICE_ACCOUNT_ID", service_account_id());
    let output = machine.assert_gets_value(run);
    let _ = output
        .notices(&["warning: PHASE_IDENTITY is not used: --token-file"])
        .ok();
    assert!(machine.phase.mints().is_empty());
    // Both on the line contradict each other.
    let run = simple(&machine, &["--token-file", &file]).arg("true");
    let _ = run.output().failed(125, "usage");
}

/// "Cloud credentials are … not removed from the command's environment", and no token is in it.
#[test]
fn the_command_has_the_clouds_credentials_and_no_token() {
    for mode in [&[][..], &["--supervise"]] {
        let machine = cloud_machine();
        let id = service_account_id();
        let words = ["--identity", "aws", "--service-account", &id];
        let words = [&SHOP[..], &words, mode].concat();
        let comparison = machine.transparent(words, |run| keyed(machine.around(run), aws::SESSION));
        let comparison = comparison.added("KEY", "value");
        let comparison = match mode {
            [] => comparison,
            _ => comparison.supervised(),
        };
        comparison.check();
        assert_eq!(machine.phase.mints().len(), 1);
    }
}

/// Names and types, no value; nothing is run.
#[test]
fn a_dry_run_mints_too() {
    let machine = cloud_machine();
    let output = simple(&machine, &["--dry-run"]).output().ok();
    assert_eq!(output.text(), "KEY\t/\tsecret\tvariable\n");
    assert_eq!(machine.phase.mints().len(), 1);
}

/// A gateway sees its headers on all requests; the cloud sees none of them.
#[test]
fn a_gateways_headers_are_for_phase_alone() {
    let mut machine = cloud_machine();
    machine.canary("a secret of the gateway");
    let file = machine.path("headers", "X-Gateway: a secret of the gateway\n");
    set_mode(&file, 0o600);
    let _ = machine.assert_gets_value(simple_azure(&machine, &["-vv", "--header-file", &file]));
    let has = |request: &Request| request.header("X-Gateway").is_some();
    let requests = machine.phase.requests();
    assert!(
        requests.len() > 1 && requests.iter().all(has),
        "{requests:?}"
    );
    let asked = machine.cloud.requests();
    assert!(!asked.is_empty() && !asked.iter().any(has), "{asked:?}");
}

/// "The start without `--identity` does not change in … requests", whatever the cloud has set.
#[test]
fn without_it_nothing_is_asked_of_a_cloud() {
    let machine = cloud_machine();
    let run = keyed(machine.around(machine.run(SHOP).arg("--")), aws::SESSION);
    let run = run.env("PHASE_SERVICE_TOKEN", service_token());
    let run = run.unset("AWS_EC2_METADATA_DISABLED");
    let output = machine.assert_gets_value(run.env("IDENTITY_ENDPOINT", machine.cloud.host()));
    assert!(output.stderr.is_empty(), "{output}");
    let plain = shop([("KEY", "value")]);
    let _ = plain.with(&[]).arg("true").output().ok();
    assert_eq!(machine.phase.requests().len(), plain.phase.requests().len());
    assert_eq!(machine.cloud.connections(), 0);
}

/// The exchange for a token is the only request more than with a stored token, and nothing is retried.
#[test]
fn identity_login_costs_one_request() {
    let machine = cloud_machine();
    let output = machine.assert_gets_value(simple(&machine, &[]));
    assert!(output.stderr.is_empty(), "{output}");
    let plain = shop([("KEY", "value")]);
    let _ = plain.with(&[]).arg("true").output().ok();
    let (requests, usual) = (machine.phase.requests(), plain.phase.requests());
    assert_eq!(requests.len(), usual.len() + 1);
}
