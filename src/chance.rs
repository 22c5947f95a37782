#![forbid(unsafe_code)]
//! Chance, for what must not happen everywhere at once.

use ring::rand::{SecureRandom, SystemRandom};

/// From 0 to 1, 1 left out.
pub(crate) fn chance() -> f64 {
    let mut drawn = [0; 4];
    // getrandom(2) fails where the system has none at all, as TLS would before.
    let _ = SystemRandom::new().fill(&mut drawn);
    f64::from(u32::from_ne_bytes(drawn)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_differ_and_are_below_one() {
        let drawn: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.iter().all(|chance| (0.0..1.0).contains(chance)));
        assert!(drawn.iter().any(|chance| *chance != drawn[0]));
    }
}
