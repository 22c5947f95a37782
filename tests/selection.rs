//! Selection by folder, tag and pattern.

use fake_phase::{Phase, World};

use crate::support::{Output, Run, Sandbox, Status, inspector, require_linux};

fn tagged_world() -> World {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "DB", "root-db").tags(&["net"]);
    let log = production.secret("/", "LOG", "root-log");
    log.tags(&["billing", "logging"]);
    production.secret("/", "lower", "root-lower");
    let port = production.secret("/backend", "PORT", "backend-port");
    port.tags(&["net", "two words"]);
    production.secret("/web", "PORT", "web-port").tags(&["web"]);
    production.secret("/backend/db", "URL", "db-url");
    production.secret("/backend/db/deep", "DEEP", "deep");
    production.secret("/Backend", "CASE", "other-case");
    production.secret("/backendish", "NEAR", "near");
    world
}

/// A `--dry-run` with the options of `line`, in the world above.
fn dry_run_of_line<'a>(sandbox: &'a Sandbox, line: &str) -> Run<'a> {
    // A quoted word may be empty, and `_` stands for a space.
    let words = line.split_whitespace();
    let words = words.map(|word| word.trim_matches('\'').replace('_', " "));
    let id = tagged_world().app("shop").id().to_owned();
    let run = sandbox.run(["--dry-run", "--app", &id, "--env", "Production"]);
    words.fold(run, Run::arg)
}

/// `KEY@FOLDER` of each line of a listing, with a space between two.
fn selected(output: &Output) -> String {
    let rows = output.text().lines().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        format!("{}@{}", fields[0], fields[1])
    });
    rows.collect::<Vec<_>>().join(" ")
}

fn assert_selected(rows: &[(&str, &str)]) {
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    for (line, expected) in rows {
        let output = dry_run_of_line(&sandbox, line).output().assert_ok();
        assert_eq!(selected(&output), *expected, "{line}");
    }
}

/// Asserts that each command line fails with this kind and a message that contains these texts.
fn assert_failures(kind: &str, rows: &[(&str, &[&str])]) {
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    for (line, texts) in rows {
        let output = dry_run_of_line(&sandbox, line).output();
        let lists = !output.stdout.is_empty();
        assert_eq!(lists, kind == "ambiguous", "{line}\n{output}");
        let output = output.assert_error(125, kind);
        for text in *texts {
            assert!(output.stderr.contains(text), "{line}: {text}\n{output}");
        }
    }
}

/// `/a` selects that folder, `/a/**` also the folders below, and `""` every folder. Paths are normalized
/// as by the server and are case-sensitive.
#[test]
fn path_selects_folder_or_tree() {
    assert_selected(&[
        ("--path /backend", "PORT@/backend"),
        ("--path backend", "PORT@/backend"),
        ("--path backend//", "PORT@/backend"),
        ("--path //backend//db/", "URL@/backend/db"),
        ("--path /Backend", "CASE@/Backend"),
        ("--path /", "DB@/ LOG@/ lower@/"),
        (
            "--path /backend/**",
            "DEEP@/backend/db/deep PORT@/backend URL@/backend/db",
        ),
        (
            "--path backend/**",
            "DEEP@/backend/db/deep PORT@/backend URL@/backend/db",
        ),
        (
            "--path /backend/db/**",
            "DEEP@/backend/db/deep URL@/backend/db",
        ),
        (
            "--path /backend --path /",
            "DB@/ LOG@/ PORT@/backend lower@/",
        ),
        (
            "--path=/backend -p /backend/db",
            "PORT@/backend URL@/backend/db",
        ),
    ]);
}

