//! Starts a process with exactly the state that a test asks for. What std's `Command` cannot do is done
//! between fork and exec. execve(2) gets argv and environ as they are, with repeated names and entries
//! without `=`.

#![expect(
    unsafe_code,
    reason = "std offers nothing between fork and exec that is safe"
)]

use std::ffi::{CString, c_char, c_int};
use std::io::Result;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setuid};

use super::terminal;

/// The state that the new process starts with. By default every signal has its default disposition, none is
/// blocked, and no descriptor above 2 is open, however the test program itself was started.
#[derive(Default)]
pub(crate) struct SpawnOptions {
    pub(crate) program: CString,
    pub(crate) argv: Vec<CString>,
    pub(crate) environ: Vec<CString>,
    pub(crate) closed: Vec<c_int>,
    /// Descriptors to pass on, which went through `duplicate_high`, and the numbers they get.
    pub(crate) passed: Vec<(OwnedFd, c_int)>,
    pub(crate) ignored: Vec<c_int>,
    pub(crate) blocked: Vec<c_int>,
    pub(crate) limits: Vec<(Resource, u64)>,
    pub(crate) user: Option<u32>,
    /// Whether it leads a process group of its own.
    pub(crate) own_group: bool,
    /// The terminal that is descriptors 0–2, instead of pipes.
    pub(crate) terminal: Option<OwnedFd>,
    /// Whether it leads the session of the terminal.
    pub(crate) leads_session: bool,
}

impl SpawnOptions {
    pub(crate) fn spawn(mut self, cwd: &Path, stdout: Stdio) -> Result<Child> {
        let terminal = self.terminal.take();
        let group = self.own_group;
        // Made before the fork: afterwards nothing may allocate.
        let (argv, environ) = (pointers(&self.argv), pointers(&self.environ));
        let closure = move || {
            self.prepare()?;
            Err(execve(&self.program, &argv, &environ))
        };
        // Never executed itself: the closure becomes the program.
        let mut command = Command::new("/");
        command.current_dir(cwd);
        if group {
            command.process_group(0);
        }
        match terminal {
            None => command
                .stdin(Stdio::piped())
                .stdout(stdout)
                .stderr(Stdio::piped()),
            Some(terminal) => command
                .stdin(terminal.try_clone()?)
                .stdout(terminal.try_clone()?)
                .stderr(terminal),
        };
        // SAFETY: fork(2): the child of a process with threads may only make async-signal-safe
        // calls, signal-safety(7). The closure makes system calls and reads memory that was filled
        // before the fork; its errors are numbers. An allocation in it would break this.
        unsafe { command.pre_exec(closure) };
        command.spawn()
    }

    fn prepare(&self) -> Result<()> {
        if self.leads_session {
            terminal::lead_new_session()?;
        }
        mark_close_on_exec()?;
        for (fd, number) in &self.passed {
            // SAFETY: dup2(2): takes numbers only; what is replaced is one of std's, to be closed
            // at the exec anyway.
            Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), *number) })?;
        }
        for number in &self.closed {
            // SAFETY: close(2): takes a number only, and nothing here uses it any more.
            Errno::result(unsafe { libc::close(*number) })?;
        }
        for signal in 1..=64 {
            set_disposition(signal, libc::SIG_DFL);
        }
        for signal in &self.ignored {
            set_disposition(*signal, libc::SIG_IGN);
        }
        block(&self.blocked)?;
        for (resource, soft) in &self.limits {
            let (_, hard) = getrlimit(*resource)?;
            setrlimit(*resource, *soft, hard)?;
        }
        if let Some(user) = self.user {
            // SAFETY: setgroups(2): reads an array of no elements.
            Errno::result(unsafe { libc::setgroups(0, null()) })?;
            setgid(Gid::from_raw(user))?;
            setuid(Uid::from_raw(user))?;
        }
        Ok(())
    }
}

/// Makes every descriptor above 2 close-on-exec.
#[cfg(target_os = "linux")]
fn mark_close_on_exec() -> Result<()> {
    // CLOSE_RANGE_CLOEXEC as the type that the call takes.
    const CLOSE_ON_EXEC: c_int = 4;
    // SAFETY: close_range(2): takes numbers only, and closes nothing before the exec. musl has no
    // function for it.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, CLOSE_ON_EXEC) };
    Errno::result(marked).map(drop).map_err(Into::into)
}

