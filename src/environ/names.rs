#![forbid(unsafe_code)]
//! Checks variable names: invalid ones, unsafe ones, and ones that a shell cannot use.

/// Variables that make a loader, a shell, a runtime or git run code, or reveal keys. Whoever can edit a
/// secret must not be able to do that with it.
#[rustfmt::skip]
const UNSAFE_NAMES: [&str; 66] = [
    // The loader and the C library.
    "GLIBC_TUNABLES", "GCONV_PATH",
    // Shells.
    "PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS",
    "PS0", "PS1", "PS2", "PS4", "PROMPT_COMMAND", "ZDOTDIR",
    // Runtimes.
    "NODE_OPTIONS", "NODE_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS",
    "PYTHONBREAKPOINT", "PYTHONUSERBASE", "PERL5OPT", "PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB",
    "GEM_HOME", "GEM_PATH", "BUNDLE_GEMFILE", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS", "CLASSPATH", "DOTNET_STARTUP_HOOKS", "COR_PROFILER", "CORECLR_PROFILER",
    "LUA_PATH", "LUA_CPATH", "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER", "PHPRC", "PHP_INI_SCAN_DIR",
    // Pagers, remote access, git.
    "LESSOPEN", "LESSCLOSE", "SSH_ASKPASS", "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND",
    "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR",
    "GIT_PAGER", "GIT_CONFIG", "GIT_TEMPLATE_DIR", "GIT_DIR",
    // OpenSSL: a configuration file loads modules, and a key log reveals every session.
    "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "SSLKEYLOGFILE",
];

/// Prefixes of unsafe variables. Erlang's family is `ERL_*FLAGS`, which [`is_unsafe`] checks.
#[rustfmt::skip]
const UNSAFE_PREFIXES: [&str; 9] = [
    "LD_", "DYLD_", "BASH_FUNC_", "COR_PROFILER_PATH", "CORECLR_PROFILER_PATH", "LUA_INIT", "LUA_PATH_5",
    "LUA_CPATH_5", "GIT_CONFIG_",
];

/// Returns whether a variable of this name can make programs run code or reveal keys.
pub(super) fn is_unsafe(name: &str) -> bool {
    UNSAFE_NAMES.contains(&name)
        || UNSAFE_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || (name.starts_with("ERL_") && name.ends_with("FLAGS"))
}

/// Returns the reason if no variable can have this name, because execve(2) cannot express it.
pub(super) fn invalid_reason(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("the name is empty");
    }
    name.bytes().find_map(|byte| match byte {
        b'=' => Some("the name contains ="),
        0 => Some("the name contains a NUL byte"),
        b'\n' | b'\r' => Some("the name contains a line break"),
        _ => None,
    })
}

/// Returns whether a POSIX shell can use the variable: `[A-Za-z_][A-Za-z0-9_]*`.
pub(super) fn is_portable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_names_and_families_are_recognized() {
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "DYLD_INSERT_LIBRARIES",
            "PATH",
            "BASH_FUNC_ls%%",
            "PS4",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_KEY_0",
            "ERL_FLAGS",
            "ERL_AFLAGS",
            "LUA_INIT_5_4",
            "NODE_OPTIONS",
            "SSLKEYLOGFILE",
            "ENV",
            "SHELLOPTS",
            "_JAVA_OPTIONS",
        ] {
            assert!(is_unsafe(name), "{name}");
        }
        for name in [
            "LD",
            "MY_PATH",
            "PATHS",
            "ld_preload",
            "ERL_COOKIE",
            "ENVIRONMENT",
            "GITHUB_TOKEN",
            "R_ENVIRONMENT",
            "LUA_PATHOLOGY",
            "HOME_URL",
        ] {
            assert!(!is_unsafe(name), "{name}");
        }
    }

    #[test]
    fn portable_names_follow_posix() {
        for (name, portable) in [
            ("A", true),
            ("_1", true),
            ("1A", false),
            ("a.b", false),
            ("ü", false),
            (" A", false),
        ] {
            assert_eq!(is_portable(name), portable, "{name}");
        }
    }
}
