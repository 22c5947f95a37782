//! The ways to start a command: bare, and under phase-run in its modes. A test runs the same case in
//! several of them, because what holds for the bare command must hold for the others.

use std::ffi::{OsStr, c_int};

use super::run::Run;
use super::running::Running;
use super::shop::{SHOP, Shop};

/// How a command is started, ordered by the number of processes between it and its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LaunchMode {
    /// Without phase-run: what the other modes are compared with.
    Bare,
    /// phase-run becomes the command.
    Exec,
    /// phase-run stays as the command's parent.
    Supervised,
    /// phase-run is the command of another phase-run; both stay, and the inner one watches.
    Nested,
}

pub(crate) const LAUNCH_MODES: [LaunchMode; 4] = [
    LaunchMode::Bare,
    LaunchMode::Exec,
    LaunchMode::Supervised,
    LaunchMode::Nested,
];

pub(crate) const BARE_AND_SUPERVISED: [LaunchMode; 2] = [LaunchMode::Bare, LaunchMode::Supervised];

impl LaunchMode {
    /// Returns the words that go before a command, where `program` is phase-run. In `Nested` mode the inner
    /// phase-run reads its token from the file `token`, because the outer one removes it from the
    /// environment.
    pub(crate) fn command_prefix(self, program: &str) -> Vec<&str> {
        let phase_run = |options: &[&'static str]| -> Vec<&str> {
            let words = [program].into_iter().chain(SHOP);
            words.chain(options.iter().copied()).chain(["--"]).collect()
        };
        match self {
            LaunchMode::Bare => Vec::new(),
            LaunchMode::Exec => phase_run(&[]),
            LaunchMode::Supervised => phase_run(&["--supervise"]),
            LaunchMode::Nested => [
                phase_run(&["--supervise"]),
                phase_run(&["--watch", "3600", "--token-file", "token"]),
            ]
            .concat(),
        }
    }
}

impl Shop {
    /// Returns a run of this command in the given mode.
    pub(crate) fn start(
        &self,
        mode: LaunchMode,
        command: impl IntoIterator<Item: AsRef<OsStr>>,
    ) -> Run<'_> {
        match mode {
            LaunchMode::Bare => self.bare(command),
            _ => self.bare(mode.command_prefix(self.program())).args(command),
        }
    }
}

/// The signal that a test sends last. The kernel delivers the lowest pending number first
/// (signal(7)), so once this has been received, so has all that was sent before it.
pub(crate) const BARRIER: c_int = 64;

/// A signal as the inspector's `serve` reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReceivedSignal {
    pub(crate) signal: c_int,
    /// 0 from kill(2), -1 from sigqueue(3), 128 from the kernel.
    pub(crate) code: i32,
    pub(crate) sender: i32,
    pub(crate) value: i32,
}

impl ReceivedSignal {
    pub(super) fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let [
            "signal",
            signal,
            "code",
            code,
            "pid",
            sender,
            "value",
            value,
        ] = words[..]
        else {
            panic!("not a signal: {line:?}")
        };
        let number = |word: &str| word.parse().unwrap();
        ReceivedSignal {
            signal: number(signal),
            code: number(code),
            sender: number(sender),
            value: number(value),
        }
    }
}

/// Returns the signals that these lines report before the barrier.
pub(crate) fn signals_before_barrier(mut line: impl FnMut() -> String) -> Vec<c_int> {
    let lines = std::iter::repeat_with(|| ReceivedSignal::parse(&line()).signal);
    lines.take_while(|signal| *signal != BARRIER).collect()
}

impl Running {
    /// Waits for the next signal that the inspector reports.
    pub(crate) fn signal(&mut self) -> ReceivedSignal {
        ReceivedSignal::parse(&self.line())
    }

    /// Sends the barrier and returns the signals that the inspector has received since the last call.
    pub(crate) fn signals(&mut self) -> Vec<c_int> {
        self.kill(BARRIER);
        signals_before_barrier(|| self.line())
    }
}
