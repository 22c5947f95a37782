#![forbid(unsafe_code)]
//! The names of variables that make programs run code, reveal keys or redirect phase-run.

/// Names of variables that make a common program run code from their value, or load code or such
/// settings from a path in it, or that reveal keys, separated by spaces. A `*` stands for any text. The
/// page `docs/refused-names.md` has the same list with the manual pages, and the doubtful names with
/// reasons. One text takes less space than a slice of texts.
#[rustfmt::skip]
const UNSAFE_NAMES: &str = concat!(
    // The dynamic loader.
    "LD_* GLIBC_TUNABLES NIX_LD NIX_LD_LIBRARY_PATH ",
    // macOS's loader.
    "DYLD_* ",
    // The C library.
    "GCONV_PATH GETCONF_DIR ",
    // POSIX shells.
    "PATH HOME SHELL IFS ENV PS1 PS2 PS4 FCEDIT CDPATH ",
    // bash.
    "BASH_ENV BASH_FUNC_* SHELLOPTS BASHOPTS PS0 PROMPT_COMMAND MAILPATH BASH_LOADABLES_PATH ",
    "BASH_COMPLETION_* ",
    // readline, editline.
    "INPUTRC EDITRC ",
    // zsh.
    "ZDOTDIR FPATH NULLCMD READNULLCMD ",
    // fish.
    "fish_function_path fish_complete_path fish_user_paths ",
    // Programs that look for settings or compiled code in the XDG directories, such as git, fish
    // and go.
    "XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_DATA_HOME XDG_DATA_DIRS XDG_CACHE_HOME ",
    // Programs that show text, open an editor or ask for a password.
    "PAGER EDITOR VISUAL SELECTED_EDITOR *_PAGER *_ASKPASS ",
    // man.
    "MANPAGER MANOPT MANROFFOPT MANLESS ",
    // groff.
    "GROFF_* ",
    // less, more.
    "LESS LESSOPEN LESSCLOSE LESSEDIT LESSECHO LESSGLOBALTAGS LESSKEY* MORE ",
    // systemd.
    "SYSTEMD_LESS SYSTEMD_EDITOR SYSTEMD_SSH SYSTEMD_*_PATH ",
    // D-Bus: an address may start a program.
    "DBUS_*_ADDRESS ",
    // vi, vim.
    "EXINIT VIMINIT GVIMINIT VIM VIMRUNTIME NVIM_RPLUGIN_MANIFEST ",
    // emacs.
    "EMACSLOADPATH EMACSPATH ALTERNATE_EDITOR ",
    // Tools with an editor or options of their own.
    "BAT_CONFIG_PATH BAT_CONFIG_DIR BAT_OPTS GH_EDITOR GH_BROWSER GH_PATH GH_CONFIG_DIR ",
    "GLAB_CONFIG_DIR PSQL_EDITOR SUDO_EDITOR KUBE_EDITOR ACKRC ACK_OPTIONS ",
    // fzf, ripgrep.
    "FZF_* RIPGREP_CONFIG_PATH ",
    // tar, zip, rsync, parallel.
    "TAR_OPTIONS ZIP ZIPOPT RSYNC_RSH RSYNC_SHELL RSYNC_CONNECT_PROG PARALLEL PARALLEL_HOME ",
    "PARALLEL_SHELL PARALLEL_SSH ",
    // wget, curl, lftp, lynx, screen, mail, gpg.
    "WGETRC SYSTEM_WGETRC CURL_HOME LFTP_HOME LYNX_CFG SCREENRC SYSSCREENRC MAILRC MAILCAPS ",
    "GNUPGHOME ",
    // restic, borg, rclone, sops, and others that get a password from a command.
    "*_PASSWORD_COMMAND *_PASSCOMMAND BORG_RSH RCLONE_*_COMMAND RCLONE_*_SSH SOPS_AGE_KEY_CMD ",
    "SOPS_GPG_EXEC SOPS_EDITOR ",
    // ssh.
    "SSH_SK_PROVIDER SSH_SK_HELPER SSH_PKCS11_HELPER ",
    // git.
    "GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH GIT_EXTERNAL_DIFF GIT_DIFF_TOOL GIT_DIFFTOOL_EXTCMD ",
    "MERGE_TOOLS_DIR GIT_PROXY_COMMAND GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_CONFIG GIT_CONFIG_* ",
    "GIT_TEMPLATE_DIR GIT_DIR GIT_COMMON_DIR GITPERLLIB GITWEB_CONFIG* ",
    // Other version control.
    "SVN_SSH SVN_EDITOR HGRCPATH HGEDITOR HGMERGE CVS_RSH CVSEDITOR ",
    // make.
    "MAKEFLAGS GNUMAKEFLAGS MAKEFILES MAKE make MAKE_COMMAND .SHELLFLAGS VPATH OUTPUT_OPTION ",
    "TARGET_ARCH TARGET_MACH LDLIBS LOADLIBES COMPILE.* LINK.* PREPROCESS.* CHECKOUT,v LINT ",
    "LINT.c LINTFLAGS ",
    // Compilers, as make, configure scripts, pip, go and cargo run them.
    "CC CXX CPP FC F77 AR AS LD NM RANLIB STRIP OBJC OBJCXX HOSTCC HOST_CC HOST_CXX TARGET_CC ",
    "TARGET_CXX *_linux_gnu *_linux_musl *-linux-gnu *-linux-musl CROSS_COMPILE CFLAGS CXXFLAGS ",
    "CPPFLAGS LDFLAGS FFLAGS FCFLAGS F77FLAGS ASFLAGS ARFLAGS OBJCFLAGS OBJCXXFLAGS LIBS LDSHARED ",
    "LDCXXSHARED GCC_EXEC_PREFIX COMPILER_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH ",
    "OBJC_INCLUDE_PATH LIBRARY_PATH CCC_OVERRIDE_OPTIONS CCACHE_DIR CCACHE_CONFIGPATH ",
    "CCACHE_COMPILER CCACHE_PREFIX* PKG_CONFIG PKG_CONFIG_PATH PKG_CONFIG_LIBDIR SDKROOT ",
    "DEVELOPER_DIR ",
    // Other tools that make and configure scripts run.
    "LEX LEX.* LFLAGS YACC YACC.* YFLAGS M2C M2FLAGS MODFLAGS DEFFLAGS PC PFLAGS RFLAGS CO ",
    "COFLAGS GET GFLAGS RM TEX TEXI2DVI TEXI2DVI_FLAGS MAKEINFO MAKEINFO_FLAGS WEAVE CWEAVE ",
    "TANGLE CTANGLE AWK SED GREP EGREP FGREP INSTALL PERL PYTHON ",
    // configure, autoconf, automake, m4.
    "CONFIG_SITE CONFIG_SHELL ac_cv_* am_cv_* lt_cv_* M4 M4PATH AUTOCONF AUTOHEADER AUTOMAKE ",
    "AUTOM4TE AUTOM4TE_CFG autom4te_perllibdir ACLOCAL ACLOCAL_PATH LIBTOOLIZE ",
    // cmake.
    "CMAKE_TOOLCHAIN_FILE CMAKE_*_PATH CMAKE_*_LAUNCHER CUDACXX CUDAHOSTCXX CUDAFLAGS HIPCXX ",
    "SWIFTC ",
    // node, bun.
    "NODE_OPTIONS NODE_PATH NODE_REPL_EXTERNAL_MODULE NODE_COMPILE_CACHE BUN_OPTIONS ",
    "BUN_INSPECT_PRELOAD BUN_RUNTIME_TRANSPILER_CACHE_PATH DENO_DIR ",
    // npm, yarn, corepack.
    "npm_execpath npm_node_execpath npm_package_config_node_gyp_* NODE_GYP_FORCE_PYTHON ",
    "YARN_YARN_PATH YARN_RC_FILENAME YARN_PLUGINS YARN_SCRIPT_SHELL YARN_INJECT_ENVIRONMENT_FILES ",
    "YARN_CACHE_FOLDER YARN_GLOBAL_FOLDER COREPACK_HOME ",
    // Packages of node.
    "NAPI_RS_NATIVE_LIBRARY_PATH ESBUILD_BINARY_PATH PRISMA_*_LIBRARY PRISMA_*_BINARY ",
    "PUPPETEER_EXECUTABLE_PATH CHROME_PATH CHROME_BIN PLAYWRIGHT_BROWSERS_PATH ",
    "PLAYWRIGHT_NODEJS_PATH TS_NODE_COMPILER TS_NODE_PROJECT ",
    // python.
    "PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONWARNINGS PYTHONBREAKPOINT PYTHONUSERBASE ",
    "PYTHONPLATLIBDIR PYTHONPYCACHEPREFIX PYTHONEXECUTABLE __PYVENV_LAUNCHER__ VIRTUAL_ENV ",
    "CONDA_PREFIX CONDA_EXE CONDARC ",
    // pip, uv, pipenv, poetry.
    "PIP_PYTHON PIP_CONFIG_FILE PIP_REQUIREMENT PIP_EDITABLE PIP_CACHE_DIR UV_PYTHON ",
    "UV_CONFIG_FILE UV_ENV_FILE UV_PROJECT* UV_*_DIR PIPENV_PYTHON PIPENV_PIPFILE ",
    "POETRY_VIRTUALENVS_PATH POETRY_CONFIG_DIR ",
    // pytest, coverage, IPython, Jupyter, gunicorn, uvicorn, Flask.
    "PYTEST_ADDOPTS PYTEST_PLUGINS COVERAGE_PROCESS_START COVERAGE_RCFILE IPYTHONDIR ",
    "JUPYTER_CONFIG_DIR JUPYTER_CONFIG_PATH JUPYTER_PATH JUPYTER_DATA_DIR GUNICORN_CMD_ARGS ",
    "UVICORN_APP_DIR UVICORN_LOG_CONFIG FLASK_APP FLASK_ENV_FILE ",
    // uwsgi: every option is also a variable.
    "UWSGI_* ",
    // Airflow.
    "AIRFLOW_HOME AIRFLOW_CONFIG AIRFLOW__CORE__*_FOLDER AIRFLOW__*_CMD ",
    // perl.
    "PERL5OPT PERL5LIB PERLLIB PERL5DB PERLDB_OPTS PERLDOC PERL_RL PERL_MM_OPT PERL_MB_OPT ",
    "PERL_CPANM_OPT HARNESS_PERL HARNESS_PERL_SWITCHES HARNESS_SUBCLASS ",
    // ruby.
    "RUBYOPT RUBYLIB RUBYPATH RUBYSHELL RUBYGEMS_GEMDEPS IRBRC PRYRC GEM_HOME GEM_PATH GEMRC ",
    "GEM_EDITOR RAKEOPT SPEC_OPTS RUBOCOP_OPTS JRUBY_OPTS ",
    // bundler.
    "BUNDLE_GEMFILE BUNDLE_PATH BUNDLE_APP_CONFIG BUNDLE_USER_CONFIG BUNDLE_USER_HOME ",
    "BUNDLE_USER_PLUGIN BUNDLE_LOCAL__* BUNDLE_BUILD__* BUNDLER_SETUP BUNDLER_EDITOR ",
    // java, javac.
    "JAVA_TOOL_OPTIONS *JAVA_OPTIONS JDK_*_OPTIONS JDK_ALTERNATE_VM CLASSPATH ",
    "OTEL_JAVAAGENT_EXTENSIONS ",
    // Start scripts of Java programs (Tomcat, JBoss, Jetty, Maven, Gradle, Ant, sbt, Kafka,
    // Spark).
    "*JAVA_HOME JRE_HOME *JAVA_OPTS JAVA_OPTS_APPEND JVM_OPTS CATALINA_* JSSE_OPTS JPDA_OPTS ",
    "LOGGING_MANAGER JBOSS_HOME JETTY_HOME JETTY_BASE MAVEN_OPTS MAVEN_ARGS MAVEN_BASEDIR ",
    "MAVEN_USER_HOME GRADLE_OPTS GRADLE_USER_HOME ANT_OPTS ANT_ARGS ANT_HOME SBT_OPTS KAFKA_*OPTS ",
    "HADOOP_*OPTS HADOOP_CLASSPATH SPARK_SUBMIT_OPTS ES_PATH_CONF LOADER_PATH ",
    // dotnet.
    "DOTNET_STARTUP_HOOKS DOTNET_ADDITIONAL_DEPS DOTNET_SHARED_STORE DOTNET_ROOT DOTNET_ROOT_* ",
    "DOTNET_ROOT(x86) DOTNET_HOST_PATH DOTNET_CLI_HOME DOTNET_BUNDLE_EXTRACT_BASE_DIR ",
    "DOTNET_MSBUILD_SDK_RESOLVER_* DOTNET_GCName DOTNET_GCPath COMPlus_GCName COMPlus_GCPath ",
    "COR_PROFILER COR_PROFILER_PATH* CORECLR_PROFILER CORECLR_PROFILER_PATH* ",
    "DD_DOTNET_TRACER_HOME OTEL_DOTNET_AUTO_HOME ",
    // NuGet, MSBuild, PowerShell, Mono.
    "NUGET_PACKAGES NUGET_PLUGIN_PATHS NUGET_NETCORE_PLUGIN_PATHS NUGET_NETFX_PLUGIN_PATHS ",
    "NUGET_CREDENTIALPROVIDERS_PATH MSBUILD_EXE_PATH MSBuildSDKsPath ",
    "MSBUILDADDITIONALSDKRESOLVERSFOLDER* PSModulePath MONO_PATH MONO_ENV_OPTIONS MONO_GAC_PREFIX ",
    // erl, erlc, escript, rebar3.
    "ERL_*FLAGS ERL_LIBS ERL_ROOTDIR ERL_INETRC ERL_COMPILER_OPTIONS ERLC_EMULATOR ",
    "ESCRIPT_EMULATOR REBAR_CONFIG REBAR_GLOBAL_CONFIG_DIR REBAR_BASE_DIR REBAR_CACHE_DIR ",
    // elixir, mix, hex.
    "ELIXIR_ERL_OPTIONS ELIXIR_EDITOR IEX_HOME MIX_HOME MIX_ARCHIVES MIX_EXS MIX_PATH MIX_REBAR3 ",
    "MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH MIX_INSTALL_DIR HEX_HOME RELEASE_VM_ARGS ",
    "RELEASE_REMOTE_VM_ARGS RELEASE_SYS_CONFIG RELEASE_BOOT_SCRIPT RELEASE_BOOT_SCRIPT_CLEAN ",
    "RELEASE_VSN ",
    // RabbitMQ.
    "RABBITMQ_*_ARGS RABBITMQ_CONF_ENV_FILE RABBITMQ_PLUGINS_DIR RABBITMQ_ENABLED_PLUGINS_FILE ",
    // go.
    "GOFLAGS GOROOT GOPATH GOENV GOWORK GOTOOLCHAIN GOTOOLDIR GOCACHE GOCACHEPROG GOMODCACHE ",
    "GOAUTH GOPACKAGESDRIVER GCCGO CGO_*FLAGS ",
    // cargo, rustc, rustup.
    "CARGO RUSTC RUSTDOC RUSTFMT RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS RUSTDOCFLAGS ",
    "CARGO_HOME CARGO_ENCODED_RUST*FLAGS CARGO_BUILD_RUST* CARGO_*TARGET_DIR ",
    "CARGO_TARGET_*_LINKER CARGO_TARGET_*_RUNNER CARGO_TARGET_*FLAGS CARGO_ALIAS_* ",
    "CARGO_*_CREDENTIAL_PROVIDER CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS ",
    "CARGO_CREDENTIAL_ALIAS_* RUSTUP_HOME RUSTUP_TOOLCHAIN ",
    // php, composer, pear.
    "PHPRC PHP_INI_SCAN_DIR COMPOSER COMPOSER_HOME COMPOSER_VENDOR_DIR COMPOSER_CACHE_DIR ",
    "PHP_PEAR_* ",
    // Laravel.
    "APP_CONFIG_CACHE APP_SERVICES_CACHE APP_PACKAGES_CACHE APP_ROUTES_CACHE APP_EVENTS_CACHE ",
    "VIEW_COMPILED_PATH ",
    // lua, luarocks.
    "LUA_INIT* LUA_PATH LUA_PATH_5* LUA_CPATH LUA_CPATH_5* LUAROCKS_CONFIG* ",
    // R.
    "R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER R_HOME R_LIBS R_LIBS_USER R_LIBS_SITE ",
    "R_DEFAULT_PACKAGES R_BROWSER R_PDFVIEWER R_*CMD R_MAKEVARS_USER R_MAKEVARS_SITE TAR ",
    "RETICULATE_PYTHON ",
    // julia.
    "JULIA_LOAD_PATH JULIA_DEPOT_PATH JULIA_PROJECT JULIA_BINDIR JULIA_EDITOR JULIA_SHELL ",
    "JULIA_LLVM_ARGS ",
    // awk, tclsh, guile, ghc, stack, ocaml, dart.
    "AWKPATH AWKLIBPATH TCLLIBPATH TCL_LIBRARY TCL*_TM_PATH TK_LIBRARY GUILE_*PATH ",
    "GHC_PACKAGE_PATH GHC_ENVIRONMENT CABAL_DIR CABAL_CONFIG STACK_ROOT STACK_YAML ",
    "CAML_LD_LIBRARY_PATH OCAMLPATH OPAMROOT PUB_CACHE ",
    // Version managers.
    "NVM_DIR VOLTA_HOME PYENV_ROOT PYENV_HOOK_PATH RBENV_ROOT RBENV_HOOK_PATH ASDF_DIR ",
    "ASDF_DATA_DIR MISE_*_DIR MISE_*_CONFIG_FILE SDKMAN_DIR DIRENV_CONFIG ANDROID_HOME ",
    "ANDROID_SDK_ROOT ",
    // apt, debconf, rpm, Homebrew.
    "APT_CONFIG DEBIAN_FRONTEND DEBCONF_SYSTEMRC RPM_CONFIGDIR HOMEBREW_*_PATH HOMEBREW_EDITOR ",
    // nix.
    "NIX_CONFIG NIX_CONF_DIR NIX_USER_CONF_FILES NIX_PATH NIX_BUILD_SHELL NIX_SSHOPTS ",
    // OpenSSL.
    "OPENSSL_CONF OPENSSL_CONF_INCLUDE OPENSSL_ENGINES OPENSSL_MODULES PKCS11_MODULE_PATH ",
    "PKCS11_PROVIDER_MODULE ",
    // Kerberos, SASL, GIO, ODBC, clients of databases.
    "KRB5_CONFIG GSS_MECH_CONFIG SASL_PATH GIO_MODULE_DIR GIO_EXTRA_MODULES ODBCINI ODBCSYSINI ",
    "ODBCINSTINI LIBMYSQL_PLUGINS LIBMYSQL_PLUGIN_DIR MYSQL_HOME MARIADB_HOME ORACLE_HOME PSQLRC ",
    // Images of PostgreSQL and Apache.
    "POSTGRES_INITDB_ARGS APACHE_CONFDIR APACHE_ENVVARS APACHE_HTTPD APACHE_ULIMIT_MAX_FILES ",
    // ImageMagick, Ghostscript, GStreamer, GTK, Qt, TeX and other libraries of graphics.
    "MAGICK_HOME MAGICK_*_PATH GS_LIB GS_OPTIONS GST_PLUGIN_* GTK_MODULES GTK_PATH GTK_EXE_PREFIX ",
    "GDK_PIXBUF_MODULE_FILE GDK_PIXBUF_MODULEDIR GI_TYPELIB_PATH QT_PLUGIN_PATH ",
    "QT_QPA_PLATFORM_PLUGIN_PATH QML_IMPORT_PATH QML2_IMPORT_PATH LIBGL_DRIVERS_PATH ",
    "LIBVA_DRIVERS_PATH VK_ICD_FILENAMES VK_DRIVER_FILES VK_LAYER_PATH OCL_ICD_* ALSA_CONFIG_PATH ",
    "SDL_DYNAMIC_API FREI0R_PATH GVBINDIR GDAL_DRIVER_PATH GDAL_PYTHON_DRIVER_PATH TEXMFCNF ",
    "TEXEDIT ",
    // CUDA, ROCm, OpenMP, NCCL, MPI, PyTorch.
    "CUDA_INJECTION32_PATH CUDA_INJECTION64_PATH NVTX_INJECTION32_PATH NVTX_INJECTION64_PATH ",
    "CUDA_HOME CUDA_PATH NVCC_* NCCL_*_PLUGIN NCCL_CONF_FILE HSA_TOOLS_LIB OMP_TOOL_LIBRARIES ",
    "OMPI_MCA_* PRTE_MCA_* PMIX_MCA_* FI_PROVIDER_PATH TORCH_HOME TORCH_EXTENSIONS_DIR ",
    "TORCHINDUCTOR_CACHE_DIR TRITON_CACHE_DIR NUMBA_CACHE_DIR ",
    // valgrind.
    "VALGRIND_LIB VALGRIND_OPTS ",
    // Terraform, Packer, Vault, Pulumi, Vagrant.
    "TF_CLI_CONFIG_FILE TERRAFORM_CONFIG TF_CLI_ARGS TF_CLI_ARGS_* TF_DATA_DIR ",
    "TF_PLUGIN_CACHE_DIR TERRAGRUNT_TFPATH TG_TF_PATH *_AUTH_PROVIDER_CMD PACKER_CONFIG ",
    "PACKER_CONFIG_DIR PACKER_PLUGIN_PATH VAULT_CONFIG_PATH PULUMI_HOME VAGRANT_HOME VAGRANT_CWD ",
    "VAGRANT_VAGRANTFILE ",
    // Helm, kubectl, kustomize, Docker Compose, Podman.
    "HELM_PLUGINS HELM_BIN HELM_DATA_HOME KUBECTL_EXTERNAL_DIFF KUSTOMIZE_PLUGIN_HOME ",
    "COMPOSE_FILE CONTAINERS_CONF CONTAINERS_CONF_OVERRIDE CONTAINERS_HELPER_BINARY_DIR ",
    // Ansible.
    "ANSIBLE_CONFIG ANSIBLE_HOME ANSIBLE_LIBRARY ANSIBLE_MODULE_UTILS ANSIBLE_*_PLUGINS ",
    "ANSIBLE_ROLES_PATH ANSIBLE_COLLECTIONS_PATH* ANSIBLE_INVENTORY ANSIBLE_*EXECUTABLE ",
    "ANSIBLE_*_EXE ANSIBLE_*_ARGS ANSIBLE_BECOME_FLAGS ANSIBLE_*PASSWORD_FILE ",
    "ANSIBLE_VAULT_IDENTITY_LIST ANSIBLE_PYTHON_INTERPRETER ANSIBLE_SSH_PKCS11_PROVIDER ",
    "ANSIBLE_CONNECTION_PATH ",
    // Command lines of clouds.
    "CLOUDSDK_*PYTHON CLOUDSDK_PYTHON_ARGS CLOUDSDK_CONFIG AZURE_CONFIG_DIR AZURE_EXTENSION_DIR ",
    "AZURE_EXTENSION_DEV_SOURCES AWS_LAMBDA_EXEC_WRAPPER ",
    // Programs that use TLS: it reveals every session.
    "SSLKEYLOGFILE ",
    // phase-run and Phase's own tools: a second phase-run would send its token where the value
    // says.
    "PHASE_* ",
);

