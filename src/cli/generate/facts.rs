#![forbid(unsafe_code)]
//! The variables and exit statuses that the documents list. `tests/generate.rs` compares them with the
//! program. `` `Backquotes` `` mark what is typed or printed.

/// The variables that belong to no option, and what they mean.
pub(super) const VARIABLES: [(&[&str], &str); 6] = [
    (&["PHASE_SERVICE_TOKEN"], "the token, when no file is named"),
    (
        &["PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH"],
        "how many parents are searched for a `.phase.json` whose `monorepoSupport` is true (default 8)",
    ),
    (
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        "the proxy for https, as curl reads them: the first that is set, `http://` or `https://`, port 1080 or 443 where none is given, user and password in it are never shown; what cannot be read as an address is an error that shows the scheme alone, unless Phase is excepted anyway. Plain http on this machine never goes through one",
    ),
    (
        &["no_proxy", "NO_PROXY"],
        "what is reached without it: names and all below them, addresses, networks (`10.0.0.0/8`; `fd00::/8` too, which curl 7.88 does not know), `*` alone for all",
    ),
    (
        &["AWS_*", "AZURE_*", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"],
        "with `--identity` alone, as the cloud's own kits read them: see No stored token",
    ),
    (
        &["PHASE_VERIFY_SSL"],
        "nothing: certificates are always verified, and a warning says so where it asks for something else",
    ),
];

/// The exit statuses of phase-run itself, and what they mean.
pub(super) const STATUSES: [(&str, &str); 5] = [
    (
        "0",
        "`--help`, `--version`, `--generate` and `--dry-run` did what they were asked to",
    ),
    (
        "125",
        "phase-run failed before the command started; nothing was run",
    ),
    ("126", "the command was found and cannot be executed"),
    (
        "127",
        "the command, or the interpreter or loader that it names, is not there",
    ),
    (
        "128+N",
        "as PID 1, ended by signal N during the fetch, or with `--supervise` and `--watch` as the command was",
    ),
];
