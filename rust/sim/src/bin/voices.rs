//! `voices talk 1-1000`: random conversations, judged; exit code 1 when any is wrong. `voices cost SOURCES LISTENERS SLOTS`: what they cost, as one
//! line of JSON. `voices unheard SOURCES LISTENERS`: packets that nobody hears, for callgrind. `bench/voices.py` makes the table.

use std::process::ExitCode;
use std::time::Duration;

use rostra_sim::counting::{Counting, cpu_time};
use rostra_sim::talk::cost::{Cost, Hall};
use rostra_sim::talk::{BOUNDS, Lies, run};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SECONDS: u64 = 20;
/// Of what is measured.
const SLICES: u64 = 5;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["talk", seeds] => {
            let (first, last) = seeds.split_once('-').unwrap_or((seeds, seeds));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => talk(first, last),
                _ => usage(),
            }
        }
        ["cost", sources, listeners, slots] => match (sources.parse(), listeners.parse(), slots.parse()) {
            (Ok(sources), Ok(listeners), Ok(slots)) if (slots..=200).contains(&sources) && slots > 0 => {
                cost(sources, listeners, slots)
            }
            _ => usage(),
        },
        ["unheard", sources, listeners] => match (sources.parse(), listeners.parse()) {
            (Ok(sources @ 4..=200), Ok(listeners)) => {
                let cost = Hall::new(sources, listeners, 3, true).steady(1);
                println!("{{\"unheard\": {}}}", cost.unheard);
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

/// Beside the same with slots bound for good, for which nothing is ranked.
fn cost(sources: usize, listeners: u32, slots: usize) -> ExitCode {
    let mut bound = Hall::new(sources, listeners, slots, false);
    let fixed = bound.steady(SLICES);
    drop(bound);
    let mut hall = Hall::new(sources, listeners, slots, true);
    let (steady, turns) = (hall.steady(SLICES), hall.turns(SLICES));
    let line = |name: &str, cost: &Cost| {
        format!(
            "\"{name}\": {{\"unheard_ns\": {:.1}, \"forwarded_ns\": {:.1}, \"timers_us\": {:.1}, \"forwarded\": {}, \"switches\": {}, \"allocations\": {}}}",
            cost.unheard_ns,
            cost.forwarded_ns,
            cost.timers_ns / 1000.0,
            cost.forwarded,
            cost.switches,
            cost.allocations
        )
    };
    println!(
        "{{\"sources\": {sources}, \"listeners\": {listeners}, \"slots\": {slots}, \"bytes_per_listener\": {:.0}, {}, {}, {}}}",
        hall.listener_bytes,
        line("bound", &fixed),
        line("steady", &steady),
        line("turns", &turns),
    );
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: voices talk SEED | voices talk FIRST-LAST | voices cost SOURCES LISTENERS SLOTS | voices unheard SOURCES LISTENERS"
    );
    ExitCode::from(2)
}

fn talk(first: u64, last: u64) -> ExitCode {
    let began = cpu_time();
    let (mut failed, mut sources, mut changes, mut owed, mut packets, mut sent) = (0, 0, 0, 0, 0, 0);
    let mut waits_us = Vec::new();
    for seed in first..=last {
        let outcome = run(seed, SECONDS, BOUNDS, Lies::default());
        let verdict = outcome.verdict;
        if !verdict.wrong.is_empty() {
            failed += 1;
            println!("seed {seed}: {} sources, FAILED", outcome.sources);
            for wrong in verdict.wrong.iter().take(1) {
                println!("    {wrong}");
            }
        }
        sources += outcome.sources;
        sent += outcome.sent;
        packets += verdict.packets;
        changes += verdict.changes;
        owed += verdict.owed;
        waits_us.extend(verdict.waits_us);
    }
    waits_us.sort_unstable();
    let part = |share: usize| Duration::from_micros(waits_us.get(waits_us.len() * share / 100).copied().unwrap_or(0));
    println!(
        "{} conversations of {SECONDS} s, {failed} failed; {sources} sources sent {sent} packets, viewers heard {packets}; \
         slots began to play somebody {changes} times; {owed} looks at who had to be heard",
        last - first + 1,
    );
    println!(
        "from being one of the loudest, with a slot free to change, to being heard: {:?} in the median, {:?} in the 95th and {:?} in the 99th \
         percentile of {}; {:.1} s of processor time",
        part(50),
        part(95),
        part(99),
        waits_us.len(),
        (cpu_time() - began).as_secs_f64()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
