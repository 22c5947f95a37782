#![forbid(unsafe_code)]
//! What is fetched, and from where: the host, the app and its environment, and how values are decrypted.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::project::{DEPTH_VARIABLE, Project};
use super::reader::{ConfigReader, POSITIVE_SECONDS, SECONDS, positive_seconds, seconds};
use super::{Host, Login};
use crate::cli::Opt;
use crate::error::{Error, IgnoredProject, MisplacedWord, ProjectField, SetBy, Setting};
use crate::http::HttpOptions;

/// The default of `--timeout`: the time limit of one request.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The default of `--max-wait`: how long requests are retried.
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);

/// Everything that the requests to Phase depend on, except the credential.
pub(crate) struct FetchConfig {
    pub(crate) host: Host,
    pub(crate) http: HttpOptions,
    pub(crate) mode: DecryptionMode,
    pub(crate) dynamic_mode: DynamicMode,
    pub(crate) target: Target,
}

/// The app and the environment that were named.
pub(crate) struct Target {
    pub(crate) app: Option<Setting<String>>,
    pub(crate) environment: Option<Setting<String>>,
    /// A `.phase.json` that was read but does not count.
    pub(crate) ignored_project: Option<IgnoredProject>,
    /// If set, `environment` comes from the `.phase.json` at this path and applies only to the app
    /// with this ID, not to another one of the same name.
    pub(crate) environment_scope: Option<(String, PathBuf)>,
    /// What is probably wrong with the command line if there is no app.
    pub(crate) misplaced: Option<MisplacedWord>,
}

/// `--mode`: who decrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecryptionMode {
    /// The app's settings in Phase decide.
    Auto,
    /// The server decrypts, and the REST interface returns plaintext.
    Rest,
    /// phase-run decrypts with the token's keys; the server never has the plaintext.
    EndToEnd,
}

/// What is done with dynamic secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynamicMode {
    /// They are not requested.
    Skip,
    /// Their names are requested, and nothing is leased.
    List,
    /// They are leased for `ttl` seconds, or for each secret's configured duration.
    Lease { ttl: Option<u64> },
}

impl DynamicMode {
    /// Returns whether secrets are leased.
    pub(crate) fn takes_leases(self) -> bool {
        matches!(self, Self::Lease { .. })
    }

    /// Returns `List` instead of `Lease`.
    pub(crate) fn without_leases(self) -> Self {
        match self {
            Self::Lease { .. } => Self::List,
            other => other,
        }
    }

    /// Returns the query parameters (REST) or headers (end-to-end) that request this mode.
    pub(crate) fn request_fields(self) -> Vec<(&'static str, String)> {
        let flag = |name| (name, "true".to_owned());
        match self {
            Self::Skip => vec![],
            Self::List => vec![flag("dynamic")],
            Self::Lease { ttl } => [flag("dynamic"), flag("lease")]
                .into_iter()
                .chain(ttl.map(|seconds| ("lease_ttl", seconds.to_string())))
                .collect(),
        }
    }
}

