//! `binscribe eval diff`: what is found of two versions, and what their symbols say.

use std::collections::HashMap;

use anyhow::{Result, bail};
use binscribe_lift::Function;
use binscribe_tasks::diff::{self, Version, Why};
use binscribe_tasks::top;
use serde::Serialize;

use crate::args::EvalDiff;
use crate::commands::diff::Side;
use crate::engine::Engine;
use crate::input::Input;
use crate::json;
use crate::output::{Field, Table};

/// How well one way does.
#[derive(Debug, Serialize)]
struct Way {
    way: &'static str,
    /// Pairs of which one function has a name that both versions have.
    checked: usize,
    /// Those where both have it.
    right: usize,
    precision: f64,
    recall: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    old: String,
    new: String,
    model: String,
    /// Functions with a body of their own.
    functions: (usize, usize),
    /// Names that both versions have once.
    names: usize,
    ways: Vec<Way>,
}

pub(crate) fn run(args: &EvalDiff) -> Result<()> {
    let (old_input, new_input) = (Input::read(&args.old)?, Input::read(&args.new)?);
    let (old_program, new_program) = (old_input.program()?, new_input.program()?);
    let engine = Engine::open(&args.model)?;
    let old = Side::of(&old_input, &old_program, &engine, false)?;
    let new = Side::of(&new_input, &new_program, &engine, false)?;
    let (in_old, in_new) = (once(&old.functions), once(&new.functions));
    let truth: Vec<(usize, usize)> = in_old
        .iter()
        .filter_map(|(name, &at)| Some((at, *in_new.get(name)?)))
        .collect();
    if truth.is_empty() {
        bail!("the two files have no name of a function in common");
    }
    let (a, b) = (old.version(), new.version());
    let pairs = diff::pairs(&a, &b);
    let places = |keep: &dyn Fn(Why) -> bool| -> Vec<(usize, usize)> {
        let pairs = pairs.iter().filter(|pair| keep(pair.why));
        pairs.map(|pair| (pair.old, pair.new)).collect()
    };
    let ways = vec![
        judged("diff", &places(&|_| true), &truth),
        judged("same code alone", &places(&|why| why == Why::Code), &truth),
        judged("nearest vector alone", &mutual(&a, &b), &truth),
    ];
    let mut table = Table::new(&["WAY", "CHECKED", "RIGHT", "PRECISION", "RECALL"]);
    for way in &ways {
        table.row(vec![
            way.way.into(),
            Field::Count(way.checked as u64),
            Field::Count(way.right as u64),
            Field::Number(way.precision, 3),
            Field::Number(way.recall, 3),
        ]);
    }
    let document = Document {
        version: json::VERSION,
        old: args.old.display().to_string(),
        new: args.new.display().to_string(),
        model: engine.id().to_owned(),
        functions: (old.functions.len(), new.functions.len()),
        names: truth.len(),
        ways,
    };
    table.print_as(args.format.format, &document)
}

/// The functions that alone have their name.
fn once<'p>(functions: &[&'p Function]) -> HashMap<&'p str, usize> {
    let mut found: HashMap<&str, Option<usize>> = HashMap::new();
    for (position, function) in functions.iter().enumerate() {
        if let Some(name) = function.name.as_deref() {
            let at = found.entry(name).or_insert(Some(position));
            if *at != Some(position) {
                *at = None;
            }
        }
    }
    let once = found.into_iter();
    once.filter_map(|(name, at)| Some((name, at?))).collect()
}

/// The functions whose vectors are nearest to each other.
fn mutual(old: &Version<'_>, new: &Version<'_>) -> Vec<(usize, usize)> {
    let nearest = |a: &Version<'_>, b: &Version<'_>| {
        a.vectors.against(b.vectors, |_, scores| {
            top(scores, 1).first().map(|&(at, _)| at)
        })
    };
    let (there, back) = (nearest(old, new), nearest(new, old));
    let pairs = there.into_iter().enumerate();
    pairs
        .filter_map(|(at, other)| Some((at, other?)))
        .filter(|&(at, other)| back[other] == Some(at))
        .collect()
}

fn judged(way: &'static str, pairs: &[(usize, usize)], truth: &[(usize, usize)]) -> Way {
    let by_old: HashMap<usize, usize> = truth.iter().copied().collect();
    let by_new: HashMap<usize, usize> = truth.iter().map(|&(old, new)| (new, old)).collect();
    let is_checked =
        |(old, new): &&(usize, usize)| by_old.contains_key(old) || by_new.contains_key(new);
    let checked: Vec<_> = pairs.iter().filter(is_checked).collect();
    let right = checked
        .iter()
        .filter(|(old, new)| by_old.get(old) == Some(new))
        .count();
    Way {
        way,
        checked: checked.len(),
        right,
        precision: right as f64 / checked.len().max(1) as f64,
        recall: right as f64 / truth.len() as f64,
    }
}
