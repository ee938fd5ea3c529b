//! Confidence intervals by resampling (Efron 1979), the percentiles of a
//! statistic over samples drawn with replacement from what was measured.
//!
//! What is drawn are units: a function with all its builds, or a package with
//! all its functions. Builds of one function fare alike, so that drawing them
//! one by one would promise too much.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::metrics::{Answer, Metric, Shuffler};

/// How many samples are drawn.
pub const RESAMPLES: usize = 1000;
/// The fewest packages over which an interval is computed: among fewer, hardly
/// any two samples differ.
pub const LEAST_PACKAGES: usize = 5;

/// A figure with its 95 % intervals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The figure.
    pub value: f64,
    /// Its interval, resampled over queries; none where the figure was computed
    /// and not measured.
    pub interval: Option<[f64; 2]>,
    /// The same resampled over packages; none where there are too few.
    pub by_package: Option<[f64; 2]>,
}

impl Value {
    /// A figure that was computed and not measured.
    pub fn exact(value: f64) -> Value {
        Value {
            value,
            interval: None,
            by_package: None,
        }
    }
}

/// The 2.5th and the 97.5th percentile of each of the statistics that
/// `statistic` computes from how often each of `units` was drawn.
pub fn intervals(
    units: usize,
    seed: u64,
    statistic: impl Fn(&[f64], &mut Shuffler) -> Vec<f64> + Sync,
) -> Vec<Option<[f64; 2]>> {
    if units == 0 {
        return Vec::new();
    }
    let draws: Vec<Vec<f64>> = (0..RESAMPLES as u64)
        .into_par_iter()
        .map(|number| {
            let mut shuffler =
                Shuffler::new(seed ^ (number + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
            let times = draw(units, &mut shuffler);
            statistic(&times, &mut shuffler)
        })
        .collect();
    let statistics = draws.first().map_or(0, Vec::len);
    (0..statistics)
        .map(|index| percentiles(draws.iter().map(|draw| draw[index]).collect()))
        .collect()
}

/// How often each of `units` comes up where as many are drawn.
pub(crate) fn draw(units: usize, shuffler: &mut Shuffler) -> Vec<f64> {
    let mut times = vec![0.0; units];
    for _ in 0..units {
        times[shuffler.below(units)] += 1.0;
    }
    times
}

fn percentiles(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    let at = |share: f64| values[(share * last).round() as usize];
    Some([at(0.025), at(0.975)])
}

/// One more than the largest number that `number` gives.
fn size<T>(items: &[T], number: impl Fn(&T) -> u32) -> usize {
    items
        .iter()
        .map(number)
        .max()
        .map_or(0, |most| most as usize + 1)
}

/// Any figures of `items` with their intervals: `statistics` computes them from
/// the weight of each item, `unit` and `package` say what is drawn together. A
/// statistic that has more to draw does so where it is given a generator.
pub fn values<T: Sync>(
    items: &[T],
    unit: impl Fn(&T) -> u32 + Sync,
    package: impl Fn(&T) -> u32 + Sync,
    seed: u64,
    statistics: impl Fn(&[f64], Option<&mut Shuffler>) -> Vec<f64> + Sync,
) -> Vec<Value> {
    let spread = |times: &[f64], number: &(dyn Fn(&T) -> u32 + Sync)| -> Vec<f64> {
        items
            .iter()
            .map(|item| times[number(item) as usize])
            .collect()
    };
    let plain = statistics(&vec![1.0; items.len()], None);
    let by_unit = intervals(size(items, &unit), seed, |times, shuffler| {
        statistics(&spread(times, &unit), Some(shuffler))
    });
    let mut packages: Vec<u32> = items.iter().map(&package).collect();
    packages.sort_unstable();
    packages.dedup();
    let position = |item: &T| packages.partition_point(|p| *p < package(item)) as u32;
    let by_package = if packages.len() < LEAST_PACKAGES {
        Vec::new()
    } else {
        intervals(packages.len(), seed, |times, shuffler| {
            statistics(&spread(times, &position), Some(shuffler))
        })
    };
    plain
        .into_iter()
        .enumerate()
        .map(|(index, value)| Value {
            value,
            interval: by_unit.get(index).copied().flatten(),
            by_package: by_package.get(index).copied().flatten(),
        })
        .collect()
}

/// The figures of ranked answers: of each of `strata` its mean, and the mean of
/// those, as jTrans averages its six pairs.
pub fn ranked(
    strata: &[&[Answer]],
    metrics: &[Metric],
    seed: u64,
) -> std::collections::BTreeMap<String, Value> {
    let items: Vec<(usize, &Answer)> = strata
        .iter()
        .enumerate()
        .flat_map(|(stratum, answers)| answers.iter().map(move |answer| (stratum, answer)))
        .collect();
    let statistics = |weights: &[f64], _: Option<&mut Shuffler>| -> Vec<f64> {
        let mut sums = vec![vec![0.0; metrics.len() + 1]; strata.len()];
        for ((stratum, answer), weight) in items.iter().zip(weights) {
            if *weight > 0.0 {
                let sums = &mut sums[*stratum];
                sums[metrics.len()] += weight;
                for (sum, metric) in sums.iter_mut().zip(metrics) {
                    *sum += weight * metric.of(answer);
                }
            }
        }
        sums.retain(|sums| sums[metrics.len()] > 0.0);
        let mean = |metric: usize| {
            let of = |sums: &Vec<f64>| sums[metric] / sums[metrics.len()];
            sums.iter().map(of).sum::<f64>() / sums.len() as f64
        };
        (0..metrics.len()).map(mean).collect()
    };
    let found = values(
        &items,
        |(_, a)| a.unit,
        |(_, a)| a.package,
        seed,
        statistics,
    );
    metrics
        .iter()
        .map(|metric| metric.name())
        .zip(found)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(n: u32, right: impl Fn(u32) -> bool) -> Vec<Answer> {
        (0..n)
            .map(|unit| Answer::new(unit, unit % 6, if right(unit) { 1 } else { 2 }))
            .collect()
    }

    #[test]
    fn an_interval_covers_what_it_should() {
        let found = answers(400, |unit| unit % 4 == 0);
        let recall = ranked(&[&found], &[Metric::Recall(1)], 1)["recall_1"];
        assert_eq!(recall.value, 0.25);
        // The normal approximation says 0.25 +- 1.96 * sqrt(0.25 * 0.75 / 400).
        let [low, high] = recall.interval.expect("an interval");
        assert!(
            (low - 0.2076).abs() < 0.012 && (high - 0.2924).abs() < 0.012,
            "{recall:?}"
        );
        assert!(recall.by_package.is_some());
        assert_eq!(
            ranked(&[&found], &[Metric::Recall(1)], 1)["recall_1"],
            recall
        );
    }

    #[test]
    fn builds_of_one_function_are_drawn_together() {
        let alone = answers(40, |unit| unit % 2 == 0);
        let ten_times: Vec<Answer> = alone.iter().flat_map(|a| [*a; 10]).collect();
        let width = |found: &[Answer]| {
            let [low, high] = ranked(&[found], &[Metric::Mrr], 3)["mrr"]
                .interval
                .expect("some");
            high - low
        };
        assert!((width(&alone) - width(&ten_times)).abs() < 1e-9);
    }

    #[test]
    fn a_mean_of_comparisons_counts_each_alike() {
        let (all, none) = (answers(10, |_| true), answers(1000, |_| false));
        let mean = ranked(&[&all, &none], &[Metric::Recall(1)], 1)["recall_1"];
        assert_eq!(mean.value, 0.5);
        assert!(ranked(&[], &[Metric::Mrr], 1)["mrr"].value.is_nan());
    }

    #[test]
    fn few_packages_give_no_interval() {
        let mut found = answers(50, |unit| unit % 3 == 0);
        found.iter_mut().for_each(|answer| answer.package %= 4);
        assert_eq!(ranked(&[&found], &[Metric::Mrr], 1)["mrr"].by_package, None);
    }
}
