#![forbid(unsafe_code)]
//! The table of log events: each variant with its JSON kind and its text, grouped by level.

use std::time::Duration;

use crate::error::{humanize, list, seconds};

/// When a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Always, except with `-q`: something needs attention.
    Warning,
    /// Always, except with `-q`: phase-run decided something that the user should know.
    Info,
    /// With `-v`.
    Detail,
    /// With `-vv`.
    Request,
}

/// Defines `Event` with its level, kind and text.
///
/// Each variant has `#[kind("…")]`, a stable word in the JSON form for searches and alerts, and
/// `#[text("…", …)]`, a `format!` string whose expressions get the fields by reference.
macro_rules! events {
    ($(
        $level:ident {$(
            #[doc = $doc:expr]
            #[kind($kind:literal)]
            #[text($text:literal $(, $argument:expr)*)]
            $variant:ident $({ $($field:ident: $type:ty),* $(,)? })?,
        )*}
    )*) => {
        /// Everything that phase-run logs besides errors. No field can hold a secret value.
        #[derive(Debug)]
        pub(crate) enum Event<'a> {
            $($(#[doc = $doc] $variant $({ $($field: $type),* })?,)*)*
        }

        impl Event<'_> {
            /// How verbose phase-run must be to log this.
            pub(super) fn level(&self) -> Level {
                match self {
                    $($(Self::$variant { .. } => Level::$level,)*)*
                }
            }

            /// The stable word in the JSON form.
            pub(super) fn kind(&self) -> &'static str {
                match self {
                    $($(Self::$variant { .. } => $kind,)*)*
                }
            }
        }

        impl std::fmt::Display for Event<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($(Self::$variant $({ $($field),* })? => write!(f, $text $(, $argument)*),)*)*
                }
            }
        }

        #[cfg(test)]
        impl<'a> Event<'a> {
            /// Returns one event of each variant.
            pub(super) fn examples() -> Vec<Self> {
                vec![$($(Self::$variant $({ $($field: <$type as super::tests::Example>::example()),* })?,)*)*]
            }
        }

        /// Each event's level, kind, and text before any name is filled in.
        #[cfg(test)]
        pub(super) const EVENTS: &[(Level, &str, &str)] = &[
            $($((Level::$level, $kind, $text),)*)*
        ];
    };
}

