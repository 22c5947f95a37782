//! A supervised command at a terminal: keys, window sizes, pipelines, scripts and loops have the
//! same effect as on the bare command.

#![cfg(target_os = "linux")]

use std::fs::read_to_string;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGWINCH};

use crate::support::{
    BASH, DASH, DEADLINE, InspectorLog, LaunchMode, ShellPrompt, in_every_shell_and_mode,
    inspector, proc, shop, skip,
};

/// The si_code of a signal that the terminal has sent (sigaction(2), SI_KERNEL).
const KERNEL: i32 = 128;

/// The terminal signals its whole foreground group, which the command is in, so phase-run does not
/// forward such signals.
#[test]
fn terminal_key_reaches_command_once() {
    in_every_shell_and_mode(|prompt| {
        let (_, runner) = prompt.start("run inspector serve 3");
        prompt.press("\x03");
        let int = prompt.next_signal();
        assert_eq!(int, (SIGINT, KERNEL));
        prompt.press("\x1c");
        let quit = prompt.next_signal();
        assert_eq!(quit, (SIGQUIT, KERNEL));
        assert_eq!(prompt.signals_until_barrier(runner), []);
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// Ctrl-C after phase-run has started and before it has forked: the kernel has told only phase-run. Here it is
/// pending when phase-run starts, because the signal is blocked.
#[test]
fn ctrl_c_before_fork_reaches_command() {
    let shop = shop([("SECRET", "value")]);
    for mode in [&["--supervise"][..], &["--watch", "60"]] {
        let run = shop.run_with(mode).args([inspector(), "serve"]);
        let script = "stty -echo; echo waiting; read -r line; exec \"$@\"";
        // bash keeps the mask that it was started with, and dash does not.
        let run = run.block(SIGINT).wrap(["bash", "-c", script, "bash"]);
        let mut terminal = run.on_terminal();
        terminal.until("waiting");
        terminal.press("\x03");
        proc::wait_until_pending(terminal.pid(), SIGINT);
        terminal.press("\n");
        terminal.wait_until_ready();
        assert_eq!(terminal.next_signal().0, SIGINT, "{mode:?}");
    }
}

/// tty_ioctl(4): TIOCSWINSZ sends WINCH to the foreground group.
#[test]
fn window_size_change_is_signalled_once() {
    in_every_shell_and_mode(|prompt| {
        let (_, runner) = prompt.start("run inspector serve");
        prompt.resize(50, 132);
        assert_eq!(prompt.next_signal(), (SIGWINCH, KERNEL));
        assert_eq!(prompt.signals_until_barrier(runner), []);
        prompt.resize(24, 80);
        assert_eq!(prompt.next_signal(), (SIGWINCH, KERNEL));
        assert_eq!(prompt.signals_until_barrier(runner), []);
    });
}

/// A command that catches Ctrl-C determines the status.
#[test]
fn command_that_traps_ctrl_c_sets_status() {
    in_every_shell_and_mode(|prompt| {
        let line = "run sh -c 'trap \"echo caught; exit 7\" INT; inspector sleep'";
        let _ = prompt.start(line);
        prompt.press("\x03");
        let screen = prompt.prompt();
        assert_eq!(screen.matches("caught").count(), 1, "{screen}");
        let status = prompt.status();
        assert_eq!(status, 7);
        screen
    });
}

/// The shell shows the same as for the bare command, because phase-run dies by the command's
/// signal.
#[test]
fn ctrl_c_ends_command_with_status_130() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.press("\x03");
        let screen = prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::wait_until_gone(&[command, runner]);
        screen
    });
}

/// core(5): phase-run itself dumps no core when it dies by QUIT.
#[test]
fn ctrl_backslash_leaves_no_core_of_phase_run() {
    in_every_shell_and_mode(|prompt| {
        let screen = prompt.show("ulimit -c unlimited");
        assert_eq!(screen, "");
        let (command, runner) = prompt.start("run sh -c 'ulimit -c 0; exec inspector sleep'");
        prompt.press("\x1c");
        let screen = prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGQUIT);
        proc::wait_until_gone(&[command, runner]);
        assert_eq!(cores(prompt), 0);
        screen
    });
}

/// The same during the fetch.
#[test]
fn ctrl_backslash_during_fetch_leaves_no_core() {
    for mode in [LaunchMode::Exec, LaunchMode::Supervised, LaunchMode::Nested] {
        let mut prompt = ShellPrompt::open(BASH, mode);
        prompt.show("ulimit -c unlimited");
        let gate = prompt.shop.phase.gate("");
        prompt.enter("run inspector sleep");
        gate.wait_for_request(DEADLINE);
        prompt.press("\x1c");
        prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGQUIT);
        assert_eq!(cores(&prompt), 0);
        drop(gate);
    }
}

/// The two tests above could fail: where the kernel writes core files into the working directory,
/// the bare command dumps one.
#[test]
fn bare_command_dumps_core() {
    let pattern = read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/']) {
        skip("core files go elsewhere");
        return;
    }
    let mut prompt = ShellPrompt::open(BASH, LaunchMode::Bare);
    prompt.show("ulimit -c unlimited");
    let _ = prompt.start("run inspector sleep");
    prompt.press("\x1c");
    prompt.prompt();
    assert_eq!(cores(&prompt), 1);
}

