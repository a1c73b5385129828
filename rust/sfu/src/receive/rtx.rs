//! Retransmissions back into what they repeat (RFC 4588 §4).

use std::ops::Range;

use crate::ids::Ssrc;
use crate::reason::DropReason;

/// Length of the original sequence number in front of the payload, bytes.
pub const OSN_LEN: usize = 2;

/// The original sequence number. A payload of padding alone is a probe, not a retransmission.
pub fn original_seq(packet: &[u8], payload: &Range<usize>) -> Result<u16, DropReason> {
    match packet.get(payload.clone()) {
        None | Some([_]) => Err(DropReason::RtxMalformed),
        Some([] | [_, _]) => Err(DropReason::Padding),
        Some([high, low, ..]) => Ok(u16::from_be_bytes([*high, *low])),
    }
}

/// Rewrite the packet in place as it was sent first; the result starts [`OSN_LEN`] bytes later, where its header is moved to
/// (shorter than the payload), and ends with the payload. Header extensions stay as the retransmission had them.
pub fn restore<'a>(
    packet: &'a mut [u8],
    header_len: usize,
    payload: &Range<usize>,
    payload_type: u8,
    ssrc: Ssrc,
) -> Result<&'a mut [u8], DropReason> {
    if payload.start != header_len || payload.len() < OSN_LEN || packet.len() < payload.end {
        return Err(DropReason::RtxMalformed);
    }
    let seq = original_seq(packet, payload)?;
    packet.copy_within(..header_len, OSN_LEN);
    let original = packet.get_mut(OSN_LEN..payload.end).ok_or(DropReason::RtxMalformed)?;
    let Some([flags, marker_and_type, seq_high, seq_low, _, _, _, _, source @ ..]) = original.get_mut(..12) else {
        return Err(DropReason::RtxMalformed);
    };
    *flags &= !PADDING_BIT;
    *marker_and_type = (*marker_and_type & 0x80) | (payload_type & 0x7f);
    [*seq_high, *seq_low] = seq.to_be_bytes();
    source.copy_from_slice(&ssrc.0.to_be_bytes());
    Ok(original)
}

/// P of the first byte (RFC 3550 §5.1).
pub const PADDING_BIT: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_restored_packet_is_byte_for_byte_the_original() {
        let original = [&[0x80, 0x80 | 96, 1, 2, 9, 9, 9, 9, 0, 0, 0, 7][..], b"payload"].concat();
        // Own sequence number, payload type and SSRC, the original number, and three bytes of padding.
        let header = [0xa0, 0x80 | 97, 200, 200, 9, 9, 9, 9, 0, 0, 0, 8];
        let mut packet = [&header[..], &[1, 2], b"payload", &[0, 0, 3]].concat();
        let restored = restore(&mut packet, 12, &(12..21), 96, Ssrc(7)).expect("it is well-formed");
        assert_eq!(restored, original);
    }

    #[test]
    fn too_short_retransmissions_are_told_from_padding() {
        let packet = [0; 16];
        assert_eq!(original_seq(&packet, &(12..12)), Err(DropReason::Padding));
        assert_eq!(original_seq(&packet, &(12..13)), Err(DropReason::RtxMalformed));
        assert_eq!(original_seq(&packet, &(12..14)), Err(DropReason::Padding));
        assert_eq!(original_seq(&packet, &(12..15)), Ok(0));
        assert_eq!(original_seq(&packet, &(12..17)), Err(DropReason::RtxMalformed));
    }
}
