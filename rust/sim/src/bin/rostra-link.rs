//! `rostra-link`: a bad network on purpose, between two UDP addresses of this machine.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rostra_sim::isolation;
use rostra_sim::link::{Burst, Cross, Flow, LinkConfig, RateChange, RateChanges, Stalls};
use rostra_sim::relay::{Relay, RelayConfig};

const USAGE: &str = "\
usage: rostra-link --listen HOST:PORT --to HOST:PORT [what the network does]

  --loss P               part of the datagrams that is lost, 0 to 1
  --burst-loss E,L,P     losses in bursts: with probability E a bad time begins at a datagram, with L it ends, P of it is lost
  --delay-ms N           fixed delay
  --jitter-ms N          up to this much is added; order is kept
  --stalls-ms A,B,N      nothing comes through for A to B ms, N ms apart on average
  --aggregate-ms N       datagrams arrive together, at multiples of this
  --reorder P            part that overtakes
  --duplicate P          part that arrives twice
  --rate-kbps N          capacity
  --rate R@S[,R@S...]    capacity from second S on, such as 4M@0,600k@10,4M@25; 0 lets nothing through
  --queue-ms N           longest wait for the capacity (200); what would wait longer is lost
  --cross constant,R,OFF,ON   another flow of this rate through the same queue, OFF seconds silent, then ON seconds sending, in turn;
                         ON 0 is for ever
  --cross reno,N,OFF,ON  the same for a bulk transfer with a round trip of N ms
  --seed N               one seed, one sequence of fates (1)

Each holds for both directions; --up-loss, --down-rate and so on set one. Seconds count from a client's first datagram. Datagrams of
each client address leave from an address of their own. The first line of output is the address that it listens on; port 0 picks a
free one. Lines of options on standard input, such as \"--down-rate 600k\", change them at once for everybody, and seconds count anew.
Loopback only, unless the network namespace has no default route.";

/// How long a line on standard input may wait.
const PATIENCE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let config = match parse(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("rostra-link: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match relay(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rostra-link: {error}");
            ExitCode::FAILURE
        }
    }
}

fn relay(config: RelayConfig) -> std::io::Result<()> {
    let mut relay = Relay::new(config)?;
    println!("{}", relay.address()?);
    let orders = standard_input();
    loop {
        relay.turn(PATIENCE)?;
        while let Ok(line) = orders.try_recv() {
            let (mut up, mut down) = relay.links();
            match obey(&mut up, &mut down, &line) {
                Ok(()) => relay.reconfigure(up, down),
                Err(error) => eprintln!("rostra-link: {error}"),
            }
        }
    }
}

/// Lines of standard input; it may end at any time.
fn standard_input() -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Change links by a line of options; on an error nothing of it counts.
fn obey(up: &mut LinkConfig, down: &mut LinkConfig, line: &str) -> Result<(), String> {
    let mut arguments = line.split_whitespace().map(str::to_owned);
    while let Some((argument, name, value)) = option(&mut arguments)? {
        set_ends(up, down, &name, &value).ok_or_else(|| format!("{argument} {value} is out of range"))?;
    }
    Ok(())
}

