#![forbid(unsafe_code)]
//! The words of every notice.

use std::fmt;
use std::time::Duration;

use super::Event;
use crate::error::humanize;

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvironmentChosen { query, source, environment, reason } => {
                write!(f, "using environment {environment} ({reason} '{query}' from {source})")
            }
            Self::TokenFileExposed { path, mode } => {
                write!(f, "others may read the file {path} (mode {mode:04o}): chmod 600 it")
            }
            Self::SettingIgnored { ignored: what, used: by } => write!(f, "{what} is not used: {by} counts"),
            Self::Identified { from, account, valid_for: lasts } => write!(
                f,
                "a token of the service account {account} for {} s, by {from}",
                lasts.as_secs()
            ),
            Self::VerifySslIgnored => f.write_str(
                "PHASE_VERIFY_SSL has no effect: certificates are always verified; name a CA of your own with --ca-file",
            ),
            Self::EnvironmentEmpty { scope: place } => write!(f, "there is no secret in {place}"),
            Self::NonportableName { name } => {
                write!(f, "no shell can name the variable \"{name}\"")
            }
            Self::UnresolvedReferences { keys } => {
                write!(f, "references that could not be resolved are handed on as they are in {}", keys.join(", "))
            }
            Self::Leased { expires_at: ends, expires_in: lasts } => write!(
                f,
                "what was leased ends at {ends}, {} s from now: the command has to be started anew before",
                lasts.as_secs_f64().round()
            ),
            Self::Retrying { why, wait, attempt, left } => write!(
                f,
                "retrying in {:.1} s (attempt {attempt}, {:.0} s left): {why}",
                wait.as_secs_f64(),
                left.as_secs_f64()
            ),
            Self::SnapshotUsed { path, age: Some(age), why } => {
                write!(f, "using the snapshot {path}, made {} ago: {why}", humanize(*age))
            }
            Self::SnapshotUsed { path, age: None, why } => write!(
                f,
                "using the snapshot {path} of unknown age (by this machine's clock it is made in the future): {why}"
            ),
            Self::SnapshotUnusable { path, why } => write!(f, "cannot use the snapshot {path} instead: {why}"),
            Self::SnapshotRemoved { path } => {
                write!(f, "removed the snapshot {path}: Phase refuses what it was fetched with")
            }
            Self::SnapshotRemoveFailed { path, why } => write!(
                f,
                "cannot remove the snapshot {path}, although Phase refuses what it was fetched with: {why}"
            ),
            Self::SnapshotWriteFailed { path, why } => write!(f, "cannot keep a snapshot in {path}: {why}"),
            Self::SnapshotWritten { path } => write!(f, "kept a snapshot in {path}"),
            Self::Fetching { app, app_source, environment, environment_source, host, token } => write!(
                f,
                "app {app} (from {app_source}), environment {environment} (from {environment_source}), \
                 from {host} with the token from {token}"
            ),
            Self::Proxy { name, variable } => write!(f, "by way of the proxy {name} (from {variable})"),
            Self::Selected { selected: secrets, total: of, took } => {
                write!(f, "{secrets} of {of} secrets selected, {} ms after the start", millis(took))
            }
            Self::SystemRoots { host } => {
                write!(f, "the issuer of {host} is not among the built-in roots: once more with the system's")
            }
            Self::Request { method, host, path, status, took } => {
                write!(f, "{method} {host}{path}: {status} in {} ms", millis(took))
            }
            Self::Unchanged => f.write_str("the secrets are as they were"),
            Self::Restarting { delay } if delay.is_zero() => f.write_str("the secrets have changed: restarting the command"),
            Self::Restarting { delay } => {
                write!(f, "the secrets have changed: restarting the command in {:.1} s", delay.as_secs_f64())
            }
            Self::LeaseExpiring => f.write_str("two thirds of a lease are over: restarting the command with a new one"),
            Self::Killing { grace, signal } => {
                write!(f, "the command goes on {} s after {signal}: killing it", grace.as_secs_f64())
            }
            Self::ProcessesLeft { names } => {
                write!(f, "what the old command left cannot be ended, and the new one starts beside it: {}", names.join(", "))
            }
            Self::PollFailed { kind, why } => {
                write!(f, "a poll failed, and the command goes on as it is: error[{kind}]: {why}")
            }
            Self::PollRecovered => f.write_str("the secrets can be read again"),
            Self::RestartCancelled => f.write_str("told to end: the new command is not started"),
            Self::StartFailed { why } => write!(f, "cannot start the command anew: {why}"),
            Self::Exec { command } => {
                let program = command.first().map(|word| word.display().to_string());
                write!(f, "becoming {}", program.unwrap_or_default())
            }
        }
    }
}

fn millis(took: &Duration) -> String {
    format!("{:.1}", took.as_secs_f64() * 1000.0)
}
