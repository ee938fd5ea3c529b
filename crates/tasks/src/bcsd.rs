//! Binary code similarity: does a function find itself among the functions that
//! another toolchain made of the same sources?
//!
//! The comparisons are those of jTrans (Wang et al., ISSTA 2022, section 5): six
//! pairs of levels of one compiler; beside them gcc against clang, and, where the
//! corpus has them, x86-64 against other processors and systems, and plain code
//! against obfuscated code.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

use crate::bootstrap::{self, Value};
use crate::matrix::Matrix;
use crate::metrics::{self, Answer, Metric, Shuffler};
use crate::report::Figure;
use crate::sample::Sample;
use crate::sparse::{Sparse, sparse_scores};

/// The six pairs of levels that jTrans compares.
pub const LEVEL_PAIRS: [(&str, &str); 6] = [
    ("O0", "O3"),
    ("O0", "Os"),
    ("O1", "Os"),
    ("O1", "O3"),
    ("O2", "Os"),
    ("O2", "O3"),
];

/// The levels at which gcc is compared with clang.
pub const COMPILER_LEVELS: [&str; 3] = ["O0", "O2", "O3"];

/// The kinds of comparisons, in the order of reports.
const GROUPS: [&str; 6] = [
    "gcc",
    "clang",
    "compilers",
    "architectures",
    "systems",
    "obfuscations",
];

/// One vector for each sample, compared by cosine.
#[derive(Debug)]
pub enum Vectors {
    /// Of a model.
    Dense(Matrix),
    /// Of a baseline.
    Sparse(Vec<Sparse>),
    /// None: the figures of guessing, computed and not drawn.
    Chance,
}

impl Vectors {
    /// What `visit` makes of the scores of each of `queries` against all of
    /// `candidates`; `None` for guessing.
    fn scores<T: Send>(
        &self,
        queries: &[usize],
        candidates: &[usize],
        visit: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Option<Vec<T>> {
        match self {
            Vectors::Dense(matrix) => {
                let candidates = matrix.select(candidates);
                Some(matrix.select(queries).against(&candidates, visit))
            }
            Vectors::Sparse(vectors) => {
                let take = |side: &[usize]| -> Vec<&Sparse> {
                    side.iter().map(|&index| &vectors[index]).collect()
                };
                Some(sparse_scores(&take(queries), &take(candidates), visit))
            }
            Vectors::Chance => None,
        }
    }

    /// Ranks of `pairs[i].1` among all the right halves and the distractors for
    /// the query `pairs[i].0`; `None` for guessing.
    fn ranks(&self, pairs: &[(usize, usize)], distractors: &[usize]) -> Option<Vec<usize>> {
        let (left, mut right): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        right.extend(distractors);
        self.scores(&left, &right, |query, scores| {
            metrics::pessimistic_rank(scores, query)
        })
    }
}

/// Two toolchains whose functions are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// One of [`GROUPS`].
    group: &'static str,
    /// What it is called, `gcc O0-O3`.
    name: String,
    /// [`Sample::toolchain`] of the queries.
    left: String,
    /// And of the answers.
    right: String,
}

/// The comparisons for which `samples` have functions on both sides.
pub fn comparisons(samples: &[Sample]) -> Vec<Comparison> {
    let new = |group, name: String, left: String, right: String| Comparison {
        group,
        name,
        left,
        right,
    };
    let mut found = Vec::new();
    for compiler in ["gcc", "clang"] {
        for (a, b) in LEVEL_PAIRS {
            let side = |level: &str| format!("{compiler} {level}");
            found.push(new(
                compiler,
                format!("{compiler} {a}-{b}"),
                side(a),
                side(b),
            ));
        }
    }
    for level in COMPILER_LEVELS {
        let (left, right) = (format!("gcc {level}"), format!("clang {level}"));
        found.push(new("compilers", format!("gcc-clang {level}"), left, right));
    }
    let mut others: BTreeMap<String, &Sample> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| !sample.is_plain()) {
        others.entry(sample.toolchain()).or_insert(sample);
    }
    for (toolchain, sample) in others {
        let Some((group, compiler)) = against_plain(sample) else {
            continue;
        };
        let plain = format!("{compiler} {}", sample.level);
        let name = format!("{plain} - {}", toolchain.trim_start_matches(&plain).trim());
        found.push(new(group, name, plain, toolchain));
    }
    let there: BTreeSet<String> = samples.iter().map(Sample::toolchain).collect();
    found.retain(|c| there.contains(&c.left) && there.contains(&c.right));
    found.sort_by_key(|c| GROUPS.iter().position(|group| *group == c.group));
    found
}

