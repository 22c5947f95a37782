//! A supervised command as a shell's job: stops, `fg`, `bg`, `kill` and background reads work as
//! with the bare command.

#![cfg(target_os = "linux")]

use libc::{SIGCONT, SIGINT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    BASH, DEADLINE, LAUNCH_MODES, LaunchMode, ShellPrompt, ZSH, eventually,
    in_every_shell_and_mode, installed_shells, proc, require_programs,
};

/// The si_code of a signal from kill(2) (sigaction(2), SI_USER).
const SENT: i32 = 0;

/// An inspector that stops like any program and reports all other signals.
const JOB: &str = "run inspector serve 100 20";

/// phase-run stops by the same signal as the command. When it is continued, it continues the
/// command if that is still stopped.
#[test]
fn ctrl_z_and_fg_continue_command_once_each() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start(JOB);
        let mut screen = Vec::new();
        for _ in 0..3 {
            screen.push(prompt.suspend(&[command, runner]));
            assert_eq!(prompt.status(), 128 + SIGTSTP);
            prompt.enter("fg");
            assert_eq!(prompt.next_signal(), (SIGCONT, SENT));
            assert_eq!(prompt.signals_until_barrier(runner), []);
        }
        screen
    });
}

/// The shell prints the same about the job as for the bare command.
#[test]
fn stopped_job_ends_by_ctrl_c_after_fg() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        let mut screen = prompt.suspend(&[command, runner]);
        prompt.enter("fg");
        // Ctrl-C discards terminal output that has not been read yet (termios(3), NOFLSH), so the line
        // of `fg` is read first.
        let _ = prompt.until("run inspector sleep\n");
        proc::wait_until_foreground(command);
        proc::wait_until_foreground(runner);
        prompt.press("\x03");
        screen += &prompt.prompt();
        assert_eq!(prompt.status(), 128 + SIGINT);
        proc::wait_until_gone(&[command, runner]);
        screen
    });
}

#[test]
fn background_job_does_not_get_ctrl_c() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start(JOB);
        prompt.suspend(&[command, runner]);
        prompt.enter("bg");
        assert_eq!(prompt.next_signal(), (SIGCONT, SENT));
        assert_eq!(prompt.signals_until_barrier(runner), []);
        // Another command has the terminal.
        let _ = prompt.start("inspector serve 1");
        prompt.press("\x03");
        assert_eq!(prompt.next_signal(), (SIGINT, 128));
        assert_eq!(prompt.signals_until_barrier(runner), []);
        prompt.enter("fg");
        proc::wait_until_foreground(runner);
        // Some shells send CONT even to a running group; the command then gets it twice.
        let received = prompt.signals_until_barrier(runner);
        assert!(
            received.iter().all(|one| *one == (SIGCONT, SENT)),
            "{received:?}"
        );
        assert!(
            received.len() <= 1 || prompt.mode >= LaunchMode::Supervised,
            "{received:?}"
        );
        prompt.press("\x03");
        assert_eq!(prompt.next_signal(), (SIGINT, 128));
        assert_eq!(prompt.signals_until_barrier(runner), []);
    });
}

/// `kill %1` signals the whole group, so the command gets the signal twice: from the shell and
/// forwarded. It ends with the same status as the bare command.
#[test]
fn kill_of_job_ends_it_with_command_status() {
    in_every_shell_and_mode(|prompt| {
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
                proc::wait_until_gone(&[command, runner]);
            }
        }
    });
}

/// The inspector counts the signals: one for the process that the shell started, and at least one
/// for the job.
#[test]
fn kill_pid_arrives_once_kill_job_at_least_once() {
    in_every_shell_and_mode(|prompt| {
        let (_, runner) = prompt.start("run inspector serve 100 & job=$!");
        prompt.enter("kill $job");
        assert_eq!(prompt.next_signal().0, SIGTERM);
        assert_eq!(prompt.signals_until_barrier(runner), []);
        prompt.enter("kill %1");
        assert_eq!(prompt.next_signal().0, SIGTERM);
        let more = prompt.signals_until_barrier(runner);
        let duplicates = match prompt.mode {
            LaunchMode::Bare | LaunchMode::Exec => 0,
            LaunchMode::Supervised => 1,
            LaunchMode::Nested => 3,
        };
        assert!(more.len() <= duplicates, "{more:?}");
        assert!(
            more.iter().all(|(signal, _)| *signal == SIGTERM),
            "{more:?}"
        );
    });
}

/// A signal to a stopped job takes effect when the job is continued.
#[test]
fn kill_of_stopped_job_ends_it() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.suspend(&[command, runner]);
        prompt.enter("kill %1; fg");
        prompt.prompt();
        proc::wait_until_gone(&[command, runner]);
    });
}

