//! Binary code similarity: does a function find itself among the functions that
//! another toolchain made of the same sources?
//!
//! The comparisons are those of jTrans (Wang et al., ISSTA 2022, section 5): six
//! pairs of levels of one compiler; and beside them gcc against clang.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::matrix::Matrix;
use crate::metrics::{self, Ranks};
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
    /// Ranks of `pairs[i].1` among all the right halves for the query
    /// `pairs[i].0`; `None` for guessing.
    fn ranks(&self, pairs: &[(usize, usize)]) -> Option<Vec<usize>> {
        let rank = |query: usize, scores: &[f32]| metrics::pessimistic_rank(scores, query);
        let (left, right): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
        match self {
            Vectors::Dense(matrix) => {
                Some(matrix.select(&left).against(&matrix.select(&right), rank))
            }
            Vectors::Sparse(vectors) => {
                let take = |side: &[usize]| -> Vec<&Sparse> {
                    side.iter().map(|&index| &vectors[index]).collect()
                };
                Some(sparse_scores(&take(&left), &take(&right), rank))
            }
            Vectors::Chance => None,
        }
    }
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What gave the vectors.
    pub method: String,
    /// What was compared, `gcc O0-O3`; or `gcc mean`, `levels mean`,
    /// `compilers mean`.
    pub comparison: String,
    /// The pool size that was asked for.
    pub pool: usize,
    /// The size that the pools had; smaller than `pool` where there were not as
    /// many functions. The smallest of those averaged, on a line of means.
    pub pool_actual: usize,
    /// How many pools.
    pub pools: usize,
    /// How many queries.
    pub queries: usize,
    /// Recall@1.
    pub recall_1: f64,
    /// Mean reciprocal rank.
    pub mrr: f64,
}