events! {
    Warning {
        /// Other users can read the file of the token or of a gateway's headers.
        #[kind("token-file-exposed")]
        #[text("other users can read the file {path} (mode {mode:04o}): run chmod 600 on it")]
        CredentialFileExposed { path: &'a str, mode: u32 },
        /// A poll reads a file that no longer has a name where it was mounted from.
        #[kind("credential-file-replaced")]
        #[text("the file {path} was replaced or removed outside of this container, so polls still read the old one: mount its directory, not the file alone")]
        CredentialFileReplaced { path: &'a str },
        /// Two settings exclude each other, and one takes precedence.
        #[kind("setting-ignored")]
        #[text("ignoring {ignored}: {used} takes precedence")]
        SettingIgnored { ignored: &'static str, used: &'static str },
        /// `PHASE_VERIFY_SSL` asks to skip verification, which phase-run never does.
        #[kind("verify-ssl-ignored")]
        #[text("ignoring PHASE_VERIFY_SSL: certificates are always verified; pass --ca-file to trust a CA of your own")]
        VerifySslIgnored,
        /// A name is not resolved after `waited`, and phase-run keeps waiting.
        #[kind("lookup-slow")]
        #[text("resolving the name {name} has taken {} so far: waiting up to {:.0} s more", seconds(*waited), left.as_secs_f64())]
        LookupSlow { name: &'a str, waited: Duration, left: Duration },
        /// The environment has no secrets, and no filter explains it.
        #[kind("environment-empty")]
        #[text("there are no secrets in {environment_label}")]
        EnvironmentEmpty { environment_label: &'a str },
        /// A shell cannot name these variables.
        #[kind("nonportable-name")]
        #[text("shells cannot use the variable name{} {}", if names.len() == 1 { "" } else { "s" }, list(names.iter().map(|name| format!("\"{name}\"")), ", "))]
        NonportableNames { names: &'a [&'a str] },
        /// An environment that references name cannot be read, so they are left.
        #[kind("references-unavailable")]
        #[text("cannot resolve references to {environment_label}: {why}")]
        ReferencesUnavailable { environment_label: &'a str, why: &'a str },
        /// The values of these keys still contain references.
        #[kind("unresolved")]
        #[text("could not resolve references in {}; they are passed on as written", list(keys.iter(), ", "))]
        UnresolvedReferences { keys: &'a [String] },
        /// The server sent a lease's end in a format that cannot be parsed, so nothing renews the lease.
        #[kind("lease-end-unknown")]
        #[text("the end of the lease of {name}{} is unknown: expiresAt is \"{expires_at}\", expected a time such as 2026-11-24T14:53:35Z", match others {
            0 => String::new(),
            others => format!(" (and of {others} others)"),
        })]
        LeaseEndUnknown { name: &'a str, expires_at: &'a str, others: usize },
        /// There is a snapshot, but it cannot be used in place of the failed fetch.
        #[kind("snapshot-unusable")]
        #[text("cannot use the snapshot {path} instead: {why}")]
        SnapshotUnusable { path: &'a str, why: &'a str },
        /// Phase denied access, but the snapshot could not be removed.
        #[kind("snapshot-remove-failed")]
        #[text("cannot remove the snapshot {path}, although Phase denies access to its secrets: {why}")]
        SnapshotRemoveFailed { path: &'a str, why: &'a str },
        /// No snapshot could be written; the command starts all the same.
        #[kind("snapshot-write-failed")]
        #[text("cannot write the snapshot {path}: {why}")]
        SnapshotWriteFailed { path: &'a str, why: &'a str },
        /// The command did not end within `--grace` after the signal that asks it to.
        #[kind("killing")]
        #[text("the command is still running {} s after {}: sending SIGKILL", grace.as_secs_f64(), signal_name(signal))]
        Killing { grace: Duration, signal: &'a str },
        /// The command may not get a signal: it runs as another user.
        #[kind("signal-refused")]
        #[text("cannot send {} to the command: {why}; it may run as another user", signal_name(signal))]
        SignalRefused { signal: &'a str, why: &'a str },
        /// The command may not be killed: it runs as another user.
        #[kind("kill-refused")]
        #[text("cannot kill the command: {why}; it may run as another user, and must end by itself")]
        KillRefused { why: &'a str },
        /// Processes that the old command left did not end, not even after SIGKILL.
        #[kind("processes-left")]
        #[text("could not kill processes left by the old command, starting the new one anyway: {}", list(names.iter(), ", "))]
        ProcessesLeft { names: &'a [String] },
        /// A poll failed; `kind` is that of its error.
        #[kind("poll-failed")]
        #[text("a poll failed, and the command keeps running: error[{kind}]: {why}")]
        PollFailed { kind: &'a str, why: &'a str },
        /// The standby that should become the new command has died.
        #[kind("start-failed")]
        #[text("cannot restart the command: {why}")]
        RestartFailed { why: &'a str },
    }

    Info {
        /// The token is that of the login of Phase's own CLI.
        #[kind("login-used")]
        #[text("using the login of {account} at {host}")]
        LoginUsed { account: &'a str, host: &'a str },
        /// The environment was found by its type or a prefix, not by its name.
        #[kind("environment-chosen")]
        #[text("using environment {environment} ({matched_by} '{query}' from {source})")]
        EnvironmentChosen { query: &'a str, source: String, environment: &'a str, matched_by: &'static str },
        /// Leased secrets expire, and nothing renews them.
        #[kind("leased")]
        #[text("leased secrets expire at {expires_at} (in {}); restart the command before then", humanize(to_nearest_second(expires_in)))]
        Leased { expires_at: &'a str, expires_in: Duration },
        /// A request failed and will be repeated. `why` names the host; `left` is what remains of `--max-wait`.
        #[kind("retrying")]
        #[text("{why}; retrying in {} s (attempt {attempt}, {:.0} s left)", tenths_rounded_up(wait), left.as_secs_f64())]
        Retrying { why: &'a str, wait: Duration, attempt: u32, left: Duration },
        /// The snapshot is used in place of a fetch; `age` is `None` if its timestamp is in the future.
        #[kind("snapshot-used")]
        #[text("using the snapshot {path}, {}: {why}", match age {
            Some(age) => format!("made {} ago", humanize(*age)),
            None => "of unknown age (its timestamp is in the future)".to_owned(),
        })]
        SnapshotUsed { path: &'a str, age: Option<Duration>, why: &'a str },
        /// Phase denied access, so the snapshot was removed.
        #[kind("snapshot-removed")]
        #[text("removed the snapshot {path}: Phase denies access to its secrets")]
        SnapshotRemoved { path: &'a str },
        /// A poll found other secrets than those the command was started with.
        #[kind("restarting")]
        #[text("the secrets have changed: restarting the command{}", match delay.is_zero() {
            true => String::new(),
            false => format!(" in {} s", tenths_rounded_up(delay)),
        })]
        Restarting { delay: Duration },
        /// The command is restarted because its leases expire soon.
        #[kind("lease-expiring")]
        #[text("two thirds of a lease have passed: restarting the command with a new lease")]
        LeaseExpiring,
        /// A poll succeeded after one that had failed.
        #[kind("poll-recovered")]
        #[text("polling works again")]
        PollRecovered,
        /// A signal asked phase-run to end while it was restarting the command.
        #[kind("restart-cancelled")]
        #[text("asked to shut down: not starting the new command")]
        RestartCancelled,
    }

    Detail {
        /// A cloud identity was exchanged for a token.
        #[kind("identified")]
        #[text("obtained a token of service account {account} with {from}, valid for {} s", valid_for.as_secs())]
        TokenMinted { from: &'a str, account: &'a str, valid_for: Duration },
        /// What is fetched, and where each part of it was set.
        #[kind("fetching")]
        #[text("fetching app {app} (from {app_source}), environment {environment} (from {environment_source}) from {host} with the token from {token_source}")]
        Fetching { app: &'a str, app_source: String, environment: &'a str, environment_source: String, host: &'a str, token_source: &'a str },
        /// The server cannot decrypt the app's secrets.
        #[kind("end-to-end")]
        #[text("the app is end-to-end encrypted: pass --mode e2ee to save one request")]
        EndToEndFound,
        /// Requests go through this proxy, unless `no_proxy` exempts their host.
        #[kind("proxy")]
        #[text("using the proxy {name} (from {variable})")]
        Proxy { name: &'a str, variable: &'static str },
        /// How many of the fetched secrets are selected, and the time since phase-run started.
        #[kind("selected")]
        #[text("{selected} of {total} secrets selected, {} ms after the start", millis(took))]
        Selected { selected: usize, total: usize, took: Duration },
        /// The server's issuer is not among the built-in roots, so the system's roots are tried.
        #[kind("system-roots")]
        #[text("the issuer of the certificate of {host} is not among the built-in roots: retrying with the system's")]
        SystemRoots { host: &'a str },
        /// A snapshot was written.
        #[kind("snapshot-written")]
        #[text("wrote the snapshot {path}")]
        SnapshotWritten { path: &'a str },
        /// Phase denied access, but not to what is in the snapshot.
        #[kind("snapshot-kept")]
        #[text("kept the snapshot {path}: {why}")]
        SnapshotKept { path: &'a str, why: &'a str },
        /// What differs between a restarted command's secrets and those that it had before.
        #[kind("changed")]
        #[text("the secrets of the new command: {}", changes(added, removed, changed))]
        SecretsChanged { added: &'a [String], removed: &'a [String], changed: &'a [String] },
        /// Secrets take the place of inherited variables that have other values.
        #[kind("replaced")]
        #[text("secrets replace variables that are already set: {}", list(names.iter(), ", "))]
        VariablesReplaced { names: &'a [String] },
        /// Inherited variables are kept (`--keep`), and hide secrets that have other values.
        #[kind("kept")]
        #[text("variables that are already set are kept in place of secrets: {}", list(names.iter(), ", "))]
        VariablesKept { names: &'a [String] },
        /// In exec mode, the command becomes PID 1 of its container.
        #[kind("pid1")]
        #[text("the command becomes PID 1 and gets signals directly; if it does not handle SIGTERM, use --supervise or PHASE_SUPERVISE=1")]
        BecomesPid1,
        /// The last line before the command takes over; arguments are not shown.
        #[kind("exec")]
        #[text("executing {program}")]
        Exec { program: &'a str },
        /// A poll found no change.
        #[kind("unchanged")]
        #[text("the secrets have not changed")]
        Unchanged,
    }

    Request {
        /// A name was looked up, with or without success.
        #[kind("lookup")]
        #[text("resolving the name {name} took {} ms", millis(took))]
        Lookup { name: &'a str, took: Duration },
        /// One HTTP request; its path is without the query.
        #[kind("request")]
        #[text("{method} {host}{path}: {status} in {} ms", millis(took))]
        Request { method: &'a str, host: &'a str, path: &'a str, status: u16, took: Duration },
    }
}

/// The names of variables that differ, such as `1 added (A), 2 changed (B, C)`.
fn changes(added: &[String], removed: &[String], changed: &[String]) -> String {
    let parts = [("added", added), ("removed", removed), ("changed", changed)];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts
        .map(|(what, names)| format!("{} {what} ({})", names.len(), list(names.iter(), ", ")))
        .collect();
    parts.join(", ")
}

fn millis(took: &Duration) -> String {
    format!("{:.1}", took.as_secs_f64() * 1000.0)
}

/// A delay in seconds, rounded up to tenths: a delay of 0.0 s would read like a bug.
fn tenths_rounded_up(delay: &Duration) -> String {
    let tenths = delay.as_micros().div_ceil(100_000).max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Rounds a duration to the nearest second.
fn to_nearest_second(duration: &Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_millis() >= 500))
}

/// `SIGTERM` for `TERM`; a real-time signal has only a number.
fn signal_name(signal: &str) -> String {
    match signal.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("signal {signal}"),
        false => format!("SIG{signal}"),
    }
}
