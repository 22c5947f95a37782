//! A supervised command as a shell's job: stops, `fg`, `bg`, `kill` and background reads are those of
//! the command alone.

use libc::{SIGCONT, SIGINT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    BASH, DEADLINE, LAUNCH_MODES, LaunchMode, ShellPrompt, ZSH, at_prompts, eventually,
    has_programs, installed_shells, proc,
};

/// What siginfo_t says of a signal that kill(2) made (sigaction(2), SI_USER).
const SENT: i32 = 0;

/// A inspector that stops as any program does and tells all other signals.
const JOB: &str = "run inspector serve 100 20";

/// "when the command stops, phase-run stops by the same signal …; on waking it
/// continues the command if that is still stopped."
#[test]
fn ctrl_z_and_fg_again_and_again_continue_the_command_once_each() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start(JOB);
        let mut shown = Vec::new();
        for _ in 0..3 {
            shown.push(prompt.suspend(&[command, runner]));
            assert_eq!(prompt.status(), 128 + SIGTSTP);
            prompt.enter("fg");
            assert_eq!(prompt.reported(), (SIGCONT, SENT));
            assert_eq!(prompt.reported_until_marked(runner), []);
        }
        shown
    });
}

/// What the shell says of the job is what it says of the bare command.
#[test]
fn a_stopped_job_ends_by_ctrl_c_after_fg() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        let mut shown = prompt.suspend(&[command, runner]);
        prompt.enter("fg");
        proc::in_foreground(command);
        proc::in_foreground(runner);
        prompt.press("\x03");
        shown += &prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::gone(&[command, runner]);
        shown
    });
}

#[test]
fn bg_lets_the_command_go_on_and_ctrl_c_no_longer_reaches_it() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start(JOB);
        prompt.suspend(&[command, runner]);
        prompt.enter("bg");
        assert_eq!(prompt.reported(), (SIGCONT, SENT));
        assert_eq!(prompt.reported_until_marked(runner), []);
        // Another command has the terminal.
        let _ = prompt.start("inspector serve 1");
        prompt.press("\x03");
        assert_eq!(prompt.reported(), (SIGINT, 128));
        assert_eq!(prompt.reported_until_marked(runner), []);
        prompt.enter("fg");
        proc::in_foreground(runner);
        // Not every shell says CONT to a group that runs already; where one does, it comes twice.
        let told = prompt.reported_until_marked(runner);
        assert!(told.iter().all(|told| *told == (SIGCONT, SENT)), "{told:?}");
        assert!(
            told.len() <= 1 || prompt.mode >= LaunchMode::Supervised,
            "{told:?}"
        );
        prompt.press("\x03");
        assert_eq!(prompt.reported(), (SIGINT, 128));
        assert_eq!(prompt.reported_until_marked(runner), []);
    });
}

/// The price: "who signals the whole group on purpose (`kill %1` …) reaches the
/// command twice". It ends as it would alone.
#[test]
fn kill_of_the_job_ends_it_with_the_commands_status() {
    at_prompts(|prompt| {
        for (line, status) in [
            ("run inspector sleep", 128 + SIGTERM),
            (
                "run sh -c 'trap \"kill \\$!; exit 7\" TERM; inspector sleep & wait'",
                7,
            ),
        ] {
            for job in ["%1", "$job"] {
                let (command, runner) = prompt.start(&format!("{line} & job=$!"));
                prompt.enter(&format!("kill {job}; wait $job"));
                assert_eq!(prompt.status(), status, "kill {job} of {line}");
                proc::gone(&[command, runner]);
            }
        }
    });
}

/// The inspector counts: at least once for the job, once for the process that the shell started.
#[test]
fn kill_of_the_process_reaches_the_command_once_and_of_the_job_at_least_once() {
    at_prompts(|prompt| {
        let (_, runner) = prompt.start("run inspector serve 100 & job=$!");
        prompt.enter("kill $job");
        assert_eq!(prompt.reported().0, SIGTERM);
        assert_eq!(prompt.reported_until_marked(runner), []);
        prompt.enter("kill %1");
        assert_eq!(prompt.reported().0, SIGTERM);
        let more = prompt.reported_until_marked(runner);
        let price = match prompt.mode {
            LaunchMode::Bare | LaunchMode::Exec => 0,
            LaunchMode::Supervised => 1,
            LaunchMode::Nested => 3,
        };
        assert!(more.len() <= price, "{more:?}");
        assert!(
            more.iter().all(|(signal, _)| *signal == SIGTERM),
            "{more:?}"
        );
    });
}

/// A stopped job has the signal when it goes on, and ends by it.
#[test]
fn kill_of_a_stopped_job_ends_it() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.suspend(&[command, runner]);
        prompt.enter("kill %1; fg");
        prompt.prompt();
        proc::gone(&[command, runner]);
    });
}

