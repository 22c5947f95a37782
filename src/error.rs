#![forbid(unsafe_code)]
//! Every way in which phase-run itself can fail.
//!
//! Each variant of [`Error`] is defined with its text, its hint and, unless it is 125, its exit status.
//! Variants are grouped by the kind that users see in `error[kind]`. Errors hold names, sizes and
//! statuses, never a secret value or a token. Only `main` prints them.
//!
//! To add an error, add a variant here and a file in `tests/messages` that shows its text.

#[macro_use]
mod define;
mod hints;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use hints::{WHOLE_PATH, env_file_hint, shell_quoted};
use hints::{
    app_hint, ca_file_hint, environment_hint, equals_sign_hint, existing_names, filter_hint,
    invalid_token_hint, missing_command_hint, path_hint, ranking_hint, rejected_token_hint,
    repeated_option_hint, required_key_hint, tilde_hint, unknown_option_hint,
    unreadable_token_hint,
};
pub(crate) use text::{
    MAX_LISTED, NO_MEMORY, errno_text, first_chars, humanize, list, lowercase_first, os_error_text,
    seconds,
};
use text::{ignored_project_note, quoted_if_unclear, readable_names, sizes};

/// The word in `error[kind]`, which users search for and alert on, and what the documents say about it.
#[derive(Debug)]
pub(crate) struct ErrorKind {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    /// The exit status of each variant of this kind.
    pub(crate) exit_statuses: &'static [u8],
}

