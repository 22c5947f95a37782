#![forbid(unsafe_code)]
//! What proves an AWS principal, in the order in which AWS's own kits look for it.

use std::path::PathBuf;

use reqwest::Url;

use super::profile::{Found, Profiles};
use super::{Provider, Surroundings, Tried, metadata, read, service};
use crate::error::Error;
use crate::secret::SecretBytes;

/// The link-local address of a task's credentials (Amazon ECS).
const TASK: &str = "http://169.254.170.2";

/// The instance metadata service, by either family.
const INSTANCE: &str = "http://169.254.169.254";
const INSTANCE_V6: &str = "http://[fd00:ec2::254]";

/// Where nothing says the region.
pub(crate) const REGION: &str = "us-east-1";

pub(crate) struct Aws {
    pub(crate) source: AwsSource,
    /// As messages name the source.
    pub(crate) from: String,
    pub(crate) tried: Tried,
    /// None where neither a variable nor a profile says it.
    pub(crate) region: Option<String>,
    /// Where a web identity is exchanged, if not at the region's own address.
    pub(crate) exchange: Option<Url>,
}

pub(crate) enum AwsSource {
    Keys(AwsKeys),
    /// A token of a Kubernetes cluster (or another issuer), for which STS gives keys.
    WebIdentity {
        role: String,
        session: String,
        token: SecretBytes,
    },
    Container {
        url: Url,
        authorization: Option<SecretBytes>,
    },
    Instance {
        url: Url,
    },
}

pub(crate) struct AwsKeys {
    pub(crate) id: SecretBytes,
    pub(crate) secret: SecretBytes,
    /// Of keys that end by themselves.
    pub(crate) session: Option<SecretBytes>,
}

impl Aws {
    pub(super) fn find(around: &Surroundings<'_>) -> Result<Self, Error> {
        let hint = match around.is_kubernetes() {
            true => {
                "give the pod's service account a role: EKS Pod Identity, or the annotation eks.amazonaws.com/role-arn"
            }
            false => {
                "give this machine a role (a task role, an instance profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
        };
        let mut tried = Tried::new(Provider::Aws, hint);
        let mut profiles = Profiles::of(around);
        let (source, from) = source(around, &mut profiles, &mut tried)?;
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let set = named.into_iter().find_map(|name| around.text(name));
        let region = set.map(str::to_owned).or_else(|| profiles.region());
        if region.as_deref().is_some_and(|region| !is_region(region)) {
            let why = "what it names is no region of AWS, such as eu-central-1";
            return Err(tried.broken("the region", why, None));
        }
        let urls = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
        let exchange = match urls
            .into_iter()
            .find_map(|name| Some((name, around.text(name)?)))
        {
            None => None,
            Some((name, text)) => match service(text) {
                Ok(url) => Some(url),
                Err(why) => return Err(tried.broken(name, why, None)),
            },
        };
        Ok(Self {
            source,
            from,
            tried,
            region,
            exchange,
        })
    }
}

/// What stands in an address, and nothing that could lead it elsewhere.
pub(crate) fn is_region(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 32 && text.bytes().all(known)
}

/// The first that is set up.
fn source(
    around: &Surroundings<'_>,
    profiles: &mut Profiles,
    tried: &mut Tried,
) -> Result<(AwsSource, String), Error> {
    const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let named = |name: &str, source| Ok((source, name.to_owned()));
    let place = "variables";
    match KEYS.map(|name| around.secret(name)) {
        [Some(id), Some(secret)] => {
            let session = around.secret("AWS_SESSION_TOKEN");
            let keys = AwsKeys {
                id,
                secret,
                session,
            };
            return named(
                "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                AwsSource::Keys(keys),
            );
        }
        [Some(_), None] => {
            let why = "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not";
            return Err(tried.broken(place, why, None));
        }
        [None, _] => tried.pass(place, "AWS_ACCESS_KEY_ID is not set"),
    }

    let place = "web identity";
    let role = around.text("AWS_ROLE_ARN");
    match (around.path("AWS_WEB_IDENTITY_TOKEN_FILE"), role) {
        (None, _) => tried.pass(place, "AWS_WEB_IDENTITY_TOKEN_FILE is not set"),
        (Some(_), None) => {
            let why = "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not";
            return Err(tried.broken(place, why, None));
        }
        (Some(path), Some(role)) => {
            let token = read(path).map_err(|why| tried.broken(place, &why, None))?;
            let source = web_identity(role, around.text("AWS_ROLE_SESSION_NAME"), token);
            return named("the web identity of AWS_WEB_IDENTITY_TOKEN_FILE", source);
        }
    }

    let place = "shared files";
    match profiles.credentials() {
        Found::Keys(keys, from) => return Ok((AwsSource::Keys(keys), from)),
        Found::WebIdentity {
            role,
            session,
            file,
            from,
        } => {
            let token =
                read(&PathBuf::from(file)).map_err(|why| tried.broken(&from, &why, None))?;
            return Ok((web_identity(&role, session.as_deref(), token), from));
        }
        Found::Nothing(why) => tried.pass(place, &why),
        Found::Broken { why, hint } => return Err(tried.broken(place, &why, hint)),
    }

    let place = "container";
    let relative = around.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let relative = relative.map(|path| format!("{TASK}{path}"));
    let whole = around
        .text("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .map(str::to_owned);
    match relative.or(whole) {
        None => tried.pass(
            place,
            "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
        ),
        Some(text) => {
            let broken = |why: &str| tried.broken(place, why, None);
            let url = metadata(&text).map_err(|why| broken(&format!("the address {text}: {why}")))?;
            let authorization = match around.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
                Some(path) => Some(read(path).map_err(|why| broken(&why))?),
                None => around.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            };
            return named("the container's endpoint", AwsSource::Container { url, authorization });
        }
    }

    let place = "instance metadata";
    if around
        .text("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        return Err(tried.nothing(place, "AWS_EC2_METADATA_DISABLED is set"));
    }
    let mode = around.text("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    let known = match mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")) {
        true => INSTANCE_V6,
        false => INSTANCE,
    };
    let text = around
        .text("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        .unwrap_or(known);
    let url = metadata(text)
        .map_err(|why| tried.broken(place, &format!("the address {text}: {why}"), None))?;
    named("the instance's metadata", AwsSource::Instance { url })
}

fn web_identity(role: &str, session: Option<&str>, token: SecretBytes) -> AwsSource {
    AwsSource::WebIdentity {
        role: role.to_owned(),
        session: session.unwrap_or("phase-run").to_owned(),
        token,
    }
}
