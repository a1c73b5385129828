//! Events as tuples: the class name in `rostra.model.media`, then its fields in their order.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rostra_sfu::command::{Event, SrtpProfile};
use rostra_sfu::ids::Mid;
use rostra_sfu::stats::Stats;

pub(crate) fn to_tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::TransportConnected { transport, profile } => {
            (intern!(py, "TransportConnected"), transport.0, iana_name(profile)).into_pyobject(py)
        }
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
            (intern!(py, "Rejected"), transport.0, mid.map(spell), code.code()).into_pyobject(py)
        }
        Event::Stats(stats) => totals(py, &stats),
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
