//! `.phase.json`: which app and environment a working directory belongs to.

use std::fs::{create_dir, create_dir_all, remove_dir, write};
use std::path::{Path, PathBuf};

use fake_phase::{Phase, World};
use nix::unistd::Uid;

use crate::support::{Run, Sandbox, refused_before_connecting, set_mode};

/// Two apps whose environments say which they are.
struct Apps {
    phase: Phase,
    sandbox: Sandbox,
    /// The id of `shop`.
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
    /// The sandbox's directory has this `.phase.json`.
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

    /// Whose secrets arrive.
    fn place(&self, options: &[&str]) -> String {
        self.run(options).output().ok().text().trim_end().to_owned()
    }
}

/// A failure before anything was asked.
fn project_refused(apps: &Apps, run: Run<'_>, message: &str) {
    let _ = refused_before_connecting(&apps.phase, run, "config", message);
}

/// "Its app id comes before its name"
#[test]
fn the_app_and_its_environment_come_from_the_file() {
    for (project, place) in [
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
        assert_eq!(Apps::with(project).place(&[]), place, "{project}");
    }
}

/// "its environment counts only together with its app: `--app other` never runs on this app's
/// environment"
#[test]
fn the_files_environment_is_for_the_files_app_alone() {
    let apps = Apps::with(r#"{"appId": "SHOP", "phaseApp": "shop", "defaultEnv": "Production"}"#);
    let path = apps.sandbox.directory().join(".phase.json");
    let id = apps.shop.to_uppercase();
    for app in ["shop", "SHOP", &id] {
        assert_eq!(apps.place(&["--app", app]), "Production of shop");
    }
    let message = format!(
        "phase-run: error[config]: no environment of other is given, and there is no default \
         ({} is of another app)",
        path.display()
    );
    let option = apps.run(&["--app", "other"]).output();
    let variable = apps.run(&[]).env("PHASE_APP", "other").output();
    for output in [option, variable] {
        let output = output.failed(125, "config");
        assert!(output.stderr.starts_with(&message), "{output}");
    }
    let both = ["--app", "other", "--env", "production"];
    assert_eq!(apps.place(&both), "Production of other");
    // The other way round the app is the file's.
    assert_eq!(apps.place(&["--env", "development"]), "Development of shop");
    let run = apps.run(&[]).env("PHASE_ENV", "development");
    assert_eq!(run.output().ok().text(), "Development of shop\n");
}

/// An id and a name are not told to be of one app by anybody but the file.
#[test]
fn an_app_that_the_file_does_not_name_is_another_app() {
    let apps = Apps::with(r#"{"appId": "SHOP", "defaultEnv": "Production"}"#);
    let output = apps.run(&["--app", "shop"]).output().failed(125, "config");
    assert!(output.stderr.contains(" is of another app)"), "{output}");
}

/// "Every decision knows its source … and messages name it."
#[test]
fn messages_name_the_file() {
    let apps = Apps::with(r#"{"phaseApp": "nowhere", "defaultEnv": "nothing"}"#);
    let path = apps.sandbox.directory().join(".phase.json");
    let path = path.display();
    let output = apps.run(&[]).output().failed(125, "not-found");
    let message = format!("there is no app nowhere (from {path}) that this token can read");
    assert!(output.stderr.contains(&message), "{output}");
    apps.project(r#"{"phaseApp": "shop", "defaultEnv": "nothing"}"#);
    let output = apps.run(&[]).output().failed(125, "not-found");
    let message = format!("shop has no environment nothing (from {path})");
    assert!(output.stderr.contains(&message), "{output}");
    apps.project(r#"{"phaseApp": "shop", "defaultEnv": "production"}"#);
    let output = apps.run(&["-v", "--env=dev"]).output();
    let chosen = "environment Development: dev (from --env) is the only one of its type";
    let fetching = format!("app shop (from {path}), environment Development (from --env), from ");
    let _ = output
        .notices(&[chosen, &fetching, "1 of 1 secrets", "becoming printenv"])
        .ok();
}

/// "There is no default environment": a file that names only its app gives none.
#[test]
fn a_file_without_an_environment_gives_none() {
    for project in [
        r#"{"appId": "SHOP"}"#,
        r#"{"phaseApp": "shop", "defaultEnv": ""}"#,
    ] {
        let apps = Apps::with(project);
        let output = apps.run(&[]).output().failed(125, "config");
        assert!(
            output.stderr.contains("error[config]: no environment of "),
            "{output}"
        );
        assert!(output.stderr.contains("; this token can read "), "{output}");
    }
    for project in ["{}", r#"{"defaultEnv": "Production"}"#] {
        let output = Apps::with(project).run(&[]).output().failed(125, "config");
        assert!(
            output.stderr.contains("error[config]: no app is given"),
            "{output}"
        );
    }
}

/// "It never supplies a host or a token."
#[test]
fn a_file_never_supplies_an_address_or_a_token() {
    let token = fake_phase::service_token();
    let apps = Apps::with(&format!(
        r#"{{"appId": "SHOP", "defaultEnv": "Production", "token": "{token}", "serviceToken": "{token}",
            "host": "https://stranger.test", "phaseHost": "https://stranger.test"}}"#
    ));
    assert_eq!(apps.place(&[]), "Production of shop");
    let run = apps.run(&[]).unset("PHASE_SERVICE_TOKEN");
    let output = run.output().failed(125, "token");
    assert!(output.stderr.contains("no token is given"), "{output}");
}

/// "A file that cannot be read … matters only then": when the app or the environment is missing.
#[test]
fn a_file_that_cannot_be_used_matters_only_when_it_is_needed() {
    let apps = apps();
    let path = apps.sandbox.directory().join(".phase.json");
    let both = ["--app", "shop", "--env", "production"];
    for (content, why) in [
        ("", "not valid JSON (line 1, column 0)"),
        ("{", "not valid JSON (line 1, column 1)"),
        ("appId: shop\n", "not valid JSON (line 1, column 1)"),
        (
            "{\"appId\": \"SHOP\"}\n{}",
            "not valid JSON (line 2, column 1)",
        ),
        ("[]", "not in the format of phase init (line 1"),
        ("\"shop\"", "not in the format of phase init (line 1"),
        (
            "{\"appId\": 5}",
            "not in the format of phase init (line 1, column 11)",
        ),
        (
            "{\"phaseApp\": [\"\u{1b}[2J\"]}",
            "not in the format of phase init (line 1",
        ),
    ] {
        apps.project(content);
        let message = format!("cannot use {}: {why}", path.display());
        for one in [&both[..2], &both[2..], &[]] {
            project_refused(&apps, apps.run(one), &message);
        }
        assert_eq!(apps.place(&both), "Production of shop");
        let run = apps
            .run(&[])
            .env("PHASE_APP", "shop")
            .env("PHASE_ENV", "production");
        assert_eq!(run.output().ok().text(), "Production of shop\n");
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
    let _ = run(&both).output().ok();
}

#[test]
fn what_is_no_file_cannot_be_used() {
    let apps = apps();
    let path = apps.sandbox.directory().join(".phase.json");
    create_dir(&path).unwrap();
    let message = format!("cannot use {}: is a directory", path.display());
    project_refused(&apps, apps.run(&["--app", "shop"]), &message);
    // mkfifo(3): opening one waits for whoever writes to it, which may be nobody.
    remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let message = message.replace("is a directory", "not a regular file");
    project_refused(&apps, apps.run(&["--app", "shop"]), &message);
    assert_eq!(
        apps.place(&["--app", "shop", "--env", "production"]),
        "Production of shop"
    );
}

/// "its environment counts only together with its app": an app of the same name with another id is
/// another app.
#[test]
fn the_environment_is_not_lent_to_a_namesake() {
    let project = r#"{"appId": "ID", "phaseApp": "shop", "defaultEnv": "Production"}"#;
    let other = "0c7b33f5-fe31-4c23-b45a-7484a0745281";
    let apps = Apps::with(&project.replace("ID", "SHOP"));
    assert_eq!(apps.place(&["--app", "shop"]), "Production of shop");
    apps.project(&project.replace("ID", other));
    let output = apps.run(&["--app", "shop"]).output().failed(125, "config");
    let said = "no environment of shop is given, and there is no default";
    assert!(output.stderr.contains(said), "{output}");
    let why = ".phase.json is of another app";
    assert!(output.stderr.contains(why), "{output}");
}

/// "A … deleted working directory matters only then."
#[test]
fn a_deleted_working_directory_matters_only_when_it_is_needed() {
    let apps = apps();
    let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    let gone = |options: &[&str]| apps.run(options).wrap(["sh", "-c", script, "sh"]);
    let message = "cannot look for .phase.json: the working directory: no such file or directory";
    for options in [vec![], vec!["--app", "shop"], vec!["--env", "production"]] {
        project_refused(&apps, gone(&options), message);
    }
    let both = gone(&["--app", "shop", "--env", "production"]);
    assert_eq!(both.output().ok().text(), "Production of shop\n");
}

/// `levels` folders below the sandbox's own; each is made.
fn below(apps: &Apps, levels: usize) -> PathBuf {
    let folder = (0..levels).fold(apps.sandbox.directory().to_owned(), |at, _| at.join("x"));
    create_dir_all(&folder).unwrap();
    folder
}

const DEPTH: &str = "PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH";

/// "or from a parent whose `monorepoSupport` is true, `PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH` levels
/// up, 8 by default"
#[test]
fn a_parents_file_is_for_the_folders_below_only_where_it_says_so() {
    let own = r#"{"appId": "SHOP", "defaultEnv": "Production""#;
    let apps = Apps::with(&format!("{own}, \"monorepoSupport\": true}}"));
    let found = |levels: usize, depth: Option<&str>| {
        let run = apps.run(&[]).cwd(below(&apps, levels));
        let run = depth
            .into_iter()
            .fold(run, |run, depth| run.env(DEPTH, depth));
        let output = run.output();
        match output.stderr.as_str() {
            "" => assert_eq!(output.ok().text(), "Production of shop\n"),
            _ => {
                return !output
                    .failed(125, "config")
                    .stderr
                    .contains("no app is given");
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

#[test]
fn the_nearest_file_that_counts_is_taken() {
    let own = r#"{"phaseApp": "other", "defaultEnv": "Production", "monorepoSupport": true}"#;
    let apps = Apps::with(own);
    let place = |folder: &Path| {
        let output = apps.run(&[]).cwd(folder).output().ok();
        output.text().trim_end().to_owned()
    };
    let (middle, low) = (below(&apps, 1), below(&apps, 2));
    let shop = r#"{"phaseApp": "shop", "defaultEnv": "Production""#;
    write(middle.join(".phase.json"), format!("{shop}}}")).unwrap();
    // Passed by: it is for its own folder alone.
    assert_eq!(place(&low), "Production of other");
    assert_eq!(place(&middle), "Production of shop");
    write(
        middle.join(".phase.json"),
        format!("{shop}, \"monorepoSupport\": true}}"),
    )
    .unwrap();
    assert_eq!(place(&low), "Production of shop");
    // On the way, so it may be the one that counts.
    let path = middle.join(".phase.json");
    write(&path, "{").unwrap();
    let message = format!("cannot use {}: not valid JSON", path.display());
    project_refused(&apps, apps.run(&[]).cwd(&low), &message);
}

#[test]
fn a_depth_that_is_no_number_is_a_config_error() {
    let apps = Apps::with(r#"{"phaseApp": "shop", "defaultEnv": "Production"}"#);
    for (depth, shown) in [
        ("many", "many"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        (" 1", "\" 1\""),
    ] {
        let message = format!("{DEPTH}={shown}: not a number of directories");
        project_refused(&apps, apps.run(&[]).env(DEPTH, depth), &message);
    }
    // "read only when the app or the environment is still missing"
    let run = apps.run(&["--app", "shop", "--env", "production"]);
    let _ = run.env(DEPTH, "many").output().ok();
}
