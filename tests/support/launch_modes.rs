//! A command bare and under a supervisor, side by side: what is true of the one is true of the
//! other.

use std::ffi::{OsStr, c_int};

use super::run::Run;
use super::running::Running;
use super::shop::Shop;

/// How a command is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Bare,
    Supervised,
}

/// The specification first.
pub(crate) const WAYS: [Way; 2] = [Way::Bare, Way::Supervised];

impl Shop {
    /// This command, started in that way.
    pub(crate) fn start(&self, way: Way, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Run<'_> {
        match way {
            Way::Bare => self.bare(words),
            Way::Supervised => self.with(&["--supervise"]).args(words),
        }
    }
}

/// What is sent last: of what is pending the kernel hands out the lowest number first (signal(7)),
/// so when this has arrived, so has all that was sent before it.
pub(crate) const BARRIER: c_int = 64;

/// A signal as the reporter's `serve` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrived {
    pub(crate) signal: c_int,
    /// 0 from kill(2), -1 from sigqueue(3), 128 from the kernel.
    pub(crate) code: i32,
    pub(crate) sender: i32,
    pub(crate) value: i32,
}

impl Arrived {
    fn parse(line: &str) -> Self {
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
        Arrived {
            signal: number(signal),
            code: number(code),
            sender: number(sender),
            value: number(value),
        }
    }
}

/// The signals in these lines before the barrier.
pub(crate) fn arrived(mut line: impl FnMut() -> String) -> Vec<c_int> {
    let lines = std::iter::repeat_with(|| Arrived::parse(&line()).signal);
    lines.take_while(|signal| *signal != BARRIER).collect()
}

impl Running {
    /// The next signal that the reporter tells.
    pub(crate) fn signal(&mut self) -> Arrived {
        Arrived::parse(&self.line())
    }

    /// The signals that have reached the reporter since it was last asked.
    pub(crate) fn signals(&mut self) -> Vec<c_int> {
        self.kill(BARRIER);
        arrived(|| self.line())
    }
}
