#![forbid(unsafe_code)]
//! AWS credentials: the sources of the AWS SDKs' credential provider chain, in the same order.

mod fetch;
pub(super) mod profile;
mod shared_files;
pub(super) mod sigv4;
pub(super) mod sts;

use std::path::Path;
use std::rc::Rc;

use reqwest::Url;

use super::credential_chain::{CredentialChain, Lookup, ProviderEnv, Unusable, read_token_file};
use super::selected_source::{IMDS_ENDPOINT, SelectedSource, metadata_url, service_url};
use crate::config::Provider;
use crate::error::Error;
use crate::secret::SecretBytes;
use profile::{ProfileCredentials, Profiles};
use sts::{StsOptions, is_region};

/// The endpoint of a task's credentials in Amazon ECS.
const ECS_ENDPOINT: &str = "http://169.254.170.2";

/// The instance metadata service (IMDS) over IPv6.
const IMDS_ENDPOINT_V6: &str = "http://[fd00:ec2::254]";

/// The reason for an access key that [`AwsAccessKey::new`] rejects.
const INVALID_KEY: &str = "the access key has a character that cannot be sent";

/// The variables that are read as text.
const TEXT_VARIABLES: [&str; 14] = [
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_STS_REGIONAL_ENDPOINTS",
];

/// The selected source of AWS credentials, and the region and STS endpoint to sign for.
pub(crate) struct AwsCredentials {
    source: AwsSource,
    pub(super) selected: SelectedSource,
    /// `None` if neither a variable nor the profile sets it.
    region: Option<String>,
    sts: StsOptions,
}

enum AwsSource {
    AccessKey(Rc<AwsAccessKey>),
    /// An OIDC token, usually of a Kubernetes cluster, which STS exchanges for an access key.
    WebIdentity {
        role_arn: String,
        session_name: String,
        token: SecretBytes,
        /// The address of STS, if it is not the region's own.
        sts_url: Option<Url>,
    },
    /// The credentials endpoint of a container in Amazon ECS or EKS Pod Identity.
    Container {
        url: Url,
        authorization: Option<SecretBytes>,
    },
    /// The instance metadata service of Amazon EC2.
    InstanceMetadata {
        endpoint: Url,
    },
}

/// An AWS access key. The parts that are sent need no escaping in a header or in JSON.
pub(crate) struct AwsAccessKey {
    pub(super) id: SecretBytes,
    pub(super) secret: SecretBytes,
    /// Set for temporary credentials.
    pub(super) session_token: Option<SecretBytes>,
}

impl AwsAccessKey {
    /// Creates a key. An empty session token counts as none. Returns `None` if a part that is sent would
    /// need escaping in a header or in JSON.
    pub(super) fn new(
        id: SecretBytes,
        secret: SecretBytes,
        session_token: Option<SecretBytes>,
    ) -> Option<Self> {
        let session_token = session_token.filter(|token| !token.expose().is_empty());
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        let is_valid = [Some(&id), session_token.as_ref()]
            .into_iter()
            .flatten()
            .all(|part| part.expose().iter().all(is_plain));
        is_valid.then_some(Self {
            id,
            secret,
            session_token,
        })
    }
}

impl AwsCredentials {
    /// Finds the first source that is configured, and the region.
    ///
    /// # Errors
    /// `identity` if there is none, or it cannot be used.
    pub(super) fn find(env: &ProviderEnv<'_>) -> Result<Self, Error> {
        let hint = match env.is_kubernetes() {
            true => {
                "give the pod's service account a role: EKS Pod Identity, or the annotation eks.amazonaws.com/role-arn"
            }
            false => {
                "give this machine a role (a task role, an instance profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
        };
        let chain = CredentialChain::new(Provider::Aws, hint, env, &TEXT_VARIABLES)?;
        let profiles = Profiles::load(env);
        let sources = Sources {
            env,
            profiles: &profiles,
        };
        let (source, selected) = chain.select(&[
            ("variables", &|| sources.variables()),
            ("web identity", &|| sources.web_identity()),
            ("shared files", &|| sources.shared_files()),
            ("container", &|| sources.container()),
            ("instance metadata", &|| sources.instance_metadata()),
        ])?;
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let region = variables
            .into_iter()
            .find_map(|name| Some((name, env.text(name)?.to_owned())))
            .or_else(|| Some(("the profile's region", profiles.region()?)));
        if let Some((setting, region)) = &region
            && !is_region(region)
        {
            let why = "it is not an AWS region, such as eu-central-1";
            return Err(selected.setting_error(setting, why));
        }
        Ok(Self {
            source,
            selected,
            region: region.map(|(_, region)| region),
            sts: StsOptions {
                regional: env.is_set_to("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
                fips: env.is_set_to("AWS_USE_FIPS_ENDPOINT", "true"),
            },
        })
    }
}

/// The sources of the chain, one method for each.
struct Sources<'a> {
    env: &'a ProviderEnv<'a>,
    profiles: &'a Profiles,
}

type AwsLookup = Result<Lookup<AwsSource>, Unusable>;

impl Sources<'_> {
    fn variables(&self) -> AwsLookup {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        match names.map(|name| self.env.secret(name)) {
            [Some(id), Some(secret)] => {
                let older_variable = || self.env.secret("AWS_SECURITY_TOKEN");
                let session_token = self.env.secret("AWS_SESSION_TOKEN").or_else(older_variable);
                let key = AwsAccessKey::new(id, secret, session_token).ok_or(INVALID_KEY)?;
                Ok(Lookup::Found(
                    AwsSource::AccessKey(Rc::new(key)),
                    format!("the variables {}", names.join(" and ")),
                ))
            }
            [Some(_), None] => {
                Err("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not".into())
            }
            [None, _] => Ok(Lookup::NotConfigured(
                "AWS_ACCESS_KEY_ID is not set".to_owned(),
            )),
        }
    }

