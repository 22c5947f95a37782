#![forbid(unsafe_code)]
//! Words, the initial environment and `.phase.json` become decisions.
//!
//! Every default, every conflict and every look-up of a variable is here, and each decision that a
//! message may have to explain knows its [`Source`]. [`Config`] knows where the token is, not what
//! it is. A value that got through cannot be wrong later: an address cannot be plain http to a
//! stranger, a pattern is compiled, a number of seconds is above 0.

mod choices;
pub(crate) mod credential;
mod decryption;
mod headers;
mod host;
mod identity;
mod pattern;
mod project;
mod proxy;
mod roots;
mod snapshot;
mod watch;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{Opt, Words};
use crate::error::Error;
use crate::inherited::Inherited;
use crate::notice::{Format, Notice, Say, Voice};
use crate::process::watch::Terms;
use crate::source::Source;
use choices::Choices;
use credential::TokenSource;
pub(crate) use decryption::{Dynamic, Mode};
pub(crate) use headers::HeaderFile;
pub(crate) use host::Host;
#[cfg(any(test, fuzzing))]
pub(crate) use identity::fuzz as fuzz_profile;
pub(crate) use identity::{
    Access, Aws, AwsKeys, AwsSource, Azure, AzureSource, Evidence, REGION, Sts, Tried, is_region,
};
pub(crate) use pattern::{FileRule, Folder, Pattern};
#[cfg(any(test, fuzzing))]
pub(crate) use project::fuzz as fuzz_project;
pub(crate) use proxy::Proxy;
pub(crate) use roots::Roots;
pub(crate) use snapshot::Fallback;

/// All that was decided before the first request.
pub(crate) struct Config {
    pub(crate) request: Request,
    pub(crate) access: Access,
    pub(crate) headers: Option<HeaderFile>,
    pub(crate) filter: Filter,
    /// `--snapshot`, if it is given.
    pub(crate) fallback: Option<Fallback>,
    pub(crate) injection: Injection,
    pub(crate) deed: Deed,
}

/// What to ask of whom.
pub(crate) struct Request {
    pub(crate) host: Host,
    pub(crate) roots: Roots,
    pub(crate) proxy: Option<Proxy>,
    /// The longest that one request may take, name look-up and last byte included.
    pub(crate) timeout: Duration,
    /// The longest to keep trying, all requests and waits together; zero is one try.
    pub(crate) max_wait: Duration,
    pub(crate) mode: Mode,
    pub(crate) dynamic: Dynamic,
    pub(crate) target: Target,
}

/// Which app and environment were named.
pub(crate) struct Target {
    pub(crate) app: Option<Sourced>,
    pub(crate) environment: Option<Sourced>,
    /// A `.phase.json` that was read and is of another app.
    pub(crate) passed_over: Option<PathBuf>,
    /// The environment is that of this app's id alone, as the `.phase.json` says that it is from: an
    /// app of the same name may be another one.
    pub(crate) only_of: Option<(String, PathBuf)>,
    /// `--app` stands behind the command.
    pub(crate) misplaced: bool,
}

/// Which of the fetched secrets are selected.
#[derive(Default)]
pub(crate) struct Filter {
    pub(crate) paths: Vec<Folder>,
    pub(crate) tags: Vec<String>,
    pub(crate) only: Vec<Pattern>,
    pub(crate) except: Vec<Pattern>,
    pub(crate) require: Vec<String>,
    pub(crate) allow_empty: bool,
}

/// How the selected secrets reach the command.
#[derive(Default)]
pub(crate) struct Injection {
    pub(crate) prefix: String,
    pub(crate) files: Vec<FileRule>,
    pub(crate) keep: Keep,
    /// `--clean`, with the patterns of `--pass`.
    pub(crate) clean: Option<Vec<Pattern>>,
    pub(crate) keep_token: bool,
    pub(crate) allowed_names: Vec<Pattern>,
    /// `--strict`: an unresolved reference is an error.
    pub(crate) strict: bool,
}

/// Which variables that are already set win over a secret.
#[derive(Default)]
pub(crate) enum Keep {
    #[default]
    Nothing,
    Matching(Vec<Pattern>),
    Everything,
}

/// What to do with the environment.
pub(crate) enum Deed {
    /// Become this: the program as typed and its arguments.
    Become(Vec<OsString>),
    /// Become this in a child, and stay as its parent.
    Supervise(Vec<OsString>),
    /// The same, and again each time that the secrets have changed.
    Watch(Vec<OsString>, Terms),
    /// Print what would be injected; the words count for the kernel's limits.
    DryRun(Vec<OsString>),
}

/// A word with where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Sourced {
    pub(crate) value: String,
    pub(crate) source: Source,
}

/// How things are said, read leniently so that a mistake can be reported in the form asked for;
/// [`decide`] is strict about the same words.
pub(crate) fn voice(words: &Words, inherited: &Inherited) -> Voice {
    let typed = words.bytes(Opt::LogFormat).next();
    let json = match typed {
        Some(typed) => typed == "json",
        None => inherited.get("PHASE_LOG_FORMAT") == Some(OsStr::new("json")),
    };
    Voice {
        format: if json { Format::Json } else { Format::Text },
        quiet: words.has(Opt::Quiet),
        verbose: words.count(Opt::Verbose),
    }
}

/// Decides everything that can be decided before the first request.
///
/// # Errors
/// `usage` for words that contradict each other or are not what their option takes, `config` for
/// variables and files that cannot be used, `token` where there is none.
pub(crate) fn decide(words: &Words, inherited: &Inherited, say: Say<'_>) -> Result<Config, Error> {
    let choices = Choices { words, inherited };
    choices.check_contradictions()?;
    let deed = choices.deed()?;
    choices.one_of(Opt::LogFormat, &["text", "json"], "text or json")?;
    let mode = choices.mode()?;
    let dynamic = choices.dynamic()?;
    let injection = choices.injection()?;
    let filter = choices.filter()?;
    let host = choices.host()?;
    let identity = choices.identity(say)?;
    let proxy = choices.proxy(&host, identity.is_some())?;
    let timeout = choices.timeout()?;
    let max_wait = choices.max_wait()?;
    let fallback = choices.fallback()?;
    let roots = Roots::load(choices.path_of(Opt::CaFile)?)?;
    if let Some(asked) = inherited.get("PHASE_VERIFY_SSL")
        && ["false", "0", "no", "off"]
            .iter()
            .any(|no| asked.eq_ignore_ascii_case(no))
    {
        say(Notice::VerificationStays);
    }
    let target = choices.target()?;
    let access = match identity {
        Some(identity) => Access::Identity(identity),
        None => match TokenSource::find(choices.path_of(Opt::TokenFile)?, inherited) {
            // Without either, the app is what to think of first.
            Err(Error::NoToken) if target.app.is_none() => {
                return Err(Error::NoApp {
                    misplaced: target.misplaced,
                    readable: vec![],
                    passed_over: target.passed_over,
                });
            }
            found => Access::Token(found?),
        },
    };
    let headers = choices.path_of(Opt::HeaderFile)?;
    let headers = headers.map(|(path, source)| HeaderFile { path, source });
    let request = Request {
        host,
        roots,
        proxy,
        timeout,
        max_wait,
        mode,
        dynamic,
        target,
    };
    Ok(Config {
        request,
        access,
        headers,
        filter,
        fallback,
        injection,
        deed,
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
