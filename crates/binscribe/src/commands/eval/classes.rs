//! `binscribe eval crypto`, `protocol` and `probe`.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use binscribe_corpus::{Category, Manifest, Package};
use binscribe_tasks::classes::{self, Grouping, Scores, Splits, Task};
use binscribe_tasks::labels::{self, Rules};
use binscribe_tasks::mentions::{self, Mentions};
use binscribe_tasks::report::Report;
use binscribe_tasks::softmax::Features;
use binscribe_tasks::zero_shot::{self, Label};
use binscribe_tasks::{Matrix, Reference, Sample};

use super::{begin, embed, finish};
use crate::args::{ClassArgs, EvalClasses, EvalProbe};
use crate::data;
use crate::engine::Engine;

/// Sentences of the kind that authors write above functions, averaged.
const CRYPTO_TEMPLATES: [&str; 4] = [
    "{}",
    "This function is part of an implementation of {}.",
    "{} block function, key setup and update",
    "Compute {} of the given data.",
];
const PROTOCOL_TEMPLATES: [&str; 4] = [
    "{}",
    "Send or receive a {} message.",
    "Parse the {} packet.",
    "This function is part of an implementation of the {} protocol.",
];

/// What functions are labelled by.
enum Labels {
    Crypto(Rules, HashMap<String, Package>),
    Protocol(HashMap<String, Package>, Vec<Label>),
    Category(HashMap<String, Package>),
    Own(Rules),
}

impl Labels {
    fn named(task: &str, manifest: &Path) -> Result<Labels> {
        let packages = || packages(manifest);
        Ok(match task {
            "crypto" => Labels::Crypto(Rules::crypto(), packages()?),
            "protocol" => Labels::Protocol(packages()?, Label::protocol()),
            "category" => Labels::Category(packages()?),
            file => {
                let path = Path::new(file);
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!(
                        "cannot read the labels in {file}: give `crypto`, `protocol`, `category`, \
                         or a file of labels"
                    )
                })?;
                Labels::Own(Rules::parse(&text, path)?)
            }
        })
    }

    fn of(&self, sample: &Sample) -> Option<String> {
        match self {
            Labels::Crypto(rules, packages) => {
                let package = packages.get(&sample.package)?;
                let crypto = package.category == Some(Category::Crypto);
                crypto.then(|| rules.label(sample))?.map(str::to_owned)
            }
            Labels::Protocol(packages, known) => {
                let protocols = &packages.get(&sample.package)?.labels;
                let name = labels::protocol(sample, protocols)?;
                let known = known.iter().find(|label| label.name == name);
                Some(known.map_or_else(|| name.to_uppercase(), |label| label.words.clone()))
            }
            Labels::Category(packages) => {
                let category = packages.get(&sample.package)?.category?;
                Some(category.as_str().to_owned())
            }
            Labels::Own(rules) => rules.label(sample).map(str::to_owned),
        }
    }

    /// What is judged beside single functions.
    fn file(&self, sample: &Sample) -> String {
        match self {
            Labels::Protocol(..) | Labels::Category(_) => sample.package.clone(),
            _ => format!("{}/{}", sample.package, sample.file),
        }
    }
}

fn packages(manifest: &Path) -> Result<HashMap<String, Package>> {
    if !manifest.is_file() {
        bail!(
            "{}: there is no such list of packages; name one with --manifest FILE",
            manifest.display()
        );
    }
    let packages = Manifest::load(manifest)?.packages.into_iter();
    Ok(packages
        .map(|package| (package.name.clone(), package))
        .collect())
}

/// What the evaluations of classes have in common.
struct Setup<'s> {
    task: Task<'s>,
    /// All functions of the packages asked about, labelled or not.
    around: Vec<&'s Sample>,
    vectors: Matrix,
    groupings: [Grouping; 2],
    report: Report,
}

