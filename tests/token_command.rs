//! `--token-command`: a command that prints the token.

use std::fs::{read_to_string, write};

use fake_phase::{bearer, service_token, user_bearer, user_token};
use libc::{SIGCHLD, SIGINT, SIGKILL, SIGTERM};

use crate::support::proc::{state, wait_until_gone};
use crate::support::{
    PRINT_SECRET_AND_SERVE, Run, SHOP, Shop, Status, WATCH, assert_refused_before_connecting,
    eventually, inspector, kill, require_linux, shop_with_key, spawn_watched, stop_watched,
    wait_for_more_requests, watched_shop,
};

/// A command that gets its token from this line. It has no terminal.
fn run_with_command<'a>(shop: &'a Shop, line: &str) -> Run<'a> {
    run_with(shop, line, &[]).args(["printenv", "KEY"])
}

fn run_with<'a>(shop: &'a Shop, line: &str, options: &[&str]) -> Run<'a> {
    let run = shop.run(SHOP).args(options).args(["--token-command", line]);
    run.arg("--").unset("PHASE_SERVICE_TOKEN").wrap(["setsid"])
}

/// A shop with the files `service` and `user`, which hold tokens.
fn shop_with_tokens() -> Shop {
    let shop = shop_with_key();
    shop.private_file("service", format!("{}\n", service_token()));
    shop.private_file("user", format!("{}\n", user_token()));
    shop
}

/// The `Authorization` header of the last request.
fn authorization(shop: &Shop) -> String {
    let requests = shop.phase.requests();
    requests
        .last()
        .unwrap()
        .header("Authorization")
        .unwrap()
        .to_owned()
}

fn assert_fails(run: Run<'_>, shop: &Shop, message: &str) {
    let _ = assert_refused_before_connecting(&shop.phase, run, "token", message);
}

#[test]
fn first_line_of_output_is_token() {
    let shop = shop_with_tokens();
    for line in [
        "cat user",
        "cat user; echo a second line; echo",
        "printf %s \"$(cat user)\"",
        "printf ' %s \\r\\n' \"$(cat user)\"",
        "-x 2>/dev/null; cat user",
    ] {
        let output = run_with_command(&shop, line).output();
        assert_eq!(output.assert_ok().text(), "of the shop\n", "{line}");
        let user = format!("Bearer User {}", user_bearer());
        assert_eq!(authorization(&shop), user, "{line}");
    }
}

/// An option precedes every variable, and `PHASE_TOKEN_COMMAND` is the last of these.
#[test]
fn token_command_has_its_place_among_sources() {
    let shop = shop_with_tokens();
    let run = || shop.run_with(&[]).args(["printenv", "KEY"]);
    let bearer_of = |run: Run<'_>, warnings: &[&str]| {
        let _ = run.output().assert_log_lines(warnings).assert_ok();
        authorization(&shop)
    };
    let (service, user) = (
        format!("Bearer ServiceAccount {}", bearer()),
        format!("Bearer User {}", user_bearer()),
    );
    let alone = run()
        .unset("PHASE_SERVICE_TOKEN")
        .env("PHASE_TOKEN_COMMAND", "cat user");
    assert_eq!(bearer_of(alone, &[]), user);
    let ignored = "warning: ignoring PHASE_TOKEN_COMMAND: ";
    let variables = run().env("PHASE_TOKEN_COMMAND", "cat user");
    let warning = format!("{ignored}PHASE_SERVICE_TOKEN takes precedence");
    assert_eq!(bearer_of(variables, &[&warning]), service);
    let variables = run().unset("PHASE_SERVICE_TOKEN");
    let variables = variables
        .env("PHASE_TOKEN_COMMAND", "cat user")
        .env("PHASE_SERVICE_TOKEN_FILE", "service");
    let warning = format!("{ignored}PHASE_SERVICE_TOKEN_FILE takes precedence");
    assert_eq!(bearer_of(variables, &[&warning]), service);
    let option = run_with_command(&shop, "cat user").env("PHASE_TOKEN_COMMAND", "exit 1");
    let option = option.env("PHASE_SERVICE_TOKEN", service_token());
    let option = option.env("PHASE_SERVICE_TOKEN_FILE", "service");
    assert_eq!(bearer_of(option, &[]), user);
    let option = run_with_command(&shop, "cat user").env("PHASE_IDENTITY", "aws");
    let warning = "warning: ignoring PHASE_IDENTITY: --token-command takes precedence";
    assert_eq!(bearer_of(option, &[warning]), user);
    for other in [&["--token-file", "user"], &["--identity", "aws"]] {
        let both = run_with(&shop, "cat user", other).arg("true");
        let output = both.output().assert_error(125, "usage");
        assert!(output.stderr.contains("--token-command"), "{output}");
    }
}

