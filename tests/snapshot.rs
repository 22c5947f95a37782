//! `--snapshot`: when the copy of the last good fetch is used, kept, refused and removed.

use std::path::{Path, PathBuf};

use fake_phase::{Account, Phase, Responder, World};

use crate::support::{Output, Run, SHOP, Sandbox, holds};

pub(crate) const VALUE: &str = "canary of the snapshot";

/// What an outage is tried with, so that it is over at once.
pub(crate) const ONE_TRY: [&str; 0] = [];

/// `shop`, and beside it `other` with the same content.
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

/// A sandbox with a server, and the place of a snapshot.
pub(crate) struct Kept {
    pub(crate) phase: Phase,
    pub(crate) sandbox: Sandbox,
    pub(crate) file: PathBuf,
}

pub(crate) fn kept() -> Kept {
    kept_of(two_app_world())
}

pub(crate) fn kept_of(world: World) -> Kept {
    let phase = Phase::serve(world);
    let mut sandbox = Sandbox::new(&phase);
    sandbox.canary(VALUE);
    let file = sandbox.directory().join("snapshot");
    Kept {
        phase,
        sandbox,
        file,
    }
}

impl Kept {
    /// With `--snapshot`, these options, and a command that prints the value.
    pub(crate) fn with(&self, options: &[&str]) -> Run<'_> {
        self.of(&SHOP, options)
    }

    pub(crate) fn of(&self, target: &[&str], options: &[&str]) -> Run<'_> {
        let run = self.sandbox.run(target).args(["--snapshot", "snapshot"]);
        let command = ["--", "printenv", "SECRET"];
        run.args(ONE_TRY).args(options).args(command).reveals()
    }

    /// A good start, with a snapshot afterwards.
    pub(crate) fn made(self) -> Self {
        assert_eq!(self.with(&[]).output().ok().text(), format!("{VALUE}\n"));
        assert!(self.file.exists());
        self
    }

    /// Every later request is answered so.
    pub(crate) fn answers(self, responder: Responder) -> Self {
        self.phase.respond("", responder);
        self
    }

    /// The snapshot is used now, and what is said says so.
    pub(crate) fn is_used(&self, options: &[&str]) -> Output {
        let output = self.with(options).output();
        let output = output.notices(&["using the snapshot snapshot, made "]).ok();
        assert_eq!(output.text(), format!("{VALUE}\n"));
        output
    }

    /// It is there, and is a whole one for this command line.
    pub(crate) fn is_whole(&self) {
        let _ = self.is_used(&["--offline"]);
    }
}

/// "used after `unreachable`, `server` (5xx), `rate-limited`": with its age and the reason.
#[test]
fn outage_uses_snapshot_and_logs_age() {
    for (responder, reason) in [
        (Responder::status(500), "answered 500"),
        (Responder::status(502), "answered 502"),
        (Responder::html(503), "answered 503"),
        (Responder::status(504), "answered 504"),
        (Responder::rate_limited(3600), "allows no more requests now"),
        (Responder::close(), "the connection was closed"),
        (Responder::reset(), "cannot reach"),
        (Responder::truncate(5), "the response was truncated"),
    ] {
        let shop = kept().made().answers(responder);
        let output = shop.with(&[]).output();
        let said = &output.stderr;
        let start = "phase-run: using the snapshot snapshot, made ";
        assert!(
            said.starts_with(start) && said.contains(" s ago: "),
            "{output}"
        );
        assert!(said.contains(reason), "{reason}: {output}");
        assert_eq!(said.lines().count(), 1, "{output}");
        assert_eq!(output.text(), format!("{VALUE}\n"));
        let output = shop.with(&["--log-format", "json"]).output();
        assert!(
            output.stderr.contains("\"kind\":\"snapshot-used\""),
            "{output}"
        );
    }
}

/// Phase that is not there at all, and one that says nothing within `--timeout`.
#[test]
fn dead_or_silent_server_uses_snapshot() {
    let Kept {
        phase,
        sandbox,
        file,
    } = kept().made();
    phase.respond("", Responder::stall());
    let shop = Kept {
        phase,
        sandbox,
        file,
    };
    let output = shop.is_used(&["--timeout", "0.3"]);
    assert!(output.stderr.is_empty());
    let Kept { phase, sandbox, .. } = shop;
    drop(phase);
    let run = sandbox
        .run(SHOP)
        .args(["--snapshot", "snapshot"])
        .args(ONE_TRY);
    let run = run.args(["printenv", "SECRET"]).reveals();
    let output = run
        .output()
        .notices(&["using the snapshot snapshot, made "])
        .ok();
    assert_eq!(output.text(), format!("{VALUE}\n"));
}