/// Calls `evaluate` with the labelled functions of a corpus and their vectors,
/// and prints the report.
fn with_setup(
    name: &str,
    labels: &Labels,
    args: &ClassArgs,
    evaluate: impl FnOnce(&mut Setup<'_>, &Engine) -> Result<()>,
) -> Result<()> {
    let eval = &args.eval;
    let mut splits = data::read(&eval.corpus)?;
    let test = splits.take(&eval.split)?;
    let engine = Engine::open(&eval.model)?;
    let wanted = |sample: &&Sample| match &args.toolchains[..] {
        [] => sample.is_plain(),
        patterns => patterns.iter().any(|p| p.matches(&sample.toolchain())),
    };
    let chosen = |samples: &'_ [Sample]| -> Vec<usize> {
        let found = samples.iter().enumerate().filter(|(_, s)| wanted(s));
        found.map(|(index, _)| index).collect()
    };
    fn take<'s>(samples: &'s [Sample], chosen: &[usize]) -> Vec<&'s Sample> {
        chosen.iter().map(|&index| &samples[index]).collect()
    }
    let train = take(&splits.train, &chosen(&splits.train));
    // What choices are made on is never what is asked about.
    let tune = match eval.split.as_str() {
        "test" => take(&splits.validation, &chosen(&splits.validation)),
        _ => Vec::new(),
    };
    let test = take(&test, &chosen(&test));
    let splits = Splits {
        train: &train,
        tune: &tune,
        test: &test,
    };
    let task = Task::new(splits, |s| labels.of(s), args.train_rows, eval.seed);
    if task.labels.len() < 2 {
        bail!(
            "the {} split has {} labels with {} functions or more: build more packages that have \
             some, or take --split unseen",
            eval.split,
            task.labels.len(),
            classes::LEAST_FUNCTIONS
        );
    }
    let mut report = begin(name, eval, &engine, task.asked());
    report.labels = task.labels.clone();
    report.notes = described(&task);
    let groupings = [
        Grouping::new(&task, "function", |s| s.function_id.clone()),
        Grouping::new(&task, "file", |s| labels.file(s)),
    ];
    let vectors = embed(&engine, task.samples().iter().copied())?;
    let asked: HashSet<&str> = task.asked().iter().map(|s| s.package.as_str()).collect();
    let around = test.iter().copied();
    let around = around.filter(|s| asked.contains(s.package.as_str()));
    let mut setup = Setup {
        around: around.collect(),
        task,
        vectors,
        groupings,
        report,
    };
    evaluate(&mut setup, &engine)?;
    finish(&setup.report, eval)
}

/// How many functions of each label there are, and which cannot be learned.
fn described(task: &Task<'_>) -> Vec<String> {
    let counts: Vec<String> = task
        .counts()
        .iter()
        .map(|(label, learned, asked)| format!("{label} {learned}/{asked}"))
        .collect();
    let mut said = vec![format!(
        "Functions to learn from / asked about: {}.",
        counts.join(", ")
    )];
    let unlearned = task.unlearned();
    if !unlearned.is_empty() {
        said.push(format!(
            "No training package has functions of {}: what is learned is wrong about these.",
            unlearned.join(", ")
        ));
    }
    said
}

pub(crate) fn crypto(args: &EvalClasses) -> Result<()> {
    classify(
        args,
        "crypto",
        zero_shot::CRYPTO,
        &CRYPTO_TEMPLATES,
        Label::crypto(),
    )
}

pub(crate) fn protocol(args: &EvalClasses) -> Result<()> {
    classify(
        args,
        "protocol",
        zero_shot::PROTOCOL,
        &PROTOCOL_TEMPLATES,
        Label::protocol(),
    )
}

/// The scores of one way to tell labels.
struct Method {
    name: String,
    scores: Vec<Scores>,
    /// Whether what the listings mention counts as well.
    mentions: bool,
}

fn classify(
    args: &EvalClasses,
    name: &str,
    clap: &str,
    own: &[&str],
    known: Vec<Label>,
) -> Result<()> {
    let labels = Labels::named(name, &args.classes.manifest)?;
    let own: Vec<String> = match &args.template[..] {
        [] => own.iter().map(|template| (*template).to_owned()).collect(),
        given => given.to_vec(),
    };
    let seed = args.classes.eval.seed;
    with_setup(name, &labels, &args.classes, |setup, engine| {
        let reference = engine.reference()?;
        let names = setup.task.labels.iter();
        let wanted: Vec<Label> = names.map(|name| Label::of_words(&known, name)).collect();
        let mentioned = mentions::Labels::new(&wanted);
        let mut methods = Vec::new();
        for (templates, method) in [
            (&[clap.to_owned()][..], "zero-shot"),
            (&own, "zero-shot, templates"),
            (&[], DESCRIBED),
        ] {
            let prompts = engine.embed_labels(&wanted, templates, clap)?;
            methods.extend(zero_shot_methods(setup, &prompts, &reference, method));
            if method == DESCRIBED {
                let vectors = embed(engine, setup.around.iter().copied())?;
                let prompts = (&prompts, reference.vectors());
                let (task, around) = (&setup.task, &setup.around);
                methods.push(Method {
                    mentions: true,
                    ..Method::plain(
                        CHOSEN,
                        classes::among_neighbours(task, around, &vectors, prompts, &mentioned),
                    )
                });
            }
        }
        methods.extend(learned(&setup.task, &setup.vectors, name == "crypto"));
        let templates = own.join("` | `");
        setup.report.notes.push(format!(
            "`zero-shot`: CLAP's prompt `{clap}`; `templates`: the mean of `{templates}`; \
             `described`: the mean of what `classify --labels {name}` knows each label by; \
             `calibrated`: less each label's mean cosine with the functions of the model's \
             reference set; `mentions`: with the odds of a label raised that the listing \
             mentions in a string, an import or the name of a table or constant; `neighbours`: \
             with what the functions around each say, in the order of file and line, cut into \
             stretches of one label in all ways."
        ));
        let asked = setup.task.asked().iter();
        let said: Vec<Mentions> = asked.map(|s| Mentions::of(&s.listing)).collect();
        for grouping in &setup.groupings {
            let scores = methods.iter().map(|method| match method.mentions {
                true => vec![grouping.with_mentions(&method.scores, &said, &mentioned)],
                false => vec![method.scores.clone()],
            });
            let names = methods.iter().map(|method| method.name.as_str());
            let scores: Vec<(&str, Vec<Vec<Scores>>)> = names.zip(scores).collect();
            for (name, draws) in &scores {
                let mut figure = classes::figure(&setup.task, name, grouping, draws, seed);
                if ![CHOSEN, SUPERVISED].contains(name) {
                    figure.confusion = None;
                }
                setup.report.figures.push(figure);
            }
            setup
                .report
                .figures
                .push(classes::chance(&setup.task, grouping));
            setup.report.notes.extend(verdict(grouping, &scores, seed));
        }
        Ok(())
    })
}

