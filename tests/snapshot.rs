//! `--snapshot`: when the copy of the last successful fetch is used, kept and removed.

use std::path::{Path, PathBuf};

use fake_phase::{Account, Phase, Responder, World};

use crate::support::{Output, Run, SHOP, Sandbox, Status, contains, require_linux};

pub(crate) const VALUE: &str = "canary of the snapshot";

/// The apps `shop` and `other`, with the same keys and other values.
pub(crate) fn two_app_world() -> World {
    let mut world = World::empty();
    for (app, value) in [("shop", VALUE), ("other", "canary of another app")] {
        for (environment, kind) in [("Production", "prod"), ("Staging", "staging")] {
            let environment = world.app(app).environment(environment, kind);
            environment.secret("/", "SECRET", value).tags(&["net"]);
            environment.secret("/web", "PORT", "8080").kind("config");
        }
    }
    world
}

/// A token that Phase does not know.
pub(crate) const OTHER_TOKEN: &str = "pss_service:v2:\
    1111111111111111111111111111111111111111111111111111111111111111:\
    1111111111111111111111111111111111111111111111111111111111111111:\
    2222222222222222222222222222222222222222222222222222222222222222:\
    3333333333333333333333333333333333333333333333333333333333333333";

/// A sandbox with a server, and the path of a snapshot.
pub(crate) struct SnapshotShop {
    pub(crate) phase: Phase,
    pub(crate) sandbox: Sandbox,
    pub(crate) file: PathBuf,
}

pub(crate) fn snapshot_shop() -> SnapshotShop {
    snapshot_shop_of(two_app_world())
}

pub(crate) fn snapshot_shop_of(world: World) -> SnapshotShop {
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary(VALUE);
    let file = sandbox.directory().join("snapshot");
    SnapshotShop {
        phase,
        sandbox,
        file,
    }
}

impl SnapshotShop {
    /// A command line with `--snapshot`, these options, and a command that prints the value.
    pub(crate) fn run_with(&self, options: &[&str]) -> Run<'_> {
        self.run(&SHOP, options)
    }

    pub(crate) fn run(&self, target: &[&str], options: &[&str]) -> Run<'_> {
        let run = self.sandbox.run(target).args(["--snapshot", "snapshot"]);
        let command = ["--", "printenv", "SECRET"];
        run.args(options).args(command).allow_secrets_on_stdout()
    }

    /// Runs once, so that there is a snapshot.
    pub(crate) fn with_snapshot(self) -> Self {
        assert_eq!(
            self.run_with(&[]).output().assert_ok().text(),
            format!("{VALUE}\n")
        );
        assert!(self.file.exists());
        self
    }

    /// Lets the server respond to all later requests like this.
    pub(crate) fn responding(self, responder: Responder) -> Self {
        self.phase.respond("", responder);
        self
    }

    /// Asserts that a start uses the snapshot and logs it.
    pub(crate) fn assert_used(&self, options: &[&str]) -> Output {
        let output = self.run_with(options).output();
        let output = output
            .assert_log_lines(&["using the snapshot snapshot, made "])
            .assert_ok();
        assert_eq!(output.text(), format!("{VALUE}\n"));
        output
    }

    /// Asserts that the snapshot is there and can be read for this command line.
    pub(crate) fn assert_readable(&self) {
        let _ = self.assert_used(&["--offline"]);
    }
}

/// The snapshot is used after `unreachable`, `server` (5xx) and `rate-limited`. The log has its age and
/// the reason.
#[test]
fn outage_uses_snapshot_and_logs_age() {
    for (responder, reason) in [
        (Responder::status(500), "responded with status 500"),
        (Responder::status(502), "responded with status 502"),
        (Responder::html(503), "responded with status 503"),
        (Responder::status(504), "responded with status 504"),
        (Responder::rate_limited(3600), "rate limited by"),
        (Responder::close(), "the connection was closed"),
        (Responder::reset(), "cannot reach"),
        (Responder::truncate(5), "the response was truncated"),
    ] {
        let shop = snapshot_shop().with_snapshot().responding(responder);
        let output = shop.run_with(&[]).output();
        let said = &output.stderr;
        let start = "phase-run: using the snapshot snapshot, made ";
        assert!(
            said.starts_with(start) && said.contains(" s ago: "),
            "{output}"
        );
        assert!(said.contains(reason), "{reason}: {output}");
        assert_eq!(said.lines().count(), 1, "{output}");
        assert_eq!(output.text(), format!("{VALUE}\n"));
        let output = shop.run_with(&["--log-format", "json"]).output();
        assert!(
            output.stderr.contains("\"kind\":\"snapshot-used\""),
            "{output}"
        );
    }
}

