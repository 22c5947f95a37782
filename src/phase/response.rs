#![forbid(unsafe_code)]
//! A complete response from Phase: its JSON, and the error that a status other than 200 stands for.
//!
//! The server may echo what the request contained. Its error texts and headers therefore reach a message
//! only through [`ApiResponse::quote`]. Names of apps, environments and secrets do not: in those, the
//! log redacts tokens.

use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;

use super::rows::CowStr;
use crate::error::{Error, MAX_LISTED, Setting};
use crate::http::{CLIENT_CERTIFICATE_HINT, Response, is_transient, redact};
use crate::json::{self, JsonObject, LimitedVec, exceeded_limit};
use crate::secret::SecretBytes;

/// How much of a text of the server a message quotes, in characters. Phase's own error texts have at
/// most 100.
const MAX_QUOTE: usize = 300;

/// Hint for a response that some other web server may have sent.
const CHECK_HOST: &str =
    "check --host or PHASE_HOST: it must be the address of Phase's console, without /service";

/// A response of Phase's API whose body has arrived completely.
pub(super) struct ApiResponse {
    pub(super) status: u16,
    /// The text of the `Retry-After` header, not quoted yet.
    retry_after: Option<String>,
    /// The `Location` header of a redirect, not quoted yet.
    location: Option<String>,
    /// How the body is compressed, and so cannot be read.
    compression: Option<&'static str>,
    /// The server's name for messages.
    pub(super) host: String,
    /// Where the token in the request came from, for messages.
    pub(super) token_origin: String,
    /// The gateway headers of the request. No message may repeat their values.
    gateway_headers: HeaderMap,
    /// The other secret parts of the request: the token, or the evidence of a login. No message may
    /// repeat them.
    secrets: Vec<SecretBytes>,
    body: Vec<u8>,
}

/// The endpoint that a request was for. The same status means different things for different ones.
#[derive(Clone, Copy)]
pub(super) enum Endpoint<'a> {
    /// `identities/external/v1/…/auth/`, which mints a token.
    Login,
    /// `service/secrets/tokens/`, which lists what the token can read.
    Tokens,
    /// `v1/apps/`.
    Apps,
    /// `v1/environments/`.
    Environments,
    /// The secrets of an environment, from either interface.
    Secrets {
        /// The environment for messages, such as `Production of shop`.
        environment_label: &'a str,
        /// Whether the request also asked to lease dynamic secrets.
        leases: bool,
    },
}

impl ApiResponse {
    pub(super) fn new(
        response: Response,
        host: &str,
        token_origin: &str,
        gateway_headers: &HeaderMap,
        secrets: Vec<SecretBytes>,
    ) -> Self {
        Self {
            status: response.status,
            retry_after: response.retry_after,
            location: response.location,
            compression: response.compression,
            host: host.to_owned(),
            token_origin: token_origin.to_owned(),
            gateway_headers: gateway_headers.clone(),
            secrets,
            body: response.body,
        }
    }

