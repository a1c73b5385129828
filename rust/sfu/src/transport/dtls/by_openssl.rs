//! [`Dtls`] by OpenSSL: for everybody who is no browser, whatever their certificates are (RSA, P-224 to P-521), and for the active role.
//!
//! OpenSSL reads and writes datagrams of queues, and what it writes in one call is kept until the peer answers. Its own timer runs on the
//! wall clock and first rings after a second; ours runs on the time that we are told, and repeats those datagrams. Their records in the clear
//! get new numbers, so that a peer that threw one away, because it came too early, takes it for no replay. The Finished cannot be numbered
//! anew by us, and so one case is left to OpenSSL's timer: as the client, when all of our last flight arrived and the answer was lost. What a
//! peer repeats after our last flight, OpenSSL answers itself.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::srtp::SrtpProfileId;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslStream, SslVerifyMode,
    SslVersion,
};
use openssl::x509::{X509, X509VerifyResult};

use super::hello::CLIENT_HELLO;
use super::wire::{ALERT, CHANGE_CIPHER_SPEC, Fragment, HANDSHAKE, MAJOR, fragments, number_anew, records};
use super::{
    Dtls, DtlsError, DtlsOutput, FIRST_RETRANSMISSION, HANDSHAKE_TIMEOUT, MAX_DATAGRAM, MTU, RETRANSMISSIONS, SrtpKeys,
    matches_one, split,
};
use crate::command::{DtlsRole, Fingerprint, SrtpProfile};
use crate::time::Time;

/// ECDHE and AES-GCM only; as the client with certificates of both kinds.
const CIPHERS: &str = "ECDHE+AESGCM";
/// Curves of key exchange, the best first; a certificate's curve has to be among them, and a client's among those of its hello too.
const GROUPS: &str = "X25519:P-256:P-384:P-521:P-224";
/// No SHA-1.
const SIGNATURES: &str = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
/// Cheapest for every packet first (ADR 5); the server's order counts.
const PROFILES: &str = "SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80";
/// 112 bits: RSA 2048, P-224 (NIST SP 800-57).
const SECURITY_LEVEL: u32 = 2;
/// X509_V_ERR_EE_KEY_TOO_SMALL: the peer's key is below the security level.
const KEY_TOO_SMALL: i32 = 66;
/// RFC 5764 §4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// Longest handshake message that is read. OpenSSL makes room for ten that are not complete, and of itself for 100 KB each.
const MAX_MESSAGE: usize = 16_384;
/// Records of a later epoch that are read while a flight of ours waits for its answer: OpenSSL keeps them until it has keys.
const MAX_EARLY: usize = 8;
/// Level of an alert.
const WARNING: u8 = 1;
/// Most datagrams that wait to be polled or repeated; a flight has fewer.
const MAX_PENDING: usize = 32;

/// What associations have in common: our certificate and what is agreed to.
#[derive(Clone)]
pub(super) struct Context(SslContext);

impl Context {
    /// `certificate` is X.509, `key` PKCS#8, both DER.
    pub(super) fn new(certificate: &[u8], key: &[u8]) -> Result<Self, DtlsError> {
        context(certificate, key).map(Self).map_err(|errors| failed(&errors))
    }
}

fn context(certificate: &[u8], key: &[u8]) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::dtls())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_options(
        SslOptions::NO_QUERY_MTU
            | SslOptions::NO_TICKET
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_security_level(SECURITY_LEVEL);
    context.set_cipher_list(CIPHERS)?;
    context.set_groups_list(GROUPS)?;
    context.set_sigalgs_list(SIGNATURES)?;
    context.set_tlsext_use_srtp(PROFILES)?;
    // Until an association brings its fingerprints, nobody is accepted.
    context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    // Only the peer's own certificate means anything; the signatures of a chain behind it, with keys of a stranger's choice, would cost time.
    context.set_verify_depth(0);
    context.set_certificate(X509::from_der(certificate)?.as_ref())?;
    context.set_private_key(PKey::private_key_from_pkcs8(key)?.as_ref())?;
    context.check_private_key()?;
    Ok(context.build())
}

