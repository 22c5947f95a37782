#![forbid(unsafe_code)]
//! Replaces the references in an end-to-end encrypted app's secrets by their values, because the
//! server cannot do it. `reference` has their syntax.
//!
//! A referenced value is itself resolved, in its own app and environment. Another environment is
//! fetched when the first reference needs it, and only once. A reference that cannot be resolved
//! (it refers to nothing, access is denied, it is part of a cycle, the nesting is too deep) stays
//! as its raw text.

use std::collections::HashMap;
use std::rc::Rc;

use super::ServerFilter;
use super::app_directory::{App, Environment};
use super::e2ee::{E2eeClient, EncryptedEnvironment};
use super::environment_index::{EnvironmentIndex, SharedValues};
use super::reference::{Piece, Reference, has_reference, pieces};
use crate::config::DynamicMode;
use crate::error::Error;
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

/// Resolves the references in the secrets of one environment.
pub(crate) struct ReferenceResolver<'a> {
    client: E2eeClient<'a>,
    /// The environment of the secrets and its shared values; `None` if the token cannot read it.
    own_environment: Option<(EnvironmentPosition, SharedValues)>,
    /// The environments that references have needed so far.
    indexes: HashMap<EnvironmentPosition, EnvironmentIndex>,
    /// How many environments have been fetched for references with unusual names.
    unusual_environments: usize,
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
    /// It refers to nothing, or exceeds a limit.
    Unresolvable,
    /// It is part of a cycle with the value at this index in the trail.
    Cycle(usize),
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
            followed_references: 0,
            total_bytes: 0,
        })
    }

    /// Replaces each reference in `secrets` by its value. Leased values contain none.
    ///
    /// # Errors
    /// Those of a request for another environment, except for denied access, which leaves the
    /// reference unresolved; `decrypt` for a referenced value that cannot be decrypted.
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
        for secret in secrets.iter_mut().filter(|secret| refers(secret)) {
            secret.value = self.resolve_value(secret, own_environment)?;
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
        self.total_bytes += out.len();
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
            if let Resolution::Cycle(index) = resolution {
                outermost = Some(outermost.map_or(index, |other| other.min(index)));
            }
            if !matches!(resolution, Resolution::Resolved) {
                out.truncate(start);
                out.extend_from_slice(raw.as_bytes());
            }
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
            return Ok(Resolution::Unresolvable);
        }
        let Some((value_id, value)) = self.find_referenced_value(reference, environment)? else {
            return Ok(Resolution::Unresolvable);
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
    ) -> Result<Option<(ValueId, Rc<SecretBytes>)>, Error> {
        let Some(environment) = self.find_referenced_environment(reference, from)? else {
            return Ok(None);
        };
        let (folder, key) = (reference.folder(), reference.key().to_owned());
        let mut value = self.find_value(environment, &folder, &key)?;
        if value.is_none() && self.may_fetch(environment, reference) {
            self.fetch_all(environment)?;
            value = self.find_value(environment, &folder, &key)?;
        }
        let value_id = ValueId {
            environment,
            folder,
            key,
        };
        Ok(value.map(|value| (value_id, value)))
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
        let index = self.indexes.get(&environment);
        if index.is_some_and(|index| index.is_complete) {
            return false;
        }
        if index.is_some() || reference.has_usual_names() {
            return true;
        }
        self.unusual_environments += 1;
        self.unusual_environments <= MAX_UNUSUAL_ENVIRONMENTS
    }

    /// Finds the environment that a reference means. Full names are compared, in any case.
    fn find_referenced_environment(
        &self,
        reference: Reference<'_>,
        from: EnvironmentPosition,
    ) -> Result<Option<EnvironmentPosition>, Error> {
        let apps = self.client.app_directory.apps()?;
        let app = match reference.app {
            Some(name) => find_unique(apps.iter().map(|app| &app.name), name),
            None => Some(from.app),
        };
        let environment_in = |app: usize| match reference.environment {
            Some(name) => {
                let environments = apps.get(app)?.environments.iter().flatten();
                find_unique(environments.map(|environment| &environment.name), name)
            }
            // A reference to another app has to name the environment.
            None => reference.app.is_none().then_some(from.environment),
        };
        Ok(app.and_then(|app| {
            let environment = environment_in(app)?;
            Some(EnvironmentPosition { app, environment })
        }))
    }

    /// Fetches all secrets of an environment. Without access to it, nothing is added to what has been
    /// fetched before.
    #[expect(
        clippy::expect_used,
        reason = "an `EnvironmentPosition` is only made from this list"
    )]
    fn fetch_all(&mut self, position: EnvironmentPosition) -> Result<(), Error> {
        let app = self.client.app_directory.apps()?.get(position.app);
        let app = app.expect("the app exists at this position");
        let environments = app.environments.as_ref();
        let environment = environments
            .and_then(|environments| environments.get(position.environment))
            .expect("the environment exists at this position");
        let no_filter = ServerFilter::default();
        let fetched = self
            .client
            .fetch(app, environment, &no_filter, DynamicMode::Skip);
        match fetched {
            Ok(fetched) => {
                let index = EnvironmentIndex::new(SharedValues::new(&fetched));
                self.indexes.insert(position, index);
            }
            Err(Error::AccessDenied { .. }) => {
                self.indexes.entry(position).or_default().is_complete = true;
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

/// Returns the position of `name`, compared in any case, or `None` if several names match.
fn find_unique<'n>(names: impl Iterator<Item = &'n String>, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let mut matching = names
        .enumerate()
        .filter(|(_, known)| known.to_lowercase() == name);
    let (position, _) = matching.next()?;
    matching.next().is_none().then_some(position)
}
