#![forbid(unsafe_code)]
//! Replaces the references in an end-to-end encrypted app's secrets by their values, because the
//! server cannot do it. `reference` has their syntax.
//!
//! A referenced value is itself resolved, in its own app and environment. Another environment is
//! fetched when the first reference needs it, and only once. A reference that cannot be resolved
//! (it refers to nothing, access is denied, it is part of a cycle, the nesting is too deep) stays
//! as its raw text.
//!
//! Almost any text may be a reference. If its names are unusual, few environments are fetched for it, and
//! a start does not depend on whether they can be decrypted. An outage fails the start all the same:
//! raw text in place of a value would end up in the snapshot.

use std::cell::Cell;
use std::collections::{HashMap, TryReserveError};
use std::rc::Rc;

use super::app_directory::{App, Environment};
use super::e2ee::{E2eeClient, EncryptedEnvironment, MAX_ENCRYPTED_SECRETS};
use super::environment_index::{Coverage, EnvironmentIndex, SharedValues};
use super::reference::{Piece, Reference, has_reference, pieces};
use super::{ServerFilter, environment_label};
use crate::config::DynamicMode;
use crate::error::Error;
use crate::http::{BodyLimit, RequestPolicy};
use crate::log::Event;
use crate::secret::{Secret, SecretBytes};

/// How many references may be nested in each other.
const MAX_DEPTH: usize = 25;

/// The most bytes of all values that are expanded, each counted as often as it is expanded, also where
/// the result is not used. So it bounds the work, and the size of all resolved values together. A depth
/// limit alone does not: 25 values that each contain the next one twice expand to 2^25 copies of the
/// last.
const MAX_EXPANDED_BYTES: usize = 64 << 20;

/// The most references that are followed in total, for the same reason.
const MAX_REFERENCES: usize = 1 << 17;

/// The least by which the buffer of a resolved value grows, in bytes.
const MIN_GROWTH: usize = 4 << 10;

/// The most environments that are fetched for references with unusual names, which may be any text
/// in braces.
const MAX_UNUSUAL_ENVIRONMENTS: usize = 16;

/// Resolves the references in the secrets of one environment.
pub(crate) struct ReferenceResolver<'a> {
    client: E2eeClient<'a>,
    /// The environment of the secrets and its shared values; `None` if the token cannot read it.
    own_environment: Option<(EnvironmentPosition, SharedValues)>,
    /// The environments that references have needed so far.
    indexes: HashMap<EnvironmentPosition, EnvironmentIndex>,
    /// How many environments have been fetched for references with unusual names.
    unusual_environments: usize,
    /// Whether the current value needs more than [`MAX_UNUSUAL_ENVIRONMENTS`].
    reached_unusual_limit: bool,
    /// Why an environment could not be fetched that the next start may find. Only set for references with
    /// unusual names.
    unfetched_reason: Option<String>,
    /// Whether a reference is left in the current value that names a secret, or may name one.
    keeps_reference: bool,
    /// How many references have been followed.
    followed_references: usize,
    /// The size of the values that have been expanded so far, in bytes.
    expanded_bytes: usize,
    /// How many bytes the responses of further environments may have.
    response_bytes_left: usize,
    /// How many secrets further environments may have, because decrypting a key takes time.
    secrets_left: usize,
    /// The names of all apps in lower case, each with those of its environments; empty until a reference
    /// names one.
    lowercase_names: Vec<(String, Vec<String>)>,
}

/// Secrets whose references have been resolved, as far as they can be.
pub(crate) struct Resolved {
    pub(crate) secrets: Vec<Secret>,
    /// Why some references are left that the next start may resolve.
    pub(crate) unfetched_reason: Option<String>,
}

/// The values that are being expanded, and what is known about others.
struct Trail {
    /// The innermost value last; `None` stands for a personal override.
    values: Vec<Option<ValueId>>,
    /// For each value in `values`, those that form a cycle with it. Their `cyclic_with` is its index.
    members: Vec<Vec<ValueId>>,
}

/// Identifies an environment by its position in what the token can read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct EnvironmentPosition {
    app: usize,
    environment: usize,
}

/// Identifies a shared value.
#[derive(PartialEq, Eq)]
struct ValueId {
    environment: EnvironmentPosition,
    folder: String,
    key: String,
}

