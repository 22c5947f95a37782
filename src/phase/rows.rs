#![forbid(unsafe_code)]
//! The rows of an environment as JSON: in camelCase and in plain text from the REST interface, in
//! snake_case and encrypted from the end-to-end interface.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::json::JsonObject;
use crate::secret::SecretBytes;

/// A string that borrows from the response's body if it contains no escapes. serde borrows a plain
/// `Cow` only with an attribute, which does not reach into an `Option`.
#[derive(Deserialize)]
pub(super) struct CowStr<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The rows of an environment. Each static one is converted to `T` as soon as it is parsed, so that
/// only one copy of each value exists. `V` is the type of a value, decrypted or not.
pub(super) struct SecretRows<'a, T, V> {
    pub(super) secrets: Vec<T>,
    pub(super) dynamic_rows: Vec<DynamicRow<'a, V>>,
}

/// A static secret, as opposed to a dynamic one.
pub(super) struct StaticRow<'a, V> {
    pub(super) id: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) value: V,
    pub(super) folder: String,
    pub(super) tags: Vec<String>,
    pub(super) secret_type: Cow<'static, str>,
    pub(super) personal_override: Option<Override<V>>,
}

/// A dynamic secret: several variables, whose values exist only in a lease.
pub(super) struct DynamicRow<'a, V> {
    pub(super) name: String,
    pub(super) folder: String,
    /// The keys of its variables.
    pub(super) keys: Vec<Cow<'a, str>>,
    pub(super) lease: Option<LeaseRow<'a, V>>,
}

/// A personal value of one user, which replaces the shared value while it is active.
#[derive(Deserialize)]
pub(super) struct Override<V> {
    pub(super) value: V,
    #[serde(alias = "isActive")]
    pub(super) is_active: bool,
}

/// A lease of a dynamic secret.
#[derive(Deserialize)]
pub(super) struct LeaseRow<'a, V> {
    #[serde(borrow, default = "Option::default")]
    pub(super) credentials: Option<Vec<JsonObject<LeasedVariable<'a, V>>>>,
    #[serde(borrow, default, alias = "createdAt")]
    pub(super) created_at: Option<CowStr<'a>>,
    #[serde(borrow, default, alias = "expiresAt")]
    pub(super) expires_at: Option<CowStr<'a>>,
}

/// A variable with its leased value.
#[derive(Deserialize)]
pub(super) struct LeasedVariable<'a, V> {
    #[serde(borrow)]
    pub(super) key: CowStr<'a>,
    pub(super) value: V,
}

#[derive(Deserialize)]
struct KeyName<'a> {
    #[serde(borrow, alias = "keyName")]
    key_name: CowStr<'a>,
}

/// A static or dynamic row from either interface. Unknown members are ignored.
#[derive(Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de>"))]
struct RawRow<'a, V> {
    #[serde(borrow)]
    id: CowStr<'a>,
    #[serde(borrow, default)]
    key: Option<CowStr<'a>>,
    #[serde(default)]
    value: Option<V>,
    path: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(borrow)]
    r#type: CowStr<'a>,
    #[serde(default)]
    r#override: Option<JsonObject<Override<V>>>,
    #[serde(default)]
    name: Option<String>,
    #[serde(borrow, default = "Option::default", alias = "keyMap")]
    key_map: Option<Vec<JsonObject<KeyName<'a>>>>,
    #[serde(borrow, default)]
    lease: Option<JsonObject<LeaseRow<'a, V>>>,
}

impl<'de, T, V> Deserialize<'de> for SecretRows<'de, T, V>
where
    T: From<StaticRow<'de, V>>,
    V: Deserialize<'de> + RowValue,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor<T, V>(PhantomData<(T, V)>);
        impl<'de, T, V> Visitor<'de> for RowsVisitor<T, V>
        where
            T: From<StaticRow<'de, V>>,
            V: Deserialize<'de> + RowValue,
        {
            type Value = SecretRows<'de, T, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let (mut secrets, mut dynamic_rows) = (Vec::new(), Vec::new());
                // The server sends a secret once for each requested tag that it has, so only rows
                // with several tags can be duplicates.
                let mut seen = HashMap::new();
                let hasher = RandomState::new();
                while let Some(JsonObject(row)) =
                    rows.next_element::<JsonObject<RawRow<'de, V>>>()?
                {
                    if row.tags.len() >= 2 {
                        let digest = row.digest(&hasher);
                        match seen.entry(row.id.0.clone()) {
                            Entry::Occupied(first) if *first.get() == digest => continue,
                            Entry::Occupied(_) => {
                                return Err(A::Error::custom("two rows with one ID differ"));
                            }
                            Entry::Vacant(entry) => entry.insert(digest),
                        };
                    }
                    match row.r#type.0 == "dynamic" {
                        true => {
                            dynamic_rows.push(row.into_dynamic().map_err(A::Error::missing_field)?)
                        }
                        false => secrets
                            .push(T::from(row.into_static().map_err(A::Error::missing_field)?)),
                    }
                }
                Ok(SecretRows {
                    secrets,
                    dynamic_rows,
                })
            }
        }
        deserializer.deserialize_seq(RowsVisitor(PhantomData))
    }
}

/// A value or a key as it is in the row.
pub(super) trait RowValue {
    fn as_bytes(&self) -> &[u8];
}

impl RowValue for CowStr<'_> {
    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl RowValue for SecretBytes {
    fn as_bytes(&self) -> &[u8] {
        self.expose()
    }
}

impl<V: RowValue> RawRow<'_, V> {
    /// Returns a keyed hash of what a secret consists of, to compare rows with the same ID.
    fn digest(&self, hasher: &RandomState) -> u64 {
        let mut tags: Vec<&String> = self.tags.iter().collect();
        tags.sort();
        let personal = self.r#override.as_ref();
        let personal =
            personal.map(|JsonObject(personal)| (personal.value.as_bytes(), personal.is_active));
        hasher.hash_one((
            self.key.as_ref().map(CowStr::as_bytes),
            self.value.as_ref().map(V::as_bytes),
            &self.path,
            &self.r#type.0,
            tags,
            personal,
            &self.name,
        ))
    }
}

impl<V> LeaseRow<'_, V> {
    pub(super) fn has_variables(&self) -> bool {
        self.credentials.as_ref().is_some_and(|all| !all.is_empty())
    }
}

impl<'a, V> RawRow<'a, V> {
    fn into_static(self) -> Result<StaticRow<'a, V>, &'static str> {
        let CowStr(text) = self.r#type;
        let secret_type = match text.as_ref() {
            "secret" => Cow::Borrowed("secret"),
            "sealed" => Cow::Borrowed("sealed"),
            "config" => Cow::Borrowed("config"),
            other => Cow::Owned(other.to_owned()),
        };
        Ok(StaticRow {
            id: self.id.0,
            key: self.key.ok_or("key")?.0,
            value: self.value.ok_or("value")?,
            folder: self.path,
            tags: self.tags,
            secret_type,
            personal_override: self.r#override.map(|JsonObject(personal)| personal),
        })
    }

    fn into_dynamic(self) -> Result<DynamicRow<'a, V>, &'static str> {
        Ok(DynamicRow {
            name: self.name.ok_or("name")?,
            folder: self.path,
            keys: self
                .key_map
                .into_iter()
                .flatten()
                .map(|JsonObject(variable)| variable.key_name.0)
                .collect(),
            lease: self.lease.map(|JsonObject(lease)| lease),
        })
    }
}
