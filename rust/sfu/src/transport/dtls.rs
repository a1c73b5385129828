//! DTLS 1.2 for the keys of SRTP (RFC 5764), and nothing else: application data is not looked at.
//!
//! Two libraries behind a small trait (ADR 11): dimpl for browsers (`dtls/by_dimpl.rs`), and OpenSSL (`dtls/by_openssl.rs`) for everybody else,
//! because dimpl knows neither RSA nor P-224 nor P-521. As the server we see in the ClientHello who it is (`dtls/choice.rs`); as the client we
//! speak first, so it is OpenSSL that speaks.

mod by_dimpl;
mod by_openssl;
mod choice;
mod hello;
mod wire;

use std::time::{Duration, Instant};

use aws_lc_rs::digest;

use self::by_openssl::{Context, OpensslDtls};
use self::choice::Undecided;
use crate::command::{DtlsRole, Fingerprint, Hash, MAX_FINGERPRINTS, SrtpProfile};
use crate::time::Time;
use crate::transport::certificate::Certificate;
use crate::transport::srtp::KeyingHalf;

/// The libraries' configurations are what shards of this crate have counted references to, because that is what the interfaces want: this of
/// dimpl, and [`Context`], which OpenSSL counts itself. Neither changes once it is made.
#[allow(clippy::disallowed_types)]
type SharedConfig = std::sync::Arc<dimpl::Config>;

/// Longest datagram that is read; a longer one never left a peer of WebRTC.
pub const MAX_DATAGRAM: usize = 1500;
/// Longest datagram that is written, bytes of UDP payload.
pub const MTU: usize = 1150;
/// A check has just gone to and fro, so the round trip is short: waiting a whole second for a lost flight is not worth it.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(150);
/// Doubling from the first, seven reach past the handshake timeout.
const RETRANSMISSIONS: usize = 7;
/// As long as a transport may take to connect.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// One DTLS association, sans-IO. Datagrams come only from addresses that ICE has validated, which is why there is no cookie exchange.
///
/// After `packet`, `timeout` and `close`, poll until [`DtlsOutput::Idle`]. Every error is final: the association then answers the same error
/// for ever and has no output.
pub trait Dtls {
    /// A datagram of the peer.
    fn packet(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsError>;
    /// The time that [`DtlsOutput::Timeout`] named has come. Harmless when it has not.
    fn timeout(&mut self, now: Time) -> Result<(), DtlsError>;
    /// What there is to do next. `buf` holds [`MTU`] bytes; a datagram that does not fit is lost as if on the way.
    fn poll<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a>;
    /// Say good-bye: once connected, `poll` yields a close_notify.
    fn close(&mut self, now: Time);
}

/// What an association wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum DtlsOutput<'a> {
    /// Send this to the peer.
    Packet(&'a [u8]),
    /// The handshake is complete and the certificate has one of the fingerprints. Once.
    Connected(Box<SrtpKeys>),
    /// The peer said good-bye. Once.
    PeerClosed,
    /// Call `timeout` at this time. Replaces the time named before.
    Timeout(Time),
    /// Nothing more until the next call.
    Idle,
}

/// Why an association is of no use any more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DtlsError {
    /// The peer's certificate has none of the fingerprints of its SDP.
    #[error("certificate has none of the announced fingerprints")]
    FingerprintMismatch,
    /// Anything else, in words for people.
    #[error("{0}")]
    Failed(String),
}

/// Master keys of both directions (RFC 5764 §4.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SrtpKeys {
    /// What the two sides agreed on.
    pub profile: SrtpProfile,
    /// Of what the peer sends.
    pub inbound: KeyingHalf,
    /// Of what we send.
    pub outbound: KeyingHalf,
}

/// What all associations of a shard have in common.
#[derive(Clone)]
pub struct DtlsConfig {
    shared: SharedConfig,
    certificate: dimpl::DtlsCertificate,
    /// With the same certificate.
    openssl: Context,
    base: Instant,
}

impl std::fmt::Debug for DtlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DtlsConfig(…)")
    }
}

impl DtlsConfig {
    /// `base` is the instant of [`Time::ZERO`]. Fails when a library refuses its own cryptography or the certificate.
    pub fn new(base: Instant, certificate: &Certificate) -> Result<Self, DtlsError> {
        Ok(Self {
            shared: SharedConfig::new(by_dimpl::config()?),
            certificate: certificate.inner.clone(),
            openssl: Context::new(&certificate.inner.certificate, &certificate.inner.private_key)?,
            base,
        })
    }
}

/// A new association. The peer's certificate must have one of `fingerprints` (the first [`MAX_FINGERPRINTS`] count). In the active role the
/// first `poll` yields the ClientHello.
pub fn new(config: &DtlsConfig, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Time) -> Box<dyn Dtls> {
    match role {
        DtlsRole::Passive => Box::new(Undecided::new(config, fingerprints)),
        DtlsRole::Active => Box::new(OpensslDtls::new(&config.openssl, role, fingerprints, now)),
    }
}

fn matches_one(fingerprints: &[Fingerprint], certificate: &[u8]) -> bool {
    fingerprints.iter().take(MAX_FINGERPRINTS).any(|fingerprint| {
        let algorithm = match fingerprint.hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, certificate).as_ref() == fingerprint.digest.as_slice()
    })
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
fn split(material: &[u8], profile: SrtpProfile, role: DtlsRole) -> Result<SrtpKeys, DtlsError> {
    let halves = || {
        let (client_key, rest) = material.split_at_checked(profile.key_len())?;
        let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
        let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len())?;
        Some((
            KeyingHalf::new(profile, client_key, client_salt)?,
            KeyingHalf::new(profile, server_key, server_salt)?,
        ))
    };
    let (client, server) = halves().ok_or_else(|| DtlsError::Failed("keying material of a wrong length".to_owned()))?;
    let (inbound, outbound) = match role {
        DtlsRole::Passive => (client, server),
        DtlsRole::Active => (server, client),
    };
    Ok(SrtpKeys {
        profile,
        inbound,
        outbound,
    })
}

#[cfg(test)]
mod tests;
