//! Canaries: secret values that no output, file or memory may contain unless a test says so.

#![expect(unsafe_code, reason = "std has no search for bytes in bytes")]

/// The values to search for, each as it is and as hexadecimal digits.
#[derive(Clone, Default)]
pub(crate) struct Canaries(Vec<Vec<u8>>);

impl Canaries {
    pub(crate) fn add(&mut self, value: &[u8]) {
        // Shorter values could occur by chance.
        assert!(
            value.len() >= 8,
            "a canary needs 8 bytes or more: {value:?}"
        );
        self.0.push(value.to_vec());
        let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.push(digits.into_bytes());
    }

    /// Adds every part of a token that is long enough to be secret: the bearer token and the key shares.
    pub(crate) fn add_token(&mut self, token: &[u8]) {
        let parts = token.split(|byte| !byte.is_ascii_alphanumeric());
        for part in parts.filter(|part| part.len() >= 32) {
            self.add(part);
        }
    }

    /// Returns the first canary found in `bytes`. Each call first checks that the search finds a planted
    /// canary.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<&[u8]> {
        for canary in &self.0 {
            let planted = [bytes, canary, b"\n"].concat();
            assert!(
                contains(&planted, canary),
                "the search misses a planted canary"
            );
        }
        self.0
            .iter()
            .map(Vec::as_slice)
            .find(|canary| contains(bytes, canary))
    }
}

/// Returns whether `bytes` contain the canary. It uses memmem(3), which is fast enough to search the
/// memory of a process.
pub(crate) fn contains(bytes: &[u8], canary: &[u8]) -> bool {
    let (bytes, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: memmem(3): reads two ranges, which are those of two slices.
    let found = unsafe { libc::memmem(bytes, length, canary.as_ptr().cast(), canary.len()) };
    !found.is_null()
}
