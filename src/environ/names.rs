#![forbid(unsafe_code)]
//! Checks variable names: invalid ones, unsafe ones, and ones that a shell cannot use.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Names of variables that make a common program run code from their value, or load code or such
/// settings from a path in it, or that reveal keys. A `*` stands for any text. The page
/// `docs/refused-names.md` has the same list with the manual pages, and the doubtful names with reasons.
#[rustfmt::skip]
const UNSAFE_NAMES: &[&str] = &[
    // The dynamic loader.
    "LD_*", "GLIBC_TUNABLES",
    // macOS's loader.
    "DYLD_*",
    // The C library.
    "GCONV_PATH", "GETCONF_DIR",
    // POSIX shells.
    "PATH", "HOME", "SHELL", "IFS", "ENV", "PS1", "PS2", "PS4", "FCEDIT",
    // bash.
    "BASH_ENV", "BASH_FUNC_*", "SHELLOPTS", "BASHOPTS", "PS0", "PROMPT_COMMAND", "MAILPATH",
    "BASH_LOADABLES_PATH",
    // readline.
    "INPUTRC",
    // zsh.
    "ZDOTDIR", "FPATH", "NULLCMD", "READNULLCMD",
    // fish.
    "fish_function_path",
    // Programs that look for settings in the XDG directories, such as git and fish.
    "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "XDG_DATA_DIRS",
    // Programs that show text or open an editor.
    "PAGER", "EDITOR", "VISUAL",
    // man.
    "MANPAGER", "MANOPT", "MANROFFOPT",
    // groff.
    "GROFF_BIN_PATH", "GROFF_COMMAND_PREFIX", "GROFF_TMAC_PATH",
    // less.
    "LESS", "LESSOPEN", "LESSCLOSE", "LESSEDIT", "LESSKEY", "LESSKEYIN", "LESSKEY_CONTENT",
    "LESSKEY_SYSTEM", "LESSKEYIN_SYSTEM",
    // systemd.
    "SYSTEMD_PAGER", "SYSTEMD_LESS", "SYSTEMD_EDITOR", "SYSTEMD_*_PATH",
    // vi, vim.
    "EXINIT", "VIMINIT", "GVIMINIT", "VIM", "VIMRUNTIME",
    // emacs.
    "EMACSLOADPATH", "EMACSPATH", "ALTERNATE_EDITOR",
    // Tools with a pager or an editor of their own.
    "BAT_PAGER", "BAT_CONFIG_PATH", "DELTA_PAGER", "GH_PAGER", "GH_EDITOR", "GLAB_PAGER",
    "PSQL_PAGER", "PSQL_EDITOR", "SUDO_EDITOR", "AWS_PAGER", "KUBE_EDITOR",
    // fzf, ripgrep.
    "FZF_DEFAULT_COMMAND", "FZF_DEFAULT_OPTS", "FZF_DEFAULT_OPTS_FILE", "RIPGREP_CONFIG_PATH",
    // tar, rsync, wget, curl, screen, gpg.
    "TAR_OPTIONS", "RSYNC_RSH", "RSYNC_CONNECT_PROG", "WGETRC", "CURL_HOME", "SCREENRC",
    "SYSSCREENRC", "GNUPGHOME",
    // ssh, sudo.
    "SSH_ASKPASS", "SSH_SK_PROVIDER", "SSH_SK_HELPER", "SSH_PKCS11_HELPER", "SUDO_ASKPASS",
    // git.
    "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF",
    "GIT_PROXY_COMMAND", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER", "GIT_CONFIG",
    "GIT_CONFIG_*", "GIT_TEMPLATE_DIR", "GIT_DIR", "GIT_COMMON_DIR", "GITPERLLIB",
    // Other version control.
    "SVN_SSH", "SVN_EDITOR", "HGRCPATH", "HGEDITOR", "HGMERGE", "CVS_RSH", "CVSEDITOR",
    // make.
    "MAKEFLAGS", "GNUMAKEFLAGS", "MAKEFILES",
    // Compilers, as make, configure scripts, pip and go run them.
    "CC", "CXX", "CPP", "FC", "AR", "AS", "LD", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS",
    "GCC_EXEC_PREFIX", "COMPILER_PATH", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH",
    "OBJC_INCLUDE_PATH", "LIBRARY_PATH", "PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR",
    "CMAKE_TOOLCHAIN_FILE", "CMAKE_PREFIX_PATH", "CMAKE_*_LAUNCHER",
    // node.
    "NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "NODE_COMPILE_CACHE", "BUN_OPTIONS",
    // npm, yarn.
    "npm_execpath", "npm_node_execpath", "YARN_YARN_PATH", "YARN_RC_FILENAME", "YARN_PLUGINS",
    // python.
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONBREAKPOINT",
    "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX", "__PYVENV_LAUNCHER__",
    // pip, uv.
    "PIP_PYTHON", "PIP_CONFIG_FILE", "PIP_REQUIREMENT", "PIP_EDITABLE", "UV_PYTHON",
    "UV_CONFIG_FILE",
    // pytest, IPython, Jupyter, gunicorn.
    "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH",
    "JUPYTER_PATH", "GUNICORN_CMD_ARGS",
    // perl.
    "PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB", "PERLDOC", "PERLDOC_PAGER",
    // ruby.
    "RUBYOPT", "RUBYLIB", "RUBYPATH", "RUBYSHELL", "RUBYGEMS_GEMDEPS", "IRBRC", "GEM_HOME",
    "GEM_PATH", "GEMRC", "RAKEOPT", "SPEC_OPTS",
    // bundler.
    "BUNDLE_GEMFILE", "BUNDLE_PATH", "BUNDLE_APP_CONFIG", "BUNDLE_USER_CONFIG", "BUNDLE_USER_HOME",
    "BUNDLE_USER_PLUGIN",
    // java.
    "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "IBM_JAVA_OPTIONS",
    "OPENJ9_JAVA_OPTIONS", "CLASSPATH",
    // Start scripts of Java programs (Tomcat, Maven, Gradle, Ant, sbt).
    "JAVA_HOME", "JRE_HOME", "JAVA_OPTS", "CATALINA_OPTS", "CATALINA_HOME", "CATALINA_BASE",
    "MAVEN_OPTS", "MAVEN_ARGS", "GRADLE_OPTS", "GRADLE_USER_HOME", "ANT_OPTS", "ANT_ARGS",
    "ANT_HOME", "SBT_OPTS",
    // dotnet.
    "DOTNET_STARTUP_HOOKS", "DOTNET_ADDITIONAL_DEPS", "DOTNET_SHARED_STORE", "DOTNET_ROOT",
    "DOTNET_ROOT_*", "DOTNET_ROOT(x86)", "DOTNET_HOST_PATH", "DOTNET_GCName", "DOTNET_GCPath",
    "COMPlus_GCName", "COMPlus_GCPath", "COR_PROFILER", "COR_PROFILER_PATH*", "CORECLR_PROFILER",
    "CORECLR_PROFILER_PATH*",
    // NuGet, MSBuild, PowerShell, Mono.
    "NUGET_PLUGIN_PATHS", "NUGET_NETCORE_PLUGIN_PATHS", "NUGET_NETFX_PLUGIN_PATHS",
    "NUGET_CREDENTIALPROVIDERS_PATH", "MSBUILD_EXE_PATH", "MSBuildSDKsPath", "PSModulePath",
    "MONO_PATH", "MONO_ENV_OPTIONS", "MONO_GAC_PREFIX",
    // erl, erlc, escript.
    "ERL_*FLAGS", "ERL_LIBS", "ERL_ROOTDIR", "ERL_INETRC", "ERL_COMPILER_OPTIONS", "ERLC_EMULATOR",
    "ESCRIPT_EMULATOR",
    // elixir, mix, hex.
    "ELIXIR_ERL_OPTIONS", "ELIXIR_EDITOR", "MIX_HOME", "MIX_ARCHIVES", "MIX_EXS", "MIX_PATH",
    "MIX_REBAR3", "MIX_BUILD_PATH", "MIX_BUILD_ROOT", "MIX_DEPS_PATH", "HEX_HOME",
    "RELEASE_VM_ARGS", "RELEASE_REMOTE_VM_ARGS", "RELEASE_SYS_CONFIG", "RELEASE_BOOT_SCRIPT",
    "RELEASE_BOOT_SCRIPT_CLEAN",
    // go.
    "GOFLAGS", "GOROOT", "GOPATH", "GOENV", "GOWORK", "GOTOOLCHAIN", "GOTOOLDIR", "GOCACHE",
    "GOCACHEPROG", "GOMODCACHE", "GOAUTH", "GCCGO",
    // cargo, rustc, rustup.
    "RUSTC", "RUSTDOC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "RUSTDOCFLAGS",
    "CARGO_HOME", "CARGO_ENCODED_RUSTFLAGS", "CARGO_ENCODED_RUSTDOCFLAGS", "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTDOC", "CARGO_BUILD_RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_RUSTDOCFLAGS", "CARGO_TARGET_*_LINKER",
    "CARGO_TARGET_*_RUNNER", "CARGO_TARGET_*FLAGS", "CARGO_*_CREDENTIAL_PROVIDER",
    "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "CARGO_CREDENTIAL_ALIAS_*", "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    // php, composer.
    "PHPRC", "PHP_INI_SCAN_DIR", "COMPOSER", "COMPOSER_HOME", "COMPOSER_VENDOR_DIR",
    // lua, luarocks.
    "LUA_INIT*", "LUA_PATH", "LUA_PATH_5*", "LUA_CPATH", "LUA_CPATH_5*", "LUAROCKS_CONFIG",
    // R.
    "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER", "R_HOME", "R_LIBS", "R_LIBS_USER",
    "R_LIBS_SITE", "R_DEFAULT_PACKAGES", "R_BROWSER", "R_PDFVIEWER", "R_UNZIPCMD", "R_ZIPCMD",
    "R_MAKEVARS_USER", "R_MAKEVARS_SITE", "TAR",
    // julia.
    "JULIA_LOAD_PATH", "JULIA_DEPOT_PATH", "JULIA_PROJECT", "JULIA_BINDIR", "JULIA_EDITOR",
    "JULIA_SHELL", "JULIA_LLVM_ARGS",
    // awk, tclsh, guile.
    "AWKPATH", "AWKLIBPATH", "TCLLIBPATH", "TCL_LIBRARY", "GUILE_LOAD_PATH",
    "GUILE_LOAD_COMPILED_PATH",
    // OpenSSL.
    "OPENSSL_CONF", "OPENSSL_CONF_INCLUDE", "OPENSSL_ENGINES", "OPENSSL_MODULES",
    "PKCS11_MODULE_PATH", "PKCS11_PROVIDER_MODULE",
    // Kerberos, SASL, GIO, ODBC, MySQL's client.
    "KRB5_CONFIG", "GSS_MECH_CONFIG", "SASL_PATH", "GIO_MODULE_DIR", "GIO_EXTRA_MODULES", "ODBCINI",
    "ODBCSYSINI", "ODBCINSTINI", "LIBMYSQL_PLUGINS", "LIBMYSQL_PLUGIN_DIR", "PSQLRC",
    // CUDA, ROCm, OpenMP, NCCL.
    "CUDA_INJECTION32_PATH", "CUDA_INJECTION64_PATH", "NVTX_INJECTION32_PATH",
    "NVTX_INJECTION64_PATH", "NCCL_NET_PLUGIN", "HSA_TOOLS_LIB", "OMP_TOOL_LIBRARIES",
    // Terraform, Helm, kubectl, Ansible.
    "TF_CLI_CONFIG_FILE", "TF_CLI_ARGS", "TF_CLI_ARGS_*", "TF_DATA_DIR", "TF_PLUGIN_CACHE_DIR",
    "HELM_PLUGINS", "HELM_BIN", "KUBECTL_EXTERNAL_DIFF", "ANSIBLE_CONFIG", "ANSIBLE_LIBRARY",
    "ANSIBLE_*_PLUGINS", "ANSIBLE_ROLES_PATH", "ANSIBLE_COLLECTIONS_PATH",
    "ANSIBLE_COLLECTIONS_PATHS",
    // Programs that use TLS: it reveals every session.
    "SSLKEYLOGFILE",
    // phase-run and Phase's own tools: a second phase-run would send its token where the value says.
    "PHASE_*",
];

