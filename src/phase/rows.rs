#![forbid(unsafe_code)]
//! Rows of an environment, as both interfaces send them: one in camelCase and in clear, one in
//! snake_case and sealed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::json::JsonObject;

/// Text straight from the answer's buffer, where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The list. Each row becomes a `T` at once, so that there is one copy of each value; `V` is what
/// stands for a value.
pub(super) struct Rows<'a, T, V> {
    pub(super) secrets: Vec<T>,
    pub(super) dynamic: Vec<DynamicRow<'a, V>>,
}

/// A secret.
pub(super) struct StaticRow<'a, V> {
    pub(super) id: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) value: V,
    pub(super) folder: String,
    pub(super) tags: Vec<String>,
    pub(super) kind: Cow<'static, str>,
    pub(super) personal: Option<Override<V>>,
}

/// A dynamic secret: a recipe for several variables, with values once it is leased.
pub(super) struct DynamicRow<'a, V> {
    pub(super) name: String,
    pub(super) folder: String,
    /// The names of its variables.
    pub(super) keys: Vec<V>,
    pub(super) lease: Option<LeaseRow<'a, V>>,
}

/// A user's own value, which replaces the shared one while it is active.
#[derive(Deserialize)]
pub(super) struct Override<V> {
    pub(super) value: V,
    #[serde(alias = "isActive")]
    pub(super) is_active: bool,
}

#[derive(Deserialize)]
pub(super) struct LeaseRow<'a, V> {
    #[serde(default = "Option::default")]
    pub(super) credentials: Option<Vec<JsonObject<Credential<V>>>>,
    #[serde(borrow, default, alias = "createdAt")]
    pub(super) created_at: Option<Text<'a>>,
    #[serde(borrow, default, alias = "expiresAt")]
    pub(super) expires_at: Option<Text<'a>>,
}

/// One variable of a lease.
#[derive(Deserialize)]
pub(super) struct Credential<V> {
    pub(super) key: V,
    pub(super) value: V,
}

#[derive(Deserialize)]
struct KeyName<V> {
    #[serde(alias = "keyName")]
    key_name: V,
}

/// A row of either kind and either form; other members are of no use here.
#[derive(Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de>"))]
struct Row<'a, V> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(default)]
    value: Option<V>,
    path: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(default)]
    r#override: Option<JsonObject<Override<V>>>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "Option::default", alias = "keyMap")]
    key_map: Option<Vec<JsonObject<KeyName<V>>>>,
    #[serde(borrow, default)]
    lease: Option<JsonObject<LeaseRow<'a, V>>>,
}

impl<'de, T, V> Deserialize<'de> for Rows<'de, T, V>
where
    T: From<StaticRow<'de, V>>,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, V>(PhantomData<(T, V)>);
        impl<'de, T, V> Visitor<'de> for List<T, V>
        where
            T: From<StaticRow<'de, V>>,
            V: Deserialize<'de>,
        {
            type Value = Rows<'de, T, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let (mut secrets, mut dynamic) = (Vec::new(), Vec::new());
                // With two of the tags asked for, a secret comes twice: one with fewer cannot.
                let mut seen = HashSet::new();
                while let Some(JsonObject(row)) = rows.next_element::<JsonObject<Row<'de, V>>>()? {
                    if row.tags.len() >= 2 && !seen.insert(row.id.0.clone()) {
                        continue;
                    }
                    match row.r#type.0 == "dynamic" {
                        true => dynamic.push(row.dynamic().map_err(A::Error::missing_field)?),
                        false => {
                            secrets.push(T::from(row.secret().map_err(A::Error::missing_field)?))
                        }
                    }
                }
                Ok(Rows { secrets, dynamic })
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

impl<V> LeaseRow<'_, V> {
    pub(super) fn holds_something(&self) -> bool {
        self.credentials.as_ref().is_some_and(|all| !all.is_empty())
    }
}

impl<'a, V> Row<'a, V> {
    fn secret(self) -> Result<StaticRow<'a, V>, &'static str> {
        let Text(kind) = self.r#type;
        let kind = match kind.as_ref() {
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
            kind,
            personal: self.r#override.map(|JsonObject(personal)| personal),
        })
    }

    fn dynamic(self) -> Result<DynamicRow<'a, V>, &'static str> {
        Ok(DynamicRow {
            name: self.name.ok_or("name")?,
            folder: self.path,
            keys: self
                .key_map
                .into_iter()
                .flatten()
                .map(|JsonObject(one)| one.key_name)
                .collect(),
            lease: self.lease.map(|JsonObject(lease)| lease),
        })
    }
}
