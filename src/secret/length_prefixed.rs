#![forbid(unsafe_code)]
//! Byte fields with their length in front, so that different lists of fields never give the same bytes.
//!
//! A length is 8 bytes, little-endian. The files of snapshots are written like this, so a change here
//! makes all of them unreadable.

/// The size of a length or a count, in bytes.
pub(crate) const LENGTH_SIZE: usize = 8;

/// Encodes a length or a count.
pub(crate) fn encode_length(length: usize) -> [u8; LENGTH_SIZE] {
    (length as u64).to_le_bytes()
}

/// Appends a field after its length.
pub(crate) fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend_from_slice(&encode_length(field.len()));
    bytes.extend_from_slice(field);
}

/// Takes a length or a count off the front of `rest`, or returns `None` if `rest` is too short.
pub(crate) fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u64::from_le_bytes(*length)).ok()
}

/// Takes a field off the front of `rest`, or returns `None` if `rest` is too short.
pub(crate) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(rest)?;
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushed_fields_are_taken_back() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"ab");
        assert_eq!(bytes, b"\x02\0\0\0\0\0\0\0ab");
        push(&mut bytes, b"");
        let mut rest = bytes.as_slice();
        assert_eq!(take(&mut rest), Some(&b"ab"[..]));
        assert_eq!(take(&mut rest), Some(&b""[..]));
        assert_eq!(take(&mut rest), None);
    }

    #[test]
    fn field_longer_than_rest_is_none() {
        for short in [&b""[..], b"\x01", b"\x01\0\0\0\0\0\0\0", &[0xff; 20]] {
            assert_eq!(take(&mut &*short), None, "{short:?}");
        }
    }
}