/// Neither the line nor any token reaches the command, and no token reaches the line.
#[test]
fn token_variables_are_hidden_from_both_commands() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let shop = shop_with_tokens();
    let line = "env | grep TOKEN > variables; env > all; cat user";
    let run = |options: &[&str]| {
        let run = shop.run_inspector(options).unset("PHASE_SERVICE_TOKEN");
        let run = run.env("PHASE_TOKEN_COMMAND", line);
        run.env("PHASE_OTHER_TOKEN", service_token())
    };
    let report = run(&[]).report();
    assert_eq!(report.variable("PHASE_TOKEN_COMMAND"), None);
    assert_eq!(report.variable("KEY"), Some(b"of the shop".to_vec()));
    let read = |name: &str| read_to_string(shop.directory().join(name)).unwrap();
    assert_eq!(read("variables"), "");
    assert!(read("all").contains("PHASE_HOST="));
    let report = run(&["--keep-token"]).report();
    let kept = report.variable("PHASE_TOKEN_COMMAND");
    assert_eq!(kept.as_deref(), Some(line.as_bytes()));
    assert_eq!(read("variables"), "");
}

/// The error has the reason, and never any of the output.
#[test]
fn failed_token_command_is_an_error_without_its_output() {
    let mut shop = shop_with_tokens();
    shop.canary("canary-of-output");
    let from = "cannot get a token with --token-command";
    let invalid = "the token from --token-command is not valid";
    for (line, message) in [
        (
            "echo canary-of-output; exit 3",
            format!("{from}: the command exited with status 3"),
        ),
        (
            "cat user; kill -KILL $$",
            format!("{from}: the command was killed by signal KILL"),
        ),
        ("true", format!("{from}: it printed nothing")),
        ("exec >&-", format!("{from}: it printed nothing")),
        (
            "head -c 70000 /dev/zero",
            format!("{from}: it printed more than 65536 bytes"),
        ),
        (
            "yes canary-of-output",
            format!("{from}: it printed more than 65536 bytes"),
        ),
        ("echo; cat user", format!("{invalid}: it is empty")),
        (
            "echo canary-of-output",
            format!("{invalid}: it is neither pss_service"),
        ),
        (
            "printf '\\0'; cat user",
            format!("{invalid}: it is neither pss_service"),
        ),
        (
            "tr -d '\\n' <user; echo ' canary-of-output'",
            format!("{invalid}: it contains white space"),
        ),
    ] {
        assert_fails(run_with_command(&shop, line), &shop, &message);
    }
    let empty = run_with(&shop, "", &[]).arg("true");
    let _ = empty.output().assert_error(125, "usage");
    let token = run_with(&shop, user_token(), &[]).arg("true");
    assert_fails(token, &shop, "--token-command takes a command that prints");
}

/// A shell line may start and end with a quotation mark. If these two enclose all of it, they are named as
/// the cause of its failure.
#[test]
fn quoted_words_of_token_command_are_accepted() {
    let shop = shop_with_tokens();
    let run = || shop.run_with(&[]).args(["printenv", "KEY"]);
    let run = |line| {
        run()
            .unset("PHASE_SERVICE_TOKEN")
            .env("PHASE_TOKEN_COMMAND", line)
    };
    let _ = run("'cat' 'user'").output().assert_ok();
    let output = run("\"cat user\"").output();
    assert_eq!(output.status, Status::Exited(125), "{output}");
    let hint = "hint: remove the quotation marks where PHASE_TOKEN_COMMAND is set: ";
    assert!(output.stderr.contains(hint), "{output}");
}

