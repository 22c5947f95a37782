//! A recorded request, for the views that respond to it and the tests that inspect it.

use std::time::Instant;

/// A recorded request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method as sent, such as `GET`.
    pub method: String,
    /// The path and the query, percent-encoded.
    pub target: String,
    /// In order, with names as sent.
    pub headers: Vec<(String, String)>,
    /// Empty without a `Content-Length`.
    pub body: Vec<u8>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// When its last byte was read.
    pub received: Instant,
}

impl Request {
    /// Returns the target without its query.
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// Returns the percent-decoded value of a query parameter. The last one wins, as in Django.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        field(query, name)
    }

    /// Returns the value of a field in a form body (application/x-www-form-urlencoded).
    pub fn form(&self, name: &str) -> Option<String> {
        field(std::str::from_utf8(&self.body).ok()?, name)
    }

    /// Returns the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Returns the first header of this name, in any case.
pub(crate) fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let mut same = headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
    same.next().map(|(_, value)| value.as_str())
}

fn field(pairs: &str, name: &str) -> Option<String> {
    pairs
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| percent_decoded(key) == name)
        .map(|(_, value)| percent_decoded(value))
        .next_back()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let rest = bytes.as_slice();
                let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(value) => {
                        bytes.nth(1);
                        value
                    }
                    None => b'%',
                }
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_percent_decoded_and_last_value_wins() {
        let request = Request {
            method: "GET".into(),
            target: "/v1/secrets/?env=a&path=%2Fb%20c+d%C3%BC%zz&env=b&bare".into(),
            headers: vec![("Accept".into(), "*/*".into())],
            body: b"Action=Ask&name=%2Fb+c".into(),
            tls: true,
            received: Instant::now(),
        };
        assert_eq!(request.form("name").as_deref(), Some("/b c"));
        assert_eq!(request.form("env"), None);
        assert_eq!(request.path(), "/v1/secrets/");
        assert_eq!(request.query("env").as_deref(), Some("b"));
        assert_eq!(request.query("path").as_deref(), Some("/b c dü%zz"));
        assert_eq!(request.query("bare").as_deref(), Some(""));
        assert_eq!(request.query("none"), None);
        assert_eq!(request.header("accept"), Some("*/*"));
    }
}
