#![forbid(unsafe_code)]
//! The token: what Phase's console hands out, parsed and typed.
//!
//! Accepted: a full `pss_service:…` or `pss_user:…`, a bare bearer of 64 hex digits, alone or
//! behind its type, and the JSON that `phase auth --no-store` prints. White space around it is
//! dropped; inside it is an error that shows none of it.

use serde::Deserialize;

use super::SecretBytes;

/// Whose token it is. Phase tells them apart by this word in the `Authorization` header, and
/// compares it with case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Machine,
    User,
    /// The legacy service token, `pss_service:v1`.
    Legacy,
}

impl Account {
    fn word(self) -> &'static str {
        match self {
            Self::Machine => "ServiceAccount",
            Self::User => "User",
            Self::Legacy => "Service",
        }
    }
}

/// A token that has the right shape. Whether Phase knows it, only Phase can tell.
#[derive(Debug)]
pub(crate) struct Token {
    account: Account,
    bearer: SecretBytes,
    /// Of a full token: its public key, key share 0 and the key that unwraps share 1, each 64 hex
    /// digits with a colon between two. Decoded only where something is decrypted.
    keys: Option<SecretBytes>,
}

/// Why some bytes are no token; never holds any of them.
pub(crate) type Flaw = &'static str;

/// The `phase auth --no-store` answer: `{"authentication": {"token": "pss_service:…", …}}`.
#[derive(Deserialize)]
struct Printed {
    authentication: Option<PrintedToken>,
    token: Option<SecretBytes>,
}

#[derive(Deserialize)]
struct PrintedToken {
    token: SecretBytes,
}

