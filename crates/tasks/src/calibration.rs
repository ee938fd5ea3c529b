//! From scores to probabilities that keep their word.
//!
//! Four kinds of answers are calibrated, each on functions of the validation
//! packages, on which no model was trained, and checked on those of the test
//! packages:
//!
//! * **naming**: every function asks once, under a toolchain that its own id
//!   chooses. Half of the functions have a counterpart: their vectors under the
//!   *other* toolchains are added to the reference set, as those of a library
//!   would be that it knows. The other half has none but what the training
//!   packages happen to share. An answer is right where the proposed name agrees
//!   with the true one ([`names_agree`](crate::names_agree)).
//! * **tags**: an answer is right where the name or the comment of the function
//!   says one of the tag's words. That is stricter than the truth: a comment
//!   need not mention what a function also does.
//! * **search**: a comment's first sentence is searched, by vectors and words
//!   together, among the functions of its package; for half of the queries the right function is taken away.
//! * **similar**: a function is searched among those of its package under
//!   another toolchain; for half of the queries the right one is taken away.
//!
//! So a confidence assumes that, before looking, an answer is as likely to exist
//! as not.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::logistic::{Logistic, Observation, Reliability};
use crate::matrix::{self, Matrix};
use crate::naming::{self, Candidate, NEIGHBOURS};
use crate::reference::{Reference, write_whole};
use crate::retrieval;
use crate::sample::Sample;
use crate::tags::{self, TAGS, TagVectors};
use crate::text;

/// The name of the file in a model directory.
pub const FILE_NAME: &str = "calibration.json";

/// Probabilities for the answers of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Of this file's layout; 1.
    pub version: u32,
    /// The id of the model whose scores these are.
    pub model: String,
    /// That a proposed name agrees with the true one.
    pub naming: Option<Calibrated>,
    /// That a function's name or comment says the tag.
    pub tags: Option<Calibrated>,
    /// That a function is the one that a text describes.
    pub search: Option<Calibrated>,
    /// That a function is made of the same source as another.
    pub similar: Option<Calibrated>,
}

/// One calibrated kind of answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The model of the probability.
    pub logistic: Logistic,
    /// How well it fits the answers it was fitted on (validation packages).
    pub fitted: Reliability,
    /// How well it keeps its word on packages never looked at (test packages).
    pub held_out: Reliability,
}

impl Calibrated {
    /// The probability that an answer with these features is right.
    pub fn probability(&self, features: &[f64]) -> f32 {
        self.logistic.probability(features) as f32
    }
}

/// The functions of some packages with all that calibration needs of them.
#[derive(Debug, Clone, Copy)]
pub struct Split<'a> {
    /// Functions under every toolchain.
    pub samples: &'a [Sample],
    /// Their vectors.
    pub vectors: &'a Matrix,
    /// The vectors of [`queries`] of these samples.
    pub query_vectors: &'a Matrix,
}

/// The comments of `samples` that are asked for, each function's once.
pub fn queries(samples: &[Sample]) -> Vec<String> {
    packages(samples)
        .iter()
        .flat_map(|pool| pool.queries.iter().map(|q| q.0.clone()))
        .collect()
}

/// Features in which what search and similar find is judged.
pub const RANKED_FEATURES: [&str; 3] = ["z", "score", "margin"];

/// The features of the candidate `index` among `scores`: how far above the mean
/// of all candidates, how near at all, and how far above the best other one.
pub fn ranked_features(scores: &[f32], index: usize) -> Vec<f64> {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / n;
    let variance = scores
        .iter()
        .map(|s| (f64::from(*s) - mean).powi(2))
        .sum::<f64>()
        / n;
    let own = f64::from(scores[index]);
    let margin = tags::best_other(scores, index).map_or(0.0, |best| own - f64::from(best));
    vec![
        (own - mean) / variance.sqrt().max(1e-3),
        own,
        margin.clamp(-0.3, 0.3),
    ]
}

