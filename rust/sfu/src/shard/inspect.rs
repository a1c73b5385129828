//! What tests may know of the inside of a shard.

use super::ShardCore;
use super::binding::subscriber;

impl ShardCore {
    /// Entries of all tables. What a closed transport leaves behind shows here.
    #[doc(hidden)]
    pub fn footprint(&self) -> usize {
        self.by_id.len()
            + self.by_ufrag.len()
            + self.by_path.len()
            + self.tracks.len()
            + self.transports.iter().flatten().count()
    }

    /// Invariants that do not hold, in words: whatever a slot shows or stages lives and is subscribed to, nothing else is, and no table
    /// leads to a transport that is gone. Takes time in proportion to everything there is.
    #[doc(hidden)]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut bound = 0;
        for (index, transport) in (0..).zip(&self.transports) {
            let Some(transport) = transport else { continue };
            for (slot, key) in transport.sender.bound() {
                bound += 1;
                let wanted = subscriber(key, index, slot);
                match self.tracks.get(key.into()) {
                    None => problems.push(format!("{:?} slot {slot}: {key:?} is dead", transport.id)),
                    Some(track) if !track.subscribers.contains(&wanted) => {
                        problems.push(format!("{:?} slot {slot}: not subscribed to {key:?}", transport.id));
                    }
                    Some(_) => {}
                }
            }
            if self.by_id.get(&transport.id) != Some(&index)
                || self.by_ufrag.get(&transport.local_ufrag) != Some(&index)
            {
                problems.push(format!("{:?} is not found by its names", transport.id));
            }
        }
        let live = self.transports.iter().flatten();
        let tracks = live.flat_map(|transport| transport.tracks.iter().filter_map(|key| self.tracks.get(*key)));
        let subscribed: usize = tracks.map(|track| track.subscribers.len()).sum();
        if subscribed != bound {
            problems.push(format!("{subscribed} subscriptions for {bound} bindings"));
        }
        let leads = self
            .by_id
            .values()
            .chain(self.by_ufrag.values())
            .chain(self.by_path.values());
        for index in leads {
            if self.transports.get(*index as usize).and_then(Option::as_ref).is_none() {
                problems.push(format!("a table leads to place {index}, where nobody is"));
            }
        }
        problems
    }
}
