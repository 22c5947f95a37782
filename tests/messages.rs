//! The messages, word for word. Each file in `tests/messages` is one case, so that a changed message is a
//! changed file in the review. `UPDATE=1` writes the new messages into the files.
//!
//! `{port}`, `{directory}`, `{ca}`, `{shop}`, `{sealed}`, `{bearer}`, `{mixed}` and `{account}` stand for
//! the server's port, the working directory, the IDs of the captured apps, the service account's
//! bearer token, its token with a key share of another account, and its ID.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string, write};
use std::path::{Path, PathBuf};

use fake_phase::{
    Account, Certificate, Handshake, Options, Phase, Responder, World, app_id, bearer,
    service_account_id, service_token, user_bearer,
};
use serde::Deserialize;
use serde_json::json;

use crate::documents::kinds;
use crate::support::{Sandbox, Status, require_debug_build};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    arguments: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// The content of files in the working directory, by name.
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    server: Server,
    stdout: Option<PathBuf>,
    /// A script for sh(1) that runs phase-run as `"$@"`.
    shell: Option<String>,
    /// Only builds with debug assertions panic on request.
    #[serde(default)]
    needs_debug_build: bool,
    /// The only system that shows the message.
    system: Option<String>,
    /// Writes each number as `N`, because it differs from run to run.
    #[serde(default)]
    mask_numbers: bool,
    status: i32,
    stderr: String,
}

/// How the fake Phase behaves.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Server {
    #[default]
    Captured,
    TokenDeleted,
    TokenDeletedLater,
    ReadingForbidden,
    ListingForbidden,
    AddressForbidden,
    LegacyToken,
    TwoAppsOfAName,
    KeyTwice,
    ReferenceDenied,
    TwoEnvironmentsOfAType,
    HostileNames,
    HostileError,
    HugeValue,
    NulValue,
    LargeValues,
    NoSecrets,
    LimitedOnce,
    SealedForAnother,
    ForeignSeed,
    OddKeyShare,
    NoLease,
    RefusedLeases,
    UnleasedRow,
    UnknownLeaseEnd,
    Untrusted,
    KeysOff,
    Detached,
    OtherEndpoint,
    ClockAhead,
    RateLimited,
    Broken,
    Silent,
    Closing,
    Down,
    LoginPage,
    Redirecting,
    OtherJson,
    UnknownCa,
    OtherName,
    Expired,
    SelfSignedWithoutNames,
    SelfSignedImpostor,
    Http2,
    ClientCertificate,
}

/// Phase's response if two leases could not be created.
const REFUSED_LEASES: &str = r#"{
    "error": "One or more dynamic secret leases could not be created",
    "failedLeases": [
        {"secretId": "1", "secretName": "orders", "error": "the database is full"},
        {"secretId": "2", "secretName": "s3-writer", "error": "Requested TTL exceeds maximum"}
    ],
    "successfulLeases": 1
}"#;

/// A world with one app and one environment, which most servers change.
fn small_world() -> World {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "KEY", "value");
    world
}

