//! `rostra-link`: a bad network on purpose, between two UDP addresses of this machine.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use rostra_sim::isolation;
use rostra_sim::link::LinkConfig;
use rostra_sim::relay::{Relay, RelayConfig};

const USAGE: &str = "\
usage: rostra-link --listen HOST:PORT --to HOST:PORT [what the network does]

  --loss P          part of the datagrams that is lost, 0 to 1
  --delay-ms N      fixed delay
  --jitter-ms N     up to this much is added; order is kept
  --reorder P       part that overtakes
  --duplicate P     part that arrives twice
  --rate-kbps N     capacity
  --queue-ms N      longest wait for the capacity (200); what would wait longer is lost
  --seed N          one seed, one sequence of fates (1)

Each holds for both directions; --up-loss, --down-rate-kbps and so on set one. Datagrams of each client address leave from an address
of their own. The first line of output is the address that it listens on; port 0 picks a free one. Loopback only, unless the network
namespace has no default route.";

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
    loop {
        relay.turn(Duration::from_secs(1))?;
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<RelayConfig, String> {
    let (mut listen, mut to, mut seed) = (None, None, 1);
    let with_queue = LinkConfig {
        queue_us: 200_000,
        ..LinkConfig::default()
    };
    let (mut up, mut down) = (with_queue, with_queue);
    while let Some(argument) = arguments.next() {
        let name = argument
            .strip_prefix("--")
            .ok_or_else(|| format!("what is {argument}?"))?;
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        let wrong = || format!("{argument} {value} is out of range");
        match name {
            "listen" => listen = Some(address(&value)?),
            "to" => to = Some(address(&value)?),
            "seed" => seed = value.parse().map_err(|_| wrong())?,
            _ => {
                let (name, ends): (&str, Vec<&mut LinkConfig>) = match name.split_once('-') {
                    Some(("up", name)) => (name, vec![&mut up]),
                    Some(("down", name)) => (name, vec![&mut down]),
                    _ => (name, vec![&mut up, &mut down]),
                };
                for end in ends {
                    set(end, name, &value).ok_or_else(wrong)?;
                }
            }
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

fn set(link: &mut LinkConfig, name: &str, value: &str) -> Option<()> {
    let probability = || value.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    let whole = |least: u64| {
        value
            .parse()
            .ok()
            .filter(|number| (least..=1_000_000_000).contains(number))
    };
    match name {
        "loss" => link.loss = probability()?,
        "reorder" => link.reorder = probability()?,
        "duplicate" => link.duplicate = probability()?,
        "delay-ms" => link.delay_us = whole(0)? * 1000,
        "jitter-ms" => link.jitter_us = whole(0)? * 1000,
        "queue-ms" => link.queue_us = whole(0)? * 1000,
        "rate-kbps" => link.rate_bps = Some(whole(1)? * 1000),
        _ => return None,
    }
    Some(())
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
    fn nonsense_is_refused() {
        for line in [
            "--loss 2",
            "--loss x",
            "--rate-kbps 0",
            "--colour red",
            "--seed",
            "loss",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
