#![forbid(unsafe_code)]
//! A worker of `--watch`: the process that the watcher forks for the first start and for each poll.

use std::cell::RefCell;

use super::{Context, Outcome, fetch_and_plan};
use crate::auth::{CachedAuth, TokenCache};
use crate::config::Config;
use crate::environ::ChangeRecord;
use crate::error::Error;
use crate::log::{self, Event, Log, Logger};
use crate::process::SingleThreaded;
use crate::process::env_block::EnvBlock;
use crate::process::watch::WorkerChannel;
use crate::secret::SecretBytes;
use crate::snapshot::FetchPurpose;

/// What all workers of a watch use, one after the other.
#[derive(Clone, Copy)]
pub(super) struct SharedState<'a> {
    pub(super) token_cache: &'a TokenCache,
    /// What the command has been started with; only for `-v`.
    pub(super) change_record: Option<&'a ChangeRecord>,
}

/// Runs a worker that the watcher has forked. An error of a standby is reported as a failed poll, and
/// the command keeps running.
pub(super) fn run_worker(
    single_threaded: SingleThreaded,
    mut config: Config,
    inherited: EnvBlock,
    shared: SharedState<'_>,
    channel: &WorkerChannel,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    if !channel.may_lease() {
        config.fetch.dynamic_mode = config.fetch.dynamic_mode.without_leases();
    }
    let outcome = fetch_and_exec_when_promoted(
        single_threaded,
        &config,
        inherited,
        shared,
        channel,
        context,
    );
    if let Err(Error::TokenRejected { .. }) = outcome {
        shared.token_cache.clear_minted();
    }
    match outcome {
        Err(error) if channel.is_standby() => {
            let (kind, why) = (error.kind(), &error.to_string());
            channel.send_failure(kind);
            if !channel.is_repeated_failure(kind) {
                context.logger.log(Event::PollFailed { kind, why });
            }
            Ok(Outcome::PollFailed(error.exit_status()))
        }
        outcome => outcome,
    }
}

/// Fetches the secrets, waits for the promotion if this is a standby, and becomes the command.
fn fetch_and_exec_when_promoted(
    single_threaded: SingleThreaded,
    config: &Config,
    mut inherited: EnvBlock,
    shared: SharedState<'_>,
    channel: &WorkerChannel,
    context: Context<'_>,
) -> Result<Outcome, Error> {
    let on_minted = |token: &SecretBytes, lasts| shared.token_cache.store_minted(token, lasts);
    let CachedAuth { auth, digest_key } = shared.token_cache.load_auth(
        &config.auth_source,
        config.injection.keep_token,
        &single_threaded,
        &mut inherited,
        &on_minted,
        context.log,
    )?;
    let purpose = match channel.is_standby() {
        true => FetchPurpose::Standby,
        false => FetchPurpose::Start,
    };
    let planned = fetch_and_plan(single_threaded, config, inherited, auth, purpose, context)?;
    let digest = planned.plan.digest(digest_key.expose());
    let lease = planned.lease.as_ref().map(|lease| lease.duration);
    let entries = shared.change_record.map(|record| {
        let entries = planned.plan.named_digests(digest_key.expose());
        if channel.is_standby() {
            record.log_changes(&entries, context.log);
        }
        (record, entries)
    });
    // Do everything that can fail before the old command is stopped.
    let environment = planned.build(config)?;
    if !channel.wait_for_promotion(&digest, lease) {
        return Ok(Outcome::Done);
    }
    if let Some((record, entries)) = entries {
        record.store(&entries);
    }
    Err(environment.exec(config, context))
}

/// The log of a worker. The events of a standby are held back: they are written if it has found a change or
/// is promoted, and are lost otherwise.
pub(super) struct WorkerLog<'a> {
    logger: Logger,
    channel: &'a WorkerChannel,
    held_back: RefCell<Vec<String>>,
}

impl<'a> WorkerLog<'a> {
    pub(super) fn new(logger: Logger, channel: &'a WorkerChannel) -> Self {
        Self {
            logger,
            channel,
            held_back: RefCell::default(),
        }
    }

    fn write_held_back(&self) {
        for line in self.held_back.take() {
            log::write_line(&line);
        }
    }
}

impl Log for WorkerLog<'_> {
    /// While a standby waits, the terminal belongs to the command.
    fn has_status_line(&self) -> bool {
        !self.channel.is_standby() && self.logger.has_status_line()
    }

    fn log(&self, event: Event<'_>) {
        match (&event, self.channel.is_standby()) {
            // The file is removed, whether the poll succeeds or not.
            (Event::SnapshotRemoved { .. }, _) => self.logger.log(event),
            // It stays true, whether the poll succeeds or not.
            (Event::CredentialFileReplaced { .. }, true) => {
                if self.channel.claim_replaced_file_warning() {
                    self.logger.log(event);
                }
            }
            // The failure of a poll is reported, but not its retries and delays.
            (Event::Retrying { .. } | Event::LookupSlow { .. }, true) => {}
            // The watcher announces the restart next, so what led to it comes first.
            (Event::SecretsChanged { .. }, true) => {
                self.write_held_back();
                self.logger.log(event);
            }
            (_, true) => self
                .held_back
                .borrow_mut()
                .extend(self.logger.format_line(&event)),
            (_, false) => {
                self.write_held_back();
                self.logger.log(event);
            }
        }
    }
}