impl Server {
    fn start(self) -> Phase {
        let mut world = small_world();
        let shop = world.app("shop");
        let mut options = Options::default();
        match self {
            Self::Captured => world = World::captured(),
            Self::TokenDeleted => drop(world.revoke(Account::ServiceAccount)),
            Self::ReadingForbidden => drop(world.forbid_reading()),
            Self::ListingForbidden => {
                world = World::captured();
                world.forbid_listing();
            }
            Self::KeyTwice => {
                let production = shop.environment("Production", "prod");
                production.secret("/", "KEY", "another value");
            }
            Self::ReferenceDenied => {
                let production = shop.e2e().environment("Production", "prod");
                production
                    .clear()
                    .secret("/", "URL", "https://${Staging.HOST}/");
                let staging = shop.environment("Staging", "staging");
                staging.secret("/", "HOST", "staging.test");
            }
            Self::LegacyToken => drop(world.accept_legacy_token()),
            Self::TwoAppsOfAName => drop(world.add_app("Shop")),
            Self::TwoEnvironmentsOfAType => drop(shop.environment("Prod-EU", "prod")),
            Self::HostileNames => {
                shop.environment("\x1b[2JProduction\u{202e}", "custom");
                let production = shop.environment("Production", "prod");
                production.secret("/", "\x1b]0;title\x07\n=", "value");
            }
            Self::HugeValue => {
                let production = shop.environment("Production", "prod");
                production.secret("/", "HUGE", &"x".repeat(200_000));
            }
            Self::LargeValues => {
                let production = shop.environment("Production", "prod");
                production.secret("/", "LARGE", &"x".repeat(100_000));
                production.secret("/", "LARGER", &"x".repeat(110_000));
            }
            Self::NulValue => {
                let production = shop.environment("Production", "prod");
                production.secret("/", "BINARY", "\0");
            }
            Self::NoSecrets => drop(shop.environment("Production", "prod").clear()),
            Self::SealedForAnother => {
                let other = shop.environment("Staging", "staging").encrypt("value");
                let production = shop.e2e().environment("Production", "prod");
                let key = production.encrypt("SEALED");
                production.encrypted_row(json!({
                    "id": "5f0c", "key": key, "value": other, "path": "/", "type": "secret"
                }));
            }
            Self::ForeignSeed => {
                let other = shop.environment("Staging", "staging").public_key();
                let production = shop.e2e().environment("Production", "prod");
                production.corrupt_key("identity_key", other);
            }
            Self::OddKeyShare => {
                shop.e2e();
                world.corrupt_key_share("0123f");
            }
            Self::NoLease => {
                let production = shop.environment("Production", "prod");
                production.dynamic("/", "s3-writer", &[("AWS_ID", "id")], 60);
                world.fail_leases("the role \x1b[2Jmay not be assumed");
            }
            Self::UnleasedRow => {
                let production = shop.environment("Production", "prod");
                production.dynamic_row(json!({
                    "id": "5f0c", "name": "s3-writer", "path": "/", "type": "dynamic"
                }));
            }
            Self::UnknownLeaseEnd => {
                let production = shop.environment("Production", "prod");
                production.dynamic_row(json!({
                    "id": "5f0c", "name": "s3-writer", "path": "/", "type": "dynamic",
                    "lease": {
                        "credentials": [{"key": "AWS_ID", "value": "id"}],
                        "expiresAt": "2026-11-24T14:53:35+0200",
                    },
                }));
            }
            Self::Untrusted => drop(world.identities().distrust()),
            Self::KeysOff => drop(world.identities().without_server_side_keys()),
            Self::Detached => drop(world.identities().detach()),
            Self::OtherEndpoint => {
                let endpoint = "https://sts.eu-west-3.amazonaws.com";
                world.identities().endpoint(endpoint);
            }
            Self::ClockAhead => drop(world.identities().clock_ahead(3600)),
            Self::UnknownCa => options.certificate = Certificate::UnknownCa,
            Self::OtherName => options.certificate = Certificate::OtherName,
            Self::Expired => options.certificate = Certificate::Expired,
            Self::SelfSignedWithoutNames => {
                options.certificate = Certificate::SelfSignedWithoutNames;
            }
            Self::SelfSignedImpostor => options.certificate = Certificate::SelfSignedImpostor,
            Self::Http2 => options.handshake = Handshake::Http2,
            Self::ClientCertificate => options.handshake = Handshake::ClientCertificateTls13,
            _ => {}
        }
        let phase = Phase::with(world, options);
        let responder = match self {
            Self::HostileError => Responder::error(500, "\x1b[31mred\x07\r\n\u{9b}2J\u{2028}end"),
            Self::RateLimited => Responder::rate_limited(7),
            // The first start sends two requests.
            Self::TokenDeletedLater => Responder::error(403, "Token expired or deleted").after(2),
            Self::LimitedOnce => Responder::rate_limited(0).times(1),
            // The first two requests are for what the token can read and for Production.
            Self::ReferenceDenied => {
                Responder::error(403, "You don't have access to this environment").after(2)
            }
            // The first request is for the list of what the token can read.
            Self::RefusedLeases => Responder::json(400, REFUSED_LEASES).after(1),
            Self::AddressForbidden => Responder::error(
                403,
                "Access denied: a network access policy restricts access from your IP address.",
            ),
            Self::Broken => Responder::html(502),
            Self::Silent => Responder::stall(),
            Self::Closing => Responder::close(),
            Self::LoginPage => Responder::html_login(),
            Self::Redirecting => Responder::redirect("https://\u{9b}elsewhere.test/"),
            Self::OtherJson => Responder::json(200, "{\"value\": \"of something else\"}"),
            _ => return phase,
        };
        phase.respond("/", responder);
        phase
    }
}

