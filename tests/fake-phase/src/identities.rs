//! The login endpoints for cloud identities. Each call mints a new token, after the same checks in the
//! same order as in Phase's published source.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::authentication::Refusal;
use crate::cloud_credentials::azure;
use crate::identifiers::digest;
use crate::request::Request;
use crate::response::{Response, View};
use crate::sigv4::{Signed, seconds};
use crate::{service_account_id, service_token};

/// The cloud of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Aws,
    Azure,
}

/// The identities of the service account, and the tokens that were minted for them. They trust all
/// credentials of the fake cloud, unless a test changes that.
#[derive(Clone, Debug)]
pub struct Identities {
    endpoint: String,
    ttl: u64,
    max_ttl: u64,
    attached: bool,
    trusting: bool,
    server_side_keys: bool,
    /// How far this clock is ahead, in seconds.
    ahead: i64,
    /// The minted bearers, and when they expire.
    minted: Vec<(String, Instant)>,
}

/// A login request, decoded.
#[derive(Clone, Debug)]
pub struct Mint {
    /// The service account's UUID.
    pub account: String,
    /// The requested lifetime in seconds.
    pub ttl: Option<u64>,
    /// The signed request for STS, if it is a login of AWS.
    pub signed: Option<Signed>,
    /// The access token, if it is a login of Azure.
    pub access_token: Option<String>,
}

impl Default for Identities {
    fn default() -> Identities {
        Identities {
            endpoint: "https://sts.amazonaws.com".to_owned(),
            ttl: 3600,
            max_ttl: 86_400,
            attached: true,
            trusting: true,
            server_side_keys: true,
            ahead: 0,
            minted: Vec::new(),
        }
    }
}

impl Identities {
    /// Sets the STS endpoint of the AWS identity.
    pub fn endpoint(&mut self, url: &str) -> &mut Identities {
        self.endpoint = url.to_owned();
        self
    }

    /// Sets the lifetime of tokens in seconds.
    pub fn ttl(&mut self, seconds: u64) -> &mut Identities {
        self.ttl = seconds;
        self
    }

    /// Sets the longest lifetime that can be requested, in seconds.
    pub fn max_ttl(&mut self, seconds: u64) -> &mut Identities {
        self.max_ttl = seconds;
        self
    }

    /// Sets Phase's clock this many seconds ahead of the machine's.
    pub fn clock_ahead(&mut self, seconds: i64) -> &mut Identities {
        self.ahead = seconds;
        self
    }

    /// Detaches all identities from the account.
    pub fn detach(&mut self) -> &mut Identities {
        self.attached = false;
        self
    }

    /// Removes the caller from the trusted principals.
    pub fn distrust(&mut self) -> &mut Identities {
        self.trusting = false;
        self
    }

    /// Trusts the caller again.
    pub fn trust(&mut self) -> &mut Identities {
        self.trusting = true;
        self
    }

    /// Disables server-side key management for the account.
    pub fn without_server_side_keys(&mut self) -> &mut Identities {
        self.server_side_keys = false;
        self
    }

    /// Revokes all tokens minted so far.
    pub fn expire(&mut self) -> &mut Identities {
        let now = Instant::now();
        self.minted.iter_mut().for_each(|(_, end)| *end = now);
        self
    }

    /// The bearers minted so far.
    pub fn minted(&self) -> Vec<String> {
        let bearers = self.minted.iter();
        bearers.map(|(bearer, _)| bearer.clone()).collect()
    }

    pub(crate) fn has_minted(&self, bearer: &str) -> bool {
        let mut minted = self.minted.iter();
        minted.any(|(one, end)| one == bearer && Instant::now() < *end)
    }

    pub(crate) fn answer(&mut self, provider: Provider, request: &Request) -> Response {
        if request.method != "POST" {
            let message = format!("Method \"{}\" not allowed.", request.method);
            return Response::error(View::Identity, 405, None, &message);
        }
        match self.checked(provider, request) {
            Ok(ttl) => {
                let body = self.mint(ttl).to_string().into_bytes();
                Response::json(View::Identity, 200, None, body)
            }
            Err(Rejection::Plain((status, message))) => {
                Response::error(View::Identity, status, None, &message)
            }
            Err(Rejection::Endpoint(received)) => {
                let body = json!({
                    "error": "STS endpoint mismatch. Please sign the request for the configured STS endpoint.",
                    "expectedEndpoint": self.endpoint,
                    "receivedEndpoint": received,
                });
                Response::json(View::Identity, 400, None, body.to_string().into_bytes())
            }
        }
    }

