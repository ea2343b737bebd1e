//! The channel binding that is about the certificate; the stronger one comes from the connection.

use aws_lc_rs::digest::{self, Algorithm, SHA224, SHA256, SHA384, SHA512};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The `tls-server-end-point` value of a certificate (RFC 5929 §4.1).
///
/// `None` when its signature algorithm has no single hash (Ed25519): the binding is undefined.
pub(crate) fn end_point(certificate: &[u8]) -> Option<Box<[u8]>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = signature_hash(&parsed)?;
    Some(digest::digest(hash, certificate).as_ref().into())
}

/// The hash of the certificate's signature, with MD5 and SHA-1 replaced by SHA-256.
fn signature_hash(certificate: &X509Certificate<'_>) -> Option<&'static Algorithm> {
    let algorithm = &certificate.signature_algorithm;
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(algorithm)
    {
        return match parameters.hash_algorithm_oid().to_id_string().as_str() {
            "2.16.840.1.101.3.4.2.2" => Some(&SHA384),
            "2.16.840.1.101.3.4.2.3" => Some(&SHA512),
            "2.16.840.1.101.3.4.2.4" => Some(&SHA224),
            _ => Some(&SHA256),
        };
    }
    match algorithm.oid().to_id_string().as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(&SHA256),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Some(&SHA224),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_with(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    //= test RFC 5929 §4.1
    #[test]
    fn the_hash_is_that_of_the_certificates_signature() {
        let p256 = signed_with(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&p256).unwrap()[..], *digest::digest(&SHA256, &p256).as_ref());
        let p384 = signed_with(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&p384).unwrap()[..], *digest::digest(&SHA384, &p384).as_ref());
    }

    #[test]
    fn ed25519_and_rubbish_have_no_end_point_binding() {
        assert!(end_point(&signed_with(&rcgen::PKCS_ED25519)).is_none());
        assert!(end_point(b"not a certificate").is_none());
    }
}