/// If several `--path` match, the last one counts, and the secret of the later `--path` wins.
#[test]
fn later_path_wins() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let below = "DEEP@/backend/db/deep PORT@/web URL@/backend/db";
    assert_selected(&[
        ("--path /backend --path /web", "PORT@/web"),
        ("--path /web --path /backend", "PORT@/backend"),
        ("--path /backend/** --path /web", below),
        ("--path /web --path /backend/** --path /web", below),
        (
            "--path /web --path /backend --path /web --path /backend",
            "PORT@/backend",
        ),
        ("--path '' --path /web --only PORT", "PORT@/web"),
        ("--path /** --path /backend --only PORT", "PORT@/backend"),
        (
            "--path /** --path /backend/db/** --only URL",
            "URL@/backend/db",
        ),
    ]);
    // The command gets the value of the winner.
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    for (first, last, value) in [
        ("/backend", "/web", "web-port"),
        ("/web", "/backend", "backend-port"),
    ] {
        let words = [
            "--app",
            "shop",
            "--env",
            "Production",
            "--path",
            first,
            "--path",
            last,
        ];
        let report = sandbox.run(words).args([inspector(), "report"]).report();
        assert_eq!(report.variable("PORT").unwrap(), value.as_bytes());
    }
}

/// Different values of equal precedence are an error that names the key and the folders.
#[test]
fn equal_precedence_different_values_is_error() {
    assert_failures(
        "ambiguous",
        &[
            ("", &["PORT", "/backend and /web"]),
            ("--path ''", &["PORT", "/backend and /web"]),
            ("--path /**", &["PORT", "/backend and /web"]),
            ("--path / --path /**", &["PORT", "/backend and /web"]),
            ("--path /web --path ''", &["PORT", "/backend and /web"]),
        ],
    );
    // Keys that `--only` and `--except` drop cannot be ambiguous.
    let rest =
        "CASE@/Backend DB@/ DEEP@/backend/db/deep LOG@/ NEAR@/backendish URL@/backend/db lower@/";
    assert_selected(&[
        ("--except PORT", rest),
        ("--only D* --only L*", "DB@/ DEEP@/backend/db/deep LOG@/"),
        ("--tags web", "PORT@/web"),
    ]);
    let mut three = tagged_world();
    let production = three.app("shop").environment("Production", "prod");
    production.secret("/another", "PORT", "another-port");
    let phase = Phase::serve(three);
    let sandbox = Sandbox::new(&phase);
    let output = dry_run_of_line(&sandbox, "")
        .output()
        .assert_error(125, "ambiguous");
    for folder in ["/another", "/backend", "/web"] {
        assert!(output.stderr.contains(folder), "{output}");
    }
}

/// The hint ranks the folders and keeps everything. A dry run lists what is ambiguous before it fails.
#[test]
fn hint_of_ambiguous_key_resolves_it() {
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let all = "CASE@/Backend DB@/ DEEP@/backend/db/deep LOG@/ NEAR@/backendish PORT@/backend \
        URL@/backend/db lower@/";
    for (line, variable, hint) in [
        (
            "",
            "",
            "pass --path '' --path /backend to prefer /backend, or --except PORT to leave it out",
        ),
        (
            "--path /backend --path ''",
            "",
            "pass --path '' --path /backend to prefer /backend, because the last folder that matches wins; or leave PORT out with --except",
        ),
        (
            "--path /**",
            "",
            "pass --path '/**' --path /backend to prefer /backend, because the last folder that matches wins; or leave PORT out with --except",
        ),
        // The order of the other folders stays.
        (
            "--path /backend --path /web --path ''",
            "",
            "pass --path '' --path /backend --path /web to prefer /web, because the last folder that matches wins; or leave PORT out with --except",
        ),
        (
            "--path /web --path '' --path /backend/db",
            "",
            "pass --path '' --path /web --path /backend/db to prefer /web, because the last folder that matches wins; or leave PORT out with --except",
        ),
        (
            "",
            "/backend:/**",
            "set PHASE_PATH=/**:/backend to prefer /backend, because the last folder that matches wins; or leave PORT out with --except",
        ),
    ] {
        let run = dry_run_of_line(&sandbox, line).env("PHASE_PATH", variable);
        let output = run.output().assert_error(125, "ambiguous");
        let expected = format!("\nhint: {hint}\n");
        assert!(output.stderr.ends_with(&expected), "{output}");
        let rows = "PORT\t/backend\tsecret\tambiguous\nPORT\t/web\tsecret\tambiguous\n";
        assert!(output.text().contains(rows), "{output}");
        assert!(
            output.text().contains("DB\t/\tsecret\tvariable\n"),
            "{output}"
        );
    }
    for (line, variable) in [
        ("--path '' --path /backend", ""),
        ("--path /** --path /backend", ""),
        ("", "/**:/backend"),
    ] {
        let run = dry_run_of_line(&sandbox, line).env("PHASE_PATH", variable);
        assert_eq!(selected(&run.output().assert_ok()), all, "{line}");
    }
}