/// tty(4): a background process that reads its terminal is stopped by TTIN. After `fg` it reads
/// what is typed.
#[test]
fn background_read_stops_job_until_fg() {
    in_every_shell_and_mode(|prompt| {
        let line = "run sh -c 'echo ready $$; read key; echo key=$key' &";
        let (command, runner) = prompt.start(line);
        proc::wait_until_stopped(&[command, runner]);
        stopped_by(prompt, "tty input");
        prompt.enter("fg");
        proc::wait_until_foreground(command);
        prompt.enter("yes");
        let _ = prompt.until("key=yes\n");
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// TTOU does the same if the terminal is set to stop background output (termios(3), TOSTOP).
#[test]
fn background_write_stops_job_until_fg() {
    in_every_shell_and_mode(|prompt| {
        prompt.show("stty tostop");
        prompt.enter("run sh -c 'echo written' & echo job=$!");
        let _ = prompt.until("job=");
        let runner: i32 = prompt.line().parse().unwrap();
        proc::wait_until_stopped(&[runner]);
        stopped_by(prompt, "tty output");
        prompt.enter("fg");
        let _ = prompt.until("written\n");
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// Waits until the shell lists the job as stopped for this reason.
fn stopped_by(prompt: &mut ShellPrompt, why: &str) {
    eventually(why, || {
        let screen = prompt.show("jobs -l");
        if screen.contains(why) {
            Ok(())
        } else {
            Err(screen)
        }
    });
}

/// A command that catches TTIN does not stop, and phase-run neither stops nor spins.
#[test]
fn command_that_handles_ttin_does_not_stop_job() {
    in_every_shell_and_mode(|prompt| {
        let (_, runner) = prompt.start("run inspector serve 100 &");
        assert_eq!(prompt.signals_until_barrier(runner), []);
        kill(Pid::from_raw(-runner), Signal::SIGTTIN).unwrap();
        assert_eq!(prompt.next_signal().0, SIGTTIN);
        assert!(
            prompt
                .signals_until_barrier(runner)
                .iter()
                .all(|(signal, _)| *signal == SIGTTIN)
        );
        proc::wait_until_asleep(runner);
    });
}

/// Editors do this: the program stops its whole group.
#[test]
fn program_that_stops_its_group_resumes_after_fg() {
    in_every_shell_and_mode(|prompt| {
        let line = "run sh -c 'echo ready $$; kill -TSTP 0; echo woke; kill -TSTP 0; echo again'";
        let (command, runner) = prompt.start(line);
        for woke in ["woke\n", "again\n"] {
            prompt.prompt();
            proc::wait_until_stopped(&[command, runner]);
            assert_eq!(prompt.status(), 128 + SIGTSTP);
            prompt.enter("fg");
            let _ = prompt.until(woke);
        }
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
    });
}

/// The sender is not the command itself, so phase-run forwards the stop signal. The stopped command
/// never handles this second copy, because CONT discards pending stop signals (signal(7)).
#[test]
fn grandchild_that_stops_group_stops_it_once() {
    in_every_shell_and_mode(|prompt| {
        let line =
            "run sh -c 'echo ready $$; sh -c \"kill -TSTP 0\"; echo woke; inspector serve 2'";
        let (command, runner) = prompt.start(line);
        prompt.prompt();
        proc::wait_until_stopped(&[command, runner]);
        assert_eq!(prompt.status(), 128 + SIGTSTP);
        prompt.enter("fg");
        let _ = prompt.until("woke\n");
        let _ = prompt.wait_until_ready();
        prompt.press("\x03");
        assert_eq!(prompt.next_signal(), (SIGINT, 128));
    });
}

/// If only the command is stopped, phase-run stops too, so that the shell notices.
#[test]
fn stop_of_command_by_pid_stops_job() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start(JOB);
        kill(Pid::from_raw(command), Signal::SIGSTOP).unwrap();
        prompt.prompt();
        proc::wait_until_stopped(&[command, runner]);
        assert_eq!(prompt.status(), 128 + SIGSTOP);
        prompt.enter("fg");
        assert_eq!(prompt.next_signal(), (SIGCONT, SENT));
        assert_eq!(prompt.signals_until_barrier(runner), []);
    });
}

/// A CONT to the process that the shell started continues the command, once.
#[test]
fn cont_to_phase_run_continues_command_once() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start(JOB);
        for _ in 0..3 {
            prompt.suspend(&[command, runner]);
            kill(Pid::from_raw(runner), Signal::SIGCONT).unwrap();
            assert_eq!(prompt.next_signal(), (SIGCONT, SENT));
            assert_eq!(prompt.signals_until_barrier(runner), []);
            prompt.enter("fg");
            proc::wait_until_foreground(command);
            // Some shells send CONT even to a running group.
            let received = prompt.signals_until_barrier(runner);
            assert!(
                received.iter().all(|one| *one == (SIGCONT, SENT)),
                "{received:?}"
            );
        }
    });
}

