#![forbid(unsafe_code)]
//! What phase-run says besides errors, and the one place where a line is written.
//!
//! A [`Notice`] is one of a closed set and has no field that can hold a value. A [`Voice`] knows
//! how to say things: as text or JSON, at which verbosity. Writing is attempted and its result
//! ignored: a closed standard error must not stop the command.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::error::Error;

/// How the steps report: they say it, `main` decided where it goes.
pub(crate) type Say<'a> = &'a dyn Fn(Notice<'_>);

/// Everything there is to say before the command runs.
#[derive(Debug)]
pub(crate) enum Notice<'a> {
    /// The environment was found by its type or by a prefix, not by its name.
    EnvironmentChosen {
        given: &'a str,
        source: String,
        chosen: &'a str,
        by: &'static str,
    },
    /// Others may read the token's file, and its owner could change that.
    TokenFileExposed { path: &'a str, mode: u32 },
    /// `PHASE_VERIFY_SSL` asks for what phase-run does not do.
    VerificationStays,
    /// Nothing is in the environment, and no filter was given.
    EnvironmentEmpty { place: &'a str },
    /// A shell cannot name this variable.
    OddName { name: &'a str },
    /// These values still hold references.
    Unresolved { keys: &'a [String] },
    /// `-v`: what is fetched, and why that.
    Fetching {
        app: &'a str,
        app_source: String,
        environment: &'a str,
        environment_source: String,
        host: &'a str,
        token: &'a str,
    },
    /// `-v`: what came of it.
    Selected {
        secrets: usize,
        of: usize,
        took: Duration,
    },
    /// `-v`: the issuer is not among Mozilla's roots.
    SystemRoots { host: &'a str },
    /// `-vv`: one request.
    Request {
        host: &'a str,
        path: &'a str,
        status: u16,
        took: Duration,
    },
    /// `-v`: the last words.
    Becoming { command: &'a [OsString] },
}

/// How loud a notice is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Warning,
    /// Said without `-v`: something was chosen for the user.
    Choice,
    Detail,
    Request,
}

impl Notice<'_> {
    fn level(&self) -> Level {
        match self {
            Self::TokenFileExposed { .. }
            | Self::VerificationStays
            | Self::EnvironmentEmpty { .. }
            | Self::OddName { .. }
            | Self::Unresolved { .. } => Level::Warning,
            Self::EnvironmentChosen { .. } => Level::Choice,
            Self::Fetching { .. }
            | Self::Selected { .. }
            | Self::SystemRoots { .. }
            | Self::Becoming { .. } => Level::Detail,
            Self::Request { .. } => Level::Request,
        }
    }

    /// The stable word in the JSON form.
    fn kind(&self) -> &'static str {
        match self {
            Self::EnvironmentChosen { .. } => "environment-chosen",
            Self::TokenFileExposed { .. } => "token-file-exposed",
            Self::VerificationStays => "verification-stays",
            Self::EnvironmentEmpty { .. } => "environment-empty",
            Self::OddName { .. } => "odd-name",
            Self::Unresolved { .. } => "unresolved",
            Self::Fetching { .. } => "fetching",
            Self::Selected { .. } => "selected",
            Self::SystemRoots { .. } => "system-roots",
            Self::Request { .. } => "request",
            Self::Becoming { .. } => "becoming",
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvironmentChosen { given, source, chosen, by } => {
                write!(f, "environment {chosen}: {given} (from {source}) is {by}")
            }
            Self::TokenFileExposed { path, mode } => {
                write!(f, "others may read the token file {path} (mode {mode:04o}): chmod 600 it")
            }
            Self::VerificationStays => f.write_str(
                "PHASE_VERIFY_SSL has no effect: certificates are always verified; name a CA of your own with --ca-file",
            ),
            Self::EnvironmentEmpty { place } => write!(f, "there is no secret in {place}"),
            Self::OddName { name } => {
                write!(f, "no shell can name the variable \"{name}\"")
            }
            Self::Unresolved { keys } => {
                write!(f, "references that Phase did not resolve are handed on as they are in {}", keys.join(", "))
            }
            Self::Fetching { app, app_source, environment, environment_source, host, token } => write!(
                f,
                "app {app} (from {app_source}), environment {environment} (from {environment_source}), \
                 from {host} with the token from {token}"
            ),
            Self::Selected { secrets, of, took } => {
                write!(f, "{secrets} of {of} secrets selected, {} ms after the start", millis(took))
            }
            Self::SystemRoots { host } => {
                write!(f, "the issuer of {host} is not among the built-in roots: once more with the system's")
            }
            Self::Request { host, path, status, took } => {
                write!(f, "GET {host}{path}: {status} in {} ms", millis(took))
            }
            Self::Becoming { command } => {
                let program = command.first().map(|word| word.display().to_string());
                write!(f, "becoming {}", program.unwrap_or_default())
            }
        }
    }
}

fn millis(took: &Duration) -> String {
    format!("{:.1}", took.as_secs_f64() * 1000.0)
}

/// The form of a line on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    /// One object a line, for log collectors.
    Json,
}

/// How things are said: the form, and how much.
#[derive(Clone, Copy, Default)]
pub(crate) struct Voice {
    pub(crate) format: Format,
    /// `-q`: errors only.
    pub(crate) quiet: bool,
    /// How many `-v` there are.
    pub(crate) verbose: usize,
}

impl Voice {
    /// Says one notice, if it is loud enough.
    pub(crate) fn say(&self, notice: &Notice<'_>) {
        let level = notice.level();
        let loudest = match self.verbose {
            _ if self.quiet => return,
            0 => Level::Choice,
            1 => Level::Detail,
            _ => Level::Request,
        };
        if level > loudest {
            return;
        }
        let warning = level == Level::Warning;
        let message = masked(&notice.to_string());
        line(&match self.format {
            Format::Text if warning => format!("phase-run: warning: {message}"),
            Format::Text => format!("phase-run: {message}"),
            Format::Json => json(&[
                ("level", if warning { "warning" } else { "info" }),
                ("kind", notice.kind()),
                ("message", &message),
            ]),
        });
    }

    /// Says what ended phase-run. Called by `main` alone.
    pub(crate) fn fail(&self, error: &Error) {
        let (message, hint) = (
            masked(&error.to_string()),
            error.hint().map(|hint| masked(&hint)),
        );
        match self.format {
            Format::Text => {
                line(&format!("phase-run: error[{}]: {message}", error.kind()));
                if let Some(hint) = hint {
                    line(&format!("hint: {hint}"));
                }
            }
            Format::Json => {
                let mut members = vec![
                    ("level", "error"),
                    ("kind", error.kind()),
                    ("message", message.as_str()),
                ];
                if let Some(hint) = &hint {
                    members.push(("hint", hint));
                }
                line(&json(&members));
            }
        }
    }
}

/// One write for one line, so that lines of several processes do not mix.
fn line(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// An object of strings on one line. What a terminal would obey is written in JSON's own escapes.
pub(crate) fn json(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, text)| format!("\"{name}\":{}", serde_json::Value::from(*text)))
        .collect();
    let mut out = String::new();
    for c in format!("{{{}}}", members.join(",")).chars() {
        match is_obeyed(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Makes text from outside safe on a terminal and in a log: what either would obey becomes visible.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_obeyed(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Control characters, line breaks, and what turns the direction of a line.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// [`escaped`], and what looks like a token or a bearer is cut off: somebody may have typed one
/// where a name or a command belongs, and a server may repeat what it was sent.
fn masked(text: &str) -> String {
    /// A bearer and each field of a token have this many hex digits.
    const KEY: usize = 64;
    /// What is no longer is the beginning that all tokens share, as hints show it.
    const BEGINNING: usize = "pss_service:v2".len();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        let (shown, secret) = match rest.strip_prefix("pss_") {
            Some(token) => {
                let field = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
                let fields = token.split(|c| !field(c)).next().unwrap_or_default();
                // The colon behind it is the message's.
                let length = "pss_".len() + fields.trim_end_matches(':').len();
                ("pss_…", if length > BEGINNING { length } else { 0 })
            }
            None if digits >= KEY => ("…", digits),
            None => ("", 0),
        };
        let taken = if secret > 0 {
            secret
        } else {
            digits.max(first.len_utf8())
        };
        let (piece, after) = rest.split_at(taken);
        out.push_str(if secret > 0 { shown } else { piece });
        rest = after;
    }
    escaped(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_becomes_visible() {
        assert_eq!(
            escaped("a\u{1b}[31mb\n\u{9b}c\u{202e}d"),
            "a\\u{1b}[31mb\\n\\u{9b}c\\u{202e}d"
        );
        assert_eq!(escaped("grüß 👋 \\"), "grüß 👋 \\");
    }

    #[test]
    fn a_token_is_cut_off() {
        let bearer = "0123456789abcdef".repeat(4);
        for (text, shown) in [
            (
                "cannot run pss_service:v2:00aa:11 x".to_owned(),
                "cannot run pss_… x",
            ),
            (format!("User {bearer}, 1234 beef"), "User …, 1234 beef"),
            (
                "no token: pss_user:v1:0123: why".to_owned(),
                "no token: pss_…: why",
            ),
            (
                "neither pss_service:v2:… nor pss_".to_owned(),
                "neither pss_service:v2:… nor pss_",
            ),
            ("grüß 👋 pss".to_owned(), "grüß 👋 pss"),
        ] {
            assert_eq!(masked(&text), shown);
        }
    }

    #[test]
    fn a_line_of_json_is_one_line() {
        let text = "a\"b\nc\u{9b}d\u{2028}e\u{202e}";
        let line = r#"{"message":"a\"b\nc\u009bd\u2028e\u202e"}"#;
        assert_eq!(json(&[("message", text)]), line);
    }
}
