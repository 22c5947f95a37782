//! `--file`: a value as an in-memory file whose path the variable holds.

use std::fs::read;

use nix::sys::resource::Resource;

use crate::support::{Run, SHOP, Shop, has_root, inspector, shop};

/// A value that would be noticed anywhere.
const VALUE: &str = "-----BEGIN KEY-----\n$x\\n'\"\nü👋\n-----END KEY-----\n";

fn with_key() -> Shop {
    let mut shop = shop([("KEY", VALUE), ("OTHER", "other")]);
    shop.canary(VALUE);
    shop
}

/// A shell as the command; dash has no descriptors of more than one digit.
fn script(shop: &Shop, options: &[&str], script: &str) -> Vec<u8> {
    let run = shop.with(options).args(["bash", "-c", script]);
    run.reveals().output().ok().stdout
}

/// VAR (default: the name KEY would get) holds its path, the value is in no variable.
#[test]
fn the_variable_holds_a_path_and_no_variable_the_value() {
    for (options, name) in [
        (&["--file", "KEY"][..], "KEY"),
        (&["--file", "KEY=KEY_FILE"], "KEY_FILE"),
        (&["--file", "K*"], "KEY"),
        (&["--file", "KEY", "--prefix", "APP_"], "APP_KEY"),
        (&["--file", "KEY=KEY_FILE", "--prefix", "APP_"], "KEY_FILE"),
    ] {
        let shop = with_key();
        let report = shop.reporting(options).report();
        let path = String::from_utf8(report.variable(name).unwrap()).unwrap();
        let start = format!("/proc/{}/fd/", report.number("pid"));
        assert!(path.starts_with(&start), "{path}");
        for entry in report.environ() {
            shop.assert_no_canary(name, &entry);
        }
        let run = shop.with(options).args([inspector(), "read-file", name]);
        assert_eq!(run.reveals().output().ok().text(), VALUE);
    }
}

/// A GLOB takes every key that it matches; a rule about one key goes before it.
#[test]
fn a_pattern_makes_files_of_all_that_it_matches() {
    let shop = shop([("TLS_A", "1"), ("TLS_B", "2"), ("TLS_C", "3"), ("X", "4")]);
    let options = ["--file", "TLS_*", "--file", "TLS_C=C_FILE"];
    let said = script(
        &shop,
        &options,
        "cat $TLS_A $TLS_B $C_FILE; echo $X $TLS_C.",
    );
    assert_eq!(said, b"1234 .\n");
}

/// Byte for byte, not bound by the kernel's 128 KiB, and NUL is a byte like any other.
#[test]
fn content_is_byte_for_byte_whatever_its_size() {
    let large: String = ('a'..='z').cycle().take(200_000).collect();
    let values = [
        ("LARGE", large.as_str()),
        ("NUL", "\0a\0\0b\0"),
        ("EMPTY", ""),
        ("TEXT", VALUE),
        ("LINE", "\n"),
    ];
    let shop = shop(values);
    for (name, value) in values {
        let options = ["--only", name, "--file", name];
        let said = script(&shop, &options, &format!("cat ${name}"));
        assert!(said == value.as_bytes(), "{name}");
    }
}

/// A sealed memfd of mode 0444 that refuses to be written and truncated, by its path and by its
/// descriptor: memfd_create(2), «File sealing».
#[test]
fn nobody_can_change_it() {
    let shop = with_key();
    let run = shop
        .with(&["--file", "KEY"])
        .args([inspector(), "read-file", "KEY"]);
    // The inspector says on standard error what it could do.
    assert_eq!(run.reveals().output().ok().text(), VALUE);
    let text = script(
        &shop,
        &["--file", "KEY"],
        "stat -L -c '%a %F' $KEY; (echo x >>$KEY) 2>&- || echo kept; \
         (: >$KEY) 2>&- || echo kept; (eval \"echo x >&${KEY##*/}\") 2>&- || echo kept; \
         truncate -s 5 $KEY 2>&- || echo kept; wc -c <$KEY",
    );
    let text = String::from_utf8(text).unwrap();
    let expected = format!(
        "444 regular file\nkept\nkept\nkept\nkept\n{}\n",
        VALUE.len()
    );
    assert_eq!(text, expected);
}

/// Seen to work after an exec chain, in a child, and in a child that had its descriptors closed.
#[test]
fn children_and_what_the_command_becomes_can_read_it() {
    let shop = with_key();
    for chain in [
        "exec cat $KEY",
        "exec sh -c 'exec cat $KEY'",
        "cat $KEY",
        "cat <$KEY",
        "bash -c \"exec ${KEY##*/}<&-; cat $KEY\"; true",
        "exec env bash -c \"(exec ${KEY##*/}<&-; exec cat $KEY)\"",
    ] {
        let said = script(&shop, &["--file", "KEY"], chain);
        assert_eq!(String::from_utf8_lossy(&said), VALUE, "{chain}");
    }
}

/// After dropping to another user, as entrypoints do; and where phase-run itself is not root.
#[test]
fn another_user_can_read_it() {
    if !has_root("only root can become another user") {
        return;
    }
    let shop = with_key();
    let dropping = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let command = [&dropping[..], &["sh", "-c", "cat $KEY"]].concat();
    let output = shop
        .with(&["--file", "KEY"])
        .args(command)
        .reveals()
        .output();
    assert_eq!(output.ok().text(), VALUE);
    let run = shop
        .with(&["--file", "KEY"])
        .args([inspector(), "read-file", "KEY"]);
    let output = run.as_user(65534).reveals().output();
    assert_eq!(output.ok().text(), VALUE);
}

