//! References to an environment that cannot be read: which failures end the start, and which leave the text.

use fake_phase::{Phase, Responder, World};

use crate::e2ee::e2ee_world;
use crate::references::{print_value, referring_world};
use crate::support::{SHOP, Sandbox};

/// What the warning about the keys starts with.
const LEFT: &str = "warning: could not resolve references in VALUE; ";

/// The usual reference, and text that may be a shell's: each names a secret of Staging.
const REFERENCES: [&str; 3] = [
    "${Staging.HOST}",
    "${Staging.HOST+}",
    "${shop::Staging.HOST:-x}",
];

/// Serves a world in which each of the [`REFERENCES`] names a secret, with one of them in `VALUE`.
fn shop_with_reference(value: &str) -> (Phase, Sandbox) {
    let mut world = e2ee_world(&[("/", "VALUE", value)]);
    let staging = world.app("shop").environment("Staging", "staging");
    for key in ["HOST", "HOST+", "HOST:-x"] {
        staging.secret("/", key, "staging.test");
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    (phase, sandbox)
}

/// Responds like this to the request for Staging, and to those after it. The first two requests fetch the
/// token's keys and the app's own environment.
fn respond_for_staging(phase: &Phase, responder: Responder) {
    phase.respond("/service/secrets/", responder.after(2));
}

/// Raw text must not take the place of a value only because Phase is unreachable for a moment.
#[test]
fn outage_during_a_reference_fails_the_start() {
    for reference in REFERENCES {
        for (responder, kind) in [
            (Responder::status(503), "server"),
            (Responder::html(502), "server"),
            (Responder::rate_limited(60), "rate-limited"),
            (Responder::close(), "unreachable"),
        ] {
            let (phase, sandbox) = shop_with_reference(reference);
            respond_for_staging(&phase, responder);
            let _ = print_value(&sandbox).output().assert_refused(kind);
        }
        let (phase, sandbox) = shop_with_reference(reference);
        respond_for_staging(&phase, Responder::status(503).times(3));
        let run = sandbox.run(["-q", "--max-wait", "60"]).args(SHOP);
        let output = run.args(["printenv", "VALUE"]).output();
        assert_eq!(output.assert_ok().text(), "staging.test\n");
        assert_eq!(phase.requests().len(), 6, "{reference}");
    }
}

/// A snapshot keeps the values of the last start that could read everything.
#[test]
fn snapshot_never_gets_text_in_place_of_a_value() {
    let (phase, sandbox) = shop_with_reference("${Staging.HOST+}");
    let start = |options: &[&str]| {
        let run = sandbox.run(SHOP).args(["--snapshot", "copy"]).args(options);
        run.args(["printenv", "VALUE"]).output()
    };
    assert_eq!(start(&[]).assert_ok().text(), "staging.test\n");
    let first_requests = phase.requests().len();
    respond_for_staging(&phase, Responder::status(503).times(1));
    let output = start(&[]).assert_log_lines(&["using the snapshot copy, "]);
    assert_eq!(output.assert_ok().text(), "staging.test\n");
    assert_eq!(phase.requests().len(), first_requests + 3);

    respond_for_staging(&phase, Responder::html_login().times(1));
    let output = start(&[]).assert_log_lines(&[
        "warning: cannot resolve references to Staging of shop: unexpected response from ",
        "warning: cannot write the snapshot copy: references are not resolved: unexpected response ",
        LEFT,
    ]);
    assert_eq!(output.assert_ok().text(), "${Staging.HOST+}\n");
    let output = start(&["-q", "--offline"]);
    assert_eq!(output.assert_ok().text(), "staging.test\n");
}

/// A refusal is final: the text stays, and a warning says why. With `--strict` it is an error.
#[test]
fn refused_reference_stays_and_says_why() {
    let reason = "You do not have access to this environment";
    for reference in REFERENCES {
        let (phase, sandbox) = shop_with_reference(reference);
        respond_for_staging(&phase, Responder::error(403, reason).times(1));
        let output = print_value(&sandbox).output();
        let why = format!("warning: cannot resolve references to Staging of shop: {reason} (403)");
        let output = output.assert_log_lines(&[&why, LEFT]).assert_ok();
        assert_eq!(output.text(), format!("{reference}\n"));
        // One request, which is not repeated.
        assert_eq!(phase.requests().len(), 3);

        respond_for_staging(&phase, Responder::error(403, reason).times(1));
        let run = sandbox.run(SHOP).args(["--strict", "true"]);
        let output = run.output().assert_log_lines(&[&why]);
        let _ = output.assert_refused("environment");
    }
}

/// Phase no longer knows the environment, or its page is not Phase's: only unusual text stays.
#[test]
fn unexpected_response_leaves_only_unusual_text() {
    for (responder, why) in [
        (
            Responder::error(404, "Environment not found"),
            "Environment not found (404)\n",
        ),
        (
            Responder::error(400, "No"),
            " responded with status 400: No\n",
        ),
        (Responder::html_login(), "the response is an HTML page\n"),
    ] {
        for reference in REFERENCES {
            let (phase, sandbox) = shop_with_reference(reference);
            respond_for_staging(&phase, responder.clone());
            let output = print_value(&sandbox).output();
            if reference == REFERENCES[0] {
                let kind = if why.contains("400") {
                    "server"
                } else {
                    "protocol"
                };
                let _ = output.assert_refused(kind);
                continue;
            }
            assert!(output.stderr.contains(why), "{output}");
            let unavailable = "warning: cannot resolve references to Staging of shop: ";
            let output = output.assert_log_lines(&[unavailable, LEFT]).assert_ok();
            assert_eq!(output.text(), format!("{reference}\n"));
        }
    }
}

/// A rejected token is an error, whatever the text looks like.
#[test]
fn rejected_token_during_a_reference_fails_the_start() {
    for reference in REFERENCES {
        let (phase, sandbox) = shop_with_reference(reference);
        respond_for_staging(&phase, Responder::error(401, "Token expired or deleted"));
        let _ = print_value(&sandbox).output().assert_refused("token");
    }
}

/// Text in the form of a shell's expansion that names a secret of another environment: with access, what
/// names nothing causes no warning. Without access, nobody knows whether it names something.
#[test]
fn denied_environment_behind_shell_syntax_is_reported() {
    for (value, is_shell_syntax) in [
        ("${shop::Staging.x:-y}", true),
        ("${shop::Staging.x%y}", true),
        ("${Staging.x:-y}", false),
    ] {
        let (_phase, sandbox) = shop_with_reference(value);
        let output = print_value(&sandbox).output();
        let strict = |sandbox: &Sandbox| sandbox.run(SHOP).args(["--strict", "true"]).output();
        let output = match is_shell_syntax {
            true => output,
            false => output.assert_log_lines(&[LEFT]),
        };
        assert_eq!(output.assert_ok().text(), format!("{value}\n"));
        match is_shell_syntax {
            true => drop(strict(&sandbox).assert_ok()),
            false => drop(strict(&sandbox).assert_refused("environment")),
        }

        let (phase, sandbox) = shop_with_reference(value);
        respond_for_staging(&phase, Responder::status(403).times(1));
        let why = "warning: cannot resolve references to Staging of shop: ";
        let output = print_value(&sandbox).output();
        let output = output.assert_log_lines(&[why, LEFT]).assert_ok();
        assert_eq!(output.text(), format!("{value}\n"));
        respond_for_staging(&phase, Responder::status(403).times(1));
        let output = strict(&sandbox).assert_log_lines(&[why]);
        let _ = output.assert_refused("environment");
    }
}

/// If an environment cannot be decrypted, only text with unusual names stays as it is.
#[test]
fn undecryptable_environment_leaves_only_unusual_text() {
    for (value, is_fatal) in [
        ("${Staging.HOST:-default} ${Staging.HOST+}", false),
        ("${Staging.HOST+} ${Staging.HOST}", true),
        ("${Staging.HOST}", true),
    ] {
        let mut world: World = referring_world();
        let shop = world.app("shop");
        let production = shop.environment("Production", "prod");
        production.secret("/", "VALUE", value);
        let staging = shop.environment("Staging", "staging");
        staging.corrupt_key("wrapped_seed", "ph:v1:");
        let phase = Phase::serve(world);
        let sandbox = Sandbox::new(&phase);
        let mut output = print_value(&sandbox).output();
        let why = "warning: cannot resolve references to Staging of shop: \
                   cannot decrypt the seed of Staging of shop: ";
        match is_fatal {
            true => {
                if value.contains("HOST+") {
                    output = output.assert_log_lines(&[why]);
                }
                let output = output.assert_error(125, "decrypt");
                assert!(
                    output.stderr.contains("the seed of Staging of shop"),
                    "{output}"
                );
            }
            false => {
                let output = output.assert_log_lines(&[why, LEFT]).assert_ok();
                assert_eq!(output.text(), format!("{value}\n"));
            }
        }
    }
}