/// A secret that is not used cannot be ambiguous.
#[test]
fn kept_variable_has_no_ambiguous_key() {
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let run = |line: &str| dry_run_of_line(&sandbox, line).env("PORT", "1");
    for line in ["--keep PORT", "--keep-existing"] {
        let output = run(line).output().assert_ok();
        assert!(
            output
                .text()
                .contains("\nPORT\t/backend\tsecret\tkept\nURL\t"),
            "{output}"
        );
    }
    let _ = run("").output().assert_error(125, "ambiguous");
    let _ = run("--keep PORT --prefix P_")
        .output()
        .assert_error(125, "ambiguous");
    // A snapshot of such a start has no value for the key.
    let start = |words: &[&str]| {
        let run = sandbox.run(["--app", "shop", "--env", "Production", "--snapshot", "copy"]);
        run.args(words)
    };
    let _ = start(&["--keep", "PORT", "true"])
        .env("PORT", "1")
        .output()
        .assert_ok();
    let _ = start(&["--offline", "true"])
        .output()
        .assert_status(Status::Exited(125));
    let kept = start(&["--offline", "--keep", "PORT", "true"]).env("PORT", "1");
    let _ = kept.output().assert_status(Status::Exited(0));
}

/// The error names what earlier filters have left to search.
#[test]
fn filter_error_names_narrowed_scope() {
    let id = tagged_world().app("shop").id().to_owned();
    let everything = format!("matches nothing in Production of {id}\n");
    assert_failures(
        "not-found",
        &[
            (
                "--only X* --path /web",
                &[
                    "--only X* matches nothing in Production of ",
                    " with --path /web\n",
                ],
            ),
            (
                "--only X* --path /web --path / --tags net,web",
                &[" with --path /web --path / --tags net,web\n"],
            ),
            (
                "--tags web --path /backend",
                &[" with --path /backend; its tags are net, two words\n"],
            ),
            (
                "--tags web --path /Backend",
                &["; no secret there has a tag\n", "hint: remove --tags, "],
            ),
            ("--only X* --path ''", &[everything.as_str()]),
        ],
    );
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let run = dry_run_of_line(&sandbox, "--only X*").env("PHASE_PATH", "/web:/");
    let output = run.output().assert_error(125, "not-found");
    let scope = " with PHASE_PATH=/web:/\n";
    assert!(output.stderr.contains(scope), "{output}");
}

/// Several folders in one value, and patterns of the shell, get a hint that says how to write them.
#[test]
fn several_folders_in_one_value_get_a_hint() {
    let repeat = "hint: repeat the option for each folder: --path /backend --path /web\n";
    let subtree = "hint: use '/web/**' for a folder and those below it: ";
    let every = "hint: use '/**' for a folder and those below it: ";
    assert_failures(
        "not-found",
        &[
            ("--path /backend,/web", &[repeat]),
            ("--path /backend:/web", &[repeat]),
            ("--path /we*", &[subtree]),
            ("--path /web/*", &[subtree]),
            ("--path /*", &[every]),
        ],
    );
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let run = dry_run_of_line(&sandbox, "").env("PHASE_PATH", "/backend,/web");
    let output = run.output().assert_error(125, "not-found");
    let hint = "hint: use a colon between two folders: PHASE_PATH=/backend:/web\n";
    assert!(output.stderr.ends_with(hint), "{output}");
}

