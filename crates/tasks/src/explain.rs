//! What can be said of each function of a program.

use std::collections::HashMap;

use binscribe_lift::{Facts, Kind};
use rayon::prelude::*;

use crate::calibration::Calibration;
use crate::evidence::{self, Fact};
use crate::matrix::Matrix;
use crate::naming::{self, NEIGHBOURS};
use crate::own_names::Told;
use crate::reference::{Entry, Reference};
use crate::summary::{Resemblance, summary};
use crate::tags::{self, TAGS, TagVectors};
use crate::text;

/// A function with fewer instructions is too small to be told from others.
pub const SMALLEST: usize = 5;

/// A tag is shown from this confidence on, or from that of names if it is lower.
/// A comment seldom says all that its function does, so that even a tag that
/// fits is seldom confirmed: this is several times what a tag starts from.
const TAG_THRESHOLD: f32 = 0.2;

/// Why nothing is proposed for a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Undecided {
    /// It only jumps to another function.
    Thunk,
    /// It has fewer than [`SMALLEST`] instructions.
    TooSmall,
    /// It is of the compiler's start files.
    StartFile,
    /// No known function and no description is near enough.
    NothingNear,
    /// The model directory has nothing to judge scores by.
    NotCalibrated,
}

impl Undecided {
    /// The reason in words.
    pub fn reason(self) -> &'static str {
        match self {
            Undecided::Thunk => "a thunk: it only jumps to another function",
            Undecided::TooSmall => "fewer than 5 instructions: too small to tell from others",
            Undecided::StartFile => "of the compiler's start files: the same in every program",
            Undecided::NothingNear => "no known function is near enough",
            Undecided::NotCalibrated => "the model directory has no calibration for names",
        }
    }
}

/// A known function that speaks for a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence<'r> {
    /// What is known of it.
    pub entry: &'r Entry,
    /// The cosine of the two.
    pub score: f32,
}

/// A name proposed for a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Name<'r> {
    /// The name.
    pub name: &'r str,
    /// The cosine of the nearest function of that name.
    pub score: f32,
    /// The distance to the best name that says something else.
    pub margin: f32,
    /// The calibrated probability that it agrees with the true name.
    pub confidence: f32,
    /// The known functions of that name, best first.
    pub evidence: Vec<Evidence<'r>>,
}

/// A tag that the model gives a function.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelTag {
    /// The tag.
    pub tag: &'static str,
    /// Standard deviations above the tag's background.
    pub score: f32,
    /// The calibrated probability that the function's author would say so.
    pub confidence: f32,
}

/// What can be said of one function.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'r> {
    /// What the function says of itself, its names above the threshold.
    pub told: Told,
    /// Names that known functions speak for, above the threshold, best first.
    pub names: Vec<Name<'r>>,
    /// The model's opinion, most confident first.
    pub tags: Vec<ModelTag>,
    /// What the instructions prove.
    pub facts: Vec<Fact>,
    /// One line.
    pub summary: String,
    /// Why there is no name, where there is none.
    pub undecided: Option<Undecided>,
}

/// A function to explain.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Whether it has a body of its own.
    pub kind: Kind,
    /// Whether it is of the compiler's start files.
    pub start_file: bool,
    /// What its instructions say.
    pub facts: &'a Facts,
    /// What it says of itself.
    pub told: &'a Told,
}

impl Subject<'_> {
    /// Why nothing can be said of this function whatever its vector is.
    pub fn undecidable(&self) -> Option<Undecided> {
        if self.kind != Kind::Normal {
            Some(Undecided::Thunk)
        } else if self.facts.instructions < SMALLEST {
            Some(Undecided::TooSmall)
        } else if self.start_file {
            Some(Undecided::StartFile)
        } else {
            None
        }
    }
}

/// A model's knowledge, ready to explain functions.
#[derive(Debug)]
pub struct Explainer {
    reference: Reference,
    calibration: Option<Calibration>,
    tags: TagVectors,
}

impl Explainer {
    /// From the parts of a model directory; `tag_prompts` are the vectors of
    /// [`tags::prompts`].
    pub fn new(
        reference: Reference,
        calibration: Option<Calibration>,
        tag_prompts: Matrix,
    ) -> Explainer {
        let tags = TagVectors::new(tag_prompts, reference.vectors());
        Explainer {
            reference,
            calibration,
            tags,
        }
    }

