#![forbid(unsafe_code)]
//! The proxy that the variables ask for, and the hosts that they except: as curl(1) reads them.

use std::net::IpAddr;

use base64ct::{Base64, Encoding};
use reqwest::Url;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::Host;
use super::choices::Choices;
use crate::error::Error;

/// For https, the first that is set wins.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXIES: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// What curl takes for a proxy's port where none is given.
const PORTS: [(&str, u16); 2] = [("http", 1080), ("https", 443)];

const WANTS: &str = "a proxy's address, http://HOST:PORT or https://HOST:PORT";

/// A proxy for https; plain http stays on this machine.
pub(crate) struct Proxy {
    /// Without user and password.
    pub(crate) address: Url,
    /// `Proxy-Authorization` (RFC 9110 §11.7.1), marked as sensitive.
    pub(crate) login: Option<HeaderValue>,
    /// `host:port`, for messages.
    pub(crate) name: String,
    /// Where it was asked for.
    pub(crate) variable: &'static str,
    exceptions: Vec<String>,
}

impl Proxy {
    /// Whether a host is to be reached without it; of an IPv6 address, without its brackets.
    pub(crate) fn excepts(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        self.exceptions.iter().any(|one| match address {
            Some(address) => covers_address(one, address),
            None => covers_name(one, &host),
        })
    }
}

/// The name itself and all names below it.
fn covers_name(exception: &str, host: &str) -> bool {
    let suffix = exception.strip_prefix('.').unwrap_or(exception);
    let inside = host.strip_suffix(suffix.trim_end_matches('.'));
    !suffix.is_empty() && inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An address, or a network with the length of its prefix (RFC 4632).
fn covers_address(exception: &str, address: IpAddr) -> bool {
    let (network, bits) = match exception.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (exception, Some(u32::MAX)),
    };
    let network = network.trim_matches(['[', ']']).parse::<IpAddr>();
    let (Ok(network), Some(bits)) = (network, bits) else {
        return false;
    };
    let differ = |one: u128, other: u128, size: u32| {
        let kept = if bits == 0 { size } else { bits.min(size) };
        (one ^ other).checked_shr(size - kept).unwrap_or(0) != 0
    };
    match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            !differ(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => !differ(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

impl Choices<'_> {
    /// None where no variable asks for one, and where it could not matter.
    ///
    /// # Errors
    /// `config` for an address that is none, or of a proxy that phase-run does not speak with.
    pub(super) fn proxy(&self, host: &Host) -> Result<Option<Proxy>, Error> {
        let set = |name: &&'static str| self.inherited.get(name).is_some_and(|v| !v.is_empty());
        let Some(variable) = PROXIES.into_iter().find(set) else {
            return Ok(None);
        };
        // Plain http is for this machine alone, and never goes through a proxy.
        if host.is_plain_http() {
            return Ok(None);
        }
        let exceptions = NO_PROXIES.into_iter().find(set);
        let exceptions = exceptions.and_then(|name| self.inherited.get(name)?.to_str());
        let exceptions = exceptions.unwrap_or_default().trim();
        if exceptions == "*" {
            return Ok(None);
        }
        let exceptions = exceptions.split([',', ' ', '\t']);
        let exceptions = exceptions.filter(|one| !one.is_empty());
        let given = self.variable(variable)?.unwrap_or_default();
        // Nothing before an @ is shown: a password may stand there.
        let refused = || Error::BadVariable {
            name: variable,
            given: given.rsplit('@').next().unwrap_or_default().to_owned(),
            wants: WANTS,
        };
        let (address, login) = parsed(given).ok_or_else(refused)?;
        Ok(Some(Proxy {
            name: [
                address.host_str().unwrap_or_default(),
                &address.port_or_known_default().unwrap_or(0).to_string(),
            ]
            .join(":"),
            address,
            login,
            variable,
            exceptions: exceptions.map(str::to_lowercase).collect(),
        }))
    }
}

/// Address and login, which is taken out of it.
fn parsed(given: &str) -> Option<(Url, Option<HeaderValue>)> {
    let with_scheme = match given.contains("://") {
        true => Zeroizing::new(given.to_owned()),
        false => Zeroizing::new(["http://", given].concat()),
    };
    let mut url = Url::parse(&with_scheme).ok()?;
    let (_, default) = PORTS
        .into_iter()
        .find(|(scheme, _)| *scheme == url.scheme())?;
    url.host_str()?;
    // The port that is a scheme's own is dropped by the parser, also where it was given.
    let (_, rest) = with_scheme.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit('@').next()?;
    let explicit = place
        .rsplit_once(':')
        .is_some_and(|(before, port)| is_port(port) && !before.ends_with(':'));
    if !explicit {
        url.set_port(Some(default)).ok()?;
    }
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => Some(basic(user, password.unwrap_or_default())?),
    };
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((url, login))
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `Basic` and what RFC 7617 has behind it.
fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let mut login = Zeroizing::new(decoded(user));
    login.push(b':');
    login.extend_from_slice(&Zeroizing::new(decoded(password)));
    let encoded = Zeroizing::new(Base64::encode_string(&login));
    let text = Zeroizing::new(["Basic ", &encoded].concat());
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// `%40` is an `@` (RFC 3986 §2.1); what is no such pair of digits stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.split_first_chunk::<2>().filter(|_| *first == b'%');
        let value = pair.and_then(|(digits, after)| {
            let digits = str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = value.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_curl_reads_it() {
        for (given, address, login) in [
            ("proxy.test", "http://proxy.test:1080/", None),
            ("http://proxy.test:80", "http://proxy.test/", None),
            ("https://proxy.test", "https://proxy.test/", None),
            ("HTTP://10.0.0.1:3128/x", "http://10.0.0.1:3128/x", None),
            ("[::1]:8080", "http://[::1]:8080/", None),
            ("http://[::1]", "http://[::1]:1080/", None),
            (
                "u:p@proxy.test:1",
                "http://proxy.test:1/",
                Some("Basic dTpw"),
            ),
            (
                "u%40x:p%3A@proxy.test:1",
                "http://proxy.test:1/",
                Some("Basic dUB4OnA6"),
            ),
            (
                "http://u@proxy.test",
                "http://proxy.test:1080/",
                Some("Basic dTo="),
            ),
        ] {
            let (url, found) = parsed(given).unwrap();
            assert_eq!(url.as_str(), address, "{given}");
            let found = found.as_ref().map(|login| login.to_str().unwrap());
            assert_eq!(found, login, "{given}");
        }
        for given in [
            "socks5://proxy.test",
            "socks4a://x:1",
            "ftp://x",
            "://",
            "http://",
            "http://x:y",
        ] {
            assert!(parsed(given).is_none(), "{given}");
        }
    }
}
