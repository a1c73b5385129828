//! [`Dtls`] by dimpl: for browsers, whose certificates are ECDSA on P-256.
//!
//! DTLS 1.2 and not 1.3: as a 1.2 server the library prefers AES-GCM, as a 1.3 server it takes Chromium's first choice, whose sealing costs
//! seven times as much (ADR 5).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{
    Dtls, DtlsConfig, DtlsError, DtlsOutput, FIRST_RETRANSMISSION, HANDSHAKE_TIMEOUT, MAX_DATAGRAM, MTU,
    RETRANSMISSIONS, SharedConfig, SrtpKeys, matches_one, split,
};
use crate::command::{DtlsRole, Fingerprint, SrtpProfile};
use crate::time::Time;

/// Datagrams that the library keeps of a message that is not complete.
const MAX_QUEUED: usize = 30;
/// No message, and so no certificate, is longer than all that is kept of it.
const SCRATCH: usize = MAX_QUEUED * MAX_DATAGRAM;
/// Most datagrams that wait to be polled; a flight has fewer, and a lost one is sent again.
const MAX_PENDING: usize = 32;
/// Beyond this a timeout means never.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What the library wants to know.
pub(super) fn config() -> Result<dimpl::Config, DtlsError> {
    dimpl::Config::builder()
        .mtu(MTU)
        .max_queue_rx(MAX_QUEUED)
        .use_server_cookie(false)
        .require_client_certificate(true)
        .flight_start_rto(FIRST_RETRANSMISSION)
        .flight_retries(RETRANSMISSIONS)
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .build()
        .map_err(failed)
}

/// One association.
pub(super) struct DimplDtls {
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
    pub(super) fn new(config: &DtlsConfig, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Time) -> Self {
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
                    keys = Some(split(&material, profile_of(profile)?, self.role)?);
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

pub(super) fn profile_of(profile: dimpl::SrtpProfile) -> Result<SrtpProfile, DtlsError> {
    match profile {
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Ok(SrtpProfile::Aes128CmSha1_80),
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Ok(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Ok(SrtpProfile::AeadAes256Gcm),
        other => Err(DtlsError::Failed(format!("unknown SRTP profile {other}"))),
    }
}
