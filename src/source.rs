#![forbid(unsafe_code)]
//! Where a decision came from, for the messages that have to explain it.

use std::fmt;
use std::path::PathBuf;

/// Where a decision came from, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Named(&'static str),
    Project(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Project(path) => write!(f, "{}", path.display()),
        }
    }
}
