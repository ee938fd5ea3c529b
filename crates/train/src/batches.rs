//! Which functions a contrastive step takes: passes over all of them in random
//! order, in batches within which no name and no source body occurs twice, for
//! a copy is no counterexample.
//!
//! Random functions are told apart easily. With hard negatives a batch is made
//! of small groups instead: a function and those whose listings had the nearest
//! vectors when they were last seen, which are the ones that the model confuses
//! (ANCE, Xiong et al. 2021, section 3; here without a second index, from the
//! memory bank). The first pass is random: nothing was seen yet.

use std::collections::{HashSet, VecDeque};

use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::stage::generator;

/// Neighbours are looked for among so many batches at a time, so that finding
/// them stays linear in the size of the corpus.
const WINDOW: usize = 16;
/// Rows of scores that are held at once.
const ROWS: usize = 1024;

/// What two functions may have in common.
#[derive(Debug, Clone)]
pub(crate) struct Traits {
    /// Numbers of name, source body and text.
    pub(crate) kinds: [i64; 3],
    pub(crate) listings: Vec<u32>,
}

/// The batches of one pass.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    first_step: u64,
    epoch: u64,
    batches: Vec<Vec<usize>>,
}

/// The passes of a stage. What a step takes depends on nothing but seed and
/// step, and with hard negatives on the vectors at the start of its pass.
pub(crate) struct Batches {
    seed: u64,
    functions: usize,
    hard: usize,
    traits: Vec<Traits>,
    pub(crate) plan: Plan,
}

impl Batches {
    /// Batches of so many `functions`, in groups of one and its `hard` nearest.
    pub(crate) fn new(seed: u64, functions: usize, hard: usize, traits: Vec<Traits>) -> Batches {
        let mut batches = Batches {
            seed,
            functions,
            hard,
            traits,
            plan: Plan::default(),
        };
        batches.plan = batches.pass(0, 0, None);
        batches
    }

    /// The functions of a step. `codes` are the last vectors of all, zeros
    /// where there is none; they matter where a pass begins.
    pub(crate) fn batch(&mut self, step: u64, codes: Option<&Tensor>) -> Vec<usize> {
        loop {
            let place = (step - self.plan.first_step) as usize;
            if let Some(batch) = self.plan.batches.get(place) {
                return batch.clone();
            }
            let next = self.plan.first_step + self.plan.batches.len() as u64;
            self.plan = self.pass(self.plan.epoch + 1, next, codes);
        }
    }

