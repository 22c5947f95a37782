//! Which servers are trusted, and that the token is sent to no other.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::thread::spawn;

use fake_phase::{Certificate, Handshake, Options, Phase, Responder};

use crate::support::{
    Run, Sandbox, Status, eventually, fake_server, require_linux, shop_id, shop_world, stay_silent,
};

fn serving(certificate: Certificate) -> Phase {
    Phase::with(
        shop_world([("KEY", "value")]),
        Options {
            certificate,
            ..Options::default()
        },
    )
}

/// An invalid certificate is a `tls` error. Only an unknown issuer gets a hint. No server gets a request.
#[test]
fn invalid_certificate_is_refused() {
    for (certificate, why, hint) in [
        (
            Certificate::UnknownCa,
            "signed by an unknown CA",
            "hint: add its CA to that file, or pass another file with --ca-file\n",
        ),
        (Certificate::OtherName, "is for another host name", ""),
        (Certificate::Expired, "has expired", ""),
    ] {
        let phase = serving(certificate);
        let sandbox = Sandbox::new(&phase);
        for extra in [vec![], vec![("PHASE_VERIFY_SSL", "false")]] {
            let run = extra
                .iter()
                .fold(sandbox.run_echo(&[]), |run, (name, value)| {
                    run.env(name, value)
                });
            let notices: &[&str] = if extra.is_empty() {
                &[]
            } else {
                &["warning: ignoring PHASE_VERIFY_SSL"]
            };
            let output = run.output().assert_log_lines(notices).assert_refused("tls");
            let name = phase.host().replace("https://", "");
            let failed = match certificate {
                Certificate::UnknownCa => format!("cannot trust {name}: "),
                _ => format!("TLS connection to {name} failed: "),
            };
            assert!(output.stderr.contains(&failed), "{output}");
            assert!(output.stderr.contains(why), "{output}");
            let (_, hinted) = output.stderr.split_once('\n').unwrap();
            assert_eq!(hinted, hint, "{output}");
        }
        assert!(phase.requests().is_empty());
    }
}

/// The CA file names exactly this certificate. Its names and dates count all the same.
#[test]
fn self_signed_certificate_in_ca_file_is_accepted() {
    for (certificate, why) in [
        (Certificate::SelfSigned, None),
        (Certificate::SelfSignedServer, None),
        (
            Certificate::SelfSignedOtherName,
            Some("is for another host name"),
        ),
        (Certificate::SelfSignedExpired, Some("has expired")),
        (
            Certificate::SelfSignedWithoutNames,
            Some("has no subjectAltName"),
        ),
        (
            Certificate::SelfSignedImpostor,
            Some("is self-signed, or that of a CA"),
        ),
    ] {
        let phase = serving(certificate);
        let sandbox = Sandbox::new(&phase);
        for variable in ["PHASE_CA_FILE", "SSL_CERT_FILE"] {
            let run = sandbox.run_echo(&[]).unset("PHASE_CA_FILE");
            let output = run.env(variable, phase.ca_file()).output();
            match why {
                None => assert_eq!(output.assert_ok().text(), "started\n"),
                Some(why) => {
                    let output = output.assert_refused("tls");
                    assert!(output.stderr.contains(why), "{output}");
                    assert!(phase.requests().is_empty());
                }
            }
        }
    }
}

/// Whoever has the key of a server in the CA file cannot pose as another one.
#[test]
fn server_certificate_in_ca_file_signs_no_other() {
    for certificate in [Certificate::SignedByServer, Certificate::SignedByUnmarked] {
        let phase = serving(certificate);
        let sandbox = Sandbox::new(&phase);
        let output = sandbox.run_echo(&[]).output().assert_refused("tls");
        assert!(
            output.stderr.contains("signed by an unknown CA"),
            "{output}"
        );
        assert!(phase.requests().is_empty());
        // Nor if it is beside a CA.
        let good = serving(Certificate::Good);
        let both = [phase.ca_file(), good.ca_file()].map(|file| std::fs::read(file).unwrap());
        let file = sandbox.file("both.pem", both.concat());
        let run = sandbox.run_echo(&[]).env("PHASE_CA_FILE", &file);
        let _ = run.output().assert_refused("tls");
        let other = Sandbox::new(&good);
        let run = other.run_echo(&[]).env("PHASE_CA_FILE", &file);
        assert_eq!(run.output().assert_ok().text(), "started\n");
    }
}

