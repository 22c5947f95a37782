//! Commands that the program reads from its standard input, one per line. Its words are separated by
//! tabs. Each is answered by lines on standard output, of which the last is `.`, or `!` if it failed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fake_phase::{Account, Phase, Responder, service_token, user_token};

/// The server, and the file with the token.
pub(crate) struct Control {
    pub(crate) phase: Phase,
    pub(crate) token_file: Option<PathBuf>,
    /// The account whose token is valid after a rotation.
    pub(crate) current: Account,
}

impl Control {
    /// Performs a command and returns the answer.
    ///
    /// # Errors
    /// What is wrong with the command.
    pub(crate) fn perform(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split('\t').collect();
        match words.as_slice() {
            ["set", key, value] => self.set(key, Some(value), "Development", None),
            ["set", key, value, environment] => self.set(key, Some(value), environment, None),
            ["set", key, value, environment, folder] => {
                self.set(key, Some(value), environment, Some(folder))
            }
            ["unset", key] => self.set(key, None, "Development", None),
            ["unset", key, environment] => self.set(key, None, environment, None),
            ["set", ..] => Err("usage: demo set KEY VALUE [ENVIRONMENT [FOLDER]]".to_owned()),
            ["unset", ..] => Err("usage: demo unset KEY [ENVIRONMENT]".to_owned()),
            ["rotate"] => self.rotate(),
            ["down"] => {
                self.phase.respond("", Responder::reset());
                Ok("the server closes every connection".to_owned())
            }
            ["up"] => {
                self.phase.respond_normally();
                Ok("the server responds".to_owned())
            }
            ["list"] => Ok(self.list()),
            ["clear", environment] => self.clear(environment),
            ["requests"] => Ok(self.phase.requests().len().to_string()),
            _ => Err(format!("unknown command: {}", words.join(" "))),
        }
    }

    /// Removes all secrets of an environment of the app shop.
    fn clear(&self, environment: &str) -> Result<String, String> {
        check_environment(environment)?;
        self.phase.edit(|world| {
            world.app("shop").environment(environment, "custom").clear();
        });
        Ok(format!("removed all secrets of {environment}"))
    }

    /// Sets or removes a secret of the app shop, in this folder, or in the one where it is, or else in
    /// the root.
    fn set(
        &self,
        key: &str,
        value: Option<&str>,
        environment: &str,
        folder: Option<&str>,
    ) -> Result<String, String> {
        check_environment(environment)?;
        let mut answer = Ok(String::new());
        self.phase.edit(|world| {
            let environment = world.app("shop").environment(environment, "custom");
            let folder = folder.unwrap_or_else(|| {
                let mut folders = ["/", "/backend", "/web"].into_iter();
                let present = folders.find(|folder| environment.find(folder, key).is_some());
                present.unwrap_or("/")
            });
            answer = match (value, environment.find(folder, key)) {
                (Some(value), Some(row)) => {
                    row.value(value);
                    Ok(format!("changed {key} in {folder}"))
                }
                (Some(value), None) => {
                    environment.secret(folder, key, value);
                    Ok(format!("added {key} to {folder}"))
                }
                (None, Some(_)) => {
                    environment.remove(folder, key);
                    Ok(format!("removed {key} from {folder}"))
                }
                (None, None) => Err(format!("there is no {key}")),
            };
        });
        answer
    }

    /// Replaces the token in its file by that of the other account, and deletes the old one.
    fn rotate(&mut self) -> Result<String, String> {
        let (next, token) = match self.current {
            Account::ServiceAccount => (Account::User, user_token()),
            Account::User => (Account::ServiceAccount, service_token()),
        };
        let Some(path) = &self.token_file else {
            return Err("there is no token file: start with --token-out".to_owned());
        };
        replace(path, token)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let old = self.current;
        self.phase.edit(|world| {
            world.accept(next).revoke(old);
        });
        self.current = next;
        Ok(format!(
            "a new token is in {}, and the old one is deleted",
            path.display()
        ))
    }

    /// Lists the apps with the environments that the token can read.
    fn list(&self) -> String {
        let mut lines = Vec::new();
        self.phase.edit(|world| lines = world.list(self.current));
        lines.join("\n")
    }
}

/// Checks that the app shop has this environment.
fn check_environment(name: &str) -> Result<(), String> {
    if ["Development", "Production"].contains(&name) {
        Ok(())
    } else {
        Err(format!(
            "no environment {name}: use Development or Production"
        ))
    }
}

/// Writes a private file of this content under another name, and renames it.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    write_private(&temporary, content)?;
    fs::rename(temporary, path)
}

/// Writes a file that only this user can read.
pub(crate) fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(content.as_bytes())
}
