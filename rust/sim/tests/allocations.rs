//! Forwarding allocates nothing once it is warm.

use rostra_sim::bed::Bed;
use rostra_sim::counting::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SECOND_US: u64 = 1_000_000;

#[test]
fn no_forwarded_packet_allocates() {
    let viewers = 20;
    let mut bed = Bed::new(viewers, 1).unwrap();
    bed.warm_up();
    assert_eq!(bed.profiles().len(), usize::from(viewers) + 1);
    allocates_nothing(&mut bed, viewers);
}

#[test]
fn no_packet_of_a_local_feed_allocates() {
    let viewers = 20;
    let mut bed = Bed::fed(viewers).unwrap();
    bed.warm_up();
    assert_eq!(bed.profiles().len(), usize::from(viewers));
    allocates_nothing(&mut bed, viewers);
}

fn allocates_nothing(bed: &mut Bed, viewers: u16) {
    // The first slices still grow tables to their size: queues of a frame's packets, timers, events.
    for _ in 0..3 {
        bed.forward(SECOND_US);
    }
    for number in 0..5 {
        let forwarded = bed.forward(SECOND_US);
        // 50 sounds and 60 to 120 video packets for each viewer.
        assert!(forwarded.packets > u64::from(viewers) * 100, "{forwarded:?}");
        assert_eq!(forwarded.allocations, 0, "slice {number}: {forwarded:?}");
    }
    assert!(
        bed.stats().dropped.iter().all(|(_, count)| count == 0),
        "{:?}",
        bed.stats()
    );
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    let list = std::hint::black_box(vec![1_u8; 100]);
    assert_eq!(allocations() - before, 1);
    drop(list);
}
