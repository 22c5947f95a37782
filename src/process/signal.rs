//! Signals as numbers, masks, dispositions and a stream; safe types only.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use libc::c_int;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// A signal's number, 1–31 or 34–64: the C library keeps 32 and 33 for itself, and nix knows none
/// from 32 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(c_int);

impl Signal {
    pub(crate) const HUP: Self = Self(libc::SIGHUP);
    pub(crate) const INT: Self = Self(libc::SIGINT);
    pub(crate) const QUIT: Self = Self(libc::SIGQUIT);
    pub(crate) const TERM: Self = Self(libc::SIGTERM);
    pub(crate) const CHLD: Self = Self(libc::SIGCHLD);
    pub(crate) const CONT: Self = Self(libc::SIGCONT);
    pub(crate) const KILL: Self = Self(libc::SIGKILL);
    pub(crate) const TSTP: Self = Self(libc::SIGTSTP);
    pub(crate) const TTIN: Self = Self(libc::SIGTTIN);
    pub(crate) const TTOU: Self = Self(libc::SIGTTOU);
    pub(crate) const WINCH: Self = Self(libc::SIGWINCH);
    pub(crate) const PIPE: Self = Self(libc::SIGPIPE);

    pub(crate) fn new(number: c_int) -> Option<Self> {
        matches!(number, 1..=31 | 34..=64).then_some(Self(number))
    }

    /// By its name, `TERM` or `SIGTERM` in any case, `RTMIN+3`, `RTMAX-1`, or by its number: what
    /// `STOPSIGNAL` of a Dockerfile takes (signal(7)).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        if let Ok(number) = name.parse() {
            return Self::new(number).filter(|_| name == text);
        }
        // An empty rest is the bound itself.
        let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
            Some(digits) => digits.parse().ok().filter(|n| (0..=30).contains(n)),
            None => rest.is_empty().then_some(0),
        };
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return Self::new(34 + offset(rest, '+')?);
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            return Self::new(64 - offset(rest, '-')?);
        }
        let known: nix::sys::signal::Signal = format!("SIG{name}").parse().ok()?;
        Self::new(known as c_int)
    }

    /// Whether it ends a program that does not catch it, as managers and terminals mean it.
    pub(super) fn is_termination(self) -> bool {
        ENDING.contains(&self)
    }

    /// Whether it stops or continues what does not catch it.
    pub(super) fn is_job_control(self) -> bool {
        [Self::TSTP, Self::TTIN, Self::TTOU, Self::CONT].contains(&self)
    }

    /// As messages name it: `TERM`, or its number where it has no name.
    pub(crate) fn name(self) -> String {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(known) => known.as_str().trim_start_matches("SIG").to_owned(),
            Err(_) => self.0.to_string(),
        }
    }

    /// 128+N: how a shell tells a death by it, and what PID 1 ends with.
    pub(crate) fn exit_status(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

/// What a signal does (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    Default,
    Ignored,
    Caught,
}

impl Disposition {
    /// A plain libc call, so that it can be asked before Rust's runtime starts.
    pub(super) fn of(signal: Signal) -> Self {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with a null second argument sigaction only writes the action to the third, which
        // is valid for that.
        let asked = unsafe { libc::sigaction(signal.0, std::ptr::null(), action.as_mut_ptr()) };
        // SAFETY: all zeros is a value of the type, and the kernel wrote it where it answered 0.
        let action = unsafe { action.assume_init() };
        match action.sa_sigaction {
            _ if asked != 0 => Self::Caught,
            libc::SIG_DFL => Self::Default,
            libc::SIG_IGN => Self::Ignored,
            _ => Self::Caught,
        }
    }
}

/// Gives a signal the default disposition, or has it ignored. KILL and STOP have no other than the
/// default, and refuse.
pub(super) fn set(signal: Signal, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignored => libc::SIG_IGN,
        Disposition::Caught => return,
    };
    install(signal, handler);
}

fn install(signal: Signal, handler: libc::sighandler_t) {
    // SAFETY: a sigaction is plain numbers and an optional pointer, for which zeros are values.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the action is a local of the right type; its handler is the default, ignoring, or
    // `end_by`, which takes the signal's number and only does what signal-safety(7) allows.
    let _ = unsafe { libc::sigaction(signal.0, &raw const action, std::ptr::null_mut()) };
}

/// Rust's runtime catches these to tell of a stack overflow; one that is sent would be swallowed.
const OF_THE_RUNTIME: [Signal; 2] = [Signal(libc::SIGSEGV), Signal(libc::SIGBUS)];

/// Gives back to signals what they do to any program.
pub(crate) fn remove_runtime_handlers() {
    drop_handlers(&OF_THE_RUNTIME);
}

fn drop_handlers(signals: &[Signal]) {
    for signal in signals {
        if Disposition::of(*signal) == Disposition::Caught {
            set(*signal, Disposition::Default);
        }
    }
}

/// What ends a container; several images have QUIT as their stop signal.
const ENDING: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// The kernel lets PID 1 ignore what it has no handler for (pid_namespaces(7)): a stop during the
/// fetch would be lost. Here it ends the program at once, by status 128+N. What is ignored stays
/// ignored, and execve(2) makes the handled ones default again.
pub(crate) fn install_pid1_handlers() {
    if std::process::id() != 1 {
        return;
    }
    for ending in ENDING {
        if Disposition::of(ending) == Disposition::Default {
            install(ending, end_by as *const () as libc::sighandler_t);
        }
    }
}

