//! How fast the line to a viewer is: what was sent and what feedback says of it go in, a number comes out.
//!
//! Google congestion control as libwebrtc and its relatives do it, with three changes (docs/adr/0006): delay counts as congestion
//! only while a queue *stands* ([`queueing`]), loss only beyond what the line loses anyway ([`loss`]), and the estimate goes up
//! in steps by probing ([`probe`]) when somebody wants more and hardly at all otherwise. Nothing here has a clock, and no packet
//! allocates, but for the history while it grows to the length that the line needs.
//!
//! Long, because the order in which the parts are asked is the algorithm.

mod delay;
mod history;
mod loss;
mod probe;
mod queueing;
mod rate;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

pub(crate) use delay::{Delay, Usage};
pub use probe::{Probe, ProbeId};
pub(crate) use queueing::Queueing;
pub(crate) use rate::Rate;
pub(crate) use window::Throughput;

use crate::receive::rate::Rate as SentRate;
use crate::rtp::rtcp::TransportCc;
use crate::time::Time;
use history::History;
use loss::{Loss, Verdict};
use probe::{Prober, Situation};
use window::Lowest;

/// Round trip until one is known.
const DEFAULT_RTT: Duration = Duration::from_millis(100);
/// Sending less than this share of the estimate proves nothing about it: the application is the limit.
const LIMITED: (u64, u64) = (4, 5);
/// A growing delay is congestion once packets wait so long, microseconds; and where the application is the limit.
const STANDING_US: (u64, u64) = (10_000, 30_000);
/// A queue this long is congestion even when it does not grow, microseconds.
const FULL_US: u64 = 80_000;
/// How often that counts until the queue has been short again. A queue that does not shorten although less is sent is a rival's: then
/// delay says nothing about us any more, and only loss makes us yield.
const STRIKES: u32 = 3;
/// Sending less than this share of the estimate over the last second is having yielded.
const YIELDED: (u64, u64) = (6, 5);
/// Between two such decreases, besides a round trip.
const STRIKE: Duration = Duration::from_millis(500);
/// A queue below this is no hindrance to growth or to a probe, microseconds.
const CALM_US: u64 = 25_000;
/// Excess loss that is congestion while a queue stands, and without one.
const EXCESS: (f64, f64) = (0.04, 0.06);
/// What arrives: over this long while a queue stands, which it then leaves at the rate of the line; and otherwise, microseconds.
const ARRIVING_US: (i64, i64) = (200_000, 500_000);
/// A shorter queue than this is empty between two pictures of a slow sender, microseconds, …
const BACKLOG_US: u64 = 25_000;
/// … which is one whose packets are few in the short time: what arrives in it is the encoder's mood more than the line's rate. Bits per second.
const SLOW_BPS: u64 = 1_000_000;
/// The highest rate of the last while, below which loss alone never leads, microseconds.
const PEAK_US: i64 = 2_000_000;
/// After a cluster and a round trip, its queue is seen this long.
const CLUSTER: Duration = Duration::from_millis(250);
/// The queue of a cluster counts only from here on, microseconds.
const CLUSTER_QUEUE_US: u64 = 70_000;
/// Congestion this recent says how fast the line is.
const RECENTLY: Duration = Duration::from_secs(30);
/// Congestion this recent says that the line carries no more.
const LIMIT: Duration = Duration::from_secs(10);
/// Rates at which packets leave. On a line whose limit is known a key frame builds no queue to speak of; on others it is out soon, in
/// runs that are worth a segmented send, from the estimate on that makes such lines likely, bits per second.
const PACE_KNOWN: (u64, u64) = (8, 5);
const PACE: (u64, u64) = (5, 2);
const FAST_BPS: u64 = 2_500_000;
const FAST_PACE_BPS: u64 = 10_000_000;
/// Without feedback for this long, though packets were sent, the line is taken to be down.
const SILENCE: Duration = Duration::from_millis(1_000);
/// Without transport-wide feedback for this long, what the receiver estimates counts.
const NO_FEEDBACK: Duration = Duration::from_millis(3_000);
/// When nothing could be probed for this long, the estimate may grow unproved: else sender and allocator wait for each other.
const UNPROBED: Duration = Duration::from_millis(4_000);
/// Between two judgements of receiver reports where there is no other feedback.
const REPORTS: Duration = Duration::from_millis(900);
/// Microseconds of one reference unit of transport-wide feedback.
const REFERENCE_US: i64 = 64_000;

