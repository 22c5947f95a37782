//! What the kernel does: signals and how they become pending.

use nix::unistd::Pid;

use super::super::super::signal_reader::SignalCause;
use crate::process::signal::Signal;
use crate::process::wait::WaitStatus;

/// The signals of the model, in the order of their numbers: signalfd(2) returns the lowest one first.
/// One stands for all that are treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sig {
    Hup,
    Int,
    /// Any other standard signal that ends a program by default.
    Usr1,
    Term,
    Chld,
    Cont,
    Tstp,
    Winch,
    /// A real-time signal. It is queued, and the others are not (signal(7)).
    Rt,
}

pub(super) const SIGNALS: [Sig; 9] = [
    Sig::Hup,
    Sig::Int,
    Sig::Usr1,
    Sig::Term,
    Sig::Chld,
    Sig::Cont,
    Sig::Tstp,
    Sig::Winch,
    Sig::Rt,
];

impl Sig {
    pub(super) fn real(self) -> Signal {
        match self {
            Self::Hup => Signal::HUP,
            Self::Int => Signal::INT,
            Self::Usr1 => Signal::new(libc::SIGUSR1).unwrap(),
            Self::Term => Signal::TERM,
            Self::Chld => Signal::CHLD,
            Self::Cont => Signal::CONT,
            Self::Tstp => Signal::TSTP,
            Self::Winch => Signal::WINCH,
            Self::Rt => Signal::new(40).unwrap(),
        }
    }

    pub(super) fn of(signal: Signal) -> Self {
        let found = SIGNALS.into_iter().find(|sig| sig.real() == signal);
        found.unwrap()
    }

    /// Returns whether the signal ends a program that does not catch it (signal(7), standard signals).
    pub(super) fn kills_by_default(self) -> bool {
        matches!(
            self,
            Self::Hup | Self::Int | Self::Usr1 | Self::Term | Self::Rt
        )
    }
}

/// How a process has ended. It takes less memory than [`WaitStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    Exited(u8),
    Killed(Sig),
    /// By KILL, which cannot be blocked or caught.
    KilledHard,
}

impl End {
    pub(super) fn status(self) -> WaitStatus {
        match self {
            Self::Exited(status) => WaitStatus::Exited(status),
            Self::Killed(sig) => WaitStatus::Killed(sig.real()),
            Self::KilledHard => WaitStatus::Killed(Signal::KILL),
        }
    }

    pub(super) fn of(status: WaitStatus) -> Self {
        match status {
            WaitStatus::Exited(status) => Self::Exited(status),
            WaitStatus::Killed(Signal::KILL) => Self::KilledHard,
            WaitStatus::Killed(signal) | WaitStatus::Stopped(signal) => {
                Self::Killed(Sig::of(signal))
            }
        }
    }
}

/// Who has generated a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    /// A key of the terminal: a signal to the foreground group, from the kernel (termios(3)).
    Terminal,
    /// The terminal has hung up: a signal to the session leader alone, from the kernel.
    Hangup,
    /// The kernel tells of a child.
    Kernel,
    /// A process of another PID namespace, whose pid is 0 here (pid_namespaces(7)).
    Outside,
    /// A process that has nothing to do with phase-run, such as a shell's `kill`.
    Stranger,
    /// The process that the watcher has forked as number so and so.
    Worker(u8),
    /// The process that the first command has started.
    Daemon,
}

pub(super) const WATCHER_PID: Pid = Pid::from_raw(10);
const STRANGER_PID: i32 = 40;
pub(super) const DAEMON_PID: Pid = Pid::from_raw(30);

/// Returns the pid of a worker.
pub(super) fn worker_pid(worker: u8) -> Pid {
    Pid::from_raw(20 + i32::from(worker))
}

impl Sender {
    /// Returns what siginfo_t tells of the sender (sigaction(2)).
    pub(super) fn siginfo(self) -> (SignalCause, i32) {
        match self {
            Self::Terminal | Self::Hangup | Self::Kernel => (SignalCause::Kernel, 0),
            Self::Outside => (SignalCause::Sent, 0),
            Self::Stranger => (SignalCause::Sent, STRANGER_PID),
            Self::Worker(worker) => (SignalCause::Sent, worker_pid(worker).as_raw()),
            Self::Daemon => (SignalCause::Sent, DAEMON_PID.as_raw()),
        }
    }

    /// Returns whether the sender is the command or was started by it.
    pub(super) fn is_of_tree(self) -> bool {
        matches!(self, Self::Worker(_) | Self::Daemon)
    }
}

/// Numbers of signals that somebody has sent: a bit for each (see `World::sent`).
pub(super) type Numbers = u8;

/// A pending signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) from: Sender,
    pub(super) numbers: Numbers,
}

/// The most real-time signals that are pending at once.
const QUEUE: usize = 3;

/// The pending signals of a process (signal(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PendingSet {
    standard: [Option<Pending>; 8],
    queue: [Option<Pending>; QUEUE],
}

impl PendingSet {
    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = Pending> {
        self.standard.iter().chain(&self.queue).flatten().copied()
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.all().fold(0, |numbers, found| numbers | found.numbers)
    }

    /// Makes a signal pending. Returns the numbers of the signals that are lost by the kernel's own rules:
    ///
    /// - A standard signal that is already pending is not queued again, and what is known of its sender
    ///   stays (signal(7)).
    /// - CONT discards pending stop signals, and a stop signal discards a pending CONT (POSIX, 2.4.1), even
    ///   if they are blocked.
    pub(super) fn generate(&mut self, sig: Sig, new: Pending) -> Numbers {
        let opposite = match sig {
            Sig::Cont => Some(Sig::Tstp),
            Sig::Tstp => Some(Sig::Cont),
            _ => None,
        };
        let mut lost = opposite.map_or(0, |sig| self.discard(sig));
        if sig == Sig::Rt {
            let free = self.queue.iter_mut().find(|slot| slot.is_none());
            *free.unwrap() = Some(new);
            return lost;
        }
        match &mut self.standard[sig as usize] {
            Some(pending) if pending.from == new.from => pending.numbers |= new.numbers,
            Some(_) => lost |= new.numbers,
            slot @ None => *slot = Some(new),
        }
        lost
    }

    /// Discards a signal, and returns the numbers that are lost.
    pub(super) fn discard(&mut self, sig: Sig) -> Numbers {
        let pending = match sig {
            Sig::Rt => {
                return std::mem::take(&mut self.queue)
                    .iter()
                    .flatten()
                    .fold(0, |all, p| all | p.numbers);
            }
            _ => self.standard[sig as usize].take(),
        };
        pending.map_or(0, |pending| pending.numbers)
    }

    /// Takes the signal with the lowest number.
    pub(super) fn take_first(&mut self) -> Option<(Sig, Pending)> {
        for sig in SIGNALS.into_iter().filter(|sig| *sig != Sig::Rt) {
            if let Some(pending) = self.standard[sig as usize].take() {
                return Some((sig, pending));
            }
        }
        let first = self.queue[0].take()?;
        self.queue.rotate_left(1);
        Some((Sig::Rt, first))
    }
}
