//! Questions to an index: what `search` and `similar` ask of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use binscribe_index::{Column, Entry, Index, Part};
use binscribe_tasks::calibration::{Calibrated, ranked_features};
use binscribe_tasks::retrieval::blended;
use binscribe_tasks::sparse::QueryWords;
use binscribe_tasks::{Code, Copies, Matrix, copies};

use crate::engine::Engine;
use crate::json::{self, IndexMatch, IndexMatches, Indexed, Place, Query};
use crate::output::{Field, Format, Table};

/// What is asked of an index.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// As it was put.
    pub(crate) query: Query,
    /// Its vector, a row.
    pub(crate) vector: &'a Matrix,
    /// The words to find beside, of an English one.
    pub(crate) words: Option<&'a str>,
    /// A function that is no answer, by the hash of its program and its address: the
    /// example itself.
    pub(crate) except: Option<(String, u64)>,
    /// How many answers are wanted.
    pub(crate) k: usize,
}

/// The index at `path`, which holds vectors of this model.
pub(crate) fn open(path: &Path, engine: &Engine) -> Result<Index> {
    let index = Index::open(path)?;
    index.require(engine.id())?;
    Ok(index)
}

/// Which function of a program is the one at `address`; `None` where the program is not
/// in the index.
fn row_of(index: &Index, blake3: &str, address: u64) -> Result<Option<usize>> {
    let row = |part: Part| part.functions.iter().position(|f| f.address == address);
    let rows = index.visit_those(|hash| hash == blake3, &[Column::Facts], row)?;
    Ok(rows.into_iter().flatten().next())
}

/// Prints what an index has for a question.
pub(crate) fn ask(
    index: &Index,
    engine: &Engine,
    question: Question<'_>,
    calibrated: Option<&Calibrated>,
    format: Format,
) -> Result<()> {
    let words = question.words.map(QueryWords::new);
    let mut columns = vec![Column::Vectors, Column::Code];
    columns.extend(words.as_ref().map(|_| Column::Words));
    let except = match &question.except {
        Some((hash, address)) => row_of(index, hash, *address)?.map(|row| (hash, row)),
        None => None,
    };
    let query = question.vector.row(0);
    let parts = index.visit(&columns, |part| {
        let cosines = part.cosines(query);
        let functions = part.functions.iter().enumerate();
        let asked: Vec<_> = functions
            .filter(|(row, _)| except != Some((&part.facts.blake3, *row)))
            .map(|(row, function)| {
                let said = words
                    .as_ref()
                    .map(|words| words.count(function.words.split_whitespace()));
                let code = Code {
                    code: function.code,
                    symbol: function.symbol,
                };
                (row, cosines[row], code, said)
            })
            .collect();
        (part.facts, asked)
    })?;
    let (programs, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let mut functions = Vec::new();
    let (mut cosines, mut codes, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for (program, asked) in parts.into_iter().enumerate() {
        for (row, cosine, code, said) in asked {
            functions.push((program, row));
            cosines.push(cosine);
            codes.push(code);
            counted.extend(said);
        }
    }
    if functions.is_empty() {
        let path = index.directory().display();
        bail!("{path} has no function to compare with: add programs with `binscribe index add`");
    }
    let scores = match &words {
        Some(words) => blended(&cosines, &words.shares(&counted)),
        None => cosines,
    };
    // Equal code is one answer: copies of a function would fill the answers, and
    // make none of them sure.
    let distinct = copies(&scores, &codes);
    let scores: Vec<f32> = distinct.iter().map(|copies| copies.score).collect();
    let best = binscribe_tasks::top(&scores, question.k);
    let wanted: BTreeSet<&str> = best
        .iter()
        .map(|(number, _)| &programs[functions[distinct[*number].shown].0])
        .map(|facts| facts.blake3.as_str())
        .collect();
    let told = |part: Part| (part.facts.blake3, part.functions);
    let told = index.visit_those(|hash| wanted.contains(hash), &[Column::Facts], told)?;
    let told: BTreeMap<String, Vec<Entry>> = told.into_iter().collect();

    let mut matches = Vec::new();
    let headings = [
        "PROGRAM",
        "ADDRESS",
        "FUNCTION",
        "COPIES",
        "SCORE",
        "CONFIDENCE",
    ];
    let mut table = Table::new(&headings);
    for (number, score) in best {
        let Copies { shown, count, .. } = distinct[number];
        let (program, row) = functions[shown];
        let facts = &programs[program];
        let functions = told.get(&facts.blake3);
        let function = functions
            .and_then(|functions| functions.get(row))
            .with_context(|| format!("{} is no longer in the index", facts.path))?;
        let confidence =
            calibrated.map(|calibrated| calibrated.probability(&ranked_features(&scores, number)));
        table.row(vec![
            facts.path.as_str().into(),
            Field::Address(function.address),
            match (&function.own_name, function.symbol) {
                (Some(own), 0) => format!("{} [{own}]", function.name).into(),
                _ => function.name.as_str().into(),
            },
            Field::Count(count as u64),
            Field::Number(f64::from(score), 3),
            confidence.map_or(Field::Empty, |c| Field::Number(f64::from(c), 2)),
        ]);
        matches.push(IndexMatch {
            function: Place::indexed(function),
            binary: Indexed::new(facts),
            copies: count,
            score,
            confidence,
        });
    }
    let document = IndexMatches {
        version: json::VERSION,
        index: super::about(index, &programs),
        model: engine.info(),
        query: question.query,
        matches,
    };
    table.print_as(format, &document)
}
