//! The smallest client that fetches a response over TLS: it connects, makes the handshake, sends one
//! GET and reads to the end. The time that phase-run takes beyond it is phase-run's own work.
//!
//! Usage: `bare-client HOST:PORT CA-FILE PATH BEARER`.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step should stop the measurement"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, ca_file, path, bearer] = arguments.try_into().unwrap();
    let host = address.split(':').next().unwrap().to_owned();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.clone()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(&address).unwrap());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\
         Authorization: Bearer ServiceAccount {bearer}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200"));
}
