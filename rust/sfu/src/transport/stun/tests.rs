use super::testing::{refinger, request_with};
use super::*;

const PWD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// RFC 5769 §2.1
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36\
     000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
/// RFC 5769 §2.2
const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
     000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
/// RFC 5769 §2.3
const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9\
     00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn good() -> Vec<u8> {
    request_with("ours:theirs", Some(PWD), &[])
}

#[test]
fn the_request_of_rfc_5769_is_read_and_verified() {
    let bytes = hex(REQUEST);
    let message = parse(&bytes).unwrap();
    assert!(message.is_request());
    assert_eq!(message.local_ufrag(), Some("evtj"));
    assert_eq!(message.remote_ufrag(), Some("h6vY"));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.role(), Some(IceRole::Controlled(0x932f_f9b1_5126_3b36)));
    assert!(!message.use_candidate());
    assert!(message.verify(PWD));
    assert!(!message.verify(b"VOkJxbRl1RmTxUk/WvJxBT"));
}

#[test]
fn the_responses_of_rfc_5769_are_read_and_verified() {
    for (text, address) in [
        (RESPONSE_V4, "192.0.2.1:32853"),
        (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let bytes = hex(text);
        let message = parse(&bytes).unwrap();
        assert_eq!(message.class(), MessageClass::Success);
        assert_eq!(message.mapped_address(), Some(address.parse().unwrap()));
        assert!(message.verify(PWD));
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut out = [0; MAX_MESSAGE];
    let request = Request {
        transaction: [9; 12],
        to_ufrag: "ours",
        from_ufrag: "theirs!",
        pwd: PWD,
        priority: 77,
        role: IceRole::Controlling(5),
        use_candidate: true,
    };
    let len = write_request(&mut out, &request).unwrap();
    let message = parse(&out[..len]).unwrap();
    assert!(message.is_request() && message.verify(PWD) && message.use_candidate());
    assert_eq!(message.transaction(), &[9; 12]);
    assert_eq!(
        (message.local_ufrag(), message.remote_ufrag()),
        (Some("ours"), Some("theirs!"))
    );
    assert_eq!(
        (message.priority(), message.role()),
        (Some(77), Some(IceRole::Controlling(5)))
    );

    for address in ["10.1.2.3:4", "[fe80::1]:65535"] {
        let address = address.parse().unwrap();
        let len = write_success(&mut out, &[9; 12], address, PWD).unwrap();
        let message = parse(&out[..len]).unwrap();
        assert_eq!(message.mapped_address(), Some(address));
        assert!(len <= MAX_RESPONSE && message.verify(PWD));
    }

    for (code, number) in [(ErrorCode::UnknownAttribute, 420), (ErrorCode::RoleConflict, 487)] {
        let len = write_error(&mut out, &[9; 12], code, &[1, 2, 3, 4, 5, 6, 7, 8, 9], PWD).unwrap();
        let message = parse(&out[..len]).unwrap();
        assert_eq!(
            (message.class(), message.error_code()),
            (MessageClass::Error, Some(number))
        );
        assert!(len <= MAX_RESPONSE && message.verify(PWD));
    }
}

#[test]
fn an_ipv4_peer_of_a_dual_stack_socket_hears_its_ipv4_address() {
    let mut out = [0; MAX_RESPONSE];
    let len = write_success(&mut out, &[0; 12], "[::ffff:192.0.2.7]:9".parse().unwrap(), PWD).unwrap();
    let mapped = parse(&out[..len]).unwrap().mapped_address();
    assert_eq!(mapped, Some("192.0.2.7:9".parse().unwrap()));
}

#[test]
fn a_writer_without_room_writes_no_message() {
    let full = write_success(&mut [0; MAX_RESPONSE], &[0; 12], "192.0.2.7:9".parse().unwrap(), PWD).unwrap();
    for len in 0..full {
        let mut out = vec![0; len];
        assert_eq!(
            write_success(&mut out, &[0; 12], "192.0.2.7:9".parse().unwrap(), PWD),
            None
        );
    }
    let long = "x".repeat(MAX_USERNAME);
    let request = Request {
        transaction: [9; 12],
        to_ufrag: &long,
        from_ufrag: "theirs",
        pwd: PWD,
        priority: 77,
        role: IceRole::Controlling(5),
        use_candidate: true,
    };
    assert_eq!(write_request(&mut [0; MAX_MESSAGE], &request), None);
}

#[test]
fn any_changed_bit_is_noticed() {
    let bytes = good();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&changed).is_err(), "bit {bit}: FINGERPRINT covers every byte");
        // With a repaired FINGERPRINT only MESSAGE-INTEGRITY is left to notice.
        if bit / 8 < bytes.len() - 8 {
            refinger(&mut changed);
            assert!(
                parse(&changed).map_or(true, |message| !message.verify(PWD)),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn a3_a_message_cut_at_any_length_or_with_a_tail_is_malformed() {
    let bytes = good();
    for len in 0..bytes.len() {
        assert_eq!(
            parse(&bytes[..len]).unwrap_err(),
            DropReason::StunMalformed,
            "cut at {len}"
        );
    }
    for tail in 1..=8 {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + tail, 0);
        assert_eq!(parse(&longer).unwrap_err(), DropReason::StunMalformed, "tail of {tail}");
        let length = (longer.len() - HEADER) as u16;
        longer[2..4].copy_from_slice(&length.to_be_bytes());
        assert!(parse(&longer).is_err(), "an attribute behind FINGERPRINT");
    }
}

#[test]
fn a3_a_missing_or_wrong_fingerprint_is_unauthenticated() {
    let mut bytes = good();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(parse(&bytes).unwrap_err(), DropReason::StunUnauthenticated);

    let mut without = good();
    without.truncate(bytes.len() - 8);
    let length = (without.len() - HEADER) as u16;
    without[2..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(parse(&without).unwrap_err(), DropReason::StunUnauthenticated);
}

#[test]
fn a3_an_attribute_that_claims_more_than_there_is_is_malformed() {
    for claimed in [13_u16, 1500, 65_535] {
        let mut bytes = good();
        bytes[HEADER + 2..HEADER + 4].copy_from_slice(&claimed.to_be_bytes());
        refinger(&mut bytes);
        assert!(
            parse(&bytes).map_or(true, |message| !message.verify(PWD)),
            "USERNAME of {claimed} bytes"
        );
    }
    let mut bytes = good();
    bytes[HEADER + 2..HEADER + 4].copy_from_slice(&65_535_u16.to_be_bytes());
    assert_eq!(parse(&bytes).unwrap_err(), DropReason::StunMalformed);
}

#[test]
fn a3_empty_attributes_are_refused_where_a_value_is_needed() {
    for kind in [
        PRIORITY,
        ICE_CONTROLLED,
        ICE_CONTROLLING,
        XOR_MAPPED_ADDRESS,
        ERROR_CODE,
        MESSAGE_INTEGRITY,
    ] {
        let bytes = request_with("ours:theirs", Some(PWD), &[(kind, &[])]);
        assert_eq!(
            parse(&bytes).unwrap_err(),
            DropReason::StunMalformed,
            "attribute {kind:#x}"
        );
    }
    let bytes = request_with("", Some(PWD), &[(0xC057, &[]), (0x8022, &[])]);
    let message = parse(&bytes).unwrap();
    assert_eq!((message.local_ufrag(), message.remote_ufrag()), (None, None));
}

#[test]
fn a3_unknown_attributes_are_listed_up_to_a_cap_when_comprehension_is_required() {
    let many: Vec<(u16, &[u8])> = (0..12).map(|n| (0x7000 + n, &[1, 2, 3][..])).collect();
    let bytes = request_with("ours:theirs", Some(PWD), &many);
    let expected: Vec<u16> = (0x7000..0x7000 + MAX_UNKNOWN as u16).collect();
    assert_eq!(parse(&bytes).unwrap().unknown(), expected);

    let optional = request_with("ours:theirs", Some(PWD), &[(0xC057, &[1, 2, 3, 4])]);
    assert!(parse(&optional).unwrap().unknown().is_empty());
}

#[test]
fn a3_more_attributes_than_the_cap_are_malformed() {
    let many: Vec<(u16, &[u8])> = (0..MAX_ATTRIBUTES).map(|_| (0x8022, &[][..])).collect();
    let bytes = request_with("ours:theirs", Some(PWD), &many);
    assert_eq!(parse(&bytes).unwrap_err(), DropReason::StunMalformed);
}

#[test]
fn what_follows_message_integrity_is_not_believed() {
    let mut out = [0; MAX_MESSAGE];
    let mut writer = Writer::new(&mut out, BINDING_REQUEST, &[7; 12]).unwrap();
    writer.put(USERNAME, b"ours:theirs").unwrap();
    let tag = integrity(&writer.out[..writer.len], PWD).unwrap();
    writer.put(MESSAGE_INTEGRITY, tag.as_ref()).unwrap();
    writer.put(USE_CANDIDATE, &[]).unwrap();
    writer.put(0x7001, &[]).unwrap();
    let len = writer.finish_without_integrity().unwrap();
    let message = parse(&out[..len]).unwrap();
    assert!(message.verify(PWD), "the attribute is still right");
    assert!(!message.use_candidate() && message.unknown().is_empty());
}

#[test]
fn other_methods_and_a_wrong_cookie_are_malformed() {
    for (at, value) in [(0, 0x00), (1, 0x03), (1, 0x00), (4, 0x20), (0, 0x3f)] {
        let mut bytes = good();
        bytes[at] = value;
        if (at, value) != (0, 0x00) {
            refinger(&mut bytes);
            assert_eq!(
                parse(&bytes).unwrap_err(),
                DropReason::StunMalformed,
                "byte {at} = {value:#x}"
            );
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 28..200),
        framed in proptest::prelude::any::<bool>(),
    ) {
        if framed {
            bytes.truncate(bytes.len() / 4 * 4);
            let length = (bytes.len() - HEADER) as u16;
            bytes[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let at = bytes.len() - 8;
            bytes[at..at + 4].copy_from_slice(&[0x80, 0x28, 0, 4]);
            refinger(&mut bytes);
        }
        if let Ok(message) = parse(&bytes) {
            proptest::prop_assert!(!message.verify(PWD));
        }
    }
}
