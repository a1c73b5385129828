//! DTLS 1.2 for the keys of SRTP (RFC 5764), and nothing else: application data is not looked at.
//!
//! Behind a small trait, because peers with certificates that the library does not speak (RSA, P-224) need another one.
//! DTLS 1.2 and not 1.3: as a 1.2 server the library prefers AES-GCM, as a 1.3 server it takes Chromium's first choice, whose sealing costs
//! seven times as much.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;

use crate::command::{DtlsRole, Fingerprint, Hash, MAX_FINGERPRINTS, SrtpProfile};
use crate::time::Time;
use crate::transport::certificate::Certificate;
use crate::transport::srtp::KeyingHalf;

/// The library's shared configuration: the one thing in this crate that shards have a counted reference to, because its interface wants it.
#[allow(clippy::disallowed_types)]
type SharedConfig = std::sync::Arc<dimpl::Config>;

/// Longest datagram that is read; a longer one never left a peer of WebRTC.
pub const MAX_DATAGRAM: usize = 1500;
/// Longest datagram that is written, bytes of UDP payload.
pub const MTU: usize = 1150;
/// Datagrams that the library keeps of a message that is not complete.
const MAX_QUEUED: usize = 30;
/// No message, and so no certificate, is longer than all that is kept of it.
const SCRATCH: usize = MAX_QUEUED * MAX_DATAGRAM;
/// Most datagrams that wait to be polled; a flight has fewer, and a lost one is sent again.
const MAX_PENDING: usize = 32;
/// A check has just gone to and fro, so the round trip is short: waiting a whole second for a lost flight is not worth it.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(150);
/// Doubling from the first, seven reach past the handshake timeout.
const RETRANSMISSIONS: usize = 7;
/// As long as a transport may take to connect.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Beyond this a timeout means never.
const NEVER: Duration = Duration::from_secs(24 * 3600);

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
    /// Anything else, in the words of the library.
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
    base: Instant,
}

impl std::fmt::Debug for DtlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DtlsConfig(…)")
    }
}

impl DtlsConfig {
    /// `base` is the instant of [`Time::ZERO`]. Fails when the library refuses its own cryptography.
    pub fn new(base: Instant, certificate: &Certificate) -> Result<Self, DtlsError> {
        let shared = dimpl::Config::builder()
            .mtu(MTU)
            .max_queue_rx(MAX_QUEUED)
            .use_server_cookie(false)
            .require_client_certificate(true)
            .flight_start_rto(FIRST_RETRANSMISSION)
            .flight_retries(RETRANSMISSIONS)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .build()
            .map_err(failed)?;
        Ok(Self {
            shared: SharedConfig::new(shared),
            certificate: certificate.inner.clone(),
            base,
        })
    }
}

/// A new association. The peer's certificate must have one of `fingerprints` (the first [`MAX_FINGERPRINTS`] count). In the active role the
/// first `poll` yields the ClientHello.
pub fn new(config: &DtlsConfig, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Time) -> Box<dyn Dtls> {
    Box::new(DimplDtls::new(config, role, fingerprints, now))
}

/// [`Dtls`] by the dimpl library.
pub struct DimplDtls {
    inner: dimpl::Dtls,
    base: Instant,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    state: State,
    /// Datagrams to send.
    packets: VecDeque<Vec<u8>>,
    /// Keys that nobody has fetched.
    keys: Option<Box<SrtpKeys>>,
    peer_closed: bool,
    timeout: Option<Time>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// Nothing is known of the peer.
    Handshake,
    /// The certificate is the announced one; the handshake goes on.
    Verified,
    /// The keys were made.
    Connected,
    /// For ever.
    Failed(DtlsError),
}

