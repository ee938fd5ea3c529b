//! Questions to an index: what `search` and `similar` ask of a file.

use std::path::Path;

use anyhow::{Context, Result, bail};
use binscribe_index::{Column, Index};
use binscribe_tasks::calibration::{Calibrated, ranked_features};
use binscribe_tasks::retrieval::blended;
use binscribe_tasks::sparse::QueryWords;
use binscribe_tasks::{Copies, Matrix, copies};

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
    columns.extend(question.except.as_ref().map(|_| Column::Facts));
    let query = question.vector.row(0);
    let parts = index.visit(&columns, |part| {
        let cosines = part.cosines(query);
        let functions = part.functions.iter().enumerate();
        let asked: Vec<_> = functions
            .filter(|(_, function)| {
                let except = question.except.as_ref();
                except
                    .is_none_or(|(hash, at)| (hash, *at) != (&part.facts.blake3, function.address))
            })
            .map(|(row, function)| {
                let said = words
                    .as_ref()
                    .map(|words| words.count(function.words.split(' ')));
                (row, cosines[row], function.code, function.named, said)
            })
            .collect();
        (part.facts, asked)
    })?;
    let programs: Vec<_> = parts.iter().map(|(facts, _)| facts.clone()).collect();
    let mut functions = Vec::new();
    let (mut cosines, mut codes, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for (program, (_, asked)) in parts.into_iter().enumerate() {
        for (row, cosine, code, named, said) in asked {
            functions.push((program, row, named));
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
    let distinct = copies(&scores, &codes, |number| functions[number].2);
    let scores: Vec<f32> = distinct.iter().map(|copies| copies.score).collect();
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
    for (number, score) in binscribe_tasks::top(&scores, question.k) {
        let Copies { shown, count, .. } = distinct[number];
        let (program, row, _) = functions[shown];
        let facts = &programs[program];
        let part = index.program(&facts.blake3, &[Column::Facts])?;
        let part = part.with_context(|| format!("{} is no longer in the index", facts.path))?;
        let function = &part.functions[row];
        let confidence =
            calibrated.map(|calibrated| calibrated.probability(&ranked_features(&scores, number)));
        table.row(vec![
            facts.path.as_str().into(),
            Field::Address(function.address),
            match (&function.own_name, function.named) {
                (Some(own), false) => format!("{} [{own}]", function.name).into(),
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