errors! {
    "usage": "the command line is wrong: an option is unknown, repeated, without its value or in conflict with another one, or the command is missing" {
        /// No option has this name; `nearest` is the known option whose spelling is nearest, if one is near.
        #[text("unknown option {option}")]
        #[hint_from(Some(unknown_option_hint(option, *nearest)))]
        UnknownOption { option: String, nearest: Option<&'static str> },
        /// One argument holds an option and more words, as in a `#!` line; `option` is its first word.
        #[text("several words are in one argument: \"{option} …\"")]
        #[hint("pass each word as a separate argument; start a script with #!/usr/bin/env -S phase-run …")]
        SeveralWordsInArgument { option: String },
        /// An option that cannot be repeated was given more than once.
        #[text("{option} was given more than once")]
        #[hint("keep only one {option}")]
        RepeatedOption { option: &'static str },
        /// The command line ends where the value of an option should be.
        #[text("{option} requires a value: {value}")]
        MissingValue { option: &'static str, value: &'static str },
        /// An option that needs a value has an empty one.
        #[text("the value of {option} is empty")]
        EmptyValue { option: &'static str },
        /// A flag was given a value, as in `--clean=yes`.
        #[text("{option} does not take a value")]
        UnexpectedValue { option: &'static str },
        /// The value of an option that takes text has bytes that are not UTF-8.
        #[text("the value of {option} is not UTF-8")]
        NotUtf8 { option: &'static str },
        /// The value of an option cannot be parsed.
        #[text("{option} {}: expected {expected}", quoted_if_unclear(value))]
        InvalidValue { option: &'static str, value: String, expected: &'static str },
        /// A pattern has a comma, which would be part of the name.
        #[text("{option} {value}: a comma does not separate patterns")]
        #[hint_from(Some(repeated_option_hint(option, value)))]
        CommaInPattern { option: &'static str, value: String },
        /// A pattern has a `=`, which no name contains; `name` is what precedes it.
        #[text("{option} {}=…: no name contains =", shell_quoted(name))]
        #[hint_from(Some(equals_sign_hint(option, name)))]
        EqualsSignInPattern { option: &'static str, name: String },
        /// A path stands where `--file` takes the name of a variable.
        #[text("--file {key}={path}: expected the name of a variable after =")]
        #[hint("use --file {key}=VAR: phase-run chooses the path of the in-memory file, and the variable holds it")]
        PathAsVariable { key: String, path: String },
        /// The option has no effect without another one, which `variable` sets as well.
        #[text("{option} requires {requires}")]
        #[hint_from(variable.map(|variable| format!("pass {requires}, or set {variable}")))]
        RequiresOption { option: &'static str, requires: &'static str, variable: Option<&'static str> },
        /// Two options exclude each other.
        #[text("{option} cannot be used with {other}: {why}")]
        ConflictingOptions { option: &'static str, other: &'static str, why: &'static str },
        /// The option, or the variable that stands for it, does something that only Linux can do.
        #[text("{option} needs Linux")]
        #[hint("remove {option}, or run phase-run in a Linux container")]
        NeedsLinux { option: &'static str },
        /// The command line contains no command.
        #[text("no command to run")]
        #[hint_from(Some(match is_pid1 {
            true => "put the command into CMD, or after the name of the image: ENTRYPOINT and --entrypoint clear the CMD of an image, and the form of ENTRYPOINT without brackets ignores both".to_owned(),
            false => "put the command last: phase-run --app shop --env production -- printenv".to_owned(),
        }))]
        NoCommand { is_pid1: bool },
    }

    "config": "the app or the environment is not specified; a variable, `.phase.json`, the host, the CA file or the header file cannot be used; or `--mode rest` is set for an end-to-end encrypted app" {
        /// No app is specified. `misplaced` is what is probably wrong with the command line.
        #[text("no app is specified{}{}", ignored_project_note(ignored_project), readable_names(readable))]
        #[hint_from(Some(match misplaced {
            Some(word) => word.hint().to_owned(),
            None => "pass --app NAME, set PHASE_APP, or add a .phase.json".to_owned(),
        }))]
        NoApp { readable: Vec<String>, ignored_project: Option<IgnoredProject>, misplaced: Option<MisplacedWord> },
        /// No environment is specified.
        #[text("no environment of {app} is specified, and there is no default{}{}", ignored_project_note(ignored_project), readable_names(readable))]
        #[hint("pass --env NAME, or set PHASE_ENV")]
        NoEnvironment { app: String, readable: Vec<String>, ignored_project: Option<IgnoredProject> },
        /// The value of an environment variable cannot be parsed.
        #[text("{name}={}: expected {expected}", quoted_if_unclear(value))]
        #[hint_from(env_file_hint(&SetBy::Variable(name), value))]
        InvalidVariable { name: &'static str, value: String, expected: &'static str },
        /// The variable names a SOCKS proxy; `address` has nothing after the scheme.
        #[text("{name}={address}: SOCKS proxies are not supported")]
        #[hint("set https_proxy to an HTTP proxy, or no_proxy to the host of Phase to reach it directly")]
        SocksProxy { name: &'static str, address: String },
        /// A `.phase.json` cannot be read or parsed.
        #[text("cannot use {}: {why}", path.display())]
        ProjectFileUnusable { path: PathBuf, why: String },
        /// The `.phase.json` of a parent directory may come from another user.
        #[text("cannot follow {}, which is in a parent directory: {why}", path.display())]
        #[hint("pass --app and --env")]
        ProjectFileUntrusted { path: PathBuf, why: String },
        /// The working directory, where the search for `.phase.json` starts, cannot be determined.
        #[text("cannot search for .phase.json: cannot determine the working directory: {why}")]
        WorkingDirectoryUnknown { why: String },
        /// The address of Phase is not a URL, or a token must not be sent to it.
        #[text("cannot use {} (from {set_by}) as Phase's address: {why}", quoted_if_unclear(value))]
        #[hint_from(hint.clone())]
        InvalidHost { value: String, set_by: SetBy, why: &'static str, hint: Option<String> },
        /// The file of trusted CAs cannot be used.
        #[text("cannot use the CA file {} (from {}): {why}", file.value.display(), file.set_by)]
        #[hint_from(ca_file_hint(file))]
        CaFileUnusable { file: Setting<PathBuf>, why: String },
        /// The file of additional request headers cannot be used.
        #[text("cannot use the header file {} (from {}): {why}", file.value.display(), file.set_by)]
        #[hint_from(path_hint(&file.set_by, &file.value))]
        HeaderFileUnusable { file: Setting<PathBuf>, why: String },
        /// `--mode rest` asks the server to decrypt an app whose keys it does not have.
        #[text("cannot read {app} with --mode rest: the app is end-to-end encrypted, so the server cannot decrypt it")]
        #[hint("remove --mode rest or PHASE_MODE, or enable server-side encryption for this app in the Phase console")]
        EndToEndEncrypted { app: String },
    }

    "token": "the token is missing, unreadable, malformed or unknown to Phase, or it is a bearer token and decryption needs the keys of a full token" {
        /// Neither an option nor a variable gives a token, and there is no login that may be used.
        #[text("no token is specified")]
        #[hint_from(Some(format!(
            "{}set PHASE_SERVICE_TOKEN, pass --token-file FILE or --token-command LINE, or pass --identity with --service-account",
            if *may_use_login { "log in with phase auth, " } else { "" }
        )))]
        NoToken { may_use_login: bool },
        /// The login of Phase's own CLI cannot be used; `path` is its file.
        #[text("cannot use the login in {}: {why}", path.display())]
        #[hint_from(hint.clone())]
        LoginUnusable { path: PathBuf, why: String, hint: Option<String> },
        /// The login of Phase's own CLI is for another Phase than the one that is asked for.
        #[text("the login of {account} is at {login_host}, not at {host} (from {set_by})")]
        #[hint_from(Some(match set_by {
            SetBy::Option(option) => format!("remove {option}, or log in there with phase auth"),
            setting => format!("unset {}, or log in there with phase auth", setting.name()),
        }))]
        LoginAtOtherHost { account: String, login_host: String, host: String, set_by: SetBy },
        /// The system's keyring does not give the token of the login.
        #[text("cannot read the token of {account} from the keyring: {why}")]
        #[hint_from(hint.map(str::to_owned))]
        KeyringFailed { account: String, why: String, hint: Option<&'static str> },
        /// A token was given where something else belongs, which `expected` names.
        #[text("{option} takes {expected}, not the token")]
        #[hint("put the token in a file, or set PHASE_SERVICE_TOKEN")]
        TokenAsArgument { option: &'static str, expected: &'static str },
        /// The file or descriptor that holds the token, and that `set_by` named, cannot be read.
        #[text("cannot read the token from {from}{}: {why}", set_by.iter().map(|set_by| format!(" (from {set_by})")).collect::<String>())]
        #[hint_from(unreadable_token_hint(from, set_by.as_ref(), *cause))]
        TokenUnreadable { from: String, set_by: Option<SetBy>, why: String, cause: Option<io::ErrorKind> },
        /// The token's command has no usable output; `from` is the option or the variable that sets it.
        #[text("cannot get a token with {from}: {why}")]
        #[hint_from(hint.clone())]
        TokenCommandFailed { from: &'static str, why: String, hint: Option<String> },
        /// The token is malformed.
        #[text("the token from {from} is not valid: {why}")]
        #[hint_from(Some(invalid_token_hint(from, why)))]
        InvalidToken { from: String, why: &'static str },
        /// Phase does not accept the token; `message` is what it responded.
        #[text("{host} rejected the token from {from}: {message}")]
        #[hint_from(Some(rejected_token_hint(host, from)))]
        TokenRejected { host: String, from: String, message: String },
        /// The token is a bearer token, which has no keys to decrypt with.
        #[text("cannot decrypt with the token from {from}: it is only a bearer token, without the keys of a full token")]
        #[hint("use the whole token from the Phase console: pss_service:v2:… or pss_user:v1:… with four fields")]
        TokenWithoutKeys { from: String },
        /// The token is a bearer token, and the app is end-to-end encrypted.
        #[text("cannot read {app}: it is end-to-end encrypted, and the token from {from} is a bare bearer token without keys")]
        #[hint("use the whole token from the Phase console: pss_service:v2:… or pss_user:v1:… with four fields")]
        BearerForEncryptedApp { app: String, from: String },
        /// The private key combined from the two key shares does not match the token's public key.
        #[text("cannot decrypt with the token from {from}: its key shares do not match its public key")]
        #[hint_from(Some(invalid_token_hint(from, "")))]
        TokenKeyMismatch { from: String },
    }

    "identity": "with `--identity`, this machine's cloud credentials cannot be found, or Phase does not trust them" {
        /// No source has cloud credentials, or the selected source is down; `attempts` has one reason per source.
        #[text("no {provider} credentials found: {}", attempts.join("; "))]
        #[hint_from(hint.map(str::to_owned))]
        NoCloudCredentials { provider: &'static str, attempts: Vec<String>, hint: Option<&'static str>, is_outage: bool },
        /// Phase or the cloud does not accept the credentials; `from` says which ones.
        #[text("{host} rejected {from}: {message}")]
        #[hint_from(hint.clone())]
        IdentityRejected { host: String, from: String, message: String, hint: Option<String> },
    }

    "access": "the token is valid, but may not read this" {
        /// The account may not read the secrets of the environment.
        #[text("cannot read {environment_label}: {message}")]
        #[hint("grant this account access in the Phase console, or choose an environment that it can read")]
        AccessDenied { environment_label: String, message: String },
        /// A network access policy in Phase excludes the IP address that the request came from.
        #[text("{host} accepts no requests from this IP address: {message}")]
        #[hint("add this machine's public IP address to the network access policy in the Phase console")]
        AddressDenied { host: String, message: String },
        /// The account may not list apps or environments, so the name that is `wanted` cannot be looked up.
        #[text("cannot look up the {what}: this account may not list them: {message}")]
        #[hint_from(wanted.as_ref().and_then(|wanted| env_file_hint(&wanted.set_by, &wanted.value)).or_else(|| Some(format!("pass {alternative}"))))]
        ListingDenied { what: &'static str, alternative: &'static str, message: String, wanted: Option<Setting<String>> },
    }

    "not-found": "an app, an environment, a folder, a tag or a required key does not exist, or a pattern matches nothing" {
        /// The token can read no app of this name or ID.
        #[text("app {} (from {set_by}) not found{}", quoted_if_unclear(app), readable_names(readable))]
        #[hint_from(Some(app_hint(app, set_by, readable)))]
        AppNotFound { app: String, set_by: SetBy, readable: Vec<String> },
        /// The token can read no environment of this name in the app.
        #[text("environment {} (from {set_by}) not found in {app}{}", quoted_if_unclear(environment), readable_names(readable))]
        #[hint_from(Some(environment_hint(environment, set_by, readable)))]
        EnvironmentNotFound { environment: String, set_by: SetBy, app: String, readable: Vec<String> },
        /// A filter leaves no secret of `scope`; `existing` are the folders, tags or keys that it could name.
        #[text("{option} {} matches nothing in {scope}{}", quoted_if_unclear(value), existing_names(option, existing))]
        #[hint_from(Some(filter_hint(option, value, existing)))]
        FilterSelectsNothing { option: &'static str, value: String, scope: String, existing: Vec<String> },
        /// Keys named by `--require` are not among the selected ones.
        #[text("required secrets are not selected: {}", list(keys.iter(), ", "))]
        #[hint_from(Some(required_key_hint(keys, selected)))]
        RequiredKeyMissing { keys: Vec<String>, selected: Vec<String> },
    }

    "ambiguous": "several apps have the same name, several environments match, or a key has different values, in several folders or in one" {
        /// Several apps have this name; `candidates` are their IDs.
        #[text("{} apps are named {name}: {}", candidates.len(), list(candidates.iter(), ", "))]
        #[hint_from(Some(match set_by {
            SetBy::ProjectFile { path, .. } => format!("set appId in {} to the ID of one of them", path.display()),
            _ => format!("{} the ID of one of them", set_by.change_to("--app")),
        }))]
        AmbiguousApp { name: String, set_by: SetBy, candidates: Vec<String> },
        /// Several environments have this type or this prefix.
        #[text("{name} (from {set_by}) matches several environments: {}", list(candidates.iter(), ", "))]
        #[hint_from(Some(format!("{} the full name of one of them", set_by.change_to("--env"))))]
        AmbiguousEnvironment { name: String, set_by: SetBy, candidates: Vec<String> },
        /// One key has different values in folders of the same precedence.
        #[text("{key} has different values in {}", list(folders.iter(), " and "))]
        #[hint_from(Some(ranking_hint(key, ranking)))]
        AmbiguousKey { key: String, folders: Vec<String>, ranking: Box<FolderRanking> },
        /// One folder has several secrets of one key, with different values.
        #[text("{key} is in {folder} more than once, with different values")]
        #[hint("remove or rename all but one of them in Phase, or exclude the key with --except")]
        DuplicateKey { key: String, folder: String },
    }

    "rate-limited": "Phase responded with 429 for all of `--max-wait`" {
        /// The server allows no more requests for now.
        #[text("rate limited by {host} (429{})", retry_after.iter().map(|after| format!(", Retry-After: {after}")).collect::<String>())]
        #[hint_from(Some(match app_name_set_by {
            Some(set_by) => format!("run again later; {} an app's ID instead of its name to halve the requests", set_by.change_to("--app")),
            None => "run again later, or raise --max-wait or PHASE_MAX_WAIT".to_owned(),
        }))]
        RateLimited { host: String, retry_after: Option<String>, app_name_set_by: Option<SetBy> },
    }

    "unreachable": "no name resolution, connection or complete response for all of `--max-wait`" {
        /// No complete response came from the host. For a fault of this machine, no snapshot is suggested.
        #[text("cannot reach {host}: {why}")]
        #[hint_from(hint.clone())]
        Unreachable { host: String, why: String, hint: Option<String>, suggests_snapshot: bool },
    }

    "tls": "the certificate was rejected, or the TLS handshake failed" {
        /// The certificate is issued by an unknown CA; `ca_file` is the file of the only known ones.
        #[text("cannot trust {host}: {why}{}", ca_file.iter().map(|file| format!("; only the CAs in {} (from {}) are trusted", file.value.display(), file.set_by)).collect::<String>())]
        #[hint_from(Some(match ca_file {
            None => "pass the file of its CA with --ca-file or PHASE_CA_FILE".to_owned(),
            Some(_) => "add its CA to that file, or pass another file with --ca-file".to_owned(),
        }))]
        UnknownIssuer { host: String, why: &'static str, ca_file: Option<Setting<PathBuf>> },
        /// The certificate is not acceptable for another reason, or the handshake failed.
        #[text("TLS connection to {host} failed: {why}")]
        #[hint_from(hint.clone())]
        TlsFailed { host: String, why: &'static str, hint: Option<String> },
    }

    "server": "Phase responded with 5xx for all of `--max-wait`, responded with a 400 that fits no other kind, or did not lease a dynamic secret" {
        /// The server responded with an error of its own.
        #[text("{host} responded with status {status}{}", message.as_ref().map_or_else(String::new, |text| format!(": {text}")))]
        #[hint_from((*status == 400 && message.is_none()).then(|| "check --host or PHASE_HOST: a port for https:// responds so to http://".to_owned()))]
        ServerFailed { host: String, status: u16, message: Option<String> },
        /// Dynamic secrets were not leased; `names` is empty if the server does not say which ones.
        #[text("cannot lease {} in {environment_label}: {message}", match names.is_empty() {
            true => "the dynamic secrets".to_owned(),
            false => list(names.iter(), ", "),
        })]
        #[hint("remove --dynamic to start without dynamic secrets")]
        LeaseFailed { names: Vec<String>, environment_label: String, message: String },
    }

    "protocol": "the response is not in Phase's format: it is not JSON, has another structure, redirects, or exceeds a limit; check `--host`" {
        /// The response is not in Phase's format.
        #[text("unexpected response from {host}: {why}")]
        #[hint_from(hint.map(str::to_owned))]
        UnexpectedResponse { host: String, why: String, hint: Option<&'static str> },
    }

    "decrypt": "a key, a seed or a value cannot be decrypted" {
        /// Something encrypted cannot be decrypted; `what` names it.
        #[text("cannot decrypt {what}: {why}")]
        DecryptionFailed { what: String, why: &'static str },
    }

    "snapshot": "with `--offline`, the snapshot is missing, unsafe, damaged, too old, made with other settings, or lacks leased secrets" {
        /// `--offline` is given, and the snapshot cannot be used.
        #[text("cannot use the snapshot {}: {why}", file.value.display())]
        #[hint_from(env_file_hint(&file.set_by, &file.value).or_else(|| why.hint(offline)))]
        SnapshotUnusable { file: Setting<PathBuf>, why: SnapshotError, offline: &'static str },
    }

    "environment": "a name or a value cannot or must not be injected, the environment exceeds the kernel's limit, a reference is unresolved (`--strict`), or an in-memory file cannot be created (`--file`)" {
        /// The kernel or a shell could not use a variable of this name.
        #[text("cannot inject the secret \"{key}\"{}: {why}", match key == name {
            true => String::new(),
            false => format!(" as \"{name}\""),
        })]
        #[hint_from(Some(match name.ends_with(key.as_str()) && key != name {
            true => "change --prefix, or rename the secret in Phase".to_owned(),
            false => "rename it in Phase, or leave it out with --except".to_owned(),
        }))]
        InvalidName { key: String, name: String, why: &'static str },
        /// A value with a NUL byte, which ends a string in the environment block.
        #[text("cannot inject {key}: its value contains a NUL byte, which no variable can hold")]
        #[hint("pass it as a file with --file, or leave it out with --except")]
        NulInValue { key: String },
        /// A variable of this name can make a program run code, reveal keys or redirect phase-run.
        #[text("refusing to inject {name}{}: a variable with this name can make programs run code, reveal keys or redirect phase-run", match name == key {
            true => String::new(),
            false => format!(" (from the secret {key})"),
        })]
        #[hint("pass --allow-name {name} if you trust everyone who can edit this secret")]
        UnsafeName { name: String, key: String },
        /// Two secrets would set the same variable.
        #[text("{name} would be set by both {} and {}", keys[0], keys[1])]
        #[hint("choose another variable for one of them with --file KEY=VAR")]
        DuplicateVariable { name: String, keys: [String; 2] },
        /// A single variable is longer than the kernel allows.
        #[text("too large for a variable: {}; the kernel's limit for name and value is {limit} bytes", sizes(largest))]
        #[hint_from(largest.first().map(|(key, _)| format!("pass it as a file with --file {key}")))]
        ValueTooLarge { largest: Vec<(String, usize)>, limit: usize },
        /// All arguments and variables together are longer than the kernel allows.
        #[text("arguments and environment take {total} bytes, more than the kernel's limit of {limit}; the largest secrets: {}", sizes(largest))]
        #[hint_from(largest.first().map(|(key, _)| format!("pass it as a file with --file {key}")))]
        EnvBlockTooLarge { largest: Vec<(String, usize)>, total: usize, limit: usize },
        /// With `--strict`, values still contain references.
        #[text("unresolved references in {}", list(keys.iter(), ", "))]
        #[hint("fix them in Phase, grant this account access to what they name, or run without --strict")]
        UnresolvedReferences { keys: Vec<String> },
        /// The in-memory file for a secret cannot be created.
        #[text("cannot pass {key} as a file: {why}")]
        SecretFileFailed { key: String, why: String },
    }

    "output": "standard output cannot be written to (`--dry-run`, `--help`, `--version`, `--generate`)" {
        /// Standard output is closed or full.
        #[text("cannot write to standard output: {why}")]
        StdoutFailed { why: String },
    }

    "exec": "the command cannot be executed, does not exist, or cannot be supervised; or the stack limit is too low" {
        /// `--supervise` or `--watch` cannot get a process, a descriptor or memory from the system.
        #[text("cannot supervise the command: {why}")]
        SuperviseFailed { why: String },
        /// The limit on the stack, in KiB, is too low for phase-run and cannot be raised.
        #[text("cannot run with a stack limit of {limit} KiB: phase-run needs {needed} KiB")]
        #[hint("run ulimit -s {needed} before phase-run")]
        StackLimitTooLow { limit: u64, needed: u64 },
        /// No file has the command's name, or the interpreter it names does not exist.
        #[text("cannot run {}: {why}", match command.is_empty() {
            true => "\"\"".to_owned(),
            false => command.display().to_string(),
        })]
        #[hint_from(why.hint(command))]
        #[exit_status(127)]
        CommandNotFound { command: OsString, why: CommandMissing },
        /// The command's file exists, but cannot be executed.
        #[text("cannot run {}: {why}", command.display())]
        #[exit_status(126)]
        CommandNotExecutable { command: PathBuf, why: String },
    }

    "internal": "a bug in phase-run" {
        /// The program panicked; `why` is the constant reason of an `expect`.
        #[text("this is a bug in phase-run: {why} ({location})")]
        Internal { why: String, location: String },
    }
}