    fn pass(&self, epoch: u64, first_step: u64, codes: Option<&Tensor>) -> Plan {
        let mut random = generator(self.seed, "contrast order", epoch);
        let mut order: Vec<usize> = (0..self.traits.len()).collect();
        order.shuffle(&mut random);
        let nearest = codes.map(|codes| self.nearest(&order, codes));
        let mut waiting: VecDeque<usize> = order.into();
        let mut taken = vec![false; self.traits.len()];
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let mut batch = Batch::default();
            let mut later = Vec::new();
            while batch.members.len() < self.functions {
                let Some(i) = waiting.pop_front() else { break };
                if taken[i] {
                    continue;
                }
                if batch.has_copy(&self.traits[i]) {
                    later.push(i);
                    continue;
                }
                taken[i] = true;
                batch.add(i, &self.traits[i]);
                let near = nearest.iter().flat_map(|nearest| &nearest[i]);
                let mut found = 0;
                for &j in near {
                    if found == self.hard || batch.members.len() == self.functions {
                        break;
                    }
                    if !taken[j] && !batch.has_like(&self.traits[j]) {
                        taken[j] = true;
                        batch.add(j, &self.traits[j]);
                        found += 1;
                    }
                }
            }
            for i in later.into_iter().rev() {
                waiting.push_front(i);
            }
            // A short batch has few counterexamples; it is kept only where
            // there is nothing else.
            let members = batch.members;
            if members.len() == self.functions || (batches.is_empty() && !members.is_empty()) {
                batches.push(members);
            }
        }
        Plan {
            first_step,
            epoch,
            batches,
        }
    }

    /// The nearest functions of each, nearest first: more than are wanted, for
    /// some will be in a batch already.
    fn nearest(&self, order: &[usize], codes: &Tensor) -> Vec<Vec<usize>> {
        let mut nearest = vec![Vec::new(); self.traits.len()];
        no_grad(|| {
            for window in order.chunks(WINDOW * self.functions) {
                let places: Vec<i64> = window.iter().map(|&i| i as i64).collect();
                let places = Tensor::from_slice(&places).to_device(codes.device());
                let vectors = codes.index_select(0, &places);
                // Those that were never seen are near to nothing.
                let unseen = vectors
                    .square()
                    .sum_dim_intlist(1, false, Kind::Float)
                    .lt(0.5)
                    .to_kind(Kind::Float)
                    * -10.0;
                let wanted = (4 * self.hard + 8).min(window.len());
                for (block, members) in window.chunks(ROWS).enumerate() {
                    let start = (block * ROWS) as i64;
                    let some = vectors.narrow(0, start, members.len() as i64);
                    let from = unseen.narrow(0, start, members.len() as i64);
                    let scores = some.matmul(&vectors.tr()) + &unseen + from.unsqueeze(1);
                    let (scores, found) = scores.topk(wanted as i64, 1, true, true);
                    let scores = rows(&scores.to_kind(Kind::Double));
                    let found = rows(&found.to_kind(Kind::Double));
                    for ((&i, found), scores) in members.iter().zip(found).zip(scores) {
                        let seen = found.iter().zip(scores).filter(|(_, s)| *s > -2.0);
                        let near = seen.map(|(&at, _)| window[at as usize]);
                        nearest[i] = near.filter(|&j| j != i).collect();
                    }
                }
            }
        });
        nearest
    }
}

fn rows(matrix: &Tensor) -> Vec<Vec<f64>> {
    let width = matrix.size()[1] as usize;
    let mut cells = vec![0.0; matrix.numel()];
    matrix.copy_data(&mut cells, matrix.numel());
    cells.chunks(width).map(<[f64]>::to_vec).collect()
}

/// A batch that is being filled.
#[derive(Default)]
struct Batch {
    members: Vec<usize>,
    kinds: [HashSet<i64>; 3],
    listings: HashSet<u32>,
}

impl Batch {
    /// Whether the name or the source body is in it.
    fn has_copy(&self, traits: &Traits) -> bool {
        (0..2).any(|kind| self.kinds[kind].contains(&traits.kinds[kind]))
    }

    /// Whether a text or a listing is in it, too: what is the same as far as
    /// anyone can see is always near, and never a counterexample.
    fn has_like(&self, traits: &Traits) -> bool {
        self.has_copy(traits)
            || self.kinds[2].contains(&traits.kinds[2])
            || traits.listings.iter().any(|l| self.listings.contains(l))
    }