    /// Explains each function, given its vector (a row each). At most `top`
    /// names are proposed, and no name or tag under `threshold`.
    pub fn explain(
        &self,
        subjects: &[Subject<'_>],
        vectors: &Matrix,
        top: usize,
        threshold: f32,
    ) -> Vec<Explanation<'_>> {
        let neighbours = self.reference.vectors().nearest(vectors, NEIGHBOURS);
        let tag_scores = self.tags.scores(vectors);
        let mut names: Vec<Vec<Name<'_>>> = subjects
            .par_iter()
            .zip(&neighbours)
            .map(|(subject, neighbours)| match subject.undecidable() {
                Some(_) => Vec::new(),
                None => self.names(neighbours, subject.facts.instructions),
            })
            .collect();
        share(&mut names);
        let fitted = self.calibration.as_ref().and_then(|c| c.naming.as_ref());
        if let Some(usual) = fitted.and_then(|part| part.fitted.share_right()) {
            doubt(&mut names, usual);
        }
        subjects
            .par_iter()
            .zip(names)
            .zip(&tag_scores)
            .map(|((subject, mut names), scores)| {
                let mut told = subject.told.clone();
                if let Some(own) = told.names.first() {
                    let contradicts =
                        |name: &&mut Name<'_>| !text::names_agree(name.name, &own.name);
                    let wrong = names.iter_mut().filter(contradicts);
                    wrong.for_each(|name| name.confidence *= 1.0 - own.confidence);
                }
                told.names.retain(|name| name.confidence >= threshold);
                told.names.truncate(top);
                names.retain(|name| {
                    let is_told = told.names.iter().any(|own| own.name == name.name);
                    name.confidence >= threshold && !is_told
                });
                names.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
                names.truncate(top.saturating_sub(told.names.len()));
                self.one(subject, told, names, scores, threshold)
            })
            .collect()
    }

    fn one<'r>(
        &'r self,
        subject: &Subject<'_>,
        told: Told,
        names: Vec<Name<'r>>,
        tag_scores: &[f32],
        threshold: f32,
    ) -> Explanation<'r> {
        let facts = evidence::facts(subject.facts);
        if let Some(reason) = subject.undecidable() {
            return Explanation {
                names: Vec::new(),
                tags: Vec::new(),
                facts,
                summary: match (reason, subject.facts.calls.first()) {
                    (Undecided::Thunk, Some(call)) => format!("Jumps straight to {}.", call.name),
                    (Undecided::StartFile, _) => "Starts or ends the program.".to_owned(),
                    _ => summary(subject.facts, &told, None),
                },
                undecided: told.names.is_empty().then_some(reason),
                told,
            };
        }
        let resemblance = names.first().and_then(|name| {
            let entry = name.evidence.first()?.entry;
            let (package, explanation) = (entry.package.as_str(), entry.explanation.as_str());
            Some(Resemblance {
                name: name.name,
                package,
                explanation,
            })
        });
        let calibrated = self
            .calibration
            .as_ref()
            .is_some_and(|c| c.naming.is_some());
        Explanation {
            summary: summary(subject.facts, &told, resemblance),
            tags: self.tags(tag_scores, threshold.min(TAG_THRESHOLD)),
            facts,
            undecided: match (names.is_empty() && told.names.is_empty(), calibrated) {
                (false, _) => None,
                (true, true) => Some(Undecided::NothingNear),
                (true, false) => Some(Undecided::NotCalibrated),
            },
            told,
            names,
        }
    }

    /// Every name that the neighbours speak for, whatever its confidence.
    fn names(&self, neighbours: &[(usize, f32)], instructions: usize) -> Vec<Name<'_>> {
        let Some(calibrated) = self.calibration.as_ref().and_then(|c| c.naming.as_ref()) else {
            return Vec::new();
        };
        let entry = |index: usize| &self.reference.entries()[index];
        naming::candidates(&self.reference, neighbours)
            .into_iter()
            .filter_map(|candidate| {
                let (first, _) = *candidate.evidence.first()?;
                let evidence = candidate.evidence.iter();
                Some(Name {
                    name: entry(first).name.as_str(),
                    score: candidate.score,
                    margin: candidate.margin,
                    confidence: calibrated.probability(&candidate.features(instructions)),
                    evidence: evidence
                        .map(|&(index, score)| Evidence {
                            entry: entry(index),
                            score,
                        })
                        .collect(),
                })
            })
            .collect()
    }

    fn tags(&self, scores: &[f32], threshold: f32) -> Vec<ModelTag> {
        let Some(calibrated) = self.calibration.as_ref().and_then(|c| c.tags.as_ref()) else {
            return Vec::new();
        };
        let mut tags: Vec<ModelTag> = TAGS
            .iter()
            .enumerate()
            .map(|(index, tag)| ModelTag {
                tag: tag.name,
                score: scores[index],
                confidence: calibrated.probability(&tags::features(scores, index)),
            })
            .filter(|tag| tag.confidence >= threshold)
            .collect();
        tags.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        tags
    }

    /// The known functions.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The probabilities, where the model directory has them.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }
}

