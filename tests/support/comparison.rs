//! Compares how a command is started bare and under phase-run. The bare start is the specification: only
//! the differences that a test names are allowed.

use std::collections::BTreeMap;

use super::inspector::{Report, decode_hex};
use super::run::name_of;

/// The inspector's reports from both starts, and the differences that the test allows. Call `check` at the
/// end.
#[must_use]
pub(crate) struct Comparison {
    pub(crate) bare: Report,
    pub(crate) under_phase_run: Report,
    added: BTreeMap<Vec<u8>, Vec<u8>>,
    removed: Vec<Vec<u8>>,
    excepted: Vec<String>,
}

impl Comparison {
    pub(super) fn new(bare: Report, under_phase_run: Report) -> Self {
        let (added, removed, excepted) = Default::default();
        Comparison {
            bare,
            under_phase_run,
            added,
            removed,
            excepted,
        }
    }

    /// Requires that the command has this variable, added or in place of an inherited one.
    pub(crate) fn expect_added(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.added.insert(name.into(), value.as_ref().to_vec());
        self
    }

    /// Requires that the command does not have this inherited variable.
    pub(crate) fn expect_removed(mut self, name: &str) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Leaves a field of the report out, such as `ppid` under a supervisor.
    pub(crate) fn except(mut self, field: &str) -> Self {
        self.excepted.push(field.into());
        self
    }

    /// Requires that the command is a child of the started process and is killed when that dies, and
    /// leaves out the fields that differ for this reason.
    pub(crate) fn expect_supervised(self) -> Self {
        let (parent, started) = (
            self.under_phase_run.number("ppid"),
            self.under_phase_run.started,
        );
        assert_eq!(parent, started, "the command's parent is not phase-run");
        let dies_by = self.under_phase_run.number("parent_death_signal");
        assert_eq!(dies_by, libc::SIGKILL, "wrong parent-death signal");
        let except = ["pid", "ppid", "parent_death_signal"];
        except.into_iter().fold(self, Comparison::except)
    }

    /// Fails with a list of all differences that were not allowed.
    pub(crate) fn check(self) {
        let (bare, under) = (comparable(&self.bare), comparable(&self.under_phase_run));
        let mut differences = Vec::new();
        let fields = bare
            .keys()
            .chain(under.keys().filter(|field| !bare.contains_key(*field)));
        for field in fields.filter(|field| !self.excepted.contains(field)) {
            let (bare, under) = (bare.get(field), under.get(field));
            if bare != under {
                differences.push(format!("{field}: bare {bare:?}, under phase-run {under:?}"));
            }
        }
        // Inherited variables keep their order; the order of the added ones is not compared.
        let is_added = |entry: &Vec<u8>| self.added.contains_key(name_of(entry));
        let is_removed = |entry: &Vec<u8>| self.removed.iter().any(|name| name == name_of(entry));
        let mut bare = self.bare.environ();
        bare.retain(|entry| !is_added(entry) && !is_removed(entry));
        let (mut added, under) = self
            .under_phase_run
            .environ()
            .into_iter()
            .partition::<Vec<_>, _>(is_added);
        added.sort();
        let wanted = self
            .added
            .iter()
            .map(|(name, value)| [name, value.as_slice()].join(&b'='));
        let mut wanted: Vec<Vec<u8>> = wanted.collect();
        wanted.sort();
        for (what, bare, under) in [("inherited", bare, under), ("added", wanted, added)] {
            if bare != under {
                let (bare, under) = (escaped(&bare), escaped(&under));
                differences.push(format!(
                    "{what} entries: expected {bare:#?}, found {under:#?}"
                ));
            }
        }
        assert!(
            differences.is_empty(),
            "the command's start differs from the bare one:\n{}",
            differences.join("\n")
        );
    }
}

/// Returns the fields that two runs share: without the environment, and without the numbers of the started
/// process, of pipes and of sockets.
fn comparable(report: &Report) -> BTreeMap<String, String> {
    let fields = report
        .fields()
        .iter()
        .filter(|(field, _)| !field.starts_with("environ."));
    let mut fields: BTreeMap<String, String> = fields
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    for field in ["pid", "ppid", "pgid", "sid", "tpgid"] {
        if report.field(field) == report.started.to_string() {
            fields.insert(field.into(), "the started process".into());
        }
    }
    for (_, value) in fields
        .iter_mut()
        .filter(|(field, _)| field.starts_with("descriptor."))
    {
        if let Some((rest, target)) = value.split_once(" target=") {
            let target = String::from_utf8_lossy(&bytes_or_name(target)).into_owned();
            let kind = target.split(":[").next().unwrap_or_default();
            *value = format!("{rest} target={kind}");
        }
    }
    fields
}

fn bytes_or_name(target: &str) -> Vec<u8> {
    if target == "unknown" {
        target.into()
    } else {
        decode_hex(target)
    }
}

fn escaped(entries: &[Vec<u8>]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| entry.escape_ascii().to_string())
        .collect()
}
