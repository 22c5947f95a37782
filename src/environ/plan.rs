#![forbid(unsafe_code)]
//! The plan: the name and the form in which each selected secret reaches the command.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{names, unsafe_names};
use crate::config::{FileRule, InjectionOptions, KeepPolicy, Pattern};
use crate::error::Error;
use crate::log::{Event, Log, OutputFormat, escape, json_object, redact};
use crate::phase::reference::has_unresolved_reference;
use crate::process::env_block::EnvBlock;
use crate::secret::Secret;

/// How a secret reaches the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectionForm {
    /// The variable holds the value.
    Variable,
    /// The variable holds the path of a sealed file with the value.
    File,
    /// The inherited variable of this name stays as it is (`--keep`, `--keep-existing`).
    Inherited,
}

impl InjectionForm {
    /// Returns the word that `--dry-run` prints.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Variable => "variable",
            Self::File => "file",
            Self::Inherited => "kept",
        }
    }
}

/// A selected secret with the name and the form in which it reaches the command.
#[derive(Debug)]
pub(crate) struct PlannedSecret {
    pub(crate) name: String,
    pub(crate) secret: Secret,
    pub(crate) form: InjectionForm,
}

/// The selected secrets sorted by name. Names are unique, and no name or value holds a byte that
/// cannot be injected.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) secrets: Vec<PlannedSecret>,
}

impl Plan {
    /// Lists the secrets for `--dry-run`, one per line: name, folder, type and form, tab-separated or as a
    /// JSON object. It never shows a value.
    pub(crate) fn listing(&self, format: OutputFormat) -> String {
        let mut text = String::new();
        for PlannedSecret { name, secret, form } in &self.secrets {
            text.push_str(&listing_line(name, secret, form.as_str(), format));
        }
        text
    }
}

/// Decides names and forms, and checks everything except the sizes.
///
/// # Errors
/// `environment` for names and values that cannot or must not be injected, and for unresolved
/// references with `--strict`; `not-found` for a `--file` that matches no selected secret, unless
/// `allow_empty` is set.
pub(crate) fn plan(
    secrets: Vec<Secret>,
    inherited: &EnvBlock,
    injection: &InjectionOptions,
    allow_empty: bool,
    log: &dyn Log,
) -> Result<Plan, Error> {
    let mut planned = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let (name, form) = name_and_form(&secret.key, inherited, injection);
        if form != InjectionForm::Inherited {
            check_variable(&name, form, &secret, &injection.allowed_names)?;
        }
        planned.push(PlannedSecret { name, secret, form });
    }
    let nonportable_names: Vec<&str> = planned
        .iter()
        .filter(|planned| planned.form != InjectionForm::Inherited)
        .map(|planned| planned.name.as_str())
        .filter(|name| !names::is_portable(name))
        .collect();
    if !nonportable_names.is_empty() {
        log.log(Event::NonportableNames {
            names: &nonportable_names,
        });
    }
    let is_used = |rule: &FileRule| {
        let mut secrets = planned.iter().map(|planned| &planned.secret);
        secrets.any(|secret| rule.key.matches(&secret.key))
    };
    if let Some(rule) = injection.files.iter().find(|rule| !is_used(rule))
        && !allow_empty
    {
        return Err(Error::FilterSelectsNothing {
            option: "--file",
            value: rule.key.text().to_owned(),
            scope: "the selected secrets".to_owned(),
            existing: planned
                .iter()
                .map(|planned| planned.secret.key.clone())
                .collect(),
        });
    }
    planned.sort_by(|a, b| a.name.cmp(&b.name));
    check_duplicates(&planned)?;
    check_references(&planned, injection.strict, log)?;
    log_differing(&planned, inherited, log);
    Ok(Plan { secrets: planned })
}

/// Returns the variable of a key, and how the secret reaches it.
fn name_and_form(
    key: &str,
    inherited: &EnvBlock,
    injection: &InjectionOptions,
) -> (String, InjectionForm) {
    // If several rules match, the first one decides.
    let rule = injection.files.iter().find(|rule| rule.key.matches(key));
    let variable = rule.and_then(|rule| rule.variable.clone());
    let name = variable.unwrap_or_else(|| [injection.prefix.as_str(), key].concat());
    let form = match rule {
        _ if keeps_inherited(&name, inherited, &injection.keep) => InjectionForm::Inherited,
        Some(_) => InjectionForm::File,
        None => InjectionForm::Variable,
    };
    (name, form)
}

/// Returns whether an inherited variable takes the place of this key's secret.
pub(crate) fn is_kept(key: &str, inherited: &EnvBlock, injection: &InjectionOptions) -> bool {
    name_and_form(key, inherited, injection).1 == InjectionForm::Inherited
}

