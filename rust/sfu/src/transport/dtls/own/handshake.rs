//! What is said in the handshake, by both roles (RFC 5246 §7.4, RFC 8422 §5, RFC 5764 §4, RFC 7627).

use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::{constant_time, rand};

use super::hello::{ClientHello, PROFILES, ServerHello, client_hello, server_hello};
use super::keys::{GROUPS, Master, OFFERED_GROUPS, SUITES, Suite, group};
use super::signature::{PeerKey, SCHEMES};
use super::{Item, OwnDtls, whole};
use crate::command::{DtlsRole, SrtpProfile};
use crate::time::Time;
use crate::transport::dtls::assembly::Message;
use crate::transport::dtls::wire::{Reader, VERSION, list, lists};
use crate::transport::dtls::{DtlsError, matches_one, split};

pub(in crate::transport::dtls) const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const FINISHED: u8 = 20;

/// Of a curve that is named (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;
/// Kinds of certificates that are asked for: ECDSA, RSA.
const CERTIFICATE_TYPES: [u8; 2] = [ECDSA_SIGN, 1];
const ECDSA_SIGN: u8 = 64;
/// All messages of a handshake together. Theirs are the most of it.
const MAX_TRANSCRIPT: usize = 49_152;

/// The peer's next message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expect {
    /// We are the server.
    ClientHello,
    ClientCertificate,
    ClientKeyExchange,
    CertificateVerify,
    ClientFinished,
    /// We are the client. A request to verify the address may come before.
    ServerHello,
    ServerCertificate,
    ServerKeyExchange,
    /// Or that there is none.
    CertificateRequest,
    ServerHelloDone,
    ServerFinished,
    /// The handshake is done.
    Nothing,
}

/// Of a handshake that is not done.
#[derive(Default)]
pub(super) struct Pending {
    /// All messages but requests to verify, as if none had been cut.
    transcript: Vec<u8>,
    client_random: [u8; 32],
    server_random: [u8; 32],
    suite: Option<Suite>,
    profile: Option<SrtpProfile>,
    private: Option<EphemeralPrivateKey>,
    peer: Option<PeerKey>,
    master: Option<Master>,
    /// As a client, the server's point and our own.
    point: Vec<u8>,
    public: Vec<u8>,
    /// The server wants to know who we are.
    is_asked: bool,
    /// The server has made sure that we are where we say.
    is_verified: bool,
}

fn failed(why: &str) -> DtlsError {
    DtlsError::Failed(why.to_owned())
}

fn malformed() -> DtlsError {
    failed("a malformed handshake message")
}

fn random() -> Result<[u8; 32], DtlsError> {
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_| failed("no randomness"))?;
    Ok(random)
}

