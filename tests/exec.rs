//! Commands that cannot be executed: status 126 or 127, as with env(1), and the reason.

use std::fs::{create_dir, read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Output, Shop, Status, inspector, require_linux, shop};

fn shop_with_secret() -> Shop {
    shop([("SECRET", "value")])
}

/// Copies a dynamically linked program of the system and changes some of its bytes.
fn patched(shop: &Shop, name: &str, patch: impl Fn(&mut [u8])) -> PathBuf {
    let mut program = read("/bin/true").unwrap();
    patch(&mut program);
    shop.executable(name, program)
}

/// Changes the path of the dynamic loader to one that does not exist.
fn break_loader(program: &mut [u8]) {
    let name = b"/ld-linux";
    let place = program.windows(name.len()).position(|part| part == name);
    program[place.unwrap() + 1] = b'n';
}

/// Changes e_machine (elf(5)) to a machine that does not exist.
fn break_machine(program: &mut [u8]) {
    program[18] = 0xfe;
    program[19] = 0xfe;
}

fn run_word(shop: &Shop, word: &str) -> Output {
    shop.run_with(&[]).arg(word).output()
}

#[track_caller]
fn assert_stderr_contains(output: &Output, text: &str) {
    assert!(output.stderr.contains(text), "{text}\n{output}");
}

/// The status is that of env(1) for the same file, and each error names its reason.
#[test]
fn unexecutable_command_has_env_status_and_reason() {
    let shop = shop_with_secret();
    create_dir(shop.directory().join("directory")).unwrap();
    symlink("loop", shop.directory().join("loop")).unwrap();
    symlink("nowhere", shop.directory().join("dangling")).unwrap();
    shop.file("plain", "#!/bin/sh\n");
    shop.executable("script", "#!/no/such/interpreter -x\n");
    shop.executable("chain", "#!./script\n");
    shop.executable("crlf", "#!/bin/sh\r\necho x\r\n");
    shop.executable("slow", "#! \t/no/such/other\targument\n");
    patched(&shop, "loaderless", break_loader);
    let long = "n".repeat(300);
    for (word, status, reason) in [
        ("./missing", 127, "./missing: no such file or directory"),
        ("./dangling", 127, "./dangling: no such file or directory"),
        ("no-such-program", 127, "no-such-program: not found in PATH"),
        ("", 127, ": not found in PATH"),
        ("./directory", 126, "./directory: it is a directory"),
        ("/", 126, "/: it is a directory"),
        ("./plain", 126, "./plain: permission denied"),
        ("./plain/x", 126, "./plain/x: not a directory"),
        ("./loop", 126, "./loop: too many levels of symbolic links"),
        (&format!("./{long}"), 126, ": file name too long"),
        (
            "./script",
            127,
            "./script: it requires /no/such/interpreter, which",
        ),
        (
            "./chain",
            127,
            "./chain: it requires /no/such/interpreter, which",
        ),
        ("./slow", 127, "./slow: it requires /no/such/other, which"),
        (
            "./crlf",
            127,
            "./crlf: it requires /bin/sh\\r, which does not exist",
        ),
        ("./loaderless", 127, "/nd-linux"),
    ] {
        let bare = shop.bare(["env", "--", word]).output();
        let _ = bare.assert_status(Status::Exited(status));
        assert_stderr_contains(&run_word(&shop, word).assert_error(status, "exec"), reason);
    }
}

/// The error names the missing interpreter, not the file that exists, also for a file found in
/// PATH.
#[test]
fn missing_interpreter_on_path_is_named() {
    let shop = shop_with_secret();
    shop.executable("scripted", "#!/no/such/interpreter\n");
    patched(&shop, "loaded", break_loader);
    for (word, needs) in [
        ("scripted", "requires /no/such/interpreter,"),
        ("loaded", "/nd-linux"),
    ] {
        let run = shop.run_with(&[]).arg(word).env("PATH", "/none:.:/bin");
        assert_stderr_contains(&run.output().assert_error(127, "exec"), needs);
    }
}

/// A program for another machine is not run by the shell.
#[test]
fn foreign_binary_is_an_exec_format_error() {
    let shop = shop_with_secret();
    patched(&shop, "foreign", break_machine);
    let output = run_word(&shop, "./foreign").assert_error(126, "exec");
    assert_stderr_contains(&output, "./foreign: exec format error: ");
}

