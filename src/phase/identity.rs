#![forbid(unsafe_code)]
//! The machine's identity in its cloud, exchanged for a token of Phase's that is good for a while.
//!
//! A cloud gives credentials or a token of its own ([`aws`], [`azure`]), Phase checks with the cloud
//! whose they are, and mints. Each mint is a new token: it is asked for once.

mod aws;
mod azure;
mod signature;

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::answer::Answer;
use super::network::{Call, Network, Peer, Received};
use super::refusal::{self, Asked};
use super::repeated;
use crate::config::credential::{Credential, Proof};
use crate::config::{Evidence, Tried};
use crate::error::Error;
use crate::notice::Notice;
use crate::object::Object;
use crate::secret::{SecretBytes, Token};

/// Of an answer that cannot be read.
const NOT_IT: &str = "the answer is not what it should be";

/// What a message quotes of a cloud's text, in characters.
const MAX_TEXT: usize = 200;

#[derive(Deserialize)]
struct Minted {
    authentication: Object<Authentication>,
}

#[derive(Deserialize)]
struct Authentication {
    token: SecretBytes,
    /// In seconds.
    #[serde(rename = "TTL")]
    lasts: u64,
}

/// # Errors
/// `identity` where the cloud gives nothing or Phase does not take it, and those of any request.
pub(super) fn credential(network: &Network<'_>, proof: &Proof<'_>) -> Result<Credential, Error> {
    let host = &network.request.host;
    let (of, from, evidence) = match &proof.evidence {
        Evidence::Aws(aws) => {
            let signed = aws::evidence(network, aws)?;
            (
                "aws/iam",
                format!("the AWS credentials from {}", aws.from),
                signed,
            )
        }
        Evidence::Azure(azure) => {
            let token = azure::evidence(network, azure)?;
            (
                "azure/entra",
                format!("the Azure token from {}", azure.from),
                token,
            )
        }
    };
    let address = host.rest(&format!("identities/external/v1/{of}/auth/"));
    let not_phase = |why: &str| Error::NotPhase {
        host: host.name().to_owned(),
        why: why.to_owned(),
        hint: None,
    };
    let url = Url::parse(&address).map_err(|_| not_phase("the address is malformed"))?;
    let mut headers = proof.gateway.clone();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let account = proof.account.as_bytes();
    let (start, middle) = (br#"{"account":{"type":"service","id":""#, br#""},"#);
    let Shown { member, hidden } = evidence;
    let body = || [start, account, middle, &member(), b"}"].concat();
    let received = network.answer(&Call {
        peer: Peer::Phase,
        method: Method::POST,
        url,
        headers,
        body: &body,
    })?;
    let mut answer = Answer::new(received, host.name(), &proof.name, &proof.gateway);
    answer.hidden = hidden;
    if answer.status != 200 {
        return Err(refused(&answer, from, proof));
    }
    let Object(Minted { authentication }) = answer.json("a token")?;
    let Object(Authentication { token, lasts }) = authentication;
    let parsed = Token::parse(token.expose()).ok();
    let parsed = parsed.filter(|parsed| parsed.is_full() && parsed.is_of_a_machine());
    let parsed = parsed.ok_or_else(|| not_phase("what it calls a token is none"))?;
    let lasts = Duration::from_secs(lasts);
    (network.say)(Notice::Identified {
        from: &from,
        account: &proof.account,
        lasts,
    });
    (proof.keep)(&token, lasts);
    Ok(Credential {
        token: parsed,
        from: proof.name.clone(),
        gateway: proof.gateway.clone(),
    })
}

fn refused(answer: &Answer, from: String, proof: &Proof<'_>) -> Error {
    let said = answer.server_error();
    let Some(said) = said.filter(|_| matches!(answer.status, 400 | 401 | 403 | 404)) else {
        return refusal::of(answer, Asked::Token);
    };
    let hint = match (answer.status, &proof.evidence) {
        (400, Evidence::Aws(_)) => aws::hint(answer),
        (401, Evidence::Aws(_)) if is_of_another_time(&said) => Some(
            "set this machine's clock: Phase compares the time of the signature with its own"
                .to_owned(),
        ),
        (401, Evidence::Aws(_)) => Some("check that these credentials are still good".to_owned()),
        (401, Evidence::Azure(_)) => Some(
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
            proof.account
        )),
        _ => None,
    };
    Error::IdentityRefused {
        host: answer.host.clone(),
        from,
        server: format!("{said} ({})", answer.status),
        hint,
    }
}

/// Of the signature, not of the keys.
fn is_of_another_time(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("signature expired") || said.contains("signature not yet current")
}

/// What Phase is shown.
struct Shown<'e> {
    /// A member of the request's object, made anew for each try.
    member: Box<dyn Fn() -> Vec<u8> + 'e>,
    /// What no message repeats of it.
    hidden: Vec<SecretBytes>,
}

/// Where credentials are asked for.
#[derive(Clone, Copy)]
struct Place<'t> {
    tried: &'t Tried,
    /// As messages name it.
    name: &'t str,
    /// Nobody set it up: it is where a machine looks last.
    is_last: bool,
}

impl Place<'_> {
    fn fails(&self, why: &str) -> Error {
        match self.is_last {
            true => self.tried.nothing(self.name, why),
            false => self.tried.broken(self.name, why, None),
        }
    }
}

/// An answer of a cloud's, or why there is none, as an error that names the place. `sent` is no part
/// of it.
fn asked(
    network: &Network<'_>,
    call: &Call<'_>,
    place: Place<'_>,
    sent: &[&SecretBytes],
    words: impl Fn(&Received) -> Option<String>,
) -> Result<Received, Error> {
    let answer = network.answer(call);
    let received = answer.map_err(|error| match error {
        Error::NotPhase { host, why, .. } => place.fails(&format!("{host}: {why}")),
        error => place.fails(&error.to_string()),
    })?;
    if received.status == 200 {
        return Ok(received);
    }
    let status = match (received.status, &received.location) {
        (status @ 300..=399, Some(_)) => {
            format!("it redirects (status {status}), which is not followed")
        }
        (status, _) => format!("status {status}"),
    };
    let why = match words(&received) {
        Some(words) => {
            let words = repeated::without(&words, sent.iter().map(|secret| secret.expose()));
            format!("{status}: {}", short(&words))
        }
        None => status,
    };
    Err(place.fails(&why))
}

/// What a cloud answers in JSON; its text is never quoted.
fn json<'b, T: Deserialize<'b>>(received: &'b Received, place: Place<'_>) -> Result<T, Error> {
    match serde_json::from_slice(&received.body) {
        Ok(Object(inner)) => Ok(inner),
        Err(_) => Err(place.fails(NOT_IT)),
    }
}

fn short(words: &str) -> String {
    words.chars().take(MAX_TEXT).collect()
}

fn header(value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn posted<'b>(url: &Url, body: &'b dyn Fn() -> Vec<u8>) -> Call<'b> {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    Call {
        peer: Peer::Cloud,
        method: Method::POST,
        url: url.clone(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, form)]),
        body,
    }
}
