//! Sliding windows: the lowest value of the last while, and bytes per time.

/// Lowest value of the last one to two spans, in constant memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lowest {
    span: i64,
    began: i64,
    present: Option<i64>,
    before: Option<i64>,
}

impl Lowest {
    /// An empty one. Time and span have the same unit.
    pub fn new(span: i64) -> Self {
        Self {
            span,
            began: 0,
            present: None,
            before: None,
        }
    }

    /// One more value.
    pub fn add(&mut self, at: i64, value: i64) {
        if self.present.is_none() && self.before.is_none() {
            self.began = at;
        }
        let passed = at.saturating_sub(self.began);
        if passed >= self.span {
            self.before = if passed >= 2 * self.span { None } else { self.present };
            self.present = None;
            self.began = at;
        }
        self.present = Some(self.present.map_or(value, |least| least.min(value)));
    }

    /// The lowest value; `None` before the first one.
    pub fn get(&self) -> Option<i64> {
        match (self.present, self.before) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.present = None;
        self.before = None;
    }
}

const BUCKET_US: i64 = 20_000;
const BUCKETS: i64 = 32;

/// What arrived, in buckets of 20 ms of the receiver's clock. 640 ms in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Throughput {
    buckets: [u32; BUCKETS as usize],
    /// The bucket of the newest arrival, counted from the receiver's epoch, and the first one of all.
    newest: Option<(i64, i64)>,
    newest_at: i64,
}

impl Throughput {
    /// An arrival. One that is older than the window is forgotten.
    pub fn add(&mut self, at: i64, bytes: usize) {
        let bucket = at.div_euclid(BUCKET_US);
        let (newest, first) = self.newest.unwrap_or((bucket, bucket));
        if bucket - newest >= BUCKETS {
            self.buckets = [0; BUCKETS as usize];
            self.newest = Some((bucket, first));
        } else if bucket <= newest - BUCKETS {
            return;
        } else {
            for emptied in newest + 1..=bucket {
                if let Some(place) = self.buckets.get_mut(index(emptied)) {
                    *place = 0;
                }
            }
            self.newest = Some((newest.max(bucket), first.min(bucket)));
        }
        self.newest_at = self.newest_at.max(at);
        if let Some(place) = self.buckets.get_mut(index(bucket)) {
            *place = place.saturating_add(bytes as u32);
        }
    }

    /// Bits per second over the last `span_us`. `None` while less than that was seen.
    pub fn bps(&self, span_us: i64) -> Option<u64> {
        let (newest, first) = self.newest?;
        let buckets = (span_us / BUCKET_US).clamp(1, BUCKETS - 1);
        if newest - first < buckets {
            return None;
        }
        // The newest bucket is not full yet.
        let sum: u64 = (newest - buckets..=newest)
            .filter_map(|bucket| self.buckets.get(index(bucket)))
            .map(|bytes| u64::from(*bytes))
            .sum();
        let span = self.newest_at - (newest - buckets) * BUCKET_US;
        Some(sum * 8_000_000 / span.max(BUCKET_US) as u64)
    }
}

fn index(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_value_leaves_with_its_window() {
        let mut lowest = Lowest::new(100);
        lowest.add(0, 5);
        lowest.add(50, 9);
        lowest.add(120, 8);
        assert_eq!(lowest.get(), Some(5));
        lowest.add(230, 7);
        assert_eq!(lowest.get(), Some(7));
        lowest.add(1_000, 11);
        assert_eq!(lowest.get(), Some(11));
    }

    #[test]
    fn a_steady_stream_has_its_rate_over_every_span() {
        let mut throughput = Throughput::default();
        for step in 0..200 {
            throughput.add(-700_000 + step * 10_000, 1_250);
        }
        for span in [100_000, 200_000, 500_000] {
            let bps = throughput.bps(span).expect("seen long enough");
            assert!(bps.abs_diff(1_000_000) < 100_000, "{bps} over {span}");
        }
    }

    #[test]
    fn reordered_arrivals_count_and_ancient_ones_do_not() {
        let mut throughput = Throughput::default();
        for step in 0..30 {
            throughput.add(step * 20_000, 2_500);
        }
        let before = throughput.bps(400_000);
        throughput.add(560_000, 1_000);
        assert!(throughput.bps(400_000) > before);
        let before = throughput.bps(400_000);
        throughput.add(-10_000_000, 50_000);
        assert_eq!(throughput.bps(400_000), before);
    }
}
