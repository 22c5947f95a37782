#![forbid(unsafe_code)]
//! Exchanges the machine's cloud identity for a Phase token.

use std::cell::RefCell;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};

use super::response::{ApiResponse, Endpoint, is_outage};
use crate::auth::{
    Auth, CloudCredentials, Credential, IdentityLogin, LoginProof, settings_for_endpoint,
};
use crate::config::Host;
use crate::error::Error;
use crate::http::{BodyLimit, HttpClient, Request, RequestPolicy};
use crate::json::JsonObject;
use crate::log::Event;
use crate::secret::{SecretBytes, Token};

/// The longest STS address that a hint quotes, in bytes.
const MAX_ENDPOINT: usize = 100;

#[derive(Serialize)]
struct LoginRequest<'a> {
    account: Account<'a>,
    #[serde(flatten)]
    proof: LoginProof,
}

#[derive(Serialize)]
struct Account<'a> {
    r#type: &'static str,
    id: &'a str,
}

#[derive(Deserialize)]
struct LoginResponse {
    authentication: JsonObject<Authentication>,
}

#[derive(Deserialize)]
struct Authentication {
    token: SecretBytes,
    /// In seconds.
    #[serde(rename = "TTL")]
    ttl: u64,
}

/// Returns the credential for Phase's API: the token that was read, or one that Phase mints for the
/// machine's cloud identity. While the previous token is valid, it is used if Phase or the cloud is
/// unreachable or overloaded. Any other failed login is reported at once.
///
/// # Errors
/// Those of [`mint_token`].
pub(super) fn authenticate<'a>(
    http: &HttpClient<'_>,
    host: &Host,
    auth: &'a Auth<'_>,
) -> Result<&'a Credential, Error> {
    let login = match auth {
        Auth::Token(credential) => return Ok(credential),
        Auth::Identity(login) => login,
    };
    match (mint_token(http, host, login), &login.previous) {
        (Ok(minted), _) => Ok(login.minted.get_or_init(|| minted)),
        (Err(error), Some(previous)) if is_outage(&error) => Ok(previous),
        (Err(error), _) => Err(error),
    }
}

/// Exchanges the machine's cloud identity for a token of the service account.
///
/// # Errors
/// `identity` if no cloud credentials can be fetched or Phase refuses them, and those of any request.
fn mint_token(
    http: &HttpClient<'_>,
    host: &Host,
    login: &IdentityLogin<'_>,
) -> Result<Credential, Error> {
    let response = request_token(http, host, login)?;
    if response.status != 200 {
        return Err(login_error(&response, login));
    }
    let JsonObject(LoginResponse { authentication }) = response.json("a token")?;
    let JsonObject(Authentication { token, ttl }) = authentication;
    let parsed = Token::parse(token.expose()).ok();
    let parsed = parsed.filter(|parsed| parsed.has_keys() && parsed.is_service_account());
    let parsed = parsed.ok_or_else(|| unexpected(host, "the token in it is not valid"))?;
    let lifetime = Duration::from_secs(ttl);
    http.log.log(Event::TokenMinted {
        from: &login.cloud_credentials.description(),
        account: &login.service_account,
        valid_for: lifetime,
    });
    (login.on_minted)(&token, lifetime);
    Ok(Credential {
        token: parsed,
        token_origin: login.token_origin.clone(),
        gateway_headers: login.gateway_headers.clone(),
    })
}

