//! Names and values that cannot or must not be injected.

#![cfg(target_os = "linux")]

use fake_phase::World;

use crate::support::{Output, SHOP, inspector, shop};

/// An empty name, or one with `=`, NUL or a line break, is an error that names the key.
#[test]
fn invalid_variable_name_is_error() {
    for (key, shown) in [
        ("", "\"\""),
        ("=", "\"=\""),
        ("A=B", "\"A=B\""),
        ("A\0B", "\"A\\u{0}B\""),
        ("A\nB", "\"A\\nB\""),
        ("A\rB", "\"A\\rB\""),
    ] {
        let shop = shop([("GOOD", "value"), (key, "value")]);
        let output = shop.assert_environment_error(&[]);
        assert!(output.stderr.contains(shown), "{shown}\n{output}");
    }
}

/// Names are checked with their prefix.
#[test]
fn name_is_checked_with_prefix() {
    let shop = shop([("", "of the empty key")]);
    let report = shop.run_inspector(&["--prefix", "APP"]).report();
    assert_eq!(report.variable("APP").unwrap(), b"of the empty key");
    let output = shop.assert_environment_error(&["--prefix", "A=B"]);
    assert!(output.stderr.contains("\"A=B\""), "{output}");
}

/// A value with a NUL byte is an error that names the key and points to `--file`.
#[test]
fn nul_in_value_is_error() {
    let mut shop = shop([("BINARY", "secret\0value")]);
    shop.canary("secret\0value");
    shop.canary("cret\0val");
    let output = shop.assert_environment_error(&[]);
    assert!(output.stderr.contains("cannot inject BINARY: "), "{output}");
    assert!(
        output
            .stderr
            .contains("hint: pass it as a file with --file"),
        "{output}"
    );
}

/// A name that is not `[A-Za-z_][A-Za-z0-9_]*` is injected with a warning.
#[test]
fn nonportable_name_is_injected_with_warning() {
    for (key, shown) in [
        ("1ST", "1ST"),
        ("a.b", "a.b"),
        ("a-b", "a-b"),
        ("grüß", "grüß"),
        (" A", " A"),
        ("\u{1b}[31m", "\\u{1b}[31m"),
    ] {
        let shop = shop([(key, "value")]);
        let run = shop.run_with(&[]).args([inspector(), "cat-env", key]);
        let output = run.output();
        let warning =
            format!("phase-run: warning: shells cannot use the variable name \"{shown}\"\n");
        assert!(output.stderr.starts_with(&warning), "{warning}\n{output}");
        let output = output
            .assert_log_lines(&["warning: shells cannot use the variable name "])
            .assert_ok();
        assert_eq!(output.text(), "value");
    }
    for key in ["_", "a", "_1", "A_b9"] {
        let shop = shop([(key, "value")]);
        assert_eq!(
            shop.run_inspector(&[]).report().variable(key).unwrap(),
            b"value"
        );
    }
}

/// Every message that lists names is bounded, and so is each name in it.
#[test]
fn lists_of_names_are_bounded() {
    let names: Vec<String> = (0..5000).map(|number| format!("a.{number}")).collect();
    let many = shop(names.iter().map(|name| (name.as_str(), "${REF}")));
    let output = many.run_with(&[]).arg("true").output();
    let lines: Vec<&str> = output.stderr.lines().collect();
    let [names, references] = lines.as_slice() else {
        panic!("{output}");
    };
    for (line, beginning) in [
        (
            names,
            "phase-run: warning: shells cannot use the variable names \"a.",
        ),
        (
            references,
            "phase-run: warning: could not resolve references in a.",
        ),
    ] {
        assert!(line.starts_with(beginning), "{line}");
        assert!(line.contains(" and 4,900 more"), "{line}");
    }
    let long = "a.".repeat(50_000);
    let shop = shop([(long.as_str(), "value")]);
    let output = shop.run_with(&[]).arg("true").output();
    assert!(output.stderr.len() < 11_000 && output.stderr.ends_with(" …\n"));
}

