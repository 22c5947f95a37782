#![forbid(unsafe_code)]
//! Words, the initial environment and `.phase.json` become decisions.
//!
//! Every default, every conflict and every look-up of a variable is here, and each decision that a
//! message may have to explain knows its [`Source`]. [`Config`] knows where the token is, not what
//! it is. A value that got through cannot be wrong later: an address cannot be plain http to a
//! stranger, a pattern is compiled, a number of seconds is above 0.

mod credential;
pub(crate) mod credential_file;
mod decryption;
mod headers;
mod host;
mod pattern;
mod project;
mod proxy;
mod reader;
mod snapshot;
mod watch;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::cli::{Opt, ParsedArgs};
use crate::error::{Error, Source};
use crate::http::{HttpOptions, Roots};
use crate::log::{Event, Format, Log, Logger};
use crate::process::env_block::EnvBlock;
use crate::process::watch::WatchOptions;
pub(crate) use credential::{AuthSource, Identity, Provider, TOKEN_VARIABLE, TokenSource};
pub(crate) use decryption::{DecryptionMode, DynamicSecrets};
pub(crate) use headers::HeaderFile;
pub(crate) use host::Host;
pub(crate) use pattern::{FileRule, FolderPattern, Pattern};
#[cfg(any(test, fuzzing))]
pub(crate) use project::fuzz as fuzz_project;
use reader::ConfigReader;
pub(crate) use snapshot::SnapshotOptions;

/// All that was decided before the first request.
pub(crate) struct Config {
    pub(crate) fetch: FetchConfig,
    pub(crate) auth_source: AuthSource,
    pub(crate) header_file: Option<HeaderFile>,
    pub(crate) selection: SelectionOptions,
    /// `--snapshot`, if it is given.
    pub(crate) snapshot: Option<SnapshotOptions>,
    pub(crate) injection: InjectionOptions,
    pub(crate) run_mode: RunMode,
}

/// What to ask of whom.
pub(crate) struct FetchConfig {
    pub(crate) host: Host,
    pub(crate) http: HttpOptions,
    pub(crate) mode: DecryptionMode,
    pub(crate) dynamic: DynamicSecrets,
    pub(crate) target: Target,
}

/// Which app and environment were named.
pub(crate) struct Target {
    pub(crate) app: Option<Setting>,
    pub(crate) environment: Option<Setting>,
    /// A `.phase.json` that was read and is of another app.
    pub(crate) ignored_project: Option<PathBuf>,
    /// The environment is that of this app's id alone, as the `.phase.json` says that it is from: an
    /// app of the same name may be another one.
    pub(crate) environment_scope: Option<(String, PathBuf)>,
    /// `--app` stands behind the command.
    pub(crate) app_flag_after_command: bool,
}

/// Which of the fetched secrets are selected.
#[derive(Default)]
pub(crate) struct SelectionOptions {
    pub(crate) paths: Vec<FolderPattern>,
    pub(crate) tags: Vec<String>,
    pub(crate) only: Vec<Pattern>,
    pub(crate) except: Vec<Pattern>,
    pub(crate) require: Vec<String>,
    pub(crate) allow_empty: bool,
}

/// How the selected secrets reach the command.
#[derive(Default)]
pub(crate) struct InjectionOptions {
    pub(crate) prefix: String,
    pub(crate) files: Vec<FileRule>,
    pub(crate) keep: KeepPolicy,
    /// `--clean`, with the patterns of `--pass`.
    pub(crate) clean: Option<Vec<Pattern>>,
    pub(crate) keep_token: bool,
    pub(crate) allowed_names: Vec<Pattern>,
    /// `--strict`: an unresolved reference is an error.
    pub(crate) strict: bool,
}

/// Which variables that are already set win over a secret.
#[derive(Default)]
pub(crate) enum KeepPolicy {
    #[default]
    Nothing,
    Matching(Vec<Pattern>),
    Everything,
}

/// What to do with the environment.
pub(crate) enum RunMode {
    /// Become this: the program as typed and its arguments.
    Exec(Vec<OsString>),
    /// Become this in a child, and stay as its parent.
    Supervise(Vec<OsString>),
    /// The same, and again each time that the secrets have changed.
    Watch(Vec<OsString>, WatchOptions),
    /// Print what would be injected; the words count for the kernel's limits.
    DryRun(Vec<OsString>),
}

