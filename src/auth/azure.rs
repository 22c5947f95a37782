#![forbid(unsafe_code)]
//! Azure credentials: the sources of Azure's `DefaultAzureCredential`, in the same order. Each
//! leads to an access token of Microsoft Entra.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::credential_chain::{CredentialChain, Lookup, ProviderEnv, Unusable, read_token_file};
use super::selected_source::{
    IMDS_ENDPOINT, SelectedSource, UNEXPECTED_RESPONSE, metadata_url, service_url,
};
use crate::config::Provider;
use crate::error::Error;
use crate::http::{HttpClient, Response};
use crate::json::{self, JsonObject};
use crate::secret::SecretBytes;

/// Microsoft's public cloud; `AZURE_AUTHORITY_HOST` names another.
const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com/";

/// The audience of the access token, which an identity in Phase expects by default.
const RESOURCE: &str = "https://management.azure.com/";

/// The type of a workload identity's token (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The variables that are read as text.
const TEXT_VARIABLES: [&str; 5] = [
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
];

/// The source of the access token that this machine uses.
pub(crate) struct AzureCredentials {
    source: AzureSource,
    pub(super) selected: SelectedSource,
}

enum AzureSource {
    ClientSecret {
        app: EntraApplication,
        secret: SecretBytes,
    },
    /// The token of a Kubernetes cluster or another federated issuer.
    WorkloadIdentity {
        app: EntraApplication,
        assertion: SecretBytes,
    },
    /// The managed identity of an App Service.
    AppService {
        url: Url,
        header: SecretBytes,
        client_id: Option<String>,
    },
    /// The managed identity of a virtual machine.
    InstanceMetadata { url: Url, client_id: Option<String> },
}

/// An application in Microsoft Entra.
struct EntraApplication {
    token_url: Url,
    client_id: String,
}

impl AzureCredentials {
    /// Finds the first source that is configured.
    ///
    /// # Errors
    /// `identity` if there is none, or it cannot be used.
    pub(super) fn find(env: &ProviderEnv<'_>) -> Result<Self, Error> {
        let hint = match env.is_kubernetes() {
            true => {
                "give the pod a workload identity: the label azure.workload.identity/use: \"true\" and an annotated service account"
            }
            false => {
                "assign a managed identity to this machine, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
            }
        };
        let chain = CredentialChain::new(Provider::Azure, hint, env, &TEXT_VARIABLES)?;
        let (source, selected) = chain.select(&[
            ("client secret", &|| client_secret(env)),
            ("workload identity", &|| workload_identity(env)),
            ("app service", &|| app_service(env)),
            ("instance metadata", &|| instance_metadata(env)),
        ])?;
        Ok(Self { source, selected })
    }

    /// Requests the access token.
    ///
    /// # Errors
    /// `identity` if the request fails or its response cannot be used.
    pub(super) fn fetch_access_token(&self, http: &HttpClient<'_>) -> Result<SecretBytes, Error> {
        #[derive(Deserialize)]
        struct TokenResponse {
            access_token: SecretBytes,
        }
        let selected = &self.selected;
        let response = match &self.source {
            AzureSource::ClientSecret { app, secret } => {
                let text = selected.token_text(secret, "AZURE_CLIENT_SECRET")?;
                let secret_fields = [("client_secret", text)];
                self.request_from_entra(http, app, &secret_fields, secret)
            }
            AzureSource::WorkloadIdentity { app, assertion } => {
                let text = selected.token_text(assertion, "the token")?;
                let secret_fields = [
                    ("client_assertion_type", JWT_BEARER),
                    ("client_assertion", text),
                ];
                self.request_from_entra(http, app, &secret_fields, assertion)
            }
            AzureSource::AppService {
                url,
                header,
                client_id,
            } => {
                let value = selected.sensitive_header(header.expose(), "IDENTITY_HEADER")?;
                let headers =
                    HeaderMap::from_iter([(HeaderName::from_static("x-identity-header"), value)]);
                let url = with_query(url, "2019-08-01", client_id.as_deref());
                selected.request_metadata(
                    http,
                    (Method::GET, url),
                    headers,
                    Some(header),
                    error_text,
                )
            }
            AzureSource::InstanceMetadata { url, client_id } => {
                let value = HeaderValue::from_static("true");
                let headers = HeaderMap::from_iter([(HeaderName::from_static("metadata"), value)]);
                let url = with_query(url, "2018-02-01", client_id.as_deref());
                selected.request_metadata(http, (Method::GET, url), headers, None, error_text)
            }
        }?;
        let TokenResponse { access_token } = selected.parse_json(&response)?;
        match access_token.expose() {
            b"" => Err(selected.error(UNEXPECTED_RESPONSE)),
            _ => Ok(access_token),
        }
    }