/// The next option as it was written, without its dashes, and its value.
fn option(arguments: &mut impl Iterator<Item = String>) -> Result<Option<(String, String, String)>, String> {
    let Some(argument) = arguments.next() else {
        return Ok(None);
    };
    let name = argument
        .strip_prefix("--")
        .ok_or_else(|| format!("what is {argument}?"))?
        .to_owned();
    let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
    Ok(Some((argument, name, value)))
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<RelayConfig, String> {
    let (mut listen, mut to, mut seed) = (None, None, 1);
    let with_queue = LinkConfig {
        queue_us: 200_000,
        ..LinkConfig::default()
    };
    let (mut up, mut down) = (with_queue, with_queue);
    while let Some((argument, name, value)) = option(&mut arguments)? {
        let wrong = || format!("{argument} {value} is out of range");
        match name.as_str() {
            "listen" => listen = Some(address(&value)?),
            "to" => to = Some(address(&value)?),
            "seed" => seed = value.parse().map_err(|_| wrong())?,
            _ => set_ends(&mut up, &mut down, &name, &value).ok_or_else(wrong)?,
        }
    }
    Ok(RelayConfig {
        listen: listen.ok_or("--listen is missing")?,
        to: to.ok_or("--to is missing")?,
        up,
        down,
        seed,
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    isolation::target(text).map_err(|refused| refused.to_string())
}

/// Set one direction or both, as the prefix of the name says.
fn set_ends(up: &mut LinkConfig, down: &mut LinkConfig, name: &str, value: &str) -> Option<()> {
    match name.split_once('-') {
        Some(("up", name)) => set(up, name, value),
        Some(("down", name)) => set(down, name, value),
        _ => set(up, name, value).and(set(down, name, value)),
    }
}

fn set(link: &mut LinkConfig, name: &str, value: &str) -> Option<()> {
    match name {
        "loss" => link.loss = probability(value)?,
        "burst-loss" => {
            let [enter, leave, loss] = parts(value)?;
            link.burst = Some(Burst {
                enter: probability(enter)?,
                leave: probability(leave)?,
                loss: probability(loss)?,
            });
        }
        "reorder" => link.reorder = probability(value)?,
        "duplicate" => link.duplicate = probability(value)?,
        "delay-ms" => link.delay_us = whole(value)? * 1000,
        "jitter-ms" => link.jitter_us = whole(value)? * 1000,
        "stalls-ms" => {
            let [least, most, every] = parts(value)?;
            link.stalls = Some(Stalls {
                least_us: whole(least)? * 1000,
                most_us: whole(most)? * 1000,
                every_us: whole(every)? * 1000,
            })
            .filter(|stalls| stalls.least_us <= stalls.most_us);
            link.stalls?;
        }
        "aggregate-ms" => link.aggregate_us = whole(value)? * 1000,
        "queue-ms" => link.queue_us = whole(value)? * 1000,
        "rate-kbps" => {
            link.rate_bps = Some(whole(value).filter(|rate| *rate > 0)? * 1000);
            link.changes = RateChanges::NONE;
        }
        "rate" => (link.rate_bps, link.changes) = rates(value)?,
        "cross" => {
            let [kind, what, off, on] = parts(value)?;
            let flow = match kind {
                "constant" => Flow::Constant(bits(what).filter(|rate| *rate > 0)?),
                "reno" => Flow::Reno(whole(what).filter(|ms| *ms > 0)? * 1000),
                _ => return None,
            };
            link.cross = Some(Cross {
                flow,
                off_us: micros(off)?,
                on_us: micros(on)?,
            });
        }
        _ => return None,
    }
    Some(())
}

fn parts<const N: usize>(value: &str) -> Option<[&str; N]> {
    value.split(',').collect::<Vec<_>>().try_into().ok()
}

fn probability(value: &str) -> Option<f64> {
    value.parse().ok().filter(|part| (0.0..=1.0).contains(part))
}

fn whole(value: &str) -> Option<u64> {
    value.parse().ok().filter(|number| *number <= 1_000_000_000)
}

/// Seconds, with a fraction perhaps.
fn micros(value: &str) -> Option<u64> {
    let seconds: f64 = value.parse().ok()?;
    (0.0..=1e6).contains(&seconds).then_some((seconds * 1e6) as u64)
}

/// A rate such as 600k, 1.5M or 250000.
fn bits(value: &str) -> Option<u64> {
    let (digits, unit) = match value.strip_suffix(['k', 'M']) {
        Some(digits) if value.ends_with('k') => (digits, 1e3),
        Some(digits) => (digits, 1e6),
        None => (value, 1.0),
    };
    let rate = digits.parse::<f64>().ok()? * unit;
    (0.0..=1e12).contains(&rate).then_some(rate as u64)
}

/// `R@S,R@S`: the rate at the begin, and its changes.
fn rates(value: &str) -> Option<(Option<u64>, RateChanges)> {
    let mut changes = value
        .split(',')
        .map(|step| {
            let (rate, at) = step.split_once('@').unwrap_or((step, "0"));
            Some(RateChange {
                at_us: micros(at)?,
                rate_bps: bits(rate)?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let at_once = changes
        .first()
        .is_some_and(|change| change.at_us == 0 && change.rate_bps > 0);
    let first = at_once.then(|| changes.remove(0).rate_bps);
    Some((first, RateChanges::new(&changes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<RelayConfig, String> {
        parse(
            format!("--listen 127.0.0.1:0 --to 127.0.0.1:9 {line}")
                .split_whitespace()
                .map(str::to_owned),
        )
    }

    #[test]
    fn one_direction_can_differ() {
        let config = parsed("--loss 0.02 --delay-ms 20 --down-rate-kbps 600 --up-loss 0.5").unwrap();
        assert_eq!((config.up.loss, config.down.loss), (0.5, 0.02));
        assert_eq!((config.up.rate_bps, config.down.rate_bps), (None, Some(600_000)));
        assert_eq!((config.up.delay_us, config.down.delay_us), (20_000, 20_000));
    }

    #[test]
    fn a_rate_has_a_schedule() {
        let config = parsed("--down-rate 4M@0,600k@10,1.5M@25").unwrap();
        let changes: Vec<_> = config
            .down
            .changes
            .as_slice()
            .iter()
            .map(|to| (to.at_us, to.rate_bps))
            .collect();
        assert_eq!(config.down.rate_bps, Some(4_000_000));
        assert_eq!(changes, [(10_000_000, 600_000), (25_000_000, 1_500_000)]);
        assert_eq!((config.up.rate_bps, config.up.changes), (None, RateChanges::NONE));
    }

    #[test]
    fn others_share_the_queue() {
        let config = parsed("--down-cross reno,40,2,0.5 --up-cross constant,1.5M,0,0").unwrap();
        let flow = |flow, off_us, on_us| Some(Cross { flow, off_us, on_us });
        assert_eq!(config.down.cross, flow(Flow::Reno(40_000), 2_000_000, 500_000));
        assert_eq!(config.up.cross, flow(Flow::Constant(1_500_000), 0, 0));
    }

    #[test]
    fn a_radio_has_bursts_and_stalls() {
        let config = parsed("--burst-loss 0.01,0.2,0.8 --stalls-ms 5,60,200 --aggregate-ms 4").unwrap();
        let burst = Burst {
            enter: 0.01,
            leave: 0.2,
            loss: 0.8,
        };
        let stalls = Stalls {
            every_us: 200_000,
            least_us: 5_000,
            most_us: 60_000,
        };
        assert_eq!(config.up.burst, Some(burst));
        assert_eq!(config.down.stalls, Some(stalls));
        assert_eq!(config.down.aggregate_us, 4_000);
    }

    #[test]
    fn a_line_changes_what_it_names() {
        let config = parsed("--delay-ms 20 --rate 4M").unwrap();
        let (mut up, mut down) = (config.up, config.down);
        obey(&mut up, &mut down, "--down-rate 600k --loss 0.1").unwrap();
        assert_eq!((up.rate_bps, down.rate_bps), (Some(4_000_000), Some(600_000)));
        assert_eq!((up.loss, down.loss, down.delay_us), (0.1, 0.1, 20_000));
        assert!(obey(&mut up, &mut down, "slower").is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--loss 2",
            "--loss x",
            "--rate-kbps 0",
            "--rate-kbps 1,2",
            "--rate 4M@10,1M@5",
            "--rate 4G",
            "--burst-loss 0.1,0.2",
            "--burst-loss 0.1,0.2,3",
            "--stalls-ms 60,5,100",
            "--cross vegas,20,0,0",
            "--cross constant,0,0,0",
            "--colour red",
            "--seed",
            "loss",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
