//! `binscribe eval`: the model beside its baselines.

mod classes;
mod diff;
mod own_names;
mod page;

use anyhow::Result;
use binscribe_tasks::bcsd::{self, Vectors};
use binscribe_tasks::report::{Cell, Figure, Report};
use binscribe_tasks::retrieval::{self, Pool};
use binscribe_tasks::{Matrix, Sample, sparse};

use crate::args::{Eval, EvalArgs, EvalBcsd, EvalRetrieval};
use crate::data::{self, Splits};
use crate::engine::Engine;
use crate::output::{Field, Table, note};

pub(crate) fn run(eval: &Eval) -> Result<()> {
    match eval {
        Eval::Bcsd(args) => bcsd(args),
        Eval::Retrieval(args) => retrieval(args),
        Eval::Crypto(args) => classes::crypto(args),
        Eval::Protocol(args) => classes::protocol(args),
        Eval::Probe(args) => classes::probe(args),
        Eval::OwnNames(args) => own_names::run(args),
        Eval::Diff(args) => diff::run(args),
        Eval::Report(args) => page::run(args),
    }
}

/// A report without figures, which is described to the user.
fn begin(task: &str, args: &EvalArgs, engine: &Engine, samples: &[&Sample]) -> Report {
    let report = Report {
        command: command_line(),
        model: engine.info(),
        split: args.split.clone(),
        seed: args.seed,
        ..Report::about(task, samples)
    };
    note(&format!(
        "{} split: {} rows of {} functions; packages: {}; seed {}; model {}",
        report.split,
        report.rows,
        report.functions,
        report.packages.join(", "),
        report.seed,
        report.model.id
    ));
    report
}

