//! References in an end-to-end encrypted app, which the client has to resolve.

use fake_phase::{Phase, Responder, World, user_token};
use nix::sys::resource::Resource;

use crate::e2ee::e2ee_world;
use crate::support::{Run, SHOP, Sandbox, require_linux};

/// Environments and apps whose secrets refer to each other.
pub(crate) fn referring_world() -> World {
    let mut world = e2ee_world(&[
        ("/", "HOST", "db.test"),
        ("/", "PORT", "1"),
        ("/backend", "PORT", "2"),
        ("/backend/db", "NAME", "orders"),
        ("/", "WITH.DOT", "dotted"),
    ]);
    let shop = world.app("shop");
    let staging = shop.environment("Staging", "staging");
    staging.secret("/", "HOST", "staging.test");
    staging.secret("/backend", "URL", "http://${HOST}:${backend/PORT}");
    staging.secret("/backend", "PORT", "3");
    let platform = world.app("Plat Form").e2e();
    let production = platform.environment("Production", "prod");
    production.secret("/", "REGION", "eu-west-1");
    production.secret("/net", "ZONE", "${REGION}a of ${Development.LEVEL}");
    production.secret("/", "BACK", "${shop::production.backend/PORT}");
    platform
        .environment("Development", "dev")
        .secret("/", "LEVEL", "trace");
    let clear = world.app("clear").environment("Production", "prod");
    clear.secret("/", "LOGO", "in a server-side app");
    world.app("twin").e2e().environment("Production", "prod");
    world
        .add_app("Twin")
        .e2e()
        .environment("Production", "prod");
    let hidden = world.app("shop").environment("Hidden", "custom");
    hidden.hidden().secret("/", "KEY", "not for us");
    world
}

/// Serves this world with one more secret: `VALUE` in `/backend` of Production.
pub(crate) fn shop_with_value(value: &str) -> (Phase, Sandbox) {
    let mut world = referring_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/backend", "VALUE", value);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    (phase, sandbox)
}

pub(crate) fn print_value(sandbox: &Sandbox) -> Run<'_> {
    let run = sandbox.run(SHOP).args(["--only", "VALUE"]);
    run.args(["printenv", "VALUE"])
}

/// Counts the environments that were fetched, and checks that none was fetched twice.
fn count_fetched(phase: &Phase) -> usize {
    let requests = phase.requests();
    let environments = requests
        .iter()
        .filter_map(|request| request.header("Environment"));
    let mut environments: Vec<&str> = environments.collect();
    let all = environments.len();
    environments.sort_unstable();
    environments.dedup();
    assert_eq!(environments.len(), all, "an environment was fetched twice");
    all
}

/// Without a folder the key is looked up in `/`. App and environment names match in any case. Only
/// the environments that a reference needs are fetched.
#[test]
fn each_form_resolves_with_minimal_requests() {
    for (value, expected, environments) in [
        ("no reference", "no reference", 1),
        ("${HOST}", "db.test", 1),
        ("${PORT}", "1", 1),
        ("${/PORT}", "1", 1),
        ("${backend/PORT}", "2", 1),
        ("${/backend/db/NAME}", "orders", 1),
        ("<${HOST}:${PORT}>${HOST}", "<db.test:1>db.test", 1),
        ("$${HOST}$", "$db.test$", 1),
        ("${${HOST}}", "${db.test}", 1),
        ("${Production.HOST}", "db.test", 1),
        ("${SHOP::PRODUCTION.backend/PORT}", "2", 1),
        ("${Staging.HOST}", "staging.test", 2),
        ("${staging./HOST}", "staging.test", 2),
        ("${STAGING.backend/URL}", "http://staging.test:3", 2),
        ("${plat form::production.REGION}", "eu-west-1", 2),
        (
            "${Plat Form::Production./net/ZONE}",
            "eu-west-1a of trace",
            3,
        ),
        ("${Plat Form::Production.BACK}", "2", 2),
        ("${Clear::Production.LOGO}", "in a server-side app", 2),
        (
            "${Staging.HOST} ${Staging.PORT} ${staging.backend/PORT}",
            "staging.test ${Staging.PORT} 3",
            2,
        ),
    ] {
        let (phase, sandbox) = shop_with_value(value);
        let output = sandbox.run(["-q"]).args(SHOP).args(["--only", "VALUE"]);
        let output = output.args(["printenv", "VALUE"]).output().assert_ok();
        assert_eq!(output.text(), format!("{expected}\n"), "{value}");
        assert_eq!(count_fetched(&phase), environments, "{value}");
        // One more request fetches the token's keys.
        assert_eq!(phase.requests().len(), 1 + environments, "{value}");
    }
}