/// execvp(3): /bin/sh runs a file whose format the kernel does not know, with its arguments.
#[test]
fn script_without_shebang_is_run_by_shell() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let shop = shop_with_secret();
    let script = "echo \"$SECRET|$#|$1|$2\"; readlink /proc/$$/exe\n";
    shop.executable("no-header", script);
    shop.executable("empty", "");
    let bare = |word: &str| {
        let run = shop.bare(["env", word, "", "a b"]).env("SECRET", "value");
        run.env("PATH", "/bin:/usr/bin:.").output().assert_ok()
    };
    for word in ["./no-header", "no-header"] {
        let run = shop.run_with(&[]).args([word, "", "a b"]);
        let output = run.env("PATH", "/bin:/usr/bin:.").output().assert_ok();
        assert!(output.text().starts_with("value|2||a b\n"), "{output}");
        assert_eq!(output.text(), bare(word).text());
    }
    let _ = run_word(&shop, "./empty").assert_ok();
}

/// A word that only a shell knows gets the hint to use a shell.
#[test]
fn shell_builtin_gets_hint() {
    let shop = shop_with_secret();
    for word in [
        "cd", "export", "source", ".", "exec", "eval", "set", "ulimit", "exit",
    ] {
        let output = run_word(&shop, word).assert_error(127, "exec");
        assert_stderr_contains(
            &output,
            &format!("cannot run {word}: it is part of the shell, not a program"),
        );
        assert_stderr_contains(
            &output,
            &format!("\nhint: run it in a shell with -c '{word} …'\n"),
        );
    }
    // A builtin that also exists as a program is executed.
    let _ = run_word(&shop, "true").assert_ok();
}

/// A whole command line in one word gets the hint to split it or to use `-c`.
#[test]
fn command_line_as_one_word_gets_hint() {
    let shop = shop_with_secret();
    let long = format!("echo {}", "long ".repeat(100));
    for line in [
        "echo hello",
        "./tool --flag x",
        "/bin/echo hello",
        "cd /tmp",
        long.trim(),
    ] {
        let output = run_word(&shop, line).assert_error(127, "exec");
        assert_stderr_contains(
            &output,
            &format!("\nhint: pass each word as a separate argument, or use -c '{line}'\n"),
        );
    }
    // The name of a program may contain a space.
    shop.executable("my tool", "#!/bin/sh\necho it is\n");
    assert_eq!(run_word(&shop, "./my tool").assert_ok().text(), "it is\n");
}

/// Text from outside is escaped: argv may contain terminal escape sequences.
#[test]
fn command_name_in_error_is_escaped() {
    let shop = shop_with_secret();
    let output = run_word(&shop, "\u{1b}[2Jx\n").assert_error(127, "exec");
    assert_stderr_contains(&output, "cannot run \\u{1b}[2Jx\\n: ");
}

/// If standard error is closed or full, the status is still correct.
#[test]
fn exit_status_is_correct_without_stderr() {
    if !require_linux("only Linux has /dev/full") {
        return;
    }
    let shop = shop_with_secret();
    shop.file("plain", "");
    for (word, status) in [("./missing", 127), ("./plain", 126)] {
        let run = shop.run_with(&[]).arg(word).closed(2);
        let _ = run.output().assert_status(Status::Exited(status));
    }
    let run = shop.run_with(&["--nonsense"]).arg("true").closed(2);
    let _ = run.output().assert_status(Status::Exited(125));
    let run = shop
        .run_with(&[])
        .args([inspector(), "exit", "7"])
        .closed(2);
    let _ = run.output().assert_status(Status::Exited(7));
    // The same if standard error cannot be written to.
    let run = shop.run_with(&[]).arg("./missing");
    let run = run.wrap(["sh", "-c", "\"$@\" 2>/dev/full; echo $?", "sh"]);
    assert_eq!(run.output().assert_ok().text(), "127\n");
}

/// `-c LINE` runs LINE by `/bin/sh -c`, and the shell reports a missing command.
#[test]
fn shell_line_ends_with_shell_status() {
    let shop = shop_with_secret();
    let run = |line: &str| shop.run(crate::support::SHOP).args(["-c", line]).output();
    assert_eq!(
        run("echo \"$SECRET\" | cat; true").assert_ok().text(),
        "value\n"
    );
    let _ = run("exit 7").assert_status(Status::Exited(7));
    let _ = run("kill -9 $$").assert_status(Status::Killed(9));
    let output = run("no-such-program").assert_status(Status::Exited(127));
    assert!(!output.stderr.contains("phase-run"), "{output}");
}
