//! `--identity`: the login, its options, and what the command inherits. The sources of the credentials
//! are tested in `identity_aws`, `identity_profile`, `identity_azure` and `identity_order`, failures of
//! the cloud in `identity_faults` and `identity_hostile`, refusals by Phase in `identity_refused`, and
//! `--watch` in `identity_watch`.

use fake_phase::{
    AccessKey, Request, aws, azure, minted_bearer, service_account_id, service_token,
};

use crate::support::{
    CloudMachine, Run, SHOP, cloud_machine, require_linux, set_mode, shop, with_env,
};

/// Sets the variables of this access key.
pub(crate) fn with_access_key<'a>(run: Run<'a>, key: AccessKey) -> Run<'a> {
    let run = run.env("AWS_ACCESS_KEY_ID", key.id);
    let run = run.env("AWS_SECRET_ACCESS_KEY", key.secret);
    match key.token {
        Some(token) => run.env("AWS_SESSION_TOKEN", token),
        None => run,
    }
}

/// A run with an access key of AWS in variables.
pub(crate) fn aws_run<'a>(machine: &'a CloudMachine, options: &[&str]) -> Run<'a> {
    with_access_key(machine.run_with_identity("aws", options), aws::SESSION)
}

/// A run with a client secret of Azure in variables.
pub(crate) fn azure_run<'a>(machine: &'a CloudMachine, options: &[&str]) -> Run<'a> {
    let variables = [
        ("AZURE_TENANT_ID", azure::TENANT),
        ("AZURE_CLIENT_ID", azure::CLIENT),
        ("AZURE_CLIENT_SECRET", azure::SECRET),
    ];
    with_env(machine.run_with_identity("azure", options), variables)
}

/// Makes a run on a machine with credentials.
pub(crate) type MakeRun = for<'a> fn(&'a CloudMachine) -> Run<'a>;

const PROVIDERS: [(&str, MakeRun, &str); 2] = [
    (
        "aws",
        |machine| aws_run(machine, &[]),
        "/service/public/identities/external/v1/aws/iam/auth/",
    ),
    (
        "azure",
        |machine| azure_run(machine, &[]),
        "/service/public/identities/external/v1/azure/entra/auth/",
    ),
];

pub(crate) fn is_login(request: &Request) -> bool {
    request.path().contains("/identities/")
}

/// The login request has no `Authorization` and precedes all others, which use the minted token.
#[test]
fn start_mints_one_token_and_uses_it() {
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
            assert!(!is_login(request), "minted again: {provider}");
            assert_eq!(request.header("Authorization"), Some(used.as_str()));
        }
        assert!(!rest.is_empty());
        let mints = machine.phase.mints();
        assert_eq!(mints[0].account, service_account_id());
    }
}

/// The minted token is a full token, so it also decrypts end-to-end encrypted apps.
#[test]
fn minted_token_decrypts_end_to_end() {
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
                requests.iter().filter(|request| is_login(request)).count(),
                1
            );
        }
    }
}

/// The variables select an identity as the options do; an option takes precedence.
#[test]
fn variables_select_identity_like_options() {
    let machine = cloud_machine();
    let run = machine.with_cloud_variables(machine.run(SHOP).arg("--"));
    let run = with_access_key(run, aws::ENVIRONMENT).env("PHASE_IDENTITY", "aws");
    let run = run.env("PHASE_SERVICE_ACCOUNT_ID", service_account_id());
    let _ = machine.assert_gets_value(run);
    // An option comes first.
    let run = aws_run(&machine, &[]).env("PHASE_IDENTITY", "azure");
    let _ = machine.assert_gets_value(run.env("PHASE_SERVICE_ACCOUNT_ID", "other"));
    assert_eq!(machine.phase.mints().len(), 2);
}

/// A missing, unknown or conflicting option is a usage error, and no request is sent.
#[test]
fn invalid_identity_options_send_no_request() {
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
        let run = with_access_key(machine.with_cloud_variables(run), aws::ENVIRONMENT);
        let output = run.output().assert_error(125, kind);
        assert!(output.stderr.contains(message), "{output}");
    }
    let run = aws_run(&machine, &[]).env("PHASE_SNAPSHOT", "file");
    let output = run.arg("true").output().assert_error(125, "usage");
    assert!(output.stderr.contains("PHASE_SNAPSHOT"), "{output}");
    assert!(machine.phase.requests().is_empty());
    assert!(machine.cloud_requests().is_empty());
}

