//! The viewer's decoder: pictures in the order of their time, each of which must continue the one before or be a key frame.

use std::collections::BTreeMap;

use crate::media::Seen;

#[derive(Debug)]
struct Picture {
    encoding: u8,
    frame: u32,
    key: bool,
    picture_id: u16,
    have: Vec<bool>,
}

impl Picture {
    fn is_complete(&self) -> bool {
        self.have.iter().all(|have| *have)
    }
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    time: u64,
    picture_id: u16,
    encoding: u8,
    frame: u32,
    at_us: u64,
}

/// A decoder believes the picture ids, as a real one does; the watcher knows what it should have believed.
#[derive(Debug, Default)]
pub struct Watcher {
    pictures: BTreeMap<u64, Picture>,
    shown: Option<Shown>,
    /// When each picture was shown, and of which encoding, microseconds.
    pub shows: Vec<(u64, u8)>,
    /// Pictures that were handed to the decoder as the next one and are not.
    pub undecodable: u64,
    /// Packets that contradict their picture, or are damaged.
    pub torn: u64,
}

impl Watcher {
    /// A packet came. `time` is the extended RTP time as received.
    pub fn packet(&mut self, now_us: u64, time: u64, seen: Option<Seen>) {
        let Some(seen) = seen else {
            self.torn += 1;
            return;
        };
        if self.shown.is_some_and(|shown| time <= shown.time) {
            return;
        }
        let picture = self.pictures.entry(time).or_insert_with(|| Picture {
            encoding: seen.encoding,
            frame: seen.frame,
            key: seen.key,
            picture_id: seen.picture_id,
            have: vec![false; usize::from(seen.count)],
        });
        let same =
            (picture.encoding, picture.frame, picture.picture_id) == (seen.encoding, seen.frame, seen.picture_id);
        match picture.have.get_mut(usize::from(seen.index)).filter(|_| same) {
            Some(have) => *have = true,
            None => self.torn += 1,
        }
        self.show(now_us);
    }

    fn show(&mut self, now_us: u64) {
        loop {
            let follows = |picture: &Picture| {
                self.shown
                    .is_some_and(|shown| picture.picture_id == shown.picture_id.wrapping_add(1) & 0x7fff)
            };
            let next = match self.pictures.iter().next() {
                Some((time, picture)) if picture.is_complete() && (picture.key || follows(picture)) => Some(*time),
                _ => self
                    .pictures
                    .iter()
                    .find(|(_, picture)| picture.key && picture.is_complete())
                    .map(|(time, _)| *time),
            };
            let Some((time, picture)) = next.and_then(|time| Some((time, self.pictures.remove(&time)?))) else {
                return;
            };
            self.pictures = self.pictures.split_off(&time);
            let continues = self
                .shown
                .is_some_and(|shown| (shown.encoding, shown.frame + 1) == (picture.encoding, picture.frame));
            self.undecodable += u64::from(!picture.key && !continues);
            self.shows.push((now_us, picture.encoding));
            self.shown = Some(Shown {
                time,
                picture_id: picture.picture_id,
                encoding: picture.encoding,
                frame: picture.frame,
                at_us: now_us,
            });
        }
    }

    /// When the picture that stands was shown.
    pub fn shown_at_us(&self) -> Option<u64> {
        self.shown.map(|shown| shown.at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(encoding: u8, frame: u32, picture_id: u16, key: bool) -> Option<Seen> {
        Some(Seen {
            frame,
            index: 0,
            count: 1,
            key,
            picture_id,
            encoding,
        })
    }

    #[test]
    fn pictures_follow_each_other_and_a_gap_waits_for_a_key_frame() {
        let mut watcher = Watcher::default();
        watcher.packet(0, 0, seen(0, 0, 7, true));
        watcher.packet(1, 1, seen(0, 1, 8, false));
        watcher.packet(3, 3, seen(0, 3, 10, false));
        assert_eq!(watcher.shows.len(), 2);
        watcher.packet(4, 2, seen(0, 2, 9, false));
        assert_eq!(watcher.shows.len(), 4, "the late one brings both");
        watcher.packet(6, 5, seen(0, 5, 12, false));
        watcher.packet(7, 6, seen(1, 6, 13, true));
        assert_eq!(watcher.shows.last(), Some(&(7, 1)));
        assert_eq!((watcher.undecodable, watcher.torn), (0, 0));
    }

    #[test]
    fn a_delta_of_another_encoding_is_not_decodable() {
        let mut watcher = Watcher::default();
        watcher.packet(0, 0, seen(0, 0, 7, true));
        watcher.packet(1, 1, seen(1, 1, 8, false));
        assert_eq!(watcher.undecodable, 1);
    }

    #[test]
    fn damage_is_seen() {
        let mut watcher = Watcher::default();
        watcher.packet(0, 0, None);
        watcher.packet(0, 0, seen(0, 0, 7, true));
        watcher.packet(1, 2, seen(0, 1, 8, false).map(|seen| Seen { count: 2, ..seen }));
        watcher.packet(1, 2, seen(1, 1, 8, false));
        assert_eq!(watcher.torn, 2);
    }
}
