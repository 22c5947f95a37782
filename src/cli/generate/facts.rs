#![forbid(unsafe_code)]
//! The variables and exit statuses that the documents list. `tests/generate.rs` compares them with the
//! program. `` `Backquotes` `` mark what is typed or printed.

/// The variables that belong to no option, and what they mean.
pub(super) const VARIABLES: [(&[&str], &str); 7] = [
    (
        &["PHASE_SERVICE_TOKEN"],
        "the token, if neither an option nor `PHASE_IDENTITY` nor `PHASE_SERVICE_TOKEN_FILE` gives one",
    ),
    (
        &["PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH"],
        "how many parent directories are searched for a `.phase.json` whose `monorepoSupport` is true (default 8)",
    ),
    (
        &["HOME"],
        "the directory with the login of `phase auth`, in `.phase/secrets/config.json`",
    ),
    (
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        "the proxy for https requests (`http://` or `https://`), with curl's precedence and default ports (1080, 443). The user and password in it are never printed. An address that cannot be parsed is an error, unless `no_proxy` exempts Phase. Plain http to this machine never uses a proxy",
    ),
    (
        &["no_proxy", "NO_PROXY"],
        "hosts to reach without the proxy: names (with their subdomains), addresses, networks (`10.0.0.0/8`, `fd00::/8`), or `*` for all",
    ),
    (
        &["AWS_*", "AZURE_*", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"],
        "used only with `--identity`, as the SDKs of the cloud providers use them",
    ),
    (
        &["PHASE_VERIFY_SSL"],
        "no effect: certificates are always verified, and a warning is printed if it asks to skip that",
    ),
];

/// The exit statuses of phase-run itself, and what they mean.
pub(super) const STATUSES: [(&str, &str); 5] = [
    (
        "0",
        "`--help`, `--version`, `--generate` or `--dry-run` succeeded",
    ),
    (
        "125",
        "phase-run itself failed, and no command is running: it was not started, or it was killed because its parent (`--supervise`, `--watch`) failed",
    ),
    ("126", "the command was found but cannot be executed"),
    (
        "127",
        "the command, or the interpreter or loader that it names, does not exist",
    ),
    (
        "128+N",
        "as PID 1: signal N ended phase-run during the fetch or, with `--supervise` or `--watch`, killed the command",
    ),
];
