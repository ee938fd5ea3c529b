//! `binscribe classify`: labels in, which function each fits out.

use std::path::Path;

use anyhow::{Context, Result, bail};
use binscribe_tasks::mentions::{self, Mentions, Whole};
use binscribe_tasks::stretches::in_stretches;
use binscribe_tasks::tags::{self, Backgrounds};
use binscribe_tasks::zero_shot::{self, Label};

use crate::args::Classify;
use crate::engine::{Candidates, Engine, Found};
use crate::input::{self, Input};
use crate::json::{Query, Share};
use crate::output::note;

pub(crate) fn run(args: &Classify) -> Result<()> {
    let List {
        labels,
        template,
        of_files,
    } = list(&args.labels)?;
    let input = Input::read(&args.file)?.or_raw(args.raw);
    let program = input.program()?;
    let engine = Engine::open(&args.model)?;
    let candidates = Candidates::of(&input, &program, &engine, None)?;
    let wanted = match &args.function {
        Some(wanted) => {
            let address = input::find(&program, &input.path, wanted)?.address;
            Some(candidates.position(address)?)
        }
        None => None,
    };
    let explainer = engine.explainer()?;
    let prompts = engine.embed_labels(&labels, &args.template, template)?;
    let backgrounds = Backgrounds::new(prompts, explainer.reference().vectors());
    let calibrated = explainer
        .calibration()
        .and_then(|calibration| calibration.tags.as_ref());

    let looked_for = mentions::Labels::new(&labels);
    let said: Vec<Mentions> = (candidates.listings().iter())
        .map(|listing| Mentions::of(listing.text()))
        .collect();
    let counts: Vec<Vec<f32>> = said.iter().map(|said| looked_for.counts(said)).collect();
    let above = backgrounds.above(&candidates.vectors);
    let alone: Vec<Vec<f32>> = (above.iter())
        .map(|above| tags::softmax(above, zero_shot::TEMPERATURE))
        .collect();
    let raised = |shares: &[Vec<f32>]| -> Vec<Vec<f32>> {
        let both = shares.iter().zip(&counts);
        both.map(|(shares, counts)| mentions::weighed(shares, counts))
            .collect()
    };
    let shares = match of_files || args.neighbours {
        true => raised(&in_stretches(&alone, &counts)),
        false => raised(&alone),
    };

    let mut found = Vec::new();
    let asked = wanted.map_or(0..shares.len(), |wanted| wanted..wanted + 1);
    for function in asked {
        let scores = backgrounds.in_deviations(&above[function]);
        let mut answers: Vec<Found> = (0..labels.len())
            .map(|label| Found {
                function,
                label: Some(labels[label].name.clone()),
                score: shares[function][label],
                confidence: calibrated.map(|calibrated| {
                    let guess = calibrated.probability(&tags::features(&scores, label));
                    mentions::raised(guess, counts[function][label])
                }),
            })
            .collect();
        answers.sort_by(|a, b| b.score.total_cmp(&a.score));
        if wanted.is_none() {
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
    let names: Vec<String> = labels.into_iter().map(|label| label.name).collect();
    let mut whole: Vec<Share> = Vec::new();
    if wanted.is_none() {
        let mut file = Whole::default();
        let functions = alone.iter().zip(&said);
        functions.for_each(|(shares, said)| file.add(shares, said));
        let labels = names.iter().cloned().zip(file.shares(&looked_for));
        whole.extend(labels.map(|(label, share)| Share { label, share }));
        whole.sort_by(|a, b| b.share.total_cmp(&a.share));
        let best = whole.iter().take(MOST_OF_WHOLE);
        let best: Vec<String> = best
            .map(|s| format!("{} {:.2}", s.label, s.share))
            .collect();
        note(&format!("the file as a whole: {}", best.join(", ")));
    }
    candidates.print(
        &engine,
        Query::Labels(names),
        found,
        whole,
        args.format.format,
    )
}

/// Labels of a whole file that are told.
const MOST_OF_WHOLE: usize = 3;

/// Labels as they were asked for.
struct List {
    labels: Vec<Label>,
    /// CLAP's sentence for such labels, for those that have no description.
    template: &'static str,
    /// Whether they say what whole source files do.
    of_files: bool,
}

fn list(wanted: &str) -> Result<List> {
    let built_in = |labels, template| List {
        labels,
        template,
        of_files: true,
    };
    match wanted {
        "crypto" => return Ok(built_in(Label::crypto(), zero_shot::CRYPTO)),
        "protocol" => return Ok(built_in(Label::protocol(), zero_shot::PROTOCOL)),
        _ => {}
    }
    let path = Path::new(wanted);
    if !path.exists() {
        bail!(
            "there are no labels `{wanted}`: give `crypto`, `protocol`, or a file with one label \
             on each line"
        );
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the labels in {wanted}"))?;
    Ok(List {
        labels: Label::parse(&text, path)?,
        template: zero_shot::GENERAL,
        of_files: false,
    })
}
