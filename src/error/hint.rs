#![forbid(unsafe_code)]
//! What to do about a failure: an imperative with the exact option or file, on one line.
//!
//! It is left out where it would be a guess.

use super::{CommandMissing, Error, SnapshotError};
use crate::error::Source;

impl Error {
    /// What to do, where that is no guess: an imperative.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UnknownOption { nearest, .. } => {
                return nearest.map(|known| format!("use {known}"));
            }
            Self::RepeatedOption { option } => return Some(format!("keep one {option}")),
            Self::TokenAsFile { .. } => "put the token in a file, or in PHASE_SERVICE_TOKEN",
            Self::NoCommand => "put it last: phase-run --app shop --env production -- printenv",
            Self::NoApp {
                app_flag_after_command: true,
                ..
            } => "put --app before the command: what stands behind it is the command's",
            Self::NoApp { .. } => "pass --app NAME, or set PHASE_APP",
            Self::CaFile {
                source: Source::Named(name),
                ..
            } if !name.starts_with('-') => {
                return Some(format!("unset {name}, or name another file with --ca-file"));
            }
            Self::NoEnvironment { .. } => "pass --env NAME, or set PHASE_ENV",
            Self::Host { instead, .. } => {
                return instead.as_ref().map(|url| format!("use {url}"));
            }
            Self::EndToEnd { .. } => {
                "leave out --mode rest, or enable server-side encryption for this app in Phase's console"
            }
            Self::NoToken => {
                "set PHASE_SERVICE_TOKEN, name a file with --token-file, or let a cloud vouch with --identity"
            }
            Self::BearerAlone { .. } => {
                "give the whole token of Phase's console: pss_service:v2:… or pss_user:v1:… with four fields"
            }
            Self::InvalidToken { .. } | Self::TokenKeys { .. } => {
                "copy the whole token from Phase's console: pss_service:v2:… with four fields of 64 hex digits"
            }
            Self::TokenRefused { .. } => {
                "check that the token exists there and has not expired, and that --host is where it was made"
            }
            Self::NoIdentity { hint, .. } => return hint.map(str::to_owned),
            Self::IdentityRefused { hint, .. } => return hint.clone(),
            Self::AccessDenied { .. } => {
                "give this account access in Phase's console, or name an environment that it can read"
            }
            Self::ListingDenied { instead, .. } => return Some(format!("pass {instead}")),
            Self::AppNotFound { known, .. } if known.is_empty() => {
                "check --app, or give this account access to the app in Phase's console"
            }
            Self::AppNotFound { .. } => "pass --app with one of these names or an app's id",
            Self::EnvironmentNotFound { .. } => {
                "pass --env with the name of an environment that the token can read"
            }
            Self::FilterSelectsNothing { .. } => {
                "leave it out and list what is there with --dry-run, or pass --allow-empty if nothing is fine"
            }
            Self::RateLimited { .. } => {
                "start again later; an app's id instead of its name halves the requests"
            }
            Self::RequiredMissing { .. } => "list what is selected with --dry-run",
            Self::AppsAmbiguous { .. } => "pass --app with the id of one of them",
            Self::EnvironmentsAmbiguous { .. } => "pass --env with the whole name of one of them",
            Self::KeyAmbiguous { .. } => {
                "choose with --path (the last one wins), or drop it with --except"
            }
            Self::Untrusted { given: None, .. } => "name the file of its CA with --ca-file",
            Self::Untrusted { .. } => "add its CA to that file, or name another with --ca-file",
            Self::NotLeased { .. } => "leave out --dynamic to start without them",
            Self::UnexpectedResponse { hint, .. } => return hint.map(str::to_owned),
            Self::Snapshot {
                why:
                    SnapshotError::Missing | SnapshotError::Undecryptable | SnapshotError::Old { .. },
                ..
            } => "start once without --offline, while Phase can be reached, to make a new one",
            Self::Snapshot {
                why: SnapshotError::Leased { .. },
                ..
            } => "leave out --dynamic to start without them",
            Self::BadName { .. } => "rename it in Phase, or leave it out with --except",
            Self::NulInValue { .. } => "hand it over with --file, or leave it out with --except",
            Self::UnsafeName { name, .. } => {
                return Some(format!(
                    "pass --allow-name {name} if whoever may edit this secret may run code"
                ));
            }
            Self::NameTwice { .. } => "give one of them another variable with --file KEY=VAR",
            Self::ValueTooLarge { largest, .. } | Self::EnvironmentTooLarge { largest, .. } => {
                return largest
                    .first()
                    .map(|(key, _)| format!("hand it over as a file with --file {key}"));
            }
            Self::Unresolved { .. } => {
                "mend them in Phase, give this account access to what they name, or run without --strict"
            }
            Self::CommandNotFound {
                command,
                why: CommandMissing::Builtin,
            } => {
                return Some(format!(
                    "run it in a shell with -c '{} …'",
                    command.display()
                ));
            }
            Self::CommandNotFound {
                command,
                why: CommandMissing::CommandLine,
            } => {
                return Some(format!(
                    "give its words one by one, or use -c '{}'",
                    command.display()
                ));
            }
            Self::MissingValue { .. }
            | Self::EmptyValue { .. }
            | Self::UnexpectedValue { .. }
            | Self::NotUtf8 { .. }
            | Self::BadValue { .. }
            | Self::RequiresOption { .. }
            | Self::ConflictingOptions { .. }
            | Self::BadVariable { .. }
            | Self::Project { .. }
            | Self::WorkingDirectory { .. }
            | Self::CaFile { .. }
            | Self::HeaderFile { .. }
            | Self::TokenFile { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Server { .. }
            | Self::Undecryptable { .. }
            | Self::Snapshot { .. }
            | Self::SealedFile { .. }
            | Self::Output { .. }
            | Self::NoProcess { .. }
            | Self::CommandNotFound { .. }
            | Self::CommandNotExecutable { .. } => return None,
        };
        Some(text.to_owned())
    }
}
