//! Why a packet was not used. Dropped is counted, never silent (design: *Refused*, *Dropped* and *Bug* are three things).

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $code:literal,)+) => {
        /// One counter each; the text is the `reason` label of `rostra_dropped_packets_total`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
        pub enum DropReason {
            $($(#[doc = $doc])+ #[error($code)] $name,)+
        }

        impl DropReason {
            /// Every reason, in the order of its discriminant.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

            /// Stable text for metrics.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    /// First byte belongs to none of STUN, DTLS, RTP, RTCP (RFC 7983).
    NotClassified => "not_classified",
    /// STUN that does not parse, or is no binding request.
    StunMalformed => "stun_malformed",
    /// STUN with a username that no transport has.
    StunUnknownUser => "stun_unknown_user",
    /// STUN without or with wrong MESSAGE-INTEGRITY, or wrong FINGERPRINT.
    StunUnauthenticated => "stun_unauthenticated",
    /// STUN response to nothing that we asked.
    StunUnexpected => "stun_unexpected",
    /// One more address than a transport may have.
    TooManyAddresses => "too_many_addresses",
    /// DTLS, RTP or RTCP from an address that ICE has not validated.
    AddressNotValidated => "address_not_validated",
    /// DTLS records that came when none is acceptable.
    DtlsUnexpected => "dtls_unexpected",
    /// Media before the keys.
    NoKeys => "no_keys",
    /// Shorter than its headers say, or a field outside its range.
    RtpMalformed => "rtp_malformed",
    /// RTCP that does not parse.
    RtcpMalformed => "rtcp_malformed",
    /// SRTP or SRTCP whose authentication tag is wrong.
    SrtpAuth => "srtp_auth",
    /// SRTP or SRTCP index seen before or older than the window.
    SrtpReplay => "srtp_replay",
    /// More SSRCs than a transport may have.
    TooManySsrcs => "too_many_ssrcs",
    /// SSRC, mid and rid lead to no negotiated track.
    UnknownSsrc => "unknown_ssrc",
    /// Payload type that the m-line did not negotiate.
    UnknownPayloadType => "unknown_payload_type",
    /// Retransmission of nothing, or of a retransmission.
    RtxMalformed => "rtx_malformed",
    /// The same packet again.
    Duplicate => "duplicate",
    /// Too old for the ring.
    TooOld => "too_old",
    /// Larger than a ring slot.
    TooLarge => "too_large",
    /// Payload without media (probes, padding).
    Padding => "padding",
    /// A codec header that does not parse.
    CodecMalformed => "codec_malformed",
    /// The slot shows another encoding.
    OtherEncoding => "other_encoding",
    /// The staged encoding has not had its key frame.
    AwaitingKeyFrame => "awaiting_key_frame",
    /// A layer that the viewer does not get.
    AboveLimit => "above_limit",
    /// Older than the packet at which the slot switched.
    BeforeSwitch => "before_switch",
    /// The viewer has no payload type for it.
    NoPayloadType => "no_payload_type",
    /// The viewer's queue is full.
    QueueFull => "queue_full",
    /// A retransmission was asked for that is not in the history any more.
    NackTooOld => "nack_too_old",
    /// A retransmission was asked for again within a round trip.
    NackRepeated => "nack_repeated",
    /// Feedback for an SSRC that is not ours.
    FeedbackUnknownSsrc => "feedback_unknown_ssrc",
    /// A STUN reply or handshake datagram that found the shard's queue of replies full.
    RateLimited => "rate_limited",
    /// A frame of a local feed whose envelope does not parse.
    FrameMalformed => "frame_malformed",
    /// A frame of a local feed that is not there any more.
    FrameUnexpected => "frame_unexpected",
    /// A frame that the process which feeds had to drop: the numbers of its link leave it out.
    LinkGap => "link_gap",
    /// A frame for the process which feeds that it left no room for.
    LinkFull => "link_full",
    /// A frame for a TCP connection that takes no more.
    TcpFull => "tcp_full",
    /// A TCP connection beyond what all, or one address, may have; or one without a name that gave way to a newer one.
    TcpRefused => "tcp_refused",
    /// A TCP connection that began with something else than ICE checks.
    TcpNotStun => "tcp_not_stun",
    /// A TCP connection on which nobody authenticated in time.
    TcpNameless => "tcp_nameless",
}
