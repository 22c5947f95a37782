#![forbid(unsafe_code)]
//! Name look-ups: getaddrinfo(3) on a thread of its own, which may hang there as long as it likes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use tokio::sync::oneshot;

use super::failure::Failure;
use crate::error::{lowercase_first, os_error_text};

/// RFC 6761 §6.3: this name is this machine, whatever a name server says. Plain http relies on it.
const LOCALHOST: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// What getaddrinfo(3) needs at most, in bytes.
const STACK: usize = 256 << 10;

/// The addresses of a name, with port 0.
///
/// # Errors
/// `unreachable`, also where no thread can be started.
pub(super) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, Failure> {
    if name == "localhost" {
        return Ok(LOCALHOST.to_vec());
    }
    let (found, answer) = oneshot::channel();
    let owned = name.to_owned();
    let look_up = move || {
        let addresses = (owned.as_str(), 0).to_socket_addrs();
        // Nobody listens once the time is over.
        let _ = found.send(addresses.map(Iterator::collect::<Vec<SocketAddr>>));
    };
    let failed = |why: String| Failure::Unreachable {
        why: format!("name look-up: {why}"),
    };
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread
        .spawn(look_up)
        .map_err(|error| failed(format!("no thread: {}", os_error_text(&error))))?;
    match answer.await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(failed(words(&error))),
        Err(_) => Err(failed("its thread ended".to_owned())),
    }
}

/// The library gives each address of a family an equal share of the time to connect. A dead one may
/// cost a third of it at most: with fewer than three, they take turns.
pub(super) fn pad_for_connect_timeout(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    const SHARES: usize = 3;
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, other): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .partition(|address| address.is_ipv4() == preferred);
    let turns = |family: Vec<SocketAddr>| {
        let count = family.len().max(SHARES);
        family.into_iter().cycle().take(count)
    };
    turns(first).chain(turns(other)).collect::<Vec<_>>()
}

/// std puts its own words before those of gai_strerror(3).
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.strip_prefix("failed to lookup address information: ");
    words.map_or_else(|| os_error_text(error), lowercase_first)
}

/// RFC 6761 §6.3 keeps `localhost` on this machine.
pub(crate) fn is_loopback(name: &str) -> bool {
    let address = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_at_most_a_third_of_the_time() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (a, b, c, d, e) = (
            "1.1.1.1:0",
            "2.2.2.2:0",
            "3.3.3.3:0",
            "4.4.4.4:0",
            "[::1]:0",
        );
        for (given, shared) in [
            (vec![], vec![]),
            (vec![a], vec![a, a, a]),
            (vec![a, b], vec![a, b, a]),
            (vec![a, b, c, d], vec![a, b, c, d]),
            (vec![e, a, b], vec![e, e, e, a, b, a]),
        ] {
            assert_eq!(
                pad_for_connect_timeout(&addresses(&given)),
                addresses(&shared)
            );
        }
    }
}
