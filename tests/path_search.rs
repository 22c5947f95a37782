//! The search for the command: on the PATH that the command will get, as execvp(3) does it.

use std::fs::{create_dir, create_dir_all};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Shop, Status, shop};

/// Creates a script `tool` in this folder of the working directory that prints the folder.
fn tool(shop: &Shop, folder: &str) -> PathBuf {
    create_dir_all(shop.directory().join(folder)).unwrap();
    let script = format!("#!/bin/sh\necho {folder}\n");
    let path = shop.executable(&format!("{folder}/tool"), script);
    path.parent().unwrap().to_owned()
}

/// Joins the folders with colons, and adds those of the system.
fn path(folders: &[&PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.to_str().unwrap());
    folders
        .chain(["/usr/bin:/bin"])
        .collect::<Vec<_>>()
        .join(":")
}

#[test]
fn first_match_on_path_wins() {
    let shop = shop([("SECRET", "value")]);
    let (empty, one, two) = (
        shop.directory().join("none"),
        tool(&shop, "one"),
        tool(&shop, "two"),
    );
    let run = |path: String| {
        shop.run_with(&[])
            .arg("tool")
            .env("PATH", path)
            .output()
            .assert_ok()
    };
    assert_eq!(run(path(&[&empty, &one, &two])).text(), "one\n");
    assert_eq!(run(path(&[&two, &one])).text(), "two\n");
}

/// The PATH that phase-run was started with does not matter.
#[test]
fn injected_path_is_searched() {
    let shop = shop([("PATH", "")]);
    let (one, two) = (tool(&shop, "one"), tool(&shop, "two"));
    shop.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.clear();
        production.secret("/", "PATH", &path(&[&two]));
    });
    let run = |options: &[&str]| {
        shop.run_with(options)
            .arg("tool")
            .env("PATH", path(&[&one]))
            .output()
    };
    assert_eq!(run(&["--allow-name", "PATH"]).assert_ok().text(), "two\n");
    assert_eq!(run(&["--keep", "PATH"]).assert_ok().text(), "one\n");
    // `--clean` leaves PATH.
    assert_eq!(
        run(&["--clean", "--keep", "PATH"]).assert_ok().text(),
        "one\n"
    );
}

/// execvp(3): without PATH, /bin and /usr/bin are searched, but not the working directory.
#[test]
fn unset_path_searches_system_directories() {
    let shop = shop([("SECRET", "value")]);
    let folder = tool(&shop, "here");
    let run = |options: &[&str], word: &str| {
        let run = shop.run_with(options).arg(word).unset("PATH");
        run.cwd(&folder).output()
    };
    let _ = run(&[], "true").assert_ok();
    let _ = run(&["--clean"], "true").assert_ok();
    let output = run(&[], "tool").assert_error(127, "exec");
    assert!(
        output
            .stderr
            .contains("cannot run tool: not found in PATH\n"),
        "{output}"
    );
}

/// execvp(3): an empty element is the working directory.
#[test]
fn empty_path_element_is_the_working_directory() {
    let shop = shop([("SECRET", "value")]);
    let folder = tool(&shop, "here");
    for path in ["", ":/bin", "/bin:", "/bin::/none", "."] {
        let run = shop.run_with(&[]).arg("tool").env("PATH", path);
        let output = run.cwd(&folder).output().assert_ok();
        assert_eq!(output.text(), "here\n", "{path:?}");
    }
}

/// The search continues after EACCES: a file that is not executable, a directory.
#[test]
fn search_continues_past_unexecutable_files() {
    let shop = shop([("SECRET", "value")]);
    let good = tool(&shop, "good");
    let folders = [
        "plain",
        "directory",
        "loop",
        "file",
        "dangling",
        "uninterpreted",
    ];
    let folders = folders.map(|name| shop.directory().join(name));
    let [plain, directory, circle, file, dangling, uninterpreted] = &folders;
    for folder in [plain, directory, circle, dangling, uninterpreted] {
        create_dir(folder).unwrap();
    }
    shop.file("plain/tool", "#!/bin/sh\necho plain\n");
    create_dir(directory.join("tool")).unwrap();
    shop.file("file", "a file where PATH has a folder");
    symlink("nowhere", dangling.join("tool")).unwrap();
    shop.executable("uninterpreted/tool", "#!/no/such/interpreter\n");
    let bad = [plain, directory, file, dangling, uninterpreted];
    for folder in bad {
        let run = shop.run_with(&[]).arg("tool");
        let output = run.env("PATH", path(&[folder, &good])).output();
        assert_eq!(output.assert_ok().text(), "good\n");
    }
    let run = shop
        .run_with(&[])
        .arg("tool")
        .env("PATH", path(&[plain, file]));
    let output = run.output().assert_error(126, "exec");
    assert!(
        output.stderr.contains("plain/tool: permission denied"),
        "{output}"
    );
    // execvp(3) stops at any other error.
    symlink("tool", circle.join("tool")).unwrap();
    let run = shop
        .run_with(&[])
        .arg("tool")
        .env("PATH", path(&[circle, &good]));
    let output = run.output().assert_error(126, "exec");
    assert!(output.stderr.contains("symbolic link"), "{output}");
}

/// Runs each PATH with env(1) and with phase-run. (If the last entry of PATH is not a directory,
/// glibc reports that the command cannot be executed; phase-run reports that it was not found.)
#[test]
fn search_ends_with_the_same_status_as_env() {
    let shop = shop([("SECRET", "value")]);
    tool(&shop, "good");
    create_dir_all(shop.directory().join("directory/tool")).unwrap();
    create_dir(shop.directory().join("plain")).unwrap();
    create_dir(shop.directory().join("circle")).unwrap();
    shop.file("plain/tool", "#!/bin/sh\n");
    shop.file("file", "");
    symlink("tool", shop.directory().join("circle/tool")).unwrap();
    for folders in [
        "plain",
        "directory",
        "circle",
        "none",
        "plain:good",
        "none:good",
        "circle:good",
        "file:good",
        "good:plain",
        "plain:none",
        "none:plain",
        "file:none",
        "",
        "file/x:good",
        "directory:circle",
        "file:plain",
    ] {
        let bare = shop.bare(["/usr/bin/env", "tool"]).env("PATH", folders);
        let under = shop.run_with(&[]).arg("tool").env("PATH", folders);
        let (bare, under) = (bare.output(), under.output());
        assert_eq!(under.status, bare.status, "PATH={folders}");
    }
}

/// PATH is not searched then.
#[test]
fn command_with_a_slash_is_a_path() {
    let shop = shop([("SECRET", "value")]);
    let folder = tool(&shop, "folder");
    let run = |word: &str| {
        shop.run_with(&[])
            .arg(word)
            .env("PATH", path(&[&folder]))
            .output()
    };
    assert_eq!(run("folder/tool").assert_ok().text(), "folder\n");
    assert_eq!(run("./folder/tool").assert_ok().text(), "folder\n");
    let output = run("./tool").assert_error(127, "exec");
    assert!(
        output
            .stderr
            .contains("cannot run ./tool: no such file or directory\n"),
        "{output}"
    );
    let _ = run(folder.join("tool").to_str().unwrap()).assert_status(Status::Exited(0));
}