/// A process that the command has left behind keeps the pipe open, and goes on running.
#[test]
fn background_process_does_not_delay_start() {
    let shop = shop_with_tokens();
    let run = run_with_command(&shop, "sleep 1000 2>/dev/null & echo $! > left; cat user");
    assert_eq!(run.output().assert_ok().text(), "of the shop\n");
    let left = read_to_string(shop.directory().join("left")).unwrap();
    let left = left.trim().parse().unwrap();
    assert_ne!(state(left), 'X');
    kill(left, SIGKILL);
}

/// After the limit, the shell and everything that it has started are killed.
#[test]
fn token_command_is_killed_after_max_wait() {
    if !require_linux("the harness reads /proc") {
        return;
    }
    let shop = shop_with_tokens();
    let line = "trap '' TERM; sh -c 'echo $$ > inner; sleep 1000' & echo $$ > outer; \
        until [ -s inner ]; do :; done; cat user; wait";
    let run = run_with(&shop, line, &["--max-wait", "5"]).arg("true");
    let message = "cannot get a token with --token-command: it did not end within 5 s";
    assert_fails(run, &shop, message);
    for name in ["inner", "outer"] {
        let pid = read_to_string(shop.directory().join(name)).unwrap();
        wait_until_gone(&[pid.trim().parse().unwrap()]);
    }
}

/// Whatever kills phase-run also kills the command, and Ctrl-C reaches both.
#[test]
fn token_command_dies_with_phase_run() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    for (supervise, signal, to_group) in [
        (false, SIGTERM, false),
        (false, SIGKILL, false),
        (false, SIGINT, true),
        (true, SIGTERM, false),
        (true, SIGKILL, false),
    ] {
        let shop = shop_with_tokens();
        let mode: &[&str] = if supervise { &["--supervise"] } else { &[] };
        let line = ["--token-command", "echo $$ >&2; exec sleep 1000"];
        let run = shop.run(SHOP).args(mode).args(line).args(["--", "true"]);
        let mut running = run.unset("PHASE_SERVICE_TOKEN").own_group().spawn();
        let helper: i32 = running.stderr_line().parse().unwrap();
        let pid = running.pid();
        kill(if to_group { -pid } else { pid }, signal);
        let _ = running.wait().assert_status(Status::Killed(signal));
        wait_until_gone(&[helper]);
        assert!(shop.phase.requests().is_empty());
    }
}

/// A command may ask on the terminal. Standard input belongs to the command that is started.
#[test]
fn token_command_reads_terminal_and_leaves_stdin() {
    if !require_linux("the harness reads /proc") {
        return;
    }
    let shop = shop_with_tokens();
    let ask = "printf 'which? ' >&2; read name; cat \"$name\"";
    let words = [
        "--token-command",
        ask,
        "--",
        "sh",
        "-c",
        "read line; echo got $line",
    ];
    let run = shop.run(SHOP).args(words).unset("PHASE_SERVICE_TOKEN");
    let mut terminal = run.on_terminal();
    let _ = terminal.until("which? ");
    terminal.press("user\n");
    terminal.press("a line\n");
    let _ = terminal.until("got a line");
    // Standard input is a pipe, and the terminal another descriptor.
    let pipe = ["sh", "-c", "echo of the pipe | \"$0\" \"$@\""];
    let run = shop.run(SHOP).args(words).unset("PHASE_SERVICE_TOKEN");
    let mut terminal = run.wrap(pipe).on_terminal();
    let _ = terminal.until("which? ");
    terminal.press("user\n");
    let _ = terminal.until("got of the pipe");
    // Without a terminal there is nothing to read.
    let run = run_with(&shop, "cat; cat user", &[]).arg("cat");
    assert_eq!(run.stdin("input").output().assert_ok().text(), "input");
}

