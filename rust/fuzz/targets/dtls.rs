//! DTLS: no datagrams of a peer do harm, in either role, before and in the middle of a handshake, and none yields keys.
//!
//! The input is a list of datagrams, each behind its length of two bytes. A length with its highest bit set asks for a frame: the bytes become
//! a handshake message with the right headers, which no fuzzer would guess. Meant are the reading of hellos, and what OpenSSL is handed and
//! says; dimpl comes along where a hello is a browser's.
#![no_main]

use std::sync::LazyLock;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use rostra_sfu::command::{DtlsRole, Fingerprint, Hash};
use rostra_sfu::time::Time;
use rostra_sfu::transport::certificate::Certificate;
use rostra_sfu::transport::dtls::{self, Dtls, DtlsConfig, DtlsOutput};

static CONFIG: LazyLock<(DtlsConfig, Vec<Fingerprint>)> = LazyLock::new(|| {
    let certificate = Certificate::generate().expect("a certificate");
    let print = Fingerprint {
        hash: Hash::Sha256,
        digest: certificate.sha256().to_vec(),
    };
    (
        DtlsConfig::new(Instant::now(), &certificate).expect("its configuration"),
        vec![print],
    )
});

/// A handshake message in one record: kind, number, body.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let [kind, seq, body @ ..] = bytes else {
        return Vec::new();
    };
    let len = (body.len() as u32).to_be_bytes();
    let mut message = vec![*kind % 24, len[1], len[2], len[3], 0, *seq % 12, 0, 0, 0];
    message.extend_from_slice(&len[1..]);
    message.extend_from_slice(body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, *seq];
    record.extend_from_slice(&(message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

fn datagrams(mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let [high, low, rest @ ..] = input {
        let len = usize::from(high & 0x07) << 8 | usize::from(*low);
        let (bytes, behind) = rest.split_at(len.min(rest.len()));
        out.push(if high & 0x80 != 0 { framed(bytes) } else { bytes.to_vec() });
        input = behind;
    }
    out
}

/// What it answers; it must fall silent, and must not connect.
fn drain(dtls: &mut dyn Dtls) -> Vec<Vec<u8>> {
    let mut buffer = [0; dtls::MTU];
    let mut packets = Vec::new();
    for _ in 0..100 {
        match dtls.poll(&mut buffer) {
            DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
            DtlsOutput::Connected(_) => panic!("keys for somebody who has none"),
            DtlsOutput::PeerClosed => panic!("a good-bye of somebody who never came"),
            DtlsOutput::Timeout(_) => {}
            DtlsOutput::Idle => return packets,
        }
    }
    panic!("it never falls silent");
}

fuzz_target!(|input: &[u8]| {
    let (config, prints) = &*CONFIG;
    let datagrams = datagrams(input);
    for role in [DtlsRole::Passive, DtlsRole::Active] {
        // From the start, and where the peer has taken the first step as it should.
        for is_begun in [false, true] {
            let mut dtls = dtls::new(config, role, prints.clone(), Time::ZERO);
            let mut said = drain(dtls.as_mut()).len();
            if is_begun {
                let mut peer = dtls::new(config, DtlsRole::Active, prints.clone(), Time::ZERO);
                let mut hellos = drain(peer.as_mut());
                if role == DtlsRole::Active {
                    let mut server = dtls::new(config, DtlsRole::Passive, prints.clone(), Time::ZERO);
                    for hello in &hellos {
                        let _ = server.packet(Time::ZERO, hello);
                    }
                    hellos = drain(server.as_mut());
                    // Half a flight, so that the rest is the fuzzer's.
                    hellos.truncate(1);
                }
                for hello in hellos {
                    let _ = dtls.packet(Time::ZERO, &hello);
                    said += drain(dtls.as_mut()).len();
                }
            }
            for (number, datagram) in datagrams.iter().enumerate() {
                let now = Time(number as u64 * 1_000);
                if dtls.packet(now, datagram).is_err() {
                    assert!(drain(dtls.as_mut()).is_empty());
                }
                said += drain(dtls.as_mut()).len();
            }
            let _ = dtls.timeout(Time(40_000_000));
            assert!(said <= 4 * 9 + 1, "{said} datagrams");
        }
    }
});
