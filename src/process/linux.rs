//! What differs on Linux from macOS, and everything that only Linux can do.

mod close_range;
mod code_pages;
mod descendants;
pub(super) mod memfd;
mod process_state;
mod signal_calls;
mod signal_reader;
mod supervise;
pub(super) mod watch;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit};
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, getppid, sysconf};

use super::env_block::ExecLimits;
use super::signal::{self, Signal};
use super::{CommandFork, SingleThreaded, startup, supervise_error};
use crate::error::Error;
pub(super) use descendants::with_descendants;
use process_state::{Fork, ProcessState};
pub(super) use signal_calls::{SignalSet, handler, set_ignored};
pub(super) use signal_reader::ChildExits;
pub(crate) use supervise::Supervisor;

/// Whether `--supervise`, `--watch` and `--file` work.
pub(crate) const HAS_LINUX_FEATURES: bool = true;

/// The clock that starts at the boot and also runs while the machine sleeps (clock_gettime(2)). Linux has
/// it since 2.6.39.
pub(super) const BOOT_CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;

/// The errors of execve(2) for a file that is no program of this machine.
pub(super) const EXEC_FORMAT_ERRORS: [Errno; 1] = [Errno::ENOEXEC];

#[used]
#[unsafe(link_section = ".init_array")]
static RUN_BEFORE_MAIN: extern "C" fn() = startup::record_initial_state;

/// Clears the dumpable flag (PR_SET_DUMPABLE(2const)). Without it, other processes of the user cannot
/// trace this one or read its files in /proc. A sandbox may refuse the call.
pub(super) fn forbid_tracing() {
    let _ = prctl::set_dumpable(false);
}

/// Returns the kernel's limits on arguments and environment (execve(2)): one string has at most 32
/// pages, and all together have at most a quarter of the soft limit on the stack, but at least
/// 128 KiB and at most 6 MiB.
#[expect(clippy::expect_used, reason = "every system has a page size")]
pub(crate) fn exec_limits() -> ExecLimits {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let page = page
        .and_then(|size| usize::try_from(size).ok())
        .expect("POSIX requires sysconf(_SC_PAGESIZE)");
    // 8 MiB is the kernel's own default.
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(8 << 20, |(soft, _)| soft);
    let max_total = usize::try_from(stack / 4)
        .unwrap_or(usize::MAX)
        .clamp(128 << 10, 6 << 20);
    ExecLimits {
        max_string: 32 * page,
        max_total,
    }
}

/// Asks the kernel to kill this child when its parent dies (PR_SET_PDEATHSIG(2const)): whatever kills
/// the supervisor should also end the command, as in exec mode. Where a sandbox refuses the call, the
/// child outlives a supervisor that is killed.
pub(super) fn die_with_parent(parent: Pid) {
    let _ = prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    // The parent may have died before the call.
    if getppid() != parent {
        signal::raise_default(Signal::KILL);
    }
}

/// Returns the roots of a keychain, which Linux does not have.
pub(crate) fn keychain_roots() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Keeps a static glibc from loading the name service modules of the machine (nsswitch.conf(5)),
/// which belong to another glibc and could crash this process. Host names are then looked up in
/// /etc/hosts and DNS only.
pub(crate) fn disable_nss_modules() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        unsafe extern "C" {
            fn __nss_configure_lookup(
                database: *const libc::c_char,
                line: *const libc::c_char,
            ) -> libc::c_int;
        }
        // SAFETY: both arguments are C strings, which glibc copies, and no look-up has started yet.
        unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}

/// Forks the process that becomes the command, before a stored token or an identity is used.
///
/// # Errors
/// `exec` if fork(2) or signalfd(2) fails.
pub(crate) fn fork_command(single_threaded: &SingleThreaded) -> Result<CommandFork, Error> {
    let fork = || {
        let (process_state, signals) = ProcessState::save_and_block()?;
        Ok(match process_state.fork(single_threaded)? {
            Fork::Parent { child } => {
                let early_signals = signals.take_pending()?;
                CommandFork::Supervisor(Supervisor::new(child, signals, early_signals))
            }
            Fork::Child(single_threaded) => CommandFork::Command {
                single_threaded,
                supervisor_pid: process_state.pid(),
            },
        })
    };
    fork().map_err(|error| supervise_error(&error))
}
