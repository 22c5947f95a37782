#![forbid(unsafe_code)]
//! Cloud identity: finds the machine's cloud credentials and turns them into the evidence that Phase
//! verifies.
//!
//! [`CloudCredentials::find`] walks the credential chain of the cloud's own SDKs: their variables and
//! files, then the instance metadata service. [`CloudCredentials::fetch_evidence`] then requests what
//! is not on the machine. The variables belong to the command too and stay in its environment.

use std::rc::Rc;
use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use serde::Serialize;

use super::aws::sts::StsOptions;
use super::aws::{AwsAccessKey, AwsCredentials, sigv4};
use super::azure::AzureCredentials;
use super::credential_chain::ProviderEnv;
use crate::config::Provider;
use crate::error::Error;
use crate::http::HttpClient;
use crate::process::env_block::EnvBlock;
use crate::secret::SecretBytes;

/// The machine's cloud credentials, or the source to fetch them from.
pub(crate) enum CloudCredentials {
    Aws(AwsCredentials),
    Azure(AzureCredentials),
}

impl CloudCredentials {
    /// Finds the credentials of this machine in the order of the cloud's SDKs.
    ///
    /// # Errors
    /// `identity` if there are none, or those that are configured cannot be used.
    pub(super) fn find(provider: Provider, inherited: &EnvBlock) -> Result<Self, Error> {
        let env = ProviderEnv(inherited);
        match provider {
            Provider::Aws => AwsCredentials::find(&env).map(Self::Aws),
            Provider::Azure => AzureCredentials::find(&env).map(Self::Azure),
        }
    }

    /// The credentials and their source, as messages name them.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Aws(aws) => format!("the AWS credentials from {}", aws.selected.name),
            Self::Azure(azure) => format!("the Azure token from {}", azure.selected.name),
        }
    }

    /// The last part of Phase's login address.
    pub(crate) fn login_path(&self) -> &'static str {
        match self {
            Self::Aws(_) => "aws/iam",
            Self::Azure(_) => "azure/entra",
        }
    }

    /// Fetches credentials that are not on the machine, and returns the evidence for Phase.
    ///
    /// # Errors
    /// `identity` if the credentials cannot be fetched or used.
    pub(crate) fn fetch_evidence(&self, http: &HttpClient<'_>) -> Result<LoginEvidence, Error> {
        match self {
            Self::Aws(aws) => aws.fetch_evidence(http),
            Self::Azure(azure) => Ok(LoginEvidence::Azure {
                access_token: azure.fetch_access_token(http)?,
            }),
        }
    }
}

/// Proof of the machine's identity, which Phase verifies.
pub(crate) enum LoginEvidence {
    /// A `GetCallerIdentity` request signed with this key. Phase sends it to STS, which answers whose
    /// key it is.
    Aws {
        key: Rc<AwsAccessKey>,
        region: String,
        sts: StsOptions,
    },
    /// An access token of Microsoft Entra, whose signature Phase verifies.
    Azure { access_token: SecretBytes },
}

/// The member of the login request's JSON object that proves the identity. All texts except the method are
/// in base64. Some are secret: the allocator wipes them when they are freed.
#[derive(Serialize)]
pub(crate) enum LoginProof {
    #[serde(rename = "awsIam", rename_all = "camelCase")]
    Aws {
        http_request_method: &'static str,
        http_request_url: String,
        http_request_headers: String,
        http_request_body: String,
    },
    #[serde(rename = "azureEntra")]
    Azure { jwt: String },
}

impl LoginEvidence {
    /// Builds the proof for a login request, and adds the secrets that were made for it to
    /// `sent_secrets`. Call it for each try, because an AWS signature expires within a minute.
    pub(crate) fn proof(&self, sent_secrets: &mut Vec<SecretBytes>) -> LoginProof {
        match self {
            Self::Aws { key, region, sts } => {
                let signed = sigv4::sign(key, region, *sts, SystemTime::now());
                let headers = Base64::encode_string(&signed.headers);
                let secrets = [headers.clone(), signed.signature].map(String::into_bytes);
                sent_secrets.extend(secrets.map(SecretBytes::new));
                LoginProof::Aws {
                    http_request_method: "POST",
                    http_request_url: Base64::encode_string(signed.url.as_bytes()),
                    http_request_headers: headers,
                    http_request_body: Base64::encode_string(sigv4::BODY.as_bytes()),
                }
            }
            Self::Azure { access_token } => LoginProof::Azure {
                jwt: Base64::encode_string(access_token.expose()),
            },
        }
    }

    /// The secrets that the login request is made of, which no message may repeat.
    pub(crate) fn into_secrets(self) -> Vec<SecretBytes> {
        match self {
            Self::Aws { key, .. } => {
                let copy = |secret: &SecretBytes| SecretBytes::new(secret.expose().to_vec());
                let parts = [Some(&key.id), Some(&key.secret), key.session_token.as_ref()];
                parts.into_iter().flatten().map(copy).collect()
            }
            Self::Azure { access_token } => vec![access_token],
        }
    }
}
