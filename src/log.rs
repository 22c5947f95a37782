#![forbid(unsafe_code)]
//! What phase-run says besides errors, and the one place where a line is written.
//!
//! A [`Event`] is one of a closed set and has no field that can hold a value. A [`Logger`] knows
//! how to say things: as text or JSON, at which verbosity. Writing is attempted and its result
//! ignored: a closed standard error must not stop the command.

mod escape;
#[cfg(test)]
mod tests;
mod text;

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::Error;
use escape::masked;
pub(crate) use escape::{escaped, json};

/// Where events go. `main` decides what becomes of them.
pub(crate) trait Log {
    /// Reports one event.
    fn log(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>)> Log for F {
    fn log(&self, event: Event<'_>) {
        self(event);
    }
}

impl Log for Logger {
    fn log(&self, event: Event<'_>) {
        Self::log(self, &event);
    }
}

/// Everything there is to say before the command runs.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// The environment was found by its type or by a prefix, not by its name.
    EnvironmentChosen {
        query: &'a str,
        source: String,
        environment: &'a str,
        reason: &'static str,
    },
    /// Others may read the token's file, or a gateway's headers, and its owner could change that.
    TokenFileExposed { path: &'a str, mode: u32 },
    /// Two things were set that cannot both count.
    SettingIgnored {
        ignored: &'static str,
        used: &'static str,
    },
    /// `-v`: who vouched for this machine, and what came of it.
    Identified {
        from: &'a str,
        account: &'a str,
        valid_for: Duration,
    },
    /// `PHASE_VERIFY_SSL` asks for what phase-run does not do.
    VerifySslIgnored,
    /// Nothing is in the environment, and no filter was given.
    EnvironmentEmpty { scope: &'a str },
    /// A shell cannot name this variable.
    NonportableName { name: &'a str },
    /// These values still hold references.
    UnresolvedReferences { keys: &'a [String] },
    /// Leased values end, and nobody is left to renew them.
    Leased {
        expires_at: &'a str,
        expires_in: Duration,
    },
    /// A try came to nothing, and there will be another one.
    Retrying {
        why: &'a str,
        wait: Duration,
        attempt: u32,
        /// Of `--max-wait`.
        left: Duration,
    },
    /// A snapshot takes the place of a fetch; `age` is none where its time lies ahead of the clock's.
    SnapshotUsed {
        path: &'a str,
        age: Option<Duration>,
        why: &'a str,
    },
    /// It could have, and does not.
    SnapshotUnusable { path: &'a str, why: &'a str },
    /// Phase refused what it was fetched with.
    SnapshotRemoved { path: &'a str },
    /// The same, and it is still there.
    SnapshotRemoveFailed { path: &'a str, why: &'a str },
    /// The command starts all the same.
    SnapshotWriteFailed { path: &'a str, why: &'a str },
    /// `-v`: an outage of Phase would be bridged from now on.
    SnapshotWritten { path: &'a str },
    /// `-v`: what is fetched, and why that.
    Fetching {
        app: &'a str,
        app_source: String,
        environment: &'a str,
        environment_source: String,
        host: &'a str,
        token: &'a str,
    },
    /// `-v`: what requests go through, unless their host is excepted.
    Proxy {
        name: &'a str,
        variable: &'static str,
    },
    /// `-v`: what came of it.
    Selected {
        selected: usize,
        total: usize,
        took: Duration,
    },
    /// `-v`: the issuer is not among Mozilla's roots.
    SystemRoots { host: &'a str },
    /// `-vv`: one request.
    Request {
        method: &'a str,
        host: &'a str,
        path: &'a str,
        status: u16,
        took: Duration,
    },
    /// `-v`: the last words.
    Exec { command: &'a [OsString] },
    /// `-v`: what a poll of `--watch` came to.
    Unchanged,
    /// It came to a change.
    Restarting { delay: Duration },
    /// What the command was leased ends soon.
    LeaseExpiring,
    /// The command did not stop by its signal.
    Killing { grace: Duration, signal: &'a str },
    /// They did not even stop by KILL.
    ProcessesLeft { names: &'a [String] },
    /// A poll failed, and nothing happens. `kind` is that of the error.
    PollFailed { kind: &'a str, why: &'a str },
    /// The first that did not, afterwards.
    PollRecovered,
    /// A signal asks for an end while the old command stops.
    RestartCancelled,
    /// The process that was to become the command is gone.
    StartFailed { why: &'a str },
}

/// How loud a notice is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Warning,
    /// Said without `-v`: something was chosen for the user.
    Info,
    Detail,
    Request,
}

impl Event<'_> {
    fn level(&self) -> Level {
        match self {
            Self::TokenFileExposed { .. }
            | Self::SettingIgnored { .. }
            | Self::VerifySslIgnored
            | Self::EnvironmentEmpty { .. }
            | Self::NonportableName { .. }
            | Self::UnresolvedReferences { .. }
            | Self::SnapshotUnusable { .. }
            | Self::SnapshotRemoveFailed { .. }
            | Self::SnapshotWriteFailed { .. }
            | Self::Killing { .. }
            | Self::ProcessesLeft { .. }
            | Self::PollFailed { .. }
            | Self::StartFailed { .. } => Level::Warning,
            Self::EnvironmentChosen { .. }
            | Self::LeaseExpiring
            | Self::RestartCancelled
            | Self::Retrying { .. }
            | Self::Leased { .. }
            | Self::SnapshotUsed { .. }
            | Self::SnapshotRemoved { .. }
            | Self::Restarting { .. }
            | Self::PollRecovered => Level::Info,
            Self::Fetching { .. }
            | Self::Identified { .. }
            | Self::Proxy { .. }
            | Self::Selected { .. }
            | Self::SystemRoots { .. }
            | Self::SnapshotWritten { .. }
            | Self::Exec { .. }
            | Self::Unchanged => Level::Detail,
            Self::Request { .. } => Level::Request,
        }
    }

    /// The stable word in the JSON form.
    fn kind(&self) -> &'static str {
        match self {
            Self::EnvironmentChosen { .. } => "environment-chosen",
            Self::TokenFileExposed { .. } => "token-file-exposed",
            Self::SettingIgnored { .. } => "setting-ignored",
            Self::Identified { .. } => "identified",
            Self::VerifySslIgnored => "verify-ssl-ignored",
            Self::EnvironmentEmpty { .. } => "environment-empty",
            Self::NonportableName { .. } => "nonportable-name",
            Self::UnresolvedReferences { .. } => "unresolved",
            Self::Leased { .. } => "leased",
            Self::Retrying { .. } => "retrying",
            Self::SnapshotUsed { .. } => "snapshot-used",
            Self::SnapshotUnusable { .. } => "snapshot-unusable",
            Self::SnapshotRemoved { .. } => "snapshot-removed",
            Self::SnapshotRemoveFailed { .. } => "snapshot-remove-failed",
            Self::SnapshotWriteFailed { .. } => "snapshot-write-failed",
            Self::SnapshotWritten { .. } => "snapshot-written",
            Self::Fetching { .. } => "fetching",
            Self::Proxy { .. } => "proxy",
            Self::Selected { .. } => "selected",
            Self::SystemRoots { .. } => "system-roots",
            Self::Request { .. } => "request",
            Self::Exec { .. } => "exec",
            Self::Unchanged => "unchanged",
            Self::Restarting { .. } => "restarting",
            Self::LeaseExpiring => "lease-expiring",
            Self::Killing { .. } => "killing",
            Self::ProcessesLeft { .. } => "processes-left",
            Self::PollFailed { .. } => "poll-failed",
            Self::PollRecovered => "poll-recovered",
            Self::RestartCancelled => "restart-cancelled",
            Self::StartFailed { .. } => "start-failed",
        }
    }
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
pub(crate) struct Logger {
    pub(crate) format: Format,
    /// `-q`: errors only.
    pub(crate) quiet: bool,
    /// How many `-v` there are.
    pub(crate) verbose: usize,
}

impl Logger {
    /// Says one notice, if it is loud enough.
    pub(crate) fn log(&self, notice: &Event<'_>) {
        self.format(notice)
            .as_deref()
            .inspect(|text| write_line(text));
    }

    /// The same for a supervisor, which signals must not wait for: not at all where standard error
    /// takes nothing now.
    pub(crate) fn try_log(&self, notice: &Event<'_>) {
        let stderr = std::io::stderr();
        let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        if let Ok(1) = poll(&mut ready, PollTimeout::ZERO) {
            self.log(notice);
        }
    }

    /// What would be said, to be said later; none if it is not loud enough.
    pub(crate) fn format(&self, notice: &Event<'_>) -> Option<String> {
        let level = notice.level();
        let loudest = match self.verbose {
            _ if self.quiet => return None,
            0 => Level::Info,
            1 => Level::Detail,
            _ => Level::Request,
        };
        if level > loudest {
            return None;
        }
        let warning = level == Level::Warning;
        let message = masked(&notice.to_string());
        Some(match self.format {
            Format::Text if warning => format!("phase-run: warning: {message}"),
            Format::Text => format!("phase-run: {message}"),
            Format::Json => json(&[
                ("level", if warning { "warning" } else { "info" }),
                ("kind", notice.kind()),
                ("message", &message),
            ]),
        })
    }

    /// Says what ended phase-run. Called by `main` alone.
    pub(crate) fn fail(&self, error: &Error) {
        self.lines_of(error)
            .iter()
            .for_each(|text| write_line(text));
    }

    /// The line, and in text the hint's.
    fn lines_of(&self, error: &Error) -> Vec<String> {
        let message = masked(&error.to_string());
        let hint = error.hint().map(|hint| masked(&hint));
        match self.format {
            Format::Text => {
                let first = format!("phase-run: error[{}]: {message}", error.kind());
                let second = hint.map(|hint| format!("hint: {hint}"));
                [Some(first), second].into_iter().flatten().collect()
            }
            Format::Json => {
                let mut members = vec![
                    ("level", "error"),
                    ("kind", error.kind()),
                    ("message", message.as_str()),
                ];
                members.extend(hint.as_deref().map(|hint| ("hint", hint)));
                vec![json(&members)]
            }
        }
    }
}

/// One write for one line, so that lines of several processes do not mix.
pub(crate) fn write_line(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