impl Error {
    /// Adds to the hint that a snapshot would have helped, if Phase could not be reached.
    pub(crate) fn suggesting_snapshot(mut self) -> Self {
        if let Self::Unreachable {
            hint: Some(hint),
            suggests_snapshot: true,
            ..
        } = &mut self
        {
            hint.push_str(
                "; with --snapshot FILE or PHASE_SNAPSHOT a command can start during an outage",
            );
        }
        self
    }
}

/// A value, and what set it, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) set_by: SetBy,
}

impl<T> Setting<T> {
    /// Converts the value.
    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Setting<U> {
        Setting {
            value: convert(self.value),
            set_by: self.set_by,
        }
    }
}

/// What gave a setting its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// The option of this name.
    Option(&'static str),
    /// The environment variable of this name.
    Variable(&'static str),
    /// This field of the `.phase.json` at this path.
    ProjectFile { path: PathBuf, field: ProjectField },
    /// The file of Phase's own CLI at this path, with the login.
    LoginFile(PathBuf),
}

/// A field of `.phase.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProjectField {
    AppId,
    AppName,
    Environment,
}

impl ProjectField {
    /// Returns the name of the field in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AppId => "appId",
            Self::AppName => "phaseApp",
            Self::Environment => "defaultEnv",
        }
    }
}

