#![forbid(unsafe_code)]
//! The address of Phase, and the URLs of its interfaces. No token is sent anywhere unencrypted.

use std::net::Ipv6Addr;

use reqwest::Url;

use crate::error::{Error, SetBy, env_file_hint};
use crate::http::{is_loopback, parse_url};

/// The hosts of Phase Cloud. The second serves only the public REST interface.
const PHASE_CLOUD_HOSTS: [&str; 2] = ["console.phase.dev", "api.phase.dev"];

/// An address that a token may be sent to: https, or http to this machine.
#[derive(Debug)]
pub(crate) struct Host {
    /// The address as configured, without a slash at the end.
    base: String,
    /// The host without a port.
    host: String,
    /// `host` or `host:port`, for messages.
    name: String,
    is_phase_cloud: bool,
}

impl Host {
    /// Phase Cloud, which is also the default of the official CLI.
    pub(crate) fn phase_cloud() -> Self {
        let [console, _] = PHASE_CLOUD_HOSTS;
        Self {
            base: format!("https://{console}"),
            host: console.to_owned(),
            name: console.to_owned(),
            is_phase_cloud: true,
        }
    }

    /// Parses an address.
    ///
    /// # Errors
    /// Returns `config` if the text is not a URL, has parts besides host, port and path, or is plain
    /// http to another machine.
    #[expect(
        clippy::expect_used,
        reason = "parse_url rejects an address without a host"
    )]
    pub(crate) fn parse(text: &str, set_by: SetBy) -> Result<Self, Error> {
        let url = parse_host_url(text).map_err(|why| {
            let with_brackets = addresses_with_brackets(text);
            let (why, suggestion) = match with_brackets.as_slice() {
                [] => (why, suggested_address(text)),
                addresses => (
                    "an IPv6 address in a URL must be in brackets",
                    Some(addresses.join(" or ")),
                ),
            };
            // What is redacted from the address must not be in the suggestion either.
            let suggestion = suggestion.filter(|_| redacted(text) == text);
            let hint = match (&set_by, suggestion) {
                (SetBy::LoginFile(_), Some(address)) => {
                    Some(format!("log in at {address} with phase auth"))
                }
                (SetBy::LoginFile(_), None) => Some("log in again with phase auth".to_owned()),
                (set_by, suggestion) => env_file_hint(set_by, text)
                    .or_else(|| suggestion.map(|address| format!("use {address}"))),
            };
            Error::InvalidHost {
                value: redacted(text).to_owned(),
                set_by,
                why,
                hint,
            }
        })?;
        let host = url
            .host_str()
            .expect("parse_url rejects an address without a host")
            .to_owned();
        let is_phase_cloud = PHASE_CLOUD_HOSTS.contains(&&*host)
            && url.scheme() == "https"
            && url.port().is_none()
            && url.path() == "/";
        Ok(Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            name: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.clone(),
            },
            host,
            is_phase_cloud,
        })
    }

    /// `host` or `host:port`, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The address for messages: `https://host:port`, with the path if it has one.
    pub(crate) fn address(&self) -> String {
        let [console, _] = PHASE_CLOUD_HOSTS;
        match self.is_phase_cloud {
            true => format!("https://{console}"),
            false => self.base.clone(),
        }
    }

    /// Whether the scheme is http, which is possible only for this machine.
    pub(super) fn is_plain_http(&self) -> bool {
        self.base.starts_with("http:")
    }

    /// The hosts that requests go to, without their ports.
    pub(super) fn host_names(&self) -> Vec<&str> {
        match self.is_phase_cloud {
            true => PHASE_CLOUD_HOSTS.to_vec(),
            false => vec![&self.host],
        }
    }

    /// A URL of the public REST interface; `path` has no slash at its start.
    pub(crate) fn rest_url(&self, path: &str) -> String {
        let [_, api] = PHASE_CLOUD_HOSTS;
        match self.is_phase_cloud {
            true => format!("https://{api}/{path}"),
            false => format!("{}/service/public/{path}", self.base),
        }
    }

    /// The server of the REST interface, where that is another one than the server of the other
    /// interfaces.
    pub(crate) fn separate_rest_server(&self) -> Option<Url> {
        let url = Url::parse(&self.rest_url("")).ok();
        url.filter(|_| self.is_phase_cloud)
    }

    /// The endpoint of end-to-end encrypted secrets.
    pub(crate) fn secrets_url(&self) -> String {
        let [console, _] = PHASE_CLOUD_HOSTS;
        match self.is_phase_cloud {
            true => format!("https://{console}/service/secrets/"),
            false => format!("{}/service/secrets/", self.base),
        }
    }

    /// The endpoint that lists what a token can read.
    pub(crate) fn tokens_url(&self) -> String {
        format!("{}tokens/", self.secrets_url())
    }
}

