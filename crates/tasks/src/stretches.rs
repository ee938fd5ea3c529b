//! What the functions of one source file are, told together.
//!
//! Linkers lay the functions of a file side by side, and what a file is about (an
//! algorithm, a protocol) shows in few of them: the others add, copy and compare.
//! Where files begin is not known of a stripped program, so that every way to cut
//! the sequence of functions into stretches of one label is weighed: a segmental,
//! or semi-Markov, model (Ostendorf, Digalakis and Kimball, IEEE Transactions on
//! Speech and Audio Processing 4(5), 1996), whose sums are those of the
//! forward-backward algorithm over stretches instead of steps.

use crate::mentions;

/// The power of a function's shares: those of functions side by side are wrong
/// together, so that each is believed the less.
const BELIEF: f64 = 0.05;
/// The probability that a stretch ends behind a function, in programs of short
/// files and of long ones. Which kind a program is of is not known, and both
/// count alike.
const ENDS: [f64; 2] = [0.6, 0.08];
/// Functions of the longest stretch; a longer file is several.
const LONGEST: usize = 100;

/// The probabilities of the labels for each function, from its own `shares` of
/// them and how often it mentions each (`counts`, as
/// [`mentions::Labels::counts`] has it), for functions in the order of their
/// addresses. Only for labels of what whole files do.
///
/// The likelihood of a label for a stretch is the product of its functions' shares
/// to the power 0.05, each divided by the mean over the labels, and of
/// [`mentions::FACTOR`] to the power of the most mentions that one of them has: what
/// one says is said of all, and counts once. All labels are as likely beforehand,
/// and a stretch ends behind a function with probability 0.6, or 0.08: the answer
/// is the mean of both. The two fit the lengths of training packages' files best;
/// how the power was chosen stands in `docs/results/clap.md`.
pub fn in_stretches(shares: &[Vec<f32>], counts: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let functions = Functions::new(shares, counts);
    let (length, labels) = (functions.length(), functions.labels);
    let priors: Vec<[f64; ENDS.len()]> = (0..LONGEST).map(prior).collect();
    // The logarithm of the likelihood of what lies before each function, and of
    // it and what lies behind.
    let mut before = vec![[f64::NEG_INFINITY; ENDS.len()]; length + 1];
    let mut behind = before.clone();
    before[0] = [0.0; ENDS.len()];
    behind[length] = [0.0; ENDS.len()];
    let mut scratch = Scratch::default();
    for start in 0..length {
        let from = before[start];
        functions.stretches(start, &mut scratch, |end, weights| {
            let (all, priors) = (mean(weights).ln(), priors[end - start - 1]);
            for (guess, before) in before[end].iter_mut().enumerate() {
                *before = add(*before, from[guess] + all + priors[guess]);
            }
        });
    }
    // How the probabilities change from each function to the next.
    let mut changes = vec![0.0; (length + 1) * labels];
    for start in (0..length).rev() {
        let mut found = [f64::NEG_INFINITY; ENDS.len()];
        functions.stretches(start, &mut scratch, |end, weights| {
            let (all, priors) = (mean(weights).ln(), priors[end - start - 1]);
            let mut share = 0.0;
            for (guess, found) in found.iter_mut().enumerate() {
                let rest = behind[end][guess] + priors[guess];
                *found = add(*found, rest + all);
                share += (before[start][guess] + rest - before[length][guess]).exp();
            }
            if share < NEGLIGIBLE {
                return;
            }
            for (label, weight) in weights.iter().enumerate() {
                changes[start * labels + label] += share * weight;
                changes[end * labels + label] -= share * weight;
            }
        });
        behind[start] = found;
    }
    let mut now = vec![0.0; labels];
    let sums = changes.chunks_exact(labels.max(1)).take(length);
    sums.map(|changes| {
        let sums = now.iter_mut().zip(changes);
        sums.for_each(|(now, change)| *now += change);
        let total: f64 = now.iter().map(|&p: &f64| p.max(0.0)).sum();
        now.iter().map(|p| (p.max(0.0) / total) as f32).collect()
    })
    .collect()
}

/// What is left out of the sums, of a likelihood beside that of all.
const NEGLIGIBLE: f64 = 1e-12;

/// The logarithm of the probability that a stretch has so many functions and one
/// more, by each guess.
fn prior(more: usize) -> [f64; ENDS.len()] {
    ENDS.map(|ends| ends.ln() + more as f64 * (1.0 - ends).ln())
}

/// The logarithm of the sum of what `a` and `b` are logarithms of.
fn add(a: f64, b: f64) -> f64 {
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    match more == f64::NEG_INFINITY {
        true => more,
        false => more + (less - more).exp().ln_1p(),
    }
}

fn mean(weights: &[f64]) -> f64 {
    weights.iter().sum::<f64>() / weights.len() as f64
}

/// What functions say of labels.
struct Functions {
    labels: usize,
    /// For each function and label: its likelihood by its share, 1 in the mean.
    shares: Vec<f64>,
    /// The same by its mentions, 1 where there is none.
    raised: Vec<f64>,
}

/// Rows that one stretch after another is made in.
#[derive(Default)]
struct Scratch {
    products: Vec<f64>,
    raised: Vec<f64>,
    weights: Vec<f64>,
}

