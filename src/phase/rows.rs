#![forbid(unsafe_code)]
//! The rows of an environment as JSON: in camelCase and in plain text from the REST interface, in
//! snake_case and encrypted from the end-to-end interface.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::json::{JsonObject, LimitedVec, MAX_ITEMS, STRING_INSTEAD, limit_exceeded, strict_bool};

/// The most tags of all secrets of an environment together.
const MAX_TAGS: usize = 200_000;

/// The longest name in bytes: a key (encrypted or not), a folder's path, a type or the name of a dynamic
/// secret. No variable can have a name of half of that.
const MAX_NAME_BYTES: usize = 256 << 10;

/// The most bytes of all names together: keys, folders, types, tags and names of dynamic secrets. Those that
/// are copied for each variable of a dynamic secret count as often.
const MAX_ALL_NAMES_BYTES: usize = 16 << 20;

/// A string that borrows from the response's body if it contains no escapes. serde borrows a plain
/// `Cow` only with an attribute, which does not reach into an `Option`.
#[derive(Deserialize)]
pub(super) struct CowStr<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The rows of an environment. Each static one is converted to `T` as soon as it is parsed, so that
/// only one copy of each value exists.
pub(super) struct SecretRows<'a, T> {
    pub(super) secrets: Vec<T>,
    pub(super) dynamic_rows: Vec<DynamicRow<'a>>,
    /// The ID of the environment that all rows belong to, if one says so.
    pub(super) environment: Option<Cow<'a, str>>,
}

/// A static secret, as opposed to a dynamic one.
pub(super) struct StaticRow<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
    pub(super) folder: String,
    pub(super) tags: Vec<String>,
    pub(super) secret_type: Cow<'static, str>,
    pub(super) personal_override: Option<Override<'a>>,
}

/// A dynamic secret: several variables, whose values exist only in a lease.
pub(super) struct DynamicRow<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) name: String,
    pub(super) folder: String,
    /// The keys of its variables.
    pub(super) keys: Vec<Cow<'a, str>>,
    pub(super) lease: Option<LeaseRow<'a>>,
}

/// A personal value of one user, which replaces the shared value while it is active.
#[derive(Deserialize)]
pub(super) struct Override<'a> {
    #[serde(borrow)]
    pub(super) value: CowStr<'a>,
    #[serde(alias = "isActive", deserialize_with = "strict_bool")]
    pub(super) is_active: bool,
}

/// A lease of a dynamic secret.
#[derive(Deserialize)]
pub(super) struct LeaseRow<'a> {
    #[serde(borrow, default = "Option::default")]
    pub(super) credentials: Option<LimitedVec<JsonObject<LeasedVariable<'a>>>>,
    #[serde(borrow, default, alias = "createdAt")]
    pub(super) created_at: Option<CowStr<'a>>,
    #[serde(borrow, default, alias = "expiresAt")]
    pub(super) expires_at: Option<CowStr<'a>>,
    #[serde(borrow, default, alias = "revokedAt")]
    pub(super) revoked_at: Option<CowStr<'a>>,
    #[serde(borrow, default)]
    pub(super) status: Option<CowStr<'a>>,
    /// The ID of the dynamic secret that was leased.
    #[serde(borrow, default)]
    pub(super) secret: Option<CowStr<'a>>,
}

/// A variable with its leased value.
#[derive(Deserialize)]
pub(super) struct LeasedVariable<'a> {
    #[serde(borrow)]
    pub(super) key: CowStr<'a>,
    #[serde(borrow)]
    pub(super) value: CowStr<'a>,
}

#[derive(Deserialize)]
struct KeyName<'a> {
    #[serde(borrow, alias = "keyName")]
    key_name: CowStr<'a>,
}