impl std::fmt::Debug for DimplDtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DimplDtls")
            .field("role", &self.role)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl DimplDtls {
    fn new(config: &DtlsConfig, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Time) -> Self {
        let mut inner = dimpl::Dtls::new_12(
            SharedConfig::clone(&config.shared),
            config.certificate.clone(),
            instant(config.base, now),
        );
        inner.set_active(role == DtlsRole::Active);
        let mut dtls = Self {
            inner,
            base: config.base,
            role,
            fingerprints,
            state: State::Handshake,
            packets: VecDeque::new(),
            keys: None,
            peer_closed: false,
            timeout: None,
        };
        // Starts a client. An error stays and comes back from the next call.
        let _ = dtls.step(now, |_| Ok(()));
        dtls
    }

    /// Tell the library the time and something else, then take all its outputs, so that the certificate is judged before anything leaves.
    fn step(
        &mut self,
        now: Time,
        input: impl FnOnce(&mut dimpl::Dtls) -> Result<(), dimpl::Error>,
    ) -> Result<(), DtlsError> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        let instant = instant(self.base, now);
        let result = self
            .inner
            .handle_timeout(instant)
            .and_then(|()| input(&mut self.inner))
            .map_err(failed)
            .and_then(|()| self.drain(instant));
        if let Err(error) = &result {
            self.packets.clear();
            self.keys = None;
            self.peer_closed = false;
            self.timeout = None;
            self.state = State::Failed(error.clone());
        }
        result
    }

    fn drain(&mut self, now: Instant) -> Result<(), DtlsError> {
        // The library panics when a certificate does not fit; after the handshake there is none.
        let len = match self.state {
            State::Connected => MAX_DATAGRAM,
            State::Handshake | State::Verified | State::Failed(_) => SCRATCH,
        };
        let mut scratch = vec![0; len];
        let mut connected = false;
        let mut keys = None;
        loop {
            match self.inner.poll_output(&mut scratch) {
                dimpl::Output::Packet(packet) if self.packets.len() < MAX_PENDING => {
                    self.packets.push_back(packet.to_vec());
                }
                dimpl::Output::PeerCert(certificate) => {
                    if !matches_one(&self.fingerprints, certificate) {
                        return Err(DtlsError::FingerprintMismatch);
                    }
                    self.state = State::Verified;
                }
                dimpl::Output::Connected => connected = true,
                dimpl::Output::KeyingMaterial(material, profile) => {
                    keys = Some(split(&material, profile, self.role)?);
                }
                dimpl::Output::CloseNotify => self.peer_closed = true,
                dimpl::Output::Timeout(at) => {
                    self.timeout = (at.saturating_duration_since(now) < NEVER).then(|| self.time(at));
                    break;
                }
                dimpl::Output::BufferTooSmall { needed } => {
                    return Err(DtlsError::Failed(format!("output of {needed} bytes")));
                }
                // A datagram too many, application data, and what later versions of the library may have to say.
                _ => {}
            }
        }
        if connected {
            if self.state != State::Verified {
                return Err(DtlsError::FingerprintMismatch);
            }
            let keys = keys.ok_or_else(|| DtlsError::Failed("no SRTP profile in common".to_owned()))?;
            self.keys = Some(Box::new(keys));
            self.state = State::Connected;
        }
        Ok(())
    }

    /// Rounded up, so that the library finds its timer due.
    fn time(&self, at: Instant) -> Time {
        let nanos = at.saturating_duration_since(self.base).as_nanos();
        Time(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

impl Dtls for DimplDtls {
    fn packet(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsError> {
        if datagram.len() > MAX_DATAGRAM {
            return self.timeout(now);
        }
        self.step(now, |inner| inner.handle_packet(datagram))
    }

    fn timeout(&mut self, now: Time) -> Result<(), DtlsError> {
        self.step(now, |_| Ok(()))
    }

    fn poll<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        while let Some(packet) = self.packets.pop_front() {
            if packet.len() <= buf.len() {
                let (out, _) = buf.split_at_mut(packet.len());
                out.copy_from_slice(&packet);
                return DtlsOutput::Packet(out);
            }
        }
        if let Some(keys) = self.keys.take() {
            return DtlsOutput::Connected(keys);
        }
        if std::mem::take(&mut self.peer_closed) {
            return DtlsOutput::PeerClosed;
        }
        match self.timeout.take() {
            Some(at) => DtlsOutput::Timeout(at),
            None => DtlsOutput::Idle,
        }
    }

    fn close(&mut self, now: Time) {
        // Nobody is interested in why a good-bye failed.
        let _ = self.step(now, dimpl::Dtls::close);
    }
}

/// A time that the clock cannot hold is never reached.
fn instant(base: Instant, time: Time) -> Instant {
    base.checked_add(Duration::from_micros(time.0)).unwrap_or(base)
}

fn failed(error: dimpl::Error) -> DtlsError {
    DtlsError::Failed(error.to_string())
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
fn split(material: &[u8], profile: dimpl::SrtpProfile, role: DtlsRole) -> Result<SrtpKeys, DtlsError> {
    let profile = match profile {
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
        dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
        dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
        other => return Err(DtlsError::Failed(format!("unknown SRTP profile {other}"))),
    };
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