/// Sends the login request.
#[expect(clippy::expect_used, reason = "the request consists of strings")]
fn request_token(
    http: &HttpClient<'_>,
    host: &Host,
    login: &IdentityLogin<'_>,
) -> Result<ApiResponse, Error> {
    let evidence = login.cloud_credentials.fetch_evidence(http)?;
    let path = login.cloud_credentials.login_path();
    let address = host.rest_url(&format!("identities/external/v1/{path}/auth/"));
    let url = Url::parse(&address).map_err(|_| unexpected(host, "the address is malformed"))?;
    let mut headers = login.gateway_headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Each try has its own signature, and the response may echo any of them.
    let sent_secrets = RefCell::new(Vec::new());
    let body = || {
        let request = LoginRequest {
            account: Account {
                r#type: "service",
                id: &login.service_account,
            },
            proof: evidence.proof(&mut sent_secrets.borrow_mut()),
        };
        let body = serde_json::to_vec(&request);
        body.ok().expect("a struct of strings is a JSON object")
    };
    let response = http.send(&Request {
        policy: RequestPolicy {
            body_limit: BodyLimit::SHORT,
            ..RequestPolicy::DEFAULT
        },
        method: Method::POST,
        url,
        headers,
        body: &body,
    })?;
    let IdentityLogin {
        token_origin,
        gateway_headers,
        ..
    } = login;
    let mut secrets = sent_secrets.into_inner();
    secrets.extend(evidence.into_secrets());
    Ok(ApiResponse::new(
        response,
        host.name(),
        token_origin,
        gateway_headers,
        secrets,
    ))
}

fn unexpected(host: &Host, why: &str) -> Error {
    Error::UnexpectedResponse {
        host: host.name().to_owned(),
        why: why.to_owned(),
        hint: None,
    }
}

/// The error for a login that Phase answers with a status other than 200.
fn login_error(response: &ApiResponse, login: &IdentityLogin<'_>) -> Error {
    let text = response.server_error_text();
    let Some(text) = text.filter(|_| matches!(response.status, 400 | 401 | 403 | 404)) else {
        return response.error_for_status(Endpoint::Login);
    };
    let is_aws = matches!(login.cloud_credentials, CloudCredentials::Aws(_));
    let hint = match (response.status, is_aws) {
        (400, true) => sts_endpoint_hint(response),
        (401, true) if is_clock_error(&text) => Some(
            "set this machine's clock: Phase compares the time of the signature with its own"
                .to_owned(),
        ),
        (401, true) => Some("check that these credentials are still valid".to_owned()),
        (401, false) => Some(
            "check that the identity in Phase's console is for this tenant and accepts tokens for https://management.azure.com/"
                .to_owned(),
        ),
        (403, _) if text.to_lowercase().contains("server-side") || text.contains("SSK") => Some(
            "enable server-side key management for the service account in Phase's console"
                .to_owned(),
        ),
        (403, _) => Some(
            "add this principal to the trusted principals of the identity in Phase's console"
                .to_owned(),
        ),
        (404, _) => Some(format!(
            "check --service-account {}, and that an identity of this cloud is attached to it in Phase's console",
            login.service_account
        )),
        _ => None,
    };
    Error::IdentityRejected {
        host: response.host.clone(),
        from: login.cloud_credentials.description(),
        message: format!("{text} ({})", response.status),
        hint,
    }
}

/// Whether Phase rejects the time of the signature, not the key.
fn is_clock_error(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("signature expired") || text.contains("signature not yet current")
}

/// The hint for a request that is signed for another STS endpoint than the one that Phase expects.
fn sts_endpoint_hint(response: &ApiResponse) -> Option<String> {
    #[derive(Deserialize)]
    struct Mismatch {
        #[serde(rename = "expectedEndpoint")]
        expected_endpoint: String,
    }
    let Mismatch { expected_endpoint } = response.json("a refusal").ok()?;
    let endpoint = response.quote(&expected_endpoint);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-".contains(&byte);
    let is_quotable = endpoint.len() <= MAX_ENDPOINT && endpoint.bytes().all(is_plain);
    let current = match is_quotable {
        true => format!(" from {endpoint}"),
        false => String::new(),
    };
    let alternative = match settings_for_endpoint(&endpoint) {
        Some(settings) => format!("set {settings}, or "),
        // No settings select, for example, an endpoint in a private http.
        None => String::new(),
    };
    Some(format!(
        "{alternative}change the STS endpoint of the identity in Phase's console{current} to this region's"
    ))
}
