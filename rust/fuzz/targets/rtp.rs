//! RTP headers: whatever is claimed lies inside the packet, and sequence numbers follow the half-range rule.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::rtp::header::RtpHeader;
use rostra_sfu::rtp::seq::SeqExtender;

fuzz_target!(|packet: &[u8]| {
    if let Ok(header) = RtpHeader::parse(packet) {
        assert!(header.extension_at + header.extension_len <= header.header_len);
        assert!(header.header_len <= packet.len());
        if let Ok(payload) = header.payload(packet) {
            assert!(header.header_len <= payload.start && payload.end <= packet.len());
            assert!(header.padded || payload.end == packet.len());
        }
    }
    let mut seqs = SeqExtender::default();
    for pair in packet.chunks_exact(2) {
        let seq = u16::from_be_bytes([pair[0], pair[1]]);
        let before = seqs.highest();
        let extended = seqs.extend(seq);
        assert_eq!(extended as u16, seq);
        if let Some(before) = before {
            assert!(extended < before + 32_768 && extended + 32_768 >= before);
        }
    }
});
