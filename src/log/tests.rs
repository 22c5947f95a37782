//! Checks the table of events against docs/troubleshooting.md and the message tests.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use super::event::{EVENTS, Level};
use super::{Event, Logger, OutputFormat};
use crate::error::Error;
use crate::error::tests::{document, expected_lines, matches_template, table_cells};

/// The level in JSON, and what makes phase-run log the event.
fn shown_as(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Warning => ("warning", "always"),
        Level::Info => ("info", "always"),
        Level::Detail => ("info", "-v"),
        Level::Request => ("info", "-vv"),
    }
}

fn events_document() -> String {
    document("docs/troubleshooting.md")
}

#[test]
fn document_lists_every_event_with_its_level() {
    let mut listed = table_cells(&events_document(), "Events");
    listed.iter_mut().for_each(|row| row.truncate(3));
    listed.sort();
    let mut expected: Vec<Vec<String>> = EVENTS
        .iter()
        .map(|(level, kind, _)| {
            let (level, when) = shown_as(*level);
            [kind, level, when].map(str::to_owned).into()
        })
        .collect();
    expected.sort();
    assert_eq!(listed, expected);
}

/// The events of `--watch`, `system-roots`, those of look-ups and `pid1` are tested in
/// `tests/watch*.rs`, `tests/tls.rs`, `tests/name_resolution.rs` and `tests/pid1.rs`.
#[test]
fn every_event_without_watch_has_a_message_test() {
    let lines = expected_lines();
    let messages: Vec<&str> = lines
        .iter()
        .filter_map(|(_, line)| line.strip_prefix("phase-run: "))
        .map(|line| line.strip_prefix("warning: ").unwrap_or(line))
        .collect();
    let missing: Vec<String> = table_cells(&events_document(), "Events")
        .into_iter()
        .filter(|row| {
            let is_tested_elsewhere = ["system-roots", "lookup", "lookup-slow", "pid1"];
            !row[3].starts_with("--watch") && !is_tested_elsewhere.contains(&row[0].as_str())
        })
        .map(|row| row[0].clone())
        .filter(|kind| {
            let (_, _, text) = EVENTS.iter().find(|(_, other, _)| other == kind).unwrap();
            !messages
                .iter()
                .any(|message| matches_template(text, message))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "no file in tests/messages shows {missing:?}"
    );
}

/// A type of which an event has fields.
pub(super) trait Example {
    /// Returns a value for a test; a text is one that has to be escaped.
    fn example() -> Self;
}

const TEXT: &str = "a \"reason\"\nin two\tlines\x1b";

impl Example for &str {
    fn example() -> Self {
        TEXT
    }
}

impl Example for String {
    fn example() -> Self {
        TEXT.to_owned()
    }
}

impl Example for &[&str] {
    fn example() -> Self {
        &["KEY"]
    }
}

impl Example for &[String] {
    fn example() -> Self {
        static TEXTS: LazyLock<[String; 2]> = LazyLock::new(|| [TEXT.to_owned(), TEXT.to_owned()]);
        &*TEXTS
    }
}

impl Example for Duration {
    fn example() -> Self {
        Duration::from_millis(1_500)
    }
}

impl Example for Option<Duration> {
    fn example() -> Self {
        Some(Example::example())
    }
}

impl Example for u16 {
    fn example() -> Self {
        200
    }
}

impl Example for u32 {
    fn example() -> Self {
        2
    }
}

impl Example for usize {
    fn example() -> Self {
        3
    }
}

#[test]
fn every_event_is_one_json_object() {
    let [text, json] = [OutputFormat::Text, OutputFormat::Json].map(|format| Logger {
        format,
        quiet: false,
        verbose: 2,
    });
    let events = Event::examples();
    assert_eq!(events.len(), EVENTS.len());
    for (event, (level, kind, _)) in events.iter().zip(EVENTS) {
        let line = json.format_line(event).unwrap();
        let mut members = members(&line);
        assert_eq!(members.remove("kind").as_deref(), Some(*kind), "{line}");
        let (level, _) = shown_as(*level);
        assert_eq!(members.remove("level").as_deref(), Some(level), "{line}");
        let message = members.remove("message").unwrap();
        let prefix = match level {
            "warning" => "phase-run: warning: ",
            _ => "phase-run: ",
        };
        assert_eq!(text.format_line(event), Some(format!("{prefix}{message}")));
        assert!(!message.contains(char::is_control), "{line}");
        assert!(members.is_empty(), "{line}");
    }
}

/// The members of a line, which is one object of strings.
fn members(line: &str) -> BTreeMap<String, String> {
    assert!(!line.contains('\n'), "two lines: {line}");
    serde_json::from_str(line).unwrap()
}

#[test]
fn json_lines_are_single_objects() {
    let why = "of a \"reason\"\nin two lines";
    let logger = Logger {
        format: OutputFormat::Json,
        ..Logger::default()
    };
    let line = logger.format_line(&Event::RestartFailed { why }).unwrap();
    let [kind, level] = [("kind", "start-failed"), ("level", "warning")];
    let message = "cannot restart the command: of a \"reason\"\\nin two lines";
    let pair = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
    let expected = [kind, level, ("message", message)].map(pair);
    assert_eq!(members(&line), expected.into());
    let error = Error::InvalidHost {
        value: "x\ny".to_owned(),
        set_by: crate::error::SetBy::Option("--host"),
        why: "it is not a URL",
        hint: Some("use https://x\ny".to_owned()),
    };
    let [line] = logger.error_lines(&error).try_into().unwrap();
    let message = "cannot use x\\ny (from --host) as Phase's address: it is not a URL";
    let [kind, level] = [("kind", "config"), ("level", "error")];
    let hint = ("hint", "use https://x\\ny");
    let expected = [kind, level, ("message", message), hint].map(pair);
    assert_eq!(members(&line), expected.into());
}

#[test]
fn delay_is_never_shown_as_zero() {
    for (micros, shown) in [
        (0, "0.1"),
        (1, "0.1"),
        (49_000, "0.1"),
        (100_000, "0.1"),
        (100_001, "0.2"),
        (950_000, "1.0"),
        (12_340_000, "12.4"),
    ] {
        let event = Event::Retrying {
            why: "it is down",
            wait: Duration::from_micros(micros),
            attempt: 2,
            left: Duration::from_secs(30),
        };
        let expected = format!("it is down; retrying in {shown} s (attempt 2, 30 s left)");
        assert_eq!(event.to_string(), expected);
    }
}

#[test]
fn levels_follow_the_options() {
    let events = [
        Event::VerifySslIgnored,
        Event::PollRecovered,
        Event::Unchanged,
        Event::Request {
            method: "GET",
            host: "phase.test",
            path: "/",
            status: 200,
            took: Duration::ZERO,
        },
    ];
    for (quiet, verbose, expected) in [(true, 2, 0), (false, 0, 2), (false, 1, 3), (false, 2, 4)] {
        let logger = Logger {
            format: OutputFormat::Text,
            quiet,
            verbose,
        };
        let written = events.iter().filter_map(|event| logger.format_line(event));
        assert_eq!(written.count(), expected, "{verbose}");
    }
}
