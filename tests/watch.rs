//! `--watch`: a poll, a change, a restart. `watch_cleanup` tests what a restart ends,
//! `watch_signals` tests signals, and `watch_polls` tests failing polls.

#![cfg(target_os = "linux")]

use std::fs::{File, read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use fake_phase::{bearer, service_token, user_bearer, user_token};

use crate::support::proc::{command_of, parent, wait_for_only_child};
use crate::support::{
    DEADLINE, PRINT_SECRET_AND_SERVE, Running, SHOP, Shop, Status, WATCH, await_restart, inspector,
    set_secret_value, shop, spawn_watched, stop_watched, wait_for_more_requests, watched_shop,
};

/// The poll that finds a change becomes the new command with what it has fetched: there is no
/// second fetch.
#[test]
fn change_restarts_command_with_polled_secrets() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&WATCH), PRINT_SECRET_AND_SERVE);
    for value in ["two", "three"] {
        wait_for_more_requests(&shop.phase, 1);
        let gate = shop.phase.gate("");
        gate.wait_for_request(DEADLINE);
        set_secret_value(&shop.phase, value);
        // Later requests are held, so the restart needs none.
        gate.release_held();
        await_restart(&mut running, value);
        let logged = running.stderr_line();
        assert_eq!(
            logged,
            "phase-run: the secrets have changed: restarting the command"
        );
        gate.open();
    }
    let output = stop_watched(running);
    assert_eq!(output.stderr.lines().count(), 2, "{output}");
}

/// The command notices nothing of polls that find no change.
#[test]
fn unchanged_polls_leave_command_running() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&WATCH), PRINT_SECRET_AND_SERVE);
    let pid = command_of(running.pid());
    wait_for_more_requests(&shop.phase, 3);
    assert_eq!(wait_for_only_child(running.pid()), pid);
    assert!(running.signals().is_empty());
    running.kill(libc::SIGTERM);
    let output = running.wait().assert_ok();
    assert!(output.text().ends_with("value 0\n"), "{output}");
}

/// The new command gets the same descriptors, directory, mask, dispositions, limits, group and
/// session as the first one.
#[test]
fn restarted_command_has_same_process_state() {
    let shop = watched_shop();
    let run = shop.run_with(&WATCH).block(libc::SIGUSR1).closed(0);
    let run = run.ignore(libc::SIGHUP).ignore(libc::SIGCHLD);
    let run = run.pass_descriptor(File::open("/etc/passwd").unwrap(), 7);
    let mut running = run.args([inspector(), "witness"]).spawn();
    running.wait_until_ready();
    let reported = || {
        let text = String::from_utf8(read(shop.directory().join("report")).unwrap()).unwrap();
        let differs = |line: &&str| line.starts_with("pid ") || line.starts_with("environ.");
        let lines = text.lines().filter(|line| !differs(line));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = reported();
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    running.wait_until_ready();
    let two = reported();
    assert!(one.contains(&"signal.17 ignored".to_owned()), "{one:?}");
    assert!(
        one.contains(&"blocked 0000000000000200".to_owned()),
        "{one:?}"
    );
    assert_eq!(one, two);
    let _ = stop_watched(running);
}

/// The other variables are those of the first command, in the same order, and systemd's pid
/// variables name the new command.
#[test]
fn restarted_command_has_same_variables() {
    let shop = watched_shop();
    let script = "env > $SECRET; echo \"value $SECRET\"; exec \"$0\" serve 2";
    let run = shop
        .run_with(&["--keep-token", "--watch", "1"])
        .env("ZZZ", "1");
    let wrap = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let run = run
        .env("PHASE_OTHER_TOKEN", "other")
        .wrap(["sh", "-c", wrap]);
    let mut running = spawn_watched(run, script);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let new = command_of(running.pid());
    assert_eq!(parent(new), running.pid());
    let [one, two] = ["one", "two"].map(|name| {
        let text = read(shop.directory().join(name)).unwrap();
        String::from_utf8(text).unwrap()
    });
    assert!(one.contains("\nPHASE_OTHER_TOKEN=other\n"), "{one}");
    assert!(one.contains(&format!("PHASE_SERVICE_TOKEN={}\n", service_token())));
    let listening = |text: &str| {
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("LISTEN_PID="));
        pid.unwrap().to_owned()
    };
    assert_eq!(listening(&two), new.to_string());
    let [new, old] = [&two, &one].map(|text| format!("LISTEN_PID={}\n", listening(text)));
    let two = two.replace(&new, &old);
    assert_eq!(one, two.replace("SECRET=two", "SECRET=one"));
    let _ = stop_watched(running);
}