impl Case {
    /// Returns whether this build on this system can show the message. A case of another system is no skipped
    /// test.
    fn applies(&self) -> bool {
        if self.needs_debug_build && !require_debug_build() {
            return false;
        }
        let system = self.system.as_deref();
        system.is_none_or(|system| system == std::env::consts::OS)
    }

    /// Runs phase-run and returns its standard error with the placeholders put back. With `json`, the log
    /// format is JSON.
    fn run(&self, json: bool) -> (Status, String) {
        let phase = self.server.start();
        let sandbox = Sandbox::new(&phase);
        let port = phase.port().to_string();
        let directory = sandbox.directory().to_str().unwrap();
        let ca = sandbox.directory().with_file_name("ca.pem");
        let share = service_token().split(':').nth(4).unwrap();
        let mixed = service_token().replace(share, user_bearer());
        let account = service_account_id();
        let placeholders = [
            ("{port}", port.as_str()),
            ("{directory}", directory),
            ("{ca}", ca.to_str().unwrap()),
            ("{shop}", app_id("shop")),
            ("{sealed}", app_id("shop-e2ee")),
            ("{bearer}", bearer()),
            ("{token}", service_token()),
            ("{mixed}", &mixed),
            ("{account}", &account),
        ];
        let fill = |text: &str| {
            placeholders
                .iter()
                .fold(text.to_owned(), |text, (name, value)| {
                    text.replace(name, value)
                })
        };
        for (name, content) in &self.files {
            sandbox.file(name, fill(content));
        }
        let mut run = sandbox.run(self.arguments.iter().map(|word| fill(word)));
        for (name, value) in &self.environment {
            run = run.env(name, fill(value));
        }
        if json {
            run = run.env("PHASE_LOG_FORMAT", "json");
        }
        if let Some(path) = &self.stdout {
            run = run.stdout_to(path);
        }
        if let Some(script) = &self.shell {
            run = run.wrap(["sh", "-c", script, "sh"]);
        }
        if self.server == Server::Down {
            drop(phase);
        }
        let output = run.output();
        let stderr = placeholders
            .iter()
            .fold(output.stderr, |text, (name, value)| {
                text.replace(value, name)
            });
        let stderr = match self.mask_numbers {
            true => mask_numbers(&stderr),
            false => stderr,
        };
        (output.status, stderr)
    }
}

/// The text with `N` in place of each number; a decimal point belongs to the number.
fn mask_numbers(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut masked = String::new();
    for word in text.split_inclusive(|c| !is_number(c)) {
        let rest = word.trim_start_matches(is_number);
        let number = word.strip_suffix(rest).unwrap();
        match number.contains(|c: char| c.is_ascii_digit()) {
            true => masked.push('N'),
            false => masked.push_str(number),
        }
        masked.push_str(rest);
    }
    masked
}

fn cases() -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let paths = read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = paths
        .map(|path| (path.clone(), read_to_string(path).unwrap()))
        .collect();
    cases.sort();
    cases
}

