//! `binscribe eval`: the model beside its baselines.

use anyhow::Result;
use binscribe_tasks::bcsd::{self, Vectors};
use binscribe_tasks::retrieval::{self, Figure};
use binscribe_tasks::{Sample, sparse};
use serde::Serialize;

use crate::args::{Eval, EvalArgs};
use crate::data::{self, Splits};
use crate::engine::Engine;
use crate::json;
use crate::output::{Field, Table, note};

/// What an evaluation printed, and how to have it printed again.
#[derive(Debug, Serialize)]
struct Report<F> {
    version: u32,
    task: &'static str,
    command: String,
    model: json::ModelInfo,
    split: String,
    seed: u64,
    packages: Vec<String>,
    rows: usize,
    functions: usize,
    figures: Vec<F>,
}

impl<F> Report<F> {
    fn new(task: &'static str, args: &EvalArgs, engine: &Engine, samples: &[Sample]) -> Report<F> {
        let mut functions: Vec<&str> = samples.iter().map(|s| s.function_id.as_str()).collect();
        functions.sort_unstable();
        functions.dedup();
        Report {
            version: json::VERSION,
            task,
            command: command_line(),
            model: engine.info(),
            split: args.split.clone(),
            seed: args.seed,
            packages: data::packages(samples),
            rows: samples.len(),
            functions: functions.len(),
            figures: Vec::new(),
        }
    }

    fn describe(&self) {
        note(&format!(
            "{} split: {} rows of {} functions; packages: {}; seed {}; model {}",
            self.split,
            self.rows,
            self.functions,
            self.packages.join(", "),
            self.seed,
            self.model.id
        ));
    }
}

/// The command as it was given, to be repeated.
fn command_line() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("binscribe".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn run(eval: &Eval) -> Result<()> {
    match eval {
        Eval::Bcsd(args) => bcsd(args),
        Eval::Retrieval(args) => retrieval(args),
    }
}

/// One sample of each training function: enough for document frequencies.
fn one_each(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    let mut seen = std::collections::HashSet::new();
    samples
        .iter()
        .filter(move |sample| seen.insert(sample.function_id.as_str()))
}

fn listings(samples: &[Sample]) -> Vec<String> {
    samples
        .iter()
        .map(|sample| sample.listing.clone())
        .collect()
}

fn bcsd(args: &EvalArgs) -> Result<()> {
    let splits = data::read(&args.corpus)?;
    let samples = splits.named(&args.split)?;
    let engine = Engine::open(&args.model)?;
    let mut report: Report<bcsd::Figure> = Report::new("bcsd", args, &engine, samples);
    report.describe();

    let idf = sparse::TfIdf::fit(one_each(&splits.train).map(|s| sparse::tokens(&s.listing)));
    let vectors = vec![
        (
            "model".to_owned(),
            Vectors::Dense(engine.embed_listings("corpus", &listings(samples))?),
        ),
        (
            "opcode histogram".to_owned(),
            Vectors::Sparse(sparse::opcode_histograms(
                samples.iter().map(|s| s.listing.as_str()),
            )),
        ),
        (
            "TF-IDF".to_owned(),
            Vectors::Sparse(idf.vectors(samples.iter().map(|s| sparse::tokens(&s.listing)))),
        ),
        ("random".to_owned(), Vectors::Chance),
    ];
    let pools: Vec<usize> = args.pool.iter().map(|&size| size as usize).collect();
    report.figures = bcsd::evaluate(samples, &vectors, &pools, args.seed);

    let mut table = Table::new(&[
        "POOL",
        "OF",
        "METHOD",
        "COMPARISON",
        "POOLS",
        "QUERIES",
        "RECALL@1",
        "MRR",
    ]);
    for figure in &report.figures {
        table.row(vec![
            Field::Count(figure.pool as u64),
            Field::Count(figure.pool_actual as u64),
            figure.method.as_str().into(),
            figure.comparison.as_str().into(),
            Field::Count(figure.pools as u64),
            Field::Count(figure.queries as u64),
            Field::Number(figure.recall_1, 3),
            Field::Number(figure.mrr, 3),
        ]);
    }
    table.print_as(args.format.format, &report)
}

fn retrieval(args: &EvalArgs) -> Result<()> {
    let splits = data::read(&args.corpus)?;
    let samples = splits.named(&args.split)?;
    let engine = Engine::open(&args.model)?;
    let mut report: Report<Figure> = Report::new("retrieval", args, &engine, samples);
    report.describe();
    report.figures = retrieval_figures(&splits, samples, &engine)?;

    let mut table = Table::new(&[
        "TOOLCHAINS",
        "POOL",
        "QUERIES",
        "METHOD",
        "RECALL@1",
        "RECALL@10",
        "MRR",
    ]);
    for figure in &report.figures {
        table.row(vec![
            figure.toolchains.as_str().into(),
            Field::Count(figure.pool as u64),
            Field::Count(figure.queries as u64),
            figure.method.as_str().into(),
            Field::Number(figure.recall_1, 3),
            Field::Number(figure.recall_10, 3),
            Field::Number(figure.mrr, 3),
        ]);
    }
    table.print_as(args.format.format, &report)
}

/// Whether a sample belongs to a pool.
type Keep<'a> = &'a dyn Fn(&Sample) -> bool;

fn retrieval_figures(splits: &Splits, samples: &[Sample], engine: &Engine) -> Result<Vec<Figure>> {
    let toolchains: Vec<String> = ["gcc", "clang"]
        .iter()
        .flat_map(|compiler| {
            ["O0", "O1", "O2", "O3", "Os"].map(|level| format!("{compiler} {level}"))
        })
        .collect();
    let toolchains: Vec<&str> = toolchains.iter().map(String::as_str).collect();
    let plain = |sample: &Sample| sample.compiler == "gcc" && sample.level == "O2";
    let mixed = |sample: &Sample| retrieval::mixed_choice(sample, &toolchains);
    let variants: [(&str, Keep<'_>); 2] = [("gcc O2", &plain), ("mixed", &mixed)];

    let mut figures = Vec::new();
    for (name, keep) in variants {
        let pool = retrieval::pool(samples, keep);
        let texts: Vec<String> = pool
            .queries
            .iter()
            .map(|(query, _)| query.clone())
            .collect();
        let functions: Vec<String> = pool
            .functions
            .iter()
            .map(|&index| samples[index].listing.clone())
            .collect();
        let queries = engine.embed_texts(&texts)?;
        let functions = engine.embed_listings("corpus", &functions)?;
        let ranks = retrieval::ranks(&pool, &queries, &functions);
        figures.push(Figure::new("model", name, &pool, &ranks));
        let ranks = retrieval::search_ranks(&pool, samples, &queries, &functions);
        figures.push(Figure::new("model and words", name, &pool, &ranks));
        let training: Vec<Sample> = splits
            .train
            .iter()
            .filter(|sample| keep(sample))
            .cloned()
            .collect();
        for (method, ranks) in retrieval::baselines(&pool, samples, &training) {
            figures.push(Figure::new(&method, name, &pool, &ranks));
        }
        figures.push(Figure::chance(name, &pool));
    }
    Ok(figures)
}
