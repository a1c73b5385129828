use proptest::prelude::*;

use crate::command::{ExtensionKind, ExtensionSpec};
use crate::ids::{Mid, Rid, Ssrc};
use crate::rtp::ext::{ExtensionMap, Extensions, MAX_OUT_HEADER, OutHeader, Place, Relayed};
use crate::rtp::header::RtpHeader;

const KINDS: [ExtensionKind; 7] = [
    ExtensionKind::Mid,
    ExtensionKind::Rid,
    ExtensionKind::RepairedRid,
    ExtensionKind::TransportCc,
    ExtensionKind::AbsSendTime,
    ExtensionKind::AudioLevel,
    ExtensionKind::PlayoutDelay,
];

fn map(ids: &[(u8, ExtensionKind)]) -> ExtensionMap {
    let specs: Vec<_> = ids.iter().map(|&(id, kind)| ExtensionSpec { id, kind }).collect();
    ExtensionMap::new(&specs)
}

/// All kinds, with ids 1 to 7.
fn all() -> ExtensionMap {
    map(&[1, 2, 3, 4, 5, 6, 7].map(|id| (id, KINDS[usize::from(id) - 1])))
}

fn read(map: &ExtensionMap, profile: u16, data: &[u8]) -> Extensions {
    let mut data = data.to_vec();
    data.resize(data.len().next_multiple_of(4), 0);
    let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(&profile.to_be_bytes());
    packet.extend_from_slice(&(data.len() as u16 / 4).to_be_bytes());
    packet.extend_from_slice(&data);
    packet.extend_from_slice(b"media that is no extension");
    let header = RtpHeader::parse(&packet).unwrap();
    map.read(&packet, &header)
}

const EVERYTHING: Extensions = Extensions {
    dependency: Place { at: 0, len: 0 },
    capture_time: Place { at: 0, len: 0 },
    allocation: Place { at: 0, len: 0 },
    mid: None,
    rid: None,
    repaired_rid: None,
    transport_cc: Some(0x0102),
    audio_level: Some((30, true)),
    abs_send_time: Some(0x0a0b0c),
    playout_delay: Some(0x00_a014),
};

fn everything() -> Extensions {
    Extensions {
        mid: Mid::new(b"a1"),
        rid: Rid::new(b"hi"),
        repaired_rid: Rid::new(b"lo"),
        ..EVERYTHING
    }
}

#[test]
fn every_kind_is_read_in_one_byte_form() {
    let data = b"\x11a1\x21hi\x31lo\0\0\x41\x01\x02\x52\x0a\x0b\x0c\x60\x9e\x72\x00\xa0\x14";
    assert_eq!(read(&all(), 0xbede, data), everything());
}

#[test]
fn every_kind_is_read_in_two_byte_form() {
    let data = b"\x01\x02a1\x02\x02hi\0\x03\x02lo\x04\x02\x01\x02\x05\x03\x0a\x0b\x0c\x06\x01\x9e\x07\x03\x00\xa0\x14";
    assert_eq!(read(&all(), 0x1000, data), everything());
    assert_eq!(
        read(&all(), 0x1007, data),
        everything(),
        "the application bits mean nothing"
    );
    assert_eq!(read(&all(), 0x2000, data), Extensions::default(), "another form");
}

#[test]
fn ids_up_to_255_are_read_in_two_byte_form() {
    let map = map(&[(255, ExtensionKind::Mid), (15, ExtensionKind::TransportCc)]);
    let found = read(&map, 0x1000, b"\xff\x03vid\x0f\x02\xab\xcd");
    assert_eq!(found.mid, Mid::new(b"vid"));
    assert_eq!(found.transport_cc, Some(0xabcd));
}

#[test]
fn unknown_ids_are_skipped() {
    let map = map(&[(4, ExtensionKind::TransportCc)]);
    assert_eq!(read(&map, 0xbede, b"\x91??\x41\x00\x07").transport_cc, Some(7));
    assert_eq!(read(&map, 0x1000, b"\xc8\x00\x04\x02\x00\x07").transport_cc, Some(7));
}