/// A static or dynamic row from either interface. Unknown members are ignored.
#[derive(Deserialize)]
struct RawRow<'a> {
    #[serde(borrow)]
    id: CowStr<'a>,
    #[serde(borrow, default)]
    key: Option<CowStr<'a>>,
    #[serde(borrow, default)]
    value: Option<CowStr<'a>>,
    #[serde(borrow)]
    path: CowStr<'a>,
    #[serde(borrow, default)]
    tags: LimitedVec<CowStr<'a>>,
    #[serde(borrow)]
    r#type: CowStr<'a>,
    /// The ID of the environment that it belongs to.
    #[serde(borrow, default)]
    environment: Option<CowStr<'a>>,
    #[serde(borrow, default = "Option::default")]
    r#override: Option<JsonObject<Override<'a>>>,
    #[serde(borrow, default)]
    name: Option<CowStr<'a>>,
    #[serde(borrow, default = "Option::default", alias = "keyMap")]
    key_map: Option<LimitedVec<JsonObject<KeyName<'a>>>>,
    #[serde(borrow, default = "Option::default")]
    lease: Option<JsonObject<LeaseRow<'a>>>,
}

impl<'de, T> Deserialize<'de> for SecretRows<'de, T>
where
    T: TryFrom<StaticRow<'de>, Error = &'static str>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor<T>(PhantomData<T>);
        impl<'de, T> Visitor<'de> for RowsVisitor<T>
        where
            T: TryFrom<StaticRow<'de>, Error = &'static str>,
        {
            type Value = SecretRows<'de, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom(STRING_INSTEAD))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let (mut secrets, mut dynamic_rows) = (Vec::new(), Vec::new());
                // The server sends a secret once for each requested tag that it has, so only rows
                // with several tags can be duplicates.
                let mut seen = HashMap::new();
                let hasher = RandomState::new();
                let mut sizes = Sizes::default();
                let mut environment: Option<Cow<'de, str>> = None;
                while let Some(JsonObject(row)) = rows.next_element::<JsonObject<RawRow<'de>>>()? {
                    sizes.add(&row).map_err(limit_exceeded)?;
                    if let Some(CowStr(of_row)) = &row.environment {
                        let first = environment.get_or_insert_with(|| of_row.clone());
                        if first != of_row {
                            return Err(A::Error::custom("rows of two environments"));
                        }
                    }
                    if row.tags.0.len() >= 2 {
                        let digest = row.digest(&hasher);
                        match seen.entry(hasher.hash_one(&row.id.0)) {
                            Entry::Occupied(first) if *first.get() == digest => continue,
                            Entry::Occupied(_) => {
                                return Err(A::Error::custom("two rows with one ID differ"));
                            }
                            Entry::Vacant(entry) => entry.insert(digest),
                        };
                    }
                    if row.r#type.0 == "dynamic" {
                        let mut row = row.into_dynamic().map_err(A::Error::missing_field)?;
                        row.copy_values().map_err(limit_exceeded)?;
                        dynamic_rows.push(row);
                        continue;
                    }
                    let row = row.into_static().map_err(A::Error::missing_field)?;
                    secrets.push(T::try_from(row).map_err(limit_exceeded)?);
                }
                Ok(SecretRows {
                    secrets,
                    dynamic_rows,
                    environment,
                })
            }
        }
        deserializer.deserialize_any(RowsVisitor(PhantomData))
    }
}

/// The sizes of the rows that have been read, and of what they become.
#[derive(Default)]
struct Sizes {
    /// Rows, each dynamic one counted with its variables.
    secrets: usize,
    tags: usize,
    name_bytes: usize,
}

