//! From English to a function: does the comment that its author wrote find a
//! function among all functions of packages never trained on?

use rayon::prelude::*;
use serde::Serialize;

use crate::matrix::{self, Matrix};
use crate::metrics::{Ranks, chance};
use crate::sample::Sample;
use crate::sparse::{self, Bm25, Sparse, TfIdf, sparse_scores};
use crate::text;

/// The longest query, in characters.
const QUERY_LENGTH: usize = 256;

/// The comment of `sample` as a query: its first sentence; `None` where fewer
/// than three words are left, which describe nothing.
pub fn query(sample: &Sample) -> Option<String> {
    let query = binscribe_model::text::first_sentences(sample.comment.as_deref()?, QUERY_LENGTH);
    (text::words(&query).len() >= 3).then_some(query)
}

/// A pool of functions with the queries that are asked of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// The functions: indices of samples.
    pub functions: Vec<usize>,
    /// The queries: text, and which functions (positions in `functions`) are
    /// right answers. More than one is right where several have the same
    /// comment or the same source body.
    pub queries: Vec<(String, Vec<usize>)>,
}

/// The pool of all functions for which `keep` holds, one for each
/// `function_id`, the first that is kept.
pub fn pool(samples: &[Sample], keep: impl Fn(&Sample) -> bool) -> Pool {
    use std::collections::{BTreeMap, HashMap};
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        if keep(sample) {
            chosen.entry(&sample.function_id).or_insert(index);
        }
    }
    let functions: Vec<usize> = chosen.into_values().collect();
    let key = |text: &str| text::words(text).join(" ");
    let mut by_text: HashMap<String, Vec<usize>> = HashMap::new();
    let mut by_body: HashMap<&str, Vec<usize>> = HashMap::new();
    for (position, &index) in functions.iter().enumerate() {
        if let Some(query) = query(&samples[index]) {
            by_text.entry(key(&query)).or_default().push(position);
        }
        by_body
            .entry(&samples[index].source_hash)
            .or_default()
            .push(position);
    }
    let mut queries: BTreeMap<String, (String, Vec<usize>)> = BTreeMap::new();
    for &index in &functions {
        let Some(query) = query(&samples[index]) else {
            continue;
        };
        let key = key(&query);
        let mut right = by_text.get(&key).cloned().unwrap_or_default();
        let same_body: Vec<usize> = right
            .iter()
            .flat_map(|&position| &by_body[samples[functions[position]].source_hash.as_str()])
            .copied()
            .collect();
        right.extend(same_body);
        right.sort_unstable();
        right.dedup();
        queries.entry(key).or_insert((query, right));
    }
    Pool {
        functions,
        queries: queries.into_values().collect(),
    }
}

/// Whether `sample` is the one of its function that a pool of mixed toolchains
/// takes: a toolchain chosen by the function's own id among `toolchains`.
pub fn mixed_choice(sample: &Sample, toolchains: &[&str]) -> bool {
    let hash = blake3::hash(sample.function_id.as_bytes());
    let pick = usize::from(hash.as_bytes()[0]) % toolchains.len().max(1);
    toolchains.get(pick) == Some(&sample.toolchain().as_str())
}

/// The rank of the best right answer. Wrong answers with the same score count
/// before it.
pub fn rank(scores: &[f32], right: &[usize]) -> usize {
    let best = right
        .iter()
        .map(|&position| scores[position])
        .fold(f32::NEG_INFINITY, f32::max);
    1 + scores
        .iter()
        .enumerate()
        .filter(|(position, score)| **score >= best && !right.contains(position))
        .count()
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What gave the scores.
    pub method: String,
    /// Which toolchains the pool's functions are of.
    pub toolchains: String,
    /// How many functions are in the pool.
    pub pool: usize,
    /// How many queries were asked.
    pub queries: usize,
    /// Recall@1.
    pub recall_1: f64,
    /// Recall@10.
    pub recall_10: f64,
    /// Mean reciprocal rank.
    pub mrr: f64,
}

impl Figure {
    /// The figures of `ranks`.
    pub fn new(method: &str, toolchains: &str, pool: &Pool, ranks: &Ranks) -> Figure {
        Figure {
            method: method.to_owned(),
            toolchains: toolchains.to_owned(),
            pool: pool.functions.len(),
            queries: ranks.queries(),
            recall_1: ranks.recall(1),
            recall_10: ranks.recall(10),
            mrr: ranks.mrr(),
        }
    }

