#![forbid(unsafe_code)]
//! Selects secrets by folder, tag and pattern, and leaves one secret for each key.
//!
//! No secret wins silently: if a key is in several folders, the order of `--path` decides, and
//! different values of equal precedence are an error that names the folders.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use crate::config::{FolderPattern, Pattern, SelectionOptions};
use crate::error::{Error, FolderRanking, SetBy, Setting, shell_quoted};
use crate::log::{Event, Log};
use crate::secret::Secret;

/// Selects secrets and returns them sorted by key. A key has several of them if it has several values of
/// equal precedence: see [`check_one_per_key`]. `environment_label` is for messages.
///
/// `decrypt_keys` gets the secrets of the selected folders and tags, and `decrypt_values` those that are
/// still there when the keys have been selected. What is not selected may be impossible to decrypt.
///
/// # Errors
/// `not-found` if a filter selects nothing or a required key is missing, and those of the decryption.
pub(crate) fn select<K, V>(
    mut secrets: Vec<Secret<K, V>>,
    options: &SelectionOptions,
    environment_label: &str,
    log: &dyn Log,
    decrypt_keys: impl FnOnce(Vec<Secret<K, V>>) -> Result<Vec<Secret<String, V>>, Error>,
    decrypt_values: impl FnOnce(Vec<Secret<String, V>>) -> Result<Vec<Secret>, Error>,
) -> Result<Vec<Secret>, Error> {
    if secrets.is_empty()
        && options.folders.is_empty()
        && options.tags.is_empty()
        && options.only.is_empty()
    {
        log.log(Event::EnvironmentEmpty { environment_label });
    }
    let allow_empty = options.allow_empty;
    let selects_nothing =
        |option, value: &str, scope, existing: BTreeSet<&String>| Error::FilterSelectsNothing {
            option,
            value: value.to_owned(),
            scope,
            existing: existing.into_iter().cloned().collect(),
        };
    let scope = |folders: &[_], tags: &[String]| search_scope(environment_label, folders, tags);
    retain_matching(
        &mut secrets,
        &options.folders,
        is_in,
        allow_empty,
        |folder, secrets| {
            let folders = secrets.iter().map(|secret| &secret.folder).collect();
            selects_nothing(folder.set_by(), folder.text(), scope(&[], &[]), folders)
        },
    )?;
    let has_tag = |tag: &String, secret: &Secret<K, V>| secret.tags.contains(tag);
    retain_matching(
        &mut secrets,
        &options.tags,
        has_tag,
        allow_empty,
        |tag, secrets| {
            let tags = secrets.iter().flat_map(|secret| &secret.tags).collect();
            selects_nothing("--tags", tag, scope(&options.folders, &[]), tags)
        },
    )?;

    let mut secrets = decrypt_keys(secrets)?;
    let has_key = |pattern: &Pattern, secret: &Secret<String, V>| pattern.matches(&secret.key);
    retain_matching(
        &mut secrets,
        &options.only,
        has_key,
        allow_empty,
        |pattern, secrets| {
            let keys = secrets.iter().map(|secret| &secret.key).collect();
            let scope = scope(&options.folders, &options.tags);
            selects_nothing(pattern.option(), pattern.text(), scope, keys)
        },
    )?;
    secrets.retain(|secret| {
        !options
            .except
            .iter()
            .any(|pattern| has_key(pattern, secret))
    });
    keep_highest_precedence(&mut secrets, &options.folders);
    check_required(&secrets, &options.require)?;
    let mut secrets = decrypt_values(secrets)?;
    drop_equal(&mut secrets);
    Ok(secrets)
}