impl Sizes {
    /// Adds a row. The error says which limit it exceeds.
    fn add(&mut self, row: &RawRow<'_>) -> Result<(), &'static str> {
        let length = |name: &Option<CowStr<'_>>| name.as_ref().map_or(0, |name| name.0.len());
        let keys = row.key_map.iter().flat_map(|LimitedVec(keys)| keys);
        let lease = row.lease.as_ref();
        let leased = lease.and_then(|JsonObject(lease)| lease.credentials.as_ref());
        let leased = leased.into_iter().flat_map(|LimitedVec(leased)| leased);
        let variables = keys.clone().count().max(leased.clone().count()).max(1);
        let names_of_variables = keys
            .map(|JsonObject(key)| key.key_name.0.len())
            .chain(leased.map(|JsonObject(leased)| leased.key.0.len()));
        let single_names = names_of_variables
            .chain(row.tags.0.iter().map(|tag| tag.0.len()))
            .chain([length(&row.key), row.r#type.0.len()]);
        let copied_names = [row.path.0.len(), length(&row.name)];
        let longest = single_names.clone().chain(copied_names).max();
        let copied_bytes = copied_names.iter().sum::<usize>() * variables;
        self.secrets += variables;
        self.tags += row.tags.0.len();
        self.name_bytes += single_names.sum::<usize>() + copied_bytes;
        match self {
            _ if longest > Some(MAX_NAME_BYTES) => Err("256 KiB in one name"),
            Self { secrets, .. } if *secrets > MAX_ITEMS => Err("20,000 secrets"),
            Self { tags, .. } if *tags > MAX_TAGS => Err("200,000 tags"),
            Self { name_bytes, .. } if *name_bytes > MAX_ALL_NAMES_BYTES => {
                Err("16 MiB of keys, folders, tags and other names")
            }
            _ => Ok(()),
        }
    }
}

impl RawRow<'_> {
    /// Returns a keyed hash of what a secret consists of, to compare rows with the same ID.
    fn digest(&self, hasher: &RandomState) -> u64 {
        let mut tags: Vec<&str> = self.tags.0.iter().map(|tag| &*tag.0).collect();
        tags.sort_unstable();
        let personal = self.r#override.as_ref();
        let personal = personal.map(|JsonObject(personal)| (&personal.value.0, personal.is_active));
        hasher.hash_one((
            self.key.as_ref().map(|key| &key.0),
            self.value.as_ref().map(|value| &value.0),
            &self.path.0,
            &self.r#type.0,
            tags,
            personal,
            self.name.as_ref().map(|name| &name.0),
        ))
    }
}

impl DynamicRow<'_> {
    /// Copies the leased values out of the response. See [`copy_text`].
    fn copy_values(&mut self) -> Result<(), &'static str> {
        let leased = self
            .lease
            .iter_mut()
            .flat_map(|lease| &mut lease.credentials);
        for JsonObject(variable) in leased.flat_map(|LimitedVec(leased)| leased) {
            let value = std::mem::take(&mut variable.value.0);
            variable.value.0 = Cow::Owned(copy_text(value)?);
        }
        Ok(())
    }
}

/// Copies a text out of the response, however long it is.
///
/// # Errors
/// The end of a message, if there is no memory for the copy: failing to allocate would abort the process
/// without one.
pub(super) fn copy_text(text: Cow<'_, str>) -> Result<String, &'static str> {
    match text {
        Cow::Owned(text) => Ok(text),
        Cow::Borrowed(text) => {
            let mut copy = String::new();
            let reserved = copy.try_reserve_exact(text.len());
            reserved.map_err(|_| "fits into memory")?;
            copy.push_str(text);
            Ok(copy)
        }
    }
}

impl LeaseRow<'_> {
    pub(super) fn has_variables(&self) -> bool {
        self.credentials
            .as_ref()
            .is_some_and(|LimitedVec(all)| !all.is_empty())
    }
}

impl<'a> RawRow<'a> {
    fn into_static(self) -> Result<StaticRow<'a>, &'static str> {
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
            value: self.value.ok_or("value")?.0,
            folder: self.path.0.into_owned(),
            tags: self
                .tags
                .0
                .into_iter()
                .map(|tag| tag.0.into_owned())
                .collect(),
            secret_type,
            personal_override: self.r#override.map(|JsonObject(personal)| personal),
        })
    }

    fn into_dynamic(self) -> Result<DynamicRow<'a>, &'static str> {
        Ok(DynamicRow {
            id: self.id.0,
            name: self.name.ok_or("name")?.0.into_owned(),
            folder: self.path.0.into_owned(),
            keys: self
                .key_map
                .into_iter()
                .flat_map(|LimitedVec(keys)| keys)
                .map(|JsonObject(variable)| variable.key_name.0)
                .collect(),
            lease: self.lease.map(|JsonObject(lease)| lease),
        })
    }
}
