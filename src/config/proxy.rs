#![forbid(unsafe_code)]
//! Chooses the proxy from the environment, with curl's precedence.

use std::ffi::OsStr;

use super::Host;
use super::reader::{ConfigReader, variable_value};
use crate::error::Error;
use crate::http::proxy::{NoProxy, Proxy, redacted_address};

/// The variables that name a proxy for https; the first one that is set wins.
const PROXY_VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];

const EXPECTED: &str = "a proxy address (http://HOST:PORT or https://HOST:PORT)";

impl ConfigReader<'_> {
    /// Returns the proxy, or `None` if no variable names one or no request would use it.
    /// `calls_cloud` says that there will be requests to other hosts than Phase.
    ///
    /// # Errors
    /// `config` if the address is invalid, or its scheme is neither http nor https.
    pub(super) fn read_proxy(
        &self,
        host: &Host,
        calls_cloud: bool,
    ) -> Result<Option<Proxy>, Error> {
        let inherited = self.inherited;
        let set_variable = |name: &&'static str| Some((*name, variable_value(inherited, name)?));
        let Some((variable, address)) = PROXY_VARIABLES.iter().find_map(set_variable) else {
            return Ok(None);
        };
        // Plain http is for this machine only, and never uses a proxy.
        if host.is_plain_http() && !calls_cloud {
            return Ok(None);
        }
        // An entry that is not UTF-8 matches no host; the other entries still apply.
        let no_proxy = NO_PROXY_VARIABLES.iter().find_map(set_variable);
        let no_proxy = no_proxy.map_or(OsStr::new(""), |(_, list)| list);
        let Some(no_proxy) = NoProxy::parse(&no_proxy.to_string_lossy()) else {
            return Ok(None);
        };
        // An address that will not be used is not checked.
        if !calls_cloud && host.host_names().iter().all(|name| no_proxy.matches(name)) {
            return Ok(None);
        }
        let invalid = |text| match redacted_address(text) {
            address if address.to_ascii_lowercase().starts_with("socks") => Error::SocksProxy {
                name: variable,
                address,
            },
            value => Error::InvalidVariable {
                name: variable,
                value,
                expected: EXPECTED,
            },
        };
        let text = address.to_str().ok_or_else(|| invalid(""))?;
        let proxy = Proxy::parse(text, variable, no_proxy);
        proxy.map(Some).ok_or_else(|| invalid(text))
    }
}
