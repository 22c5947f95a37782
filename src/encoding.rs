#![forbid(unsafe_code)]
//! The encoding of files and variables: UTF-8, with or without a byte order mark.
//!
//! Editors and shells on Windows write the mark, which no one sees, and some write UTF-16.

/// U+FEFF in UTF-8.
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// U+FEFF in UTF-16, little-endian and big-endian.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Why a text in UTF-16 cannot be used, for messages.
pub(crate) const IS_UTF_16: &str = "it is encoded in UTF-16; UTF-8 is required";

/// Returns the bytes without the byte order mark of UTF-8 at their start.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes)
}

/// Whether the bytes start with a byte order mark of UTF-16.
pub(crate) fn is_utf_16(bytes: &[u8]) -> bool {
    UTF_16_MARKS.iter().any(|mark| bytes.starts_with(mark))
}

/// Removes the byte order mark of UTF-8 from the content of a file.
///
/// # Errors
/// [`IS_UTF_16`] if the file has a mark of UTF-16.
pub(crate) fn decode_file(mut content: Vec<u8>) -> std::io::Result<Vec<u8>> {
    if is_utf_16(&content) {
        return Err(std::io::Error::other(IS_UTF_16));
    }
    let mark = content.len() - without_mark(&content).len();
    content.drain(..mark);
    Ok(content)
}
