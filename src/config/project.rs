#![forbid(unsafe_code)]
//! `.phase.json`, which `phase init` writes: which app a working directory belongs to.
//!
//! Read only while the app or the environment is missing; a file or a working directory that
//! cannot be used matters only then. It never supplies an address or a token.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, os_error_text};
use crate::json::JsonObject;

/// How many parents are searched for a file that says it is meant for the folders below, too.
pub(super) const DEPTH: &str = "PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH";
const DEFAULT_DEPTH: usize = 8;

const NAME: &str = ".phase.json";

/// Far more than `phase init` writes, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// What a `.phase.json` says.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) path: PathBuf,
    pub(super) id: Option<String>,
    name: Option<String>,
    pub(super) environment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    app_id: Option<String>,
    phase_app: Option<String>,
    default_env: Option<String>,
    monorepo_support: Option<bool>,
}

impl Project {
    /// The file of the working directory, or of the nearest parent whose file says
    /// `monorepoSupport`; `depth` is the variable [`DEPTH`].
    ///
    /// # Errors
    /// `config` when the working directory is gone, or a file on the way cannot be read.
    pub(super) fn find(depth: Option<&str>) -> Result<Option<Self>, Error> {
        let depth = match depth {
            None => DEFAULT_DEPTH,
            Some(text) => text.parse().map_err(|_| Error::InvalidVariable {
                name: DEPTH,
                value: text.to_owned(),
                expected: "a number of directories",
            })?,
        };
        let here = std::env::current_dir().map_err(|error| Error::WorkingDirectory {
            why: os_error_text(&error),
        })?;
        for (level, folder) in here.ancestors().enumerate().take(depth.saturating_add(1)) {
            let path = folder.join(NAME);
            if let Some(written) = read(&path)?
                && (level == 0 || written.monorepo_support == Some(true))
            {
                return Ok(Some(Self::new(path, written)));
            }
        }
        Ok(None)
    }

    fn new(path: PathBuf, written: Written) -> Self {
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            path,
            id: present(written.app_id),
            name: present(written.phase_app),
            environment: present(written.default_env),
        }
    }

    /// The app's id, or its name where there is no id.
    pub(super) fn app(&self) -> Option<&String> {
        self.id.as_ref().or(self.name.as_ref())
    }

    /// Whether the file is about this app, named or by id.
    pub(super) fn is_of(&self, app: &str) -> bool {
        let names = [&self.id, &self.name].into_iter().flatten();
        names
            .into_iter()
            .any(|name| name.to_lowercase() == app.to_lowercase())
    }
}

fn read(path: &Path) -> Result<Option<Written>, Error> {
    let unusable = |why| Error::ProjectFile {
        path: path.to_owned(),
        why,
    };
    let file = match path.metadata() {
        // Opening a pipe would wait for whoever writes to it.
        Ok(facts) if !facts.is_file() && !facts.is_dir() => {
            return Err(unusable("it is no regular file".to_owned()));
        }
        facts => facts.and_then(|_| File::open(path)),
    };
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(os_error_text(&error))),
    };
    let mut text = Vec::new();
    file.take(MAX_SIZE)
        .read_to_end(&mut text)
        .map_err(|error| unusable(os_error_text(&error)))?;
    parsed(&text).map(Some).map_err(unusable)
}

fn parsed(text: &[u8]) -> Result<Written, String> {
    let read = serde_json::from_slice(text);
    read.map(|JsonObject(written)| written).map_err(|error| {
        let what = match error.is_data() {
            true => "not what phase init writes",
            false => "not JSON",
        };
        format!("{what} (line {}, column {})", error.line(), error.column())
    })
}

/// Reads any bytes as a file's.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(written) = parsed(data) {
        let project = Project::new(PathBuf::from(NAME), written);
        let app = project.app().cloned().unwrap_or_default();
        assert!(project.is_of(&app) || app.is_empty());
    }
}
