#![forbid(unsafe_code)]
//! Resolves names with getaddrinfo(3), on a thread of its own, because a look-up cannot be cancelled.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::failure::Failure;
use crate::error::{lowercase_first, os_error_text, seconds};
use crate::log::{Event, Log};
use crate::process::with_signals_blocked;

/// The addresses of `localhost`, whatever a name server says (RFC 6761, section 6.3). A token may be
/// sent there over plain http.
const LOCALHOST: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// The stack that getaddrinfo(3) needs at most, in bytes.
const STACK_SIZE: usize = 256 << 10;

/// The minimum number of attempts to connect that share the time for one address family.
const MIN_ATTEMPTS: usize = 3;

/// How long a caller waits for a look-up.
pub(super) struct LookupLimit {
    /// The longest that this call waits.
    pub(super) wait: Duration,
    /// A look-up that takes longer than this is logged.
    pub(super) slow_after: Duration,
}

/// Looks up the names of hosts before requests are sent to them.
#[derive(Default)]
pub(super) struct Resolver {
    /// What the clients connect to.
    pub(super) addresses: Arc<AddressBook>,
    /// The look-ups that have not finished: at most one for each name.
    running: RefCell<Vec<Lookup>>,
}

impl Resolver {
    /// Makes sure that the address book has the addresses of a name. It looks the name up unless that
    /// succeeded before and [`AddressBook::expire`] was not called since. If a look-up of the name
    /// still runs, it waits for that one.
    ///
    /// # Errors
    /// A transient failure if the look-up fails, takes too long, or cannot be started.
    pub(super) fn resolve(
        &self,
        name: &str,
        limit: &LookupLimit,
        log: &dyn Log,
    ) -> Result<(), Failure> {
        if self.addresses.is_current(name) {
            return Ok(());
        }
        if name == "localhost" {
            self.addresses.insert(name, &LOCALHOST);
            return Ok(());
        }
        let lookup = match self.take_running(name) {
            Some(lookup) => lookup,
            None => match Lookup::start(name) {
                Ok(lookup) => lookup,
                // Addresses that may be outdated are better than none.
                Err(_) if self.addresses.contains(name) => return Ok(()),
                Err(error) => {
                    let why = os_error_text(&error);
                    let why = format!("name resolution failed: cannot start a thread: {why}");
                    return Err(Failure::from_setup_error(&error, why));
                }
            },
        };
        let addresses = self.wait_for(lookup, limit, log)?;
        self.addresses.insert(name, &addresses);
        Ok(())
    }

    fn take_running(&self, name: &str) -> Option<Lookup> {
        let mut running = self.running.borrow_mut();
        let index = running.iter().position(|lookup| lookup.name == name)?;
        Some(running.swap_remove(index))
    }

    /// Waits for a look-up, and keeps it for the next call if it does not finish in time.
    fn wait_for(
        &self,
        mut lookup: Lookup,
        limit: &LookupLimit,
        log: &dyn Log,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let until_slow = limit.slow_after.saturating_sub(lookup.waited);
        let first_wait = match lookup.is_logged_as_slow {
            true => limit.wait,
            false => limit.wait.min(until_slow),
        };
        let rest = limit.wait.saturating_sub(first_wait);
        let mut outcome = lookup.result.recv_timeout(first_wait);
        lookup.waited += first_wait;
        if matches!(outcome, Err(RecvTimeoutError::Timeout)) && !rest.is_zero() {
            log.log(Event::LookupSlow {
                name: &lookup.name,
                waited: lookup.waited,
                left: rest,
            });
            lookup.is_logged_as_slow = true;
            outcome = lookup.result.recv_timeout(rest);
            lookup.waited += rest;
        }
        match outcome {
            Ok(addresses) => {
                // It has nothing left to do, and some containers may have few threads.
                let _ = lookup.thread.join();
                log.log(Event::Lookup {
                    name: &lookup.name,
                    took: lookup.start.elapsed(),
                });
                addresses.map_err(|error| failed(&error_text(&error)))
            }
            Err(RecvTimeoutError::Timeout) => {
                let why = format!(
                    "name resolution did not finish within {}",
                    seconds(lookup.waited)
                );
                self.running.borrow_mut().push(lookup);
                Err(Failure::Unreachable { why })
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed("its thread ended")),
        }
    }
}

