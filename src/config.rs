#![forbid(unsafe_code)]
//! Combines the command line, the environment and `.phase.json` into one [`Config`].
//!
//! Every default and every conflict between options is decided here, and every variable of an option is
//! read here. The command line takes precedence over variables, and those over `.phase.json`; a setting
//! that messages mention keeps what set it
//! ([`SetBy`](crate::error::SetBy)). The configuration knows where the token is, not what it is. All
//! values in it are valid: for example, the host's URL is https unless it is a loopback address.
//!
//! To add an option, add its row in `cli/options.rs`, and read it in the file of the struct that it
//! belongs to ([`fetch`], [`selection`], [`injection`], [`run_mode`], [`snapshot`]) with a method of
//! [`ConfigReader`]. If it requires or excludes another option, and no variable can set either of the
//! two, add a row in [`ConfigReader::check_conflicts`]; otherwise the method that reads it checks.

mod credential;
pub(crate) mod credential_file;
mod fetch;
mod headers;
mod host;
mod injection;
mod login;
mod pattern;
mod project;
mod proxy;
mod reader;
mod run_mode;
mod selection;
mod snapshot;

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::{Opt, ParsedArgs};
use crate::error::Error;
use crate::http::{HttpOptions, Roots};
use crate::log::{Event, Log, Logger, OutputFormat};
use crate::process::HAS_LINUX_FEATURES;
use crate::process::env_block::EnvBlock;
pub(crate) use credential::{
    AuthSource, Identity, Provider, TOKEN_VARIABLE, TokenCommand, TokenSource,
};
use credential::{CredentialSetting, ReadLimits};
pub(crate) use fetch::{DecryptionMode, DynamicMode, FetchConfig};
pub(crate) use headers::HeaderFile;
pub(crate) use host::Host;
pub(crate) use injection::{FileRule, InjectionOptions, KeepPolicy};
pub(crate) use login::Login;
pub(crate) use pattern::Pattern;
#[cfg(any(test, fuzzing))]
pub(crate) use project::fuzz as fuzz_project;
use reader::ConfigReader;
pub(crate) use run_mode::RunMode;
pub(crate) use selection::{FolderPattern, SelectionOptions};
pub(crate) use snapshot::SnapshotOptions;

/// How long a command that prints the token may run by default. It may have to wait for the user.
const DEFAULT_COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// Everything that is decided before the first request.
pub(crate) struct Config {
    pub(crate) fetch: FetchConfig,
    pub(crate) auth_source: AuthSource,
    pub(crate) header_file: Option<HeaderFile>,
    pub(crate) selection: SelectionOptions,
    /// `--snapshot`, if it is given.
    pub(crate) snapshot: Option<SnapshotOptions>,
    pub(crate) injection: InjectionOptions,
    /// The command line: the program as typed and its arguments. In a dry run it may be empty, and
    /// is only used to check sizes.
    pub(crate) command: Vec<OsString>,
    pub(crate) run_mode: RunMode,
}

/// Creates the logger from `-q`, `-v` and `--log-format`. An invalid `--log-format` is not an error here, so that
/// [`load`] can report it.
pub(crate) fn read_logger(args: &ParsedArgs, inherited: &EnvBlock) -> Logger {
    let format = match reader::lookup(args, inherited, Opt::LogFormat) {
        Some(format) if format.value == "json" => OutputFormat::Json,
        _ => OutputFormat::Text,
    };
    Logger {
        format,
        quiet: args.has(Opt::Quiet),
        verbose: args.count(Opt::Verbose),
    }
}

