//! `--watch`: a poll, a change, a restart. What a restart ends is in `watch_clearing`, signals are in
//! `watch_signals`, what a poll can meet is in `watch_polls`.

use std::fs::{File, read};

use fake_phase::{bearer, service_token, user_bearer, user_token};

use crate::support::proc::{command, only_child, parent};
use crate::support::{
    DEADLINE, SECRET_SERVER, SHOP, Status, WATCH, await_restart, change_secret, inspector,
    spawn_watched, stop_watched, wait_for_more_requests, watched_shop,
};

/// "a standby fetches and reports only a keyed digest …; unchanged, it exits; changed, it waits until
/// the old command has stopped and then becomes the new one. One fetch per poll".
#[test]
fn a_change_restarts_the_command_with_what_the_poll_has_fetched() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.with(&WATCH), SECRET_SERVER);
    for value in ["two", "three"] {
        wait_for_more_requests(&shop.phase, 1);
        let gate = shop.phase.gate("");
        gate.arrived(DEADLINE);
        change_secret(&shop.phase, value);
        // Later requests are held, so the restart needs none.
        gate.let_through();
        await_restart(&mut running, value);
        let said = running.stderr_line();
        assert_eq!(
            said,
            "phase-run: the secrets have changed: restarting the command"
        );
        gate.open();
    }
    let output = stop_watched(running);
    assert_eq!(output.stderr.lines().count(), 2, "{output}");
}

/// The command notices nothing of polls that find the same.
#[test]
fn polls_that_find_the_same_leave_the_command_alone() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.with(&WATCH), SECRET_SERVER);
    let pid = command(running.pid());
    wait_for_more_requests(&shop.phase, 3);
    assert_eq!(only_child(running.pid()), pid);
    assert!(running.signals().is_empty());
    running.kill(libc::SIGTERM);
    let output = running.wait().ok();
    assert!(output.text().ends_with("value 0\n"), "{output}");
}

