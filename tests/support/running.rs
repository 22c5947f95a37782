//! A started command that has not been waited for.

use std::ffi::c_int;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::spawn;
use std::time::Instant;

use super::canary::Canaries;
use super::output::{Output, Status, in_words_of_glibc};
use super::proc::{self, DEADLINE};
use super::spawn::{kill, wait_without_reaping};

/// A started command. It is killed when this is dropped before `wait`, as after a failed assertion.
pub(crate) struct Running {
    child: Child,
    child_is: ChildIs,
    /// Disconnected once the process has ended and before it is reaped.
    end: Receiver<()>,
    stdout: Stream,
    stderr: Stream,
    case: String,
    canaries: Canaries,
    /// Whether standard output may contain canaries.
    secrets_on_stdout: bool,
}

/// What the child process is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildIs {
    ProcessUnderTest,
    /// unshare(1), whose only child is the process under test.
    ParentOfPid1,
}

impl ChildIs {
    /// Returns the process under test, where `pid` is the child process.
    pub(super) fn process(self, pid: i32) -> i32 {
        match self {
            ChildIs::ProcessUnderTest => pid,
            ChildIs::ParentOfPid1 => proc::wait_for_only_child(pid),
        }
    }
}

impl Running {
    pub(super) fn new(
        mut child: Child,
        child_is: ChildIs,
        case: String,
        canaries: Canaries,
        secrets_on_stdout: bool,
    ) -> Self {
        let pid = child.id();
        let (sender, end) = channel();
        spawn(move || {
            // Leaves it unreaped, so that its pid cannot become another process's before `wait`.
            wait_without_reaping(pid);
            drop(sender);
        });
        let stdout = child.stdout.take().map_or_else(Stream::ended, Stream::new);
        let stderr = child.stderr.take().map_or_else(Stream::ended, Stream::new);
        Running {
            child,
            child_is,
            end,
            stdout,
            stderr,
            case,
            canaries,
            secrets_on_stdout,
        }
    }

    /// Returns the pid of phase-run or the bare command as the test sees it.
    pub(crate) fn pid(&self) -> i32 {
        self.child_is.process(self.child.id().cast_signed())
    }

    /// Returns the pid of phase-run or the bare command as it sees it itself.
    pub(super) fn own_pid(&self) -> i32 {
        match self.child_is {
            ChildIs::ProcessUnderTest => self.pid(),
            ChildIs::ParentOfPid1 => 1,
        }
    }

    pub(crate) fn kill(&self, signal: c_int) {
        kill(self.pid(), signal);
    }

    /// Returns the state in /proc/PID/stat: `R`, `S`, `T`, `Z` and so on.
    pub(crate) fn state(&self) -> char {
        proc::state(self.pid())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Writes to standard input and closes it, on a thread of its own, whether or not the command reads.
    pub(super) fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.child.stdin.take().unwrap();
        spawn(move || stdin.write_all(&bytes));
    }

    /// Waits for the next line of standard output and returns it without its end.
    pub(crate) fn line(&mut self) -> String {
        let line = self.stdout.line();
        line.unwrap_or_else(|why| panic!("a line of standard output: {why}\n{}", self.seen()))
    }

    /// Waits for the next line of standard error and returns it without its end.
    pub(crate) fn stderr_line(&mut self) -> String {
        let line = self.stderr.line();
        line.unwrap_or_else(|why| panic!("a line of standard error: {why}\n{}", self.seen()))
    }

    /// Waits for the inspector's `ready`, and returns its own view of its pid.
    pub(crate) fn wait_until_ready(&mut self) -> i32 {
        let line = self.line();
        self.pid_in(&line)
    }

    /// Waits for the `ready` of an inspector whose output goes to standard error, and returns its pid.
    pub(crate) fn wait_until_ready_on_stderr(&mut self) -> i32 {
        let line = self.stderr_line();
        self.pid_in(&line)
    }

    fn pid_in(&self, line: &str) -> i32 {
        let pid = line.strip_prefix("ready ").and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("expected \"ready PID\", not {line:?}\n{}", self.seen()))
    }

    /// Closes standard input and waits for the end of the process and of its output.
    pub(crate) fn wait(mut self) -> Output {
        self.close_stdin();
        if self.end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            panic!("still running after {DEADLINE:?}\n{}", self.seen());
        }
        let mut open = Vec::new();
        open.extend(self.stdout.finish().err().map(|_| "output"));
        open.extend(self.stderr.finish().err().map(|_| "error"));
        assert!(
            open.is_empty(),
            "a process still holds standard {open:?} open\n{}",
            self.seen()
        );
        let status = Status::from(self.child.wait().unwrap());
        let output = Output {
            status,
            stdout: self.stdout.received.bytes.clone(),
            stderr: in_words_of_glibc(&String::from_utf8_lossy(&self.stderr.received.bytes)),
            case: self.case.clone(),
        };
        if !self.secrets_on_stdout {
            self.search("standard output", &self.stdout.received.bytes, &output);
        }
        self.search("standard error", &self.stderr.received.bytes, &output);
        output
    }

    fn search(&self, what: &str, bytes: &[u8], output: &Output) {
        if let Some(canary) = self.canaries.find(bytes) {
            let canary = String::from_utf8_lossy(canary);
            panic!("{what} contains the canary {canary:?}\n{output}");
        }
    }

    fn seen(&self) -> String {
        let (out, err) = (&self.stdout.received.bytes, &self.stderr.received.bytes);
        let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        format!("{}\nstdout so far: {out}\nstderr so far: {err}", self.case)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has been reaped, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes that arrive on a pipe. A thread reads them, so that the command never waits for the test.
struct Stream {
    chunks: Receiver<Vec<u8>>,
    received: Received,
}

/// What a process has written so far.
#[derive(Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// The number of bytes that were returned to the test.
    taken: usize,
}

impl Received {
    /// Returns the text after the last returned one and up to the end of `text`, or `None` if `text` has not
    /// arrived.
    pub(super) fn take_until(&mut self, text: &str) -> Option<String> {
        let rest = &self.bytes[self.taken..];
        let at = rest
            .windows(text.len())
            .position(|part| part == text.as_bytes())?;
        let length = at + text.len();
        self.taken += length;
        Some(String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}

impl Stream {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = channel();
        spawn(move || {
            let mut buffer = vec![0; 65536];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Stream {
            chunks,
            received: Received::default(),
        }
    }

    fn ended() -> Self {
        Stream {
            chunks: channel().1,
            received: Received::default(),
        }
    }

    fn line(&mut self) -> Result<String, RecvTimeoutError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(mut line) = self.received.take_until("\n") {
                line.pop();
                return Ok(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let chunk = self.chunks.recv_timeout(left)?;
            self.received.bytes.extend(chunk);
        }
    }

    /// Reads to the end of the pipe, which may come after the end of the process.
    fn finish(&mut self) -> Result<(), RecvTimeoutError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.chunks.recv_timeout(left) {
                Ok(chunk) => self.received.bytes.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(late) => return Err(late),
            }
        }
    }
}