impl Calibration {
    /// Fits on `validation` and checks on `test`. A kind of answer for which
    /// there is too little to learn from is left out, and has no confidence.
    ///
    /// # Errors
    ///
    /// Where vectors and samples do not match.
    pub fn fit(
        reference: &Reference,
        tags: &TagVectors,
        validation: Split<'_>,
        test: Split<'_>,
    ) -> Result<Calibration, Error> {
        for split in [validation, test] {
            let (vectors, samples) = (split.vectors.len(), split.samples.len());
            if vectors != samples {
                return Err(Error::Mismatch { vectors, samples });
            }
        }
        let fit = |features: &[&str], fitted: Vec<Observation>, held_out: Vec<Observation>| {
            let logistic = Logistic::fit(features, &fitted)?;
            Some(Calibrated {
                fitted: logistic.reliability(&fitted),
                held_out: logistic.reliability(&held_out),
                logistic,
            })
        };
        Ok(Calibration {
            version: 1,
            model: reference.model().to_owned(),
            naming: fit(
                &Candidate::FEATURES,
                naming_answers(reference, validation)?,
                naming_answers(reference, test)?,
            ),
            tags: fit(
                &tags::FEATURES,
                tag_answers(tags, validation),
                tag_answers(tags, test),
            ),
            search: fit(
                &RANKED_FEATURES,
                search_answers(validation),
                search_answers(test),
            ),
            similar: fit(
                &RANKED_FEATURES,
                similar_answers(validation),
                similar_answers(test),
            ),
        })
    }

    /// Writes the file, under a temporary name first.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).map_err(|e| Error::malformed(path, e))?;
        write_whole(path, format!("{json}\n").as_bytes())
    }

    /// Reads the file, and refuses that of another model than `model`.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is damaged, or is of another model.
    pub fn read(path: &Path, model: &str) -> Result<Calibration, Error> {
        let json = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let read: Calibration =
            serde_json::from_slice(&json).map_err(|e| Error::malformed(path, e))?;
        if read.version != 1 {
            let reason = format!("version {} is not known", read.version);
            return Err(Error::malformed(path, reason));
        }
        if read.model != model {
            return Err(Error::OtherModel {
                path: path.to_owned(),
                found: read.model,
                expected: model.to_owned(),
            });
        }
        Ok(read)
    }
}

/// A byte that is the same for a function in every run.
fn draw(function_id: &str, purpose: &str) -> usize {
    usize::from(blake3::hash(format!("{purpose} {function_id}").as_bytes()).as_bytes()[0])
}

/// Each function's samples, functions in order of their ids.
fn by_function(samples: &[Sample]) -> BTreeMap<&str, Vec<usize>> {
    let mut functions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        functions
            .entry(&sample.function_id)
            .or_default()
            .push(index);
    }
    functions
}

/// For each function the sample that asks, chosen by the function's id.
fn asking(samples: &[Sample]) -> Vec<usize> {
    let functions = by_function(samples);
    functions
        .iter()
        .map(|(id, members)| members[draw(id, "asks") % members.len()])
        .collect()
}

/// The samples that ask, one for each function and distinct body, as a pool for
/// each package.
fn packages(samples: &[Sample]) -> Vec<retrieval::Pool> {
    let chosen: HashSet<usize> = asking(samples).into_iter().collect();
    let mut by_package: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        if chosen.contains(&index) {
            by_package.entry(&sample.package).or_default().push(index);
        }
    }
    by_package
        .into_values()
        .map(|members| {
            let own: Vec<Sample> = members
                .iter()
                .map(|&index| samples[index].clone())
                .collect();
            let mut pool = retrieval::pool(&own, |_| true);
            pool.functions
                .iter_mut()
                .for_each(|position| *position = members[*position]);
            pool
        })
        .collect()
}

fn naming_answers(reference: &Reference, split: Split<'_>) -> Result<Vec<Observation>, Error> {
    let known = |id: &str| draw(id, "known").is_multiple_of(2);
    let asking = asking(split.samples);
    let toolchain: BTreeMap<&str, String> = asking
        .iter()
        .map(|&index| &split.samples[index])
        .map(|sample| (sample.function_id.as_str(), sample.toolchain()))
        .collect();
    let counterparts: Vec<usize> = (0..split.samples.len())
        .filter(|&index| {
            let sample = &split.samples[index];
            known(&sample.function_id)
                && toolchain[sample.function_id.as_str()] != sample.toolchain()
        })
        .collect();
    let others: Vec<Sample> = counterparts
        .iter()
        .map(|&i| split.samples[i].clone())
        .collect();
    let vectors = split.vectors.select(&counterparts);
    let set = if others.is_empty() {
        reference.clone()
    } else {
        let set = Reference::build(&others, &vectors, reference.model(), usize::MAX)?;
        if reference.entries().is_empty() {
            set
        } else {
            reference.joined(&set)
        }
    };
    let asked = split.vectors.select(&asking);
    let neighbours = set.vectors().nearest(&asked, NEIGHBOURS);
    Ok(asking
        .iter()
        .zip(&neighbours)
        .flat_map(|(&index, neighbours)| {
            let sample = &split.samples[index];
            let candidates = naming::candidates(&set, neighbours);
            candidates.into_iter().take(3).map(|candidate| Observation {
                features: candidate.features(sample.instructions as usize),
                right: text::names_agree(&candidate.name, &sample.name),
                weight: 1.0,
            })
        })
        .collect())
}

