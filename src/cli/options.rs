#![forbid(unsafe_code)]
//! The table of options: one row an option, in the order in which `--help` lists them.

/// Every option that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opt {
    App,
    Env,
    Path,
    Tags,
    Only,
    Except,
    Require,
    AllowEmpty,
    Prefix,
    File,
    Keep,
    KeepExisting,
    Clean,
    Pass,
    KeepToken,
    AllowName,
    Strict,
    Host,
    TokenFile,
    Identity,
    ServiceAccount,
    HeaderFile,
    CaFile,
    Timeout,
    MaxWait,
    Snapshot,
    SnapshotMaxAge,
    Offline,
    Mode,
    Dynamic,
    LeaseTtl,
    Supervise,
    Watch,
    StopSignal,
    Grace,
    Command,
    DryRun,
    Quiet,
    Verbose,
    LogFormat,
    Generate,
    Help,
    Version,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    /// A value of this name, not empty.
    Text(&'static str),
    /// A value of this name; the empty one has a meaning.
    MayBeEmpty(&'static str),
}

/// How often an option may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    Once,
    Many,
}

/// All that is known of an option.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) option: Opt,
    pub(crate) short: Option<char>,
    pub(crate) long: &'static str,
    /// With the dashes: what messages call it.
    pub(crate) name: &'static str,
    pub(crate) alias: Option<&'static str>,
    /// Variables that say the same, the first that is set wins.
    pub(crate) variables: &'static [&'static str],
    pub(crate) value: Value,
    pub(crate) times: Arity,
    pub(crate) help: &'static str,
}

/// What can be offered for an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    Nothing,
    /// One of these, with a `|` between two.
    ParsedArgs(&'static str),
    File,
    /// A line for a shell, behind which the words are its arguments.
    Line,
    Anything,
}

impl Row {
    /// Each way to name it: `-a`, `--app`, `--app-id`.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let short = self.short.map(|letter| format!("-{letter}"));
        let alias = self.alias.map(|alias| format!("--{alias}"));
        short.into_iter().chain([self.name.to_owned()]).chain(alias)
    }

    /// What its value is called says what it takes: `FILE`, `LINE`; what is in lower case is typed as
    /// it stands.
    pub(crate) fn takes(&self) -> Completion {
        match self.value {
            Nothing => Completion::Nothing,
            Text(name) | MayBeEmpty(name) => match name {
                "FILE" => Completion::File,
                "LINE" => Completion::Line,
                words if !words.contains(|letter: char| letter.is_ascii_uppercase()) => {
                    Completion::ParsedArgs(words)
                }
                _ => Completion::Anything,
            },
        }
    }
}

impl Opt {
    pub(crate) fn row(self) -> &'static Row {
        // The table has a row for each option: `the_table_is_whole` holds it to that.
        OPTIONS
            .iter()
            .find(|row| row.option == self)
            .unwrap_or(&OPTIONS[0])
    }

    /// `--app`: what messages call it.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }
}

macro_rules! row {
    ($option:ident, $short:expr, $long:literal, $alias:expr, $variables:expr, $value:expr, $times:ident, $help:literal) => {
        Row {
            option: Opt::$option,
            short: $short,
            long: $long,
            name: concat!("--", $long),
            alias: $alias,
            variables: &$variables,
            value: $value,
            times: Arity::$times,
            help: $help,
        }
    };
}

use Value::{MayBeEmpty, None as Nothing, Text};

