//! `rostra-load`: viewers and publishers in real time.

use std::process::ExitCode;
use std::time::Duration;

use rostra_load::signal::Role;
use rostra_load::{publish, view};
use serde_json::Value;

const USAGE: &str = "\
usage: rostra-load view --http URL --account A --stream S [--token T] [--viewers N] [--seconds S]
                        [--churn] [--slots N] [--ramp-ms N] [--verify] [--seed N] [--via HOST:PORT]
       rostra-load publish --http URL --stream S --token T [--source ID] [--seconds S]
                        [--fps 30] [--kbps 1200] [--seed N] [--via HOST:PORT]

view     N viewers watch the stream. --churn: each stays 5 to 60 s, leaves with or without a goodbye, and returns.
         --slots 3: two more videos each, for named sources. --verify: the publishers are rostra-load's; check every byte of video.
publish  One source with synthetic VP8 and sound.
--via    Media goes there (a rostra-link) instead of where the server says.

Progress goes to stderr, one line of JSON with the totals to stdout. Exit code 1 when nobody joined. Loopback only, unless the network
namespace has no default route.";

fn main() -> ExitCode {
    let result = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments.run(),
        Err(error) => {
            eprintln!("rostra-load: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(totals) => {
            println!("{totals}");
            let joined = totals.get("joined").and_then(Value::as_u64).unwrap_or(0);
            if joined > 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("rostra-load: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    publish: bool,
    http: String,
    account: String,
    stream: String,
    token: Option<String>,
    source: Option<String>,
    via: Option<String>,
    viewers: Option<u32>,
    seconds: Option<u64>,
    slots: Option<u32>,
    ramp_ms: Option<u64>,
    fps: Option<u32>,
    kbps: Option<u32>,
    seed: Option<u64>,
    churn: bool,
    verify: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let publish = match words.next().as_deref() {
            Some("view") => false,
            Some("publish") => true,
            _ => return Err("view or publish?".to_owned()),
        };
        let mut parsed = Self {
            publish,
            ..Self::default()
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--churn" => parsed.churn = true,
                "--verify" => parsed.verify = true,
                name => {
                    let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
                    parsed.set(name, value)?;
                }
            }
        }
        let needed = [("--http", &parsed.http), ("--stream", &parsed.stream)];
        let account = (!publish).then_some(("--account", &parsed.account));
        let missing = needed.into_iter().chain(account).find(|(_, value)| value.is_empty());
        match missing.map(|(name, _)| name) {
            Some(name) => Err(format!("{name} is missing")),
            None if publish && parsed.token.is_none() => Err("--token is missing".to_owned()),
            None => Ok(parsed),
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "--http" => self.http = value,
            "--account" => self.account = value,
            "--stream" => self.stream = value,
            "--token" => self.token = Some(value),
            "--source" => self.source = Some(value),
            "--via" => self.via = Some(value),
            "--viewers" => self.viewers = Some(number(name, &value)?),
            "--seconds" => self.seconds = Some(number(name, &value)?),
            "--slots" => self.slots = Some(number(name, &value)?),
            "--ramp-ms" => self.ramp_ms = Some(number(name, &value)?),
            "--fps" => self.fps = Some(number(name, &value)?),
            "--kbps" => self.kbps = Some(number(name, &value)?),
            "--seed" => self.seed = Some(number(name, &value)?),
            _ => return Err(format!("what is {name}?")),
        }
        Ok(())
    }

    fn run(self) -> Result<Value, String> {
        let length = Duration::from_secs(self.seconds.unwrap_or(30));
        let seed = self.seed.unwrap_or(1);
        if self.publish {
            return publish::run(publish::Plan {
                url: self.http,
                via: self.via,
                role: Role::Publish {
                    stream: self.stream,
                    token: self.token.unwrap_or_default(),
                    source: self.source,
                },
                length,
                fps: self.fps.unwrap_or(30).clamp(1, 240),
                kbps: self.kbps.unwrap_or(1200).clamp(16, 100_000),
                seed,
            });
        }
        view::run(view::Plan {
            url: self.http,
            via: self.via,
            role: Role::View {
                account: self.account,
                stream: self.stream,
                token: self.token,
            },
            viewers: self.viewers.unwrap_or(1) as usize,
            length,
            churn: self.churn,
            slots: self.slots.unwrap_or(1).clamp(1, 64) as usize,
            ramp: Duration::from_millis(self.ramp_ms.unwrap_or(20)),
            verify: self.verify,
            seed,
        })
    }
}

fn number<N: std::str::FromStr>(name: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{name} {value} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let error = |line| parse(line).err().unwrap_or_default();
        assert_eq!(error("watch"), "view or publish?");
        assert_eq!(error("view --http u --stream s"), "--account is missing");
        assert_eq!(error("publish --http u --stream s"), "--token is missing");
        assert_eq!(
            error("view --http u --stream s --account a --colour red"),
            "what is --colour?"
        );
        assert_eq!(error("view --viewers many"), "--viewers many is not a number");
        assert!(parse("view --http u --stream s --account a --churn --viewers 50").is_ok());
    }
}
