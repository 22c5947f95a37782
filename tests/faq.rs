//! Checks of what `docs/faq.md` says about shells, signals and other processes.

#![cfg(target_os = "linux")]

use std::fs::read_to_string;
use std::path::Path;

use fake_phase::{Phase, World};

use crate::support::proc::wait_for_only_child;
use crate::support::{Run, SHOP, Sandbox, Shop, Status, inspector, kill, shop};

/// The caller's shell is a real one; in it, `"$@"` is phase-run with its options.
#[test]
fn quotes_decide_which_shell_expands() {
    let shop = shop([("DB_HOST", "db.internal")]);
    for (words, printed) in [
        (r#"-- echo "[$DB_HOST]""#, "[]"),
        (r#"-c "echo [$DB_HOST]""#, "[]"),
        (r#"-- echo '[$DB_HOST]'"#, "[$DB_HOST]"),
        (r#"-c 'echo "[$DB_HOST]"'"#, "[db.internal]"),
        (r#"-c 'echo "[$DB_HOST $1]"' sh shop"#, "[db.internal shop]"),
    ] {
        let caller = format!("\"$@\" {words}");
        let run = shop.run(SHOP).wrap(["sh", "-c", &caller, "sh"]);
        assert_eq!(
            run.output().assert_ok().text(),
            format!("{printed}\n"),
            "{words}"
        );
    }
}

/// The outer phase-run leaves the token for the inner one, whose app wins.
#[test]
fn nested_runs_combine_two_apps() {
    let mut world = World::captured();
    for app in ["platform", "shop"] {
        let environment = world.app(app).environment("Production", "prod");
        let environment = environment.clear().visible();
        environment.secret("/", "BOTH", app);
        environment.secret("/", &app.to_uppercase(), "value");
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let outer = ["--app", "platform", "--env", "Production", "--keep-token"];
    let inner = ["--app", "shop", "--env", "Production"];
    let line = "echo $BOTH $PLATFORM $SHOP ${PHASE_SERVICE_TOKEN-none}";
    for (option, both) in [("--quiet", "shop"), ("--keep-existing", "platform")] {
        let run = sandbox.run(outer).args(["--", sandbox.program()]);
        let output = run.args(inner).args([option, "-c", line]).output();
        let expected = format!("{both} value value none\n");
        assert_eq!(output.assert_ok().text(), expected);
    }
}

/// Runs the inspector below a shell that waits for it, or in the shell's place.
fn below_a_shell<'a>(shop: &'a Shop, line: &str) -> Run<'a> {
    shop.run(SHOP).args(["-c", line, inspector()])
}

const STAYS: &str = "\"$0\" serve 1; true";
const EXECS: &str = "true; exec \"$0\" serve 1";

/// The shell ends by SIGTERM, and the program that it started continues.
#[test]
fn waiting_shell_does_not_forward_term() {
    let shop = shop([("KEY", "value")]);
    let mut running = below_a_shell(&shop, STAYS).spawn();
    let program = running.wait_until_ready();
    assert_ne!(program, running.pid());
    running.kill(libc::SIGTERM);
    // The first signal that the program reports is the one sent to it directly.
    kill(program, libc::SIGUSR1);
    assert_eq!(running.line().split(' ').nth(1), Some("10"));
    let _ = running.wait().assert_status(Status::Killed(libc::SIGTERM));
}

#[test]
fn waiting_shell_as_pid_1_ignores_term() {
    let shop = shop([("KEY", "value")]);
    let mut running = below_a_shell(&shop, STAYS).as_pid1().spawn();
    assert_ne!(running.wait_until_ready(), 1);
    running.kill(libc::SIGTERM);
    kill(wait_for_only_child(running.pid()), libc::SIGUSR1);
    assert_eq!(running.line().split(' ').nth(1), Some("10"));
    // The shell went on to `true`.
    let _ = running.wait().assert_ok();
}

#[test]
fn exec_in_shell_delivers_signals_directly() {
    let shop = shop([("KEY", "value")]);
    for pid_1 in [false, true] {
        let run = below_a_shell(&shop, EXECS);
        let run = if pid_1 { run.as_pid1() } else { run };
        let mut running = run.spawn();
        let pid = running.wait_until_ready();
        assert_eq!(pid, if pid_1 { 1 } else { running.pid() });
        running.kill(libc::SIGTERM);
        assert_eq!(running.line().split(' ').nth(1), Some("15"));
        let _ = running.wait().assert_ok();
    }
}

/// A process that is not started by the command, such as `docker exec`, has no secrets.
#[test]
fn sibling_process_has_no_secrets() {
    let shop = shop([("KEY", "value")]);
    let mut running = shop.run_with(&[]).args([inspector(), "serve", "1"]).spawn();
    let environ = format!("/proc/{}/environ", running.wait_until_ready());
    let environ = std::fs::read(environ).unwrap();
    assert!(
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == b"KEY=value")
    );
    let look = ["sh", "-c", "echo \"${KEY-none}\""];
    assert_eq!(shop.bare(look).output().assert_ok().text(), "none\n");
    let output = shop.run_with(&[]).args(look).output().assert_ok();
    assert_eq!(output.text(), "value\n");
    running.kill(libc::SIGTERM);
    let _ = running.wait().assert_ok();
}

#[test]
fn command_output_is_not_masked() {
    let shop = shop([("KEY", "value of a key")]);
    let both = ["sh", "-c", "echo \"$KEY\"; echo \"$KEY\" >&2"];
    let output = shop.run_with(&[]).args(both).output();
    let output = output.assert_status(Status::Exited(0));
    assert_eq!(output.text(), "value of a key\n");
    assert_eq!(output.stderr, "value of a key\n");
}

/// The recipe is read from the document. GitHub's runner needs a mask for each line of a value.
#[test]
fn mask_recipe_masks_every_line() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faq.md");
    let document = read_to_string(document).unwrap();
    let recipe = document.lines().find(|line| line.contains("::add-mask::"));
    let recipe = recipe.and_then(|line| line.strip_prefix("phase-run "));
    let shop = shop([("API_KEY", "50%\\n \"'$x"), ("TLS_KEY", "first\n\nlast\n")]);
    let caller = format!("\"$@\" {}", recipe.unwrap());
    let run = shop.run(SHOP).wrap(["sh", "-c", &caller, "sh"]);
    let masks = [
        "::add-mask::50%25\\n \"'$x\n",
        "::add-mask::first\n",
        "::add-mask::last\n",
    ];
    assert_eq!(run.output().assert_ok().text(), masks.concat());
}