/// A command may say `STOPPING=1` to systemd while it stops, which must not count for the service.
#[test]
fn service_manager_hears_of_restart() {
    let shop = watched_shop();
    let path = shop.directory().join("notify");
    let name = format!("phase-run-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let by_path = UnixDatagram::bind(&path).unwrap();
    let by_name = UnixDatagram::bind_addr(&address).unwrap();
    for (socket, variable, values) in [
        (by_path, path.to_str().unwrap(), ["one", "two"]),
        (by_name, &format!("@{name}"), ["two", "one"]),
    ] {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let message = || {
            let mut buffer = [0; 100];
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let run = shop.run_with(&WATCH).env("NOTIFY_SOCKET", variable);
        let script = "echo \"value $SECRET\"; exec \"$0\" serve";
        let mut running = run.args(["sh", "-c", script, inspector()]).spawn();
        assert_eq!(running.line(), format!("value {}", values[0]));
        running.wait_until_ready();
        set_secret_value(&shop.phase, values[1]);
        let reloading = message();
        let time = reloading
            .strip_prefix("NOTIFYACCESS=main\nRELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
        // The old command still runs.
        assert_eq!(running.signal().signal, libc::SIGTERM);
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 100]).is_err());
        socket.set_nonblocking(false).unwrap();
        running.close_stdin();
        assert_eq!(message(), "NOTIFYACCESS=all\nREADY=1");
        let _ = running.wait().assert_status(Status::Exited(0));
    }
}

/// A watch with a socket that stands for the service manager, and a command that does not end by itself.
fn watched_by_service_manager(shop: &Shop, exec_pid: Option<&str>) -> (UnixDatagram, Running) {
    let path = shop.directory().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let run = shop.run_with(&WATCH).env("NOTIFY_SOCKET", path);
    let run = match exec_pid {
        Some(pid) => run.env("SYSTEMD_EXEC_PID", pid),
        None => run,
    };
    let script = "echo \"value $SECRET\"; exec \"$0\" serve";
    let mut running = run.args(["sh", "-c", script, inspector()]).spawn();
    assert_eq!(running.line(), "value one");
    running.wait_until_ready();
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    (socket, running)
}

/// The command may take long to end, and its messages count again.
#[test]
fn service_manager_hears_of_cancelled_restart() {
    let shop = watched_shop();
    let (socket, mut running) = watched_by_service_manager(&shop, None);
    let mut buffer = [0; 100];
    socket.recv(&mut buffer).unwrap();
    running.kill(libc::SIGHUP);
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"NOTIFYACCESS=all\nREADY=1");
    running.close_stdin();
    let _ = running.wait().assert_status(Status::Exited(0));
}

/// A service manager would take the message of another process than the main one for the command's.
#[test]
fn only_main_process_speaks_to_service_manager() {
    let shop = watched_shop();
    let (socket, running) = watched_by_service_manager(&shop, Some("1"));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err());
    running.kill(libc::SIGKILL);
    let _ = running.wait().assert_status(Status::Killed(libc::SIGKILL));
}

/// A token from a variable, from standard input or from a descriptor can be read only once. It
/// serves all polls, and the rest of the input is the command's.
#[test]
fn one_time_token_source_serves_all_polls() {
    for source in ["variable", "stdin", "descriptor", "pipe"] {
        let shop = watched_shop();
        let token = format!("{}\n", service_token());
        let file = shop.private_file("token", &token);
        let run = shop.run_with(&WATCH);
        let from = |name: &str| {
            let run = shop.run(SHOP).args(WATCH);
            run.unset("PHASE_SERVICE_TOKEN")
                .args(["--token-file", name, "--"])
        };
        let run = match source {
            "variable" => run,
            "stdin" => from("-").stdin(format!("{token}rest\n")),
            "descriptor" => from("fd:7").pass_descriptor(File::open(&file).unwrap(), 7),
            _ => {
                let (reader, mut writer) = std::io::pipe().unwrap();
                std::io::Write::write_all(&mut writer, token.as_bytes()).unwrap();
                from("/dev/fd/7").pass_descriptor(reader, 7)
            }
        };
        let script = match source {
            "stdin" => "echo \"value $SECRET\"; read line; echo \"$line\" >&2; exec \"$0\" serve 2",
            "descriptor" => {
                "echo \"value $SECRET\"; (: <&7) 2>/dev/null && echo open >&2; exec \"$0\" serve 2"
            }
            _ => PRINT_SECRET_AND_SERVE,
        };
        let mut running = spawn_watched(run, script);
        set_secret_value(&shop.phase, "two");
        assert_eq!(running.signal().signal, libc::SIGTERM);
        assert_eq!(running.signal().signal, libc::SIGCONT);
        assert_eq!(running.line(), "value two");
        if source == "stdin" {
            running.write(b"more\n");
        }
        running.wait_until_ready();
        let output = stop_watched(running);
        let lines: Vec<&str> = output.stderr.lines().collect();
        match source {
            "stdin" => assert_eq!([lines[0], lines[2]], ["rest", "more"], "{output}"),
            _ => assert_eq!(lines.len(), 1, "{source}: {output}"),
        }
    }
}

