//! Classification of functions and of files: zero-shot, by probes, and by
//! baselines, on packages that nothing was trained on.
//!
//! Every method gives each labelled build of a function a score for every label.
//! A file is judged by the mean of its functions' scores after a softmax: each
//! function votes with its share, and one that could be anything, as most of a
//! file's helpers could, votes for nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

use crate::bootstrap::{self, Value};
use crate::compact::Compact;
use crate::evidence;
use crate::matrix::{self, Matrix};
use crate::mentions::{self, Mentions, Whole};
use crate::metrics::Shuffler;
use crate::report::Figure;
use crate::sample::Sample;
use crate::softmax::{Features, Softmax};
use crate::sparse::{self, Sparse, TfIdf, sparse_scores};
use crate::stretches::in_stretches;
use crate::tags::{Backgrounds, softmax};
use crate::zero_shot::TEMPERATURE;

/// The fewest functions of the packages asked about that a label must have.
pub const LEAST_FUNCTIONS: usize = 5;
/// Strengths of regularisation, of which one is chosen on functions apart from
/// those learned from and those asked about.
const RIDGES: [f32; 4] = [1e-6, 1e-5, 1e-4, 1e-3];

/// The scores of the labels for one item.
pub type Scores = Vec<f32>;

/// Labelled builds of functions, of the training packages, of others on which
/// choices are made, and of those asked about, in this order.
#[derive(Debug)]
pub struct Task<'s> {
    /// The labels.
    pub labels: Vec<String>,
    samples: Vec<&'s Sample>,
    classes: Vec<usize>,
    train: usize,
    tune: usize,
}

/// The packages of a task.
#[derive(Debug, Clone, Copy)]
pub struct Splits<'s> {
    /// To learn from.
    pub train: &'s [&'s Sample],
    /// To make choices on; may be empty.
    pub tune: &'s [&'s Sample],
    /// To be asked about.
    pub test: &'s [&'s Sample],
}