impl RunMode {
    /// The command line, the program as typed and its arguments.
    pub(crate) fn command(&self) -> &[OsString] {
        let (Self::Exec(command)
        | Self::Supervise(command)
        | Self::Watch(command, _)
        | Self::DryRun(command)) = self;
        command
    }
}

/// A word with where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) source: Source,
}

/// How things are said, read leniently so that a mistake can be reported in the form asked for;
/// [`load`] is strict about the same args.
pub(crate) fn logger(args: &ParsedArgs, inherited: &EnvBlock) -> Logger {
    let typed = args.values(Opt::LogFormat).next();
    let json = match typed {
        Some(typed) => typed == "json",
        None => inherited.get("PHASE_LOG_FORMAT") == Some(OsStr::new("json")),
    };
    Logger {
        format: if json { Format::Json } else { Format::Text },
        quiet: args.has(Opt::Quiet),
        verbose: args.count(Opt::Verbose),
    }
}

/// Decides everything that can be decided before the first request.
///
/// # Errors
/// `usage` for words that contradict each other or are not what their option takes, `config` for
/// variables and files that cannot be used, `token` where there is none.
pub(crate) fn load(
    args: &ParsedArgs,
    inherited: &EnvBlock,
    log: &dyn Log,
) -> Result<Config, Error> {
    let choices = ConfigReader { args, inherited };
    choices.check_contradictions()?;
    let run_mode = choices.run_mode()?;
    choices.one_of(Opt::LogFormat, &["text", "json"], "text or json")?;
    let mode = choices.mode()?;
    let dynamic = choices.dynamic()?;
    let injection = choices.injection()?;
    let selection = choices.selection()?;
    let host = choices.host()?;
    let identity = choices.identity(log)?;
    let proxy = choices.proxy(&host, identity.is_some())?;
    let timeout = choices.timeout()?;
    let max_wait = choices.max_wait()?;
    let snapshot = choices.snapshot()?;
    let roots = Roots::load(choices.path_of(Opt::CaFile)?)?;
    if let Some(asked) = inherited.get("PHASE_VERIFY_SSL")
        && ["false", "0", "no", "off"]
            .iter()
            .any(|no| asked.eq_ignore_ascii_case(no))
    {
        log.log(Event::VerifySslIgnored);
    }
    let target = choices.target()?;
    let auth_source = match identity {
        Some(identity) => AuthSource::Identity(identity),
        None => match TokenSource::find(choices.path_of(Opt::TokenFile)?, inherited) {
            // Without either, the app is what to think of first.
            Err(Error::NoToken) if target.app.is_none() => {
                return Err(Error::NoApp {
                    app_flag_after_command: target.app_flag_after_command,
                    readable: vec![],
                    ignored_project: target.ignored_project,
                });
            }
            found => AuthSource::Token(found?),
        },
    };
    let headers = choices.path_of(Opt::HeaderFile)?;
    let header_file = headers.map(|(path, source)| HeaderFile { path, source });
    let fetch = FetchConfig {
        host,
        http: HttpOptions {
            roots,
            proxy,
            timeout,
            max_wait,
        },
        mode,
        dynamic,
        target,
    };
    Ok(Config {
        fetch,
        auth_source,
        header_file,
        selection,
        snapshot,
        injection,
        run_mode,
    })
}

/// A UUID with dashes, in any case, as the server compares it: in lower case.
pub(crate) fn uuid(text: &str) -> Option<String> {
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
    fn an_id_is_a_uuid_with_dashes() {
        let id_of = "f1300fdf-7b0e-4571-a680-6e10f05d5401";
        assert_eq!(uuid(&id_of.to_uppercase()).as_deref(), Some(id_of));
        for name in [
            "shop",
            "",
            "f1300fdf7b0e4571a6806e10f05d5401",
            "g1300fdf-7b0e-4571-a680-6e10f05d5401",
        ] {
            assert_eq!(uuid(name), None, "{name}");
        }
    }
}
