#![forbid(unsafe_code)]
//! The command's variables: what it inherits, what is injected, and the finished block.
//!
//! [`plan`] decides which secret gets which name in which form and makes every check of names and
//! values; [`build_env_block`] puts the block together and holds it against the kernel's limits. Both are
//! pure. Inherited entries pass as bytes, each name stands once, and a secret takes the place of
//! what it replaces (environ(7), execve(2)).

mod digest;
mod inherited;
mod listing;
mod names;
mod plan;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::error::Error;
use crate::process::env_block::{EnvBlock, EnvEntry, ExecLimits};
use crate::secret::Secret;
pub(crate) use inherited::inherited_env;
pub(crate) use plan::{Form, Plan, Planned, plan};

/// How many of the largest secrets a message names.
const NAMED: usize = 5;

/// Room for the path under which the program is found, which stands once more on the new stack, and
/// for the interpreter that a script names: PATH_MAX of linux/limits.h.
const PROGRAM: usize = 4096;

/// Puts the block together: inherited entries in their order, each replaced where a secret has its
/// name, then the other secrets by name. `file_path` creates the file of a secret and returns its path.
///
/// # Errors
/// `environment` if the kernel would refuse the block, and the errors of `file_path`.
pub(crate) fn build_env_block(
    base: EnvBlock,
    plan: Plan,
    mut file_path: impl FnMut(&Secret) -> Result<String, Error>,
    command: &[OsString],
    limits: ExecLimits,
) -> Result<EnvBlock, Error> {
    let mut injected = Vec::with_capacity(plan.secrets.len());
    for Planned { name, secret, form } in plan.secrets {
        let entry = match form {
            Form::Kept => continue,
            Form::File => EnvEntry::new(&name, file_path(&secret)?.as_bytes()),
            Form::Variable => EnvEntry::new(&name, secret.value.expose()),
        };
        let key = secret.key;
        let Some(entry) = entry else {
            return Err(Error::NulInValue { key });
        };
        let size = entry.size();
        injected.push(Injected {
            name,
            key,
            size,
            entry: Some(entry),
        });
    }
    let mut entries = Vec::with_capacity(base.len() + injected.len());
    for entry in base.into_entries() {
        // The plan is sorted by name.
        let place = entry.name().and_then(|name| {
            let by_name = |one: &Injected| one.name.as_bytes().cmp(name);
            injected.binary_search_by(by_name).ok()
        });
        let replacement = place.and_then(|place| injected.get_mut(place)?.entry.take());
        entries.push(replacement.unwrap_or(entry));
    }
    entries.extend(injected.iter_mut().filter_map(|one| one.entry.take()));
    check_sizes(&entries, &injected, command, limits)?;
    Ok(EnvBlock::new(entries))
}

/// A secret on its way into the block.
struct Injected {
    name: String,
    key: String,
    /// Of its entry, in bytes.
    size: usize,
    entry: Option<EnvEntry>,
}

fn check_sizes(
    entries: &[EnvEntry],
    injected: &[Injected],
    command: &[OsString],
    limits: ExecLimits,
) -> Result<(), Error> {
    let largest_of = |fits: &dyn Fn(usize) -> bool| {
        let named = injected.iter().filter(|one| fits(one.size));
        let mut largest: Vec<(String, usize)> =
            named.map(|one| (one.key.clone(), one.size)).collect();
        largest.sort_by(|(key, size), (other_key, other)| {
            other.cmp(size).then_with(|| key.cmp(other_key))
        });
        largest.truncate(NAMED);
        largest
    };
    let limit = limits.string;
    if injected.iter().any(|one| one.size > limit) {
        let largest = largest_of(&|size| size > limit);
        return Err(Error::ValueTooLarge { largest, limit });
    }
    let pointer = size_of::<usize>();
    let words = command.iter().map(|word| word.as_bytes().len() + 1);
    let strings = entries.iter().map(EnvEntry::size).chain(words);
    let total = strings.map(|size| size + pointer).sum::<usize>() + PROGRAM;
    if total > limits.total {
        let (largest, limit) = (largest_of(&|_| true), limits.total);
        return Err(Error::EnvironmentTooLarge {
            largest,
            total,
            limit,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Secret, SecretBytes};

    /// Beside `A=1`, for the command `a bc`.
    fn built(secrets: &[(&str, &str)], limits: ExecLimits) -> Result<EnvBlock, Error> {
        let planned = |(name, value): &(&str, &str)| Planned {
            name: (*name).to_owned(),
            form: Form::Variable,
            secret: Secret {
                key: (*name).to_owned(),
                value: SecretBytes::new(value.as_bytes().to_vec()),
                folder: "/".to_owned(),
                tags: vec![],
                kind: "secret".into(),
                dynamic: None,
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
    fn the_total_is_counted_to_the_byte() {
        // `A=1`, `K=value`, `a` and `bc`: each has a NUL and a pointer.
        let needed = 4 + 8 + 2 + 3 + 4 * size_of::<usize>() + PROGRAM;
        let within = |total| built(&[("K", "value")], ExecLimits { string: 8, total });
        assert!(within(needed).is_ok());
        let Err(Error::EnvironmentTooLarge { total, limit, .. }) = within(needed - 1) else {
            panic!("it was taken");
        };
        assert_eq!((total, limit), (needed, needed - 1));
    }

    #[test]
    fn of_the_strings_those_that_do_not_fit_are_named_the_largest_first() {
        let limits = ExecLimits {
            string: 8,
            total: usize::MAX,
        };
        let secrets = [("FITS", "12"), ("ONE", "1234"), ("TWO", "12345")];
        let Err(Error::ValueTooLarge { largest, .. }) = built(&secrets, limits) else {
            panic!("they were taken");
        };
        assert_eq!(largest, [("TWO".to_owned(), 10), ("ONE".to_owned(), 9)]);
    }
}