/// The server cannot be reached, or does not respond within `--timeout`.
#[test]
fn dead_or_silent_server_uses_snapshot() {
    let SnapshotShop {
        phase,
        sandbox,
        file,
    } = snapshot_shop().with_snapshot();
    phase.respond("", Responder::stall());
    let shop = SnapshotShop {
        phase,
        sandbox,
        file,
    };
    let output = shop.assert_used(&["--timeout", "0.3"]);
    assert!(output.stderr.is_empty());
    let SnapshotShop { phase, sandbox, .. } = shop;
    drop(phase);
    let run = sandbox.run(SHOP).args(["--snapshot", "snapshot"]);
    let run = run.args(["printenv", "SECRET"]).allow_secrets_on_stdout();
    let output = run
        .output()
        .assert_log_lines(&["using the snapshot snapshot, made "])
        .assert_ok();
    assert_eq!(output.text(), format!("{VALUE}\n"));
}

/// The snapshot gives the same names, folders, types, forms and values as the fetch.
#[test]
fn snapshot_restores_what_was_fetched() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let mut world = two_app_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "LINES", "a\nb\u{fc}\u{0}c\\n\"");
    production.secret("/", "EMPTY", "");
    production.secret("/", "REFERS", "<${SECRET}> ${NOWHERE}");
    for sealed in [false, true] {
        if sealed {
            world.app("shop").e2e();
        }
        let shop = snapshot_shop_of(world.clone());
        let script = "cat \"$LINES\"; echo \"$REFERS$EMPTY-$PORT\"";
        let options = ["--snapshot", "snapshot", "--file", "LINES"];
        let started = |more: &[&str]| {
            let run = shop.sandbox.run(SHOP).args(options).args(more);
            let output = run.args(["-c", script]).allow_secrets_on_stdout().output();
            (output.stdout, output.stderr)
        };
        let listed = |more: &[&str]| {
            let run = shop.sandbox.run(SHOP).args(options).args(more);
            run.arg("--dry-run").output().stdout
        };
        let (fetched, warned) = started(&[]);
        // With end-to-end encryption the snapshot contains resolved references.
        assert_eq!(contains(&fetched, VALUE.as_bytes()), sealed, "{fetched:?}");
        let (used, said) = started(&["--offline"]);
        assert_eq!(used, fetched);
        assert!(said.ends_with(&warned) && !warned.is_empty(), "{said}");
        assert_eq!(listed(&["--offline"]), listed(&[]));
    }
}

/// 400 to 404 from a gateway, and responses that are not Phase's, are errors and leave the snapshot
/// alone.
#[test]
fn non_outage_keeps_snapshot() {
    for (responder, kind) in [
        (Responder::html(403), "protocol"),
        (Responder::html(401), "protocol"),
        (Responder::error(400, "no"), "server"),
        (Responder::error(404, "no"), "protocol"),
        (Responder::html(404), "protocol"),
        (Responder::html_login(), "protocol"),
        (Responder::redirect("https://elsewhere.test/"), "protocol"),
        (Responder::json(200, "{}"), "protocol"),
    ] {
        let shop = snapshot_shop().with_snapshot().responding(responder);
        let before = std::fs::read(&shop.file).unwrap();
        let _ = shop.run_with(&[]).output().assert_error(125, kind);
        assert_eq!(std::fs::read(&shop.file).unwrap(), before);
    }
    // An empty environment is not an outage either.
    let shop = snapshot_shop().with_snapshot();
    shop.phase.edit(|world| {
        world.app("shop").environment("Production", "prod").clear();
    });
    let _ = shop
        .run_with(&["--only", "SECRET"])
        .output()
        .assert_error(125, "not-found");
    assert!(shop.file.exists());
}

/// A 401 or 403 in Phase's JSON removes the snapshot, and the log says so.
#[test]
fn refusal_removes_snapshot_and_logs() {
    type Change = fn(&Phase);
    let cases: [(Change, &str); 5] = [
        (
            |phase| phase.edit(|world| _ = world.revoke(Account::ServiceAccount)),
            "token",
        ),
        (
            |phase| phase.edit(|world| _ = world.forbid_reading()),
            "access",
        ),
        (
            |phase| phase.respond("", Responder::error(401, "Token expired or deleted")),
            "token",
        ),
        (
            |phase| phase.respond("", Responder::error(403, "Access denied")),
            "token",
        ),
        (
            |phase| phase.respond("/v1/secrets", Responder::error(403, "Access denied")),
            "access",
        ),
    ];
    for (change, kind) in cases {
        let shop = snapshot_shop().with_snapshot();
        // Temporary files of a killed start are removed, too.
        let leave = |name| drop(shop.sandbox.file(name, "phase-run snapshot v1\nrest"));
        leave(".snapshot.abcdefghijABCDEFGHIJ");
        leave(".snapshot.01234567890123456789");
        change(&shop.phase);
        // A dry run does not remove it.
        let dry = shop
            .run_with(&["--dry-run"])
            .output()
            .assert_error(125, kind);
        assert!(shop.file.exists(), "{dry}");
        let removed = ["removed the snapshot snapshot: Phase denies access"];
        let output = shop
            .run_with(&[])
            .output()
            .assert_log_lines(&removed)
            .assert_error(125, kind);
        assert_eq!(
            names(shop.sandbox.directory()),
            Vec::<String>::new(),
            "{output}"
        );
        // The second time there is no snapshot, but what a first start has left may be there.
        leave(".snapshot.01234567890123456789");
        let output = shop.run_with(&[]).output().assert_error(125, kind);
        assert!(names(shop.sandbox.directory()).is_empty(), "{output}");
    }
}