impl Token {
    /// Reads one of the accepted forms.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Err("it is empty");
        }
        if bytes.starts_with(b"{") {
            let printed: Printed = serde_json::from_slice(bytes)
                .map_err(|_| "it starts like JSON, but is not what phase auth --no-store prints")?;
            let inner = printed.authentication.map(|a| a.token).or(printed.token);
            return match inner {
                Some(token) if !token.expose().trim_ascii().starts_with(b"{") => {
                    Self::parse(token.expose())
                }
                _ => Err("the JSON holds no token"),
            };
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
                Err("it starts with a variable's name, as a line of an env file does")
            }
            [b"Bearer", ..] => Err("it starts with the word Bearer, which is not part of it"),
            [token] if token.starts_with(b"pss_") => Self::full(token),
            [bearer] => Self::bare(Account::Machine, bearer),
            [b"ServiceAccount", bearer] => Self::bare(Account::Machine, bearer),
            [b"User", bearer] => Self::bare(Account::User, bearer),
            [b"Service", bearer] => Self::bare(Account::Legacy, bearer),
            _ => Err("there is white space inside it"),
        }
    }

    /// `pss_service:v2:<bearer>:<public key>:<key share 0>:<key share 1 unwrap key>`.
    fn full(token: &[u8]) -> Result<Self, Flaw> {
        let fields: Vec<&[u8]> = token.split(|byte| *byte == b':').collect();
        let [prefix, version, bearer, keys @ ..] = fields.as_slice() else {
            return Err("it breaks off");
        };
        let account = match (*prefix, *version) {
            (b"pss_service", b"v1") => Account::Legacy,
            (b"pss_service", b"v2") => Account::Machine,
            (b"pss_user", b"v1") => Account::User,
            (b"pss_service" | b"pss_user", _) => return Err("it has a version that is not known"),
            _ => return Err("it starts with neither pss_service: nor pss_user:"),
        };
        match keys {
            [a, b, c] if [a, b, c].iter().all(|key| is_key(key)) => {
                let Self {
                    account, bearer, ..
                } = Self::bare(account, bearer)?;
                let keys = Some(SecretBytes::new(keys.join(&b':')));
                Ok(Self {
                    account,
                    bearer,
                    keys,
                })
            }
            [_, _, _] => Err("one of its four fields is not 64 hex digits"),
            _ => Err("it does not have four fields behind its version"),
        }
    }

    fn bare(account: Account, bearer: &[u8]) -> Result<Self, Flaw> {
        if !is_key(bearer) {
            return Err("it is neither pss_service:…, pss_user:… nor 64 hex digits");
        }
        // The server compares in lower case.
        let bearer = SecretBytes::new(bearer.to_ascii_lowercase());
        Ok(Self {
            account,
            bearer,
            keys: None,
        })
    }

    /// Whether it is a whole `pss_…` token, for which the token endpoint answers.
    pub(crate) fn is_full(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether it is a service account's.
    pub(crate) fn is_of_a_machine(&self) -> bool {
        self.account == Account::Machine
    }

    /// Of a full token: its public key, key share 0 and the key that unwraps share 1, in hex digits.
    pub(crate) fn keys(&self) -> Option<[&[u8]; 3]> {
        let mut fields = self.keys.as_ref()?.expose().split(|byte| *byte == b':');
        Some([fields.next()?, fields.next()?, fields.next()?])
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> Vec<u8> {
        let parts = [
            b"Bearer ",
            self.account.word().as_bytes(),
            b" ",
            self.bearer.expose(),
        ];
        parts.concat()
    }
}

fn is_key(field: &[u8]) -> bool {
    field.len() == 64 && field.iter().all(u8::is_ascii_hexdigit)
}

/// `PHASE_*TOKEN*`: what gives access to Phase is not the command's.
pub(crate) fn is_token_variable(name: &[u8]) -> bool {
    name.strip_prefix(b"PHASE_")
        .is_some_and(|rest| rest.windows(5).any(|part| part == b"TOKEN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn read(text: &str) -> Result<(String, bool), Flaw> {
        let token = Token::parse(text.as_bytes())?;
        Ok((
            String::from_utf8(token.authorization()).unwrap(),
            token.is_full(),
        ))
    }

    #[test]
    fn each_form_gives_its_header() {
        let full = |prefix: &str| format!("{prefix}:{KEY}:{KEY}:{KEY}:{KEY}");
        for (text, header, is_full) in [
            (full("pss_service:v2"), "ServiceAccount", true),
            (full("pss_service:v1"), "Service", true),
            (full("pss_user:v1"), "User", true),
            (KEY.to_owned(), "ServiceAccount", false),
            (KEY.to_uppercase(), "ServiceAccount", false),
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
                read(&text),
                Ok((format!("Bearer {header} {KEY}"), is_full)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_token_is_refused_with_the_reason() {
        let (_, short) = KEY.split_at(1);
        let of = |prefix: &str, keys: &[&str]| [&[prefix], keys].concat().join(":");
        let service = |keys: &[&str]| of("pss_service:v2", keys);
        let odd = "it is neither pss_service:…, pss_user:… nor 64 hex digits";
        let space = "there is white space inside it";
        let version = "it has a version that is not known";
        let field = "one of its four fields is not 64 hex digits";
        let fields = "it does not have four fields behind its version";
        let quoted = "it starts with a quotation mark";
        let bearer = "it starts with the word Bearer, which is not part of it";
        let variable = "it starts with a variable's name, as a line of an env file does";
        let prefix = "it starts with neither pss_service: nor pss_user:";
        let no_json = "it starts like JSON, but is not what phase auth --no-store prints";
        let empty_json = "the JSON holds no token";
        for (text, flaw) in [
            (String::new(), "it is empty"),
            (" \n".into(), "it is empty"),
            ("x".into(), odd),
            (short.into(), odd),
            (service(&[short, KEY, KEY, KEY]), odd),
            (format!("{KEY} {KEY}"), space),
            (format!("user {KEY}"), space),
            (format!("pss_service:v2:{KEY}:{KEY} :{KEY}:{KEY}"), space),
            (format!("Bearer User {KEY}"), bearer),
            (format!("Bearer {KEY}"), bearer),
            (format!("\"{KEY}\""), quoted),
            (format!("'{KEY}'"), quoted),
            (format!("PHASE_SERVICE_TOKEN={KEY}"), variable),
            ("pss_service".into(), "it breaks off"),
            (of("pss_service:v3", &[KEY; 4]), version),
            (of("pss_user:v2", &[KEY; 4]), version),
            (of("pss_other:v1", &[KEY; 4]), prefix),
            (service(&[KEY; 3]), fields),
            (service(&[KEY; 5]), fields),
            (service(&[KEY, short, KEY, KEY]), field),
            (service(&[KEY, KEY, KEY, short]), field),
            ("{".into(), no_json),
            ("{}".into(), empty_json),
            (r#"{"token": "{}"}"#.into(), empty_json),
            (
                format!(r#"{{"token": "{{\"token\": \"{KEY}\"}}"}}"#),
                empty_json,
            ),
        ] {
            assert_eq!(read(&text), Err(flaw), "{text}");
        }
    }

    /// Bounded exhaustive: every string of a small alphabet, up to six characters.
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
