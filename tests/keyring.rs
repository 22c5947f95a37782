//! The login of the official CLI with a real keyring: gnome-keyring on a session bus of its own.

#![cfg(target_os = "linux")]

use std::fs::create_dir_all;

use fake_phase::{bearer, service_token, user_bearer, user_token};
use serde_json::json;

use crate::cli_login::{ACCOUNT, log_in};
use crate::support::{Run, SHOP, Shop, pypi_packages, require_programs, set_mode, shop_with_key};

/// The official CLI, and the library with which it writes to the keyring.
const PHASE_CLI: [&str; 1] = ["phase-cli==1.21.3"];

/// Starts a session bus, runs the script of the test, and then phase-run. The bus's own messages are lost.
const SESSION: &str = "exec 3>&2 2>/dev/null; \
    exec dbus-run-session -- sh -c 'exec 2>&3 3>&-; eval \"$PREPARE\" && exec \"$@\"' sh \"$@\"";

/// Unlocks the keyring, or makes a new one.
const UNLOCK: &str =
    "printf 'test password' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1";

fn can_run() -> bool {
    require_programs(&["dbus-run-session", "gnome-keyring-daemon", "secret-tool"])
}

/// A run with the login alone, in a session that this script prepares.
fn run_in_session<'a>(shop: &'a Shop, prepare: &str) -> Run<'a> {
    let home = shop.directory();
    let runtime = home.join("runtime");
    create_dir_all(&runtime).unwrap();
    set_mode(&runtime, 0o700);
    let run = shop.run(SHOP).args(["-q", "--", "printenv", "KEY"]);
    let run = run.unset("PHASE_SERVICE_TOKEN").unset("PHASE_HOST");
    let run = run.env("HOME", home).env("XDG_RUNTIME_DIR", &runtime);
    run.env("PREPARE", prepare)
        .wrap(["sh", "-c", SESSION, "sh"])
}

fn assert_gets_value(shop: &Shop, run: Run<'_>, authorization: &str) {
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
    let requests = shop.phase.requests();
    let used = requests.last().unwrap().header("Authorization");
    assert_eq!(used, Some(authorization));
}

/// `secret-tool store` asks for the same attributes as go-keyring, which the newer CLI uses.
#[test]
fn entry_of_secret_tool_is_used() {
    if !can_run() {
        return;
    }
    let shop = shop_with_key();
    log_in(&shop, &json!({}));
    shop.private_file("token", user_token());
    let store = format!(
        "{UNLOCK} && secret-tool store --label=Phase service phase-cli-user-{ACCOUNT} username pss <token"
    );
    let user = format!("Bearer User {}", user_bearer());
    assert_gets_value(&shop, run_in_session(&shop, &store), &user);
    // It is still there, but the keyring is locked.
    let locked = run_in_session(&shop, "true")
        .output()
        .assert_error(125, "token");
    let message = format!(
        "secret-tool found no entry phase-cli-user-{ACCOUNT}, or the keyring is locked\nhint: unlock the keyring"
    );
    assert!(locked.stderr.contains(&message), "{locked}");
    let unlocked = run_in_session(&shop, UNLOCK);
    assert_gets_value(&shop, unlocked, &user);
}

/// The older CLI wrote with `keyring` of PyPI.
#[test]
fn entry_of_pythons_keyring_is_used() {
    let Some(packages) = pypi_packages(&PHASE_CLI) else {
        return;
    };
    if !can_run() {
        return;
    }
    let shop = shop_with_key();
    log_in(&shop, &json!({}));
    shop.private_file("token", user_token());
    let store = format!(
        "{UNLOCK} && PYTHONPATH={} python3 -c 'import keyring; \
         keyring.set_password(\"phase-cli-user-{ACCOUNT}\", \"pss\", open(\"token\").read())'",
        packages.display()
    );
    let user = format!("Bearer User {}", user_bearer());
    assert_gets_value(&shop, run_in_session(&shop, &store), &user);
}

/// `phase auth` of the older CLI writes both the file and the entry.
#[test]
fn login_of_official_cli_is_used() {
    let Some(packages) = pypi_packages(&PHASE_CLI) else {
        return;
    };
    if !can_run() {
        return;
    }
    let shop = shop_with_key();
    shop.private_file("token", format!("{}\n", service_token()));
    let log_in = format!(
        "{UNLOCK} && PYTHONPATH={} PHASE_HOST={} REQUESTS_CA_BUNDLE=\"$PHASE_CA_FILE\" \
         python3 {}/bin/phase auth --mode token <token >auth.log 2>&1",
        packages.display(),
        shop.phase.host(),
        packages.display()
    );
    let service = format!("Bearer ServiceAccount {}", bearer());
    assert_gets_value(&shop, run_in_session(&shop, &log_in), &service);
}