/// The same for names that are read in any case, and in which `-` stands for `_`. There is no `*`.
#[rustfmt::skip]
const UNSAFE_IN_ANY_CASE: &str = concat!(
    // npm, pnpm, yarn, node-gyp: in any case, `-` counts as `_`.
    "npm_config_node_options npm_config_script_shell npm_config_shell npm_config_git ",
    "npm_config_editor npm_config_viewer npm_config_browser npm_config_userconfig ",
    "npm_config_globalconfig npm_config_prefix npm_config_onload_script npm_config_init_module ",
    "npm_config_node_gyp npm_config_python npm_config_nodedir npm_config_devdir npm_config_make ",
    "npm_config_call npm_config_package npm_config_cache npm_config_pnpmfile ",
    "npm_config_global_pnpmfile ",
    // MSBuild's properties: in any case.
    "PreBuildEvent PostBuildEvent CustomBeforeMicrosoftCommonProps ",
    "CustomAfterMicrosoftCommonProps CustomBeforeMicrosoftCommonTargets ",
    "CustomAfterMicrosoftCommonTargets DirectoryBuildPropsPath DirectoryBuildTargetsPath ",
    "CscToolPath ",
);

/// A word of a list: where it starts, where its `*` is, and where it ends. Without a `*`, `star` is the end.
#[derive(Clone, Copy)]
struct Word {
    start: usize,
    star: usize,
    end: usize,
}