    /// The figures of guessing, computed as if each query had one right answer.
    pub fn chance(toolchains: &str, pool: &Pool) -> Figure {
        let size = pool.functions.len();
        Figure {
            method: "random".to_owned(),
            toolchains: toolchains.to_owned(),
            pool: size,
            queries: pool.queries.len(),
            recall_1: chance(size, 1).0,
            recall_10: chance(size, 10).0,
            mrr: chance(size, 1).1,
        }
    }
}

/// Ranks by the cosines of the queries' vectors with the functions' vectors,
/// both in the order of `pool`.
pub fn ranks(pool: &Pool, queries: &Matrix, functions: &Matrix) -> Ranks {
    Ranks::new(queries.against(functions, |query, scores| {
        rank(scores, &pool.queries[query].1)
    }))
}

/// How much the words of a query weigh against the model's cosine; chosen on
/// the validation packages.
pub const WORDS_WEIGHT: f32 = 6.0;

/// The words that the functions of a pool or a program still hold, to be asked
/// beside the model: it may miss a name that the query spells out.
#[derive(Debug)]
pub struct Words(Bm25);

impl Words {
    /// From the listings of the functions.
    pub fn new<'a>(listings: impl IntoIterator<Item = &'a str>) -> Words {
        Words(Bm25::new(listings.into_iter().map(text::listing_words)))
    }

    /// The scores of a search: the mean of each function's cosine with the
    /// query and of the share of the query's words that it holds, weighted.
    pub fn added(&self, query: &str, cosines: &[f32]) -> Vec<f32> {
        let mean =
            |(cosine, share): (&f32, &f32)| (cosine + WORDS_WEIGHT * share) / (1.0 + WORDS_WEIGHT);
        cosines
            .iter()
            .zip(&self.0.shares(query))
            .map(mean)
            .collect()
    }
}

/// Ranks as `binscribe search` would find: by cosine and words together.
pub fn search_ranks(
    pool: &Pool,
    samples: &[Sample],
    queries: &Matrix,
    functions: &Matrix,
) -> Ranks {
    let words = Words::new(
        pool.functions
            .iter()
            .map(|&index| samples[index].listing.as_str()),
    );
    Ranks::new(queries.against(functions, |query, cosines| {
        let (text, right) = &pool.queries[query];
        rank(&words.added(text, cosines), right)
    }))
}

