#![forbid(unsafe_code)]
//! Resolves names with getaddrinfo(3), on a thread of its own, because a look-up cannot be cancelled.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use tokio::sync::oneshot;

use super::failure::Failure;
use crate::error::{lowercase_first, os_error_text};

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

/// Returns the addresses of a name, with port 0.
///
/// # Errors
/// A transient failure if the look-up fails or its thread cannot be started.
#[expect(clippy::expect_used, reason = "the thread always sends its result")]
pub(super) async fn resolve(name: &str) -> Result<Vec<SocketAddr>, Failure> {
    if name == "localhost" {
        return Ok(LOCALHOST.to_vec());
    }
    let (sender, receiver) = oneshot::channel();
    let owned_name = name.to_owned();
    let look_up = move || {
        let addresses = (owned_name.as_str(), 0).to_socket_addrs();
        // The receiver is gone if the request has timed out.
        let _ = sender.send(addresses.map(Iterator::collect::<Vec<SocketAddr>>));
    };
    let failed = |why: String| Failure::Unreachable {
        why: format!("name resolution failed: {why}"),
    };
    let thread = std::thread::Builder::new().stack_size(STACK_SIZE);
    thread
        .spawn(look_up)
        .map_err(|error| failed(format!("cannot start a thread: {}", os_error_text(&error))))?;
    let addresses = receiver.await.ok();
    let addresses = addresses.expect("the look-up thread sends its result");
    addresses.map_err(|error| failed(error_text(&error)))
}

/// Repeats addresses so that an unresponsive one costs at most a third of the time for connecting. The
/// library gives each address of a family an equal share of that time.
pub(super) fn pad_for_connect_timeout(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
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
