#![forbid(unsafe_code)]
//! The command's environment: what it inherits, what is injected, and the finished block.
//!
//! [`plan`] gives each secret a name and a form, and checks names and values. [`build_env_block`] puts
//! the block together and checks it against the limits of the kernel. Inherited entries are copied byte
//! by byte, each name appears once, and a secret replaces an inherited variable of the same name
//! (environ(7), execve(2)).

mod changes;
mod digest;
mod inherited;
mod names;
mod plan;
mod unsafe_names;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::error::Error;
use crate::process::env_block::{EnvBlock, EnvEntry, ExecLimits};
use crate::secret::Secret;
pub(crate) use changes::ChangeRecord;
pub(crate) use inherited::filter_inherited;
pub(crate) use plan::{InjectionForm, Plan, PlannedSecret, ambiguous_listing, is_kept, plan};

/// The number of keys that an error about sizes lists.
const MAX_LISTED_KEYS: usize = 5;

/// Bytes reserved for the paths of the program and of a script's interpreter, which count towards the
/// limit: `PATH_MAX` of linux/limits.h.
const PROGRAM_PATH_RESERVE: usize = 4096;

/// The size of the pointer to each argument and variable, which counts towards the limit.
const POINTER_SIZE: usize = size_of::<usize>();

/// Builds the block: inherited entries in their order, each replaced if a secret has its name, then
/// the other secrets by name. `file_path` returns the path of a secret's file.
///
/// # Errors
/// `environment` if the kernel would refuse the block, and the errors of `file_path`.
#[expect(clippy::expect_used, reason = "the plan and a path hold no NUL byte")]
pub(crate) fn build_env_block(
    inherited: EnvBlock,
    plan: Plan,
    mut file_path: impl FnMut(&Secret) -> Result<String, Error>,
    command: &[OsString],
    limits: ExecLimits,
) -> Result<EnvBlock, Error> {
    let mut injected = BTreeMap::new();
    let mut sizes = Vec::with_capacity(plan.secrets.len());
    for PlannedSecret { name, secret, form } in plan.secrets {
        let path;
        let value = match form {
            InjectionForm::Inherited => continue,
            InjectionForm::File => {
                path = file_path(&secret)?;
                path.as_bytes()
            }
            InjectionForm::Variable => secret.value.expose(),
        };
        let size = EnvEntry::size_of(&name, value);
        // A larger value is an error below, and there may be no memory for a copy of it.
        if size <= limits.max_string {
            let entry = EnvEntry::new(&name, value);
            let entry = entry.expect("a plan has checked its names and values for NUL bytes");
            injected.insert(name.into_bytes(), entry);
        }
        sizes.push((secret.key, size));
    }
    let mut entries = Vec::with_capacity(inherited.len() + injected.len());
    for entry in inherited.into_entries() {
        let replacement = entry.name().and_then(|name| injected.remove(name));
        entries.push(replacement.unwrap_or(entry));
    }
    entries.extend(injected.into_values());
    check_sizes(&entries, sizes, command, limits)?;
    Ok(EnvBlock::new(entries))
}

/// Checks the block against the limits of the kernel. `sizes` has the key of each injected secret and
/// the size of its entry in bytes.
fn check_sizes(
    entries: &[EnvEntry],
    mut sizes: Vec<(String, usize)>,
    command: &[OsString],
    limits: ExecLimits,
) -> Result<(), Error> {
    sizes.sort_by(|(key, size), (other_key, other)| {
        other.cmp(size).then_with(|| key.cmp(other_key))
    });
    let limit = limits.max_string;
    if sizes.first().is_some_and(|(_, size)| *size > limit) {
        sizes.retain(|(_, size)| *size > limit);
        sizes.truncate(MAX_LISTED_KEYS);
        let largest = sizes;
        return Err(Error::ValueTooLarge { largest, limit });
    }
    let arguments = command.iter().map(|word| word.as_bytes().len() + 1);
    let strings = entries.iter().map(EnvEntry::size).chain(arguments);
    let total = strings.map(|size| size + POINTER_SIZE).sum::<usize>() + PROGRAM_PATH_RESERVE;
    if total > limits.max_total {
        sizes.truncate(MAX_LISTED_KEYS);
        return Err(Error::EnvBlockTooLarge {
            largest: sizes,
            total,
            limit: limits.max_total,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    /// Builds the block of these secrets beside `A=1`, for the command `a bc`.
    fn build(secrets: &[(&str, &str)], limits: ExecLimits) -> Result<EnvBlock, Error> {
        let planned = |(name, value): &(&str, &str)| PlannedSecret {
            name: (*name).to_owned(),
            form: InjectionForm::Variable,
            secret: Secret {
                key: (*name).to_owned(),
                value: SecretBytes::new(value.as_bytes().to_vec()),
                folder: "/".to_owned(),
                tags: vec![],
                secret_type: "secret".into(),
                dynamic_secret_name: None,
                keeps_reference: false,
            },
        };
        let secrets = secrets.iter().map(planned).collect();
        let base = EnvBlock::new(vec![EnvEntry::new("A", b"1").unwrap()]);
        let command = ["a", "bc"].map(OsString::from);
        build_env_block(
            base,
            Plan { secrets },
            |_| Ok(String::new()),
            &command,
            limits,
        )
    }

    #[test]
    fn total_size_is_exact_to_the_byte() {
        // `A=1`, `K=value`, `a` and `bc`, each with a NUL byte and a pointer.
        let needed = 4 + 8 + 2 + 3 + 4 * POINTER_SIZE + PROGRAM_PATH_RESERVE;
        let within = |max_total| {
            let limits = ExecLimits {
                max_string: 8,
                max_total,
            };
            build(&[("K", "value")], limits)
        };
        assert!(within(needed).is_ok());
        let Err(Error::EnvBlockTooLarge { total, limit, .. }) = within(needed - 1) else {
            panic!("the block was accepted");
        };
        assert_eq!((total, limit), (needed, needed - 1));
    }

    #[test]
    fn oversized_values_are_listed_largest_first() {
        let limits = ExecLimits {
            max_string: 8,
            max_total: usize::MAX,
        };
        let secrets = [("FITS", "12"), ("ONE", "1234"), ("TWO", "12345")];
        let Err(Error::ValueTooLarge { largest, .. }) = build(&secrets, limits) else {
            panic!("the block was accepted");
        };
        assert_eq!(largest, [("TWO".to_owned(), 10), ("ONE".to_owned(), 9)]);
    }
}