/// What a filter searches, such as `Production of shop with --path /web`.
fn search_scope(environment_label: &str, folders: &[FolderPattern], tags: &[String]) -> String {
    let mut words = Vec::new();
    if !folders.iter().any(FolderPattern::matches_all) {
        let texts = folders.iter().map(FolderPattern::text);
        match folders.first().map(FolderPattern::set_by) {
            Some(variable @ "PHASE_PATH") => {
                let texts: Vec<&str> = texts.collect();
                words.push(format!("{variable}={}", texts.join(":")));
            }
            Some(option) => {
                words.extend(texts.map(|text| format!("{option} {}", shell_quoted(text))))
            }
            None => {}
        }
    }
    if !tags.is_empty() {
        words.push(format!("--tags {}", shell_quoted(&tags.join(","))));
    }
    match words.is_empty() {
        true => environment_label.to_owned(),
        false => format!("{environment_label} with {}", words.join(" ")),
    }
}

fn is_in<K, V>(folder: &FolderPattern, secret: &Secret<K, V>) -> bool {
    folder.matches(&secret.folder)
}

/// Keeps the secrets that any of the filters matches, or all secrets if there is no filter.
///
/// # Errors
/// Unless `allow_empty` is set, what `selects_nothing` returns for the first filter that matches none of
/// the secrets.
fn retain_matching<F, S>(
    secrets: &mut Vec<S>,
    filters: &[F],
    matches: impl Fn(&F, &S) -> bool,
    allow_empty: bool,
    selects_nothing: impl FnOnce(&F, &[S]) -> Error,
) -> Result<(), Error> {
    let matches_none = |filter: &&F| !secrets.iter().any(|secret| matches(filter, secret));
    if !allow_empty && let Some(filter) = filters.iter().find(matches_none) {
        return Err(selects_nothing(filter, secrets));
    }
    secrets.retain(|secret| {
        filters.is_empty() || filters.iter().any(|filter| matches(filter, secret))
    });
    Ok(())
}

fn check_required<V>(selected: &[Secret<String, V>], required: &[String]) -> Result<(), Error> {
    let is_missing = |key: &&String| !selected.iter().any(|secret| secret.key == **key);
    let missing: Vec<String> = required.iter().filter(is_missing).cloned().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::RequiredKeyMissing {
            keys: missing,
            selected: selected.iter().map(|secret| secret.key.clone()).collect(),
        }),
    }
}

/// Sorts by key, and keeps those secrets of each key that have the highest precedence: they are in the
/// folder of the last `--path` that matches. Without `--path`, all secrets have equal precedence.
fn keep_highest_precedence<V>(secrets: &mut Vec<Secret<String, V>>, folders: &[FolderPattern]) {
    let precedence = |secret: &Secret<String, V>| {
        let matches = |folder: &FolderPattern| is_in(folder, secret);
        folders.iter().rposition(matches)
    };
    secrets.sort_by(|a, b| {
        a.key
            .cmp(&b.key)
            .then_with(|| precedence(b).cmp(&precedence(a)))
    });
    secrets
        .dedup_by(|secret, best| secret.key == best.key && precedence(secret) < precedence(best));
}

/// Drops secrets that have the key and the value of another one. The work is linear: thousands of folders
/// can have the same key.
fn drop_equal(secrets: &mut Vec<Secret>) {
    let hasher = RandomState::new();
    let mut kept: Vec<Secret> = Vec::with_capacity(secrets.len());
    let mut positions = HashMap::new();
    for secret in secrets.drain(..) {
        let hash = hasher.hash_one((&secret.key, secret.value.expose()));
        let same_hash = positions.get(&hash).and_then(|at: &usize| kept.get(*at));
        let is_equal =
            |other: &Secret| other.key == secret.key && other.value.equals(&secret.value);
        if !same_hash.is_some_and(is_equal) {
            positions.insert(hash, kept.len());
            kept.push(secret);
        }
    }
    *secrets = kept;
}

