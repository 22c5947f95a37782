//! phase-run: puts a Phase app's secrets in a command's environment and becomes the command.
//!
//! The whole way of the data is in [`run`] and [`go_on`]: words → decisions → secrets → selection →
//! environment → exec. Each step takes the previous one's output; nothing points back. Only this file prints
//! errors and picks the exit status.
#![cfg_attr(
    fuzzing,
    no_main,
    expect(dead_code, reason = "only what reads bytes from elsewhere is run")
)]

mod chance;
mod cli;
mod config;
mod environ;
mod error;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod inherited;
mod notice;
mod object;
mod phase;
#[expect(
    unsafe_code,
    reason = "signals, descriptors by number and the initial environment"
)]
mod process;
mod reference;
mod secret;
mod selection;
mod snapshot;
mod source;
mod vault;

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use cli::{Opt, Words, generate, help};
use config::credential::Pass;
use config::{Config, Deed};
use error::{Error, Exit, errno_words};
use inherited::Inherited;
use notice::{Notice, Say, Voice};
use phase::{Fetched, Lease};
use process::harden::{Hardened, harden};
use process::sealed::{Sealed, seal};
use process::wait::Reaped;
use process::watch::{Reporter, Watched, watch};
use process::{Forked, SingleThreaded, exec, signal, startup};
use secret::{Secret, SecretBytes};
use snapshot::{Occasion, Snapshot};
use vault::{Opened, Vault};

/// Wipes every block that is freed: what TLS, HTTP and JSON leave behind goes with it.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let start = Instant::now();
    let Some(alone) = SingleThreaded::claim() else {
        return Exit::NothingRun.into();
    };
    let inherited = startup::take_environ(&alone);
    let hardened = harden();
    signal::drop_the_runtimes_handlers();
    signal::end_as_pid_1();
    let (words, read) = cli::parse(std::env::args_os().skip(1).collect());
    let voice = config::voice(&words, &inherited);
    let mut setting = Setting {
        hardened,
        voice,
        start,
    };
    let outcome = read.and_then(|()| run(alone, &words, inherited, &mut setting));
    match outcome {
        Ok(exit) => {
            if let Exit::AsCommand(Reaped::Killed(by)) = exit {
                signal::take(by);
            }
            exit.into()
        }
        Err(error) => {
            voice.fail(&error);
            error.exit().into()
        }
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run(env!("CARGO_BIN_NAME"), data));

/// What stays the same from the first line to the last.
struct Setting {
    hardened: Hardened,
    voice: Voice,
    start: Instant,
}

/// The line up to the fork, if there is one. Returns when something was printed instead, when it
/// went wrong, or in the supervisor.
fn run(
    alone: SingleThreaded,
    words: &Words,
    mut inherited: Inherited,
    setting: &mut Setting,
) -> Result<Exit, Error> {
    if words.has(Opt::Help) {
        return print(&help::help());
    }
    if words.has(Opt::Version) {
        return print(&help::version());
    }
    if let Some(form) = words.text(Opt::Generate)? {
        return print(&generate::generate(form)?);
    }
    let voice = setting.voice;
    let say = |notice: Notice<'_>| voice.say(&notice);
    let config = config::decide(words, &inherited, &say)?;
    let alone = match config.deed {
        Deed::Supervise(_) => match process::fork_command(&alone)? {
            Forked::Supervisor(supervisor) => {
                drop((config, inherited));
                return Ok(Exit::AsCommand(supervisor.until_end()?));
            }
            Forked::Command { alone, parent } => {
                inherited.hand_over_pid(parent, std::process::id());
                alone
            }
        },
        Deed::Watch(_, terms) => {
            let vault = Vault::new()?;
            let mut forget = || {
                inherited.forget_tokens();
                config.access.let_go();
            };
            let say = |notice: Notice<'_>| voice.say_at_once(&notice);
            return match watch(&alone, &terms, &mut forget, &say)? {
                Watched::Ended(end) => Ok(Exit::AsCommand(end)),
                Watched::Fetching {
                    alone,
                    parent,
                    reporter,
                } => {
                    inherited.hand_over_pid(parent, std::process::id());
                    setting.start = Instant::now();
                    fetch_for_watch(alone, config, inherited, vault, &reporter, setting)
                }
            };
        }
        Deed::Become(_) | Deed::DryRun(_) => alone,
    };
    let pass = config.access.pass(&inherited, &|_, _| {}, &say)?;
    go_on(alone, config, inherited, pass, None, setting, &say)
}