/// One association.
pub(super) struct OpensslDtls {
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    state: State,
    /// What the peer has not answered yet.
    flight: Vec<Vec<u8>>,
    /// How often it was repeated.
    repeated: usize,
    /// When it is repeated next.
    due: Option<Time>,
    /// When we give up.
    deadline: Time,
    /// See [`MAX_EARLY`].
    early: usize,
    /// Number of the next record in the clear that leaves.
    said: u64,
    /// Number of the next record in the clear that OpenSSL reads: it takes what is 64 behind for a replay, and anybody can name a high one.
    heard: u64,
    /// Datagrams to send.
    packets: VecDeque<Vec<u8>>,
    /// Keys that nobody has fetched.
    keys: Option<Box<SrtpKeys>>,
    good_bye: GoodBye,
    timeout: Option<Time>,
}

enum State {
    Handshake(SslStream<Datagrams>),
    /// The keys were made.
    Connected(SslStream<Datagrams>),
    /// For ever.
    Failed(DtlsError),
}

/// Who said it, and whether that was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoodBye {
    Nobody,
    Ours,
    Theirs,
    TheirsTold,
}

/// The network as OpenSSL sees it.
#[derive(Default)]
struct Datagrams {
    inbound: Option<Vec<u8>>,
    outbound: Vec<Vec<u8>>,
}

impl Read for Datagrams {
    /// A datagram, cut off when the buffer is shorter; OpenSSL's holds a whole record.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let datagram = self.inbound.take().ok_or(io::ErrorKind::WouldBlock)?;
        datagram.as_slice().read(buf)
    }
}