/// Almost any text may be a name. What exists is put in, as the server does; empty names between
/// slashes do not count. Names are compared byte by byte.
#[test]
fn unusual_names_resolve_if_they_exist() {
    let keys = [
        "K&R",
        "C:D",
        "B[0]",
        "P%Q",
        "A@B",
        "H#",
        "K+",
        "K,L",
        "(P)",
        "-D",
        "🔑",
        "e\u{301}",
        " PAD ",
        "a;b",
        "VAR:-x",
        "VAR%%y",
        "#VAR",
        "!VAR",
        "@",
        " c; ",
        "f()",
        "\"q\"",
        "two\nlines",
    ];
    let mut world = e2ee_world(&[("/f+g", "K", "in f+g"), ("/a/b", "K", "in a b")]);
    let shop = world.app("shop");
    let staging = shop.environment("Pre-prod (EU)", "staging");
    staging.secret("/a", "K&R", "from pre-prod");
    let production = shop.environment("Production", "prod");
    let mut expected = String::new();
    let mut value = String::new();
    for (number, key) in keys.iter().enumerate() {
        production.secret("/", key, &format!("value {number}"));
        value.push_str(&format!("${{{key}}} ${{//{key}}} "));
        expected.push_str(&format!("value {number} value {number} "));
    }
    value.push_str("${f+g/K} ${a//b/K} ${/a//b//K} ${//a/b/K} ");
    expected.push_str("in f+g in a b in a b in a b ");
    value.push_str("${pre-PROD (eu).a//K&R} ${Pre-prod (EU)./a/K&R} ");
    expected.push_str("from pre-prod from pre-prod ");
    value.push_str("${R&D::Prod+1.//K} ${r&d::prod+1.x//y/K,} ${\u{e9}}");
    expected.push_str("of another app deep ${\u{e9}}");
    production.secret("/", "VALUE", &value);
    let other = world.app("R&D").e2e().environment("Prod+1", "prod");
    other.secret("/", "K", "of another app");
    other.secret("/x/y", "K,", "deep");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = sandbox.run(["-q"]).args(SHOP).args(["--only", "VALUE"]);
    let output = output.args(["printenv", "VALUE"]).output().assert_ok();
    assert_eq!(output.text(), format!("{expected}\n"));
    assert_eq!(count_fetched(&phase), 3);
}

/// A leftover `${…}` is reported unless it is the syntax of a shell or no reference at all. The same rule
/// judges what the server has left unresolved.
#[test]
fn leftover_text_is_reported_unless_it_is_shell_syntax() {
    for (value, is_reported) in [
        ("${{ HOST }}", false),
        ("${HOST:-x}", false),
        ("${HOST:-${PORT:-x}}", false),
        ("${HOST%%.*}${HOST#x}${HOST/a*/b}${HOST//a/b}", false),
        ("${#HOST}${!HOST}${HOST[0]}${HOST^^}${HOST@Q}${@}", false),
        ("$HOST {HOST} ${} ${HOST", false),
        ("${A-B}", true),
        ("${A/B}", true),
        ("${ A }", true),
        ("${A&B}", true),
        ("${A@B}", true),
        ("${(A)}", true),
        ("${.A}", true),
        ("${//A}", true),
        ("${🔑}", true),
        ("${Nowhere.A:-x}", true),
    ] {
        for is_e2ee in [true, false] {
            let mut world = World::empty();
            let shop = world.app("shop");
            if is_e2ee {
                shop.e2e();
            }
            let production = shop.environment("Production", "prod");
            production.secret("/", "VALUE", value);
            let phase = Phase::serve(world);
            let sandbox = Sandbox::new(&phase);
            let run = sandbox.run(SHOP).args(["printenv", "VALUE"]);
            let mut output = run.output();
            if is_reported {
                let warning = "warning: could not resolve references in VALUE; ";
                output = output.assert_log_lines(&[warning]);
            }
            assert_eq!(output.assert_ok().text(), format!("{value}\n"), "{value}");
            let output = sandbox.run(SHOP).args(["--strict", "true"]).output();
            match is_reported {
                true => drop(output.assert_error(125, "environment")),
                false => drop(output.assert_ok()),
            }
        }
    }
}