/// A command that is killed while it reads a password leaves the terminal as it was.
#[test]
fn killed_token_command_leaves_terminal_as_it_was() {
    if !require_linux("the harness reads /proc") {
        return;
    }
    let shop = shop_with_tokens();
    let line = "stty -icanon; echo asked >&2; exec sleep 1000";
    let script = "\"$0\" \"$@\"; stty -a | grep -o -- '-*icanon'; echo finished";
    let run = shop
        .run(SHOP)
        .args(["--max-wait", "5", "--token-command", line, "--", "true"]);
    let run = run.unset("PHASE_SERVICE_TOKEN");
    let mut terminal = run.wrap(["sh", "-c", script]).on_terminal();
    let _ = terminal.until("asked");
    let shown = terminal.until("finished");
    assert!(shown.contains("did not end within 5 s"), "{shown}");
    assert!(shown.contains("\nicanon\n"), "{shown}");
}

/// The command inherits the signals as they were, also if CHLD is ignored.
#[test]
fn token_command_leaves_signals_as_they_were() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let shop = shop_with_tokens();
    let words = [&SHOP[..], &["--token-command", "cat user"]].concat();
    for ignored in [None, Some(SIGCHLD)] {
        let comparison = shop.compare_with_bare(&words, |run| {
            let run = run.unset("PHASE_SERVICE_TOKEN");
            ignored.into_iter().fold(run, Run::ignore)
        });
        comparison.expect_added("KEY", "of the shop").check();
    }
    let _ = run_with_command(&shop, "cat user")
        .as_pid1()
        .output()
        .assert_ok();
}

/// Each poll of a watch runs the command again. A failure is a failed poll.
#[test]
fn watch_runs_token_command_at_each_poll() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    let shop = watched_shop();
    let current = shop.private_file("current", format!("{}\n", service_token()));
    let line = "echo run >> runs; cat current";
    let run = shop.run(SHOP).args(WATCH).args(["--token-command", line]);
    let run = run.arg("--").unset("PHASE_SERVICE_TOKEN");
    let mut running = spawn_watched(run, PRINT_SECRET_AND_SERVE);
    wait_for_more_requests(&shop.phase, 4);
    write(&current, format!("{}\n", user_token())).unwrap();
    let user = format!("Bearer User {}", user_bearer());
    eventually("a poll uses the new token", || {
        let last = authorization(&shop);
        (last == user).then_some(()).ok_or(last)
    });
    write(&current, "").unwrap();
    let failure = running.stderr_line();
    let message = "a poll failed, and the command keeps running: error[token]: cannot get a token with --token-command: it printed nothing";
    assert!(failure.contains(message), "{failure}");
    write(&current, format!("{}\n", service_token())).unwrap();
    assert!(running.stderr_line().contains("polling works again"));
    let runs = read_to_string(shop.directory().join("runs")).unwrap();
    assert!(runs.lines().count() >= 4, "{runs}");
    let _ = stop_watched(running);
}

/// Only the first start may ask: later, the terminal belongs to the command that runs.
#[test]
fn polls_leave_terminal_to_the_command() {
    if !require_linux("--supervise and --watch need Linux") {
        return;
    }
    let shop = watched_shop();
    shop.private_file("user", user_token());
    let line = "if [ -t 0 ]; then echo terminal; elif (: </dev/tty) 2>/dev/null; then echo /dev/tty; \
        else echo none; fi >> runs; cat user";
    let run = shop.run(SHOP).args(WATCH).args(["--token-command", line]);
    let run = run.args(["--", inspector(), "serve"]);
    let mut terminal = run.unset("PHASE_SERVICE_TOKEN").on_terminal();
    terminal.wait_until_ready();
    wait_for_more_requests(&shop.phase, 4);
    let runs = read_to_string(shop.directory().join("runs")).unwrap();
    let mut runs = runs.lines();
    assert_eq!(runs.next(), Some("terminal"));
    let polls: Vec<_> = runs.collect();
    assert!(polls.len() > 1, "{polls:?}");
    assert!(polls.iter().all(|poll| *poll == "none"), "{polls:?}");
}