impl<'s> Task<'s> {
    /// The functions that have one of the labels that enough functions of the
    /// packages asked about have; at most `most` builds to learn from, drawn by
    /// `seed`.
    ///
    /// Where the functions to make choices on have fewer than half of the labels,
    /// every fifth function to learn from is set apart for that instead.
    pub fn new(
        splits: Splits<'s>,
        label: impl Fn(&Sample) -> Option<String> + Sync,
        most: usize,
        seed: u64,
    ) -> Task<'s> {
        type Labelled<'s> = Vec<(&'s Sample, String)>;
        let labelled = |samples: &[&'s Sample]| -> Labelled<'s> {
            let of = |sample: &&'s Sample| Some((*sample, label(sample)?));
            samples.par_iter().filter_map(of).collect()
        };
        let test = labelled(splits.test);
        let mut functions: BTreeMap<&String, BTreeSet<&str>> = BTreeMap::new();
        for (sample, label) in &test {
            functions
                .entry(label)
                .or_default()
                .insert(&sample.function_id);
        }
        functions.retain(|_, functions| functions.len() >= LEAST_FUNCTIONS);
        let labels: Vec<String> = functions.into_keys().cloned().collect();
        let known = |all: Labelled<'s>| -> Vec<(&'s Sample, usize)> {
            let class = |label: &String| labels.binary_search(label).ok();
            let of = |(sample, label): (&'s Sample, String)| Some((sample, class(&label)?));
            all.into_iter().filter_map(of).collect()
        };
        let mut train = known(labelled(splits.train));
        if train.len() > most {
            let order = Shuffler::new(seed).permutation(train.len());
            train = order[..most].iter().map(|&index| train[index]).collect();
        }
        let mut tune = known(labelled(splits.tune));
        let covered: BTreeSet<usize> = tune.iter().map(|(_, class)| *class).collect();
        if covered.len() * 2 < labels.len() {
            (tune, train) = train.into_iter().partition(|(sample, _)| {
                blake3::hash(sample.function_id.as_bytes()).as_bytes()[0].is_multiple_of(5)
            });
        }
        let (trained, tuned) = (train.len(), tune.len());
        let all = train.into_iter().chain(tune).chain(known(test));
        let (samples, classes) = all.unzip();
        Task {
            labels,
            samples,
            classes,
            train: trained,
            tune: tuned,
        }
    }

    /// All builds: what vectors are wanted of, in this order.
    pub fn samples(&self) -> &[&'s Sample] {
        &self.samples
    }

    /// The builds asked about.
    pub fn asked(&self) -> &[&'s Sample] {
        &self.samples[self.train + self.tune..]
    }

    /// The labels that no function to learn from has: what is learned can only
    /// be wrong about these.
    pub fn unlearned(&self) -> Vec<&str> {
        let there: HashSet<usize> = self.classes[..self.train].iter().copied().collect();
        let missing = self.labels.iter().enumerate();
        let missing = missing.filter(|(class, _)| !there.contains(class));
        missing.map(|(_, label)| label.as_str()).collect()
    }

    /// How many functions of each label are learned from and asked about.
    pub fn counts(&self) -> Vec<(&str, usize, usize)> {
        let count = |range: std::ops::Range<usize>, class: usize| {
            let of = range.filter(|&index| self.classes[index] == class);
            let functions: HashSet<&str> = of
                .map(|index| self.samples[index].function_id.as_str())
                .collect();
            functions.len()
        };
        let labels = self.labels.iter().enumerate();
        labels
            .map(|(class, label)| {
                let learned = count(0..self.train, class);
                (label.as_str(), learned, count(self.test_range(), class))
            })
            .collect()
    }

    fn items(&self, range: std::ops::Range<usize>) -> Vec<(usize, usize)> {
        range.map(|index| (index, self.classes[index])).collect()
    }

    fn train_items(&self) -> Vec<(usize, usize)> {
        self.items(0..self.train)
    }

    fn tune_items(&self) -> Vec<(usize, usize)> {
        self.items(self.train..self.train + self.tune)
    }

    fn test_range(&self) -> std::ops::Range<usize> {
        self.train + self.tune..self.samples.len()
    }

    /// `shots` builds of each label to learn from, of as many functions, drawn
    /// by `seed`; all where a label has no more.
    fn shots(&self, shots: usize, seed: u64) -> Vec<(usize, usize)> {
        let mut taken: Vec<HashSet<&str>> = vec![HashSet::new(); self.labels.len()];
        let mut drawn = Vec::new();
        for index in Shuffler::new(seed).permutation(self.train) {
            let class = self.classes[index];
            let taken = &mut taken[class];
            if taken.len() < shots && taken.insert(&self.samples[index].function_id) {
                drawn.push((index, class));
            }
        }
        drawn
    }
}

/// Scores by the cosines of the asked builds' vectors with the labels'.
pub fn by_prompts(task: &Task<'_>, vectors: &Matrix, labels: &Matrix) -> Vec<Scores> {
    let asked: Vec<usize> = task.test_range().collect();
    vectors
        .select(&asked)
        .against(labels, |_, cosines| softmax(cosines, TEMPERATURE))
}

/// The same with what is usual for each label taken away: its mean cosine with
/// `background`, functions of all kinds. Some prompts are near to everything.
pub fn by_calibrated_prompts(
    task: &Task<'_>,
    vectors: &Matrix,
    labels: &Matrix,
    background: &Compact,
) -> Vec<Scores> {
    let asked: Vec<usize> = task.test_range().collect();
    calibrated_shares(&vectors.select(&asked), labels, background)
}

/// The shares of the labels for each of `vectors`, calibrated so.
fn calibrated_shares(vectors: &Matrix, labels: &Matrix, background: &Compact) -> Vec<Scores> {
    let backgrounds = Backgrounds::new(labels.clone(), background);
    let above = backgrounds.above(vectors);
    above.iter().map(|a| softmax(a, TEMPERATURE)).collect()
}

