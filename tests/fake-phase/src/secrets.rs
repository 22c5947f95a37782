//! The list of an environment's secrets that a request gets.

use serde_json::Value;

use crate::environment::{Environment, Row};
use crate::world::Account;

/// In which of its two forms a secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `v1/secrets/`: camelCase, in clear.
    Plain,
    /// `service/secrets/`: snake_case, boxed.
    Boxed,
}

/// Which secrets a request wants.
pub(crate) struct Selection {
    pub(crate) path: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    /// A key, or the digest of one when the form is boxed.
    pub(crate) key: Option<String>,
    pub(crate) dynamic: bool,
    pub(crate) lease: bool,
}

/// The JSON array. A row that matches two tags is in it twice, and with `tags` a row's own tags
/// come sorted.
pub(crate) fn body(
    environment: &Environment,
    account: Account,
    form: Form,
    selection: &Selection,
) -> Vec<u8> {
    let boxed;
    let (rows, dynamic) = match form {
        Form::Plain => (&environment.rows, &environment.dynamic),
        Form::Boxed => {
            boxed = environment.boxed_rows();
            let [rows, dynamic] = &boxed;
            (rows, dynamic)
        }
    };
    let key_field = match form {
        Form::Plain => "key",
        Form::Boxed => "key_digest",
    };
    let in_path = |row: &&Row| {
        selection
            .path
            .as_ref()
            .is_none_or(|path| row.text("path") == path)
    };
    let has_key = |row: &&Row| {
        selection
            .key
            .as_ref()
            .is_none_or(|key| row.text(key_field) == key)
    };
    let mut list = List(vec![b'[']);
    for row in rows.iter().filter(in_path).filter(has_key) {
        let times = match &selection.tags {
            None => 1,
            Some(tags) => tags_of(row)
                .filter(|tag| tags.iter().any(|asked| asked == tag))
                .count(),
        };
        for _ in 0..times {
            list.push(row, account, selection.tags.is_some(), true);
        }
    }
    for row in dynamic.iter().filter(|_| selection.dynamic).filter(in_path) {
        list.push(row, account, false, selection.lease);
    }
    list.0.push(b']');
    list.0
}

fn tags_of(row: &Row) -> impl Iterator<Item = &str> {
    let tags = row
        .fields
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    tags.filter_map(Value::as_str)
}

/// JSON written field by field: no copy of values that may be megabytes.
struct List(Vec<u8>);

impl List {
    fn push(&mut self, row: &Row, account: Account, sorted_tags: bool, lease: bool) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        let mut separator = b'{';
        for (name, value) in row
            .fields
            .iter()
            .filter(|(name, _)| lease || *name != "lease")
        {
            self.0.push(separator);
            separator = b',';
            serde_json::to_writer(&mut self.0, name).unwrap();
            self.0.push(b':');
            let personal = row.personal.get(name).filter(|_| account == Account::User);
            if sorted_tags && name == "tags" {
                let mut tags: Vec<&str> = tags_of(row).collect();
                tags.sort_unstable();
                serde_json::to_writer(&mut self.0, &tags).unwrap();
            } else {
                serde_json::to_writer(&mut self.0, personal.unwrap_or(value)).unwrap();
            }
        }
        if separator == b'{' {
            self.0.push(b'{');
        }
        self.0.push(b'}');
    }
}