/// Bounds of an estimate, bits per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Before anything is known.
    pub initial_bps: u64,
    /// Never below.
    pub min_bps: u64,
    /// Never above.
    pub max_bps: u64,
}

impl Default for Config {
    /// 600 kb/s at first: a slow line is not flooded before its first feedback, and two clusters of probes lead to 3.6 Mb/s within half a
    /// second. 30 kb/s carry sound. 100 Mb/s is more than a viewer's pictures take; it bounds what a viewer that lies can ask for.
    fn default() -> Self {
        Self {
            initial_bps: 600_000,
            min_bps: 30_000,
            max_bps: 100_000_000,
        }
    }
}

/// Where knowledge comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Nothing was negotiated that could tell: nothing is held back.
    Nothing,
    /// Receiver reports alone, so far.
    Reports,
    /// The receiver's own estimate.
    Remb,
    /// Transport-wide feedback.
    TransportCc,
}

/// The estimate for one transport.
#[derive(Debug)]
pub struct Estimator {
    config: Config,
    source: Source,
    history: History,
    reference: Option<i64>,
    delay: Delay,
    queueing: Queueing,
    throughput: Throughput,
    peak: Lowest,
    loss: Loss,
    rate: Rate,
    prober: Prober,
    sent_rate: SentRate,
    /// When something was first sent.
    began: Option<Time>,
    last_feedback: Option<Time>,
    /// Packets sent since.
    unanswered: u32,
    silence_at: Option<Time>,
    rtt_reported: Option<Duration>,
    rtt_seen: Lowest,
    reported_loss: Option<u8>,
    report_at: Time,
    strikes: u32,
    sending_bps: u64,
    wanted_bps: u64,
}

impl Estimator {
    /// For a viewer that negotiated some feedback.
    pub fn new(now: Time, config: Config) -> Self {
        Self {
            config,
            source: Source::Reports,
            history: History::default(),
            reference: None,
            delay: Delay::default(),
            queueing: Queueing::default(),
            throughput: Throughput::default(),
            peak: Lowest::new(PEAK_US),
            loss: Loss::default(),
            rate: Rate::new(now, config.initial_bps, config.min_bps, config.max_bps),
            prober: Prober::new(now),
            sent_rate: SentRate::default(),
            began: None,
            last_feedback: None,
            unanswered: 0,
            silence_at: None,
            rtt_reported: None,
            rtt_seen: Lowest::new(10_000_000),
            reported_loss: None,
            report_at: now,
            strikes: 0,
            sending_bps: 0,
            wanted_bps: 0,
        }
    }

    /// For a viewer that can tell nothing: the estimate is the most that there is until something is heard after all.
    pub fn without_feedback(now: Time, config: Config) -> Self {
        let mut estimator = Self::new(now, config);
        estimator.source = Source::Nothing;
        estimator.rate.set(config.max_bps);
        estimator
    }

    /// A packet of `bytes` UDP payload left under a transport-wide number, as part of a cluster perhaps.
    pub fn sent(&mut self, now: Time, number: u16, bytes: usize, probe: Option<ProbeId>) {
        self.history.sent(now, number, bytes, probe);
        self.unanswered = self.unanswered.saturating_add(1);
        if self.last_feedback.is_some() && self.silence_at.is_none() {
            self.silence_at = Some(now + SILENCE + self.rtt());
        }
        self.sent_without_number(now, bytes, probe);
    }

    /// A packet left where transport-wide numbers were not negotiated.
    pub fn sent_without_number(&mut self, now: Time, bytes: usize, probe: Option<ProbeId>) {
        self.began.get_or_insert(now);
        self.sent_rate.add(now, bytes);
        if let Some(id) = probe {
            self.prober.sent(now, id, bytes);
        }
    }