/// The same together with those of the functions around each asked build, with
/// mentions counted in ([`in_stretches`]): `all` are the functions of their
/// packages, labelled or not, and `vectors` theirs. Those around are those of the
/// same build, in the order of file and line: as linkers lay functions, but for
/// what compilers reorder. Where a file ends is not told.
pub fn among_neighbours(
    task: &Task<'_>,
    all: &[&Sample],
    vectors: &Matrix,
    (labels, background): (&Matrix, &Compact),
    mentioned: &mentions::Labels,
) -> Vec<Scores> {
    let shares = calibrated_shares(vectors, labels, background);
    let counts: Vec<Vec<f32>> = (all.par_iter())
        .map(|sample| mentioned.counts(&Mentions::of(&sample.listing)))
        .collect();
    let mut builds: BTreeMap<(&str, String), Vec<usize>> = BTreeMap::new();
    for (index, sample) in all.iter().enumerate() {
        let build = (sample.package.as_str(), sample.toolchain());
        builds.entry(build).or_default().push(index);
    }
    let mut near: HashMap<*const Sample, Scores> = HashMap::new();
    for mut build in builds.into_values() {
        build.sort_by_key(|&index| (&all[index].file, all[index].line, &all[index].name));
        let of_build = |all: &[Vec<f32>]| -> Vec<Vec<f32>> {
            build.iter().map(|&index| all[index].clone()).collect()
        };
        let told = in_stretches(&of_build(&shares), &of_build(&counts));
        let samples = build.iter().map(|&index| std::ptr::from_ref(all[index]));
        near.extend(samples.zip(told));
    }
    let alone = vec![1.0; task.labels.len()];
    let asked = task.asked().iter();
    asked
        .map(|&sample| {
            near.get(&std::ptr::from_ref(sample))
                .unwrap_or(&alone)
                .clone()
        })
        .collect()
}

/// Scores of a multinomial logistic regression on the builds `learned`, its
/// regularisation chosen among several.
fn regression(
    task: &Task<'_>,
    features: &Features,
    learned: &[(usize, usize)],
    ridge: f32,
) -> Vec<Scores> {
    let model = Softmax::fit(features, learned, task.labels.len(), ridge);
    let asked = task.test_range().into_par_iter();
    asked
        .map(|index| model.probabilities(features, index))
        .collect()
}

/// The regularisation that does best on the builds set apart, over several
/// sets to learn from.
fn choose_ridge(task: &Task<'_>, features: &Features, learned: &[Vec<(usize, usize)>]) -> f32 {
    let apart = task.tune_items();
    let right = |ridge: f32| -> usize {
        let sets = learned.iter().map(|learned| {
            let model = Softmax::fit(features, learned, task.labels.len(), ridge);
            let hit = |(index, class): &&(usize, usize)| {
                predicted(&model.probabilities(features, *index), *class) == *class
            };
            apart.par_iter().filter(hit).count()
        });
        sets.sum()
    };
    let mut best = (0, RIDGES[RIDGES.len() - 1]);
    for ridge in RIDGES.into_iter().rev() {
        let right = right(ridge);
        if right > best.0 {
            best = (right, ridge);
        }
    }
    best.1
}

/// Scores of a logistic regression that has learned from all training builds.
pub fn by_regression(task: &Task<'_>, features: &Features) -> Vec<Scores> {
    let learned = task.train_items();
    let ridge = choose_ridge(task, features, std::slice::from_ref(&learned));
    regression(task, features, &learned, ridge)
}

/// Scores by the cosine with the mean of each label's vectors.
fn by_means(task: &Task<'_>, vectors: &Matrix, learned: &[(usize, usize)]) -> Vec<Scores> {
    let mut means = vec![vec![0.0; vectors.width()]; task.labels.len()];
    for &(index, class) in learned {
        let row = vectors.row(index);
        means[class]
            .iter_mut()
            .zip(row)
            .for_each(|(sum, x)| *sum += x);
    }
    means.iter_mut().for_each(|mean| matrix::normalise(mean));
    let asked: Vec<usize> = task.test_range().collect();
    let means = Matrix::from_rows(&means);
    vectors
        .select(&asked)
        .against(&means, |_, cosines| softmax(cosines, TEMPERATURE))
}

/// Scores by the nearest training build of each label.
pub fn by_neighbours(task: &Task<'_>, vectors: &[Sparse]) -> Vec<Scores> {
    let known: Vec<&Sparse> = vectors[..task.train].iter().collect();
    let asked: Vec<&Sparse> = vectors[task.test_range()].iter().collect();
    sparse_scores(&asked, &known, |_, scores| {
        let mut best = vec![0.0f32; task.labels.len()];
        for (score, &class) in scores.iter().zip(&task.classes) {
            best[class] = best[class].max(*score);
        }
        softmax(&best, TEMPERATURE)
    })
}

