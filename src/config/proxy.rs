#![forbid(unsafe_code)]
//! The proxy variables, in curl's order.

use std::ffi::OsStr;

use super::Host;
use super::reader::ConfigReader;
use crate::error::Error;
use crate::http::proxy::{NoProxy, Proxy, redacted};

/// For https, the first that is set wins.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXIES: [&str; 2] = ["no_proxy", "NO_PROXY"];

const WANTS: &str = "a proxy's address, http://HOST:PORT or https://HOST:PORT";

impl ConfigReader<'_> {
    /// None where no variable asks for one, and where it could not matter: `others` than Phase may be
    /// asked too.
    ///
    /// # Errors
    /// `config` for an address that is none, or of a proxy that phase-run does not speak with.
    pub(super) fn proxy(&self, host: &Host, others: bool) -> Result<Option<Proxy>, Error> {
        let set = |name: &&'static str| self.inherited.get(name).is_some_and(|v| !v.is_empty());
        let Some(variable) = PROXIES.into_iter().find(set) else {
            return Ok(None);
        };
        // Plain http is for this machine alone, and never goes through a proxy.
        if host.is_plain_http() && !others {
            return Ok(None);
        }
        let exceptions = NO_PROXIES.into_iter().find(set);
        let exceptions = exceptions.and_then(|name| self.inherited.get(name));
        // What is not UTF-8 is no host; the others in the list count.
        let exceptions = exceptions.unwrap_or_default().to_string_lossy();
        let Some(exceptions) = NoProxy::parse(&exceptions) else {
            return Ok(None);
        };
        // A proxy that nothing goes through may be of any kind.
        if !others && host.names().iter().all(|name| exceptions.matches(name)) {
            return Ok(None);
        }
        let given = self
            .inherited
            .get(variable)
            .and_then(OsStr::to_str)
            .unwrap_or_default();
        let proxy = Proxy::parse(given, variable, exceptions);
        proxy.map(Some).ok_or_else(|| Error::InvalidVariable {
            name: variable,
            value: redacted(given),
            expected: WANTS,
        })
    }
}
