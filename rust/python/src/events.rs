//! Events as tuples: the class name in `rostra.model.media`, then its fields in their order.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rostra_sfu::command::{Codec, Event, SrtpProfile};
use rostra_sfu::ids::Mid;
use rostra_sfu::report::{EncodingReport, ShownLayer, TrackLayers, TransportReport};
use rostra_sfu::stats::Stats;

pub(crate) fn to_tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::TransportConnected { transport, profile } => (
            intern!(py, "TransportConnected"),
            transport.0,
            profile.map_or("local", iana_name),
        )
            .into_pyobject(py),
        Event::TransportStalled { transport } => (intern!(py, "TransportStalled"), transport.0).into_pyobject(py),
        Event::TransportResumed { transport } => (intern!(py, "TransportResumed"), transport.0).into_pyobject(py),
        Event::TransportClosed { transport, reason } => {
            (intern!(py, "TransportClosed"), transport.0, reason.code()).into_pyobject(py)
        }
        Event::TrackStarted { transport, track } => {
            (intern!(py, "TrackStarted"), transport.0, track.0).into_pyobject(py)
        }
        Event::SlotBound { transport, mid, track } => {
            (intern!(py, "SlotBound"), transport.0, spell(mid), track.0).into_pyobject(py)
        }
        Event::Rejected { transport, mid, code } => {
            let transport = transport.map(|transport| transport.0);
            (intern!(py, "Rejected"), transport, mid.map(spell), code.code()).into_pyobject(py)
        }
        Event::TrackLayers(layers) => {
            let TrackLayers { track, encodings } = &*layers;
            (intern!(py, "TrackLayers"), track.0, all_encodings(py, encodings)?).into_pyobject(py)
        }
        Event::SlotLayer { transport, mid, layer } => {
            (intern!(py, "SlotLayer"), transport.0, spell(mid), layer.map(shown)).into_pyobject(py)
        }
        Event::SlotVoice { transport, mid, track } => {
            let track = track.map(|track| track.0);
            (intern!(py, "SlotVoice"), transport.0, spell(mid), track).into_pyobject(py)
        }
        Event::Speakers { group, speakers } => {
            let speakers: Vec<_> = speakers.iter().map(|one| (one.track.0, one.level)).collect();
            (intern!(py, "Speakers"), group.0, PyTuple::new(py, speakers)?).into_pyobject(py)
        }
        Event::Inspected { transport, report } => {
            let report = report.map(|report| inspected(py, &report)).transpose()?;
            (intern!(py, "Inspected"), transport.0, report).into_pyobject(py)
        }
        Event::Stats(stats) => totals(py, &stats),
    }
}

fn shown(layer: ShownLayer) -> (u8, u8, u8) {
    (layer.encoding, layer.spatial, layer.temporal)
}

fn all_encodings<'py>(py: Python<'py>, encodings: &[EncodingReport]) -> PyResult<Bound<'py, PyTuple>> {
    let all: Vec<_> = encodings.iter().map(|one| encoding(py, one)).collect::<PyResult<_>>()?;
    PyTuple::new(py, all)
}

fn encoding<'py>(py: Python<'py>, report: &EncodingReport) -> PyResult<Bound<'py, PyTuple>> {
    // Taken apart whole, as are the others below, so that a new field cannot be forgotten here.
    let EncodingReport {
        active,
        codec,
        bitrate_bps,
        total_bps,
        width,
        height,
        fps,
        reordered,
        target,
        packets,
        bytes,
        layers,
    } = report;
    let layers: Vec<_> = layers
        .iter()
        .map(|one| (one.spatial, one.temporal, one.bitrate_bps, one.width, one.height))
        .collect();
    let layers = PyTuple::new(py, layers)?;
    (
        *active,
        codec.map(codec_name),
        *bitrate_bps,
        *total_bps,
        *width,
        *height,
        *fps,
        *reordered,
        (target.bps, target.width, target.height, target.fps),
        *packets,
        *bytes,
        layers,
    )
        .into_pyobject(py)
}

fn inspected<'py>(py: Python<'py>, report: &TransportReport) -> PyResult<Bound<'py, PyTuple>> {
    let TransportReport {
        age_us,
        via,
        ice_us,
        dtls_us,
        first_packet_us,
        first_key_frame_us,
        first_bound_us,
        estimate_bps,
        sent_bps,
        wanted_bps,
        fraction_lost,
        rtt_us,
        tracks,
        slots,
    } = report;
    let times = (
        *age_us,
        *ice_us,
        *dtls_us,
        *first_packet_us,
        *first_key_frame_us,
        *first_bound_us,
    );
    let line = (*estimate_bps, *sent_bps, *wanted_bps, *fraction_lost, *rtt_us);
    let tracks: Vec<_> = tracks
        .iter()
        .map(|one| Ok((one.track.0, all_encodings(py, &one.encodings)?)))
        .collect::<PyResult<_>>()?;
    let slots: Vec<_> = slots
        .iter()
        .map(|one| {
            let waiting = one.waiting.map(|waiting| waiting.code());
            (spell(one.mid), one.track.0, one.shown.map(shown), waiting)
        })
        .collect();
    (times, line, PyTuple::new(py, tracks)?, PyTuple::new(py, slots)?, *via).into_pyobject(py)
}

/// As in signalling and in `rostra.model.media`.
fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus",
        Codec::MultiOpus => "multiopus",
        Codec::Vp8 => "vp8",
        Codec::Vp9 => "vp9",
        Codec::H264 => "h264",
        Codec::Av1 => "av1",
    }
}

fn spell(mid: Mid) -> String {
    mid.to_string()
}

/// As in the IANA registry of DTLS-SRTP protection profiles.
fn iana_name(profile: SrtpProfile) -> &'static str {
    match profile {
        SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
        SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
    }
}

fn totals<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyTuple>> {
    // Taken apart whole, so that a new counter cannot be forgotten here.
    let Stats {
        transports,
        tracks,
        slots,
        connections,
        packets_in,
        bytes_in,
        packets_out,
        bytes_out,
        rtp_in,
        rtp_out,
        retransmissions_out,
        nacks_out,
        key_frame_requests_out,
        key_frame_requests_in,
        switches,
        oversize_out,
        receive_overflow,
        send_full,
        send_errors,
        gso_fallbacks,
        restarts,
        dropped,
    } = stats;
    let mut fields: Vec<Bound<'py, PyAny>> = vec![intern!(py, "MediaStats").clone().into_any()];
    for count in [
        transports,
        tracks,
        slots,
        connections,
        packets_in,
        bytes_in,
        packets_out,
        bytes_out,
        rtp_in,
        rtp_out,
        retransmissions_out,
        nacks_out,
        key_frame_requests_out,
        key_frame_requests_in,
        switches,
        oversize_out,
        receive_overflow,
        send_full,
        send_errors,
        gso_fallbacks,
        restarts,
    ] {
        fields.push(count.into_pyobject(py)?.into_any());
    }
    let dropped: Vec<(&str, u64)> = dropped.iter().map(|(reason, count)| (reason.code(), count)).collect();
    fields.push(PyTuple::new(py, dropped)?.into_any());
    PyTuple::new(py, fields)
}