fn tag_answers(tags: &TagVectors, split: Split<'_>) -> Vec<Observation> {
    let asking: Vec<usize> = asking(split.samples)
        .into_iter()
        .filter(|&index| split.samples[index].comment.is_some())
        .collect();
    let scores = tags.scores(&split.vectors.select(&asking));
    let mut answers = Vec::new();
    for (&index, scores) in asking.iter().zip(&scores) {
        let sample = &split.samples[index];
        let comment = sample.comment.as_deref().unwrap_or_default();
        for (number, tag) in TAGS.iter().enumerate() {
            answers.push(Observation {
                features: tags::features(scores, number),
                right: tag.is_said_by(&sample.name, comment),
                weight: 1.0,
            });
        }
    }
    answers
}

/// The best answers to one query as observations.
fn ranked(scores: &[f32], keep: usize, right: &dyn Fn(usize) -> bool) -> Vec<Observation> {
    matrix::top(scores, keep)
        .into_iter()
        .map(|(index, _)| Observation {
            features: ranked_features(scores, index),
            right: right(index),
            weight: 1.0,
        })
        .collect()
}

fn search_answers(split: Split<'_>) -> Vec<Observation> {
    let mut answers = Vec::new();
    let mut next = 0;
    for pool in packages(split.samples) {
        let numbers: Vec<usize> = (next..next + pool.queries.len()).collect();
        next += pool.queries.len();
        // A package of a handful of functions is nothing to search in.
        if pool.functions.len() < 10 {
            continue;
        }
        let functions = split.vectors.select(&pool.functions);
        let queries = split.query_vectors.select(&numbers);
        let listings = pool
            .functions
            .iter()
            .map(|&index| split.samples[index].listing.as_str());
        let words = retrieval::Words::new(listings);
        answers.extend(queries.against(&functions, |query, scores| {
            let (text, right) = &pool.queries[query];
            let scores = words.added(text, scores);
            let removed = draw(text, "search").is_multiple_of(2);
            let left: Vec<usize> = (0..pool.functions.len())
                .filter(|position| !(removed && right.contains(position)))
                .collect();
            let scores: Vec<f32> = left.iter().map(|&position| scores[position]).collect();
            ranked(&scores, 10, &|index| right.contains(&left[index]))
        }));
    }
    answers.concat()
}