impl SetBy {
    /// Returns the start of a hint to set something else: `pass --app with`, `set PHASE_APP to` or
    /// `change phaseApp in /shop/.phase.json to`.
    fn change_to(&self, option: &str) -> String {
        match self {
            Self::Option(_) | Self::LoginFile(_) => format!("pass {option} with"),
            Self::Variable(name) => format!("set {name} to"),
            Self::ProjectFile { path, field } => {
                format!("change {} in {} to", field.name(), path.display())
            }
        }
    }

    /// Returns the hint to set this value.
    fn change_to_value(&self, option: &str, value: &str) -> String {
        match self {
            Self::Option(_) => format!("use {option} {}", shell_quoted(value)),
            Self::Variable(_) | Self::ProjectFile { .. } | Self::LoginFile(_) => {
                format!("{} {value}", self.change_to(option))
            }
        }
    }

    /// Returns the name of the option or the variable, or a name of the file.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Option(name) | Self::Variable(name) => name,
            Self::ProjectFile { .. } => ".phase.json",
            Self::LoginFile(_) => "the login",
        }
    }
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) | Self::Variable(name) => f.write_str(name),
            Self::ProjectFile { path, .. } | Self::LoginFile(path) => {
                write!(f, "{}", path.display())
            }
        }
    }
}