/// The result of following a reference.
enum Resolution {
    /// The value has been written.
    Resolved,
    /// It refers to nothing.
    NamesNothing,
    /// What it refers to is ambiguous or cannot be fetched, or it exceeds a limit.
    Unavailable,
    /// It is part of a cycle with the value at this index in the trail.
    Cycle(usize),
}

/// The result of looking for what a name means.
enum Lookup<T> {
    Found(T),
    Nothing,
    /// There are several, or it is unknown whether there is one.
    Unavailable,
}

impl<'a> ReferenceResolver<'a> {
    /// Prepares the resolution of references in the secrets of `fetched`.
    ///
    /// # Errors
    /// Those of the request for what the token can read.
    pub(super) fn new(
        client: E2eeClient<'a>,
        app: &App,
        environment: &Environment,
        fetched: &EncryptedEnvironment,
    ) -> Result<Self, Error> {
        let apps = client.app_directory.apps()?;
        let own_environment = EnvironmentPosition::find(apps, app, environment);
        Ok(Self {
            own_environment: own_environment.map(|own| (own, SharedValues::new(fetched))),
            client,
            indexes: HashMap::new(),
            unusual_environments: 0,
            reached_unusual_limit: false,
            unfetched_reason: None,
            keeps_reference: false,
            followed_references: 0,
            expanded_bytes: 0,
            response_bytes_left: BodyLimit::DEFAULT.bytes.saturating_sub(fetched.body_bytes),
            secrets_left: MAX_ENCRYPTED_SECRETS.saturating_sub(fetched.secrets.len()),
            lowercase_names: vec![],
        })
    }

    /// Replaces each reference in `secrets` by its value. Leased values contain none. A key for which
    /// `is_used` is false has no value here.
    ///
    /// # Errors
    /// Those of a request for another environment, except for denied access; `decrypt` for a referenced
    /// value that cannot be decrypted. Only an outage or a rejected token is an error for a reference with
    /// unusual names.
    pub(crate) fn resolve(
        mut self,
        mut secrets: Vec<Secret>,
        is_used: impl Fn(&str) -> bool,
    ) -> Result<Resolved, Error> {
        let refers = |secret: &Secret| {
            secret.dynamic_secret_name.is_none() && has_reference(secret.value.expose())
        };
        let own_environment = self.own_environment.take();
        let own_environment = own_environment.filter(|_| secrets.iter().any(refers));
        let Some((own_environment, values)) = own_environment else {
            let unfetched_reason = None;
            return Ok(Resolved {
                secrets,
                unfetched_reason,
            });
        };
        let mut index = EnvironmentIndex::new(values);
        index.reuse_decrypted(secrets.iter().filter(|secret| is_used(&secret.key)));
        self.indexes.insert(own_environment, index);
        // After the first pass, the usual references have fetched all environments that they need. A
        // value that needs one beyond the limit may then find it.
        let mut left: Vec<&mut Secret> = secrets.iter_mut().filter(|s| refers(s)).collect();
        for is_last_pass in [false, true] {
            let mut postponed = Vec::new();
            for secret in left {
                (self.keeps_reference, self.reached_unusual_limit) = (false, false);
                let value = self.resolve_value(secret, own_environment)?;
                if self.reached_unusual_limit && !is_last_pass {
                    postponed.push(secret);
                    continue;
                }
                secret.value = value;
                secret.keeps_reference = self.keeps_reference;
            }
            left = postponed;
        }
        let unfetched_reason = self.unfetched_reason;
        Ok(Resolved {
            secrets,
            unfetched_reason,
        })
    }

    fn resolve_value(
        &mut self,
        secret: &Secret,
        own_environment: EnvironmentPosition,
    ) -> Result<SecretBytes, Error> {
        // No reference resolves to a personal override, so the override may itself refer to the
        // shared value of the same key.
        let index = self.indexes.get(&own_environment);
        let indexed = index.and_then(|index| index.find(&secret.folder, &secret.key));
        let is_shared = indexed.is_some_and(|value| !value.is_overridden);
        let value_id = is_shared.then(|| ValueId {
            environment: own_environment,
            folder: secret.folder.clone(),
            key: secret.key.clone(),
        });
        self.expanded_bytes += secret.value.expose().len();
        let mut out = Vec::new();
        let mut trail = Trail {
            values: vec![value_id],
            members: vec![vec![]],
        };
        self.expand(&secret.value, own_environment, &mut trail, &mut out)?;
        self.pop(&mut trail, None);
        Ok(SecretBytes::new(out))
    }

