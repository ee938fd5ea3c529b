//! Scores made into probabilities, and whether those keep their word.

use serde::{Deserialize, Serialize};

/// A logistic model of a few features: the probability that an answer is right
/// (Platt 1999, with the features of one answer instead of one score).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// What the features are, in order.
    pub features: Vec<String>,
    /// A weight for each.
    pub weights: Vec<f64>,
    /// The constant.
    pub bias: f64,
}

/// One answer: its features, whether it was right, and how much it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// In the order of [`Logistic::features`].
    pub features: Vec<f64>,
    /// Whether the answer was right.
    pub right: bool,
    /// 1 for an ordinary observation.
    pub weight: f64,
}

impl Logistic {
    /// Fits by Newton's method with a weak ridge on standardised features.
    /// `None` where the observations are all right, all wrong, or fewer than
    /// twenty: nothing can be learned from those.
    pub fn fit(features: &[&str], observations: &[Observation]) -> Option<Logistic> {
        const RIDGE: f64 = 1e-2;
        let right = observations.iter().filter(|o| o.right).count();
        if observations.len() < 20 || right == 0 || right == observations.len() {
            return None;
        }
        let n = features.len();
        let total: f64 = observations.iter().map(|o| o.weight).sum();
        let mean: Vec<f64> = (0..n)
            .map(|j| {
                observations
                    .iter()
                    .map(|o| o.weight * o.features[j])
                    .sum::<f64>()
                    / total
            })
            .collect();
        let deviation: Vec<f64> = (0..n)
            .map(|j| {
                let square = |o: &Observation| o.weight * (o.features[j] - mean[j]).powi(2);
                (observations.iter().map(square).sum::<f64>() / total)
                    .sqrt()
                    .max(1e-9)
            })
            .collect();
        let standard: Vec<Vec<f64>> = observations
            .iter()
            .map(|o| {
                let scaled = (0..n).map(|j| (o.features[j] - mean[j]) / deviation[j]);
                std::iter::once(1.0).chain(scaled).collect()
            })
            .collect();

        let mut weights = vec![0.0; n + 1];
        for _ in 0..50 {
            let mut gradient = vec![0.0; n + 1];
            let mut hessian = vec![vec![0.0; n + 1]; n + 1];
            for (row, observation) in standard.iter().zip(observations) {
                let p = sigmoid(row.iter().zip(&weights).map(|(x, w)| x * w).sum());
                let error = observation.weight * (p - if observation.right { 1.0 } else { 0.0 });
                let curvature = observation.weight * (p * (1.0 - p)).max(1e-9);
                for j in 0..=n {
                    gradient[j] += error * row[j];
                    for k in 0..=n {
                        hessian[j][k] += curvature * row[j] * row[k];
                    }
                }
            }
            for j in 1..=n {
                gradient[j] += RIDGE * total * 1e-2 * weights[j];
                hessian[j][j] += RIDGE * total * 1e-2;
            }
            let step = solve(hessian, gradient)?;
            let largest = step.iter().fold(0.0f64, |a, s| a.max(s.abs()));
            // A full Newton step may overshoot on nearly separable data.
            let scale = if largest > 2.0 { 2.0 / largest } else { 1.0 };
            weights
                .iter_mut()
                .zip(&step)
                .for_each(|(w, s)| *w -= scale * s);
            if largest < 1e-8 {
                break;
            }
        }
        let plain: Vec<f64> = (0..n).map(|j| weights[j + 1] / deviation[j]).collect();
        let bias = weights[0] - plain.iter().zip(&mean).map(|(w, m)| w * m).sum::<f64>();
        Some(Logistic {
            features: features.iter().map(|name| (*name).to_owned()).collect(),
            weights: plain,
            bias,
        })
    }

    /// The probability that an answer with these features is right.
    pub fn probability(&self, features: &[f64]) -> f64 {
        sigmoid(
            self.bias
                + self
                    .weights
                    .iter()
                    .zip(features)
                    .map(|(w, x)| w * x)
                    .sum::<f64>(),
        )
    }