impl Functions {
    fn new(shares: &[Vec<f32>], counts: &[Vec<f32>]) -> Functions {
        let powers = shares.iter().flat_map(|shares| {
            let powers = shares.iter().map(|&share| f64::from(share).max(1e-9));
            let powers: Vec<f64> = powers.map(|share| share.powf(BELIEF)).collect();
            let mean = mean(&powers);
            powers.into_iter().map(move |power| power / mean)
        });
        let raised = counts.iter().flatten();
        Functions {
            labels: shares.first().map_or(0, Vec::len),
            shares: powers.collect(),
            raised: raised
                .map(|&count| f64::from(mentions::FACTOR).powf(count.into()))
                .collect(),
        }
    }

    fn length(&self) -> usize {
        self.shares.len() / self.labels.max(1)
    }

    /// Tells `each` of every stretch that begins at `start`: where it ends, and the
    /// likelihood of each label.
    fn stretches(
        &self,
        start: usize,
        Scratch {
            products,
            raised,
            weights,
        }: &mut Scratch,
        mut each: impl FnMut(usize, &[f64]),
    ) {
        products.clear();
        products.resize(self.labels, 1.0);
        raised.clone_from(products);
        weights.clone_from(products);
        for at in start..self.length().min(start + LONGEST) {
            let row = at * self.labels..(at + 1) * self.labels;
            let (shares, mentions) = (&self.shares[row.clone()], &self.raised[row]);
            for label in 0..self.labels {
                products[label] *= shares[label];
                raised[label] = raised[label].max(mentions[label]);
                weights[label] = products[label] * raised[label];
            }
            each(at + 1, weights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: [f32; 3] = [1.0 / 3.0; 3];

    /// All ways to cut a sequence, and all labels of each stretch, one by one.
    fn by_hand(shares: &[Vec<f32>], counts: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let (length, labels) = (shares.len(), shares[0].len());
        let mut found = vec![vec![0.0; labels]; length];
        for ends in ENDS {
            let mut sums = vec![vec![0.0; labels]; length];
            let mut total = 0.0;
            for cuts in 0..1 << (length - 1) {
                let mut firsts = vec![0];
                firsts.extend((1..length).filter(|at| cuts >> (at - 1) & 1 == 1));
                let lasts = firsts[1..].iter().copied().chain([length]);
                let stretches: Vec<_> = firsts.iter().copied().zip(lasts).collect();
                for told in 0..labels.pow(stretches.len() as u32) {
                    let label = |nth: usize| told / labels.pow(nth as u32) % labels;
                    let mut weight = 1.0;
                    for (nth, &(first, last)) in stretches.iter().enumerate() {
                        weight *= ends / labels as f64;
                        weight *= (1.0 - ends).powf((last - first - 1) as f64);
                        let mut most = 0.0f32;
                        for at in first..last {
                            let power = |share: &f32| f64::from(*share).powf(BELIEF);
                            let all: f64 = shares[at].iter().map(power).sum();
                            weight *= power(&shares[at][label(nth)]) * labels as f64 / all;
                            most = most.max(counts[at][label(nth)]);
                        }
                        weight *= f64::from(mentions::FACTOR.powf(most));
                    }
                    total += weight;
                    for (nth, &(first, last)) in stretches.iter().enumerate() {
                        for sums in &mut sums[first..last] {
                            sums[label(nth)] += weight;
                        }
                    }
                }
            }
            for (found, sums) in found.iter_mut().flatten().zip(sums.iter().flatten()) {
                *found += sums / total / ENDS.len() as f64;
            }
        }
        found
    }

    #[test]
    fn every_way_to_cut_the_sequence_is_weighed() {
        let shares = [
            vec![0.7, 0.2, 0.1],
            OPEN.to_vec(),
            vec![0.1, 0.1, 0.8],
            vec![0.05, 0.9, 0.05],
            OPEN.to_vec(),
        ];
        let mut counts = vec![vec![0.0; 3]; 5];
        (counts[1][0], counts[3][2], counts[4][2]) = (1.0, 0.5, 2.0);
        let found = in_stretches(&shares, &counts);
        for (found, expected) in found.iter().zip(by_hand(&shares, &counts)) {
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6,
                    "{found} {expected}"
                );
            }
        }
    }

    /// What one function mentions is said of those around it, until another one is
    /// mentioned; saying it again adds nothing.
    #[test]
    fn a_mention_tells_what_the_file_is() {
        let shares = vec![OPEN.to_vec(); 40];
        let mut counts = vec![vec![0.0; 3]; 40];
        (counts[5][0], counts[25][1]) = (2.0, 2.0);
        let once = in_stretches(&shares, &counts);
        assert!((0..15).all(|at| once[at][0] > once[at][1]), "{once:?}");
        assert!((16..40).all(|at| once[at][1] > once[at][0]), "{once:?}");
        assert!(once[0][0] > once[14][0] && once[39][1] > once[16][1]);
        let total = |shares: &Vec<f32>| shares.iter().sum::<f32>();
        assert!(once.iter().all(|shares| (total(shares) - 1.0).abs() < 1e-5));
        counts[2..9].fill(vec![2.0, 0.0, 0.0]);
        let again = in_stretches(&shares, &counts);
        assert!(
            (once[5][0] - again[5][0]).abs() < 0.02,
            "{} {}",
            once[5][0],
            again[5][0]
        );
    }

    /// Stretches are no longer than the longest, and shares of nothing and of
    /// thousands of functions are told.
    #[test]
    fn sequences_of_any_length_have_an_answer() {
        assert!(in_stretches(&[], &[]).is_empty());
        assert_eq!(in_stretches(&[vec![1.0]], &[vec![0.0]]), [[1.0]]);
        let sure = vec![vec![1.0, 0.0]; 3000];
        let told = in_stretches(&sure, &vec![vec![0.0; 2]; 3000]);
        assert!(told.iter().all(|shares| shares[0] > 0.85));
    }
}
