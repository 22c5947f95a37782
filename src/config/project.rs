#![forbid(unsafe_code)]
//! `.phase.json`, which `phase init` writes: the app and environment of a directory.
//!
//! It is read only if the app or the environment is not given otherwise; only then is an unusable file
//! or working directory an error. It never supplies a host or a token.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::credential_file::{open_regular, read_bounded};
use crate::error::{Error, IgnoredProject, ProjectField, os_error_text};
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
    /// `monorepoSupport`.
    includes_subdirectories: bool,
}

/// The JSON of a `.phase.json`, with values of any type, so that an error can name the field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectJson {
    #[serde(default)]
    app_id: FieldValue,
    #[serde(default)]
    phase_app: FieldValue,
    #[serde(default)]
    default_env: FieldValue,
    #[serde(default)]
    monorepo_support: FieldValue,
}

/// The value of a field; `null` counts as missing.
#[derive(Default)]
enum FieldValue {
    #[default]
    Missing,
    Text(String),
    Bool(bool),
    Other,
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
            let Some((project, untrusted_reason)) = read_project(&path)? else {
                continue;
            };
            match (level, project.includes_subdirectories, untrusted_reason) {
                (0, ..) | (_, true, None) => return Ok(Ok(project)),
                // Going on to the next parent could silently choose another app.
                (_, true, Some(why)) => {
                    return Err(Error::ProjectFileUntrusted { path, why });
                }
                (_, false, _) => {
                    ignored.get_or_insert(IgnoredProject {
                        path,
                        why: "is in a parent directory and does not set monorepoSupport",
                    });
                }
            }
        }
        Ok(Err(ignored))
    }

    /// Returns the ID of the app, or its name if the file has no ID, after the name of its field.
    pub(super) fn app(&self) -> Option<(ProjectField, &String)> {
        let id = self.app_id.as_ref().map(|id| (ProjectField::AppId, id));
        id.or_else(|| {
            self.app_name
                .as_ref()
                .map(|name| (ProjectField::AppName, name))
        })
    }

    /// Returns whether the file is for this app, given by its name or its ID.
    pub(super) fn is_for_app(&self, app: &str) -> bool {
        let mut names = [&self.app_id, &self.app_name].into_iter().flatten();
        names.any(|name| name.to_lowercase() == app.to_lowercase())
    }
}

/// Reads a project file, and says why it is not to be trusted in a parent directory, if it is not.
/// Returns `None` if there is no file.
fn read_project(path: &Path) -> Result<Option<(Project, Option<String>)>, Error> {
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
    let project = parse_project(path, json.expose()).map_err(unusable)?;
    Ok(Some((project, untrusted_reason)))
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

/// Parses the content of a project file.
///
/// # Errors
/// Why it cannot be used: it names the field, or the position in the file.
fn parse_project(path: &Path, content: &[u8]) -> Result<Project, String> {
    let JsonObject(json): JsonObject<ProjectJson> = json::from_bytes(content).map_err(|error| {
        let text = error.to_string();
        // Only a duplicate field is quoted in serde's text.
        let what = match (error.is_data(), text.split('`').nth(1)) {
            (true, Some(field)) => &format!("it has two fields {field}"),
            (true, None) => "not a JSON object",
            (false, _) => "not valid JSON",
        };
        format!("{what} (line {}, column {})", error.line(), error.column())
    })?;
    Ok(Project {
        path: path.to_owned(),
        app_id: json.app_id.into_text(ProjectField::AppId)?,
        app_name: json.phase_app.into_text(ProjectField::AppName)?,
        environment: json.default_env.into_text(ProjectField::Environment)?,
        includes_subdirectories: match json.monorepo_support {
            FieldValue::Bool(value) => value,
            FieldValue::Missing => false,
            FieldValue::Text(_) | FieldValue::Other => {
                return Err("monorepoSupport must be true or false, without quotes".to_owned());
            }
        },
    })
}

impl FieldValue {
    /// Returns the text of a field; an empty one counts as missing.
    ///
    /// # Errors
    /// Why the file cannot be used, if the value has another type.
    fn into_text(self, field: ProjectField) -> Result<Option<String>, String> {
        match self {
            Self::Text(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Self::Missing => Ok(None),
            Self::Bool(_) | Self::Other => {
                Err(format!("{} must be a text in quotes", field.name()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = FieldValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<FieldValue, E> {
                Ok(FieldValue::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<FieldValue, E> {
                Ok(FieldValue::Bool(value))
            }

            fn visit_unit<E>(self) -> Result<FieldValue, E> {
                Ok(FieldValue::Missing)
            }

            fn visit_i64<E>(self, _: i64) -> Result<FieldValue, E> {
                Ok(FieldValue::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<FieldValue, E> {
                Ok(FieldValue::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<FieldValue, E> {
                Ok(FieldValue::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FieldValue, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FieldValue::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<FieldValue, A::Error> {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(FieldValue::Other)
            }
        }
        deserializer.deserialize_any(AnyValue)
    }
}

/// Parses any bytes as a project file.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(project) = parse_project(Path::new(FILE_NAME), data) {
        assert!(project.app().is_none_or(|(_, app)| project.is_for_app(app)));
    }
}
