//! Signal numbers, dispositions, masks and pending signals, behind types that are safe to use.

use libc::c_int;
use nix::sys::signal::SigmaskHow;
use nix::unistd::Pid;

use super::platform::{self, SignalSet};

/// A signal number: 1 to 31, or 34 to 64 for real-time signals. The C library keeps 32 and 33 for
/// itself (signal(7)), so only a wait status can name them. nix's own type has no real-time signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// Returns the signal with this number, or `None` if a program cannot use it.
    pub(crate) fn new(number: c_int) -> Option<Self> {
        matches!(number, 1..=31 | 34..=64).then_some(Self(number))
    }

    /// Returns the signal that a wait status names. It may be one that a program cannot use: kill(2)
    /// sends 32 and 33 all the same.
    pub(super) fn from_wait_status(number: c_int) -> Self {
        Self(number)
    }

    /// Parses what `STOPSIGNAL` in a Dockerfile accepts: a name such as `TERM` or `SIGTERM` in
    /// upper or lower case, `RTMIN+3`, `RTMAX-1`, or a number (signal(7)).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        if let Ok(number) = name.parse() {
            // A number takes no prefix: `SIG15` is an error.
            return Self::new(number).filter(|_| name == text);
        }
        // `RTMIN` and `RTMAX` may stand without an offset.
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

    /// Returns whether managers and terminals send this signal to end a program.
    pub(super) fn is_termination(self) -> bool {
        TERMINATION_SIGNALS.contains(&self)
    }

    /// Returns the number.
    pub(super) fn number(self) -> c_int {
        self.0
    }

    /// Returns the name for messages: `TERM`, or the number of a signal without a name.
    pub(crate) fn name(self) -> String {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(known) => known.as_str().trim_start_matches("SIG").to_owned(),
            Err(_) => self.0.to_string(),
        }
    }

    /// Returns 128+N, the exit status by which shells report a death by this signal.
    #[expect(clippy::expect_used, reason = "the constructors bound the number")]
    pub(crate) fn exit_status(self) -> u8 {
        let status = u8::try_from(128 + self.0).ok();
        status.expect("a wait status has seven bits for the signal")
    }
}

/// What a signal does to this process (sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    Default,
    Ignored,
    Caught,
}

impl Disposition {
    /// Reads the current disposition. It makes a plain libc call, which is safe before Rust's
    /// runtime has started.
    pub(super) fn current(signal: Signal) -> Self {
        match platform::handler(signal) {
            libc::SIG_DFL => Self::Default,
            libc::SIG_IGN => Self::Ignored,
            _ => Self::Caught,
        }
    }
}

/// Resets a signal to its default disposition, or ignores it. `Caught` changes nothing, because it
/// names no handler; KILL and STOP cannot be changed.
pub(super) fn set_disposition(signal: Signal, disposition: Disposition) {
    match disposition {
        Disposition::Default => platform::set_ignored(signal, false),
        Disposition::Ignored => platform::set_ignored(signal, true),
        Disposition::Caught => {}
    }
}

/// The signals that Rust's runtime catches to report a stack overflow.
const RUNTIME_SIGNALS: [Signal; 2] = [Signal(libc::SIGSEGV), Signal(libc::SIGBUS)];

/// Resets the runtime's handlers for SEGV and BUS, which would ignore such a signal from another
/// process.
pub(crate) fn remove_runtime_handlers() {
    reset_handlers(&RUNTIME_SIGNALS);
}

fn reset_handlers(signals: &[Signal]) {
    for signal in signals {
        if Disposition::current(*signal) == Disposition::Caught {
            set_disposition(*signal, Disposition::Default);
        }
    }
}

