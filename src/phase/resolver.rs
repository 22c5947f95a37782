#![forbid(unsafe_code)]
//! Replaces the references in an end-to-end encrypted app's secrets by their values, because the
//! server cannot do it. `reference` has their syntax.
//!
//! A referenced value is itself resolved, in its own app and environment. Another environment is
//! fetched when the first reference needs it, and only once. A reference that cannot be resolved
//! (it refers to nothing, access is denied, it is part of a cycle, the nesting is too deep) stays
//! as its raw text.
//!
//! Almost any text may be a reference. If its names are unusual, a start must not depend on what it
//! seems to refer to: few environments are fetched for such text, and with few tries.

use std::collections::HashMap;
use std::rc::Rc;

use super::ServerFilter;
use super::app_directory::{App, Environment};
use super::e2ee::{E2eeClient, EncryptedEnvironment};
use super::environment_index::{Coverage, EnvironmentIndex, SharedValues};
use super::reference::{Piece, Reference, has_reference, pieces};
use crate::config::DynamicMode;
use crate::error::Error;
use crate::http::RequestPolicy;
use crate::secret::{Secret, SecretBytes};

/// How many references may be nested in each other.
const MAX_DEPTH: usize = 25;

/// The most bytes of all resolved values together. A depth limit alone does not bound the size:
/// 25 values that each contain the next one twice expand to 2^25 copies of the last.
const MAX_TOTAL_BYTES: usize = 64 << 20;

/// The most references that are followed in total, for the same reason.
const MAX_REFERENCES: usize = 1 << 17;

/// The most environments that are fetched for references with unusual names, which may be any text
/// in braces.
const MAX_UNUSUAL_ENVIRONMENTS: usize = 16;

