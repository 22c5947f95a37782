//! The exit status and output of a command line, with assertions that print all of it when they fail.

use std::ffi::c_int;
use std::fmt::{Display, Formatter, Result};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Exited(c_int),
    Killed(c_int),
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        let code = status.code().map(Status::Exited);
        code.unwrap_or_else(|| Status::Killed(status.signal().unwrap()))
    }
}

/// What musl says where glibc says something else, of the errors that tests cause (strerror(3)).
const WORDS_OF_MUSL: [(&str, &str); 3] = [
    ("filename too long", "file name too long"),
    ("no file descriptors available", "too many open files"),
    ("symbolic link loop", "too many levels of symbolic links"),
];

/// Returns the text with glibc's words for errors, which the tests expect, in place of musl's.
pub(super) fn in_words_of_glibc(text: &str) -> String {
    let words = WORDS_OF_MUSL.iter();
    words.fold(text.to_owned(), |text, (musl, glibc)| {
        text.replace(musl, glibc)
    })
}

#[must_use]
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: Status,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(super) case: String,
}

impl Output {
    /// Requires exit status 0 and an empty standard error.
    pub(crate) fn assert_ok(self) -> Self {
        assert!(
            self.status == Status::Exited(0),
            "it did not succeed\n{self}"
        );
        assert!(
            self.stderr.is_empty(),
            "standard error is not empty\n{self}"
        );
        self
    }

    /// Requires that it ended in this way.
    pub(crate) fn assert_status(self, status: Status) -> Self {
        assert!(
            self.status == status,
            "it did not end as {status:?}\n{self}"
        );
        self
    }

    /// Requires an error of phase-run's own with this exit status and kind: one error line and at most one
    /// hint, and nothing else on standard error.
    pub(crate) fn assert_error(self, status: c_int, kind: &str) -> Self {
        let prefix = format!("phase-run: error[{kind}]: ");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let shape = match lines.as_slice() {
            [error] => error.starts_with(&prefix),
            [error, hint] => error.starts_with(&prefix) && hint.starts_with("hint: "),
            _ => false,
        };
        assert!(shape, "expected {prefix}… and perhaps a hint\n{self}");
        let control = |letter: char| letter.is_control() && letter != '\n';
        assert!(
            !self.stderr.contains(control),
            "a control character in a message\n{self}"
        );
        self.assert_status(Status::Exited(status))
    }

    /// Requires an error of phase-run's own with exit status 125, and that no command printed anything.
    pub(crate) fn assert_refused(self, kind: &str) -> Self {
        assert!(self.stdout.is_empty(), "something ran\n{self}");
        self.assert_error(125, kind)
    }

    /// Requires that standard error starts with log lines `phase-run: …` that begin like this, in this order,
    /// and removes them.
    pub(crate) fn assert_log_lines(mut self, beginnings: &[&str]) -> Self {
        for beginning in beginnings {
            let line = self.stderr.split_inclusive('\n').next().unwrap_or_default();
            let length = line.len();
            let event = line.strip_prefix("phase-run: ");
            let found = event.is_some_and(|event| event.starts_with(beginning));
            assert!(
                found,
                "expected a log line that starts with {beginning:?}\n{self}"
            );
            self.stderr.drain(..length);
        }
        self
    }

    /// Requires that the first line of standard error reports a retry, and removes it.
    pub(crate) fn assert_retried(mut self) -> Self {
        let line = self.stderr.split_inclusive('\n').next().unwrap_or_default();
        assert!(line.contains("; retrying in "), "no retry here\n{self}");
        self.stderr.drain(..line.len());
        self
    }

    /// Returns standard output as text.
    pub(crate) fn text(&self) -> &str {
        let text = str::from_utf8(&self.stdout);
        text.unwrap_or_else(|why| panic!("standard output: {why}\n{self}"))
    }
}

impl Display for Output {
    fn fmt(&self, to: &mut Formatter<'_>) -> Result {
        let Output {
            status,
            stdout,
            stderr,
            case,
        } = self;
        let stdout = String::from_utf8_lossy(stdout);
        write!(
            to,
            "{case}\nstatus: {status:?}\nstdout: {stdout}\nstderr: {stderr}"
        )
    }
}