impl Write for Datagrams {
    /// One datagram. Never blocks: a datagram too many is lost as if on the way.
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.outbound.len() < MAX_PENDING {
            self.outbound.push(datagram.to_vec());
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OpensslDtls {
    pub(super) fn new(context: &Context, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Time) -> Self {
        let state = match association(context, role, fingerprints.clone()) {
            Ok(stream) => State::Handshake(stream),
            Err(errors) => State::Failed(failed(&errors)),
        };
        let mut dtls = Self {
            role,
            fingerprints,
            state,
            flight: Vec::new(),
            repeated: 0,
            due: None,
            deadline: now + HANDSHAKE_TIMEOUT,
            early: 0,
            said: 0,
            heard: 0,
            packets: VecDeque::new(),
            keys: None,
            good_bye: GoodBye::Nobody,
            timeout: None,
        };
        // Starts a client. An error stays and comes back from the next call.
        let _ = dtls.step(now, None);
        dtls
    }

    /// Let OpenSSL have this datagram and the time. An error is final: what was to be said is not said any more.
    fn step(&mut self, now: Time, datagram: Option<&[u8]>) -> Result<(), DtlsError> {
        // OpenSSL asks the thread's list of errors whether a call failed, so nothing of others may be in it.
        drop(ErrorStack::get());
        let result = match &self.state {
            State::Handshake(_) => self.handshake(now, datagram),
            State::Connected(_) => self.read(datagram),
            State::Failed(error) => Err(error.clone()),
        };
        drop(ErrorStack::get());
        if let Err(error) = &result {
            self.packets.clear();
            self.flight.clear();
            self.keys = None;
            self.good_bye = GoodBye::Nobody;
            self.timeout = None;
            self.state = State::Failed(error.clone());
        }
        result
    }

    fn handshake(&mut self, now: Time, datagram: Option<&[u8]>) -> Result<(), DtlsError> {
        if now >= self.deadline {
            return Err(DtlsError::Failed("no handshake within 30 seconds".to_owned()));
        }
        self.repeat(now)?;
        if datagram.is_none_or(|datagram| self.is_bearable(datagram)) {
            self.advance(now, datagram)?;
        }
        self.timeout = match self.state {
            State::Handshake(_) => Some(self.due.map_or(self.deadline, |due| due.min(self.deadline))),
            State::Connected(_) | State::Failed(_) => None,
        };
        Ok(())
    }

    /// Repeats the last flight when it is time.
    fn repeat(&mut self, now: Time) -> Result<(), DtlsError> {
        if self.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.repeated += 1;
        self.early = 0;
        // When OpenSSL's timer has rung too, its datagrams are the better ones.
        let before = self.packets.len();
        self.advance(now, None)?;
        if self.packets.len() == before {
            self.send(self.flight.clone());
        }
        self.due = (self.repeated < RETRANSMISSIONS).then(|| now + self.patience());
        Ok(())
    }

    /// Doubles each time.
    fn patience(&self) -> Duration {
        FIRST_RETRANSMISSION.saturating_mul(1 << self.repeated.min(RETRANSMISSIONS))
    }

    /// One step of the handshake, as far as the datagram takes us.
    fn advance(&mut self, now: Time, datagram: Option<&[u8]>) -> Result<(), DtlsError> {
        let State::Handshake(stream) = &mut self.state else {
            return Ok(());
        };
        let before = stream.ssl().state_string_long();
        let mut datagram = datagram.map(<[u8]>::to_vec);
        if let Some(datagram) = &mut datagram {
            number_anew(datagram, &mut self.heard);
        }
        stream.get_mut().inbound = datagram;
        let is_done = match stream.do_handshake() {
            Ok(()) => true,
            Err(error) if is_waiting(&error) => false,
            Err(error) => return Err(refusal(stream.ssl(), &error)),
        };
        let said = std::mem::take(&mut stream.get_mut().outbound);
        // Known from the hellos. A peer that is refused must not believe that it is connected.
        if stream.ssl().peer_certificate().is_some() && stream.ssl().selected_srtp_profile().is_none() {
            return Err(DtlsError::Failed("no SRTP profile in common".to_owned()));
        }
        if is_done {
            let keys = keys(stream.ssl(), self.role, &self.fingerprints)?;
            self.keys = Some(Box::new(keys));
            self.flight.clear();
            self.due = None;
            self.send(said);
            if let State::Handshake(stream) =
                std::mem::replace(&mut self.state, State::Failed(DtlsError::FingerprintMismatch))
            {
                self.state = State::Connected(stream);
            }
            // There may be more in the same datagram.
            return self.read(None);
        }
        if !said.is_empty() {
            // Where nothing has changed, OpenSSL repeats itself.
            if stream.ssl().state_string_long() != before {
                self.repeated = 0;
                self.early = 0;
            }
            self.due = Some(now + self.patience());
            self.flight.clone_from(&said);
            self.send(said);
        }
        Ok(())
    }

    /// Alerts, and what a peer repeats that has not heard our last flight. Application data is thrown away.
    fn read(&mut self, datagram: Option<&[u8]>) -> Result<(), DtlsError> {
        let State::Connected(stream) = &mut self.state else {
            return Ok(());
        };
        if self.good_bye != GoodBye::Nobody {
            return Ok(());
        }
        stream.get_mut().inbound = datagram.map(<[u8]>::to_vec);
        let mut scratch = [0; MAX_DATAGRAM];
        loop {
            match stream.ssl_read(&mut scratch) {
                Ok(_) => {}
                Err(error) if is_waiting(&error) => break,
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    self.good_bye = GoodBye::Theirs;
                    break;
                }
                Err(error) => return Err(refusal(stream.ssl(), &error)),
            }
        }
        let said = std::mem::take(&mut stream.get_mut().outbound);
        self.send(joined(said));
        Ok(())
    }

    fn send(&mut self, datagrams: Vec<Vec<u8>>) {
        let free = MAX_PENDING.saturating_sub(self.packets.len());
        for mut datagram in datagrams.into_iter().take(free) {
            number_anew(&mut datagram, &mut self.said);
            self.packets.push_back(datagram);
        }
    }

    /// Is this what OpenSSL may see before it knows who the peer is? Anybody can claim to send long messages, or records that have to wait.
    /// What is malformed is dropped whole, because OpenSSL would look for records behind it. Data in the clear and warnings, such as a good-bye,
    /// would end the handshake and mean nothing.
    pub(super) fn is_bearable(&mut self, datagram: &[u8]) -> bool {
        records(datagram).all(|record| {
            let Some(record) = record else {
                return false;
            };
            if record.epoch > 0 {
                self.early += 1;
                return self.early <= MAX_EARLY;
            }
            match record.kind {
                HANDSHAKE => fragments(record.body).all(|part| part.is_some_and(|part| is_bearable_part(&part))),
                ALERT => record.body.first() != Some(&WARNING),
                kind => kind == CHANGE_CIPHER_SPEC,
            }
        })
    }
}

impl Dtls for OpensslDtls {
    fn packet(&mut self, now: Time, datagram: &[u8]) -> Result<(), DtlsError> {
        let is_readable = !datagram.is_empty() && datagram.len() <= MAX_DATAGRAM;
        self.step(now, is_readable.then_some(datagram))
    }

    fn timeout(&mut self, now: Time) -> Result<(), DtlsError> {
        self.step(now, None)
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
        if self.good_bye == GoodBye::Theirs {
            self.good_bye = GoodBye::TheirsTold;
            return DtlsOutput::PeerClosed;
        }
        match self.timeout.take() {
            Some(at) => DtlsOutput::Timeout(at),
            None => DtlsOutput::Idle,
        }
    }

