#![forbid(unsafe_code)]
//! Reads from a certificate whether it is that of a CA (RFC 5280). webpki does not ask that of a trusted root.

use std::iter;

/// The tags of the elements that are looked at.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;

/// The object identifier of basicConstraints, 2.5.29.19, as it is encoded.
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];

/// Whether a certificate may sign others: its basicConstraints say `CA:TRUE`, or it is a self-issued one of
/// version 1, which has no extensions. OpenSSL accepts these, too.
pub(super) fn is_ca(certificate: &[u8]) -> bool {
    let body = elements(certificate).next().map(|(_, body)| body);
    let Some((_, body)) = body.and_then(|body| elements(body).next()) else {
        return false;
    };
    if elements(body).next().is_none_or(|(tag, _)| tag != VERSION) {
        // The serial number and the algorithm, then the issuer, the validity and the subject.
        let mut names = elements(body).skip(2).step_by(2);
        return names
            .next()
            .is_some_and(|issuer| names.next() == Some(issuer));
    }
    let mut fields = elements(body).filter(|(tag, _)| *tag == EXTENSIONS);
    let list = fields
        .next()
        .and_then(|(_, content)| elements(content).next());
    let mut extensions = elements(list.map_or(&[], |(_, list)| list)).map(|(_, content)| content);
    let constraints = extensions.find(|extension| {
        elements(extension)
            .next()
            .is_some_and(|(_, id)| id == BASIC_CONSTRAINTS)
    });
    let value = elements(constraints.unwrap_or_default()).find(|(tag, _)| *tag == OCTET_STRING);
    let value = value.and_then(|(_, value)| elements(value).next());
    let is_ca = value.and_then(|(_, value)| elements(value).next());
    is_ca.is_some_and(|(tag, is_ca)| tag == BOOLEAN && is_ca != [0])
}

/// The elements of an encoding in DER, each with its tag and its content, up to the first malformed one.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    iter::from_fn(move || {
        let ([tag, length], rest) = bytes.split_first_chunk()?;
        let digits = match length {
            0..0x80 => 0,
            _ => usize::from(length & 0x7f),
        };
        let (digits, rest) = rest.split_at_checked(digits)?;
        let length = match digits {
            [] => usize::from(*length),
            [..] if digits.len() > 4 => return None,
            [..] => digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit)),
        };
        let (content, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((*tag, content))
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    /// `openssl x509 -req -signkey KEY`, which adds no extensions.
    const SELF_ISSUED: &str = "\
        -----BEGIN CERTIFICATE-----\n\
        MIIBFDCBuwIUEOuzPDcaqMwhm2bXXTP2OAbplKkwCgYIKoZIzj0EAwIwDDEKMAgG\n\
        A1UEAwwBczAgFw0yNjExMzAwMjM0MjlaGA8yMTI2MTEwNjAyMzQyOVowDDEKMAgG\n\
        A1UEAwwBczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJuIfP+tiBYs3lW0awqv\n\
        J7iayTj/X1qYUusk6A7AqtjFes/0M++gH7fAlhmh0dV2TFIO4XSNXdBrhFj8PGxq\n\
        EwMwCgYIKoZIzj0EAwIDSAAwRQIgV0nsSkZAszlusUtAKGE6OT69DzFqNkHdM5au\n\
        nHV+xGECIQC8FRihzlR0KQcbnX/V8RXRn6gSrcTEbmmhz40nA6lHlA==\n\
        -----END CERTIFICATE-----\n\
        ";

    /// Issued with the key of [`SELF_ISSUED`], for another subject.
    const ISSUED: &str = "\
        -----BEGIN CERTIFICATE-----\n\
        MIIBFDCBuwIUA2aeYt36kFXfLVnaIIrli5M4O0swCgYIKoZIzj0EAwIwDDEKMAgG\n\
        A1UEAwwBczAgFw0yNjExMzAwMjM0MzBaGA8yMTI2MTEwNjAyMzQzMFowDDEKMAgG\n\
        A1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJuIfP+tiBYs3lW0awqv\n\
        J7iayTj/X1qYUusk6A7AqtjFes/0M++gH7fAlhmh0dV2TFIO4XSNXdBrhFj8PGxq\n\
        EwMwCgYIKoZIzj0EAwIDSAAwRQIhAKwSu6yluGLKwJa9mIm0DL416W4+97ZY0e62\n\
        E8xUb4mZAiADINs6gtzL2ra6hIZcUDECHY2Pru8vlxWOLLG3yvfJwQ==\n\
        -----END CERTIFICATE-----\n\
        ";

    #[test]
    fn version_1_certificate_is_a_ca_if_self_issued() {
        for (pem, expected) in [(SELF_ISSUED, true), (ISSUED, false)] {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            assert_eq!(is_ca(&certificate), expected);
        }
    }

    #[test]
    fn malformed_certificate_is_no_ca() {
        let certificate = CertificateDer::from_pem_slice(SELF_ISSUED.as_bytes()).unwrap();
        for length in 0..certificate.len() {
            assert!(!is_ca(&certificate[..length]));
        }
    }
}