/// Which group a toolchain belongs to that differs from plain code of x86-64
/// Linux in one thing, and the compiler it is compared with: zig, which makes
/// code for other systems, is a clang.
fn against_plain(sample: &Sample) -> Option<(&'static str, &str)> {
    let compiler = match sample.compiler.as_str() {
        "zig" => "clang",
        other => other,
    };
    let obfuscated = !sample.obfuscation.is_empty();
    let elf = sample.format == "elf";
    let group = match (sample.arch == "x86-64", elf, obfuscated) {
        (false, true, false) => "architectures",
        (_, false, false) => "systems",
        (true, true, true) => "obfuscations",
        _ => return None,
    };
    sample.variants.is_empty().then_some((group, compiler))
}

/// The pairs of samples of one comparison: the same function (by
/// `function_id`) under two toolchains, once for each distinct source body.
///
/// Where a body occurs twice (a static function in a header, a copied file) no
/// method could tell the copies apart, and the second is left out.
pub fn pairs(samples: &[Sample], left: &str, right: &str) -> Vec<(usize, usize)> {
    let side = |toolchain: &str| -> BTreeMap<&str, usize> {
        let mut found = BTreeMap::new();
        for (index, sample) in samples.iter().enumerate() {
            if sample.toolchain() == toolchain {
                found.entry(sample.function_id.as_str()).or_insert(index);
            }
        }
        found
    };
    let (left, right) = (side(left), side(right));
    let mut bodies = HashSet::new();
    left.iter()
        .filter_map(|(id, &index)| Some((index, *right.get(id)?)))
        .filter(|&(index, _)| bodies.insert(samples[index].source_hash.as_str()))
        .collect()
}

/// Numbers for the functions and the packages of samples, by which intervals
/// draw them.
#[derive(Debug)]
pub(crate) struct Units {
    pub(crate) functions: Vec<u32>,
    pub(crate) packages: Vec<u32>,
}

impl Units {
    pub(crate) fn of<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Units {
        fn numbers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u32> {
            let mut known: HashMap<&str, u32> = HashMap::new();
            names
                .map(|name| {
                    let next = known.len() as u32;
                    *known.entry(name).or_insert(next)
                })
                .collect()
        }
        Units {
            functions: numbers(samples.clone().map(|s| s.function_id.as_str())),
            packages: numbers(samples.map(|s| s.package.as_str())),
        }
    }
}

/// Whether the answers of a comparison of levels can come from builds of this
/// toolchain, so that functions under it can be distractors of [`evaluate`].
pub fn answers_levels(toolchain: &str) -> bool {
    let ends = |(_, right): &(&str, &str)| toolchain.split_once(' ').map(|t| t.1) == Some(right);
    let compiler = toolchain.starts_with("gcc ") || toolchain.starts_with("clang ");
    compiler && LEVEL_PAIRS.iter().any(ends)
}

/// What is asked in a comparison: pairs, and what stands beside their right
/// halves in pools that are larger.
struct Question {
    comparison: Comparison,
    pairs: Vec<(usize, usize)>,
    distractors: Vec<usize>,
}

impl Question {
    /// `others` are the samples from `own` on that may be distractors: one of
    /// each function, whose body is none of those that are asked for.
    fn new(comparison: Comparison, samples: &[Sample], others: &[Sample], seed: u64) -> Question {
        let pairs = pairs(samples, &comparison.left, &comparison.right);
        let mut known: HashSet<&str> = pairs
            .iter()
            .map(|&(index, _)| samples[index].source_hash.as_str())
            .collect();
        let levels = ["gcc", "clang"].contains(&comparison.group);
        let distractors = match levels {
            true => Shuffler::new(seed)
                .permutation(others.len())
                .into_iter()
                .filter(|&i| others[i].toolchain() == comparison.right)
                .filter(|&i| known.insert(&others[i].source_hash))
                .map(|i| samples.len() + i)
                .collect(),
            false => Vec::new(),
        };
        Question {
            comparison,
            pairs,
            distractors,
        }
    }
}

