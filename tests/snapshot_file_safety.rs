//! `--snapshot`: files that are not accepted as a snapshot, and paths that cannot be written.

use std::ffi::OsStr;
use std::fs::{File, create_dir, hard_link, metadata, read, remove_file, rename, symlink_metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use fake_phase::Responder;
use nix::sys::resource::Resource;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::snapshot::{SnapshotShop, VALUE, names, snapshot_shop, snapshot_shop_of, two_app_world};
use crate::support::{Output, Run, SHOP, require_linux, require_root, set_mode, shop};

fn assert_printed_value(output: &Output) {
    assert_eq!(output.text(), format!("{VALUE}\n"));
}

/// A symbolic link, a FIFO, or a file that other users can write is neither read nor replaced nor
/// removed, and the command still starts after a successful fetch.
#[test]
fn snapshot_writable_by_others_is_not_touched() {
    type Change = fn(&Path);
    let away = |path: &Path| path.with_file_name("elsewhere");
    let cases: [(Change, &str); 8] = [
        (
            |path| {
                rename(path, path.with_file_name("elsewhere")).unwrap();
                symlink("elsewhere", path).unwrap();
            },
            "it is a symbolic link",
        ),
        (
            |path| {
                rename(path, path.with_file_name("aside")).unwrap();
                symlink("elsewhere", path).unwrap();
            },
            "it is a symbolic link",
        ),
        (
            |path| {
                rename(path, path.with_file_name("elsewhere")).unwrap();
                mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
            },
            "it is not a regular file",
        ),
        (
            |path| {
                rename(path, path.with_file_name("elsewhere")).unwrap();
                create_dir(path).unwrap();
            },
            "it is not a regular file",
        ),
        (
            |path| set_mode(path, 0o666),
            "other users can write it (mode 0666)",
        ),
        (
            |path| set_mode(path, 0o620),
            "other users can write it (mode 0620)",
        ),
        (
            |path| set_mode(path, 0o602),
            "other users can write it (mode 0602)",
        ),
        (
            |path| chown(path, Some(65534), None).unwrap(),
            "it belongs to another user",
        ),
    ];
    for (change, why) in cases {
        if why.contains("another user") && !require_root("only root can give a file away") {
            continue;
        }
        let shop = snapshot_shop().with_snapshot();
        change(&shop.file);
        let (kind, target) = (mode_and_names(&shop), read(away(&shop.file)).ok());
        let output = shop
            .run_with(&["--offline"])
            .output()
            .assert_error(125, "snapshot");
        let said = format!("cannot use the snapshot snapshot: {why}\n");
        assert!(output.stderr.contains(&said), "{output}");
        let warning = format!("warning: cannot write the snapshot snapshot: {why}");
        assert_printed_value(
            &shop
                .run_with(&[])
                .output()
                .assert_log_lines(&[&warning])
                .assert_ok(),
        );
        let before = shop.phase.requests().len();
        shop.phase.respond("", Responder::error(401, "no").times(1));
        let warning = format!(
            "warning: cannot remove the snapshot snapshot, although Phase denies access to its secrets: {why}"
        );
        let _ = shop
            .run_with(&[])
            .output()
            .assert_log_lines(&[&warning])
            .assert_error(125, "token");
        assert!(shop.phase.requests().len() > before);
        let shop = shop.responding(Responder::status(503));
        let warning = format!("warning: cannot use the snapshot snapshot instead: {why}");
        let _ = shop
            .run_with(&[])
            .output()
            .assert_log_lines(&[&warning])
            .assert_error(125, "server");
        assert_eq!(
            (mode_and_names(&shop), read(away(&shop.file)).ok()),
            (kind, target),
            "{why}"
        );
    }
}

fn mode_and_names(shop: &SnapshotShop) -> (u32, Vec<String>) {
    let mode = symlink_metadata(&shop.file).unwrap().permissions().mode();
    (mode, names(shop.sandbox.directory()))
}

/// A wrong path after `--snapshot` must not destroy a file.
#[test]
fn non_snapshot_file_is_never_replaced() {
    let shop = snapshot_shop();
    shop.sandbox.file("snapshot", "a novel");
    let why = "it is not a phase-run snapshot";
    let warning = format!("warning: cannot write the snapshot snapshot: {why}");
    assert_printed_value(
        &shop
            .run_with(&[])
            .output()
            .assert_log_lines(&[&warning])
            .assert_ok(),
    );
    let shop = shop.responding(Responder::error(403, "no"));
    let _ = shop
        .run_with(&[])
        .output()
        .assert_log_lines(&["warning: cannot remove"])
        .assert_error(125, "token");
    assert_eq!(read(&shop.file).unwrap(), b"a novel");
    // An empty file and a damaged snapshot are replaced.
    for before in ["", "phase-run snapshot v1\nand no more"] {
        let shop = snapshot_shop();
        shop.sandbox.file("snapshot", before);
        shop.with_snapshot().assert_readable();
    }
}

/// Truncates the file and flips bits in each part of it.
#[test]
fn damaged_snapshot_is_rejected_and_replaced() {
    let shop = snapshot_shop().with_snapshot();
    let whole = read(&shop.file).unwrap();
    let lengths = (0..whole.len()).step_by(17).chain([whole.len() - 1]);
    let damaged = lengths.map(|length| whole[..length].to_vec());
    let flipped = (0..whole.len()).step_by(13).map(|place| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        bytes
    });
    for bytes in damaged.chain(flipped) {
        shop.sandbox.file("snapshot", &bytes);
        let output = shop
            .run_with(&["--offline"])
            .output()
            .assert_error(125, "snapshot");
        let said = ["or is damaged", "it is not a phase-run snapshot"];
        let said = said.iter().any(|why| output.stderr.contains(why));
        assert!(said, "{output}");
    }
    shop.sandbox.file("snapshot", &whole[..whole.len() - 1]);
    shop.with_snapshot().assert_readable();
}

