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
            given: text(),
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
        BadValue {
            option: "--app",
            given: text(),
            wants: "a number"
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
        TokenAsFile {
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
        BadVariable {
            name: "PHASE_TIMEOUT",
            given: text(),
            wants: "a number"
        },
        Project {
            path: file(),
            why: text()
        },
        WorkingDirectory { why: text() },
        Host {
            given: text(),
            source: from(),
            why: "no URL",
            instead: Some(text())
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
        EndToEnd { app: text() },
        NoToken {},
        TokenFile {
            from: text(),
            why: text()
        },
        InvalidToken {
            from: text(),
            why: "too short"
        },
        TokenRefused {
            host: text(),
            from: text(),
            server: text()
        },
        BearerAlone { from: text() },
        TokenKeys { from: text() },
        NoIdentity {
            provider: "aws",
            places: texts(),
            hint: Some("set one")
        },
        IdentityRefused {
            host: text(),
            from: text(),
            server: text(),
            hint: Some(text())
        },
        AccessDenied {
            what: text(),
            server: text()
        },
        ListingDenied {
            what: "apps",
            instead: "--app ID",
            server: text()
        },
        AppNotFound {
            given: text(),
            source: from(),
            known: texts()
        },
        EnvironmentNotFound {
            given: text(),
            source: from(),
            app: text(),
            known: texts()
        },
        FilterSelectsNothing {
            option: "--path",
            given: text(),
            place: text()
        },
        RequiredMissing { keys: texts() },
        AppsAmbiguous {
            given: text(),
            candidates: texts()
        },
        EnvironmentsAmbiguous {
            given: text(),
            source: from(),
            candidates: texts()
        },
        KeyAmbiguous {
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
        Untrusted {
            host: text(),
            why: "it is unknown",
            given: Some((file(), from()))
        },
        Tls {
            host: text(),
            why: "it has expired"
        },
        Server {
            host: text(),
            status: 500,
            server: text()
        },
        UnexpectedResponse {
            host: text(),
            why: text(),
            hint: Some("check it")
        },
        NotLeased {
            names: texts(),
            place: text(),
            server: text()
        },
        Undecryptable {
            what: text(),
            why: "it was changed"
        },
        Snapshot {
            path: file(),
            why: SnapshotError::Missing
        },
        BadName {
            key: text(),
            name: text(),
            why: "it is empty"
        },
        NulInValue { key: text() },
        UnsafeName {
            name: text(),
            key: text()
        },
        NameTwice {
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
        Unresolved { keys: texts() },
        SealedFile {
            key: text(),
            why: text()
        },
        Output { why: text() },
        NoProcess { why: text() },
        CommandNotFound {
            command: text().into(),
            why: CommandMissing::NotOnPath
        },
        CommandNotExecutable {
            command: file(),
            why: text()
        },
    ]
    .into()
}
