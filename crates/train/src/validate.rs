//! How good the model is while it trains, on packages it does not learn from.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::Result;
use crate::contrast::embed_listings;
use crate::dataset::{Dataset, Function, Split, Variant};
use crate::encoder::Encoder;
use crate::recipe::Recipe;
use crate::text::TextEncoder;

/// One task: each query's right answer among all answers of the pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// How many queries and answers.
    pub pool: usize,
    /// Mean reciprocal rank; ties count against the answer.
    pub mrr: f64,
    /// Share of right answers that came first.
    pub recall_1: f64,
    /// Share that came among the first ten.
    pub recall_10: f64,
}

/// What [`Judge`] finds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The same function at another level of optimisation.
    pub levels: Score,
    /// The same function out of the other compiler.
    pub compilers: Score,
    /// The function that a comment describes.
    pub text: Score,
    /// The comment that describes a function, as CLAP's Figure 4 asks for it.
    #[serde(default)]
    pub explanation: Score,
}

impl Scores {
    /// What the best weights are chosen by.
    pub fn total(&self) -> f64 {
        self.levels.mrr + self.compilers.mrr + self.text.mrr
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Scores {
            levels,
            compilers,
            text,
            explanation,
        } = self;
        write!(
            f,
            "levels MRR {:.3} R@1 {:.3} (pool {}), compilers MRR {:.3} R@1 {:.3} (pool {}), \
             text MRR {:.3} R@1 {:.3} R@10 {:.3} (pool {}), explanation R@1 {:.3}",
            levels.mrr,
            levels.recall_1,
            levels.pool,
            compilers.mrr,
            compilers.recall_1,
            compilers.pool,
            text.mrr,
            text.recall_1,
            text.recall_10,
            text.pool,
            explanation.recall_1,
        )
    }
}

/// The six pairs of levels that jTrans compares, as places in O0 to O3, Os.
const PAIRS: [(u8, u8); 6] = [(0, 3), (0, 4), (1, 4), (1, 3), (2, 4), (2, 3)];

/// The pools of a validation.
pub(crate) struct Judge<'a> {
    dataset: &'a Dataset,
    micro_tokens: usize,
    levels: Vec<[u32; 2]>,
    compilers: Vec<[u32; 2]>,
    texts: Vec<(&'a str, u32)>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(recipe: &Recipe, dataset: &'a Dataset) -> Judge<'a> {
        let pool = recipe.validation.pool;
        let min = recipe.contrast.min_instructions;
        let mut functions: Vec<&Function> = dataset
            .functions()
            .iter()
            .filter(|function| function.split == Split::Validation)
            .collect();
        functions.sort_by_cached_key(|function| {
            let id = format!("{} {}", function.name, function.source_hash);
            *blake3::hash(id.as_bytes()).as_bytes()
        });
        let mut names = HashSet::new();
        functions.retain(|function| names.insert(function.name.as_str()));

        let find = |function: &Function, clang: bool, level: u8| {
            function
                .variants
                .iter()
                .find(|v: &&Variant| v.clang == clang && v.level == level)
                .map(|v| v.listing)
                .filter(|&listing| dataset.instructions(listing) >= min)
        };
        let mut judge = Judge {
            dataset,
            micro_tokens: recipe.micro_tokens,
            levels: Vec::new(),
            compilers: Vec::new(),
            texts: Vec::new(),
        };
        let mut comments = HashSet::new();
        for (i, function) in functions.into_iter().enumerate() {
            let (one, other) = PAIRS[i % PAIRS.len()];
            let clang = i % 2 == 0;
            if judge.levels.len() < pool
                && let (Some(a), Some(b)) =
                    (find(function, clang, one), find(function, clang, other))
            {
                judge.levels.push([a, b]);
            }
            let level = (i % 5) as u8;
            if judge.compilers.len() < pool
                && let (Some(a), Some(b)) =
                    (find(function, false, level), find(function, true, level))
            {
                judge.compilers.push([a, b]);
            }
            if judge.texts.len() < pool
                && let Some(brief) = &function.brief
                && let Some(listing) = find(function, false, 2)
                && comments.insert(brief.as_str())
            {
                judge.texts.push((brief, listing));
            }
        }
        judge
    }

    /// Functions without their pairs: what the parity test is made of.
    pub(crate) fn listings(&self) -> impl Iterator<Item = u32> {
        self.levels.iter().flatten().copied()
    }

    pub(crate) fn judge(
        &self,
        encoder: &Encoder,
        text: &mut TextEncoder,
        max_tokens: usize,
    ) -> Result<Scores> {
        no_grad(|| {
            let embed = |listings: Vec<u32>| {
                embed_listings(
                    encoder,
                    self.dataset,
                    &listings,
                    max_tokens,
                    self.micro_tokens,
                )
            };
            let pairs = |pairs: &[[u32; 2]]| {
                if pairs.is_empty() {
                    return Score::default();
                }
                let queries = embed(pairs.iter().map(|p| p[0]).collect());
                let answers = embed(pairs.iter().map(|p| p[1]).collect());
                score(&queries, &answers)
            };
            let (levels, compilers) = (pairs(&self.levels), pairs(&self.compilers));
            let [text, explanation] = if self.texts.is_empty() {
                [Score::default(), Score::default()]
            } else {
                let comments: Vec<&str> = self.texts.iter().map(|t| t.0).collect();
                let answers = embed(self.texts.iter().map(|t| t.1).collect());
                let described = text.embed(&comments)?;
                [score(&described, &answers), score(&answers, &described)]
            };
            Ok(Scores {
                levels,
                compilers,
                text,
                explanation,
            })
        })
    }
}

fn score(queries: &Tensor, answers: &Tensor) -> Score {
    let scores = queries.matmul(&answers.tr());
    let right = scores.diagonal(0, 0, 1).unsqueeze(1);
    let ranks = scores
        .ge_tensor(&right)
        .sum_dim_intlist(1, false, Kind::Float);
    let mean = |x: Tensor| x.mean(Kind::Double).double_value(&[]);
    Score {
        pool: queries.size()[0] as usize,
        mrr: mean(ranks.reciprocal()),
        recall_1: mean(ranks.le(1.0).to_kind(Kind::Float)),
        recall_10: mean(ranks.le(10.0).to_kind(Kind::Float)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn ranks_are_pessimistic() {
        let eye = Tensor::eye(4, (Kind::Float, Device::Cpu));
        let perfect = score(&eye, &eye);
        assert_eq!((perfect.mrr, perfect.recall_1), (1.0, 1.0));
        let same = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let none = score(&same, &same);
        assert_eq!((none.mrr, none.recall_1, none.recall_10), (0.25, 0.0, 1.0));
    }
}
