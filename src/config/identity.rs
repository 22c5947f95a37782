#![forbid(unsafe_code)]
//! `--identity`: no stored token. The machine proves to its cloud who it is, and by that to Phase.
//!
//! Configuration knows the cloud and the service account. What proves it, or where that is to be
//! had, is [`Evidence`]: variables and files of the cloud's own kits, read in the process that
//! fetches. They are the command's own, and stay in its environment.

mod aws;
mod azure;
mod profile;
mod shared;

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::choices::Choices;
use super::credential::{Credential, Keep, Pass, Proof, TokenSource, parsed, regular, whole};
use super::host::is_loopback;
use super::{Sourced, uuid};
use crate::cli::Opt;
use crate::error::{Error, system_words};
use crate::inherited::Inherited;
use crate::notice::{Notice, Say};
use crate::secret::SecretBytes;
use crate::source::Source;
pub(crate) use aws::{Aws, AwsKeys, AwsSource, REGION, Sts, is_region};
pub(crate) use azure::{Azure, AzureSource};
#[cfg(any(test, fuzzing))]
pub(crate) use profile::fuzz;

/// Shared files of AWS may list hundreds of accounts. In bytes.
const MAX_SIZE: u64 = 1 << 20;

/// What opens Phase, or gets what does.
pub(crate) enum Access {
    Token(TokenSource),
    Identity(Identity),
}

impl Access {
    /// # Errors
    /// `token` and `identity`.
    pub(crate) fn pass<'k>(
        &self,
        inherited: &Inherited,
        keep: Keep<'k>,
        say: Say<'_>,
    ) -> Result<Pass<'k>, Error> {
        Ok(match self {
            Self::Token(source) => Pass::Token(source.read(inherited, say)?),
            Self::Identity(identity) => Pass::Identity(Box::new(identity.proof(inherited, keep)?)),
        })
    }

    /// For a process that does not read it and stays.
    pub(crate) fn let_go(&self) {
        match self {
            Self::Token(source) => source.let_go(),
            Self::Identity(_) => {}
        }
    }
}

/// Who can tell Phase what this machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Aws,
    Azure,
}

impl Provider {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Azure => "Azure",
        }
    }
}

/// Whose token is wanted, and who vouches.
pub(crate) struct Identity {
    provider: Provider,
    /// The service account's id.
    account: String,
    /// Where it was asked for.
    source: Source,
}

/// What proves who this machine is, or where that is to be had.
pub(crate) enum Evidence {
    Aws(Aws),
    Azure(Azure),
}

impl Identity {
    /// # Errors
    /// `identity` where nothing can be found, or what is there cannot be used.
    pub(crate) fn proof<'k>(
        &self,
        inherited: &Inherited,
        keep: Keep<'k>,
    ) -> Result<Proof<'k>, Error> {
        let around = Surroundings(inherited);
        let evidence = match self.provider {
            Provider::Aws => Evidence::Aws(Aws::find(&around)?),
            Provider::Azure => Evidence::Azure(Azure::find(&around)?),
        };
        Ok(Proof {
            evidence,
            account: self.account.clone(),
            name: self.name(),
            gateway: HeaderMap::new(),
            keep,
            spare: None,
            minted: OnceCell::new(),
        })
    }

    /// # Errors
    /// `token` for what is none.
    pub(crate) fn credential(&self, kept: &SecretBytes) -> Result<Credential, Error> {
        parsed(self.name(), kept)
    }

    /// What its token is from, as messages name it.
    fn name(&self) -> String {
        format!("{} {}", self.source, self.provider.name())
    }
}

impl Choices<'_> {
    /// None where a token is to be read.
    ///
    /// # Errors
    /// `usage` and `config` for what is no cloud, no account, or makes no sense together.
    pub(super) fn identity(&self, say: Say<'_>) -> Result<Option<Identity>, Error> {
        let pointless = |option, because| Err(Error::Pointless { option, because });
        let Some(Sourced { value, source }) = self.text_of(Opt::Identity)? else {
            return match self.words.has(Opt::ServiceAccount) {
                true => pointless(
                    Opt::ServiceAccount.name(),
                    "without --identity the token says whose it is",
                ),
                false => Ok(None),
            };
        };
        let Source::Named(name) = source else {
            return Ok(None);
        };
        let passed_over = |what, by| say(Notice::PassedOver { what, by });
        match (self.words.has(Opt::TokenFile), name == Opt::Identity.name()) {
            (true, true) => {
                return pointless(Opt::TokenFile.name(), "--identity gets a token of its own");
            }
            (true, false) => {
                passed_over(name, Opt::TokenFile.name());
                return Ok(None);
            }
            (false, _) => {}
        }
        let provider = match value.as_str() {
            "aws" => Provider::Aws,
            "azure" => Provider::Azure,
            _ => {
                let given = Sourced { value, source };
                return Err(self.not(given, Opt::Identity, "aws or azure"));
            }
        };
        let Some(account) = self.text_of(Opt::ServiceAccount)? else {
            return pointless(
                name,
                "without --service-account there is no account to get a token of",
            );
        };
        let Some(id) = uuid(&account.value) else {
            let wants = "the id of a service account, as Phase's console shows it";
            return Err(self.not(account, Opt::ServiceAccount, wants));
        };
        if let Some((_, option)) = self.path_of(Opt::Snapshot)? {
            return pointless(
                option,
                "with --identity the token is another one at each start, and no other start could open the copy",
            );
        }
        let set = |name: &&'static str| self.inherited.get(name).is_some_and(|v| !v.is_empty());
        let tokens = ["PHASE_SERVICE_TOKEN_FILE", "PHASE_SERVICE_TOKEN"];
        if let Some(token) = tokens.into_iter().find(set) {
            passed_over(token, name);
        }
        Ok(Some(Identity {
            provider,
            account: id,
            source,
        }))
    }
}

