//! What a client's certificate says of its holder. TLS has verified it before: an authority of the listener vouches for
//! it, its time has come and has not passed, and the peer has its key.

use riser_model::{Certificate, Wall};
use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// The longest name that is looked at, bytes, and how many of a certificate.
const NAME_BYTES_MAX: usize = 255;
const NAMES_MAX: usize = 16;

/// The names in a certificate and when it expires; none where it cannot be read. Its alternative names (DNS, e-mail, URI);
/// only one without any goes by its common name (RFC 6125 section 6.4.4).
pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let alternatives = alternatives.iter().flat_map(|names| &names.value.general_names);
    let mut names: Vec<String> = alternatives
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name();
        names.extend(common.filter_map(|name| name.as_str().ok().map(str::to_owned)));
    }
    names.retain(|name| name.len() <= NAME_BYTES_MAX);
    names.truncate(NAMES_MAX);
    let until = Wall(certificate.validity().not_after.timestamp().saturating_mul(1000));
    Some(Certificate { names, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn made(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn certificate_goes_by_its_alternative_names_or_else_by_its_common_name() {
        let both = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "old name");
            params.subject_alt_names = vec![
                SanType::DnsName("pump.example".try_into().unwrap()),
                SanType::URI("urn:pump:7".try_into().unwrap()),
                SanType::IpAddress([192, 0, 2, 1].into()),
            ];
            params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        });
        let read_both = read(&both).unwrap();
        assert_eq!(read_both.names, ["pump.example", "urn:pump:7"]);
        assert_eq!(read_both.until, Wall(1_893_456_000_000));
        let common = made(|params| params.distinguished_name.push(DnType::CommonName, "pump-7"));
        assert_eq!(read(&common).unwrap().names, ["pump-7"]);
        let long = made(|params| params.distinguished_name.push(DnType::CommonName, "x".repeat(300)));
        assert!(read(&long).unwrap().names.is_empty());
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        let der = made(|params| params.distinguished_name.push(DnType::CommonName, "pump"));
        for cut in 0..der.len() {
            assert_eq!(read(&CertificateDer::from(&der[..cut])), None, "{cut}");
        }
    }
}