/// Scores by the constants and tables of well-known algorithms that a listing
/// names: each counts for the labels that its name has in it. Where there is
/// none, the shares of the labels among the training builds decide.
pub fn by_constants(task: &Task<'_>) -> Vec<Scores> {
    let usual = shares(task);
    let asked = task.asked().par_iter();
    asked
        .map(|sample| {
            let mut votes = vec![0.0f32; task.labels.len()];
            for meaning in evidence::known_in_listing(&sample.listing) {
                let named = |label: &String| meaning.contains(label.as_str());
                let labels: Vec<usize> = (0..votes.len())
                    .filter(|&class| named(&task.labels[class]))
                    .collect();
                for &class in &labels {
                    votes[class] += 1.0 / labels.len() as f32;
                }
            }
            // The shares decide between equals, and where nothing was found.
            votes
                .iter()
                .zip(&usual)
                .map(|(vote, share)| vote + 0.1 * share)
                .collect()
        })
        .collect()
}

/// The share of each label among the training builds.
fn shares(task: &Task<'_>) -> Vec<f32> {
    let mut shares = vec![0.0; task.labels.len()];
    for &class in &task.classes[..task.train] {
        shares[class] += 1.0 / task.train as f32;
    }
    shares
}

/// The same scores for all: the shares of the labels among the training builds.
pub fn by_majority(task: &Task<'_>) -> Vec<Scores> {
    vec![shares(task); task.test_range().len()]
}

/// Histograms of mnemonics of all builds of a task.
pub fn histograms(task: &Task<'_>) -> Vec<Sparse> {
    sparse::opcode_histograms(task.samples.iter().map(|s| s.listing.as_str()))
}

/// TF-IDF of the tokens of all builds of a task, with pairs of neighbours, as
/// the training builds weigh them; what a supervised classifier from scratch
/// learns from. Tokens that no training build has are past the width.
pub fn words(task: &Task<'_>) -> Features {
    let documents: Vec<Vec<String>> = task
        .samples
        .par_iter()
        .map(|sample| {
            let tokens = sparse::tokens(&sample.listing);
            let pairs = tokens.windows(2).map(|pair| pair.join(" "));
            let pairs: Vec<String> = pairs.collect();
            tokens.into_iter().chain(pairs).collect()
        })
        .collect();
    let model = TfIdf::fit(documents[..task.train].iter().cloned());
    let width = model.width();
    Features::Sparse(model.vectors(documents), width)
}

/// The label that scores best; where several do, one that is wrong.
fn predicted(scores: &[f32], right: usize) -> usize {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut first = (0..scores.len()).filter(|&class| scores[class] >= best);
    first.find(|&class| class != right).unwrap_or(right)
}

/// What was said of one item.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    unit: u32,
    package: u32,
    right: usize,
    said: usize,
}

/// What is judged: each function by itself, or each file.
#[derive(Debug)]
pub struct Grouping {
    /// `function` or `file`.
    pub name: String,
    /// The item of each build asked about.
    item: Vec<usize>,
    /// Unit, package and label of each item.
    items: Vec<(u32, u32, usize)>,
}

impl Grouping {
    /// Builds of which `file` says the same, with the same toolchain and label,
    /// are one item; those of one file under all toolchains are drawn together.
    pub fn new(task: &Task<'_>, name: &str, file: impl Fn(&Sample) -> String) -> Grouping {
        fn number<K: std::hash::Hash + Eq>(known: &mut HashMap<K, u32>, key: K) -> u32 {
            let next = known.len() as u32;
            *known.entry(key).or_insert(next)
        }
        let (mut units, mut packages) = (HashMap::new(), HashMap::new());
        let mut numbers: HashMap<(u32, String), usize> = HashMap::new();
        let (mut item, mut items) = (Vec::new(), Vec::new());
        for (sample, &class) in task.asked().iter().zip(&task.classes[task.test_range()]) {
            let unit = number(&mut units, (file(sample), class));
            let next = items.len();
            let place = *numbers.entry((unit, sample.toolchain())).or_insert(next);
            if place == next {
                let package = number(&mut packages, sample.package.as_str());
                items.push((unit, package, class));
            }
            item.push(place);
        }
        Grouping {
            name: name.to_owned(),
            item,
            items,
        }
    }

