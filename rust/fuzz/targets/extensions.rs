//! Header extensions: any packet is read with any map; what is found is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rostra_sfu::command::{ExtensionKind, ExtensionSpec};
use rostra_sfu::rtp::ext::{ExtensionMap, Extensions, MAX_OUT_HEADER, OutHeader, Relayed};
use rostra_sfu::rtp::header::RtpHeader;

const KINDS: [ExtensionKind; 10] = [
    ExtensionKind::Mid,
    ExtensionKind::Rid,
    ExtensionKind::RepairedRid,
    ExtensionKind::TransportCc,
    ExtensionKind::AbsSendTime,
    ExtensionKind::AudioLevel,
    ExtensionKind::PlayoutDelay,
    ExtensionKind::DependencyDescriptor,
    ExtensionKind::AbsCaptureTime,
    ExtensionKind::VideoLayersAllocation,
];

// The first ten bytes are the ids of the map, the rest is a packet whose fixed header is given.
fuzz_target!(|input: &[u8]| {
    let Some((ids, rest)) = input.split_at_checked(10) else {
        return;
    };
    let specs: Vec<_> = ids
        .iter()
        .zip(KINDS)
        .map(|(&id, kind)| ExtensionSpec { id, kind })
        .collect();
    let map = ExtensionMap::new(&specs);
    let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend_from_slice(rest);
    let Ok(header) = RtpHeader::parse(&packet) else { return };
    let found = map.read(&packet, &header);
    let out = OutHeader {
        marker: header.marker,
        payload_type: header.payload_type,
        seq: header.seq,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        mid: found.mid,
        transport_cc: found.transport_cc,
        abs_send_time: found.abs_send_time,
    };
    let mut buf = [0xee; MAX_OUT_HEADER];
    let Some(len) = map.write(&mut buf, &out) else {
        panic!("{out:?} is too long")
    };
    let Ok(again) = RtpHeader::parse(&buf[..len]) else {
        panic!("{:02x?}", &buf[..len])
    };
    assert_eq!(again.header_len, len);
    let expected = Extensions {
        mid: found.mid,
        transport_cc: found.transport_cc,
        abs_send_time: found.abs_send_time,
        ..Extensions::default()
    };
    assert_eq!(map.read(&buf[..len], &again), expected);

    let relayed = Relayed {
        dependency: found.dependency.of(&packet),
        capture_time: found.capture_time.of(&packet),
        playout_delay: found.playout_delay,
    };
    let mut buf = [0xee; MAX_OUT_HEADER + 2 * 257 + 8];
    let Some(len) = map.write_with(&mut buf, &out, &relayed) else {
        panic!("{relayed:?} is too long")
    };
    let written = &buf[..len];
    let Ok(again) = RtpHeader::parse(written) else {
        panic!("{written:02x?}")
    };
    assert_eq!(again.header_len, len);
    let read = map.read(written, &again);
    assert_eq!(read.dependency.of(written), relayed.dependency);
    assert_eq!(read.capture_time.of(written), relayed.capture_time);
    assert_eq!(
        (read.playout_delay, read.mid, read.transport_cc, read.abs_send_time),
        (found.playout_delay, found.mid, found.transport_cc, found.abs_send_time)
    );
});
