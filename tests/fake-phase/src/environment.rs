//! An environment of the fake Phase and the rows in it: what `v1/secrets/` and `service/secrets/`
//! have to answer from.

use serde_json::{Map, Value, json};

use crate::identifiers::{digest, uuid};
use crate::world::{Account, STAMP};

/// One environment of an app.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) env_type: String,
    pub(crate) index: usize,
    pub(crate) created: String,
    pub(crate) updated: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) boxed: Vec<Row>,
    pub(crate) dynamic: Vec<Row>,
    pub(crate) boxed_dynamic: Vec<Row>,
    pub(crate) hidden_from: Vec<Account>,
    /// What the token endpoint says of it, where it was captured.
    pub(crate) keys: Vec<(Account, Value)>,
}

/// One secret as a JSON object, with the fields that a user token sees otherwise.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) fields: Map<String, Value>,
    pub(crate) personal: Map<String, Value>,
}

impl Environment {
    pub(crate) fn new(app_id: &str, name: &str, env_type: &str, index: usize) -> Environment {
        Environment {
            id: uuid(&["environment", app_id, name]),
            name: name.to_owned(),
            env_type: env_type.to_owned(),
            index,
            created: STAMP.to_owned(),
            updated: STAMP.to_owned(),
            rows: Vec::new(),
            boxed: Vec::new(),
            dynamic: Vec::new(),
            boxed_dynamic: Vec::new(),
            hidden_from: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Its UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Appends a secret to `folder` (`/` is the root), with the fields of a captured row. Values
    /// are literal: the server resolves references, this one has none to resolve.
    pub fn secret(&mut self, folder: &str, key: &str, value: &str) -> &mut Row {
        let path = normalised(folder);
        let count = self.rows.len().to_string();
        let folder = match path.as_str() {
            "/" => Value::Null,
            _ => uuid(&["folder", &self.id, &path]).into(),
        };
        self.row(json!({
            "id": uuid(&["secret", &self.id, &path, key, &count]),
            "key": key,
            "value": value,
            "comment": "",
            "tags": [],
            "override": null,
            "type": "secret",
            "lifecycle": "static",
            "path": path,
            "keyDigest": digest(&["key", &self.id, key]),
            "version": 1,
            "createdAt": STAMP,
            "updatedAt": STAMP,
            "environment": self.id,
            "folder": folder,
        }))
    }

    /// Appends a row of `v1/secrets/` as it is. Anything that is not an object is not a row.
    pub fn row(&mut self, row: Value) -> &mut Row {
        append(&mut self.rows, row)
    }

    /// Appends a row of `service/secrets/` (end-to-end encryption) as it is.
    pub fn boxed_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.boxed, row)
    }

    /// Appends a dynamic secret of `v1/secrets/` as it is. Its `lease` is left out unless asked for.
    pub fn dynamic_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.dynamic, row)
    }

    /// Appends a dynamic secret of `service/secrets/` as it is.
    pub fn boxed_dynamic_row(&mut self, row: Value) -> &mut Row {
        append(&mut self.boxed_dynamic, row)
    }

    /// The first row of this folder and key.
    pub fn find(&mut self, folder: &str, key: &str) -> Option<&mut Row> {
        let path = normalised(folder);
        self.rows
            .iter_mut()
            .find(|row| row.text("path") == path && row.text("key") == key)
    }

    /// Removes every row of this folder and key.
    pub fn remove(&mut self, folder: &str, key: &str) -> &mut Environment {
        let path = normalised(folder);
        self.rows
            .retain(|row| row.text("path") != path || row.text("key") != key);
        self
    }

    /// Removes all rows.
    pub fn clear(&mut self) -> &mut Environment {
        self.rows.clear();
        self.boxed.clear();
        self.dynamic.clear();
        self.boxed_dynamic.clear();
        self
    }

    /// No account may read it.
    pub fn hidden(&mut self) -> &mut Environment {
        self.hidden_from(Account::ServiceAccount)
            .hidden_from(Account::User)
    }

    /// This account may not read it.
    pub fn hidden_from(&mut self, account: Account) -> &mut Environment {
        self.hidden_from.push(account);
        self
    }

    /// Every account may read it.
    pub fn visible(&mut self) -> &mut Environment {
        self.hidden_from.clear();
        self
    }

    pub(crate) fn readable_by(&self, account: Account) -> bool {
        !self.hidden_from.contains(&account)
    }
}

impl Row {
    /// Its tags, in the order in which an answer without `tags` has them.
    pub fn tags(&mut self, tags: &[&str]) -> &mut Row {
        self.set("tags", tags.into())
    }

    /// Its `type`: `secret`, `sealed`, `config`.
    pub fn kind(&mut self, kind: &str) -> &mut Row {
        self.set("type", kind.into())
    }

    /// Its UUID.
    pub fn id(&mut self, id: &str) -> &mut Row {
        self.set("id", id.into())
    }

    /// Another value.
    pub fn value(&mut self, value: &str) -> &mut Row {
        self.set("value", value.into())
    }

    /// Any field.
    pub fn set(&mut self, field: &str, value: Value) -> &mut Row {
        self.fields.insert(field.to_owned(), value);
        self
    }

    /// What user tokens get as `override`.
    pub fn overridden(&mut self, value: &str, active: bool) -> &mut Row {
        let personal = json!({
            "id": uuid(&["override", self.text("id")]),
            "value": value,
            "isActive": active,
            "createdAt": STAMP,
            "updatedAt": STAMP,
        });
        self.personal.insert("override".to_owned(), personal);
        self
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// `backend//db/` is `/backend/db`, as the server has it.
pub(crate) fn normalised(folder: &str) -> String {
    let names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    format!("/{}", names.join("/"))
}

fn append(rows: &mut Vec<Row>, row: Value) -> &mut Row {
    let Value::Object(fields) = row else {
        panic!("a row is a JSON object, not {row}")
    };
    rows.push(Row {
        fields,
        personal: Map::new(),
    });
    rows.last_mut().unwrap()
}
