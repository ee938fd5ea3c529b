//! `binscribe search`: English in, functions out.

use anyhow::{Result, bail};
use binscribe_index::Index;

use crate::args::Search;
use crate::commands::index::{self, Question};
use crate::engine::{Candidates, Engine};
use crate::input::Input;
use crate::json::Query;

pub(crate) fn run(args: &Search) -> Result<()> {
    if args.english.trim().is_empty() {
        bail!("the text to search for is empty: say in English what the function does");
    }
    if Index::is_at(&args.file) {
        return search_index(args);
    }
    let input = Input::read(&args.file)?.or_raw(args.raw);
    let program = input.program()?;
    let engine = Engine::open(&args.model)?;
    let candidates = Candidates::of(&input, &program, &engine, None)?;
    let query = engine.embed_texts(std::slice::from_ref(&args.english))?;
    let calibration = engine.calibration()?;
    let calibrated = calibration
        .as_ref()
        .and_then(|calibration| calibration.search.as_ref());
    let words = candidates.words();
    let matches = candidates.ranked(&query, args.k, calibrated, |cosines| {
        words.added(&args.english, cosines)
    });
    candidates.print(
        &engine,
        Query::Text(args.english.clone()),
        matches,
        Vec::new(),
        args.format.format,
    )
}

fn search_index(args: &Search) -> Result<()> {
    if args.raw.arch.is_some() {
        bail!(
            "{} is an index, and --arch is for a raw image",
            args.file.display()
        );
    }
    let engine = Engine::open(&args.model)?;
    let index = index::open(&args.file, &engine)?;
    let vector = engine.embed_texts(std::slice::from_ref(&args.english))?;
    let calibration = engine.calibration()?;
    let calibrated = calibration
        .as_ref()
        .and_then(|calibration| calibration.search.as_ref());
    let question = Question {
        query: Query::Text(args.english.clone()),
        vector: &vector,
        words: Some(&args.english),
        except: None,
        k: args.k,
    };
    index::ask(&index, &engine, question, calibrated, args.format.format)
}
