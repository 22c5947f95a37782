#![forbid(unsafe_code)]
//! What proves an AWS principal, in the order in which AWS's own kits look for it.

pub(crate) mod fetch;
pub(crate) mod profile;
mod shared_files;
pub(crate) mod sigv4;

use std::path::Path;

use reqwest::Url;

use super::identity::{CredentialChain, ProviderEnv, metadata, read, service};
use crate::config::Provider;
use crate::error::Error;
use crate::secret::SecretBytes;
use profile::{Found, Profiles};

/// The link-local address of a task's credentials (Amazon ECS).
const TASK: &str = "http://169.254.170.2";

/// The instance metadata service, by either family.
const INSTANCE: &str = "http://169.254.169.254";
const INSTANCE_V6: &str = "http://[fd00:ec2::254]";

/// Where nothing says the region.
pub(crate) const REGION: &str = "us-east-1";

/// What is read as text.
const TEXTS: [&str; 14] = [
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

pub(crate) struct Aws {
    pub(crate) source: AwsSource,
    /// As messages name the source.
    pub(crate) from: String,
    pub(crate) tried: CredentialChain,
    /// None where neither a variable nor a profile says it.
    pub(crate) region: Option<String>,
    pub(crate) sts: Sts,
}

/// Which of a region's addresses of STS is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sts {
    /// `AWS_STS_REGIONAL_ENDPOINTS=regional`: us-east-1 has one that is older than regions, too.
    pub(crate) regional: bool,
    /// `AWS_USE_FIPS_ENDPOINT=true`.
    pub(crate) fips: bool,
}

