#![forbid(unsafe_code)]
//! The table of options, in the order in which `--help` lists them.
//!
//! A new option needs a row in the table at the end of this file, and a field in `config` with the line
//! that reads it. The row defines the variant of [`Opt`]. Parsing, `-h`, `--help`, the manual page,
//! `docs/reference.md` and the completions read the row. The tests then fail until `tests/args.rs` has a
//! case for the option, and until `UPDATE=1` has rewritten `docs/reference.md`.

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
    /// A shell command line.
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
    /// What the option does, in a few words: for `-h` and the completions. Backquotes mark what is typed.
    pub(crate) help: &'static str,
    /// Full sentences that `--help`, the manual page and the reference add; may be empty.
    pub(crate) details: &'static str,
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

/// Defines [`Opt`], its rows and their groups from the table, so that no option can lack a row.
macro_rules! options {
    ($($group:literal {
        $($option:ident, $short:expr, $long:literal, $alias:expr, $variables:expr, $value:expr, $arity:ident, $help:literal, $details:literal;)*
    })*) => {
        /// An option of the command line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Opt {
            $($($option,)*)*
        }

        /// The groups of the table: each title with its options.
        const GROUPS: &[(&str, &[Opt])] = &[$(($group, &[$(Opt::$option),*])),*];

        impl Opt {
            /// Returns the row of this option.
            pub(crate) fn spec(self) -> &'static OptSpec {
                match self {
                    $($(Self::$option => &OptSpec {
                        option: Self::$option,
                        short: $short,
                        long: $long,
                        name: concat!("--", $long),
                        alias: $alias,
                        variables: &$variables,
                        value: $value,
                        arity: Arity::$arity,
                        help: $help,
                        details: $details,
                    },)*)*
                }
            }
        }
    };
}

/// Returns the title and the rows of each group, in the order of the table.
pub(crate) fn groups()
-> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static OptSpec>)> {
    GROUPS
        .iter()
        .map(|(title, options)| (*title, options.iter().map(|option| option.spec())))
}

/// Returns every row, in the order of the table.
pub(crate) fn options() -> impl Iterator<Item = &'static OptSpec> {
    groups().flat_map(|(_, specs)| specs)
}

use ValueSpec::{Flag, MayBeEmpty, NonEmpty};

