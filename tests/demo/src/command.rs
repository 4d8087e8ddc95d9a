//! The command line of the demo.

use crate::{
    EDGE_COMMAND,
    demo::{self, Options},
};
use clap::Parser;
use riser_edge::{EdgeConfig, command::serve_loaded};
use riser_shell::{Loaded, Sources};
use std::{io, path::PathBuf, process::ExitCode, time::Duration};
use tokio::sync::oneshot;

/// A hub, two edges, live sensors and a page, on loopback.
#[derive(Debug, Parser)]
#[command(name = "riser-demo", version, about)]
struct Arguments {
    /// Keep the data here instead of in a temporary folder.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Run unattended for so many seconds (at least 8): cut a link, kill an edge, drain, and say how it went.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(8..=86_400))]
    seconds: Option<u64>,
    /// How many tiers: with 3 an edge between the hub and the others takes their links, and is the one that is killed.
    #[arg(long, value_name = "TIERS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    tiers: u8,
    /// Print how it went as one JSON object, as the last line.
    #[arg(long)]
    json: bool,
}

/// The demo, or one of its edges.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match (arguments.next(), arguments.next()) {
        (Some(first), Some(config)) if first == EDGE_COMMAND => edge(PathBuf::from(config)).map(|()| true),
        _ => run(Arguments::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("riser-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let options = Options {
        data: arguments.data,
        unattended: arguments.seconds.map(Duration::from_secs),
        json: arguments.json,
        tiers: arguments.tiers,
    };
    riser_host::setup::runtime(2)?.block_on(demo::run(options))
}

fn edge(config: PathBuf) -> anyhow::Result<()> {
    let sources = Sources::file(&config);
    let loaded = Loaded::<EdgeConfig>::strictly(&sources)?;
    riser_shell::log::start(&loaded.config.log);
    riser_host::setup::runtime(2)?.block_on(async {
        tokio::select! {
            ended = serve_loaded(loaded, &sources) => ended,
            // A demo that was killed could not take its edges along.
            _ = end_of_stdin() => Ok(()),
        }
    })
}

/// Comes when whoever started this process has closed its standard input.
fn end_of_stdin() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    // A thread of its own, which a process that ends does not wait for.
    std::thread::spawn(move || {
        // Nobody writes there: whatever ends the reading is the end.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    end
}
