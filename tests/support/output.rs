//! What came of a command line, and assertions on it that print all of it.

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

#[must_use]
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: Status,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(super) case: String,
}

impl Output {
    /// Success, and nothing said.
    pub(crate) fn ok(self) -> Self {
        assert!(
            self.status == Status::Exited(0),
            "it did not succeed\n{self}"
        );
        assert!(self.stderr.is_empty(), "it said something\n{self}");
        self
    }

    pub(crate) fn ended(self, status: Status) -> Self {
        assert!(
            self.status == status,
            "it did not end as {status:?}\n{self}"
        );
        self
    }

    /// A failure of phase-run's own: one line that says what, at most one that says what to do.
    pub(crate) fn failed(self, status: c_int, kind: &str) -> Self {
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
        self.ended(Status::Exited(status))
    }

    /// An error of phase-run's own with status 125, before it started any command.
    pub(crate) fn refused(self, kind: &str) -> Self {
        assert!(self.stdout.is_empty(), "something ran\n{self}");
        self.failed(125, kind)
    }

    /// Takes the lines `phase-run: …` with these beginnings, in this order, off standard error.
    pub(crate) fn notices(mut self, beginnings: &[&str]) -> Self {
        for beginning in beginnings {
            let line = self.stderr.split_inclusive('\n').next().unwrap_or_default();
            let length = line.len();
            let notice = line.strip_prefix("phase-run: ");
            let found = notice.is_some_and(|notice| notice.starts_with(beginning));
            assert!(
                found,
                "no notice that starts with {beginning:?} here\n{self}"
            );
            self.stderr.drain(..length);
        }
        self
    }

    /// Standard output, which must be UTF-8.
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
