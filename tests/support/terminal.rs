//! A terminal: a pty whose keys the test presses and whose screen it reads.

#![expect(unsafe_code, reason = "poll(2) and ioctl(2) on the terminal")]

use std::fs::{File, OpenOptions, read_dir, read_to_string};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, unlockpt};
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};

use super::launch_modes::{BARRIER, ReceivedSignal};
use super::output::Status;
use super::proc;
use super::proc::{DEADLINE, eventually};
use super::running::{ChildIs, Received};
use super::spawn::kill;

/// The master side of a pty and the process that leads the session on the other side. When it is dropped,
/// every process of that session is killed.
pub(crate) struct Terminal {
    /// None once the terminal has gone away.
    master: Option<File>,
    child: Child,
    child_is: ChildIs,
    case: String,
    screen: Received,
}

/// Opens a pty and returns both sides. They are close-on-exec, so that a process of another test cannot
/// keep the terminal alive. It does not echo keys or change line ends: the screen shows what programs wrote.
pub(super) fn open() -> (File, OwnedFd) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = slave_name(&master);
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(name)
        .unwrap();
    let mut settings = tcgetattr(&slave).unwrap();
    settings.local_flags.remove(LocalFlags::ECHO);
    settings.output_flags.remove(OutputFlags::OPOST);
    tcsetattr(&slave, SetArg::TCSANOW, &settings).unwrap();
    // SAFETY: the master was opened above, and gives its descriptor away.
    let master = unsafe { File::from_raw_fd(master.into_raw_fd()) };
    (master, slave.into())
}

#[cfg(target_os = "linux")]
fn slave_name(master: &PtyMaster) -> String {
    nix::pty::ptsname_r(master).unwrap()
}

#[cfg(not(target_os = "linux"))]
fn slave_name(master: &PtyMaster) -> String {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    // SAFETY: ptsname(3) has one buffer for all threads, which the mutex guards.
    unsafe { nix::pty::ptsname(master) }.unwrap()
}

/// Starts a new session with standard input as its terminal (setsid(2)). Only makes system calls, because it
/// runs between fork and exec.
pub(super) fn lead_new_session() -> Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: TIOCSCTTY takes a number, not a pointer (ioctl_tty(2)).
    Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) })?;
    Ok(())
}

impl Terminal {
    pub(super) fn new(master: File, child: Child, child_is: ChildIs, case: String) -> Self {
        Terminal {
            master: Some(master),
            child,
            child_is,
            case,
            screen: Received::default(),
        }
    }

    /// Returns the pid of the process that was started on it.
    pub(crate) fn pid(&self) -> i32 {
        self.child_is.process(self.child.id().cast_signed())
    }

