#![forbid(unsafe_code)]
//! One of every error, for tests of what holds of each of them. A list that misses one does not
//! compile.

use std::path::PathBuf;

use super::{CommandMissing, Error, SnapshotError};
use crate::error::Source;

/// One of each variant, in a list; the match that it makes knows those alone.
macro_rules! one_of_each {
    ($kind:ident: $type:ty, $($variant:ident { $($field:ident : $value:expr),* }),+ $(,)?) => {{
        let _whole = |it: &$type| match it {
            $($kind::$variant { .. } => (),)+
        };
        [$($kind::$variant { $($field: $value),* }),+]
    }};
}
pub(crate) use one_of_each;

pub(crate) fn errors() -> Vec<Error> {
    let text = || "a \"text\"\nof two lines".to_owned();
    let texts = || vec![text(), text()];
    let file = || PathBuf::from("a/file");
    let from = || Source::Named("--app");
    one_of_each![
        Error: Error,
        UnknownOption {
            option: text(),
            nearest: Some("--app")
        },
        RepeatedOption { option: "--app" },
        MissingValue {
            option: "--app",
            value: "NAME"
        },
        EmptyValue { option: "--app" },
        UnexpectedValue { option: "--app" },
        NotUtf8 { option: "--app" },
        InvalidValue {
            option: "--app",
            value: text(),
            expected: "a number"
        },
        RequiresOption {
            option: "--pass",
            requires: "--clean"
        },
        ConflictingOptions {
            option: "--verbose",
            other: "--quiet",
            why: "--quiet prints only errors"
        },
        TokenInsteadOfFile {
            option: "--token-file"
        },
        NoCommand {},
        NoApp {
            readable: texts(),
            ignored_project: Some(file()),
            app_flag_after_command: false
        },
        NoEnvironment {
            app: text(),
            readable: texts(),
            ignored_project: None
        },
        InvalidVariable {
            name: "PHASE_TIMEOUT",
            value: text(),
            expected: "a number"
        },
        ProjectFile {
            path: file(),
            why: text()
        },
        WorkingDirectory { why: text() },
        InvalidHost {
            value: text(),
            source: from(),
            why: "no URL",
            suggestion: Some(text())
        },
        CaFile {
            path: file(),
            source: from(),
            why: text()
        },
        HeaderFile {
            path: file(),
            source: from(),
            why: text()
        },
        EndToEndEncrypted { app: text() },
        NoToken {},
        TokenFile {
            from: text(),
            why: text()
        },
        InvalidToken {
            from: text(),
            why: "too short"
        },
        TokenRejected {
            host: text(),
            from: text(),
            message: text()
        },
        TokenWithoutKeys { from: text() },
        TokenKeyMismatch { from: text() },
        NoCloudCredentials {
            provider: "aws",
            attempts: texts(),
            hint: Some("set one")
        },
        IdentityRejected {
            host: text(),
            from: text(),
            message: text(),
            hint: Some(text())
        },
        AccessDenied {
            scope: text(),
            message: text()
        },
        ListingDenied {
            what: "apps",
            alternative: "--app ID",
            message: text()
        },
        AppNotFound {
            app: text(),
            source: from(),
            readable: texts()
        },
        EnvironmentNotFound {
            environment: text(),
            source: from(),
            app: text(),
            readable: texts()
        },
        FilterSelectsNothing {
            option: "--path",
            value: text(),
            scope: text()
        },
        RequiredKeyMissing { keys: texts() },
        AmbiguousApp {
            name: text(),
            candidates: texts()
        },
        AmbiguousEnvironment {
            name: text(),
            source: from(),
            candidates: texts()
        },
        AmbiguousKey {
            key: text(),
            folders: texts()
        },
        RateLimited {
            host: text(),
            retry_after: Some(text())
        },
        Unreachable {
            host: text(),
            why: text()
        },
        UnknownIssuer {
            host: text(),
            why: "it is unknown",
            ca_file: Some((file(), from()))
        },
        TlsFailed {
            host: text(),
            why: "it has expired"
        },
        ServerFailed {
            host: text(),
            status: 500,
            message: text()
        },
        UnexpectedResponse {
            host: text(),
            why: text(),
            hint: Some("check it")
        },
        LeaseFailed {
            names: texts(),
            scope: text(),
            message: text()
        },
        DecryptionFailed {
            what: text(),
            why: "it was changed"
        },
        SnapshotUnusable {
            path: file(),
            why: SnapshotError::Missing
        },
        InvalidName {
            key: text(),
            name: text(),
            why: "it is empty"
        },
        NulInValue { key: text() },
        UnsafeName {
            name: text(),
            key: text()
        },
        DuplicateVariable {
            name: text(),
            keys: [text(), text()]
        },
        ValueTooLarge {
            largest: vec![(text(), 1)],
            limit: 1
        },
        EnvironmentTooLarge {
            largest: vec![(text(), 1)],
            total: 2,
            limit: 1
        },
        UnresolvedReferences { keys: texts() },
        SecretFile {
            key: text(),
            why: text()
        },
        StdoutFailed { why: text() },
        SpawnFailed { why: text() },
        CommandNotFound {
            command: text().into(),
            why: CommandMissing::NotInPath
        },
        CommandNotExecutable {
            command: file(),
            why: text()
        },
    ]
    .into()
}