/// Undoes [`install_pid1_handlers`], for a child that is not PID 1 or a supervisor that reads its signals.
pub(super) fn reset_pid1_handlers() {
    drop_handlers(&ENDING);
}

extern "C" fn end_by(signal: c_int) {
    // SAFETY: _exit(2) takes any status and does not return.
    unsafe { libc::_exit(128 + signal) }
}

/// The signals that a thread holds back (sigprocmask(2)).
#[derive(Debug)]
pub(super) struct Mask(SigSet);

impl Mask {
    /// Holds back all that can be held back; returns what was held back before.
    ///
    /// # Errors
    /// None that a correct call can have.
    pub(super) fn block_all() -> io::Result<Self> {
        Ok(Self(
            SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?,
        ))
    }

    /// Makes it the thread's mask.
    pub(super) fn restore(&self) {
        let _ = self.0.thread_set_mask();
    }
}

/// A signal with all that the kernel tells of its sender (sigaction(2), siginfo_t).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignalInfo {
    pub(super) signal: Signal,
    pub(super) cause: Cause,
    /// In this PID namespace; 0 for a sender outside it.
    pub(super) sender: i32,
}

/// Who made a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The kernel itself: a terminal's key, a hangup, an alarm.
    Kernel,
    /// kill(2), or anything else without a value.
    Sent,
    /// sigqueue(3), with its value.
    Queued(usize),
}

/// All signals of this process, read instead of handled: no disposition is touched (signalfd(2)).
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Signals {
    /// # Errors
    /// Those of signalfd(2).
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(SignalFd::with_flags(
            &SigSet::all(),
            SfdFlags::SFD_CLOEXEC,
        )?))
    }

    /// Waits for the next one.
    ///
    /// # Errors
    /// Those of read(2), but for interruptions.
    pub(super) fn next(&self) -> io::Result<SignalInfo> {
        loop {
            let info = match self.0.read_signal() {
                Ok(Some(info)) => info,
                // After a stop and a continuation, without any handler (signal(7)).
                Ok(None) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let cause = match info.ssi_code {
                libc::SI_KERNEL => Cause::Kernel,
                libc::SI_QUEUE => Cause::Queued(usize::try_from(info.ssi_ptr).unwrap_or_default()),
                _ => Cause::Sent,
            };
            let number = c_int::try_from(info.ssi_signo).unwrap_or_default();
            if let Some(signal) = Signal::new(number) {
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

/// Sends a signal, with the value that it came with. A command that changed its user, or that has
/// just ended, is no error.
pub(super) fn send(to: Pid, signal: Signal, cause: Cause) {
    match cause {
        Cause::Queued(value) => {
            let value = libc::sigval {
                sival_ptr: std::ptr::without_provenance_mut(value),
            };
            // SAFETY: sigqueue(3) hands the pointer on as a number and never follows it.
            let _ = unsafe { libc::sigqueue(to.as_raw(), signal.0, value) };
        }
        Cause::Kernel | Cause::Sent => {
            // SAFETY: kill(2) takes numbers alone.
            let _ = unsafe { libc::kill(to.as_raw(), signal.0) };
        }
    }
}

/// Throws away all that is pending.
pub(super) fn discard_all() {
    (1..=64).filter_map(Signal::new).for_each(discard);
}

/// Throws away what is pending of a signal: ignoring it does that (sigaction(2)).
pub(super) fn discard(signal: Signal) {
    let before = Disposition::of(signal);
    set(signal, Disposition::Ignored);
    set(signal, before);
}

/// Lets a signal do to this process what it does by default; returns if that was nothing, or when
/// the process goes on after a stop. Meant for a process that blocks everything.
pub(crate) fn raise_default(signal: Signal) {
    let before = Disposition::of(signal);
    set(signal, Disposition::Default);
    send(Pid::this(), signal, Cause::Sent);
    let mut single_threaded = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is a local of the right type.
    unsafe { libc::sigemptyset(single_threaded.as_mut_ptr()) };
    // SAFETY: as above, and the number is that of a signal.
    unsafe { libc::sigaddset(single_threaded.as_mut_ptr(), signal.0) };
    for how in [libc::SIG_UNBLOCK, libc::SIG_BLOCK] {
        // SAFETY: the set was made by sigemptyset; the third argument may be null.
        unsafe { libc::pthread_sigmask(how, single_threaded.as_ptr(), std::ptr::null_mut()) };
    }
    set(signal, before);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_named_as_a_dockerfile_names_it() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigquit", 3),
            ("15", 15),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("WINCH", 28),
        ] {
            assert_eq!(Signal::parse(text), Signal::new(number), "{text}");
            assert!(Signal::parse(text).is_some());
        }
        for text in [
            "",
            "NOPE",
            "SIG",
            "0",
            "32",
            "33",
            "65",
            "-15",
            "SIG15",
            "RTMIN-1",
            "RTMIN+31",
            "RTMAX+1",
            "RTMIN3",
            "SIGSIGTERM",
            " TERM",
        ] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
        assert_eq!(Signal::TERM.name(), "TERM");
        assert_eq!(Signal(40).name(), "40");
    }
}