// The compiler splits and indexes the lists, so that a start spends neither time nor memory on them: an
// environment may have 20,000 names.
static PATTERNS: [Word; count(UNSAFE_NAMES, true)] = split(UNSAFE_NAMES, true);
static IN_ANY_CASE: [Word; count(UNSAFE_IN_ANY_CASE, false)] = split(UNSAFE_IN_ANY_CASE, false);
static EXACT: [u16; SLOTS] = index(UNSAFE_NAMES);

/// The slots of [`EXACT`]: more than three for each name, so that most names need one look.
const SLOTS: usize = 2048;

/// What a slot without a name holds.
const FREE: u16 = u16::MAX;

/// Finds the next word at or after an offset.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const fn next_word(list: &str, mut at: usize) -> Option<Word> {
    let list = list.as_bytes();
    while at < list.len() && list[at] == b' ' {
        at += 1;
    }
    let (start, mut star) = (at, None);
    while at < list.len() && list[at] != b' ' {
        if list[at] == b'*' {
            star = Some(at);
        }
        at += 1;
    }
    let star = match star {
        Some(star) => star,
        None => at,
    };
    if start == at {
        None
    } else {
        Some(Word {
            start,
            star,
            end: at,
        })
    }
}

/// Counts the words with a `*`, or those without.
const fn count(list: &str, with_star: bool) -> usize {
    let (mut found, mut at) = (0, 0);
    while let Some(word) = next_word(list, at) {
        if (word.star < word.end) == with_star {
            found += 1;
        }
        at = word.end;
    }
    found
}

