//! Finding an app and an environment by name, prefix, type or ID, and the errors that list candidates.

use fake_phase::{Phase, World, bearer, service_token};

use crate::support::{Output, Sandbox, Status};

/// The app `shop` with environments of these names and types. Each holds its own name in `WHERE`.
fn shop_with_environments(environments: &[(&str, &str)]) -> World {
    let mut world = World::empty();
    for (name, env_type) in environments {
        let shop = world.app("shop");
        let environment = shop.environment(name, env_type);
        environment.secret("/", "WHERE", name);
    }
    world
}

const DEFAULT_ENVIRONMENTS: [(&str, &str); 3] = [
    ("Development", "dev"),
    ("Staging", "staging"),
    ("Production", "prod"),
];

/// The environment that `word` leads to in `app`, by a command that tells.
fn print_environment(sandbox: &Sandbox, token: &str, app: &str, word: &str) -> Output {
    let run = sandbox.run(["--app", app, "--env", word, "printenv", "WHERE"]);
    run.env("PHASE_SERVICE_TOKEN", token).output()
}

/// An environment is found by its exact name in any case, else by its type (`dev`, `development`,
/// `staging`, `prod`, `production`) if exactly one has it, else by a unique prefix. The last two log the
/// choice. This holds for full tokens and bearer tokens, and for apps given by name and by ID.
#[test]
fn environment_guess_is_unique_and_logged() {
    let own = [
        ("Dev", "custom"),
        ("Main", "dev"),
        ("Live", "prod"),
        ("prod-eu", "custom"),
        ("QA", "staging"),
    ];
    for (environments, word, expected, guessed) in [
        (&DEFAULT_ENVIRONMENTS[..], "Production", "Production", false),
        (
            &DEFAULT_ENVIRONMENTS[..],
            "dEVELOPMENT",
            "Development",
            false,
        ),
        (&DEFAULT_ENVIRONMENTS[..], "prod", "Production", true),
        (&DEFAULT_ENVIRONMENTS[..], "PROD", "Production", true),
        (&DEFAULT_ENVIRONMENTS[..], "dev", "Development", true),
        (&DEFAULT_ENVIRONMENTS[..], "stag", "Staging", true),
        (&own[..], "dev", "Dev", false),
        (&own[..], "development", "Main", true),
        (&own[..], "production", "Live", true),
        (&own[..], "prod", "Live", true),
        (&own[..], "prod-", "prod-eu", true),
        (&own[..], "staging", "QA", true),
        (&own[..], "q", "QA", true),
    ] {
        let phase = Phase::serve(shop_with_environments(environments));
        let sandbox = Sandbox::new(&phase);
        let id = shop_with_environments(environments)
            .app("shop")
            .id()
            .to_owned();
        for (token, app) in [
            (service_token(), "shop"),
            (service_token(), &id),
            (bearer(), "shop"),
            (bearer(), &id),
        ] {
            let output = print_environment(&sandbox, token, app, word);
            assert_eq!(output.text(), format!("{expected}\n"), "{word}");
            let notice = format!("using environment {expected} (");
            let query = format!(" '{word}' from --env)\n");
            assert_eq!(output.stderr.contains(&query), guessed, "{output}");
            let notices: &[&str] = if guessed { &[&notice] } else { &[] };
            let _ = output.assert_log_lines(notices).assert_ok();
        }
    }
}

/// If several environments match, the error lists these and no others.
#[test]
fn ambiguous_environment_lists_candidates() {
    let two = [
        ("Production", "prod"),
        ("prod-eu", "prod"),
        ("Preview", "custom"),
        ("Dev A", "dev"),
        ("Dev B", "dev"),
    ];
    for (word, candidates) in [
        ("pr", &["Production", "prod-eu", "Preview"][..]),
        ("prod", &["Production", "prod-eu"]),
        ("development", &[]),
        ("dev", &["Dev A", "Dev B"]),
    ] {
        let phase = Phase::serve(shop_with_environments(&two));
        let sandbox = Sandbox::new(&phase);
        let kind = if candidates.is_empty() {
            "not-found"
        } else {
            "ambiguous"
        };
        let output =
            print_environment(&sandbox, service_token(), "shop", word).assert_refused(kind);
        let all = ["Production", "prod-eu", "Preview", "Dev A", "Dev B"];
        for name in all {
            let expected = candidates.is_empty() || candidates.contains(&name);
            assert_eq!(output.stderr.contains(name), expected, "{name}\n{output}");
        }
    }
}

/// No environment is a default. The error lists those that the token can read, and not a hidden one.
#[test]
fn unknown_environment_lists_readable_ones() {
    let mut world = shop_with_environments(&DEFAULT_ENVIRONMENTS);
    world.app("shop").environment("Staging", "staging").hidden();
    let id = world.app("shop").id().to_owned();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for token in [service_token(), bearer()] {
        for app in ["shop", &id] {
            let output =
                print_environment(&sandbox, token, app, "preview").assert_refused("not-found");
            assert!(output.stderr.contains("preview (from --env)"), "{output}");
            for name in ["Development", "Production"] {
                assert!(output.stderr.contains(name), "{output}");
            }
            assert!(!output.stderr.contains("Staging"), "{output}");
        }
    }
}

