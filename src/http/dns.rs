#![forbid(unsafe_code)]
//! Resolves names with getaddrinfo(3), on a thread of its own, because a look-up cannot be cancelled.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
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

/// The most look-ups of one name that run at the same time.
const MAX_CALLS: usize = 2;

/// With less time left than this, waiting longer is not worth a warning or a further look-up.
const MIN_WAIT: Duration = Duration::from_millis(500);

/// How long a caller waits for a look-up.
pub(super) struct LookupLimit {
    /// The longest that this call waits.
    pub(super) wait: Duration,
    /// A look-up that takes longer than this is logged, and another one starts beside it.
    pub(super) slow_after: Duration,
}

/// Looks up the names of hosts before requests are sent to them.
#[derive(Default)]
pub(super) struct Resolver {
    /// What the clients connect to.
    pub(super) addresses: Arc<AddressBook>,
    /// The names with look-ups that have not finished.
    running: RefCell<Vec<Lookup>>,
}

impl Resolver {
    /// Makes sure that the address book has the addresses of a name. It looks the name up unless that
    /// succeeded before and [`AddressBook::expire`] was not called since. If a look-up of the name
    /// still runs, it waits for that one.
    ///
    /// # Errors
    /// The reason if the look-up fails, takes too long, or cannot be started.
    pub(super) fn resolve(
        &self,
        name: &str,
        limit: &LookupLimit,
        log: &dyn Log,
    ) -> Result<(), LookupError> {
        if self.addresses.is_current(name) && !self.is_being_looked_up(name) {
            return Ok(());
        }
        if name == "localhost" {
            self.addresses.insert(name, &LOCALHOST);
            return Ok(());
        }
        let mut lookup = self.take_running(name).unwrap_or_else(|| Lookup::new(name));
        if lookup.youngest().is_none()
            && let Err(error) = lookup.start_call(|_| {})
        {
            // Addresses that may be outdated are better than none.
            return match self.addresses.contains(name) {
                true => Ok(()),
                false => Err(LookupError::NoThread(error)),
            };
        }
        let outcome = lookup.wait(limit, log);
        if !lookup.calls.is_empty() {
            self.running.borrow_mut().push(lookup);
        }
        self.addresses.insert(name, &outcome?);
        Ok(())
    }

    /// Starts to look a name up that will probably be needed, and calls `when_found` on the look-up's
    /// thread. Does nothing if the name is known, or if no thread can be started.
    pub(super) fn look_up_early(&self, name: &str, when_found: impl FnOnce() + Send + 'static) {
        let mut running = self.running.borrow_mut();
        if self.addresses.contains(name) || running.iter().any(|lookup| lookup.name == name) {
            return;
        }
        let mut lookup = Lookup::new(name);
        lookup.is_early = true;
        let (book, name) = (Arc::clone(&self.addresses), name.to_owned());
        let insert_and_call = move |addresses: &[SocketAddr]| {
            book.insert(&name, addresses);
            when_found();
        };
        if lookup.start_call(insert_and_call).is_ok() {
            running.push(lookup);
        }
    }

    /// Whether there is a look-up of the name that nobody has waited for and that may give its addresses.
    fn is_being_looked_up(&self, name: &str) -> bool {
        let running = self.running.borrow();
        let mut lookups = running.iter().filter(|lookup| lookup.name == name);
        lookups.any(|lookup| lookup.youngest().is_some())
    }

    fn take_running(&self, name: &str) -> Option<Lookup> {
        let mut running = self.running.borrow_mut();
        let index = running.iter().position(|lookup| lookup.name == name)?;
        Some(running.swap_remove(index))
    }
}

/// Why a name has no addresses.
pub(super) enum LookupError {
    NoThread(io::Error),
    Failed(io::Error),
    /// The look-up did not finish within this time.
    TimedOut(Duration),
}

impl LookupError {
    /// The failure of the request. `subject` is what the message calls the look-up.
    pub(super) fn into_failure(self, subject: &str) -> Failure {
        match self {
            Self::NoThread(error) => {
                let why = os_error_text(&error);
                let why = format!("{subject} failed: cannot start a thread: {why}");
                Failure::from_setup_error(&error, why)
            }
            Self::Failed(error) => {
                let why = format!("{subject} failed: {}", error_text(&error));
                Failure::from_network_error(&error, why)
            }
            Self::TimedOut(limit) => Failure::Unreachable {
                why: format!("{subject} did not finish within {}", seconds(limit)),
            },
        }
    }
}

/// The look-ups of one name.
///
/// The resolver reads its configuration when a call begins, so a call that hangs does not notice when
/// the configuration is repaired. After a while, a further call therefore runs beside it.
struct Lookup {
    name: String,
    /// The calls that have not finished, the oldest first.
    calls: Vec<Call>,
    is_logged_as_slow: bool,
    /// Whether its only call began before the addresses were needed: if that fails, it is repeated.
    is_early: bool,
    sender: Sender<CallOutcome>,
    outcomes: Receiver<CallOutcome>,
}