/// The same for npm's settings, which npm and pnpm read in any case, and with `-` for `_`.
#[rustfmt::skip]
const UNSAFE_NPM_SETTINGS: &[&str] = &[
    "npm_config_node_options", "npm_config_script_shell", "npm_config_shell", "npm_config_git",
    "npm_config_editor", "npm_config_viewer", "npm_config_browser", "npm_config_userconfig",
    "npm_config_globalconfig", "npm_config_prefix", "npm_config_onload_script",
    "npm_config_init_module", "npm_config_node_gyp", "npm_config_python", "npm_config_nodedir",
];

/// The names of [`UNSAFE_NAMES`] without `*`, and the others as what stands before and after it.
struct UnsafeNames {
    exact: HashSet<&'static str>,
    patterns: Vec<(&'static str, &'static str)>,
}

static UNSAFE: LazyLock<UnsafeNames> = LazyLock::new(|| {
    let names = || UNSAFE_NAMES.iter().copied();
    UnsafeNames {
        exact: names().filter(|name| !name.contains('*')).collect(),
        patterns: names().filter_map(|name| name.split_once('*')).collect(),
    }
});

/// Returns whether a variable of this name can make programs run code, reveal keys or redirect
/// phase-run.
pub(super) fn is_unsafe(name: &str) -> bool {
    let matches = |(start, end): &(&str, &str)| {
        let rest = name.strip_prefix(start);
        rest.is_some_and(|rest| rest.ends_with(end))
    };
    UNSAFE.exact.contains(name) || UNSAFE.patterns.iter().any(matches) || is_unsafe_for_npm(name)
}

