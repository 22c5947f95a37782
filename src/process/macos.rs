//! What differs on macOS from Linux, and stubs for what macOS cannot do.

pub(super) mod memfd;
mod signal_calls;
pub(super) mod watch;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

use core_foundation::array::CFArray;
use core_foundation::base::TCFType;
use libc::c_int;
use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, sysconf};
use security_framework::certificate::SecCertificate;
use security_framework::trust_settings::{Domain, TrustSettings, TrustSettingsForCertificate};
use security_framework_sys::trust_settings::SecTrustSettingsCopyTrustSettings;

use super::env_block::ExecLimits;
use super::wait::WaitStatus;
use super::{CommandFork, SingleThreaded, startup};
use crate::error::Error;
pub(super) use signal_calls::{SignalSet, handler, set_ignored};

/// Whether `--supervise`, `--watch` and `--file` work.
pub(crate) const HAS_LINUX_FEATURES: bool = false;

/// The clock that starts at the boot and also runs while the machine sleeps (clock_gettime(3)).
pub(super) const BOOT_CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// The errors of execve(2) for a file that is no program of this machine.
pub(super) const EXEC_FORMAT_ERRORS: [Errno; 4] = [
    Errno::ENOEXEC,
    Errno::EBADARCH,
    Errno::EBADEXEC,
    Errno::EBADMACHO,
];

#[used]
#[unsafe(link_section = "__DATA,__mod_init_func")]
static RUN_BEFORE_MAIN: extern "C" fn() = startup::record_initial_state;

/// Does nothing. Whether another process of the user may trace this one depends on how the program is
/// signed: with the hardened runtime, it may not.
pub(super) fn forbid_tracing() {}

/// Returns the kernel's limits on arguments and environment (execve(2)): all together have at most
/// ARG_MAX bytes, and one string has no limit of its own.
pub(crate) fn exec_limits() -> ExecLimits {
    // The least that POSIX allows a system to have.
    const POSIX_ARG_MAX: usize = 4096;
    let limit = sysconf(SysconfVar::ARG_MAX).ok().flatten();
    let limit = limit.and_then(|size| usize::try_from(size).ok());
    let limit = limit.unwrap_or(POSIX_ARG_MAX);
    ExecLimits {
        max_string: limit,
        max_total: limit,
    }
}

/// Does nothing: the kernel cannot kill a child when its parent dies.
pub(super) fn die_with_parent(_parent: Pid) {}

/// Does nothing: the C library is that of the machine.
pub(crate) fn disable_nss_modules() {}

/// Returns a process and its descendants, parents first.
pub(super) fn with_descendants(process: Pid) -> Vec<Pid> {
    let mut family = vec![process];
    let mut visited = 0;
    while let Some(parent) = family.get(visited).copied() {
        visited += 1;
        for child in children_of(parent) {
            // Reused pids could make a cycle.
            if !family.contains(&child) {
                family.push(child);
            }
        }
    }
    family
}

/// Returns the children of a process, at most 256.
fn children_of(parent: Pid) -> Vec<Pid> {
    let mut pids: [libc::pid_t; 256] = [0; 256];
    let size = c_int::try_from(size_of_val(&pids)).unwrap_or(0);
    // SAFETY: the call writes pids into a local of this size, and nothing beyond.
    unsafe { libc::proc_listchildpids(parent.as_raw(), pids.as_mut_ptr().cast(), size) };
    let found = pids.into_iter().take_while(|pid| *pid > 0);
    found.map(Pid::from_raw).collect()
}

/// A descriptor that is readable when a child has ended (kqueue(2), EVFILT_SIGNAL). CHLD need not have a
/// handler, and may be blocked.
pub(super) struct ChildExits(Kqueue);

impl AsFd for ChildExits {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ChildExits {
    /// Opens the descriptor. It reports the children that end from now on.
    ///
    /// # Errors
    /// Those of kqueue(2).
    pub(super) fn open() -> io::Result<Self> {
        let queue = Kqueue::new()?;
        let child_signal = KEvent::new(
            libc::SIGCHLD.unsigned_abs() as usize,
            EventFilter::EVFILT_SIGNAL,
            EvFlags::EV_ADD,
            FilterFlag::empty(),
            0,
            0,
        );
        queue.kevent(&[child_signal], &mut [], None)?;
        Ok(Self(queue))
    }

    /// Reads what makes the descriptor readable.
    ///
    /// # Errors
    /// Those of kevent(2) except EINTR.
    pub(super) fn clear(&self) -> io::Result<()> {
        let no_event = KEvent::new(
            0,
            EventFilter::EVFILT_SIGNAL,
            EvFlags::empty(),
            FilterFlag::empty(),
            0,
            0,
        );
        let at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match self.0.kevent(&[], &mut [no_event], Some(at_once)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Returns the certificates, in DER, that the keychains trust as roots for TLS servers, such as the CA
/// that a company has installed. If several domains have settings for one, the user's take precedence over
/// those of the administrator, and these over Apple's.
pub(crate) fn keychain_roots() -> Vec<Vec<u8>> {
    let mut is_trusted = BTreeMap::new();
    for domain in [Domain::User, Domain::Admin, Domain::System] {
        let settings = TrustSettings::new(domain);
        for certificate in settings.iter().into_iter().flatten() {
            let trust = settings.tls_trust_settings_for_certificate(&certificate);
            let trusted = match trust {
                Ok(Some(
                    TrustSettingsForCertificate::TrustRoot
                    | TrustSettingsForCertificate::TrustAsRoot,
                )) => true,
                Ok(Some(TrustSettingsForCertificate::Deny)) => false,
                // Without any settings it is trusted for everything. With settings that are not for TLS,
                // another domain decides.
                Ok(_) if has_empty_settings(&certificate, domain) => true,
                Ok(_) | Err(_) => continue,
            };
            is_trusted.entry(certificate.to_der()).or_insert(trusted);
        }
    }
    let trusted = is_trusted.into_iter().filter(|(_, trusted)| *trusted);
    trusted.map(|(certificate, _)| certificate).collect()
}

/// Returns whether the list of settings for a certificate exists and is empty.
fn has_empty_settings(certificate: &SecCertificate, domain: Domain) -> bool {
    let mut settings = ptr::null();
    let certificate = certificate.as_concrete_TypeRef();
    // SAFETY: the certificate is valid during the call, and the result points to a local of its type.
    let status =
        unsafe { SecTrustSettingsCopyTrustSettings(certificate, domain.into(), &raw mut settings) };
    if status != 0 || settings.is_null() {
        return false;
    }
    // SAFETY: the call has succeeded, and its name says that the caller owns the array (Core Foundation's
    // create rule).
    let settings: CFArray = unsafe { CFArray::wrap_under_create_rule(settings) };
    settings.is_empty()
}

/// The parent of a command, which macOS does not have: there is no value of this type.
pub(crate) enum Supervisor {}

impl Supervisor {
    pub(crate) fn wait_for_command(self) -> Result<WaitStatus, Error> {
        match self {}
    }
}

/// Refuses to fork: macOS tells a parent neither who has sent a signal nor with which value.
///
/// # Errors
/// Always `usage`.
pub(crate) fn fork_command(_single_threaded: &SingleThreaded) -> Result<CommandFork, Error> {
    Err(Error::NeedsLinux {
        option: "--supervise",
    })
}
