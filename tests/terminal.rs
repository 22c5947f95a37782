//! A supervised command at a terminal: keys, window sizes, pipelines, scripts and loops do what they
//! do to the command alone.

use std::fs::read_to_string;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGWINCH};

use crate::support::{
    BASH, DASH, DEADLINE, InspectorLog, LaunchMode, ShellPrompt, at_prompts, proc, skip,
};

/// What siginfo_t says of a signal that the terminal made (sigaction(2), SI_KERNEL).
const KERNEL: i32 = 128;

/// "where there is a controlling terminal, INT, QUIT, … WINCH, HUP and CONT that
/// the kernel made for the terminal's group" are not forwarded: the command has them already.
#[test]
fn a_key_reaches_the_command_once_and_from_the_terminal_itself() {
    at_prompts(|prompt| {
        let (_, runner) = prompt.start("run inspector serve 3");
        prompt.press("\x03");
        let int = prompt.reported();
        assert_eq!(int, (SIGINT, KERNEL));
        prompt.press("\x1c");
        let quit = prompt.reported();
        assert_eq!(quit, (SIGQUIT, KERNEL));
        assert_eq!(prompt.reported_until_marked(runner), []);
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// tty_ioctl(4): TIOCSWINSZ sends WINCH to the foreground group.
#[test]
fn a_new_window_size_is_told_once() {
    at_prompts(|prompt| {
        let (_, runner) = prompt.start("run inspector serve");
        prompt.resize(50, 132);
        assert_eq!(prompt.reported(), (SIGWINCH, KERNEL));
        assert_eq!(prompt.reported_until_marked(runner), []);
        prompt.resize(24, 80);
        assert_eq!(prompt.reported(), (SIGWINCH, KERNEL));
        assert_eq!(prompt.reported_until_marked(runner), []);
    });
}

/// The command's own status, also where it caught the key.
#[test]
fn a_command_that_traps_ctrl_c_gives_its_own_status() {
    at_prompts(|prompt| {
        let line = "run sh -c 'trap \"echo caught; exit 7\" INT; inspector sleep'";
        let _ = prompt.start(line);
        prompt.press("\x03");
        let shown = prompt.prompt();
        assert_eq!(shown.matches("caught").count(), 1, "{shown}");
        let status = prompt.status();
        assert_eq!(status, 7);
        shown
    });
}

/// A terminal reads the same after a command that ended by a key: dying by the command's signal.
#[test]
fn ctrl_c_ends_the_command_and_the_shell_sees_it_die_of_that() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.press("\x03");
        let shown = prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::gone(&[command, runner]);
        shown
    });
}

/// core(5). "No trace of phase-run's memory": its own death by QUIT leaves no core file, be it while
/// it waits for the command or for Phase.
#[test]
fn ctrl_backslash_ends_the_command_and_phase_run_leaves_no_core() {
    at_prompts(|prompt| {
        let shown = prompt.show("ulimit -c unlimited");
        assert_eq!(shown, "");
        let (command, runner) = prompt.start("run sh -c 'ulimit -c 0; exec inspector sleep'");
        prompt.press("\x1c");
        let shown = prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGQUIT);
        proc::gone(&[command, runner]);
        assert_eq!(cores(prompt), 0);
        shown
    });
}

#[test]
fn ctrl_backslash_during_the_fetch_leaves_no_core() {
    for mode in [LaunchMode::Exec, LaunchMode::Supervised, LaunchMode::Nested] {
        let mut prompt = ShellPrompt::open(BASH, mode);
        prompt.show("ulimit -c unlimited");
        let gate = prompt.shop.phase.gate("");
        prompt.enter("run inspector sleep");
        gate.arrived(DEADLINE);
        prompt.press("\x1c");
        prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGQUIT);
        assert_eq!(cores(&prompt), 0);
        drop(gate);
    }
}

