//! Phase's HTTP interface over TLS on loopback. It answers by rules from a [`World`] as the real
//! server did in the recorded exchanges, records every request, and fails on demand: see
//! [`Phase::respond`] and [`Phase::gate`].
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a failed step should stop the test")]
#![expect(clippy::panic, reason = "a failed step should stop the test")]

mod access;
mod answer;
mod captures;
mod certificates;
mod cloud;
mod credentials;
mod environment;
mod fault;
mod identifiers;
mod identities;
mod request;
mod rules;
mod sealing;
mod secrets;
mod server;
mod shared;
mod sigv4;
mod tokens;
mod wire;
mod world;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use captures::{Exchange, exchanges};
pub use certificates::Certificate;
use certificates::Identity;
pub use credentials::{AccessKey, aws, azure};
pub use environment::{Environment, Row};
pub use fault::Responder;
pub use identities::{Identities, Mint, minted_bearer};
pub use request::Request;
use rustls::ServerConfig;
pub use shared::Gate;
use shared::Shared;
pub use sigv4::Signed;
pub use world::{Account, App, World};

/// A running server. It ends when this is dropped: the listener and all connections are closed.
pub struct Phase {
    shared: Arc<Shared>,
    identity: Identity,
    port: u16,
    tls: bool,
    accepting: Option<JoinHandle<()>>,
}

/// How to serve a world.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the server presents.
    pub certificate: Certificate,
    /// False is plain http.
    pub tls: bool,
    /// What comes before `/service/…` and `/v1/…`, such as `/phase`; everything else is 404.
    pub path_prefix: String,
    /// 0 is any free port.
    pub port: u16,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            certificate: Certificate::Good,
            tls: true,
            path_prefix: String::new(),
            port: 0,
        }
    }
}

impl Phase {
    /// The captured world with a good certificate.
    pub fn start() -> Phase {
        Phase::serve(World::captured())
    }

    /// This world with a good certificate.
    pub fn serve(world: World) -> Phase {
        Phase::with(world, Options::default())
    }

    /// This world, as `options` say.
    pub fn with(world: World, options: Options) -> Phase {
        let listener = listener(options.port);
        let port = listener.local_addr().unwrap().port();
        let identity = Identity::new(options.certificate);
        let tls = options.tls.then(|| Arc::clone(&identity.config));
        let shared = Arc::new(Shared::new(world, options.path_prefix));
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || server::accept(listener, tls, shared)
        });
        Phase {
            shared,
            identity,
            port,
            tls: options.tls,
            accepting: Some(accepting),
        }
    }

    /// `https://localhost:PORT`, or `http://127.0.0.1:PORT` when plain; without the path prefix.
    pub fn host(&self) -> String {
        match self.tls {
            true => format!("https://localhost:{}", self.port),
            false => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file of the CA that signs good certificates. It goes when the server ends.
    pub fn ca_file(&self) -> &Path {
        self.identity.ca_file()
    }

    /// Its side of TLS, for a proxy that is to present the same certificate.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.identity.config)
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// All requests, once there are at least `count`; panics when there are fewer `within` this.
    pub fn wait_for_requests(&self, count: usize, within: Duration) -> Vec<Request> {
        if !self
            .shared
            .wait(within, |state| state.requests.len() >= count)
        {
            panic!(
                "{} of {count} requests came within {within:?}",
                self.requests().len()
            );
        }
        self.requests()
    }

    /// The requests for a token by a cloud identity, in their order; what is none panics.
    pub fn mints(&self) -> Vec<Mint> {
        self.requests().iter().filter_map(Mint::of).collect()
    }

    /// How many TCP connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Changes the world while it is served.
    pub fn edit(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.shared.state().world);
    }

    /// Uses `responder` for requests whose path contains `path`. The latest that matches is asked
    /// first; the world answers when all are used up.
    pub fn respond(&self, path: &str, responder: Responder) {
        self.shared.respond(path, responder);
    }

    /// Holds requests whose path contains `path` before anything answers them.
    pub fn gate(&self, path: &str) -> Gate {
        self.shared.gate(path)
    }
}

/// Longer than any program takes from its fork to its exec.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that somebody else forks has a copy of each listener until it executes its program: a
/// port that was given up a moment ago may be taken for that long.
fn listener(port: u16) -> TcpListener {
    let start = Instant::now();
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < PATIENCE => {
                thread::park_timeout(Duration::from_millis(2));
            }
            bound => return bound.unwrap(),
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.shared.end();
        // Wakes the thread in accept(2), which then sees that the server has ended.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
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
    let answer = captures::token_answer(Account::ServiceAccount);
    let id = answer.get("account_id").and_then(|id| id.as_str());
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
