//! `binscribe classify`: labels in, which function each fits out.

use std::path::Path;

use anyhow::{Context, Result, bail};
use binscribe_tasks::mentions::{self, Mentions};
use binscribe_tasks::tags::{self, Backgrounds};
use binscribe_tasks::zero_shot;

use crate::args::Classify;
use crate::engine::{Candidates, Engine, Found};
use crate::input::{self, Input};
use crate::json::{Query, Share};
use crate::output::note;

pub(crate) fn run(args: &Classify) -> Result<()> {
    let (labels, template) = labels(&args.labels)?;
    let input = Input::read(&args.file)?.or_raw(args.raw);
    let program = input.program()?;
    let engine = Engine::open(&args.model)?;
    let mut candidates = Candidates::of(&input, &program, &engine, None)?;
    if let Some(wanted) = &args.function {
        let address = input::find(&program, &input.path, wanted)?.address;
        candidates.keep(address)?;
    }
    let explainer = engine.explainer()?;
    let templates = match &args.template[..] {
        [] => vec![template.to_owned()],
        given => given.to_vec(),
    };
    let words: Vec<String> = labels.iter().map(|(_, words)| words.clone()).collect();
    let prompts = engine.embed_texts(&zero_shot::prompts(&templates, &words))?;
    let backgrounds = Backgrounds::new(
        zero_shot::label_vectors(&prompts, templates.len()),
        explainer.reference().vectors(),
    );
    let calibrated = explainer
        .calibration()
        .and_then(|calibration| calibration.tags.as_ref());

    let wanted = mentions::Labels::new(&words);
    let above = backgrounds.above(&candidates.vectors);
    let scores = backgrounds.in_deviations(&above);
    let mut found = Vec::new();
    // What the file is about: its functions vote, and one that could be anything
    // votes for nothing.
    let mut whole = vec![0.0; labels.len()];
    let voters = above.len() as f32;
    for (function, (above, scores)) in above.iter().zip(&scores).enumerate() {
        let mentions = wanted.counts(&Mentions::of(&candidates.listings()[function]));
        let shares = tags::softmax(above, zero_shot::TEMPERATURE);
        let shares = mentions::weighed(&shares, &mentions);
        for (sum, share) in whole.iter_mut().zip(&shares) {
            *sum += share / voters;
        }
        let mut answers: Vec<Found> = (0..labels.len())
            .map(|label| Found {
                function,
                label: Some(labels[label].0.clone()),
                score: shares[label],
                confidence: calibrated.map(|calibrated| {
                    let guess = calibrated.probability(&tags::features(scores, label));
                    mentions::raised(guess, mentions[label])
                }),
            })
            .collect();
        answers.sort_by(|a, b| b.score.total_cmp(&a.score));
        if args.function.is_none() {
            answers.truncate(1);
        }
        found.extend(answers);
    }
    found.sort_by(|a, b| {
        let key = |found: &Found| found.confidence.unwrap_or(found.score);
        key(b).total_cmp(&key(a)).then(b.score.total_cmp(&a.score))
    });
    found.truncate(args.k.unwrap_or(if args.function.is_some() {
        usize::MAX
    } else {
        20
    }));
    let names: Vec<String> = labels.into_iter().map(|(label, _)| label).collect();
    let mut shares: Vec<Share> = Vec::new();
    if args.function.is_none() {
        let labels = names.iter().cloned().zip(whole);
        shares.extend(labels.map(|(label, share)| Share { label, share }));
        shares.sort_by(|a, b| b.share.total_cmp(&a.share));
        let best = shares.iter().take(MOST_OF_WHOLE);
        let best: Vec<String> = best
            .map(|s| format!("{} {:.2}", s.label, s.share))
            .collect();
        note(&format!("the file as a whole: {}", best.join(", ")));
    }
    candidates.print(
        &engine,
        Query::Labels(names),
        found,
        shares,
        args.format.format,
    )
}

/// Labels of a whole file that are told.
const MOST_OF_WHOLE: usize = 3;

/// The labels with their words in prompts, and CLAP's template for them.
fn labels(wanted: &str) -> Result<(Vec<(String, String)>, &'static str)> {
    let built_in = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(label, words)| ((*label).to_owned(), (*words).to_owned()))
            .collect()
    };
    match wanted {
        "crypto" => return Ok((built_in(tags::CRYPTO), zero_shot::CRYPTO)),
        "protocol" => return Ok((built_in(tags::PROTOCOL), zero_shot::PROTOCOL)),
        _ => {}
    }
    if !Path::new(wanted).exists() {
        bail!(
            "there are no labels `{wanted}`: give `crypto`, `protocol`, or a file with one label \
             on each line"
        );
    }
    let text = std::fs::read_to_string(wanted)
        .with_context(|| format!("cannot read the labels in {wanted}"))?;
    let mut labels: Vec<(String, String)> = Vec::new();
    for label in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !labels.iter().any(|(known, _)| known == label) {
            labels.push((label.to_owned(), label.to_owned()));
        }
    }
    const MOST: usize = 1000;
    if labels.is_empty() || labels.len() > MOST {
        bail!(
            "{wanted} has {} labels: give 1 to {MOST}, one on each line",
            labels.len()
        );
    }
    Ok((labels, zero_shot::GENERAL))
}
