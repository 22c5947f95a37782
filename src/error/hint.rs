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
            Self::TokenInsteadOfFile { .. } => "put the token in a file, or in PHASE_SERVICE_TOKEN",
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
            Self::InvalidHost {
                suggestion: instead,
                ..
            } => {
                return instead.as_ref().map(|url| format!("use {url}"));
            }
            Self::EndToEndEncrypted { .. } => {
                "leave out --mode rest, or enable server-side encryption for this app in Phase's console"
            }
            Self::NoToken => {
                "set PHASE_SERVICE_TOKEN, name a file with --token-file, or let a cloud vouch with --identity"
            }
            Self::TokenWithoutKeys { .. } => {
                "give the whole token of Phase's console: pss_service:v2:… or pss_user:v1:… with four fields"
            }
            Self::InvalidToken { .. } | Self::TokenKeyMismatch { .. } => {
                "copy the whole token from Phase's console: pss_service:v2:… with four fields of 64 hex digits"
            }
            Self::TokenRejected { .. } => {
                "check that the token exists there and has not expired, and that --host is where it was made"
            }
            Self::NoCloudCredentials { hint, .. } => return hint.map(str::to_owned),
            Self::IdentityRejected { hint, .. } => return hint.clone(),
            Self::AccessDenied { .. } => {
                "give this account access in Phase's console, or name an environment that it can read"
            }
            Self::ListingDenied {
                alternative: instead,
                ..
            } => return Some(format!("pass {instead}")),
            Self::AppNotFound {
                readable: known, ..
            } if known.is_empty() => {
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
            Self::RequiredKeyMissing { .. } => "list what is selected with --dry-run",
            Self::AmbiguousApp { .. } => "pass --app with the id of one of them",
            Self::AmbiguousEnvironment { .. } => "pass --env with the whole name of one of them",
            Self::AmbiguousKey { .. } => {
                "choose with --path (the last one wins), or drop it with --except"
            }
            Self::UnknownIssuer { ca_file: None, .. } => "name the file of its CA with --ca-file",
            Self::UnknownIssuer { .. } => "add its CA to that file, or name another with --ca-file",
            Self::LeaseFailed { .. } => "leave out --dynamic to start without them",
            Self::UnexpectedResponse { hint, .. } => return hint.map(str::to_owned),
            Self::SnapshotUnusable {
                why:
                    SnapshotError::Missing | SnapshotError::Undecryptable | SnapshotError::TooOld { .. },
                ..
            } => "start once without --offline, while Phase can be reached, to make a new one",
            Self::SnapshotUnusable {
                why: SnapshotError::LeasedSecrets { .. },
                ..
            } => "leave out --dynamic to start without them",
            Self::InvalidName { .. } => "rename it in Phase, or leave it out with --except",
            Self::NulInValue { .. } => "hand it over with --file, or leave it out with --except",
            Self::UnsafeName { name, .. } => {
                return Some(format!(
                    "pass --allow-name {name} if whoever may edit this secret may run code"
                ));
            }
            Self::DuplicateVariable { .. } => {
                "give one of them another variable with --file KEY=VAR"
            }
            Self::ValueTooLarge { largest, .. } | Self::EnvironmentTooLarge { largest, .. } => {
                return largest
                    .first()
                    .map(|(key, _)| format!("hand it over as a file with --file {key}"));
            }
            Self::UnresolvedReferences { .. } => {
                "mend them in Phase, give this account access to what they name, or run without --strict"
            }
            Self::CommandNotFound {
                command,
                why: CommandMissing::ShellBuiltin,
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
            | Self::InvalidValue { .. }
            | Self::RequiresOption { .. }
            | Self::ConflictingOptions { .. }
            | Self::InvalidVariable { .. }
            | Self::ProjectFile { .. }
            | Self::WorkingDirectory { .. }
            | Self::CaFile { .. }
            | Self::HeaderFile { .. }
            | Self::TokenFile { .. }
            | Self::Unreachable { .. }
            | Self::TlsFailed { .. }
            | Self::ServerFailed { .. }
            | Self::DecryptionFailed { .. }
            | Self::SnapshotUnusable { .. }
            | Self::SecretFile { .. }
            | Self::StdoutFailed { .. }
            | Self::SpawnFailed { .. }
            | Self::CommandNotFound { .. }
            | Self::CommandNotExecutable { .. } => return None,
        };
        Some(text.to_owned())
    }
}
