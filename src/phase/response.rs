#![forbid(unsafe_code)]
//! An answer of Phase's that arrived whole: what it says, and what of it may be shown.

use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::error::Error;
use crate::http::Response;
use crate::http::redact;
use crate::json::JsonObject;
use crate::secret::SecretBytes;

/// What a message quotes of the server's text, in characters. Phase's own have up to 100.
const MAX_TEXT: usize = 300;

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) location: Option<String>,
    pub(super) host: String,
    /// Where the token was that was sent.
    pub(super) token_source: String,
    /// What went to the gateway, which no message repeats.
    sent: HeaderMap,
    /// And what else was in the request.
    pub(super) hidden: Vec<SecretBytes>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(
        received: Response,
        host: &str,
        token_source: &str,
        gateway: &HeaderMap,
    ) -> Self {
        let text = |text: Option<String>| text.map(|text| redact::headers(&text, gateway));
        Self {
            status: received.status,
            retry_after: text(received.retry_after),
            location: text(received.location),
            host: host.to_owned(),
            token_source: token_source.to_owned(),
            sent: gateway.clone(),
            hidden: Vec::new(),
            body: received.body,
        }
    }

    /// The body, as what was asked for. The message never quotes it.
    ///
    /// # Errors
    /// `protocol`.
    pub(super) fn json<'b, T: Deserialize<'b>>(&'b self, what: &str) -> Result<T, Error> {
        // Checked once, not string by string. What is not UTF-8 is not JSON either.
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| {
            let start = self.body.trim_ascii_start();
            let why = match start.first() {
                None => "the answer is empty".to_owned(),
                Some(b'<') => "the answer is an HTML page".to_owned(),
                _ if error.is_data() => format!(
                    "the answer is not {what} (line {}, column {})",
                    error.line(),
                    error.column()
                ),
                _ => format!(
                    "the answer is not JSON (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            };
            let hint = start
                .starts_with(b"<")
                .then_some("check --host: it is where Phase's console is, without /service");
            Error::UnexpectedResponse {
                host: self.host.clone(),
                why,
                hint,
            }
        })
    }

    /// A text of the server's, without what it repeats.
    pub(super) fn shown(&self, text: &str) -> String {
        let hidden = self.hidden.iter().map(SecretBytes::expose);
        redact::secrets(&redact::headers(text, &self.sent), hidden)
    }

    /// Whether the server says that it cannot read the app.
    pub(super) fn is_end_to_end(&self) -> bool {
        let said = self.server_error();
        said.is_some_and(|said| said.starts_with("SSE is not enabled"))
    }

    /// The text of `{"error": "…"}`, if the answer is one.
    pub(super) fn server_error(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(alias = "detail")]
            error: String,
        }
        let JsonObject(refusal) = serde_json::from_slice::<JsonObject<Refusal>>(&self.body).ok()?;
        let text = self.shown(&refusal.error);
        let Some((end, _)) = text.char_indices().nth(MAX_TEXT) else {
            return Some(text);
        };
        // Between two words: half of a token that the server repeats would not be known as one.
        let (start, _) = text.split_at(end);
        let words = start.rsplit_once(char::is_whitespace);
        Some(format!("{} …", words.map_or("", |(words, _)| words)))
    }
}
