//! The certificate of the process.

/// A self-signed ECDSA P-256 certificate and its key, both DER. One serves every transport of the process.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) inner: dimpl::DtlsCertificate,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate(…)")
    }
}

/// The library could not make a certificate.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a DTLS certificate: {0}")]
pub struct CertificateError(String);

impl Certificate {
    /// A new one, from the operating system's randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        dimpl::certificate::generate_self_signed_certificate()
            .map(|inner| Self { inner })
            .map_err(|error| CertificateError(error.to_string()))
    }

    /// SHA-256 digest of the certificate, for `a=fingerprint`.
    pub fn sha256(&self) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.inner.certificate);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        out
    }
}
