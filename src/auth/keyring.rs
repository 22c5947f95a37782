#![forbid(unsafe_code)]
//! Reads the token of a login of Phase's own CLI from the system's keyring, with the system's program.
//!
//! The CLI stores it under a service that is named after the account (zalando/go-keyring, and `keyring` of
//! PyPI in older versions). Everything that differs from system to system is in [`KeyringProgram`].

use std::ffi::OsString;
use std::time::Duration;

use base64ct::{Base64, Encoding};

use super::LoadContext;
use crate::config::Login;
use crate::config::credential_file::MAX_SIZE;
use crate::error::{Error, os_error_text, seconds};
use crate::process::helper_command::{HelperCommand, HelperError, HelperOutput};
use crate::process::wait::WaitStatus;
use crate::secret::SecretBytes;

/// How long the program may run. It may show a window that asks for the password of the keyring.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The user name under which the CLI stores every token.
const USER_NAME: &str = "pss";

/// The program that reads the system's keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyringProgram {
    /// The Secret Service of Linux desktops.
    SecretTool,
    /// The Keychain of macOS.
    Security,
}

impl KeyringProgram {
    /// The program of this system.
    const CURRENT: Self = match cfg!(target_os = "macos") {
        true => Self::Security,
        false => Self::SecretTool,
    };

    fn name(self) -> &'static str {
        match self {
            Self::SecretTool => "secret-tool",
            Self::Security => "/usr/bin/security",
        }
    }

    /// Returns the command line that prints the secret of a service.
    fn words(self, service: &str) -> Vec<OsString> {
        let words: &[&str] = match self {
            Self::SecretTool => &["lookup", "service", service, "username", USER_NAME],
            Self::Security => &[
                "find-generic-password",
                "-s",
                service,
                "-a",
                USER_NAME,
                "-w",
            ],
        };
        [self.name()]
            .iter()
            .chain(words)
            .map(OsString::from)
            .collect()
    }

    /// Returns the secret in the output, or `None` if its encoding is damaged. go-keyring stores it encoded
    /// in the Keychain, and names the encoding.
    fn decode(self, output: SecretBytes) -> Option<SecretBytes> {
        if self == Self::SecretTool {
            return Some(output);
        }
        let text = str::from_utf8(output.expose()).ok()?.trim();
        if let Some(encoded) = text.strip_prefix("go-keyring-base64:") {
            return Base64::decode_vec(encoded).ok().map(SecretBytes::new);
        }
        match text.strip_prefix("go-keyring-encoded:") {
            Some(digits) => base16ct::mixed::decode_vec(digits)
                .ok()
                .map(SecretBytes::new),
            None => Some(output),
        }
    }

    /// The hint if the program is missing.
    fn missing_hint(self) -> &'static str {
        match self {
            Self::SecretTool => {
                "install secret-tool: Debian's package is libsecret-tools, others call it libsecret"
            }
            Self::Security => "pass --token-command LINE with another way to read it",
        }
    }
}

/// Reads the token of a login from the keyring.
///
/// # Errors
/// `token` if the program is missing or fails, or if there is no entry.
pub(super) fn read_token(login: &Login, context: LoadContext<'_>) -> Result<SecretBytes, Error> {
    let program = KeyringProgram::CURRENT;
    let name = program.name();
    let service = format!("phase-cli-user-{}", login.account_id);
    let helper = HelperCommand {
        words: &program.words(&service),
        may_ask: false,
        time_limit: TIME_LIMIT,
        max_output: MAX_SIZE,
    };
    let output = helper.run(context.single_threaded, context.inherited);
    let (why, hint) = match output {
        Ok(HelperOutput {
            status: WaitStatus::Exited(0),
            bytes,
        }) if !bytes.expose().is_empty() => match program.decode(bytes) {
            Some(token) => return Ok(token),
            None => (
                format!("the entry {service} is damaged"),
                Some("log in again with phase auth"),
            ),
        },
        Ok(HelperOutput {
            status: WaitStatus::Exited(127),
            ..
        }) => (
            format!("{name} is not installed"),
            Some(program.missing_hint()),
        ),
        // The programs do not tell these apart.
        Ok(HelperOutput {
            status: WaitStatus::Exited(_),
            ..
        }) => (
            format!("{name} found no entry {service}, or the keyring is locked"),
            Some("unlock the keyring, or log in again with phase auth"),
        ),
        Ok(HelperOutput { status, .. }) => (format!("{name} {status}"), None),
        Err(HelperError::System(error)) => (
            format!("cannot run {name}: {}", os_error_text(&error)),
            None,
        ),
        Err(HelperError::OutputTooLong) => {
            (format!("{name} printed more than {MAX_SIZE} bytes"), None)
        }
        Err(HelperError::TimedOut) => (
            format!("{name} did not end within {}", seconds(TIME_LIMIT)),
            Some("unlock the keyring, and try again"),
        ),
    };
    Err(Error::KeyringFailed {
        account: login.account.clone(),
        why,
        hint,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn decoded(program: KeyringProgram, output: &str) -> Option<Vec<u8>> {
        let output = SecretBytes::new(output.as_bytes().to_vec());
        Some(program.decode(output)?.expose().to_vec())
    }

    #[test]
    fn keychain_entries_of_go_keyring_are_decoded() {
        let security = KeyringProgram::Security;
        for (output, token) in [
            ("go-keyring-base64:cHNzX3VzZXI6djE=\n", Some("pss_user:v1")),
            (
                "go-keyring-encoded:7073735f757365723a7631\n",
                Some("pss_user:v1"),
            ),
            ("pss_user:v1\n", Some("pss_user:v1\n")),
            ("go-keyring-base64:cHNz X3Vz\n", None),
            ("go-keyring-encoded:707\n", None),
        ] {
            let token = token.map(|token| token.as_bytes().to_vec());
            assert_eq!(decoded(security, output), token, "{output}");
        }
        let output = "go-keyring-base64:cHNz\n";
        let expected = Some(output.as_bytes().to_vec());
        assert_eq!(decoded(KeyringProgram::SecretTool, output), expected);
    }

    /// A script stands for security(1), which exists on macOS only.
    #[test]
    fn security_gets_the_syntax_of_its_manual() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("security");
        let text = "#!/bin/sh
            [ \"$1\" = find-generic-password ] && shift || exit 2
            while getopts a:s:w option; do
                case $option in
                a) account=$OPTARG ;;
                s) service=$OPTARG ;;
                w) password_only=1 ;;
                *) exit 2 ;;
                esac
            done
            [ \"$account/$service/$password_only\" = pss/phase-cli-user-7/1 ] || exit 44
            echo go-keyring-base64:cHNzX3VzZXI6djE=
            ";
        std::fs::write(&script, text).unwrap();
        for (service, printed) in [
            ("phase-cli-user-7", "go-keyring-base64:cHNzX3VzZXI6djE=\n"),
            ("phase-cli-user-8", ""),
        ] {
            let words = KeyringProgram::Security.words(service);
            let mut shell = Command::new("sh");
            let output = shell.arg(&script).args(&words[1..]).output().unwrap();
            assert_eq!(output.stdout, printed.as_bytes(), "{service}");
        }
    }
}