/// Returns the words with a `*`, or those without.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
const fn split<const COUNT: usize>(list: &str, with_star: bool) -> [Word; COUNT] {
    let mut words = [Word {
        start: 0,
        star: 0,
        end: 0,
    }; COUNT];
    let (mut found, mut at) = (0, 0);
    while let Some(word) = next_word(list, at) {
        if (word.star < word.end) == with_star {
            words[found] = word;
            found += 1;
        }
        at = word.end;
    }
    words
}

/// Returns a hash table of where the words without a `*` start. A word is in the slot of its hash, or, if
/// that is taken, in the next free one.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
#[expect(clippy::cast_possible_truncation, reason = "the list is shorter")]
const fn index(list: &str) -> [u16; SLOTS] {
    assert!(list.len() < FREE as usize);
    let mut slots = [FREE; SLOTS];
    let mut at = 0;
    while let Some(word) = next_word(list, at) {
        if word.star == word.end {
            let (_, rest) = list.as_bytes().split_at(word.start);
            let (name, _) = rest.split_at(word.end - word.start);
            let mut slot = hash(name) % SLOTS;
            while slots[slot] != FREE {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = word.start as u16;
        }
        at = word.end;
    }
    slots
}

/// FNV-1a: short, and good enough for a list that nobody can choose.
const fn hash(mut name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    while let Some((byte, rest)) = name.split_first() {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        name = rest;
    }
    hash as usize
}

/// Returns whether a variable of this name can make programs run code, reveal keys or redirect
/// phase-run.
pub(super) fn is_unsafe(name: &str) -> bool {
    let part = |from, to| UNSAFE_NAMES.as_bytes().get(from..to).unwrap_or_default();
    let matches = |pattern: &Word| {
        let start = part(pattern.start, pattern.star);
        // Comparing the first bytes decides nearly all without a call.
        if start
            .first()
            .is_some_and(|first| Some(first) != name.as_bytes().first())
        {
            return false;
        }
        let rest = name.as_bytes().strip_prefix(start);
        rest.is_some_and(|rest| rest.ends_with(part(pattern.star + 1, pattern.end)))
    };
    let is_same = |word: &Word| {
        let unsafe_name = UNSAFE_IN_ANY_CASE.get(word.start..word.end);
        unsafe_name.is_some_and(|unsafe_name| is_same_setting(name, unsafe_name))
    };
    is_unsafe_exactly(name) || PATTERNS.iter().any(matches) || IN_ANY_CASE.iter().any(is_same)
}

/// Returns whether a name of the list without `*` is this one.
fn is_unsafe_exactly(name: &str) -> bool {
    let is_here = |start: u16| {
        let rest = UNSAFE_NAMES.get(usize::from(start)..);
        let rest = rest.and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with(' '))
    };
    let (before, from) = EXACT.split_at(hash(name.as_bytes()) % SLOTS);
    let mut taken = from
        .iter()
        .chain(before)
        .take_while(|start| **start != FREE);
    taken.any(|start| is_here(*start))
}

