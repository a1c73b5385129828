//! Finding out whether the line carries more than is sent: short clusters of packets at a higher rate, and the rate at which they arrive.

use std::time::Duration;

use crate::time::Time;

/// How much more than what is wanted is probed for: an allocator wants some room above the layer, and a cluster measures a little low.
const MARGIN: (u64, u64) = (5, 4);
/// Most by which a cluster exceeds the estimate; and on a line whose limit was met, where it would only queue.
const STEP: (u64, u64) = (3, 2);
/// From one goal that was reached to the next one: time for whoever chooses layers to say what is wanted then.
const REACHED: Duration = Duration::from_millis(200);
/// A cluster that reaches this share of its rate may be followed by a faster one at once.
const CONFIRMED: (u64, u64) = (7, 10);
/// A cluster lasts so long, microseconds, and has at least so many packets.
const LENGTH_US: u64 = 20_000;
const PACKETS: u32 = 5;
/// Longest one; jitter is outlasted up to here.
const MOST_LENGTH_US: u64 = 60_000;
/// Feedback that has not come after this long will not.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// A cluster that could not be sent in this time measures nothing.
const SENDING: Duration = Duration::from_millis(250);
/// From a cluster that failed to the next one; doubles up to the most. Even then a line that has become better is noticed in time.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(2_000), Duration::from_millis(4_000));
/// From congestion to the next cluster.
const AFTER_CONGESTION: Duration = Duration::from_millis(2_500);
/// Congestion this soon after a cluster that succeeded says that it was wrong.
const REGRET: Duration = Duration::from_millis(4_000);
/// From a cluster that was wrong to the next one.
const AFTER_REGRET: (Duration, Duration) = (Duration::from_millis(5_000), Duration::from_millis(10_000));
/// Without transport-wide feedback the receiver measures, and its window is about half a second.
const SUSTAINED_US: u64 = 500_000;

/// Names a cluster. One is under way at a time, so a byte tells old ones apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProbeId(u8);

impl ProbeId {
    pub(super) fn number(self) -> u8 {
        self.0
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

/// A cluster to send: everything that leaves meanwhile belongs to it, media and padding alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Its name, for [`super::Estimator::sent`].
    pub id: ProbeId,
    /// Rate at which packets leave, bits per second.
    pub bps: u64,
    /// It is complete with this many bytes …
    pub bytes: usize,
    /// … and this many packets.
    pub packets: u32,
}

/// What the line is doing while a probe is considered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub estimate_bps: u64,
    pub wanted_bps: u64,
    pub most_bps: u64,
    /// No queue stands or grows.
    pub calm: bool,
    pub jitter_us: u64,
    /// The line was congested not long ago.
    pub is_known: bool,
    /// Clusters are measured by the receiver's own estimate.
    pub by_receiver: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cluster {
    probe: Probe,
    began: Time,
    /// Complete, or given up.
    closed: Option<Time>,
    sent: Span,
    arrived: Span,
    missing: u32,
    wanted_bps: u64,
    evaluated: bool,
}

/// Packets over time: the first and the last time, bytes in all and those of the first and the last packet.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    packets: u32,
    bytes: usize,
    first: i64,
    last: i64,
    first_bytes: usize,
    last_bytes: usize,
}

impl Span {
    fn add(&mut self, at: i64, bytes: usize) {
        if self.packets == 0 || at < self.first {
            (self.first, self.first_bytes) = (at, bytes);
        }
        if self.packets == 0 || at >= self.last {
            (self.last, self.last_bytes) = (at, bytes);
        }
        self.packets += 1;
        self.bytes += bytes;
    }

    fn bps(&self, bytes: usize) -> u64 {
        let us = (self.last - self.first).max(1) as u64;
        bytes as u64 * 8_000_000 / us
    }
}

/// Decides when to probe and reads the results.
#[derive(Debug)]
pub(super) struct Prober {
    cluster: Option<Cluster>,
    id: ProbeId,
    /// When the next cluster is due.
    next_at: Time,
    /// Not before this, after one that could not be sent.
    retry_at: Time,
    backoff: Duration,
    regret: Duration,
    /// The last cluster that raised the estimate, and to what.
    raised: Option<(Time, u64)>,
    /// The last cluster that was sent whole.
    last_sent: Option<Time>,
}

