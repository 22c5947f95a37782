#![forbid(unsafe_code)]
//! Runs a helper: a program that prints a secret, such as one that reads a keyring.
//!
//! The helper is in phase-run's process group, so Ctrl-C ends both, and the kernel kills it when phase-run
//! dies. It gets phase-run's environment without the token's variables. Its output is read into memory
//! that is wiped. The helper ends before any thread exists, in the process that fetches.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, dup2_stdin, dup2_stdout};

use super::env_block::EnvBlock;
use super::fork::{exit_helper, fork_helper};
use super::platform::ChildExits;
use super::signal::{self, Disposition, Signal, SignalMask};
use super::terminal::{TerminalMode, leave_terminal, open_terminal};
use super::wait::{self, WaitStatus};
use super::{SingleThreaded, exec, platform, poll_timeout, with_signals_blocked};
use crate::secret::SecretBytes;

/// The most that is read at once, in bytes.
const CHUNK: usize = 8 << 10;

/// A program that prints a secret.
pub(crate) struct HelperCommand<'a> {
    /// The program, which is searched for in PATH, and its arguments.
    pub(crate) words: &'a [OsString],
    /// Whether it may ask the user on the terminal. Otherwise it cannot open the terminal.
    pub(crate) may_ask: bool,
    /// How long it may run.
    pub(crate) time_limit: Duration,
    /// The most that it may print, in bytes.
    pub(crate) max_output: u64,
}

/// How a helper has ended, and what it has printed on standard output.
pub(crate) struct HelperOutput {
    pub(crate) status: WaitStatus,
    pub(crate) bytes: SecretBytes,
}

/// Why a helper has no output.
pub(crate) enum HelperError {
    /// The system refused a pipe, a descriptor or a process.
    System(io::Error),
    /// It ran longer than its limit, and was killed.
    TimedOut,
    /// It printed more than its limit, and was killed.
    OutputTooLong,
}

impl From<io::Error> for HelperError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl HelperCommand<'_> {
    /// Runs the helper until it ends. Processes that it leaves behind may go on running.
    ///
    /// # Errors
    /// [`HelperError`]; a helper that has exited with a failure is none.
    pub(crate) fn run(
        &self,
        single_threaded: &SingleThreaded,
        inherited: &EnvBlock,
    ) -> Result<HelperOutput, HelperError> {
        let terminal_mode = self.may_ask.then(TerminalMode::current).flatten();
        let (reader, writer) = io::pipe()?;
        let guard = ChildExitGuard::start()?;
        let child = match fork_helper(single_threaded) {
            Ok(Some(child)) => child,
            Ok(None) => {
                guard.mask.restore();
                self.exec(&writer, inherited)
            }
            Err(error) => {
                guard.restore();
                return Err(error.into());
            }
        };
        drop(writer);
        let outcome = self.read_until_exit(child, reader, &guard.exits);
        guard.restore();
        if outcome.is_err() {
            kill_with_descendants(child);
            if let Some(mode) = terminal_mode {
                with_signals_blocked(|| mode.restore());
            }
        }
        outcome
    }

    /// Becomes the helper, in the child. If that fails, the exit status says why, as in a shell.
    fn exec(&self, output: &PipeWriter, inherited: &EnvBlock) -> ! {
        let prepare = || -> io::Result<()> {
            if let Some(input) = self.input()? {
                dup2_stdin(input)?;
            }
            if !self.may_ask {
                leave_terminal();
            }
            Ok(dup2_stdout(output)?)
        };
        let status = match prepare() {
            Ok(()) => {
                exec::exec_without_core_dump(self.words, &inherited.without_token_variables())
                    .exit_status()
            }
            Err(_) => 126,
        };
        exit_helper(status)
    }

    /// Opens the helper's standard input: the terminal if the helper may ask and there is one, otherwise
    /// nothing. The command's input must stay unread. Returns `None` if it is standard input already.
    fn input(&self) -> io::Result<Option<OwnedFd>> {
        if self.may_ask && io::stdin().is_terminal() {
            return Ok(None);
        }
        let terminal = self.may_ask.then(open_terminal).and_then(Result::ok);
        match terminal {
            Some(terminal) => Ok(Some(terminal)),
            // A container image without /dev has neither; reading a directory fails.
            None => File::open("/dev/null")
                .or_else(|_| File::open("/"))
                .map(|file| Some(file.into())),
        }
    }

    /// Reads the output until the child has ended. A process that the child has left in the background
    /// may hold the pipe open, so the end of the child counts, not that of the pipe.
    fn read_until_exit(
        &self,
        child: Pid,
        mut pipe: PipeReader,
        exits: &ChildExits,
    ) -> Result<HelperOutput, HelperError> {
        let deadline = Instant::now().checked_add(self.time_limit);
        let mut bytes = Vec::new();
        let mut pipe_ended = false;
        loop {
            // It is reaped last: until then, its pid cannot become that of another process.
            if wait::has_ended(child) {
                while !pipe_ended && is_readable(&pipe)? {
                    pipe_ended = self.read_chunk(&mut pipe, &mut bytes)?;
                }
                if let Some(status) = wait::reap_child(child) {
                    let bytes = SecretBytes::new(bytes);
                    return Ok(HelperOutput { status, bytes });
                }
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(HelperError::TimedOut);
            }
            let mut ready = vec![PollFd::new(exits.as_fd(), PollFlags::POLLIN)];
            if !pipe_ended {
                ready.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut ready, poll_timeout(deadline)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            let mut ready = ready.iter().map(|ready| ready.any() == Some(true));
            let (has_exit, has_output) = (ready.next(), ready.next());
            if has_exit == Some(true) {
                exits.clear()?;
            }
            if has_output == Some(true) {
                pipe_ended = self.read_chunk(&mut pipe, &mut bytes)?;
            }
        }
    }

    /// Reads what the pipe has, and returns whether it has ended.
    fn read_chunk(&self, pipe: &mut PipeReader, bytes: &mut Vec<u8>) -> Result<bool, HelperError> {
        // The global allocator wipes it.
        let mut chunk = vec![0; CHUNK];
        let length = match pipe.read(&mut chunk) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        bytes.extend(chunk.iter().take(length));
        match bytes.len() as u64 > self.max_output {
            true => Err(HelperError::OutputTooLong),
            false => Ok(length == 0),
        }
    }
}

/// Makes the end of a child readable from a descriptor. Signals other than CHLD are as before: they must
/// end phase-run while the helper waits for the user.
struct ChildExitGuard {
    mask: SignalMask,
    disposition: Disposition,
    exits: ChildExits,
}

impl ChildExitGuard {
    fn start() -> io::Result<Self> {
        let exits = ChildExits::open()?;
        let mask = SignalMask::block_child_signal();
        // If CHLD were ignored, the kernel would reap the child and drop its status (wait(2)).
        let disposition = Disposition::current(Signal::CHLD);
        signal::set_disposition(Signal::CHLD, Disposition::Default);
        Ok(Self {
            mask,
            disposition,
            exits,
        })
    }

    fn restore(self) {
        signal::set_disposition(Signal::CHLD, self.disposition);
        self.mask.restore();
    }
}

/// Kills a child, and the processes that it has started. They share phase-run's group, so the group cannot
/// be killed.
fn kill_with_descendants(child: Pid) {
    for pid in platform::with_descendants(child) {
        signal::send(pid, Signal::KILL);
    }
}

fn is_readable(pipe: &PipeReader) -> io::Result<bool> {
    let mut ready = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut ready, PollTimeout::ZERO)? > 0)
}