/// The file has mode 0600 with any umask, and no other file is left.
#[test]
fn snapshot_is_private_to_its_user() {
    for umask in ["000", "022", "077", "377", "777"] {
        let shop = snapshot_shop();
        let script = format!("umask {umask}; exec \"$@\"");
        let run = shop.run_with(&[]).wrap(["sh", "-c", &script, "sh"]);
        assert_printed_value(&run.output().assert_ok());
        let facts = metadata(&shop.file).unwrap();
        assert_eq!(facts.permissions().mode() & 0o7777, 0o600);
        assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
        shop.assert_readable();
    }
}

const LEFTOVER_CONTENT: &str = "phase-run snapshot v1\nand no more";

/// A start removes what killed starts have left: regular files of this user with one link, which are
/// empty, begin like a snapshot or lost their bytes in a power failure, have the name of a temporary file
/// and are not locked.
#[test]
fn only_leftovers_are_removed() {
    let shop = snapshot_shop();
    let directory = shop.sandbox.directory();
    let path = |end: &str| directory.join(format!(".snapshot.{end}"));
    let leave = |end: &str| {
        let name = format!(".snapshot.{end}");
        shop.sandbox.file(&name, LEFTOVER_CONTENT)
    };
    shop.sandbox.file(".snapshot.empty000000000000000", "");
    shop.sandbox
        .file(".snapshot.zeros000000000000000", [0; 400]);
    leave("ABCDEFGHIJKLMNOPQRST");
    leave("01234567890123456789");

    // The names are not those of a temporary file.
    for end in [
        "",
        "part",
        "swp",
        "backup",
        "1234567890123456789",
        "123456789012345678901",
        "1234567890123456789~",
        "123456789.1234567890",
        "1234567890123456789\u{e9}",
    ] {
        leave(end);
    }
    for name in [
        "snapshot.12345678901234567890",
        ".snapshots.12345678901234567890",
        ".other.12345678901234567890",
    ] {
        shop.sandbox.file(name, LEFTOVER_CONTENT);
    }
    // The files are not those of a killed start.
    shop.sandbox
        .file(".snapshot.novel000000000000000", "a novel");
    symlink("elsewhere", path("symlink0000000000000")).unwrap();
    shop.sandbox.file("target", LEFTOVER_CONTENT);
    symlink("target", path("symlink0000000000001")).unwrap();
    mkfifo(&path("fifo0000000000000000"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    create_dir(path("directory00000000000")).unwrap();
    hard_link(leave("link0000000000000000"), directory.join("link")).unwrap();
    set_mode(leave("writable000000000000"), 0o622);
    if require_root("only root can give a file away") {
        chown(leave("foreign0000000000000"), Some(65534), None).unwrap();
    }
    let locked = File::open(leave("locked00000000000000")).unwrap();
    locked.lock().unwrap();

    let mut expected = names(directory);
    expected.retain(|name| {
        let removed = [
            "empty000000000000000",
            "zeros000000000000000",
            "ABCDEFGHIJKLMNOPQRST",
            "01234567890123456789",
        ];
        !removed.iter().any(|end| name.ends_with(end))
    });
    let shop = shop.with_snapshot();
    expected.push("snapshot".to_owned());
    expected.sort();
    assert_eq!(names(shop.sandbox.directory()), expected);
    drop(locked);
    expected.retain(|name| !name.contains("locked"));
    let shop = shop.with_snapshot();
    assert_eq!(names(shop.sandbox.directory()), expected);
}

/// The path of a snapshot may be relative or absolute, its name may have any bytes but no more than 255.
#[test]
fn snapshot_may_have_any_path() {
    let shop = snapshot_shop();
    create_dir(shop.sandbox.directory().join("folder")).unwrap();
    let directory = shop.sandbox.directory().as_os_str().to_owned();
    let joined = |parts: [&OsStr; 2]| parts.join(OsStr::new("/"));
    for path in [
        OsStr::new("./snapshot").to_owned(),
        OsStr::new("folder/../folder//snapshot").to_owned(),
        joined([&directory, OsStr::new("snapshot")]),
        OsStr::from_bytes(b"folder/\xff\x80 \n").to_owned(),
        "n".repeat(233).into(),
        "n".repeat(234).into(),
        "n".repeat(250).into(),
        "\u{e9}".repeat(127).into(),
        "n".repeat(255).into(),
    ] {
        let start = |options: &[&str]| {
            let run = shop.sandbox.run(SHOP).arg("--snapshot").arg(&path);
            let command = ["--", "printenv", "SECRET"];
            let run = run.args(options).args(command);
            run.allow_secrets_on_stdout().output()
        };
        assert_printed_value(&start(&[]).assert_ok());
        assert_printed_value(
            &start(&["--offline"])
                .assert_log_lines(&["using"])
                .assert_ok(),
        );
        // The second start replaces the file.
        assert_printed_value(&start(&[]).assert_ok());
        let file = shop.sandbox.directory().join(&path);
        remove_file(file).unwrap();
        assert_eq!(names(shop.sandbox.directory()), ["folder"]);
        assert_eq!(names(&shop.sandbox.directory().join("folder")), [""; 0]);
    }
    for (path, why) in [
        ("n".repeat(256), "file name too long"),
        ("folder".to_owned(), "it is not a regular file"),
    ] {
        let run = shop.sandbox.run(SHOP).args(["--snapshot", &path, "true"]);
        let warning = format!("warning: cannot write the snapshot {path}: {why}");
        let _ = run.output().assert_log_lines(&[&warning]).assert_ok();
        assert_eq!(names(shop.sandbox.directory()), ["folder"]);
    }
}

const READ_ONLY: &str =
    "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\" && exec \"$@\"";

/// A snapshot that cannot be written is a warning, and the old one stays.
#[test]
fn unwritable_snapshot_only_warns() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let write_warning = |why: &str| format!("warning: cannot write the snapshot snapshot: {why}");
    let shop = snapshot_shop().with_snapshot();
    let before = read(&shop.file).unwrap();
    let run = shop.run_with(&[]).limit(Resource::RLIMIT_FSIZE, 10);
    let limited = write_warning("it would exceed the file size limit (ulimit -f)");
    assert_printed_value(&run.output().assert_log_lines(&[&limited]).assert_ok());
    let run = shop
        .sandbox
        .run(SHOP)
        .args(["--snapshot", "nowhere/snapshot"]);
    let warning = "warning: cannot write the snapshot nowhere/snapshot: no such file or directory";
    let _ = run
        .arg("true")
        .output()
        .assert_log_lines(&[warning])
        .assert_ok();
    if require_root("only root can become another user") {
        let run = shop.run_with(&[]).as_user(65534);
        let denied = write_warning("permission denied");
        assert_printed_value(&run.output().assert_log_lines(&[&denied]).assert_ok());
        // The volume of an image that does not run as root.
        remove_file(&shop.file).unwrap();
        let run = shop.run_with(&[]).as_user(65534);
        let why = "permission denied: user 65534 must be able to write to its directory";
        let denied = write_warning(why);
        assert_printed_value(&run.output().assert_log_lines(&[&denied]).assert_ok());
        std::fs::write(&shop.file, &before).unwrap();
        set_mode(&shop.file, 0o600);
    }
    let warning = write_warning("read-only file system");
    assert_printed_value(
        &read_only(shop.run_with(&[]))
            .output()
            .assert_log_lines(&[&warning])
            .assert_ok(),
    );
    let used = read_only(shop.run_with(&["--offline"])).output();
    assert_printed_value(&used.assert_log_lines(&["using the snapshot"]).assert_ok());
    assert_eq!(read(&shop.file).unwrap(), before);
    let shop = shop.responding(Responder::error(401, "no"));
    let stays = ["warning: cannot remove the snapshot snapshot, although"];
    let output = read_only(shop.run_with(&[]))
        .output()
        .assert_log_lines(&stays);
    let _ = output.assert_error(125, "token");
}

fn read_only(run: Run<'_>) -> Run<'_> {
    run.in_namespaces(&["--mount"], READ_ONLY)
}

/// On a disk of four pages a small snapshot fits. A large one does not, and leaves the small one.
#[test]
fn full_disk_keeps_old_snapshot() {
    if !require_linux("only Linux has namespaces") {
        return;
    }
    let mut world = two_app_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "LARGE", &"x".repeat(100_000));
    let shop = snapshot_shop_of(world);
    create_dir(shop.sandbox.directory().join("disk")).unwrap();
    let script = "mount -t tmpfs -o size=16k none disk && \
        \"$@\" --only SECRET -- printenv SECRET && \
        \"$@\" --file LARGE -- printenv SECRET && \
        \"$@\" --only SECRET --offline -- printenv SECRET && ls -A disk";
    let run = shop.sandbox.run(SHOP).args(["--snapshot", "disk/snapshot"]);
    let output = run
        .in_namespaces(&["--mount"], script)
        .allow_secrets_on_stdout()
        .output();
    let said = [
        "warning: cannot write the snapshot disk/snapshot: no space left on device",
        "using the snapshot disk/snapshot, made ",
    ];
    let output = output.assert_log_lines(&said).assert_ok();
    assert_eq!(output.text(), format!("{VALUE}\n").repeat(3) + "snapshot\n");
}

/// A path that ends like that of a directory is an error before anything is written.
#[test]
fn snapshot_path_of_a_directory_is_an_error() {
    let shop = shop([("SECRET", "value")]);
    let folder = shop.directory().join("snapshots");
    create_dir(&folder).unwrap();
    for name in ["name/", "name/.", "..", ""] {
        let path = folder.join(name);
        let run = shop.run(SHOP).arg("--snapshot").arg(&path);
        let output = run.args(["--", "true"]).output().assert_error(125, "usage");
        let why = "expected the path of a file, not of a directory";
        assert!(output.stderr.contains(why), "{output}");
        let run = shop.run(SHOP).args(["true"]).env("PHASE_SNAPSHOT", &path);
        let _ = run.output().assert_error(125, "config");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}