/// What the thread of a call sends when it has finished.
struct CallOutcome {
    thread: ThreadId,
    took: Duration,
    addresses: io::Result<Vec<SocketAddr>>,
}

/// A call of getaddrinfo(3).
struct Call {
    start: Instant,
    thread: JoinHandle<()>,
    /// Whether another call has succeeded meanwhile.
    is_outdated: bool,
}

impl Lookup {
    fn new(name: &str) -> Self {
        let (sender, outcomes) = channel();
        Self {
            name: name.to_owned(),
            calls: Vec::new(),
            is_logged_as_slow: false,
            is_early: false,
            sender,
            outcomes,
        }
    }

    /// Starts a call. If it succeeds, its thread calls `when_found` first.
    ///
    /// # Errors
    /// Those of starting a thread.
    fn start_call(
        &mut self,
        when_found: impl FnOnce(&[SocketAddr]) + Send + 'static,
    ) -> io::Result<()> {
        let name = self.name.clone();
        let sender = self.sender.clone();
        let start = Instant::now();
        let look_up = move || {
            let addresses = (name.as_str(), 0).to_socket_addrs();
            let addresses = addresses.map(Iterator::collect::<Vec<_>>);
            let took = start.elapsed();
            if let Ok(addresses) = &addresses {
                when_found(addresses);
            }
            // The receiver is gone if the run no longer needs the addresses.
            let _ = sender.send(CallOutcome {
                thread: thread::current().id(),
                took,
                addresses,
            });
        };
        let thread = thread::Builder::new().stack_size(STACK_SIZE);
        self.calls.push(Call {
            start,
            thread: with_signals_blocked(|| thread.spawn(look_up))?,
            is_outdated: false,
        });
        Ok(())
    }

    /// The call that started last and may still give the addresses.
    fn youngest(&self) -> Option<&Call> {
        self.calls.iter().rfind(|call| !call.is_outdated)
    }

    /// Waits until a call succeeds or all have failed. Starts a further call beside one that is slow.
    fn wait(&mut self, limit: &LookupLimit, log: &dyn Log) -> Result<Vec<SocketAddr>, LookupError> {
        let start = Instant::now();
        let mut error = None;
        let mut may_start = true;
        loop {
            let left = limit.wait.saturating_sub(start.elapsed());
            let until_slow = self
                .youngest()
                .map(|call| limit.slow_after.saturating_sub(call.start.elapsed()));
            let until_slow = until_slow.filter(|until_slow| {
                may_start && self.calls.len() < MAX_CALLS && *until_slow + MIN_WAIT <= left
            });
            match self.outcomes.recv_timeout(until_slow.unwrap_or(left)) {
                Ok(outcome) => match self.finish(outcome, log) {
                    Some(Ok(addresses)) => return Ok(addresses),
                    Some(Err(reason)) if self.youngest().is_none() => {
                        let repeats = std::mem::take(&mut self.is_early);
                        if !repeats || self.start_call(|_| {}).is_err() {
                            return Err(LookupError::Failed(reason));
                        }
                    }
                    Some(Err(reason)) => error = Some(reason),
                    None => {}
                },
                Err(_) if until_slow.is_none() => {
                    return Err(match error {
                        Some(reason) => LookupError::Failed(reason),
                        None => LookupError::TimedOut(limit.wait),
                    });
                }
                Err(_) => {
                    self.log_as_slow(limit, start.elapsed(), log);
                    may_start = self.start_call(|_| {}).is_ok();
                }
            }
        }
    }

    fn log_as_slow(&mut self, limit: &LookupLimit, waited: Duration, log: &dyn Log) {
        if !self.is_logged_as_slow {
            self.is_logged_as_slow = true;
            log.log(Event::LookupSlow {
                name: &self.name,
                waited: limit.slow_after,
                left: limit.wait.saturating_sub(waited),
            });
        }
    }

    /// Removes a call that has finished. Returns `None` if its outcome no longer matters.
    fn finish(
        &mut self,
        outcome: CallOutcome,
        log: &dyn Log,
    ) -> Option<io::Result<Vec<SocketAddr>>> {
        let mut calls = self.calls.iter();
        let index = calls.position(|call| call.thread.thread().id() == outcome.thread)?;
        let call = self.calls.remove(index);
        log.log(Event::Lookup {
            name: &self.name,
            took: outcome.took,
        });
        // It has nothing left to do, and some containers may have few threads.
        let _ = call.thread.join();
        if call.is_outdated {
            return None;
        }
        if outcome.addresses.is_ok() {
            for call in &mut self.calls {
                call.is_outdated = true;
            }
        }
        Some(outcome.addresses)
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