    /// Expands `value`, a value of `environment` and the last one of `trail`, into `out`. Returns the
    /// index in `trail` of the outermost value this one forms a cycle with, if any.
    fn expand(
        &mut self,
        value: &SecretBytes,
        environment: EnvironmentPosition,
        trail: &mut Trail,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Error> {
        let Ok(text) = str::from_utf8(value.expose()) else {
            append(out, value.expose()).map_err(|_| self.out_of_memory())?;
            return Ok(None);
        };
        let mut outermost: Option<usize> = None;
        for piece in pieces(text) {
            let (reference, raw) = match piece {
                Piece::Text(text) => {
                    append(out, text.as_bytes()).map_err(|_| self.out_of_memory())?;
                    continue;
                }
                Piece::Reference(reference, raw) => (reference, raw),
            };
            let start = out.len();
            let resolution = self.expand_reference(reference, environment, trail, out)?;
            match resolution {
                Resolution::Resolved => continue,
                Resolution::NamesNothing => {}
                Resolution::Unavailable => self.keeps_reference = true,
                Resolution::Cycle(index) => {
                    self.keeps_reference = true;
                    outermost = Some(outermost.map_or(index, |other| other.min(index)));
                }
            }
            out.truncate(start);
            append(out, raw.as_bytes()).map_err(|_| self.out_of_memory())?;
        }
        Ok(outermost)
    }

    /// Expands the value that `reference` refers to into `out`. The last value of `trail` contains
    /// the reference and belongs to `environment`.
    fn expand_reference(
        &mut self,
        reference: Reference<'_>,
        environment: EnvironmentPosition,
        trail: &mut Trail,
        out: &mut Vec<u8>,
    ) -> Result<Resolution, Error> {
        if trail.values.len() > MAX_DEPTH
            || self.followed_references >= MAX_REFERENCES
            || self.expanded_bytes > MAX_EXPANDED_BYTES
        {
            return Ok(Resolution::Unavailable);
        }
        self.followed_references += 1;
        let (value_id, value) = match self.find_referenced_value(reference, environment)? {
            Lookup::Found(found) => found,
            Lookup::Nothing => return Ok(Resolution::NamesNothing),
            Lookup::Unavailable => return Ok(Resolution::Unavailable),
        };
        let seen = |other: &Option<ValueId>| other.as_ref() == Some(&value_id);
        let in_trail = trail.values.iter().position(seen);
        // Expanding a value again whose cycle is known would give the same result.
        if let Some(index) = in_trail.or_else(|| self.cyclic_with(&value_id)?.get()) {
            return Ok(Resolution::Cycle(index));
        }
        let expanded_bytes = self.expanded_bytes + value.expose().len();
        if expanded_bytes > MAX_EXPANDED_BYTES {
            return Ok(Resolution::Unavailable);
        }
        self.expanded_bytes = expanded_bytes;
        let environment = value_id.environment;
        let depth = trail.values.len();
        trail.values.push(Some(value_id));
        trail.members.push(vec![]);
        let outermost = self.expand(&value, environment, trail, out)?;
        // A cycle among deeper values does not make this reference unresolvable.
        let outermost = outermost.filter(|index| *index < depth);
        self.pop(trail, outermost);
        Ok(outermost.map_or(Resolution::Resolved, Resolution::Cycle))
    }

    /// Removes the innermost value of the trail. If it forms a cycle with the value at index `outermost`,
    /// then so do all that form a cycle with it. Otherwise nothing is known about those any more.
    fn pop(&self, trail: &mut Trail, outermost: Option<usize>) {
        let mut members = trail.members.pop().unwrap_or_default();
        let removed = trail.values.pop().flatten();
        members.extend(removed.filter(|_| outermost.is_some()));
        for value_id in &members {
            if let Some(cyclic_with) = self.cyclic_with(value_id) {
                cyclic_with.set(outermost);
            }
        }
        if let Some(of_outermost) = outermost.and_then(|index| trail.members.get_mut(index)) {
            of_outermost.append(&mut members);
        }
    }

    /// Where a value stores the index in the trail of a value that it forms a cycle with.
    fn cyclic_with(&self, value_id: &ValueId) -> Option<&Cell<Option<usize>>> {
        let index = self.indexes.get(&value_id.environment)?;
        Some(&index.find(&value_id.folder, &value_id.key)?.cyclic_with)
    }

    fn out_of_memory(&self) -> Error {
        Error::UnexpectedResponse {
            host: self.client.app_directory.client.host().name().to_owned(),
            why: "not enough memory for the values of its references".to_owned(),
            hint: None,
        }
    }

    /// Finds the value that a reference in a value of `from` refers to. Fetches its environment if
    /// that may contain it and has not been fetched completely.
    fn find_referenced_value(
        &mut self,
        reference: Reference<'_>,
        from: EnvironmentPosition,
    ) -> Result<Lookup<(ValueId, Rc<SecretBytes>)>, Error> {
        let environment = match self.find_referenced_environment(reference, from)? {
            Lookup::Found(environment) => environment,
            Lookup::Nothing => return Ok(Lookup::Nothing),
            Lookup::Unavailable => return Ok(Lookup::Unavailable),
        };
        let (folder, key) = (reference.folder(), reference.key().to_owned());
        let mut value = self.find_value(environment, &folder, &key)?;
        if value.is_none() && self.claim_fetch(environment, reference) {
            self.fetch_all(environment, reference.has_usual_names())?;
            value = self.find_value(environment, &folder, &key)?;
        }
        let Some(value) = value else {
            let index = self.indexes.get(&environment);
            let is_absent = index.is_some_and(|index| {
                index.coverage == Coverage::Complete && index.find(&folder, &key).is_none()
            });
            return Ok(match is_absent {
                true => Lookup::Nothing,
                false => Lookup::Unavailable,
            });
        };
        let value_id = ValueId {
            environment,
            folder,
            key,
        };
        Ok(Lookup::Found((value_id, value)))
    }

    /// Finds a value in what has been fetched of an environment, and decrypts it.
    fn find_value(
        &self,
        environment: EnvironmentPosition,
        folder: &str,
        key: &str,
    ) -> Result<Option<Rc<SecretBytes>>, Error> {
        let index = self.indexes.get(&environment);
        let value = index.and_then(|index| index.find(folder, key));
        let value = value.filter(|value| !value.is_duplicate);
        value.map(|value| value.decrypt(key)).transpose()
    }

    /// Claims the fetch of all of an environment in which a reference has not been found: returns whether
    /// it is allowed, and counts it if the number of such fetches is limited.
    fn claim_fetch(&mut self, environment: EnvironmentPosition, reference: Reference<'_>) -> bool {
        let is_usual = reference.has_usual_names();
        match self.indexes.get(&environment).map(|index| index.coverage) {
            Some(Coverage::Complete | Coverage::Denied) => false,
            Some(Coverage::Filtered) => true,
            Some(Coverage::Failed) | None if is_usual => true,
            Some(Coverage::Failed) => false,
            None if self.unusual_environments < MAX_UNUSUAL_ENVIRONMENTS => {
                self.unusual_environments += 1;
                true
            }
            None => {
                self.reached_unusual_limit = true;
                false
            }
        }
    }

    /// Finds the environment that a reference means. Full names are compared case-insensitively.
    fn find_referenced_environment(
        &mut self,
        reference: Reference<'_>,
        from: EnvironmentPosition,
    ) -> Result<Lookup<EnvironmentPosition>, Error> {
        if self.lowercase_names.is_empty() {
            let names_of = |app: &App| {
                let environments = app.environments.iter().flatten();
                let environments = environments.map(|environment| environment.name.to_lowercase());
                (app.name.to_lowercase(), environments.collect())
            };
            let apps = self.client.app_directory.apps()?;
            self.lowercase_names = apps.iter().map(names_of).collect();
        }
        let app = match reference.app {
            Some(name) => {
                self.expanded_bytes += comparison_cost(self.lowercase_names.len(), name);
                find_unique(self.lowercase_names.iter().map(|(app, _)| app), name)
            }
            None => Lookup::Found(from.app),
        };
        let app = match app {
            Lookup::Found(app) => app,
            Lookup::Nothing => return Ok(Lookup::Nothing),
            Lookup::Unavailable => return Ok(Lookup::Unavailable),
        };
        let environment = match reference.environment {
            Some(name) => {
                let environments = self.lowercase_names.get(app);
                let environments = environments.map_or(&[][..], |(_, environments)| environments);
                self.expanded_bytes += comparison_cost(environments.len(), name);
                find_unique(environments.iter(), name)
            }
            None if reference.app.is_none() => Lookup::Found(from.environment),
            // A reference to another app has to name the environment.
            None => Lookup::Nothing,
        };
        Ok(match environment {
            Lookup::Found(environment) => Lookup::Found(EnvironmentPosition { app, environment }),
            Lookup::Nothing => Lookup::Nothing,
            Lookup::Unavailable => Lookup::Unavailable,
        })
    }

    /// Fetches all secrets of an environment. Without access to it, nothing is added to what has been
    /// fetched before, and a warning says why. If the reference is not `is_usual`, the same goes for an
    /// environment that cannot be decrypted and for a response that is not from Phase.
    #[expect(
        clippy::expect_used,
        reason = "an `EnvironmentPosition` is only made from this list"
    )]
    fn fetch_all(&mut self, position: EnvironmentPosition, is_usual: bool) -> Result<(), Error> {
        let app = self.client.app_directory.apps()?.get(position.app);
        let app = app.expect("the app exists at this position");
        let environments = app.environments.as_ref();
        let environment = environments
            .and_then(|environments| environments.get(position.environment))
            .expect("the environment exists at this position");
        let no_filter = ServerFilter::default();
        let policy = RequestPolicy {
            body_limit: BodyLimit {
                bytes: self.response_bytes_left,
                explanation: ", which is what is left of 64 MiB for the environment and all others \
                              that its references need",
            },
            ..RequestPolicy::DEFAULT
        };
        let skip = DynamicMode::Skip;
        let fetched = self.client.fetch(
            app,
            environment,
            &no_filter,
            skip,
            policy,
            self.secrets_left,
        );
        let error = match fetched {
            Ok(fetched) => {
                self.secrets_left = self.secrets_left.saturating_sub(fetched.secrets.len());
                let left = self.response_bytes_left;
                self.response_bytes_left = left.saturating_sub(fetched.body_bytes);
                let index = EnvironmentIndex::new(SharedValues::new(&fetched));
                self.indexes.insert(position, index);
                return Ok(());
            }
            Err(error) => error,
        };
        let mut why = error.to_string();
        let coverage = match error {
            Error::AccessDenied { message, .. } => {
                why = message;
                Coverage::Denied
            }
            Error::DecryptionFailed { .. } if !is_usual => Coverage::Failed,
            Error::UnexpectedResponse { .. } | Error::ServerFailed { status: 400, .. }
                if !is_usual =>
            {
                // Receiving and parsing it may have taken as long as all other responses.
                self.unusual_environments = MAX_UNUSUAL_ENVIRONMENTS;
                self.unfetched_reason = Some(why.clone());
                Coverage::Failed
            }
            error => return Err(error),
        };
        self.client
            .app_directory
            .client
            .log()
            .log(Event::ReferencesUnavailable {
                environment_label: &environment_label(&environment.name, app),
                why: &why,
            });
        self.indexes.entry(position).or_default().coverage = coverage;
        Ok(())
    }
}

