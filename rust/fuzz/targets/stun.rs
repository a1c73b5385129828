//! STUN: any datagram is classified and parsed without harm, and nothing verifies without the password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::transport::{classify, stun};

/// CRC-32 of ISO 3309, as FINGERPRINT has it before the XOR (RFC 8489 §14.7).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

/// A message of the attributes in `input`, with a header and a fingerprint that no fuzzer would guess.
fn framed(input: &[u8]) -> Vec<u8> {
    let (choice, attributes) = input.split_first().unwrap_or((&0, &[]));
    let kind = [0x0001u16, 0x0011, 0x0101, 0x0111][usize::from(choice & 3)];
    let mut body = attributes[..attributes.len().min(400)].to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let mut message = kind.to_be_bytes().to_vec();
    message.extend_from_slice(&(body.len() as u16 + 8).to_be_bytes());
    message.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    message.extend_from_slice(b"transaction!");
    message.extend(body);
    let fingerprint = crc32(&message) ^ 0x5354_554e;
    message.extend_from_slice(&[0x80, 0x28, 0, 4]);
    message.extend_from_slice(&fingerprint.to_be_bytes());
    message
}

fn check(datagram: &[u8]) {
    let _ = classify::classify(datagram);
    let Ok(message) = stun::parse(datagram) else { return };
    let _ = (message.class(), message.transaction(), message.role());
    let _ = (message.priority(), message.use_candidate(), message.mapped_address());
    assert!(message.error_code().is_none_or(|code| (300..700).contains(&code)));
    assert!(message.unknown().len() <= 64);
    if let (Some(local), Some(remote)) = (message.local_ufrag(), message.remote_ufrag()) {
        assert!(local.len() + remote.len() < datagram.len());
    }
    assert!(!message.verify(b"a password that keyed none of this"));
}

fuzz_target!(|input: &[u8]| {
    check(input);
    check(&framed(input));
});