    /// Transport-wide feedback came. Work is in proportion to its bytes.
    pub fn feedback(&mut self, now: Time, feedback: &TransportCc<'_>) {
        let reference = self.unwrap(feedback.reference);
        let mut newest = None;
        for (number, after) in feedback.arrivals() {
            let Some(after) = after else {
                if let Some(sent) = self.history.missing(now, number) {
                    self.loss.missing();
                    if let Some(id) = sent.probe {
                        self.prober.missing(id);
                    }
                }
                continue;
            };
            let Some(sent) = self.history.arrived(now, number) else {
                continue;
            };
            let (sent_us, arrival_us) = (sent.at.0 as i64, reference + after);
            self.loss.arrived(sent.was_missing);
            self.throughput.add(arrival_us, sent.bytes);
            self.delay.packet(sent_us, arrival_us);
            self.queueing.packet(sent_us, arrival_us);
            if let Some(id) = sent.probe {
                self.prober.arrived(id, arrival_us, sent.bytes);
            }
            newest = newest.max(Some(sent.at));
        }
        let Some(newest) = newest else { return };
        self.rtt_seen.add(now.0 as i64, now.micros_since(newest) as i64);
        self.source = Source::TransportCc;
        self.last_feedback = Some(now);
        self.unanswered = 0;
        self.silence_at = None;
        self.update(now);
    }

    /// A receiver report came: packets lost of 256, and the round trip that it tells.
    pub fn report(&mut self, now: Time, fraction_lost: u8, rtt: Option<Duration>) {
        self.rtt_reported = rtt.or(self.rtt_reported);
        self.reported_loss = Some(
            self.reported_loss
                .map_or(fraction_lost, |worst| worst.max(fraction_lost)),
        );
        if self.source != Source::Reports || now < self.report_at {
            return;
        }
        self.report_at = now + REPORTS;
        let lost = f64::from(self.reported_loss.take().unwrap_or_default()) / 256.0;
        let bps = self.rate.bps();
        if lost > 0.1 {
            self.rate.lower_to(now, (bps as f64 * (1.0 - lost / 2.0)) as u64);
        } else if lost < 0.02 {
            // Nobody measures; what is sent or wanted is as far as it goes.
            let ceiling = (self.sent_bps(now) * 3 / 2).max(self.wanted_bps * 5 / 4);
            if bps < ceiling {
                self.rate.set((bps + bps / 12).min(ceiling));
            }
        }
    }

    /// The receiver's own estimate came. It counts where transport-wide feedback does not come.
    pub fn remb(&mut self, now: Time, bps: u64) {
        if self.source == Source::TransportCc && self.last_feedback.is_some_and(|at| now.since(at) < NO_FEEDBACK) {
            return;
        }
        self.source = Source::Remb;
        self.silence_at = None;
        // Receivers estimate half as much again as what they get, at most: a value above what is sent says little.
        if bps < self.sent_bps(now).min(self.rate.bps()) {
            self.rate.lower_to(now, bps);
            self.prober.congested(now, None);
        } else {
            self.rate.set(bps);
        }
    }

    /// What the shown layers take, and what the next better ones would take in all; 0 when there is nothing better.
    pub fn set_demand(&mut self, _now: Time, sending_bps: u64, wanted_bps: u64) {
        self.sending_bps = sending_bps;
        self.wanted_bps = wanted_bps;
    }

    /// What would be shown if the line carried it, bits per second; 0: nothing better than what is shown.
    pub fn wanted_bps(&self) -> u64 {
        self.wanted_bps
    }

    /// Bits per second that the line carries, as far as is known.
    pub fn estimate_bps(&self) -> u64 {
        self.rate.bps()
    }

    /// Rate at which packets may leave, bits per second; `None` while the line is unknown.
    pub fn pace_bps(&self, now: Time) -> Option<u64> {
        if !self.is_measured() {
            return None;
        }
        let bps = self.rate.bps();
        // What is ahead of the estimate would only stand in that queue, or be lost at its end.
        let stands = self.queueing.standing_us() >= FULL_US && self.strikes < STRIKES;
        let known = self.is_limit_known(now);
        Some(if known && stands {
            bps
        } else if known {
            bps * PACE_KNOWN.0 / PACE_KNOWN.1
        } else if bps >= FAST_BPS {
            FAST_PACE_BPS.max(bps * PACE.0 / PACE.1)
        } else {
            bps * PACE.0 / PACE.1
        })
    }

    /// Did congestion say not long ago how fast the line is? Before, it may be faster.
    pub fn is_limit_known(&self, now: Time) -> bool {
        self.rate.decreased().is_some_and(|at| now.since(at) < RECENTLY)
    }

    /// A cluster to begin now. Ask when there are packets to send it with; what is asked for and not sent is lost time.
    pub fn poll_probe(&mut self, now: Time) -> Option<Probe> {
        self.prober.expire(now);
        if !self.is_probe_due(now) {
            return None;
        }
        Some(self.prober.begin(now, self.situation()))
    }

