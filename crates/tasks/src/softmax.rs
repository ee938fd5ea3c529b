//! Multinomial logistic regression: a linear probe over frozen vectors, and a
//! supervised classifier over counts of words.

use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::sparse::Sparse;
use crate::tags::softmax;

/// What a classifier sees of each item.
#[derive(Debug)]
pub enum Features {
    /// Vectors of a model.
    Dense(Matrix),
    /// Counts of words: vectors, and one more than their largest feature.
    Sparse(Vec<Sparse>, usize),
}

impl Features {
    fn width(&self) -> usize {
        match self {
            Features::Dense(matrix) => matrix.width(),
            Features::Sparse(_, width) => *width,
        }
    }

    /// Calls `visit` with each feature that item `index` has.
    fn each(&self, index: usize, mut visit: impl FnMut(usize, f32)) {
        match self {
            Features::Dense(matrix) => {
                let values = matrix.row(index).iter().enumerate();
                values.for_each(|(feature, value)| visit(feature, *value));
            }
            Features::Sparse(vectors, width) => vectors[index]
                .iter()
                .filter(|(feature, _)| (*feature as usize) < *width)
                .for_each(|(feature, value)| visit(*feature as usize, *value)),
        }
    }
}

/// A model of the probability of each class.
#[derive(Debug, Clone)]
pub struct Softmax {
    classes: usize,
    /// A row of weights for each feature, one for each class, and a last row of
    /// constants.
    weights: Vec<f32>,
}

/// Rounds of L-BFGS at most: a fit that has not ended by then is regularised by
/// that.
const ROUNDS: usize = 100;
/// Steps that L-BFGS remembers.
const MEMORY: usize = 8;

impl Softmax {
    /// Fits to `items`, pairs of an item's index and its class, with L2
    /// regularisation of strength `ridge` on the mean loss; the constants are
    /// not regularised.
    ///
    /// By L-BFGS (Liu and Nocedal 1989) with a line search that halves.
    pub fn fit(
        features: &Features,
        items: &[(usize, usize)],
        classes: usize,
        ridge: f32,
    ) -> Softmax {
        let zero = vec![0.0; (features.width() + 1) * classes];
        if items.is_empty() || classes == 0 {
            return Softmax {
                classes,
                weights: zero,
            };
        }
        let loss = |weights: &[f32]| loss(features, items, classes, ridge, weights);
        Softmax {
            classes,
            weights: minimise(zero, loss),
        }
    }

    /// The probability of each class for item `index`.
    pub fn probabilities(&self, features: &Features, index: usize) -> Vec<f32> {
        softmax(&logits(features, index, self.classes, &self.weights), 1.0)
    }
}

fn logits(features: &Features, index: usize, classes: usize, weights: &[f32]) -> Vec<f32> {
    let mut logits = weights[weights.len() - classes..].to_vec();
    features.each(index, |feature, value| {
        let row = &weights[feature * classes..][..classes];
        logits
            .iter_mut()
            .zip(row)
            .for_each(|(sum, w)| *sum += w * value);
    });
    logits
}

/// The mean cross-entropy with its regularisation, and its gradient.
fn loss(
    features: &Features,
    items: &[(usize, usize)],
    classes: usize,
    ridge: f32,
    weights: &[f32],
) -> (f64, Vec<f32>) {
    let part = items.len().div_ceil(rayon::current_num_threads()).max(64);
    let parts: Vec<(f64, Vec<f32>)> = items
        .par_chunks(part)
        .map(|items| {
            let mut gradient = vec![0.0f32; weights.len()];
            let mut sum = 0.0;
            let constants = weights.len() - classes;
            for &(index, class) in items {
                let mut error = softmax(&logits(features, index, classes, weights), 1.0);
                sum -= f64::from(error[class].max(1e-30)).ln();
                error[class] -= 1.0;
                features.each(index, |feature, value| {
                    let row = &mut gradient[feature * classes..][..classes];
                    row.iter_mut()
                        .zip(&error)
                        .for_each(|(g, e)| *g += e * value);
                });
                let row = &mut gradient[constants..];
                row.iter_mut().zip(&error).for_each(|(g, e)| *g += e);
            }
            (sum, gradient)
        })
        .collect();
    let n = items.len() as f32;
    let mut total = 0.0;
    let mut gradient = vec![0.0f32; weights.len()];
    for (sum, part) in parts {
        total += sum;
        gradient.iter_mut().zip(part).for_each(|(g, p)| *g += p / n);
    }
    let regularised = weights.len() - classes;
    let mut square = 0.0;
    for (g, w) in gradient.iter_mut().zip(weights).take(regularised) {
        *g += ridge * w;
        square += f64::from(w * w);
    }
    (
        total / f64::from(n) + 0.5 * f64::from(ridge) * square,
        gradient,
    )
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum()
}

/// One step that was taken: how the place and the gradient changed.
struct Step {
    place: Vec<f32>,
    gradient: Vec<f32>,
    /// The product of the two.
    curvature: f64,
}

