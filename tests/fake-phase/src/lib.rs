//! A fake Phase server on loopback, over TLS or plain HTTP. It responds from a [`World`] as the real
//! server did in the recorded exchanges, records every request, and fails on demand: see
//! [`Phase::respond`] and [`Phase::gate`].
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]

mod authentication;
mod captures;
mod certificates;
mod cloud;
mod cloud_credentials;
mod encryption;
mod environment;
mod http;
mod identifiers;
mod identities;
mod request;
mod responder;
mod response;
mod secrets;
mod server;
mod shared;
mod sigv4;
mod tokens;
mod views;
mod world;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use captures::{Exchange, exchanges};
use certificates::Identity;
pub use certificates::{Certificate, Handshake};
pub use cloud_credentials::{AccessKey, aws, azure};
pub use environment::{Environment, Row};
pub use identities::{Identities, Mint, minted_bearer};
pub use request::Request;
pub use responder::Responder;
use rustls::ServerConfig;
pub use shared::Gate;
use shared::Shared;
pub use sigv4::Signed;
pub use world::{Account, App, World};

/// A running server. Dropping it closes the listener and all connections.
pub struct Phase {
    shared: Arc<Shared>,
    identity: Identity,
    address: SocketAddrV4,
    tls: bool,
    accepting: Option<JoinHandle<()>>,
}

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The certificate that the server presents.
    pub certificate: Certificate,
    /// What the server demands in the TLS handshake.
    pub handshake: Handshake,
    /// Whether the server speaks TLS, or plain HTTP.
    pub tls: bool,
    /// The path before `/service/…` and `/v1/…`, such as `/phase`. Other paths are 404.
    pub path_prefix: String,
    /// The address to listen on, by default 127.0.0.1.
    pub ip: Ipv4Addr,
    /// The port, or 0 for any free one.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            certificate: Certificate::Good,
            handshake: Handshake::Ordinary,
            tls: true,
            path_prefix: String::new(),
            ip: Ipv4Addr::LOCALHOST,
            port: 0,
        }
    }
}

impl Phase {
    /// Serves the captured world with a valid certificate.
    pub fn start() -> Phase {
        Phase::serve(World::captured())
    }

    /// Serves `world` with a valid certificate.
    pub fn serve(world: World) -> Phase {
        Phase::with(world, Options::default())
    }

    /// Serves `world` with `options`.
    pub fn with(world: World, options: Options) -> Phase {
        let listener = listen(options.ip, options.port);
        let port = listener.local_addr().unwrap().port();
        let identity = Identity::new(options.certificate, options.handshake);
        let tls = options.tls.then(|| Arc::clone(&identity.config));
        let shared = Arc::new(Shared::new(world, options.path_prefix));
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || server::accept(listener, tls, shared)
        });
        Phase {
            shared,
            identity,
            address: SocketAddrV4::new(options.ip, port),
            tls: options.tls,
            accepting: Some(accepting),
        }
    }

    /// Returns `https://localhost:PORT`, or without TLS `http://IP:PORT`; never the path prefix.
    pub fn host(&self) -> String {
        match self.tls {
            true => format!("https://localhost:{}", self.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// Returns the port, on 127.0.0.1 unless the options say otherwise.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the PEM file of the CA that signs valid certificates. It is deleted with the server.
    pub fn ca_file(&self) -> &Path {
        self.identity.ca_file()
    }

    /// Returns the TLS configuration, for a proxy that presents the same certificate.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.identity.config)
    }

    /// Returns all requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Waits for at least `count` requests and returns all. Panics if fewer arrive `within` this time.
    pub fn wait_for_requests(&self, count: usize, within: Duration) -> Vec<Request> {
        if !self
            .shared
            .wait(within, |state| state.requests.len() >= count)
        {
            panic!(
                "{} of {count} requests arrived within {within:?}",
                self.requests().len()
            );
        }
        self.requests()
    }

    /// Returns the requests that log in with a cloud identity. Panics if one is malformed.
    pub fn mints(&self) -> Vec<Mint> {
        self.requests().iter().filter_map(Mint::of).collect()
    }

    /// Returns how many TCP connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Changes the world while it is served.
    pub fn edit(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.shared.state().world);
    }

    /// Uses `responder` for requests whose path contains `path`. The latest matching responder wins;
    /// when all are used up, the world responds.
    pub fn respond(&self, path: &str, responder: Responder) {
        self.shared.respond(path, responder);
    }

    /// Lets the world respond to every request again.
    pub fn respond_normally(&self) {
        self.shared.respond_normally();
    }

    /// Holds requests whose path contains `path` until the gate is opened.
    pub fn gate(&self, path: &str) -> Gate {
        self.shared.gate(path)
    }
}

/// How long to retry a port that is in use: longer than any program takes from fork to exec.
const MAX_BIND_WAIT: Duration = Duration::from_secs(5);

/// Listens on an address. A child process has a copy of each listener until its exec, so a port that was
/// closed a moment ago may still be in use.
fn listen(ip: Ipv4Addr, port: u16) -> TcpListener {
    let start = Instant::now();
    loop {
        match TcpListener::bind((ip, port)) {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && start.elapsed() < MAX_BIND_WAIT =>
            {
                thread::park_timeout(Duration::from_millis(2));
            }
            bound => return bound.unwrap(),
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.shared.end();
        // Wakes the thread that is blocked in accept(2), so that it sees the end.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// The full token of the service account: `pss_service:v2:…`.
pub fn service_token() -> &'static str {
    captures::credential("/service_account/token")
}

/// The full token of the user: `pss_user:v1:…`.
pub fn user_token() -> &'static str {
    captures::credential("/user/token")
}

/// The bearer of the service account, 64 hex digits.
pub fn bearer() -> &'static str {
    captures::credential("/service_account/bearer")
}

/// The bearer of the user, 64 hex digits.
pub fn user_bearer() -> &'static str {
    captures::credential("/user/bearer")
}

/// The UUID of the service account.
pub fn service_account_id() -> String {
    let body = captures::token_body(Account::ServiceAccount);
    let id = body.get("account_id").and_then(|id| id.as_str());
    id.unwrap().to_owned()
}

/// A bearer that has expired.
pub fn expired_bearer() -> &'static str {
    captures::credential("/expired_bearer")
}

/// The UUID of a captured app: `shop`, `shop-e2ee`, `platform`.
pub fn app_id(name: &str) -> &'static str {
    captures::credential(&format!("/apps/{name}"))
}

/// The UUID of a captured environment: `shop`, `Production`.
pub fn environment_id(app: &str, name: &str) -> &'static str {
    captures::credential(&format!("/environments/{app}~1{name}"))
}
