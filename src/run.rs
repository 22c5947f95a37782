#![forbid(unsafe_code)]
//! The sequence of one run, one function for each mode.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::auth::{Auth, CachedAuth, TokenCache};
use crate::cli::{Opt, ParsedArgs, generate, help};
use crate::config::{self, Config, RunMode};
use crate::error::{Error, ExitStatus, errno_text};
use crate::{environ, selection};

use crate::log::{self, Event, Log, Logger};
use crate::phase::{self, Fetched, Lease};
use crate::process::core_dumps::SavedCoreLimit;
use crate::process::env_block::EnvBlock;
use crate::process::secret_file::SecretFile;
use crate::process::wait::WaitStatus;
use crate::process::watch::{StandbyChannel, WatchOutcome, watch};
use crate::process::{self, CommandFork, SingleThreaded, exec, startup};
use crate::secret::{Secret, SecretBytes};
use crate::snapshot::{FetchPurpose, Snapshot};

/// What stays the same from the first line to the last.
pub(crate) struct Context {
    pub(crate) core_limit: SavedCoreLimit,
    pub(crate) logger: Logger,
    pub(crate) start: Instant,
}

/// The line up to the fork, if there is one. Returns when something was printed instead, when it
/// went wrong, or in the supervisor.
pub(crate) fn run(
    single_threaded: SingleThreaded,
    args: &ParsedArgs,
    mut inherited: EnvBlock,
    context: &mut Context,
) -> Result<Outcome, Error> {
    if args.has(Opt::Help) {
        return print(&help::help());
    }
    if args.has(Opt::Version) {
        return print(&help::version());
    }
    if let Some(form) = args.text(Opt::Generate)? {
        return print(&generate::generate(form)?);
    }
    let logger = context.logger;
    let log = |notice: Event<'_>| logger.log(&notice);
    let config = config::load(args, &inherited, &log)?;
    let single_threaded = match config.run_mode {
        RunMode::Supervise(_) => match process::fork_command(&single_threaded)? {
            CommandFork::Supervisor(supervisor) => {
                drop((config, inherited));
                return Ok(Outcome::CommandEnded(supervisor.wait_for_command()?));
            }
            CommandFork::Command {
                single_threaded,
                supervisor_pid,
            } => {
                inherited.rewrite_systemd_pids(supervisor_pid, std::process::id());
                single_threaded
            }
        },
        RunMode::Watch(_, terms) => {
            let cache = TokenCache::new()?;
            let mut forget = || {
                inherited.wipe_tokens();
                config.auth_source.close_descriptor();
            };
            let log = |notice: Event<'_>| logger.try_log(&notice);
            return match watch(&single_threaded, &terms, &mut forget, &log)? {
                WatchOutcome::CommandEnded(end) => Ok(Outcome::CommandEnded(end)),
                WatchOutcome::Child {
                    single_threaded,
                    supervisor_pid,
                    standby,
                } => {
                    inherited.rewrite_systemd_pids(supervisor_pid, std::process::id());
                    context.start = Instant::now();
                    run_standby(single_threaded, config, inherited, cache, &standby, context)
                }
            };
        }
        RunMode::Exec(_) | RunMode::DryRun(_) => single_threaded,
    };
    let pass = config.auth_source.load(&inherited, &|_, _| {}, &log)?;
    fetch_and_exec(
        single_threaded,
        config,
        inherited,
        pass,
        None,
        context,
        &log,
    )
}

/// The rest of the line in a process that a watch has forked. Until it becomes the command, nobody
/// waits for what it has to say, and its failure is a poll's.
fn run_standby(
    single_threaded: SingleThreaded,
    mut config: Config,
    mut inherited: EnvBlock,
    cache: TokenCache,
    standby: &StandbyChannel,
    context: &Context,
) -> Result<Outcome, Error> {
    let logger = context.logger;
    let held = RefCell::new(Vec::new());
    let log = |notice: Event<'_>| match (&notice, standby.is_poll()) {
        // It has happened, whatever becomes of the poll.
        (Event::SnapshotRemoved { .. }, _) => logger.log(&notice),
        // Of a poll's tries only what came of them is news.
        (Event::Retrying { .. }, true) => {}
        (_, true) => held.borrow_mut().extend(logger.format(&notice)),
        (_, false) => {
            held.take()
                .iter()
                .for_each(|text: &String| log::write_line(text));
            logger.log(&notice);
        }
    };
    if !standby.may_lease() {
        config.fetch.dynamic = config.fetch.dynamic.without_leases();
    }
    let variables = config.injection.keep_token;
    let keep = |token: &SecretBytes, lasts| cache.store(token, lasts);
    let outcome = cache
        .load_auth(&config.auth_source, variables, &mut inherited, &keep, &log)
        .and_then(|CachedAuth { auth, digest_key }| {
            let watched = Some((standby, &digest_key));
            fetch_and_exec(
                single_threaded,
                config,
                inherited,
                auth,
                watched,
                context,
                &log,
            )
        });
    if let Err(Error::TokenRejected { .. }) = outcome {
        cache.clear();
    }
    match outcome {
        Err(error) if standby.is_poll() => {
            if standby.report_failure(error.kind()) {
                let (kind, why) = (error.kind(), &error.to_string());
                logger.log(&Event::PollFailed { kind, why });
            }
            Ok(Outcome::PollFailed(error.exit_status()))
        }
        outcome => outcome,
    }
}

