//! `binscribe corpus review`: people rate explanations.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use binscribe_corpus::explain::{Pair, Review, Summary, listing_of, pairs, source_functions};
use serde::Serialize;

use super::export::explanations;
use super::{choose, rows_of};
use crate::args;
use crate::json;
use crate::output::{self, Field, Format, Table, note};

mod page;

#[derive(Serialize)]
struct Summarised {
    version: u32,
    origins: Vec<Summary>,
}

pub(crate) fn run(args: &args::CorpusReview) -> Result<()> {
    let corpus = &args.functions.corpus;
    let mut review = Review::open(corpus, &args.rater)?;
    if args.summary {
        return summary(&review, args.format.format);
    }
    if args.format.format != Format::Table {
        bail!("--format is for --summary; the ratings themselves are in review.jsonl");
    }
    let rows = rows_of(corpus)?;
    let explanations = explanations(corpus)?;
    // Of functions without an explanation there is nothing to rate.
    let wanted = args.origins.preference();
    let functions = choose(&args.functions, source_functions(&rows)?, |f| {
        explanations.best(&f.source_hash, &wanted).is_some()
    })?;
    let pairs = pairs(&functions, &explanations, &wanted, args.functions.seed);
    if pairs.is_empty() {
        bail!("there is no such explanation to rate; see --origins and --min-quality");
    }
    match args.serve {
        Some(address) => page::serve(args, address, review, pairs, rows),
        None => rate(args, &mut review, &pairs, &rows),
    }
}

fn summary(review: &Review, format: Format) -> Result<()> {
    let origins = review.summary();
    if origins.is_empty() {
        note("nothing is rated yet: `binscribe corpus review` does it");
    }
    let mut table = Table::new(&["ORIGIN", "RATINGS", "MEAN", "FROM", "TO"]);
    for summary in &origins {
        let bound = |bound: Option<f64>| bound.map_or(Field::Empty, |b| Field::Number(b, 2));
        table.row(vec![
            summary.origin.as_str().into(),
            Field::Count(summary.count as u64),
            Field::Number(summary.mean, 2),
            bound(summary.interval.map(|(low, _)| low)),
            bound(summary.interval.map(|(_, high)| high)),
        ]);
    }
    table.print_as(
        format,
        &Summarised {
            version: json::VERSION,
            origins,
        },
    )
}

const HELP: &str = "1-5 to score, with a remark behind it if you like; \
                    f full source, l listing, s skip, q quit";

/// Lines of a source that are shown at first: the explanation has to stay in
/// sight.
const SHOWN: usize = 40;

/// Shows the pairs one after another, and reads the scores from standard input.
fn rate(
    args: &args::CorpusReview,
    review: &mut Review,
    pairs: &[Pair],
    rows: &std::path::Path,
) -> Result<()> {
    let left: Vec<&Pair> = pairs.iter().filter(|pair| !review.has(pair)).collect();
    let before = pairs.len() - left.len();
    let mut lines = std::io::stdin().lock().lines();
    let mut rated = 0;
    'pairs: for (number, pair) in left.iter().enumerate() {
        show(pair, before + number + 1, pairs.len(), args.hide_origin)?;
        loop {
            output::print_line(HELP)?;
            let Some(line) = lines.next() else {
                break 'pairs;
            };
            let line = line.context("cannot read the score")?;
            match command(&line) {
                Some(Said::Score(score, remark)) => {
                    review.add(pair, score, remark)?;
                    rated += 1;
                    continue 'pairs;
                }
                Some(Said::Listing) => match listing_of(rows, &pair.function.source_hash)? {
                    Some(listing) => output::print_text(&listing)?,
                    None => output::print_line("the corpus has no listing of it")?,
                },
                Some(Said::Full) => output::print_text(&pair.function.source)?,
                Some(Said::Skip) => continue 'pairs,
                Some(Said::Quit) => break 'pairs,
                None => {}
            }
        }
    }
    note(&format!(
        "{rated} rated, {} of {} in all; `binscribe corpus review --summary` has the means",
        before + rated,
        pairs.len()
    ));
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Said<'a> {
    Score(u8, &'a str),
    Listing,
    Full,
    Skip,
    Quit,
}

fn command(line: &str) -> Option<Said<'_>> {
    let line = line.trim();
    match line {
        "l" => Some(Said::Listing),
        "f" => Some(Said::Full),
        "s" => Some(Said::Skip),
        "q" => Some(Said::Quit),
        _ => {
            let (score, remark) = line.split_once(' ').unwrap_or((line, ""));
            let score = score.parse().ok().filter(|s| (1..=5).contains(s))?;
            Some(Said::Score(score, remark.trim()))
        }
    }
}

fn show(pair: &Pair, number: usize, count: usize, hide_origin: bool) -> Result<()> {
    let function = &pair.function;
    output::print_line("")?;
    output::print_line(&format!(
        "--- {number} of {count}: {} ({}: {})",
        function.name, function.package, function.file
    ))?;
    let lines: Vec<&str> = function.source.lines().take(SHOWN).collect();
    output::print_text(&lines.join("\n"))?;
    let more = function.source.lines().count() - lines.len();
    if more > 0 {
        output::print_line(&format!("... and {more} more lines"))?;
    }
    output::print_line("")?;
    if !hide_origin {
        output::print_line(&format!("{}:", pair.explanation.origin))?;
    }
    output::print_line(&pair.explanation.text)?;
    output::print_line("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rater_may_say() {
        let check = |line: &str, expected: Option<Said<'_>>| assert_eq!(command(line), expected);
        check("4", Some(Said::Score(4, "")));
        check(
            " 2  the tags are wrong ",
            Some(Said::Score(2, "the tags are wrong")),
        );
        check("l", Some(Said::Listing));
        check("q", Some(Said::Quit));
        check("6", None);
        check("0", None);
        check("", None);
    }
}