fn similar_answers(split: Split<'_>) -> Vec<Observation> {
    let mut answers = Vec::new();
    let functions = by_function(split.samples);
    for pool in packages(split.samples) {
        if pool.functions.len() < 10 {
            continue;
        }
        // The pool is of other toolchains than those that ask.
        let pairs: Vec<(usize, usize)> = pool
            .functions
            .iter()
            .filter_map(|&index| {
                let id = split.samples[index].function_id.as_str();
                let others: Vec<usize> = functions[id]
                    .iter()
                    .copied()
                    .filter(|&other| other != index)
                    .collect();
                let pick = draw(id, "similar") % others.len().max(1);
                others.get(pick).map(|&other| (index, other))
            })
            .collect();
        let (asked, found): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        let body = |index: usize| split.samples[index].source_hash.as_str();
        let found_vectors = split.vectors.select(&found);
        answers.extend(
            split
                .vectors
                .select(&asked)
                .against(&found_vectors, |query, scores| {
                    let own = body(asked[query]);
                    let removed =
                        draw(&split.samples[asked[query]].function_id, "removed").is_multiple_of(2);
                    let left: Vec<usize> = (0..found.len())
                        .filter(|&other| !(removed && body(found[other]) == own))
                        .collect();
                    let scores: Vec<f32> = left.iter().map(|&position| scores[position]).collect();
                    ranked(&scores, 5, &|index| body(found[left[index]]) == own)
                }),
        );
    }
    answers.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Shuffler;

    /// Functions whose vectors under different toolchains are near each other,
    /// and whose comments have vectors near to them.
    fn split(seed: u64) -> (Vec<Sample>, Matrix, Matrix) {
        let numbers = Shuffler::new(seed).permutation(200_000);
        let mut next = numbers.into_iter().map(|n| n as f32 / 100_000.0 - 1.0);
        let mut vector = |near: Option<&[f32]>| -> Vec<f32> {
            let mut row: Vec<f32> = (0..16).map(|_| next.next().unwrap_or(0.0)).collect();
            if let Some(near) = near {
                row.iter_mut()
                    .zip(near)
                    .for_each(|(x, n)| *x = 0.2 * *x + n);
            }
            matrix::normalise(&mut row);
            row
        };
        let mut samples = Vec::new();
        let mut vectors = Matrix::new(16);
        let mut meaning = BTreeMap::new();
        for number in 0..120 {
            let own = vector(None);
            for level in ["O0", "O2", "O3"] {
                samples.push(Sample {
                    package: "p".to_owned(),
                    name: format!("fun_word{seed}x{number}"),
                    function_id: format!("{seed}/{number}"),
                    source_hash: format!("{seed}/{number}"),
                    compiler: "gcc".to_owned(),
                    level: level.to_owned(),
                    instructions: 20,
                    comment: Some(format!("Does the crc thing number{number} here")),
                    ..Sample::default()
                });
                vectors.push(&vector(Some(&own)));
            }
            meaning.insert(format!("Does the crc thing number{number} here"), own);
        }
        let mut query_vectors = Matrix::new(16);
        for query in queries(&samples) {
            query_vectors.push(&vector(Some(&meaning[&query])));
        }
        (samples, vectors, query_vectors)
    }

    #[test]
    fn confidence_follows_what_is_right() {
        let (a, b) = (split(1), split(2));
        let view = |s: &'_ (Vec<Sample>, Matrix, Matrix)| -> Calibration {
            let reference = Reference::build(&b.0, &b.1, "m", 1000).expect("a set");
            let prompts = tags::prompts().len();
            let tags = TagVectors::new(
                Matrix::from_rows(&vec![vec![0.25f32; 16]; prompts]),
                reference.vectors(),
            );
            let one = Split {
                samples: &s.0,
                vectors: &s.1,
                query_vectors: &s.2,
            };
            Calibration::fit(&reference, &tags, one, one).expect("a fit")
        };
        let fitted = view(&a);
        for (what, part) in [
            ("naming", &fitted.naming),
            ("search", &fitted.search),
            ("similar", &fitted.similar),
        ] {
            let part = part
                .as_ref()
                .unwrap_or_else(|| panic!("{what} was not fitted"));
            assert!(
                part.held_out.expected_calibration_error < 0.1,
                "{what}: {part:?}"
            );
        }
        let naming = fitted.naming.as_ref().expect("fitted");
        assert!(
            naming.probability(&[0.95, 0.3, 1.0, 3.0]) > naming.probability(&[0.5, 0.0, 0.3, 3.0])
        );

        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE_NAME);
        fitted.write(&path).expect("written");
        let read = Calibration::read(&path, "m").expect("read");
        assert_eq!(
            read.naming.map(|n| n.logistic.features),
            fitted.naming.map(|n| n.logistic.features)
        );
        assert!(matches!(
            Calibration::read(&path, "n"),
            Err(Error::OtherModel { .. })
        ));
    }

    #[test]
    fn nothing_to_learn_from_gives_no_confidence() {
        let reference = Reference::empty("m", 2);
        let tags = TagVectors::new(
            Matrix::from_rows(&vec![vec![0.7f32; 2]; tags::prompts().len()]),
            reference.vectors(),
        );
        let none = Matrix::new(2);
        let split = Split {
            samples: &[],
            vectors: &none,
            query_vectors: &none,
        };
        let fitted = Calibration::fit(&reference, &tags, split, split).expect("no fit");
        assert_eq!(fitted.naming, None);
        assert_eq!(fitted.tags, None);
    }
}
