//! RTCP to the publisher: receiver reports, NACK, PLI, transport-cc or REMB (RFC 3550 §6, RFC 4585).

use crate::receive::receiver::{PolledRtcp, REPORT_INTERVAL, Receiver, Stream, earliest};
use crate::receive::track::Tracks;
use crate::receive::transport_cc::Wrote;
use crate::rtp::rtcp::{ReportBlock, RtcpWriter};
use crate::time::Time;

/// Most blocks of a report (RFC 3550 §6.4.2).
const MAX_BLOCKS: usize = 31;

/// The datagram is full.
struct Full;

impl Receiver {
    /// Write what is due. Every datagram begins with a receiver report, as RFC 3550 §6.1 wants of peers that did not negotiate
    /// reduced-size RTCP. Writes nothing when nothing is due.
    ///
    /// `out` should be empty with room for 1 200 bytes; what does not even fit into an empty datagram is let go.
    pub fn poll_rtcp(&mut self, now: Time, tracks: &mut Tracks, out: &mut RtcpWriter<'_>) -> PolledRtcp {
        if self.wake.is_none_or(|wake| now < wake) {
            return PolledRtcp::default();
        }
        let before = out.len();
        if self.write_due(now, tracks, out).is_err() {
            // Only progress, or an emptier datagram, makes another call worth it.
            if before > 0 || out.len() > EMPTY_REPORT {
                self.wake = Some(now);
                return PolledRtcp { more: true };
            }
            self.skip(now);
        }
        self.wake = self
            .streams
            .iter()
            .map(|stream| stream.due())
            .chain([self.report_due, self.transport_cc.due()])
            .fold(self.remb.as_ref().and_then(|estimate| estimate.due()), earliest);
        PolledRtcp::default()
    }

    fn write_due(&mut self, now: Time, tracks: &mut Tracks, out: &mut RtcpWriter<'_>) -> Result<(), Full> {
        if self.is_local {
            self.observe(now, tracks);
            return self.write_requests(now, out);
        }
        self.write_report(now, tracks, out)?;
        self.write_requests(now, out)?;
        if self.transport_cc.due().is_some_and(|due| due <= now) {
            self.lead(out)?;
            match self.transport_cc.write(self.our_ssrc, self.last_ssrc, out) {
                Wrote::All => {}
                Wrote::Part | Wrote::NoRoom => return Err(Full),
            }
        }
        self.write_estimate(now, out)
    }

    /// The publisher shares the estimate among all that it sends; one of its sources stands for them.
    fn write_estimate(&mut self, now: Time, out: &mut RtcpWriter<'_>) -> Result<(), Full> {
        let due = self.remb.as_ref().and_then(|estimate| estimate.due());
        if due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.lead(out)?;
        if out.room() < ESTIMATE {
            return Err(Full);
        }
        if let Some(estimate) = &mut self.remb {
            out.remb(self.our_ssrc, estimate.tell(now), &[self.last_ssrc]);
        }
        Ok(())
    }

    /// Up to 31 blocks in each datagram, until every stream had its turn.
    fn write_report(&mut self, now: Time, tracks: &mut Tracks, out: &mut RtcpWriter<'_>) -> Result<(), Full> {
        if self.report_from.is_none() && self.report_due.is_some_and(|due| due <= now) {
            self.report_from = Some(0);
            self.report_due = None;
        }
        let Some(from) = self.report_from else { return Ok(()) };
        // A report that does not fit whole is not begun: blocks, once taken, are gone.
        if out.room() < EMPTY_REPORT + MAX_BLOCKS * BLOCK {
            return Err(Full);
        }
        self.blocks.clear();
        if from == 0 {
            self.fraction_lost = 0;
        }
        let mut next = from;
        let mut flowing = false;
        for stream in self.streams.iter_mut().skip(from) {
            if self.blocks.len() == MAX_BLOCKS {
                break;
            }
            next += 1;
            let (flows, block) = stream.observe(now, tracks);
            flowing |= flows;
            if let Some(block) = block {
                self.fraction_lost = self.fraction_lost.max(block.fraction_lost);
                self.blocks.push(block);
            }
        }
        if !self.blocks.is_empty() {
            out.receiver_report(self.our_ssrc, &self.blocks);
        }
        // Until all rates are down to nothing; the first packet after silence starts anew.
        if flowing || !self.blocks.is_empty() {
            self.report_due = Some(now + REPORT_INTERVAL);
        }
        if next < self.streams.len() {
            self.report_from = Some(next);
            return Err(Full);
        }
        self.report_from = None;
        Ok(())
    }