/// An app is found by its exact name in any case, never by a part of it.
#[test]
fn app_name_matches_whole_in_any_case() {
    let mut world = shop_with_environments(&DEFAULT_ENVIRONMENTS);
    let odd = world
        .app("Müller & Söhne")
        .environment("Production", "prod");
    odd.secret("/", "WHERE", "Munich");
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for token in [service_token(), bearer()] {
        for (app, expected) in [("SHOP", "Production\n"), ("mÜLLER & SÖHNE", "Munich\n")] {
            let output = print_environment(&sandbox, token, app, "Production").assert_ok();
            assert_eq!(output.text(), expected);
        }
        for app in ["sho", "shop ", "shops", "Müller"] {
            let output =
                print_environment(&sandbox, token, app, "Production").assert_refused("not-found");
            let known = output
                .stderr
                .contains("this token can read Müller & Söhne, shop");
            assert!(known, "{output}");
        }
    }
}

/// Phase answers 404 to an unknown ID; phase-run then asks for the apps that there are.
#[test]
fn unknown_app_id_lists_readable_apps() {
    let phase = Phase::serve(shop_with_environments(&DEFAULT_ENVIRONMENTS));
    let sandbox = Sandbox::new(&phase);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for token in [service_token(), bearer()] {
        let output =
            print_environment(&sandbox, token, unknown, "Production").assert_refused("not-found");
        assert!(output.stderr.contains(unknown), "{output}");
        assert!(
            output.stderr.contains("this token can read shop"),
            "{output}"
        );
    }
}

/// Two apps of one name are an error that lists their IDs. Passing one of the IDs succeeds.
#[test]
fn duplicate_app_name_lists_ids() {
    let mut world = shop_with_environments(&DEFAULT_ENVIRONMENTS);
    let other = world.add_app("Shop");
    other
        .environment("Production", "prod")
        .secret("/", "WHERE", "elsewhere");
    let other = other.id().to_owned();
    let one = world.app("shop").id().to_owned();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    for token in [service_token(), bearer()] {
        let output =
            print_environment(&sandbox, token, "shop", "Production").assert_refused("ambiguous");
        let both = output.stderr.contains(&one) && output.stderr.contains(&other);
        assert!(
            both && output.stderr.contains("hint: pass --app with the ID"),
            "{output}"
        );
        let output = print_environment(&sandbox, token, &other, "Production").assert_ok();
        assert_eq!(output.text(), "elsewhere\n");
    }
}

/// A bearer token can use only the REST interface. It makes no more requests than necessary.
#[test]
fn bearer_token_looks_up_over_rest() {
    let world = || shop_with_environments(&DEFAULT_ENVIRONMENTS);
    let id = world().app("shop").id().to_owned();
    let apps = "/service/public/v1/apps/".to_owned();
    let environments = format!("/service/public/v1/environments/?app_id={id}");
    let secrets = |env: &str| format!("/service/public/v1/secrets/?app_id={id}&env={env}");
    for (word, expected) in [
        ("production", vec![apps.clone(), secrets("production")]),
        (
            "prod",
            vec![
                apps.clone(),
                secrets("prod"),
                environments,
                secrets("Production"),
            ],
        ),
    ] {
        let phase = Phase::serve(world());
        let sandbox = Sandbox::new(&phase);
        let _ =
            print_environment(&sandbox, bearer(), "shop", word).assert_status(Status::Exited(0));
        let targets: Vec<String> = phase.requests().into_iter().map(|one| one.target).collect();
        assert_eq!(targets, expected);
    }
}

/// An account without permission to list apps or environments can use an ID and an exact name. For
/// anything else the error says what to pass.
#[test]
fn account_without_list_access_needs_exact_ids() {
    let mut world = shop_with_environments(&DEFAULT_ENVIRONMENTS);
    world.forbid_listing();
    let id = world.app("shop").id().to_owned();
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    let output = print_environment(&sandbox, bearer(), &id, "Production").assert_ok();
    assert_eq!(output.text(), "Production\n");
    for (app, word, hint) in [
        ("shop", "Production", "hint: pass --app with the app's ID\n"),
        (
            &id,
            "prod",
            "hint: pass --env with the environment's full name\n",
        ),
    ] {
        let output = print_environment(&sandbox, bearer(), app, word).assert_refused("access");
        assert!(output.stderr.ends_with(hint), "{output}");
    }
    // The token endpoint answers every full token.
    let output = print_environment(&sandbox, service_token(), "shop", "prod");
    assert_eq!(output.text(), "Production\n");
}

/// For a legacy service token the server calls every app end-to-end encrypted, although it decrypts some.
#[test]
fn legacy_token_reads_same_values_by_name_and_id() {
    for encrypts_end_to_end in [false, true] {
        let mut world = shop_with_environments(&DEFAULT_ENVIRONMENTS);
        world.accept_legacy_token();
        if encrypts_end_to_end {
            world.app("shop").e2e();
        }
        let id = world.app("shop").id().to_owned();
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let token = service_token().replace(":v2:", ":v1:");
        let modes: &[&str] = match encrypts_end_to_end {
            false => &["auto", "rest", "e2ee"],
            true => &["auto", "e2ee"],
        };
        for app in ["shop", &id] {
            for word in ["Production", "prod"] {
                for mode in modes {
                    let run = sandbox.run(["--app", app, "--env", word, "--mode", mode]);
                    let run = run.args(["-q", "printenv", "WHERE"]);
                    let output = run.env("PHASE_SERVICE_TOKEN", &token).output().assert_ok();
                    assert_eq!(output.text(), "Production\n", "{app} {word} {mode}");
                }
            }
        }
    }
}