/// An option that takes patterns does not accept a comma: it would be part of the name, and most of them
/// may match nothing.
#[test]
fn comma_in_pattern_is_an_error() {
    if !require_linux("--file needs Linux") {
        return;
    }
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    for option in [
        "--only",
        "--except",
        "--keep",
        "--allow-name",
        "--file",
        "--clean --pass",
    ] {
        let output = dry_run_of_line(&sandbox, &format!("{option} DB,LOG")).output();
        let output = output.assert_error(125, "usage");
        let option = option.trim_start_matches("--clean ");
        let error = format!(
            "{option} DB,LOG: a comma does not separate patterns\n\
             hint: repeat the option: {option} DB {option} LOG; or write [,] for a comma in a name\n"
        );
        assert!(output.stderr.ends_with(&error), "{output}");
    }
    let output = dry_run_of_line(&sandbox, "--file DB=A,LOG=B").output();
    let output = output.assert_error(125, "usage");
    assert!(
        output.stderr.contains("--file DB=A --file LOG=B"),
        "{output}"
    );
    assert!(phase.requests().is_empty());
    let mut world = tagged_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/", "A,B", "value");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = dry_run_of_line(&sandbox, "--only A[,]B").output();
    assert_eq!(selected(&output), "A,B@/");
}

/// The time to match grows with the length of the pattern, so that is limited.
#[test]
fn pattern_over_256_characters_is_an_error() {
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    for option in ["--only", "--except", "--keep", "--allow-name", "--file"] {
        let line = |length: usize| {
            let pattern = "X".repeat(length - 1);
            format!("--path / --allow-empty {option} {pattern}*")
        };
        let _ = dry_run_of_line(&sandbox, &line(256)).output().assert_ok();
        let output = dry_run_of_line(&sandbox, &line(257)).output();
        let output = output.assert_error(125, "usage");
        let expected = "XX*: expected a pattern of at most 256 characters\n";
        assert!(output.stderr.contains(expected), "{output}");
    }
}

/// A mistyped folder or tag is an error that names those that exist, also if the server applies the
/// filter.
#[test]
fn unknown_folder_or_tag_lists_existing() {
    let folders = "; its folders are /, /Backend, /backend, /backend/db, /backend/db/deep, /backendish, /web\n";
    let tags = "; its tags are billing, logging, net, two words, web\n";
    for mode in ["--mode rest", "--mode e2ee", "--mode e2ee --path /**"] {
        let line = |rest: &str| format!("{mode} {rest}");
        let cases = [
            (
                line("--path /bakcend"),
                [folders, "hint: use --path /backend\n"],
            ),
            (
                line("--path /zzzzz"),
                [folders, "hint: use one of these, or pass --allow-empty\n"],
            ),
            (line("--tags Net"), [tags, "hint: use --tags net\n"]),
            // The server leaves out what has none of the tags.
            (line("--tags billing,Net"), [tags, "hint: use --tags net\n"]),
        ];
        for (line, texts) in &cases {
            assert_failures("not-found", &[(line, texts)]);
        }
    }
    let misspelled = ["PORT2 matches nothing", "hint: use --only PORT\n"];
    assert_failures("not-found", &[("--only PORT2", &misspelled)]);
    let required = ["not selected: DBB, LGO\n", "hint: use --require DB\n"];
    assert_failures(
        "not-found",
        &[("--except PORT --require DBB,LGO", &required)],
    );
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let run = dry_run_of_line(&sandbox, "").env("PHASE_PATH", "/bakcend");
    let output = run.output().assert_error(125, "not-found");
    assert!(
        output
            .stderr
            .ends_with("hint: use /backend in PHASE_PATH\n"),
        "{output}"
    );
}

#[test]
fn same_value_in_two_folders_is_no_error() {
    if !require_linux("the inspector reads /proc") {
        return;
    }
    let mut world = tagged_world();
    let production = world.app("shop").environment("Production", "prod");
    production
        .find("/web", "PORT")
        .unwrap()
        .value("backend-port");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let words = [
        "--app",
        "shop",
        "--env",
        "Production",
        inspector(),
        "report",
    ];
    let report = sandbox.run(words).report();
    assert_eq!(report.variable("PORT").unwrap(), b"backend-port");
}

