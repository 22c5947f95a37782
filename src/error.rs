#![forbid(unsafe_code)]
//! What went wrong before the command started, for the person who must act on it.
//!
//! Every failure of phase-run is one [`Error`]: a stable kind, what failed, why, and at most one
//! hint. It holds names, sizes and statuses, never a value or a token. The texts are in
//! [`text`] and [`hint`]; only `main` prints them and picks the exit status.

#[cfg(test)]
pub(crate) mod each;
mod exit;
mod hint;
mod text;
mod words;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use exit::ExitStatus;
pub(crate) use words::{errno_text, humanize, lowercase_first, os_error_text};

/// Where a decision came from, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Named(&'static str),
    ProjectFile(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::ProjectFile(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A failure, named by what the person must do about it.
#[derive(Debug)]
pub(crate) enum Error {
    // usage: the command line.
    UnknownOption {
        option: String,
        nearest: Option<&'static str>,
    },
    RepeatedOption {
        option: &'static str,
    },
    MissingValue {
        option: &'static str,
        value: &'static str,
    },
    EmptyValue {
        option: &'static str,
    },
    UnexpectedValue {
        option: &'static str,
    },
    NotUtf8 {
        option: &'static str,
    },
    InvalidValue {
        option: &'static str,
        value: String,
        expected: &'static str,
    },
    /// The option has no meaning without `requires`.
    RequiresOption {
        option: &'static str,
        requires: &'static str,
    },
    ConflictingOptions {
        option: &'static str,
        other: &'static str,
        why: &'static str,
    },
    TokenInsteadOfFile {
        option: &'static str,
    },
    NoCommand,

    // config: what to fetch, from where.
    NoApp {
        readable: Vec<String>,
        ignored_project: Option<PathBuf>,
        /// The option stands behind the command, where it is the command's.
        app_flag_after_command: bool,
    },
    NoEnvironment {
        app: String,
        readable: Vec<String>,
        ignored_project: Option<PathBuf>,
    },
    InvalidVariable {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    ProjectFile {
        path: PathBuf,
        why: String,
    },
    WorkingDirectory {
        why: String,
    },
    InvalidHost {
        value: String,
        source: Source,
        why: &'static str,
        suggestion: Option<String>,
    },
    CaFile {
        path: PathBuf,
        source: Source,
        why: String,
    },
    HeaderFile {
        path: PathBuf,
        source: Source,
        why: String,
    },
    EndToEndEncrypted {
        app: String,
    },

    // token: the credential.
    NoToken,
    TokenFile {
        from: String,
        why: String,
    },
    InvalidToken {
        from: String,
        why: &'static str,
    },
    TokenRejected {
        host: String,
        from: String,
        message: String,
    },

    /// A bearer can ask, and has no keys to decrypt with.
    TokenWithoutKeys {
        from: String,
    },
    /// Its private key, put together, is not that of its public key.
    TokenKeyMismatch {
        from: String,
    },

    // identity: what the machine says of itself.
    /// Each place that was asked, and why it was of no use.
    NoCloudCredentials {
        provider: &'static str,
        attempts: Vec<String>,
        hint: Option<&'static str>,
    },
    /// `from` is the place that was.
    IdentityRejected {
        host: String,
        from: String,
        message: String,
        hint: Option<String>,
    },

    // access: a good token that may not.
    AccessDenied {
        scope: String,
        message: String,
    },
    ListingDenied {
        what: &'static str,
        alternative: &'static str,
        message: String,
    },

    // not-found and ambiguous.
    AppNotFound {
        app: String,
        source: Source,
        readable: Vec<String>,
    },
    EnvironmentNotFound {
        environment: String,
        source: Source,
        app: String,
        readable: Vec<String>,
    },
    FilterSelectsNothing {
        option: &'static str,
        value: String,
        scope: String,
    },
    RequiredKeyMissing {
        keys: Vec<String>,
    },
    AmbiguousApp {
        name: String,
        candidates: Vec<String>,
    },
    AmbiguousEnvironment {
        name: String,
        source: Source,
        candidates: Vec<String>,
    },
    AmbiguousKey {
        key: String,
        folders: Vec<String>,
    },

    // The network and the server.
    RateLimited {
        host: String,
        retry_after: Option<String>,
    },
    Unreachable {
        host: String,
        why: String,
    },
    /// `given` is the file of roots, and where it was named.
    UnknownIssuer {
        host: String,
        why: &'static str,
        ca_file: Option<(PathBuf, Source)>,
    },
    TlsFailed {
        host: String,
        why: &'static str,
    },
    ServerFailed {
        host: String,
        status: u16,
        message: String,
    },
    UnexpectedResponse {
        host: String,
        why: String,
        hint: Option<&'static str>,
    },

    /// `names` are those of the dynamic secrets, where they could be found out.
    LeaseFailed {
        names: Vec<String>,
        scope: String,
        message: String,
    },

    // decrypt: what is encrypted and does not open. `what` is a name or an id.
    DecryptionFailed {
        what: String,
        why: &'static str,
    },

    // snapshot: the copy of an earlier fetch, where nothing else may be used.
    SnapshotUnusable {
        path: PathBuf,
        why: SnapshotError,
    },

    // environment: what cannot or must not be injected.
    InvalidName {
        key: String,
        name: String,
        why: &'static str,
    },
    NulInValue {
        key: String,
    },
    UnsafeName {
        name: String,
        key: String,
    },
    DuplicateVariable {
        name: String,
        keys: [String; 2],
    },
    ValueTooLarge {
        largest: Vec<(String, usize)>,
        limit: usize,
    },
    EnvironmentTooLarge {
        largest: Vec<(String, usize)>,
        total: usize,
        limit: usize,
    },
    UnresolvedReferences {
        keys: Vec<String>,
    },
    SecretFile {
        key: String,
        why: String,
    },

    // output: what was asked for on standard output.
    StdoutFailed {
        why: String,
    },

    // exec: the command.
    SpawnFailed {
        why: String,
    },
    CommandNotFound {
        command: OsString,
        why: CommandMissing,
    },
    CommandNotExecutable {
        command: PathBuf,
        why: String,
    },
}

/// Why there is no command of that name; decides the hint.
#[derive(Debug)]
pub(crate) enum CommandMissing {
    /// In none of the folders of the PATH that the command would get.
    NotInPath,
    /// No such path.
    NoSuchFile,
    /// The file is there; the interpreter or loader it names is not.
    NoInterpreter(PathBuf),
    /// A word that only a shell knows.
    ShellBuiltin,
    /// One word that holds a whole command line.
    CommandLine,
}

/// Why a snapshot cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SnapshotError {
    Missing,
    /// It cannot be read, or is no file that only we can have written.
    UnusableFile {
        why: String,
    },
    /// It is damaged, or one of something else; they cannot be told apart.
    Undecryptable,
    TooOld {
        age: Duration,
        limit: Duration,
    },
    /// What was leased is in none.
    LeasedSecrets {
        names: Vec<String>,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none"),
            Self::UnusableFile { why } => f.write_str(why),
            Self::Undecryptable => f.write_str(
                "it is damaged, or was made with another token, host, app, environment, filter or mode",
            ),
            Self::TooOld { age, limit } => write!(
                f,
                "it was made {} ago, and --snapshot-max-age is {} s",
                humanize(*age),
                limit.as_secs_f64()
            ),
            Self::LeasedSecrets { names } => write!(
                f,
                "what is leased is in no snapshot, which {} would be",
                names.join(", ")
            ),
        }
    }
}

impl Error {
    /// The stable word in `error[kind]`; each has a heading in the README's troubleshooting.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::UnknownOption { .. }
            | Self::RepeatedOption { .. }
            | Self::MissingValue { .. }
            | Self::EmptyValue { .. }
            | Self::UnexpectedValue { .. }
            | Self::NotUtf8 { .. }
            | Self::InvalidValue { .. }
            | Self::RequiresOption { .. }
            | Self::ConflictingOptions { .. }
            | Self::NoCommand => "usage",
            Self::NoApp { .. }
            | Self::NoEnvironment { .. }
            | Self::InvalidVariable { .. }
            | Self::ProjectFile { .. }
            | Self::WorkingDirectory { .. }
            | Self::InvalidHost { .. }
            | Self::CaFile { .. }
            | Self::HeaderFile { .. }
            | Self::EndToEndEncrypted { .. } => "config",
            Self::NoToken
            | Self::TokenInsteadOfFile { .. }
            | Self::TokenFile { .. }
            | Self::InvalidToken { .. }
            | Self::TokenRejected { .. }
            | Self::TokenWithoutKeys { .. }
            | Self::TokenKeyMismatch { .. } => "token",
            Self::NoCloudCredentials { .. } | Self::IdentityRejected { .. } => "identity",
            Self::AccessDenied { .. } | Self::ListingDenied { .. } => "access",
            Self::AppNotFound { .. }
            | Self::EnvironmentNotFound { .. }
            | Self::FilterSelectsNothing { .. }
            | Self::RequiredKeyMissing { .. } => "not-found",
            Self::AmbiguousApp { .. }
            | Self::AmbiguousEnvironment { .. }
            | Self::AmbiguousKey { .. } => "ambiguous",
            Self::RateLimited { .. } => "rate-limited",
            Self::Unreachable { .. } => "unreachable",
            Self::UnknownIssuer { .. } | Self::TlsFailed { .. } => "tls",
            Self::ServerFailed { .. } | Self::LeaseFailed { .. } => "server",
            Self::UnexpectedResponse { .. } => "protocol",
            Self::DecryptionFailed { .. } => "decrypt",
            Self::SnapshotUnusable { .. } => "snapshot",
            Self::InvalidName { .. }
            | Self::NulInValue { .. }
            | Self::UnsafeName { .. }
            | Self::DuplicateVariable { .. }
            | Self::ValueTooLarge { .. }
            | Self::EnvironmentTooLarge { .. }
            | Self::UnresolvedReferences { .. }
            | Self::SecretFile { .. } => "environment",
            Self::StdoutFailed { .. } => "output",
            Self::SpawnFailed { .. }
            | Self::CommandNotFound { .. }
            | Self::CommandNotExecutable { .. } => "exec",
        }
    }

    /// The status that phase-run ends with.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::CommandNotFound { .. } => ExitStatus::NotFound,
            Self::CommandNotExecutable { .. } => ExitStatus::NotExecutable,
            _ => ExitStatus::NothingRun,
        }
    }
}