#[test]
fn the_reserved_id_and_padding_with_a_length_end_the_reading() {
    assert_eq!(read(&all(), 0xbede, b"\x41\x00\x07\xf0\x00\x11a1").mid, None);
    assert_eq!(read(&all(), 0xbede, b"\x41\x00\x07\x01\x00\x00\x11a1").mid, None);
    assert_eq!(
        read(&all(), 0xbede, b"\x41\x00\x07\xf0\x00\x11a1").transport_cc,
        Some(7)
    );
}

#[test]
fn an_element_that_overruns_the_extension_is_not_read() {
    let found = read(&all(), 0xbede, b"\x41\x00\x07\x1fabcd");
    assert_eq!((found.transport_cc, found.mid), (Some(7), None));
    let found = read(&all(), 0x1000, b"\x04\x02\x00\x07\x01\x10ab");
    assert_eq!((found.transport_cc, found.mid), (Some(7), None));
    assert_eq!(
        read(&all(), 0x1000, b"\x0a\x01x\x01"),
        Extensions::default(),
        "an id without a length"
    );
}

#[test]
fn a_value_of_a_wrong_length_is_no_value() {
    assert_eq!(read(&all(), 0xbede, b"\x40\x07").transport_cc, None);
    assert_eq!(read(&all(), 0xbede, b"\x61\x07\x07").audio_level, None);
    assert_eq!(read(&all(), 0x1000, b"\x01\x00\x06\x00\x05\x02aa").mid, None);
    assert_eq!(
        read(&all(), 0x1000, b"\x01\x11aaaaaaaaaaaaaaaaa").mid,
        None,
        "a mid of 17 bytes"
    );
}

#[test]
fn of_two_values_the_first_one_counts() {
    assert_eq!(read(&all(), 0xbede, b"\x10a\x10b").mid, Mid::new(b"a"));
}

#[test]
fn of_two_ids_for_a_kind_and_two_kinds_for_an_id_the_first_one_counts() {
    let map = map(&[
        (0, ExtensionKind::Rid),
        (3, ExtensionKind::Mid),
        (5, ExtensionKind::Mid),
        (3, ExtensionKind::TransportCc),
    ]);
    assert_eq!(map.id(ExtensionKind::Mid), Some(3));
    assert!(!map.has(ExtensionKind::TransportCc));
    assert!(!map.has(ExtensionKind::Rid), "0 is padding, no id");
}

fn out() -> OutHeader {
    OutHeader {
        marker: true,
        payload_type: 96,
        seq: 65_535,
        timestamp: 0xdead_beef,
        ssrc: Ssrc(0xfeed_f00d),
        mid: None,
        transport_cc: None,
        abs_send_time: None,
    }
}

#[test]
fn a_header_without_extensions_has_twelve_bytes() {
    let mut buf = [0xff; 64];
    assert_eq!(all().write(&mut buf, &out()), Some(12));
    let wanted = OutHeader {
        mid: Mid::new(b"0"),
        transport_cc: Some(1),
        abs_send_time: Some(2),
        ..out()
    };
    assert_eq!(map(&[]).write(&mut buf, &wanted), Some(12), "nothing is negotiated");
    assert_eq!(buf[0], 0x80);
}

#[test]
fn ids_above_14_force_the_two_byte_form_and_only_where_they_are_used() {
    let map = map(&[(1, ExtensionKind::Mid), (15, ExtensionKind::TransportCc)]);
    let mut buf = [0; 64];
    let with_mid = OutHeader {
        mid: Mid::new(b"0"),
        ..out()
    };
    assert_eq!(map.write(&mut buf, &with_mid), Some(20));
    assert_eq!(buf[12..20], *b"\xbe\xde\0\x01\x100\0\0");
    let with_both = OutHeader {
        transport_cc: Some(0x0102),
        ..with_mid
    };
    assert_eq!(map.write(&mut buf, &with_both), Some(24));
    assert_eq!(buf[12..24], *b"\x10\0\0\x02\x01\x010\x0f\x02\x01\x02\0");
}

#[test]
fn a_header_that_does_not_fit_is_not_written() {
    let header = OutHeader {
        mid: Mid::new(b"0123456789abcdef"),
        transport_cc: Some(1),
        abs_send_time: Some(2),
        ..out()
    };
    let map = map(&[
        (200, ExtensionKind::Mid),
        (201, ExtensionKind::TransportCc),
        (202, ExtensionKind::AbsSendTime),
    ]);
    assert_eq!(map.write(&mut [0; MAX_OUT_HEADER], &header), Some(MAX_OUT_HEADER));
    for len in 0..MAX_OUT_HEADER {
        assert_eq!(map.write(&mut vec![0; len], &header), None);
    }
}