    fn close(&mut self, _now: Time) {
        let State::Connected(stream) = &mut self.state else {
            return;
        };
        if self.good_bye == GoodBye::Ours {
            return;
        }
        self.good_bye = GoodBye::Ours;
        // Nobody is interested in why a good-bye failed.
        let _ = stream.shutdown();
        drop(ErrorStack::get());
        let said = std::mem::take(&mut stream.get_mut().outbound);
        self.send(said);
    }
}

/// Nothing of it has happened yet.
fn association(
    context: &Context,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
) -> Result<SslStream<Datagrams>, ErrorStack> {
    let mut ssl = Ssl::new(&context.0)?;
    ssl.set_mtu(MTU as u32)?;
    let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    // Asked for each thing that is wrong with the certificate, and that is at least that nobody we trust has signed it.
    ssl.set_verify_callback(mode, move |_, chain| {
        let leaf = chain.chain().and_then(|chain| chain.get(0)?.to_der().ok());
        if !leaf.is_some_and(|leaf| matches_one(&fingerprints, &leaf)) {
            chain.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
            return false;
        }
        chain.error().as_raw() != KEY_TOO_SMALL
    });
    match role {
        DtlsRole::Passive => ssl.set_accept_state(),
        DtlsRole::Active => ssl.set_connect_state(),
    }
    SslStream::new(ssl, Datagrams::default())
}

/// What a completed handshake yields, if the peer is who it was announced to be.
fn keys(ssl: &SslRef, role: DtlsRole, fingerprints: &[Fingerprint]) -> Result<SrtpKeys, DtlsError> {
    let certificate = ssl.peer_certificate().and_then(|certificate| certificate.to_der().ok());
    if !certificate.is_some_and(|certificate| matches_one(fingerprints, &certificate)) {
        return Err(DtlsError::FingerprintMismatch);
    }
    if ssl.extms_support() != Some(true) {
        let why = "the peer does not know the extended master secret";
        return Err(DtlsError::Failed(why.to_owned()));
    }
    let profile = match ssl.selected_srtp_profile().map(|profile| profile.id()) {
        Some(SrtpProfileId::SRTP_AEAD_AES_256_GCM) => SrtpProfile::AeadAes256Gcm,
        Some(SrtpProfileId::SRTP_AEAD_AES_128_GCM) => SrtpProfile::AeadAes128Gcm,
        Some(SrtpProfileId::SRTP_AES128_CM_SHA1_80) => SrtpProfile::Aes128CmSha1_80,
        _ => return Err(DtlsError::Failed("no SRTP profile in common".to_owned())),
    };
    let mut material = vec![0; 2 * (profile.key_len() + profile.salt_len())];
    ssl.export_keying_material(&mut material, EXPORTER, None)
        .map_err(|errors| failed(&errors))?;
    split(&material, profile, role)
}

/// A hello of TLS would pass for one of a version of DTLS to come, because those count downwards.
fn is_bearable_part(part: &Fragment<'_>) -> bool {
    let is_of_tls = part.kind == CLIENT_HELLO && part.offset == 0 && part.bytes.first() != Some(&MAJOR);
    part.len <= MAX_MESSAGE && !is_of_tls
}

/// Once connected, OpenSSL writes each record by itself; what belongs together is to arrive together.
fn joined(records: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for record in records {
        match datagrams.last_mut() {
            Some(last) if last.len() + record.len() <= MTU => last.extend(record),
            _ => datagrams.push(record),
        }
    }
    datagrams
}

fn is_waiting(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE)
}

fn refusal(ssl: &SslRef, error: &Error) -> DtlsError {
    if ssl.verify_result() == X509VerifyResult::APPLICATION_VERIFICATION {
        return DtlsError::FingerprintMismatch;
    }
    match error.ssl_error() {
        Some(errors) => failed(errors),
        None => DtlsError::Failed("the peer ended the handshake".to_owned()),
    }
}

/// OpenSSL's reasons are fixed texts.
fn failed(errors: &ErrorStack) -> DtlsError {
    let reasons: Vec<&str> = errors.errors().iter().filter_map(|error| error.reason()).collect();
    DtlsError::Failed(match reasons.as_slice() {
        [] => "OpenSSL failed without a reason".to_owned(),
        reasons => reasons.join(", "),
    })
}

#[cfg(test)]
mod tests;