/// Another certificate in the CA file does not make a self-signed one acceptable.
#[test]
fn unlisted_self_signed_certificate_is_refused() {
    let phase = serving(Certificate::SelfSigned);
    let others = serving(Certificate::SelfSigned);
    let sandbox = Sandbox::new(&phase);
    for ca_file in [Some(others.ca_file()), None] {
        let run = sandbox.run_echo(&[]).unset("PHASE_CA_FILE");
        let run = match ca_file {
            Some(file) => run.env("PHASE_CA_FILE", file),
            None => run,
        };
        let output = run.output().assert_refused("tls");
        let hint = "hint: pass the file of exactly this certificate with --ca-file\n";
        assert!(output.stderr.ends_with(hint), "{output}");
    }
    assert!(phase.requests().is_empty());
}

#[test]
fn wanted_client_certificate_is_named() {
    for handshake in [
        Handshake::ClientCertificateTls12,
        Handshake::ClientCertificateTls13,
    ] {
        let options = Options {
            handshake,
            ..Options::default()
        };
        let phase = Phase::with(shop_world([("KEY", "value")]), options);
        let sandbox = Sandbox::new(&phase);
        let output = sandbox.run_echo(&[]).output().assert_refused("tls");
        let why = "it requires a client certificate, which phase-run cannot send\n";
        assert!(output.stderr.contains(why), "{handshake:?}: {output}");
    }
    // nginx accepts the handshake and responds with a page.
    let phase = serving(Certificate::Good);
    let page = b"<center>No required SSL certificate was sent</center>".to_vec();
    phase.respond("", Responder::raw(400, "text/html", page));
    let sandbox = Sandbox::new(&phase);
    let output = sandbox.run_echo(&[]).output().assert_refused("protocol");
    assert!(
        output.stderr.contains("requires a client certificate"),
        "{output}"
    );
}

/// The CA is right, so the message and the hint must not blame it. The first case is TLS 1.3. In the
/// second, the handshake of TLS 1.2 fails before the client certificate matters.
#[test]
fn server_without_private_key_of_certificate_is_named() {
    for handshake in [Handshake::Ordinary, Handshake::ClientCertificateTls12] {
        let options = Options {
            certificate: Certificate::OtherKey,
            handshake,
            ..Options::default()
        };
        let phase = Phase::with(shop_world([("KEY", "value")]), options);
        let sandbox = Sandbox::new(&phase);
        let output = sandbox.run_echo(&[]).output().assert_refused("tls");
        let why = " failed: it does not have the private key of its certificate\n";
        assert!(output.stderr.ends_with(why), "{handshake:?}: {output}");
        assert!(phase.requests().is_empty());
    }
}

/// A CA file replaces the built-in roots. The option overrides the variables, and `PHASE_CA_FILE`
/// overrides `SSL_CERT_FILE`.
#[test]
fn ca_file_replaces_built_in_roots() {
    let phase = serving(Certificate::Good);
    let other = serving(Certificate::Good);
    let sandbox = Sandbox::new(&phase);
    let (ours, others) = (phase.ca_file(), other.ca_file());
    let run = || sandbox.run_echo(&[]).unset("PHASE_CA_FILE");
    let id = shop_id();
    let option = |file: &Path| {
        let words = ["--app", &id, "--env", "Production", "--ca-file"];
        let run = sandbox.run(words).arg(file);
        run.args(["echo", "started"])
    };
    for (run, trusted) in [
        (run().env("SSL_CERT_FILE", ours), true),
        (
            run()
                .env("PHASE_CA_FILE", ours)
                .env("SSL_CERT_FILE", others),
            true,
        ),
        (
            run().env("PHASE_CA_FILE", "").env("SSL_CERT_FILE", ours),
            true,
        ),
        (option(ours).env("PHASE_CA_FILE", others), true),
        (option(others).env("PHASE_CA_FILE", ours), false),
        (
            run()
                .env("PHASE_CA_FILE", others)
                .env("SSL_CERT_FILE", ours),
            false,
        ),
        (run().env("SSL_CERT_FILE", others), false),
    ] {
        let output = run.output();
        match trusted {
            true => assert_eq!(output.assert_ok().text(), "started\n"),
            false => drop(output.assert_refused("tls")),
        }
    }
}

/// A bundle holds several certificates with text between them.
#[test]
fn ca_file_with_several_roots_is_read_completely() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let phase = serving(Certificate::Good);
    let pem = |phase: &Phase| std::fs::read_to_string(phase.ca_file()).unwrap();
    let sandbox = Sandbox::new(&phase);
    let other = pem(&serving(Certificate::Good));
    let bundle = format!("# other\n{other}\nours:\r\n{}", pem(&phase));
    let bundle = sandbox.file("bundle.pem", bundle);
    let output = sandbox.run_echo(&[]).env("PHASE_CA_FILE", bundle).output();
    assert_eq!(output.assert_ok().text(), "started\n");
}

/// Replaces the bundle of the machine by this file.
const SYSTEM_BUNDLE: &str = "mount -t tmpfs none /etc/ssl && mkdir /etc/ssl/certs && \
    cp \"$BUNDLE\" /etc/ssl/certs/ca-certificates.crt && exec \"$@\"";