    /// Compares what was promised with what came true on `observations`.
    pub fn reliability(&self, observations: &[Observation]) -> Reliability {
        let mut bins = vec![(0.0, 0.0, 0.0, 0usize); 10];
        let mut brier = 0.0;
        let mut total = 0.0;
        for observation in observations {
            let p = self.probability(&observation.features);
            let outcome = if observation.right { 1.0 } else { 0.0 };
            let bin = &mut bins[((p * 10.0) as usize).min(9)];
            bin.0 += observation.weight * p;
            bin.1 += observation.weight * outcome;
            bin.2 += observation.weight;
            bin.3 += 1;
            brier += observation.weight * (p - outcome).powi(2);
            total += observation.weight;
        }
        let total = if total > 0.0 { total } else { 1.0 };
        let bins: Vec<Bin> = bins
            .into_iter()
            .filter(|(_, _, weight, _)| *weight > 0.0)
            .map(|(promised, came, weight, answers)| Bin {
                answers,
                share: weight / total,
                promised: promised / weight,
                came_true: came / weight,
            })
            .collect();
        Reliability {
            answers: observations.len(),
            right: observations.iter().filter(|o| o.right).count(),
            expected_calibration_error: bins
                .iter()
                .map(|bin| bin.share * (bin.promised - bin.came_true).abs())
                .sum(),
            brier: brier / total,
            bins,
        }
    }
}

/// How well a model's probabilities came true.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// How many answers were looked at.
    pub answers: usize,
    /// How many of them were right.
    pub right: usize,
    /// The expected calibration error over ten equal bins (Guo et al., ICML
    /// 2017, section 2).
    pub expected_calibration_error: f64,
    /// The mean squared error of the probabilities.
    pub brier: f64,
    /// The bins that have answers.
    pub bins: Vec<Bin>,
}

impl Reliability {
    /// The share of the answers that were right, where some were and some not.
    pub fn share_right(&self) -> Option<f64> {
        let share = self.right as f64 / self.answers as f64;
        (share > 0.0 && share < 1.0).then_some(share)
    }
}

/// Answers of like confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub answers: usize,
    /// Their share of all answers, by weight.
    pub share: f64,
    /// Their mean probability.
    pub promised: f64,
    /// The share of them that was right.
    pub came_true: f64,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Solves `a x = b` by elimination with pivots; `None` where `a` is singular.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for column in 0..n {
        let pivot =
            (column..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        if a[pivot][column].abs() < 1e-12 {
            return None;
        }
        a.swap(column, pivot);
        b.swap(column, pivot);
        let (above, below) = a.split_at_mut(column + 1);
        for (offset, row) in below.iter_mut().enumerate() {
            let factor = row[column] / above[column][column];
            row.iter_mut()
                .zip(&above[column])
                .skip(column)
                .for_each(|(x, p)| *x -= factor * p);
            b[column + 1 + offset] -= factor * b[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| a[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Shuffler;

    /// Observations whose probability of being right is known.
    fn drawn(n: usize, seed: u64) -> Vec<Observation> {
        let order = Shuffler::new(seed).permutation(n * 1000);
        (0..n)
            .map(|i| {
                let x = (order[i] % 1000) as f64 / 250.0 - 2.0;
                let noise = (order[n + i] % 1000) as f64 / 1000.0;
                let right = noise < sigmoid(2.0 * x - 0.5);
                Observation {
                    features: vec![x, noise * 0.0 + 3.0],
                    right,
                    weight: 1.0,
                }
            })
            .collect()
    }

    #[test]
    fn finds_the_model_that_made_the_data() {
        let model = Logistic::fit(&["x", "constant"], &drawn(4000, 1)).expect("a fit");
        assert!((model.weights[0] - 2.0).abs() < 0.25, "{model:?}");
        let held_out = model.reliability(&drawn(4000, 2));
        assert!(held_out.expected_calibration_error < 0.03, "{held_out:?}");
        assert_eq!(held_out.answers, 4000);
    }

    #[test]
    fn refuses_what_cannot_be_learned_from() {
        let one = Observation {
            features: vec![1.0],
            right: true,
            weight: 1.0,
        };
        assert!(Logistic::fit(&["x"], &vec![one; 50]).is_none());
        assert!(Logistic::fit(&["x"], &[]).is_none());
    }

    #[test]
    fn separable_data_stay_finite() {
        let observations: Vec<Observation> = (0..100)
            .map(|i| Observation {
                features: vec![f64::from(i)],
                right: i >= 50,
                weight: 1.0,
            })
            .collect();
        let model = Logistic::fit(&["x"], &observations).expect("a fit");
        assert!(model.probability(&[0.0]) < 0.1 && model.probability(&[99.0]) > 0.9);
    }
}