/// The direction that L-BFGS goes in (its two-loop recursion), downhill.
fn direction(gradient: &[f32], steps: &[Step]) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut factors = Vec::with_capacity(steps.len());
    let add = |to: &mut [f32], factor: f64, from: &[f32]| {
        let factor = factor as f32;
        to.iter_mut().zip(from).for_each(|(x, y)| *x += factor * y);
    };
    for step in steps.iter().rev() {
        let factor = product(&step.place, &direction) / step.curvature;
        add(&mut direction, -factor, &step.gradient);
        factors.push(factor);
    }
    if let Some(last) = steps.last() {
        let scale = (last.curvature / product(&last.gradient, &last.gradient)) as f32;
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, factor) in steps.iter().zip(factors.iter().rev()) {
        let back = product(&step.gradient, &direction) / step.curvature;
        add(&mut direction, factor - back, &step.place);
    }
    direction
}

fn minimise(start: Vec<f32>, loss: impl Fn(&[f32]) -> (f64, Vec<f32>)) -> Vec<f32> {
    let mut place = start;
    let (mut value, mut gradient) = loss(&place);
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..ROUNDS {
        let towards = direction(&gradient, &steps);
        let slope = product(&gradient, &towards);
        if slope > -1e-10 {
            break;
        }
        let Some((next, next_value, next_gradient)) = search(&place, value, slope, &towards, &loss)
        else {
            break;
        };
        let gained = value - next_value;
        let step = Step {
            place: next.iter().zip(&place).map(|(a, b)| a - b).collect(),
            gradient: next_gradient
                .iter()
                .zip(&gradient)
                .map(|(a, b)| a - b)
                .collect(),
            curvature: 0.0,
        };
        let curvature = product(&step.place, &step.gradient);
        if curvature > 1e-12 {
            steps.push(Step { curvature, ..step });
            if steps.len() > MEMORY {
                steps.remove(0);
            }
        }
        (place, value, gradient) = (next, next_value, next_gradient);
        if gained < 1e-6 * value.abs() {
            break;
        }
    }
    place
}

/// A place in the direction `towards` that is lower by enough (Armijo), with
/// its value and its gradient.
fn search(
    place: &[f32],
    value: f64,
    slope: f64,
    towards: &[f32],
    loss: impl Fn(&[f32]) -> (f64, Vec<f32>),
) -> Option<(Vec<f32>, f64, Vec<f32>)> {
    let mut length = 1.0f32;
    for _ in 0..20 {
        let next: Vec<f32> = place
            .iter()
            .zip(towards)
            .map(|(x, d)| x + length * d)
            .collect();
        let (next_value, gradient) = loss(&next);
        if next_value <= value + 1e-4 * f64::from(length) * slope {
            return Some((next, next_value, gradient));
        }
        length *= 0.5;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes on three sides of the plane, with points that do not fit.
    fn plane() -> (Vec<[f32; 2]>, Vec<(usize, usize)>) {
        let corners = [[1.0f32, 0.0], [-0.5, 0.9], [-0.5, -0.9]];
        let mut rows = Vec::new();
        let mut items = Vec::new();
        for i in 0..300usize {
            let class = i % 3;
            let shift = |n: usize| ((i * n) % 17) as f32 / 17.0 - 0.5;
            rows.push([corners[class][0] + shift(7), corners[class][1] + shift(5)]);
            items.push((i, if i % 50 == 0 { (class + 1) % 3 } else { class }));
        }
        (rows, items)
    }

    #[test]
    fn classes_are_learned_alike_from_dense_and_sparse_vectors() {
        let (rows, items) = plane();
        let sparse = rows.iter().map(|r| vec![(0, r[0]), (1, r[1])]).collect();
        let dense = Features::Dense(Matrix::from_rows(&rows));
        let sparse = Features::Sparse(sparse, 2);
        for features in [&dense, &sparse] {
            let model = Softmax::fit(features, &items, 3, 1e-4);
            let right = items.iter().filter(|(index, class)| {
                let p = model.probabilities(features, *index);
                crate::top(&p, 1)[0].0 == *class
            });
            assert!(right.count() > 285);
        }
        let at = |features: &Features| {
            Softmax::fit(features, &items, 3, 1e-2).probabilities(features, 5)
        };
        let (a, b) = (at(&dense), at(&sparse));
        assert!(
            a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-3),
            "{a:?} {b:?}"
        );
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (rows, items) = plane();
        let features = Features::Dense(Matrix::from_rows(&rows));
        let mut weights: Vec<f32> = (0..9).map(|i| (i as f32 - 4.0) / 8.0).collect();
        let of = |weights: &[f32]| loss(&features, &items, 3, 0.1, weights);
        let gradient = of(&weights).1;
        for index in 0..weights.len() {
            const STEP: f32 = 1e-2;
            let own = weights[index];
            weights[index] = own + STEP;
            let above = of(&weights).0;
            weights[index] = own - STEP;
            let slope = (above - of(&weights).0) / f64::from(2.0 * STEP);
            weights[index] = own;
            assert!((slope - f64::from(gradient[index])).abs() < 1e-3, "{index}");
        }
    }

    #[test]
    fn a_strong_ridge_leaves_the_shares_of_the_classes() {
        let features = Features::Dense(Matrix::from_rows(&[[1.0f32], [2.0], [-1.0], [0.5]]));
        let items = [(0, 0), (1, 0), (2, 1), (3, 0)];
        let model = Softmax::fit(&features, &items, 2, 10.0);
        assert!((model.probabilities(&features, 2)[0] - 0.75).abs() < 0.05);
        let none = Softmax::fit(&features, &[], 2, 1.0);
        assert_eq!(none.probabilities(&features, 0), [0.5, 0.5]);
    }
}
