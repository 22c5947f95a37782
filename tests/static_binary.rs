//! The static release binary that `scripts/build` makes. PHASE_RUN_STATIC is its path, which
//! scripts/test sets.

#![cfg(target_os = "linux")]

use std::fs::{create_dir, read, read_to_string};
use std::path::{Path, PathBuf};

use crate::support::{
    Run, SHOP, Shop, inspector, require_programs, require_root, shop, static_binary,
};

/// The path of the binary, if this test runs as root, which mounts and roots need.
fn binary_as_root() -> Option<PathBuf> {
    if !require_root("only root can change what is mounted") {
        return None;
    }
    static_binary()
}

/// A shop whose command lines run the static binary.
fn static_shop(binary: &Path) -> Shop {
    let mut shop = shop([("SECRET", "value")]);
    shop.replace_phase_run(binary.to_str().unwrap());
    shop
}

/// Runs a shell script before the command line, in a new mount namespace.
fn mounted<'a>(run: Run<'a>, script: &str) -> Run<'a> {
    let script = format!("set -e; {script}; exec \"$@\"");
    run.wrap(["unshare", "--mount", "sh", "-c", &script, "sh"])
}

/// The file has no PT_INTERP and no dynamic section that names a library (elf(5)).
#[test]
fn static_binary_needs_no_loader_or_library() {
    let Some(path) = static_binary() else { return };
    let file = read(path).unwrap();
    let number = |at: usize, size: usize| {
        let bytes = file[at..at + size].iter().rev();
        bytes.fold(0usize, |number, byte| number << 8 | usize::from(*byte))
    };
    assert_eq!(file[..6], *b"\x7fELF\x02\x01");
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let headers = (0..count).map(|n| table + n * size);
    let kinds: Vec<usize> = headers.clone().map(|at| number(at, 4)).collect();
    let [load, dynamic, interp] = [1, 2, 3];
    assert!(
        kinds.contains(&load) && !kinds.contains(&interp),
        "{kinds:?}"
    );
    // A position-independent binary has a dynamic section, in which tag 1 is DT_NEEDED and tag 0 the end.
    for header in headers.filter(|at| number(*at, 4) == dynamic) {
        let (offset, length) = (number(header + 8, 8), number(header + 32, 8));
        let tags = (0..length / 16).map(|n| number(offset + 16 * n, 8));
        assert!(!tags.take_while(|tag| *tag != 0).any(|tag| tag == 1));
    }
}

/// Only builds with debug assertions can be asked to panic.
#[test]
fn release_build_has_no_panic_switch() {
    let Some(path) = static_binary() else { return };
    let file = read(path).unwrap();
    let contains = |text: &str| {
        file.windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    assert!(contains("PHASE_SERVICE_TOKEN") && !contains("PANIC_IN"));
}

/// Host look-ups use only the built-in `files` and `dns` modules. Otherwise NSS would load shared objects
/// of another glibc into the static program (nsswitch.conf(5)).
#[test]
fn dns_lookup_loads_no_nss_module() {
    if !require_programs(&["strace"]) {
        return;
    }
    let Some(path) = binary_as_root() else { return };
    let shop = static_shop(&path);
    let switch = shop.file(
        "nsswitch.conf",
        "passwd: files\nhosts: mdns4_minimal [NOTFOUND=return] resolve myhostname dns\n",
    );
    let log = shop.directory().join("log");
    let script = format!("mount --bind {} /etc/nsswitch.conf", switch.display());
    let traced = |host: &str| {
        let run = shop.run(SHOP).args(["--timeout", "2", "--", "true"]);
        let run = run.env("PHASE_HOST", host);
        let run = mounted(run, &script);
        let trace = ["strace", "-f", "-e", "trace=open,openat", "-o"];
        let output = run.wrap(trace).wrap([&log]).output();
        (output, read_to_string(&log).unwrap())
    };
    let (output, opened) = traced(&shop.phase.host());
    let _ = output.assert_ok();
    assert!(!opened.contains("libnss_"), "{opened}");
    let (output, opened) = traced("https://phase.test");
    let _ = output.assert_error(125, "unreachable");
    // It read the hosts file and asked the name servers, and loaded no module.
    for asked in ["/etc/hosts", "/etc/resolv.conf"] {
        assert!(opened.contains(asked), "{asked}\n{opened}");
    }
    for module in ["libnss_", "libc.so"] {
        assert!(!opened.contains(module), "{module}\n{opened}");
    }
}

/// The same look-up by a dynamic program loads a module, so the test above can fail.
#[test]
fn system_lookup_loads_nss_module() {
    if !require_programs(&["strace"]) {
        return;
    }
    if binary_as_root().is_none() {
        return;
    }
    let shop = shop([("SECRET", "value")]);
    let switch = shop.file("nsswitch.conf", "hosts: nothere files\n");
    let script = format!("mount --bind {} /etc/nsswitch.conf", switch.display());
    let log = shop.directory().join("log");
    let run = mounted(shop.bare(["getent", "hosts", "localhost"]), &script);
    let trace = ["strace", "-f", "-e", "trace=open,openat", "-o"];
    let _ = run.wrap(trace).wrap([&log]).output().assert_ok();
    assert!(read_to_string(log).unwrap().contains("libnss_nothere"));
}

/// Creates a root with phase-run, the command and a CA, and without /proc, /dev, /etc and a shell.
fn empty_root(shop: &Shop, binary: &Path) -> PathBuf {
    let root = shop.directory().join("root");
    create_dir(&root).unwrap();
    for (from, to) in [
        (binary, "phase-run"),
        (inspector().as_ref(), "inspector"),
        (shop.phase.ca_file(), "ca.pem"),
    ] {
        // Copied by another process: a file that is open for writing cannot be executed.
        let copy = shop.bare(["cp"]).args([from, &root.join(to)]);
        let _ = copy.output().assert_ok();
    }
    root
}

/// Runs phase-run with these arguments in an empty root.
fn in_root<'a>(shop: &'a Shop, root: &Path, words: &[&str]) -> Run<'a> {
    let run = shop.bare(["chroot"]).arg(root).arg("/phase-run");
    // PHASE_HOST is localhost, and no file in this root resolves it.
    run.args(SHOP).args(words).env("PHASE_CA_FILE", "/ca.pem")
}

