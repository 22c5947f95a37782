#![forbid(unsafe_code)]
//! One run, from the parsed arguments to the exec: config → credential → fetch → select → environment
//! → exec. [`run`] picks the mode, and each mode is one function.

mod worker;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::auth::{Auth, LoadContext, TokenCache};
use crate::cli::{Opt, ParsedArgs, generate, help};
use crate::config::{self, Config, RunMode};
use crate::environ::{self, ChangeRecord, Plan};
use crate::error::{Error, errno_text};
use crate::log::{Event, Log, Logger};
use crate::phase::{self, FetchedSecrets, LeaseExpiry, Resolved, SecretList};
use crate::process::env_block::EnvBlock;
use crate::process::memory_protection::SavedCoreLimit;
use crate::process::secret_file::SecretFile;
use crate::process::wait::WaitStatus;
use crate::process::watch::{WatchOptions, WatchOutcome};
use crate::process::{self, CommandFork, SingleThreaded, exec};
use crate::secret::{Secret, SecretBytes, wipe_unused_stack};
use crate::selection;
use crate::snapshot::{FetchPurpose, Fetched, Snapshot};
use worker::{SharedState, WorkerLog, run_worker};

/// The log, the start time and the core limit, which each step of a run may need.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Receives the events of the steps: the logger, or in a worker of a watch its [`WorkerLog`].
    pub(crate) log: &'a dyn Log,
    /// Writes to standard error at once.
    pub(crate) logger: Logger,
    /// When this process started.
    pub(crate) start: Instant,
    /// The limit on core dumps to restore for the command.
    pub(crate) core_limit: &'a SavedCoreLimit,
}

/// Runs what the arguments ask for. In the process that becomes the command it returns only on
/// failure.
///
/// # Errors
/// Every error of phase-run.
pub(crate) fn run(
    single_threaded: SingleThreaded,
    args: &ParsedArgs,
    inherited: EnvBlock,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    if args.has(Opt::Help) {
        return print(&match args.wants_summary {
            true => help::summary(),
            false => help::help(),
        });
    }
    if args.has(Opt::Version) {
        return print(&help::version());
    }
    if let Some(name) = args.text(Opt::Generate)? {
        return print(&generate::document(name)?);
    }
    let config = config::load(args, &inherited, context.log)?;
    match config.run_mode {
        RunMode::Exec => fetch_and_exec(single_threaded, &config, inherited, context),
        RunMode::Supervise => supervise(single_threaded, config, inherited, context),
        RunMode::Watch(options) => watch(single_threaded, config, inherited, &options, context),
        RunMode::DryRun => dry_run(single_threaded, &config, inherited, context),
    }
}

/// Fetches the secrets and becomes the command.
fn fetch_and_exec(
    single_threaded: SingleThreaded,
    config: &Config,
    inherited: EnvBlock,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    let purpose = FetchPurpose::Start;
    let mut planned = load_auth_and_plan(single_threaded, config, inherited, purpose, context)?;
    let lease = planned.lease.take();
    let environment = planned.build(config)?;
    if let Some(lease) = lease {
        context.log.log(Event::Leased {
            expires_at: &lease.expires_at,
            expires_in: lease.duration,
        });
    }
    Err(environment.exec(config, context))
}

/// Forks: the parent supervises the command and never sees a secret, the child fetches and execs.
fn supervise(
    single_threaded: SingleThreaded,
    config: Config,
    mut inherited: EnvBlock,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    match process::fork_command(&single_threaded)? {
        CommandFork::Supervisor(supervisor) => {
            // The supervisor runs as long as the command, so it drops the token's variables first.
            drop((config, inherited));
            Ok(Outcome::CommandEnded(supervisor.wait_for_command()?))
        }
        CommandFork::Command {
            single_threaded,
            supervisor_pid,
        } => {
            inherited.rewrite_systemd_pids(supervisor_pid, std::process::id());
            fetch_and_exec(single_threaded, &config, inherited, context)
        }
    }
}

/// Returns the socket of the service manager if this is the main process of a service (systemd.exec(5)).
/// Another process that asks systemd to listen to the main process only would not be heard itself.
fn notify_socket(inherited: &EnvBlock) -> Option<OsString> {
    let own_pid = std::process::id().to_string();
    let main_pid = inherited.get("SYSTEMD_EXEC_PID");
    let is_main = main_pid.is_none_or(|pid| *pid == *own_pid);
    let socket = inherited.get("NOTIFY_SOCKET").filter(|_| is_main)?;
    Some(socket.to_owned())
}

