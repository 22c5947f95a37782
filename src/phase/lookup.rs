#![forbid(unsafe_code)]
//! Name look-ups: getaddrinfo(3) on a thread of its own, which may hang there as long as it likes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::oneshot;

use crate::error::system_words;

/// RFC 6761 §6.3: this name is this machine, whatever a name server says. Plain http relies on it.
const LOCALHOST: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// What getaddrinfo(3) needs at most, in bytes.
const STACK: usize = 256 << 10;

/// Looks names up for the HTTP client. Where no thread can be started, that is an error of the
/// request.
pub(super) struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            if name.as_str() == "localhost" {
                return Ok(Box::new(LOCALHOST.into_iter()) as Addrs);
            }
            let (found, answer) = oneshot::channel();
            let look_up = move || {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                // Nobody listens once the time is over.
                let _ = found.send(addresses.map(Iterator::collect::<Vec<SocketAddr>>));
            };
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn(look_up).map_err(|error| {
                let why = system_words(&error);
                io::Error::other(format!(
                    "a thread for the name look-up cannot be started: {why}"
                ))
            })?;
            Ok(Box::new(answer.await??.into_iter()) as Addrs)
        })
    }
}