/// Prints a report as the user wants it.
fn finish(report: &Report, args: &EvalArgs) -> Result<()> {
    let (headings, rows) = report.table();
    let is_value = |column: usize| {
        let mut cells = rows.iter().map(|row| &row[column]);
        cells.any(|cell| matches!(cell, Cell::Value(_)))
    };
    let values: Vec<bool> = (0..headings.len()).map(is_value).collect();
    let mut columns: Vec<String> = Vec::new();
    for (heading, is_value) in headings.iter().zip(&values) {
        columns.push(heading.to_uppercase());
        columns.extend(is_value.then(|| "95 %".to_owned()));
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(&columns);
    for row in &rows {
        let fields = row.iter().zip(&values).flat_map(|(cell, is_value)| {
            let (field, range) = fields(cell);
            std::iter::once(field).chain(is_value.then_some(range))
        });
        table.row(fields.collect());
    }
    table.print_as(args.format.format, report)?;
    report.notes.iter().for_each(|said| note(said));
    Ok(())
}

/// A cell, and its interval.
fn fields(cell: &Cell) -> (Field, Field) {
    match cell {
        Cell::Empty => (Field::Empty, Field::Empty),
        Cell::Text(text) => (text.as_str().into(), Field::Empty),
        Cell::Count(count) => (Field::Count(*count as u64), Field::Empty),
        Cell::Value(value) => {
            let range = value.interval.map_or(Field::Empty, |[low, high]| {
                Field::Text(format!("{low:.3}-{high:.3}"))
            });
            (Field::Number(value.value, 3), range)
        }
    }
}

/// The command as it was given, to be repeated.
fn command_line() -> String {
    let quoted = |argument: String| match argument.contains([' ', '*', '{']) {
        true => format!("'{argument}'"),
        false => argument,
    };
    let arguments = std::env::args().skip(1).map(quoted);
    std::iter::once("binscribe".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// One sample of each training function: enough for document frequencies.
fn one_each(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    let mut seen = std::collections::HashSet::new();
    samples
        .iter()
        .filter(move |sample| seen.insert(sample.function_id.as_str()))
}

fn embed<'s>(engine: &Engine, samples: impl IntoIterator<Item = &'s Sample>) -> Result<Matrix> {
    let listings: Vec<String> = samples.into_iter().map(|s| s.listing.clone()).collect();
    engine.embed_listings("corpus", &listings)
}

fn bcsd(args: &EvalBcsd) -> Result<()> {
    let eval = &args.eval;
    let mut splits = data::read(&eval.corpus)?;
    let samples = &splits.take(&eval.split)?[..];
    let engine = Engine::open(&eval.model)?;
    let mut report = begin("bcsd", eval, &engine, &samples.iter().collect::<Vec<_>>());

    let idf = sparse::TfIdf::fit(one_each(&splits.train).map(|s| sparse::tokens(&s.listing)));
    let unasked = splits
        .train
        .iter()
        .chain(&splits.validation)
        .chain(&splits.test);
    let others: Vec<Sample> = unasked
        .filter(|sample| args.distractors && bcsd::answers_levels(&sample.toolchain()))
        .cloned()
        .collect();
    if args.distractors {
        report.notes.push(
            "In the pools of levels that are larger than the split, distractors are functions of \
             the other splits, those that the model learned from among them; nobody asks for them."
                .to_owned(),
        );
    }
    let all = || samples.iter().chain(&others);
    let listings = || all().map(|s| s.listing.as_str());
    let words = || idf.vectors(listings().map(sparse::tokens));
    let vectors = [
        ("model", Vectors::Dense(embed(&engine, all())?)),
        (
            "opcode histogram",
            Vectors::Sparse(sparse::opcode_histograms(listings())),
        ),
        ("TF-IDF", Vectors::Sparse(words())),
        ("random", Vectors::Chance),
    ];
    let vectors = vectors.map(|(method, vectors)| (method.to_owned(), vectors));
    let pools: Vec<usize> = args.pool.iter().map(|&size| size as usize).collect();
    report.figures = bcsd::evaluate(samples, &others, &vectors, &pools, eval.seed);
    let all = bcsd::all_builds(samples, &vectors, args.queries, eval.seed);
    report.figures.extend(all);
    finish(&report, eval)
}

fn retrieval(args: &EvalRetrieval) -> Result<()> {
    let eval = &args.eval;
    let mut splits = data::read(&eval.corpus)?;
    let samples = &splits.take(&eval.split)?[..];
    let engine = Engine::open(&eval.model)?;
    let mut report = begin(
        "retrieval",
        eval,
        &engine,
        &samples.iter().collect::<Vec<_>>(),
    );
    let toolchains: Vec<String> = ["gcc", "clang"]
        .iter()
        .flat_map(|compiler| {
            ["O0", "O1", "O2", "O3", "Os"].map(|level| format!("{compiler} {level}"))
        })
        .collect();
    let toolchains: Vec<&str> = toolchains.iter().map(String::as_str).collect();
    let plain = |sample: &Sample| sample.toolchain() == "gcc O2";
    let mixed = |sample: &Sample| retrieval::mixed_choice(sample, &toolchains);
    let variants: [(&str, Keep<'_>); 2] = [("gcc O2", &plain), ("mixed", &mixed)];
    let pools: Vec<usize> = args.pool.iter().map(|&size| size as usize).collect();
    for (name, keep) in variants {
        let asked = Asked {
            name,
            engine: &engine,
            seed: eval.seed,
            training: splits.train.iter().filter(|s| keep(s)).cloned().collect(),
        };
        report
            .figures
            .extend(asked.figures(&splits, samples, keep, &pools)?);
    }
    if !pools.is_empty() {
        report.notes.push(
            "In pools larger than the split, distractors are functions of the other splits, those \
             that the model learned from among them, and, where these are too few, other builds \
             of them; nobody asks for them."
                .to_owned(),
        );
    }
    finish(&report, eval)
}

/// Whether a sample belongs to a pool.
type Keep<'a> = &'a dyn Fn(&Sample) -> bool;

/// Pools under one choice of toolchains.
struct Asked<'e> {
    name: &'static str,
    engine: &'e Engine,
    seed: u64,
    training: Vec<Sample>,
}

impl Asked<'_> {
    /// The figures of the split alone, or of pools of `sizes`.
    fn figures(
        &self,
        splits: &Splits,
        samples: &[Sample],
        keep: Keep<'_>,
        sizes: &[usize],
    ) -> Result<Vec<Figure>> {
        let own = retrieval::pool(samples, keep);
        let mut figures = self.of_pool(&own, samples, own.functions.len(), true)?;
        let others = splits.train.iter().chain(&splits.validation);
        let others: Vec<&Sample> = others.chain(&splits.test).collect();
        for &size in sizes.iter().filter(|&&size| size > own.functions.len()) {
            let (pool, all) =
                retrieval::with_distractors(&own, samples, &others, keep, size, self.seed);
            figures.extend(self.of_pool(&pool, &all, size, false)?);
        }
        Ok(figures)
    }

    /// `alone` are pools without training functions, among which one that a
    /// comment lends would find itself.
    fn of_pool(
        &self,
        pool: &Pool,
        samples: &[Sample],
        size: usize,
        alone: bool,
    ) -> Result<Vec<Figure>> {
        let texts: Vec<String> = pool
            .queries
            .iter()
            .map(|(query, _)| query.clone())
            .collect();
        let queries = self.engine.embed_texts(&texts)?;
        let functions = embed(self.engine, pool.functions.iter().map(|&i| &samples[i]))?;
        let mut ranks = vec![
            (
                "model".to_owned(),
                retrieval::ranks(pool, &queries, &functions),
            ),
            (
                "model and words".to_owned(),
                retrieval::search_ranks(pool, samples, &queries, &functions),
            ),
        ];
        let baselines = retrieval::baselines(pool, samples, &self.training);
        let wanted = |(method, _): &(String, Vec<usize>)| alone || !method.ends_with("by comment");
        ranks.extend(baselines.into_iter().filter(wanted));
        let figure = |method: &str, ranks: Option<&[usize]>| {
            retrieval::figure(method, self.name, size, pool, samples, ranks, self.seed)
        };
        let mut figures: Vec<Figure> = ranks
            .iter()
            .map(|(method, ranks)| figure(method, Some(ranks)))
            .collect();
        figures.push(figure("random", None));
        Ok(figures)
    }
}