/// Variables that make a loader, a shell, a runtime or git run code, or a second phase-run send its
/// token elsewhere. For a pattern, some of its matches.
#[rustfmt::skip]
const RUN_CODE: [&str; 185] = [
    "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "LD_", "DYLD_INSERT_LIBRARIES", "GLIBC_TUNABLES",
    "GCONV_PATH", "PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "BASH_FUNC_ls%%",
    "BASH_FUNC_ls()", "SHELLOPTS", "BASHOPTS", "PS1", "PS4", "PROMPT_COMMAND", "ZDOTDIR",
    "NODE_OPTIONS", "NODE_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS",
    "PYTHONBREAKPOINT", "PERL5OPT", "PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB",
    "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "DOTNET_STARTUP_HOOKS",
    "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "LUA_INIT", "LUA_INIT_5_4", "PHPRC",
    "PHP_INI_SCAN_DIR", "LESSOPEN", "LESSCLOSE", "SSH_ASKPASS", "GIT_ASKPASS", "GIT_SSH",
    "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_EDITOR",
    "GIT_PAGER", "GIT_CONFIG_184", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0",
    "GIT_CONFIG_PARAMETERS", "OPENSSL_CONF", "SSLKEYLOGFILE",
    // Related variables with the same effect.
    "PS0", "PS2", "PYTHONUSERBASE", "GEM_HOME", "BUNDLE_GEMFILE", "COR_PROFILER_PATH",
    "CORECLR_PROFILER_PATH", "LUA_PATH", "LUA_CPATH_5_4", "R_PROFILE_USER", "R_ENVIRON",
    "GIT_SEQUENCE_EDITOR", "GIT_TEMPLATE_DIR", "OPENSSL_ENGINES", "OPENSSL_MODULES",
    "PAGER", "EDITOR", "VISUAL", "MANPAGER", "MAKEFLAGS", "GNUMAKEFLAGS", "npm_config_node_options",
    "NPM_CONFIG_SCRIPT_SHELL", "npm_config_shell", "Npm_Config_Git", "GIT_COMMON_DIR",
    "CUDA_INJECTION64_PATH", "ELIXIR_ERL_OPTIONS", "ERL_LIBS", "LESS", "MANOPT", "MAVEN_OPTS",
    "RUSTC_WRAPPER", "GOFLAGS", "JULIA_LOAD_PATH",
    "PHASE_HOST", "PHASE_CA_FILE", "PHASE_SERVICE_TOKEN_FILE", "PHASE_ENV",
    // The value is a command, an expression or options.
    "FLASK_APP", "DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS", "npm_config_call",
    "npm_config_package", "NPM_CONFIG_MAKE", "ZIPOPT", "ZIP", "LESSECHO", "LESSGLOBALTAGS", "MANLESS",
    "MORE", "WGET_ASKPASS", "JDK_JAVAC_OPTIONS", "LEX", "YACC", "LDLIBS", "TARGET_ARCH",
    "MAKE", "make", "CONFIG_SHELL", "ac_cv_prog_CC", "CC_x86_64_unknown_linux_gnu",
    "HOSTCC", "LDSHARED", "CGO_CFLAGS", "RUSTFMT", "CARGO", "CARGO_ALIAS_B", "HARNESS_PERL", "PERL_RL",
    "BAT_OPTS", "ANSIBLE_SSH_ARGS", "ANSIBLE_BECOME_EXE", "ANSIBLE_EXECUTABLE", "UWSGI_EVAL",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "CLOUDSDK_PYTHON", "CLOUDSDK_BQ_PYTHON", "NIX_CONFIG",
    "NODE_GYP_FORCE_PYTHON", "PYTHON", "RESTIC_PASSWORD_COMMAND", "BORG_PASSCOMMAND",
    "GIT_DIFFTOOL_EXTCMD", "DEBIAN_FRONTEND", "SYSTEMD_SSH", "RSYNC_SHELL", "CATALINA_OUT_CMD",
    "KAFKA_HEAP_OPTS", "ES_JAVA_OPTS", "prebuildevent", "POSTGRES_INITDB_ARGS", "OMPI_MCA_plm_rsh_agent",
    "SOPS_AGE_KEY_CMD", "FZF_CTRL_T_COMMAND", "SELECTED_EDITOR", "JUST_A_PAGER",
    // The value is the path of code, or of such settings.
    "CDPATH", "SYSTEM_WGETRC", "GROFF_FONT_PATH", "GROFF_TYPESETTER", "CONFIG_SITE", "VPATH",
    "BASH_COMPLETION_USER_FILE", "APT_CONFIG", "ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_INVENTORY",
    "JUPYTER_DATA_DIR", "HELM_DATA_HOME", "RELEASE_VSN", "GIT_DIFF_TOOL", "MERGE_TOOLS_DIR",
    "BUNDLER_SETUP", "BUN_INSPECT_PRELOAD", "APP_CONFIG_CACHE", "XDG_CACHE_HOME", "JDK_ALTERNATE_VM",
    "NAPI_RS_NATIVE_LIBRARY_PATH", "npm_config_cache", "fish_user_paths", "CARGO_TARGET_DIR",
    "MAGICK_CONFIGURE_PATH", "CustomBeforeMicrosoftCommonProps",
];

