#![forbid(unsafe_code)]
//! Messages to the service manager, such as systemd (sd_notify(3)).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

/// The service manager that has started the watcher, if it listens to messages.
pub(super) struct ServiceManager(Option<SocketAddr>);

impl ServiceManager {
    /// Takes the address from the value of NOTIFY_SOCKET: a path or, after `@`, an abstract name.
    pub(super) fn new(notify_socket: Option<&OsStr>) -> Self {
        let address = notify_socket.and_then(|name| match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            [b'/', ..] => SocketAddr::from_pathname(name).ok(),
            _ => None,
        });
        Self(address)
    }

    /// Says that the service is being reloaded, and that only the watcher speaks for it. If the old
    /// command says `STOPPING=1`, systemd would otherwise take it for the end of the service, and kill
    /// the service after `TimeoutStopSec=`. Versions before 254 do not know `NOTIFYACCESS`, but they
    /// ignore `STOPPING=1` during a reload.
    pub(super) fn restart_begins(&self) {
        let microseconds = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000);
        let message = format!("NOTIFYACCESS=main\nRELOADING=1\nMONOTONIC_USEC={microseconds}");
        self.send(&message);
    }

    /// Says that the restart is over or has been cancelled, and that the command may speak for the service
    /// again. A new command may say that it is ready, but need not.
    pub(super) fn restart_ends(&self) {
        self.send("NOTIFYACCESS=all\nREADY=1");
    }

    /// Sends a message. A service manager that does not take it must not delay the restart.
    fn send(&self, message: &str) {
        let Some(address) = &self.0 else { return };
        let _ = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to_addr(message.as_bytes(), address)
        });
    }
}