/// The two above could fail: where the kernel writes core files into the working directory, the bare
/// command leaves one.
#[test]
fn the_bare_command_leaves_a_core() {
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

/// "So pipelines … work as for the bare command": a member that reads the terminal
/// is in its foreground group.
#[test]
fn another_member_of_the_pipeline_can_read_the_terminal() {
    at_prompts(|prompt| {
        let reader = "sh -c 'read up; echo reading; read key </dev/tty; echo key=$key; \
            kill ${up#ready }'";
        prompt.enter(&format!("run inspector sleep | {reader}"));
        let _ = prompt.until("reading\n");
        prompt.enter("yes");
        let _ = prompt.until("key=yes\n");
        let shown = prompt.prompt();
        assert_eq!(prompt.status(), 0);
        shown
    });
}

/// The same for phase-run as the second member, whose group another process leads.
#[test]
fn ctrl_c_reaches_the_second_member_of_a_pipeline_once() {
    at_prompts(|prompt| {
        let line = "sh -c 'trap \"\" INT; exec inspector sleep' | \
            run sh -c 'read up; exec inspector serve 2'";
        let (command, runner) = prompt.start(line);
        assert_ne!(proc::group(command), runner);
        prompt.press("\x03");
        assert_eq!(prompt.reported(), (SIGINT, KERNEL));
        assert_eq!(prompt.reported_until_marked(runner), []);
        // The first member is still there.
        prompt.press("\x1c");
        let shown = prompt.prompt();
        assert_eq!(prompt.status(), 0);
        shown
    });
}

#[test]
fn ctrl_c_ends_a_pipeline_that_ends_in_phase_run() {
    at_prompts(|prompt| {
        let (command, runner) =
            prompt.start("inspector serve 1 | run sh -c 'cat; inspector sleep'");
        prompt.press("\x03");
        let shown = prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::gone(&[command, runner]);
        shown.replace(&command.to_string(), "")
    });
}

/// "script loops … work as for the bare command": a script that runs phase-run ends at Ctrl-C.
#[test]
fn ctrl_c_ends_a_script_around_phase_run() {
    at_prompts(|prompt| {
        let script = format!(
            "#!/usr/bin/env {}\nrun inspector sleep\necho went on\n",
            prompt.shell
        );
        prompt.shop.executable("script", script);
        let (command, runner) = prompt.start("./script");
        prompt.press("\x03");
        let shown = prompt.prompt();
        assert!(!shown.contains("went on"), "{shown}");
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::gone(&[command, runner]);
        shown
    });
}

#[test]
fn ctrl_c_ends_a_loop_around_phase_run() {
    at_prompts(|prompt| {
        let script = format!(
            "#!/usr/bin/env {}\nwhile :; do run inspector sleep; done\n",
            prompt.shell
        );
        prompt.shop.executable("script", script);
        for line in ["./script", "while :; do run inspector sleep; done"] {
            let (command, runner) = prompt.start(line);
            prompt.press("\x03");
            let shown = prompt.prompt();
            assert!(!shown.contains("ready"), "{line} went on: {shown}");
            assert_eq!(prompt.status(), 128 + SIGINT, "{line}");
            proc::gone(&[command, runner]);
        }
    });
}

/// bash(1), SIGNALS: a script that waits for a command which handles Ctrl-C itself goes on.
#[test]
fn a_script_goes_on_where_the_command_took_ctrl_c_for_itself() {
    at_prompts(|prompt| {
        // dash ends all the same; the others ask how the command ended.
        let script = "#!/usr/bin/env bash\nrun inspector serve 2\necho went on\n";
        prompt.shop.executable("script", script);
        let (command, runner) = prompt.start("./script");
        // bash ends too where INT comes before it waits, or where it sees the command's end first.
        let script = proc::group(command);
        proc::asleep(script);
        prompt.press("\x03");
        assert_eq!(prompt.reported(), (SIGINT, KERNEL));
        proc::took(script, SIGINT);
        assert_eq!(prompt.reported_until_marked(runner), []);
        let shown = prompt.prompt();
        assert!(shown.contains("went on"), "{shown}");
        prompt.status()
    });
}

/// The terminal goes away: the shell, or the kernel where the shell says nothing, tells its jobs.
#[test]
fn a_hangup_ends_the_command_and_phase_run() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.hang_up();
        proc::gone(&[command, runner]);
    });
}

/// dash dies of the hangup without a word, and the kernel tells the foreground group (tty(4)).
#[test]
fn a_hangup_reaches_the_command_once() {
    let case = |mode| {
        let mut prompt = ShellPrompt::open(DASH, mode);
        prompt.show("mkfifo silence");
        prompt.enter("run inspector serve >log 0<>silence");
        let log = InspectorLog::in_directory(prompt.shop.directory());
        let runner = proc::runner(log.ready());
        prompt.hang_up();
        log.reported_until_marked(runner, 2)
    };
    let bare = case(LaunchMode::Bare);
    assert_eq!(bare, [(SIGHUP, KERNEL), (SIGCONT, KERNEL)]);
    for mode in [LaunchMode::Exec, LaunchMode::Supervised, LaunchMode::Nested] {
        assert_eq!(case(mode), bare, "{mode:?}");
    }
}
