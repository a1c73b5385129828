//! STUN: any datagram is classified and parsed without harm, and only the right password verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::transport::{classify, stun};

fuzz_target!(|datagram: &[u8]| {
    let _ = classify::classify(datagram);
    let Ok(message) = stun::parse(datagram) else { return };
    let _ = (
        message.class(),
        message.transaction(),
        message.role(),
        message.priority(),
    );
    let _ = (message.use_candidate(), message.mapped_address(), message.error_code());
    assert!(message.unknown().len() <= 64);
    if let (Some(local), Some(remote)) = (message.local_ufrag(), message.remote_ufrag()) {
        assert!(local.len() + remote.len() < datagram.len());
    }
    assert!(!message.verify(b"a password that the fuzzer does not key with"));
});
