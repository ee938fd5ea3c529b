use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::functions::{SourceFunction, place};
use super::store::{Explanation, Explanations, Preference};
use crate::error::{At as _, Result};
use crate::row;

/// A function with an explanation that a person rates.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pair {
    /// The function.
    pub function: SourceFunction,
    /// What is said of it.
    pub explanation: Explanation,
}

/// Every wanted explanation of the functions, in an order drawn by `seed`: those
/// of one function do not stand beside each other, so that nobody compares them.
pub fn pairs(
    functions: &[SourceFunction],
    explanations: &Explanations,
    wanted: &Preference,
    seed: u64,
) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = functions
        .iter()
        .flat_map(|function| {
            let all = explanations.of(&function.source_hash).iter();
            all.filter(|e| wanted.has(e)).map(|explanation| Pair {
                function: function.clone(),
                explanation: explanation.clone(),
            })
        })
        .collect();
    pairs.sort_by_cached_key(|pair| {
        let key = format!("{} {}", pair.function.source_hash, pair.explanation.origin);
        place(&key, seed)
    });
    pairs
}

/// A listing of a body of source, optimised if there is one, to be shown beside
/// it.
pub fn listing_of(rows: &Path, source_hash: &str) -> Result<Option<String>> {
    let mut found = None;
    for path in row::row_files(rows)? {
        let hashes = row::text_column(&path, "source_hash")?;
        if !hashes.iter().any(|hash| hash == source_hash) {
            continue;
        }
        let levels = row::text_column(&path, "level")?;
        let listings = row::text_column(&path, "listing")?;
        for ((hash, level), listing) in hashes.iter().zip(levels).zip(listings) {
            if hash == source_hash && (found.is_none() || level == "O2") {
                let optimised = level == "O2";
                found = Some(listing);
                if optimised {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

/// What one person thinks of one explanation; a line of `review.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// Version of this form.
    pub version: u32,
    /// The function.
    pub function_id: String,
    /// Its body of source.
    pub source_hash: String,
    /// Who explained it.
    pub origin: String,
    /// Stands for the text: a rating of another text does not count for it.
    pub text_hash: String,
    /// Who rated it.
    pub rater: String,
    /// From 1, wrong, to 5, right and helpful.
    pub score: u8,
    /// A remark.
    pub note: String,
}

/// Ratings of a corpus, kept in `review.jsonl`.
#[derive(Debug)]
pub struct Review {
    path: PathBuf,
    rater: String,
    ratings: Vec<Rating>,
}

/// The mean of what people think of one origin.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The origin.
    pub origin: String,
    /// Ratings.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Where the mean of all explanations lies with a probability of 95%, by
    /// Student's t; none for a single rating.
    pub interval: Option<(f64, f64)>,
}

/// A remark is not longer, in characters.
const NOTE: usize = 2_000;

impl Review {
    /// Opens the ratings of a corpus, to go on as `rater`.
    pub fn open(corpus: &Path, rater: &str) -> Result<Review> {
        let path = corpus.join("review.jsonl");
        let text = if path.is_file() {
            fs::read_to_string(&path).at(&path)?
        } else {
            String::new()
        };
        let ratings = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        Ok(Review {
            ratings: ratings.collect(),
            rater: rater.to_owned(),
            path,
        })
    }

    /// Writes a rating down; it takes the place of an earlier one of the same
    /// pair by the same rater.
    pub fn add(&mut self, pair: &Pair, score: u8, note: &str) -> Result<()> {
        let rating = Rating {
            version: 1,
            function_id: pair.explanation.function_id.clone(),
            source_hash: pair.explanation.source_hash.clone(),
            origin: pair.explanation.origin.to_string(),
            text_hash: text_hash(&pair.explanation.text),
            rater: self.rater.clone(),
            score: score.clamp(1, 5),
            note: note.trim().chars().take(NOTE).collect(),
        };
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .at(&self.path)?;
        // A rating of strings and numbers always becomes JSON.
        let mut line = serde_json::to_vec(&rating).unwrap_or_default();
        line.push(b'\n');
        file.write_all(&line).at(&self.path)?;
        self.ratings.push(rating);
        Ok(())
    }

    /// Whether this rater has rated this text already.
    pub fn has(&self, pair: &Pair) -> bool {
        let text = text_hash(&pair.explanation.text);
        let origin = pair.explanation.origin.to_string();
        self.ratings.iter().any(|r| {
            r.rater == self.rater
                && r.source_hash == pair.explanation.source_hash
                && r.origin == origin
                && r.text_hash == text
        })
    }

    /// Mean scores by origin, over all raters; of several ratings of one text by
    /// one rater the last counts.
    pub fn summary(&self) -> Vec<Summary> {
        let mut last = BTreeMap::new();
        for r in &self.ratings {
            let text = (&r.origin, &r.rater, &r.source_hash, &r.text_hash);
            last.insert(text, f64::from(r.score));
        }
        let mut scores: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for ((origin, ..), score) in last {
            scores.entry(origin).or_default().push(score);
        }
        scores
            .into_iter()
            .map(|(origin, scores)| summary(origin, &scores))
            .collect()
    }
}

fn text_hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

fn summary(origin: &str, scores: &[f64]) -> Summary {
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let interval = (scores.len() > 1).then(|| {
        let squares: f64 = scores.iter().map(|s| (s - mean).powi(2)).sum();
        let error = (squares / (n - 1.0) / n).sqrt() * student_t(scores.len() - 1);
        // No mean of scores is outside their range.
        ((mean - error).max(1.0), (mean + error).min(5.0))
    });
    Summary {
        origin: origin.to_owned(),
        count: scores.len(),
        mean,
        interval,
    }
}

/// The 97.5% quantile of Student's t: by the table up to ten degrees of freedom,
/// beyond them by Cornish and Fisher's expansion around that of the normal
/// distribution, which is right to three decimals there.
fn student_t(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    if let Some(t) = freedom.checked_sub(1).and_then(|i| TABLE.get(i)) {
        return *t;
    }
    let (z, n) = (1.959_964_f64, freedom as f64);
    z + (z.powi(3) + z) / (4.0 * n)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::super::ExplanationStore;
    use super::super::store::tests::explanation;
    use super::*;

    #[test]
    fn ratings_are_kept_and_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let store = ExplanationStore::open(dir.path()).unwrap();
        for e in [
            explanation("1", "doc", 0.9),
            explanation("1", "teacher:m", 0.9),
            explanation("2", "doc", 0.9),
            explanation("2", "shadow:s", 0.9),
        ] {
            store.merge(&e.origin.clone(), vec![e]).unwrap();
        }
        let functions: Vec<_> = ["1", "2"]
            .map(|hash| SourceFunction {
                source_hash: hash.into(),
                ..SourceFunction::default()
            })
            .into();
        let all = Explanations::read(dir.path()).unwrap();
        let wanted = "doc,teacher".parse().unwrap();
        let pairs = pairs(&functions, &all, &wanted, 1);
        assert_eq!(pairs.len(), 3);

        let mut review = Review::open(dir.path(), "ann").unwrap();
        review.add(&pairs[0], 2, "").unwrap();
        review.add(&pairs[0], 4, " on second\nthought ").unwrap();
        let review = Review::open(dir.path(), "ann").unwrap();
        assert!(review.has(&pairs[0]) && !review.has(&pairs[1]));
        assert_eq!(review.ratings[1].note, "on second\nthought");
        let other = Review::open(dir.path(), "bob").unwrap();
        assert!(!other.has(&pairs[0]), "each rates for himself");
        let mut changed = pairs[0].clone();
        changed.explanation.text.push('!');
        assert!(!review.has(&changed), "another text is rated anew");

        let [summary] = &review.summary()[..] else {
            panic!("one origin was rated");
        };
        assert_eq!((summary.count, summary.mean), (1, 4.0));
        assert_eq!(summary.interval, None);
    }

    /// Against the tables that statistics books print.
    #[test]
    fn intervals_are_those_of_student() {
        let s = summary("doc", &[5.0, 4.0, 4.0, 3.0, 5.0]);
        let (low, high) = s.interval.unwrap();
        assert!((s.mean - 4.2).abs() < 1e-9);
        assert!((low - 3.1613).abs() < 1e-3 && high == 5.0, "{low} {high}");
        for (freedom, t) in [(11, 2.201), (30, 2.042), (1000, 1.962)] {
            assert!((student_t(freedom) - t).abs() < 1e-3, "{freedom}");
        }
    }
}
