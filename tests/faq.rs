//! What the answers of `docs/faq.md` claim of the command, its shell and its neighbours.

use std::fs::read_to_string;
use std::path::Path;

use crate::support::proc::only_child;
use crate::support::{Run, SHOP, Shop, Status, inspector, kill, shop};

/// "Your shell replaces it before phase-run starts": the caller's shell is a real one, and `"$@"` is
/// phase-run with its options.
#[test]
fn the_callers_quotes_decide_who_replaces_a_name() {
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
        assert_eq!(run.output().ok().text(), format!("{printed}\n"), "{words}");
    }
}

/// `serve`, below a shell that has more to do, or in the shell's place.
fn below_a_shell<'a>(shop: &'a Shop, line: &str) -> Run<'a> {
    shop.run(SHOP).args(["-c", line, inspector()])
}

const STAYS: &str = "\"$0\" serve 1; true";
const EXECS: &str = "true; exec \"$0\" serve 1";

/// "a shell keeps a TERM to itself: it ends, and what it has started goes on without it"
#[test]
fn a_shell_with_more_to_do_keeps_term_to_itself() {
    let shop = shop([("KEY", "value")]);
    let mut running = below_a_shell(&shop, STAYS).spawn();
    let program = running.ready();
    assert_ne!(program, running.pid());
    running.kill(libc::SIGTERM);
    // What comes first is what it was sent itself.
    kill(program, libc::SIGUSR1);
    assert_eq!(running.line().split(' ').nth(1), Some("10"));
    let _ = running.wait().ended(Status::Killed(libc::SIGTERM));
}

/// "As a container's first process it does not even end"
#[test]
fn a_shell_that_is_pid_1_does_not_even_end() {
    let shop = shop([("KEY", "value")]);
    let mut running = below_a_shell(&shop, STAYS).as_pid1().spawn();
    assert_ne!(running.ready(), 1);
    running.kill(libc::SIGTERM);
    kill(only_child(running.pid()), libc::SIGUSR1);
    assert_eq!(running.line().split(' ').nth(1), Some("10"));
    // `true` came after it.
    let _ = running.wait().ok();
}

/// "let the last program take the shell's place"
#[test]
fn exec_in_a_shell_leaves_nothing_in_between() {
    let shop = shop([("KEY", "value")]);
    for pid_1 in [false, true] {
        let run = below_a_shell(&shop, EXECS);
        let run = if pid_1 { run.as_pid1() } else { run };
        let mut running = run.spawn();
        let own = running.ready();
        assert_eq!(own, if pid_1 { 1 } else { running.pid() });
        running.kill(libc::SIGTERM);
        assert_eq!(running.line().split(' ').nth(1), Some("15"));
        let _ = running.wait().ok();
    }
}

/// "a process beside the command, not below it … Run phase-run there as well"
#[test]
fn a_process_beside_the_command_sees_no_secret() {
    let shop = shop([("KEY", "value")]);
    let mut running = shop.with(&[]).args([inspector(), "serve", "1"]).spawn();
    let environ = format!("/proc/{}/environ", running.ready());
    let environ = std::fs::read(environ).unwrap();
    assert!(
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == b"KEY=value")
    );
    let look = ["sh", "-c", "echo \"${KEY-none}\""];
    assert_eq!(shop.bare(look).output().ok().text(), "none\n");
    let output = shop.with(&[]).args(look).output().ok();
    assert_eq!(output.text(), "value\n");
    running.kill(libc::SIGTERM);
    let _ = running.wait().ok();
}

/// "Nothing is masked": the streams are the command's own.
#[test]
fn what_the_command_prints_is_never_masked() {
    let shop = shop([("KEY", "value of a key")]);
    let both = ["sh", "-c", "echo \"$KEY\"; echo \"$KEY\" >&2"];
    let output = shop.with(&[]).args(both).output();
    let output = output.ended(Status::Exited(0));
    assert_eq!(output.text(), "value of a key\n");
    assert_eq!(output.stderr, "value of a key\n");
}

/// The line of the document itself: each line of a value on its own, as the runner of GitHub reads
/// it.
#[test]
fn the_masks_for_a_log_name_each_line() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faq.md");
    let document = read_to_string(document).unwrap();
    let given = document.lines().find(|line| line.contains("::add-mask::"));
    let given = given.and_then(|line| line.strip_prefix("phase-run "));
    let shop = shop([("API_KEY", "50%\\n \"'$x"), ("TLS_KEY", "first\n\nlast\n")]);
    let caller = format!("\"$@\" {}", given.unwrap());
    let run = shop.run(SHOP).wrap(["sh", "-c", &caller, "sh"]);
    let masks = [
        "::add-mask::50%25\\n \"'$x\n",
        "::add-mask::first\n",
        "::add-mask::last\n",
    ];
    assert_eq!(run.output().ok().text(), masks.concat());
}