impl OwnDtls {
    pub(super) fn message(&mut self, now: Time, message: &Message) -> Result<(), DtlsError> {
        let wanted = match self.expect {
            Expect::ClientHello => CLIENT_HELLO,
            Expect::ServerHello if message.kind == HELLO_VERIFY_REQUEST => return self.on_verify_request(now, message),
            Expect::ServerHello => SERVER_HELLO,
            Expect::ClientCertificate | Expect::ServerCertificate => CERTIFICATE,
            Expect::ClientKeyExchange => CLIENT_KEY_EXCHANGE,
            Expect::CertificateVerify => CERTIFICATE_VERIFY,
            Expect::ServerKeyExchange => SERVER_KEY_EXCHANGE,
            Expect::CertificateRequest if message.kind == SERVER_HELLO_DONE => SERVER_HELLO_DONE,
            Expect::CertificateRequest => CERTIFICATE_REQUEST,
            Expect::ServerHelloDone => SERVER_HELLO_DONE,
            Expect::ClientFinished | Expect::ServerFinished => FINISHED,
            Expect::Nothing => return Ok(()),
        };
        if message.kind != wanted {
            return Err(DtlsError::Failed(format!(
                "handshake message {} where {wanted} should be",
                message.kind
            )));
        }
        match self.expect {
            // What these two are about is everything before them.
            Expect::CertificateVerify => self.on_certificate_verify(message)?,
            Expect::ClientFinished | Expect::ServerFinished => self.check_finished(message)?,
            Expect::ClientHello
            | Expect::ClientCertificate
            | Expect::ClientKeyExchange
            | Expect::ServerHello
            | Expect::ServerCertificate
            | Expect::ServerKeyExchange
            | Expect::CertificateRequest
            | Expect::ServerHelloDone
            | Expect::Nothing => {}
        }
        self.note(message.kind, message.seq, &message.body)?;
        self.expect = match self.expect {
            Expect::ClientHello => self.on_client_hello(now, message)?,
            Expect::ClientCertificate => self.on_certificate(message, Expect::ClientKeyExchange)?,
            Expect::ClientKeyExchange => self.on_client_key_exchange(message)?,
            Expect::CertificateVerify => Expect::ClientFinished,
            Expect::ServerHello => self.on_server_hello(message)?,
            Expect::ServerCertificate => self.on_certificate(message, Expect::ServerKeyExchange)?,
            Expect::ServerKeyExchange => self.on_server_key_exchange(message)?,
            Expect::CertificateRequest if message.kind == CERTIFICATE_REQUEST => {
                self.on_certificate_request(message)?
            }
            Expect::CertificateRequest | Expect::ServerHelloDone => self.on_server_hello_done(now, message)?,
            Expect::ClientFinished => return self.answer_finished(now),
            Expect::ServerFinished => {
                self.flight = Vec::new();
                return self.finish();
            }
            Expect::Nothing => Expect::Nothing,
        };
        Ok(())
    }

    fn pending(&mut self) -> Result<&mut Pending, DtlsError> {
        self.pending.as_deref_mut().ok_or_else(|| failed("no handshake"))
    }

    /// Every message is hashed in the end.
    fn note(&mut self, kind: u8, seq: u16, body: &[u8]) -> Result<(), DtlsError> {
        let pending = self.pending()?;
        if pending.transcript.len() + body.len() > MAX_TRANSCRIPT {
            return Err(failed("more handshake than anybody needs"));
        }
        pending.transcript.extend_from_slice(&whole(kind, seq, body));
        Ok(())
    }

    /// A message of ours, noted.
    fn say(&mut self, kind: u8, body: Vec<u8>) -> Result<Item, DtlsError> {
        let item = self.message_of(kind, body);
        if let Item::Message { kind, seq, body } = &item {
            self.note(*kind, *seq, body)?;
        }
        Ok(item)
    }

    /// Our certificate is the whole chain.
    fn say_certificate(&mut self) -> Result<Item, DtlsError> {
        let mut body = Vec::new();
        list(&mut body, 3, |out| {
            list(out, 3, |out| out.extend_from_slice(&self.identity.certificate));
        });
        self.say(CERTIFICATE, body)
    }

    fn signed(&self, message: &[u8]) -> Result<Vec<u8>, DtlsError> {
        let signature = self.identity.sign(message).ok_or_else(|| failed("cannot sign"))?;
        let mut out = self.identity.scheme().to_be_bytes().to_vec();
        list(&mut out, 2, |out| out.extend_from_slice(&signature));
        Ok(out)
    }

    // --- The server ---------------------------------------------------------------------------------------------