/// An image can be configured by variables alone.
#[test]
fn watch_is_set_by_variables() {
    let shop = watched_shop();
    let run = shop.run_with(&[]).env("PHASE_WATCH", "1");
    let run = run
        .env("PHASE_STOP_SIGNAL", "USR1")
        .env("PHASE_GRACE", "60");
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    set_secret_value(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGUSR1);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    assert_eq!(running.line(), "value two");
    running.wait_until_ready();
    let _ = stop_watched(running);
    for (name, value) in [
        ("PHASE_WATCH", "0.5"),
        ("PHASE_STOP_SIGNAL", "X"),
        ("PHASE_GRACE", "x"),
    ] {
        let run = shop.run_with(&["true"]).env("PHASE_WATCH", "1");
        let output = run.env(name, value).output().assert_error(125, "config");
        assert!(
            output.stderr.contains(&format!("{name}={value}")),
            "{output}"
        );
    }
    // Without a watch, the variables of its options have no effect.
    let run = shop.run_with(&["true"]).env("PHASE_GRACE", "5");
    let _ = run.env("PHASE_STOP_SIGNAL", "INT").output().assert_ok();
}

/// With `-v`, the lines of the poll that found a change come first, with the variables that differ, and then
/// the line that announces the restart.
#[test]
fn verbose_restart_names_changed_variables() {
    let shop = shop([("SECRET", "one"), ("SAME", "x"), ("OLD", "x")]);
    let run = shop.run_with(&["--watch", "1", "-v"]);
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    shop.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod").clear();
        production.secret("/", "SECRET", "two");
        production.secret("/", "SAME", "x");
        production.secret("/", "NEW", "x");
    });
    await_restart(&mut running, "two");
    let changes = "phase-run: the secrets of the new command: 1 added (NEW), 1 removed (OLD), 1 changed (SECRET)";
    let output = stop_watched(running);
    let said = output
        .stderr
        .matches("the secrets of the new command")
        .count();
    assert!(said == 1 && output.stderr.contains(changes), "{output}");
    let mut expected = [
        "fetching app shop",
        "executing ",
        "fetching app shop",
        "of 3 secrets selected",
        changes,
        "the secrets have changed: restarting the command",
        "executing ",
    ]
    .into_iter()
    .peekable();
    for line in output.stderr.lines() {
        expected.next_if(|text| line.contains(text));
    }
    assert_eq!(expected.next(), None, "{output}");
}

/// The variables are read before the secrets are fetched.
#[test]
fn secret_cannot_set_mode() {
    let shop = shop([("PHASE_WATCH", "1"), ("PHASE_SUPERVISE", "1")]);
    let allow = ["--allow-name", "PHASE_*"];
    let run = shop.run_with(&allow).args([inspector(), "serve", "1"]);
    let mut running = run.spawn();
    let pid = running.wait_until_ready();
    assert_eq!(pid, running.pid());
    running.kill(libc::SIGTERM);
    let _ = running.wait().assert_ok();
}

/// Each poll opens the token file again, so that rotation works, even if its path is relative to
/// the working directory.
#[test]
fn token_file_is_read_again_by_each_poll() {
    let shop = watched_shop();
    let file = shop.private_file("token", service_token());
    let run = shop.run(SHOP).unset("PHASE_SERVICE_TOKEN");
    let run = run.args(["--watch", "1", "--token-file", "token", "--"]);
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    std::fs::write(&file, user_token()).unwrap();
    let count = wait_for_more_requests(&shop.phase, 2);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let authorization = |at: usize| {
        let request = &shop.phase.requests()[at];
        request.header("authorization").unwrap().to_owned()
    };
    assert!(authorization(0).ends_with(bearer()));
    assert!(authorization(count - 1).ends_with(user_bearer()));
    let _ = stop_watched(running);
}