/// What one method reached in one comparison, before it is summed up.
struct Measured<'c> {
    comparison: &'c Comparison,
    /// The size of a pool.
    actual: usize,
    pools: usize,
    /// Questions asked of all pools together.
    queries: usize,
    answers: Vec<Answer>,
}

/// Runs every comparison with every method, at every pool size.
///
/// `vectors` are pairs of a method's name and its vectors of all `samples`, and
/// of `others` behind them: functions that nobody asks for, with which the pools
/// of levels are filled that are larger than what `samples` have (see
/// [`answers_levels`]).
pub fn evaluate(
    samples: &[Sample],
    others: &[Sample],
    vectors: &[(String, Vectors)],
    pool_sizes: &[usize],
    seed: u64,
) -> Vec<Figure> {
    let questions: Vec<Question> = comparisons(samples)
        .into_par_iter()
        .map(|comparison| Question::new(comparison, samples, others, seed))
        .filter(|question| !question.pairs.is_empty())
        .collect();
    let units = Units::of(samples.iter());
    let mut figures = Vec::new();
    for &size in pool_sizes {
        for (method, vectors) in vectors {
            let measured: Vec<Measured<'_>> = questions
                .iter()
                .map(|question| measure(question, vectors, size, seed, &units))
                .collect();
            figures.extend(summed_up(method, size, &measured, seed));
        }
    }
    figures
}

fn measure<'q>(
    question: &'q Question,
    vectors: &Vectors,
    size: usize,
    seed: u64,
    units: &Units,
) -> Measured<'q> {
    let pairs = &question.pairs;
    let pools = metrics::pools(pairs.len(), size, seed);
    let asked = pools.first().map_or(0, Vec::len);
    let missing = size.saturating_sub(asked).min(question.distractors.len());
    let distractors = &question.distractors[..missing];
    let answers = pools.par_iter().flat_map_iter(|pool| {
        let members: Vec<(usize, usize)> = pool.iter().map(|&i| pairs[i]).collect();
        let ranks = vectors.ranks(&members, distractors).unwrap_or_default();
        let answer = |((query, _), rank): (&(usize, usize), usize)| {
            Answer::new(units.functions[*query], units.packages[*query], rank)
        };
        members.iter().zip(ranks).map(answer).collect::<Vec<_>>()
    });
    Measured {
        comparison: &question.comparison,
        answers: answers.collect(),
        actual: asked + missing,
        pools: pools.len(),
        queries: pools.len() * asked,
    }
}

/// A figure for each comparison, each group's mean after its own, and the mean
/// over the levels of both compilers.
fn summed_up(method: &str, size: usize, measured: &[Measured<'_>], seed: u64) -> Vec<Figure> {
    let figure = |name: &str, lines: &[&Measured<'_>]| -> Figure {
        Figure {
            method: method.to_owned(),
            comparison: name.to_owned(),
            pool: Some(size),
            pool_actual: lines.iter().map(|line| line.actual).min(),
            pools: Some(lines.iter().map(|line| line.pools).sum()),
            queries: lines.iter().map(|line| line.queries).sum(),
            values: values(lines, seed),
            ..Figure::default()
        }
    };
    let of = |groups: &[&str]| -> Vec<&Measured<'_>> {
        let wanted = |line: &&Measured<'_>| groups.contains(&line.comparison.group);
        measured.iter().filter(wanted).collect()
    };
    let mut figures = Vec::new();
    for group in GROUPS {
        let lines = of(&[group]);
        for line in &lines {
            figures.push(figure(&line.comparison.name, &[*line]));
        }
        if !lines.is_empty() {
            figures.push(figure(&format!("{group} mean"), &lines));
        }
    }
    let levels = of(&["gcc", "clang"]);
    if !levels.is_empty() {
        figures.push(figure("levels mean", &levels));
    }
    figures
}