    fn on_client_hello(&mut self, now: Time, message: &Message) -> Result<Expect, DtlsError> {
        let hello = ClientHello::parse(&message.body).ok_or_else(malformed)?;
        // A later version has a smaller number.
        if hello.version > VERSION || hello.version >> 8 != VERSION >> 8 {
            return Err(failed("the peer does not speak DTLS 1.2"));
        }
        let is_rsa = self.identity.is_rsa();
        let suite = SUITES
            .into_iter()
            .find(|suite| suite.rsa == is_rsa && lists(hello.suites, suite.id))
            .ok_or_else(|| failed("no cipher suite in common"))?;
        let (profile_id, profile) = PROFILES
            .into_iter()
            .find(|(id, _)| lists(hello.profiles, *id))
            .ok_or_else(|| failed("no SRTP profile in common"))?;
        let (group_id, curve) = GROUPS
            .into_iter()
            .filter(|id| lists(hello.groups, *id))
            .find_map(|id| Some((id, group(id)?)))
            .ok_or_else(|| failed("no curve in common"))?;
        if !hello.extended_master_secret {
            return Err(failed("the peer does not know the extended master secret"));
        }
        if !lists(hello.schemes, self.identity.scheme()) {
            return Err(failed("the peer does not take signatures like ours"));
        }
        let random = random()?;
        let (private, public) = key_pair(curve)?;
        let mut params = vec![NAMED_CURVE];
        params.extend_from_slice(&group_id.to_be_bytes());
        list(&mut params, 1, |out| out.extend_from_slice(&public));
        let signed = self.signed(&[&hello.random[..], &random, &params].concat())?;
        params.extend_from_slice(&signed);
        let mut request = Vec::new();
        list(&mut request, 1, |out| out.extend_from_slice(&CERTIFICATE_TYPES));
        list(&mut request, 2, |out| {
            for scheme in SCHEMES {
                out.extend_from_slice(&scheme.to_be_bytes());
            }
        });
        list(&mut request, 2, |_| {});

        let pending = self.pending()?;
        pending.client_random = hello.random;
        pending.server_random = random;
        pending.suite = Some(suite);
        pending.profile = Some(profile);
        pending.private = Some(private);
        let flight = vec![
            self.say(SERVER_HELLO, server_hello(&random, &hello, suite, profile_id))?,
            self.say_certificate()?,
            self.say(SERVER_KEY_EXCHANGE, params)?,
            self.say(CERTIFICATE_REQUEST, request)?,
            self.say(SERVER_HELLO_DONE, Vec::new())?,
        ];
        self.send_flight(now, flight);
        Ok(Expect::ClientCertificate)
    }

    fn on_client_key_exchange(&mut self, message: &Message) -> Result<Expect, DtlsError> {
        let mut reader = Reader::new(&message.body);
        let point = reader.list(1).filter(|_| reader.is_empty()).ok_or_else(malformed)?;
        self.agree(point)?;
        self.make_keys()?;
        Ok(Expect::CertificateVerify)
    }

    fn on_certificate_verify(&mut self, message: &Message) -> Result<(), DtlsError> {
        let pending = self.pending()?;
        let peer = pending.peer.as_ref().ok_or_else(malformed)?;
        verify(peer, Reader::new(&message.body), &pending.transcript)
    }

    fn answer_finished(&mut self, now: Time) -> Result<(), DtlsError> {
        let flight = vec![Item::NewKeys, self.say_finished(false)?];
        self.finish()?;
        self.send_flight(now, flight);
        Ok(())
    }

    // --- The client ---------------------------------------------------------------------------------------------

    /// `cookie` is empty unless the server wants to see one.
    pub(super) fn say_hello(&mut self, now: Time, cookie: &[u8]) -> Result<(), DtlsError> {
        if cookie.is_empty() {
            self.pending()?.client_random = random()?;
        }
        let random = self.pending()?.client_random;
        let body = client_hello(&random, cookie, &SUITES, &OFFERED_GROUPS, &SCHEMES);
        let hello = self.say(CLIENT_HELLO, body)?;
        self.send_flight(now, vec![hello]);
        Ok(())
    }

    /// Neither this nor the first hello is hashed (RFC 6347 §4.2.1).
    fn on_verify_request(&mut self, now: Time, message: &Message) -> Result<(), DtlsError> {
        let mut reader = Reader::new(&message.body);
        reader.u16();
        let cookie = reader
            .list(1)
            .filter(|cookie| !cookie.is_empty())
            .ok_or_else(malformed)?;
        let pending = self.pending()?;
        if std::mem::replace(&mut pending.is_verified, true) {
            return Err(failed("the peer asks for a cookie twice"));
        }
        pending.transcript.clear();
        self.say_hello(now, cookie)
    }