#[test]
fn static_binary_runs_in_empty_root() {
    let Some(path) = binary_as_root() else { return };
    let shop = static_shop(&path);
    let root = empty_root(&shop, &path);
    let report = in_root(&shop, &root, &["--", "/inspector", "report"]).report();
    assert_eq!(report.variable("SECRET").unwrap(), b"value");
    assert_eq!(report.variable("PHASE_SERVICE_TOKEN"), None);
    let run = in_root(&shop, &root, &["--", "inspector", "report"]);
    let _ = run.env("PATH", "/").report();
    // Without a /dev/null, too, a closed descriptor is closed for the command.
    let run = in_root(&shop, &root, &["--", "/inspector", "report"]);
    let report = run.stdin_closed().closed(2).report();
    assert_eq!(report.descriptors(), [1]);
}

/// Failures have the same reasons as elsewhere.
#[test]
fn errors_in_empty_root_are_explained() {
    let Some(path) = binary_as_root() else { return };
    let shop = static_shop(&path);
    let root = empty_root(&shop, &path);
    shop.executable("root/text", "echo x\n");
    let run = |words: &[&str]| in_root(&shop, &root, words).output();
    let output = run(&["--file", "SECRET", "/inspector", "exit", "0"]);
    let output = output.assert_error(125, "environment");
    assert!(output.stderr.contains("/proc is not mounted"), "{output}");
    for words in [&["/text"][..], &["-c", "true"]] {
        let output = run(words).assert_error(127, "exec");
        assert!(output.stderr.contains("/bin/sh"), "{output}");
    }
    let run = in_root(&shop, &root, &["/inspector", "exit", "0"]);
    let output = run.env("PHASE_HOST", "https://phase.test").output();
    let _ = output.assert_error(125, "unreachable");
}

/// Runs as a user who has neither HOME nor an entry in passwd(5).
#[test]
fn static_binary_runs_without_home() {
    let Some(path) = binary_as_root() else { return };
    let shop = static_shop(&path);
    let root = empty_root(&shop, &path);
    // That user can reach this directory.
    let copy = root.join("phase-run");
    let run = shop
        .bare([copy])
        .args(SHOP)
        .args(["--", inspector(), "report"]);
    let report = run.unset("HOME").as_user(54321).report();
    assert_eq!(report.variable("SECRET").unwrap(), b"value");
    assert_eq!(report.field("uid"), "54321 54321");
}

/// A start needs no writable file system.
#[test]
fn static_binary_runs_in_read_only_root() {
    let Some(path) = binary_as_root() else { return };
    let shop = static_shop(&path);
    let read_only = "mount --make-rprivate /; for mount in / /tmp /var /home; do \
                     mount --rbind $mount $mount 2>/dev/null || continue; \
                     mount -o remount,bind,ro $mount 2>/dev/null || :; done";
    let run = |words: &[&str]| {
        let run = shop.run(SHOP).arg("--").args(words);
        mounted(run, &format!("cd /; {read_only}; cd \"$OLDPWD\"")).output()
    };
    let refused = run(&[
        "sh",
        "-c",
        "(: >new) 2>&- || (: >/new) 2>&- || echo refused",
    ]);
    assert_eq!(refused.assert_ok().text(), "refused\n");
    assert_eq!(
        run(&[inspector(), "cat-env", "SECRET"]).assert_ok().text(),
        "value"
    );
}