/// What the second command is started with is what the first was: descriptors, directory, mask,
/// dispositions, limits, group, session.
#[test]
fn the_new_command_finds_what_the_old_one_found() {
    let shop = watched_shop();
    let run = shop.with(&WATCH).block(libc::SIGUSR1).closed(0);
    let run = run.ignore(libc::SIGHUP).ignore(libc::SIGCHLD);
    let run = run.hand_over(File::open("/etc/passwd").unwrap(), 7);
    let mut running = run.args([inspector(), "witness"]).spawn();
    running.ready();
    let reported = || {
        let text = String::from_utf8(read(shop.directory().join("report")).unwrap()).unwrap();
        let own = |line: &&str| line.starts_with("pid ") || line.starts_with("environ.");
        let lines = text.lines().filter(|line| !own(line));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = reported();
    change_secret(&shop.phase, "two");
    assert_eq!(running.signal().signal, libc::SIGTERM);
    assert_eq!(running.signal().signal, libc::SIGCONT);
    running.ready();
    let two = reported();
    assert!(one.contains(&"signal.17 ignored".to_owned()), "{one:?}");
    assert!(
        one.contains(&"blocked 0000000000000200".to_owned()),
        "{one:?}"
    );
    assert_eq!(one, two);
    let _ = stop_watched(running);
}

/// The rest of its environment is that of the first, in the same order, and systemd's pids are the
/// new command's.
#[test]
fn the_new_command_has_the_same_variables() {
    let shop = watched_shop();
    let script = "env > $SECRET; echo \"value $SECRET\"; exec \"$0\" serve 2";
    let run = shop.with(&["--keep-token", "--watch", "1"]).env("ZZZ", "1");
    let wrap = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let run = run
        .env("PHASE_OTHER_TOKEN", "other")
        .wrap(["sh", "-c", wrap]);
    let mut running = spawn_watched(run, script);
    change_secret(&shop.phase, "two");
    await_restart(&mut running, "two");
    let new = command(running.pid());
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

/// "a token from the environment, standard input or a descriptor lies in a memfd made before the
/// fork": what can be read once is enough for all polls, and what follows it is the command's.
#[test]
fn a_token_that_can_be_read_once_is_enough() {
    for source in ["variable", "stdin", "descriptor", "pipe"] {
        let shop = watched_shop();
        let token = format!("{}\n", service_token());
        let file = shop.private_file("token", &token);
        let run = shop.with(&WATCH);
        let from = |name: &str| {
            let run = shop.run(SHOP).args(WATCH);
            run.unset("PHASE_SERVICE_TOKEN")
                .args(["--token-file", name, "--"])
        };
        let run = match source {
            "variable" => run,
            "stdin" => from("-").stdin(format!("{token}rest\n")),
            "descriptor" => from("fd:7").hand_over(File::open(&file).unwrap(), 7),
            _ => {
                let (reader, mut writer) = std::io::pipe().unwrap();
                std::io::Write::write_all(&mut writer, token.as_bytes()).unwrap();
                from("/dev/fd/7").hand_over(reader, 7)
            }
        };
        let script = match source {
            "stdin" => "echo \"value $SECRET\"; read line; echo \"$line\" >&2; exec \"$0\" serve 2",
            "descriptor" => {
                "echo \"value $SECRET\"; (: <&7) 2>/dev/null && echo open >&2; exec \"$0\" serve 2"
            }
            _ => SECRET_SERVER,
        };
        let mut running = spawn_watched(run, script);
        change_secret(&shop.phase, "two");
        assert_eq!(running.signal().signal, libc::SIGTERM);
        assert_eq!(running.signal().signal, libc::SIGCONT);
        assert_eq!(running.line(), "value two");
        if source == "stdin" {
            running.write(b"more\n");
        }
        running.ready();
        let output = stop_watched(running);
        let lines: Vec<&str> = output.stderr.lines().collect();
        match source {
            "stdin" => assert_eq!([lines[0], lines[2]], ["rest", "more"], "{output}"),
            _ => assert_eq!(lines.len(), 1, "{source}: {output}"),
        }
    }
}

/// "a token file is opened anew by each standby (so that rotation works)", also one that is named
/// from the working directory.
#[test]
fn a_token_file_is_read_again_by_each_poll() {
    let shop = watched_shop();
    let file = shop.private_file("token", service_token());
    let run = shop.run(SHOP).unset("PHASE_SERVICE_TOKEN");
    let run = run.args(["--watch", "1", "--token-file", "token", "--"]);
    let mut running = spawn_watched(run, SECRET_SERVER);
    std::fs::write(&file, user_token()).unwrap();
    let count = wait_for_more_requests(&shop.phase, 2);
    change_secret(&shop.phase, "two");
    await_restart(&mut running, "two");
    let authorization = |at: usize| {
        let request = &shop.phase.requests()[at];
        request.header("authorization").unwrap().to_owned()
    };
    assert!(authorization(0).ends_with(bearer()));
    assert!(authorization(count - 1).ends_with(user_bearer()));
    let _ = stop_watched(running);
}

/// "supervise, and restart": the status is the command's, whoever asked for its end.
#[test]
fn an_end_that_nobody_asked_for_is_phase_runs() {
    for (words, status) in [
        (["exit", "7"], Status::Exited(7)),
        (["die", "9"], Status::Killed(9)),
        (["die", "40"], Status::Killed(40)),
    ] {
        let shop = watched_shop();
        let _ = shop
            .with(&WATCH)
            .arg(inspector())
            .args(words)
            .output()
            .ended(status);
    }
}

/// "a watch whose first fetch fails (nothing started, 125)".
#[test]
fn a_first_fetch_that_fails_is_an_ordinary_failure() {
    let shop = watched_shop();
    shop.phase.edit(|world| {
        world.forbid_reading();
    });
    let output = shop.with(&WATCH).args(["touch", "started"]).output();
    let output = output.failed(125, "access");
    assert_eq!(output.stderr.lines().count(), 2, "{output}");
    assert!(!shop.directory().join("started").exists());
}

/// What cannot be executed any more is found out too late to keep the old command, and said.
#[test]
fn a_new_command_that_cannot_be_executed_is_phase_runs_failure() {
    let shop = watched_shop();
    let program = shop.executable(
        "program",
        format!("#!/bin/sh\nexec {} serve 2\n", inspector()),
    );
    let mut running = shop.with(&WATCH).arg(&program).spawn();
    running.ready();
    std::fs::remove_file(&program).unwrap();
    change_secret(&shop.phase, "two");
    let _ = running.stderr_line();
    let said = running.stderr_line();
    assert!(said.starts_with("phase-run: error[exec]: "), "{said}");
    let _ = running.wait().ended(Status::Exited(127));
}

/// The files of `--file` are the new command's own.
#[test]
fn sealed_files_are_made_anew() {
    let shop = watched_shop();
    let script = "echo \"value $(cat $SECRET)\"; exec \"$0\" serve 2";
    let mut running = spawn_watched(shop.with(&["--watch", "1", "--file", "SECRET"]), script);
    change_secret(&shop.phase, "two");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// "each restart waits a random part of the interval, at most 30 s (none where SECS is below 5); the
/// notice says so". The longest is bounded by a table in `process/watch/pace`.
#[test]
fn a_restart_of_a_fleet_is_put_off_and_says_so() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.with(&["--watch", "5"]), SECRET_SERVER);
    change_secret(&shop.phase, "two");
    let said = running.stderr_line();
    let delay =
        said.strip_prefix("phase-run: the secrets have changed: restarting the command in ");
    let delay = delay.and_then(|rest| rest.strip_suffix(" s"));
    let delay: f64 = delay.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!((0.0..=5.0).contains(&delay), "{said}");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}

/// As the first process of a namespace, too.
#[test]
fn pid_1_restarts_its_command() {
    let shop = watched_shop();
    let mut running = spawn_watched(shop.with(&WATCH).as_pid1(), SECRET_SERVER);
    change_secret(&shop.phase, "two");
    await_restart(&mut running, "two");
    let _ = stop_watched(running);
}
