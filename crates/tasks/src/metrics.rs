//! Ranks and what is reported of them: Recall@k, the mean reciprocal rank and the
//! mean average precision, over pools drawn as jTrans draws them.
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

/// What became of one query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// What is asked, as a number: queries of one number are drawn together
    /// where intervals are computed, as the builds of one function are.
    pub unit: u32,
    /// Its package, as a number.
    pub package: u32,
    /// The rank of the best right answer, 1 being the best.
    pub rank: usize,
    /// The average precision over all right answers; 1 / `rank` where there is
    /// only one.
    pub precision: f64,
}

impl Answer {
    /// To a query with one right answer.
    pub fn new(unit: u32, package: u32, rank: usize) -> Answer {
        Answer {
            unit,
            package,
            rank,
            precision: 1.0 / rank as f64,
        }
    }
}

/// What is reported of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// The share of queries with a right answer among the first `k`.
    Recall(usize),
    /// The mean reciprocal rank.
    Mrr,
    /// The mean average precision.
    Map,
}

impl Metric {
    /// Its name in reports: `recall_1`, `mrr`, `map`.
    pub fn name(self) -> String {
        match self {
            Metric::Recall(k) => format!("recall_{k}"),
            Metric::Mrr => "mrr".to_owned(),
            Metric::Map => "map".to_owned(),
        }
    }

    /// Of one answer.
    pub fn of(self, answer: &Answer) -> f64 {
        match self {
            Metric::Recall(k) => f64::from(u8::from(answer.rank <= k)),
            Metric::Mrr => 1.0 / answer.rank as f64,
            Metric::Map => answer.precision,
        }
    }
}

/// The rank of the best right answer and the average precision of a ranking in
/// which wrong answers stand before right ones of the same score; `right` says
/// of each position whether it is right, and `None` leaves a position out.
pub fn pessimistic_precision(
    scores: &[f32],
    right: impl Fn(usize) -> Option<bool>,
) -> Option<(usize, f64)> {
    let key = |score: f32| {
        if score.is_nan() {
            f32::NEG_INFINITY
        } else {
            score
        }
    };
    let (mut rights, mut wrongs) = (Vec::new(), Vec::new());
    for (position, &score) in scores.iter().enumerate() {
        match right(position) {
            Some(true) => rights.push(key(score)),
            Some(false) => wrongs.push(key(score)),
            None => {}
        }
    }
    rights.sort_unstable_by(|a, b| b.total_cmp(a));
    wrongs.sort_unstable_by(|a, b| b.total_cmp(a));
    let ranks: Vec<usize> = rights
        .iter()
        .enumerate()
        .map(|(before, score)| before + 1 + wrongs.partition_point(|wrong| wrong >= score))
        .collect();
    let found = ranks.iter().enumerate();
    let precision: f64 = found.map(|(n, &rank)| (n + 1) as f64 / rank as f64).sum();
    Some((*ranks.first()?, precision / ranks.len() as f64))
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

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
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
            order.swap(last, self.below(last + 1));
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
        let answers = [1, 2, 4, 20].map(|rank| Answer::new(0, 0, rank));
        let mean = |metric: Metric| answers.iter().map(|a| metric.of(a)).sum::<f64>() / 4.0;
        assert_eq!(mean(Metric::Recall(1)), 0.25);
        assert_eq!(mean(Metric::Recall(10)), 0.75);
        assert!((mean(Metric::Mrr) - (1.0 + 0.5 + 0.25 + 0.05) / 4.0).abs() < 1e-12);
        assert_eq!(mean(Metric::Map), mean(Metric::Mrr));
    }

    #[test]
    fn average_precision_of_several_right_answers() {
        let check = |scores: &[f32], right: &[usize], rank: usize, precision: f64| {
            let found = pessimistic_precision(scores, |i| (i != 9).then(|| right.contains(&i)));
            let (first, average) = found.expect("a right answer");
            assert_eq!(first, rank);
            assert!((average - precision).abs() < 1e-12, "{average}");
        };
        check(&[0.9, 0.8, 0.1], &[0, 1], 1, 1.0);
        check(&[0.9, 0.8, 0.7, 0.6], &[1, 3], 2, (0.5 + 0.5) / 2.0);
        // A tie counts against, what is not a number comes last, and position 9
        // takes no part.
        check(&[0.5, 0.5, f32::NAN], &[0], 2, 0.5);
        check(&[0.5, 0.4, f32::NAN], &[2], 3, 1.0 / 3.0);
        check(&[0.1, 0.0, 0., 0., 0., 0., 0., 0., 0., 0.9], &[0], 1, 1.0);
        assert_eq!(pessimistic_precision(&[0.5], |_| Some(false)), None);
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
