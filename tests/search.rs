//! Where the command is found: on the PATH that it will get, as execvp(3) searches.

use std::fs::{create_dir, create_dir_all};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Shop, Status, shop};

/// A script `tool` in this folder of the working directory that says which one it is.
fn tool(shop: &Shop, folder: &str) -> PathBuf {
    create_dir_all(shop.directory().join(folder)).unwrap();
    let script = format!("#!/bin/sh\necho {folder}\n");
    let path = shop.executable(&format!("{folder}/tool"), script);
    path.parent().unwrap().to_owned()
}

/// The paths with a colon between two, and the system's last.
fn path(folders: &[&PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.to_str().unwrap());
    folders
        .chain(["/usr/bin:/bin"])
        .collect::<Vec<_>>()
        .join(":")
}

#[test]
fn the_first_folder_of_path_that_has_it_counts() {
    let shop = shop([("SECRET", "value")]);
    let (empty, one, two) = (
        shop.directory().join("none"),
        tool(&shop, "one"),
        tool(&shop, "two"),
    );
    let run = |path: String| shop.with(&[]).arg("tool").env("PATH", path).output().ok();
    assert_eq!(run(path(&[&empty, &one, &two])).text(), "one\n");
    assert_eq!(run(path(&[&two, &one])).text(), "two\n");
}

/// Not on the one that phase-run was started with.
#[test]
fn an_injected_path_is_the_one_that_is_searched() {
    let shop = shop([("PATH", "")]);
    let (one, two) = (tool(&shop, "one"), tool(&shop, "two"));
    shop.phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.clear();
        production.secret("/", "PATH", &path(&[&two]));
    });
    let run = |options: &[&str]| {
        shop.with(options)
            .arg("tool")
            .env("PATH", path(&[&one]))
            .output()
    };
    assert_eq!(run(&["--allow-name", "PATH"]).ok().text(), "two\n");
    assert_eq!(run(&["--keep", "PATH"]).ok().text(), "one\n");
    // PATH is among what `--clean` leaves.
    assert_eq!(run(&["--clean", "--keep", "PATH"]).ok().text(), "one\n");
}

/// execvp(3): without PATH the search is in /bin and /usr/bin. Not in the working directory.
#[test]
fn without_path_the_systems_folders_are_searched() {
    let shop = shop([("SECRET", "value")]);
    let folder = tool(&shop, "here");
    let run = |options: &[&str], word: &str| {
        let run = shop.with(options).arg(word).unset("PATH");
        run.cwd(&folder).output()
    };
    let _ = run(&[], "true").ok();
    let _ = run(&["--clean"], "true").ok();
    let output = run(&[], "tool").failed(127, "exec");
    assert!(
        output
            .stderr
            .contains("cannot run tool: not found in PATH\n"),
        "{output}"
    );
}

/// execvp(3): an empty element is the working directory.
#[test]
fn an_empty_element_of_path_is_the_working_directory() {
    let shop = shop([("SECRET", "value")]);
    let folder = tool(&shop, "here");
    for path in ["", ":/bin", "/bin:", "/bin::/none", "."] {
        let run = shop.with(&[]).arg("tool").env("PATH", path);
        let output = run.cwd(&folder).output().ok();
        assert_eq!(output.text(), "here\n", "{path:?}");
    }
}

/// After EACCES the search goes on: a file without its x bit, a directory, a folder in the way.
#[test]
fn what_cannot_be_executed_does_not_end_the_search() {
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
        let run = shop.with(&[]).arg("tool");
        let output = run.env("PATH", path(&[folder, &good])).output();
        assert_eq!(output.ok().text(), "good\n");
    }
    let run = shop.with(&[]).arg("tool").env("PATH", path(&[plain, file]));
    let output = run.output().failed(126, "exec");
    assert!(
        output.stderr.contains("plain/tool: permission denied"),
        "{output}"
    );
    // execvp(3) stops at any other error.
    symlink("tool", circle.join("tool")).unwrap();
    let run = shop
        .with(&[])
        .arg("tool")
        .env("PATH", path(&[circle, &good]));
    let output = run.output().failed(126, "exec");
    assert!(output.stderr.contains("symbolic link"), "{output}");
}

/// Each of these by env(1) and under phase-run. (Where PATH ends in what is no folder, glibc's
/// search ends as if a command had been found that cannot be executed; here it was not found.)
#[test]
fn a_search_ends_as_that_of_env_does() {
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
        let under = shop.with(&[]).arg("tool").env("PATH", folders);
        let (bare, under) = (bare.output(), under.output());
        assert_eq!(under.status, bare.status, "PATH={folders}");
    }
}

/// A word with a slash is a path, and PATH is not searched.
#[test]
fn a_word_with_a_slash_is_a_path() {
    let shop = shop([("SECRET", "value")]);
    let folder = tool(&shop, "folder");
    let run = |word: &str| {
        shop.with(&[])
            .arg(word)
            .env("PATH", path(&[&folder]))
            .output()
    };
    assert_eq!(run("folder/tool").ok().text(), "folder\n");
    assert_eq!(run("./folder/tool").ok().text(), "folder\n");
    let output = run("./tool").failed(127, "exec");
    assert!(
        output
            .stderr
            .contains("cannot run ./tool: no such file or directory\n"),
        "{output}"
    );
    let _ = run(folder.join("tool").to_str().unwrap()).ended(Status::Exited(0));
}
