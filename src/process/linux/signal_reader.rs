//! Signals that are read from a descriptor, with what the kernel tells about their sender, and passed on
//! as they came.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use libc::c_int;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::signal_calls::SignalSet;
use crate::process::signal::Signal;

/// A signal with what the kernel tells about its sender (sigaction(2), siginfo_t).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignalInfo {
    pub(super) signal: Signal,
    pub(super) cause: SignalCause,
    /// The sender's pid in this PID namespace, or 0 for a sender outside it.
    pub(super) sender: i32,
}

/// How a signal was generated (sigaction(2), si_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalCause {
    /// By the kernel: a terminal key, a hangup, an alarm.
    Kernel,
    /// By kill(2) or by any other call without a value.
    Sent,
    /// By sigqueue(3), with this value.
    Queued(usize),
}

/// A descriptor from which this process reads its blocked signals (signalfd(2)). No handler is
/// installed, so inherited dispositions stay as they are.
#[derive(Debug)]
pub(super) struct SignalReader(SignalFd);

impl AsFd for SignalReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl SignalReader {
    /// Opens a descriptor for every signal.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(SignalSet::all().open_descriptor()?))
    }

    /// Returns the signals that are pending, without waiting for more.
    ///
    /// # Errors
    /// Those of poll(2) and of [`Self::wait_next`].
    pub(super) fn take_pending(&self) -> io::Result<Vec<SignalInfo>> {
        let mut pending = Vec::new();
        let mut ready = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ready, PollTimeout::ZERO)? > 0 {
            pending.push(self.wait_next()?);
        }
        Ok(pending)
    }

    /// Blocks until a signal is pending, and returns it.
    ///
    /// # Errors
    /// Those of read(2) except EINTR.
    pub(super) fn wait_next(&self) -> io::Result<SignalInfo> {
        loop {
            let info = match self.0.read_signal() {
                Ok(Some(info)) => info,
                // EINTR also occurs without any handler, after a stop and a continuation (signal(7)).
                Ok(None) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let cause = match info.ssi_code {
                libc::SI_KERNEL => SignalCause::Kernel,
                libc::SI_QUEUE => SignalCause::Queued(pointer_value(info.ssi_ptr)),
                _ => SignalCause::Sent,
            };
            let signal = c_int::try_from(info.ssi_signo).ok().and_then(Signal::new);
            if let Some(signal) = signal {
                let sender = info.ssi_pid.cast_signed();
                return Ok(SignalInfo {
                    signal,
                    cause,
                    sender,
                });
            }
        }
    }
}

/// A descriptor that is readable when a child has ended. CHLD must be blocked.
#[derive(Debug)]
pub(in crate::process) struct ChildExits(SignalReader);

impl AsFd for ChildExits {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ChildExits {
    /// Opens the descriptor. It reports the children that end from now on.
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub(in crate::process) fn open() -> io::Result<Self> {
        let signals = SignalSet::of(Signal::CHLD).open_descriptor()?;
        Ok(Self(SignalReader(signals)))
    }

    /// Reads what makes the descriptor readable.
    ///
    /// # Errors
    /// Those of read(2) except EINTR.
    pub(in crate::process) fn clear(&self) -> io::Result<()> {
        self.0.wait_next().map(drop)
    }
}

/// Returns the pointer that signalfd(2) widens to 64 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it was a pointer of this machine"
)]
fn pointer_value(ssi_ptr: u64) -> usize {
    ssi_ptr as usize
}

/// Sends a signal, with its value if it has one.
///
/// Errors are ignored: the process may have changed its user (EPERM) or just ended (ESRCH), and in
/// both cases there is nothing left to do.
pub(super) fn forward(to: Pid, signal: Signal, cause: SignalCause) {
    let _ = try_forward(to, signal, cause);
}

/// Sends a signal, with its value if it has one.
///
/// # Errors
/// Those of kill(2) and sigqueue(3).
pub(super) fn try_forward(to: Pid, signal: Signal, cause: SignalCause) -> nix::Result<()> {
    let result = match cause {
        SignalCause::Queued(value) => {
            let value = libc::sigval {
                sival_ptr: std::ptr::without_provenance_mut(value),
            };
            // SAFETY: sigqueue(3) passes the pointer on as a number and never dereferences it.
            unsafe { libc::sigqueue(to.as_raw(), signal.number(), value) }
        }
        SignalCause::Kernel | SignalCause::Sent => {
            // SAFETY: kill(2) takes only numbers.
            unsafe { libc::kill(to.as_raw(), signal.number()) }
        }
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::SigmaskHow;

    use super::*;

    fn raise(signal: c_int) {
        // SAFETY: raise(3) takes a number. The calling thread blocks the signal.
        unsafe { libc::raise(signal) };
    }

    /// Sends this thread a signal as sigqueue(3) does.
    fn queue(signal: c_int) {
        // SAFETY: a siginfo_t is plain data, for which all zeros is valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        info.si_code = libc::SI_QUEUE;
        let (process, thread) = (nix::unistd::getpid(), nix::unistd::gettid());
        let (process, thread) = (process.as_raw(), thread.as_raw());
        let call = libc::SYS_rt_tgsigqueueinfo;
        // SAFETY: rt_tgsigqueueinfo(2) reads the siginfo_t, a local of the right type.
        unsafe { libc::syscall(call, process, thread, signal, &raw const info) };
    }

    /// What the model of a watch assumes. The signals go to this thread alone, which blocks them.
    #[test]
    fn pending_signals_follow_the_model() {
        for number in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGTSTP, libc::SIGCONT] {
            SignalSet::of(Signal::new(number).unwrap()).change_mask(SigmaskHow::SIG_BLOCK);
        }
        let reader = SignalReader::open().unwrap();
        let pending = || {
            let pending = reader.take_pending().unwrap().into_iter();
            let pending = pending.map(|info| (info.signal.number(), info.cause));
            pending.collect::<Vec<_>>()
        };
        let (sent, queued) = (SignalCause::Sent, SignalCause::Queued(0));
        // The lowest number comes first.
        raise(libc::SIGUSR2);
        raise(libc::SIGUSR1);
        assert_eq!(pending(), [(libc::SIGUSR1, sent), (libc::SIGUSR2, sent)]);
        // Of two, the first sender stays.
        raise(libc::SIGUSR1);
        queue(libc::SIGUSR1);
        assert_eq!(pending(), [(libc::SIGUSR1, sent)]);
        queue(libc::SIGUSR1);
        raise(libc::SIGUSR1);
        assert_eq!(pending(), [(libc::SIGUSR1, queued)]);
        // A stop and a continuation discard each other, although they are blocked.
        raise(libc::SIGTSTP);
        raise(libc::SIGCONT);
        assert_eq!(pending(), [(libc::SIGCONT, sent)]);
        raise(libc::SIGCONT);
        raise(libc::SIGTSTP);
        assert_eq!(pending(), [(libc::SIGTSTP, sent)]);
    }
}