prop_compose! {
    fn any_map()(ids in proptest::collection::vec((any::<u8>(), 0usize..7), 0..10)) -> ExtensionMap {
        let ids: Vec<_> = ids.iter().map(|&(id, kind)| (id, KINDS[kind])).collect();
        map(&ids)
    }
}

prop_compose! {
    fn any_out()(
        marker: bool, payload_type in 0u8..128, seq: u16, timestamp: u32, ssrc: u32,
        mid in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..17)),
        transport_cc: Option<u16>,
        abs_send_time in proptest::option::of(0u32..1 << 24),
    ) -> OutHeader {
        let mid = mid.and_then(|mid| Mid::new(&mid));
        OutHeader { marker, payload_type, seq, timestamp, ssrc: Ssrc(ssrc), mid, transport_cc, abs_send_time }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(map in any_map(), header in any_out()) {
        let mut buf = [0xaa; MAX_OUT_HEADER];
        let len = map.write(&mut buf, &header).unwrap();
        let packet = &buf[..len];
        let parsed = RtpHeader::parse(packet).unwrap();
        prop_assert_eq!(parsed.header_len, len);
        prop_assert_eq!(
            (parsed.marker, parsed.payload_type, parsed.seq, parsed.timestamp, parsed.ssrc),
            (header.marker, header.payload_type, header.seq, header.timestamp, header.ssrc)
        );
        let found = map.read(packet, &parsed);
        prop_assert_eq!(found, Extensions {
            mid: header.mid.filter(|_| map.has(ExtensionKind::Mid)),
            transport_cc: header.transport_cc.filter(|_| map.has(ExtensionKind::TransportCc)),
            abs_send_time: header.abs_send_time.filter(|_| map.has(ExtensionKind::AbsSendTime)),
            ..Extensions::default()
        });
    }

    #[test]
    fn any_extension_bytes_are_read_without_harm(
        map in any_map(), one_byte: bool, data in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let found = read(&map, if one_byte { 0xbede } else { 0x1000 }, &data);
        for (kind, there) in [
            (ExtensionKind::Mid, found.mid.is_some()),
            (ExtensionKind::TransportCc, found.transport_cc.is_some()),
            (ExtensionKind::AudioLevel, found.audio_level.is_some()),
        ] {
            prop_assert!(!there || map.has(kind));
        }
    }
}

#[test]
fn a_long_value_forces_the_two_byte_form() {
    let map = map(&[
        (1, ExtensionKind::Mid),
        (2, ExtensionKind::DependencyDescriptor),
        (3, ExtensionKind::AbsCaptureTime),
        (4, ExtensionKind::PlayoutDelay),
    ]);
    let header = OutHeader {
        mid: Mid::new(b"0"),
        ..out()
    };
    let time = [7; 8];
    for (len, profile) in [(3, 0xbede_u16), (16, 0xbede), (17, 0x1000), (200, 0x1000)] {
        let descriptor = vec![9; len];
        let relayed = Relayed {
            dependency: Some(&descriptor),
            capture_time: Some(&time),
            playout_delay: Some(0x12_3456),
        };
        let mut buf = [0; 300];
        let written = map.write_with(&mut buf, &header, &relayed).unwrap();
        let packet = &buf[..written];
        let parsed = RtpHeader::parse(packet).unwrap();
        assert_eq!((parsed.header_len, parsed.extension_profile), (written, profile));
        let found = map.read(packet, &parsed);
        assert_eq!(found.dependency.of(packet), Some(&descriptor[..]));
        assert_eq!(found.capture_time.of(packet), Some(&time[..]));
        assert_eq!((found.playout_delay, found.mid), (Some(0x12_3456), header.mid));
    }
}

#[test]
fn what_was_not_negotiated_is_not_relayed() {
    let relayed = Relayed {
        dependency: Some(&[1, 2, 3]),
        ..Relayed::default()
    };
    let mut buf = [0; 64];
    assert_eq!(
        map(&[(1, ExtensionKind::Mid)]).write_with(&mut buf, &out(), &relayed),
        Some(12)
    );
    assert_eq!(map(&[]).write_with(&mut [0; 4], &out(), &relayed), None);
}