/// The line from the token to the exec.
fn fetch_and_exec(
    single_threaded: SingleThreaded,
    config: Config,
    inherited: EnvBlock,
    mut pass: Auth<'_>,
    watched: Option<(&StandbyChannel, &SecretBytes)>,
    context: &Context,
    log: &dyn Log,
) -> Result<Outcome, Error> {
    startup::disable_nss_modules();
    if let Some(headers) = &config.header_file {
        pass.set_gateway_headers(headers.read(watched.is_some(), log)?);
    }
    let pass = &pass;
    let fetch = || chosen(single_threaded, &config, pass, context, log);
    let (chosen, lease) = match (&config.snapshot, pass) {
        // No copy is made by a token that is another one at the next start.
        (None, _) | (_, Auth::Identity(_)) => fetch()?,
        (Some(fallback), Auth::Token(credential)) => {
            let occasion = match (&config.run_mode, watched) {
                (RunMode::DryRun(_), _) => FetchPurpose::DryRun,
                (_, Some((standby, _))) if standby.is_poll() => FetchPurpose::Poll,
                (_, _) => FetchPurpose::Start,
            };
            let snapshot = Snapshot::of(fallback, &config.fetch, &config.selection, credential);
            snapshot.fetch_or_restore(fetch, occasion, log)?
        }
    };
    let base = environ::inherited_env(inherited, &config.injection);
    let empty_is_fine = config.selection.allow_empty;
    let plan = environ::plan(chosen, &base, &config.injection, empty_is_fine, log)?;
    match config.run_mode {
        RunMode::DryRun(command) => {
            let listing = plan.listing(context.logger.format);
            let paths: Vec<String> = plan.files().map(|_| SecretFile::longest_path()).collect();
            environ::build(base, plan, &paths, &command, startup::exec_limits())?;
            print(&listing)
        }
        RunMode::Exec(command) | RunMode::Supervise(command) | RunMode::Watch(command, _) => {
            let digest = watched.map(|(standby, key)| (standby, plan.digest(key.expose())));
            let files: Vec<SecretFile> = plan
                .files()
                .map(SecretFile::create)
                .collect::<Result<_, _>>()?;
            let paths: Vec<String> = files.iter().map(SecretFile::path).collect();
            let environ = environ::build(base, plan, &paths, &command, startup::exec_limits())?;
            // Everything that can go wrong before the exec has not.
            match (digest, lease) {
                (Some((standby, digest)), lease) => {
                    if !standby.wait_for_promotion(&digest, lease.map(|lease| lease.lasts)) {
                        return Ok(Outcome::Done);
                    }
                }
                (None, Some(Lease { ends, lasts })) => log.log(Event::Leased {
                    expires_at: &ends,
                    expires_in: lasts,
                }),
                (None, None) => {}
            }
            log.log(Event::Exec { command: &command });
            Err(exec::exec_command(&command, &environ, &context.core_limit))
        }
    }
}

/// What is fetched, selected and resolved, and how long what was leased lasts.
fn chosen(
    single_threaded: SingleThreaded,
    config: &Config,
    pass: &Auth<'_>,
    context: &Context,
    log: &dyn Log,
) -> Result<(Vec<Secret>, Option<Lease>), Error> {
    let Fetched {
        secrets,
        place,
        lease,
        references,
    } = phase::fetch(single_threaded, &config.fetch, pass, &config.selection, log)?;
    let of = secrets.len();
    let chosen = selection::select(secrets, &config.selection, &place, log)?;
    let chosen = references.resolve(chosen)?;
    log.log(Event::Selected {
        selected: chosen.len(),
        total: of,
        took: context.start.elapsed(),
    });
    Ok((chosen, lease))
}

/// Past std's buffer, which takes a closed standard output for a success.
fn print(text: &str) -> Result<Outcome, Error> {
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
                return Err(Error::StdoutFailed {
                    why: errno_text(errno),
                });
            }
        }
    }
    Ok(Outcome::Done)
}

/// How a run ends when it does not fail.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// `--help`, `--version`, `--generate`, `--dry-run` or a poll did what it was asked to.
    Done,
    /// A poll failed and was reported, with this status.
    PollFailed(ExitStatus),
    /// The supervised command ended.
    CommandEnded(WaitStatus),
}

impl Outcome {
    /// The status that the parent process sees. A death by a signal is told by dying of it; where
    /// that has no effect, as PID 1, by 128+N.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::PollFailed(status) => status.code(),
            Self::CommandEnded(WaitStatus::Exited(status)) => status,
            Self::CommandEnded(WaitStatus::Killed(by) | WaitStatus::Stopped(by)) => {
                by.exit_status()
            }
        }
    }
}