    /// Requests the access token by the client credentials grant (RFC 6749 §4.4).
    fn request_from_entra(
        &self,
        http: &HttpClient<'_>,
        app: &EntraApplication,
        secret_fields: &[(&str, &str)],
        secret: &SecretBytes,
    ) -> Result<Response, Error> {
        let scope = format!("{RESOURCE}/.default");
        let grant = [
            ("grant_type", "client_credentials"),
            ("client_id", &app.client_id),
            ("scope", &scope),
        ];
        let fields = [&grant, secret_fields].concat();
        self.selected
            .post_form(http, &app.token_url, &fields, secret, error_text)
    }
}

type AzureLookup = Result<Lookup<AzureSource>, Unusable>;

fn client_secret(env: &ProviderEnv<'_>) -> AzureLookup {
    const SECRET: &str = "AZURE_CLIENT_SECRET";
    const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
    let Some(secret) = env.secret(SECRET) else {
        return match env.value(CERTIFICATE) {
            Some(_) => {
                Err(format!("{CERTIFICATE} is set, which phase-run does not support").into())
            }
            None => Ok(Lookup::NotConfigured(format!("{SECRET} is not set"))),
        };
    };
    let app = application(env)?;
    let source = AzureSource::ClientSecret { app, secret };
    Ok(Lookup::Found(source, format!("the variable {SECRET}")))
}

fn workload_identity(env: &ProviderEnv<'_>) -> AzureLookup {
    const FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
    let Some(path) = env.path(FILE) else {
        return Ok(Lookup::NotConfigured(format!("{FILE} is not set")));
    };
    let app = application(env)?;
    let assertion = read_token_file(path)?;
    let source = AzureSource::WorkloadIdentity { app, assertion };
    Ok(Lookup::Found(
        source,
        format!("the workload identity of {FILE}"),
    ))
}

fn app_service(env: &ProviderEnv<'_>) -> AzureLookup {
    const ENDPOINT: &str = "IDENTITY_ENDPOINT";
    const HEADER: &str = "IDENTITY_HEADER";
    let Some(endpoint) = env.text(ENDPOINT) else {
        return Ok(Lookup::NotConfigured(format!("{ENDPOINT} is not set")));
    };
    let header = env.secret(HEADER);
    let source = AzureSource::AppService {
        header: header.ok_or_else(|| format!("{ENDPOINT} is set, but {HEADER} is not"))?,
        url: metadata_url(endpoint).map_err(|why| format!("{ENDPOINT}: {why}"))?,
        client_id: client_id(env),
    };
    Ok(Lookup::Found(
        source,
        "the endpoint of the app service".to_owned(),
    ))
}

fn instance_metadata(env: &ProviderEnv<'_>) -> AzureLookup {
    const ENDPOINT: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
    let endpoint = env.text(ENDPOINT).unwrap_or(IMDS_ENDPOINT);
    let endpoint = endpoint.trim_end_matches('/');
    let url = metadata_url(&format!("{endpoint}/metadata/identity/oauth2/token"));
    let source = AzureSource::InstanceMetadata {
        url: url.map_err(|why| format!("{ENDPOINT}: {why}"))?,
        client_id: client_id(env),
    };
    Ok(Lookup::Found(
        source,
        "the instance metadata service".to_owned(),
    ))
}

/// The ID of the application, or of a user-assigned managed identity.
fn client_id(env: &ProviderEnv<'_>) -> Option<String> {
    env.text("AZURE_CLIENT_ID").map(str::to_owned)
}

/// The application that a client secret or a workload identity belongs to.
fn application(env: &ProviderEnv<'_>) -> Result<EntraApplication, String> {
    const TENANT: &str = "AZURE_TENANT_ID";
    const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
    let client_id = client_id(env).ok_or("AZURE_CLIENT_ID is not set")?;
    let tenant = env.text(TENANT).ok_or(format!("{TENANT} is not set"))?;
    // The tenant becomes a segment of the path, and must not change the rest.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !tenant.bytes().all(is_allowed) || tenant.contains("..") {
        return Err(format!("{TENANT} is not a tenant ID"));
    }
    let authority = env.text(AUTHORITY).unwrap_or(DEFAULT_AUTHORITY);
    let scheme = match authority.contains("://") {
        true => "",
        false => "https://",
    };
    let authority = authority.trim_end_matches('/');
    let url = service_url(&format!("{scheme}{authority}/{tenant}/oauth2/v2.0/token"));
    Ok(EntraApplication {
        token_url: url.map_err(|why| format!("{AUTHORITY}: {why}"))?,
        client_id,
    })
}

/// Adds the query of a request for a managed identity's token.
fn with_query(url: &Url, api_version: &str, client_id: Option<&str>) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut()
        .append_pair("api-version", api_version)
        .append_pair("resource", RESOURCE)
        .extend_pairs(client_id.map(|client_id| ("client_id", client_id)));
    url
}

/// The first line of an error's description, without the IDs and times that Entra appends.
fn error_text(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorResponse {
        error_description: Option<String>,
        message: Option<String>,
    }
    let JsonObject(error) = json::from_bytes::<JsonObject<ErrorResponse>>(body).ok()?;
    let text = error.error_description.or(error.message)?;
    let line = text.lines().next()?;
    Some(line.split(" Trace ID:").next().unwrap_or(line).to_owned())
}
