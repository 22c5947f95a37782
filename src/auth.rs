#![forbid(unsafe_code)]
//! Where the credential comes from: a stored token, or the machine's identity in its cloud.

mod aws;
mod azure;
mod credential;
mod identity;
mod token_cache;

pub(crate) use aws::fetch as aws_fetch;
#[cfg(any(test, fuzzing))]
pub(crate) use aws::profile::fuzz as fuzz_profile;
pub(crate) use aws::sigv4;
pub(crate) use azure::fetch as azure_fetch;
pub(crate) use credential::{Auth, Credential, IdentityLogin};
pub(crate) use identity::{CloudCredentials, Shown};
pub(crate) use token_cache::{CachedAuth, TokenCache};
