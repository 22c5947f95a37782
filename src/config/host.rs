#![forbid(unsafe_code)]
//! Phase's address: where its three interfaces are, and that nothing is sent there in clear.

use reqwest::Url;

use crate::error::{Error, Source};
use crate::http::is_loopback;

/// Phase Cloud serves REST under a name of its own.
const CLOUD: [&str; 2] = ["console.phase.dev", "api.phase.dev"];

/// An address that a token may be sent to: https, or http to this machine.
#[derive(Debug)]
pub(crate) struct Host {
    /// The address given, without a slash at the end.
    base: String,
    /// `host` or `host:port`, for messages.
    name: String,
    cloud: bool,
}

impl Host {
    /// `https://console.phase.dev`, which the official CLI takes by default too.
    pub(crate) fn cloud() -> Self {
        let [console, _] = CLOUD;
        Self {
            base: format!("https://{console}"),
            name: console.to_owned(),
            cloud: true,
        }
    }

    /// # Errors
    /// `config` for what is no address, for plain http to another machine, and for parts that do
    /// not belong there.
    pub(crate) fn parse(text: &str, source: Source) -> Result<Self, Error> {
        let refuse = |why, instead| {
            // Somebody may have written a password or a token into it.
            let given = text.rsplit('@').next().unwrap_or_default();
            let given = given
                .split(['?', '#'])
                .next()
                .unwrap_or_default()
                .to_owned();
            Err(Error::InvalidHost {
                value: given,
                source: source.clone(),
                why,
                suggestion: instead,
            })
        };
        let with_scheme = || {
            let instead = format!("https://{}", text.rsplit("://").next().unwrap_or_default());
            Url::parse(&instead)
                .is_ok_and(|url| plain(&url))
                .then_some(instead)
        };
        let Ok(url) = Url::parse(text) else {
            return refuse("it is no URL", with_scheme());
        };
        let Some(name) = url.host_str() else {
            return refuse("it names no host", with_scheme());
        };
        if !plain(&url) {
            return refuse(
                "it may have a host, a port and a path, and nothing else",
                None,
            );
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(name) => {}
            "http" => {
                return refuse(
                    "over http the token would cross the network in clear",
                    with_scheme(),
                );
            }
            _ => return refuse("it is neither https nor http", with_scheme()),
        }
        let cloud = CLOUD.contains(&name)
            && url.scheme() == "https"
            && url.port().is_none()
            && url.path() == "/";
        let name = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        Ok(Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            name,
            cloud,
        })
    }

    /// `host` or `host:port`, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is `http://`, which only this machine can be.
    pub(super) fn is_plain_http(&self) -> bool {
        self.base.starts_with("http:")
    }

    /// The hosts that requests go to, without their ports.
    pub(super) fn names(&self) -> Vec<String> {
        let addresses = [self.rest(""), self.sealed()];
        let name = |address: &String| Url::parse(address).ok()?.host_str().map(str::to_owned);
        addresses.iter().filter_map(name).collect()
    }

    /// An address of the public REST interface; `path` starts without a slash.
    pub(crate) fn rest(&self, path: &str) -> String {
        match self.cloud {
            true => format!("https://api.phase.dev/{path}"),
            false => format!("{}/service/public/{path}", self.base),
        }
    }

    /// The interface of secrets that only the token's account can read.
    pub(crate) fn sealed(&self) -> String {
        match self.cloud {
            true => "https://console.phase.dev/service/secrets/".to_owned(),
            false => format!("{}/service/secrets/", self.base),
        }
    }

    /// The endpoint that tells what a token can read.
    pub(crate) fn tokens(&self) -> String {
        match self.cloud {
            true => "https://console.phase.dev/service/secrets/tokens/".to_owned(),
            false => format!("{}/service/secrets/tokens/", self.base),
        }
    }
}

fn plain(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_gives_its_endpoints() {
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
            let host = Host::parse(text, Source::Named("--host")).unwrap();
            assert_eq!(
                (
                    host.name(),
                    host.rest("v1/apps/").as_str(),
                    host.tokens().as_str()
                ),
                (name, rest, tokens),
                "{text}"
            );
        }
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for text in [
            "http://localhost:1",
            "http://127.9.9.9",
            "http://[::1]:8000",
        ] {
            assert!(Host::parse(text, Source::Named("--host")).is_ok(), "{text}");
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
            ("https://", None),
        ] {
            let Err(Error::InvalidHost {
                value: given,
                suggestion: offered,
                ..
            }) = Host::parse(text, Source::Named("--host"))
            else {
                panic!("{text} was taken")
            };
            assert_eq!(offered.as_deref(), instead, "{text}");
            assert!(!given.contains("word"), "{given}");
        }
    }
}
