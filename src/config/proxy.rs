#![forbid(unsafe_code)]
//! The proxy that the variables ask for.

use super::Host;
use super::choices::Choices;
use crate::error::Error;

/// Where curl(1) looks for a proxy, and for the hosts that are reached without one.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXIES: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl Choices<'_> {
    /// Going past a proxy that the operator asked for is not ours to decide; an exception is.
    pub(super) fn check_proxy(&self, host: &Host) -> Result<(), Error> {
        let set = |name: &&'static str| self.inherited.get(name).is_some_and(|v| !v.is_empty());
        let proxy = PROXIES.into_iter().find(set);
        // Plain http is for this machine alone, and never goes through a proxy.
        let Some(name) = proxy.filter(|_| !host.is_plain_http()) else {
            return Ok(());
        };
        let exceptions = NO_PROXIES.into_iter().find(set);
        let exceptions = exceptions.and_then(|name| self.inherited.get(name)?.to_str());
        let covers = |one: &str| {
            let suffix = one.trim_start_matches('.').to_lowercase();
            let inside = host.bare_name().strip_suffix(&suffix);
            one == "*" || inside.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let listed = exceptions.unwrap_or_default().split([',', ' ']);
        match listed.filter(|one| !one.is_empty()).any(covers) {
            true => Ok(()),
            false => Err(Error::Proxy {
                name,
                host: host.bare_name().to_owned(),
            }),
        }
    }
}
