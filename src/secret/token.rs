#![forbid(unsafe_code)]
//! The token of a Phase account, parsed.
//!
//! [`Token::parse`] accepts a full token `pss_service:…` or `pss_user:…`, a bearer token of 64 hex digits
//! with or without its account type in front, and the JSON that `phase auth --no-store` prints. White
//! space around a token is dropped; inside it, it is an error. No error shows any part of a token.

use serde::Deserialize;

use super::SecretBytes;
use crate::encoding;

/// The kind of account that a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AccountKind {
    ServiceAccount,
    User,
    /// The legacy service token, `pss_service:v1`.
    LegacyService,
}

impl AccountKind {
    /// The word that Phase expects in the `Authorization` header, in this case.
    fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::User => "User",
            Self::LegacyService => "Service",
        }
    }
}

/// A well-formed token. Only Phase knows whether it is valid.
#[derive(Debug)]
pub(crate) struct Token {
    kind: AccountKind,
    bearer: SecretBytes,
    keys: Option<Box<[SecretBytes; 3]>>,
}

/// Why some bytes are not a token. It never contains any of them.
type ParseError = &'static str;

/// The output of `phase auth --no-store`: `{"authentication": {"token": "pss_service:…", …}}`.
#[derive(Deserialize)]
struct AuthOutput {
    authentication: Option<AuthToken>,
    token: Option<SecretBytes>,
}

#[derive(Deserialize)]
struct AuthToken {
    token: SecretBytes,
}

