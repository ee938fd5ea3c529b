//! Ranks and what is reported of them: Recall@k and the mean reciprocal rank,
//! over pools drawn as jTrans draws them.
//!
//! jTrans (Wang et al., ISSTA 2022, section 5.1 and `fasteval.py` of its
//! release) shuffles the pairs of a comparison, cuts them into pools, leaves out
//! the last pool where it is incomplete, and asks each left half for its right
//! half among the right halves of its pool.

/// The rank of `correct` among `scores`, 1 being the best.
///
/// Ties count against the answer: a method that gives every candidate the same
/// score has found nothing, and must not be paid for the order of the list.
/// A score that is not a number ranks last.
pub fn pessimistic_rank(scores: &[f32], correct: usize) -> usize {
    let own = scores[correct];
    if own.is_nan() {
        return scores.len();
    }
    1 + scores
        .iter()
        .enumerate()
        .filter(|&(index, &score)| index != correct && score >= own)
        .count()
}

/// Ranks of the right answers of a set of queries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranks(Vec<usize>);

impl Ranks {
    /// Ranks of one query each, 1 being the best.
    pub fn new(ranks: Vec<usize>) -> Ranks {
        Ranks(ranks)
    }

    /// Adds the ranks of further queries.
    pub fn extend(&mut self, ranks: impl IntoIterator<Item = usize>) {
        self.0.extend(ranks);
    }

    /// How many queries were asked.
    pub fn queries(&self) -> usize {
        self.0.len()
    }

    /// The share of queries whose right answer was among the first `k`.
    pub fn recall(&self, k: usize) -> f64 {
        self.mean(|rank| if rank <= k { 1.0 } else { 0.0 })
    }

    /// The mean reciprocal rank.
    pub fn mrr(&self) -> f64 {
        self.mean(|rank| 1.0 / rank as f64)
    }

    fn mean(&self, value: impl Fn(usize) -> f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        self.0.iter().map(|&rank| value(rank)).sum::<f64>() / self.0.len() as f64
    }
}

/// What guessing gives in a pool of `size` with one right answer:
/// (Recall@k, mean reciprocal rank), exactly.
pub fn chance(size: usize, k: usize) -> (f64, f64) {
    if size == 0 {
        return (0.0, 0.0);
    }
    let harmonic: f64 = (1..=size).map(|rank| 1.0 / rank as f64).sum();
    (k.min(size) as f64 / size as f64, harmonic / size as f64)
}

/// A small, fixed generator (SplitMix64, Steele et al. 2014): pools must come
/// out the same with the same seed in every future version of this program,
/// which library generators do not promise.
#[derive(Debug, Clone)]
pub struct Shuffler(u64);

impl Shuffler {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Shuffler {
        Shuffler(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The numbers below `n` in a shuffled order (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            let pick = (self.next() % (last as u64 + 1)) as usize;
            order.swap(last, pick);
        }
        order
    }
}

/// Shuffles `n` pairs and cuts them into pools of `size`; the incomplete last
/// pool is left out. Where there are fewer than `size` pairs there is one pool
/// of all of them, and whoever reports the figures says how many that was.
pub fn pools(n: usize, size: usize, seed: u64) -> Vec<Vec<usize>> {
    let order = Shuffler::new(seed).permutation(n);
    if n == 0 || size == 0 {
        Vec::new()
    } else if n < size {
        vec![order]
    } else {
        order.chunks_exact(size).map(<[usize]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_against_the_answer() {
        assert_eq!(pessimistic_rank(&[0.5, 0.5, 0.1], 0), 2);
        assert_eq!(pessimistic_rank(&[0.9, 0.5, 0.1], 0), 1);
        assert_eq!(pessimistic_rank(&[0.9, 0.5, 0.1], 2), 3);
        assert_eq!(pessimistic_rank(&[f32::NAN, 0.5, 0.1], 0), 3);
    }

    #[test]
    fn recall_and_mrr() {
        let ranks = Ranks::new(vec![1, 2, 4, 20]);
        assert_eq!(ranks.recall(1), 0.25);
        assert_eq!(ranks.recall(10), 0.75);
        assert!((ranks.mrr() - (1.0 + 0.5 + 0.25 + 0.05) / 4.0).abs() < 1e-12);
        assert_eq!(Ranks::default().mrr(), 0.0);
    }

    #[test]
    fn pools_leave_out_the_incomplete_one_and_repeat_with_the_seed() {
        let drawn = pools(100, 32, 7);
        assert_eq!(drawn.len(), 3);
        assert!(drawn.iter().all(|pool| pool.len() == 32));
        assert_eq!(drawn, pools(100, 32, 7));
        assert_ne!(drawn, pools(100, 32, 8));
        let mut all: Vec<usize> = drawn.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 96);
        assert_eq!(pools(10, 32, 7).len(), 1);
        assert_eq!(pools(0, 32, 7).len(), 0);
    }

    #[test]
    fn chance_is_exact() {
        let (recall, mrr) = chance(2, 1);
        assert_eq!((recall, mrr), (0.5, 0.75));
        assert_eq!(chance(4, 10).0, 1.0);
    }
}
