//! Datagrams on a stream (RFC 4571 §2): each behind its length, two bytes, big-endian. A frame of length 0 carries nothing.

/// Bytes in front of each datagram.
pub const HEADER: usize = 2;

/// What the stream has next.
#[derive(PartialEq, Eq, Debug)]
pub enum Framed<'a> {
    /// A datagram, whole. It may be changed in place.
    Datagram(&'a mut [u8]),
    /// A datagram of so many bytes was announced, which is above the limit. It is skipped, never kept.
    TooLong(usize),
}

/// Finds the frames of one stream, however it is cut. Keeps at most one begun frame, whose memory is taken when its length is known.
#[derive(Debug)]
pub struct Deframer {
    /// The beginning of a frame, header and all, that is still incomplete; or, until the next call, one that was handed out.
    held: Vec<u8>,
    handed_out: bool,
    /// Bytes left of a datagram that is too long.
    skip: usize,
    limit: usize,
}

impl Deframer {
    /// For datagrams of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            held: Vec::new(),
            handed_out: false,
            skip: 0,
            limit,
        }
    }

    /// Another limit from the next frame on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes of a frame that are kept until the rest comes.
    pub fn held(&self) -> usize {
        if self.handed_out { 0 } else { self.held.len() }
    }

    /// The next of `input`, of which the first `at` bytes have been used; moves `at`. `None`: all of it is used.
    pub fn next<'a>(&'a mut self, input: &'a mut [u8], at: &mut usize) -> Option<Framed<'a>> {
        if self.handed_out {
            self.held.clear();
            self.handed_out = false;
        }
        loop {
            let rest = input.get(*at..).filter(|rest| !rest.is_empty())?;
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                self.skip -= skipped;
                *at += skipped;
                continue;
            }
            let missing = HEADER.saturating_sub(self.held.len());
            if missing > 0 {
                // Whole frames, which is most of them, are handed out where they lie.
                let here = if self.held.is_empty() { announced(rest) } else { None };
                if let Some(len) = here.filter(|len| rest.len() >= HEADER + len && *len <= self.limit) {
                    let start = *at + HEADER;
                    *at = start + len;
                    if len == 0 {
                        continue;
                    }
                    return input.get_mut(start..start + len).map(Framed::Datagram);
                }
                self.take(rest, missing, at);
                let Some(len) = announced(&self.held) else {
                    continue;
                };
                if len == 0 {
                    self.held.clear();
                } else if len > self.limit {
                    self.held.clear();
                    self.skip = len;
                    return Some(Framed::TooLong(len));
                } else {
                    self.held.reserve_exact(len);
                }
                continue;
            }
            let len = announced(&self.held)?;
            self.take(rest, (HEADER + len).saturating_sub(self.held.len()), at);
            if self.held.len() == HEADER + len {
                self.handed_out = true;
                return self.held.get_mut(HEADER..).map(Framed::Datagram);
            }
        }
    }

    fn take(&mut self, rest: &[u8], wanted: usize, at: &mut usize) {
        let taken = rest.get(..wanted).unwrap_or(rest);
        self.held.extend_from_slice(taken);
        *at += taken.len();
    }
}

fn announced(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    Some(usize::from(u16::from_be_bytes(*header)))
}

/// Append `datagram` as a frame. `false`, and nothing happens, when it is longer than a frame can be.
pub fn write(into: &mut Vec<u8>, datagram: &[u8]) -> bool {
    let Ok(len) = u16::try_from(datagram.len()) else {
        return false;
    };
    into.extend_from_slice(&len.to_be_bytes());
    into.extend_from_slice(datagram);
    true
}

