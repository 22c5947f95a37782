//! An HTTP response before it is written, with the headers that each view of the real server sends.

/// A status, ordered headers and a body.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The view that responds. Each has its own headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Secrets,
    EncryptedSecrets,
    /// Lists of apps and environments.
    List,
    /// One app.
    Detail,
    Tokens,
    /// The login with a cloud identity.
    Identity,
}

/// Phase's page for an unknown path.
const NOT_FOUND: &str = "
<!doctype html>
<html lang=\"en\">
<head>
  <title>Not Found</title>
</head>
<body>
  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>
</body>
</html>
";

impl View {
    fn allow(self) -> &'static str {
        match self {
            View::Secrets | View::EncryptedSecrets => "GET, POST, PUT, DELETE, HEAD, OPTIONS",
            View::List => "GET, POST, HEAD, OPTIONS",
            View::Detail => "GET, PUT, DELETE, HEAD, OPTIONS",
            View::Tokens => "GET, OPTIONS",
            View::Identity => "POST, OPTIONS",
        }
    }

    /// Views that can also return HTML vary with `Accept`, and send `Vary` early.
    fn vary_first(self) -> Option<&'static str> {
        match self {
            View::EncryptedSecrets => Some("Accept, origin"),
            View::Tokens => Some("Accept, origin, Cookie"),
            View::Secrets | View::List | View::Detail | View::Identity => None,
        }
    }
}

impl Response {
    /// A JSON response as `view` sends it. `retry_after` is in seconds.
    pub(crate) fn json(
        view: View,
        status: u16,
        retry_after: Option<u64>,
        body: Vec<u8>,
    ) -> Response {
        let mut headers = Headers::new("application/json");
        if status == 401 && view != View::Identity {
            headers.add("WWW-Authenticate", "Bearer");
        }
        if let Some(seconds) = retry_after {
            headers.add("Retry-After", &seconds.to_string());
        }
        if let Some(vary) = view.vary_first() {
            headers.add("Vary", vary);
        }
        headers.add("Allow", view.allow());
        headers.finish(status, body, view.vary_first().is_none())
    }

    /// `{"error": message}` as `view` writes it.
    pub(crate) fn error(
        view: View,
        status: u16,
        retry_after: Option<u64>,
        message: &str,
    ) -> Response {
        let message = serde_json::to_string(message).unwrap();
        let space = if matches!(view, View::Tokens | View::Identity) {
            " "
        } else {
            ""
        };
        let body = format!("{{\"error\":{space}{message}}}");
        Response::json(view, status, retry_after, body.into_bytes())
    }

    /// An HTML page.
    pub(crate) fn html(status: u16, page: &str) -> Response {
        let headers = Headers::new("text/html; charset=utf-8");
        headers.finish(status, page.as_bytes().to_vec(), true)
    }

    /// An HTML page that contains only the status.
    pub(crate) fn bare_html(status: u16) -> Response {
        let reason = reason(status);
        Response::html(
            status,
            &format!("<html><body><h1>{status} {reason}</h1></body></html>\n"),
        )
    }

    pub(crate) fn not_found() -> Response {
        Response::html(404, NOT_FOUND)
    }

    /// Any body, with only its type and length as headers.
    pub(crate) fn raw(status: u16, content_type: &str, body: Vec<u8>) -> Response {
        let headers = vec![
            ("Content-Type".to_owned(), content_type.to_owned()),
            ("Content-Length".to_owned(), body.len().to_string()),
        ];
        Response {
            status,
            headers,
            body,
        }
    }
}

struct Headers(Vec<(String, String)>);

impl Headers {
    fn new(content_type: &str) -> Headers {
        let mut headers = Headers(Vec::with_capacity(10));
        headers.add("Content-Type", content_type);
        headers
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn finish(mut self, status: u16, body: Vec<u8>, vary: bool) -> Response {
        self.add("X-Frame-Options", "DENY");
        self.add("Content-Length", &body.len().to_string());
        if vary {
            self.add("Vary", "origin");
        }
        self.add("X-Content-Type-Options", "nosniff");
        self.add("Referrer-Policy", "same-origin");
        self.add("Cross-Origin-Opener-Policy", "same-origin");
        Response {
            status,
            headers: self.0,
            body,
        }
    }
}

/// Returns the reason phrase of a status (RFC 9110 §15).
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        414 => "Request-URI Too Long",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}