/// Ctrl-Z stops the script and everything it runs, and `fg` continues all of it.
#[test]
fn ctrl_z_stops_script_that_runs_phase_run() {
    in_every_shell_and_mode(|prompt| {
        let shell = prompt.shell;
        let script = format!("#!/usr/bin/env {shell}\nrun inspector serve 2 20\necho went on\n");
        prompt.shop.executable("script", script);
        let (command, runner) = prompt.start("./script");
        let script = proc::group(command);
        let screen = prompt.suspend(&[command, runner, script]);
        assert_eq!(prompt.status(), 128 + SIGTSTP);
        prompt.enter("fg");
        assert_eq!(prompt.next_signal(), (SIGCONT, SENT));
        assert_eq!(prompt.signals_until_barrier(runner), []);
        let _ = prompt.until("went on\n");
        prompt.prompt();
        assert_eq!(prompt.status(), 0);
        screen
    });
}

/// The command has jobs of its own and moves the terminal between them.
#[test]
fn shell_as_command_has_its_own_jobs() {
    in_every_shell_and_mode(|prompt| {
        let words = installed_shells()
            .into_iter()
            .find(|words| words[0] == prompt.shell)
            .unwrap();
        prompt.show(&format!("run {}", words.join(" ")));
        prompt.enter("inspector serve 100 20");
        let inner = prompt.wait_until_ready();
        let screen = prompt.suspend(&[inner]);
        assert_eq!(prompt.status(), 128 + SIGTSTP);
        prompt.enter("fg");
        assert_eq!(prompt.next_signal(), (SIGCONT, SENT));
        prompt.press("\x03");
        assert_eq!(prompt.next_signal(), (SIGINT, 128));
        kill(Pid::from_raw(inner), Signal::SIGKILL).unwrap();
        let _ = prompt.prompt();
        prompt.enter("exit 9");
        let _ = prompt.prompt();
        assert_eq!(prompt.status(), 9);
        screen
    });
}

/// A shell that suspends itself gives the terminal back, and has it again after `fg`.
#[test]
fn shell_as_command_can_be_suspended() {
    if !require_programs(&["zsh"]) {
        return;
    }
    for mode in LAUNCH_MODES {
        let mut prompt = ShellPrompt::open(ZSH, mode);
        prompt.show(&format!("run {}", ZSH.join(" ")));
        prompt.enter("echo inner=$$");
        let _ = prompt.until("inner=");
        let command: i32 = prompt.line().parse().unwrap();
        let runner = proc::outermost_phase_run(command);
        prompt.prompt();
        prompt.show("suspend");
        proc::wait_until_stopped(&[command, runner]);
        prompt.enter("fg");
        proc::wait_until_foreground(command);
        prompt.enter("echo still=$$");
        let _ = prompt.until(&format!("still={command}\n"));
        prompt.prompt();
        prompt.enter("exit 9");
        let _ = prompt.prompt();
        assert_eq!(prompt.status(), 9);
    }
}

/// A fetch is stopped and continued like the command. System calls then return EINTR although there
/// is no handler (signal(7)).
#[test]
fn ctrl_z_during_fetch_is_completed_after_fg() {
    for shell in installed_shells() {
        for mode in [LaunchMode::Exec, LaunchMode::Supervised, LaunchMode::Nested] {
            for path in ["/tokens/", "/v1/secrets/"] {
                let mut prompt = ShellPrompt::open(shell, mode);
                let gate = prompt.shop.phase.gate(path);
                prompt.enter("run inspector cat-env SECRET");
                gate.wait_for_request(DEADLINE);
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

/// phase-run stops only if its parent, another process of the session, can resume it. The parent
/// may end after the start.
#[test]
fn orphaned_supervisor_does_not_stop() {
    let mut prompt = ShellPrompt::open(BASH, LaunchMode::Supervised);
    let (command, runner) = prompt.start("(run inspector sleep; exit)");
    let send = |pid, signal| kill(Pid::from_raw(pid), signal).unwrap();
    send(proc::parent(runner), Signal::SIGKILL);
    prompt.prompt();
    send(command, Signal::SIGSTOP);
    proc::wait_until_stopped(&[command]);
    // phase-run has handled the stop of the command, and still runs.
    proc::wait_until_idle(runner);
    send(command, Signal::SIGKILL);
    proc::wait_until_gone(&[command, runner]);
}

/// The kernel sends HUP and CONT to the stopped job, so that nothing is left (credentials(7),
/// orphaned process groups).
#[test]
fn hangup_ends_stopped_job() {
    in_every_shell_and_mode(|prompt| {
        let (command, runner) = prompt.start("run inspector sleep");
        prompt.suspend(&[command, runner]);
        prompt.hang_up();
        proc::wait_until_gone(&[command, runner]);
    });
}