    fn add(&mut self, i: usize, traits: &Traits) {
        self.members.push(i);
        for (seen, &number) in self.kinds.iter_mut().zip(&traits.kinds) {
            seen.insert(number);
        }
        self.listings.extend(&traits.listings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const FUNCTIONS: usize = 600;

    /// Functions on a circle: near numbers have near vectors. Every tenth is a
    /// copy of the one before, in one way or another.
    fn circle() -> (Vec<Traits>, Tensor) {
        let traits = (0..FUNCTIONS as i64)
            .map(|i| {
                let (mut kinds, mut listings) = ([i; 3], vec![2 * i as u32, 2 * i as u32 + 1]);
                if i % 10 == 9 {
                    match (i / 10) % 4 {
                        3 => listings[0] -= 2,
                        kind => kinds[kind as usize] -= 1,
                    }
                }
                Traits { kinds, listings }
            })
            .collect();
        let angle = Tensor::arange(FUNCTIONS as i64, (Kind::Float, Device::Cpu))
            * (std::f64::consts::TAU / FUNCTIONS as f64);
        (traits, Tensor::stack(&[angle.cos(), angle.sin()], 1))
    }

    /// How many of a batch have another within five places on the circle.
    fn close(batch: &[usize]) -> usize {
        let far = |a: usize, b: usize| a.abs_diff(b).min(FUNCTIONS - a.abs_diff(b));
        let beside = |&i: &usize| batch.iter().any(|&j| j != i && far(i, j) <= 5);
        batch.iter().filter(|&i| beside(i)).count()
    }

    #[test]
    fn batches_of_hard_negatives_hold_neighbours_but_no_copies() {
        let (traits, codes) = circle();
        let easy = Batches::new(1, 20, 0, traits.clone());
        let hard = Batches::new(1, 20, 3, traits.clone());
        // Nothing was seen before the first pass, so both begin alike.
        assert_eq!(easy.plan, hard.plan);
        let by_chance = easy.pass(1, 30, None);
        let plan = hard.pass(1, 30, Some(&codes));
        assert_eq!(plan, hard.pass(1, 30, Some(&codes)));
        let mut seen = HashSet::new();
        for batch in &plan.batches {
            for (place, &i) in batch.iter().enumerate() {
                assert!(seen.insert(i), "{i} is in two batches of a pass");
                for &j in &batch[..place] {
                    let (a, b) = (&traits[i], &traits[j]);
                    assert!(a.kinds[0] != b.kinds[0] && a.kinds[1] != b.kinds[1]);
                }
            }
        }
        assert!(seen.len() > FUNCTIONS - 40, "{} of {FUNCTIONS}", seen.len());
        let near = |plan: &Plan| -> usize { plan.batches.iter().map(|b| close(b)).sum() };
        let (near, near_by_chance, all) = (near(&plan), near(&by_chance), seen.len());
        assert!(near * 10 > all * 8, "{near} of {all}");
        assert!(near_by_chance * 2 < near, "{near_by_chance} by chance");
    }

    #[test]
    fn neighbours_with_the_same_text_or_listing_are_passed_over() {
        let (mut traits, codes) = circle();
        // All even functions say the same; 1 and 3 came out the same.
        for (i, traits) in traits.iter_mut().enumerate() {
            if i % 2 == 0 {
                traits.kinds[2] = 0;
            }
        }
        traits[3].listings = traits[1].listings.clone();
        let mut batch = Batch::default();
        batch.add(1, &traits[1]);
        batch.add(2, &traits[2]);
        assert!(batch.has_like(&traits[3]) && !batch.has_copy(&traits[3]));
        assert!(batch.has_like(&traits[4]) && !batch.has_copy(&traits[4]));
        assert!(!batch.has_like(&traits[5]));
        // In groups of two the second is the first one's neighbour.
        let batches = Batches::new(2, 2, 1, traits.clone());
        let plan = batches.pass(1, 0, Some(&codes));
        for batch in &plan.batches[..8] {
            assert_ne!(traits[batch[0]].kinds[2], traits[batch[1]].kinds[2]);
        }
    }

    #[test]
    fn functions_that_were_never_seen_are_nobodys_neighbours() {
        let (traits, codes) = circle();
        let unseen = Tensor::zeros([300, 2], (Kind::Float, Device::Cpu));
        let codes = Tensor::cat(&[codes.narrow(0, 0, 300), unseen], 0);
        let batches = Batches::new(3, 20, 3, traits);
        let order: Vec<usize> = (0..FUNCTIONS).collect();
        // The window holds 320 of them, so 20 were never seen.
        let nearest = batches.nearest(&order, &codes);
        assert!(nearest[..300].iter().flatten().all(|&j| j < 300));
        assert!(nearest[5].iter().take(2).all(|&j| j == 4 || j == 6));
    }
}