/// Names that Phase does not know cost no request. For unusual names, which may be any text, at most 16
/// environments are fetched.
#[test]
fn unusual_names_fetch_at_most_16_environments() {
    let text = "${a.b} ${x::y.z} ${a+b.c} ${a+b::c.d}".repeat(500);
    let (phase, sandbox) = shop_with_value(&text);
    let output = sandbox.run(["-q"]).args(SHOP).args(["--only", "VALUE"]);
    let output = output.args(["printenv", "VALUE"]).output().assert_ok();
    assert_eq!(output.text(), format!("{text}\n"));
    assert_eq!(phase.requests().len(), 2);

    let mut world = e2ee_world(&[]);
    let shop = world.app("shop");
    let mut value = String::new();
    for number in 1..=18 {
        let environment = shop.environment(&format!("E{number}"), "custom");
        environment.secret("/", "K+", "+");
        environment.secret("/", "K", "usual");
        value.push_str(&format!("${{E{number}.K+}}"));
    }
    value.push_str("${E16.K} ${E17.K} ${E17.K+} ${E18.K+}");
    let production = shop.environment("Production", "prod");
    production.secret("/", "VALUE", &value);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = sandbox.run(["-q"]).args(SHOP).args(["printenv", "VALUE"]);
    let sixteen = "+".repeat(16);
    // Usual references fetch E17, also for the unusual ones before them.
    let expected = format!("{sixteen}+${{E18.K+}}usual usual + ${{E18.K+}}\n");
    assert_eq!(output.output().assert_ok().text(), expected);
    assert_eq!(count_fetched(&phase), 18);
}

/// Text in the form of a shell's expansion causes no warning only if it names nothing.
#[test]
fn shell_form_that_names_a_secret_is_reported() {
    let mut world = e2ee_world(&[
        ("/", "CYCLE", "${a//Q}"),
        ("/a", "Q", "q${//CYCLE}"),
        ("/", "TWICE", "${f//K}"),
        ("/f", "K", "1"),
        ("/f", "K", "2"),
        ("/", "DEEP", "${D0+}"),
        ("/", "NESTED", "<${TWICE}>"),
        ("/", "NOTHING", "${f//L} ${D31+}"),
    ]);
    let production = world.app("shop").environment("Production", "prod");
    for number in 0..30 {
        let value = format!("${{D{}+}}", number + 1);
        production.secret("/", &format!("D{number}+"), &value);
    }
    production.secret("/", "D30+", "end");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for key in ["CYCLE", "TWICE", "DEEP", "NESTED"] {
        let run = sandbox.run(SHOP).args(["--only", key, "--strict", "true"]);
        let output = run.output().assert_error(125, "environment");
        let message = format!("unresolved references in {key}\n");
        assert!(output.stderr.contains(&message), "{output}");
    }
    let run = sandbox.run(SHOP).args(["--only", "NOTHING", "--strict"]);
    let _ = run.arg("true").output().assert_ok();
}

/// The server resolves no reference to it either.
#[test]
fn key_that_its_folder_has_twice_is_unresolved() {
    let (_phase, sandbox) = {
        let mut world = referring_world();
        let production = world.app("shop").environment("Production", "prod");
        production.secret("/backend", "PORT", "4");
        production.secret("/", "VALUE", "${HOST} ${backend/PORT}");
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        (phase, sandbox)
    };
    let output = print_value(&sandbox).output();
    let output = output.assert_log_lines(&["warning: could not resolve references in VALUE; "]);
    assert_eq!(output.assert_ok().text(), "db.test ${backend/PORT}\n");
}

