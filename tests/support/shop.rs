//! The app that most tests use: `shop`, whose environment Production has the secrets that a test names.

use std::fs::remove_file;
use std::ops::{Deref, DerefMut};

use fake_phase::{Phase, World};

use super::inspector::inspector;
use super::output::Output;
use super::run::Run;
use super::sandbox::Sandbox;

/// The options that name the app and its environment.
pub(crate) const SHOP: [&str; 4] = ["--app", "shop", "--env", "Production"];

/// A sandbox and its server.
pub(crate) struct Shop {
    pub(crate) phase: Phase,
    sandbox: Sandbox,
}

/// A world whose app `shop` has these secrets in the root folder of its environment Production.
pub(crate) fn shop_world<Key: AsRef<str>, Value: AsRef<str>>(
    secrets: impl IntoIterator<Item = (Key, Value)>,
) -> World {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    for (key, value) in secrets {
        production.secret("/", key.as_ref(), value.as_ref());
    }
    world
}

/// The ID of `shop` in a world that was made empty. An app that is named by its ID is fetched with a
/// single request.
pub(crate) fn shop_id() -> String {
    World::empty().app("shop").id().to_owned()
}

/// A server with [`shop_world`], and a sandbox.
pub(crate) fn shop<Key: AsRef<str>, Value: AsRef<str>>(
    secrets: impl IntoIterator<Item = (Key, Value)>,
) -> Shop {
    let phase = Phase::serve(shop_world(secrets));
    let sandbox = Sandbox::new(&phase);
    Shop { phase, sandbox }
}

/// A shop whose secret KEY is `of the shop`.
pub(crate) fn shop_with_key() -> Shop {
    shop([("KEY", "of the shop")])
}

/// Gives SECRET in Production this value.
pub(crate) fn set_secret_value(phase: &Phase, value: &str) {
    phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.find("/", "SECRET").unwrap().value(value);
    });
}

/// Runs the command and requires an error that begins with this message, before any connection to the server.
pub(crate) fn assert_refused_before_connecting(
    phase: &Phase,
    run: Run<'_>,
    kind: &str,
    message: &str,
) -> Output {
    let before = phase.connections();
    let output = run.output().assert_error(125, kind);
    assert_eq!(phase.connections(), before, "{output}");
    let start = format!("phase-run: error[{kind}]: {message}");
    assert!(output.stderr.starts_with(&start), "not {start}: {output}");
    output
}

impl Sandbox {
    /// phase-run for this app's environment Production.
    pub(crate) fn production(&self, app: &str) -> Run<'_> {
        self.run(["--app", app, "--env", "Production"])
    }

    /// phase-run for the shop by its ID, with these options and a command whose output shows that it
    /// was started.
    pub(crate) fn run_echo(&self, options: &[&str]) -> Run<'_> {
        self.production(&shop_id())
            .args(options)
            .args(["echo", "started"])
    }
}

impl Shop {
    /// Returns a run of phase-run with these options before `--` and the command.
    pub(crate) fn run_with(&self, options: &[&str]) -> Run<'_> {
        self.run(SHOP).args(options).arg("--")
    }

    /// Returns a run of phase-run with these options and the inspector as its command.
    pub(crate) fn run_inspector(&self, options: &[&str]) -> Run<'_> {
        self.run_with(options).args([inspector(), "report"])
    }

    /// Requires an `environment` error before the command is started.
    pub(crate) fn assert_environment_error(&self, options: &[&str]) -> Output {
        self.assert_environment_error_with(options, |run| run)
    }

    /// Like [`Shop::assert_environment_error`], after `prepare`.
    pub(crate) fn assert_environment_error_with<'a>(
        &'a self,
        options: &[&str],
        prepare: impl Fn(Run<'a>) -> Run<'a>,
    ) -> Output {
        let output = prepare(self.run_with(options).args(["touch", "started"])).output();
        let started = remove_file(self.directory().join("started"));
        assert!(started.is_err(), "the command was started\n{output}");
        output.assert_error(125, "environment")
    }
}

impl Deref for Shop {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl DerefMut for Shop {
    fn deref_mut(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }
}