/// The pairs of samples of one comparison: the same function (by
/// `function_id`) under two toolchains, once for each distinct source body.
///
/// Where a body occurs twice (a static function in a header, a copied file) no
/// method could tell the copies apart, and the second is left out.
pub fn pairs(samples: &[Sample], left: (&str, &str), right: (&str, &str)) -> Vec<(usize, usize)> {
    let side = |(compiler, level): (&str, &str)| -> BTreeMap<&str, usize> {
        let mut found = BTreeMap::new();
        for (index, sample) in samples.iter().enumerate() {
            if sample.compiler == compiler && sample.level == level {
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

/// Runs every comparison with every method, at every pool size.
///
/// `vectors` are pairs of a method's name and its vectors of all `samples`.
pub fn evaluate(
    samples: &[Sample],
    vectors: &[(String, Vectors)],
    pool_sizes: &[usize],
    seed: u64,
) -> Vec<Figure> {
    let mut comparisons = Vec::new();
    for compiler in ["gcc", "clang"] {
        for (a, b) in LEVEL_PAIRS {
            let pairs = pairs(samples, (compiler, a), (compiler, b));
            comparisons.push((compiler.to_owned(), format!("{compiler} {a}-{b}"), pairs));
        }
    }
    for level in COMPILER_LEVELS {
        let pairs = pairs(samples, ("gcc", level), ("clang", level));
        comparisons.push(("compilers".to_owned(), format!("gcc-clang {level}"), pairs));
    }
    comparisons.retain(|(_, _, pairs)| !pairs.is_empty());

    let mut figures = Vec::new();
    for &size in pool_sizes {
        for (method, vectors) in vectors {
            let mut groups: BTreeMap<&str, Vec<Figure>> = BTreeMap::new();
            for (group, comparison, pairs) in &comparisons {
                let pools = metrics::pools(pairs.len(), size, seed);
                let actual = pools.first().map_or(0, Vec::len);
                let mut ranks = Ranks::default();
                for pool in &pools {
                    let members: Vec<(usize, usize)> = pool.iter().map(|&i| pairs[i]).collect();
                    ranks.extend(vectors.ranks(&members).into_iter().flatten());
                }
                let (recall_1, mrr) = match vectors {
                    Vectors::Chance => metrics::chance(actual, 1),
                    _ => (ranks.recall(1), ranks.mrr()),
                };
                groups.entry(group).or_default().push(Figure {
                    method: method.clone(),
                    comparison: comparison.clone(),
                    pool: size,
                    pool_actual: actual,
                    pools: pools.len(),
                    queries: pools.len() * actual,
                    recall_1,
                    mrr,
                });
            }
            let levels: Vec<Figure> = ["gcc", "clang"]
                .iter()
                .filter_map(|g| groups.get(g))
                .flatten()
                .cloned()
                .collect();
            for group in ["gcc", "clang", "compilers"] {
                if let Some(lines) = groups.remove(group) {
                    let mean = mean(&format!("{group} mean"), &lines);
                    figures.extend(lines);
                    figures.extend(mean);
                }
            }
            figures.extend(mean("levels mean", &levels));
        }
    }
    figures
}

/// The unweighted mean of several comparisons, as jTrans averages its six.
fn mean(comparison: &str, lines: &[Figure]) -> Option<Figure> {
    let first = lines.first()?;
    let average =
        |value: fn(&Figure) -> f64| lines.iter().map(value).sum::<f64>() / lines.len() as f64;
    Some(Figure {
        method: first.method.clone(),
        comparison: comparison.to_owned(),
        pool: first.pool,
        pool_actual: lines.iter().map(|line| line.pool_actual).min().unwrap_or(0),
        pools: lines.iter().map(|line| line.pools).sum(),
        queries: lines.iter().map(|line| line.queries).sum(),
        recall_1: average(|line| line.recall_1),
        mrr: average(|line| line.mrr),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::opcode_histograms;

    fn sample(id: usize, level: &str, body: usize, listing: &str) -> Sample {
        Sample {
            compiler: "gcc".to_owned(),
            level: level.to_owned(),
            function_id: format!("f{id}"),
            source_hash: format!("b{body}"),
            listing: listing.to_owned(),
            ..Sample::default()
        }
    }

    #[test]
    fn a_method_that_sees_the_difference_finds_all_and_chance_does_not() {
        let listings = [
            "mov\nmov\nadd",
            "push\ncall\npop",
            "xor\njmp",
            "shl\nshr\nor",
        ];
        let mut samples = Vec::new();
        for (id, listing) in listings.iter().enumerate() {
            samples.push(sample(id, "O0", id, listing));
            samples.push(sample(id, "O3", id, listing));
        }
        // A copy of the first body, and a function that only one level has.
        samples.push(sample(8, "O0", 0, "mov"));
        samples.push(sample(8, "O3", 0, "mov"));
        samples.push(sample(9, "O0", 9, "lea"));
        assert_eq!(pairs(&samples, ("gcc", "O0"), ("gcc", "O3")).len(), 4);

        let vectors = vec![
            (
                "opcodes".to_owned(),
                Vectors::Sparse(opcode_histograms(
                    samples.iter().map(|s| s.listing.as_str()),
                )),
            ),
            ("random".to_owned(), Vectors::Chance),
        ];
        let figures = evaluate(&samples, &vectors, &[2, 100], 1);
        let find = |method: &str, pool: usize| {
            let mut lines = figures.iter().filter(|figure| {
                figure.method == method && figure.pool == pool && figure.comparison == "levels mean"
            });
            lines.next().expect("the line").clone()
        };
        assert_eq!(find("opcodes", 2).recall_1, 1.0);
        assert_eq!(find("opcodes", 100).mrr, 1.0);
        assert_eq!(find("opcodes", 100).pool_actual, 4);
        assert_eq!(find("random", 2).recall_1, 0.5);
        assert_eq!(
            (find("opcodes", 2).pools, find("opcodes", 2).queries),
            (2, 4)
        );
    }
}
