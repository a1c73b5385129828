//! Telling apart what shares one port (RFC 7983, RFC 5761).

/// The protocol that a datagram belongs to, by its first two bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// First byte 0–3.
    Stun,
    /// First byte 20–63.
    Dtls,
    /// First byte 128–191 and no RTCP packet type in the second.
    Rtp,
    /// First byte 128–191 and 192–223 in the second (RFC 5761 §4): payload types 64–95 with a marker are therefore never negotiated.
    Rtcp,
}

/// `None` for ZRTP, TURN channels, QUIC, a lone byte and everything else that nobody here speaks.
pub fn classify(datagram: &[u8]) -> Option<Class> {
    let &[first, second, ..] = datagram else {
        return None;
    };
    match (first, second) {
        (0..=3, _) => Some(Class::Stun),
        (20..=63, _) => Some(Class::Dtls),
        (128..=191, 192..=223) => Some(Class::Rtcp),
        (128..=191, _) => Some(Class::Rtp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_has_the_class_of_rfc_7983() {
        for first in 0..=255_u8 {
            let expected = match first {
                0..=3 => Some(Class::Stun),
                20..=63 => Some(Class::Dtls),
                128..=191 => Some(Class::Rtp),
                _ => None,
            };
            assert_eq!(classify(&[first, 96]), expected, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_known_by_its_packet_type_with_and_without_the_marker_bit() {
        for (second, expected) in [
            (191, Class::Rtp),
            (192, Class::Rtcp),
            (200, Class::Rtcp),
            (206, Class::Rtcp),
            (223, Class::Rtcp),
            (224, Class::Rtp),
            (0, Class::Rtp),
        ] {
            assert_eq!(classify(&[0x80, second]), Some(expected), "second byte {second}");
        }
    }

    #[test]
    fn less_than_two_bytes_are_nothing() {
        assert_eq!(classify(&[]), None);
        assert_eq!(classify(&[0x80]), None);
    }
}