/// Reads and checks the whole configuration.
///
/// # Errors
/// `usage` for options that conflict or have an invalid value, `config` for variables and files that
/// cannot be used, `token` if there is no token.
pub(crate) fn load(
    args: &ParsedArgs,
    inherited: &EnvBlock,
    log: &dyn Log,
) -> Result<Config, Error> {
    let reader = ConfigReader {
        args,
        inherited,
        log,
    };
    reader.check_conflicts()?;
    reader.check_platform(HAS_LINUX_FEATURES)?;
    let (command, run_mode) = reader.read_run_mode()?;
    reader.check_log_format()?;
    let mode = reader.read_decryption_mode()?;
    let dynamic_mode = reader.read_dynamic_mode()?;
    let injection = reader.read_injection()?;
    let selection = reader.read_selection()?;
    let credential = reader.choose_credential()?;
    let host = reader.read_host(credential.login())?;
    let uses_cloud = matches!(credential, CredentialSetting::Identity(_));
    let proxy = reader.read_proxy(&host, uses_cloud)?;
    let (timeout, max_wait) = reader.read_time_limits()?;
    let snapshot = reader.read_snapshot()?;
    // The requests have not begun, so a file that nobody writes gets the same time once.
    let read_limit = match max_wait.is_zero() {
        true => timeout,
        false => max_wait,
    };
    let roots = Roots::load(reader.read_path(Opt::CaFile), read_limit)?;
    reader.warn_about_verify_ssl();
    let target = reader.read_target()?;
    let limits = ReadLimits {
        file: read_limit,
        command: match reader::lookup(args, inherited, Opt::MaxWait) {
            Some(_) => read_limit,
            None => DEFAULT_COMMAND_LIMIT,
        },
    };
    let auth_source = match credential.into_source(limits) {
        // If both the app and the token are missing, report the app.
        Err(Error::NoToken { .. }) if target.app.is_none() => Err(Error::NoApp {
            readable: vec![],
            ignored_project: target.ignored_project.clone(),
            misplaced: target.misplaced,
        }),
        source => source,
    }?;
    let header_file = reader.read_path(Opt::HeaderFile);
    if let AuthSource::Token(TokenSource::Login(login)) = &auth_source {
        let (account, host) = (&login.account, host.name());
        log.log(Event::LoginUsed { account, host });
    }
    Ok(Config {
        fetch: FetchConfig {
            host,
            http: HttpOptions {
                roots,
                proxy,
                timeout,
                max_wait,
            },
            mode,
            dynamic_mode,
            target,
        },
        auth_source,
        header_file: header_file.map(|file| HeaderFile { file, read_limit }),
        selection,
        snapshot,
        injection,
        command,
        run_mode,
    })
}

impl ConfigReader<'_> {
    /// Checks the format, which [`read_logger`] reads as `text` if it is invalid.
    ///
    /// # Errors
    /// `usage` or `config` for any other value.
    fn check_log_format(&self) -> Result<(), Error> {
        let format = self.read_parsed(Opt::LogFormat, "text or json", |text| {
            matches!(text, "text" | "json").then_some(())
        });
        format.map(|_| ())
    }

    /// Warns that certificates are verified although `PHASE_VERIFY_SSL`, a variable of Phase's own
    /// CLI, says otherwise.
    fn warn_about_verify_ssl(&self) {
        let off = ["false", "0", "no", "off"];
        let verify = reader::variable_value(self.inherited, "PHASE_VERIFY_SSL");
        if verify.is_some_and(|verify| off.iter().any(|off| verify.eq_ignore_ascii_case(off))) {
            self.log.log(Event::VerifySslIgnored);
        }
    }
}

/// Returns a UUID with dashes in lower case, as the server compares it, or `None` if `text` is not a UUID.
pub(crate) fn parse_uuid(text: &str) -> Option<String> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (groups == [8, 4, 4, 4, 12] && hex).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_uuid_accepts_only_dashed_hex() {
        let id = "f1300fdf-7b0e-4571-a680-6e10f05d5401";
        assert_eq!(parse_uuid(&id.to_uppercase()).as_deref(), Some(id));
        for other in [
            "shop",
            "",
            "f1300fdf7b0e4571a6806e10f05d5401",
            "g1300fdf-7b0e-4571-a680-6e10f05d5401",
        ] {
            assert_eq!(parse_uuid(other), None, "{other}");
        }
    }
}