fn assert_refused_with_hint(output: &Output, name: &str) {
    let refusal = format!("refusing to inject {name}");
    assert!(output.stderr.contains(&refusal), "{refusal}\n{output}");
    let hint = format!("\nhint: pass --allow-name {name} ");
    assert!(output.stderr.contains(&hint), "{hint}\n{output}");
}

/// Whoever can edit a secret must not be able to run code with it. The hint names the option to add.
#[test]
fn unsafe_names_are_refused() {
    let shop = shop(RUN_CODE.map(|name| (name, "value")));
    for name in RUN_CODE {
        assert_refused_with_hint(&shop.assert_environment_error(&["--only", name]), name);
    }
}

/// Credentials, addresses and what people really store are free.
#[test]
fn credentials_and_addresses_are_injected() {
    let names = [
        "BROWSER",
        "PIP_INDEX_URL",
        "npm_config_registry",
        "NPM_TOKEN",
        "CARGO_REGISTRIES_SHOP_TOKEN",
        "GOPROXY",
        "RELEASE_COOKIE",
        "pager",
        "PROMPT",
        "DOCKER_HOST",
        "PGSSLKEY",
        "HARNESS_API_KEY",
        "MAVEN_PASSWORD",
        "ANSIBLE_VAULT_PASSWORD",
        "CC_TEST_REPORTER_ID",
        "APP_REDIS_CACHE",
        "CCACHE_REMOTE_STORAGE",
        "PASSWORD_OF_EDITOR",
        "AC184_EDITOR",
    ];
    let shop = shop(names.map(|name| (name, "value")));
    let report = shop.run_inspector(&[]).report();
    for name in names {
        assert_eq!(report.variable(name).unwrap(), b"value", "{name}");
    }
}

/// `--allow-name` allows such a name.
#[test]
fn unsafe_names_are_injected_with_allow_name() {
    // The command is given by its path, and the inspector obeys none of these variables.
    let shop = shop(RUN_CODE.map(|name| (name, "value")));
    let options: Vec<&str> = RUN_CODE
        .iter()
        .flat_map(|name| ["--allow-name", *name])
        .collect();
    let run = shop.run_with(&options).args([inspector(), "report"]);
    let output = run.allow_secrets_on_stdout().output();
    let warning = "warning: shells cannot use the variable names \"BASH_FUNC_ls";
    let _ = output.assert_log_lines(&[warning]).assert_ok();
    for name in RUN_CODE {
        let options = [&["--only", name], options.as_slice()].concat();
        let run = shop.run_with(&options).args([inspector(), "cat-env", name]);
        assert!(run.output().text() == "value", "{name}");
    }
}

#[test]
fn allow_name_pattern_allows_only_matches() {
    let shop = shop([("GIT_SSH", "a"), ("GIT_SSH_COMMAND", "b"), ("PS1", "c")]);
    let allowed = ["--allow-name", "GIT_*"];
    assert_refused_with_hint(&shop.assert_environment_error(&allowed), "PS1");
    let report = shop
        .run_inspector(&[&allowed[..], &["--allow-name", "PS?"]].concat())
        .report();
    assert_eq!(report.variable("GIT_SSH_COMMAND").unwrap(), b"b");
    assert_eq!(report.variable("PS1").unwrap(), b"c");
}

/// Names are checked with their prefix, which may make a name unsafe or safe.
#[test]
fn unsafe_name_is_checked_with_prefix() {
    let names = [("LD_", "PRELOAD"), ("GIT_", "SSH"), ("_JAVA", "_OPTIONS")];
    for (prefix, key) in names {
        let shop = shop([(key, "value")]);
        let output = shop.assert_environment_error(&["--prefix", prefix]);
        assert_refused_with_hint(&output, &format!("{prefix}{key}"));
        assert!(
            output.stderr.contains(&format!("(from the secret {key})")),
            "{output}"
        );
    }
    let shop = shop([("PATH", "a"), ("LD_PRELOAD", "b")]);
    let report = shop.run_inspector(&["--prefix", "APP_"]).report();
    assert_eq!(report.variable("APP_PATH").unwrap(), b"a");
    assert_eq!(report.variable("APP_LD_PRELOAD").unwrap(), b"b");
}