impl Prober {
    pub fn new(now: Time) -> Self {
        Self {
            cluster: None,
            id: ProbeId(1),
            next_at: now,
            retry_at: now,
            backoff: BACKOFF.0,
            regret: AFTER_REGRET.0,
            raised: None,
            last_sent: None,
        }
    }

    /// Begin a cluster, in place of any that is under way.
    pub fn begin(&mut self, now: Time, situation: Situation) -> Probe {
        let goal = goal(&situation);
        let step = if situation.is_known { STEP.1 } else { STEP.0 };
        let bps = goal.min(situation.estimate_bps.saturating_mul(step));
        let length = if situation.by_receiver {
            SUSTAINED_US
        } else {
            (situation.jitter_us * 2).clamp(LENGTH_US, MOST_LENGTH_US)
        };
        self.id = self.id.next();
        let probe = Probe {
            id: self.id,
            bps,
            bytes: (bps * length / 8_000_000) as usize,
            packets: PACKETS,
        };
        self.cluster = Some(Cluster {
            probe,
            began: now,
            closed: None,
            sent: Span::default(),
            arrived: Span::default(),
            missing: 0,
            wanted_bps: goal,
            evaluated: situation.by_receiver,
        });
        probe
    }

    /// The cluster that still has packets to be sent.
    pub fn sending(&self) -> Option<Probe> {
        let cluster = self.cluster.as_ref()?;
        cluster.closed.is_none().then_some(cluster.probe)
    }

