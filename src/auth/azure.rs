#![forbid(unsafe_code)]
//! What proves an Azure principal, in the order in which Azure's own kits look for it.

pub(crate) mod fetch;

use reqwest::Url;

use super::identity::{CredentialChain, ProviderEnv, metadata, read, service};
use crate::config::Provider;
use crate::error::Error;
use crate::secret::SecretBytes;

/// Microsoft's public cloud; others are named by `AZURE_AUTHORITY_HOST`.
const AUTHORITY: &str = "https://login.microsoftonline.com/";

/// The instance metadata service.
const INSTANCE: &str = "http://169.254.169.254";

/// What is read as text.
const TEXTS: [&str; 5] = [
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
];

pub(crate) struct Azure {
    pub(crate) source: AzureSource,
    /// As messages name the source.
    pub(crate) from: &'static str,
    pub(crate) tried: CredentialChain,
}

/// `client` is an application's or a managed identity's id.
pub(crate) enum AzureSource {
    Secret {
        url: Url,
        client: String,
        secret: SecretBytes,
    },
    /// A token of a Kubernetes cluster.
    Workload {
        url: Url,
        client: String,
        assertion: SecretBytes,
    },
    AppService {
        url: Url,
        header: SecretBytes,
        client: Option<String>,
    },
    Instance {
        url: Url,
        client: Option<String>,
    },
}

impl Azure {
    pub(super) fn find(around: &ProviderEnv<'_>) -> Result<Self, Error> {
        let hint = match around.is_kubernetes() {
            true => {
                "give the pod a workload identity: the label azure.workload.identity/use: \"true\" and an annotated service account"
            }
            false => {
                "assign a managed identity to this machine, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
            }
        };
        let mut tried = CredentialChain::new(Provider::Azure, hint);
        if let Some(name) = around.first_non_utf8(&TEXTS) {
            return Err(tried.broken(name, "it is not UTF-8", None));
        }
        let (source, from) = source(around, &mut tried)?;
        Ok(Self {
            source,
            from,
            tried,
        })
    }
}

/// The first that is set up.
fn source(
    around: &ProviderEnv<'_>,
    tried: &mut CredentialChain,
) -> Result<(AzureSource, &'static str), Error> {
    let client = around.text("AZURE_CLIENT_ID").map(str::to_owned);
    // Both of the next two need the same two beside what is their own.
    let application = |tried: &CredentialChain, place: &str| {
        let broken = |why: &str| tried.broken(place, why, None);
        let Some(client) = client.clone() else {
            return Err(broken("AZURE_CLIENT_ID is not set"));
        };
        let Some(tenant) = around.text("AZURE_TENANT_ID") else {
            return Err(broken("AZURE_TENANT_ID is not set"));
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if !tenant.bytes().all(known) || tenant.contains("..") {
            return Err(broken("AZURE_TENANT_ID is no tenant"));
        }
        let authority = around.text("AZURE_AUTHORITY_HOST").unwrap_or(AUTHORITY);
        let scheme = if authority.contains("://") {
            ""
        } else {
            "https://"
        };
        let authority = format!("{scheme}{}", authority.trim_end_matches('/'));
        let url = service(&format!("{authority}/{tenant}/oauth2/v2.0/token"));
        let url = url.map_err(|why| broken(&format!("AZURE_AUTHORITY_HOST: {why}")))?;
        Ok((url, client))
    };

    let place = "client secret";
    match around.secret("AZURE_CLIENT_SECRET") {
        None if around.bytes("AZURE_CLIENT_CERTIFICATE_PATH").is_some() => {
            let why = "AZURE_CLIENT_CERTIFICATE_PATH is set, which phase-run does not follow";
            return Err(tried.broken("client certificate", why, None));
        }
        None => tried.pass(place, "AZURE_CLIENT_SECRET is not set"),
        Some(secret) => {
            let (url, client) = application(tried, place)?;
            let source = AzureSource::Secret {
                url,
                client,
                secret,
            };
            return Ok((source, "the variable AZURE_CLIENT_SECRET"));
        }
    }

    let place = "workload identity";
    match around.path("AZURE_FEDERATED_TOKEN_FILE") {
        None => tried.pass(place, "AZURE_FEDERATED_TOKEN_FILE is not set"),
        Some(path) => {
            let (url, client) = application(tried, place)?;
            let assertion = read(path).map_err(|why| tried.broken(place, &why, None))?;
            let source = AzureSource::Workload {
                url,
                client,
                assertion,
            };
            return Ok((
                source,
                "the workload identity of AZURE_FEDERATED_TOKEN_FILE",
            ));
        }
    }

    let place = "app service";
    match around.text("IDENTITY_ENDPOINT") {
        None => tried.pass(place, "IDENTITY_ENDPOINT is not set"),
        Some(text) => {
            let broken = |why: &str| tried.broken(place, why, None);
            let Some(header) = around.secret("IDENTITY_HEADER") else {
                return Err(broken(
                    "IDENTITY_ENDPOINT is set, and IDENTITY_HEADER is not",
                ));
            };
            let url = metadata(text).map_err(|why| broken(&format!("IDENTITY_ENDPOINT: {why}")))?;
            let source = AzureSource::AppService {
                url,
                header,
                client,
            };
            return Ok((source, "the endpoint of the app service"));
        }
    }

    const PLACE: &str = "the instance's metadata";
    const ENDPOINT: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
    let base = around.text(ENDPOINT).unwrap_or(INSTANCE);
    let base = base.trim_end_matches('/');
    let url = metadata(&format!("{base}/metadata/identity/oauth2/token"));
    let url = url.map_err(|why| tried.broken(PLACE, &format!("{ENDPOINT}: {why}"), None))?;
    Ok((AzureSource::Instance { url, client }, PLACE))
}
