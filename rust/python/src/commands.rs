//! Commands of `rostra.model.media`, read by attribute. What does not convert is a ValueError that names the attribute.
//!
//! Only types are checked here, and ranges as far as a type has one. Whether a value makes sense is the shard's to say (`Rejected`).

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rostra_node::{LocalLink, Order};
use rostra_sfu::choice::{BandwidthSpec, LayerChoice, PlayoutDelay, Priority, Strategy};
use rostra_sfu::command::{
    Codec, CodecSpec, Command, DtlsRole, EncodingSpec, ExtensionKind, ExtensionSpec, Fingerprint, Hash, Kind,
    LocalFeedSpec, ReceiveSpec, SlotSpec, TransportSpec,
};
use rostra_sfu::ids::{GroupId, Mid, Rid, SourceKey, Ssrc, TrackId, TransportId};

/// Most items of one list. Above every cap of the shard, so that it is the shard which says `too_many`.
const MAX_ITEMS: usize = 1024;
/// Most bytes of one text; ICE allows 256 for credentials (RFC 8445 §5.3).
const MAX_TEXT: usize = 1024;

type Value<'py> = Bound<'py, PyAny>;
type Read<T> = Result<T, Bad>;

/// What is wrong, and where, from the inside out.
#[derive(Debug)]
struct Bad {
    at: String,
    why: String,
}

impl Bad {
    fn new(why: impl Into<String>) -> Self {
        Self {
            at: String::new(),
            why: why.into(),
        }
    }

    /// The same, seen from the object that has it as `name`.
    fn under(mut self, name: &str) -> Self {
        let dot = if self.at.is_empty() || self.at.starts_with('[') {
            ""
        } else {
            "."
        };
        self.at = format!("{name}{dot}{}", self.at);
        self
    }
}