impl Token {
    /// Parses any of the accepted forms.
    ///
    /// # Errors
    /// The reason, which shows no part of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if encoding::is_utf_16(bytes) {
            return Err(encoding::IS_UTF_16);
        }
        let bytes = encoding::without_mark(bytes).trim_ascii();
        if bytes.is_empty() {
            return Err("it is empty");
        }
        if bytes.starts_with(b"{") {
            return Self::parse_json(bytes);
        }
        let words: Vec<&[u8]> = bytes
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [first, ..] if first.starts_with(b"\"") || first.starts_with(b"'") => {
                Err("it starts with a quotation mark")
            }
            [first, ..] if first.starts_with(b"PHASE_") => {
                Err("it starts with the name of a variable, like a line of an env file")
            }
            [b"Bearer", ..] => {
                Err("it starts with the word Bearer, which is not part of the token")
            }
            [token] if token.starts_with(b"pss_") => Self::parse_full(token),
            [bearer] | [b"ServiceAccount", bearer] => {
                Self::from_bearer(AccountKind::ServiceAccount, bearer)
            }
            [b"User", bearer] => Self::from_bearer(AccountKind::User, bearer),
            [b"Service", bearer] => Self::from_bearer(AccountKind::LegacyService, bearer),
            _ => Err("it contains white space"),
        }
    }

    /// Parses the output of `phase auth --no-store`.
    fn parse_json(bytes: &[u8]) -> Result<Self, ParseError> {
        let output: AuthOutput = serde_json::from_str(str::from_utf8(bytes).unwrap_or_default())
            .map_err(|_| "it looks like JSON but is not the output of phase auth --no-store")?;
        match output
            .authentication
            .map(|auth| auth.token)
            .or(output.token)
        {
            Some(token) if !token.expose().trim_ascii().starts_with(b"{") => {
                Self::parse(token.expose())
            }
            _ => Err("the JSON contains no token"),
        }
    }

    /// Parses `pss_service:v2:<bearer>:<public key>:<key share 0>:<key share 1 unwrap key>`.
    fn parse_full(token: &[u8]) -> Result<Self, ParseError> {
        let fields: Vec<&[u8]> = token.split(|byte| *byte == b':').collect();
        let [prefix, version, bearer, keys @ ..] = fields.as_slice() else {
            return Err("it is incomplete");
        };
        let kind = match (*prefix, *version) {
            (b"pss_service", b"v1") => AccountKind::LegacyService,
            (b"pss_service", b"v2") => AccountKind::ServiceAccount,
            (b"pss_user", b"v1") => AccountKind::User,
            (b"pss_service" | b"pss_user", _) => return Err("its version is unknown"),
            _ => return Err("it starts with neither pss_service: nor pss_user:"),
        };
        let Ok([public_key, share_0, unwrap_key]) = <[&[u8]; 3]>::try_from(keys) else {
            return Err("it does not have four fields after the version");
        };
        for (field, why) in [
            (*bearer, "the first of its four fields is not 64 hex digits"),
            (
                public_key,
                "the second of its four fields is not 64 hex digits",
            ),
            (share_0, "the third of its four fields is not 64 hex digits"),
            (
                unwrap_key,
                "the last of its four fields is not 64 hex digits",
            ),
        ] {
            if !is_64_hex_digits(field) {
                return Err(why);
            }
        }
        let keys = [public_key, share_0, unwrap_key].map(|key| SecretBytes::new(key.to_vec()));
        Ok(Self {
            keys: Some(Box::new(keys)),
            ..Self::from_bearer(kind, bearer)?
        })
    }

    fn from_bearer(kind: AccountKind, bearer: &[u8]) -> Result<Self, ParseError> {
        if !is_64_hex_digits(bearer) {
            return Err("it is neither pss_service:…, pss_user:… nor 64 hex digits");
        }
        Ok(Self {
            kind,
            // The server compares in lower case.
            bearer: SecretBytes::new(bearer.to_ascii_lowercase()),
            keys: None,
        })
    }

    /// Whether this is a full `pss_…` token with keys, which Phase's token endpoint accepts.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether the token belongs to a service account.
    pub(crate) fn is_service_account(&self) -> bool {
        self.kind == AccountKind::ServiceAccount
    }

    /// Whether this is a legacy service token, `pss_service:v1` or `Service` in front of a bearer.
    pub(crate) fn is_legacy_service(&self) -> bool {
        self.kind == AccountKind::LegacyService
    }

    /// The keys of a full token in hex digits: its public key, key share 0, and the key that unwraps
    /// share 1.
    pub(crate) fn keys(&self) -> Option<[&[u8]; 3]> {
        let keys = self.keys.as_ref()?;
        Some(keys.each_ref().map(SecretBytes::expose))
    }

    /// Copies the parts that no message may repeat: the bearer and the two secret keys.
    pub(crate) fn copy_secrets(&self) -> Vec<SecretBytes> {
        let keys = self
            .keys()
            .map(|[_, share_0, unwrap_key]| [share_0, unwrap_key]);
        let parts = [self.bearer.expose()].into_iter();
        let parts = parts.chain(keys.into_iter().flatten());
        parts.map(|part| SecretBytes::new(part.to_vec())).collect()
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> Vec<u8> {
        let parts = [
            b"Bearer ",
            self.kind.as_str().as_bytes(),
            b" ",
            self.bearer.expose(),
        ];
        parts.concat()
    }
}

fn is_64_hex_digits(field: &[u8]) -> bool {
    field.len() == 64 && field.iter().all(u8::is_ascii_hexdigit)
}

