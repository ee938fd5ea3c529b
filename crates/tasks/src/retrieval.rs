//! From English to a function: does the comment that its author wrote find a
//! function among all functions of packages never trained on?

use rayon::prelude::*;

use crate::bcsd::Units;
use crate::bootstrap::{self, Value};
use crate::matrix::{self, Matrix};
use crate::metrics::{Answer, Metric, Shuffler, chance};
use crate::report::Figure;
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
    use std::collections::BTreeMap;
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        if keep(sample) {
            chosen.entry(&sample.function_id).or_insert(index);
        }
    }
    let functions: Vec<usize> = chosen.into_values().collect();
    asked(samples, functions, |_| true)
}

/// `pool` with functions among its own that nobody asks for, until it has
/// `size`: of `others` those for which `keep` holds, drawn by `seed`, one for each
/// `function_id`; where these are too few, further builds of them, each listing
/// once. The samples of the pool that comes back are those of the first with
/// those drawn after them.
///
/// A function that was drawn is a right answer, too, where its comment or its
/// body is that of one.
pub fn with_distractors(
    pool: &Pool,
    samples: &[Sample],
    others: &[&Sample],
    keep: impl Fn(&Sample) -> bool,
    size: usize,
    seed: u64,
) -> (Pool, Vec<Sample>) {
    use std::collections::HashSet;
    let own = || pool.functions.iter().map(|&index| &samples[index]);
    let asked_for = pool.functions.len();
    let owned: HashSet<&str> = own().map(|sample| sample.function_id.as_str()).collect();
    let mut all: Vec<&Sample> = own().collect();
    let (mut known, mut listings) = (owned.clone(), HashSet::new());
    let order = Shuffler::new(seed).permutation(others.len());
    let drawn = || order.iter().map(|&index| others[index]);
    for first in [true, false] {
        for sample in drawn() {
            if all.len() >= size {
                break;
            }
            let id = sample.function_id.as_str();
            let taken = match first {
                true => keep(sample) && known.insert(id),
                false => !owned.contains(id) && !listings.contains(sample.listing.as_str()),
            };
            if taken {
                listings.insert(sample.listing.as_str());
                all.push(sample);
            }
        }
    }
    let all: Vec<Sample> = all.into_iter().cloned().collect();
    let functions = (0..all.len()).collect();
    (asked(&all, functions, |position| position < asked_for), all)
}

/// The pool of `functions`, with the queries of those at positions for which
/// `ask` holds.
fn asked(samples: &[Sample], functions: Vec<usize>, ask: impl Fn(usize) -> bool) -> Pool {
    use std::collections::{BTreeMap, HashMap};
    let key = |text: &str| text::words(text).join(" ");
    let texts: Vec<Option<(String, String)>> = functions
        .iter()
        .map(|&index| query(&samples[index]).map(|query| (key(&query), query)))
        .collect();
    let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut by_body: HashMap<&str, Vec<usize>> = HashMap::new();
    for (position, &index) in functions.iter().enumerate() {
        if let Some((key, _)) = &texts[position] {
            by_text.entry(key).or_default().push(position);
        }
        let body = samples[index].source_hash.as_str();
        by_body.entry(body).or_default().push(position);
    }
    let mut queries: BTreeMap<&str, (String, Vec<usize>)> = BTreeMap::new();
    for position in (0..functions.len()).filter(|&position| ask(position)) {
        let Some((key, query)) = &texts[position] else {
            continue;
        };
        let same_text = &by_text[key.as_str()];
        let body = |&position: &usize| samples[functions[position]].source_hash.as_str();
        let same_body = same_text
            .iter()
            .flat_map(|position| &by_body[body(position)]);
        let mut right: Vec<usize> = same_text.iter().chain(same_body).copied().collect();
        right.sort_unstable();
        right.dedup();
        queries.entry(key).or_insert((query.clone(), right));
    }
    let queries = queries.into_values().collect();
    Pool { functions, queries }
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

/// What the ranks of a method come to; those of guessing, computed as if each
/// query had one right answer, where there are none.
pub fn figure(
    method: &str,
    toolchains: &str,
    size: usize,
    pool: &Pool,
    samples: &[Sample],
    ranks: Option<&[usize]>,
    seed: u64,
) -> Figure {
    let actual = pool.functions.len();
    let metrics = [Metric::Recall(1), Metric::Recall(10), Metric::Mrr];
    let values = match ranks {
        Some(ranks) => bootstrap::ranked(&[&answers(pool, samples, ranks)], &metrics, seed),
        None => metrics
            .iter()
            .map(|metric| {
                let value = match metric {
                    Metric::Recall(k) => chance(actual, *k).0,
                    _ => chance(actual, 1).1,
                };
                (metric.name(), Value::exact(value))
            })
            .collect(),
    };
    Figure {
        method: method.to_owned(),
        comparison: toolchains.to_owned(),
        pool: Some(size),
        pool_actual: Some(actual),
        queries: pool.queries.len(),
        values,
        ..Figure::default()
    }
}

/// Each query is a unit of its own, of the package of its first right answer.
fn answers(pool: &Pool, samples: &[Sample], ranks: &[usize]) -> Vec<Answer> {
    let units = Units::of(pool.functions.iter().map(|&index| &samples[index]));
    let queries = pool.queries.iter().zip(ranks).enumerate();
    queries
        .map(|(number, ((_, right), &rank))| {
            let package = right
                .first()
                .map_or(0, |&position| units.packages[position]);
            Answer::new(number as u32, package, rank)
        })
        .collect()
}

/// Ranks by the cosines of the queries' vectors with the functions' vectors,
/// both in the order of `pool`.
pub fn ranks(pool: &Pool, queries: &Matrix, functions: &Matrix) -> Vec<usize> {
    queries.against(functions, |query, scores| {
        rank(scores, &pool.queries[query].1)
    })
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
        Words::with_names(listings.into_iter().map(|listing| (listing, [""; 0])))
    }

    /// From the listings of the functions, and what is known of each beside: its
    /// name, its source file.
    pub fn with_names<'a, N: AsRef<str>>(
        functions: impl IntoIterator<Item = (&'a str, impl IntoIterator<Item = N>)>,
    ) -> Words {
        let words = functions.into_iter();
        Words(Bm25::new(
            words.map(|(listing, names)| words_of(listing, names)),
        ))
    }

    /// The scores of a search: the mean of each function's cosine with the
    /// query and of the share of the query's words that it holds, weighted.
    pub fn added(&self, query: &str, cosines: &[f32]) -> Vec<f32> {
        blended(cosines, &self.0.shares(query))
    }
}