    fn web_identity(&self) -> AwsLookup {
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        let Some(token_file) = self.env.path(FILE) else {
            return Ok(Lookup::NotConfigured(format!("{FILE} is not set")));
        };
        let role_arn = self.env.text("AWS_ROLE_ARN");
        let role_arn = role_arn.ok_or_else(|| format!("{FILE} is set, but AWS_ROLE_ARN is not"))?;
        let session_name = self.env.text("AWS_ROLE_SESSION_NAME");
        let source = self.web_identity_source(role_arn, session_name, token_file)?;
        Ok(Lookup::Found(source, format!("the web identity of {FILE}")))
    }

    fn shared_files(&self) -> AwsLookup {
        match self.profiles.credentials()? {
            Lookup::NotConfigured(why) => Ok(Lookup::NotConfigured(why)),
            Lookup::Found(ProfileCredentials::AccessKey(key), name) => {
                Ok(Lookup::Found(AwsSource::AccessKey(Rc::new(key)), name))
            }
            Lookup::Found(
                ProfileCredentials::WebIdentity {
                    role_arn,
                    session_name,
                    token_file,
                },
                name,
            ) => {
                // Variables take precedence over files.
                let role_arn = self.env.text("AWS_ROLE_ARN").or(role_arn);
                let role_arn = role_arn.ok_or_else(|| format!("{name} has no role_arn"))?;
                let session_name = self.env.text("AWS_ROLE_SESSION_NAME").or(session_name);
                let source = self
                    .web_identity_source(role_arn, session_name, Path::new(token_file))
                    .map_err(|why| format!("{name}: {why}"))?;
                Ok(Lookup::Found(source, name))
            }
        }
    }

    fn container(&self) -> AwsLookup {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let (variable, url) = match (self.env.text(RELATIVE), self.env.text(FULL)) {
            (Some(path), _) => (RELATIVE, format!("{ECS_ENDPOINT}{path}")),
            (None, Some(url)) => (FULL, url.to_owned()),
            (None, None) => {
                let why = format!("neither {RELATIVE} nor {FULL} is set");
                return Ok(Lookup::NotConfigured(why));
            }
        };
        // The message does not show the URL: anyone who knows it can request credentials.
        let url = metadata_url(&url).map_err(|why| format!("{variable}: {why}"))?;
        let authorization = match self.env.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => Some(read_token_file(path)?),
            None => self.env.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let source = AwsSource::Container { url, authorization };
        Ok(Lookup::Found(source, "the container's endpoint".to_owned()))
    }

    fn instance_metadata(&self) -> AwsLookup {
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
        if self.env.is_set_to(DISABLED, "true") {
            return Ok(Lookup::NotConfigured(format!("{DISABLED} is set")));
        }
        let default = match self.env.is_set_to(MODE, "ipv6") {
            true => IMDS_ENDPOINT_V6,
            false => IMDS_ENDPOINT,
        };
        let endpoint = metadata_url(self.env.text(ENDPOINT).unwrap_or(default));
        let endpoint = endpoint.map_err(|why| format!("{ENDPOINT}: {why}"))?;
        Ok(Lookup::Found(
            AwsSource::InstanceMetadata { endpoint },
            "the instance metadata service".to_owned(),
        ))
    }

    /// Reads the token, and finds the other parameters of `AssumeRoleWithWebIdentity`.
    fn web_identity_source(
        &self,
        role_arn: &str,
        session_name: Option<&str>,
        token_file: &Path,
    ) -> Result<AwsSource, String> {
        let endpoint = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"]
            .into_iter()
            .find_map(|name| Some((name, self.env.text(name)?)));
        let sts_url = endpoint
            .map(|(name, text)| service_url(text).map_err(|why| format!("{name}: {why}")))
            .transpose()?;
        Ok(AwsSource::WebIdentity {
            role_arn: role_arn.to_owned(),
            session_name: session_name.unwrap_or("phase-run").to_owned(),
            token: read_token_file(token_file)?,
            sts_url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::env_block::{EnvBlock, EnvEntry};

    fn find(variables: &[(&str, &str)]) -> AwsSource {
        let none = ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"].map(|name| (name, "/none"));
        let pairs = none.iter().chain(variables);
        let entries = pairs.map(|(name, value)| EnvEntry::new(name, value.as_bytes()).unwrap());
        let inherited = EnvBlock::new(entries.collect());
        AwsCredentials::find(&ProviderEnv(&inherited))
            .unwrap()
            .source
    }

    /// A unit test, because only an instance could answer at these addresses.
    #[test]
    fn imds_endpoint_follows_mode_and_override() {
        const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        for (variables, address) in [
            (&[][..], "http://169.254.169.254/"),
            (&[(MODE, "IPv4")], "http://169.254.169.254/"),
            (&[(MODE, "IPv6")], "http://[fd00:ec2::254]/"),
            (&[(MODE, "ipv6")], "http://[fd00:ec2::254]/"),
            (
                &[(MODE, "IPv6"), (ENDPOINT, "http://127.0.0.1:1")],
                "http://127.0.0.1:1/",
            ),
        ] {
            let AwsSource::InstanceMetadata { endpoint } = find(variables) else {
                panic!("another source: {variables:?}");
            };
            assert_eq!(endpoint.as_str(), address);
        }
    }
}
