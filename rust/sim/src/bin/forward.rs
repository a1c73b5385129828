//! `forward`: what forwarding costs in user space. One publisher, a browser or a local feed, many viewers that answer with feedback, real keys; only what the
//! shard does is measured. Prints one line of JSON; `bench/run.sh` makes the table.

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use rostra_sfu::command::SrtpProfile;
use rostra_sfu::transport::srtp::{KeyingHalf, SrtpOut};
use rostra_sim::bed::{Bed, Forwarded};
use rostra_sim::client::Peer;
use rostra_sim::counting::{Counting, cpu_time};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SECOND_US: u64 = 1_000_000;
/// Fixed header and a one-byte extension block with transport-cc, as most packets to viewers have.
const HEADER: usize = 12 + 8;

const USAGE: &str = "usage: forward time|feed VIEWERS SECONDS | forward weigh|weigh-others VIEWERS SLOTS";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u16>> = words.iter().skip(1).map(|word| word.parse().ok()).collect();
    let result = match (words.first().map(String::as_str), numbers.as_deref()) {
        (Some("time"), Some(&[viewers, seconds])) if viewers > 0 && seconds > 0 => {
            Bed::new(viewers, 1).and_then(|bed| time(bed, viewers, seconds))
        }
        (Some("feed"), Some(&[viewers, seconds])) if viewers > 0 && seconds > 0 => {
            Bed::fed(viewers).and_then(|bed| time(bed, viewers, seconds))
        }
        (Some("weigh"), Some(&[viewers, slots])) if viewers > 0 && (2..=16).contains(&slots) => {
            weigh(viewers, slots, Peer::Browser)
        }
        (Some("weigh-others"), Some(&[viewers, slots])) if viewers > 0 && (2..=16).contains(&slots) => {
            weigh(viewers, slots, Peer::Other)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("forward: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Nanoseconds and allocations of each forwarded packet, in slices of one second; the median slice counts.
fn time(mut bed: Bed, viewers: u16, seconds: u16) -> Result<String, Box<dyn Error>> {
    bed.warm_up();
    let profile = one_profile(&bed, viewers)?;
    let mut total = Forwarded::default();
    let mut every = 0;
    let (mut forwarding, mut sealing) = (Vec::new(), Vec::new());
    let mut lanes = lanes(profile, viewers)?;
    for number in 0..seconds + 2 {
        let forwarded = bed.forward(SECOND_US);
        let sizes = sizes(&forwarded.sizes);
        let start = cpu_time();
        let sealed = measured_sealing(&mut lanes, &sizes, profile);
        let took_sealing = cpu_time() - start;
        if sealed != sizes.len() as u64 * u64::from(viewers) {
            return Err("not every packet was sealed".into());
        }
        every += forwarded.packets;
        // The first two still grow tables.
        if number < 2 {
            continue;
        }
        let per = |took: Duration, packets: u64| took.as_nanos() as f64 / packets.max(1) as f64;
        forwarding.push(per(forwarded.took, forwarded.packets));
        sealing.push(per(took_sealing, sealed));
        total.packets += forwarded.packets;
        total.bytes += forwarded.bytes;
        total.runs += forwarded.runs;
        total.datagrams += forwarded.datagrams;
        total.allocations += forwarded.allocations;
    }
    Ok(format!(
        "{{\"viewers\": {viewers}, \"slices\": {seconds}, \"profile\": \"{profile:?}\", \"packets\": {}, \"packets_with_warm_up\": {every}, \"bytes_per_packet\": {:.0}, \
         \"packets_per_run\": {:.2}, \"allocations\": {}, \"ns\": {:.1}, \"ns_least\": {:.1}, \"ns_sealing\": {:.1}, \"drops\": {}}}",
        total.packets,
        total.bytes as f64 / total.datagrams.max(1) as f64,
        total.datagrams as f64 / total.runs.max(1) as f64,
        total.allocations,
        median(&mut forwarding),
        forwarding.first().copied().unwrap_or_default(),
        median(&mut sealing),
        bed.stats().dropped.iter().map(|(_, count)| count).sum::<u64>(),
    ))
}

/// Heap bytes of one more viewer with `slots` bound slots, all but one of them video: the difference between two crowds, so that
/// tables of the shard do not count.
fn weigh(viewers: u16, slots: u16, peer: Peer) -> Result<String, Box<dyn Error>> {
    let mut weights = Vec::new();
    for crowd in [viewers, viewers * 2] {
        let mut bed = Bed::weighed(crowd, usize::from(slots) - 1, peer)?;
        bed.warm_up();
        one_profile(&bed, crowd)?;
        let expected = u64::from(crowd) * u64::from(slots);
        if bed.stats().slots != expected || bed.rtp_delivered() < expected * 100 {
            return Err("not every slot shows something".into());
        }
        weights.push(bed.heap_bytes());
    }
    let each = match weights[..] {
        [one, two] => (two - one) / i64::from(viewers),
        _ => 0,
    };
    Ok(format!(
        "{{\"viewers\": [{viewers}, {}], \"slots\": {slots}, \"bytes_per_viewer\": {each}}}",
        viewers * 2
    ))
}

fn one_profile(bed: &Bed, viewers: u16) -> Result<SrtpProfile, Box<dyn Error>> {
    match bed.profiles() {
        [first, rest @ ..] if rest.len() >= usize::from(viewers) - 1 && rest.iter().all(|one| one == first) => {
            Ok(*first)
        }
        others => Err(format!("{} connections for {viewers} viewers", others.len()).into()),
    }
}

/// One viewer's key and buffer.
struct Lane {
    srtp: SrtpOut,
    index: u64,
    buffer: Vec<u8>,
}

fn lanes(profile: SrtpProfile, viewers: u16) -> Result<Vec<Lane>, Box<dyn Error>> {
    (0..viewers)
        .map(|number| {
            let (key, salt) = (vec![number as u8; profile.key_len()], vec![1; profile.salt_len()]);
            let half = KeyingHalf::new(profile, &key, &salt).ok_or("lengths of the profile")?;
            Ok(Lane {
                srtp: SrtpOut::new(profile, &half),
                index: 1 << 16,
                buffer: vec![0x80; 1500],
            })
        })
        .collect()
}

/// Plaintext sizes as viewers get them: the publisher's packets without its authentication tag.
fn sizes(datagrams: &[usize]) -> Vec<usize> {
    datagrams
        .iter()
        .map(|bytes| bytes.saturating_sub(16).max(HEADER))
        .collect()
}

/// Seal the same sizes for as many viewers, up to four in a row for each, as frames make them leave. A marker of callgrind's, too.
#[inline(never)]
fn measured_sealing(lanes: &mut [Lane], sizes: &[usize], profile: SrtpProfile) -> u64 {
    let mut sealed = 0;
    for frame in sizes.chunks(4) {
        for lane in &mut *lanes {
            for size in frame {
                lane.index += 1;
                let overhead = profile.overhead();
                if let Some(buffer) = lane.buffer.get_mut(..size + overhead) {
                    buffer[2..4].copy_from_slice(&(lane.index as u16).to_be_bytes());
                    sealed += u64::from(
                        lane.srtp
                            .seal_rtp(black_box(buffer), HEADER, *size, lane.index)
                            .is_some(),
                    );
                }
            }
        }
    }
    sealed
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