fn with_bundle<'a>(run: Run<'a>, bundle: &Path) -> Run<'a> {
    let run = run.unset("PHASE_CA_FILE").env("BUNDLE", bundle);
    run.in_namespaces(&["--mount"], SYSTEM_BUNDLE)
}

/// If the built-in roots do not know an issuer, the bundle of the system is tried, so that a company's
/// CA that is installed there is trusted.
#[test]
fn issuer_in_system_bundle_is_trusted() {
    let phase = serving(Certificate::Good);
    let sandbox = Sandbox::new(&phase);
    let output = with_bundle(sandbox.run_echo(&[]), phase.ca_file())
        .output()
        .assert_ok();
    assert_eq!(output.text(), "started\n");
    assert_eq!(phase.requests().len(), 1);

    let id = shop_id();
    let verbose = sandbox.run(["-v", "--app", &id, "--env", "Production", "true"]);
    let output = with_bundle(verbose, phase.ca_file())
        .output()
        .assert_status(Status::Exited(0));
    let name = phase.host().replace("https://", "");
    let said = format!("the issuer of the certificate of {name} is not among the built-in roots");
    assert_eq!(output.stderr.matches(&said).count(), 1, "{output}");
}

/// If neither the built-in roots nor the system know the issuer, the hint names `--ca-file` and its variable.
#[test]
fn unknown_issuer_gets_ca_file_hint() {
    let phase = serving(Certificate::Good);
    let other = serving(Certificate::Good);
    let sandbox = Sandbox::new(&phase);
    let empty = sandbox.file("empty.pem", "");
    for bundle in [other.ca_file(), &empty] {
        let output = with_bundle(sandbox.run_echo(&[]), bundle).output();
        let output = output.assert_refused("tls");
        assert!(
            output.stderr.ends_with("with --ca-file or PHASE_CA_FILE\n"),
            "{output}"
        );
    }
    assert!(phase.requests().is_empty());
}

/// With a CA file, the bundle of the system is not used.
#[test]
fn ca_file_disables_system_bundle() {
    let phase = serving(Certificate::Good);
    let other = serving(Certificate::Good);
    let sandbox = Sandbox::new(&phase);
    let run = with_bundle(sandbox.run_echo(&[]), phase.ca_file());
    let output = run.env("PHASE_CA_FILE", other.ca_file()).output();
    let _ = output.assert_refused("tls");
}

/// The bundle of the system helps only with the issuer, not with other defects of a certificate.
#[test]
fn system_bundle_does_not_excuse_other_defects() {
    for certificate in [Certificate::Expired, Certificate::OtherName] {
        let phase = serving(certificate);
        let sandbox = Sandbox::new(&phase);
        let run = with_bundle(sandbox.run_echo(&[]), phase.ca_file());
        let output = run.output().assert_refused("tls");
        assert!(!output.stderr.contains("hint:"), "{output}");
        assert!(phase.requests().is_empty());
    }
}

/// `https://` with a port where a server speaks plain http or another protocol.
#[test]
fn port_without_tls_is_refused() {
    let plain = Phase::with(
        shop_world([("KEY", "value")]),
        Options {
            tls: false,
            ..Options::default()
        },
    );
    let ssh = fake_server(|mut socket| drop(socket.write_all(b"SSH-2.0-OpenSSH_9.7\r\n")));
    let phase = serving(Certificate::Good);
    let sandbox = Sandbox::new(&phase);
    let http = fake_server(|mut socket| {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        stay_silent(socket);
    });
    for address in [ssh, http] {
        let run = sandbox
            .run_echo(&[])
            .env("PHASE_HOST", format!("https://{address}"));
        let output = run.output().assert_refused("tls");
        assert!(
            output.stderr.contains("does not speak TLS on this port"),
            "{output}"
        );
    }
    // This server reads the handshake as a request and closes the connection.
    let host = plain
        .host()
        .replace("http://127.0.0.1", "https://localhost");
    let run = sandbox.run_echo(&[]).env("PHASE_HOST", host);
    let output = run.output();
    assert!(output.stdout.is_empty(), "something ran\n{output}");
    assert!(plain.requests().is_empty());
}

/// `http://` with a TLS port: the server answers 400.
#[test]
fn plain_http_to_tls_port_is_refused() {
    let phase = serving(Certificate::Good);
    let sandbox = Sandbox::new(&phase);
    let host = phase.host().replace("https://", "http://");
    let output = sandbox
        .run_echo(&[])
        .env("PHASE_HOST", host)
        .output()
        .assert_refused("server");
    let message =
        "responded with status 400\nhint: check --host or PHASE_HOST: a port for https://";
    assert!(output.stderr.contains(message), "{output}");
}