/// The rest of the line in a process that a watch has forked. Until it becomes the command, nobody
/// waits for what it has to say, and its failure is a poll's.
fn fetch_for_watch(
    alone: SingleThreaded,
    mut config: Config,
    mut inherited: Inherited,
    vault: Vault,
    reporter: &Reporter,
    setting: &Setting,
) -> Result<Exit, Error> {
    let voice = setting.voice;
    let held = RefCell::new(Vec::new());
    let say = |notice: Notice<'_>| match (&notice, reporter.polls()) {
        // It has happened, whatever becomes of the poll.
        (Notice::SnapshotRemoved { .. }, _) => voice.say(&notice),
        // Of a poll's tries only what came of them is news.
        (Notice::Retrying { .. }, true) => {}
        (_, true) => held.borrow_mut().extend(voice.line_of(&notice)),
        (_, false) => {
            held.take()
                .iter()
                .for_each(|text: &String| notice::line(text));
            voice.say(&notice);
        }
    };
    if !reporter.leases() {
        config.request.dynamic = config.request.dynamic.without_leases();
    }
    let variables = config.injection.keep_token;
    let keep = |token: &SecretBytes, lasts| vault.keep(token, lasts);
    let outcome = vault
        .open(&config.access, variables, &mut inherited, &keep, &say)
        .and_then(|Opened { pass, key }| {
            let watched = Some((reporter, &key));
            go_on(alone, config, inherited, pass, watched, setting, &say)
        });
    if let Err(Error::TokenRefused { .. }) = outcome {
        vault.forget();
    }
    match outcome {
        Err(error) if reporter.polls() => {
            if reporter.is_news(error.kind()) {
                let (kind, why) = (error.kind(), &error.to_string());
                voice.say(&Notice::PollFailed { kind, why });
            }
            Ok(error.exit())
        }
        outcome => outcome,
    }
}

/// The line from the token to the exec.
fn go_on(
    alone: SingleThreaded,
    config: Config,
    inherited: Inherited,
    mut pass: Pass<'_>,
    watched: Option<(&Reporter, &SecretBytes)>,
    setting: &Setting,
    say: Say<'_>,
) -> Result<Exit, Error> {
    startup::use_builtin_lookups();
    if let Some(headers) = &config.headers {
        pass.set_gateway(headers.read(watched.is_some(), say)?);
    }
    let pass = &pass;
    let fetch = || chosen(alone, &config, pass, setting, say);
    let (chosen, lease) = match (&config.fallback, pass) {
        // No copy is made by a token that is another one at the next start.
        (None, _) | (_, Pass::Identity(_)) => fetch()?,
        (Some(fallback), Pass::Token(credential)) => {
            let occasion = match (&config.deed, watched) {
                (Deed::DryRun(_), _) => Occasion::DryRun,
                (_, Some((reporter, _))) if reporter.polls() => Occasion::Poll,
                (_, _) => Occasion::Start,
            };
            let snapshot = Snapshot::of(fallback, &config.request, &config.filter, credential);
            snapshot.back(fetch, occasion, say)?
        }
    };
    let base = environ::base(inherited, &config.injection);
    let empty_is_fine = config.filter.allow_empty;
    let plan = environ::plan(chosen, &base, &config.injection, empty_is_fine, say)?;
    match config.deed {
        Deed::DryRun(command) => {
            let listing = plan.listing(setting.voice.format);
            let paths: Vec<String> = plan.files().map(|_| Sealed::longest_path()).collect();
            environ::build(base, plan, &paths, &command, startup::limits())?;
            print(&listing)
        }
        Deed::Become(command) | Deed::Supervise(command) | Deed::Watch(command, _) => {
            let digest = watched.map(|(reporter, key)| (reporter, plan.digest(key.expose())));
            let files: Vec<Sealed> = plan.files().map(seal).collect::<Result<_, _>>()?;
            let paths: Vec<String> = files.iter().map(Sealed::path).collect();
            let environ = environ::build(base, plan, &paths, &command, startup::limits())?;
            // Everything that can go wrong before the exec has not.
            match (digest, lease) {
                (Some((reporter, digest)), lease) => {
                    if !reporter.is_wanted(&digest, lease.map(|lease| lease.lasts)) {
                        return Ok(Exit::Done);
                    }
                }
                (None, Some(Lease { ends, lasts })) => say(Notice::Leased { ends: &ends, lasts }),
                (None, None) => {}
            }
            say(Notice::Becoming { command: &command });
            Err(exec::become_command(&command, &environ, &setting.hardened))
        }
    }
}

/// What is fetched, selected and resolved, and how long what was leased lasts.
fn chosen(
    alone: SingleThreaded,
    config: &Config,
    pass: &Pass<'_>,
    setting: &Setting,
    say: Say<'_>,
) -> Result<(Vec<Secret>, Option<Lease>), Error> {
    let Fetched {
        secrets,
        place,
        lease,
        references,
    } = phase::fetch(alone, &config.request, pass, &config.filter, say)?;
    let of = secrets.len();
    let chosen = selection::select(secrets, &config.filter, &place, say)?;
    let chosen = references.resolve(chosen)?;
    say(Notice::Selected {
        secrets: chosen.len(),
        of,
        took: setting.start.elapsed(),
    });
    Ok((chosen, lease))
}

/// Past std's buffer, which takes a closed standard output for a success.
fn print(text: &str) -> Result<Exit, Error> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match nix::unistd::write(io::stdout().as_fd(), rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            // Somebody made it non-blocking: the same wait, said in another way.
            Err(Errno::EAGAIN) => {
                let stdout = io::stdout();
                let mut ready = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut ready, PollTimeout::NONE);
            }
            Err(errno) => {
                return Err(Error::Output {
                    why: errno_words(errno),
                });
            }
        }
    }
    Ok(Exit::Done)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
