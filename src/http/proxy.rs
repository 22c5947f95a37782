#![forbid(unsafe_code)]
//! The proxy that the variables ask for, and the hosts that they except: as curl(1) reads them.

use std::net::IpAddr;

use base64ct::{Base64, Encoding};
use reqwest::Url;
use reqwest::header::HeaderValue;

/// What curl takes for a proxy's port where none is given.
const PORTS: [(&str, u16); 2] = [("http", 1080), ("https", 443)];

/// A proxy for https; plain http stays on this machine.
pub(crate) struct Proxy {
    /// Without user and password.
    pub(crate) address: Url,
    /// `Proxy-Authorization` (RFC 9110 §11.7.1), marked as sensitive.
    pub(crate) authorization: Option<HeaderValue>,
    /// `host:port`, for messages.
    pub(crate) name: String,
    /// Where it was asked for.
    pub(crate) variable: &'static str,
    no_proxy: NoProxy,
}

impl Proxy {
    /// Reads an address as curl does; none where it is not one.
    pub(crate) fn parse(given: &str, variable: &'static str, no_proxy: NoProxy) -> Option<Self> {
        let (address, authorization) = parsed(given)?;
        Some(Self {
            name: [
                address.host_str().unwrap_or_default(),
                &address.port_or_known_default().unwrap_or(0).to_string(),
            ]
            .join(":"),
            address,
            authorization,
            variable,
            no_proxy,
        })
    }

    /// Whether a host is to be reached without it.
    pub(crate) fn is_bypassed_for(&self, host: &str) -> bool {
        self.no_proxy.matches(host)
    }
}

/// What `no_proxy` lists.
pub(crate) struct NoProxy(Vec<String>);

impl NoProxy {
    /// `*` counts alone, to the byte; between two others stand commas or blanks.
    pub(crate) fn parse(list: &str) -> Option<Self> {
        let each = list.split([',', ' ', '\t']).filter(|one| !one.is_empty());
        (list != "*").then(|| Self(each.map(str::to_lowercase).collect()))
    }

    /// An IPv6 address may stand in brackets.
    pub(crate) fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let address = bare(&host).parse::<IpAddr>().ok();
        self.0.iter().any(|one| match address {
            Some(address) => covers_address(one, address),
            None => covers_name(one, &host),
        })
    }
}

fn bare(address: &str) -> &str {
    let inner = address.strip_prefix('[');
    let inner = inner.and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(address)
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
        None => (exception, Some(0)),
    };
    let (Ok(network), Some(bits)) = (bare(network).parse::<IpAddr>(), bits) else {
        return false;
    };
    // Of 0 bits curl compares all.
    let alike = |one: u128, other: u128, size: u32| {
        let kept = if bits == 0 { size } else { bits };
        size.checked_sub(kept)
            .is_some_and(|dropped| (one ^ other) >> dropped == 0)
    };
    match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            alike(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => alike(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

/// Its scheme alone: of what cannot be read as an address, nobody knows where the password is.
pub(crate) fn redacted(given: &str) -> String {
    let scheme = given.split_once("://").map(|(scheme, _)| scheme);
    let letters = |scheme: &&str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match scheme.filter(letters) {
        Some(scheme) => format!("{scheme}://…"),
        None => "…".to_owned(),
    }
}

/// Address and login, which is taken out before anything else looks at it.
fn parsed(given: &str) -> Option<(Url, Option<HeaderValue>)> {
    let (scheme, rest) = given.split_once("://").unwrap_or(("http", given));
    let mut known = PORTS.into_iter();
    let (scheme, default) = known.find(|(known, _)| known.eq_ignore_ascii_case(scheme))?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // The start of a password, if one of these stands in it unescaped, is no host.
    if path.contains('@') {
        return None;
    }
    let (login, place) = match authority.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, authority),
    };
    let behind = place.rsplit(']').next().unwrap_or_default();
    let port = match behind.split_once(':') {
        Some((_, port)) => port.parse::<u16>().ok()?,
        None => default,
    };
    let mut address = Url::parse(&[scheme, "://", place].concat()).ok()?;
    // The parser drops the port that is a scheme's own.
    address.set_port(Some(port)).ok()?;
    let login = match login.filter(|login| !login.is_empty()) {
        Some(login) => Some(basic(login.split_once(':').unwrap_or((login, "")))?),
        None => None,
    };
    Some((address, login))
}

/// `Basic` and what RFC 7617 has behind it, which holds no control characters.
fn basic((user, password): (&str, &str)) -> Option<HeaderValue> {
    let mut login = decoded(user);
    login.push(b':');
    login.extend_from_slice(&decoded(password));
    if login.iter().any(u8::is_ascii_control) {
        return None;
    }
    let encoded = Base64::encode_string(&login);
    let text = ["Basic ", &encoded].concat();
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
            ("HTTP://10.0.0.1:3128/x", "http://10.0.0.1:3128/", None),
            ("@proxy.test", "http://proxy.test:1080/", None),
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
            "http://x:",
            "http://x:65536",
            "http:/x:1",
            "http:///x:1",
            "::1",
            "u:1/2@x:1",
            "u:1#2@x:1",
            "u:1\\2@x:1",
            "u:1%0a2@x:1",
        ] {
            assert!(parsed(given).is_none(), "{given}");
        }
    }
}
