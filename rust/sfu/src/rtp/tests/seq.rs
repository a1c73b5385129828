use proptest::prelude::*;

use crate::rtp::seq::SeqExtender;

#[test]
fn the_first_number_lies_one_cycle_up() {
    let mut seqs = SeqExtender::default();
    assert_eq!(seqs.extend(5), 65_541);
    assert_eq!(seqs.extend(4), 65_540);
    assert_eq!(seqs.extend(65_535), 65_535, "before the first one");
}

#[test]
fn a_wrap_goes_on_and_a_late_packet_from_before_it_stays_before() {
    let mut seqs = SeqExtender::default();
    assert_eq!(seqs.extend(65_534), 131_070);
    assert_eq!(seqs.extend(1), 131_073);
    assert_eq!(seqs.extend(65_535), 131_071);
    assert_eq!(seqs.extend(2), 131_074);
}

#[test]
fn looking_changes_nothing() {
    let mut seqs = SeqExtender::default();
    assert_eq!(seqs.peek(7), 65_543);
    assert_eq!(seqs.highest(), None);
    seqs.extend(7);
    assert_eq!(seqs.peek(30_000), 95_536);
    assert_eq!(seqs.highest(), Some(65_543));
}

#[test]
fn half_a_range_ahead_is_behind() {
    let mut seqs = SeqExtender::default();
    seqs.extend(0);
    assert_eq!(seqs.peek(32_767), 65_536 + 32_767);
    assert_eq!(seqs.peek(32_768), 65_536 - 32_768);
}

proptest! {
    #[test]
    fn a_walk_of_less_than_half_a_range_is_followed(
        first: u16, steps in proptest::collection::vec(-1000i64..32_000, 0..200)
    ) {
        let mut seqs = SeqExtender::default();
        let mut highest = seqs.extend(first);
        for step in steps {
            let truth = highest.saturating_add_signed(step);
            prop_assert_eq!(seqs.extend(truth as u16), truth);
            highest = highest.max(truth);
        }
    }
}
