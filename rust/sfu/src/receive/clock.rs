//! The publisher's clocks on the server's time line, so that viewers get audio and video in sync and in our time.
//!
//! Sender reports pin an RTP timestamp to the publisher's wall clock. The wall clock is moved onto ours by one offset per
//! transport, the least `arrival − NTP` seen lately: it is the one with the least queueing in it, and as audio and video share
//! it their relation stays what the publisher measured.

use std::time::Duration;

use crate::encoding::ClockMap;
use crate::time::Time;

/// Half the time that the filter looks back. Long enough to find an empty queue, short enough to follow clocks that drift apart
/// (50 ppm: 1.5 ms).
const FILTER_STEP: Duration = Duration::from_secs(15);
/// Further from the offset, the publisher's wall clock was set.
const WALL_CLOCK_STEP_US: i64 = 2_000_000;
/// Further from what the clock says, a timestamp belongs to another timeline, or a report to none.
const TIMELINE_STEP_S: u64 = 5;

/// NTP time (RFC 3550 §4) in microseconds since 1900. `None` for zero: the sender has no wall clock.
pub fn ntp_micros(ntp: u64) -> Option<i64> {
    let seconds = ntp >> 32;
    let fraction = ntp & 0xffff_ffff;
    (ntp != 0).then_some((seconds * 1_000_000 + ((fraction * 1_000_000) >> 32)) as i64)
}

/// From the publisher's wall clock to ours. One per transport.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublisherClock {
    lately: Option<i64>,
    before: Option<i64>,
    began: Time,
}

impl PublisherClock {
    /// A report that was made at `ntp_us` came. `true`: the publisher's wall clock was set, what is known of it is void.
    pub fn sample(&mut self, now: Time, ntp_us: i64) -> bool {
        let sample = now.0 as i64 - ntp_us;
        let stepped = self
            .offset()
            .is_some_and(|offset| (sample - offset).abs() > WALL_CLOCK_STEP_US);
        if stepped {
            self.before = None;
            self.lately = None;
        }
        match self.lately {
            Some(lately) if now.since(self.began) < FILTER_STEP => self.lately = Some(lately.min(sample)),
            lately => {
                self.before = lately;
                self.lately = Some(sample);
                self.began = now;
            }
        }
        stepped
    }

    fn offset(&self) -> Option<i64> {
        self.lately.into_iter().chain(self.before).min()
    }

    fn server_time(&self, ntp_us: i64) -> Option<Time> {
        Some(Time(u64::try_from(ntp_us + self.offset()?).unwrap_or(0)))
    }
}

#[derive(Clone, Copy, Debug)]
struct Report {
    ntp_us: i64,
    rtp: u32,
}

/// The RTP clock of one encoding.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    clock_hz: u32,
    map: Option<ClockMap>,
    report: Option<Report>,
}

