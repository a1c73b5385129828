//! ClientHello and ServerHello (RFC 5246 §7.4.1), read and written.

use super::keys::Suite;
use crate::command::SrtpProfile;
use crate::transport::dtls::wire::{Reader, VERSION, list, lists};

const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const USE_SRTP: u16 = 14;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;
const RENEGOTIATION_INFO: u16 = 0xff01;
/// Stands in the list of cipher suites and says the same (RFC 5746 §3.3).
const RENEGOTIATION_SCSV: u16 = 0x00ff;
const DTLS_1_3: u16 = 0xfefc;

/// Cheapest for every packet first (ADR 5).
pub(super) const PROFILES: [(u16, SrtpProfile); 3] = [
    (8, SrtpProfile::AeadAes256Gcm),
    (7, SrtpProfile::AeadAes128Gcm),
    (1, SrtpProfile::Aes128CmSha1_80),
];

/// What a client proposes.
pub(in crate::transport::dtls) struct ClientHello<'a> {
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    pub(super) suites: &'a [u8],
    pub(super) groups: &'a [u8],
    pub(super) schemes: &'a [u8],
    pub(super) profiles: &'a [u8],
    pub(super) extended_master_secret: bool,
    pub(super) secure_renegotiation: bool,
    pub(super) point_formats: bool,
    versions: &'a [u8],
    encrypt_then_mac: bool,
}

impl<'a> ClientHello<'a> {
    /// `None` when it is malformed.
    pub(in crate::transport::dtls) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        reader.list(1)?; // session: none is ever resumed
        reader.list(1)?; // cookie: none is ever asked for
        let suites = reader.list(2)?;
        reader.list(1)?; // compression: none is what everybody lists
        let mut hello = Self {
            version,
            random,
            suites,
            groups: &[],
            schemes: &[],
            profiles: &[],
            extended_master_secret: false,
            secure_renegotiation: lists(suites, RENEGOTIATION_SCSV),
            point_formats: false,
            versions: &[],
            encrypt_then_mac: false,
        };
        for extension in extensions(&mut reader)? {
            let (kind, body) = extension?;
            let mut body = Reader::new(body);
            match kind {
                SUPPORTED_GROUPS => hello.groups = body.list(2)?,
                POINT_FORMATS => hello.point_formats = true,
                SIGNATURE_ALGORITHMS => hello.schemes = body.list(2)?,
                USE_SRTP => hello.profiles = body.list(2)?,
                ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
                EXTENDED_MASTER_SECRET => hello.extended_master_secret = true,
                SUPPORTED_VERSIONS => hello.versions = body.list(1)?,
                RENEGOTIATION_INFO => hello.secure_renegotiation = true,
                _ => {}
            }
        }
        Some(hello)
    }

    /// Browsers propose DTLS 1.3, and neither BoringSSL nor NSS knows encrypt-then-MAC (RFC 7366), which OpenSSL, GnuTLS and Mbed TLS propose.
    /// The certificates of browsers are P-256.
    pub(in crate::transport::dtls) fn is_of_a_browser(&self) -> bool {
        lists(self.versions, DTLS_1_3) && !self.encrypt_then_mac
    }
}

/// What a server chose.
pub(super) struct ServerHello {
    pub version: u16,
    pub random: [u8; 32],
    pub suite: u16,
    pub profile: Option<u16>,
    pub extended_master_secret: bool,
}

impl ServerHello {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        reader.list(1)?;
        let suite = reader.u16()?;
        let compression = reader.u8()?;
        let mut hello = Self {
            version,
            random,
            suite,
            profile: None,
            extended_master_secret: false,
        };
        for extension in extensions(&mut reader)? {
            let (kind, body) = extension?;
            match kind {
                USE_SRTP => {
                    let mut profiles = Reader::new(Reader::new(body).list(2)?);
                    hello.profile = Some(profiles.u16()?);
                    if !profiles.is_empty() {
                        return None;
                    }
                }
                EXTENDED_MASTER_SECRET => hello.extended_master_secret = true,
                _ => {}
            }
        }
        (compression == 0).then_some(hello)
    }
}

/// The extensions up to the end of the message; none at all is an empty list. An item is `None` where they are malformed.
fn extensions<'a>(reader: &mut Reader<'a>) -> Option<impl Iterator<Item = Option<(u16, &'a [u8])>> + use<'a>> {
    let all = if reader.is_empty() { &[] } else { reader.list(2)? };
    let mut rest = Reader::new(all);
    Some(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let extension = rest.u16().zip(rest.list(2));
        if extension.is_none() {
            rest = Reader::new(&[]);
        }
        Some(extension)
    }))
}

/// `cookie` is what the server asked for, if it did.
pub(super) fn client_hello(
    random: &[u8; 32],
    cookie: &[u8],
    suites: &[Suite],
    groups: &[u16],
    schemes: &[u16],
) -> Vec<u8> {
    let numbers = |out: &mut Vec<u8>, numbers: &mut dyn Iterator<Item = u16>| {
        list(out, 2, |out| {
            for number in numbers {
                out.extend_from_slice(&number.to_be_bytes());
            }
        });
    };
    let mut out = VERSION.to_be_bytes().to_vec();
    out.extend_from_slice(random);
    list(&mut out, 1, |_| {});
    list(&mut out, 1, |out| out.extend_from_slice(cookie));
    numbers(&mut out, &mut suites.iter().map(|suite| suite.id));
    list(&mut out, 1, |out| out.push(0));
    list(&mut out, 2, |out| {
        extension(out, RENEGOTIATION_INFO, |out| out.push(0));
        extension(out, EXTENDED_MASTER_SECRET, |_| {});
        extension(out, SUPPORTED_GROUPS, |out| numbers(out, &mut groups.iter().copied()));
        extension(out, POINT_FORMATS, |out| out.extend_from_slice(&[1, 0]));
        extension(out, SIGNATURE_ALGORITHMS, |out| {
            numbers(out, &mut schemes.iter().copied())
        });
        extension(out, USE_SRTP, |out| {
            numbers(out, &mut PROFILES.iter().map(|(id, _)| *id));
            out.push(0);
        });
    });
    out
}

/// The answer to `client`.
pub(super) fn server_hello(random: &[u8; 32], client: &ClientHello<'_>, suite: Suite, profile: u16) -> Vec<u8> {
    let mut out = VERSION.to_be_bytes().to_vec();
    out.extend_from_slice(random);
    list(&mut out, 1, |_| {});
    out.extend_from_slice(&suite.id.to_be_bytes());
    out.push(0);
    list(&mut out, 2, |out| {
        if client.secure_renegotiation {
            extension(out, RENEGOTIATION_INFO, |out| out.push(0));
        }
        extension(out, EXTENDED_MASTER_SECRET, |_| {});
        if client.point_formats {
            extension(out, POINT_FORMATS, |out| out.extend_from_slice(&[1, 0]));
        }
        extension(out, USE_SRTP, |out| {
            list(out, 2, |out| out.extend_from_slice(&profile.to_be_bytes()));
            out.push(0);
        });
    });
    out
}

fn extension(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&kind.to_be_bytes());
    list(out, 2, fill);
}