    /// What a report would say, for nobody but us.
    fn observe(&mut self, now: Time, tracks: &mut Tracks) {
        if self.report_due.is_none_or(|due| due > now) {
            return;
        }
        self.fraction_lost = 0;
        let mut flowing = false;
        for stream in &mut self.streams {
            let (flows, block) = stream.observe(now, tracks);
            flowing |= flows || block.is_some();
            self.fraction_lost = self.fraction_lost.max(block.map_or(0, |block| block.fraction_lost));
        }
        self.report_due = flowing.then(|| now + REPORT_INTERVAL);
    }

    fn write_requests(&mut self, now: Time, out: &mut RtcpWriter<'_>) -> Result<(), Full> {
        for index in 0..self.streams.len() {
            let Some(stream) = self
                .streams
                .get(index)
                .filter(|stream| stream.due().is_some_and(|due| due <= now))
            else {
                continue;
            };
            let wants_key_frame = stream.key_frames.due().is_some_and(|due| due <= now);
            self.lead(out)?;
            let Some(stream) = self.streams.get_mut(index) else {
                continue;
            };
            let Some(ssrc) = stream.ssrc else { continue };
            if wants_key_frame {
                if !out.pli(self.our_ssrc, ssrc) {
                    return Err(Full);
                }
                stream.key_frames.sent(now, &mut self.jitter);
                self.key_frame_requests_out += 1;
            }
            self.seqs.clear();
            stream.nack.collect(now, &mut self.seqs);
            if !self.seqs.is_empty() {
                if !out.nack(self.our_ssrc, ssrc, &self.seqs) {
                    return Err(Full);
                }
                stream.nack.asked(now, &self.rtt);
                self.nacks_out += self.seqs.len() as u64;
            }
        }
        Ok(())
    }

    /// An empty report in front of feedback, where no other is. A local feed wants none.
    fn lead(&self, out: &mut RtcpWriter<'_>) -> Result<(), Full> {
        if !self.is_local && out.is_empty() && !out.receiver_report(self.our_ssrc, &[]) {
            return Err(Full);
        }
        Ok(())
    }

    /// Let go of what fits into no datagram, lest it is tried for ever.
    fn skip(&mut self, now: Time) {
        self.transport_cc.skip();
        if let Some(estimate) = &mut self.remb {
            estimate.tell(now);
        }
        self.report_from = None;
        for stream in &mut self.streams {
            stream.nack.asked(now, &self.rtt);
            if stream.key_frames.due().is_some_and(|due| due <= now) {
                stream.key_frames.sent(now, &mut self.jitter);
            }
        }
    }
}

impl Stream {
    /// Its rate goes on: whether there is any; and what a report says of it, if it sent since the last.
    fn observe(&mut self, now: Time, tracks: &mut Tracks) -> (bool, Option<ReportBlock>) {
        let flows = tracks.encoding_mut(self.key).is_some_and(|encoding| {
            encoding.advance_rate(now);
            encoding.rate_bps() > 0
        });
        let block = match (self.ssrc, &mut self.reception) {
            (Some(ssrc), Some(reception)) if reception.is_new() => Some(reception.block(now, ssrc)),
            (Some(_) | None, Some(_) | None) => None,
        };
        (flows, block)
    }
}

/// Header and SSRC of the reporter.
const EMPTY_REPORT: usize = 8;
/// An estimate that names one source.
const ESTIMATE: usize = 24;
/// One report block.
const BLOCK: usize = 24;