    /// The shares of `labels`, the odds of each raised by what the functions of an
    /// item mention, `said` for each build. All builds of an item get what is
    /// found for it.
    pub fn with_mentions(
        &self,
        shares: &[Scores],
        said: &[Mentions],
        labels: &mentions::Labels,
    ) -> Vec<Scores> {
        let mut items = vec![Whole::default(); self.items.len()];
        for ((&item, said), shares) in self.item.iter().zip(said).zip(shares) {
            items[item].add(shares, said);
        }
        let raised: Vec<Scores> = items.iter().map(|item| item.shares(labels)).collect();
        self.item.iter().map(|&item| raised[item].clone()).collect()
    }

    fn verdicts(&self, scores: &[Scores]) -> Vec<Verdict> {
        let labels = scores.first().map_or(0, Vec::len);
        let mut sums = vec![vec![0.0f32; labels]; self.items.len()];
        for (&item, scores) in self.item.iter().zip(scores) {
            sums[item]
                .iter_mut()
                .zip(scores)
                .for_each(|(sum, s)| *sum += s);
        }
        let of = |(sums, &(unit, package, right)): (&Vec<f32>, &(u32, u32, usize))| Verdict {
            unit,
            package,
            right,
            said: predicted(sums, right),
        };
        sums.iter().zip(&self.items).map(of).collect()
    }
}

/// Accuracy and macro-F1 (the mean over the labels that occur) of weighted
/// verdicts.
fn accuracy_and_f1(verdicts: &[Verdict], weights: &[f64], labels: usize) -> [f64; 2] {
    let (mut hit, mut is, mut said) = (vec![0.0; labels], vec![0.0; labels], vec![0.0; labels]);
    for (verdict, weight) in verdicts.iter().zip(weights) {
        is[verdict.right] += weight;
        said[verdict.said] += weight;
        if verdict.right == verdict.said {
            hit[verdict.right] += weight;
        }
    }
    let there: Vec<usize> = (0..labels).filter(|&class| is[class] > 0.0).collect();
    let f1 = there
        .iter()
        .map(|&class| 2.0 * hit[class] / (is[class] + said[class]));
    let total: f64 = is.iter().sum();
    [
        hit.iter().sum::<f64>() / total,
        f1.sum::<f64>() / there.len() as f64,
    ]
}

/// How a method did under one grouping. Several lists of scores are several
/// draws of what was learned from: their mean, and intervals over draws too.
pub fn figure(
    task: &Task<'_>,
    method: &str,
    grouping: &Grouping,
    draws: &[Vec<Scores>],
    seed: u64,
) -> Figure {
    let labels = task.labels.len();
    let draws: Vec<Vec<Verdict>> = draws
        .iter()
        .map(|scores| grouping.verdicts(scores))
        .collect();
    let [first, ..] = &draws[..] else {
        return Figure::default();
    };
    let statistics = |weights: &[f64], shuffler: Option<&mut Shuffler>| -> Vec<f64> {
        let times = match shuffler {
            Some(shuffler) => bootstrap::draw(draws.len(), shuffler),
            None => vec![1.0; draws.len()],
        };
        let mut means = [0.0; 2];
        for (verdicts, times) in draws.iter().zip(times).filter(|(_, times)| *times > 0.0) {
            let both = accuracy_and_f1(verdicts, weights, labels);
            means
                .iter_mut()
                .zip(both)
                .for_each(|(mean, x)| *mean += times * x);
        }
        means.iter().map(|sum| sum / draws.len() as f64).collect()
    };
    let found = bootstrap::values(first, |v| v.unit, |v| v.package, seed, statistics);
    let names = ["accuracy", "macro_f1"].map(str::to_owned);
    Figure {
        method: method.to_owned(),
        comparison: grouping.name.clone(),
        queries: first.len(),
        values: names.into_iter().zip(found).collect(),
        confusion: (draws.len() == 1).then(|| confusion(first, labels)),
        ..Figure::default()
    }
}

fn confusion(verdicts: &[Verdict], labels: usize) -> Vec<Vec<usize>> {
    let mut matrix = vec![vec![0; labels]; labels];
    for verdict in verdicts {
        matrix[verdict.right][verdict.said] += 1;
    }
    matrix
}