/// tty(4): a background process that reads its terminal is stopped by TTIN. With `fg` it reads what
/// is typed.
#[test]
fn a_background_read_stops_the_job_and_fg_lets_it_read() {
    at_prompts(|prompt| {
        let line = "run sh -c 'echo ready $$; read key; echo key=$key' &";
        let (command, runner) = prompt.start(line);
        proc::stopped(&[command, runner]);
        stopped_by(prompt, "tty input");
        prompt.enter("fg");
        proc::in_foreground(command);
        prompt.enter("yes");
        let _ = prompt.until("key=yes\n");
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// The same for TTOU, where the terminal asks for it (termios(3), TOSTOP).
#[test]
fn background_output_stops_the_job_and_fg_lets_it_write() {
    at_prompts(|prompt| {
        prompt.show("stty tostop");
        prompt.enter("run sh -c 'echo written' & echo job=$!");
        let _ = prompt.until("job=");
        let runner: i32 = prompt.line().parse().unwrap();
        proc::stopped(&[runner]);
        stopped_by(prompt, "tty output");
        prompt.enter("fg");
        let _ = prompt.until("written\n");
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// Awaits that the shell calls the job stopped, and why. It learns of that on its own time.
fn stopped_by(prompt: &mut ShellPrompt, why: &str) {
    eventually(why, || {
        let shown = prompt.show("jobs -l");
        if shown.contains(why) {
            Ok(())
        } else {
            Err(shown)
        }
    });
}

/// A command that caught TTIN is not stopped by it: phase-run neither stops nor spins.
#[test]
fn a_command_that_handles_ttin_is_left_to_that() {
    at_prompts(|prompt| {
        let (_, runner) = prompt.start("run inspector serve 100 &");
        assert_eq!(prompt.reported_until_marked(runner), []);
        kill(Pid::from_raw(-runner), Signal::SIGTTIN).unwrap();
        assert_eq!(prompt.reported().0, SIGTTIN);
        assert!(
            prompt
                .reported_until_marked(runner)
                .iter()
                .all(|(signal, _)| *signal == SIGTTIN)
        );
        proc::asleep(runner);
    });
}

/// As editors do: the program asks its whole group to stop.
#[test]
fn a_program_that_stops_its_own_group_stops_and_goes_on() {
    at_prompts(|prompt| {
        let line = "run sh -c 'echo ready $$; kill -TSTP 0; echo woke; kill -TSTP 0; echo again'";
        let (command, runner) = prompt.start(line);
        for woke in ["woke\n", "again\n"] {
            prompt.prompt();
            proc::stopped(&[command, runner]);
            assert_eq!(prompt.status(), 128 + SIGTSTP);
            prompt.enter("fg");
            let _ = prompt.until(woke);
        }
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// The sender is not the command itself, so the signal is forwarded: a second copy of a stop that the
/// stopped command never sees (signal(7): CONT takes pending stops away).
#[test]
fn a_grandchild_that_stops_the_group_stops_it_once() {
    at_prompts(|prompt| {
        let line =
            "run sh -c 'echo ready $$; sh -c \"kill -TSTP 0\"; echo woke; inspector serve 2'";
        let (command, runner) = prompt.start(line);
        prompt.prompt();
        proc::stopped(&[command, runner]);
        assert_eq!(prompt.status(), 128 + SIGTSTP);
        prompt.enter("fg");
        let _ = prompt.until("woke\n");
        let _ = prompt.ready();
        prompt.press("\x03");
        assert_eq!(prompt.reported(), (SIGINT, 128));
    });
}

/// A stop that only the command got: phase-run follows, so that the shell sees it.
#[test]
fn a_stop_of_the_command_by_pid_stops_the_job() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start(JOB);
        kill(Pid::from_raw(command), Signal::SIGSTOP).unwrap();
        prompt.prompt();
        proc::stopped(&[command, runner]);
        assert_eq!(prompt.status(), 128 + SIGSTOP);
        prompt.enter("fg");
        assert_eq!(prompt.reported(), (SIGCONT, SENT));
        assert_eq!(prompt.reported_until_marked(runner), []);
    });
}

/// "on waking it continues the command if that is still stopped": whoever continues the process that
/// the shell started continues the command, once.
#[test]
fn a_continuation_of_phase_run_alone_continues_the_command() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start(JOB);
        for _ in 0..3 {
            prompt.suspend(&[command, runner]);
            kill(Pid::from_raw(runner), Signal::SIGCONT).unwrap();
            assert_eq!(prompt.reported(), (SIGCONT, SENT));
            assert_eq!(prompt.reported_until_marked(runner), []);
            prompt.enter("fg");
            proc::in_foreground(command);
            // What the shell says to a group that runs already.
            let told = prompt.reported_until_marked(runner);
            assert!(told.iter().all(|told| *told == (SIGCONT, SENT)), "{told:?}");
        }
    });
}

/// Ctrl-Z of a script stops all of it, and `fg` lets all of it go on.
#[test]
fn ctrl_z_stops_a_script_around_phase_run() {
    at_prompts(|prompt| {
        let shell = prompt.shell;
        let script = format!("#!/usr/bin/env {shell}\nrun inspector serve 2 20\necho went on\n");
        prompt.shop.executable("script", script);
        let (command, runner) = prompt.start("./script");
        let script = proc::group(command);
        let shown = prompt.suspend(&[command, runner, script]);
        assert_eq!(prompt.status(), 128 + SIGTSTP);
        prompt.enter("fg");
        assert_eq!(prompt.reported(), (SIGCONT, SENT));
        assert_eq!(prompt.reported_until_marked(runner), []);
        let _ = prompt.until("went on\n");
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
        shown
    });
}

/// The command has jobs of its own, and takes the terminal as it likes.
#[test]
fn a_shell_as_the_command_has_its_own_jobs() {
    at_prompts(|prompt| {
        let words = installed_shells()
            .into_iter()
            .find(|words| words[0] == prompt.shell)
            .unwrap();
        prompt.show(&format!("run {}", words.join(" ")));
        prompt.enter("inspector serve 100 20");
        let inner = prompt.ready();
        let shown = prompt.suspend(&[inner]);
        assert_eq!(prompt.status(), 128 + SIGTSTP);
        prompt.enter("fg");
        assert_eq!(prompt.reported(), (SIGCONT, SENT));
        prompt.press("\x03");
        assert_eq!(prompt.reported(), (SIGINT, 128));
        kill(Pid::from_raw(inner), Signal::SIGKILL).unwrap();
        let _ = prompt.prompt();
        prompt.enter("exit 9");
        let _ = prompt.prompt();
        assert_eq!(prompt.status(), 9);
        shown
    });
}

/// It stops as a whole, gives the terminal back, and has it again after `fg`.
#[test]
fn a_shell_as_the_command_can_be_suspended() {
    if !has_programs(&["zsh"]) {
        return;
    }
    for mode in LAUNCH_MODES {
        let mut prompt = ShellPrompt::open(ZSH, mode);
        prompt.show(&format!("run {}", ZSH.join(" ")));
        prompt.enter("echo inner=$$");
        let _ = prompt.until("inner=");
        let command: i32 = prompt.line().parse().unwrap();
        let runner = proc::runner(command);
        prompt.prompt();
        prompt.show("suspend");
        proc::stopped(&[command, runner]);
        prompt.enter("fg");
        proc::in_foreground(command);
        prompt.enter("echo still=$$");
        let _ = prompt.until(&format!("still={command}\n"));
        prompt.prompt();
        prompt.enter("exit 9");
        let _ = prompt.prompt();
        assert_eq!(prompt.status(), 9);
    }
}

/// A fetch is stopped and goes on like the command (signal(7): calls that return EINTR after a stop
/// without any handler).
#[test]
fn ctrl_z_during_the_fetch_and_fg_completes_it() {
    for shell in installed_shells() {
        for mode in [LaunchMode::Exec, LaunchMode::Supervised, LaunchMode::Nested] {
            for path in ["/tokens/", "/v1/secrets/"] {
                let mut prompt = ShellPrompt::open(shell, mode);
                let gate = prompt.shop.phase.gate(path);
                prompt.enter("run inspector cat-env SECRET");
                gate.arrived(DEADLINE);
                prompt.press("\x1a");
                prompt.prompt();
                assert_eq!(prompt.status(), 128 + SIGTSTP);
                gate.open();
                prompt.enter("fg");
                let _ = prompt.until("value");
                prompt.prompt();
                assert_eq!(prompt.status(), 0);
            }
        }
    }
}

/// "… if there is … somebody who can resume it": its parent, another process of the session, may go
/// after the start.
#[test]
fn a_stop_of_the_command_does_not_stop_what_has_lost_its_parent() {
    let mut prompt = ShellPrompt::open(BASH, LaunchMode::Supervised);
    let (command, runner) = prompt.start("(run inspector sleep; exit)");
    let send = |pid, signal| kill(Pid::from_raw(pid), signal).unwrap();
    send(proc::parent(runner), Signal::SIGKILL);
    prompt.prompt();
    send(command, Signal::SIGSTOP);
    proc::stopped(&[command]);
    // It has seen the stop, and still runs.
    proc::idle(runner);
    send(command, Signal::SIGKILL);
    proc::gone(&[command, runner]);
}

/// A hangup while the job is stopped: HUP and CONT, so that nothing is left behind (credentials(7),
/// orphaned groups).
#[test]
fn a_hangup_ends_a_stopped_job() {
    at_prompts(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.suspend(&[command, runner]);
        prompt.hang_up();
        proc::gone(&[command, runner]);
    });
}
