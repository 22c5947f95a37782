#![forbid(unsafe_code)]
//! The words of every failure: what failed, and why.
//!
//! Lower case, no full stop; the thing is named, and where it came from. The printer escapes control
//! characters, so names and server texts go in as they are.

use std::fmt;
use std::path::PathBuf;

use super::{CommandMissing, Error};

/// `what failed: why`, on one line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption { option: given, .. } => write!(f, "there is no option {given}"),
            Self::RepeatedOption { option } => {
                write!(f, "{option} is given twice: it takes one value")
            }
            Self::MissingValue { option, value } => write!(f, "{option} needs a value: {value}"),
            Self::EmptyValue { option } => write!(f, "the value of {option} is empty"),
            Self::UnexpectedValue { option } => write!(f, "{option} takes no value"),
            Self::NotUtf8 { option } => write!(f, "the value of {option} is not UTF-8"),
            Self::InvalidValue {
                option,
                value: given,
                expected: wants,
            } => write!(f, "{option} {}: not {wants}", shown(given)),
            Self::RequiresOption { option, requires } => write!(f, "{option} requires {requires}"),
            Self::ConflictingOptions { option, other, why } => {
                write!(f, "{option} cannot be used with {other}: {why}")
            }
            Self::TokenInsteadOfFile { option } => {
                write!(
                    f,
                    "{option} holds a token: it takes the path of a file that holds it"
                )
            }
            Self::NoCommand => f.write_str("no command to run"),

            Self::NoApp {
                readable,
                ignored_project,
                ..
            } => {
                f.write_str("no app is given")?;
                passed(f, ignored_project)?;
                list(f, "this token can read", readable)
            }
            Self::NoEnvironment {
                app,
                readable,
                ignored_project,
            } => {
                write!(
                    f,
                    "no environment of {app} is given, and there is no default"
                )?;
                passed(f, ignored_project)?;
                list(f, "this token can read", readable)
            }
            Self::InvalidVariable {
                name,
                value: given,
                expected: wants,
            } => {
                write!(f, "{name}={}: not {wants}", shown(given))
            }
            Self::ProjectFile { path, why } => write!(f, "cannot use {}: {why}", path.display()),
            Self::WorkingDirectory { why } => {
                write!(
                    f,
                    "cannot look for .phase.json: the working directory: {why}"
                )
            }
            Self::InvalidHost {
                value: given,
                source,
                why,
                ..
            } => {
                write!(
                    f,
                    "cannot use {given} as Phase's address (from {source}): {why}"
                )
            }
            Self::CaFile { path, source, why } | Self::HeaderFile { path, source, why } => {
                write!(f, "cannot use {} (from {source}): {why}", path.display())
            }
            Self::EndToEndEncrypted { app } => write!(
                f,
                "cannot read {app} with --mode rest: it is end-to-end encrypted, and the server cannot decrypt it"
            ),

            Self::NoToken => f.write_str("no token is given"),
            Self::TokenFile { from, why } => write!(f, "cannot read the token from {from}: {why}"),
            Self::InvalidToken { from, why } => write!(f, "what {from} holds is no token: {why}"),
            Self::TokenRejected {
                host,
                from,
                message: server,
            } => {
                write!(f, "{host} refused the token from {from}: {server}")
            }

            Self::TokenWithoutKeys { from } => write!(
                f,
                "cannot decrypt with the token from {from}: it is a bearer alone, without the keys of a full token"
            ),
            Self::TokenKeyMismatch { from } => write!(
                f,
                "cannot decrypt with the token from {from}: its key shares do not give the key of its public key"
            ),

            Self::NoCloudCredentials {
                provider,
                attempts: places,
                ..
            } => {
                write!(f, "no credentials of {provider}: {}", places.join("; "))
            }
            Self::IdentityRejected {
                host,
                from,
                message: server,
                ..
            } => {
                write!(f, "{host} does not take {from}: {server}")
            }

            Self::AccessDenied {
                scope: what,
                message: server,
            } => write!(f, "cannot read {what}: {server}"),
            Self::ListingDenied {
                what,
                message: server,
                ..
            } => {
                write!(
                    f,
                    "cannot look up the {what}: this account may not list them: {server}"
                )
            }

            Self::AppNotFound {
                app: given,
                source,
                readable: known,
            } => {
                write!(
                    f,
                    "there is no app {} (from {source}) that this token can read",
                    shown(given)
                )?;
                list(f, "it can read", known)
            }
            Self::EnvironmentNotFound {
                environment: given,
                source,
                app,
                readable: known,
            } => {
                write!(
                    f,
                    "{app} has no environment {} (from {source}) that this token can read",
                    shown(given)
                )?;
                list(f, "it can read", known)
            }
            Self::FilterSelectsNothing {
                option,
                value: given,
                scope: place,
            } => {
                write!(f, "{option} {} selects nothing in {place}", shown(given))
            }
            Self::RequiredKeyMissing { keys } => {
                write!(
                    f,
                    "required but not among the selected: {}",
                    keys.join(", ")
                )
            }
            Self::AmbiguousApp {
                name: given,
                candidates,
            } => {
                write!(
                    f,
                    "{given} names {} apps: {}",
                    candidates.len(),
                    candidates.join(", ")
                )
            }
            Self::AmbiguousEnvironment {
                name: given,
                source,
                candidates,
            } => {
                write!(
                    f,
                    "{given} (from {source}) can mean {}",
                    candidates.join(" or ")
                )
            }
            Self::AmbiguousKey { key, folders } => {
                write!(f, "{key} has different values in {}", folders.join(" and "))
            }

            Self::RateLimited { host, retry_after } => {
                write!(f, "{host} allows no more requests now: status 429")?;
                match retry_after {
                    Some(after) => write!(f, ", Retry-After: {after}"),
                    None => Ok(()),
                }
            }
            Self::Unreachable { host, why } => write!(f, "cannot reach {host}: {why}"),
            Self::UnknownIssuer {
                host,
                why,
                ca_file: given,
            } => {
                write!(f, "cannot trust {host}: {why}")?;
                match given {
                    Some((path, source)) => {
                        write!(f, "; only {} (from {source}) is trusted", path.display())
                    }
                    None => Ok(()),
                }
            }
            Self::TlsFailed { host, why } => write!(f, "cannot trust {host}: {why}"),
            Self::ServerFailed {
                host,
                status,
                message: server,
            } => {
                write!(f, "{host} answered {status}: {server}")
            }
            Self::UnexpectedResponse { host, why, .. } => {
                write!(f, "{host} does not answer like Phase: {why}")
            }

            Self::LeaseFailed {
                names,
                scope: place,
                message: server,
            } => {
                match names.is_empty() {
                    true => write!(f, "cannot lease the dynamic secrets in {place}")?,
                    false => write!(f, "cannot lease {} in {place}", names.join(", "))?,
                }
                write!(f, ": {server}")
            }

            Self::DecryptionFailed { what, why } => write!(f, "cannot decrypt {what}: {why}"),

            Self::SnapshotUnusable { path, why } => {
                write!(f, "cannot use the snapshot {}: {why}", path.display())
            }

            Self::InvalidName { key, name, why } if key == name => {
                write!(f, "cannot inject the secret \"{key}\": {why}")
            }
            Self::InvalidName { key, name, why } => {
                write!(f, "cannot inject the secret \"{key}\" as \"{name}\": {why}")
            }
            Self::NulInValue { key } => {
                write!(
                    f,
                    "cannot inject {key}: its value holds a NUL byte, which no variable can hold"
                )
            }
            Self::UnsafeName { name, key } => {
                write!(f, "refused to inject {name}")?;
                if name != key {
                    write!(f, " (the secret {key})")?;
                }
                f.write_str(": a variable of this name can make programs run code")
            }
            Self::DuplicateVariable { name, keys: [a, b] } => {
                write!(f, "{name} would be set twice: by {a} and by {b}")
            }
            Self::ValueTooLarge { largest, limit } => {
                f.write_str("too large for a variable: ")?;
                sizes(f, largest)?;
                write!(f, "; the kernel takes {limit} bytes of name and value")
            }
            Self::EnvironmentTooLarge {
                largest,
                total,
                limit,
            } => {
                write!(
                    f,
                    "arguments and environment have {total} bytes, and the kernel takes {limit}; the largest secrets: "
                )?;
                sizes(f, largest)
            }
            Self::UnresolvedReferences { keys } => {
                write!(f, "unresolved references in {}", keys.join(", "))
            }
            Self::SecretFile { key, why } => {
                write!(f, "cannot hand over {key} as a file: {why}")
            }

            Self::StdoutFailed { why } => write!(f, "cannot write to standard output: {why}"),

            Self::SpawnFailed { why } => write!(f, "cannot start a process for the command: {why}"),
            Self::CommandNotFound { command, why } => {
                match command.is_empty() {
                    true => f.write_str("cannot run \"\": ")?,
                    false => write!(f, "cannot run {}: ", command.display())?,
                }
                match why {
                    CommandMissing::NotInPath => f.write_str("not found in PATH"),
                    CommandMissing::CommandLine => f.write_str("there is no program of that name"),
                    CommandMissing::NoSuchFile => f.write_str("no such file or directory"),
                    CommandMissing::NoInterpreter(interpreter) => {
                        write!(f, "it needs {}, which is not there", interpreter.display())
                    }
                    CommandMissing::ShellBuiltin => {
                        f.write_str("it is a word of the shell, not a program")
                    }
                }
            }
            Self::CommandNotExecutable { command, why } => {
                write!(f, "cannot run {}: {why}", command.display())
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, lead: &str, names: &[String]) -> fmt::Result {
    match names {
        [] => Ok(()),
        names => write!(f, "; {lead} {}", names.join(", ")),
    }
}

fn passed(f: &mut fmt::Formatter<'_>, project: &Option<PathBuf>) -> fmt::Result {
    match project {
        Some(path) => write!(f, " ({} is of another app)", path.display()),
        None => Ok(()),
    }
}

fn sizes(f: &mut fmt::Formatter<'_>, largest: &[(String, usize)]) -> fmt::Result {
    for (nth, (key, bytes)) in largest.iter().enumerate() {
        let comma = if nth == 0 { "" } else { ", " };
        write!(f, "{comma}{key} ({bytes} bytes)")?;
    }
    Ok(())
}

/// In quotation marks where it could not be told from the sentence around it.
fn shown(given: &str) -> String {
    let unclear = given.trim() != given || given.is_empty() || given.ends_with(':');
    match unclear {
        true => format!("\"{given}\""),
        false => given.to_owned(),
    }
}
