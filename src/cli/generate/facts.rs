#![forbid(unsafe_code)]
//! What the documents list besides options: variables, statuses and kinds. `tests/generate.rs` compares
//! them with the program. `` `Backquotes` `` mark what is typed or printed.

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

/// The stable words in `error[kind]`, and when each is said.
pub(super) const KINDS: [(&str, &str); 17] = [
    (
        "usage",
        "the command line: an option that is unknown, given twice, meaningless or without its value; no command",
    ),
    (
        "config",
        "no app or no environment is given, or a variable, `.phase.json`, the host, the CA file or the header file cannot be used; an end-to-end encrypted app with `--mode rest`",
    ),
    (
        "token",
        "there is none, it is malformed, its file cannot be read, or Phase does not know it; a bearer alone where keys are needed",
    ),
    (
        "identity",
        "with `--identity`, no credentials of this machine in its cloud can be found, or Phase does not trust them",
    ),
    ("access", "the token is good, and may not read this"),
    (
        "not-found",
        "an app, an environment, a folder, a tag, a pattern or a required key that is not there",
    ),
    (
        "ambiguous",
        "several apps of one name, several environments for one word, or one key with different values in several folders",
    ),
    (
        "rate-limited",
        "Phase answered 429 until `--max-wait` was over",
    ),
    (
        "unreachable",
        "no look-up, connection or whole answer until `--max-wait` was over",
    ),
    ("tls", "the certificate or the handshake is refused"),
    (
        "server",
        "Phase answered 5xx until `--max-wait` was over, or a 400 that nothing else explains; a dynamic secret that it did not lease",
    ),
    (
        "protocol",
        "an answer that is not Phase's: no JSON, another shape, a redirect, more than 64 MiB; check `--host`",
    ),
    ("decrypt", "a key, a seed or a value that does not open"),
    (
        "snapshot",
        "with `--offline`, a copy that is missing, damaged, too old or of something else",
    ),
    (
        "environment",
        "a name or a value that cannot or must not be injected, too much of it for the kernel, with `--strict` a reference that is not resolved, or no in-memory file for `--file`",
    ),
    (
        "output",
        "standard output cannot be written (`--dry-run`, `--help`, `--version`, `--generate`)",
    ),
    ("exec", "the command cannot be executed or is not there"),
];
