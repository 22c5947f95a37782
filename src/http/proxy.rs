#![forbid(unsafe_code)]
//! The address of a proxy and the exceptions from it, as curl(1) reads them.

use std::net::IpAddr;

use base64ct::{Base64, Encoding};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::HeaderValue;

/// The schemes that are supported, with the port that curl assumes if none is given.
const SCHEMES: [(&str, u16); 2] = [("http", 1080), ("https", 443)];

/// A proxy for requests over https.
pub(crate) struct Proxy {
    /// The address without user and password.
    pub(crate) address: Url,
    /// The value of `Proxy-Authorization` (RFC 9110, section 11.7.2), marked as sensitive.
    pub(crate) authorization: Option<HeaderValue>,
    /// `host:port`, for messages.
    pub(crate) name: String,
    /// The environment variable that holds the address.
    pub(crate) variable: &'static str,
    no_proxy: NoProxy,
}

impl Proxy {
    /// Parses an address. Returns `None` if curl would refuse it or the scheme is not supported.
    #[expect(clippy::expect_used, reason = "parse_address sets host and port")]
    pub(crate) fn parse(text: &str, variable: &'static str, no_proxy: NoProxy) -> Option<Self> {
        let (address, authorization) = parse_address(text)?;
        let host = address.host_str().expect("an http URL has a host");
        let port = address.port_or_known_default();
        let port = port.expect("http and https have a default port");
        Some(Self {
            name: format!("{host}:{port}"),
            address,
            authorization,
            variable,
            no_proxy,
        })
    }

    /// Whether requests to this host do not go through the proxy.
    pub(crate) fn is_bypassed_for(&self, host: &str) -> bool {
        self.no_proxy.matches(host)
    }
}

/// The list in `no_proxy`: names in lower case, addresses and networks.
pub(crate) struct NoProxy(Vec<String>);

impl NoProxy {
    /// Parses a list, whose entries are separated by commas and blanks. Returns `None` for `*`,
    /// which exempts every host; curl accepts it only as the whole list.
    pub(crate) fn parse(list: &str) -> Option<Self> {
        let entries = list
            .split([',', ' ', '\t'])
            .filter(|entry| !entry.is_empty());
        (list != "*").then(|| Self(entries.map(str::to_lowercase).collect()))
    }

    /// Whether the list names this host. An IPv6 address may stand in brackets.
    pub(crate) fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let address = without_brackets(&host).parse::<IpAddr>().ok();
        self.0.iter().any(|entry| match address {
            Some(address) => matches_address(entry, address),
            None => matches_name(entry, &host),
        })
    }
}

fn without_brackets(address: &str) -> &str {
    let inner = address.strip_prefix('[');
    let inner = inner.and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(address)
}

/// Whether `host` is the name in `entry` or a name below it.
fn matches_name(entry: &str, host: &str) -> bool {
    let suffix = entry.strip_prefix('.').unwrap_or(entry);
    let rest = host.strip_suffix(suffix.trim_end_matches('.'));
    !suffix.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether `entry` is this address or a network that holds it, in CIDR notation (RFC 4632).
fn matches_address(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (entry, Some(0)),
    };
    let (Ok(network), Some(bits)) = (without_brackets(network).parse::<IpAddr>(), bits) else {
        return false;
    };
    let share_prefix = |one: u128, other: u128, width: u32| {
        // curl compares the whole address if the prefix has no bits.
        let prefix = if bits == 0 { width } else { bits };
        width
            .checked_sub(prefix)
            .is_some_and(|dropped| (one ^ other) >> dropped == 0)
    };
    match (network, address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            share_prefix(one.to_bits().into(), other.to_bits().into(), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => share_prefix(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

/// Returns the scheme of an invalid address and nothing else, because the password may be anywhere.
pub(crate) fn redacted_address(text: &str) -> String {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &&str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match scheme.filter(is_scheme) {
        Some(scheme) => format!("{scheme}://…"),
        None => "…".to_owned(),
    }
}

/// Splits an address into its URL, without credentials, and the header with the credentials.
fn parse_address(text: &str) -> Option<(Url, Option<HeaderValue>)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let mut schemes = SCHEMES.into_iter();
    let (scheme, default_port) = schemes.find(|(known, _)| known.eq_ignore_ascii_case(scheme))?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // A password with one of these characters would be taken for a host.
    if path.contains('@') {
        return None;
    }
    let (credentials, host_and_port) = match authority.rsplit_once('@') {
        Some((credentials, host_and_port)) => (credentials, host_and_port),
        None => ("", authority),
    };
    // Colons inside the brackets of an IPv6 address do not start a port.
    let after_brackets = host_and_port.rsplit_once(']');
    let after_brackets = after_brackets.map_or(host_and_port, |(_, rest)| rest);
    let port = match after_brackets.split_once(':') {
        Some((_, port)) => port.parse::<u16>().ok()?,
        None => default_port,
    };
    let mut address = Url::parse(&[scheme, "://", host_and_port].concat()).ok()?;
    // The URL parser drops port 80 or 443, which is not curl's default for http.
    address.set_port(Some(port)).ok()?;
    let authorization = match credentials {
        "" => None,
        credentials => Some(basic_authorization(credentials)?),
    };
    Some((address, authorization))
}

/// Encodes percent-encoded credentials for HTTP Basic (RFC 7617). Returns `None` if they hold control
/// characters.
fn basic_authorization(credentials: &str) -> Option<HeaderValue> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    // A percent sign without two digits stays as it is.
    let plain = [user, password].map(|part| percent_decode_str(part).collect::<Vec<u8>>());
    let plain = plain.join(&b':');
    if plain.iter().any(u8::is_ascii_control) {
        return None;
    }
    let header = ["Basic ", &Base64::encode_string(&plain)].concat();
    let mut header = HeaderValue::from_str(&header).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_like_curl() {
        for (text, address, authorization) in [
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
                "u%+1%4:%c3%A4%@proxy.test:1",
                "http://proxy.test:1/",
                Some("Basic dSUrMSU0OsOkJQ=="),
            ),
            (
                "http://u@proxy.test",
                "http://proxy.test:1080/",
                Some("Basic dTo="),
            ),
        ] {
            let (url, header) = parse_address(text).unwrap();
            assert_eq!(url.as_str(), address, "{text}");
            let header = header.as_ref().map(|header| header.to_str().unwrap());
            assert_eq!(header, authorization, "{text}");
        }
        for text in [
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
            assert!(parse_address(text).is_none(), "{text}");
        }
    }
}
