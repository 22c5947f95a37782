#![forbid(unsafe_code)]
//! Azure: an access token of Entra's, which Phase checks and does not use.

use base64ct::{Base64, Encoding};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::super::network::{Call, Network, Peer, Received};
use super::{Place, asked, form, header, json, posted};
use crate::config::{Azure, AzureSource};
use crate::error::Error;
use crate::object::Object;
use crate::secret::SecretBytes;

/// What the access token is for, unless the identity in Phase says otherwise.
const RESOURCE: &str = "https://management.azure.com/";

/// How a workload's token says what it is (RFC 7523 §2.2).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Deserialize)]
struct Given {
    access_token: SecretBytes,
}

#[derive(Deserialize)]
struct Refused {
    error_description: Option<String>,
    message: Option<String>,
}

/// The member `azureEntra` of a request to Phase.
pub(super) fn evidence(network: &Network<'_>, azure: &Azure) -> Result<SecretBytes, Error> {
    let place = Place {
        tried: &azure.tried,
        name: azure.from,
        is_last: matches!(azure.source, AzureSource::Instance { .. }),
    };
    let (call, sent) = match &azure.source {
        AzureSource::Secret {
            url,
            client,
            secret,
        } => {
            let text =
                str::from_utf8(secret.expose()).map_err(|_| place.fails("it is not UTF-8"))?;
            let proof = [("client_secret", text)];
            (posted(url, granted(client, &proof)), Some(secret))
        }
        AzureSource::Workload {
            url,
            client,
            assertion,
        } => {
            let text =
                str::from_utf8(assertion.expose()).map_err(|_| place.fails("it is not UTF-8"))?;
            let proof = [
                ("client_assertion_type", ASSERTION),
                ("client_assertion", text.trim()),
            ];
            (posted(url, granted(client, &proof)), Some(assertion))
        }
        AzureSource::AppService {
            url,
            header: secret,
            client,
        } => {
            let value = header(secret.expose())
                .ok_or_else(|| place.fails("IDENTITY_HEADER is no header"))?;
            let name = HeaderName::from_static("x-identity-header");
            (
                machine(url, "2019-08-01", (name, value), client),
                Some(secret),
            )
        }
        AzureSource::Instance { url, client } => {
            let said = (
                HeaderName::from_static("metadata"),
                HeaderValue::from_static("true"),
            );
            (machine(url, "2018-02-01", said, client), None)
        }
    };
    let sent: Vec<&SecretBytes> = sent.into_iter().collect();
    let received = asked(network, &call, place, &sent, words)?;
    let Given { access_token } = json(&received, place)?;
    let encoded = Base64::encode_string(access_token.expose());
    let member = [r#""azureEntra":{"jwt":""#, &encoded, r#""}"#];
    Ok(SecretBytes::new(member.concat().into_bytes()))
}

/// The body of a request to Entra (RFC 6749 §4.4).
fn granted(client: &str, proof: &[(&str, &str)]) -> Vec<u8> {
    let scope = format!("{RESOURCE}/.default");
    let known = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", &scope),
    ];
    form(&[&known, proof].concat())
}

fn machine(
    url: &Url,
    version: &str,
    said: (HeaderName, HeaderValue),
    client: &Option<String>,
) -> Call {
    let mut url = url.clone();
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", RESOURCE)
        .extend_pairs(client.iter().map(|client| ("client_id", client)));
    Call {
        peer: Peer::Metadata,
        method: Method::GET,
        url,
        headers: HeaderMap::from_iter([said]),
        body: Vec::new(),
    }
}

/// What went wrong, on one line: Entra puts ids and times behind it.
fn words(received: &Received) -> Option<String> {
    let Object(refused) = serde_json::from_slice::<Object<Refused>>(&received.body).ok()?;
    let said = refused.error_description.or(refused.message)?;
    let line = said.lines().next()?;
    Some(line.split(" Trace ID:").next().unwrap_or(line).to_owned())
}
