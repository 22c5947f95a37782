#![forbid(unsafe_code)]
//! The credential for Phase's API: a token, or the machine's identity in its cloud.
//!
//! `config` decides where it comes from ([`AuthSource`]). [`AuthSource::load`] reads the token, which may
//! run a program, or finds the cloud credentials that `phase` exchanges for a token.

mod aws;
mod azure;
mod cloud;
mod credential_chain;
mod keyring;
mod selected_source;
mod stored_token;
mod token_cache;
mod token_command;

use std::cell::OnceCell;
use std::time::Duration;

use reqwest::header::HeaderMap;

use crate::config::credential_file::MAX_SIZE;
use crate::config::{AuthSource, Identity};
use crate::error::Error;
use crate::log::Log;
use crate::process::SingleThreaded;
use crate::process::env_block::EnvBlock;
use crate::secret::{SecretBytes, Token};
#[cfg(any(test, fuzzing))]
pub(crate) use aws::profile::fuzz as fuzz_profile;
pub(crate) use aws::sts::settings_for_endpoint;
pub(crate) use cloud::{CloudCredentials, LoginProof};
pub(crate) use token_cache::{CachedAuth, TokenCache};

/// What reading a credential may need.
#[derive(Clone, Copy)]
pub(crate) struct LoadContext<'a> {
    /// A command that prints the token runs before any thread exists.
    pub(crate) single_threaded: &'a SingleThreaded,
    pub(crate) inherited: &'a EnvBlock,
    pub(crate) log: &'a dyn Log,
}

/// A token for Phase's API.
pub(crate) struct Credential {
    pub(crate) token: Token,
    /// Where the token comes from, as messages name it: a path, `PHASE_SERVICE_TOKEN`, `--identity AWS`.
    pub(crate) token_origin: String,
    /// The headers of `--header-file`, sent to a gateway in front of Phase.
    pub(crate) gateway_headers: HeaderMap,
}

impl Credential {
    /// Parses the bytes of a token.
    ///
    /// # Errors
    /// `token` if they are not a valid token.
    fn parse(token_origin: String, bytes: &SecretBytes) -> Result<Self, Error> {
        let parsed = match bytes.expose().len() as u64 > MAX_SIZE {
            true => Err("it is longer than 65536 bytes"),
            false => Token::parse(bytes.expose()),
        };
        match parsed {
            Ok(token) => Ok(Self {
                token,
                token_origin,
                gateway_headers: HeaderMap::new(),
            }),
            Err(why) => Err(Error::InvalidToken {
                from: token_origin,
                why,
            }),
        }
    }
}

/// How phase-run authenticates to Phase.
pub(crate) enum Auth<'k> {
    Token(Credential),
    /// The machine's cloud identity, which is exchanged for a token before any other request.
    Identity(Box<IdentityLogin<'k>>),
}

/// A login, which exchanges a cloud identity for a Phase token: what it needs, and the token that it
/// minted.
pub(crate) struct IdentityLogin<'k> {
    pub(crate) cloud_credentials: CloudCredentials,
    /// The ID of the service account whose token is requested.
    pub(crate) service_account: String,
    /// Where the token comes from, as messages name it: `--identity AWS`.
    pub(crate) token_origin: String,
    pub(crate) gateway_headers: HeaderMap,
    pub(crate) on_minted: OnMinted<'k>,
    /// The previous token, if it has not expired: used when Phase cannot mint a new one now.
    pub(crate) previous: Option<Credential>,
    /// The minted token, set by the login so that later steps can borrow it.
    pub(crate) minted: OnceCell<Credential>,
}

/// Called with each newly minted token and its lifetime, so that later polls can reuse it.
pub(crate) type OnMinted<'k> = &'k dyn Fn(&SecretBytes, Duration);

impl Auth<'_> {
    pub(crate) fn set_gateway_headers(&mut self, headers: HeaderMap) {
        match self {
            Self::Token(credential) => credential.gateway_headers = headers,
            Self::Identity(login) => {
                if let Some(previous) = &mut login.previous {
                    previous.gateway_headers = headers.clone();
                }
                login.gateway_headers = headers;
            }
        }
    }
}

impl AuthSource {
    /// Reads the token, or finds the cloud credentials of this machine.
    ///
    /// # Errors
    /// `token` if the token cannot be read or is not valid, `identity` if there are no usable credentials.
    pub(crate) fn load<'k>(
        &self,
        context: LoadContext<'_>,
        on_minted: OnMinted<'k>,
    ) -> Result<Auth<'k>, Error> {
        Ok(match self {
            Self::Token(source) => Auth::Token(source.read(context)?),
            Self::Identity(identity) => {
                let login = identity.prepare_login(context.inherited, on_minted)?;
                Auth::Identity(Box::new(login))
            }
        })
    }

    /// Closes the token's descriptor, if it has one: the watcher never reads the token and must not keep
    /// it open.
    pub(crate) fn close_descriptor(&self) {
        match self {
            Self::Token(source) => source.close_descriptor(),
            Self::Identity(_) => {}
        }
    }
}

impl Identity {
    /// Finds the cloud credentials of this machine for a login. Sends no request.
    ///
    /// # Errors
    /// `identity` if there are none, or those that are configured cannot be used.
    fn prepare_login<'k>(
        &self,
        inherited: &EnvBlock,
        on_minted: OnMinted<'k>,
    ) -> Result<IdentityLogin<'k>, Error> {
        Ok(IdentityLogin {
            cloud_credentials: CloudCredentials::find(self.provider, inherited)?,
            service_account: self.service_account.clone(),
            token_origin: self.token_origin(),
            gateway_headers: HeaderMap::new(),
            on_minted,
            previous: None,
            minted: OnceCell::new(),
        })
    }

    /// Parses a token that was minted before.
    ///
    /// # Errors
    /// `token` if it is not a valid token.
    fn parse_minted(&self, token: &SecretBytes) -> Result<Credential, Error> {
        Credential::parse(self.token_origin(), token)
    }

    fn token_origin(&self) -> String {
        format!("{} {}", self.set_by, self.provider.name())
    }
}