/// Checks that no key has several values. It does not matter for a key that `is_kept`: the command gets
/// the variable that it has already. `sorted` is sorted by key.
///
/// # Errors
/// `ambiguous` for the first key with several values of equal precedence.
pub(crate) fn check_one_per_key(
    sorted: &[Secret],
    folders: &[FolderPattern],
    is_kept: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    for same_key in sorted.chunk_by(|one, other| one.key == other.key) {
        let [first, _, ..] = same_key else { continue };
        if is_kept(&first.key) {
            continue;
        }
        let key = first.key.clone();
        let found: BTreeSet<&String> = same_key.iter().map(|secret| &secret.folder).collect();
        let found: Vec<String> = found.into_iter().cloned().collect();
        return Err(match found.as_slice() {
            [folder] => Error::DuplicateKey {
                key,
                folder: folder.clone(),
            },
            _ => Error::AmbiguousKey {
                key,
                ranking: Box::new(rank(&found, folders)),
                folders: found,
            },
        });
    }
    Ok(())
}

/// Ranks the folders so that one of `found` takes precedence, and keeps the order of the user's `paths`
/// as far as possible. All of `found` have the same rank now.
fn rank(found: &[String], paths: &[FolderPattern]) -> FolderRanking {
    let last_match = |paths: &[FolderPattern], folder: &String| {
        paths.iter().rposition(|path| path.matches(folder))
    };
    // The path that decides now, which matches all of `found`.
    let deciding = found.first().and_then(|folder| last_match(paths, folder));
    let (before, from_deciding) = paths.split_at(deciding.unwrap_or_default());
    let (deciding, after) = match from_deciding.split_first() {
        Some((deciding, after)) => (deciding.text(), after),
        None => ("", from_deciding),
    };
    let mut order: Vec<&str> = before.iter().map(FolderPattern::text).collect();
    order.retain(|path| *path != deciding);
    // Those before it would decide if it came first.
    let highest = found.iter().map(|folder| last_match(before, folder)).max();
    let mut preferred = found
        .iter()
        .filter(|folder| Some(last_match(before, folder)) == highest);
    let winner = preferred.next().map_or("", String::as_str);
    if highest.flatten().is_some() && preferred.next().is_none() {
        order.insert(0, deciding);
    } else {
        order.extend([deciding, winner]);
    }
    order.extend(after.iter().map(FolderPattern::text));
    FolderRanking {
        winner: winner.to_owned(),
        paths: Setting {
            value: order.into_iter().map(str::to_owned).collect(),
            set_by: match paths.first().map(FolderPattern::set_by) {
                Some(variable @ "PHASE_PATH") => SetBy::Variable(variable),
                // A container takes variables more easily than options.
                None if std::process::id() == 1 => SetBy::Variable("PHASE_PATH"),
                _ => SetBy::Option("--path"),
            },
        },
        is_new: paths.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    const IGNORE: fn(Event<'_>) = |_| ();

    /// Parses lines of `folder key value tags`.
    fn secrets(table: &[&str]) -> Vec<Secret> {
        let secret = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let word = |n: usize| words.get(n).copied().unwrap_or_default();
            Secret {
                folder: word(0).to_owned(),
                key: word(1).to_owned(),
                value: SecretBytes::new(word(2).as_bytes().to_vec()),
                tags: word(3)
                    .split(',')
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
                secret_type: "secret".into(),
                dynamic_secret_name: None,
                keeps_reference: false,
            }
        };
        table.iter().map(secret).collect()
    }

    /// Parses a command line such as `--path a --only b`.
    fn options(line: &str) -> SelectionOptions {
        let mut options = SelectionOptions::default();
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        for pair in words.chunks(2) {
            let value = pair.get(1).copied().unwrap_or_default();
            match pair[0] {
                "--path" => options.folders.push(FolderPattern::parse(value, "--path")),
                "--tags" => options.tags = value.split(',').map(str::to_owned).collect(),
                "--only" => options.only.push(Pattern::parse(value, "--only").unwrap()),
                "--except" => options
                    .except
                    .push(Pattern::parse(value, "--except").unwrap()),
                "--require" => options.require.push(value.to_owned()),
                "--allow-empty" => options.allow_empty = true,
                other => panic!("{other}"),
            }
        }
        options
    }

    const SHOP: [&str; 7] = [
        "/ DB one net",
        "/ LOG json billing,logging",
        "/backend PORT 9000 net",
        "/web PORT 8080",
        "/backend/db URL x",
        "/Backend CASE y",
        "/web SAME 1",
    ];

    #[test]
    fn filters_select_expected_secrets() {
        for (line, expected) in [
            ("--path /backend", "PORT=9000"),
            ("--path backend//", "PORT=9000"),
            ("--path /backend/**", "PORT=9000 URL=x"),
            ("--path /", "DB=one LOG=json"),
            ("--path / --path /web", "DB=one LOG=json PORT=8080 SAME=1"),
            ("--path /web --path /backend", "PORT=9000 SAME=1"),
            ("--path /backend --path /web", "PORT=8080 SAME=1"),
            (
                "--path /** --path /web",
                "CASE=y DB=one LOG=json PORT=8080 SAME=1 URL=x",
            ),
            ("--tags net --path /backend", "PORT=9000"),
            ("--tags billing,logging", "LOG=json"),
            ("--except PORT", "CASE=y DB=one LOG=json SAME=1 URL=x"),
            ("--only D* --only URL", "DB=one URL=x"),
            ("--only D* --except DB", ""),
            ("--only D* --require DB", "DB=one"),
            ("--path /nope --allow-empty", ""),
            ("", "PORT has different values in /backend and /web"),
            (
                "--path /**",
                "PORT has different values in /backend and /web",
            ),
            (
                "--path /nope",
                "--path /nope matches nothing in shop; its folders are /, /Backend, /backend, /backend/db, /web",
            ),
            (
                "--path / --path /nope",
                "--path /nope matches nothing in shop; its folders are /, /Backend, /backend, /backend/db, /web",
            ),
            (
                "--path /BACKEND",
                "--path /BACKEND matches nothing in shop; its folders are /, /Backend, /backend, /backend/db, /web",
            ),
            (
                "--tags Net",
                "--tags Net matches nothing in shop; its tags are billing, logging, net",
            ),
            (
                "--tags net,nope",
                "--tags nope matches nothing in shop; its tags are billing, logging, net",
            ),
            ("--only X*", "--only X* matches nothing in shop"),
            (
                "--only D* --require A --require DB --require B",
                "required secrets are not selected: A, B",
            ),
        ] {
            let options = options(line);
            let outcome = select(secrets(&SHOP), &options, "shop", &IGNORE, Ok, Ok);
            let outcome = outcome.and_then(|selected| {
                check_one_per_key(&selected, &options.folders, |_| false).map(|()| selected)
            });
            let outcome = match outcome {
                Ok(selected) => {
                    let mut pairs: Vec<String> = selected
                        .iter()
                        .map(|secret| {
                            format!(
                                "{}={}",
                                secret.key,
                                std::str::from_utf8(secret.value.expose()).unwrap()
                            )
                        })
                        .collect();
                    pairs.sort();
                    pairs.join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(outcome, expected, "{line}");
        }
    }

    #[test]
    fn many_values_of_one_key_take_linear_work() {
        let secret = |number: usize| Secret {
            folder: format!("/{number}"),
            value: SecretBytes::new(format!("{}{number:05}", "v".repeat(3000)).into_bytes()),
            ..secrets(&["/ KEY value"]).remove(0)
        };
        // Comparing each value with each other one would take minutes.
        let mut many: Vec<Secret> = (0..20_000).map(secret).collect();
        many.extend((0..20_000).map(secret));
        drop_equal(&mut many);
        assert_eq!(many.len(), 20_000);
        let folders = many.iter().map(|secret| secret.folder.as_str());
        assert!(folders.eq((0..20_000).map(|number| format!("/{number}"))));
    }

    #[test]
    fn same_value_in_two_folders_is_one_secret() {
        let selected = select(
            secrets(&["/a K v", "/b K v"]),
            &SelectionOptions::default(),
            "shop",
            &IGNORE,
            Ok,
            Ok,
        )
        .unwrap();
        assert_eq!(selected.len(), 1);
    }
}
