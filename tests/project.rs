//! `.phase.json`: the app and the environment of a directory.

use std::fs::{create_dir, create_dir_all, remove_dir, write};
use std::path::{Path, PathBuf};

use fake_phase::{Phase, World};
use nix::unistd::Uid;

use crate::support::{Run, Sandbox, assert_refused_before_connecting, require_root, set_mode};

/// Two apps whose secret names its app and environment.
struct Apps {
    phase: Phase,
    sandbox: Sandbox,
    /// The ID of the app `shop`.
    shop: String,
}

fn apps() -> Apps {
    let mut world = World::empty();
    for (app, name, kind) in [
        ("shop", "Development", "dev"),
        ("shop", "Production", "prod"),
        ("other", "Production", "prod"),
    ] {
        let environment = world.app(app).environment(name, kind);
        environment.secret("/", "WHERE", &format!("{name} of {app}"));
    }
    let shop = world.app("shop").id().to_owned();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    Apps {
        phase,
        sandbox,
        shop,
    }
}

impl Apps {
    /// Puts this `.phase.json` in the sandbox's directory.
    fn with(project: &str) -> Self {
        let apps = apps();
        apps.project(project);
        apps
    }

    fn project(&self, content: &str) -> PathBuf {
        self.sandbox
            .file(".phase.json", content.replace("SHOP", &self.shop))
    }

    fn run(&self, options: &[&str]) -> Run<'_> {
        self.sandbox.run(options).args(["--", "printenv", "WHERE"])
    }

    /// Returns the environment and app whose secrets arrive.
    fn secret_of(&self, options: &[&str]) -> String {
        self.run(options)
            .output()
            .assert_ok()
            .text()
            .trim_end()
            .to_owned()
    }
}

/// Checks that a run fails with a `config` error before any request.
fn project_refused(apps: &Apps, run: Run<'_>, message: &str) {
    let _ = assert_refused_before_connecting(&apps.phase, run, "config", message);
}

/// The app's ID takes precedence over its name.
#[test]
fn project_file_supplies_app_and_environment() {
    for (project, expected) in [
        (
            r#"{"appId": "SHOP", "defaultEnv": "Development"}"#,
            "Development of shop",
        ),
        (
            r#"{"phaseApp": "SHOP", "defaultEnv": "Production"}"#,
            "Production of shop",
        ),
        (
            r#"{"phaseApp": "Other", "defaultEnv": "production"}"#,
            "Production of other",
        ),
        (
            r#"{"appId": "SHOP", "phaseApp": "other", "defaultEnv": "Production"}"#,
            "Production of shop",
        ),
        (
            r#"{"appId": "", "phaseApp": "other", "defaultEnv": "Production"}"#,
            "Production of other",
        ),
        (
            r#"{"appId": null, "phaseApp": "other", "defaultEnv": "Production", "version": 2}"#,
            "Production of other",
        ),
    ] {
        assert_eq!(Apps::with(project).secret_of(&[]), expected, "{project}");
    }
}