/// The path of a file in such a variable can run code, too.
#[test]
fn unsafe_file_variable_is_refused() {
    let shop = shop([("LIBRARY", "value")]);
    let output = shop.assert_environment_error(&["--file", "LIBRARY=LD_PRELOAD"]);
    assert_refused_with_hint(&output, "LD_PRELOAD");
    let output = shop.assert_environment_error(&["--file", "LIBRARY", "--prefix", "LD_"]);
    assert_refused_with_hint(&output, "LD_LIBRARY");
    let report = shop
        .run_inspector(&["--file", "LIBRARY=BASH_ENV", "--allow-name", "BASH_ENV"])
        .report();
    assert!(report.variable("BASH_ENV").unwrap().starts_with(b"/proc/"));
}

/// A kept variable is not injected, so its name is not checked.
#[test]
fn kept_unsafe_variable_is_no_error() {
    let shop = shop([("PATH", "evil"), ("OTHER", "value")]);
    let report = shop.run_inspector(&["--keep", "PATH"]).report();
    assert_ne!(report.variable("PATH").unwrap(), b"evil");
    assert_eq!(report.variable("OTHER").unwrap(), b"value");
}

/// Names that only resemble unsafe ones are injected.
#[test]
fn names_similar_to_unsafe_ones_are_injected() {
    let names = [
        "LDX",
        "MY_PATH",
        "PATHS",
        "ld_preload",
        "ERL_COOKIE",
        "ENVIRONMENT",
        "GITHUB_TOKEN",
        "HOME_URL",
        "NODE_ENV",
        "JAVA_HOME_17",
        "PGPASSWORD",
        "PS",
        "SHELL_X",
    ];
    let shop = shop(names.map(|name| (name, "value")));
    let report = shop.run_inspector(&[]).report();
    for name in names {
        assert_eq!(report.variable(name).unwrap(), b"value", "{name}");
    }
}

/// Values that still contain references cause one warning that lists their keys. `${{` is plain text.
#[test]
fn unresolved_references_warn_and_pass_through() {
    let mut shop = shop([("", ""); 0]);
    shop.phase.edit(|world| *world = World::captured());
    shop.canary("x-${DOES_NOT_EXIST}-y");
    let run = |options: &[&str], command: &[&str]| {
        let run = shop.run(SHOP).args(["--path", "/"]).args(options);
        run.arg("--").args(command).output()
    };
    let warning = "phase-run: warning: could not resolve references in DANGLING, LOOP_A, LOOP_B, NO_ACCESS; they are passed on as written\n";
    let output = run(&[], &["true"]);
    assert_eq!(output.stderr, warning, "{output}");
    let value = shop.run(SHOP).args(["--only", "DANGLING", "--"]);
    let value = value
        .args([inspector(), "cat-env", "DANGLING"])
        .allow_secrets_on_stdout()
        .output();
    let value = value
        .assert_log_lines(&["warning: could not resolve references in "])
        .assert_ok();
    assert_eq!(value.text(), "x-${DOES_NOT_EXIST}-y");
    let _ = run(&["--only", "CI_VARIABLE", "--only", "BLANK"], &["true"]).assert_ok();

    // `--strict`: unresolved references are errors.
    let output = run(&["--strict"], &["touch", "started"]).assert_error(125, "environment");
    let line = "unresolved references in DANGLING, LOOP_A, LOOP_B, NO_ACCESS\n";
    assert!(output.stderr.contains(line), "{output}");
    assert!(!shop.directory().join("started").exists());
    let _ = run(&["--strict", "--only", "CI_VARIABLE"], &["true"]).assert_ok();
    let _ = run(&["--strict", "--except", "*"], &["true"]).assert_ok();
}

/// A reference to another app without an environment stays as it is and is reported, in a file as in a
/// variable. A kept variable is not checked.
#[test]
fn all_reference_forms_are_reported() {
    let shop = shop([
        ("A", "${platform::KEY}"),
        ("B", "${platform::Production./folder/KEY}"),
        ("C", "a${X}b"),
        ("D", "$X ${X:-y} ${X%%.*} $(X) ${"),
        ("E", "${folder/KEY}"),
    ]);
    let options = ["--file", "C", "--keep", "E"];
    let output = shop.run_with(&options).arg("true").env("E", "own").output();
    let output = output.assert_log_lines(&[
        "warning: could not resolve references in A, B, C; they are passed on as written\n",
    ]);
    let _ = output.assert_ok();
    let output = shop.assert_environment_error(&["--strict", "--only", "C", "--file", "C"]);
    assert!(
        output.stderr.contains("unresolved references in C\n"),
        "{output}"
    );
}
