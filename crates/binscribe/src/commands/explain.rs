//! `binscribe explain`: names, tags and a summary of each function.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use binscribe_lift::{Function, Listing, Program};
use binscribe_tasks::own_names::Told;
use binscribe_tasks::{Explainer, Explanation, Matrix, Subject, Undecided};

use crate::args::Explain;
use crate::engine::Engine;
use crate::input::{self, Input};
use crate::json::{self, Binary, ExplainedFunction, FunctionEntry};
use crate::output::{self, Field, Format, Table};

pub(crate) fn run(args: &Explain) -> Result<()> {
    let input = Input::read(&args.file)?
        .or_raw(args.raw)
        .with_pdb(&args.pdb)?;
    let program = input.program()?;
    let wanted = match &args.function {
        Some(wanted) => Some(input::find(&program, &input.path, wanted)?.address),
        None => None,
    };
    // All are judged even where one is asked about: a name that fits another
    // function better is not this one's.
    let mut functions: Vec<&Function> = program.functions().iter().collect();
    let engine = Engine::open(&args.model)?;
    let explainer = engine.explainer()?;
    let hash = input.hash();
    let mut explanations = explain(
        &program,
        &hash,
        &engine,
        &explainer,
        args.top,
        args.min_confidence,
    )?;

    if let Some(position) = functions.iter().position(|f| Some(f.address) == wanted) {
        functions = vec![functions[position]];
        explanations = vec![explanations.swap_remove(position)];
    }

    match (args.format.format, wanted) {
        (Format::Json, _) => output::print_json(&json::Explained {
            version: json::VERSION,
            binary: Binary::new(&input.path, &hash, &program),
            model: engine.info(),
            functions: functions
                .iter()
                .zip(&explanations)
                .map(|(function, explanation)| entry(function, explanation))
                .collect(),
        }),
        (Format::Csv, _) => csv(&functions, &explanations),
        (Format::Table, None) => table(&functions, &explanations),
        (Format::Table, Some(_)) => details(functions[0], &explanations[0]),
    }
}

/// What can be said of each function of `program`, a file of this `hash`: at most
/// `top` names, none less probable than `least`.
pub(super) fn explain<'e>(
    program: &Program<'_>,
    hash: &str,
    engine: &Engine,
    explainer: &'e Explainer,
    top: usize,
    least: f32,
) -> Result<Vec<Explanation<'e>>> {
    engine.warn_of_unknown(program);
    let functions: Vec<&Function> = program.functions().iter().collect();
    let mut listings = input::listings(program, &functions);
    let told = input::told(&functions, &listings);
    name_calls(&functions, &told, &mut listings);
    let subjects: Vec<Subject<'_>> = functions
        .iter()
        .zip(&listings)
        .zip(&told)
        .map(|((function, listing), told)| Subject {
            kind: function.kind,
            start_file: function.is_start_file(),
            facts: &listing.facts,
            told,
        })
        .collect();
    let judged: Vec<usize> = (0..subjects.len())
        .filter(|&index| subjects[index].undecidable().is_none())
        .collect();
    let texts: Vec<String> = judged
        .iter()
        .map(|&index| listings[index].text().to_owned())
        .collect();
    let judged_vectors = engine.embed_listings(hash, &texts)?;
    // Those that are not judged need no vector; a row of zeros stands for it.
    let mut rows = vec![vec![0.0; judged_vectors.width()]; subjects.len()];
    for (position, &index) in judged.iter().enumerate() {
        rows[index].copy_from_slice(judged_vectors.row(position));
    }
    let vectors = Matrix::from_rows(&rows);
    Ok(explainer.explain(&subjects, &vectors, top, least))
}

/// Calls functions what they call themselves, so that summaries do, too.
fn name_calls(functions: &[&Function], told: &[Told], listings: &mut [Listing]) {
    let named = functions.iter().zip(told).filter_map(|(function, told)| {
        let own = told.names.first().filter(|_| function.name.is_none())?;
        Some((function.address, own.name.as_str()))
    });
    let named: HashMap<u64, &str> = named.collect();
    let calls = listings.iter_mut().flat_map(|l| &mut l.facts.calls);
    for call in calls {
        if let Some(own) = call.address.and_then(|address| named.get(&address)) {
            (*own).clone_into(&mut call.name);
        }
    }
}