fn is_unsafe_for_npm(name: &str) -> bool {
    let is_npm = name
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("npm_"));
    is_npm && {
        let name = name.to_ascii_lowercase().replace('-', "_");
        UNSAFE_NPM_SETTINGS.contains(&name.as_str())
    }
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
            "NPM_CONFIG_Script-Shell",
            "npm_config_git",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "DOTNET_ROOT(x86)",
            "COR_PROFILER_PATH_64",
        ] {
            assert!(is_unsafe(name), "{name}");
        }
        for name in [
            "LDX",
            "MY_PATH",
            "pager",
            "BROWSER",
            "PIP_INDEX_URL",
            "npm_config_//registry.npmjs.org/:_authToken",
            "npm_config_registry",
            "NPM_TOKEN",
            "npm_",
            "CARGO_REGISTRIES_SHOP_TOKEN",
            "GOPROXY",
            "SSL_CERT_FILE",
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

    /// The page for users lists each name once, and no other one.
    #[test]
    fn page_lists_every_unsafe_name() {
        let page = include_str!("../../docs/refused-names.md");
        let (_, table) = page.split_once("## The list").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let rows = table
            .lines()
            .filter(|line| line.starts_with("| ") && !line.contains("---"));
        let names = rows.skip(1).flat_map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [_, names, manual] = cells.as_slice() else {
                panic!("not three cells: {row}");
            };
            assert!(manual.len() > 2, "no manual page: {row}");
            names
                .split(", ")
                .map(|name| name.trim_matches('`').to_owned())
        });
        let mut listed: Vec<String> = names.collect();
        let all = [UNSAFE_NAMES, UNSAFE_NPM_SETTINGS].concat();
        let mut all: Vec<String> = all.iter().map(ToString::to_string).collect();
        listed.sort();
        all.sort();
        assert_eq!(listed, all);
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
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