impl From<PyErr> for Bad {
    fn from(error: PyErr) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Bad> for PyErr {
    fn from(bad: Bad) -> Self {
        PyValueError::new_err(format!("{}: {}", bad.at, bad.why))
    }
}

/// `field!(object, name, convert)`: the converted attribute; the name is interned once per process.
macro_rules! field {
    ($object:expr, $name:ident, $convert:expr) => {
        $object
            .getattr(intern!($object.py(), stringify!($name)))
            .map_err(Bad::from)
            .and_then(|value| $convert(&value))
            .map_err(|bad| bad.under(stringify!($name)))?
    };
}

/// Every command of a sequence, or a ValueError and nothing.
pub(crate) fn read_all(commands: &Value<'_>) -> PyResult<Vec<Order>> {
    let mut all = Vec::new();
    for (index, object) in commands.try_iter()?.enumerate() {
        all.push(order(&object?).map_err(|bad| bad.under(&format!("commands[{index}]")))?);
    }
    Ok(all)
}

fn order(object: &Value<'_>) -> Read<Order> {
    let class = object.get_type().name()?;
    let class = class.to_str()?;
    if class == "OpenLocalFeed" {
        return Ok(Order::OpenLocalFeed {
            transport: field!(object, transport, transport_id),
            spec: Box::new(field!(object, spec, local_feed_spec)),
            link: field!(object, descriptor, link),
        });
    }
    command(object, class).map(Order::Plain)
}

fn command(object: &Value<'_>, class: &str) -> Read<Command> {
    Ok(match class {
        "OpenTransport" => Command::OpenTransport {
            transport: field!(object, transport, transport_id),
            spec: Box::new(field!(object, spec, transport_spec)),
        },
        "CloseTransport" => Command::CloseTransport {
            transport: field!(object, transport, transport_id),
        },
        "AddSlot" => Command::AddSlot {
            transport: field!(object, transport, transport_id),
            slot: field!(object, slot, slot_spec),
        },
        "BindSlot" => Command::BindSlot {
            transport: field!(object, transport, transport_id),
            mid: field!(object, mid, mid),
            track: field!(object, track, track_id),
            choice: field!(object, choice, layer_choice),
            priority: field!(object, priority, priority),
        },
        "UnbindSlot" => Command::UnbindSlot {
            transport: field!(object, transport, transport_id),
            mid: field!(object, mid, mid),
        },
        "AddVoice" => Command::AddVoice {
            group: field!(object, group, group_id),
            track: field!(object, track, track_id),
            source: field!(object, source, source_key),
        },
        "RemoveVoice" => Command::RemoveVoice {
            track: field!(object, track, track_id),
        },
        "Listen" => Command::Listen {
            transport: field!(object, transport, transport_id),
            group: field!(object, group, group_id),
            mids: field!(object, mids, |value| list(value, mid)),
            excluded: field!(object, excluded, |value| list(value, source_key)),
        },
        "RestartIce" => Command::RestartIce {
            transport: field!(object, transport, transport_id),
            local_ufrag: field!(object, local_ufrag, text),
            local_pwd: field!(object, local_pwd, text),
            remote_ufrag: field!(object, remote_ufrag, text),
            remote_pwd: field!(object, remote_pwd, text),
        },
        "Inspect" => Command::Inspect {
            transport: field!(object, transport, transport_id),
        },
        other => return Err(Bad::new(format!("{other} is no command"))),
    })
}

fn transport_spec(object: &Value<'_>) -> Read<TransportSpec> {
    Ok(TransportSpec {
        local_ufrag: field!(object, local_ufrag, text),
        local_pwd: field!(object, local_pwd, text),
        remote_ufrag: field!(object, remote_ufrag, text),
        remote_pwd: field!(object, remote_pwd, text),
        fingerprints: field!(object, fingerprints, |value| list(value, fingerprint)),
        dtls_role: field!(object, dtls_role, dtls_role),
        extensions: field!(object, extensions, |value| list(value, extension)),
        cname: field!(object, cname, text),
        receive: field!(object, receive, |value| list(value, receive_spec)),
        slots: field!(object, slots, |value| list(value, slot_spec)),
        bandwidth: field!(object, bandwidth, bandwidth_spec),
        playout_delay: field!(object, playout_delay, |value| option(value, playout_delay)),
    })
}

fn local_feed_spec(object: &Value<'_>) -> Read<LocalFeedSpec> {
    Ok(LocalFeedSpec {
        cname: field!(object, cname, text),
        receive: field!(object, receive, |value| list(value, receive_spec)),
        extensions: field!(object, extensions, |value| list(value, extension)),
    })
}

/// A duplicate of the caller's descriptor. It is closed when anything else of the call is refused.
fn link(value: &Value<'_>) -> Read<LocalLink> {
    let descriptor = value.extract().map_err(|_| Bad::new("expected a descriptor"))?;
    LocalLink::duplicate(descriptor).map_err(|error| Bad::new(error.to_string()))
}

fn layer_choice(object: &Value<'_>) -> Read<LayerChoice> {
    Ok(LayerChoice {
        encoding: field!(object, encoding, |value| option(value, number)),
        spatial: field!(object, spatial, |value| option(value, number)),
        temporal: field!(object, temporal, |value| option(value, number)),
        max_spatial: field!(object, max_spatial, |value| option(value, number)),
        max_temporal: field!(object, max_temporal, |value| option(value, number)),
        max_width: field!(object, max_width, |value| option(value, number)),
        max_height: field!(object, max_height, |value| option(value, number)),
    })
}

fn priority(value: &Value<'_>) -> Read<Priority> {
    one_of(
        value,
        &[
            ("normal", Priority::Normal),
            ("promoted", Priority::Promoted),
            ("main", Priority::Main),
        ],
    )
}

fn bandwidth_spec(object: &Value<'_>) -> Read<BandwidthSpec> {
    Ok(BandwidthSpec {
        initial_bps: field!(object, initial_bps, number),
        max_bps: field!(object, max_bps, number),
        strategy: field!(object, strategy, |value| one_of(
            value,
            &[
                ("quality", Strategy::Quality),
                ("bandwidth", Strategy::Bandwidth),
                ("performance", Strategy::Performance),
            ]
        )),
        smooth: field!(object, smooth, boolean),
    })
}

fn playout_delay(object: &Value<'_>) -> Read<PlayoutDelay> {
    Ok(PlayoutDelay {
        min_ms: field!(object, min_ms, number),
        max_ms: field!(object, max_ms, number),
    })
}

fn boolean(value: &Value<'_>) -> Read<bool> {
    value.extract().map_err(|_| Bad::new("expected a bool"))
}

fn fingerprint(object: &Value<'_>) -> Read<Fingerprint> {
    Ok(Fingerprint {
        hash: field!(object, hash, |value| one_of(
            value,
            &[
                ("sha-256", Hash::Sha256),
                ("sha-384", Hash::Sha384),
                ("sha-512", Hash::Sha512),
            ]
        )),
        digest: field!(object, digest, bytes),
    })
}

fn extension(object: &Value<'_>) -> Read<ExtensionSpec> {
    Ok(ExtensionSpec {
        id: field!(object, id, number),
        kind: field!(object, kind, extension_kind),
    })
}

fn extension_kind(value: &Value<'_>) -> Read<ExtensionKind> {
    one_of(
        value,
        &[
            ("urn:ietf:params:rtp-hdrext:sdes:mid", ExtensionKind::Mid),
            ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", ExtensionKind::Rid),
            (
                "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
                ExtensionKind::RepairedRid,
            ),
            (
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
                ExtensionKind::TransportCc,
            ),
            (
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
                ExtensionKind::AbsSendTime,
            ),
            ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", ExtensionKind::AudioLevel),
            (
                "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
                ExtensionKind::PlayoutDelay,
            ),
            (
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
                ExtensionKind::DependencyDescriptor,
            ),
            (
                "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
                ExtensionKind::AbsCaptureTime,
            ),
            (
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
                ExtensionKind::VideoLayersAllocation,
            ),
        ],
    )
}

fn receive_spec(object: &Value<'_>) -> Read<ReceiveSpec> {
    Ok(ReceiveSpec {
        mid: field!(object, mid, mid),
        track: field!(object, track, track_id),
        kind: field!(object, kind, kind),
        codecs: field!(object, codecs, |value| list(value, codec_spec)),
        encodings: field!(object, encodings, |value| list(value, encoding_spec)),
    })
}

fn encoding_spec(object: &Value<'_>) -> Read<EncodingSpec> {
    Ok(EncodingSpec {
        rid: field!(object, rid, |value| option(value, rid)),
        ssrc: field!(object, ssrc, |value| option(value, ssrc)),
        rtx_ssrc: field!(object, rtx_ssrc, |value| option(value, ssrc)),
    })
}

fn slot_spec(object: &Value<'_>) -> Read<SlotSpec> {
    Ok(SlotSpec {
        mid: field!(object, mid, mid),
        kind: field!(object, kind, kind),
        ssrc: field!(object, ssrc, ssrc),
        rtx_ssrc: field!(object, rtx_ssrc, ssrc),
        codecs: field!(object, codecs, |value| list(value, codec_spec)),
    })
}

fn codec_spec(object: &Value<'_>) -> Read<CodecSpec> {
    Ok(CodecSpec {
        payload_type: field!(object, payload_type, number),
        codec: field!(object, codec, codec),
        rtx_payload_type: field!(object, rtx_payload_type, |value| option(value, number)),
        profile: field!(object, profile, number),
        packetization_mode: field!(object, packetization_mode, number),
    })
}

fn codec(value: &Value<'_>) -> Read<Codec> {
    one_of(
        value,
        &[
            ("opus", Codec::Opus),
            ("multiopus", Codec::MultiOpus),
            ("vp8", Codec::Vp8),
            ("vp9", Codec::Vp9),
            ("h264", Codec::H264),
            ("av1", Codec::Av1),
        ],
    )
}

fn kind(value: &Value<'_>) -> Read<Kind> {
    one_of(value, &[("audio", Kind::Audio), ("video", Kind::Video)])
}

fn dtls_role(value: &Value<'_>) -> Read<DtlsRole> {
    one_of(value, &[("passive", DtlsRole::Passive), ("active", DtlsRole::Active)])
}

fn transport_id(value: &Value<'_>) -> Read<TransportId> {
    minted(value).map(TransportId)
}

fn track_id(value: &Value<'_>) -> Read<TrackId> {
    minted(value).map(TrackId)
}

fn group_id(value: &Value<'_>) -> Read<GroupId> {
    minted(value).map(GroupId)
}

fn source_key(value: &Value<'_>) -> Read<SourceKey> {
    minted(value).map(SourceKey)
}

/// An id of the hub: 1 to 2^63 − 1.
fn minted(value: &Value<'_>) -> Read<u64> {
    match value.extract::<i64>() {
        Ok(id @ 1..) => Ok(id.unsigned_abs()),
        Ok(_) | Err(_) => Err(Bad::new("expected an integer from 1 to 2**63 - 1")),
    }
}

/// An unsigned integer that fits its field.
fn number<T: TryFrom<u64>>(value: &Value<'_>) -> Read<T> {
    let bad = || Bad::new(format!("expected an integer of {} bits, unsigned", size_of::<T>() * 8));
    let wide: u64 = value.extract().map_err(|_| bad())?;
    T::try_from(wide).map_err(|_| bad())
}

fn ssrc(value: &Value<'_>) -> Read<Ssrc> {
    number(value).map(Ssrc)
}

fn mid(value: &Value<'_>) -> Read<Mid> {
    with_text(value, |text| Mid::new(text.as_bytes()))?.ok_or_else(|| Bad::new("expected 1 to 16 bytes"))
}

fn rid(value: &Value<'_>) -> Read<Rid> {
    with_text(value, |text| Rid::new(text.as_bytes()))?.ok_or_else(|| Bad::new("expected 1 to 16 bytes"))
}

fn text(value: &Value<'_>) -> Read<String> {
    with_text(value, |text| (text.len() <= MAX_TEXT).then(|| text.to_owned()))?
        .ok_or_else(|| Bad::new(format!("longer than {MAX_TEXT} bytes")))
}

/// A `str`, enumerations of `str` included, without a copy.
fn with_text<T>(value: &Value<'_>, then: impl FnOnce(&str) -> T) -> Read<T> {
    let text = value.cast::<PyString>().map_err(|_| Bad::new("expected a str"))?;
    Ok(then(text.to_str()?))
}

fn bytes(value: &Value<'_>) -> Read<Vec<u8>> {
    let bytes = value
        .cast::<PyBytes>()
        .map_err(|_| Bad::new("expected bytes"))?
        .as_bytes();
    if bytes.len() > MAX_TEXT {
        return Err(Bad::new(format!("longer than {MAX_TEXT} bytes")));
    }
    Ok(bytes.to_vec())
}

fn one_of<T: Copy>(value: &Value<'_>, known: &[(&str, T)]) -> Read<T> {
    with_text(value, |text| {
        known
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                Bad::new(format!("expected one of {}", names.join(", ")))
            })
    })?
}

fn option<T>(value: &Value<'_>, convert: impl FnOnce(&Value<'_>) -> Read<T>) -> Read<Option<T>> {
    if value.is_none() {
        return Ok(None);
    }
    convert(value).map(Some)
}

fn list<T>(value: &Value<'_>, convert: impl Fn(&Value<'_>) -> Read<T>) -> Read<Vec<T>> {
    let mut all = Vec::new();
    for (index, item) in value.try_iter()?.enumerate() {
        if index == MAX_ITEMS {
            return Err(Bad::new(format!("more than {MAX_ITEMS} items")));
        }
        all.push(convert(&item?).map_err(|bad| bad.under(&format!("[{index}]")))?);
    }
    Ok(all)
}