/// Parses the address of Phase.
///
/// # Errors
/// The reason why the address is not acceptable.
fn parse_host_url(text: &str) -> Result<Url, &'static str> {
    // A URL parser drops these without a word.
    if text.trim() != text || text.contains(char::is_control) {
        return Err("it has a control character, or white space at its start or end");
    }
    let url = parse_url(text, is_loopback)?;
    match url.query() {
        None => Ok(url),
        Some(_) => Err("it has a query"),
    }
}

/// Returns the addresses that may be meant by one whose host is an IPv6 address without brackets. What
/// follows the last colon may be part of the address, or a port.
fn addresses_with_brackets(text: &str) -> Vec<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let mut addresses = Vec::new();
    if host.parse::<Ipv6Addr>().is_ok() {
        addresses.push(format!("{scheme}://[{host}]{path}"));
    }
    if let Some((host, port)) = host.rsplit_once(':')
        && host.parse::<Ipv6Addr>().is_ok()
    {
        addresses.push(format!("{scheme}://[{host}]:{port}{path}"));
    }
    addresses.retain(|address| parse_host_url(address).is_ok());
    addresses
}

/// The address with https that may be meant instead, if that is acceptable.
fn suggested_address(text: &str) -> Option<String> {
    let rest = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    let address = format!("https://{rest}");
    parse_host_url(&address).is_ok().then_some(address)
}

/// An address without the parts that may hold a password or a token.
fn redacted(text: &str) -> &str {
    let rest = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    rest.split_once(['?', '#']).map_or(rest, |(start, _)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_urls() {
        let cloud = (
            "https://api.phase.dev/v1/apps/",
            "https://console.phase.dev/service/secrets/tokens/",
        );
        let own = (
            "https://acme.test/service/public/v1/apps/",
            "https://acme.test/service/secrets/tokens/",
        );
        for (text, name, (rest, tokens)) in [
            ("https://console.phase.dev", "console.phase.dev", cloud),
            ("https://api.phase.dev/", "api.phase.dev", cloud),
            ("https://acme.test", "acme.test", own),
            ("https://ACME.test//", "acme.test", own),
            (
                "https://acme.test:8443/phase/",
                "acme.test:8443",
                (
                    "https://acme.test:8443/phase/service/public/v1/apps/",
                    "https://acme.test:8443/phase/service/secrets/tokens/",
                ),
            ),
            (
                "http://127.0.0.1:80",
                "127.0.0.1",
                (
                    "http://127.0.0.1/service/public/v1/apps/",
                    "http://127.0.0.1/service/secrets/tokens/",
                ),
            ),
        ] {
            let host = Host::parse(text, SetBy::Option("--host")).unwrap();
            assert_eq!(
                (
                    host.name(),
                    host.rest_url("v1/apps/").as_str(),
                    host.tokens_url().as_str()
                ),
                (name, rest, tokens),
                "{text}"
            );
        }
    }

    #[test]
    fn plain_http_is_only_for_loopback() {
        for text in [
            "http://localhost:1",
            "http://127.9.9.9",
            "http://[::1]:8000",
        ] {
            assert!(Host::parse(text, SetBy::Option("--host")).is_ok(), "{text}");
        }
        for (text, instead) in [
            ("http://acme.test", Some("https://acme.test")),
            ("http://10.0.0.1", Some("https://10.0.0.1")),
            (
                "http://localhost.acme.test",
                Some("https://localhost.acme.test"),
            ),
            ("acme.test", Some("https://acme.test")),
            ("acme.test:8443", Some("https://acme.test:8443")),
            ("ftp://acme.test", Some("https://acme.test")),
            ("https://user:word@acme.test", None),
            ("https://acme.test?x=1", None),
            ("https://acme.test#x", None),
            (
                "https://fd00::1:8443",
                Some("https://[fd00::1:8443] or https://[fd00::1]:8443"),
            ),
            (
                "fd00::1:8443/phase",
                Some("https://[fd00::1:8443]/phase or https://[fd00::1]:8443/phase"),
            ),
            ("https://fd00::1", Some("https://[fd00::1]")),
            (
                "https://1:2:3:4:5:6:7:8:443",
                Some("https://[1:2:3:4:5:6:7:8]:443"),
            ),
            ("http://::1:8000", Some("http://[::1]:8000")),
            ("https://a:b:c", None),
            ("https://", None),
            ("https://acme.test\r", None),
            ("https://acme.test\n", None),
            ("https://ac\tme.test", None),
            (" https://acme.test", Some("https://acme.test")),
            ("http://user:a/://word@acme.test", None),
            ("http://acme.test?x=://word", None),
        ] {
            let Err(Error::InvalidHost { value, hint, .. }) =
                Host::parse(text, SetBy::Option("--host"))
            else {
                panic!("{text} was accepted")
            };
            let suggestion = hint.as_deref().and_then(|hint| hint.strip_prefix("use "));
            assert_eq!(suggestion, instead, "{text}");
            assert!(!value.contains("word"), "{value}");
        }
    }
}