/// A reference that cannot be resolved (unknown name, no access, ambiguous app, cycle) stays as raw
/// text, and one warning names the secret. With `--strict` it is an error.
#[test]
fn unresolvable_reference_stays_and_warns() {
    for value in [
        "${NOTHING}",
        "${backend/HOST}",
        "${host}",
        "${Backend/PORT}",
        "${Nowhere.KEY}",
        "${Stag.HOST}",
        "${Staging.NOTHING}",
        "${Hidden.KEY}",
        "${nobody::Production.KEY}",
        "${twin::Production.KEY}",
        "${shop::HOST}",
        "${WITH.DOT}",
        "${VALUE}",
        "${backend/VALUE}",
        "a ${backend/VALUE} b",
    ] {
        let (_phase, sandbox) = shop_with_value(value);
        let output = print_value(&sandbox).output();
        let warning =
            "warning: could not resolve references in VALUE; they are passed on as written\n";
        let output = output.assert_log_lines(&[warning.trim_end()]).assert_ok();
        assert_eq!(output.text(), format!("{value}\n"));
        let run = sandbox.run(SHOP).args(["--only", "VALUE", "--strict"]);
        let output = run.args(["echo", "started"]).output();
        let output = output.assert_error(125, "environment");
        assert!(output.stderr.contains("unresolved references in VALUE\n"));
    }
}

/// Environments that only unselected secrets refer to are not fetched.
#[test]
fn unselected_secrets_are_not_resolved() {
    let (phase, sandbox) = shop_with_value("${Staging.HOST} ${NOTHING}");
    let run = sandbox.run(SHOP).args(["--only", "HOST", "--path", ""]);
    let output = run
        .args(["--strict", "printenv", "HOST"])
        .output()
        .assert_ok();
    assert_eq!(output.text(), "db.test\n");
    assert_eq!(count_fetched(&phase), 1);
}

/// The server sends only the filtered part of the environment. The rest is fetched when a reference
/// needs it, and not before.
#[test]
fn filtered_out_value_is_fetched_when_referenced() {
    for (value, expected, requests) in [
        ("plain", "plain", 2),
        ("${backend/PORT}", "2", 2),
        ("${PORT}${HOST}", "1db.test", 3),
        ("${Staging.HOST}", "staging.test", 3),
        ("${Plat Form::Production.BACK}", "2", 3),
    ] {
        let (phase, sandbox) = shop_with_value(value);
        let run = sandbox.run(SHOP).args(["--path", "/backend"]);
        let output = run.args(["printenv", "VALUE"]).output().assert_ok();
        assert_eq!(output.text(), format!("{expected}\n"));
        let sent = phase.requests();
        assert_eq!(sent.len(), requests, "{value}");
        assert_eq!(sent[1].header("Path"), Some("/backend"));
        assert!(
            sent.iter()
                .skip(2)
                .all(|request| request.header("Path").is_none())
        );
    }
}

/// A header cannot carry this folder's name, so the first request fetched everything.
#[test]
fn unfiltered_environment_is_not_fetched_twice() {
    let mut world = referring_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/büro", "VALUE", "${HOST} ${NOTHING}");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run(SHOP).args(["-q", "--path", "/büro"]);
    let output = run.args(["printenv", "VALUE"]).output().assert_ok();
    assert_eq!(output.text(), "db.test ${NOTHING}\n");
    assert_eq!(count_fetched(&phase), 1);
}

/// Covers cycles of each length, and secrets outside of a cycle that refer to it.
#[test]
fn cycles_stay_as_raw_text() {
    let mut world = e2ee_world(&[
        ("/", "SELF", "s-${SELF}"),
        ("/", "A", "a-${B}-${LEAF}"),
        ("/", "B", "b-${A}"),
        ("/", "X", "x-${Y}"),
        ("/", "Y", "y-${Staging.Z}"),
        ("/", "LEAF", "leaf"),
        ("/", "TWICE", "${LEAF}${LEAF}${PAIR}"),
        ("/", "PAIR", "${LEAF}-${LEAF}"),
        ("/", "OUTSIDE", "<${A}|${SELF}|${X}>"),
    ]);
    let shop = world.app("shop");
    let staging = shop.environment("Staging", "staging");
    staging.secret("/", "Z", "z-${Production.X}");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let line = "printf '%s\\n' \"$SELF\" \"$A\" \"$B\" \"$X\" \"$Y\" \"$TWICE\" \"$OUTSIDE\"";
    let output = sandbox.run(["-q"]).args(SHOP).args(["-c", line]).output();
    let expected = "s-${SELF}\na-${B}-leaf\nb-${A}\nx-${Y}\ny-${Staging.Z}\n\
                    leafleafleaf-leaf\n<a-${B}-leaf|s-${SELF}|x-${Y}>\n";
    assert_eq!(output.assert_ok().text(), expected);
    assert_eq!(count_fetched(&phase), 2);
    let output = sandbox.run(SHOP).arg("true").output();
    let named = "references in A, B, OUTSIDE, SELF, X, Y; they are passed on as written\n";
    assert!(output.stderr.ends_with(named), "{output}");
}