fn parsed(path: &Path, text: &str) -> Case {
    toml::from_str(text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn messages_match_their_files() {
    let mut wrong = Vec::new();
    for (path, text) in cases() {
        let case = parsed(&path, &text);
        if !case.applies() {
            continue;
        }
        let (status, stderr) = case.run(false);
        if status == Status::Exited(case.status) && stderr == case.stderr {
            continue;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a switch for whoever runs the tests"
        )]
        if std::env::var_os("UPDATE").is_some() && status == Status::Exited(case.status) {
            let (before, _) = text.split_once("stderr = '''\n").unwrap();
            write(&path, format!("{before}stderr = '''\n{stderr}'''\n")).unwrap();
            continue;
        }
        wrong.push(format!(
            "{}: {status:?}, with the standard error\n{stderr}",
            path.display()
        ));
    }
    assert!(
        wrong.is_empty(),
        "UPDATE=1 accepts the new messages:\n{}",
        wrong.join("\n")
    );
}

/// `kind`, `message` and `hint` of each object are those of the text.
#[test]
fn json_messages_match_text_messages() {
    for (path, text) in cases() {
        let case = parsed(&path, &text);
        let is_json_already = case.arguments.iter().any(|word| word == "--log-format");
        if is_json_already || !case.applies() {
            continue;
        }
        let (status, stderr) = case.run(true);
        let context = format!("{}: {stderr}", path.display());
        assert_eq!(status, Status::Exited(case.status), "{context}");
        assert!(
            stderr.lines().all(|line| line.starts_with('{')),
            "{context}"
        );
        let parts = |stderr| -> Vec<_> {
            let parts = |line: Line| (line.kind, line.message, line.hint);
            lines(stderr).into_iter().map(parts).collect()
        };
        assert_eq!(parts(&stderr), parts(&case.stderr), "{context}");
    }
}

/// A line that is written as `error[kind]: message`, `warning: message`, `message` or in JSON.
struct Line {
    kind: Option<String>,
    message: String,
    hint: Option<String>,
}

fn lines(stderr: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for line in stderr.lines() {
        if let Some(hint) = line.strip_prefix("hint: ") {
            let before = lines.last_mut().unwrap().hint.replace(hint.to_owned());
            assert_eq!(before, None, "two hints: {stderr}");
        } else if line.starts_with('{') {
            let members: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
            let is_error = members["level"] == "error";
            lines.push(Line {
                kind: is_error.then(|| members["kind"].clone()),
                message: members["message"].clone(),
                hint: members.get("hint").cloned(),
            });
        } else {
            let line = line
                .strip_prefix("phase-run: ")
                .unwrap_or_else(|| panic!("{stderr}"));
            let error = line
                .strip_prefix("error[")
                .and_then(|rest| rest.split_once("]: "));
            let (kind, message) = error.map_or((None, line), |(kind, text)| (Some(kind), text));
            let message = message.strip_prefix("warning: ").unwrap_or(message);
            lines.push(Line {
                kind: kind.map(str::to_owned),
                message: message.to_owned(),
                hint: None,
            });
        }
    }
    lines
}

/// Shows that each kind can occur, and how it reads.
#[test]
fn each_error_kind_has_a_message_file() {
    let cases = cases();
    let stderr = cases.iter().map(|(path, text)| parsed(path, text).stderr);
    let shown: BTreeSet<String> = stderr
        .flat_map(|stderr| lines(&stderr))
        .filter_map(|line| line.kind)
        .collect();
    assert_eq!(shown, kinds().into_iter().collect());
}

/// Verbs that a hint may start with.
const VERBS: [&str; 28] = [
    "add", "assign", "change", "check", "choose", "copy", "enable", "fix", "give", "grant", "keep",
    "install", "leave", "list", "log", "pass", "put", "raise", "remove", "rename", "repeat",
    "report", "run", "set", "start", "unlock", "unset", "use",
];

/// A message is in lower case and has no full stop, no "failed to", "error while" or "invalid", no Rust
/// type names, no `Debug` output and no control characters. A hint is an imperative.
#[test]
fn messages_follow_the_style_rules() {
    for (path, text) in cases() {
        for Line { message, hint, .. } in lines(&parsed(&path, &text).stderr) {
            let context = format!("{}: {message}", path.display());
            for text in [Some(&message), hint.as_ref()].into_iter().flatten() {
                assert!(!text.ends_with('.'), "a full stop: {context}");
                for word in [
                    "failed to",
                    "error while",
                    "invalid",
                    "Some(",
                    "Err(",
                    "Os {",
                    "::",
                ] {
                    assert!(!text.contains(word), "{word}: {context}");
                }
                let is_unsafe = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
                assert!(!text.contains(is_unsafe), "a control character: {context}");
            }
            let mut first = message.chars();
            let is_sentence =
                first.next().unwrap().is_uppercase() && first.next().unwrap().is_lowercase();
            let is_name = message.starts_with("Phase ");
            assert!(!is_sentence || is_name, "starts like a sentence: {context}");
            let verb = hint.as_ref().and_then(|hint| hint.split(' ').next());
            let is_verb = verb.is_none_or(|verb| VERBS.contains(&verb));
            assert!(is_verb, "{verb:?} is no verb of {VERBS:?}: {context}");
        }
    }
}
