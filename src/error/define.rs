#![forbid(unsafe_code)]
//! The macro that defines [`Error`](super::Error) from its table.

/// Defines `Error`, its text, kind, hint and exit status, and the list of all kinds.
///
/// Each group is a kind and its meaning in the documentation. Each variant in it has these attributes,
/// in this order. Their expressions get the fields by reference:
///
/// - `#[text("…", …)]`: what failed and why: a `format!` string in lower case, without a full stop
/// - `#[hint("…")]`: what the user can do: a `format!` string, an imperative that names the exact
///   option or file; left out where it would be a guess
/// - `#[hint_from(…)]`: the same as an expression of type `Option<String>`
/// - `#[exit_status(…)]`: 126 or 127; 125 if left out
macro_rules! errors {
    ($(
        $kind:literal: $meaning:literal {$(
            #[doc = $doc:expr]
            #[text($text:literal $(, $argument:expr)*)]
            $(#[hint($hint:literal)])?
            $(#[hint_from($hint_from:expr)])?
            $(#[exit_status($status:literal)])?
            $variant:ident $({ $($field:ident: $type:ty),* $(,)? })?,
        )*}
    )*) => {
        /// A failure of phase-run.
        #[derive(Debug)]
        pub(crate) enum Error {
            $($(#[doc = $doc] $variant $({ $($field: $type),* })?,)*)*
        }

        /// Every kind, in the order of the documents.
        pub(crate) const KINDS: &[ErrorKind] = &[$(ErrorKind {
            name: $kind,
            meaning: $meaning,
            exit_statuses: &[$(errors!(@exit_status $($status)?)),*],
        }),*];

        /// `what failed: why`, on one line unless a name has line breaks.
        impl std::fmt::Display for Error {
            #[expect(unused_variables, reason = "a text names only some of the fields")]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($(Self::$variant $({ $($field),* })? => write!(f, $text $(, $argument)*),)*)*
                }
            }
        }

        impl Error {
            /// The kind in `error[kind]`. The documentation has an entry for each.
            pub(crate) fn kind(&self) -> &'static str {
                match self {
                    $($(Self::$variant { .. } => $kind,)*)*
                }
            }

            /// What the user can do about it, if that is known.
            #[expect(unused_variables, reason = "a hint names only some of the fields")]
            pub(crate) fn hint(&self) -> Option<String> {
                match self {
                    $($(Self::$variant $({ $($field),* })? => {
                        errors!(@hint $(($hint))? $([$hint_from])?)
                    })*)*
                }
            }

            /// The status that phase-run exits with: 125 if phase-run failed, 126 if the command cannot
            /// be executed, 127 if it does not exist, as with env(1), timeout(1) and `docker run`.
            pub(crate) fn exit_status(&self) -> u8 {
                match self {
                    $($(Self::$variant { .. } => errors!(@exit_status $($status)?),)*)*
                }
            }
        }

        /// Each variant with its kind, its text before any name is filled in, and its exit status.
        #[cfg(test)]
        const VARIANTS: &[(&str, &str, &str, u8)] = &[
            $($((stringify!($variant), $kind, $text, errors!(@exit_status $($status)?)),)*)*
        ];
    };
    (@hint) => { None };
    (@hint ($hint:literal)) => { Some(format!($hint)) };
    (@hint [$hint:expr]) => { $hint };
    (@exit_status) => { 125 };
    (@exit_status $status:literal) => { $status };
}
