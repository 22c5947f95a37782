//! Random numbers that are the same in each run (xorshift64*), so that runs can be compared.

#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// Returns a number from 0 up to but not including 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let high_half = u32::try_from(mixed >> 32);
        f64::from(high_half.unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}