#[test]
fn references_nest_at_most_25_deep() {
    let mut world = e2ee_world(&[("/", "K00", "end")]);
    let production = world.app("shop").environment("Production", "prod");
    for number in 1..=30 {
        let value = format!("${{K{:02}}}", number - 1);
        production.secret("/", &format!("K{number:02}"), &value);
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let value = |key: &str| {
        let run = sandbox.run(["-q"]).args(SHOP);
        run.args(["printenv", key])
            .output()
            .assert_ok()
            .text()
            .to_owned()
    };
    assert_eq!(value("K25"), "end\n");
    assert_eq!(value("K26"), "${K00}\n");
    assert_eq!(value("K30"), "${K04}\n");
}

/// Nested pairs of references would expand to 2^25 copies of the last value and fill the memory.
#[test]
fn expanded_references_are_bounded_in_size() {
    if !require_linux("--file needs Linux") {
        return;
    }
    for leaf in ["", &"x".repeat(4096), "${K25}"] {
        let mut world = e2ee_world(&[("/", "K24", leaf)]);
        let production = world.app("shop").environment("Production", "prod");
        for number in 0..24 {
            let next = format!("${{K{:02}}}", number + 1);
            production.secret("/", &format!("K{number:02}"), &next.repeat(2));
        }
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        // One limit covers all values together.
        let run = sandbox
            .run(SHOP)
            .args(["-q", "--only", "K0[01]", "--file", "K0[01]"]);
        let output = run
            .args(["-c", "cat $K00 $K01 | wc -c"])
            .output()
            .assert_ok();
        let bytes: usize = output.text().trim().parse().unwrap();
        assert!(bytes < 80 << 20, "{bytes}");
    }
}

/// Cycles that contain much text, or many references, cost no more than their size. The CPU time is limited
/// far above what they take.
#[test]
fn cycles_take_linear_work() {
    if !require_linux("--file needs Linux") {
        return;
    }
    const CPU_SECONDS: u64 = 30;
    let text = "x".repeat(1 << 20);
    for (a, b) in [
        ("${B}".repeat(65_536), "${!}".repeat(262_144) + "${A}"),
        (
            "${B}".repeat(65_536),
            "${A}".to_owned() + &"${!}".repeat(262_144),
        ),
        ("${B}".repeat(65_536), text.clone() + "${A}"),
        ("${B}".repeat(2_000), format!("{text}${{C}}")),
    ] {
        let mut world = e2ee_world(&[("/", "A", &a), ("/", "B", &b)]);
        let production = world.app("shop").environment("Production", "prod");
        production.secret("/", "C", &format!("{text}${{B}}${{A}}"));
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let run = sandbox.run(SHOP).args(["-q", "--timeout", "60"]);
        let run = run.args(["--file", "[ABC]", "-c", "cat $A $B $C | wc -c"]);
        let run = run.limit(Resource::RLIMIT_CPU, CPU_SECONDS);
        let output = run.output().assert_ok();
        let bytes: usize = output.text().trim().parse().unwrap();
        assert!(bytes >= a.len() + b.len() + text.len(), "{bytes}");
        assert!(bytes < 64 << 20, "{bytes}");
    }
}

/// Together with the environment itself, the environments that its references need have at most 64 MiB.
#[test]
fn referenced_environments_are_bounded_in_size() {
    let mut world = e2ee_world(&[("/", "VALUE", "${Staging.X} ${Other.X}")]);
    let shop = world.app("shop");
    shop.environment("Staging", "staging").secret("/", "X", "x");
    shop.environment("Other", "custom").secret("/", "X", "x");
    let phase = Phase::serve(world);
    let body = format!("[{}]", " ".repeat(34 << 20));
    // The first two requests are for the list of apps and for the environment itself.
    phase.respond("/service/secrets/", Responder::json(200, &body).after(2));
    let sandbox = Sandbox::new(&phase);
    let output = sandbox
        .run(["--timeout", "60"])
        .args(SHOP)
        .args(["printenv", "VALUE"])
        .output()
        .assert_error(125, "protocol");
    let message = "bytes, which is what is left of 64 MiB for the environment and all others that its \
                   references need\n";
    assert!(output.stderr.contains(message), "{output}");
    assert_eq!(count_fetched(&phase), 3);
}

/// Almost any text may be a reference. After an invalid response, no more environments are fetched for it.
#[test]
fn invalid_response_ends_fetches_for_unusual_names() {
    let value = "${One.A+} ${Two.A+} ${Three.A+}";
    let mut world = e2ee_world(&[("/", "VALUE", value)]);
    for name in ["One", "Two", "Three"] {
        let environment = world.app("shop").environment(name, "custom");
        environment.secret("/", "A+", "x");
    }
    let phase = Phase::serve(world);
    // The first two requests are for the list of apps and for the environment itself.
    phase.respond("/service/secrets/", Responder::json(200, "[5]").after(2));
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run(["-q"]).args(SHOP);
    let output = run.args(["printenv", "VALUE"]).output().assert_ok();
    assert_eq!(output.text(), format!("{value}\n"));
    assert_eq!(count_fetched(&phase), 2);
}

/// Decrypting a key takes time. The secrets are counted before that: these cannot be decrypted.
#[test]
fn secrets_of_referenced_environments_are_counted_before_decryption() {
    let mut world = e2ee_world(&[("/", "VALUE", "${Staging.X} ${Other.X}")]);
    let shop = world.app("shop");
    shop.environment("Staging", "staging").secret("/", "X", "x");
    shop.environment("Other", "custom").secret("/", "X", "x");
    let phase = Phase::serve(world);
    let row = r#"{"id":"1","key":"K","value":"V","path":"/","tags":[],"type":"secret"}"#;
    let body = format!("[{}]", vec![row; 5_000].join(","));
    // The first two requests are for the list of apps and for the environment itself.
    phase.respond("/service/secrets/", Responder::json(200, &body).after(2));
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run(SHOP).args(["printenv", "VALUE"]);
    let output = run.output().assert_error(125, "protocol");
    let message = "more than 10,000 encrypted secrets in the environment and all others that its references need\n";
    assert!(output.stderr.ends_with(message), "{output}");
    assert_eq!(count_fetched(&phase), 3);
}

#[test]
fn reference_resolves_to_shared_value_not_override() {
    let mut world = e2ee_world(&[("/", "BOTH", "${THEME}/${OWN}")]);
    let production = world.app("shop").environment("Production", "prod");
    production
        .secret("/", "THEME", "light")
        .overridden("dark", true);
    production
        .secret("/", "OWN", "shared")
        .overridden("own of ${OWN}", true);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let line = "echo $THEME, $OWN, $BOTH";
    let run = sandbox.run(SHOP).args(["-c", line]);
    let output = run
        .env("PHASE_SERVICE_TOKEN", user_token())
        .output()
        .assert_ok();
    assert_eq!(output.text(), "dark, own of shared, light/shared\n");
}

/// The token endpoint lists the app's ID twice, first for an app that lacks the environment.
#[test]
fn references_resolve_despite_duplicate_app_id() {
    for environment in [None, Some("Staging")] {
        let mut world = referring_world();
        let shop = world.app("shop");
        let id = shop.id().to_owned();
        let production = shop.environment("Production", "prod");
        production.secret("/backend", "VALUE", "${HOST} ${Staging.HOST}");
        let ghost = world.add_app("ghost").e2e().set_id(&id);
        if let Some(environment) = environment {
            let _ = ghost.environment(environment, "staging");
        }
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let output = print_value(&sandbox).output().assert_ok();
        assert_eq!(output.text(), "db.test staging.test\n");
    }
}