fn entry(function: &Function, explanation: &Explanation<'_>) -> ExplainedFunction {
    let evidence = |evidence: &binscribe_tasks::Evidence<'_>| json::Evidence {
        package: evidence.entry.package.clone(),
        version: evidence.entry.version.clone(),
        file: evidence.entry.file.clone(),
        line: evidence.entry.line,
        license: evidence.entry.license.clone(),
        toolchains: evidence.entry.toolchains.clone(),
        also_in: Some(evidence.entry.also_in.clone()).filter(|also| !also.is_empty()),
        explanation: evidence.entry.explanation.clone(),
        score: evidence.score,
    };
    let told = explanation.told.names.iter().map(|own| json::Name {
        name: own.name.clone(),
        source: "program",
        confidence: own.confidence,
        why: Some(own.why.clone()),
        score: None,
        margin: None,
        evidence: Vec::new(),
    });
    let resembling = explanation.names.iter().map(|name| json::Name {
        name: name.name.to_owned(),
        source: "model",
        confidence: name.confidence,
        why: None,
        score: Some(name.score),
        margin: Some(name.margin),
        evidence: name.evidence.iter().map(evidence).collect(),
    });
    let opinions = explanation.tags.iter().map(|tag| json::Tag {
        tag: tag.tag,
        source: "model",
        confidence: Some(tag.confidence),
        why: format!("{:.1} standard deviations above what is usual", tag.score),
    });
    let facts = explanation.facts.iter().map(|fact| json::Tag {
        tag: fact.tag,
        source: "fact",
        confidence: None,
        why: fact.why.clone(),
    });
    ExplainedFunction {
        function: FunctionEntry::new(function),
        source_file: explanation.told.file.as_ref().map(|file| json::SourceFile {
            path: file.path.clone(),
            lines: file.lines,
            source: if file.told { "program" } else { "neighbours" },
        }),
        names: told.chain(resembling).collect(),
        tags: opinions.chain(facts).collect(),
        summary: explanation.summary.clone(),
        undecided: explanation.undecided.map(Undecided::reason),
    }
}

/// Its names with their confidence, in brackets those that it says itself.
fn names(explanation: &Explanation<'_>) -> Vec<(String, f32)> {
    let told = explanation.told.names.iter();
    let told = told.map(|own| (format!("[{}]", own.name), own.confidence));
    let resembling = explanation.names.iter();
    let resembling = resembling.map(|name| (name.name.to_owned(), name.confidence));
    told.chain(resembling).collect()
}

/// The model's tags, and in brackets what is a fact.
fn tags(explanation: &Explanation<'_>) -> String {
    let opinions = explanation.tags.iter().map(|tag| tag.tag.to_owned());
    let mut facts: Vec<&str> = explanation.facts.iter().map(|fact| fact.tag).collect();
    facts.dedup();
    opinions
        .chain(facts.iter().map(|tag| format!("[{tag}]")))
        .collect::<Vec<_>>()
        .join(" ")
}