/// Bytes of the first frame in `bytes`, with its header; `None` when it is not whole.
pub fn first(bytes: &[u8]) -> Option<usize> {
    let len = HEADER + announced(bytes)?;
    (len <= bytes.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 300;

    /// What comes out of `stream` when it arrives in pieces of these sizes, over and over: datagrams, and lengths of those too long.
    fn found(stream: &[u8], sizes: &[usize]) -> Vec<Result<Vec<u8>, usize>> {
        let mut deframer = Deframer::new(LIMIT);
        let mut found = Vec::new();
        let mut rest = stream.to_vec();
        for size in sizes.iter().cycle() {
            let mut piece: Vec<u8> = rest
                .drain(..(*size).clamp(1, rest.len().max(1)).min(rest.len()))
                .collect();
            let mut at = 0;
            while let Some(next) = deframer.next(&mut piece, &mut at) {
                found.push(match next {
                    Framed::Datagram(bytes) => Ok(bytes.to_vec()),
                    Framed::TooLong(len) => Err(len),
                });
            }
            assert_eq!(at, piece.len());
            assert!(deframer.held() <= HEADER + LIMIT);
            if rest.is_empty() {
                break;
            }
        }
        found
    }

    fn stream_of(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        assert!(datagrams.iter().all(|datagram| write(&mut stream, datagram)));
        stream
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_datagrams(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
            sizes in prop::collection::vec(1usize..500, 1..8),
        ) {
            let expected: Vec<_> = datagrams
                .iter()
                .filter(|datagram| !datagram.is_empty())
                .map(|datagram| if datagram.len() > LIMIT { Err(datagram.len()) } else { Ok(datagram.clone()) })
                .collect();
            let stream = stream_of(&datagrams);
            prop_assert_eq!(&found(&stream, &[stream.len().max(1)]), &expected);
            prop_assert_eq!(&found(&stream, &[1]), &expected);
            prop_assert_eq!(&found(&stream, &sizes), &expected);
        }

        #[test]
        fn any_bytes_give_the_same_however_they_are_cut(
            stream in prop::collection::vec((any::<u8>(), any::<bool>()).prop_map(|(byte, small)| if small { byte % 2 } else { byte }), 0..2000),
            sizes in prop::collection::vec(1usize..100, 1..8),
        ) {
            prop_assert_eq!(found(&stream, &[stream.len().max(1)]), found(&stream, &sizes));
        }

        #[test]
        fn the_first_frame_of_a_stream_is_as_long_as_it_was_written(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..4),
            cut in 0usize..60,
        ) {
            let stream = stream_of(&datagrams);
            let len = HEADER + datagrams[0].len();
            let cut = cut.min(stream.len());
            prop_assert_eq!(first(&stream[..cut]), (cut >= len).then_some(len));
        }
    }

    #[test]
    fn memory_is_taken_for_the_one_frame_that_is_begun() {
        let mut deframer = Deframer::new(LIMIT);
        assert_eq!(deframer.held.capacity(), 0);
        let mut at = 0;
        assert_eq!(deframer.next(&mut [1, 0, 7, 7], &mut at), None);
        assert!((HEADER + 256..=HEADER + LIMIT + 8).contains(&deframer.held.capacity()));
        let mut whole = stream_of(&[vec![3; 20]]);
        let (mut fresh, mut at) = (Deframer::new(LIMIT), 0);
        assert_eq!(fresh.next(&mut whole, &mut at), Some(Framed::Datagram(&mut [3; 20])));
        assert_eq!(fresh.held.capacity(), 0);
    }

    #[test]
    fn a_longer_limit_holds_from_the_next_frame_on() {
        let mut stream = stream_of(&[vec![1; 400], vec![2; 400]]);
        let (mut deframer, mut at) = (Deframer::new(LIMIT), 0);
        assert_eq!(deframer.next(&mut stream, &mut at), Some(Framed::TooLong(400)));
        deframer.set_limit(400);
        assert_eq!(
            deframer.next(&mut stream, &mut at),
            Some(Framed::Datagram(&mut [2; 400]))
        );
        assert_eq!(deframer.next(&mut stream, &mut at), None);
    }

    #[test]
    fn what_is_longer_than_a_frame_can_be_is_not_written() {
        let mut stream = vec![9];
        assert!(!write(&mut stream, &[0; 65_536]));
        assert_eq!(stream, [9]);
        assert!(write(&mut stream, &[0; 65_535]));
    }
}