    /// Checks the request and returns the token's lifetime in seconds.
    fn checked(&self, provider: Provider, request: &Request) -> Result<u64, Rejection> {
        let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
            return Err(refused(400, "Invalid JSON"));
        };
        let account = text(&asked, "/account/id").unwrap_or_default();
        if text(&asked, "/account/type") != Some("service") || account.is_empty() {
            let message = "Only service account authentication supported";
            return Err(refused(400, message));
        }
        let evidence = match provider {
            Provider::Aws => Evidence::Aws(signed(&asked)?),
            Provider::Azure => Evidence::Azure(access_token(&asked)?),
        };
        if account != service_account_id() {
            return Err(refused(404, "Service account not found"));
        }
        if !self.server_side_keys {
            return Err(refused(403, "Server-side key management must be enabled"));
        }
        if !self.attached {
            let name = match provider {
                Provider::Aws => "AWS IAM",
                Provider::Azure => "Azure",
            };
            let message = format!("No {name} identity attached to this account");
            return Err(refused(404, &message));
        }
        match evidence {
            Evidence::Aws((signed, made)) => self.check_aws(&signed, made)?,
            Evidence::Azure(token) => self.check_azure(&token)?,
        }
        let asked_ttl = asked.pointer("/tokenRequest/ttl");
        let ttl = match asked_ttl.map(Value::as_u64) {
            None => self.ttl,
            Some(Some(ttl)) if ttl > 0 => ttl,
            Some(_) => return Err(refused(400, "TTL must be a positive integer")),
        };
        if ttl > self.max_ttl {
            let most = self.max_ttl;
            let message = format!("Requested TTL ({ttl}s) exceeds maximum allowed TTL ({most}s)");
            return Err(refused(400, &message));
        }
        Ok(ttl)
    }

    fn check_aws(&self, signed: &Signed, made: i64) -> Result<(), Rejection> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(since.as_secs()).unwrap() + self.ahead;
        if now.abs_diff(made) > 60 {
            return Err(refused(401, "Signature expired"));
        }
        let configured = self.endpoint.trim_start_matches("https://");
        let expected = configured.trim_end_matches('/');
        if signed.host() != expected || signed.header("Host").is_some_and(|host| host != expected) {
            return Err(Rejection::Endpoint(signed.url.clone()));
        }
        if !signed.is_genuine() {
            return Err(refused(401, "AWS STS validation failed"));
        }
        match self.trusting {
            true => Ok(()),
            false => Err(refused(403, "Untrusted principal")),
        }
    }

    fn check_azure(&self, token: &str) -> Result<(), Rejection> {
        if !azure::TOKENS.contains(&token) {
            return Err(refused(401, "Azure JWT validation failed"));
        }
        match self.trusting {
            true => Ok(()),
            false => Err(refused(403, "Untrusted service principal")),
        }
    }

    /// Mints a token: the account's keys with a new bearer.
    fn mint(&mut self, ttl: u64) -> Value {
        let bearer = minted_bearer(self.minted.len());
        // A lifetime that no clock can represent counts as a long one.
        let life = Duration::from_secs(ttl.min(u32::MAX.into()));
        let end = Instant::now() + life;
        self.minted.push((bearer.clone(), end));
        let keys = service_token().splitn(4, ':').nth(3).unwrap();
        json!({"authentication": {
            "tokenType": "ServiceAccount",
            "token": format!("pss_service:v2:{bearer}:{keys}"),
            "bearerToken": format!("ServiceAccount {bearer}"),
            "TTL": ttl,
            "maxTTL": self.max_ttl,
        }})
    }
}

impl Mint {
    /// Decodes a login request; `None` for any other request.
    pub(crate) fn of(request: &Request) -> Option<Mint> {
        if !request.path().contains("/identities/external/") {
            return None;
        }
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let ttl = asked.pointer("/tokenRequest/ttl");
        Some(Mint {
            account: text(&asked, "/account/id").unwrap().to_owned(),
            ttl: ttl.map(|ttl| ttl.as_u64().unwrap()),
            signed: signed(&asked).ok().map(|(signed, _)| signed),
            access_token: access_token(&asked).ok(),
        })
    }
}

/// The bearer of the token that is minted after this many others.
pub fn minted_bearer(before: usize) -> String {
    digest(&["minted", &before.to_string()])
}

/// The cloud of a login path.
pub(crate) fn route(path: &str) -> Option<Provider> {
    let path = path.strip_prefix("/service/public").unwrap_or(path);
    match path.strip_prefix("/identities/external/v1/")? {
        "aws/iam/auth/" => Some(Provider::Aws),
        "azure/entra/auth/" => Some(Provider::Azure),
        _ => None,
    }
}

enum Evidence {
    Aws((Signed, i64)),
    Azure(String),
}

enum Rejection {
    Plain(Refusal),
    /// The request is signed for this URL instead of the configured one.
    Endpoint(String),
}

fn refused(status: u16, message: &str) -> Rejection {
    Rejection::Plain((status, message.to_owned()))
}

fn text<'a>(asked: &'a Value, pointer: &str) -> Option<&'a str> {
    asked.pointer(pointer).and_then(Value::as_str)
}

fn decoded(asked: &Value, pointer: &str) -> Option<String> {
    String::from_utf8(Base64::decode_vec(text(asked, pointer)?).ok()?).ok()
}

/// Decodes the signed request for STS, and the time of its signature.
fn signed(asked: &Value) -> Result<(Signed, i64), Rejection> {
    let read = || {
        let headers = decoded(asked, "/awsIam/httpRequestHeaders")?;
        let headers: Value = serde_json::from_str(&headers).ok()?;
        let pair =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Some(Signed {
            method: text(asked, "/awsIam/httpRequestMethod")?.to_owned(),
            url: decoded(asked, "/awsIam/httpRequestUrl")?,
            headers: headers
                .as_object()?
                .iter()
                .map(pair)
                .collect::<Option<_>>()?,
            body: decoded(asked, "/awsIam/httpRequestBody")?,
        })
    };
    let Some(signed) = read() else {
        return Err(refused(400, "Invalid awsIam request encoding"));
    };
    let Some(stamp) = signed.header("X-Amz-Date") else {
        return Err(refused(400, "Missing X-Amz-Date header"));
    };
    match seconds(stamp) {
        Some(made) => Ok((signed, made)),
        None => Err(refused(400, "Invalid X-Amz-Date")),
    }
}

fn access_token(asked: &Value) -> Result<String, Rejection> {
    if text(asked, "/azureEntra/jwt").is_none_or(str::is_empty) {
        return Err(refused(400, "Missing azureEntra.jwt"));
    }
    decoded(asked, "/azureEntra/jwt").ok_or_else(|| refused(400, "Invalid JWT encoding"))
}