    /// Presses keys: a line ends with `\n`, Ctrl-C is `\x03`, Ctrl-Z `\x1a`, Ctrl-\ `\x1c`.
    pub(crate) fn press(&mut self, keys: &str) {
        let master = self.master.as_mut().unwrap();
        master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for `text` and returns what the screen shows up to its end.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(shown) = self.screen.take_until(text) {
                return shown;
            }
            if let Err(why) = self.read_before(deadline) {
                panic!(
                    "expected {text:?} on the terminal: {why}\n{}",
                    self.describe()
                );
            }
        }
    }

    /// Waits for the next line and returns it without its end.
    pub(crate) fn line(&mut self) -> String {
        self.until("\n").trim_end().to_owned()
    }

    /// Waits for the inspector's `ready`, and returns its own view of its pid.
    pub(crate) fn wait_until_ready(&mut self) -> i32 {
        let _ = self.until("ready ");
        self.line().parse().unwrap()
    }

    /// Waits for the next signal that the inspector reports and returns it with its `si_code`.
    pub(crate) fn next_signal(&mut self) -> (i32, i32) {
        let _ = self.until("signal ");
        signal_and_code(&self.line())
    }

    /// Sends the barrier to `pid` and returns the signals that the inspector reports before it.
    pub(crate) fn signals_until_barrier(&mut self, pid: i32) -> Vec<(i32, i32)> {
        kill(pid, BARRIER);
        std::iter::from_fn(|| Some(self.next_signal()).filter(|(signal, _)| *signal != BARRIER))
            .collect()
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let master = self.master.as_ref().unwrap().as_raw_fd();
        // SAFETY: TIOCSWINSZ reads one struct winsize (ioctl_tty(2)).
        Errno::result(unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &raw const size) }).unwrap();
    }

    /// Closes the pty, as closing a terminal window does.
    pub(crate) fn hang_up(&mut self) {
        self.master = None;
    }

    /// Waits for the end of the process that was started on it.
    pub(crate) fn wait(&mut self) -> Status {
        let child = &mut self.child;
        Status::from(eventually("the process ends", || {
            child.try_wait().unwrap().ok_or("it still runs")
        }))
    }

    /// Returns the command line and the whole screen, for a failed assertion.
    pub(crate) fn describe(&self) -> String {
        let screen = String::from_utf8_lossy(&self.screen.bytes);
        format!("{}\nscreen:\n{screen}", self.case)
    }

    fn read_before(&mut self, deadline: Instant) -> std::result::Result<(), String> {
        let Some(master) = &mut self.master else {
            return Err("it has been hung up".into());
        };
        let mut wait = libc::pollfd {
            fd: master.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let left = i32::try_from(left.as_millis()).unwrap();
        // SAFETY: poll(2): one struct, which outlives the call.
        if unsafe { libc::poll(&raw mut wait, 1, left) } == 0 {
            return Err(format!("not within {DEADLINE:?}"));
        }
        let mut buffer = [0; 4096];
        match master.read(&mut buffer) {
            Ok(count) => self.screen.bytes.extend(&buffer[..count]),
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            // EIO: nobody has the other side open any more.
            Err(why) => return Err(why.to_string()),
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let session = self.child.id().cast_signed();
        for entry in read_dir("/proc").unwrap().flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && proc::session(pid) == Some(session)
            {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::SIGKILL,
                );
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that the inspector writes to the file `log`, for tests in which the terminal goes away.
pub(crate) struct InspectorLog(PathBuf);

impl InspectorLog {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        InspectorLog(directory.join("log"))
    }

    fn lines(&self) -> Vec<String> {
        let text = read_to_string(&self.0).unwrap_or_default();
        let lines = text.split_inclusive('\n');
        lines
            .filter_map(|line| Some(line.strip_suffix('\n')?.to_owned()))
            .collect()
    }

    /// Like [`Terminal::wait_until_ready`].
    pub(crate) fn wait_until_ready(&self) -> i32 {
        eventually("the inspector is ready", || {
            let lines = self.lines();
            let ready = lines.iter().find_map(|line| line.strip_prefix("ready "));
            ready.map(|pid| pid.parse().unwrap()).ok_or(lines)
        })
    }

    /// Like [`Terminal::signals_until_barrier`], but sends the barrier once `count` signals are reported.
    pub(crate) fn signals_until_barrier(&self, pid: i32, count: usize) -> Vec<(i32, i32)> {
        let reported = || -> Vec<(i32, i32)> {
            let lines = self.lines();
            let signals = lines.iter().filter_map(|line| line.strip_prefix("signal "));
            signals.map(signal_and_code).collect()
        };
        eventually("signals are reported", || {
            Some(reported())
                .filter(|all| all.len() >= count)
                .ok_or_else(reported)
        });
        kill(pid, BARRIER);
        let mut all = eventually("the barrier is reported", || {
            let all = reported();
            let has_barrier = all.iter().any(|(signal, _)| *signal == BARRIER);
            if has_barrier { Ok(all) } else { Err(all) }
        });
        all.retain(|(signal, _)| *signal != BARRIER);
        all
    }
}

/// Returns the signal and its `si_code` from what follows `signal ` in a line of the inspector.
fn signal_and_code(line: &str) -> (i32, i32) {
    let received = ReceivedSignal::parse(&format!("signal {line}"));
    (received.signal, received.code)
}