/// The folders to pass, so that a key in several of them gets one value.
#[derive(Debug)]
pub(crate) struct FolderRanking {
    /// The folder that then takes precedence.
    pub(crate) winner: String,
    pub(crate) paths: Setting<Vec<String>>,
    /// Whether the user has named no folder.
    pub(crate) is_new: bool,
}

/// A `.phase.json` that was read but does not count.
#[derive(Clone, Debug)]
pub(crate) struct IgnoredProject {
    pub(crate) path: PathBuf,
    /// Completes a sentence that starts with the path.
    pub(crate) why: &'static str,
}

/// A word of the command that was probably meant for phase-run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MisplacedWord {
    /// `--app` follows the command.
    App,
    /// The command is `run`, a subcommand of other programs.
    Run,
    /// The command is `help`.
    Help,
}

impl MisplacedWord {
    fn hint(self) -> &'static str {
        match self {
            Self::App => "put --app before the command: what follows the command belongs to it",
            Self::Run => {
                "leave out run: phase-run has no subcommands, and options come before the command"
            }
            Self::Help => "run phase-run --help",
        }
    }
}

/// Why the command was not found.
#[derive(Debug)]
pub(crate) enum CommandMissing {
    /// It is in no directory of the PATH that the command would get.
    NotInPath,
    /// It is an option of phase-run that stands where the command begins.
    OwnOption,
    /// The path that was given does not exist.
    NoSuchFile,
    /// The file exists, but the interpreter or loader that it names does not.
    NoInterpreter(PathBuf),
    /// Only a shell knows this word: it is a builtin or a keyword, such as `export` or `while`.
    ShellWord,
    /// One argument holds a whole command line.
    WholeCommandLine,
}