fn csv(functions: &[&Function], explanations: &[Explanation<'_>]) -> Result<()> {
    let mut table = Table::new(&[
        "ADDRESS",
        "RVA",
        "SIZE",
        "SYMBOL",
        "NAME",
        "CONFIDENCE",
        "PACKAGE",
        "FILE",
        "TAGS",
        "SUMMARY",
        "UNDECIDED",
    ]);
    for (function, explanation) in functions.iter().zip(explanations) {
        let own = explanation.told.names.first();
        let own = own.map(|own| (own.name.as_str(), own.confidence));
        let resembling = explanation.names.first();
        let best = own.or(resembling.map(|name| (name.name, name.confidence)));
        // A name's package is where the known function is from.
        let package = resembling.filter(|_| own.is_none());
        let package = package.and_then(|name| name.evidence.first());
        table.row(vec![
            Field::Address(function.address),
            Field::Address(function.rva),
            Field::Count(function.size),
            function.name.as_deref().unwrap_or_default().into(),
            best.map_or(Field::Empty, |(name, _)| name.into()),
            best.map_or(Field::Empty, |(_, confidence)| {
                Field::Number(f64::from(confidence), 2)
            }),
            package.map_or(Field::Empty, |evidence| {
                evidence.entry.package.as_str().into()
            }),
            explanation
                .told
                .file
                .as_ref()
                .map_or(Field::Empty, |file| file.path.as_str().into()),
            tags(explanation).into(),
            explanation.summary.as_str().into(),
            explanation.undecided.map_or("", Undecided::reason).into(),
        ]);
    }
    table.print_csv()
}

fn table(functions: &[&Function], explanations: &[Explanation<'_>]) -> Result<()> {
    let mut table = Table::new(&["ADDRESS", "FUNCTION", "PROPOSED NAME", "TAGS", "SUMMARY"]);
    let mut not_judged: BTreeMap<Undecided, usize> = BTreeMap::new();
    let (mut named, mut told) = (0, 0);
    for (function, explanation) in functions.iter().zip(explanations) {
        if let Some(reason @ (Undecided::Thunk | Undecided::TooSmall | Undecided::StartFile)) =
            explanation.undecided
        {
            *not_judged.entry(reason).or_default() += 1;
            continue;
        }
        named += usize::from(explanation.undecided.is_none());
        told += usize::from(!explanation.told.names.is_empty());
        let names: Vec<String> = names(explanation)
            .iter()
            .map(|(name, confidence)| format!("{name} {:.0}%", confidence * 100.0))
            .collect();
        table.row(vec![
            Field::Address(function.address),
            function.readable_name().into(),
            names.join(", ").into(),
            tags(explanation).into(),
            explanation.summary.as_str().into(),
        ]);
    }
    table.print()?;
    let judged = functions.len() - not_judged.values().sum::<usize>();
    output::print_line("")?;
    output::print_line(&format!(
        "{} functions, {judged} judged: {named} with a name ({told} say it themselves, in \
         brackets), {} without one near enough.",
        functions.len(),
        judged - named
    ))?;
    for (reason, count) in not_judged {
        output::print_line(&format!("Not decidable: {count} ({}).", reason.reason()))?;
    }
    Ok(())
}

fn details(function: &Function, explanation: &Explanation<'_>) -> Result<()> {
    let line = |text: String| output::print_line(&text);
    line(format!(
        "{} at {:#x} (RVA {:#x}), {} bytes, found by {}",
        function.readable_name(),
        function.address,
        function.rva,
        function.size,
        function.source
    ))?;
    line(explanation.summary.clone())?;
    if let Some(reason) = explanation.undecided {
        line(format!("No name is proposed: {}.", reason.reason()))?;
    }
    for own in &explanation.told.names {
        line(format!(
            "Name [{}]: {:.0}% ({})",
            own.name,
            own.confidence * 100.0,
            own.why
        ))?;
    }
    for name in &explanation.names {
        line(format!(
            "Name {}: {:.0}% (score {:.3}, margin {:+.3})",
            name.name,
            name.confidence * 100.0,
            name.score,
            name.margin
        ))?;
        for evidence in &name.evidence {
            let entry = evidence.entry;
            line(format!(
                "  {:.3}  {} {} {}:{} [{}; {}] {}",
                evidence.score,
                entry.package,
                entry.version,
                entry.file,
                entry.line,
                entry.toolchains,
                entry.license,
                entry.explanation
            ))?;
        }
    }
    for tag in &explanation.tags {
        line(format!(
            "Tag {}: {:.0}% (the model's opinion)",
            tag.tag,
            tag.confidence * 100.0
        ))?;
    }
    for fact in &explanation.facts {
        line(format!("Fact [{}]: {}", fact.tag, fact.why))?;
    }
    Ok(())
}
