//! What one viewer hears in its pool of voices, judged by every packet that leaves for it and by all that is told of its slots.

use std::collections::HashMap;

use rostra_sfu::ids::{GroupId, Mid, SourceKey, TrackId};

/// The candidates of all groups. `None`: it was one, and its track goes on without.
pub type Voices = HashMap<TrackId, Option<(GroupId, SourceKey)>>;

struct Pool {
    group: GroupId,
    mids: Vec<Mid>,
    excluded: Vec<SourceKey>,
}

/// Of one viewer.
#[derive(Default)]
pub struct Ears {
    pool: Option<Pool>,
    /// What was told of a slot since its packets were looked at last, behind what was told last before.
    plays: HashMap<Mid, Vec<Option<TrackId>>>,
}

impl Ears {
    /// An order to listen was taken.
    pub fn listens(&mut self, group: GroupId, mids: Vec<Mid>, excluded: Vec<SourceKey>) {
        self.pool = (!mids.is_empty()).then_some(Pool { group, mids, excluded });
    }

    /// A slot was taken out of the pool, if it was there.
    pub fn leaves(&mut self, mid: Mid) {
        if let Some(pool) = &mut self.pool {
            pool.mids.retain(|known| *known != mid);
        }
        self.pool.take_if(|pool| pool.mids.is_empty());
    }

    /// It was told whom a slot plays.
    ///
    /// # Panics
    /// When that is nothing new, or somebody whom it may not play.
    pub fn told(&mut self, voices: &Voices, mid: Mid, track: Option<TrackId>) {
        let now = |plays: &Vec<Option<TrackId>>| plays.last().copied().flatten();
        assert_ne!(self.plays.get(&mid).and_then(now), track, "{mid}: told twice");
        if let Some(track) = track {
            let elsewhere = self.plays.values().any(|plays| now(plays) == Some(track));
            assert!(!elsewhere, "{mid}: {track:?} is played in another slot");
            let pool = self.pool.as_ref().filter(|pool| pool.mids.contains(&mid));
            let pool = pool.unwrap_or_else(|| panic!("{mid} plays {track:?} and is in no pool"));
            pool.assert_takes(voices, mid, track);
        }
        self.plays.entry(mid).or_insert_with(|| vec![None]).push(track);
    }

    /// A packet of a track left for a slot. Whether it is one of a pool.
    ///
    /// # Panics
    /// When nobody said so, or when it is not to be heard.
    pub fn packet(&mut self, voices: &Voices, mid: Mid, track: TrackId) -> bool {
        let Some(pool) = self.pool.as_ref().filter(|pool| pool.mids.contains(&mid)) else {
            return false;
        };
        let told = self.plays.get(&mid).map_or(&[][..], Vec::as_slice);
        assert!(
            told.contains(&Some(track)),
            "{mid}: {track:?} is sent, and told was {told:?}"
        );
        // What has ended since was to be heard until then.
        if voices.contains_key(&track) {
            pool.assert_takes(voices, mid, track);
        }
        true
    }

    /// All packets were looked at.
    pub fn looked(&mut self) {
        for plays in self.plays.values_mut() {
            plays.drain(..plays.len() - 1);
        }
    }
}

impl Pool {
    fn assert_takes(&self, voices: &Voices, mid: Mid, track: TrackId) {
        let Some(Some((group, source))) = voices.get(&track) else {
            panic!("{mid}: {track:?} is no voice");
        };
        assert_eq!(*group, self.group, "{mid}: {track:?} speaks elsewhere");
        assert!(!self.excluded.contains(source), "{mid}: {track:?} is excluded");
    }
}