    /// A response with this status and body.
    #[cfg(any(test, fuzzing))]
    pub(super) fn for_fuzzing(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            retry_after: None,
            location: None,
            compression: None,
            host: "localhost".to_owned(),
            token_origin: "x".to_owned(),
            gateway_headers: HeaderMap::new(),
            secrets: vec![],
            body: body.to_vec(),
        }
    }

    /// The size of the body in bytes.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Parses the body as `expected`, which the error message names. The message never quotes the
    /// body.
    ///
    /// # Errors
    /// `protocol` if the body is not JSON or has another shape.
    pub(super) fn json<'b, T: Deserialize<'b>>(&'b self, expected: &str) -> Result<T, Error> {
        json::from_bytes(&self.body).map_err(|error| {
            let start = self.body.trim_ascii_start();
            let position = format!("(line {}, column {})", error.line(), error.column());
            let why = match (start.first(), exceeded_limit(&error)) {
                (_, Some(limit)) => format!("the response has {limit} {position}"),
                (None, _) => "the response is empty".to_owned(),
                (Some(b'<'), _) => "the response is an HTML page".to_owned(),
                _ if error.is_data() => format!("the response is not {expected} {position}"),
                _ => format!("the response is not JSON {position}"),
            };
            Error::UnexpectedResponse {
                host: self.host.clone(),
                why,
                hint: start.starts_with(b"<").then_some(CHECK_HOST),
            }
        })
    }

    /// Parses the body of a response whose status is 200, and turns any other status into an error.
    ///
    /// # Errors
    /// Those of [`Self::json`] and [`Self::error_for_status`].
    pub(super) fn json_if_ok<'b, T: Deserialize<'b>>(
        &'b self,
        endpoint: Endpoint<'_>,
        expected: &str,
    ) -> Result<T, Error> {
        match self.status {
            200 => self.json(expected),
            _ => Err(self.error_for_status(endpoint)),
        }
    }

    /// Quotes the beginning of a text that came from the server, without any secret part of the
    /// request.
    pub(super) fn quote(&self, text: &str) -> String {
        self.quote_each(&[text]).concat()
    }

    /// Quotes the beginning of each of these texts.
    fn quote_each(&self, texts: &[&str]) -> Vec<String> {
        let headers = self.gateway_headers.values().map(HeaderValue::as_bytes);
        let secrets = self.secrets.iter().map(SecretBytes::expose);
        redact::quote_each(texts, MAX_QUOTE, headers.chain(secrets))
    }

    /// Whether the server says that it cannot decrypt the app's secrets.
    pub(super) fn says_end_to_end_encrypted(&self) -> bool {
        let text = self.server_error_text();
        text.is_some_and(|text| text.starts_with("SSE is not enabled"))
    }

    /// Whether this is nginx's page for a client without a certificate (`ssl_verify_client on`).
    fn wants_client_certificate(&self) -> bool {
        /// nginx's page is shorter.
        const SEARCHED_BYTES: usize = 8 << 10;
        let start = self.body.get(..SEARCHED_BYTES).unwrap_or(&self.body);
        String::from_utf8_lossy(start).contains("No required SSL certificate was sent")
    }

    /// Returns the text of a Phase error, `{"error": "…"}`, or `None` for any other body.
    pub(super) fn server_error_text(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct ErrorBody<'a> {
            #[serde(borrow, alias = "detail")]
            error: CowStr<'a>,
        }
        let JsonObject(body) = json::from_bytes::<JsonObject<ErrorBody<'_>>>(&self.body).ok()?;
        Some(self.quote(&body.error.0))
    }

    /// Returns the error for a 400 that a request with leases got. The body names the dynamic secrets
    /// that could not be leased, and says why, unless the request itself was wrong.
    fn lease_error(&self, environment_label: &str, message: String) -> Error {
        #[derive(Deserialize)]
        struct LeaseErrorBody<'a> {
            #[serde(borrow, alias = "failedLeases")]
            failed_leases: LimitedVec<JsonObject<FailedLease<'a>>>,
        }
        #[derive(Deserialize)]
        struct FailedLease<'a> {
            #[serde(borrow, alias = "secretName")]
            secret_name: CowStr<'a>,
            #[serde(borrow)]
            error: CowStr<'a>,
        }
        let body = json::from_bytes::<JsonObject<LeaseErrorBody<'_>>>(&self.body);
        let failed = body.map_or_else(|_| vec![], |JsonObject(body)| body.failed_leases.0);
        let is_one_reason = failed
            .iter()
            .zip(failed.iter().skip(1))
            .all(|(JsonObject(lease), JsonObject(next))| lease.error.0 == next.error.0);
        let listed = failed.iter().take(MAX_LISTED);
        let texts = listed.flat_map(|JsonObject(lease)| [&*lease.secret_name.0, &*lease.error.0]);
        let quotes = self.quote_each(&texts.collect::<Vec<&str>>());
        let (quotes, _) = quotes.as_chunks();
        let reasons: Vec<String> = match (is_one_reason, quotes) {
            (true, [[_, why], ..]) => vec![why.clone()],
            (_, quotes) => quotes.iter().map(|pair| pair.join(": ")).collect(),
        };
        let message = match reasons.is_empty() {
            true => message,
            false => format!("{} ({})", reasons.join("; "), self.status),
        };
        let mut names: Vec<String> = quotes.iter().map(|[name, _]| name.clone()).collect();
        // Those that no message lists are only counted.
        names.resize(failed.len(), String::new());
        Error::LeaseFailed {
            names,
            environment_label: environment_label.to_owned(),
            message,
        }
    }

    /// The error text of the server with the status, or what is known of a body without one.
    fn status_message(&self, server_error: Option<&str>) -> String {
        let status = self.status;
        match (server_error, self.compression) {
            (Some(text), _) => format!("{text} ({status})"),
            (None, Some(name)) => format!("status {status}, with a compressed body ({name})"),
            (None, None) if self.body.is_empty() => format!("status {status}, with an empty body"),
            (None, None) => format!("status {status}, with a body that does not come from Phase"),
        }
    }

    /// Returns the error that a status other than 200 stands for.
    pub(super) fn error_for_status(&self, endpoint: Endpoint<'_>) -> Error {
        let server_error = self.server_error_text();
        let message = self.status_message(server_error.as_deref());
        let host = self.host.clone();
        match (self.status, endpoint, &self.location) {
            (400, ..) if self.wants_client_certificate() => Error::UnexpectedResponse {
                host,
                why: "it requires a client certificate, which phase-run cannot send (status 400)"
                    .to_owned(),
                hint: Some(CLIENT_CERTIFICATE_HINT),
            },
            (401 | 403, ..) => match server_error {
                Some(text) => self.access_error(endpoint, &text, message),
                None => Error::UnexpectedResponse {
                    host,
                    why: message,
                    hint: Some(
                        "check for a proxy, gateway or firewall in between: Phase responds with JSON",
                    ),
                },
            },
            (
                400,
                Endpoint::Secrets {
                    environment_label,
                    leases: true,
                },
                _,
            ) => self.lease_error(environment_label, message),
            (429, ..) => Error::RateLimited {
                host,
                retry_after: self.retry_after.as_deref().map(|text| self.quote(text)),
                app_name_set_by: None,
            },
            (status, ..) if matches!(status, 400 | 500..=599) || is_transient(status) => {
                Error::ServerFailed {
                    host,
                    status,
                    message: server_error,
                }
            }
            // Following the redirect could send the token to another server.
            (300..=399, _, Some(location)) => Error::UnexpectedResponse {
                host,
                why: format!(
                    "it redirects to {} (status {})",
                    self.quote(location),
                    self.status
                ),
                hint: Some("set --host or PHASE_HOST to the address that Phase itself responds at"),
            },
            _ => Error::UnexpectedResponse {
                host,
                why: message,
                hint: Some(CHECK_HOST),
            },
        }
    }

    /// Returns the error that a 401 or 403 from Phase stands for: the token is invalid, or it gives no
    /// access to what was requested. `text` is the server's error text.
    fn access_error(&self, endpoint: Endpoint<'_>, text: &str, message: String) -> Error {
        let denies_service_account =
            text.contains("cannot access") || text.starts_with("Environment not found");
        if self.status == 403 && text.contains("network access policy") {
            return Error::AddressDenied {
                host: self.host.clone(),
                message,
            };
        }
        match (self.status, endpoint) {
            // Legacy service tokens can request nothing but the secrets of one environment.
            (401, Endpoint::Apps | Endpoint::Environments)
                if text.starts_with("Service tokens require") =>
            {
                Error::ListingDenied {
                    what: match endpoint {
                        Endpoint::Apps => "apps",
                        _ => "environments",
                    },
                    alternative: "--app with the app's ID and --env with the environment's full name",
                    message,
                    wanted: None,
                }
            }
            (403, Endpoint::Apps) => Error::ListingDenied {
                what: "apps",
                alternative: "--app with the app's ID",
                message,
                wanted: None,
            },
            (403, Endpoint::Environments) => Error::ListingDenied {
                what: "environments",
                alternative: "--env with the environment's full name",
                message,
                wanted: None,
            },
            // Phase denies access to service accounts with 401 and to users with 403.
            (
                status,
                Endpoint::Secrets {
                    environment_label, ..
                },
            ) if status == 403 || denies_service_account => Error::AccessDenied {
                environment_label: environment_label.to_owned(),
                message,
            },
            _ => Error::TokenRejected {
                host: self.host.clone(),
                from: self.token_origin.clone(),
                message,
            },
        }
    }
}

/// Adds to a denied look-up what had to be looked up.
pub(super) fn naming_wanted(error: Error, setting: &Setting<String>) -> Error {
    match error {
        Error::ListingDenied {
            what,
            alternative,
            message,
            ..
        } => Error::ListingDenied {
            what,
            alternative,
            message,
            wanted: Some(setting.clone()),
        },
        other => other,
    }
}

/// Whether an error means that Phase, or the cloud in front of a login, is unreachable or overloaded: the
/// same request may succeed later.
pub(crate) fn is_outage(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::RateLimited { .. } => true,
        Error::NoCloudCredentials { is_outage, .. } => *is_outage,
        Error::ServerFailed { status, .. } => *status >= 500 || is_transient(*status),
        _ => false,
    }
}
