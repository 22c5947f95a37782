#![forbid(unsafe_code)]
//! Log lines, and the only place where a line is written to standard error.
//!
//! [`Event`] lists everything that is logged besides errors. A [`Logger`] writes events and errors as
//! text or as JSON.
//! Results of writes are ignored: a closed standard error must not stop the command.

mod escape;
mod event;
pub(crate) mod status_line;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, first_chars};
pub(crate) use escape::{escape, json_object, redact};
pub(crate) use event::Event;
use event::Level;

/// Receives events. Most processes write them at once; a standby holds them back until it is promoted.
pub(crate) trait Log {
    /// Writes one event, if its level is enabled, or holds it back.
    fn log(&self, event: Event<'_>);

    /// Whether a status line may be drawn while phase-run waits.
    fn has_status_line(&self) -> bool {
        false
    }
}

impl<F: Fn(Event<'_>)> Log for F {
    fn log(&self, event: Event<'_>) {
        self(event);
    }
}

impl Log for Logger {
    fn log(&self, event: Event<'_>) {
        if let Some(line) = self.format_line(&event) {
            write_line(&line);
        }
    }

    fn has_status_line(&self) -> bool {
        self.format == OutputFormat::Text && !self.quiet && std::io::stderr().is_terminal()
    }
}

/// The form of the lines on standard error, and of `--dry-run`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// Writes events and errors to standard error.
#[derive(Clone, Copy, Default)]
pub(crate) struct Logger {
    /// The form of each line.
    pub(crate) format: OutputFormat,
    /// `-q`: writes errors only.
    pub(crate) quiet: bool,
    /// The number of `-v` options.
    pub(crate) verbose: usize,
}

impl Logger {
    /// Writes one event, unless standard error would block: a watcher must not delay signals.
    pub(crate) fn try_log(&self, event: Event<'_>) {
        if is_writable(PollTimeout::ZERO) {
            self.log(event);
        }
    }

    /// The line for an event without writing it, or `None` if its level is not enabled.
    pub(crate) fn format_line(&self, event: &Event<'_>) -> Option<String> {
        let level = event.level();
        let enabled = match self.verbose {
            _ if self.quiet => return None,
            0 => Level::Info,
            1 => Level::Detail,
            _ => Level::Request,
        };
        if level > enabled {
            return None;
        }
        let message = message_text(&event.to_string());
        let is_warning = level == Level::Warning;
        Some(match self.format {
            OutputFormat::Text if is_warning => format!("phase-run: warning: {message}"),
            OutputFormat::Text => format!("phase-run: {message}"),
            OutputFormat::Json => json_object(&[
                ("level", if is_warning { "warning" } else { "info" }),
                ("kind", event.kind()),
                ("message", &message),
            ]),
        })
    }

    /// Writes the error that ends phase-run, and its hint.
    pub(crate) fn log_error(&self, error: &Error) {
        for line in self.error_lines(error) {
            write_line(&line);
        }
    }

    /// Writes a help text after an error, for people: nothing as JSON.
    pub(crate) fn write_help(&self, text: &str) {
        if self.format == OutputFormat::Text {
            let _ = std::io::stderr().write_all(format!("\n{text}").as_bytes());
        }
    }

    /// Writes the error that ends phase-run, unless standard error would block for a second: a process
    /// that blocks all signals would otherwise never end.
    pub(crate) fn try_log_error(&self, error: &Error) {
        if is_writable(PollTimeout::from(1000_u16)) {
            self.log_error(error);
        }
    }

    /// The line for an error, and in text a second one for its hint.
    fn error_lines(&self, error: &Error) -> Vec<String> {
        let message = message_text(&error.to_string());
        let hint = error.hint().map(|hint| message_text(&hint));
        match self.format {
            OutputFormat::Text => {
                let first = format!("phase-run: error[{}]: {message}", error.kind());
                let second = hint.map(|hint| format!("hint: {hint}"));
                [Some(first), second].into_iter().flatten().collect()
            }
            OutputFormat::Json => {
                let mut members = vec![
                    ("level", "error"),
                    ("kind", error.kind()),
                    ("message", message.as_str()),
                ];
                members.extend(hint.as_deref().map(|hint| ("hint", hint)));
                vec![json_object(&members)]
            }
        }
    }
}

/// The most characters of a message that are written. Names from the server can be longer.
const MAX_MESSAGE: usize = 10_000;

/// How many characters of a message are searched for tokens.
const MAX_SEARCHED: usize = 2 * MAX_MESSAGE;

/// Makes a text safe to print, and cuts it if it is too long. It is cut before the work is done, too: a
/// name from the server can have megabytes.
fn message_text(text: &str) -> String {
    let mut searched = first_chars(text, MAX_SEARCHED);
    let is_cut = searched.len() < text.len();
    if is_cut {
        searched = without_partial_token(searched);
    }
    let safe = escape(&redact(searched));
    let shown = first_chars(&safe, MAX_MESSAGE);
    match is_cut || shown.len() < safe.len() {
        true => format!("{shown} …"),
        false => safe,
    }
}

/// Removes the characters at the end of a text that may be the beginning of a token.
fn without_partial_token(text: &str) -> &str {
    text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_')
}

/// Whether standard error takes a line within this time.
fn is_writable(timeout: PollTimeout) -> bool {
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    matches!(poll(&mut ready, timeout), Ok(1))
}

/// Writes one line in one write, so that lines of several processes do not mix.
pub(crate) fn write_line(text: &str) {
    let _no_status_line = status_line::lock_and_erase();
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