    fn on_server_hello(&mut self, message: &Message) -> Result<Expect, DtlsError> {
        let hello = ServerHello::parse(&message.body).ok_or_else(malformed)?;
        if hello.version != VERSION {
            return Err(failed("the peer does not speak DTLS 1.2"));
        }
        if !hello.extended_master_secret {
            return Err(failed("the peer does not know the extended master secret"));
        }
        let suite = SUITES.into_iter().find(|suite| suite.id == hello.suite);
        let profile = PROFILES.into_iter().find(|(id, _)| Some(*id) == hello.profile);
        let pending = self.pending()?;
        pending.server_random = hello.random;
        pending.suite = Some(suite.ok_or_else(|| failed("no cipher suite in common"))?);
        let (_, profile) = profile.ok_or_else(|| failed("no SRTP profile in common"))?;
        pending.profile = Some(profile);
        Ok(Expect::ServerCertificate)
    }

    fn on_server_key_exchange(&mut self, message: &Message) -> Result<Expect, DtlsError> {
        let mut reader = Reader::new(&message.body);
        let mut parse = || Some((reader.u8()?, reader.u16()?, reader.list(1)?));
        let (kind, curve, point) = parse().ok_or_else(malformed)?;
        let curve = group(curve).filter(|_| kind == NAMED_CURVE);
        let (params, _) = message.body.split_at_checked(4 + point.len()).ok_or_else(malformed)?;
        let pending = self.pending()?;
        let peer = pending.peer.as_ref().ok_or_else(malformed)?;
        if Some(peer.is_rsa()) != pending.suite.map(|suite| suite.rsa) {
            return Err(failed("the certificate does not fit the cipher suite"));
        }
        let signed = [&pending.client_random[..], &pending.server_random, params].concat();
        verify(peer, reader, &signed)?;
        let (private, public) = key_pair(curve.ok_or_else(|| failed("no curve in common"))?)?;
        pending.private = Some(private);
        pending.public = public;
        // The shared secret waits for our own point: the master secret comes from everything up to it.
        pending.point = point.to_vec();
        Ok(Expect::CertificateRequest)
    }

    fn on_certificate_request(&mut self, message: &Message) -> Result<Expect, DtlsError> {
        let mut reader = Reader::new(&message.body);
        let mut parse = || Some((reader.list(1)?, reader.list(2)?));
        let (kinds, schemes) = parse().ok_or_else(malformed)?;
        if !kinds.contains(&ECDSA_SIGN) && !self.identity.is_rsa() || !lists(schemes, self.identity.scheme()) {
            return Err(failed("the peer does not take signatures like ours"));
        }
        self.pending()?.is_asked = true;
        Ok(Expect::ServerHelloDone)
    }

    fn on_server_hello_done(&mut self, now: Time, message: &Message) -> Result<Expect, DtlsError> {
        if !message.body.is_empty() {
            return Err(malformed());
        }
        let is_asked = self.pending()?.is_asked;
        let public = std::mem::take(&mut self.pending()?.public);
        let mut flight = Vec::new();
        if is_asked {
            flight.push(self.say_certificate()?);
        }
        let mut body = Vec::new();
        list(&mut body, 1, |out| out.extend_from_slice(&public));
        flight.push(self.say(CLIENT_KEY_EXCHANGE, body)?);
        let point = std::mem::take(&mut self.pending()?.point);
        self.agree(&point)?;
        self.make_keys()?;
        if is_asked {
            let transcript = std::mem::take(&mut self.pending()?.transcript);
            let signed = self.signed(&transcript)?;
            self.pending()?.transcript = transcript;
            flight.push(self.say(CERTIFICATE_VERIFY, signed)?);
        }
        flight.push(Item::NewKeys);
        flight.push(self.say_finished(true)?);
        self.send_flight(now, flight);
        Ok(Expect::ServerFinished)
    }

    // --- Both ---------------------------------------------------------------------------------------------------