/// What can be found without a trained model, asked the same questions.
///
/// * `BM25 words` and `TF-IDF words`: the words of the query among the words
///   that the listing still holds (names of imports, strings).
/// * `TF-IDF by comment` and `opcode histogram by comment`: these know no
///   English, so the nearest comment (TF-IDF of words) of the `training`
///   functions lends them its function, and the functions of the pool are
///   ranked by their likeness to that.
pub fn baselines(pool: &Pool, samples: &[Sample], training: &[Sample]) -> Vec<(String, Ranks)> {
    let listings: Vec<&str> = pool
        .functions
        .iter()
        .map(|&index| samples[index].listing.as_str())
        .collect();
    let words: Vec<Vec<String>> = listings
        .par_iter()
        .map(|listing| text::listing_words(listing))
        .collect();
    let query_words: Vec<Vec<String>> = pool
        .queries
        .iter()
        .map(|(query, _)| text::content_words(query))
        .collect();

    let bm25 = Bm25::new(words.iter().cloned());
    let by_bm25 = pool
        .queries
        .par_iter()
        .map(|(query, right)| rank(&bm25.scores(query), right))
        .collect();

    let sparse_ranks = |queries: &[Sparse], functions: &[Sparse]| -> Ranks {
        let queries: Vec<&Sparse> = queries.iter().collect();
        let functions: Vec<&Sparse> = functions.iter().collect();
        let rank_of = |query: usize, scores: &[f32]| rank(scores, &pool.queries[query].1);
        Ranks::new(sparse_scores(&queries, &functions, rank_of))
    };
    let training_words: Vec<Vec<String>> = training
        .par_iter()
        .map(|sample| text::listing_words(&sample.listing))
        .collect();
    let model = TfIdf::fit(training_words);
    // Queries and functions in one call: only so are new words numbered alike.
    let mut both = model.vectors(query_words.iter().chain(&words).cloned());
    let functions = both.split_off(query_words.len());
    let by_words = sparse_ranks(&both, &functions);

    let mut found = vec![
        ("BM25 words".to_owned(), Ranks::new(by_bm25)),
        ("TF-IDF words".to_owned(), by_words),
    ];
    let commented: Vec<(&Sample, Vec<String>)> = training
        .iter()
        .filter_map(|sample| Some((sample, text::content_words(&query(sample)?))))
        .collect();
    if commented.is_empty() {
        return found;
    }
    let comments = TfIdf::fit(commented.iter().map(|(_, words)| words.clone()));
    let mut both = comments.vectors(
        query_words
            .iter()
            .chain(commented.iter().map(|(_, words)| words))
            .cloned(),
    );
    let known = both.split_off(query_words.len());
    let known: Vec<&Sparse> = known.iter().collect();
    let asked: Vec<&Sparse> = both.iter().collect();
    let lenders = sparse_scores(&asked, &known, |_, scores| {
        matrix::top(scores, 1)
            .first()
            .map_or(0, |(index, _)| *index)
    });
    let lent: Vec<&str> = lenders
        .iter()
        .map(|&index| commented[index].0.listing.as_str())
        .collect();

    let tokens = TfIdf::fit(
        training
            .par_iter()
            .map(|s| sparse::tokens(&s.listing))
            .collect::<Vec<_>>(),
    );
    let both: Vec<Vec<String>> = lent
        .par_iter()
        .chain(&listings)
        .map(|listing| sparse::tokens(listing))
        .collect();
    let mut by_tokens = tokens.vectors(both);
    let functions = by_tokens.split_off(lent.len());
    found.push((
        "TF-IDF by comment".to_owned(),
        sparse_ranks(&by_tokens, &functions),
    ));
    let mut histograms = sparse::opcode_histograms(lent.iter().chain(&listings).copied());
    let functions = histograms.split_off(lent.len());
    found.push((
        "opcode histogram by comment".to_owned(),
        sparse_ranks(&histograms, &functions),
    ));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, body: &str, comment: Option<&str>) -> Sample {
        Sample {
            function_id: id.to_owned(),
            source_hash: body.to_owned(),
            comment: comment.map(str::to_owned),
            compiler: "gcc".to_owned(),
            level: "O2".to_owned(),
            ..Sample::default()
        }
    }

    #[test]
    fn equal_comments_and_equal_bodies_are_all_right() {
        let samples = [
            sample("a", "1", Some("Free all the memory. And more.")),
            sample("b", "2", Some("free all the memory")),
            sample("c", "1", None),
            sample("d", "3", Some("Hm.")),
            sample("a", "1", Some("Free all the memory.")),
        ];
        let pool = pool(&samples, |sample| sample.level == "O2");
        assert_eq!(pool.functions, [0, 1, 2, 3]);
        assert_eq!(
            pool.queries,
            [("Free all the memory".to_owned(), vec![0, 1, 2])]
        );
        assert_eq!(rank(&[0.1, 0.5, 0.7, 0.7], &[0, 1, 2]), 2);
        assert_eq!(rank(&[0.9, 0.5, 0.7, 0.7], &[0, 1, 2]), 1);
    }

    #[test]
    fn baselines_find_words_and_lend_functions() {
        let with = |id: &str, comment: &str, listing: &str| Sample {
            listing: listing.to_owned(),
            ..sample(id, id, Some(comment))
        };
        let samples = [
            with(
                "a",
                "Open the socket and listen",
                "push rbp\ncall    _socket\nretn",
            ),
            with(
                "b",
                "Print the usage text",
                "lea     rdi, aUsage; \"usage: %s\"\njmp x",
            ),
            with(
                "c",
                "Sum up all numbers",
                "add     eax, ebx\nadd     eax, ecx\nretn",
            ),
        ];
        let training = [
            with(
                "t1",
                "Sum up all the given numbers",
                "add     eax, edx\nadd     eax, esi\nretn",
            ),
            with(
                "t2",
                "Open a file and read",
                "push    rbp\ncall    _fopen\npop     rbp",
            ),
        ];
        let pool = pool(&samples, |_| true);
        let figures: Vec<(String, usize)> = baselines(&pool, &samples, &training)
            .into_iter()
            .map(|(method, ranks)| (method, (ranks.recall(1) * 3.0).round() as usize))
            .collect();
        let expected = [
            ("BM25 words", 2),
            ("TF-IDF words", 2),
            ("TF-IDF by comment", 2),
            ("opcode histogram by comment", 2),
        ];
        assert_eq!(
            figures,
            expected.map(|(method, right)| (method.to_owned(), right))
        );
    }

    #[test]
    fn a_mixed_pool_takes_each_function_once() {
        let toolchains = ["gcc O2", "clang O0"];
        for id in 0..20 {
            let mut gcc = sample(&format!("f{id}"), "1", None);
            let first = mixed_choice(&gcc, &toolchains);
            gcc.compiler = "clang".to_owned();
            gcc.level = "O0".to_owned();
            assert_ne!(first, mixed_choice(&gcc, &toolchains));
        }
    }
}