/// Lists secrets of which some have the same key, as [`Plan::listing`] does. The form of those that are in
/// the way of a start is `ambiguous`. `sorted` is sorted by key.
pub(crate) fn ambiguous_listing(
    sorted: &[Secret],
    inherited: &EnvBlock,
    injection: &InjectionOptions,
    format: OutputFormat,
) -> String {
    let mut text = String::new();
    for same_key in sorted.chunk_by(|one, other| one.key == other.key) {
        for secret in same_key {
            let (name, form) = name_and_form(&secret.key, inherited, injection);
            let form = match (same_key.len(), form) {
                (2.., InjectionForm::Variable | InjectionForm::File) => "ambiguous",
                (_, form) => form.as_str(),
            };
            text.push_str(&listing_line(&name, secret, form, format));
        }
    }
    text
}

/// One line of a listing, with its line break.
fn listing_line(name: &str, secret: &Secret, form: &str, format: OutputFormat) -> String {
    let [name, folder, secret_type] = [name, &secret.folder, &secret.secret_type].map(redact);
    let fields = [
        ("name", name.as_str()),
        ("folder", &folder),
        ("type", &secret_type),
        ("form", form),
    ];
    let line = match format {
        OutputFormat::Text => fields.map(|(_, field)| escape(field)).join("\t"),
        OutputFormat::Json => json_object(&fields),
    };
    format!("{line}\n")
}

/// Returns whether the inherited variable of this name wins over a secret.
fn keeps_inherited(name: &str, inherited: &EnvBlock, keep: &KeepPolicy) -> bool {
    let is_kept = match keep {
        KeepPolicy::Nothing => false,
        KeepPolicy::Matching(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        KeepPolicy::Everything => true,
    };
    is_kept && !name.is_empty() && inherited.get(name).is_some()
}

/// Checks the name and the value of one variable.
fn check_variable(
    name: &str,
    form: InjectionForm,
    secret: &Secret,
    allowed: &[Pattern],
) -> Result<(), Error> {
    if let Some(why) = names::invalid_reason(name) {
        return Err(Error::InvalidName {
            key: secret.key.clone(),
            name: name.to_owned(),
            why,
        });
    }
    if unsafe_names::is_unsafe(name) && !allowed.iter().any(|pattern| pattern.matches(name)) {
        return Err(Error::UnsafeName {
            name: name.to_owned(),
            key: secret.key.clone(),
        });
    }
    if form == InjectionForm::Variable && secret.value.expose().contains(&0) {
        return Err(Error::NulInValue {
            key: secret.key.clone(),
        });
    }
    Ok(())
}

/// Rejects two secrets with the same name, which `--file KEY=VAR` can cause.
fn check_duplicates(sorted: &[PlannedSecret]) -> Result<(), Error> {
    let duplicate = sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .find(|(a, b)| a.name == b.name);
    match duplicate {
        Some((a, b)) => Err(Error::DuplicateVariable {
            name: a.name.clone(),
            keys: [a.secret.key.clone(), b.secret.key.clone()],
        }),
        None => Ok(()),
    }
}

/// Logs which inherited variables get another value from a secret, and which ones keep another value.
fn log_differing(planned: &[PlannedSecret], inherited: &EnvBlock, log: &dyn Log) {
    let differs = |planned: &&PlannedSecret| {
        let is_equal = |value: &OsStr| {
            planned.form != InjectionForm::File && value.as_bytes() == planned.secret.value.expose()
        };
        let value = inherited.get(&planned.name);
        value.is_some_and(|value| !is_equal(value))
    };
    let (kept, replaced): (Vec<&PlannedSecret>, _) = planned
        .iter()
        .filter(differs)
        .partition(|planned| planned.form == InjectionForm::Inherited);
    let names = |planned: Vec<&PlannedSecret>| -> Vec<String> {
        planned.iter().map(|planned| planned.name.clone()).collect()
    };
    let (kept, replaced) = (names(kept), names(replaced));
    if !replaced.is_empty() {
        log.log(Event::VariablesReplaced { names: &replaced });
    }
    if !kept.is_empty() {
        log.log(Event::VariablesKept { names: &kept });
    }
}

/// Reports references that are left in the values: as an error if `strict` is set, or else in the log.
fn check_references(planned: &[PlannedSecret], strict: bool, log: &dyn Log) -> Result<(), Error> {
    let keys: Vec<String> = planned
        .iter()
        .filter(|planned| {
            planned.form != InjectionForm::Inherited
                && (planned.secret.keeps_reference
                    || has_unresolved_reference(planned.secret.value.expose()))
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