/// What guessing gives, every label as likely as the others: computed.
pub fn chance(task: &Task<'_>, grouping: &Grouping) -> Figure {
    let labels = task.labels.len().max(1) as f64;
    let total = grouping.items.len() as f64;
    let mut is = vec![0.0; task.labels.len()];
    for (_, _, class) in &grouping.items {
        is[*class] += 1.0 / total;
    }
    let f1 = is
        .iter()
        .map(|share| 2.0 * share / labels / (share + 1.0 / labels));
    let f1: f64 = f1.sum::<f64>() / labels;
    Figure {
        method: "random".to_owned(),
        comparison: grouping.name.clone(),
        queries: grouping.items.len(),
        values: BTreeMap::from([
            ("accuracy".to_owned(), Value::exact(1.0 / labels)),
            ("macro_f1".to_owned(), Value::exact(f1)),
        ]),
        ..Figure::default()
    }
}

/// How much more often `method` is right than `other`, on the same items.
pub fn difference(grouping: &Grouping, method: &[Scores], other: &[Scores], seed: u64) -> Value {
    let pairs: Vec<(Verdict, Verdict)> = grouping
        .verdicts(method)
        .into_iter()
        .zip(grouping.verdicts(other))
        .collect();
    let right = |verdict: &Verdict| f64::from(u8::from(verdict.right == verdict.said));
    let statistics = |weights: &[f64], _: Option<&mut Shuffler>| -> Vec<f64> {
        let gains = pairs.iter().zip(weights);
        let gains = gains.map(|((a, b), weight)| weight * (right(a) - right(b)));
        vec![gains.sum::<f64>() / weights.iter().sum::<f64>()]
    };
    let found = bootstrap::values(&pairs, |p| p.0.unit, |p| p.0.package, seed, statistics);
    found.first().copied().unwrap_or(Value::exact(f64::NAN))
}

/// How many examples of each label are learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shots {
    /// So many functions.
    Each(usize),
    /// Every build there is.
    All,
}

impl std::str::FromStr for Shots {
    type Err = String;

    fn from_str(text: &str) -> Result<Shots, String> {
        match text.parse() {
            Ok(shots) if shots > 0 => Ok(Shots::Each(shots)),
            _ if text == "all" => Ok(Shots::All),
            _ => Err("give a number of examples, or `all`".to_owned()),
        }
    }
}