/// The table. Texts are for a person who reads `--help`.
#[rustfmt::skip]
pub(crate) static OPTIONS: [Row; 43] = [
    row!(App, Some('a'), "app", Some("app-id"), ["PHASE_APP"], Text("NAME|ID"), Once, "app, by its exact name in any case or by its id"),
    row!(Env, Some('e'), "env", None, ["PHASE_ENV"], Text("NAME"), Once, "environment, by its name, its type (dev, staging, prod) or the start of its name"),
    row!(Path, Some('p'), "path", None, ["PHASE_PATH"], MayBeEmpty("FOLDER"), Many, "folder: /a is that folder alone, /a/** it and all below, \"\" every folder; later ones win (PHASE_PATH: a colon between two)"),
    row!(Tags, Some('t'), "tags", None, [], Text("A,B"), Once, "only secrets that have any of these tags"),
    row!(Only, None, "only", None, [], Text("GLOB"), Many, "keep only keys that match a shell pattern"),
    row!(Except, None, "except", None, [], Text("GLOB"), Many, "drop keys that match a shell pattern; applied last"),
    row!(Require, None, "require", None, [], Text("KEY"), Many, "fail unless this key is among the selected; A,B too"),
    row!(AllowEmpty, None, "allow-empty", None, [], Nothing, Once, "a filter that selects nothing is not an error"),
    row!(Prefix, None, "prefix", None, [], Text("TEXT"), Once, "put TEXT before every injected name"),
    row!(File, None, "file", None, [], Text("KEY[=VAR]"), Many, "hand the value over as an in-memory file: VAR holds its path; KEY may be a pattern where no VAR is given"),
    row!(Keep, None, "keep", None, [], Text("GLOB"), Many, "a matching variable that is already set wins over the secret"),
    row!(KeepExisting, None, "keep-existing", None, [], Nothing, Once, "every variable that is already set wins over the secret"),
    row!(Clean, None, "clean", None, [], Nothing, Once, "start from an empty environment, plus PATH, HOME, USER, LOGNAME, SHELL, TERM, TZ, LANG, LC_*, TMPDIR, PWD, HOSTNAME"),
    row!(Pass, None, "pass", None, [], Text("GLOB"), Many, "with --clean, also pass matching variables"),
    row!(KeepToken, None, "keep-token", None, [], Nothing, Once, "leave the PHASE_*TOKEN* variables in the command's environment"),
    row!(AllowName, None, "allow-name", None, [], Text("GLOB"), Many, "inject a matching name although it can make programs run code"),
    row!(Strict, None, "strict", None, [], Nothing, Once, "a reference that is not resolved is an error"),
    row!(Host, None, "host", None, ["PHASE_HOST"], Text("URL"), Once, "Phase's address (default https://console.phase.dev)"),
    row!(TokenFile, None, "token-file", None, ["PHASE_SERVICE_TOKEN_FILE"], Text("FILE"), Once, "file that holds the token; - is the first line of standard input, fd:N an open descriptor (or set PHASE_SERVICE_TOKEN to the token itself)"),
    row!(Identity, None, "identity", None, ["PHASE_IDENTITY"], Text("aws|azure"), Once, "no stored token: prove to Phase what this machine is in its cloud, and get a token that is good for a while"),
    row!(ServiceAccount, None, "service-account", None, ["PHASE_SERVICE_ACCOUNT_ID"], Text("ID"), Once, "with --identity, the service account whose token it is to be, by its id"),
    row!(HeaderFile, None, "header-file", None, ["PHASE_HEADER_FILE"], Text("FILE"), Once, "file of further request headers (Name: value lines) for a gateway before Phase; treated like the token"),
    row!(CaFile, None, "ca-file", None, ["PHASE_CA_FILE", "SSL_CERT_FILE"], Text("FILE"), Once, "PEM file of the roots to trust instead of the built-in ones"),
    row!(Timeout, None, "timeout", None, ["PHASE_TIMEOUT"], Text("SECS"), Once, "the longest that one request may take, in seconds (default 10)"),
    row!(MaxWait, None, "max-wait", None, ["PHASE_MAX_WAIT"], Text("SECS"), Once, "the longest to keep trying before giving up, in seconds (default 30; 0: one try)"),
    row!(Snapshot, None, "snapshot", None, ["PHASE_SNAPSHOT"], Text("FILE"), Once, "keep an encrypted copy of what was fetched in FILE, and use it when Phase cannot be reached"),
    row!(SnapshotMaxAge, None, "snapshot-max-age", None, [], Text("SECS"), Once, "with --snapshot, do not use a copy that is older, in seconds (default: no limit; its age is always printed)"),
    row!(Offline, None, "offline", None, ["PHASE_OFFLINE"], Nothing, Once, "with --snapshot, use the copy only and send nothing"),
    row!(Mode, None, "mode", None, ["PHASE_MODE"], Text("auto|rest|e2ee"), Once, "who decrypts: the server (rest), phase-run (e2ee), or whoever the app is set up for (auto, the default)"),
    row!(Dynamic, None, "dynamic", None, [], Nothing, Once, "also lease dynamic secrets"),
    row!(LeaseTtl, None, "lease-ttl", None, [], Text("SECS"), Once, "with --dynamic, how long a lease is to last, in whole seconds (default: what each secret is set up for)"),
    row!(Supervise, None, "supervise", None, ["PHASE_SUPERVISE"], Nothing, Once, "stay as the command's parent: forward signals, reap orphans, end as it ends"),
    row!(Watch, None, "watch", None, [], Text("SECS"), Once, "supervise, ask Phase again each SECS seconds (at least 1), and restart the command when its secrets have changed"),
    row!(StopSignal, None, "stop-signal", None, [], Text("NAME"), Once, "with --watch, the signal by which a restart stops the command (default TERM)"),
    row!(Grace, None, "grace", None, [], Text("SECS"), Once, "with --watch, how many seconds a restart gives the command before KILL (default 10)"),
    row!(Command, Some('c'), "command", None, [], Text("LINE"), Once, "run LINE with /bin/sh -c; further words become $0 $1 …"),
    row!(DryRun, None, "dry-run", None, [], Nothing, Once, "print what would be injected, never a value, and run nothing: name, folder, type and form"),
    row!(Quiet, Some('q'), "quiet", None, [], Nothing, Once, "say errors only"),
    row!(Verbose, Some('v'), "verbose", None, [], Nothing, Many, "say what was chosen and how long it took; twice: each request too"),
    row!(LogFormat, None, "log-format", None, ["PHASE_LOG_FORMAT"], Text("text|json"), Once, "how messages are written; json: one object a line"),
    row!(Generate, None, "generate", None, [], Text("man|bash|zsh|fish|markdown"), Once, "print the manual page, a shell's completion or the README's tables and exit; for packagers"),
    row!(Help, Some('h'), "help", None, [], Nothing, Once, "print this and exit"),
    row!(Version, Some('V'), "version", None, [], Nothing, Once, "print the version and exit"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let names: Vec<&str> = OPTIONS
            .iter()
            .flat_map(|row| [Some(row.long), row.alias])
            .flatten()
            .collect();
        let shorts: Vec<char> = OPTIONS.iter().filter_map(|row| row.short).collect();
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "--{name} stands twice");
        }
        for (n, short) in shorts.iter().enumerate() {
            assert!(!shorts[..n].contains(short), "-{short} stands twice");
        }
        for (n, row) in OPTIONS.iter().enumerate() {
            assert_eq!(
                row.option as usize, n,
                "{} is not in the order of Opt",
                row.name
            );
            assert_eq!(row.option.name(), row.name);
            assert!(
                !row.help.ends_with('.') && !row.help.is_empty(),
                "{}",
                row.name
            );
        }
        assert_eq!(
            Opt::Version as usize + 1,
            OPTIONS.len(),
            "an option without a row"
        );
    }
}