/// A call of getaddrinfo(3).
struct Lookup {
    name: String,
    start: Instant,
    /// How long callers have waited for it.
    waited: Duration,
    is_logged_as_slow: bool,
    result: Receiver<io::Result<Vec<SocketAddr>>>,
    thread: JoinHandle<()>,
}

impl Lookup {
    /// Starts a look-up.
    ///
    /// # Errors
    /// Those of starting a thread.
    fn start(name: &str) -> io::Result<Self> {
        let (sender, result) = channel();
        let owned_name = name.to_owned();
        let look_up = move || {
            let addresses = (owned_name.as_str(), 0).to_socket_addrs();
            // The receiver is gone if the run no longer needs the addresses.
            let _ = sender.send(addresses.map(Iterator::collect));
        };
        let thread = std::thread::Builder::new().stack_size(STACK_SIZE);
        Ok(Self {
            name: name.to_owned(),
            start: Instant::now(),
            waited: Duration::ZERO,
            is_logged_as_slow: false,
            result,
            thread: with_signals_blocked(|| thread.spawn(look_up))?,
        })
    }
}

/// The addresses that the clients connect to, by name and with port 0.
#[derive(Default)]
pub(super) struct AddressBook(Mutex<BTreeMap<String, AddressEntry>>);

struct AddressEntry {
    /// Repeated by [`pad_for_connect_timeout`].
    addresses: Vec<SocketAddr>,
    /// False after a failed try: the addresses may have changed.
    is_current: bool,
}

impl AddressBook {
    /// Makes the next [`Resolver::resolve`] look the name up again.
    pub(super) fn expire(&self, name: &str) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.is_current = false;
        }
    }

    /// Returns the known addresses of a URL's host, with the port of the URL.
    pub(super) fn of(&self, url: &Url) -> Vec<SocketAddr> {
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return vec![SocketAddr::new(address, port)];
        }
        let entries = self.entries();
        let addresses = entries
            .get(host)
            .into_iter()
            .flat_map(|entry| &entry.addresses);
        addresses
            .map(|address| SocketAddr::new(address.ip(), port))
            .collect()
    }

    fn is_current(&self, name: &str) -> bool {
        self.entries()
            .get(name)
            .is_some_and(|entry| entry.is_current)
    }

    fn contains(&self, name: &str) -> bool {
        self.entries().contains_key(name)
    }

    fn insert(&self, name: &str, addresses: &[SocketAddr]) {
        let entry = AddressEntry {
            addresses: pad_for_connect_timeout(addresses),
            is_current: true,
        };
        self.entries().insert(name.to_owned(), entry);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, AddressEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for AddressBook {
    /// Answers at once: the address was looked up before the request was sent.
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.entries().get(name.as_str()).map(|entry| {
            let addresses = entry.addresses.clone();
            Box::new(addresses.into_iter()) as Addrs
        });
        let missing = "the name was not looked up before the request";
        Box::pin(std::future::ready(addresses.ok_or_else(|| missing.into())))
    }
}

/// Repeats addresses so that an unresponsive one costs at most a third of the time for connecting. The
/// library gives each address of a family an equal share of that time.
fn pad_for_connect_timeout(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let prefers_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (preferred, others): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .partition(|address| address.is_ipv4() == prefers_ipv4);
    let pad = |family: Vec<SocketAddr>| {
        let count = family.len().max(MIN_ATTEMPTS);
        family.into_iter().cycle().take(count)
    };
    pad(preferred).chain(pad(others)).collect()
}

fn failed(why: &str) -> Failure {
    Failure::Unreachable {
        why: format!("name resolution failed: {why}"),
    }
}

/// The text of gai_strerror(3), without the text that std puts before it.
fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ");
    reason.map_or_else(|| os_error_text(error), lowercase_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_address_costs_at_most_a_third() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (a, b, c, d, e) = (
            "1.1.1.1:0",
            "2.2.2.2:0",
            "3.3.3.3:0",
            "4.4.4.4:0",
            "[::1]:0",
        );
        for (addresses_of_host, padded) in [
            (vec![], vec![]),
            (vec![a], vec![a, a, a]),
            (vec![a, b], vec![a, b, a]),
            (vec![a, b, c, d], vec![a, b, c, d]),
            (vec![e, a, b], vec![e, e, e, a, b, a]),
        ] {
            assert_eq!(
                pad_for_connect_timeout(&parse(&addresses_of_host)),
                parse(&padded)
            );
        }
    }
}
