#![forbid(unsafe_code)]
//! References of end-to-end encrypted apps: the server cannot resolve what it cannot read.
//!
//! A value that is referred to is itself resolved, in its own app and environment. Another
//! environment is fetched when the first reference needs it, and once. A reference that cannot be
//! resolved (nothing of that name, no access, part of a cycle, too deep) stays as it is written.

use std::collections::HashMap;
use std::rc::Rc;

use super::ServerFilter;
use super::directory::{App, Environment};
use super::e2ee::{Contents, Keyring, OpenedRow};
use crate::config::DynamicSecrets;
use crate::error::Error;
use crate::phase::reference::{Piece, Reference, holds_reference, pieces};
use crate::secret::{Secret, SecretBytes};

/// How many references may lead one to the next.
const MAX_DEPTH: usize = 25;

/// What all resolved values may have together, in bytes, and how many references may be followed:
/// 25 values that each hold the next one twice would have 2^25 copies of the last.
const MAX_SIZE: usize = 64 << 20;
const MAX_STEPS: usize = 1 << 17;

/// Resolves the references in what was selected.
pub(crate) struct References<'a>(Option<ReferenceResolver<'a>>);

struct ReferenceResolver<'a> {
    keyring: Keyring<'a>,
    home: EnvironmentRef,
    shelves: HashMap<EnvironmentRef, EnvironmentIndex>,
    steps: usize,
    size: usize,
}

/// An environment, by its position in what the token can read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct EnvironmentRef {
    app: usize,
    environment: usize,
}

/// The shared values of an environment, by folder and key.
#[derive(Default)]
struct EnvironmentIndex {
    folders: HashMap<String, HashMap<String, Rc<SecretBytes>>>,
    /// Whether the environment holds nothing else.
    whole: bool,
}

/// A value on the way from the selected one to where we are.
#[derive(PartialEq, Eq)]
struct Node {
    place: EnvironmentRef,
    folder: String,
    key: String,
}

impl<'a> References<'a> {
    /// Where there is nothing to resolve.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// For what was fetched of an environment. Keeps a copy of its values if any of them holds a
    /// reference.
    pub(super) fn of(
        keyring: Keyring<'a>,
        app: &App,
        environment: &Environment,
        contents: &Contents,
    ) -> Result<Self, Error> {
        let refers = |row: &OpenedRow| {
            let values = [Some(&row.secret.value), row.shared.as_ref()];
            let mut values = values.into_iter().flatten();
            values.any(|value| holds_reference(value.expose()))
        };
        if !contents.rows.iter().any(refers) {
            return Ok(Self::none());
        }
        let apps = keyring.catalogue.apps()?;
        let position = apps.iter().enumerate().find_map(|(position, known)| {
            let of = known.environments.iter().flatten();
            let of = of.map(|one| &one.name);
            let environment = of.clone().position(|name| *name == environment.name)?;
            (known.id == app.id).then_some(EnvironmentRef {
                app: position,
                environment,
            })
        });
        // It was found there before.
        let Some(home) = position else {
            return Ok(Self::none());
        };
        let shelves = HashMap::from([(home, EnvironmentIndex::of(contents))]);
        Ok(Self(Some(ReferenceResolver {
            keyring,
            home,
            shelves,
            steps: 0,
            size: 0,
        })))
    }

    /// Puts in the place of each reference what it names. Leased values hold none.
    ///
    /// # Errors
    /// Those of a request for another environment, but for one that the account may not read;
    /// `decrypt` for what does not open there.
    pub(crate) fn resolve(self, mut secrets: Vec<Secret>) -> Result<Vec<Secret>, Error> {
        let Some(mut resolver) = self.0 else {
            return Ok(secrets);
        };
        for secret in &mut secrets {
            if secret.dynamic.is_none() && holds_reference(secret.value.expose()) {
                secret.value = resolver.resolved(secret)?;
            }
        }
        Ok(secrets)
    }
}

