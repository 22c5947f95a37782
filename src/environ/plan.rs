#![forbid(unsafe_code)]
//! Which secret gets which name, in which form.

use super::names;
use crate::config::{InjectionOptions, KeepPolicy, Pattern};
use crate::error::Error;
use crate::log::{Event, Log};
use crate::phase::reference::has_reference;
use crate::process::env_block::EnvBlock;
use crate::secret::Secret;

/// How a secret reaches the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The variable holds the value.
    Variable,
    /// The variable holds the path of a sealed file with the value.
    File,
    /// The variable was set before and stays as it is.
    Kept,
}

impl Form {
    /// The word that `--dry-run` prints.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Variable => "variable",
            Self::File => "file",
            Self::Kept => "kept",
        }
    }
}

/// One selected secret with its name and form.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) secret: Secret,
    pub(crate) form: Form,
}

/// What will be injected, sorted by name; every name and value can be.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) secrets: Vec<Planned>,
}

/// Decides names and forms, and checks everything that does not need the finished block.
///
/// # Errors
/// `environment` for names and values that cannot or must not be injected, and for unresolved
/// references with `--strict`; `not-found` for a `--file` that is about no selected secret.
pub(crate) fn plan(
    secrets: Vec<Secret>,
    base: &EnvBlock,
    injection: &InjectionOptions,
    empty_is_fine: bool,
    log: &dyn Log,
) -> Result<Plan, Error> {
    let mut used = vec![false; injection.files.len()];
    let mut planned = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let rules = injection.files.iter().zip(&mut used);
        let matching = rules.filter(|(rule, _)| rule.key.matches(&secret.key));
        // The first rule decides; a later one about the same key is of use as well.
        let mut rule = None;
        for (one, used) in matching {
            rule.get_or_insert(one);
            *used = true;
        }
        let variable = rule.and_then(|rule| rule.variable.clone());
        let name = variable.unwrap_or_else(|| [injection.prefix.as_str(), &secret.key].concat());
        let form = match (is_kept(&name, base, &injection.keep), rule) {
            (true, _) => Form::Kept,
            (false, Some(_)) => Form::File,
            (false, None) => Form::Variable,
        };
        if form != Form::Kept {
            check(&name, form, &secret, &injection.allowed_names, log)?;
        }
        planned.push(Planned { name, secret, form });
    }
    if let Some(unused) = injection
        .files
        .iter()
        .zip(used)
        .find(|(_, used)| !used && !empty_is_fine)
    {
        let (rule, _) = unused;
        return Err(Error::FilterSelectsNothing {
            option: "--file",
            value: rule.key.text().to_owned(),
            scope: "the selected secrets".to_owned(),
        });
    }
    planned.sort_by(|a, b| a.name.cmp(&b.name));
    check_once(&planned)?;
    check_references(&planned, injection.strict, log)?;
    Ok(Plan { secrets: planned })
}

fn is_kept(name: &str, base: &EnvBlock, keep: &KeepPolicy) -> bool {
    let wanted = match keep {
        KeepPolicy::Nothing => false,
        KeepPolicy::Matching(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        KeepPolicy::Everything => true,
    };
    wanted && !name.is_empty() && base.get(name).is_some()
}

fn check(
    name: &str,
    form: Form,
    secret: &Secret,
    allowed: &[Pattern],
    log: &dyn Log,
) -> Result<(), Error> {
    if let Some(why) = names::flaw(name) {
        return Err(Error::InvalidName {
            key: secret.key.clone(),
            name: name.to_owned(),
            why,
        });
    }
    if names::is_unsafe(name) && !allowed.iter().any(|pattern| pattern.matches(name)) {
        return Err(Error::UnsafeName {
            name: name.to_owned(),
            key: secret.key.clone(),
        });
    }
    if form == Form::Variable && secret.value.expose().contains(&0) {
        return Err(Error::NulInValue {
            key: secret.key.clone(),
        });
    }
    if !names::is_portable(name) {
        log.log(Event::NonportableName { name });
    }
    Ok(())
}

/// Two secrets can meet in one name by `--file KEY=VAR`.
fn check_once(sorted: &[Planned]) -> Result<(), Error> {
    let meeting = sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .find(|(a, b)| a.name == b.name);
    match meeting {
        Some((a, b)) => Err(Error::DuplicateVariable {
            name: a.name.clone(),
            keys: [a.secret.key.clone(), b.secret.key.clone()],
        }),
        None => Ok(()),
    }
}

fn check_references(planned: &[Planned], strict: bool, log: &dyn Log) -> Result<(), Error> {
    let keys: Vec<String> = planned
        .iter()
        .filter(|planned| {
            planned.form != Form::Kept && has_reference(planned.secret.value.expose())
        })
        .map(|planned| planned.secret.key.clone())
        .collect();
    match (keys.is_empty(), strict) {
        (true, _) => {}
        (false, true) => return Err(Error::UnresolvedReferences { keys }),
        (false, false) => log.log(Event::UnresolvedReferences { keys: &keys }),
    }
    Ok(())
}
