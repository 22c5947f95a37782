#![forbid(unsafe_code)]
//! The endpoints of AWS Security Token Service (STS).

/// The region to sign for if none is configured.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// Which of a region's STS endpoints is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StsOptions {
    /// `AWS_STS_REGIONAL_ENDPOINTS=regional`: in us-east-1, the regional endpoint instead of the global
    /// one. Other regions have no such choice.
    pub(super) regional: bool,
    /// `AWS_USE_FIPS_ENDPOINT=true`: the endpoint with validated cryptography (FIPS 140).
    pub(super) fips: bool,
}

/// Whether the text has only the characters of a region. It becomes part of a host name, and must not
/// name another host.
pub(super) fn is_region(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 32 && text.bytes().all(is_allowed)
}

/// The host name of STS in a region. In us-east-1 the default is the older, global endpoint.
pub(super) fn host(region: &str, options: StsOptions) -> String {
    let domain = match region {
        _ if region.starts_with("cn-") => "amazonaws.com.cn",
        _ if region.starts_with("eusc-") => "amazonaws.eu",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("us-isof-") => "csp.hci.ic.gov",
        _ if region.starts_with("eu-isoe-") => "cloud.adc-e.uk",
        _ => "amazonaws.com",
    };
    match (region, options.regional, options.fips) {
        ("us-east-1", false, false) => "sts.amazonaws.com".to_owned(),
        (region, _, true) => format!("sts-fips.{region}.{domain}"),
        (region, _, false) => format!("sts.{region}.{domain}"),
    }
}

/// The settings that select the STS endpoint with this address, if any do.
pub(crate) fn settings_for_endpoint(address: &str) -> Option<String> {
    const OPTIONS: [(&str, bool, bool); 3] = [
        ("", false, false),
        (" and AWS_STS_REGIONAL_ENDPOINTS=regional", true, false),
        (" and AWS_USE_FIPS_ENDPOINT=true", false, true),
    ];
    let address = address.strip_prefix("https://")?.trim_end_matches('/');
    let labels = address.split('.').filter(|label| is_region(label));
    let mut candidates = ["us-east-1"]
        .into_iter()
        .chain(labels)
        .flat_map(|region| OPTIONS.map(|option| (region, option)));
    candidates.find_map(|(region, (settings, regional, fips))| {
        let is_same = host(region, StsOptions { regional, fips }) == address;
        is_same.then(|| format!("AWS_REGION={region}{settings}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sts_endpoint_maps_to_settings() {
        for (address, settings) in [
            ("https://sts.amazonaws.com", "AWS_REGION=us-east-1"),
            ("https://sts.amazonaws.com/", "AWS_REGION=us-east-1"),
            (
                "https://sts.us-east-1.amazonaws.com",
                "AWS_REGION=us-east-1 and AWS_STS_REGIONAL_ENDPOINTS=regional",
            ),
            (
                "https://sts-fips.us-west-2.amazonaws.com",
                "AWS_REGION=us-west-2 and AWS_USE_FIPS_ENDPOINT=true",
            ),
            (
                "https://sts.eu-central-1.amazonaws.com",
                "AWS_REGION=eu-central-1",
            ),
            (
                "https://sts.cn-north-1.amazonaws.com.cn",
                "AWS_REGION=cn-north-1",
            ),
            (
                "https://sts.us-iso-east-1.c2s.ic.gov",
                "AWS_REGION=us-iso-east-1",
            ),
            (
                "https://sts.us-isob-east-1.sc2s.sgov.gov",
                "AWS_REGION=us-isob-east-1",
            ),
            (
                "https://sts.us-isof-south-1.csp.hci.ic.gov",
                "AWS_REGION=us-isof-south-1",
            ),
            (
                "https://sts.eu-isoe-west-1.cloud.adc-e.uk",
                "AWS_REGION=eu-isoe-west-1",
            ),
            (
                "https://sts.eusc-de-east-1.amazonaws.eu",
                "AWS_REGION=eusc-de-east-1",
            ),
        ] {
            assert_eq!(
                settings_for_endpoint(address).as_deref(),
                Some(settings),
                "{address}"
            );
        }
        for other in [
            "https://sts.acme.test",
            "",
            "https://sts..amazonaws.com",
            "https://sts.A.amazonaws.com",
            "http://sts.amazonaws.com",
            "https://vpce-1.sts.eu-west-3.vpce.amazonaws.com",
        ] {
            assert_eq!(settings_for_endpoint(other), None, "{other}");
        }
    }
}
