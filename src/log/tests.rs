#![forbid(unsafe_code)]
//! One of every notice, and what holds of each of them, and of each error, as JSON.
//!
//! The lists are whole, or they do not compile. The document of the JSON form is held to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::{Event, Format, Level, Logger};
use crate::error::each::{errors, one_of_each};

const SECOND: Duration = Duration::from_secs(1);

/// Each with its lines: the JSON, and how much `-v` it takes.
fn notices() -> Vec<(Level, &'static str, String)> {
    let names = ["KEY".to_owned()];
    let command = [OsString::from("server")];
    let [at, why] = ["a/file", "of a \"reason\"\nwith two lines"];
    let given = || "--app".to_owned();
    let all: [Event<'_>; 31] = one_of_each![
        Event: Event<'_>,
        EnvironmentChosen {
            query: at,
            source: given(),
            environment: at,
            reason: "the only one"
        },
        TokenFileExposed {
            path: at,
            mode: 0o644
        },
        SettingIgnored {
            ignored: "one",
            used: "another"
        },
        Identified {
            from: at,
            account: at,
            valid_for: SECOND
        },
        VerifySslIgnored {},
        EnvironmentEmpty { scope: at },
        NonportableName { name: at },
        UnresolvedReferences { keys: &names },
        Leased {
            expires_at: at,
            expires_in: SECOND
        },
        Retrying {
            why: why,
            wait: SECOND,
            attempt: 2,
            left: SECOND
        },
        SnapshotUsed {
            path: at,
            age: None,
            why: why
        },
        SnapshotUnusable { path: at, why: why },
        SnapshotRemoved { path: at },
        SnapshotRemoveFailed { path: at, why: why },
        SnapshotWriteFailed { path: at, why: why },
        SnapshotWritten { path: at },
        Fetching {
            app: at,
            app_source: given(),
            environment: at,
            environment_source: given(),
            host: at,
            token: at
        },
        Proxy {
            name: at,
            variable: "https_proxy"
        },
        Selected {
            selected: 1,
            total: 2,
            took: SECOND
        },
        SystemRoots { host: at },
        Request {
            method: "GET",
            host: at,
            path: "/",
            status: 200,
            took: SECOND
        },
        Exec { command: &command },
        Unchanged {},
        Restarting { delay: SECOND },
        LeaseExpiring {},
        Killing {
            grace: SECOND,
            signal: "TERM"
        },
        ProcessesLeft { names: &names },
        PollFailed {
            kind: "server",
            why: why
        },
        PollRecovered {},
        RestartCancelled {},
        StartFailed { why: why },
    ];
    let voice = Logger {
        format: Format::Json,
        quiet: false,
        verbose: 2,
    };
    let line = |notice: &Event<'_>| voice.format(notice).unwrap();
    all.iter()
        .map(|it| (it.level(), it.kind(), line(it)))
        .collect()
}

/// The members of a line, which is an object of strings and has one of each.
fn members(line: &str) -> BTreeMap<String, String> {
    assert!(!line.contains('\n'), "two lines: {line}");
    let members: BTreeMap<String, String> = serde_json::from_str(line).unwrap();
    assert!(!members["message"].is_empty(), "{line}");
    members
}

fn names(members: &BTreeMap<String, String>) -> Vec<&str> {
    members.keys().map(String::as_str).collect()
}

#[test]
fn every_notice_is_an_object_of_three_members() {
    for (level, kind, line) in notices() {
        let members = members(&line);
        assert_eq!(names(&members), ["kind", "level", "message"], "{line}");
        assert_eq!(members["kind"], kind);
        assert_eq!(members["level"], written(level).0);
    }
}

#[test]
fn every_error_is_one_object_and_its_hint_is_in_it() {
    let json = Logger {
        format: Format::Json,
        quiet: true,
        verbose: 0,
    };
    let text = Logger {
        format: Format::Text,
        ..json
    };
    for error in errors() {
        let [line] = json.lines_of(&error).try_into().unwrap();
        let members = members(&line);
        let expected: &[&str] = match error.hint() {
            Some(_) => &["hint", "kind", "level", "message"],
            None => &["kind", "level", "message"],
        };
        assert_eq!(names(&members), expected, "{line}");
        assert_eq!(
            [&members["level"], &members["kind"]],
            ["error", error.kind()]
        );
        // As text it says the same, in a line for each.
        let said = text.lines_of(&error);
        assert_eq!(said.len(), expected.len() - 2, "{said:?}");
        assert!(said.iter().all(|line| !line.contains('\n')), "{said:?}");
    }
}

/// Its level in JSON, and what makes it be said.
fn written(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Warning => ("warning", "always"),
        Level::Info => ("info", "always"),
        Level::Detail => ("info", "-v"),
        Level::Request => ("info", "-vv"),
    }
}

/// The cells of the rows between two lines of the document, without their backquotes.
fn rows(document: &str, heading: &str) -> BTreeSet<Vec<String>> {
    let (_, part) = document.split_once(&format!("## {heading}\n")).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = |row: &str| -> Vec<String> {
        let cells = row.split(" | ").map(|cell| cell.replace('`', ""));
        cells.take(3).collect()
    };
    rows.map(cells).collect()
}

/// "every notice and every error, by its kind"
#[test]
fn the_document_has_every_kind_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md");
    let document = std::fs::read_to_string(path).unwrap();
    let said: BTreeSet<Vec<String>> = notices()
        .into_iter()
        .map(|(level, kind, _)| {
            let (level, said) = written(level);
            [kind, level, said].map(str::to_owned).into()
        })
        .collect();
    assert_eq!(rows(&document, "Notices"), said);
    let mut ends: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for error in errors() {
        let statuses = ends.entry(error.kind()).or_default();
        statuses.insert(error.exit_status().code().to_string());
    }
    let ends: BTreeSet<Vec<String>> = ends
        .into_iter()
        .map(|(kind, statuses)| {
            let statuses: Vec<String> = statuses.into_iter().collect();
            vec![kind.to_owned(), "error".to_owned(), statuses.join(", ")]
        })
        .collect();
    assert_eq!(rows(&document, "Errors"), ends);
}
