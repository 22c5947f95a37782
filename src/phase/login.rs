#![forbid(unsafe_code)]
//! Exchanges a cloud identity for a Phase token.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::response::{ApiResponse, Endpoint};
use crate::auth::{
    Auth, CloudCredentials, Credential, IdentityLogin, Shown, aws_fetch, azure_fetch, sigv4,
};
use crate::config::Host;
use crate::error::Error;
use crate::http::{HttpClient, Request, RequestPolicy};
use crate::json::JsonObject;
use crate::log::Event;
use crate::secret::{SecretBytes, Token};

/// The longest STS address that a hint quotes, in bytes.
const MAX_ENDPOINT: usize = 100;

#[derive(Deserialize)]
struct Minted {
    authentication: JsonObject<Authentication>,
}

#[derive(Deserialize)]
struct Authentication {
    token: SecretBytes,
    /// In seconds.
    #[serde(rename = "TTL")]
    lasts: u64,
}

/// Returns the credential for Phase's API: the token that was read, or one that Phase mints for the
/// machine's cloud identity. While the previous token is valid, it is used if Phase or the cloud
/// cannot be reached; a refused login fails at once.
///
/// # Errors
/// Those of [`log_in`].
pub(super) fn authenticate<'a>(
    network: &HttpClient<'_>,
    host: &Host,
    auth: &'a Auth<'_>,
) -> Result<&'a Credential, Error> {
    let login = match auth {
        Auth::Token(credential) => return Ok(credential),
        Auth::Identity(login) => login,
    };
    match (log_in(network, host, login), &login.previous) {
        (Ok(minted), _) => Ok(login.minted.get_or_init(|| minted)),
        (Err(error @ Error::IdentityRejected { .. }), _) | (Err(error), None) => Err(error),
        (Err(_), Some(previous)) => Ok(previous),
    }
}

/// Exchanges the machine's cloud identity for a token of the service account.
///
/// # Errors
/// `identity` if no cloud credentials can be fetched or Phase refuses them, and those of any request.
fn log_in(
    network: &HttpClient<'_>,
    host: &Host,
    login: &IdentityLogin<'_>,
) -> Result<Credential, Error> {
    let (of, from, evidence) = match &login.cloud_credentials {
        CloudCredentials::Aws(aws) => {
            let signed = aws_fetch::evidence(network, aws)?;
            (
                "aws/iam",
                format!("the AWS credentials from {}", aws.from),
                signed,
            )
        }
        CloudCredentials::Azure(azure) => {
            let token = azure_fetch::evidence(network, azure)?;
            (
                "azure/entra",
                format!("the Azure token from {}", azure.from),
                token,
            )
        }
    };
    let address = host.rest_url(&format!("identities/external/v1/{of}/auth/"));
    let not_phase = |why: &str| Error::UnexpectedResponse {
        host: host.name().to_owned(),
        why: why.to_owned(),
        hint: None,
    };
    let url = Url::parse(&address).map_err(|_| not_phase("the address is malformed"))?;
    let mut headers = login.gateway_headers.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let account = login.service_account.as_bytes();
    let (start, middle) = (br#"{"account":{"type":"service","id":""#, br#""},"#);
    let Shown { member, hidden } = evidence;
    let body = || [start, account, middle, &member(), b"}"].concat();
    let received = network.send(&Request {
        policy: RequestPolicy::DEFAULT,
        label: Some(host.name()),
        method: Method::POST,
        url,
        headers,
        body: &body,
    })?;
    let mut answer = ApiResponse::new(
        received,
        host.name(),
        &login.token_source,
        &login.gateway_headers,
    );
    answer.hidden = hidden;
    if answer.status != 200 {
        return Err(refused(&answer, from, login));
    }
    let JsonObject(Minted { authentication }) = answer.json("a token")?;
    let JsonObject(Authentication { token, lasts }) = authentication;
    let parsed = Token::parse(token.expose()).ok();
    let parsed = parsed.filter(|parsed| parsed.is_full() && parsed.is_service_account());
    let parsed = parsed.ok_or_else(|| not_phase("what it calls a token is none"))?;
    let lasts = Duration::from_secs(lasts);
    network.log.log(Event::Identified {
        from: &from,
        account: &login.service_account,
        valid_for: lasts,
    });
    (login.on_minted)(&token, lasts);
    Ok(Credential {
        token: parsed,
        token_source: login.token_source.clone(),
        gateway_headers: login.gateway_headers.clone(),
    })
}

fn refused(answer: &ApiResponse, from: String, login: &IdentityLogin<'_>) -> Error {
    let said = answer.server_error();
    let Some(said) = said.filter(|_| matches!(answer.status, 400 | 401 | 403 | 404)) else {
        return answer.error_for_status(Endpoint::Tokens);
    };
    let hint = match (answer.status, &login.cloud_credentials) {
        (400, CloudCredentials::Aws(_)) => sts_endpoint_hint(answer),
        (401, CloudCredentials::Aws(_)) if is_of_another_time(&said) => Some(
            "set this machine's clock: Phase compares the time of the signature with its own"
                .to_owned(),
        ),
        (401, CloudCredentials::Aws(_)) => Some("check that these credentials are still good".to_owned()),
        (401, CloudCredentials::Azure(_)) => Some(
            "check that the identity in Phase's console is of this tenant and takes tokens for https://management.azure.com/"
                .to_owned(),
        ),
        (403, _) if said.to_lowercase().contains("server-side") || said.contains("SSK") => Some(
            "enable server-side key management for the service account in Phase's console"
                .to_owned(),
        ),
        (403, _) => Some(
            "add this principal to the trusted ones of the identity in Phase's console".to_owned(),
        ),
        (404, _) => Some(format!(
            "check --service-account {}, and that an identity of this cloud is attached to it in Phase's console",
            login.service_account
        )),
        _ => None,
    };
    Error::IdentityRejected {
        host: answer.host.clone(),
        from,
        message: format!("{said} ({})", answer.status),
        hint,
    }
}

/// Of the signature, not of the keys.
fn is_of_another_time(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("signature expired") || said.contains("signature not yet current")
}

/// Phase names the address of STS that it expects.
fn sts_endpoint_hint(answer: &ApiResponse) -> Option<String> {
    #[derive(Deserialize)]
    struct Expected {
        #[serde(rename = "expectedEndpoint")]
        endpoint: String,
    }
    let Expected { endpoint } = answer.json("a refusal").ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-".contains(&byte);
    let endpoint = answer.redact(&endpoint);
    let shown = endpoint.len() <= MAX_ENDPOINT && endpoint.bytes().all(is_plain);
    let expected = if shown { &endpoint } else { "another" };
    let instead = match sigv4::settings_for(&endpoint) {
        Some(settings) => format!("set {settings}, or "),
        // That of a network of its own, say.
        None => String::new(),
    };
    Some(format!(
        "{instead}change the STS endpoint of the identity in Phase's console from {expected} to this region's"
    ))
}
