#![forbid(unsafe_code)]
//! Runs the command that prints the token.

use std::path::Path;

use super::LoadContext;
use crate::config::TokenCommand;
use crate::config::credential_file::MAX_SIZE;
use crate::error::{Error, env_file_hint, os_error_text, seconds};
use crate::process::helper_command::{HelperCommand, HelperError, HelperOutput};
use crate::process::wait::WaitStatus;
use crate::secret::SecretBytes;

impl TokenCommand {
    /// Runs the command and returns the first line of its output. `may_ask` says whether it gets the
    /// terminal.
    ///
    /// # Errors
    /// `token` if it cannot run, fails, prints nothing or too much, or does not end in time.
    pub(super) fn run(
        &self,
        context: LoadContext<'_>,
        may_ask: bool,
    ) -> Result<SecretBytes, Error> {
        let helper = HelperCommand {
            words: &self.words,
            may_ask,
            time_limit: self.time_limit,
            max_output: MAX_SIZE,
        };
        let output = helper.run(context.single_threaded, context.inherited);
        let (why, hint) = match output {
            Ok(HelperOutput {
                status: WaitStatus::Exited(0),
                bytes,
            }) => match bytes.expose() {
                [] => ("it printed nothing".to_owned(), None),
                text => {
                    let line = text.split(|byte| *byte == b'\n').next();
                    return Ok(SecretBytes::new(line.unwrap_or_default().to_vec()));
                }
            },
            Ok(HelperOutput { status, bytes }) => self.describe(status, bytes.expose().is_empty()),
            Err(HelperError::System(error)) => (os_error_text(&error), None),
            Err(HelperError::OutputTooLong) => {
                (format!("it printed more than {MAX_SIZE} bytes"), None)
            }
            Err(HelperError::TimedOut) => (
                format!("it did not end within {}", seconds(self.time_limit)),
                Some("pass --max-wait to give it another limit".to_owned()),
            ),
        };
        Err(Error::TokenCommandFailed {
            from: self.set_by.name(),
            why,
            hint,
        })
    }

    /// Describes a status other than 0, with a hint. `is_silent` says that nothing was printed.
    fn describe(&self, status: WaitStatus, is_silent: bool) -> (String, Option<String>) {
        let shell = self.words.first().map(Path::new);
        match (status, shell) {
            (WaitStatus::Exited(127), Some(shell)) if !shell.exists() => (
                format!("there is no {}", shell.display()),
                Some("pass --token-file FILE where there is no shell".to_owned()),
            ),
            (status, _) => {
                let line = self.words.last();
                let hint = line.and_then(|line| env_file_hint(&self.set_by, line));
                let hint = hint.unwrap_or_else(|| {
                    // It exits so, without a word, if there is no entry.
                    let may_lack_entry = is_silent
                        && status == WaitStatus::Exited(1)
                        && line.is_some_and(|line| {
                            line.to_string_lossy().contains("secret-tool lookup")
                        });
                    match may_lack_entry {
                        true => "check the words after secret-tool lookup, and that the keyring is unlocked: there may be no such entry",
                        false => "run the command by itself to see why it fails",
                    }
                    .to_owned()
                });
                (format!("the command {status}"), Some(hint))
            }
        }
    }
}