impl CommandMissing {
    fn hint(&self, path: &OsString) -> Option<String> {
        let command = path.display();
        match self {
            Self::ShellWord => Some(format!("run it in a shell with -c '{command} …'")),
            Self::WholeCommandLine => Some(format!(
                "pass each word as a separate argument, or use -c '{command}'"
            )),
            Self::NotInPath | Self::OwnOption => Some(missing_command_hint(&command.to_string())),
            Self::NoSuchFile => tilde_hint(Path::new(path)),
            Self::NoInterpreter(_) => None,
        }
    }
}

impl fmt::Display for CommandMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInPath => f.write_str("not found in PATH"),
            Self::OwnOption => f.write_str("it is an option of phase-run, not a program"),
            Self::NoSuchFile => f.write_str("no such file or directory"),
            Self::NoInterpreter(path) => {
                write!(f, "it requires {}, which does not exist", path.display())
            }
            Self::ShellWord => f.write_str("it is part of the shell, not a program"),
            Self::WholeCommandLine => f.write_str("no program has this name"),
        }
    }
}

/// Why a snapshot cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SnapshotError {
    /// There is no file at its path.
    Missing,
    /// The file cannot be read, or others could have written it.
    UnusableFile { why: String },
    /// It is damaged, or was made with another token: the two look the same.
    Undecryptable,
    /// It was made with another value of `setting`; `made_with` is the option as it was, such as
    /// `with --env dev`.
    OtherSettings {
        setting: &'static str,
        made_with: String,
    },
    /// It is older than `--snapshot-max-age`.
    TooOld { age: Duration, limit: Duration },
    /// Leased secrets are selected, and snapshots never contain them.
    LeasedSecrets { names: Vec<String> },
}

impl SnapshotError {
    /// `offline` is the option or variable that allows only the snapshot.
    fn hint(&self, offline: &str) -> Option<String> {
        match self {
            Self::Missing | Self::Undecryptable | Self::TooOld { .. } => Some(format!(
                "run once without {offline} while Phase is reachable, to create a new snapshot"
            )),
            Self::OtherSettings { .. } => Some(format!(
                "use that setting, or run once without {offline} while Phase is reachable"
            )),
            Self::LeasedSecrets { .. } => {
                Some("remove --dynamic to start without dynamic secrets".to_owned())
            }
            Self::UnusableFile { .. } => None,
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it does not exist"),
            Self::UnusableFile { why } => f.write_str(why),
            Self::Undecryptable => f.write_str("it was made with another token, or is damaged"),
            Self::OtherSettings { made_with, .. } => write!(f, "it was made {made_with}"),
            Self::TooOld { age, limit } => write!(
                f,
                "it was made {} ago, and --snapshot-max-age is {} s",
                humanize(*age),
                limit.as_secs_f64()
            ),
            Self::LeasedSecrets { names } => write!(
                f,
                "snapshots do not contain leased secrets, such as {}",
                list(names.iter(), ", ")
            ),
        }
    }
}
