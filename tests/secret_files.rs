//! `--file`: a secret in a file in memory, whose path is in the variable.

#![cfg(target_os = "linux")]

use std::fs::read;

use nix::sys::resource::Resource;

use crate::support::{Run, SHOP, Shop, inspector, require_root, shop};

/// A value with characters that need quoting, used as a canary.
const VALUE: &str = "-----BEGIN KEY-----\n$x\\n'\"\nü👋\n-----END KEY-----\n";

fn with_key() -> Shop {
    let mut shop = shop([("KEY", VALUE), ("OTHER", "other")]);
    shop.canary(VALUE);
    shop
}

/// Runs a script by bash, because dash does not support descriptors above 9.
fn script(shop: &Shop, options: &[&str], script: &str) -> Vec<u8> {
    let run = shop.run_with(options).args(["bash", "-c", script]);
    run.allow_secrets_on_stdout().output().assert_ok().stdout
}

/// VAR, by default the name that KEY would get, holds the path, and no variable holds the value.
#[test]
fn file_variable_holds_path_not_value() {
    for (options, name) in [
        (&["--file", "KEY"][..], "KEY"),
        (&["--file", "KEY=KEY_FILE"], "KEY_FILE"),
        (&["--file", "K*"], "KEY"),
        (&["--file", "KEY", "--prefix", "APP_"], "APP_KEY"),
        (&["--file", "KEY=KEY_FILE", "--prefix", "APP_"], "KEY_FILE"),
    ] {
        let shop = with_key();
        let report = shop.run_inspector(options).report();
        let path = String::from_utf8(report.variable(name).unwrap()).unwrap();
        let start = format!("/proc/{}/fd/", report.number("pid"));
        assert!(path.starts_with(&start), "{path}");
        for entry in report.environ() {
            shop.assert_no_canary(name, &entry);
        }
        let run = shop
            .run_with(options)
            .args([inspector(), "read-file", name]);
        assert_eq!(
            run.allow_secrets_on_stdout().output().assert_ok().text(),
            VALUE
        );
    }
}

/// A pattern applies to every key that it matches; a rule for one key takes precedence.
#[test]
fn file_pattern_applies_to_every_matching_key() {
    let shop = shop([("TLS_A", "1"), ("TLS_B", "2"), ("TLS_C", "3"), ("X", "4")]);
    let options = ["--file", "TLS_*", "--file", "TLS_C=C_FILE"];
    let output = script(
        &shop,
        &options,
        "cat $TLS_A $TLS_B $C_FILE; echo $X $TLS_C.",
    );
    assert_eq!(output, b"1234 .\n");
}

/// The content is exact, not limited by the kernel's 128 KiB for a variable, and may contain NUL.
#[test]
fn file_content_is_exact_at_any_size() {
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
        let output = script(&shop, &options, &format!("cat ${name}"));
        assert!(output == value.as_bytes(), "{name}");
    }
}