/// Returns whether the names are the same, apart from the case and `-` in place of `_`.
fn is_same_setting(name: &str, unsafe_name: &str) -> bool {
    let is_same = |(byte, other): (u8, u8)| {
        byte.eq_ignore_ascii_case(&other) || (byte == b'-' && other == b'_')
    };
    name.len() == unsafe_name.len() && name.bytes().zip(unsafe_name.bytes()).all(is_same)
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
            ".SHELLFLAGS",
            "COMPILE.c",
            "CHECKOUT,v",
            "PREBUILDEVENT",
            "CC_aarch64-unknown-linux-musl",
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
            "ZIP_CODE",
            "FLASK_APP_NAME",
            "npm_config_calls",
            "JDK_VERSION",
        ] {
            assert!(!is_unsafe(name), "{name}");
        }
    }

    #[test]
    fn every_listed_name_is_unsafe() {
        for name in UNSAFE_NAMES.split_ascii_whitespace() {
            assert!(is_unsafe(&name.replace('*', "X")), "{name}");
        }
        for name in UNSAFE_IN_ANY_CASE.split_ascii_whitespace() {
            assert!(is_unsafe(&name.to_uppercase().replace('_', "-")), "{name}");
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
        let all = [UNSAFE_NAMES, UNSAFE_IN_ANY_CASE].concat();
        let mut all: Vec<String> = all.split_ascii_whitespace().map(str::to_owned).collect();
        listed.sort();
        all.sort();
        assert_eq!(listed, all);
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