/// Forks a worker for the first start and a standby for each poll: the parent watches and never sees
/// a secret. Each worker fetches, and becomes the command at once or when the parent promotes it.
fn watch(
    single_threaded: SingleThreaded,
    config: Config,
    mut inherited: EnvBlock,
    options: &WatchOptions,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    let token_cache = TokenCache::new()?;
    let change_record = match context.logger.verbose {
        0 => None,
        _ => ChangeRecord::new(),
    };
    let notify_socket = notify_socket(&inherited);
    let mut wipe_token = || {
        inherited.wipe_token_variables();
        config.auth_source.close_descriptor();
    };
    // The watcher must answer signals: it drops an event rather than wait for standard error.
    let log = |event: Event<'_>| context.logger.try_log(event);
    match process::watch::watch(
        &single_threaded,
        options,
        notify_socket.as_deref(),
        &mut wipe_token,
        &log,
    )? {
        WatchOutcome::CommandEnded(status) => Ok(Outcome::CommandEnded(status)),
        WatchOutcome::Worker {
            single_threaded,
            supervisor_pid,
            channel,
        } => {
            inherited.rewrite_systemd_pids(supervisor_pid, std::process::id());
            let log = WorkerLog::new(context.logger, &channel);
            let context = Context {
                log: &log,
                start: Instant::now(),
                ..context
            };
            run_worker(
                single_threaded,
                config,
                inherited,
                SharedState {
                    token_cache: &token_cache,
                    change_record: change_record.as_ref(),
                },
                &channel,
                context,
            )
        }
    }
}

/// Prints what would be injected, after the same checks as before an exec.
fn dry_run(
    single_threaded: SingleThreaded,
    config: &Config,
    inherited: EnvBlock,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    let purpose = FetchPurpose::DryRun;
    let planned = load_auth_and_plan(single_threaded, config, inherited, purpose, context)?;
    let listing = planned.plan.listing(context.logger.format);
    planned.env_block(config, |_| Ok(SecretFile::longest_path()))?;
    print(&listing)
}

/// The environment planned for the command, with the fetched secrets.
struct PlannedEnvironment {
    inherited: EnvBlock,
    plan: Plan,
    /// The earliest lease among the fetched secrets.
    lease: Option<LeaseExpiry>,
}

/// Reads the credential, fetches the secrets and plans the command's environment.
fn load_auth_and_plan(
    single_threaded: SingleThreaded,
    config: &Config,
    inherited: EnvBlock,
    purpose: FetchPurpose,
    context: Context<'_>,
) -> Result<PlannedEnvironment, Error> {
    // Nobody needs a minted token again after the exec.
    let on_minted = |_: &SecretBytes, _| {};
    let load_context = LoadContext {
        single_threaded: &single_threaded,
        inherited: &inherited,
        log: context.log,
    };
    let auth = config.auth_source.load(load_context, &on_minted)?;
    fetch_and_plan(single_threaded, config, inherited, auth, purpose, context)
}

/// Fetches the secrets and plans the command's environment.
fn fetch_and_plan(
    single_threaded: SingleThreaded,
    config: &Config,
    inherited: EnvBlock,
    mut auth: Auth<'_>,
    purpose: FetchPurpose,
    context: Context<'_>,
) -> Result<PlannedEnvironment, Error> {
    let log = context.log;
    process::disable_nss_modules();
    #[cfg(debug_assertions)]
    for place in ["thread", "fetch"] {
        process::panic_hook::panic_if_requested(place);
    }
    if let Some(header_file) = &config.header_file {
        let reads_again = matches!(config.run_mode, RunMode::Watch(_));
        auth.set_gateway_headers(header_file.read(reads_again, log)?);
    }
    let inherited = environ::filter_inherited(inherited, &config.injection);
    let fetch = || fetch_and_select(single_threaded, config, &auth, &inherited, context);
    let (mut secrets, lease) = match (&config.snapshot, &auth) {
        (Some(options), Auth::Token(credential)) => {
            let snapshot = Snapshot::new(options, &config.fetch, &config.selection, credential);
            // A snapshot can have several values of a key that was kept (--keep) when it was written.
            let check =
                |restored: &[Secret]| check_ambiguity(restored, config, &inherited, context);
            snapshot.fetch_or_restore(fetch, check, purpose, log)?
        }
        (None, Auth::Token(_)) => {
            let Fetched { secrets, lease, .. } = fetch().map_err(Error::suggesting_snapshot)?;
            (secrets, lease)
        }
        // A snapshot can be opened only with its token, and an identity gets a new token for each
        // run.
        (_, Auth::Identity(_)) => {
            let Fetched { secrets, lease, .. } = fetch()?;
            (secrets, lease)
        }
    };
    secrets.dedup_by(|secret, first| secret.key == first.key);
    let allow_empty = config.selection.allow_empty;
    let plan = environ::plan(secrets, &inherited, &config.injection, allow_empty, log)?;
    Ok(PlannedEnvironment {
        inherited,
        plan,
        lease,
    })
}