/// The signals that stop a container. QUIT is the stop signal of several images.
const TERMINATION_SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// Installs handlers that end PID 1 with status 128+N.
///
/// The kernel drops a signal to PID 1 that has no handler (pid_namespaces(7)), so a stop during the
/// start or the fetch would be lost. Ignored signals stay ignored, and execve(2) resets the handlers.
/// In any other process this does nothing. It makes plain libc calls, which are safe before Rust's
/// runtime has started.
pub(super) fn install_pid1_handlers() {
    if std::process::id() != 1 {
        return;
    }
    for signal in TERMINATION_SIGNALS {
        if Disposition::current(signal) == Disposition::Default {
            install_exit_handler(signal);
        }
    }
}

/// Installs the handler of PID 1 for a signal.
fn install_exit_handler(signal: Signal) {
    // SAFETY: a sigaction consists of numbers and an optional pointer, so all zeros is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = exit_on_signal as *const () as libc::sighandler_t;
    // SAFETY: `action` is a local of the right type. Its handler takes the signal number and is
    // async-signal-safe (signal-safety(7)).
    let _ = unsafe { libc::sigaction(signal.0, &raw const action, std::ptr::null_mut()) };
}

/// Undoes [`install_pid1_handlers`] after a fork: the child is not PID 1, and the supervisor reads
/// its signals from a descriptor.
pub(super) fn reset_pid1_handlers() {
    reset_handlers(&TERMINATION_SIGNALS);
}

extern "C" fn exit_on_signal(signal: c_int) {
    // SAFETY: _exit(2) takes any status, is async-signal-safe, and does not return.
    unsafe { libc::_exit(128 + signal) }
}

/// The set of signals that a thread blocks (sigprocmask(2)).
#[derive(Debug)]
pub(super) struct SignalMask(SignalSet);

impl SignalMask {
    /// Blocks every signal that can be blocked, and returns the mask from before.
    pub(super) fn block_all() -> Self {
        Self(SignalSet::all().change_mask(SigmaskHow::SIG_SETMASK))
    }

    /// Also blocks CHLD, and returns the mask from before.
    pub(super) fn block_child_signal() -> Self {
        Self(SignalSet::of(Signal::CHLD).change_mask(SigmaskHow::SIG_BLOCK))
    }

    /// Returns the mask of the calling thread. It makes a plain libc call, which is safe before Rust's
    /// runtime has started.
    pub(super) fn current() -> Self {
        Self(SignalSet::empty().change_mask(SigmaskHow::SIG_BLOCK))
    }

    /// Makes this the mask of the calling thread.
    pub(super) fn restore(&self) {
        self.0.change_mask(SigmaskHow::SIG_SETMASK);
    }
}

/// Sends a signal, as kill(2) does.
///
/// Errors are ignored: the process may have changed its user (EPERM) or just ended (ESRCH), and in
/// both cases there is nothing left to do.
pub(super) fn send(to: Pid, signal: Signal) {
    // SAFETY: kill(2) takes only numbers.
    unsafe { libc::kill(to.as_raw(), signal.number()) };
}

/// Discards all pending signals.
pub(super) fn discard_all_pending() {
    (1..=64).filter_map(Signal::new).for_each(discard_pending);
}

/// Discards a pending signal by ignoring it for a moment (sigaction(2)).
pub(super) fn discard_pending(signal: Signal) {
    let previous = Disposition::current(signal);
    set_disposition(signal, Disposition::Ignored);
    set_disposition(signal, previous);
}

/// Sends a signal to this process with its default disposition. This requires that all signals are
/// blocked, except for 32 and 33, which never are.
///
/// It returns if the default is to do nothing, and after a stop when the process is continued.
pub(crate) fn raise_default(signal: Signal) {
    let previous = Disposition::current(signal);
    set_disposition(signal, Disposition::Default);
    send(Pid::this(), signal);
    for how in [SigmaskHow::SIG_UNBLOCK, SigmaskHow::SIG_BLOCK] {
        SignalSet::of(signal).change_mask(how);
    }
    set_disposition(signal, previous);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_parse_accepts_dockerfile_stopsignal() {
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
