#![forbid(unsafe_code)]
//! Azure: an access token of Entra's, which Phase checks and does not use.

use base64ct::{Base64, Encoding};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::super::identity::{
    CredentialPlace, METADATA_SERVICE, NOT_IT, Shown, asked, header, json, posted,
};
use super::{Azure, AzureSource};
use crate::error::Error;
use crate::http::{HttpClient, Request, Response, form_encode};
use crate::json::JsonObject;
use crate::secret::SecretBytes;

/// What the access token is for: what Phase takes unless the identity there names something else.
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
pub(crate) fn evidence(network: &HttpClient<'_>, azure: &Azure) -> Result<Shown<'static>, Error> {
    let place = CredentialPlace {
        tried: &azure.tried,
        name: azure.from,
        is_last: matches!(azure.source, AzureSource::Instance { .. }),
    };
    let text = |secret: &SecretBytes| {
        let text = str::from_utf8(secret.expose());
        text.map(|text| text.trim().to_owned())
            .map_err(|_| place.fails("it is not UTF-8"))
    };
    let received = match &azure.source {
        AzureSource::Secret {
            url,
            client,
            secret,
        } => {
            let proof = text(secret)?;
            let body = granted(client, &[("client_secret", &proof)]);
            let body = || body.clone();
            asked(network, &posted(url, &body), place, &[secret], words)?
        }
        AzureSource::Workload {
            url,
            client,
            assertion,
        } => {
            let proof = text(assertion)?;
            let proof = [
                ("client_assertion_type", ASSERTION),
                ("client_assertion", &proof),
            ];
            let body = granted(client, &proof);
            let body = || body.clone();
            asked(network, &posted(url, &body), place, &[assertion], words)?
        }
        AzureSource::AppService {
            url,
            header: secret,
            client,
        } => {
            let value = header(secret.expose());
            let value = value.ok_or_else(|| place.fails("IDENTITY_HEADER is no header"))?;
            let said = (HeaderName::from_static("x-identity-header"), value);
            asked(
                network,
                &machine(url, "2019-08-01", said, client),
                place,
                &[secret],
                words,
            )?
        }
        AzureSource::Instance { url, client } => {
            let (name, value) = ("metadata", "true");
            let said = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            asked(
                network,
                &machine(url, "2018-02-01", said, client),
                place,
                &[],
                words,
            )?
        }
    };
    let Given { access_token } = json(&received, place)?;
    if access_token.expose().is_empty() {
        return Err(place.fails(NOT_IT));
    }
    let encoded = Base64::encode_string(access_token.expose());
    let member = [r#""azureEntra":{"jwt":""#, &encoded, r#""}"#]
        .concat()
        .into_bytes();
    let member = SecretBytes::new(member);
    Ok(Shown {
        member: Box::new(move || member.expose().to_vec()),
        hidden: vec![access_token],
    })
}

/// The body of a request to Entra (RFC 6749 §4.4).
fn granted(client: &str, proof: &[(&str, &str)]) -> Vec<u8> {
    let scope = format!("{RESOURCE}/.default");
    let known = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", &scope),
    ];
    form_encode(&[&known, proof].concat())
}

fn machine(
    url: &Url,
    version: &str,
    said: (HeaderName, HeaderValue),
    client: &Option<String>,
) -> Request<'static> {
    let mut url = url.clone();
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", RESOURCE)
        .extend_pairs(client.iter().map(|client| ("client_id", client)));
    Request {
        policy: METADATA_SERVICE,
        label: None,
        method: Method::GET,
        url,
        headers: HeaderMap::from_iter([said]),
        body: &Vec::new,
    }
}

/// What went wrong, on one line: Entra puts ids and times behind it.
fn words(received: &Response) -> Option<String> {
    let JsonObject(refused) = serde_json::from_slice::<JsonObject<Refused>>(&received.body).ok()?;
    let said = refused.error_description.or(refused.message)?;
    let line = said.lines().next()?;
    Some(line.split(" Trace ID:").next().unwrap_or(line).to_owned())
}