impl Timeline {
    /// Nothing known yet.
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz,
            map: None,
            report: None,
        }
    }

    /// What is known of it.
    pub fn map(&self) -> Option<ClockMap> {
        self.map
    }

    /// The newest packet so far came. `true`: it begins another timeline.
    pub fn packet(&mut self, now: Time, timestamp: u32) -> bool {
        let by_arrival = ClockMap {
            at: now,
            rtp: timestamp,
            from_report: false,
        };
        let Some(map) = self.map else {
            self.map = Some(by_arrival);
            return false;
        };
        let ahead = timestamp.wrapping_sub(map.rtp_at(now, self.clock_hz)) as i32;
        let restarted = self.is_step(ahead);
        if restarted {
            self.report = None;
        }
        // Without a report the packet that took the least time to get here knows best.
        if restarted || (ahead > 0 && !map.from_report) {
            self.map = Some(by_arrival);
        }
        restarted
    }

    /// The sender began anew: what is known belongs to another timeline.
    pub fn restart(&mut self) {
        *self = Self::new(self.clock_hz);
    }

    /// Whether a sender report fits the packets. One that does not is of another timeline, or from a sender that gets them
    /// wrong.
    pub fn believes(&self, now: Time, rtp: u32) -> bool {
        self.map.is_some_and(|map| {
            let ahead = rtp.wrapping_sub(map.rtp_at(now, self.clock_hz)) as i32;
            !self.is_step(ahead)
        })
    }

    /// A sender report that `believes` accepted.
    pub fn report(&mut self, ntp_us: i64, rtp: u32) {
        self.report = Some(Report { ntp_us, rtp });
    }

    /// The publisher's wall clock was set. The map stays until the next report.
    pub fn forget_report(&mut self) {
        self.report = None;
    }

    /// The offset of the transport is another one.
    pub fn follow(&mut self, clock: &PublisherClock) {
        if let Some(report) = self.report
            && let Some(at) = clock.server_time(report.ntp_us)
        {
            self.map = Some(ClockMap {
                at,
                rtp: report.rtp,
                from_report: true,
            });
        }
    }

    fn is_step(&self, ahead: i32) -> bool {
        u64::from(ahead.unsigned_abs()) > TIMELINE_STEP_S * u64::from(self.clock_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTP_US: i64 = 3_900_000_000_000_000;

    #[test]
    fn ntp_is_read_in_32_32_fixed_point() {
        assert_eq!(ntp_micros((5 << 32) | 0x8000_0000), Some(5_500_000));
        assert_eq!(ntp_micros(0), None);
    }

    #[test]
    fn the_report_with_the_least_delay_sets_the_offset_for_all() {
        let mut clock = PublisherClock::default();
        let (mut audio, mut video) = (Timeline::new(48_000), Timeline::new(90_000));
        audio.packet(Time(1_000_000), 0);
        video.packet(Time(1_000_000), 0);
        // The audio report takes 80 ms, the video report of the same instant 30 ms.
        for (timeline, arrival, rtp) in [(&mut audio, 1_080_000, 480), (&mut video, 1_030_000, 900)] {
            assert!(timeline.believes(Time(arrival), rtp));
            timeline.report(NTP_US, rtp);
            assert!(!clock.sample(Time(arrival), NTP_US));
        }
        audio.follow(&clock);
        video.follow(&clock);
        let maps = [audio.map().expect("known"), video.map().expect("known")];
        assert_eq!(maps.map(|map| map.at), [Time(1_030_000); 2]);
        assert_eq!(maps.map(|map| (map.rtp, map.from_report)), [(480, true), (900, true)]);
    }

    #[test]
    fn an_old_least_delay_is_forgotten() {
        let mut clock = PublisherClock::default();
        clock.sample(Time(0), 0);
        clock.sample(Time(5_000_000), 4_980_000);
        assert_eq!(clock.offset(), Some(0), "20 ms more are queueing");
        clock.sample(Time(20_000_000), 19_990_000);
        assert_eq!(clock.offset(), Some(0));
        clock.sample(Time(40_000_000), 39_990_000);
        assert_eq!(clock.offset(), Some(10_000));
    }

    #[test]
    fn a_wall_clock_that_is_set_voids_the_offset() {
        let mut clock = PublisherClock::default();
        assert!(!clock.sample(Time(1_000_000), NTP_US));
        assert!(clock.sample(Time(2_000_000), NTP_US - 3_600_000_000));
        assert_eq!(clock.server_time(NTP_US - 3_600_000_000), Some(Time(2_000_000)));
    }

    #[test]
    fn without_reports_the_fastest_packet_is_the_clock() {
        let mut timeline = Timeline::new(90_000);
        timeline.packet(Time(1_000_000), 0);
        timeline.packet(Time(1_033_000), 1_800);
        assert_eq!(timeline.map().map(|map| map.rtp), Some(0), "it came late");
        timeline.packet(Time(1_035_000), 3_600);
        let map = timeline.map().expect("known");
        assert_eq!((map.at, map.rtp, map.from_report), (Time(1_035_000), 3_600, false));
    }

    #[test]
    fn a_leap_of_the_timestamps_is_another_timeline() {
        let mut timeline = Timeline::new(90_000);
        timeline.packet(Time(1_000_000), 0);
        assert!(!timeline.packet(Time(1_033_000), 90_000 * 4));
        assert!(timeline.packet(Time(1_066_000), 90_000 * 100));
        assert!(!timeline.packet(Time(1_099_000), 90_000 * 100 + 2_970));
        assert!(timeline.packet(Time(1_132_000), 0), "backwards, too");
        assert!(!timeline.believes(Time(1_140_000), 90_000 * 100));
        assert!(timeline.believes(Time(1_140_000), 720));
    }
}
