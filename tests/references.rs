//! References of an end-to-end encrypted app, which are the client's to resolve.

use fake_phase::{Phase, Responder, World, user_token};

use crate::e2ee::e2ee_world;
use crate::support::{Run, SHOP, Sandbox};

/// Three environments and three apps that refer to each other.
fn referring_world() -> World {
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

/// A sandbox for this world, with one more secret in Production, `/backend` and `VALUE`.
fn shop_with_value(value: &str) -> (Phase, Sandbox) {
    let mut world = referring_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/backend", "VALUE", value);
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    (phase, sandbox)
}

fn print_value(sandbox: &Sandbox) -> Run<'_> {
    let run = sandbox.run(SHOP).args(["--only", "VALUE"]);
    run.args(["printenv", "VALUE"])
}

/// How many environments were fetched, and that none was twice.
fn fetched(phase: &Phase) -> usize {
    let requests = phase.requests();
    let environments = requests.iter().filter_map(|one| one.header("Environment"));
    let mut environments: Vec<&str> = environments.collect();
    let all = environments.len();
    environments.sort_unstable();
    environments.dedup();
    assert_eq!(environments.len(), all, "one was fetched twice");
    all
}

/// "`${KEY}`, `${folder/KEY}` …; without a folder the key is looked up in `/`. App and environment
/// names compare case-insensitively." Only what is needed is fetched.
#[test]
fn each_form_is_resolved_with_what_it_needs() {
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
        let output = output.args(["printenv", "VALUE"]).output().ok();
        assert_eq!(output.text(), format!("{expected}\n"), "{value}");
        assert_eq!(fetched(&phase), environments, "{value}");
        // The token's keys, and the environments.
        assert_eq!(phase.requests().len(), 1 + environments, "{value}");
    }
}

/// "`${{ … }}` is never a Phase reference"; nor is what other languages write so.
#[test]
fn what_is_no_reference_is_left_alone_and_unnamed() {
    let value = "${{ HOST }} ${HOST:-x} ${#HOST} ${ HOST} $HOST {HOST} ${} ${HOST";
    let (_phase, sandbox) = shop_with_value(value);
    let output = print_value(&sandbox).output().ok();
    assert_eq!(output.text(), format!("{value}\n"));
}

/// "what cannot be resolved (unknown, no access, ambiguous app name, cycle) stays as raw text, is
/// named in one warning, and is an error with `--strict`"
#[test]
fn what_cannot_be_resolved_stays_and_is_named() {
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
            "warning: references that could not be resolved are handed on as they are in VALUE\n";
        let output = output.notices(&[warning.trim_end()]).ok();
        assert_eq!(output.text(), format!("{value}\n"));
        let run = sandbox.run(SHOP).args(["--only", "VALUE", "--strict"]);
        let output = run.args(["echo", "started"]).output();
        let output = output.failed(125, "environment");
        assert!(output.stderr.contains("unresolved references in VALUE\n"));
    }
}

/// A secret that is not selected is not resolved, and what it refers to is not fetched.
#[test]
fn only_what_is_selected_is_resolved() {
    let (phase, sandbox) = shop_with_value("${Staging.HOST} ${NOTHING}");
    let run = sandbox.run(SHOP).args(["--only", "HOST", "--path", ""]);
    let output = run.args(["--strict", "printenv", "HOST"]).output().ok();
    assert_eq!(output.text(), "db.test\n");
    assert_eq!(fetched(&phase), 1);
}

/// The server was told to leave out the rest of the environment: it is fetched once a reference
/// needs it, and not before.
#[test]
fn what_the_filter_left_out_is_fetched_when_a_reference_needs_it() {
    for (value, expected, requests) in [
        ("plain", "plain", 2),
        ("${backend/PORT}", "2", 2),
        ("${PORT}${HOST}", "1db.test", 3),
        ("${Staging.HOST}", "staging.test", 3),
        ("${Plat Form::Production.BACK}", "2", 3),
    ] {
        let (phase, sandbox) = shop_with_value(value);
        let run = sandbox.run(SHOP).args(["--path", "/backend"]);
        let output = run.args(["printenv", "VALUE"]).output().ok();
        assert_eq!(output.text(), format!("{expected}\n"));
        let sent = phase.requests();
        assert_eq!(sent.len(), requests, "{value}");
        assert_eq!(sent[1].header("Path"), Some("/backend"));
        assert!(sent.iter().skip(2).all(|one| one.header("Path").is_none()));
    }
}