/// What was kept is injected as what was fetched: names, folders, types, forms, any bytes.
#[test]
fn snapshot_restores_what_was_fetched() {
    let mut world = two_app_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "LINES", "a\nb\u{fc}\u{0}c\\n\"");
    production.secret("/", "EMPTY", "");
    production.secret("/", "REFERS", "<${SECRET}> ${NOWHERE}");
    for sealed in [false, true] {
        if sealed {
            world.app("shop").e2e();
        }
        let shop = kept_of(world.clone());
        let script = "cat \"$LINES\"; echo \"$REFERS$EMPTY-$PORT\"";
        let options = ["--snapshot", "snapshot", "--file", "LINES"];
        let started = |more: &[&str]| {
            let run = shop.sandbox.run(SHOP).args(options).args(more);
            let output = run.args(["-c", script]).reveals().output();
            (output.stdout, output.stderr)
        };
        let listed = |more: &[&str]| {
            let run = shop.sandbox.run(SHOP).args(options).args(more);
            run.arg("--dry-run").output().stdout
        };
        let (fetched, warned) = started(&[]);
        // Where it is not the server that resolves, what is kept is resolved.
        assert_eq!(holds(&fetched, VALUE.as_bytes()), sealed, "{fetched:?}");
        let (used, said) = started(&["--offline"]);
        assert_eq!(used, fetched);
        assert!(said.ends_with(&warned) && !warned.is_empty(), "{said}");
        assert_eq!(listed(&["--offline"]), listed(&[]));
    }
}

/// "Never after 400–404": what a gateway says, and what is no answer of Phase, leaves the copy alone
/// and is an error.
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
        let shop = kept().made().answers(responder);
        let before = std::fs::read(&shop.file).unwrap();
        let _ = shop.with(&[]).output().failed(125, kind);
        assert_eq!(std::fs::read(&shop.file).unwrap(), before);
    }
    // An environment or an app that is not there any more, and a filter that selects nothing.
    let shop = kept().made();
    shop.phase.edit(|world| {
        world.app("shop").environment("Production", "prod").clear();
    });
    let _ = shop
        .with(&["--only", "SECRET"])
        .output()
        .failed(125, "not-found");
    assert!(shop.file.exists());
}

/// "A 401 or 403 in Phase's JSON removes it and says so."
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
        let shop = kept().made();
        // What a killed start may have left goes, too.
        for left in [".snapshot.new", ".snapshot.part"] {
            shop.sandbox.file(left, "phase-run snapshot v1\nrest");
        }
        change(&shop.phase);
        // A list for a person changes nothing.
        let dry = shop.with(&["--dry-run"]).output().failed(125, kind);
        assert!(shop.file.exists(), "{dry}");
        let removed = ["removed the snapshot snapshot: Phase refuses"];
        let output = shop.with(&[]).output().notices(&removed).failed(125, kind);
        assert_eq!(
            names(shop.sandbox.directory()),
            Vec::<String>::new(),
            "{output}"
        );
        // Said once: the second time there is nothing to remove.
        let _ = shop.with(&[]).output().failed(125, kind);
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

/// "`--offline` uses the snapshot only, sends nothing"
#[test]
fn offline_sends_no_request() {
    let shop = kept().made();
    let (requests, connections) = (shop.phase.requests().len(), shop.phase.connections());
    for run in [
        shop.with(&["--offline"]),
        shop.with(&[]).env("PHASE_OFFLINE", "1"),
    ] {
        let output = run
            .output()
            .notices(&["using the snapshot snapshot, made "])
            .ok();
        assert_eq!(output.text(), format!("{VALUE}\n"));
    }
    std::fs::remove_file(&shop.file).unwrap();
    let output = shop.with(&["--offline"]).output().failed(125, "snapshot");
    assert!(output.stderr.contains("there is none"), "{output}");
    let seen = (shop.phase.requests().len(), shop.phase.connections());
    assert_eq!(seen, (requests, connections));
    let missing = shop.of(&["--env", "Production"], &["--offline"]);
    let _ = missing.output().failed(125, "config");
    let _ = shop
        .of(&["--app", "shop"], &["--offline"])
        .output()
        .failed(125, "config");
}

/// "no snapshot is written" by `--dry-run`, and one may be read; `-v` says that one was written.
#[test]
fn dry_run_writes_no_snapshot_and_verbose_logs_write() {
    let shop = kept();
    let _ = shop.with(&["--dry-run"]).output().ok();
    assert!(!shop.file.exists());
    let said = shop.with(&["-v"]).output().stderr;
    assert!(
        said.contains("phase-run: kept a snapshot in snapshot\n"),
        "{said}"
    );
    let shop = shop.answers(Responder::status(503));
    let output = shop.with(&["--dry-run"]).output();
    let output = output.notices(&["using the snapshot snapshot, made "]).ok();
    assert!(
        output.text().contains("SECRET\t/\tsecret\tvariable\n"),
        "{output}"
    );
}

/// No value, no name and no token is in it in clear; two of the same have nothing in common.
#[test]
fn snapshot_contains_no_clear_text() {
    let shop = kept().made();
    let first = std::fs::read(&shop.file).unwrap();
    shop.sandbox.assert_no_canary("the snapshot", &first);
    for word in ["SECRET", "PORT", "8080", "web", "shop", "Production", "net"] {
        assert!(!holds(&first, word.as_bytes()), "{word} is in it");
    }
    let shop = shop.made();
    let second = std::fs::read(&shop.file).unwrap();
    assert_eq!(first.len(), second.len());
    let same = first.iter().zip(&second).skip(22).filter(|(a, b)| a == b);
    assert!(same.count() < first.len() / 4);
}