    /// The cluster that still has packets to be sent.
    pub fn probing(&self) -> Option<Probe> {
        self.prober.sending()
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Time) {
        self.prober.expire(now);
        if self.silence_at.is_some_and(|at| at <= now) {
            self.silence_at = Some(now + SILENCE);
            if self.unanswered > 2 && self.source == Source::TransportCc {
                // Towards what a dead line is asked with; feedback that returns shows what it carries.
                let floor = self.config.initial_bps.min(150_000);
                let lower = self.rate.bps() / 10 * 7;
                if lower > floor {
                    self.rate.lower_to(now, lower);
                }
                self.prober.congested(now, None);
            }
        }
    }

    /// When [`Self::timeout`], or [`Self::poll_probe`] for somebody who `can_probe`, may have something to do. A time that has passed
    /// means now.
    pub fn next_timeout(&self, can_probe: bool) -> Option<Time> {
        let probe = if can_probe && self.wants_probe() {
            self.prober.due_at()
        } else {
            None
        };
        [probe, self.prober.expires_at(), self.silence_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Would a cluster be of use, now or later?
    pub fn wants_probe(&self) -> bool {
        let able = self.source != Source::Nothing && self.began.is_some() && self.wanted_bps > 0;
        able && Prober::is_wanted(&self.situation())
    }

    /// Would [`Self::poll_probe`] begin a cluster?
    pub fn is_probe_due(&self, now: Time) -> bool {
        self.prober.due_at().is_some_and(|at| at <= now) && self.wants_probe()
    }

    /// Was the estimate ever measured, or is it a guess?
    pub fn is_measured(&self) -> bool {
        match self.source {
            Source::Nothing | Source::Reports => false,
            Source::Remb | Source::TransportCc => true,
        }
    }

    /// Was more tried lately, and did not get through? Otherwise the line may carry more than is known.
    pub fn is_limit(&self, now: Time) -> bool {
        self.rate.decreased().is_some_and(|at| now.since(at) < LIMIT)
    }

    /// Does a queue grow, or is it long?
    pub fn is_overused(&self) -> bool {
        self.delay.usage() == Usage::Over || self.queueing.standing_us() > FULL_US
    }

    /// Is less sent than the line would carry?
    pub fn is_application_limited(&self, now: Time) -> bool {
        self.sent_bps(now) * LIMITED.1 < self.rate.bps() * LIMITED.0
    }

    /// Bits per second that arrived over the last half second; `None` while that is not known.
    pub fn acknowledged_bps(&self) -> Option<u64> {
        self.throughput.bps(ARRIVING_US.1)
    }

    /// Bits per second sent over about the last second.
    pub fn sent_bps(&self, now: Time) -> u64 {
        let mut rate = self.sent_rate;
        rate.advance(now);
        rate.bps()
    }

    /// Fraction lost of late, 0 to 1, by transport-wide feedback.
    pub fn loss(&self) -> f64 {
        self.loss.fraction()
    }

    /// How long every packet waits in the queue of the line.
    pub fn queue_delay(&self) -> Duration {
        Duration::from_micros(self.queueing.standing_us())
    }

    /// Round trip, by receiver reports or, with the delay of the feedback in it, by that.
    pub fn round_trip(&self) -> Option<Duration> {
        let seen = self.rtt_seen.get().map(|us| Duration::from_micros(us.max(0) as u64));
        self.rtt_reported.or(seen)
    }

    /// Bytes of memory besides the estimator itself.
    pub fn memory_bytes(&self) -> usize {
        self.history.memory()
    }

    fn update(&mut self, now: Time) {
        let standing_us = self.queueing.standing_us();
        let usage = self.delay.usage();
        let limited = self.is_application_limited(now);
        let rtt = self.rtt();
        let steady = self.acknowledged_bps();
        if let Some(bps) = steady {
            self.peak.add(now.0 as i64, -(bps as i64));
        }
        let queue = if limited { STANDING_US.1 } else { STANDING_US.0 };
        let arriving = self.arriving_bps(standing_us, steady);
        if standing_us < CALM_US {
            self.strikes = 0;
        }

        let queue = if self.prober.has_just_sent(now, rtt + CLUSTER) {
            queue.max(CLUSTER_QUEUE_US)
        } else {
            queue
        };
        let rivalled = self.strikes >= STRIKES;
        let growing = usage == Usage::Over && standing_us > queue && !rivalled;
        let settled = self.rate.decreased().is_none_or(|at| now.since(at) > rtt + STRIKE);
        let full = standing_us > FULL_US && usage != Usage::Under && !rivalled && settled;
        let calm = usage != Usage::Over && standing_us < CALM_US;
        let lost = match self.loss.judge(now, calm) {
            Some(Verdict::Excess(excess)) => excess,
            Some(Verdict::Harmless) | None => 0.0,
        };

        if growing || full || (lost > EXCESS.0 && standing_us > STANDING_US.1) {
            // Whose queue it is shows only once we did send less.
            let yielded = self.sent_bps(now) * YIELDED.1 < self.rate.bps() * YIELDED.0;
            self.strikes += u32::from(full && yielded);
            let arriving = arriving.map(|bps| (bps as f64 / self.loss.passed()) as u64);
            if !self.rate.congested(now, arriving, standing_us, rtt) {
                self.confirm(now, rtt);
            }
            self.prober.congested(now, arriving);
        } else if lost > EXCESS.1 {
            let peak = self
                .peak
                .get()
                .map_or(0, |bps| (bps.unsigned_abs() as f64 / self.loss.passed()) as u64);
            let lower = (self.rate.bps() as f64 * (1.0 - lost / 2.0)) as u64;
            if self.rate.lower_to(now, lower.max(peak)) {
                self.prober.congested(now, arriving);
            } else {
                self.confirm(now, rtt);
            }
        } else if calm || rivalled {
            let unprobed = self.prober.overdue(now) > UNPROBED;
            let wanted = self.wanted_bps * 5 / 4;
            if !limited {
                self.rate.grow(now, steady, self.config.max_bps, rtt);
            } else if unprobed && self.rate.bps() < wanted {
                self.rate.grow(now, None, wanted, rtt);
            } else {
                self.rate.hold(now);
            }
        } else {
            self.rate.hold(now);
        }
        if let Some(measured) = self.prober.result(now, self.rate.bps()) {
            self.rate
                .measured((measured as f64 / self.loss.passed()) as u64, steady.unwrap_or(0));
        }
    }

    /// Congestion did not lower the estimate, because more arrives. Where more is shown than was ever estimated (pictures begin at their best
    /// while nobody knows the line) it says all the same that the line does not carry it.
    fn confirm(&mut self, now: Time, rtt: Duration) {
        if self.sending_bps > self.rate.bps() {
            self.rate.confirmed(now, rtt);
        }
    }

    /// What the line lets through, as far as its queue says.
    fn arriving_bps(&self, standing_us: u64, steady: Option<u64>) -> Option<u64> {
        if standing_us <= STANDING_US.0 {
            return steady;
        }
        let short = self.throughput.bps(ARRIVING_US.0);
        if standing_us < BACKLOG_US && short.is_some_and(|bps| bps < SLOW_BPS) {
            return short.max(steady);
        }
        short.or(steady)
    }

    fn situation(&self) -> Situation {
        let calm = self.delay.usage() != Usage::Over && self.queueing.standing_us() < CALM_US;
        let calm = calm || self.strikes >= STRIKES;
        Situation {
            estimate_bps: self.rate.bps(),
            wanted_bps: self.wanted_bps,
            most_bps: self.config.max_bps,
            calm,
            jitter_us: self.queueing.jitter_us(),
            is_known: self.rate.decreased().is_some(),
            by_receiver: matches!(self.source, Source::Remb),
        }
    }

    fn rtt(&self) -> Duration {
        self.round_trip()
            .unwrap_or(DEFAULT_RTT)
            .clamp(Duration::from_millis(10), Duration::from_millis(1_000))
    }

    /// The 24-bit reference of the receiver's clock as microseconds that do not wrap (they would after 12 days).
    fn unwrap(&mut self, reference: u32) -> i64 {
        let reference = i64::from(reference);
        let unwrapped = match self.reference {
            None => reference,
            // The 24 bits are moved up to take the sign along, and back down.
            Some(last) => last + i64::from((((reference - last) as i32) << 8) >> 8),
        };
        self.reference = Some(self.reference.map_or(unwrapped, |last| last.max(unwrapped)));
        unwrapped * REFERENCE_US
    }
}
