//! `rostra-load`: viewers and publishers in real time.

use std::process::ExitCode;
use std::time::Duration;

use rostra_load::recording::{Codec, Recording};
use rostra_load::signal::Role;
use rostra_load::{publish, record, replay, view};
use serde_json::Value;

const USAGE: &str = "\
usage: rostra-load view --http URL --account A --stream S [--token T] [--viewers N] [--seconds S]
                        [--churn] [--slots N] [--ramp-ms N] [--verify] [--seed N] [--via HOST:PORT | --tcp [--sleepers N]]
       rostra-load publish --http URL --stream S --token T [--source ID] [--seconds S]
                        [--fps 30] [--kbps 1200 | --replay FILE] [--seed N] [--via HOST:PORT]
       rostra-load record --file FILE --codec CODEC [--rids 0,1,2] [--seconds S] [--settle-ms N]

view     N viewers watch the stream. --churn: each stays 5 to 60 s, leaves with or without a goodbye, and returns.
         --slots 3: two more videos each, for named sources. --verify: the publishers are rostra-load's; check every byte of video.
publish  One source with synthetic VP8 and sound. --replay: with the video of a recording, over and over.
record   Answer the offer on standard input ({\"sdp\": ...}, one line) on standard output, and write down the video that comes.
         --rids: its encodings, lowest first. --settle-ms: all of them must have flowed so long before it starts.
         --tcp: media by TCP; --sleepers: so many of them stop reading when all have joined, and what they miss does not count.
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

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Task {
    #[default]
    View,
    Publish,
    Record,
}

#[derive(Default)]
struct Arguments {
    task: Task,
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
    replay: Option<String>,
    file: Option<String>,
    codec: Option<Codec>,
    rids: Vec<String>,
    settle_ms: Option<u64>,
    churn: bool,
    verify: bool,
    tcp: bool,
    sleepers: Option<usize>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let task = match words.next().as_deref() {
            Some("view") => Task::View,
            Some("publish") => Task::Publish,
            Some("record") => Task::Record,
            _ => return Err("view, publish or record?".to_owned()),
        };
        let mut parsed = Self {
            task,
            ..Self::default()
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--churn" => parsed.churn = true,
                "--verify" => parsed.verify = true,
                "--tcp" => parsed.tcp = true,
                name => {
                    let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
                    parsed.set(name, value)?;
                }
            }
        }
        match parsed.missing() {
            Some(name) => Err(format!("{name} is missing")),
            None => Ok(parsed),
        }
    }

    fn missing(&self) -> Option<&'static str> {
        let url = ("--http", self.http.is_empty());
        let stream = ("--stream", self.stream.is_empty());
        let needed = match self.task {
            Task::View => [url, stream, ("--account", self.account.is_empty())],
            Task::Publish => [url, stream, ("--token", self.token.is_none())],
            Task::Record => [
                ("--file", self.file.is_none()),
                ("--codec", self.codec.is_none()),
                ("", false),
            ],
        };
        needed.into_iter().find(|(_, missing)| *missing).map(|(name, _)| name)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "--http" => self.http = value,
            "--account" => self.account = value,
            "--stream" => self.stream = value,
            "--token" => self.token = Some(value),
            "--source" => self.source = Some(value),
            "--via" => self.via = Some(value),
            "--replay" => self.replay = Some(value),
            "--file" => self.file = Some(value),
            "--codec" => self.codec = Some(Codec::named(&value).ok_or_else(|| format!("what codec is {value}?"))?),
            "--rids" => self.rids = value.split(',').map(str::to_owned).collect(),
            "--settle-ms" => self.settle_ms = Some(number(name, &value)?),
            "--viewers" => self.viewers = Some(number(name, &value)?),
            "--seconds" => self.seconds = Some(number(name, &value)?),
            "--sleepers" => self.sleepers = Some(number(name, &value)?),
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
        if let (Task::Record, Some(codec)) = (self.task, self.codec) {
            return record::run(&record::Plan {
                file: self.file.unwrap_or_default().into(),
                codec,
                rids: self.rids,
                settle: Duration::from_millis(self.settle_ms.unwrap_or(3000)),
                length,
            });
        }
        if self.task == Task::Publish {
            return self.publish(length, seed);
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
            tcp: self.tcp,
            sleepers: self.sleepers.unwrap_or(0),
            seed,
        })
    }

    fn publish(self, length: Duration, seed: u64) -> Result<Value, String> {
        let recording = self.replay.map(|file| {
            let bytes = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
            Recording::read(&bytes).map_err(|error| format!("{file}: {error}"))
        });
        let recording = recording.transpose()?;
        let role = Role::Publish {
            stream: self.stream,
            token: self.token.unwrap_or_default(),
            source: self.source,
            codec: recording.as_ref().map_or(Codec::Vp8, |recording| recording.codec),
        };
        match recording {
            Some(recording) => replay::run(replay::Plan {
                url: self.http,
                via: self.via,
                role,
                length,
                seed,
                recording,
            }),
            None => publish::run(publish::Plan {
                url: self.http,
                via: self.via,
                role,
                length,
                fps: self.fps.unwrap_or(30).clamp(1, 240),
                kbps: self.kbps.unwrap_or(1200).clamp(16, 100_000),
                seed,
            }),
        }
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
        assert_eq!(error("watch"), "view, publish or record?");
        assert_eq!(error("record --codec vp8"), "--file is missing");
        assert_eq!(error("record --codec vp7"), "what codec is vp7?");
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