    /// Whose certificate it is is known before anything is done with it.
    fn on_certificate(&mut self, message: &Message, next: Expect) -> Result<Expect, DtlsError> {
        let mut reader = Reader::new(&message.body);
        let mut chain = Reader::new(reader.list(3).ok_or_else(malformed)?);
        if chain.is_empty() {
            return Err(failed("the peer has no certificate"));
        }
        let certificate = chain.list(3).ok_or_else(malformed)?;
        if !matches_one(&self.fingerprints, certificate) {
            return Err(DtlsError::FingerprintMismatch);
        }
        let key = PeerKey::of(certificate).ok_or_else(|| failed("a certificate with a key of an unknown kind"))?;
        self.pending()?.peer = Some(key);
        Ok(next)
    }

    /// The master secret, from everything up to the client's point.
    fn agree(&mut self, point: &[u8]) -> Result<(), DtlsError> {
        let pending = self.pending()?;
        let (Some(private), Some(suite)) = (pending.private.take(), pending.suite) else {
            return Err(malformed());
        };
        let peer = UnparsedPublicKey::new(private.algorithm(), point);
        let transcript = &pending.transcript;
        let master = agree_ephemeral(private, peer, (), |shared| suite.master(shared, transcript).ok_or(()))
            .map_err(|()| failed("a point that is not on the curve"))?;
        pending.master = Some(master);
        Ok(())
    }

    fn make_keys(&mut self) -> Result<(), DtlsError> {
        let role = self.role;
        let pending = self.pending()?;
        let master = pending.master.as_ref().ok_or_else(malformed)?;
        let (client, server) = master
            .record_keys(&pending.client_random, &pending.server_random)
            .ok_or_else(|| failed("cannot make keys"))?;
        let (read, write) = match role {
            DtlsRole::Passive => (client, server),
            DtlsRole::Active => (server, client),
        };
        self.read = Some(read);
        self.write = Some(write);
        Ok(())
    }

    fn verify_data(&mut self, of_client: bool) -> Result<Vec<u8>, DtlsError> {
        let pending = self.pending()?;
        let master = pending.master.as_ref().ok_or_else(malformed)?;
        master
            .verify_data(of_client, &pending.transcript)
            .ok_or_else(|| failed("cannot make keys"))
    }

    fn say_finished(&mut self, of_client: bool) -> Result<Item, DtlsError> {
        let body = self.verify_data(of_client)?;
        self.say(FINISHED, body)
    }

    fn check_finished(&mut self, message: &Message) -> Result<(), DtlsError> {
        let expected = self.verify_data(self.role == DtlsRole::Passive)?;
        constant_time::verify_slices_are_equal(&expected, &message.body)
            .map_err(|_| failed("the peer has seen another handshake"))
    }

    /// Both have proved who they are: the keys may be used.
    fn finish(&mut self) -> Result<(), DtlsError> {
        let role = self.role;
        let pending = self.pending()?;
        let (Some(master), Some(profile)) = (&pending.master, pending.profile) else {
            return Err(malformed());
        };
        let len = 2 * (profile.key_len() + profile.salt_len());
        let material = master
            .export(&pending.client_random, &pending.server_random, len)
            .ok_or_else(|| failed("cannot make keys"))?;
        self.keys = Some(Box::new(split(&material, profile, role)?));
        self.expect = Expect::Nothing;
        self.timer = None;
        self.forget();
        Ok(())
    }
}

fn key_pair(curve: &'static aws_lc_rs::agreement::Algorithm) -> Result<(EphemeralPrivateKey, Vec<u8>), DtlsError> {
    let private = EphemeralPrivateKey::generate(curve, &rand::SystemRandom::new());
    let pair = private.and_then(|private| {
        let public = private.compute_public_key()?.as_ref().to_vec();
        Ok((private, public))
    });
    pair.map_err(|_| failed("cannot make a key"))
}

/// `rest` is what signs: scheme and signature.
fn verify(peer: &PeerKey, mut rest: Reader<'_>, message: &[u8]) -> Result<(), DtlsError> {
    let (scheme, signature) = rest.u16().zip(rest.list(2)).ok_or_else(malformed)?;
    let is_right = rest.is_empty() && peer.verify(scheme, message, signature);
    is_right.then_some(()).ok_or_else(|| failed("a wrong signature"))
}