/// Makes every descriptor above 2 close-on-exec.
#[cfg(not(target_os = "linux"))]
fn mark_close_on_exec() -> Result<()> {
    // SAFETY: getdtablesize(2): takes nothing.
    let end = unsafe { libc::getdtablesize() };
    for number in 3..end {
        // SAFETY: fcntl(2): takes numbers only; it fails for a number that is not open.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Duplicates a descriptor to a number of 200 or more, so that it cannot clash with one that a test asks for.
pub(crate) fn duplicate_high(file: impl AsFd) -> OwnedFd {
    let number = fcntl(file, FcntlArg::F_DUPFD_CLOEXEC(200)).unwrap();
    // SAFETY: the number is new, so nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Returns a user ID that no process has, because RLIMIT_NPROC counts per user.
pub(crate) fn unused_uid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Different from those of other test programs that run at the same time.
    1_000_000_000 + std::process::id() * 64 + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sends any signal, also a real-time one, which nix does not know.
pub(crate) fn kill(pid: i32, signal: c_int) {
    // SAFETY: kill(2): takes numbers only.
    Errno::result(unsafe { libc::kill(pid, signal) }).unwrap();
}

/// Waits until a child has ended, and leaves it to be reaped. nix's function is not on macOS, and returns EINVAL
/// for a death by a real-time signal.
pub(super) fn wait_without_reaping(pid: u32) {
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    let ended = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: waitid(2): writes to a local of the right type.
    while unsafe { libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), ended) } == -1
        && Errno::last() == Errno::EINTR
    {}
}

/// Sends a signal with a value (sigqueue(3)).
#[cfg(target_os = "linux")]
pub(crate) fn queue(pid: i32, signal: c_int, value: i32) {
    let number = usize::try_from(value.cast_unsigned()).unwrap();
    let sival_ptr = std::ptr::without_provenance_mut(number);
    // SAFETY: sigqueue(3): hands the pointer on as a number and never follows it.
    let queued = unsafe { libc::sigqueue(pid, signal, libc::sigval { sival_ptr }) };
    Errno::result(queued).unwrap();
}

/// Returns the array that execve(2) takes, which ends with null. `strings` must outlive it.
fn pointers(strings: &[CString]) -> Vec<AtomicPtr<c_char>> {
    let strings = strings.iter().map(|string| string.as_ptr().cast_mut());
    strings.chain([null_mut()]).map(AtomicPtr::new).collect()
}

fn execve(
    program: &CString,
    argv: &[AtomicPtr<c_char>],
    environ: &[AtomicPtr<c_char>],
) -> std::io::Error {
    // SAFETY: execve(2): a terminated path and two arrays of terminated strings that end with null.
    // An AtomicPtr is a pointer in memory; the strings are in `SpawnOptions`, which the closure owns.
    unsafe {
        libc::execve(
            program.as_ptr(),
            argv.as_ptr().cast(),
            environ.as_ptr().cast(),
        )
    };
    std::io::Error::last_os_error()
}

/// Sets the disposition of a signal.
#[cfg(not(target_os = "linux"))]
fn set_disposition(signal: c_int, disposition: libc::sighandler_t) {
    // SAFETY: signal(3): SIG_DFL and SIG_IGN run no code.
    unsafe { libc::signal(signal, disposition) };
}

/// Sets the disposition of a signal by the system call itself, because glibc refuses signals 32 and 33.
/// It ignores errors: only KILL and STOP fail, and they cannot be changed.
#[cfg(target_os = "linux")]
fn set_disposition(signal: c_int, disposition: libc::sighandler_t) {
    // The kernel's struct sigaction is at most four words, of which the disposition is the first.
    let action = [disposition, 0, 0, 0];
    let before = null_mut::<usize>();
    // SAFETY: rt_sigaction(2): reads one struct, writes none, and the set's size is 8. SIG_DFL and
    // SIG_IGN run no code.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            action.as_ptr(),
            before,
            8usize,
        )
    };
}

fn block(signals: &[c_int]) -> Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3): initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: sigaddset(3): the set was initialised above.
        Errno::result(unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) })?;
    }
    // SAFETY: sigprocmask(2): reads the set that was initialised above; the child has one thread.
    Errno::result(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), null_mut()) })?;
    Ok(())
}

/// Fills a pipe, so that the next write to it blocks.
pub(crate) fn fill_pipe(mut pipe: &std::io::PipeWriter) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::io::Write;
    let flags = OFlag::from_bits_truncate(fcntl(pipe, FcntlArg::F_GETFL).unwrap());
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    fcntl(pipe, FcntlArg::F_SETFL(flags)).unwrap();
}