/// How often such a fetch is tried.
const MAX_UNUSUAL_TRIES: u32 = 2;

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
    /// Whether a reference is left in the current value that names a secret, or may name one.
    keeps_reference: bool,
    /// How many references have been followed.
    followed_references: usize,
    /// The size of the values resolved so far, in bytes.
    total_bytes: usize,
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
            keeps_reference: false,
            followed_references: 0,
            total_bytes: 0,
        })
    }

    /// Replaces each reference in `secrets` by its value. Leased values contain none.
    ///
    /// # Errors
    /// Those of a request for another environment, except for denied access and for references with
    /// unusual names, which are left unresolved; `decrypt` for a referenced value that cannot be
    /// decrypted.
    pub(crate) fn resolve(mut self, mut secrets: Vec<Secret>) -> Result<Vec<Secret>, Error> {
        let refers = |secret: &Secret| {
            secret.dynamic_secret_name.is_none() && has_reference(secret.value.expose())
        };
        if !secrets.iter().any(refers) {
            return Ok(secrets);
        }
        let Some((own_environment, values)) = self.own_environment.take() else {
            return Ok(secrets);
        };
        let index = EnvironmentIndex::new(values);
        index.reuse_decrypted(&secrets);
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
                self.total_bytes += value.expose().len();
                secret.value = value;
                secret.keeps_reference = self.keeps_reference;
            }
            left = postponed;
        }
        Ok(secrets)
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
        let mut out = Vec::new();
        self.expand(
            &secret.value,
            own_environment,
            &mut vec![value_id],
            &mut out,
        )?;
        Ok(SecretBytes::new(out))
    }

    /// Expands `value`, a value of `environment`, into `out`. Returns the index in `trail` of the
    /// outermost value this one forms a cycle with, if any.
    ///
    /// `trail` holds the values that are being expanded, this one last; `None` stands for a personal
    /// override.
    fn expand(
        &mut self,
        value: &SecretBytes,
        environment: EnvironmentPosition,
        trail: &mut Vec<Option<ValueId>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Error> {
        let Ok(text) = str::from_utf8(value.expose()) else {
            out.extend_from_slice(value.expose());
            return Ok(None);
        };
        let mut outermost: Option<usize> = None;
        for piece in pieces(text) {
            let (reference, raw) = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
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
            out.extend_from_slice(raw.as_bytes());
        }
        Ok(outermost)
    }

    /// Expands the value that `reference` refers to into `out`. The last value of `trail` contains
    /// the reference and belongs to `environment`.
    fn expand_reference(
        &mut self,
        reference: Reference<'_>,
        environment: EnvironmentPosition,
        trail: &mut Vec<Option<ValueId>>,
        out: &mut Vec<u8>,
    ) -> Result<Resolution, Error> {
        self.followed_references += 1;
        if trail.len() > MAX_DEPTH
            || self.followed_references > MAX_REFERENCES
            || self.total_bytes + out.len() > MAX_TOTAL_BYTES
        {
            return Ok(Resolution::Unavailable);
        }
        let (value_id, value) = match self.find_referenced_value(reference, environment)? {
            Lookup::Found(found) => found,
            Lookup::Nothing => return Ok(Resolution::NamesNothing),
            Lookup::Unavailable => return Ok(Resolution::Unavailable),
        };
        let seen = |other: &Option<ValueId>| other.as_ref() == Some(&value_id);
        if let Some(index) = trail.iter().position(seen) {
            return Ok(Resolution::Cycle(index));
        }
        let environment = value_id.environment;
        let depth = trail.len();
        trail.push(Some(value_id));
        let outermost = self.expand(&value, environment, trail, out)?;
        trail.pop();
        // A cycle among deeper values does not make this reference unresolvable.
        Ok(match outermost {
            Some(index) if index < depth => Resolution::Cycle(index),
            _ => Resolution::Resolved,
        })
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
        if value.is_none() && self.may_fetch(environment, reference) {
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

    /// Returns whether to fetch all of an environment in which a reference has not been found, and
    /// counts the fetch.
    fn may_fetch(&mut self, environment: EnvironmentPosition, reference: Reference<'_>) -> bool {
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

    /// Finds the environment that a reference means. Full names are compared, in any case.
    fn find_referenced_environment(
        &self,
        reference: Reference<'_>,
        from: EnvironmentPosition,
    ) -> Result<Lookup<EnvironmentPosition>, Error> {
        let apps = self.client.app_directory.apps()?;
        let app = match reference.app {
            Some(name) => find_unique(apps.iter().map(|app| &app.name), name),
            None => Lookup::Found(from.app),
        };
        let app = match app {
            Lookup::Found(app) => app,
            Lookup::Nothing => return Ok(Lookup::Nothing),
            Lookup::Unavailable => return Ok(Lookup::Unavailable),
        };
        let environment = match reference.environment {
            Some(name) => {
                let environments = apps.get(app).and_then(|app| app.environments.as_ref());
                let environments = environments.into_iter().flatten();
                find_unique(environments.map(|environment| &environment.name), name)
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
    /// fetched before. Any other failure is an error only if the reference `is_usual`.
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
        let max_tries = match is_usual {
            true => u32::MAX,
            false => MAX_UNUSUAL_TRIES,
        };
        let policy = RequestPolicy {
            max_tries,
            ..RequestPolicy::DEFAULT
        };
        let skip = DynamicMode::Skip;
        let fetched = self
            .client
            .fetch(app, environment, &no_filter, skip, policy);
        match fetched {
            Ok(fetched) => {
                let index = EnvironmentIndex::new(SharedValues::new(&fetched));
                self.indexes.insert(position, index);
            }
            Err(Error::AccessDenied { .. }) => {
                self.indexes.entry(position).or_default().coverage = Coverage::Denied;
            }
            Err(_) if !is_usual => {
                self.indexes.entry(position).or_default().coverage = Coverage::Failed;
            }
            Err(error) => return Err(error),
        }
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

/// Returns the position of `name`, compared in any case, unless several names match.
fn find_unique<'n>(names: impl Iterator<Item = &'n String>, name: &str) -> Lookup<usize> {
    let name = name.to_lowercase();
    let mut matching = names
        .enumerate()
        .filter(|(_, known)| known.to_lowercase() == name);
    match (matching.next(), matching.next()) {
        (None, _) => Lookup::Nothing,
        (Some((position, _)), None) => Lookup::Found(position),
        (Some(_), Some(_)) => Lookup::Unavailable,
    }
}