/// A folder that no header can carry was not left out: nothing is fetched twice.
#[test]
fn what_the_server_did_not_filter_is_not_fetched_again() {
    let mut world = referring_world();
    let production = world.app("shop").environment("Production", "prod");
    production.secret("/büro", "VALUE", "${HOST} ${NOTHING}");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let run = sandbox.run(SHOP).args(["-q", "--path", "/büro"]);
    let output = run.args(["printenv", "VALUE"]).output().ok();
    assert_eq!(output.text(), "db.test ${NOTHING}\n");
    assert_eq!(fetched(&phase), 1);
}

/// Cycles of each length, alone and seen from outside: the references of a cycle stay.
#[test]
fn a_cycle_stays_as_it_is_written() {
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
    assert_eq!(output.ok().text(), expected);
    assert_eq!(fetched(&phase), 2);
    let output = sandbox.run(SHOP).arg("true").output();
    let named = "are in A, B, OUTSIDE, SELF, X, Y\n";
    assert!(output.stderr.ends_with(named), "{output}");
}

/// "Cycles and depth above 25 stop."
#[test]
fn references_lead_25_steps_and_no_further() {
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
        run.args(["printenv", key]).output().ok().text().to_owned()
    };
    assert_eq!(value("K25"), "end\n");
    assert_eq!(value("K26"), "${K00}\n");
    assert_eq!(value("K30"), "${K04}\n");
}

/// Whoever edits secrets cannot make phase-run fill the machine: 2^25 copies of a value, or none.
#[test]
fn references_cannot_grow_without_bound() {
    for leaf in ["", &"x".repeat(4096), "${K25}"] {
        let mut world = e2ee_world(&[("/", "K24", leaf)]);
        let production = world.app("shop").environment("Production", "prod");
        for number in 0..24 {
            let next = format!("${{K{:02}}}", number + 1);
            production.secret("/", &format!("K{number:02}"), &next.repeat(2));
        }
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        // The bound is one for all of them together.
        let run = sandbox
            .run(SHOP)
            .args(["-q", "--only", "K0[01]", "--file", "K0[01]"]);
        let output = run.args(["-c", "cat $K00 $K01 | wc -c"]).output().ok();
        let bytes: usize = output.text().trim().parse().unwrap();
        assert!(bytes < 80 << 20, "{bytes}");
    }
}

/// "A reference to an overridden secret gives the shared value, not the override."
#[test]
fn a_reference_means_the_shared_value() {
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
    let output = run.env("PHASE_SERVICE_TOKEN", user_token()).output().ok();
    assert_eq!(output.text(), "dark, own of shared, light/shared\n");
}

/// An environment that cannot be had, unlike one that may not, is no reason to start on raw text.
#[test]
fn a_failure_on_the_way_to_a_reference_is_an_error() {
    let (phase, sandbox) = shop_with_value("${Staging.HOST}");
    // The token's keys and the app's own environment come before.
    phase.respond("/service/secrets/", Responder::html(502).after(2));
    let _ = print_value(&sandbox).output().failed(125, "server");
    let mut world = referring_world();
    let shop = world.app("shop");
    let production = shop.environment("Production", "prod");
    production.secret("/", "VALUE", "${Staging.HOST}");
    let staging = shop.environment("Staging", "staging");
    staging.spoil_key("wrapped_seed", "ph:v1:");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = sandbox.run(SHOP).args(["--path", "/", "true"]).output();
    let output = output.failed(125, "decrypt");
    assert!(
        output.stderr.contains("the seed of Staging of shop"),
        "{output}"
    );
}