/// A single exact `--path` is sent to the server. For several, or `/**`, all is fetched and filtered here.
#[test]
fn single_exact_path_is_filtered_by_server() {
    for (line, sent) in [
        ("--path /backend", Some("/backend")),
        ("--path backend//db/", Some("/backend/db")),
        ("--path /", Some("/")),
        ("--except PORT", None),
        ("--path '' --except PORT", None),
        ("--path /backend/**", None),
        ("--path /backend --path /web", None),
    ] {
        let phase = Phase::serve(tagged_world());
        let sandbox = Sandbox::new(&phase);
        let _ = dry_run_of_line(&sandbox, line).output().assert_ok();
        let requests = phase.requests();
        assert_eq!(requests.len(), 1, "{line}");
        assert_eq!(requests[0].query("path").as_deref(), sent, "{line}");
    }
    // The fake server filters as Phase does, and `-v` counts what was received.
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let output = dry_run_of_line(&sandbox, "-v --path /backend").output();
    assert!(
        output.stderr.contains("1 of 1 secrets selected"),
        "{output}"
    );
}

/// PHASE_PATH has folders with `:` between two. The option takes precedence.
#[test]
fn phase_path_names_folders() {
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    for (variable, line, expected) in [
        ("/backend", "", "PORT@/backend"),
        ("/backend:/web", "", "PORT@/web"),
        ("/web:backend/", "", "PORT@/backend"),
        (
            "/backend/db/**:/",
            "",
            "DB@/ DEEP@/backend/db/deep LOG@/ URL@/backend/db lower@/",
        ),
        ("/nope", "--path /web", "PORT@/web"),
        ("", "--path /web", "PORT@/web"),
    ] {
        let output = dry_run_of_line(&sandbox, line)
            .env("PHASE_PATH", variable)
            .output()
            .assert_ok();
        assert_eq!(selected(&output), expected, "{variable} {line}");
    }
    let output = dry_run_of_line(&sandbox, "")
        .env("PHASE_PATH", "/nope")
        .output();
    let output = output.assert_error(125, "not-found");
    assert!(
        output.stderr.contains("PHASE_PATH /nope matches nothing"),
        "{output}"
    );
    let output = dry_run_of_line(&sandbox, "")
        .env("PHASE_PATH", "/a::/b")
        .output();
    let _ = output.assert_error(125, "config");
}

/// `--tags` selects secrets with any of the tags. White space around a comma is dropped, and tags are
/// case-sensitive, as on the server.
#[test]
fn tags_select_secrets_with_any_tag() {
    assert_selected(&[
        ("--tags billing", "LOG@/"),
        ("--tags billing,logging", "LOG@/"),
        ("--tags billing_,_web", "LOG@/ PORT@/web"),
        ("--tags two_words", "PORT@/backend"),
        ("--tags net --path /backend", "PORT@/backend"),
        ("--tags net --path /backend --path /", "DB@/ PORT@/backend"),
        ("-t net", "DB@/ PORT@/backend"),
    ]);
    assert_failures(
        "not-found",
        &[
            ("--tags Net", &["--tags Net matches nothing"]),
            ("--tags net,nope", &["--tags nope matches nothing"]),
            ("--tags net --path /web", &["--tags net matches nothing"]),
            ("--tags two", &["--tags two matches nothing"]),
        ],
    );
}

/// `--only` and `--except` select and drop keys by shell pattern, `--except` last. They match the key
/// without the prefix.
#[test]
fn only_and_except_filter_by_pattern() {
    assert_selected(&[
        ("--only DB", "DB@/"),
        ("--only D*", "DB@/ DEEP@/backend/db/deep"),
        ("--only ?? --only LOG", "DB@/ LOG@/"),
        ("--only [A-L]* --except *E*", "DB@/ LOG@/"),
        ("--only [!A-Z]*", "lower@/"),
        ("--except [A-Z]*", "lower@/"),
        ("--except DEEP --only D*", "DB@/"),
        ("--only D* --except DB --except DEEP", ""),
        (
            "--except PORT --except [!DP]*",
            "DB@/ DEEP@/backend/db/deep",
        ),
        ("--except NOTHING_LIKE_IT --only DB", "DB@/"),
        ("--only DB --prefix X", "XDB@/"),
    ]);
    assert_failures(
        "not-found",
        &[
            ("--only db", &["--only db matches nothing"]),
            ("--only DB --only X*", &["--only X* matches nothing"]),
            ("--only XDB --prefix X", &["--only XDB matches nothing"]),
        ],
    );
}