/// Lowers the confidence in the names of a program that holds fewer known
/// functions than those of the calibration, where the share `usual` of the best
/// names is right. The share of this program is estimated from the confidences
/// themselves by expectation maximisation, and the odds follow it (Saerens,
/// Latinne and Decaestecker 2002, "Adjusting the Outputs of a Classifier to New a
/// Priori Probabilities"). They are never raised: many
/// near misses look like many known functions.
fn doubt(names: &mut [Vec<Name<'_>>], usual: f64) {
    // As many functions as this speak for the usual share: those of a small
    // program say little about it.
    const WEIGHT: f64 = 20.0;
    const ROUNDS: usize = 50;
    let best: Vec<f64> = names
        .iter()
        .filter_map(|names| names.iter().map(|n| n.confidence).max_by(f32::total_cmp))
        .map(f64::from)
        .collect();
    let adjusted = |confidence: f64, share: f64| {
        let right = confidence * share / usual;
        let wrong = (1.0 - confidence) * (1.0 - share) / (1.0 - usual);
        right / (right + wrong)
    };
    let mut share = usual;
    for _ in 0..ROUNDS {
        let right: f64 = best.iter().map(|&p| adjusted(p, share)).sum();
        share = (right + WEIGHT * usual) / (best.len() as f64 + WEIGHT);
    }
    for name in names.iter_mut().flatten() {
        let lower = adjusted(f64::from(name.confidence), share.min(usual));
        name.confidence = lower as f32;
    }
}

/// Lowers the confidence in names that several functions of one program claim:
/// at most one of them is right. The claims exclude each other, so that each has
/// its odds against all others and against none being right. Functions with the
/// same score are copies of each other, and no rivals.
fn share(names: &mut [Vec<Name<'_>>]) {
    const COPY: f32 = 0.002;
    let odds = |confidence: f32| f64::from(confidence) / (1.0 - f64::from(confidence)).max(1e-6);
    let mut claims: HashMap<&str, Vec<(f32, f64)>> = HashMap::new();
    for name in names.iter().flatten() {
        claims
            .entry(name.name)
            .or_default()
            .push((name.score, odds(name.confidence)));
    }
    for name in names.iter_mut().flatten() {
        let rivals: f64 = claims[name.name]
            .iter()
            .filter(|(score, _)| (score - name.score).abs() > COPY)
            .map(|(_, odds)| odds)
            .sum();
        let own = odds(name.confidence);
        name.confidence = (own / (1.0 + own + rivals)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Calibrated;
    use crate::logistic::{Logistic, Reliability};
    use crate::own_names::{OwnName, SourceFile};
    use crate::sample::Sample;
    use binscribe_lift::Call;

    #[test]
    fn a_lone_name_in_a_foreign_program_is_doubted() {
        let name = |confidence| Name {
            name: "xmalloc",
            score: 0.9,
            margin: 0.1,
            confidence,
            evidence: Vec::new(),
        };
        let after = |others: f32| {
            let mut names = vec![vec![name(0.85)]];
            names.resize(1000, vec![name(others)]);
            doubt(&mut names, 0.1);
            names[0][0].confidence
        };
        assert!(after(0.02) < 0.4, "{}", after(0.02));
        assert!((after(0.6) - 0.85).abs() < 1e-5, "{}", after(0.6));
        let mut alone = vec![vec![name(0.85)]];
        doubt(&mut alone, 0.1);
        assert!(alone[0][0].confidence > 0.8, "{alone:?}");
    }

    fn explainer(calibrated: bool) -> Explainer {
        let sample = |name: &str| Sample {
            name: name.to_owned(),
            package: "p".to_owned(),
            source_hash: name.to_owned(),
            ..Sample::default()
        };
        let samples = [sample("xmalloc"), sample("quotearg")];
        let vectors = Matrix::from_rows(&[[1.0f32, 0.0], [0.0, 1.0]]);
        let reference = Reference::build(&samples, &vectors, "m", 10).expect("a set");
        let logistic = Logistic {
            features: vec!["score".to_owned()],
            weights: vec![20.0, 0.0, 0.0, 0.0],
            bias: -16.0,
        };
        let part = Calibrated {
            logistic,
            fitted: Reliability::default(),
            held_out: Reliability::default(),
        };
        let calibration = calibrated.then(|| Calibration {
            version: 1,
            model: "m".to_owned(),
            naming: Some(part),
            tags: None,
            search: None,
            similar: None,
        });
        let prompts = Matrix::from_rows(&vec![[1.0f32, 0.0]; tags::prompts().len()]);
        Explainer::new(reference, calibration, prompts)
    }

    #[test]
    fn names_only_what_is_near_and_big_enough() {
        let facts = Facts {
            instructions: 9,
            ..Facts::default()
        };
        let small = Facts {
            instructions: 4,
            ..Facts::default()
        };
        let jump = Facts {
            instructions: 1,
            calls: vec![Call {
                name: "sub_10".to_owned(),
                address: Some(16),
                import: false,
            }],
            ..Facts::default()
        };
        let silent = Told::default();
        let subject = |facts| Subject {
            kind: Kind::Normal,
            start_file: false,
            facts,
            told: &silent,
        };
        let subjects = [
            subject(&facts),
            subject(&facts),
            subject(&small),
            Subject {
                kind: Kind::Thunk,
                ..subject(&jump)
            },
            Subject {
                start_file: true,
                ..subject(&facts)
            },
        ];
        let near = [1.0f32, 0.0];
        let vectors = Matrix::from_rows(&[near, [0.707, 0.707], near, near, near]);
        let said = explainer(true);
        let said = said.explain(&subjects, &vectors, 3, 0.5);
        assert_eq!(said[0].names[0].name, "xmalloc");
        assert_eq!(said[0].undecided, None);
        assert_eq!(said[0].summary, "Resembles xmalloc (p).");
        assert_eq!(said[1].undecided, Some(Undecided::NothingNear));
        assert_eq!(said[2].undecided, Some(Undecided::TooSmall));
        assert_eq!(said[3].undecided, Some(Undecided::Thunk));
        assert_eq!(said[3].summary, "Jumps straight to sub_10.");
        assert_eq!(said[4].undecided, Some(Undecided::StartFile));
        assert!(said[4].tags.is_empty());
        assert!(said[1..].iter().all(|said| said.names.is_empty()));

        // Two that are no copies claim one name, and neither surely enough.
        let near = Matrix::from_rows(&[[0.95f32, 0.31], [0.96, 0.28]]);
        let rivals = explainer(true);
        let rivals = rivals.explain(&subjects[..2], &near, 3, 0.5);
        let sure: Vec<f32> = rivals
            .iter()
            .flat_map(|said| &said.names)
            .map(|name| name.confidence)
            .collect();
        assert!(sure.iter().sum::<f32>() <= 1.0, "{sure:?}");
        let copies = explainer(true);
        let copies = copies.explain(&subjects[..2], &vectors.select(&[0, 0]), 3, 0.5);
        assert!(copies.iter().all(|said| said.names[0].confidence > 0.9));

        let unsure = explainer(false);
        let unsure = unsure.explain(&subjects[..1], &vectors.select(&[0]), 3, 0.5);
        assert_eq!(unsure[0].undecided, Some(Undecided::NotCalibrated));

        // What a function says of itself weighs more than what it resembles, and
        // it need not be large for that.
        let told = Told {
            names: vec![OwnName {
                name: "list_pop".to_owned(),
                confidence: 0.99,
                why: "told to sub_100 as of list.c:7".to_owned(),
            }],
            file: Some(SourceFile {
                path: "../src/list.c".to_owned(),
                lines: Some((7, 9)),
                told: true,
            }),
        };
        let named = [&facts, &small].map(|facts| Subject {
            told: &told,
            ..subject(facts)
        });
        let sure = explainer(true);
        let sure = sure.explain(&named, &vectors.select(&[0, 0]), 3, 0.5);
        for said in &sure {
            assert_eq!(said.told, told);
            assert_eq!((said.names.len(), said.undecided), (0, None));
            assert!(
                said.summary.starts_with("Of src/list.c (lines 7 to 9)."),
                "{}",
                said.summary
            );
        }
    }
}