/// With `--identity` a stored token is ignored with one warning, and the command gets neither.
#[test]
fn identity_ignores_stored_token_with_warning() {
    let machine = cloud_machine();
    let file = machine.write_file("token", service_token());
    set_mode(&file, 0o600);
    for (name, value) in [
        ("PHASE_SERVICE_TOKEN", service_token()),
        ("PHASE_SERVICE_TOKEN_FILE", &file),
    ] {
        let before = machine.phase.requests().len();
        let run = aws_run(&machine, &[]).env(name, value);
        let output = machine.assert_gets_value(run);
        let output = output.assert_log_lines(&[&format!(
            "warning: ignoring {name}: --identity takes precedence"
        )]);
        assert!(output.stderr.is_empty(), "{output}");
        let requests = machine.phase.requests().split_off(before);
        assert!(is_login(&requests[0]), "{name}");
    }
}

/// `--token-file` takes precedence over a variable that asks for an identity.
#[test]
fn token_file_option_precedes_identity_variable() {
    let machine = cloud_machine();
    let file = machine.write_file("token", service_token());
    set_mode(&file, 0o600);
    let run = machine.run(SHOP).args(["--token-file", &file, "--"]);
    let run = machine
        .with_cloud_variables(run)
        .env("PHASE_IDENTITY", "aws");
    let run = run.env("PHASE_SERVICE_ACCOUNT_ID", service_account_id());
    let output = machine.assert_gets_value(run);
    let _ = output
        .assert_log_lines(&["warning: ignoring PHASE_IDENTITY: --token-file takes precedence"])
        .assert_ok();
    assert!(machine.phase.mints().is_empty());
    // Both on the line contradict each other.
    let run = aws_run(&machine, &["--token-file", &file]).arg("true");
    let _ = run.output().assert_error(125, "usage");
}

/// The command inherits the cloud's variables, and no token is in its environment.
#[test]
fn command_gets_cloud_variables_but_no_token() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    for mode in [&[][..], &["--supervise"]] {
        let machine = cloud_machine();
        let id = service_account_id();
        let words = ["--identity", "aws", "--service-account", &id];
        let words = [&SHOP[..], &words, mode].concat();
        let comparison = machine.compare_with_bare(words, |run| {
            with_access_key(machine.with_cloud_variables(run), aws::SESSION)
        });
        let comparison = comparison.expect_added("KEY", "value");
        let comparison = match mode {
            [] => comparison,
            _ => comparison.expect_supervised(),
        };
        comparison.check();
        assert_eq!(machine.phase.mints().len(), 1);
    }
}

/// A dry run logs in as well; it prints names and types, and starts nothing.
#[test]
fn dry_run_mints_a_token() {
    let machine = cloud_machine();
    let output = aws_run(&machine, &["--dry-run"]).output().assert_ok();
    assert_eq!(output.text(), "KEY\t/\tsecret\tvariable\n");
    assert_eq!(machine.phase.mints().len(), 1);
}

/// The headers of `--header-file` are sent with each request to Phase and with none to the cloud.
#[test]
fn gateway_headers_go_to_phase_only() {
    let mut machine = cloud_machine();
    machine.canary("a secret of the gateway");
    let file = machine.write_file("headers", "X-Gateway: a secret of the gateway\n");
    set_mode(&file, 0o600);
    let _ = machine.assert_gets_value(azure_run(&machine, &["-vv", "--header-file", &file]));
    let has = |request: &Request| request.header("X-Gateway").is_some();
    let requests = machine.phase.requests();
    assert!(
        requests.len() > 1 && requests.iter().all(has),
        "{requests:?}"
    );
    let asked = machine.cloud.requests();
    assert!(!asked.is_empty() && !asked.iter().any(has), "{asked:?}");
}

/// Without `--identity` the cloud's variables change nothing: there are no requests to it, and no
/// more to Phase.
#[test]
fn no_identity_sends_no_cloud_request() {
    let machine = cloud_machine();
    let run = with_access_key(
        machine.with_cloud_variables(machine.run(SHOP).arg("--")),
        aws::SESSION,
    );
    let run = run.env("PHASE_SERVICE_TOKEN", service_token());
    let run = run.unset("AWS_EC2_METADATA_DISABLED");
    let output = machine.assert_gets_value(run.env("IDENTITY_ENDPOINT", machine.cloud.host()));
    assert!(output.stderr.is_empty(), "{output}");
    let plain = shop([("KEY", "value")]);
    let _ = plain.run_with(&[]).arg("true").output().assert_ok();
    assert_eq!(machine.phase.requests().len(), plain.phase.requests().len());
    assert_eq!(machine.cloud.connections(), 0);
}

/// The exchange for a token is the only request more than with a stored token, and nothing is retried.
#[test]
fn identity_login_costs_one_request() {
    let machine = cloud_machine();
    let output = machine.assert_gets_value(aws_run(&machine, &[]));
    assert!(output.stderr.is_empty(), "{output}");
    let plain = shop([("KEY", "value")]);
    let _ = plain.run_with(&[]).arg("true").output().assert_ok();
    let (requests, usual) = (machine.phase.requests(), plain.phase.requests());
    assert_eq!(requests.len(), usual.len() + 1);
}