/// `--require` fails unless each key is selected, and lists all missing keys at once.
#[test]
fn require_lists_all_missing_keys() {
    assert_selected(&[
        ("--only D* --require DB", "DB@/ DEEP@/backend/db/deep"),
        ("--only D* --require DB,DEEP", "DB@/ DEEP@/backend/db/deep"),
        ("--only DB --require DB --prefix X", "XDB@/"),
    ]);
    assert_failures(
        "not-found",
        &[
            ("--only D* --require A,DB --require B", &["A, B"]),
            ("--only D* --require LOG", &["LOG"]),
            ("--except DB --only D* --require DB", &["DB"]),
            ("--only DB --require XDB --prefix X", &["XDB"]),
            ("--only D* --require db", &["db"]),
            ("--only D* --except D* --require DB", &["DB"]),
            ("--path /nope --allow-empty --require DB", &["DB"]),
        ],
    );
}

/// Each `--path`, `--tags`, `--only` and `--file` that selects nothing is an error, unless `--allow-empty`
/// is given.
#[test]
fn empty_filter_fails_without_allow_empty() {
    if !require_linux("--file needs Linux") {
        return;
    }
    for (line, what) in [
        ("--path /nope", "--path /nope"),
        ("--path /nope/**", "--path /nope/**"),
        ("--path /BACKEND", "--path /BACKEND"),
        ("--path /back", "--path /back"),
        ("--path / --path /nope", "--path /nope"),
        ("--path /nope --path /", "--path /nope"),
        ("--tags nope", "--tags nope"),
        ("--only NOPE*", "--only NOPE*"),
        ("--only DB --file NOPE", "--file NOPE"),
        ("--only DB --file NOPE=VAR", "--file NOPE"),
        ("--only DB --file N*", "--file N*"),
        ("--only DB --file LOG", "--file LOG"),
    ] {
        let expected = format!("{what} matches nothing");
        assert_failures("not-found", &[(line, &[&expected])]);
        let phase = Phase::serve(tagged_world());
        let sandbox = Sandbox::new(&phase);
        let _ = dry_run_of_line(&sandbox, line)
            .arg("--allow-empty")
            .output()
            .assert_ok();
    }
    // The command runs only with `--allow-empty`.
    let phase = Phase::serve(tagged_world());
    let sandbox = Sandbox::new(&phase);
    let words = ["--app", "shop", "--env", "Production", "--path", "/nope"];
    let output = sandbox.run(words).args(["echo", "ran"]).output();
    assert!(output.assert_error(125, "not-found").stdout.is_empty());
    let output = sandbox
        .run(words)
        .args(["--allow-empty", "echo", "ran"])
        .output();
    assert_eq!(output.assert_ok().text(), "ran\n");
}

/// An empty environment is a warning if no filter is given.
#[test]
fn empty_environment_warns_and_runs() {
    let mut world = World::empty();
    world.app("shop").environment("Production", "prod");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let run = |words: &[&str]| {
        let run = sandbox.run(["--app", "shop", "--env", "production"]);
        run.args(words).args(["echo", "ran"]).output()
    };
    let warning = ["warning: there are no secrets in Production of shop"];
    for words in [&[][..], &["--except", "A*"], &["--allow-empty"]] {
        assert_eq!(
            run(words).assert_log_lines(&warning).assert_ok().text(),
            "ran\n"
        );
    }
    assert_eq!(run(&["-q"]).assert_ok().text(), "ran\n");
    for words in [["--only", "A*"], ["--path", "/"], ["--tags", "a"]] {
        let _ = run(&words).assert_error(125, "not-found");
    }
    let _ = run(&["--require", "A"])
        .assert_log_lines(&warning)
        .assert_error(125, "not-found");
}