/// The command's own pid is 1 there, and so is the path's.
#[test]
fn the_first_process_of_a_namespace_can_read_it() {
    let shop = with_key();
    let run = shop
        .with(&["--file", "KEY"])
        .args([inspector(), "read-file", "KEY"]);
    assert_eq!(run.as_pid1().reveals().output().ok().text(), VALUE);
    let report = shop.reporting(&["--file", "KEY"]).as_pid1().report();
    assert!(report.variable("KEY").unwrap().starts_with(b"/proc/1/fd/"));
}

/// Scripts use 3 to 9 and a shell's own are around 10: files go out of their way, from 100 on,
/// and where the limit has no such number they work all the same.
#[test]
fn files_take_descriptors_that_nobody_uses() {
    let shop = shop([("A", "1"), ("B", "2"), ("C", "3")]);
    let report = shop.reporting(&["--file", "*"]).report();
    assert_eq!(report.descriptors(), [0, 1, 2, 100, 101, 102]);
    for number in [100, 101, 102] {
        let descriptor = report.descriptor(number).unwrap();
        assert!(!descriptor.close_on_exec);
    }
    let run = shop.with(&["--file", "*"]);
    let run = run.args(["sh", "-c", "cat $A $B $C"]);
    let output = run.limit(Resource::RLIMIT_NOFILE, 50).output();
    assert_eq!(output.ok().text(), "123");
    let run = shop.reporting(&["--file", "*"]);
    let report = run.limit(Resource::RLIMIT_NOFILE, 50).report();
    assert_eq!(report.descriptors().len(), 6);
}

/// More files than descriptors: an error, and nothing is run.
#[test]
fn too_many_files_for_the_limit_are_an_error() {
    let shop = shop((0..60).map(|n| (format!("K{n}"), "v")));
    let output = shop.refuses_with(&["--file", "*"], |run| {
        run.limit(Resource::RLIMIT_NOFILE, 50)
    });
    assert!(output.stderr.contains("too many open files"), "{output}");
}

/// Where there is no /proc there is no path to it: an error.
#[test]
fn without_proc_it_is_an_error() {
    let shop = with_key();
    let output = shop.refuses_with(&["--file", "KEY"], Run::without_proc);
    assert!(
        output
            .stderr
            .contains("cannot hand over KEY as a file: /proc is not mounted"),
        "{output}"
    );
    // Whoever asks for no file needs none.
    let run = shop.with(&[]).arg("true").without_proc().output();
    let _ = run.ok();
}

/// A /proc of another PID namespace would lead to another process.
#[test]
fn a_proc_of_another_namespace_is_an_error() {
    let shop = with_key();
    let wrap = ["unshare", "--pid", "--fork", "--map-root-user"];
    let output = shop.refuses_with(&["--file", "KEY"], |run| run.wrap(wrap));
    assert!(output.stderr.contains("another PID namespace"), "{output}");
}

/// Each name stands once: two values for one variable are an error that names both.
#[test]
fn two_keys_for_one_variable_are_an_error() {
    let shop = shop([("A", "1"), ("B", "2"), ("C", "3")]);
    for options in [
        &["--file", "A=SAME", "--file", "B=SAME"][..],
        &["--file", "A=B"],
        &["--file", "A=P_B", "--prefix", "P_"],
    ] {
        let output = shop.refuses(options);
        assert!(output.stderr.contains("by A and by B"), "{output}");
    }
    let report = shop.reporting(&["--file", "A=B", "--except", "B"]).report();
    assert!(report.variable("B").unwrap().starts_with(b"/proc/"));
    assert_eq!(report.variable("A"), None);
}

/// `--keep`: a variable that is already set wins, here the one that would hold the path.
#[test]
fn a_kept_variable_wins_over_a_file() {
    let shop = with_key();
    let run = |options: &[&str], name: &str| {
        let report = shop.reporting(options).env(name, "own").report();
        assert_eq!(report.descriptors(), [0, 1, 2]);
        report.variable(name).unwrap()
    };
    let options = ["--file", "KEY=VAR", "--keep", "VAR"];
    assert_eq!(run(&options, "VAR"), b"own");
    assert_eq!(run(&["--file", "KEY", "--keep-existing"], "KEY"), b"own");
}

/// A `--file` about no selected secret is a mistake like any filter that selects nothing.
#[test]
fn a_file_that_selects_nothing_is_an_error() {
    let shop = with_key();
    for options in [
        &["--file", "NONE"][..],
        &["--file", "KEY", "--except", "KEY"],
    ] {
        let output = shop.with(options).args(["touch", "started"]).output();
        let _ = output.failed(125, "not-found");
        assert!(!shop.directory().join("started").exists());
    }
    let options = ["--file", "NONE", "--allow-empty"];
    let _ = shop.with(&options).arg("true").output().ok();
}

/// No file on any disk ever holds the value.
#[test]
fn the_value_is_nowhere_on_a_disk() {
    let shop = with_key();
    let run = shop.run(SHOP).args(["--file", "KEY", "--"]);
    let run = run.args(["sh", "-c", "readlink $KEY >link"]);
    let _ = run.env("TMPDIR", shop.directory()).output().ok();
    let link = read(shop.directory().join("link")).unwrap();
    assert!(link.starts_with(b"/memfd:"), "{}", link.escape_ascii());
    let left: Vec<_> = shop.directory().read_dir().unwrap().collect();
    assert_eq!(left.len(), 1);
}
