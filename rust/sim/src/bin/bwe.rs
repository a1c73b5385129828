//! `bwe 1-20`: the scoreboard of bandwidth. Prints it, and writes bench/results and the generated part of docs/bandwidth.md.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use rostra_sim::bwe::measure::Measures;
use rostra_sim::bwe::report::{self, Row};
use rostra_sim::bwe::scenario::{self, Scenario};
use rostra_sim::bwe::{Run, Side, plot, run};

const USAGE: &str = "usage: bwe [SEED | FIRST-LAST] [--only NAME[,NAME...]] [--write]
--write refreshes bench/results and docs/bandwidth.md, below the working directory.";

struct Arguments {
    first: u64,
    last: u64,
    only: Vec<String>,
    write: bool,
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match scoreboard(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bwe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut parsed = Arguments {
        first: 1,
        last: 20,
        only: Vec::new(),
        write: false,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--write" => parsed.write = true,
            "--only" => parsed.only = arguments.next()?.split(',').map(str::to_owned).collect(),
            seeds => {
                let (first, last) = seeds.split_once('-').unwrap_or((seeds, seeds));
                (parsed.first, parsed.last) = (first.parse().ok()?, last.parse().ok()?);
            }
        }
    }
    (parsed.first <= parsed.last).then_some(parsed)
}

type Job = (usize, u64, Side);

fn scoreboard(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let only = &arguments.only;
    let scenarios: Vec<Scenario> = scenario::all()
        .into_iter()
        .filter(|scenario| only.is_empty() || only.iter().any(|name| name == scenario.name))
        .collect();
    if scenarios.is_empty() {
        return Err(format!("no scenario is called {}", only.join(", ")).into());
    }
    let seeds = arguments.first..=arguments.last;
    let jobs: Vec<Job> = (0..scenarios.len())
        .flat_map(|scenario| seeds.clone().map(move |seed| (scenario, seed)))
        .flat_map(|(scenario, seed)| Side::BOTH.map(|side| (scenario, seed, side)))
        .collect();
    println!(
        "{} runs, {} seeds each\n\n{}",
        jobs.len(),
        seeds.clone().count(),
        report::heading()
    );
    let per_row = 2 * seeds.count();
    let mut measured: Vec<BTreeMap<(u64, Side), Measures>> = vec![BTreeMap::new(); scenarios.len()];
    let mut drawn: BTreeMap<usize, Vec<(Side, Run)>> = BTreeMap::new();
    let mut rows: Vec<Option<Row>> = vec![None; scenarios.len()];
    let shows_progress = std::io::stderr().is_terminal();
    let (mut printed, mut done, all) = (0, 0, jobs.len());
    for ((index, seed, side), run) in results(&scenarios, jobs) {
        let run = run?;
        done += 1;
        let (Some(scenario), Some(row)) = (scenarios.get(index), measured.get_mut(index)) else {
            continue;
        };
        row.insert((seed, side), Measures::new(scenario, &run));
        if row.len() == per_row {
            let of = |wanted| {
                row.iter()
                    .filter(|((_, side), _)| *side == wanted)
                    .map(|(_, of)| *of)
                    .collect()
            };
            let row = Row {
                scenario: scenario.clone(),
                ours: of(Side::Ours),
                theirs: of(Side::Theirs),
            };
            if let Some(place) = rows.get_mut(index) {
                *place = Some(row);
            }
        }
        if seed == arguments.first {
            drawn.entry(index).or_default().push((side, run));
        }
        if shows_progress {
            eprint!("\r{done}/{all} ");
        }
        while let Some(row) = rows.get(printed).and_then(Option::as_ref) {
            if shows_progress {
                eprint!("\r");
            }
            println!("{}", row.text());
            printed += 1;
        }
    }
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let marked = rows.iter().filter(|row| !row.remarks().is_empty()).count();
    println!("\n{} lines, {marked} with remarks", rows.len());
    if arguments.write {
        write(arguments, &rows, &scenarios, &measured, drawn)?;
    }
    Ok(())
}

/// What came of the jobs, in the order in which they end. As many run at a time as there are processors.
fn results(scenarios: &[Scenario], jobs: Vec<Job>) -> impl Iterator<Item = (Job, Result<Run, String>)> {
    let queue = Arc::new(Mutex::new(jobs.into_iter()));
    let scenarios: Arc<[Scenario]> = scenarios.into();
    let (sender, receiver) = channel();
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
        let (queue, scenarios, sender) = (queue.clone(), scenarios.clone(), sender.clone());
        std::thread::spawn(move || {
            loop {
                let job = queue.lock().ok().and_then(|mut jobs| jobs.next());
                let Some((index, seed, side)) = job else { return };
                let Some(scenario) = scenarios.get(index) else { return };
                let run = run(scenario, seed, side).map_err(|error| error.to_string());
                if sender.send(((index, seed, side), run)).is_err() {
                    return;
                }
            }
        });
    }
    receiver.into_iter()
}

fn write(
    arguments: &Arguments,
    rows: &[Row],
    scenarios: &[Scenario],
    measured: &[BTreeMap<(u64, Side), Measures>],
    drawn: BTreeMap<usize, Vec<(Side, Run)>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let results = PathBuf::from("bench/results");
    let plots = results.join("bwe");
    std::fs::create_dir_all(&plots)?;
    let runs: Vec<_> = scenarios
        .iter()
        .zip(measured)
        .flat_map(|(scenario, of)| of.iter().map(|((seed, side), of)| (scenario.name, *seed, *side, *of)))
        .collect();
    std::fs::write(results.join("bwe.csv"), report::csv(&runs))?;
    let seeds = format!("{} to {}", arguments.first, arguments.last);
    std::fs::write(
        results.join("bwe.md"),
        format!("# Bandwidth\n\n{}", report::markdown(rows, &seeds, "bwe")),
    )?;
    for (index, mut runs) in drawn {
        if let Some(scenario) = scenarios.get(index) {
            runs.sort_by_key(|(side, _)| *side == Side::Theirs);
            let svg = plot::svg(scenario, arguments.first, &runs);
            std::fs::write(plots.join(format!("{}.svg", scenario.name)), svg)?;
        }
    }
    let page = Path::new("docs/bandwidth.md");
    let generated = report::markdown(rows, &seeds, "../bench/results/bwe");
    let document =
        report::refreshed(&std::fs::read_to_string(page)?, &generated).ok_or("docs/bandwidth.md has no markers")?;
    std::fs::write(page, document)?;
    Ok(())
}
