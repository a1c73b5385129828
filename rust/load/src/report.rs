//! What a run came to, as one line of JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Totals of a run of viewers.
#[derive(Clone, Debug, Default)]
pub struct Viewing {
    /// Whole frames, incomplete frames and lost packets come from [`crate::frames::Frames`].
    pub frames: u64,
    /// Frames of which a packet never came.
    pub incomplete: u64,
    /// Packets that never came, retransmissions considered.
    pub lost: u64,
    /// Video packets whose bytes are not as our publisher made them.
    pub torn: u64,
    /// Audio packets.
    pub audio: u64,
    /// Key frames asked for.
    pub key_frames_asked: u64,
    /// Joins that reached a whole video frame.
    pub joined: u64,
    /// Joins that did not.
    pub failed: u64,
    /// Those that stopped reading.
    pub asleep: u64,
    /// Goodbyes said.
    pub left_cleanly: u64,
    /// Silent ends.
    pub left_abruptly: u64,
    /// From the director's POST to the first whole video frame.
    pub join_times: Vec<Duration>,
    /// Why joins failed, with how often.
    pub errors: BTreeMap<String, u64>,
}

/// 50th, 95th percentile and maximum, milliseconds with one decimal; `null` of nothing.
pub fn percentiles(times: &[Duration]) -> Value {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |part: f64| {
        let rank = (part * sorted.len() as f64).ceil() as usize;
        let time = sorted.get(rank.saturating_sub(1));
        time.map(|time| (time.as_secs_f64() * 10_000.0).round() / 10.0)
    };
    json!({"p50": at(0.5), "p95": at(0.95), "max": at(1.0)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(&times), json!({"p50": 50.0, "p95": 95.0, "max": 100.0}));
        assert_eq!(
            percentiles(&times[..1]),
            json!({"p50": 100.0, "p95": 100.0, "max": 100.0})
        );
        assert_eq!(percentiles(&[]), json!({"p50": null, "p95": null, "max": null}));
    }
}
