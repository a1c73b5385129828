use proptest::prelude::*;

use crate::ids::Ssrc;
use crate::reason::DropReason;
use crate::rtp::header::RtpHeader;

/// A packet of the first byte's flags, 12 fixed bytes and `tail`.
fn packet(first: u8, tail: &[u8]) -> Vec<u8> {
    let mut packet = vec![first, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
    packet.extend_from_slice(tail);
    packet
}

#[test]
fn the_fixed_fields_are_read() {
    let header = RtpHeader::parse(&packet(0x80, b"media")).unwrap();
    assert!(header.marker);
    assert_eq!(header.payload_type, 0x60);
    assert_eq!(header.seq, 0x1234);
    assert_eq!(header.timestamp, 9);
    assert_eq!(header.ssrc, Ssrc(7));
    assert_eq!(
        (header.header_len, header.extension_profile, header.padded),
        (12, 0, false)
    );
}

#[test]
fn another_version_and_a_short_packet_are_malformed() {
    assert_eq!(RtpHeader::parse(&packet(0x40, b"")), Err(DropReason::RtpMalformed));
    assert_eq!(
        RtpHeader::parse(&packet(0x80, b"")[..11]),
        Err(DropReason::RtpMalformed)
    );
    assert_eq!(RtpHeader::parse(b""), Err(DropReason::RtpMalformed));
}

#[test]
fn fifteen_csrcs_are_skipped_and_missing_ones_are_malformed() {
    let whole = packet(0x8f, &[0; 60]);
    assert_eq!(RtpHeader::parse(&whole).unwrap().header_len, 72);
    assert_eq!(RtpHeader::parse(&whole[..71]), Err(DropReason::RtpMalformed));
}

#[test]
fn an_extension_lies_behind_the_csrcs() {
    let mut tail = vec![0; 8];
    tail.extend_from_slice(&[0xbe, 0xde, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, b'm']);
    let header = RtpHeader::parse(&packet(0x92, &tail)).unwrap();
    assert_eq!(header.extension_profile, 0xbede);
    assert_eq!(
        (header.extension_at, header.extension_len, header.header_len),
        (24, 8, 32)
    );
}

#[test]
fn an_extension_longer_than_the_packet_is_malformed() {
    assert_eq!(
        RtpHeader::parse(&packet(0x90, &[0xbe, 0xde, 0, 2, 1, 2, 3, 4])),
        Err(DropReason::RtpMalformed)
    );
    assert_eq!(
        RtpHeader::parse(&packet(0x90, &[0xbe, 0xde, 0xff, 0xff])),
        Err(DropReason::RtpMalformed)
    );
    assert_eq!(
        RtpHeader::parse(&packet(0x90, &[0xbe, 0xde])),
        Err(DropReason::RtpMalformed)
    );
}

fn payload(packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let header = RtpHeader::parse(packet)?;
    Ok(packet[header.payload(packet)?].to_vec())
}

#[test]
fn padding_is_no_payload() {
    assert_eq!(payload(&packet(0x80, b"media")).unwrap(), b"media");
    assert_eq!(payload(&packet(0xa0, b"media\0\0\x03")).unwrap(), b"media");
    assert_eq!(payload(&packet(0xa0, b"\0\0\x03")).unwrap(), b"", "a probe");
}

#[test]
fn padding_of_nothing_or_of_more_than_there_is_is_malformed() {
    assert_eq!(payload(&packet(0xa0, b"media\0")), Err(DropReason::RtpMalformed));
    assert_eq!(payload(&packet(0xa0, b"media\x07")), Err(DropReason::RtpMalformed));
    assert_eq!(payload(&packet(0xa0, b"\xff")), Err(DropReason::RtpMalformed));
    assert_eq!(
        payload(&packet(0xa0, b"")),
        Err(DropReason::RtpMalformed),
        "the last byte of the header is no padding"
    );
}

#[test]
fn the_payload_of_a_packet_cut_after_parsing_is_malformed() {
    let whole = packet(0x91, &[0; 12]);
    let header = RtpHeader::parse(&whole).unwrap();
    assert_eq!(header.payload(&whole[..15]), Err(DropReason::RtpMalformed));
}

proptest! {
    #[test]
    fn any_bytes_give_a_header_inside_the_packet_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(header) = RtpHeader::parse(&bytes) {
            prop_assert!(header.header_len <= bytes.len());
            prop_assert!(header.extension_at + header.extension_len <= header.header_len);
            if let Ok(payload) = header.payload(&bytes) {
                prop_assert!(header.header_len <= payload.start && payload.end <= bytes.len());
            }
        }
    }
}