/// The file is a sealed memfd of mode 0444. It can be neither written nor truncated, by its path or
/// by its descriptor (memfd_create(2), "File-sealing").
#[test]
fn secret_file_cannot_be_changed() {
    let shop = with_key();
    let run = shop
        .run_with(&["--file", "KEY"])
        .args([inspector(), "read-file", "KEY"]);
    // The inspector reports on standard error if it could change the file.
    assert_eq!(
        run.allow_secrets_on_stdout().output().assert_ok().text(),
        VALUE
    );
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

/// The file is readable after an exec, in a child, and in a child that has closed the descriptor.
#[test]
fn secret_file_is_readable_by_children() {
    let shop = with_key();
    for chain in [
        "exec cat $KEY",
        "exec sh -c 'exec cat $KEY'",
        "cat $KEY",
        "cat <$KEY",
        "bash -c \"exec ${KEY##*/}<&-; cat $KEY\"; true",
        "exec env bash -c \"(exec ${KEY##*/}<&-; exec cat $KEY)\"",
    ] {
        let output = script(&shop, &["--file", "KEY"], chain);
        assert_eq!(String::from_utf8_lossy(&output), VALUE, "{chain}");
    }
}

/// The command can read the file after it has changed its user, as entrypoints do, and if phase-run
/// itself is not root.
#[test]
fn secret_file_is_readable_by_other_user() {
    if !require_root("only root can become another user") {
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
        .run_with(&["--file", "KEY"])
        .args(command)
        .allow_secrets_on_stdout()
        .output();
    assert_eq!(output.assert_ok().text(), VALUE);
    let run = shop
        .run_with(&["--file", "KEY"])
        .args([inspector(), "read-file", "KEY"]);
    let output = run.as_user(65534).allow_secrets_on_stdout().output();
    assert_eq!(output.assert_ok().text(), VALUE);
}

/// In a PID namespace the command's pid is 1, and so is the pid in the path.
#[test]
fn secret_file_is_readable_as_pid1() {
    let shop = with_key();
    let run = shop
        .run_with(&["--file", "KEY"])
        .args([inspector(), "read-file", "KEY"]);
    assert_eq!(
        run.as_pid1()
            .allow_secrets_on_stdout()
            .output()
            .assert_ok()
            .text(),
        VALUE
    );
    let report = shop.run_inspector(&["--file", "KEY"]).as_pid1().report();
    assert!(report.variable("KEY").unwrap().starts_with(b"/proc/1/fd/"));
}

/// Scripts use descriptors 3 to 9, and shells some from 10 on, so files are moved to 100 and above.
/// If the limit does not allow that, they still work.
#[test]
fn secret_files_use_descriptors_from_100_on() {
    let shop = shop([("A", "1"), ("B", "2"), ("C", "3")]);
    let report = shop.run_inspector(&["--file", "*"]).report();
    assert_eq!(report.descriptors(), [0, 1, 2, 100, 101, 102]);
    for number in [100, 101, 102] {
        let descriptor = report.descriptor(number).unwrap();
        assert!(!descriptor.close_on_exec);
    }
    let run = shop.run_with(&["--file", "*"]);
    let run = run.args(["sh", "-c", "cat $A $B $C"]);
    let output = run.limit(Resource::RLIMIT_NOFILE, 50).output();
    assert_eq!(output.assert_ok().text(), "123");
    let run = shop.run_inspector(&["--file", "*"]);
    let report = run.limit(Resource::RLIMIT_NOFILE, 50).report();
    assert_eq!(report.descriptors().len(), 6);
}

/// If there are more files than free descriptors, nothing is run.
#[test]
fn too_many_files_for_descriptor_limit_is_an_error() {
    let shop = shop((0..60).map(|n| (format!("K{n}"), "v")));
    let output = shop.assert_environment_error_with(&["--file", "*"], |run| {
        run.limit(Resource::RLIMIT_NOFILE, 50)
    });
    assert!(output.stderr.contains("too many open files"), "{output}");
}

/// Without /proc there is no path to the file.
#[test]
fn secret_file_without_proc_is_an_error() {
    let shop = with_key();
    let output = shop.assert_environment_error_with(&["--file", "KEY"], Run::without_proc);
    assert!(
        output
            .stderr
            .contains("cannot pass KEY as a file: /proc is not mounted"),
        "{output}"
    );
    // Without `--file`, /proc is not needed.
    let run = shop.run_with(&[]).arg("true").without_proc().output();
    let _ = run.assert_ok();
}

/// In the /proc of another PID namespace, the path would lead to another process.
#[test]
fn secret_file_with_foreign_proc_is_an_error() {
    let shop = with_key();
    let wrap = ["unshare", "--pid", "--fork", "--map-root-user"];
    let output = shop.assert_environment_error_with(&["--file", "KEY"], |run| run.wrap(wrap));
    assert!(output.stderr.contains("another PID namespace"), "{output}");
}

/// The error names both keys.
#[test]
fn two_secrets_for_one_variable_is_an_error() {
    let shop = shop([("A", "1"), ("B", "2"), ("C", "3")]);
    for options in [
        &["--file", "A=SAME", "--file", "B=SAME"][..],
        &["--file", "A=B"],
        &["--file", "A=P_B", "--prefix", "P_"],
    ] {
        let output = shop.assert_environment_error(options);
        assert!(output.stderr.contains("by both A and B"), "{output}");
    }
    let report = shop
        .run_inspector(&["--file", "A=B", "--except", "B"])
        .report();
    assert!(report.variable("B").unwrap().starts_with(b"/proc/"));
    assert_eq!(report.variable("A"), None);
}

/// `--keep`: a variable that is already set takes precedence, here the one that would hold the
/// path.
#[test]
fn kept_variable_takes_precedence_over_file() {
    let shop = with_key();
    let run = |options: &[&str], name: &str| {
        let report = shop.run_inspector(options).env(name, "own").report();
        assert_eq!(report.descriptors(), [0, 1, 2]);
        report.variable(name).unwrap()
    };
    let options = ["--file", "KEY=VAR", "--keep", "VAR"];
    assert_eq!(run(&options, "VAR"), b"own");
    assert_eq!(run(&["--file", "KEY", "--keep-existing"], "KEY"), b"own");
}

/// A `--file` that matches no selected secret is an error, as for every filter.
#[test]
fn file_option_without_match_is_an_error() {
    let shop = with_key();
    for options in [
        &["--file", "NONE"][..],
        &["--file", "KEY", "--except", "KEY"],
    ] {
        let output = shop.run_with(options).args(["touch", "started"]).output();
        let _ = output.assert_error(125, "not-found");
        assert!(!shop.directory().join("started").exists());
    }
    let options = ["--file", "NONE", "--allow-empty"];
    let _ = shop.run_with(&options).arg("true").output().assert_ok();
}

/// The file is a memfd, and no other file is created.
#[test]
fn secret_file_is_never_on_disk() {
    let shop = with_key();
    let run = shop.run(SHOP).args(["--file", "KEY", "--"]);
    let run = run.args(["sh", "-c", "readlink $KEY >link"]);
    let _ = run.env("TMPDIR", shop.directory()).output().assert_ok();
    let link = read(shop.directory().join("link")).unwrap();
    assert!(link.starts_with(b"/memfd:"), "{}", link.escape_ascii());
    let left: Vec<_> = shop.directory().read_dir().unwrap().collect();
    assert_eq!(left.len(), 1);
}

/// The limit on file sizes counts for files in memory. A write beyond it would kill phase-run by
/// SIGXFSZ, without a word.
#[test]
fn low_file_size_limit_is_an_error() {
    let shop = shop([("SECRET", "twelve bytes")]);
    let run = |limit: u64, options: &[&str]| {
        let run = shop.run_with(options).arg("true");
        run.limit(Resource::RLIMIT_FSIZE, limit).output()
    };
    let _ = run(12, &["--file", "SECRET"]).assert_ok();
    let _ = run(0, &[]).assert_ok();
    let output = run(11, &["--file", "SECRET"]).assert_error(125, "environment");
    let why = "cannot pass SECRET as a file: it would exceed the file size limit (ulimit -f)";
    assert!(output.stderr.contains(why), "{output}");
    for limit in [0, 100] {
        let output = run(limit, &["--watch", "60"]).assert_error(125, "exec");
        let why = "it would exceed the file size limit (ulimit -f)";
        assert!(output.stderr.contains(why), "{output}");
    }
}