impl ConfigReader<'_> {
    /// Reads `--mode`.
    ///
    /// # Errors
    /// `usage` or `config` for any other value.
    pub(super) fn read_decryption_mode(&self) -> Result<DecryptionMode, Error> {
        let mode = self.read_parsed(Opt::Mode, "auto, rest or e2ee", |text| match text {
            "auto" => Some(DecryptionMode::Auto),
            "rest" => Some(DecryptionMode::Rest),
            "e2ee" => Some(DecryptionMode::EndToEnd),
            _ => None,
        })?;
        Ok(mode.unwrap_or(DecryptionMode::Auto))
    }

    /// Reads `--dynamic` and `--lease-ttl`. A dry run leases nothing.
    ///
    /// # Errors
    /// `usage` for an invalid time.
    pub(super) fn read_dynamic_mode(&self) -> Result<DynamicMode, Error> {
        // The server takes whole seconds only.
        let expected = "a whole number of seconds above 0, without a unit, such as 3600";
        let ttl = self.read_parsed(Opt::LeaseTtl, expected, |text| match text.parse() {
            Ok(seconds @ 1..) if !text.starts_with('+') => Some(seconds),
            _ => None,
        })?;
        Ok(
            match (self.args.has(Opt::Dynamic), self.args.has(Opt::DryRun)) {
                (false, _) => DynamicMode::Skip,
                (true, true) => DynamicMode::List,
                (true, false) => DynamicMode::Lease { ttl },
            },
        )
    }

    /// Reads `--host`. By default, it is the host of the login, or else Phase Cloud.
    ///
    /// # Errors
    /// `config` for an address that is not valid or not secure, and `token` if the login is for another
    /// host.
    pub(super) fn read_host(&self, login: Option<&Login>) -> Result<Host, Error> {
        let login = match login {
            Some(login) => Some((login, login.host()?)),
            None => None,
        };
        let Some(Setting { value, set_by }) = self.read_text(Opt::Host)? else {
            return Ok(login.map_or_else(Host::phase_cloud, |(_, host)| host));
        };
        let host = Host::parse(value, set_by.clone())?;
        match login {
            Some((login, login_host)) if login_host.address() != host.address() => {
                Err(Error::LoginAtOtherHost {
                    account: login.account.clone(),
                    login_host: login_host.name().to_owned(),
                    host: host.name().to_owned(),
                    set_by,
                })
            }
            _ => Ok(host),
        }
    }

    /// Reads the time limits: `timeout` for one request and `max_wait` for all of them.
    ///
    /// # Errors
    /// `usage` or `config` for an invalid value.
    pub(super) fn read_time_limits(&self) -> Result<(Duration, Duration), Error> {
        let timeout = self.read_parsed(Opt::Timeout, POSITIVE_SECONDS, positive_seconds)?;
        let max_wait = self.read_parsed(Opt::MaxWait, SECONDS, seconds)?;
        Ok((
            timeout.unwrap_or(DEFAULT_TIMEOUT),
            max_wait.unwrap_or(DEFAULT_MAX_WAIT),
        ))
    }

    /// Reads the app and the environment: from the command line, the variables, or `.phase.json`.
    ///
    /// # Errors
    /// `config` if `.phase.json` is needed and cannot be read.
    pub(super) fn read_target(&self) -> Result<Target, Error> {
        let read = |option| -> Result<_, Error> {
            let setting = self.read_text(option)?;
            Ok(setting.map(|setting| setting.map(str::to_owned)))
        };
        let mut target = Target {
            app: read(Opt::App)?,
            environment: read(Opt::Env)?,
            ignored_project: None,
            environment_scope: None,
            misplaced: self.find_misplaced_word(),
        };
        if target.app.is_some() && target.environment.is_some() {
            return Ok(target);
        }
        let project = match Project::find(self.read_variable(DEPTH_VARIABLE)?)? {
            Ok(project) => project,
            Err(ignored) => {
                target.ignored_project = ignored;
                return Ok(target);
            }
        };
        // Never use the project's environment for another app.
        let app = target.app.as_ref();
        if app.is_some_and(|app| !project.is_for_app(&app.value)) {
            target.ignored_project = Some(IgnoredProject {
                path: project.path,
                why: "is for another app",
            });
            return Ok(target);
        }
        if target.environment.is_none() {
            let id = project.app_id.clone();
            target.environment_scope = id.map(|id| (id, project.path.clone()));
        }
        let setting = |(field, value): (ProjectField, &String)| Setting {
            value: value.clone(),
            set_by: SetBy::ProjectFile {
                path: project.path.clone(),
                field,
            },
        };
        target.app = target.app.or_else(|| project.app().map(setting));
        let environment = project.environment.as_ref();
        let environment = environment.map(|name| (ProjectField::Environment, name));
        target.environment = target.environment.or_else(|| environment.map(setting));
        let missing = match (&target.app, &target.environment) {
            (None, _) => Some("has neither appId nor phaseApp"),
            (_, None) => Some("has no defaultEnv"),
            _ => None,
        };
        target.ignored_project = missing.map(|why| IgnoredProject {
            path: project.path,
            why,
        });
        Ok(target)
    }
}

impl ConfigReader<'_> {
    /// Finds a word of the command that was probably meant for phase-run.
    fn find_misplaced_word(&self) -> Option<MisplacedWord> {
        let command = &self.args.command;
        match command.first()?.to_str() {
            Some("run") => Some(MisplacedWord::Run),
            Some("help") => Some(MisplacedWord::Help),
            _ if command.iter().any(is_app_flag) => Some(MisplacedWord::App),
            _ => None,
        }
    }
}

/// Returns whether an argument is a spelling of `--app`, with or without its value.
fn is_app_flag(argument: &OsString) -> bool {
    let argument = argument.to_string_lossy();
    let name = argument.split('=').next();
    Opt::App
        .spec()
        .names()
        .any(|spelling| name == Some(&spelling))
}
