//! The command `binscribe`: arguments, progress, tables. What it knows of
//! functions it has from the libraries beside it.

mod args;
mod cache;
mod commands;
mod data;
mod engine;
mod hub;
mod input;
mod json;
mod output;
mod terminal;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Explain(args) => commands::explain::run(&args),
        Command::Search(args) => commands::search::run(&args),
        Command::Similar(args) => commands::similar::run(&args),
        Command::Classify(args) => commands::classify::run(&args),
        Command::Functions(args) => commands::functions::run(&args),
        Command::Listing(args) => commands::listing::run(&args),
        Command::Decompile(args) => commands::decompile::run(&args),
        Command::Embed(args) => commands::embed::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Mcp(args) => commands::mcp::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Index(args) => commands::index::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Corpus(args) => commands::corpus::run(&args),
        Command::Train(args) => return commands::train::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Model(args) => commands::model::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads us has seen enough (`binscribe functions x | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