/// Prompts that describe a label.
const DESCRIBED: &str = "zero-shot, described";
/// What `binscribe classify` does.
const CHOSEN: &str = "zero-shot, described, calibrated, mentions, neighbours";
/// How much less of accuracy still counts as competitive.
const MARGIN: f64 = 0.05;
/// What CLAP's paper compares zero-shot with.
const SUPERVISED: &str = "supervised from scratch";

impl Method {
    fn plain(name: &str, scores: Vec<Scores>) -> Method {
        Method {
            name: name.to_owned(),
            scores,
            mentions: false,
        }
    }
}

fn zero_shot_methods(
    setup: &Setup<'_>,
    prompts: &Matrix,
    reference: &Reference,
    name: &str,
) -> [Method; 3] {
    let (task, vectors) = (&setup.task, &setup.vectors);
    let calibrated = classes::by_calibrated_prompts(task, vectors, prompts, reference.vectors());
    [
        Method::plain(name, classes::by_prompts(task, vectors, prompts)),
        Method::plain(&format!("{name}, calibrated"), calibrated.clone()),
        Method {
            mentions: true,
            ..Method::plain(&format!("{name}, calibrated, mentions"), calibrated)
        },
    ]
}

/// The methods that learn from the training packages, and those that need not.
fn learned(task: &Task<'_>, vectors: &Matrix, crypto: bool) -> Vec<Method> {
    let words = classes::words(task);
    let mut methods = vec![
        Method::plain(
            "linear probe",
            classes::by_regression(task, &Features::Dense(vectors.clone())),
        ),
        Method::plain(SUPERVISED, classes::by_regression(task, &words)),
    ];
    if let Features::Sparse(words, _) = &words {
        methods.push(Method::plain("TF-IDF", classes::by_neighbours(task, words)));
    }
    let histograms = classes::histograms(task);
    methods.push(Method::plain(
        "opcode histogram",
        classes::by_neighbours(task, &histograms),
    ));
    if crypto {
        methods.push(Method::plain("constants", classes::by_constants(task)));
    }
    methods.push(Method::plain("majority", classes::by_majority(task)));
    methods
}

/// Whether zero-shot is competitive with what was supervised.
fn verdict(grouping: &Grouping, scores: &[(&str, Vec<Vec<Scores>>)], seed: u64) -> Option<String> {
    let of = |wanted: &str| scores.iter().find(|(method, _)| *method == wanted);
    let (zero, supervised) = (of(CHOSEN)?.1.first()?, of(SUPERVISED)?.1.first()?);
    let gain = classes::difference(grouping, zero, supervised, seed);
    let [low, high] = gain.interval?;
    let said = if high < 0.0 {
        "is not competitive with"
    } else if low > -MARGIN {
        "is competitive with"
    } else {
        "cannot be told by so few functions to be competitive with"
    };
    Some(format!(
        "By {}, zero-shot (`{}`) {said} a classifier supervised from scratch: the difference of \
         their accuracies is {:+.3} (95 %: {low:+.3} to {high:+.3}).",
        grouping.name, CHOSEN, gain.value
    ))
}

pub(crate) fn probe(args: &EvalProbe) -> Result<()> {
    let labels = Labels::named(&args.task, &args.classes.manifest)?;
    let name = match labels {
        Labels::Own(_) => "labels probe".to_owned(),
        _ => format!("{} probe", args.task),
    };
    let seed = args.classes.eval.seed;
    with_setup(&name, &labels, &args.classes, |setup, _| {
        let words = classes::words(&setup.task);
        let vectors = Features::Dense(setup.vectors.clone());
        for &shots in &args.shots {
            let how = (shots, usize::from(args.draws));
            let groupings = &setup.groupings;
            let found = classes::few_shot(&setup.task, &vectors, &words, groupings, how, seed);
            setup.report.figures.extend(found);
        }
        Ok(())
    })
}
