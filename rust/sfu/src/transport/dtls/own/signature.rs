//! Who signs: our own certificate, and what keys peers have in theirs.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use aws_lc_rs::{digest, rand};
use p224::ecdsa::signature::hazmat::PrehashVerifier;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

/// Signature schemes (RFC 8446 §4.2.3; in DTLS 1.2 the ECDSA ones bind no curve) that are taken, best first. None with SHA-1.
pub(super) const SCHEMES: [u16; 9] = [
    ECDSA_SHA256,
    ECDSA_SHA384,
    ECDSA_SHA512,
    PSS_SHA256,
    PSS_SHA384,
    PSS_SHA512,
    RSA_SHA256,
    RSA_SHA384,
    RSA_SHA512,
];
/// The scheme of our own key.
pub(super) const ECDSA_SHA256: u16 = 0x0403;
const ECDSA_SHA384: u16 = 0x0503;
const ECDSA_SHA512: u16 = 0x0603;
const PSS_SHA256: u16 = 0x0804;
const PSS_SHA384: u16 = 0x0805;
const PSS_SHA512: u16 = 0x0806;
pub(super) const RSA_SHA256: u16 = 0x0401;
const RSA_SHA384: u16 = 0x0501;
const RSA_SHA512: u16 = 0x0601;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// A certificate and its key.
pub(in crate::transport::dtls) struct Identity {
    pub(super) certificate: Vec<u8>,
    key: Key,
}

enum Key {
    P256(EcdsaKeyPair),
    /// A peer of another kind than ourselves: only tests play one.
    #[cfg(test)]
    Foreign {
        scheme: u16,
        sign: fn(&[u8]) -> Vec<u8>,
    },
}

impl Identity {
    /// `None` unless the key is PKCS#8 of a key on P-256.
    pub(in crate::transport::dtls) fn new(certificate: &[u8], key: &[u8]) -> Option<Self> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).ok()?;
        Some(Self {
            certificate: certificate.to_vec(),
            key: Key::P256(key),
        })
    }

    #[cfg(test)]
    pub(in crate::transport::dtls) fn foreign(certificate: &[u8], scheme: u16, sign: fn(&[u8]) -> Vec<u8>) -> Self {
        Self {
            certificate: certificate.to_vec(),
            key: Key::Foreign { scheme, sign },
        }
    }

    pub(super) fn scheme(&self) -> u16 {
        match &self.key {
            Key::P256(_) => ECDSA_SHA256,
            #[cfg(test)]
            Key::Foreign { scheme, .. } => *scheme,
        }
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.scheme() & 0xff != 3
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.key {
            Key::P256(key) => {
                let signature = key.sign(&rand::SystemRandom::new(), message).ok()?;
                Some(signature.as_ref().to_vec())
            }
            #[cfg(test)]
            Key::Foreign { sign, .. } => Some(sign(message)),
        }
    }
}

/// The public key of a peer's certificate. The certificate is self-signed and its dates mean nothing: the fingerprint says whose it is.
pub(in crate::transport::dtls) struct PeerKey {
    kind: Kind,
    /// `RSAPublicKey` in DER, or a point.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P224,
    P256,
    P384,
    P521,
}

impl PeerKey {
    /// `None` when there is no key in it that we know.
    pub(in crate::transport::dtls) fn of(certificate: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        let kind = match info.algorithm.oid {
            RSA_ENCRYPTION => Kind::Rsa,
            EC_PUBLIC_KEY => match info
                .algorithm
                .parameters
                .as_ref()?
                .decode_as::<ObjectIdentifier>()
                .ok()?
            {
                P224 => Kind::P224,
                P256 => Kind::P256,
                P384 => Kind::P384,
                P521 => Kind::P521,
                _ => return None,
            },
            _ => return None,
        };
        Some(Self {
            kind,
            bytes: info.subject_public_key.as_bytes()?.to_vec(),
        })
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.kind == Kind::Rsa
    }

    pub(in crate::transport::dtls) fn verify(&self, scheme: u16, message: &[u8], signed: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, scheme) {
            (Kind::Rsa, RSA_SHA256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, RSA_SHA384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, RSA_SHA512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Kind::Rsa, PSS_SHA256) => &signature::RSA_PSS_2048_8192_SHA256,
            (Kind::Rsa, PSS_SHA384) => &signature::RSA_PSS_2048_8192_SHA384,
            (Kind::Rsa, PSS_SHA512) => &signature::RSA_PSS_2048_8192_SHA512,
            (Kind::P256, ECDSA_SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Kind::P256, ECDSA_SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Kind::P256, ECDSA_SHA512) => &signature::ECDSA_P256_SHA512_ASN1,
            (Kind::P384, ECDSA_SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Kind::P384, ECDSA_SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
            (Kind::P384, ECDSA_SHA512) => &signature::ECDSA_P384_SHA512_ASN1,
            (Kind::P521, ECDSA_SHA256) => &signature::ECDSA_P521_SHA256_ASN1,
            (Kind::P521, ECDSA_SHA384) => &signature::ECDSA_P521_SHA384_ASN1,
            (Kind::P521, ECDSA_SHA512) => &signature::ECDSA_P521_SHA512_ASN1,
            (Kind::P224, _) => return self.verify_p224(scheme, message, signed),
            (Kind::Rsa | Kind::P256 | Kind::P384 | Kind::P521, _) => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes)
            .verify(message, signed)
            .is_ok()
    }

    /// The one curve that the cryptography of everything else does not verify on.
    fn verify_p224(&self, scheme: u16, message: &[u8], signed: &[u8]) -> bool {
        let hash = match scheme {
            ECDSA_SHA256 => &digest::SHA256,
            ECDSA_SHA384 => &digest::SHA384,
            ECDSA_SHA512 => &digest::SHA512,
            _ => return false,
        };
        let key = p224::ecdsa::VerifyingKey::from_sec1_bytes(&self.bytes);
        let signed = p224::ecdsa::DerSignature::from_bytes(signed);
        match (key, signed) {
            (Ok(key), Ok(signed)) => key
                .verify_prehash(digest::digest(hash, message).as_ref(), &signed)
                .is_ok(),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }
}