impl ReferenceResolver<'_> {
    fn resolved(&mut self, secret: &Secret) -> Result<SecretBytes, Error> {
        let node = Node {
            place: self.home,
            folder: secret.folder.clone(),
            key: secret.key.clone(),
        };
        // A user's own value is none that a reference can mean, and may refer to the shared one.
        let shelf = self.shelves.get(&self.home);
        let shared = shelf.and_then(|shelf| shelf.get(&node.folder, &node.key));
        let is_shared = shared.is_some_and(|shared| shared.equals(&secret.value));
        let mut trail = vec![is_shared.then_some(node)];
        let mut out = Vec::new();
        self.expand(&secret.value, self.home, &mut trail, &mut out)?;
        self.size += out.len();
        Ok(SecretBytes::new(out))
    }

    /// Writes a value with what its references name. Returns the first value of the trail that a
    /// cycle through this one leads back to.
    fn expand(
        &mut self,
        value: &SecretBytes,
        place: EnvironmentRef,
        trail: &mut Vec<Option<Node>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Error> {
        let own = trail.len() - 1;
        let mut back: Option<usize> = None;
        let Ok(text) = str::from_utf8(value.expose()) else {
            out.extend_from_slice(value.expose());
            return Ok(None);
        };
        for piece in pieces(text) {
            let (reference, raw) = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Reference(reference, raw) => (reference, raw),
            };
            let start = out.len();
            let led = match self.named(reference, place, trail.len(), out.len())? {
                None => Resolution::Nowhere,
                Some((node, value)) => {
                    let met = trail.iter().position(|one| one.as_ref() == Some(&node));
                    match met {
                        Some(met) => Resolution::Back(met),
                        None => {
                            let place = node.place;
                            trail.push(Some(node));
                            let met = self.expand(&value, place, trail, out)?;
                            trail.pop();
                            // A cycle that does not reach this value is none of its own.
                            met.filter(|met| *met <= own)
                                .map_or(Resolution::There, Resolution::Back)
                        }
                    }
                }
            };
            if let Resolution::Back(met) = led {
                back = Some(back.map_or(met, |back| back.min(met)));
            }
            if !matches!(led, Resolution::There) {
                out.truncate(start);
                out.extend_from_slice(raw.as_bytes());
            }
        }
        Ok(back)
    }

    /// What a reference names, if that is there and not too far or too much.
    fn named(
        &mut self,
        reference: Reference<'_>,
        from: EnvironmentRef,
        depth: usize,
        written: usize,
    ) -> Result<Option<(Node, Rc<SecretBytes>)>, Error> {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS || self.size + written > MAX_SIZE {
            return Ok(None);
        }
        let Some(place) = self.place(reference, from)? else {
            return Ok(None);
        };
        let folder = format!("/{}", reference.folder);
        let key = reference.key.to_owned();
        let found = |shelf: &EnvironmentIndex| shelf.get(&folder, &key);
        let shelf = self.shelves.get(&place);
        let value = match shelf.and_then(found) {
            Some(value) => Some(value),
            None if shelf.is_some_and(|shelf| shelf.whole) => None,
            None => found(self.fetched(place)?),
        };
        Ok(value.map(|value| (Node { place, folder, key }, value)))
    }

    /// The environment that a reference means; names are compared whole and without case.
    fn place(
        &self,
        reference: Reference<'_>,
        from: EnvironmentRef,
    ) -> Result<Option<EnvironmentRef>, Error> {
        let apps = self.keyring.catalogue.apps()?;
        let app = match reference.app {
            Some(name) => only(apps.iter().map(|app| &app.name), name),
            None => Some(from.app),
        };
        let environment = |app: usize| match reference.environment {
            Some(name) => {
                let of = apps.get(app)?.environments.iter().flatten();
                only(of.map(|one| &one.name), name)
            }
            // Another app's environment has to be named.
            None => reference.app.is_none().then_some(from.environment),
        };
        Ok(app.and_then(|app| {
            let environment = environment(app)?;
            Some(EnvironmentRef { app, environment })
        }))
    }

    /// All of an environment. What the account may not read holds nothing.
    fn fetched(&mut self, place: EnvironmentRef) -> Result<&EnvironmentIndex, Error> {
        let app = self.keyring.catalogue.apps()?.get(place.app);
        let environments = app.and_then(|app| app.environments.as_ref());
        let environment = environments.and_then(|known| known.get(place.environment));
        let nothing = EnvironmentIndex {
            folders: HashMap::new(),
            whole: true,
        };
        let found = match app.zip(environment) {
            Some((app, environment)) => {
                let all = ServerFilter::default();
                match self
                    .keyring
                    .fetch(app, environment, &all, DynamicSecrets::Skip)
                {
                    Ok(contents) => EnvironmentIndex::of(&contents),
                    Err(Error::AccessDenied { .. }) => nothing,
                    Err(error) => return Err(error),
                }
            }
            None => nothing,
        };
        let shelf = self.shelves.entry(place).or_default();
        *shelf = found;
        Ok(shelf)
    }
}

/// Where a reference led.
enum Resolution {
    There,
    Nowhere,
    /// To this value of the trail.
    Back(usize),
}

impl EnvironmentIndex {
    fn of(contents: &Contents) -> Self {
        let mut folders: HashMap<String, HashMap<String, _>> = HashMap::new();
        for OpenedRow { secret, shared } in &contents.rows {
            let value = shared.as_ref().unwrap_or(&secret.value).expose().to_vec();
            let folder = folders.entry(secret.folder.clone()).or_default();
            folder.insert(secret.key.clone(), Rc::new(SecretBytes::new(value)));
        }
        Self {
            folders,
            whole: contents.whole,
        }
    }

    fn get(&self, folder: &str, key: &str) -> Option<Rc<SecretBytes>> {
        self.folders.get(folder)?.get(key).cloned()
    }
}

/// The position of the one of this name.
fn only<'n>(names: impl Iterator<Item = &'n String>, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let mut same = names
        .enumerate()
        .filter(|(_, known)| known.to_lowercase() == name);
    let (position, _) = same.next()?;
    same.next().is_none().then_some(position)
}
