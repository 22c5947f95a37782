//! What a watcher holds, and who can read it.

#![cfg(target_os = "linux")]

use std::fs::{File, read, read_dir, read_link};

use fake_phase::service_token;
use nix::unistd::Uid;
use serde_json::json;

use crate::cli_login::log_in;
use crate::supervisor_process::{PLANTED, planted, token_file};
use crate::support::proc::{memory, wait_until_idle};
use crate::support::{Status, contains, inspector, require_root};

/// After polls and a restart, the watcher's memory contains neither a value nor the token. What the
/// standbys need of the token is in a memfd that the watcher never maps or reads.
#[test]
fn watcher_holds_no_secret_and_no_token() {
    if !require_root("only root may look into a process that is not dumpable") {
        return;
    }
    for source in ["variable", "file", "descriptor", "command", "login"] {
        let (shop, options) = planted();
        let token = token_file(&shop);
        let run = shop.run(options);
        let run = match source {
            "command" => run
                .unset("PHASE_SERVICE_TOKEN")
                .args(["--token-command", "cat token"]),
            "login" => {
                log_in(&shop, &json!({"token": service_token()}));
                let run = run.unset("PHASE_SERVICE_TOKEN").arg("-q");
                run.env("HOME", shop.directory())
            }
            "variable" => run,
            "file" => run
                .unset("PHASE_SERVICE_TOKEN")
                .arg("--token-file")
                .arg(&token),
            _ => {
                let run = run
                    .unset("PHASE_SERVICE_TOKEN")
                    .args(["--token-file", "fd:7"]);
                run.pass_descriptor(File::open(&token).unwrap(), 7)
            }
        };
        let run = run.args(["--watch", "1", "--", inspector(), "serve", "2"]);
        let mut serving = run.spawn();
        serving.wait_until_ready();
        shop.phase.edit(|world| {
            let production = world.app(PLANTED).environment("Production", "prod");
            production.secret("/", "THIRD", "another");
        });
        assert_eq!(serving.signal().signal, libc::SIGTERM);
        assert_eq!(serving.signal().signal, libc::SIGCONT);
        serving.wait_until_ready();
        let pid = serving.pid();
        wait_until_idle(pid);
        let (memory, environ) = (memory(pid), read(format!("/proc/{pid}/environ")).unwrap());
        assert!(
            contains(&memory, PLANTED.as_bytes()),
            "the search finds nothing"
        );
        shop.assert_no_canary("the watcher's memory", &memory);
        shop.assert_no_canary("the watcher's environment", &environ);
        let open = read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let links = open.filter_map(|entry| read_link(entry.path()).ok());
        let token_caches = links.filter(|link| link.to_string_lossy().contains("memfd:phase-run"));
        assert_eq!(token_caches.count(), 1, "{source}");
        serving.kill(libc::SIGTERM);
        serving.kill(libc::SIGCONT);
        let _ = serving.wait().assert_status(Status::Exited(0));
    }
}

/// The memfd is closed at the exec, and no other program of the same user can open it.
#[test]
fn watcher_memfd_is_unreadable_through_proc() {
    let (shop, options) = planted();
    let list = "ls -l /proc/$$/fd; cat /proc/$PPID/fd/* 2>&1; ls /proc/$PPID/fd 2>&1; exit 3";
    let run = shop
        .run(options)
        .args(["--watch", "60", "--", "sh", "-c", list]);
    let run = if Uid::effective().is_root() {
        run.as_user(65534)
    } else {
        run
    };
    let output = run.output().assert_status(Status::Exited(3));
    assert!(!output.text().contains("memfd"), "{output}");
    assert!(output.text().contains("Permission denied"), "{output}");
}
