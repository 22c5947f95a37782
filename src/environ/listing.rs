#![forbid(unsafe_code)]
//! What `--dry-run` prints: names, folders, types and forms, never a value.

use super::plan::Plan;
use crate::log::{Format, escaped, json};

impl Plan {
    /// A line for each secret, by name: four fields with a TAB between two, or a JSON object.
    pub(crate) fn listing(&self, format: Format) -> String {
        let mut text = String::new();
        for planned in &self.secrets {
            let (name, folder, kind) =
                (&planned.name, &planned.secret.folder, &planned.secret.kind);
            let form = planned.form.word();
            text.push_str(&match format {
                Format::Text => {
                    format!(
                        "{}\t{}\t{}\t{form}",
                        escaped(name),
                        escaped(folder),
                        escaped(kind)
                    )
                }
                Format::Json => json(&[
                    ("name", name),
                    ("folder", folder),
                    ("type", kind),
                    ("form", form),
                ]),
            });
            text.push('\n');
        }
        text
    }
}
