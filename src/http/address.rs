#![forbid(unsafe_code)]
//! Which addresses a request with credentials may be sent to.

use std::net::IpAddr;

use reqwest::Url;

/// Parses the address of a server that receives credentials: https, or http to a host that `allows_http`.
///
/// # Errors
/// The reason why the address is not acceptable.
pub(crate) fn parse_url(
    text: &str,
    allows_http: impl Fn(&str) -> bool,
) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| {
        if text.is_ascii() {
            "it is not a URL"
        } else {
            "its host name is not ASCII: write it in its xn-- form"
        }
    })?;
    let host = url.host_str().ok_or("it has no host")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it has a user name, a password or a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allows_http(host) => Ok(url),
        "http" => Err("plain HTTP to another machine would send credentials unencrypted"),
        _ => Err("its scheme is neither https nor http"),
    }
}

/// Whether a host is this machine: a loopback address or `localhost` (RFC 6761, section 6.3).
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
