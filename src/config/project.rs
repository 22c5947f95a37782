#![forbid(unsafe_code)]
//! `.phase.json`, which `phase init` writes: the app and environment of a directory.
//!
//! It is read only if the app or the environment is not given otherwise; only then is an unusable file
//! or working directory an error. It never supplies a host or a token.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::credential_file::{open_regular, read_bounded};
use crate::error::{Error, IgnoredProject, os_error_text};
use crate::json::{self, JsonObject};

/// The variable that says how many parent directories are searched.
pub(super) const DEPTH_VARIABLE: &str = "PHASE_CONFIG_PARENT_DIR_SEARCH_DEPTH";
const DEFAULT_DEPTH: usize = 8;

const FILE_NAME: &str = ".phase.json";

/// The largest file that is read, in bytes. `phase init` writes far less.
const MAX_SIZE: u64 = 1 << 20;

/// The settings of a `.phase.json`; empty ones count as missing.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) path: PathBuf,
    pub(super) app_id: Option<String>,
    app_name: Option<String>,
    pub(super) environment: Option<String>,
}

/// The JSON of a `.phase.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectJson {
    app_id: Option<String>,
    phase_app: Option<String>,
    default_env: Option<String>,
    monorepo_support: Option<bool>,
}

impl Project {
    /// Finds the file of the working directory, or of the nearest parent whose file has
    /// `monorepoSupport`. If there is none, returns the nearest file that does not count. `depth` is the
    /// value of [`DEPTH_VARIABLE`].
    ///
    /// # Errors
    /// `config` if the depth is not a number, the working directory does not exist, a project file in
    /// the search cannot be used, or the file of a parent is not one that this user can trust.
    pub(super) fn find(depth: Option<&str>) -> Result<Result<Self, Option<IgnoredProject>>, Error> {
        let depth = match depth {
            None => DEFAULT_DEPTH,
            Some(text) => text.parse().map_err(|_| Error::InvalidVariable {
                name: DEPTH_VARIABLE,
                value: text.to_owned(),
                expected: "a number of directories",
            })?,
        };
        let directory =
            std::env::current_dir().map_err(|error| Error::WorkingDirectoryUnknown {
                why: os_error_text(&error),
            })?;
        let directories = directory.ancestors().take(depth.saturating_add(1));
        let mut ignored = None;
        for (level, directory) in directories.enumerate() {
            let path = directory.join(FILE_NAME);
            let Some((json, untrusted_reason)) = read_project(&path)? else {
                continue;
            };
            match (level, json.monorepo_support, untrusted_reason) {
                (0, ..) | (_, Some(true), None) => return Ok(Ok(Self::new(path, json))),
                // Going on to the next parent could silently choose another app.
                (_, Some(true), Some(why)) => {
                    return Err(Error::ProjectFileUntrusted { path, why });
                }
                _ => {
                    ignored.get_or_insert(IgnoredProject {
                        path,
                        why: "is in a parent directory and does not set monorepoSupport",
                    });
                }
            }
        }
        Ok(Err(ignored))
    }

    fn new(path: PathBuf, json: ProjectJson) -> Self {
        let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            path,
            app_id: non_empty(json.app_id),
            app_name: non_empty(json.phase_app),
            environment: non_empty(json.default_env),
        }
    }

    /// Returns the ID of the app, or its name if the file has no ID.
    pub(super) fn app(&self) -> Option<&String> {
        self.app_id.as_ref().or(self.app_name.as_ref())
    }

    /// Returns whether the file is for this app, given by its name or its ID.
    pub(super) fn is_for_app(&self, app: &str) -> bool {
        let mut names = [&self.app_id, &self.app_name].into_iter().flatten();
        names.any(|name| name.to_lowercase() == app.to_lowercase())
    }
}

/// Reads a project file, and says why it is not to be trusted in a parent directory, if it is not.
/// Returns `None` if there is no file.
fn read_project(path: &Path) -> Result<Option<(ProjectJson, Option<String>)>, Error> {
    let unusable = |why| Error::ProjectFileUnusable {
        path: path.to_owned(),
        why,
    };
    let file = match open_regular(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(unusable("not a regular file".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(os_error_text(&error))),
    };
    let unreadable = |error: std::io::Error| unusable(os_error_text(&error));
    let untrusted_reason = untrusted_reason(path, &file).map_err(unreadable)?;
    let json = read_bounded(file, MAX_SIZE).map_err(unreadable)?;
    if json.expose().len() as u64 > MAX_SIZE {
        return Err(unusable(format!("it is longer than {MAX_SIZE} bytes")));
    }
    let json = parse_project(json.expose()).map_err(unusable)?;
    Ok(Some((json, untrusted_reason)))
}

/// Returns why a project file in a parent directory must not decide for this user, as in `/tmp`: the
/// file, or the link to it, belongs to neither this user nor root, or every user may write it. Root
/// follows every file, because root works in the directories of others.
fn untrusted_reason(path: &Path, file: &File) -> std::io::Result<Option<String>> {
    let user = nix::unistd::geteuid();
    let (file, link) = (file.metadata()?, path.symlink_metadata()?);
    let mut owners = [file.uid(), link.uid()].into_iter();
    let other = owners.find(|owner| ![0, user.as_raw()].contains(owner));
    Ok(match other {
        _ if user.is_root() => None,
        Some(owner) => Some(format!("it belongs to another user ({owner})")),
        None if file.mode() & 0o002 != 0 => Some(format!(
            "every user may write it (mode {:04o})",
            file.mode() & 0o7777
        )),
        None => None,
    })
}

fn parse_project(content: &[u8]) -> Result<ProjectJson, String> {
    let parsed = json::from_bytes(content);
    parsed.map(|JsonObject(json)| json).map_err(|error| {
        let what = match error.is_data() {
            true => "not in the format of phase init",
            false => "not valid JSON",
        };
        format!("{what} (line {}, column {})", error.line(), error.column())
    })
}

/// Parses any bytes as a project file.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(json) = parse_project(data) {
        let project = Project::new(PathBuf::from(FILE_NAME), json);
        assert!(project.app().is_none_or(|app| project.is_for_app(app)));
    }
}