fn cores(prompt: &ShellPrompt) -> usize {
    let pattern = read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let beginning = pattern.trim().split('%').next().unwrap().to_owned();
    let files = prompt.shop.directory().read_dir().unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&beginning)).count()
}

/// Another member of the pipeline is in the terminal's foreground group, as with the bare command.
#[test]
fn pipeline_member_can_read_terminal() {
    in_every_shell_and_mode(|prompt| {
        let reader = "sh -c 'read up; echo reading; read key </dev/tty; echo key=$key; \
            kill ${up#ready }'";
        prompt.enter(&format!("run inspector sleep | {reader}"));
        let _ = prompt.until("reading\n");
        prompt.enter("yes");
        let _ = prompt.until("key=yes\n");
        let screen = prompt.prompt();
        assert_eq!(prompt.status(), 0);
        screen
    });
}

/// Here another process leads the group of phase-run.
#[test]
fn ctrl_c_reaches_second_pipeline_member_once() {
    in_every_shell_and_mode(|prompt| {
        let line = "sh -c 'trap \"\" INT; exec inspector sleep' | \
            run sh -c 'read up; exec inspector serve 2'";
        let (command, runner) = prompt.start(line);
        assert_ne!(proc::group(command), runner);
        prompt.press("\x03");
        assert_eq!(prompt.next_signal(), (SIGINT, KERNEL));
        assert_eq!(prompt.signals_until_barrier(runner), []);
        // The first member still runs.
        prompt.press("\x1c");
        let screen = prompt.prompt();
        assert_eq!(prompt.status(), 0);
        screen
    });
}

#[test]
fn ctrl_c_ends_pipeline_with_phase_run_last() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) =
            prompt.start("inspector serve 1 | run sh -c 'cat; inspector sleep'");
        prompt.press("\x03");
        let screen = prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::wait_until_gone(&[command, runner]);
        screen.replace(&command.to_string(), "")
    });
}

/// A script that runs phase-run ends by Ctrl-C, as with the bare command.
#[test]
fn ctrl_c_ends_script_that_runs_phase_run() {
    in_every_shell_and_mode(|prompt| {
        let script = format!(
            "#!/usr/bin/env {}\nrun inspector sleep\necho went on\n",
            prompt.shell
        );
        prompt.shop.executable("script", script);
        let (command, runner) = prompt.start("./script");
        prompt.press("\x03");
        let screen = prompt.prompt();
        assert!(!screen.contains("went on"), "{screen}");
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::wait_until_gone(&[command, runner]);
        screen
    });
}

#[test]
fn ctrl_c_ends_loop_that_runs_phase_run() {
    in_every_shell_and_mode(|prompt| {
        let script = format!(
            "#!/usr/bin/env {}\nwhile :; do run inspector sleep; done\n",
            prompt.shell
        );
        prompt.shop.executable("script", script);
        for line in ["./script", "while :; do run inspector sleep; done"] {
            let (command, runner) = prompt.start(line);
            prompt.press("\x03");
            let screen = prompt.prompt();
            assert!(!screen.contains("ready"), "{line} went on: {screen}");
            assert_eq!(prompt.status(), 128 + SIGINT, "{line}");
            proc::wait_until_gone(&[command, runner]);
        }
    });
}

/// bash(1), SIGNALS: a script continues if the command that it waits for has handled Ctrl-C.
#[test]
fn script_continues_if_command_handles_ctrl_c() {
    in_every_shell_and_mode(|prompt| {
        // dash ends in any case; the other shells check how the command ended.
        let script = "#!/usr/bin/env bash\nrun inspector serve 2\necho went on\n";
        prompt.shop.executable("script", script);
        let (command, runner) = prompt.start("./script");
        // bash also ends if INT arrives before it waits, or after it has seen the command's end.
        let script = proc::group(command);
        proc::wait_until_asleep(script);
        prompt.press("\x03");
        assert_eq!(prompt.next_signal(), (SIGINT, KERNEL));
        proc::wait_until_delivered(script, SIGINT);
        assert_eq!(prompt.signals_until_barrier(runner), []);
        let screen = prompt.prompt();
        assert!(screen.contains("went on"), "{screen}");
        prompt.status()
    });
}

/// When the terminal goes away, the shell signals its jobs, or the kernel signals the group if the
/// shell does not.
#[test]
fn hangup_ends_command_and_phase_run() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.hang_up();
        proc::wait_until_gone(&[command, runner]);
    });
}

/// dash dies of the hangup without signalling its jobs, and the kernel signals the foreground group
/// (tty(4)).
#[test]
fn hangup_reaches_command_once() {
    let case = |mode| {
        let mut prompt = ShellPrompt::open(DASH, mode);
        prompt.show("mkfifo silence");
        prompt.enter("run inspector serve >log 0<>silence");
        let log = InspectorLog::in_directory(prompt.shop.directory());
        let runner = proc::outermost_phase_run(log.wait_until_ready());
        prompt.hang_up();
        log.signals_until_barrier(runner, 2)
    };
    let bare = case(LaunchMode::Bare);
    assert_eq!(bare, [(SIGHUP, KERNEL), (SIGCONT, KERNEL)]);
    for mode in [LaunchMode::Exec, LaunchMode::Supervised, LaunchMode::Nested] {
        assert_eq!(case(mode), bare, "{mode:?}");
    }
}