/// A refusal concerns the token, the host and the settings that were refused. A snapshot that another
/// token made, or that was made for another host or environment, is still good.
#[test]
fn refusal_keeps_snapshot_of_others() {
    type Prepare = fn(&SnapshotShop) -> Run<'_>;
    let cases: [(Prepare, &str, &str); 3] = [
        (
            |shop| {
                shop.run_with(&["-v"])
                    .env("PHASE_SERVICE_TOKEN", OTHER_TOKEN)
            },
            "token",
            "it was made with another token, or is damaged",
        ),
        (
            |shop| {
                shop.phase.respond(
                    "",
                    Responder::error(401, "Token expired or deleted").times(9),
                );
                let host = format!("https://127.0.0.1:{}", shop.phase.port());
                shop.run_with(&["-v"]).env("PHASE_HOST", host)
            },
            "token",
            "it was made with --host https://localhost:",
        ),
        (
            |shop| {
                shop.phase.edit(|world| _ = world.forbid_reading());
                shop.run(&["--app", "shop", "--env", "Staging"], &["-v"])
            },
            "access",
            "it was made with --env Production",
        ),
    ];
    for (prepare, kind, why) in cases {
        let shop = snapshot_shop().with_snapshot();
        let output = prepare(&shop).output().assert_status(Status::Exited(125));
        let kept = format!("phase-run: kept the snapshot snapshot: {why}");
        assert!(output.stderr.contains(&kept), "{output}");
        let error = format!("phase-run: error[{kind}]: ");
        assert!(output.stderr.contains(&error), "{output}");
        assert!(shop.file.exists(), "{output}");
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// `--offline` uses only the snapshot and opens no connection.
#[test]
fn offline_sends_no_request() {
    let shop = snapshot_shop().with_snapshot();
    let (requests, connections) = (shop.phase.requests().len(), shop.phase.connections());
    for run in [
        shop.run_with(&["--offline"]),
        shop.run_with(&[]).env("PHASE_OFFLINE", "1"),
    ] {
        let output = run
            .output()
            .assert_log_lines(&["using the snapshot snapshot, made "])
            .assert_ok();
        assert_eq!(output.text(), format!("{VALUE}\n"));
    }
    std::fs::remove_file(&shop.file).unwrap();
    let output = shop
        .run_with(&["--offline"])
        .output()
        .assert_error(125, "snapshot");
    assert!(output.stderr.contains("it does not exist"), "{output}");
    let seen = (shop.phase.requests().len(), shop.phase.connections());
    assert_eq!(seen, (requests, connections));
    let missing = shop.run(&["--env", "Production"], &["--offline"]);
    let _ = missing.output().assert_error(125, "config");
    let _ = shop
        .run(&["--app", "shop"], &["--offline"])
        .output()
        .assert_error(125, "config");
}

/// `--dry-run` may read a snapshot and writes none.
#[test]
fn dry_run_reads_but_never_writes_snapshot() {
    let shop = snapshot_shop();
    let _ = shop.run_with(&["--dry-run"]).output().assert_ok();
    assert!(!shop.file.exists());
    let shop = shop.with_snapshot().responding(Responder::status(503));
    let output = shop.run_with(&["--dry-run"]).output();
    let output = output
        .assert_log_lines(&["using the snapshot snapshot, made "])
        .assert_ok();
    assert!(
        output.text().contains("SECRET\t/\tsecret\tvariable\n"),
        "{output}"
    );
}

#[test]
fn verbose_log_names_the_written_snapshot() {
    let shop = snapshot_shop();
    let log = shop.run_with(&["-v"]).output().stderr;
    assert!(
        log.contains("phase-run: wrote the snapshot snapshot\n"),
        "{log}"
    );
}

/// A snapshot contains no value, name or token in clear text, and two snapshots of the same secrets
/// differ.
#[test]
fn snapshot_contains_no_clear_text() {
    let shop = snapshot_shop().with_snapshot();
    let first = std::fs::read(&shop.file).unwrap();
    shop.sandbox.assert_no_canary("the snapshot", &first);
    for word in ["SECRET", "PORT", "8080", "web", "shop", "Production", "net"] {
        assert!(!contains(&first, word.as_bytes()), "{word} is in it");
    }
    let shop = shop.with_snapshot();
    let second = std::fs::read(&shop.file).unwrap();
    assert_eq!(first.len(), second.len());
    let same = first.iter().zip(&second).skip(22).filter(|(a, b)| a == b);
    assert!(same.count() < first.len() / 4);
}