/// Plain http is allowed to loopback addresses only. Another address is refused before connecting, even
/// if it leads to this machine.
#[test]
fn plain_http_to_other_machines_never_connects() {
    let phase = Phase::with(
        shop_world([("KEY", "value")]),
        Options {
            tls: false,
            ..Options::default()
        },
    );
    let sandbox = Sandbox::new(&phase);
    let port = phase.port();
    TcpStream::connect(("0.0.0.0", port)).unwrap();
    eventually("there is a connection", || match phase.connections() {
        1 => Ok(()),
        other => Err(other),
    });
    for stranger in ["0.0.0.0", "phase.example", "10.0.0.1", "localhost.example"] {
        let host = format!("http://{stranger}:{port}");
        let output = sandbox
            .run_echo(&[])
            .env("PHASE_HOST", host)
            .output()
            .assert_refused("config");
        let hint = format!("hint: use https://{stranger}:{port}\n");
        assert!(output.stderr.ends_with(&hint), "{output}");
    }
    assert_eq!(phase.connections(), 1);
}

/// A full record of TLS has this many bytes and a few more.
const FULL: usize = 16 << 10;

/// Changes a TLS record of the server. Gets the number of full records up to this one. The connection ends
/// if it returns `None`.
type EditRecord = fn(usize, Vec<u8>) -> Option<Vec<u8>>;

/// Relays a connection to this port, record by record (RFC 8446, section 5.1).
fn tls_relay(port: u16, edit: EditRecord) -> SocketAddr {
    fake_server(move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        spawn(move || copy(&mut from, &mut to));
        let mut full_records = 0;
        let mut header = [0; 5];
        while server.read_exact(&mut header).is_ok() {
            let length = u16::from_be_bytes([header[3], header[4]]);
            let mut record = vec![0; 5 + usize::from(length)];
            record[..5].copy_from_slice(&header);
            let is_complete = server.read_exact(&mut record[5..]).is_ok();
            full_records += usize::from(record.len() > FULL);
            let record = edit(full_records, record).filter(|_| is_complete);
            if record.is_none_or(|record| client.write_all(&record).is_err()) {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
    })
}

/// Flips a bit, so that the record cannot be decrypted.
fn corrupt(mut record: Vec<u8>) -> Vec<u8> {
    *record.last_mut().unwrap() ^= 1;
    record
}

/// The messages about broken connections are phase-run's, not those of its libraries.
#[test]
fn broken_tls_connection_is_told_in_plain_english() {
    let long_value = "x".repeat(100_000);
    let phase = Phase::serve(shop_world([("KEY", &*long_value)]));
    let sandbox = Sandbox::new(&phase);
    let invalid = ("tls", " failed: it sent invalid TLS data\n");
    let truncated = ("unreachable", ": the response was truncated\n");
    let cases: [(EditRecord, &[(&str, &str)]); 5] = [
        (
            |_, _| None,
            &[(
                "unreachable",
                ": the connection was closed during the TLS handshake\n",
            )],
        ),
        (
            |full_records, record| match full_records {
                1 => Some(corrupt(record)),
                _ => Some(record),
            },
            &[invalid],
        ),
        // In the middle of a body, the HTTP library may report the end of the connection instead.
        (
            |full_records, record| match full_records {
                3 => Some(corrupt(record)),
                _ => Some(record),
            },
            &[invalid, truncated],
        ),
        (
            |full_records, record| (full_records < 3).then_some(record),
            &[truncated],
        ),
        (
            |full_records, record| (full_records == 0).then_some(record),
            &[(
                "unreachable",
                ": the connection was closed before a response\n",
            )],
        ),
    ];
    for (edit, outcomes) in cases {
        let port = tls_relay(phase.port(), edit).port();
        let host = format!("https://localhost:{port}");
        let output = sandbox.run_echo(&[]).env("PHASE_HOST", host).output();
        let outcome = outcomes.iter().find(|(_, why)| output.stderr.contains(why));
        let Some((kind, _)) = outcome else {
            panic!("{outcomes:?}{output}");
        };
        let _ = output.assert_refused(kind);
    }
}

/// A server that supports no common TLS version or requires a client certificate sends an alert.
#[test]
fn handshake_alert_is_a_tls_error() {
    // A fatal handshake_failure alert (RFC 8446, section 6).
    let address = fake_server(|mut socket| {
        let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, 40]);
        stay_silent(socket);
    });
    let phase = serving(Certificate::Good);
    phase.respond("/", Responder::stall());
    let sandbox = Sandbox::new(&phase);
    let run = sandbox
        .run_echo(&[])
        .env("PHASE_HOST", format!("https://{address}"));
    let output = run.output().assert_refused("tls");
    assert!(
        output.stderr.contains("refused the TLS handshake"),
        "{output}"
    );
}