/// When the command ends by itself, phase-run ends with its status.
#[test]
fn command_exit_ends_watch_with_its_status() {
    for (arguments, status) in [
        (["exit", "7"], Status::Exited(7)),
        (["die", "9"], Status::Killed(9)),
        (["die", "40"], Status::Killed(40)),
    ] {
        let shop = watched_shop();
        let _ = shop
            .run_with(&WATCH)
            .arg(inspector())
            .args(arguments)
            .output()
            .assert_status(status);
    }
}

/// If the first fetch fails, nothing is started and phase-run exits with 125.
#[test]
fn failed_first_fetch_is_an_ordinary_error() {
    let shop = watched_shop();
    shop.phase.edit(|world| {
        world.forbid_reading();
    });
    let output = shop.run_with(&WATCH).args(["touch", "started"]).output();
    let output = output.assert_error(125, "access");
    assert_eq!(output.stderr.lines().count(), 2, "{output}");
    assert!(!shop.directory().join("started").exists());
}

/// A command that cannot be executed any more is only noticed when the old one has ended. phase-run
/// then fails.
#[test]
fn failed_exec_of_new_command_ends_watch() {
    let shop = watched_shop();
    let program = shop.executable(
        "program",
        format!("#!/bin/sh\nexec {} serve 2\n", inspector()),
    );
    let mut running = shop.run_with(&WATCH).arg(&program).spawn();
    running.wait_until_ready();
    std::fs::remove_file(&program).unwrap();
    set_secret_value(&shop.phase, "two");
    let _ = running.stderr_line();
    let logged = running.stderr_line();
    assert!(logged.starts_with("phase-run: error[exec]: "), "{logged}");
    let _ = running.wait().assert_status(Status::Exited(127));
}

/// Each command gets its own files of `--file`.
#[test]
fn secret_files_are_created_by_each_start() {
    let shop = watched_shop();
    let script = "echo \"value $(cat $SECRET)\"; exec \"$0\" serve 2";
    let mut running = spawn_watched(shop.run_with(&["--watch", "1", "--file", "SECRET"]), script);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// A restart waits for a random part of the interval, and the log names the delay. A unit test in
/// `process/watch/schedule` bounds it.
#[test]
fn restart_is_delayed_at_random_and_logged() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&["--watch", "5"]), PRINT_SECRET_AND_SERVE);
    set_secret_value(&shop.phase, "two");
    let logged = running.stderr_line();
    let delay =
        logged.strip_prefix("phase-run: the secrets have changed: restarting the command in ");
    let delay = delay.and_then(|rest| rest.strip_suffix(" s"));
    let delay: f64 = delay.unwrap_or_else(|| panic!("{logged}")).parse().unwrap();
    assert!((0.0..=5.0).contains(&delay), "{logged}");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

#[test]
fn watch_as_pid1_restarts_command() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.run_with(&WATCH).as_pid1(), PRINT_SECRET_AND_SERVE);
    set_secret_value(&shop.phase, "two");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// A program that is killed cannot put the terminal back into its normal mode.
#[test]
fn restarted_command_finds_first_terminal_mode() {
    let shop = watched_shop();
    let script = "echo \"value $SECRET $(stty -g)\"; stty raw; exec \"$0\" serve 2";
    let run = shop.run_with(&WATCH);
    let mut terminal = run.args(["sh", "-c", script, inspector()]).on_terminal();
    terminal.until("value one ");
    let first_mode = terminal.line();
    terminal.wait_until_ready();
    set_secret_value(&shop.phase, "two");
    terminal.until("value two ");
    assert_eq!(terminal.line(), first_mode, "{}", terminal.describe());
}

/// The terminal belongs to the program in the foreground.
#[test]
fn restart_in_background_leaves_terminal_mode_alone() {
    let shop = watched_shop();
    let shell = "set -m; \"$@\" & read -r _; stty raw; echo \"raw $(stty -g)\"; wait";
    let script = "echo \"value $SECRET $(stty -g)\"; exec \"$0\" serve 2";
    let run = shop.run_with(&WATCH).wrap(["sh", "-c", shell, "sh"]);
    let mut terminal = run.args(["sh", "-c", script, inspector()]).on_terminal();
    terminal.until("value one ");
    terminal.wait_until_ready();
    terminal.press("\n");
    terminal.until("raw ");
    let mode = terminal.line();
    set_secret_value(&shop.phase, "two");
    terminal.until("value two ");
    assert_eq!(terminal.line(), mode, "{}", terminal.describe());
}
