#![forbid(unsafe_code)]
//! How a form is written (`application/x-www-form-urlencoded`, the URL standard).

use reqwest::Url;

/// For a body.
pub(crate) fn encoded(pairs: &[(&str, &str)]) -> Vec<u8> {
    let url = Url::parse_with_params("http://localhost/", pairs);
    let query = url.as_ref().ok().and_then(|url| url.query());
    query.unwrap_or_default().as_bytes().to_vec()
}