/// A linear probe and the nearest class mean over frozen `vectors`, and a
/// regression over words, with so many examples of each label, `draws` times;
/// judged by each of `groupings`.
pub fn few_shot(
    task: &Task<'_>,
    vectors: &Features,
    words: &Features,
    groupings: &[Grouping],
    (shots, draws): (Shots, usize),
    seed: u64,
) -> Vec<Figure> {
    let sets: Vec<Vec<(usize, usize)>> = match shots {
        Shots::All => vec![task.train_items()],
        Shots::Each(shots) => {
            let seeds = (0..draws as u64).map(|draw| seed.wrapping_add(draw));
            seeds.map(|seed| task.shots(shots, seed)).collect()
        }
    };
    let regressions = |features: &Features| -> Vec<Vec<Scores>> {
        let ridge = choose_ridge(task, features, &sets[..1]);
        let of = |learned: &Vec<(usize, usize)>| regression(task, features, learned, ridge);
        sets.iter().map(of).collect()
    };
    let mut methods = vec![
        ("linear probe", regressions(vectors)),
        ("words from scratch", regressions(words)),
    ];
    if let Features::Dense(matrix) = vectors {
        let means = sets.iter().map(|learned| by_means(task, matrix, learned));
        methods.insert(1, ("nearest class mean", means.collect::<Vec<_>>()));
    }
    let shots = match shots {
        Shots::Each(shots) => Some(shots),
        Shots::All => None,
    };
    let mut figures = Vec::new();
    for grouping in groupings {
        figures.extend(methods.iter().map(|(method, draws)| Figure {
            shots,
            confusion: None,
            ..figure(task, method, grouping, draws, seed)
        }));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zero_shot::Label;

    /// Builds of functions of three labels, in four packages of each split.
    fn samples(split: &str) -> Vec<Sample> {
        let body = [
            "mov     eax, 67452301h; MD5 or SHA-1 initial state\nxor     eax, ecx",
            "shl     eax, 3\nadd     eax, ecx",
            "push    rbp\ncall    x\npop     rbp",
        ];
        let mut samples = Vec::new();
        for id in 0..36 {
            for level in ["O0", "O2"] {
                samples.push(Sample {
                    package: format!("{split}{}", id % 4),
                    file: format!("{}.c", id / 6),
                    compiler: "gcc".to_owned(),
                    level: level.to_owned(),
                    name: ["MD5", "RC4", "ZIP"][id / 12].to_owned(),
                    function_id: format!("{split}{id}"),
                    listing: format!("{}\nlea     rax, [rcx+{id}]", body[id / 12]),
                    ..Sample::default()
                });
            }
        }
        samples
    }

    fn label(sample: &Sample) -> Option<String> {
        (sample.name != "none").then(|| sample.name.clone())
    }

    fn with_task<T>(look: impl FnOnce(&Task<'_>) -> T) -> T {
        let (train, test) = (samples("a"), samples("b"));
        let (train, test): (Vec<&Sample>, Vec<&Sample>) =
            (train.iter().collect(), test.iter().collect());
        let splits = Splits {
            train: &train,
            tune: &[],
            test: &test,
        };
        look(&Task::new(splits, label, 10_000, 1))
    }

    fn accuracy(task: &Task<'_>, scores: Vec<Scores>, grouping: &Grouping) -> f64 {
        figure(task, "m", grouping, &[scores], 1).values["accuracy"].value
    }

    #[test]
    fn what_can_be_learned_is_learned_and_guessing_is_not() {
        with_task(|task| {
            assert_eq!(task.labels, ["MD5", "RC4", "ZIP"]);
            assert!(task.tune > 0 && task.unlearned().is_empty());
            assert_eq!(task.counts()[0].2, 12);
            let each = Grouping::new(task, "function", |s| s.function_id.clone());
            assert_eq!(
                accuracy(task, by_regression(task, &words(task)), &each),
                1.0
            );
            assert_eq!(
                accuracy(task, by_neighbours(task, &histograms(task)), &each),
                1.0
            );
            // Only MD5 has a constant; the rest is the majority or its tie.
            let constants = figure(task, "c", &each, &[by_constants(task)], 1);
            let confusion = constants.confusion.expect("one draw");
            assert_eq!(confusion[0][0], 24);
            assert!(accuracy(task, by_majority(task), &each) <= 0.34);
            let chance = chance(task, &each);
            assert!((chance.values["accuracy"].value - 1.0 / 3.0).abs() < 1e-9);
            assert!((chance.values["macro_f1"].value - 1.0 / 3.0).abs() < 1e-9);
        });
    }

    #[test]
    fn a_file_is_judged_by_all_its_functions() {
        with_task(|task| {
            let each = Grouping::new(task, "function", |s| s.function_id.clone());
            let files = Grouping::new(task, "file", |s| s.file.clone());
            assert_eq!((each.items.len(), files.items.len()), (72, 12));
            // One function of six is sure of the wrong label, the rest lean to
            // the right one.
            let scores: Vec<Scores> = (0..72)
                .map(|index| {
                    let class = index / 24;
                    let mut scores = vec![0.2; 3];
                    scores[class] = 0.6;
                    if index / 2 % 6 == 0 {
                        scores = vec![0.05; 3];
                        scores[(class + 1) % 3] = 0.9;
                    }
                    scores
                })
                .collect();
            assert!((accuracy(task, scores.clone(), &each) - 5.0 / 6.0).abs() < 1e-9);
            assert_eq!(accuracy(task, scores.clone(), &files), 1.0);
            let gain = difference(&each, &scores, &by_majority(task), 1);
            assert!(gain.value > 0.4 && gain.interval.expect("some")[0] > 0.0);
        });
    }

    #[test]
    fn a_file_mentions_what_any_of_its_functions_does() {
        with_task(|task| {
            let files = Grouping::new(task, "file", |s| s.file.clone());
            let labels = ["MD5", "RC4", "ZIP"].map(Label::new);
            // Of the files of MD5 one function in six alone has its constant.
            let mut samples: Vec<Sample> = task.asked().iter().map(|&s| s.clone()).collect();
            for (at, sample) in samples.iter_mut().enumerate() {
                if at / 2 % 6 != 0 {
                    sample.listing = "retn".to_owned();
                }
            }
            let said = samples.iter().map(|s| Mentions::of(&s.listing));
            let said: Vec<Mentions> = said.collect();
            let open = vec![vec![1.0 / 3.0; 3]; 72];
            let looked_for = mentions::Labels::new(&labels);
            let found = files.with_mentions(&open, &said, &looked_for);
            assert!(found[..24].iter().all(|shares| shares[0] > 0.9));
            assert!(found[24..].iter().all(|shares| shares[0] < 0.4));
        });
    }

    #[test]
    fn neighbours_tell_what_a_function_does_not() {
        with_task(|task| {
            // One function in three is clear, and two that could be anything lean
            // to ZIP.
            let rows: Vec<[f32; 3]> = (task.asked().iter().enumerate())
                .map(|(at, sample)| {
                    let class = task.labels.binary_search(&sample.name).expect("a label");
                    let mut row = [0.5, 0.5, 0.505];
                    if at / 8 % 3 == 0 {
                        row = [0.0; 3];
                        row[class] = 1.0;
                    }
                    row
                })
                .collect();
            let vectors = Matrix::from_rows(&rows);
            let labels = Matrix::from_rows(&[[1.0f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
            let none = Compact::plain(Matrix::from_rows(&[[0.0f32; 3]]));
            let each = Grouping::new(task, "function", |s| s.function_id.clone());
            let alone = calibrated_shares(&vectors, &labels, &none);
            let looked_for = mentions::Labels::new(&["?", "?", "?"].map(Label::new));
            let prompts = (&labels, &none);
            let near = among_neighbours(task, task.asked(), &vectors, prompts, &looked_for);
            let (alone, near) = (accuracy(task, alone, &each), accuracy(task, near, &each));
            assert!(alone < 0.6 && near > 0.7, "{alone} {near}");
        });
    }

    #[test]
    fn prompts_near_to_everything_are_calibrated() {
        with_task(|task| {
            let rows: Vec<[f32; 3]> = (task.samples().iter())
                .map(|s| {
                    let class = task.labels.binary_search(&s.name).expect("a label");
                    let mut row = [0.6, 0.6, 0.6];
                    row[class] = 0.75;
                    row
                })
                .collect();
            let vectors = Matrix::from_rows(&rows);
            // The first label's prompt is near to all.
            let labels = Matrix::from_rows(&[[1.2f32, 0.3, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
            let each = Grouping::new(task, "function", |s| s.function_id.clone());
            let plain = accuracy(task, by_prompts(task, &vectors, &labels), &each);
            let calibrated =
                by_calibrated_prompts(task, &vectors, &labels, &Compact::plain(vectors.clone()));
            assert!(plain < 0.4 && accuracy(task, calibrated, &each) == 1.0);
        });
    }

    #[test]
    fn more_shots_are_no_worse() {
        with_task(|task| {
            let words = words(task);
            let each = Grouping::new(task, "function", |s| s.function_id.clone());
            let rows: Vec<Vec<f32>> = (0..task.samples().len())
                .map(|i| {
                    (0..3)
                        .map(|c| f32::from(u8::from(task.classes[i] == c)))
                        .collect()
                })
                .collect();
            let vectors = Features::Dense(Matrix::from_rows(&rows));
            let groupings = &[each];
            let one = few_shot(task, &vectors, &words, groupings, (Shots::Each(1), 3), 1);
            let all = few_shot(task, &vectors, &words, groupings, (Shots::All, 3), 1);
            let methods: Vec<&str> = one.iter().map(|f| f.method.as_str()).collect();
            assert_eq!(
                methods,
                ["linear probe", "nearest class mean", "words from scratch"]
            );
            assert_eq!((one[0].shots, all[0].shots), (Some(1), None));
            assert!(one[0].values["accuracy"].value > 0.9);
            assert!(all[2].values["accuracy"].value >= one[2].values["accuracy"].value);
            assert_eq!(task.shots(1, 1).len(), 3);
            assert_eq!("4".parse(), Ok(Shots::Each(4)));
            assert!("0".parse::<Shots>().is_err());
        });
    }

    #[test]
    fn ties_are_wrong() {
        assert_eq!(predicted(&[0.5, 0.5, 0.1], 0), 1);
        assert_eq!(predicted(&[0.5, 0.4], 0), 0);
    }
}
