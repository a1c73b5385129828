//! What the contract of [`Dtls`](super::Dtls) does not show of OpenSSL.

use aws_lc_rs::digest;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509NameBuilder};

use super::*;
use crate::command::Hash;

/// A certificate and its key; who signs it is `by`.
fn signed(number: u32, key: &PKey<Private>, by: &PKey<Private>) -> X509 {
    let name = |number: u32| {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", &number.to_string()).unwrap();
        name.build()
    };
    let mut x509 = X509::builder().unwrap();
    x509.set_version(2).unwrap();
    let serial = BigNum::from_u32(number + 1).unwrap().to_asn1_integer().unwrap();
    x509.set_serial_number(&serial).unwrap();
    x509.set_subject_name(&name(number)).unwrap();
    x509.set_issuer_name(&name(number + 1)).unwrap();
    x509.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    x509.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    x509.set_pubkey(key).unwrap();
    x509.sign(by, MessageDigest::sha256()).unwrap();
    x509.build()
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn print(certificate: &[u8]) -> Vec<Fingerprint> {
    let digest = digest::digest(&digest::SHA256, certificate).as_ref().to_vec();
    let hash = Hash::Sha256;
    vec![Fingerprint { hash, digest }]
}

fn said(dtls: &mut OpensslDtls) -> Vec<Vec<u8>> {
    let mut buf = [0; MTU];
    let mut packets = Vec::new();
    loop {
        match dtls.poll(&mut buf) {
            DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
            DtlsOutput::Idle => return packets,
            DtlsOutput::Connected(_) | DtlsOutput::PeerClosed | DtlsOutput::Timeout(_) => {}
        }
    }
}

#[test]
fn a13_signatures_of_a_chain_are_not_checked_one_after_the_other() {
    let keys: Vec<_> = (0..13).map(|_| key()).collect();
    let mut chain: Vec<_> = (0..12)
        .map(|n| signed(n as u32, &keys[n], &keys[n + 1]).to_der().unwrap())
        .collect();
    let leaf = chain.remove(0);
    let context = Context::new(&leaf, &keys[0].private_key_to_pkcs8().unwrap()).unwrap();
    let mut server = OpensslDtls::new(&context, DtlsRole::Passive, print(&leaf), Time::ZERO);
    let mut client = OpensslDtls::new(&context, DtlsRole::Active, print(&leaf), Time::ZERO);
    let mut ssl = Ssl::new(&context.0).unwrap();
    ssl.set_mtu(MTU as u32).unwrap();
    ssl.set_verify(SslVerifyMode::NONE);
    ssl.set_connect_state();
    for certificate in &chain {
        ssl.add_chain_cert(X509::from_der(certificate).unwrap()).unwrap();
    }
    said(&mut client);
    client.state = State::Handshake(SslStream::new(ssl, Datagrams::default()).unwrap());
    client.step(Time::ZERO, None).unwrap();
    for _ in 0..4 {
        for packet in said(&mut client) {
            server.packet(Time::ZERO, &packet).unwrap();
        }
        for packet in said(&mut server) {
            client.packet(Time::ZERO, &packet).unwrap();
        }
    }
    let State::Connected(stream) = &server.state else {
        panic!("a chain behind the certificate does no harm")
    };
    let sent = stream.ssl().peer_cert_chain().unwrap().len();
    let looked_at = stream.ssl().verified_chain().unwrap().len();
    assert_eq!(sent, 11, "what comes behind its own");
    assert!(looked_at <= 2, "{looked_at}");
}