/// Whether the name matches `PHASE_*TOKEN*`: such variables give access to Phase and are not passed to
/// the command.
pub(crate) fn is_token_variable(name: &[u8]) -> bool {
    name.strip_prefix(b"PHASE_")
        .is_some_and(|rest| rest.windows(5).any(|part| part == b"TOKEN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn parse(text: &str) -> Result<(String, bool), ParseError> {
        let token = Token::parse(text.as_bytes())?;
        Ok((
            String::from_utf8(token.authorization()).unwrap(),
            token.has_keys(),
        ))
    }

    #[test]
    fn accepted_forms_give_their_header() {
        let full = |prefix: &str| format!("{prefix}:{KEY}:{KEY}:{KEY}:{KEY}");
        for (text, header, has_keys) in [
            (full("pss_service:v2"), "ServiceAccount", true),
            (full("pss_service:v1"), "Service", true),
            (full("pss_user:v1"), "User", true),
            (KEY.to_owned(), "ServiceAccount", false),
            (KEY.to_uppercase(), "ServiceAccount", false),
            (format!("\u{feff}{KEY}"), "ServiceAccount", false),
            (format!("User {KEY}"), "User", false),
            (format!("Service {KEY}"), "Service", false),
            (
                format!(" ServiceAccount  {KEY}\r\n"),
                "ServiceAccount",
                false,
            ),
            (
                format!(
                    r#"{{"authentication": {{"token": "{}", "TTL": 60}}}}"#,
                    full("pss_service:v2")
                ),
                "ServiceAccount",
                true,
            ),
            (
                format!(r#"{{"token": "{}"}}"#, full("pss_user:v1")),
                "User",
                true,
            ),
        ] {
            assert_eq!(
                parse(&text),
                Ok((format!("Bearer {header} {KEY}"), has_keys)),
                "{text}"
            );
        }
    }

    #[test]
    fn invalid_token_is_rejected_with_reason() {
        let (_, short) = KEY.split_at(1);
        let join = |prefix: &str, keys: &[&str]| [&[prefix], keys].concat().join(":");
        let service = |keys: &[&str]| join("pss_service:v2", keys);
        let unknown = "it is neither pss_service:…, pss_user:… nor 64 hex digits";
        let space = "it contains white space";
        let version = "its version is unknown";
        let first = "the first of its four fields is not 64 hex digits";
        let second = "the second of its four fields is not 64 hex digits";
        let third = "the third of its four fields is not 64 hex digits";
        let last = "the last of its four fields is not 64 hex digits";
        let fields = "it does not have four fields after the version";
        let quoted = "it starts with a quotation mark";
        let bearer = "it starts with the word Bearer, which is not part of the token";
        let variable = "it starts with the name of a variable, like a line of an env file";
        let prefix = "it starts with neither pss_service: nor pss_user:";
        let no_json = "it looks like JSON but is not the output of phase auth --no-store";
        let empty_json = "the JSON contains no token";
        for (text, reason) in [
            (String::new(), "it is empty"),
            (" \n".into(), "it is empty"),
            ("x".into(), unknown),
            (short.into(), unknown),
            (service(&[short, KEY, KEY, KEY]), first),
            (format!("{KEY} {KEY}"), space),
            (format!("user {KEY}"), space),
            (format!("pss_service:v2:{KEY}:{KEY} :{KEY}:{KEY}"), space),
            (format!("Bearer User {KEY}"), bearer),
            (format!("Bearer {KEY}"), bearer),
            (format!("\"{KEY}\""), quoted),
            (format!("'{KEY}'"), quoted),
            (format!("PHASE_SERVICE_TOKEN={KEY}"), variable),
            ("pss_service".into(), "it is incomplete"),
            (join("pss_service:v3", &[KEY; 4]), version),
            (join("pss_user:v2", &[KEY; 4]), version),
            (join("pss_other:v1", &[KEY; 4]), prefix),
            (service(&[KEY; 3]), fields),
            (service(&[KEY; 5]), fields),
            (service(&[KEY, short, KEY, KEY]), second),
            (service(&[KEY, KEY, short, KEY]), third),
            (service(&[KEY, KEY, KEY, short]), last),
            ("{".into(), no_json),
            ("{}".into(), empty_json),
            (r#"{"token": "{}"}"#.into(), empty_json),
            (
                format!(r#"{{"token": "{{\"token\": \"{KEY}\"}}"}}"#),
                empty_json,
            ),
        ] {
            assert_eq!(parse(&text), Err(reason), "{text}");
        }
    }

    /// Tries every string of up to six characters of a small alphabet.
    #[test]
    fn no_short_input_panics() {
        let alphabet = [b'p', b':', b'{', b'"', b' ', 0xff];
        for length in 0..=6_u32 {
            for mut number in 0..alphabet.len().pow(length) {
                let mut text = Vec::new();
                for _ in 0..length {
                    text.push(alphabet[number % alphabet.len()]);
                    number /= alphabet.len();
                }
                assert!(Token::parse(&text).is_err());
            }
        }
    }
}