/// The variables that a cloud's own kits read. One that is set but empty is not set.
struct Surroundings<'a>(&'a Inherited);

impl<'a> Surroundings<'a> {
    fn bytes(&self, name: &str) -> Option<&'a OsStr> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// Those that are looked at with [`Self::text`] have to be text: one that could not be read would
    /// count as not set, and another principal be found.
    fn first_that_is_no_text(&self, names: &[&'static str]) -> Option<&'static str> {
        let no_text = |name: &&&str| {
            self.bytes(name)
                .is_some_and(|value| value.to_str().is_none())
        };
        names.iter().find(no_text).copied()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.bytes(name)?.to_str()
    }

    /// Whether it is set to this word, in any case.
    fn is(&self, name: &str, word: &str) -> bool {
        self.text(name)
            .is_some_and(|set| set.eq_ignore_ascii_case(word))
    }

    fn secret(&self, name: &str) -> Option<SecretBytes> {
        let value = self.bytes(name)?.as_bytes();
        Some(SecretBytes::new(value.to_vec()))
    }

    fn path(&self, name: &str) -> Option<&'a Path> {
        self.bytes(name).map(Path::new)
    }

    /// For a hint.
    fn is_kubernetes(&self) -> bool {
        self.bytes("KUBERNETES_SERVICE_HOST").is_some()
    }
}

/// Where was looked, in the order of the cloud's own kits, and why it was not to be had there.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    provider: Provider,
    places: Vec<String>,
    /// What to do where nothing was set up at all.
    hint: &'static str,
}

impl Tried {
    fn new(provider: Provider, hint: &'static str) -> Self {
        Self {
            provider,
            places: Vec::new(),
            hint,
        }
    }

    fn pass(&mut self, place: &str, why: &str) {
        self.places.push(format!("{place}: {why}"));
    }

    /// The last place came to nothing: none of them was set up.
    pub(crate) fn nothing(&self, place: &str, why: &str) -> Error {
        self.broken(place, why, Some(self.hint))
    }

    /// What is set up there cannot be used. No other place is asked: whoever set it up means this one,
    /// and the machine may be somebody else elsewhere.
    pub(crate) fn broken(&self, place: &str, why: &str, hint: Option<&'static str>) -> Error {
        let mut places = self.places.clone();
        places.push(format!("{place}: {why}"));
        Error::NoIdentity {
            provider: self.provider.name(),
            places,
            hint,
        }
    }
}

/// A file that holds a secret, in the words of why not.
fn read(path: &Path) -> Result<SecretBytes, String> {
    // A JSON web token (RFC 7519 §3.1) where its file's path belongs is not shown.
    if path.as_os_str().as_bytes().starts_with(b"eyJ") {
        return Err("a token stands in the place of its file's path".to_owned());
    }
    let unusable = |why: &str| format!("{}: {why}", path.display());
    let unreadable = |error| unusable(&system_words(&error));
    let file = regular(path).map_err(unreadable)?;
    let file = file.ok_or_else(|| unusable("it is no regular file"))?;
    let bytes = whole(file, MAX_SIZE).map_err(unreadable)?;
    match (
        bytes.expose().len() as u64 > MAX_SIZE,
        bytes.expose().trim_ascii(),
    ) {
        (true, _) => Err(unusable(&format!("it is longer than {MAX_SIZE} bytes"))),
        (false, b"") => Err(unusable("it is empty")),
        (false, _) => Ok(bytes),
    }
}

/// An address that a machine learns of itself at: https, or http to this machine or its own link.
fn metadata(text: &str) -> Result<Url, &'static str> {
    address(text, |host| is_loopback(host) || is_link_local(host))
}

/// An address of a cloud's public service: https, or http to this machine.
fn service(text: &str) -> Result<Url, &'static str> {
    address(text, is_loopback)
}

fn address(text: &str, may_be_plain: impl Fn(&str) -> bool) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    let host = url.host_str().ok_or("it names no host")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("it holds more than an address");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if may_be_plain(host) => Ok(url),
        "http" => Err("over http to another machine credentials would cross the network in clear"),
        _ => Err("it is neither https nor http"),
    }
}

/// RFC 3927, where clouds keep their metadata, and the two addresses that AWS has for IPv6.
fn is_link_local(host: &str) -> bool {
    let v4 = host.parse::<std::net::Ipv4Addr>();
    v4.is_ok_and(|address| address.is_link_local())
        || ["[fd00:ec2::254]", "[fd00:ec2::23]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_its_link() {
        for text in [
            "http://169.254.169.254",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/",
            "http://127.0.0.1:8080/x",
            "http://localhost:42356/msi/token",
            "https://sts.eu-central-1.amazonaws.com",
        ] {
            assert!(metadata(text).is_ok(), "{text}");
        }
        for text in [
            "http://169.253.169.254",
            "http://10.0.0.1",
            "http://169.254.169.254.acme.test",
            "http://[fd00:ec2::255]",
            "http://[fe80::1]",
            "http://user:word@127.0.0.1",
            "http://127.0.0.1/#fragment",
            "http://acme.test",
            "file:///etc/passwd",
            "169.254.169.254",
            "",
        ] {
            assert!(metadata(text).is_err(), "{text}");
        }
        assert!(service("http://169.254.169.254").is_err());
        assert!(service("http://127.0.0.1:1").is_ok());
    }
}
