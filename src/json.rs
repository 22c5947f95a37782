#![forbid(unsafe_code)]
//! serde wrappers that read JSON strictly: only objects, and lists of a limited length.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most items of one list in a response. Real lists are far shorter.
pub(crate) const MAX_ITEMS: usize = 20_000;

/// The error for a string where another type belongs. serde's own error would contain the whole string with
/// escapes, which takes seconds and several times its size in memory. It is avoided by visitors for any
/// type: with `deserialize_map` and the like, serde_json makes the error itself.
pub(crate) const STRING_INSTEAD: &str = "a string instead of another type";

/// The start of the errors of [`limit_exceeded`]. serde's own errors do not start like this.
const LIMIT_PREFIX: &str = "more than ";

/// Parses a JSON document. Bytes that are not UTF-8 are not JSON, and neither is the empty text.
///
/// serde_json has a second parser for bytes, which the program does not contain because of this.
///
/// # Errors
/// Those of serde_json.
pub(crate) fn from_bytes<'b, T: Deserialize<'b>>(json: &'b [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_str(std::str::from_utf8(json).unwrap_or_default())
}

/// Deserializes a struct from a JSON object only. serde would also accept an array of its members.
pub(crate) struct JsonObject<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = JsonObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(STRING_INSTEAD))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<JsonObject<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(JsonObject)
            }
        }
        deserializer.deserialize_any(Members(PhantomData))
    }
}

/// A list of at most [`MAX_ITEMS`] items. An item of JSON can be shorter than the item in memory, so
/// the size of the text is no bound on the memory.
pub(crate) struct LimitedVec<T>(pub(crate) Vec<T>);

impl<T> Default for LimitedVec<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for LimitedVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = LimitedVec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(STRING_INSTEAD))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    if items.len() == MAX_ITEMS {
                        return Err(limit_exceeded("20,000 items in a list"));
                    }
                    items.push(item);
                }
                Ok(LimitedVec(items))
            }
        }
        deserializer.deserialize_any(Items(PhantomData))
    }
}

/// Reads `true` or `false`.
pub(crate) fn strict_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct TrueOrFalse;
    impl Visitor<'_> for TrueOrFalse {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
            Err(E::custom(STRING_INSTEAD))
        }
    }
    deserializer.deserialize_any(TrueOrFalse)
}

/// The error for a document that has more of something than phase-run accepts. `limit` names the number
/// and the thing.
pub(crate) fn limit_exceeded<E: Error>(limit: &'static str) -> E {
    E::custom(format_args!("{LIMIT_PREFIX}{limit}"))
}

/// Returns the text of an error of [`limit_exceeded`], such as `more than 20,000 items in a list`.
pub(crate) fn exceeded_limit(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (limit, _) = text.split_once(" at line ")?;
    limit.starts_with(LIMIT_PREFIX).then(|| limit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_of_another_type_is_not_in_the_error() {
        #[derive(serde::Deserialize)]
        struct Flag(#[serde(deserialize_with = "strict_bool")] bool);
        let json = "\"some text\"";
        let errors = [
            serde_json::from_str::<JsonObject<String>>(json).err(),
            serde_json::from_str::<LimitedVec<String>>(json).err(),
            serde_json::from_str::<Flag>(json).err(),
        ];
        for error in errors {
            let error = error.unwrap().to_string();
            assert!(error.starts_with(STRING_INSTEAD), "{error}");
        }
        let flag = serde_json::from_str::<Flag>("true").unwrap();
        assert!(flag.0);
    }
}