/// `--app other` must never run with the environment of the project's app.
#[test]
fn project_environment_is_ignored_for_other_app() {
    let apps = Apps::with(r#"{"appId": "SHOP", "phaseApp": "shop", "defaultEnv": "Production"}"#);
    let path = apps.sandbox.directory().join(".phase.json");
    let id = apps.shop.to_uppercase();
    for app in ["shop", "SHOP", &id] {
        assert_eq!(apps.secret_of(&["--app", app]), "Production of shop");
    }
    let message = format!(
        "phase-run: error[config]: no environment of other is specified, and there is no default \
         ({} is for another app)",
        path.display()
    );
    let option = apps.run(&["--app", "other"]).output();
    let variable = apps.run(&[]).env("PHASE_APP", "other").output();
    for output in [option, variable] {
        let output = output.assert_error(125, "config");
        assert!(output.stderr.starts_with(&message), "{output}");
    }
    let both = ["--app", "other", "--env", "production"];
    assert_eq!(apps.secret_of(&both), "Production of other");
    // The file's app applies to an environment that was typed.
    assert_eq!(
        apps.secret_of(&["--env", "development"]),
        "Development of shop"
    );
    let run = apps.run(&[]).env("PHASE_ENV", "development");
    assert_eq!(run.output().assert_ok().text(), "Development of shop\n");
}

/// Only the file could say that a name and an ID belong to the same app.
#[test]
fn project_without_name_ignores_named_app() {
    let apps = Apps::with(r#"{"appId": "SHOP", "defaultEnv": "Production"}"#);
    let output = apps
        .run(&["--app", "shop"])
        .output()
        .assert_error(125, "config");
    assert!(output.stderr.contains(" is for another app)"), "{output}");
}

#[test]
fn messages_name_the_project_file() {
    let apps = Apps::with(r#"{"phaseApp": "nowhere", "defaultEnv": "nothing"}"#);
    let path = apps.sandbox.directory().join(".phase.json");
    let path = path.display();
    let output = apps.run(&[]).output().assert_error(125, "not-found");
    let message = format!("app nowhere (from {path}) not found");
    assert!(output.stderr.contains(&message), "{output}");
    // The hint is about the file, not about an option.
    let hint = format!("hint: change phaseApp in {path} to ");
    assert!(output.stderr.contains(&hint), "{output}");
    apps.project(r#"{"phaseApp": "shop", "defaultEnv": "nothing"}"#);
    let output = apps.run(&[]).output().assert_error(125, "not-found");
    let message = format!("environment nothing (from {path}) not found in shop");
    assert!(output.stderr.contains(&message), "{output}");
    let hint = format!("hint: change defaultEnv in {path} to ");
    assert!(output.stderr.contains(&hint), "{output}");
    let unknown = "f1300fdf-7b0e-4571-a680-6e10f05d5499";
    apps.project(&format!(
        r#"{{"appId": "{unknown}", "defaultEnv": "production"}}"#
    ));
    let output = apps.run(&[]).output().assert_error(125, "not-found");
    let hint = format!("hint: check appId in {path}, or remove it there and set phaseApp ");
    assert!(output.stderr.contains(&hint), "{output}");
    apps.project(r#"{"phaseApp": "shop", "defaultEnv": "production"}"#);
    let output = apps.run(&["-v", "--env=dev"]).output();
    let chosen = "using environment Development (the only one of type 'dev' from --env)";
    let fetching =
        format!("fetching app shop (from {path}), environment Development (from --env) from ");
    let _ = output
        .assert_log_lines(&[chosen, &fetching, "1 of 1 secrets", "executing printenv"])
        .assert_ok();
}

#[test]
fn project_without_environment_has_no_default() {
    for project in [
        r#"{"appId": "SHOP"}"#,
        r#"{"phaseApp": "shop", "defaultEnv": ""}"#,
    ] {
        let apps = Apps::with(project);
        let output = apps.run(&[]).output().assert_error(125, "config");
        assert!(
            output.stderr.contains("error[config]: no environment of "),
            "{output}"
        );
        let why = ".phase.json has no defaultEnv)";
        assert!(output.stderr.contains(why), "{output}");
        assert!(output.stderr.contains("; this token can read "), "{output}");
    }
    for project in ["{}", r#"{"defaultEnv": "Production"}"#] {
        let output = Apps::with(project)
            .run(&[])
            .output()
            .assert_error(125, "config");
        assert!(
            output.stderr.contains("error[config]: no app is specified"),
            "{output}"
        );
        let why = ".phase.json has neither appId nor phaseApp)";
        assert!(output.stderr.contains(why), "{output}");
    }
}

#[test]
fn project_file_never_supplies_host_or_token() {
    let token = fake_phase::service_token();
    let apps = Apps::with(&format!(
        r#"{{"appId": "SHOP", "defaultEnv": "Production", "token": "{token}", "serviceToken": "{token}",
            "host": "https://stranger.test", "phaseHost": "https://stranger.test"}}"#
    ));
    assert_eq!(apps.secret_of(&[]), "Production of shop");
    let run = apps.run(&[]).unset("PHASE_SERVICE_TOKEN");
    let output = run.output().assert_error(125, "token");
    assert!(output.stderr.contains("no token is specified"), "{output}");
}

/// The file is needed only while the app or the environment is missing.
#[test]
fn unusable_project_file_fails_only_if_needed() {
    let apps = apps();
    let path = apps.sandbox.directory().join(".phase.json");
    let both = ["--app", "shop", "--env", "production"];
    let long = format!("{{}}{}", " ".repeat(1 << 20));
    for (content, why) in [
        (long.as_str(), "it is longer than 1048576 bytes"),
        ("", "not valid JSON (line 1, column 0)"),
        ("{", "not valid JSON (line 1, column 1)"),
        ("appId: shop\n", "not valid JSON (line 1, column 1)"),
        (
            "{\"appId\": \"SHOP\"}\n{}",
            "not valid JSON (line 2, column 1)",
        ),
        ("[]", "not a JSON object (line 1"),
        ("\"shop\"", "not a JSON object (line 1"),
        (
            "{\"appId\": \"SHOP\",\n\"appId\": \"SHOP\"}",
            "it has two fields appId (line 2",
        ),
        ("{\"appId\": 5}", "appId must be a text in quotes"),
        ("{\"appId\": -5.5}", "appId must be a text in quotes"),
        ("{\"appId\": {\"a\": 1}}", "appId must be a text in quotes"),
        (
            "{\"phaseApp\": [\"shop\"]}",
            "phaseApp must be a text in quotes",
        ),
        (
            "{\"phaseApp\": [\"\u{1b}[2J\"]}",
            "not valid JSON (line 1, column 15)",
        ),
        (
            "{\"defaultEnv\": true}",
            "defaultEnv must be a text in quotes",
        ),
        (
            "{\"monorepoSupport\": \"true\"}",
            "monorepoSupport must be true or false, without quotes",
        ),
    ] {
        apps.project(content);
        let message = format!("cannot use {}: {why}", path.display());
        for one in [&both[..2], &both[2..], &[]] {
            project_refused(&apps, apps.run(one), &message);
        }
        assert_eq!(apps.secret_of(&both), "Production of shop");
        let run = apps
            .run(&[])
            .env("PHASE_APP", "shop")
            .env("PHASE_ENV", "production");
        assert_eq!(run.output().assert_ok().text(), "Production of shop\n");
    }
    set_mode(&path, 0o000);
    let run = |options| {
        let run = apps.run(options);
        if Uid::effective().is_root() {
            run.as_user(65534)
        } else {
            run
        }
    };
    let message = format!("cannot use {}: permission denied", path.display());
    project_refused(&apps, run(&both[..2]), &message);
    let _ = run(&both).output().assert_ok();
}

#[test]
fn project_directory_or_pipe_is_an_error() {
    let apps = apps();
    let path = apps.sandbox.directory().join(".phase.json");
    create_dir(&path).unwrap();
    let message = format!("cannot use {}: not a regular file", path.display());
    project_refused(&apps, apps.run(&["--app", "shop"]), &message);
    // Opening a named pipe (mkfifo(3)) would wait for a writer.
    remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    project_refused(&apps, apps.run(&["--app", "shop"]), &message);
    assert_eq!(
        apps.secret_of(&["--app", "shop", "--env", "production"]),
        "Production of shop"
    );
}

/// An app of the same name with another ID is another app.
#[test]
fn project_environment_requires_matching_app_id() {
    let project = r#"{"appId": "ID", "phaseApp": "shop", "defaultEnv": "Production"}"#;
    let other = "0c7b33f5-fe31-4c23-b45a-7484a0745281";
    let apps = Apps::with(&project.replace("ID", "SHOP"));
    assert_eq!(apps.secret_of(&["--app", "shop"]), "Production of shop");
    apps.project(&project.replace("ID", other));
    let output = apps
        .run(&["--app", "shop"])
        .output()
        .assert_error(125, "config");
    let message = "no environment of shop is specified, and there is no default";
    assert!(output.stderr.contains(message), "{output}");
    let why = ".phase.json is for another app";
    assert!(output.stderr.contains(why), "{output}");
}

/// The working directory is needed only while the app or the environment is missing.
#[test]
fn deleted_directory_fails_only_if_needed() {
    let apps = apps();
    let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    let gone = |options: &[&str]| apps.run(options).wrap(["sh", "-c", script, "sh"]);
    let message = "cannot search for .phase.json: cannot determine the working directory: no such file or directory";
    for options in [vec![], vec!["--app", "shop"], vec!["--env", "production"]] {
        project_refused(&apps, gone(&options), message);
    }
    let both = gone(&["--app", "shop", "--env", "production"]);
    assert_eq!(both.output().assert_ok().text(), "Production of shop\n");
}

/// Creates a directory that many levels below the sandbox's own, and returns its path.
fn below(apps: &Apps, levels: usize) -> PathBuf {
    let folder = (0..levels).fold(apps.sandbox.directory().to_owned(), |at, _| at.join("x"));
    create_dir_all(&folder).unwrap();
    folder
}

const DEPTH: &str = "PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH";

/// Parents are searched up to `PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH` levels, 8 by default.
#[test]
fn parent_project_requires_monorepo_support() {
    let own = r#"{"appId": "SHOP", "defaultEnv": "Production""#;
    let apps = Apps::with(&format!("{own}, \"monorepoSupport\": true}}"));
    let found = |levels: usize, depth: Option<&str>| {
        let run = apps.run(&[]).cwd(below(&apps, levels));
        let run = depth
            .into_iter()
            .fold(run, |run, depth| run.env(DEPTH, depth));
        let output = run.output();
        match output.stderr.as_str() {
            "" => assert_eq!(output.assert_ok().text(), "Production of shop\n"),
            _ => {
                return !output
                    .assert_error(125, "config")
                    .stderr
                    .contains("no app is specified");
            }
        }
        true
    };
    for (levels, depth, expected) in [
        (1, None, true),
        (8, None, true),
        (9, None, false),
        (9, Some("9"), true),
        (8, Some(""), true),
        (2, Some("1"), false),
        (1, Some("1"), true),
        (1, Some("0"), false),
        (0, Some("0"), true),
        (9, Some("99999999"), true),
    ] {
        assert_eq!(found(levels, depth), expected, "{levels} below, {depth:?}");
    }
    for says in [
        "",
        ", \"monorepoSupport\": false",
        ", \"monorepoSupport\": null",
    ] {
        apps.project(&format!("{own}{says}}}"));
        assert!(found(0, None), "{says}");
        assert!(!found(1, None), "{says}");
    }
}

/// Somebody else may have put the file of a parent there, as in `/tmp`. Root follows every file.
#[test]
fn parent_project_of_another_user_is_not_followed() {
    let apps =
        Apps::with(r#"{"appId": "SHOP", "defaultEnv": "Production", "monorepoSupport": true}"#);
    let path = apps.sandbox.directory().join(".phase.json");
    let folder = below(&apps, 1);
    let user = 65534;
    if !require_root("only root can become another user and give files away") {
        return;
    }
    let refused = |run: Run<'_>, path: &Path, why: &str| {
        let what = "which is in a parent directory";
        let message = format!("cannot follow {}, {what}: {why}", path.display());
        project_refused(&apps, run, &message);
    };
    let own = |mode: u32, owner: u32| {
        set_mode(&path, mode);
        std::os::unix::fs::lchown(&path, Some(owner), None).unwrap();
    };
    for (mode, owner, why) in [
        (0o644, 0, None),
        (0o664, user, None),
        (0o644, 1, Some("it belongs to another user (1)")),
        (0o666, 0, Some("every user may write it (mode 0666)")),
        (0o646, user, Some("every user may write it (mode 0646)")),
    ] {
        own(mode, owner);
        let run = apps.run(&[]).as_user(user).cwd(&folder);
        match why {
            Some(why) => refused(run, &path, why),
            None => assert_eq!(run.output().assert_ok().text(), "Production of shop\n"),
        }
        let given = ["--app", "other", "--env", "Production"];
        let run = apps.run(&given).as_user(user).cwd(&folder);
        assert_eq!(run.output().assert_ok().text(), "Production of other\n");
        for run in [
            apps.run(&[]).as_user(user).cwd(apps.sandbox.directory()),
            apps.run(&[]).cwd(&folder),
        ] {
            assert_eq!(run.output().assert_ok().text(), "Production of shop\n");
        }
    }
    // A link of another user may lead to any file of this one.
    own(0o644, user);
    let link = folder.join(".phase.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(1), None).unwrap();
    let run = apps.run(&[]).as_user(user).cwd(below(&apps, 2));
    refused(run, &link, "it belongs to another user (1)");
}

#[test]
fn nearest_applicable_project_file_wins() {
    let own = r#"{"phaseApp": "other", "defaultEnv": "Production", "monorepoSupport": true}"#;
    let apps = Apps::with(own);
    let secret_of = |folder: &Path| {
        let output = apps.run(&[]).cwd(folder).output().assert_ok();
        output.text().trim_end().to_owned()
    };
    let (middle, low) = (below(&apps, 1), below(&apps, 2));
    let shop = r#"{"phaseApp": "shop", "defaultEnv": "Production""#;
    write(middle.join(".phase.json"), format!("{shop}}}")).unwrap();
    // Without `monorepoSupport` the file applies to its own directory only.
    assert_eq!(secret_of(&low), "Production of other");
    assert_eq!(secret_of(&middle), "Production of shop");
    write(
        middle.join(".phase.json"),
        format!("{shop}, \"monorepoSupport\": true}}"),
    )
    .unwrap();
    assert_eq!(secret_of(&low), "Production of shop");
    // A file that cannot be read might have been the one that applies.
    let path = middle.join(".phase.json");
    write(&path, "{").unwrap();
    let message = format!("cannot use {}: not valid JSON", path.display());
    project_refused(&apps, apps.run(&[]).cwd(&low), &message);
}

#[test]
fn invalid_search_depth_is_a_config_error() {
    let apps = Apps::with(r#"{"phaseApp": "shop", "defaultEnv": "Production"}"#);
    for (depth, shown) in [
        ("many", "many"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        (" 1", "\" 1\""),
    ] {
        let message = format!("{DEPTH}={shown}: expected a number of directories");
        project_refused(&apps, apps.run(&[]).env(DEPTH, depth), &message);
    }
    // The depth is read only while the app or the environment is missing.
    let run = apps.run(&["--app", "shop", "--env", "production"]);
    let _ = run.env(DEPTH, "many").output().assert_ok();
}
