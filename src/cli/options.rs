#![forbid(unsafe_code)]
//! The table of options, in the order in which `--help` lists them.
//!
//! A new option takes its row in the table at the end of this file, and a field in `config` with the
//! line that reads it. The row defines the variant of [`Opt`]; parsing, `--help`, the manual page, the
//! README's table and the completions read the row. The tests then fail until `tests/args.rs` has a case
//! for the option, and until `UPDATE=1` has refreshed the README.

/// The value that follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueSpec {
    /// No value: the option is a flag.
    Flag,
    /// A value of this name, which must not be empty.
    NonEmpty(&'static str),
    /// A value of this name; the empty value has a meaning.
    MayBeEmpty(&'static str),
}

/// How often an option may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    Once,
    Repeatable,
}

/// What a shell can offer for an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// The option takes no value.
    NoValue,
    /// One of these words, which are separated by `|`.
    OneOf(&'static str),
    File,
    /// A shell command line, after which further words are its arguments.
    CommandLine,
    /// Any text: nothing can be offered.
    AnyText,
}

/// One row of the table: everything the program knows about an option.
#[derive(Debug)]
pub(crate) struct OptSpec {
    pub(crate) option: Opt,
    pub(crate) short: Option<char>,
    /// The long name without its dashes.
    pub(crate) long: &'static str,
    /// The long name with its dashes, as messages show it.
    pub(crate) name: &'static str,
    /// A second long name, without its dashes.
    pub(crate) alias: Option<&'static str>,
    /// The variables that set the same thing; the first non-empty one wins.
    pub(crate) variables: &'static [&'static str],
    pub(crate) value: ValueSpec,
    pub(crate) arity: Arity,
    pub(crate) help: &'static str,
}

impl OptSpec {
    /// Returns every spelling: `-a`, `--app`, `--app-id`.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let short = self.short.map(|letter| format!("-{letter}"));
        let alias = self.alias.map(|alias| format!("--{alias}"));
        short.into_iter().chain([self.name.to_owned()]).chain(alias)
    }

    /// Returns what a shell can offer for the value, which follows from the value's name: `FILE`
    /// means a file, `LINE` a shell command line, and a lower-case name lists the allowed words.
    pub(crate) fn completion(&self) -> Completion {
        match self.value {
            Flag => Completion::NoValue,
            NonEmpty(name) | MayBeEmpty(name) => match name {
                "FILE" => Completion::File,
                "LINE" => Completion::CommandLine,
                words if !words.contains(|letter: char| letter.is_ascii_uppercase()) => {
                    Completion::OneOf(words)
                }
                _ => Completion::AnyText,
            },
        }
    }
}

impl Opt {
    /// Returns the long name with its dashes, as messages show it.
    pub(crate) fn name(self) -> &'static str {
        self.spec().name
    }
}

/// Defines [`Opt`] and its rows from the table, so that no option can lack a row.
macro_rules! options {
    ($($option:ident, $short:expr, $long:literal, $alias:expr, $variables:expr, $value:expr, $arity:ident, $help:literal;)*) => {
        /// An option of the command line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Opt {
            $($option,)*
        }

        impl Opt {
            /// Every option, in the order of the table.
            const ALL: &[Self] = &[$(Self::$option,)*];

            /// Returns the row of this option.
            pub(crate) fn spec(self) -> &'static OptSpec {
                match self {
                    $(Self::$option => &OptSpec {
                        option: Self::$option,
                        short: $short,
                        long: $long,
                        name: concat!("--", $long),
                        alias: $alias,
                        variables: &$variables,
                        value: $value,
                        arity: Arity::$arity,
                        help: $help,
                    },)*
                }
            }
        }
    };
}

/// Returns every row, in the order of the table.
pub(crate) fn options() -> impl Iterator<Item = &'static OptSpec> {
    Opt::ALL.iter().map(|option| option.spec())
}

use ValueSpec::{Flag, MayBeEmpty, NonEmpty};