impl EnvironmentPosition {
    /// Finds the first environment of this name in an app with this ID. The server may list several
    /// apps with one ID.
    fn find(apps: &[App], app: &App, environment: &Environment) -> Option<Self> {
        let has_same_id = |(_, known): &(usize, &App)| known.id == app.id;
        let mut with_same_id = apps.iter().enumerate().filter(has_same_id);
        with_same_id.find_map(|(position, known)| {
            let mut environments = known.environments.iter().flatten();
            Some(Self {
                app: position,
                environment: environments.position(|known| known.name == environment.name)?,
            })
        })
    }
}

/// What it costs to compare a name with many others, in bytes that could be expanded in that time.
fn comparison_cost(others: usize, name: &str) -> usize {
    const COMPARED_BYTES: usize = 32;
    others * (1 + name.len() / COMPARED_BYTES)
}

/// Returns the position of `name` in lower case among `names`, unless several match.
fn find_unique<'n>(names: impl Iterator<Item = &'n String>, name: &str) -> Lookup<usize> {
    let name = name.to_lowercase();
    let mut matching = names.enumerate().filter(|(_, known)| **known == name);
    match (matching.next(), matching.next()) {
        (None, _) => Lookup::Nothing,
        (Some((position, _)), None) => Lookup::Found(position),
        (Some(_), Some(_)) => Lookup::Unavailable,
    }
}

/// Appends to a value that is being resolved. The buffer grows by a quarter instead of doubling, because
/// a value can be large.
fn append(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TryReserveError> {
    if out.capacity() - out.len() < bytes.len() {
        let additional = bytes.len().max(out.len() / 4).max(MIN_GROWTH);
        out.try_reserve_exact(additional)?;
    }
    out.extend_from_slice(bytes);
    Ok(())
}
