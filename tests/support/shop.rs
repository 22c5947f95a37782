//! The app that most tests need: `shop`, whose environment Production holds what the test says.

use std::fs::remove_file;
use std::ops::{Deref, DerefMut};

use fake_phase::{Phase, World};

use super::inspector::inspector;
use super::output::Output;
use super::run::Run;
use super::sandbox::Sandbox;

/// The words that name the app and its environment.
pub(crate) const SHOP: [&str; 4] = ["--app", "shop", "--env", "Production"];

/// A sandbox and the server that its command lines ask.
pub(crate) struct Shop {
    pub(crate) phase: Phase,
    sandbox: Sandbox,
}

/// With these secrets in the root folder.
pub(crate) fn shop<Key: AsRef<str>, Value: AsRef<str>>(
    secrets: impl IntoIterator<Item = (Key, Value)>,
) -> Shop {
    let mut world = World::empty();
    let production = world.app("shop").environment("Production", "prod");
    for (key, value) in secrets {
        production.secret("/", key.as_ref(), value.as_ref());
    }
    let phase = Phase::serve(world);
    let sandbox = Sandbox::new(&phase);
    Shop { phase, sandbox }
}

impl Shop {
    /// phase-run with these options before `--` and the command.
    pub(crate) fn with(&self, options: &[&str]) -> Run<'_> {
        self.run(SHOP).args(options).arg("--")
    }

    /// The same with the inspector as its command.
    pub(crate) fn reporting(&self, options: &[&str]) -> Run<'_> {
        self.with(options).args([inspector(), "report"])
    }

    /// An `environment` error, and nothing started.
    pub(crate) fn refuses(&self, options: &[&str]) -> Output {
        self.refuses_with(options, |run| run)
    }

    /// The same after a preparation.
    pub(crate) fn refuses_with<'a>(
        &'a self,
        options: &[&str],
        prepare: impl Fn(Run<'a>) -> Run<'a>,
    ) -> Output {
        let output = prepare(self.with(options).args(["touch", "started"])).output();
        let started = remove_file(self.directory().join("started"));
        assert!(started.is_err(), "the command was started\n{output}");
        output.failed(125, "environment")
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