pub(crate) enum AwsSource {
    Keys(AwsKeys),
    /// A token of a Kubernetes cluster (or another issuer), for which STS gives keys.
    WebIdentity {
        role: String,
        session: String,
        token: SecretBytes,
        /// STS, if not at the region's own address.
        at: Option<Url>,
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
    pub(super) fn find(around: &ProviderEnv<'_>) -> Result<Self, Error> {
        let hint = match around.is_kubernetes() {
            true => {
                "give the pod's service account a role: EKS Pod Identity, or the annotation eks.amazonaws.com/role-arn"
            }
            false => {
                "give this machine a role (a task role, an instance profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
        };
        let mut tried = CredentialChain::new(Provider::Aws, hint);
        if let Some(name) = around.first_non_utf8(&TEXTS) {
            return Err(tried.broken(name, "it is not UTF-8", None));
        }
        let profiles = Profiles::of(around);
        let search = Search {
            around,
            profiles: &profiles,
            tried: &mut tried,
        };
        let (source, from) = search.first()?;
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let set = named
            .into_iter()
            .find_map(|name| Some((name, around.text(name)?.to_owned())));
        let region = set.or_else(|| Some(("the profile's region", profiles.region()?)));
        if let Some((name, _)) = region.as_ref().filter(|(_, region)| !is_region(region)) {
            let why = "it is no region of AWS, such as eu-central-1";
            return Err(tried.broken(name, why, None));
        }
        Ok(Self {
            source,
            from,
            tried,
            region: region.map(|(_, region)| region),
            sts: Sts {
                regional: around.is("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
                fips: around.is("AWS_USE_FIPS_ENDPOINT", "true"),
            },
        })
    }
}

/// What stands in an address, and nothing that could lead it elsewhere.
pub(crate) fn is_region(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 32 && text.bytes().all(known)
}

/// A source, and how messages name it.
type Named = (AwsSource, String);

/// The places, in order. Each is set up and counts, or is passed by, or cannot be used.
struct Search<'a, 't> {
    around: &'a ProviderEnv<'a>,
    profiles: &'a Profiles,
    tried: &'t mut CredentialChain,
}

impl Search<'_, '_> {
    fn first(mut self) -> Result<Named, Error> {
        let places = [
            Self::variables,
            Self::web_identity,
            Self::shared_files,
            Self::container,
        ];
        for place in places {
            if let Some(found) = place(&mut self)? {
                return Ok(found);
            }
        }
        self.instance()
    }

    fn variables(&mut self) -> Result<Option<Named>, Error> {
        const PLACE: &str = "variables";
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        match names.map(|name| self.around.secret(name)) {
            [Some(id), Some(secret)] => {
                let older = || self.around.secret("AWS_SECURITY_TOKEN");
                let session = self.around.secret("AWS_SESSION_TOKEN").or_else(older);
                let source = AwsSource::Keys(AwsKeys {
                    id,
                    secret,
                    session,
                });
                Ok(Some((
                    source,
                    format!("the variables {}", names.join(" and ")),
                )))
            }
            [Some(_), None] => {
                let why = "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not";
                Err(self.tried.broken(PLACE, why, None))
            }
            [None, _] => self.pass(PLACE, "AWS_ACCESS_KEY_ID is not set"),
        }
    }

    fn web_identity(&mut self) -> Result<Option<Named>, Error> {
        const PLACE: &str = "web identity";
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        let Some(file) = self.around.path(FILE) else {
            return self.pass(PLACE, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
        };
        let Some(role) = self.around.text("AWS_ROLE_ARN") else {
            let why = "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not";
            return Err(self.tried.broken(PLACE, why, None));
        };
        let session = self.around.text("AWS_ROLE_SESSION_NAME");
        let source = self.assumed(PLACE, role, session, file)?;
        Ok(Some((source, format!("the web identity of {FILE}"))))
    }

    fn shared_files(&mut self) -> Result<Option<Named>, Error> {
        const PLACE: &str = "shared files";
        match self.profiles.credentials() {
            Found::Keys(keys, from) => Ok(Some((AwsSource::Keys(keys), from))),
            Found::WebIdentity {
                role,
                session,
                file,
                from,
            } => {
                // Variables say more than files, as everywhere.
                let role = self.around.text("AWS_ROLE_ARN").or(role.as_deref());
                let named = self.around.text("AWS_ROLE_SESSION_NAME");
                let session = named.or(session.as_deref());
                let Some(role) = role else {
                    return Err(self.tried.broken(&from, "it has no role_arn", None));
                };
                let source = self.assumed(&from, role, session, Path::new(&file))?;
                Ok(Some((source, from)))
            }
            Found::Nothing(why) => self.pass(PLACE, &why),
            Found::Broken { why, hint } => Err(self.tried.broken(PLACE, &why, hint)),
        }
    }

    fn container(&mut self) -> Result<Option<Named>, Error> {
        const PLACE: &str = "container";
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const WHOLE: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let relative = self.around.text(RELATIVE);
        let (variable, address) = match (relative, self.around.text(WHOLE)) {
            (Some(path), _) => (RELATIVE, format!("{TASK}{path}")),
            (None, Some(whole)) => (WHOLE, whole.to_owned()),
            (None, None) => {
                return self.pass(PLACE, &format!("neither {RELATIVE} nor {WHOLE} is set"));
            }
        };
        let broken = |why: &str| self.tried.broken(PLACE, why, None);
        // Who knows the address can ask there: it is not shown.
        let url = metadata(&address).map_err(|why| broken(&format!("{variable}: {why}")))?;
        let authorization = match self.around.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(path) => Some(read(path).map_err(|why| broken(&why))?),
            None => self.around.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let source = AwsSource::Container { url, authorization };
        Ok(Some((source, "the container's endpoint".to_owned())))
    }

    fn instance(self) -> Result<Named, Error> {
        const PLACE: &str = "the instance's metadata";
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        if self.around.is(DISABLED, "true") {
            let why = format!("{DISABLED} is set");
            return Err(self.tried.nothing(PLACE, &why));
        }
        let known = match self
            .around
            .is("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6")
        {
            true => INSTANCE_V6,
            false => INSTANCE,
        };
        let url = metadata(self.around.text(ENDPOINT).unwrap_or(known));
        let url = url.map_err(|why| {
            self.tried
                .broken(PLACE, &format!("{ENDPOINT}: {why}"), None)
        })?;
        Ok((AwsSource::Instance { url }, PLACE.to_owned()))
    }

    fn pass(&mut self, place: &str, why: &str) -> Result<Option<Named>, Error> {
        self.tried.pass(place, why);
        Ok(None)
    }

    fn assumed(
        &self,
        place: &str,
        role: &str,
        session: Option<&str>,
        file: &Path,
    ) -> Result<AwsSource, Error> {
        let broken = |why: &str| self.tried.broken(place, why, None);
        let names = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
        let named = names
            .into_iter()
            .find_map(|name| Some((name, self.around.text(name)?)));
        let at = named
            .map(|(name, text)| service(text).map_err(|why| broken(&format!("{name}: {why}"))));
        Ok(AwsSource::WebIdentity {
            role: role.to_owned(),
            session: session.unwrap_or("phase-run").to_owned(),
            token: read(file).map_err(|why| broken(&why))?,
            at: at.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::env_block::{EnvBlock, EnvEntry};

    fn found(variables: &[(&str, &str)]) -> AwsSource {
        let none = ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"].map(|name| (name, "/none"));
        let pairs = none.iter().chain(variables);
        let entries = pairs.map(|(name, value)| EnvEntry::new(name, value.as_bytes()).unwrap());
        let inherited = EnvBlock::new(entries.collect());
        Aws::find(&ProviderEnv(&inherited)).unwrap().source
    }

    /// Nothing answers there but on an instance.
    #[test]
    fn an_instance_has_an_address_of_either_family() {
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
            let AwsSource::Instance { url } = found(variables) else {
                panic!("no instance: {variables:?}");
            };
            assert_eq!(url.as_str(), address);
        }
    }
}
