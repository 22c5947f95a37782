//! Identifiers that are the same in every run, because they are derived from what they identify.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Derives a UUID in the form of version 4 from `parts`.
pub(crate) fn uuid(parts: &[&str]) -> String {
    let bits = (u128::from(hash(0, parts)) << 64) | u128::from(hash(1, parts));
    let bits = bits & !(0xf000 << 64) | (0x4000 << 64);
    let bits = bits & !(0xc << 60) | (0x8 << 60);
    let hex = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// Derives 64 hex digits from `parts`.
pub(crate) fn digest(parts: &[&str]) -> String {
    (2..6)
        .map(|round| format!("{:016x}", hash(round, parts)))
        .collect()
}

fn hash(round: u8, parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    round.hash(&mut hasher);
    parts.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_is_well_formed_and_stable() {
        let id = uuid(&["app", "shop"]);
        assert_eq!(id, uuid(&["app", "shop"]));
        assert_ne!(id, uuid(&["app", "shop2"]));
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.chars().nth(14), Some('4'));
        assert!(matches!(id.chars().nth(19), Some('8'..='b')));
        assert_eq!(digest(&["x"]).len(), 64);
    }
}