/// Fetches the secrets, selects some, and decrypts and resolves those.
fn fetch_and_select(
    single_threaded: SingleThreaded,
    config: &Config,
    auth: &Auth<'_>,
    inherited: &EnvBlock,
    context: Context<'_>,
) -> Result<Fetched, Error> {
    let check = |selected: Vec<Secret>| {
        check_ambiguity(&selected, config, inherited, context).map(|()| selected)
    };
    let (options, log) = (&config.selection, context.log);
    let FetchedSecrets {
        secrets,
        environment_label,
        target,
        lease,
    } = phase::fetch(single_threaded, &config.fetch, auth, options, log)?;
    let (total, resolved) = match secrets {
        SecretList::Decrypted(secrets) => {
            let total = secrets.len();
            let selected = selection::select(secrets, options, &environment_label, log, Ok, Ok)?;
            let resolved = Resolved {
                secrets: check(selected)?,
                unfetched_reason: None,
            };
            (total, resolved)
        }
        SecretList::Encrypted {
            secrets,
            decryptor,
            resolver,
        } => {
            let total = secrets.len();
            // A snapshot has the values of all secrets: when it is used, the variable may not be set.
            let is_used = |key: &str| {
                config.snapshot.is_some() || !environ::is_kept(key, inherited, &config.injection)
            };
            let decrypt_keys = |secrets| decryptor.decrypt_keys(secrets);
            let decrypt_values = |secrets| decryptor.decrypt_values(secrets, is_used);
            let selected = selection::select(
                secrets,
                options,
                &environment_label,
                log,
                decrypt_keys,
                decrypt_values,
            )?;
            let resolved = resolver.resolve(check(selected)?, is_used)?;
            // The keys have been used for the last time.
            wipe_unused_stack();
            (total, resolved)
        }
    };
    let Resolved {
        secrets,
        unfetched_reason,
    } = resolved;
    log.log(Event::Selected {
        selected: secrets.len(),
        total,
        took: context.start.elapsed(),
    });
    Ok(Fetched {
        secrets,
        unfetched_reason,
        target,
        lease,
    })
}

/// Checks that each key has one value, unless its variable is kept. A dry run lists all of them first.
fn check_ambiguity(
    selected: &[Secret],
    config: &Config,
    inherited: &EnvBlock,
    context: Context<'_>,
) -> Result<(), Error> {
    let injection = &config.injection;
    let is_kept = |key: &str| environ::is_kept(key, inherited, injection);
    let checked = selection::check_one_per_key(selected, &config.selection.folders, is_kept);
    if checked.is_err() && matches!(config.run_mode, RunMode::DryRun) {
        let format = context.logger.format;
        print(&environ::ambiguous_listing(
            selected, inherited, injection, format,
        ))?;
    }
    checked
}

impl PlannedEnvironment {
    /// Creates the sealed files and builds the environment.
    fn build(self, config: &Config) -> Result<CommandEnvironment, Error> {
        let mut files = Vec::new();
        let block = self.env_block(config, |secret| {
            let file = SecretFile::create(secret)?;
            let path = file.path();
            files.push(file);
            Ok(path)
        })?;
        Ok(CommandEnvironment {
            block,
            _files: files,
        })
    }

    fn env_block(
        self,
        config: &Config,
        file_path: impl FnMut(&Secret) -> Result<String, Error>,
    ) -> Result<EnvBlock, Error> {
        let (command, limits) = (&config.command, process::exec_limits());
        environ::build_env_block(self.inherited, self.plan, file_path, command, limits)
    }
}

/// The command's environment, ready for the exec.
struct CommandEnvironment {
    block: EnvBlock,
    /// Open until the command has them.
    _files: Vec<SecretFile>,
}

impl CommandEnvironment {
    /// Becomes the command. Returns only if that fails.
    #[expect(clippy::expect_used, reason = "the configuration has a command")]
    fn exec(&self, config: &Config, context: Context<'_>) -> Error {
        let command = &config.command;
        if std::process::id() == 1 {
            context.log.log(Event::BecomesPid1);
        }
        let program = command.first().expect("only a dry run has no command");
        context.log.log(Event::Exec {
            program: &program.display().to_string(),
        });
        exec::exec_command(command, &self.block, context.core_limit)
    }
}

/// Writes to standard output directly, because std ignores the error if it is closed.
#[expect(clippy::expect_used, reason = "the kernel counts what it has written")]
fn print(text: &str) -> Result<Outcome, Error> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match nix::unistd::write(io::stdout().as_fd(), rest) {
            Ok(written) => {
                let left = rest.get(written..);
                rest = left.expect("write(2) returns at most the length");
            }
            Err(Errno::EINTR) => {}
            // Standard output is non-blocking: wait until it is writable.
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

/// How a run ends without an error.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// Something was printed, or a poll found no change.
    Done,
    /// A poll failed with this status, and has been reported.
    PollFailed(u8),
    /// The supervised command ended.
    CommandEnded(WaitStatus),
}

impl Outcome {
    /// Returns the exit status. If a signal killed the command, `main` first raises the same signal;
    /// 128+N is used only if that has no effect, as in PID 1.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::PollFailed(status) | Self::CommandEnded(WaitStatus::Exited(status)) => status,
            Self::CommandEnded(WaitStatus::Killed(by) | WaitStatus::Stopped(by)) => {
                by.exit_status()
            }
        }
    }
}
