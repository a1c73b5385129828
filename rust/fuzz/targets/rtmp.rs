//! RTMP chunks, AMF and commands: however the bytes are cut, the same messages come of them, and what is kept stays below the caps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_ingest::{ChunkReader, MAX_PARTIAL, Session, decode};

/// A handshake of the original kind: the server echoes, and takes anything for the client's second packet.
fn handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.resize(1 + 2 * 1536, 0);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let (cut, data) = data.split_first().map_or((1, data), |(cut, rest)| (usize::from(*cut) + 1, rest));
    let _ = decode(data);

    let (mut whole, mut parts) = (ChunkReader::new(), ChunkReader::new());
    whole.let_media_in();
    parts.let_media_in();
    let (mut at_once, mut bit_by_bit) = (Vec::new(), Vec::new());
    let outcome = whole.read(data, &mut at_once);
    let again = data.chunks(cut).try_for_each(|part| {
        assert!(parts.partial() <= MAX_PARTIAL);
        parts.read(part, &mut bit_by_bit)
    });
    assert_eq!(outcome, again);
    assert_eq!(at_once, bit_by_bit);
    assert!(at_once.iter().map(|message| message.payload.len()).sum::<usize>() <= data.len());

    let mut session = Session::new();
    if session.receive(&handshake()).is_err() {
        return;
    }
    for part in data.chunks(cut) {
        let Ok(events) = session.receive(part) else { return };
        let _ = session.take_output();
        if !events.is_empty() {
            let _ = session.accept();
        }
    }
    let _ = session.end("NetStream.Unpublish.Success", "over");
});