/// The unweighted means over comparisons, as jTrans averages its six; those of
/// guessing where there are no answers.
fn values(lines: &[&Measured<'_>], seed: u64) -> BTreeMap<String, Value> {
    if lines.iter().any(|line| line.answers.is_empty()) {
        let chance = |line: &&Measured<'_>| metrics::chance(line.actual, 1);
        let (recall, mrr): (Vec<f64>, Vec<f64>) = lines.iter().map(chance).unzip();
        let mean = |of: Vec<f64>| Value::exact(of.iter().sum::<f64>() / of.len() as f64);
        return BTreeMap::from([
            (Metric::Recall(1).name(), mean(recall)),
            (Metric::Mrr.name(), mean(mrr)),
        ]);
    }
    let strata: Vec<&[Answer]> = lines.iter().map(|line| line.answers.as_slice()).collect();
    bootstrap::ranked(&strata, &[Metric::Recall(1), Metric::Mrr], seed)
}

/// What [`all_builds`] compares, as its figures call it.
pub const ALL_BUILDS: &str = "all builds";

/// Asks `queries` builds, drawn by `seed`, for all other builds of their source
/// bodies in a pool of every build of every function, under all toolchains.
pub fn all_builds(
    samples: &[Sample],
    vectors: &[(String, Vectors)],
    queries: usize,
    seed: u64,
) -> Vec<Figure> {
    let mut builds: HashMap<&str, usize> = HashMap::new();
    for sample in samples {
        *builds.entry(&sample.source_hash).or_default() += 1;
    }
    let body = |index: usize| samples[index].source_hash.as_str();
    let asked: Vec<usize> = Shuffler::new(seed)
        .permutation(samples.len())
        .into_iter()
        .filter(|&index| builds[body(index)] > 1)
        .take(queries)
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let everything: Vec<usize> = (0..samples.len()).collect();
    let units = Units::of(samples.iter());
    let figure = |(method, vectors): &(String, Vectors)| {
        let answers: Vec<Answer> = vectors
            .scores(&asked, &everything, |query, scores| {
                let query = asked[query];
                let right = |other| (other != query).then(|| body(other) == body(query));
                let (rank, precision) = metrics::pessimistic_precision(scores, right)?;
                Some(Answer {
                    rank,
                    precision,
                    ..Answer::new(units.functions[query], units.packages[query], rank)
                })
            })?
            .into_iter()
            .flatten()
            .collect();
        let metrics = [Metric::Recall(1), Metric::Mrr, Metric::Map];
        Some(Figure {
            method: method.clone(),
            comparison: ALL_BUILDS.to_owned(),
            pool: Some(samples.len()),
            pool_actual: Some(samples.len()),
            pools: Some(1),
            queries: answers.len(),
            values: bootstrap::ranked(&[&answers], &metrics, seed),
            ..Figure::default()
        })
    };
    vectors.iter().filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::opcode_histograms;

    fn sample(id: usize, level: &str, body: usize, listing: &str) -> Sample {
        Sample {
            compiler: "gcc".to_owned(),
            level: level.to_owned(),
            arch: "x86-64".to_owned(),
            format: "elf".to_owned(),
            function_id: format!("f{id}"),
            source_hash: format!("b{body}"),
            listing: listing.to_owned(),
            ..Sample::default()
        }
    }

    const LISTINGS: [&str; 4] = [
        "mov\nmov\nadd",
        "push\ncall\npop",
        "xor\njmp",
        "shl\nshr\nor",
    ];

    fn histograms(samples: &[Sample]) -> (String, Vectors) {
        let listings = samples.iter().map(|s| s.listing.as_str());
        (
            "opcodes".to_owned(),
            Vectors::Sparse(opcode_histograms(listings)),
        )
    }

    #[test]
    fn a_method_that_sees_the_difference_finds_all_and_chance_does_not() {
        let mut samples = Vec::new();
        for (id, listing) in LISTINGS.iter().enumerate() {
            samples.push(sample(id, "O0", id, listing));
            samples.push(sample(id, "O3", id, listing));
        }
        // A copy of the first body, and a function that only one level has.
        samples.push(sample(8, "O0", 0, "mov"));
        samples.push(sample(8, "O3", 0, "mov"));
        samples.push(sample(9, "O0", 9, "lea"));
        assert_eq!(pairs(&samples, "gcc O0", "gcc O3").len(), 4);

        let vectors = vec![histograms(&samples), ("random".to_owned(), Vectors::Chance)];
        let figures = evaluate(&samples, &[], &vectors, &[2, 100], 1);
        let find = |method: &str, pool: usize| {
            let mut lines = figures.iter().filter(|figure| {
                figure.method == method
                    && figure.pool == Some(pool)
                    && figure.comparison == "levels mean"
            });
            lines.next().expect("the line").clone()
        };
        let value = |figure: &Figure, name: &str| figure.values[name].value;
        assert_eq!(value(&find("opcodes", 2), "recall_1"), 1.0);
        assert_eq!(value(&find("opcodes", 100), "mrr"), 1.0);
        assert_eq!(find("opcodes", 100).pool_actual, Some(4));
        assert_eq!(find("random", 2).values["recall_1"], Value::exact(0.5));
        assert_eq!(find("opcodes", 2).pools, Some(2));
        assert_eq!(find("opcodes", 2).queries, 4);
    }

    #[test]
    fn pools_are_filled_with_functions_that_nobody_asks_for() {
        let mut samples = Vec::new();
        for (id, listing) in LISTINGS.iter().enumerate() {
            samples.push(sample(id, "O0", id, listing));
            samples.push(sample(id, "O3", id, listing));
        }
        // One that looks like the first, one more, and what cannot be one: a copy
        // of a body that is asked for, and a build of another level.
        let others = [
            sample(20, "O3", 20, LISTINGS[0]),
            sample(21, "O3", 21, "lea"),
            sample(22, "O3", 0, "lea"),
            sample(23, "O2", 23, "lea"),
        ];
        assert!(others[..3].iter().all(|s| answers_levels(&s.toolchain())));
        assert!(!answers_levels("gcc O2") && !answers_levels("gcc O3 arm"));
        let all: Vec<Sample> = samples.iter().chain(&others).cloned().collect();
        let vectors = [histograms(&all)];
        let figures = evaluate(&samples, &others, &vectors, &[2, 6, 100], 1);
        let at = |pool: usize| {
            let mut of = figures.iter().filter(|f| f.pool == Some(pool));
            of.find(|f| f.comparison == "gcc O0-O3").expect("figure")
        };
        assert_eq!((at(2).pool_actual, at(2).queries), (Some(2), 4));
        for (pool, actual) in [(6, 6), (100, 6)] {
            assert_eq!((at(pool).pool_actual, at(pool).queries), (Some(actual), 4));
            assert_eq!(at(pool).values["recall_1"].value, 0.75);
        }
    }

    #[test]
    fn other_processors_and_obfuscations_are_compared_with_plain_code() {
        let plain = sample(0, "O2", 0, "mov");
        let clang = |change: fn(&mut Sample)| {
            let mut changed = plain.clone();
            changed.compiler = "clang".to_owned();
            change(&mut changed);
            changed
        };
        let mut arm = plain.clone();
        arm.arch = "arm".to_owned();
        let samples = [
            plain.clone(),
            arm,
            clang(|_| ()),
            clang(|s| s.obfuscation = "flatten".to_owned()),
            clang(|s| {
                s.compiler = "zig".to_owned();
                s.format = "pe".to_owned();
            }),
            // Two differences at once, and one whose plain side is missing.
            clang(|s| {
                s.obfuscation = "flatten".to_owned();
                s.arch = "arm".to_owned();
            }),
            clang(|s| {
                s.arch = "arm".to_owned();
                s.level = "O1".to_owned();
            }),
        ];
        let found = comparisons(&samples);
        let names: Vec<&str> = found.iter().map(|c| c.name.as_str()).collect();
        let expected = [
            "gcc-clang O2",
            "gcc O2 - arm",
            "clang O2 - zig O2 x86-64 pe",
            "clang O2 - flatten",
        ];
        assert_eq!(names, expected);
        assert_eq!(found[2].group, "systems");
        assert_eq!(pairs(&samples, &found[1].left, &found[1].right), [(0, 1)]);
    }

    #[test]
    fn every_other_build_is_a_right_answer() {
        let mut samples = Vec::new();
        for level in ["O0", "O2", "O3"] {
            for (id, listing) in LISTINGS.iter().enumerate() {
                samples.push(sample(id, level, id, listing));
            }
        }
        // Nothing to be found, so not asked.
        samples.push(sample(9, "O0", 9, "lea"));
        let vectors = [histograms(&samples), ("random".to_owned(), Vectors::Chance)];
        let figures = all_builds(&samples, &vectors, 100, 1);
        assert_eq!(figures.len(), 1);
        assert_eq!((figures[0].queries, figures[0].pool), (12, Some(13)));
        assert_eq!(figures[0].values["map"].value, 1.0);
        assert!(all_builds(&samples[..1], &vectors, 100, 1).is_empty());
    }
}