    /// A packet of a cluster left.
    pub fn sent(&mut self, now: Time, id: ProbeId, bytes: usize) {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.probe.id == id) else {
            return;
        };
        cluster.sent.add(now.0 as i64, bytes);
        if cluster.sent.bytes >= cluster.probe.bytes && cluster.sent.packets >= cluster.probe.packets {
            cluster.closed = Some(now);
            self.last_sent = Some(now);
            if cluster.evaluated {
                self.cluster = None;
                self.next_at = now + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
            }
        }
    }

    /// A packet of a cluster arrived.
    pub fn arrived(&mut self, id: ProbeId, arrival_us: i64, bytes: usize) {
        if let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.probe.id == id) {
            cluster.arrived.add(arrival_us, bytes);
        }
    }

    /// A packet of a cluster is missing.
    pub fn missing(&mut self, id: ProbeId) {
        if let Some(cluster) = self.cluster.as_mut().filter(|cluster| cluster.probe.id == id) {
            cluster.missing += 1;
        }
    }

    /// The rate that a cluster measured, once all its packets were reported.
    pub fn result(&mut self, now: Time, estimate_bps: u64) -> Option<u64> {
        let cluster = self.cluster.as_ref()?;
        let reported = cluster.arrived.packets + cluster.missing;
        if cluster.closed.is_none() || reported < cluster.sent.packets {
            return None;
        }
        let cluster = self.cluster.take()?;
        let measured = measured(&cluster);
        let confirmed = measured.is_some_and(|bps| bps * CONFIRMED.1 >= cluster.probe.bps * CONFIRMED.0);
        // Slower than what is wanted only because a cluster does not leap that far: the next one follows at once.
        let is_step = cluster.probe.bps < cluster.wanted_bps;
        let is_reached = measured.is_some_and(|bps| is_near(bps, cluster.wanted_bps));
        if confirmed && is_step {
            self.next_at = now;
        } else if is_reached {
            self.next_at = now + REACHED;
            self.backoff = BACKOFF.0;
        } else {
            self.next_at = now + self.backoff;
            self.backoff = (self.backoff * 2).min(BACKOFF.1);
        }
        if let Some(bps) = measured.filter(|bps| *bps > estimate_bps) {
            self.raised = Some((now, bps));
        }
        measured
    }

    /// The line is congested while this much arrives: nothing more is tried for a while; for longer when a cluster has just promised
    /// much more.
    pub fn congested(&mut self, now: Time, arriving_bps: Option<u64>) {
        let raised = self.raised.take().filter(|(at, _)| now.since(*at) < REGRET);
        let wrong = raised.is_some_and(|(_, bps)| arriving_bps.is_some_and(|arriving| arriving * 5 < bps * 4));
        let pause = if wrong {
            let pause = self.regret;
            self.regret = (self.regret * 2).min(AFTER_REGRET.1);
            pause
        } else {
            AFTER_CONGESTION
        };
        self.next_at = self.next_at.max(now + pause);
        // A cluster that is under way measures the congestion.
        if self.cluster.as_ref().is_some_and(|cluster| cluster.closed.is_none()) {
            self.cluster = None;
        }
    }

    /// Is the queue of the line that of a cluster?
    pub fn has_just_sent(&self, now: Time, within: Duration) -> bool {
        self.sending().is_some() || self.last_sent.is_some_and(|at| now.since(at) < within)
    }

    /// How long a cluster has been due that nobody could send.
    pub fn overdue(&self, now: Time) -> Duration {
        if self.cluster.is_some() {
            return Duration::ZERO;
        }
        now.since(self.next_at.max(self.last_sent.unwrap_or(self.next_at)))
    }

    /// When the next cluster is due; `None` while one is under way.
    pub fn due_at(&self) -> Option<Time> {
        self.cluster.is_none().then(|| self.next_at.max(self.retry_at))
    }

    /// When [`Self::expire`] has something to do.
    pub fn expires_at(&self) -> Option<Time> {
        let cluster = self.cluster.as_ref()?;
        Some(match cluster.closed {
            Some(closed) => closed + PATIENCE,
            None if cluster.evaluated => cluster.began + PATIENCE,
            None => cluster.began + SENDING,
        })
    }

    /// Let go of a cluster that measures nothing any more.
    pub fn expire(&mut self, now: Time) {
        let Some(cluster) = &self.cluster else { return };
        match cluster.closed {
            None if now.since(cluster.began) >= SENDING && !cluster.evaluated => {
                // What is due stays due.
                self.cluster = None;
                self.retry_at = now + SENDING;
            }
            Some(closed) if now.since(closed) >= PATIENCE => {
                self.cluster = None;
                self.next_at = now + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
            }
            None if now.since(cluster.began) >= PATIENCE => {
                self.cluster = None;
                self.next_at = now + self.backoff;
            }
            None | Some(_) => {}
        }
    }

    /// Is there something to find out, on a line that is calm enough?
    pub fn is_wanted(situation: &Situation) -> bool {
        let goal = goal(situation);
        // A goal that is nearly reached is not worth a cluster.
        situation.calm && situation.wanted_bps > 0 && !is_near(situation.estimate_bps, goal)
    }
}

fn goal(situation: &Situation) -> u64 {
    (situation.wanted_bps.saturating_mul(MARGIN.0) / MARGIN.1).min(situation.most_bps)
}

fn is_near(bps: u64, goal: u64) -> bool {
    bps >= goal - goal / 16
}

/// The rate of a cluster, by the slower of sending and arriving.
fn measured(cluster: &Cluster) -> Option<u64> {
    let (sent, arrived) = (&cluster.sent, &cluster.arrived);
    // Most of it must have come, or what is measured is something else.
    if arrived.packets * 3 < sent.packets * 2 || arrived.packets < 4 || arrived.bytes * 3 < sent.bytes * 2 {
        return None;
    }
    let sending = sent.bps(sent.bytes - sent.last_bytes).min(cluster.probe.bps);
    let arriving = arrived.bps(arrived.bytes - arrived.first_bytes);
    if arriving > sending * 2 {
        // Held back somewhere and delivered together: says nothing.
        return None;
    }
    // A cluster that queued arrived at the rate of the line: leave the queue room to drain.
    Some(if arriving * 10 < sending * 9 {
        arriving / 100 * 95
    } else {
        arriving.min(sending)
    })
}