// In each group: variant, short name, long name, alias, variables, value, arity, help, details.
#[rustfmt::skip]
options! {
    "What to fetch" {
        App, Some('a'), "app", Some("app-id"), ["PHASE_APP"], NonEmpty("NAME|ID"), Once, "App, by its name (in any case) or its ID", "";
        Env, Some('e'), "env", None, ["PHASE_ENV"], NonEmpty("NAME"), Once, "Environment, by its name, type or prefix", "phase-run tries the exact name (in any case), then the type (`dev`, `development`, `staging`, `prod` or `production`), then the prefix of a name. A type or a prefix must fit exactly one environment. There is no default environment.";
        Path, Some('p'), "path", None, ["PHASE_PATH"], MayBeEmpty("FOLDER"), Repeatable, "Folder to fetch; `/a/**` includes its subfolders", "`/a` is that folder only, `/a/**` also every folder below it, and `\"\"` all folders. If several folders have the same key, the last `--path` that matches takes precedence. `PHASE_PATH` separates folders with a colon.";
        Mode, None, "mode", None, ["PHASE_MODE"], NonEmpty("auto|rest|e2ee"), Once, "Who decrypts the secrets [default: auto]", "`rest`: the server; end-to-end encrypted apps are refused. `e2ee`: phase-run, so the server never sends a value in clear text. `auto`: as the app is set up.";
        Dynamic, None, "dynamic", None, [], Flag, Once, "Also lease dynamic secrets", "A dynamic secret that cannot be leased is an error. Cannot be used with `--tags`.";
        LeaseTtl, None, "lease-ttl", None, [], NonEmpty("SECS"), Once, "Duration of the leases, in whole seconds", "Requires `--dynamic`. Without this option, the duration is the one set for each secret in Phase.";
    }
    "Which secrets" {
        Tags, Some('t'), "tags", None, [], NonEmpty("A,B"), Once, "Select only secrets with any of these tags", "";
        Only, None, "only", None, [], NonEmpty("GLOB"), Repeatable, "Select only keys that match a shell pattern", "";
        Except, None, "except", None, [], NonEmpty("GLOB"), Repeatable, "Leave out keys that match a shell pattern", "It takes precedence over `--only`, and it may match nothing.";
        Require, None, "require", None, [], NonEmpty("KEY"), Repeatable, "Fail unless `KEY` is selected", "A comma separates several keys.";
        AllowEmpty, None, "allow-empty", None, [], Flag, Once, "Accept a filter that matches nothing", "Without this option, each `--path`, each tag, each `--only` and each `--file` must match at least one secret.";
    }
    "How they are handed over" {
        Prefix, None, "prefix", None, [], NonEmpty("TEXT"), Once, "Put `TEXT` before the name of every variable", "Filters and `--file` match keys without the prefix.";
        File, None, "file", None, [], NonEmpty("KEY[=VAR]"), Repeatable, "Hand `KEY` over as a file; the variable has its path", "The file exists only in memory. It is read-only, with mode 0444: programs that insist on 0600, such as ssh, refuse it. It needs Linux. Without `VAR`, the variable is named after the key, and `KEY` can be a shell pattern.";
        Keep, None, "keep", None, [], NonEmpty("GLOB"), Repeatable, "Keep matching variables that are already set", "Their values take precedence over the secrets. A pattern may match nothing.";
        KeepExisting, None, "keep-existing", None, [], Flag, Once, "Keep all variables that are already set", "Their values take precedence over the secrets.";
        Clean, None, "clean", None, [], Flag, Once, "Start from an almost empty environment", "The command inherits only `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TERM`, `TZ`, `LANG`, `LC_*`, `TMPDIR`, `PWD`, `HOSTNAME` and what matches `--pass`.";
        Pass, None, "pass", None, [], NonEmpty("GLOB"), Repeatable, "Also inherit matching variables", "Requires `--clean`.";
        KeepToken, None, "keep-token", None, [], Flag, Once, "Let the command inherit `PHASE_*TOKEN*` variables", "";
        AllowName, None, "allow-name", None, [], NonEmpty("GLOB"), Repeatable, "Allow matching names that can run code", "By default, names such as `LD_PRELOAD`, `PATH` or `NODE_OPTIONS` are an error, because everyone who can edit such a secret could run code with it.";
        Strict, None, "strict", None, [], Flag, Once, "Treat unresolved references as an error", "By default, they stay as they are, and a warning names the keys.";
    }
    "Authentication" {
        TokenFile, None, "token-file", None, ["PHASE_SERVICE_TOKEN_FILE"], NonEmpty("FILE"), Once, "Read the token from `FILE`", "`FILE` can be `-` (the first line of standard input) or `fd:N` (an open file descriptor). To pass the token itself, set `PHASE_SERVICE_TOKEN`.";
        TokenCommand, None, "token-command", None, ["PHASE_TOKEN_COMMAND"], NonEmpty("LINE"), Once, "Run `LINE` with `/bin/sh -c` to get the token", "The first line of its output is the token. `LINE` may ask on the terminal. It may take as long as `--max-wait` if that is set, otherwise 120 seconds.";
        NoLogin, None, "no-login", None, ["PHASE_NO_LOGIN"], Flag, Once, "Do not use the login of `phase auth`", "Without any other token, phase-run uses the login of Phase's own CLI, except as PID 1. Set the variable where a person's login must never be used, as in an image.";
        Identity, None, "identity", None, ["PHASE_IDENTITY"], NonEmpty("aws|azure"), Once, "Log in with this machine's cloud identity", "phase-run exchanges it for a short-lived token, so you need not store one. Requires `--service-account`.";
        ServiceAccount, None, "service-account", None, ["PHASE_SERVICE_ACCOUNT_ID"], NonEmpty("ID"), Once, "ID of the service account to log in as", "Requires `--identity`.";
    }
    "Network" {
        Host, None, "host", None, ["PHASE_HOST"], NonEmpty("URL"), Once, "Phase's address [default: `https://console.phase.dev`]", "";
        CaFile, None, "ca-file", None, ["PHASE_CA_FILE", "SSL_CERT_FILE"], NonEmpty("FILE"), Once, "Trust only the CA certificates in `FILE` (PEM)", "For Phase, they replace the built-in root certificates and those of the system.";
        HeaderFile, None, "header-file", None, ["PHASE_HEADER_FILE"], NonEmpty("FILE"), Once, "Send the headers in `FILE` with requests to Phase", "This is for a gateway in front of Phase. Each line is `Name: value`. phase-run protects the values like the token.";
        Timeout, None, "timeout", None, ["PHASE_TIMEOUT"], NonEmpty("SECS"), Once, "Time limit per request, in seconds [default: 10]", "It includes everything from connecting to the last byte. Resolving the name may take up to --max-wait.";
    }
    "Outages" {
        MaxWait, None, "max-wait", None, ["PHASE_MAX_WAIT"], NonEmpty("SECS"), Once, "Time limit for all requests, in seconds [default: 30]", "It includes retries and name lookups. With `0`, each request is sent once, and the name lookup is limited by --timeout.";
        Snapshot, None, "snapshot", None, ["PHASE_SNAPSHOT"], NonEmpty("FILE"), Once, "Encrypted copy to start from during an outage", "Each start that fetches the secrets writes the copy. A start that cannot reach Phase uses it, if the token, host, app, environment and filters are the same.";
        SnapshotMaxAge, None, "snapshot-max-age", None, [], NonEmpty("SECS"), Once, "Do not use a snapshot older than `SECS`", "Requires `--snapshot`. Without this option, a snapshot of any age is used. A message always says how old it is.";
        Offline, None, "offline", None, ["PHASE_OFFLINE"], Flag, Once, "Use the snapshot without asking Phase", "Requires `--snapshot`.";
    }
    "Process" {
        Command, Some('c'), "command", None, [], NonEmpty("LINE"), Once, "Run `LINE` with `/bin/sh -c`", "Further arguments become `$0`, `$1` and so on.";
        Supervise, None, "supervise", None, ["PHASE_SUPERVISE"], Flag, Once, "Stay as the command's parent process", "phase-run then forwards signals, reaps orphaned processes and ends as the command ends. It needs Linux.";
        Watch, None, "watch", None, ["PHASE_WATCH"], NonEmpty("SECS"), Once, "Restart the command when its secrets change", "phase-run stays as the parent, as with `--supervise`, and fetches the secrets every `SECS` seconds (at least 1). It needs Linux.";
        StopSignal, None, "stop-signal", None, ["PHASE_STOP_SIGNAL"], NonEmpty("NAME"), Once, "Signal that a restart sends first [default: TERM]", "Requires `--watch`. Without it, `PHASE_STOP_SIGNAL` has no effect.";
        Grace, None, "grace", None, ["PHASE_GRACE"], NonEmpty("SECS"), Once, "Seconds until a restart sends KILL [default: 10]", "Requires `--watch`. Without it, `PHASE_GRACE` has no effect.";
    }
    "Output" {
        DryRun, None, "dry-run", None, [], Flag, Once, "List the secrets without their values; run nothing", "Each line has the name, folder, type and form of a secret, separated by tabs.";
        Quiet, Some('q'), "quiet", None, [], Flag, Once, "Print errors only", "";
        Verbose, Some('v'), "verbose", None, [], Flag, Repeatable, "Print what was chosen and how long it took", "Given twice, it prints each request as well.";
        LogFormat, None, "log-format", None, ["PHASE_LOG_FORMAT"], NonEmpty("text|json"), Once, "Format of messages [default: text]", "`json` is one object per line.";
        Generate, None, "generate", None, [], NonEmpty("man|bash|zsh|fish|markdown"), Once, "Print the man page, a completion or the reference", "`bash`, `zsh` and `fish` are completions, and `markdown` is the page docs/reference.md.";
        Help, Some('h'), "help", None, [], Flag, Once, "Print help: `-h` a summary, `--help` all options", "";
        Version, Some('V'), "version", None, [], Flag, Once, "Print the version", "";
    }
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

    /// A longer text would not fit into a line of `-h`.
    #[test]
    fn option_texts_are_short_and_details_are_sentences() {
        for spec in options() {
            let length = spec.help.replace('`', "").len();
            assert!((1..=53).contains(&length), "{}: {length}", spec.name);
            assert!(!spec.help.ends_with('.'), "{}", spec.name);
            let is_sentence = spec.details.is_empty() || spec.details.ends_with('.');
            assert!(is_sentence, "{}", spec.name);
        }
    }
}
