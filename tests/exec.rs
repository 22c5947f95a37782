//! What cannot be executed, and what is said of it: 126 and 127 as env(1) has them, with the reason.

use std::fs::{create_dir, read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Output, Shop, Status, inspector, shop};

fn shop_with_secret() -> Shop {
    shop([("SECRET", "value")])
}

/// A dynamically linked program of the system with some of its bytes changed.
fn patched(shop: &Shop, name: &str, patch: impl Fn(&mut [u8])) -> PathBuf {
    let mut program = read("/bin/true").unwrap();
    patch(&mut program);
    shop.executable(name, program)
}

/// Its loader's name becomes one that is nowhere.
fn break_loader(program: &mut [u8]) {
    let name = b"/ld-linux";
    let place = program.windows(name.len()).position(|part| part == name);
    program[place.unwrap() + 1] = b'n';
}

/// e_machine of elf(5) becomes one that no machine is.
fn break_machine(program: &mut [u8]) {
    program[18] = 0xfe;
    program[19] = 0xfe;
}

fn run_word(shop: &Shop, word: &str) -> Output {
    shop.with(&[]).arg(word).output()
}

#[track_caller]
fn says(output: &Output, text: &str) {
    assert!(output.stderr.contains(text), "{text}\n{output}");
}

/// The statuses are those of env(1) for the same file, and each failure has its reason.
#[test]
fn what_cannot_be_run_ends_as_under_env() {
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
            "./script: it needs /no/such/interpreter, which",
        ),
        (
            "./chain",
            127,
            "./chain: it needs /no/such/interpreter, which",
        ),
        ("./slow", 127, "./slow: it needs /no/such/other, which"),
        (
            "./crlf",
            127,
            "./crlf: it needs /bin/sh\\r, which is not there",
        ),
        ("./loaderless", 127, "/nd-linux"),
    ] {
        let bare = shop.bare(["env", "--", word]).output();
        let _ = bare.ended(Status::Exited(status));
        says(&run_word(&shop, word).failed(status, "exec"), reason);
    }
}

/// It would be a lie to say that a file is missing when it is its interpreter; also on PATH.
#[test]
fn a_missing_interpreter_is_named_when_the_file_was_found_on_path() {
    let shop = shop_with_secret();
    shop.executable("scripted", "#!/no/such/interpreter\n");
    patched(&shop, "loaded", break_loader);
    for (word, needs) in [
        ("scripted", "needs /no/such/interpreter,"),
        ("loaded", "/nd-linux"),
    ] {
        let run = shop.with(&[]).arg(word).env("PATH", "/none:.:/bin");
        says(&run.output().failed(127, "exec"), needs);
    }
}

/// ENOEXEC of what is a program: it is for another machine. A shell would only stumble over it.
#[test]
fn a_program_of_another_machine_is_told_as_that() {
    let shop = shop_with_secret();
    patched(&shop, "foreign", break_machine);
    let output = run_word(&shop, "./foreign").failed(126, "exec");
    says(&output, "./foreign: exec format error: ");
}

/// execvp(3): what the kernel does not know how to run is run by /bin/sh, with its words.
#[test]
fn a_script_without_an_interpreter_is_run_by_the_shell() {
    let shop = shop_with_secret();
    let script = "echo \"$SECRET|$#|$1|$2\"; readlink /proc/$$/exe\n";
    shop.executable("no-header", script);
    shop.executable("empty", "");
    let bare = |word: &str| {
        let run = shop.bare(["env", word, "", "a b"]).env("SECRET", "value");
        run.env("PATH", "/bin:/usr/bin:.").output().ok()
    };
    for word in ["./no-header", "no-header"] {
        let run = shop.with(&[]).args([word, "", "a b"]);
        let output = run.env("PATH", "/bin:/usr/bin:.").output().ok();
        assert!(output.text().starts_with("value|2||a b\n"), "{output}");
        assert_eq!(output.text(), bare(word).text());
    }
    let _ = run_word(&shop, "./empty").ok();
}

/// A word that only a shell knows gets the hint to use one.
#[test]
fn a_builtin_of_the_shell_gets_the_hint() {
    let shop = shop_with_secret();
    for word in [
        "cd", "export", "source", ".", "exec", "eval", "set", "ulimit", "exit",
    ] {
        let output = run_word(&shop, word).failed(127, "exec");
        says(
            &output,
            &format!("cannot run {word}: it is a word of the shell"),
        );
        says(
            &output,
            &format!("\nhint: run it in a shell with -c '{word} …'\n"),
        );
    }
    // Those that are programs as well are run.
    let _ = run_word(&shop, "true").ok();
}

/// A whole command line as one word gets the hint to give its words one by one, or `-c`.
#[test]
fn a_whole_command_line_as_one_word_gets_the_hint() {
    let shop = shop_with_secret();
    let long = format!("echo {}", "long ".repeat(100));
    for line in [
        "echo hello",
        "./tool --flag x",
        "/bin/echo hello",
        "cd /tmp",
        long.trim(),
    ] {
        let output = run_word(&shop, line).failed(127, "exec");
        says(
            &output,
            &format!("\nhint: give its words one by one, or use -c '{line}'\n"),
        );
    }
    // A program may have such a name.
    shop.executable("my tool", "#!/bin/sh\necho it is\n");
    assert_eq!(run_word(&shop, "./my tool").ok().text(), "it is\n");
}

/// Nothing from outside is unescaped: argv may hold terminal escapes.
#[test]
fn the_words_of_a_failure_are_escaped() {
    let shop = shop_with_secret();
    let output = run_word(&shop, "\u{1b}[2Jx\n").failed(127, "exec");
    says(&output, "cannot run \\u{1b}[2Jx\\n: ");
}

/// Nothing is lost when standard error is closed: the status still tells.
#[test]
fn without_standard_error_the_status_still_tells() {
    let shop = shop_with_secret();
    shop.file("plain", "");
    for (word, status) in [("./missing", 127), ("./plain", 126)] {
        let run = shop.with(&[]).arg(word).closed(2);
        let _ = run.output().ended(Status::Exited(status));
    }
    let run = shop.with(&["--nonsense"]).arg("true").closed(2);
    let _ = run.output().ended(Status::Exited(125));
    let run = shop.with(&[]).args([inspector(), "exit", "7"]).closed(2);
    let _ = run.output().ended(Status::Exited(7));
    // The same where it cannot be written to.
    let run = shop.with(&[]).arg("./missing");
    let run = run.wrap(["sh", "-c", "\"$@\" 2>/dev/full; echo $?", "sh"]);
    assert_eq!(run.output().ok().text(), "127\n");
}

/// `-c LINE`: run LINE with `/bin/sh -c`; a missing command is then the shell's to report.
#[test]
fn a_shell_line_ends_as_the_shell_does() {
    let shop = shop_with_secret();
    let run = |line: &str| shop.run(crate::support::SHOP).args(["-c", line]).output();
    assert_eq!(run("echo \"$SECRET\" | cat; true").ok().text(), "value\n");
    let _ = run("exit 7").ended(Status::Exited(7));
    let _ = run("kill -9 $$").ended(Status::Killed(9));
    let output = run("no-such-program").ended(Status::Exited(127));
    assert!(!output.stderr.contains("phase-run"), "{output}");
}