// Variant, short name, long name, alias, variables, value, arity, text of `--help`.
#[rustfmt::skip]
options! {
    App, Some('a'), "app", Some("app-id"), ["PHASE_APP"], NonEmpty("NAME|ID"), Once, "app, by its exact name in any case or by its id";
    Env, Some('e'), "env", None, ["PHASE_ENV"], NonEmpty("NAME"), Once, "environment, by its name, its type (dev, staging, prod) or the start of its name";
    Path, Some('p'), "path", None, ["PHASE_PATH"], MayBeEmpty("FOLDER"), Repeatable, "folder: /a is that folder alone, /a/** it and all below, \"\" every folder; later ones win (PHASE_PATH: a colon between two)";
    Tags, Some('t'), "tags", None, [], NonEmpty("A,B"), Once, "only secrets that have any of these tags";
    Only, None, "only", None, [], NonEmpty("GLOB"), Repeatable, "keep only keys that match a shell pattern";
    Except, None, "except", None, [], NonEmpty("GLOB"), Repeatable, "drop keys that match a shell pattern; applied last";
    Require, None, "require", None, [], NonEmpty("KEY"), Repeatable, "fail unless this key is among the selected; A,B too";
    AllowEmpty, None, "allow-empty", None, [], Flag, Once, "a filter that selects nothing is not an error";
    Prefix, None, "prefix", None, [], NonEmpty("TEXT"), Once, "put TEXT before every injected name";
    File, None, "file", None, [], NonEmpty("KEY[=VAR]"), Repeatable, "hand the value over as an in-memory file: VAR holds its path; KEY may be a pattern where no VAR is given";
    Keep, None, "keep", None, [], NonEmpty("GLOB"), Repeatable, "a matching variable that is already set wins over the secret";
    KeepExisting, None, "keep-existing", None, [], Flag, Once, "every variable that is already set wins over the secret";
    Clean, None, "clean", None, [], Flag, Once, "start from an empty environment, plus PATH, HOME, USER, LOGNAME, SHELL, TERM, TZ, LANG, LC_*, TMPDIR, PWD, HOSTNAME";
    Pass, None, "pass", None, [], NonEmpty("GLOB"), Repeatable, "with --clean, also pass matching variables";
    KeepToken, None, "keep-token", None, [], Flag, Once, "leave the PHASE_*TOKEN* variables in the command's environment";
    AllowName, None, "allow-name", None, [], NonEmpty("GLOB"), Repeatable, "inject a matching name although it can make programs run code";
    Strict, None, "strict", None, [], Flag, Once, "a reference that is not resolved is an error";
    Host, None, "host", None, ["PHASE_HOST"], NonEmpty("URL"), Once, "Phase's address (default https://console.phase.dev)";
    TokenFile, None, "token-file", None, ["PHASE_SERVICE_TOKEN_FILE"], NonEmpty("FILE"), Once, "file that holds the token; - is the first line of standard input, fd:N an open descriptor (or set PHASE_SERVICE_TOKEN to the token itself)";
    Identity, None, "identity", None, ["PHASE_IDENTITY"], NonEmpty("aws|azure"), Once, "no stored token: prove to Phase what this machine is in its cloud, and get a token that is good for a while";
    ServiceAccount, None, "service-account", None, ["PHASE_SERVICE_ACCOUNT_ID"], NonEmpty("ID"), Once, "with --identity, the service account whose token it is to be, by its id";
    HeaderFile, None, "header-file", None, ["PHASE_HEADER_FILE"], NonEmpty("FILE"), Once, "file of further request headers (Name: value lines) for a gateway before Phase; treated like the token";
    CaFile, None, "ca-file", None, ["PHASE_CA_FILE", "SSL_CERT_FILE"], NonEmpty("FILE"), Once, "PEM file of the roots to trust instead of the built-in ones";
    Timeout, None, "timeout", None, ["PHASE_TIMEOUT"], NonEmpty("SECS"), Once, "the longest that one request may take, in seconds (default 10)";
    MaxWait, None, "max-wait", None, ["PHASE_MAX_WAIT"], NonEmpty("SECS"), Once, "the longest to keep trying before giving up, in seconds (default 30; 0: one try)";
    Snapshot, None, "snapshot", None, ["PHASE_SNAPSHOT"], NonEmpty("FILE"), Once, "keep an encrypted copy of what was fetched in FILE, and use it when Phase cannot be reached";
    SnapshotMaxAge, None, "snapshot-max-age", None, [], NonEmpty("SECS"), Once, "with --snapshot, do not use a copy that is older, in seconds (default: no limit; its age is always printed)";
    Offline, None, "offline", None, ["PHASE_OFFLINE"], Flag, Once, "with --snapshot, use the copy only and send nothing";
    Mode, None, "mode", None, ["PHASE_MODE"], NonEmpty("auto|rest|e2ee"), Once, "who decrypts: the server (rest), phase-run (e2ee), or whoever the app is set up for (auto, the default)";
    Dynamic, None, "dynamic", None, [], Flag, Once, "also lease dynamic secrets";
    LeaseTtl, None, "lease-ttl", None, [], NonEmpty("SECS"), Once, "with --dynamic, how long a lease is to last, in whole seconds (default: what each secret is set up for)";
    Supervise, None, "supervise", None, ["PHASE_SUPERVISE"], Flag, Once, "stay as the command's parent: forward signals, reap orphans, end as it ends";
    Watch, None, "watch", None, [], NonEmpty("SECS"), Once, "supervise, ask Phase again each SECS seconds (at least 1), and restart the command when its secrets have changed";
    StopSignal, None, "stop-signal", None, [], NonEmpty("NAME"), Once, "with --watch, the signal by which a restart stops the command (default TERM)";
    Grace, None, "grace", None, [], NonEmpty("SECS"), Once, "with --watch, how many seconds a restart gives the command before KILL (default 10)";
    Command, Some('c'), "command", None, [], NonEmpty("LINE"), Once, "run LINE with /bin/sh -c; further words become $0 $1 …";
    DryRun, None, "dry-run", None, [], Flag, Once, "print what would be injected, never a value, and run nothing: name, folder, type and form";
    Quiet, Some('q'), "quiet", None, [], Flag, Once, "say errors only";
    Verbose, Some('v'), "verbose", None, [], Flag, Repeatable, "say what was chosen and how long it took; twice: each request too";
    LogFormat, None, "log-format", None, ["PHASE_LOG_FORMAT"], NonEmpty("text|json"), Once, "how messages are written; json: one object a line";
    Generate, None, "generate", None, [], NonEmpty("man|bash|zsh|fish|markdown"), Once, "print the manual page, a shell's completion or the README's tables and exit; for packagers";
    Help, Some('h'), "help", None, [], Flag, Once, "print this and exit";
    Version, Some('V'), "version", None, [], Flag, Once, "print the version and exit";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_names_are_unique() {
        let mut names = Vec::new();
        for name in options().flat_map(OptSpec::names) {
            assert!(!names.contains(&name), "{name} stands twice in the table");
            names.push(name);
        }
    }

    #[test]
    fn option_texts_have_no_full_stop() {
        for spec in options() {
            let complete = !spec.help.is_empty() && !spec.help.ends_with('.');
            assert!(complete, "{}: {:?}", spec.name, spec.help);
        }
    }
}