/// The words of a function to be searched for: those of its listing, and of what is
/// known of it beside.
pub fn words_of<N: AsRef<str>>(listing: &str, names: impl IntoIterator<Item = N>) -> Vec<String> {
    let mut words = text::listing_words(listing);
    for name in names {
        words.extend(text::content_words(name.as_ref()));
    }
    words
}

/// The scores of a search, from each function's cosine with the query and the share of
/// the query's words that it holds.
pub fn blended(cosines: &[f32], shares: &[f32]) -> Vec<f32> {
    let mean =
        |(cosine, share): (&f32, &f32)| (cosine + WORDS_WEIGHT * share) / (1.0 + WORDS_WEIGHT);
    cosines.iter().zip(shares).map(mean).collect()
}

/// Ranks as `binscribe search` would find: by cosine and words together.
pub fn search_ranks(
    pool: &Pool,
    samples: &[Sample],
    queries: &Matrix,
    functions: &Matrix,
) -> Vec<usize> {
    let words = Words::new(
        pool.functions
            .iter()
            .map(|&index| samples[index].listing.as_str()),
    );
    queries.against(functions, |query, cosines| {
        let (text, right) = &pool.queries[query];
        rank(&words.added(text, cosines), right)
    })
}

/// What can be found without a trained model, asked the same questions.
///
/// * `BM25 words` and `TF-IDF words`: the words of the query among the words
///   that the listing still holds (names of imports, strings); `TF-IDF strings`:
///   among those of its strings alone, the text that is no symbol.
/// * `BM25 words and symbols`: those of its own name, too, which a stripped file
///   has no more: no model that names functions can find more by their names.
/// * `TF-IDF by comment` and `opcode histogram by comment`: these know no
///   English, so the nearest comment (TF-IDF of words) of the `training`
///   functions lends them its function, and the functions of the pool are
///   ranked by their likeness to that.
pub fn baselines(
    pool: &Pool,
    samples: &[Sample],
    training: &[Sample],
) -> Vec<(String, Vec<usize>)> {
    let listings: Vec<&str> = pool
        .functions
        .iter()
        .map(|&index| samples[index].listing.as_str())
        .collect();
    let query_words: Vec<Vec<String>> = pool
        .queries
        .iter()
        .map(|(query, _)| text::content_words(query))
        .collect();

    let by_bm25 = |bm25: &Bm25| -> Vec<usize> {
        let queries = pool.queries.par_iter();
        queries
            .map(|(query, right)| rank(&bm25.scores(query), right))
            .collect()
    };
    let words = || listings.iter().map(|listing| text::listing_words(listing));
    let with_symbols = words().zip(&pool.functions).map(|(mut words, &index)| {
        words.extend(text::content_words(&samples[index].name));
        words
    });

    let sparse_ranks = |queries: &[Sparse], functions: &[Sparse]| -> Vec<usize> {
        let queries: Vec<&Sparse> = queries.iter().collect();
        let functions: Vec<&Sparse> = functions.iter().collect();
        let rank_of = |query: usize, scores: &[f32]| rank(scores, &pool.queries[query].1);
        sparse_scores(&queries, &functions, rank_of)
    };
    let by_words = |read: fn(&str) -> Vec<String>| -> Vec<usize> {
        let of = |listing: &str| read(listing);
        let training: Vec<_> = training.par_iter().map(|s| of(&s.listing)).collect();
        let words: Vec<_> = listings.par_iter().map(|listing| of(listing)).collect();
        let model = TfIdf::fit(training);
        // Queries and functions in one call: only so are new words numbered alike.
        let mut both = model.vectors(query_words.iter().chain(&words).cloned());
        let functions = both.split_off(query_words.len());
        sparse_ranks(&both, &functions)
    };

    let mut found = vec![
        ("BM25 words".to_owned(), by_bm25(&Bm25::new(words()))),
        (
            "BM25 words and symbols".to_owned(),
            by_bm25(&Bm25::new(with_symbols)),
        ),
        ("TF-IDF words".to_owned(), by_words(text::listing_words)),
        ("TF-IDF strings".to_owned(), by_words(text::string_words)),
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
        let mut samples = [
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
        samples[2].name = "sum_numbers".to_owned();
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
        let first = |ranks: Vec<usize>| ranks.iter().filter(|rank| **rank == 1).count();
        let figures: Vec<(String, usize)> = baselines(&pool, &samples, &training)
            .into_iter()
            .map(|(method, ranks)| (method, first(ranks)))
            .collect();
        let expected = [
            ("BM25 words", 2),
            ("BM25 words and symbols", 3),
            ("TF-IDF words", 2),
            ("TF-IDF strings", 1),
            ("TF-IDF by comment", 2),
            ("opcode histogram by comment", 2),
        ];
        assert_eq!(
            figures,
            expected.map(|(method, right)| (method.to_owned(), right))
        );
    }

    #[test]
    fn distractors_are_not_asked_for_and_their_copies_are_right() {
        let samples = [
            sample("a", "1", Some("Free all the memory")),
            sample("b", "2", Some("Read the next line")),
        ];
        let others = [
            sample("a", "1", Some("Free all the memory")),
            sample("x", "8", Some("free all the memory")),
            sample("y", "9", Some("Write a whole page")),
            sample("y", "9", Some("Write a whole page")),
        ];
        let others: Vec<&Sample> = others.iter().collect();
        let own = pool(&samples, |_| true);
        let draw = |size| with_distractors(&own, &samples, &others, |_| true, size, 1);
        let (pool, all) = draw(100);
        assert_eq!((pool.functions.len(), pool.queries.len()), (4, 2));
        assert_eq!(pool.queries[0].1.len(), 2, "the other copy is right, too");
        let ranks = vec![1, 20];
        let figure = figure("model", "gcc O2", 100, &pool, &all, Some(&ranks), 1);
        assert_eq!(figure.values["recall_10"].value, 0.5);
        assert_eq!((figure.pool, figure.pool_actual), (Some(100), Some(4)));
        assert_eq!(draw(3).0.functions.len(), 3);
    }

    /// Other builds come after one of each function, and none twice; of what is
    /// asked for there are none.
    #[test]
    fn other_builds_fill_a_pool_that_functions_cannot() {
        let samples = [sample("a", "1", Some("Free all the memory"))];
        let built = |id: &str, listing: &str, level: &str| Sample {
            listing: listing.to_owned(),
            level: level.to_owned(),
            ..sample(id, id, None)
        };
        let others = [
            built("x", "leave", "O2"),
            built("x", "leave", "O3"),
            built("x", "push", "O0"),
            built("y", "pop", "O2"),
            built("y", "leave", "O0"),
            built("a", "nop", "O0"),
        ];
        let others: Vec<&Sample> = others.iter().collect();
        let own = pool(&samples, |_| true);
        let draw = |size| {
            let (_, all) = with_distractors(&own, &samples, &others, |s| s.level == "O2", size, 1);
            let mut drawn: Vec<String> = all[1..].iter().map(|s| s.listing.clone()).collect();
            drawn.sort();
            drawn
        };
        assert_eq!(draw(3), ["leave", "pop"]);
        assert_eq!(draw(100), ["leave", "pop", "push"]);
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
