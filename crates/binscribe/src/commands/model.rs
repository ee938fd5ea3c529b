//! `binscribe model`: what a model directory holds, and how it is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use binscribe_model::Config;
use binscribe_model::export::{self, Precision, TextConfig};
use binscribe_tasks::calibration::{self, Calibrated, Calibration, Split};
use binscribe_tasks::report::{ModelName, Report};
use binscribe_tasks::tags::TagVectors;
use binscribe_tasks::{Matrix, Reference, Sample, reference, tags};
use serde::Serialize;

use crate::args;
use crate::commands::{import, pull};
use crate::data::{self, Splits};
use crate::engine::Engine;
use crate::json;
use crate::output::{self, Field, Format, Table, note};

/// The graphs of a model directory.
pub(crate) const GRAPHS: [&str; 4] = [
    "assembly.int8.onnx",
    "text.int8.onnx",
    "assembly.onnx",
    "text.onnx",
];
/// No model directory may be bigger: it is kept in a repository.
const LARGEST: u64 = 45_000_000;

pub(crate) fn run(args: &args::Model) -> Result<()> {
    match args {
        args::Model::Info { directory, format } => info(directory.as_ref(), format.format),
        args::Model::Export(args) => export(args),
        args::Model::Average(args) => average(args),
        args::Model::Import(args) => import::run(args),
        args::Model::Pull(args) => pull::run(args),
    }
}

fn average(args: &args::Average) -> Result<()> {
    let output = &args.output;
    output::refuse_existing(output)?;
    let known = output::new_directory(output, |new| {
        let known = export::average(&args.before, &args.after, args.share, new)?;
        Ok(known)
    })?;
    let output = output.display();
    note(&format!(
        "{output} is ready: {known} tokens are known to both; make a model of it with `binscribe \
         model export {output}`"
    ));
    Ok(())
}

#[derive(Serialize)]
struct Info {
    version: u32,
    model: ModelName,
    bytes: u64,
    config: Config,
    reference: ReferenceInfo,
    calibration: Option<Calibration>,
}

#[derive(Serialize)]
struct ReferenceInfo {
    vectors: usize,
    names: usize,
    packages: BTreeMap<String, usize>,
}

impl ReferenceInfo {
    fn of(set: &Reference) -> ReferenceInfo {
        let mut packages = BTreeMap::new();
        let mut names: Vec<&str> = Vec::new();
        for entry in set.entries() {
            *packages
                .entry(format!("{} {}", entry.package, entry.version))
                .or_default() += 1;
            names.push(&entry.name);
        }
        names.sort_unstable();
        names.dedup();
        ReferenceInfo {
            vectors: set.entries().len(),
            names: names.len(),
            packages,
        }
    }
}

pub(crate) fn info(directory: Option<&PathBuf>, format: Format) -> Result<()> {
    let args = args::ModelArgs {
        model: directory.cloned(),
        no_cache: true,
    };
    let engine = Engine::open(&args)?;
    let reference = engine.reference()?;
    let calibration = engine.calibration()?;
    let info = Info {
        version: json::VERSION,
        model: engine.info(),
        bytes: directory_size(engine.directory())?,
        config: engine.config().clone(),
        reference: ReferenceInfo::of(&reference),
        calibration,
    };
    let mut table = Table::new(&["WHAT", "VALUE"]);
    let mut row = |what: &str, value: String| table.row(vec![what.into(), Field::Text(value)]);
    row("directory", info.model.directory.clone());
    row("id", info.model.id.clone());
    row("size", format!("{:.1} MB", info.bytes as f64 / 1e6));
    let config = &info.config;
    row(
        "encoder",
        format!(
            "{} layers, {} wide, {} heads, {} pieces, at most {} tokens",
            config.num_hidden_layers,
            config.hidden_size,
            config.num_attention_heads,
            config.vocab_size,
            config.max_tokens
        ),
    );
    row(
        "reference set",
        format!(
            "{} vectors, {} names",
            info.reference.vectors, info.reference.names
        ),
    );
    for (package, vectors) in &info.reference.packages {
        row("", format!("{package}: {vectors}"));
    }
    match &info.calibration {
        None => row("calibration", "none: answers have no confidence".to_owned()),
        Some(calibration) => {
            for (what, part) in parts(calibration) {
                row(
                    &format!("calibration of {what}"),
                    part.map_or("none".to_owned(), describe),
                );
            }
        }
    }
    table.print_as(format, &info)
}

fn parts(calibration: &Calibration) -> [(&'static str, Option<&Calibrated>); 4] {
    [
        ("names", calibration.naming.as_ref()),
        ("tags", calibration.tags.as_ref()),
        ("search", calibration.search.as_ref()),
        ("similar", calibration.similar.as_ref()),
    ]
}

fn describe(part: &Calibrated) -> String {
    format!(
        "expected calibration error {:.3} over {} held-out answers, {} of them right",
        part.held_out.expected_calibration_error, part.held_out.answers, part.held_out.right
    )
}

fn directory_size(directory: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        size += entry?.metadata()?.len();
    }
    Ok(size)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The text encoder's weights, tuned by the run or as they are in the directory
/// of all-MiniLM-L6-v2; its shape and its tokenizer.
fn text_encoder(args: &args::Export) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let tuned = args.run.join("text.safetensors");
    let base = |name: &str| args.text_encoder.join(name);
    let weights = if tuned.is_file() {
        tuned
    } else {
        base("model.safetensors")
    };
    let found = (weights, base("config.json"), base("tokenizer.json"));
    for path in [&found.0, &found.1, &found.2] {
        if !path.is_file() {
            bail!(
                "{}: there is no such file; name the directory of all-MiniLM-L6-v2 with \
                 --text-encoder DIR (`cargo xtask minilm` fetches it)",
                path.display()
            );
        }
    }
    Ok(found)
}

/// What a model directory is made from.
enum Source {
    /// A training run, with the text encoder's weights, shape and tokenizer.
    Run(PathBuf, PathBuf, PathBuf),
    /// The graphs and tokenizers of another model directory, by their names.
    Model(Vec<&'static str>),
}

fn source(args: &args::Export) -> Result<Source> {
    let has = |name: &str| args.run.join(name).is_file();
    if let Some(name) = ["config.json", "tokenizer.json"]
        .iter()
        .find(|name| !has(name))
    {
        bail!(
            "{} is neither a finished training run nor a model directory: it has no {name}",
            args.run.display()
        );
    }
    if has("model.safetensors") {
        if args.add {
            bail!(
                "{} is a training run, which has no reference set that --add could add to",
                args.run.display()
            );
        }
        let (weights, shape, tokenizer) = text_encoder(args)?;
        return Ok(Source::Run(weights, shape, tokenizer));
    }
    let mut kept: Vec<&str> = GRAPHS.iter().copied().filter(|name| has(name)).collect();
    let whole = |ending: &str| {
        let of = |stem: &str| kept.iter().any(|name| *name == format!("{stem}.{ending}"));
        of("assembly") && of("text")
    };
    if !whole("int8.onnx") && !whole("onnx") {
        bail!(
            "{} is neither a finished training run, which has model.safetensors, nor a model \
             directory, which has graphs of both encoders",
            args.run.display()
        );
    }
    if args.float && !whole("onnx") {
        bail!(
            "{} has no graphs in single precision, and nothing to make them from; leave out \
             --float",
            args.run.display()
        );
    }
    kept.extend(["tokenizer.json", "text_tokenizer.json"]);
    Ok(Source::Model(kept))
}

fn export(args: &args::Export) -> Result<()> {
    let source = source(args)?;
    let splits = data::read(&args.corpus)?;
    output::beside(&args.output, |new| {
        let mut config = Config::from_file(&args.run.join("config.json"))?;
        let kept = kept_calibration(args, &source, &splits);
        if kept.is_none() {
            config.measured_on = platforms(&splits.validation, |sample| in_reference(args, sample));
        }
        match &source {
            Source::Run(text_weights, text_shape, text_tokenizer) => {
                config.learned_from = platforms(&splits.train, |_| true);
                let tokenizer = args.run.join("tokenizer.json");
                copy(&tokenizer, &new.join("tokenizer.json"))?;
                copy(text_tokenizer, &new.join("text_tokenizer.json"))?;
                let text_shape = TextConfig::from_file(text_shape)?;
                let weights = args.run.join("model.safetensors");
                let mut graphs = vec![("int8.onnx", Precision::Int8)];
                if args.float {
                    graphs.push(("onnx", Precision::Float));
                }
                for (ending, precision) in graphs {
                    let assembly = new.join(format!("assembly.{ending}"));
                    export::export_assembly(&weights, &config, &assembly, precision)?;
                    let text = new.join(format!("text.{ending}"));
                    export::export_text(text_weights, &text_shape, &text, precision)?;
                }
            }
            Source::Model(files) => {
                for name in files {
                    copy(&args.run.join(name), &new.join(name))?;
                }
            }
        }
        config.save(&new.join("config.json"))?;
        fill(args, &source, kept.as_deref(), new, &splits)?;
        replace(new, &args.output)
    })?;
    note(&format!("{} is ready", args.output.display()));
    info(Some(&args.output), Format::Table)
}

/// Whether a build is by one of the toolchains of the reference set.
fn in_reference(args: &args::Export, sample: &Sample) -> bool {
    args.toolchains.contains(&sample.toolchain())
}

/// The containers and processors of samples, those with most of them first; a
/// hundredth of the most common one is too little to learn from.
fn platforms(samples: &[Sample], keep: impl Fn(&Sample) -> bool) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| keep(sample)) {
        *counts.entry(sample.platform()).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let mut platforms: Vec<_> = counts.into_iter().filter(|(_, n)| n * 100 > most).collect();
    platforms.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    platforms
        .into_iter()
        .map(|(platform, _)| platform)
        .collect()
}

/// The confidences of the model directory that the new one is made from, where its
/// corpus has none of the packages that new ones are fitted to and checked on.
fn kept_calibration(args: &args::Export, source: &Source, splits: &Splits) -> Option<PathBuf> {
    let measurable = !splits.validation.is_empty() && !splits.test.is_empty();
    let path = args.run.join(calibration::FILE_NAME);
    (matches!(source, Source::Model(_)) && !measurable && path.is_file()).then_some(path)
}

/// Confidences fitted to the first of `measured` and checked on the second.
fn calibrate(
    engine: &Engine,
    set: &Reference,
    measured: &[Vec<Sample>; 2],
    embed: impl Fn(&[Sample]) -> Result<Matrix>,
) -> Result<Calibration> {
    let [validation, test] = measured;
    note(&format!(
        "calibration: embedding {} rows",
        validation.len() + test.len()
    ));
    let (validation_vectors, test_vectors) = (embed(validation)?, embed(test)?);
    let validation_queries = engine.embed_texts(&calibration::queries(validation))?;
    let test_queries = engine.embed_texts(&calibration::queries(test))?;
    let tags = TagVectors::new(engine.embed_texts(&tags::prompts())?, set.vectors());
    Ok(Calibration::fit(
        set,
        &tags,
        Split {
            samples: validation,
            vectors: &validation_vectors,
            query_vectors: &validation_queries,
        },
        Split {
            samples: test,
            vectors: &test_vectors,
            query_vectors: &test_queries,
        },
    )?)
}

/// Adds to the graphs in `new` what rests on the model's own vectors, with the
/// confidences in the file `kept` if there is one.
fn fill(
    args: &args::Export,
    source: &Source,
    kept: Option<&Path>,
    new: &Path,
    splits: &Splits,
) -> Result<()> {
    let engine = Engine::open(&args::ModelArgs {
        model: Some(new.to_owned()),
        no_cache: false,
    })?;
    note(&format!("model {}", engine.id()));
    let embed = |samples: &[Sample]| {
        let listings: Vec<String> = samples
            .iter()
            .map(|sample| sample.listing.clone())
            .collect();
        engine.embed_listings("corpus", &listings)
    };
    // What a split has under the toolchains of the reference set.
    let chosen = |samples: &[Sample]| -> Vec<Sample> {
        let wanted = samples.iter().filter(|sample| in_reference(args, sample));
        wanted.cloned().collect()
    };
    let train = chosen(&splits.train);
    if train.is_empty() && matches!(source, Source::Model(_)) {
        bail!(
            "{} has no function of the train split under {}: name toolchains that it has with \
             --toolchains",
            args.corpus.display(),
            args.toolchains.join(", ")
        );
    }
    note(&format!("reference set: embedding {} rows", train.len()));
    let vectors = embed(&train)?;
    let mut set = Reference::build(&train, &vectors, engine.id(), args.reference)?;
    if args.add {
        set = Reference::read(&args.run.join(reference::FILE_NAME), engine.id())?.joined(&set);
    }
    set.write(&new.join(reference::FILE_NAME))?;
    check_size(args, new, set.vectors().len())?;
    // What is used is what was written, at one byte a number.
    let set = Reference::read(&new.join(reference::FILE_NAME), engine.id())?;

    let calibration = match kept {
        Some(path) => {
            note(&format!(
                "the confidences stay those of {}: {} has no packages to measure them on",
                path.display(),
                args.corpus.display()
            ));
            copy(path, &new.join(calibration::FILE_NAME))?;
            Calibration::read(path, engine.id())?
        }
        None => {
            let measured = [&splits.validation, &splits.test].map(|samples| chosen(samples));
            let calibration = calibrate(&engine, &set, &measured, embed)?;
            calibration.write(&new.join(calibration::FILE_NAME))?;
            calibration
        }
    };

    let card = card(args, source, &engine, splits, &set, &calibration)?;
    output::write_file(&new.join("README.md"), card.as_bytes())?;
    Ok(())
}

/// Refuses a directory that the repository should not hold, before long work on the
/// rest of it.
fn check_size(args: &args::Export, new: &Path, vectors: usize) -> Result<()> {
    // What calibration and card take.
    const REST: u64 = 40_000;
    let size = directory_size(new)? + REST;
    if size <= LARGEST || args.float || args.add {
        return Ok(());
    }
    let written = fs::metadata(new.join(reference::FILE_NAME))?.len();
    let (size, written, largest) = (size as f64, written as f64, LARGEST as f64);
    let fit = (vectors as f64 * (1.0 - (size - largest) / written)).max(0.0);
    bail!(
        "the model directory would have {:.1} MB, more than {:.0}: take fewer vectors with \
         --reference N (some {:.0} fit), or a smaller model",
        size / 1e6,
        largest / 1e6,
        (fit / 1000.0).floor() * 1000.0
    );
}

/// Moves the files of `new` into `output`, and removes graphs of an older model
/// that the new one has not.
fn replace(new: &Path, output: &Path) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    for name in GRAPHS {
        let old = output.join(name);
        if old.exists() && !new.join(name).exists() {
            fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    for entry in fs::read_dir(new)? {
        let entry = entry?;
        let to = output.join(entry.file_name());
        fs::rename(entry.path(), &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    fs::remove_dir(new)?;
    Ok(())
}

/// The model card: every figure with the command that gives it.
fn card(
    args: &args::Export,
    source: &Source,
    engine: &Engine,
    splits: &Splits,
    set: &Reference,
    calibration: &Calibration,
) -> Result<String> {
    let config = engine.config();
    let mut card = String::new();
    let mut line = |text: &str| {
        card.push_str(text);
        card.push('\n');
    };
    let licenses: Vec<String> = {
        let mut all: Vec<String> = splits
            .train
            .iter()
            .map(|s| format!("{} ({})", s.package, s.license))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    line("---\nlicense: apache-2.0\ntags: [binary-analysis, assembly, sentence-similarity]\n---\n");
    line("# binscribe model\n");
    line(&format!(
        "Model `{}`: an assembly encoder ({} layers, {} wide, {} heads, {} pieces of vocabulary, \
         at most {} tokens of a function) whose vectors ({} numbers, cosine) lie near those that \
         the text encoder gives to English about the function. Listings of stripped files in, as \
         `binscribe listing` prints them: {}.\n",
        engine.id(),
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.vocab_size,
        config.max_tokens,
        config.output_size,
        config.learned_from.join(", "),
    ));
    line(
        "The text encoder derives from all-MiniLM-L6-v2 (Apache-2.0). Graphs are ONNX; `.int8.` \
          ones hold 8-bit weights.\n",
    );
    line("## Data\n");
    if matches!(source, Source::Model(_)) {
        line(
            "The encoders were taken from another model directory as they were. What follows is \
             what the reference set and the confidences were made from.\n",
        );
    }
    let mut toolchains: Vec<String> = splits.train.iter().map(Sample::toolchain).collect();
    toolchains.sort_unstable();
    toolchains.dedup();
    line(&format!(
        "Functions of Debian source packages, compiled, linked, stripped and listed (all of x86-64 \
         Linux but where it is said): {}.\n",
        toolchains.join(", ")
    ));
    for (split, samples) in [
        ("train", &splits.train),
        ("validation", &splits.validation),
        ("test", &splits.test),
    ] {
        line(&format!(
            "- {split}: {} rows of {}",
            samples.len(),
            data::packages(samples).join(", ")
        ));
    }
    line(&format!(
        "\n(`binscribe corpus stats`.) The reference set (`reference.parquet`) holds {} vectors with \
         names, places and one-line explanations from comments of the training packages: {}.\n",
        set.entries().len(),
        licenses.join(", ")
    ));
    if let Some(path) = &args.notes {
        let notes = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        line(notes.trim_end());
        line("");
    }
    line("## Calibration\n");
    line(
        "Confidences are fitted on the validation packages and checked on the test packages; half \
          of the questions have a right answer to be found (documentation of \
          `binscribe_tasks::calibration`). Held out:\n",
    );
    line("| answer | answers | right | expected calibration error | Brier score |");
    line("| --- | ---: | ---: | ---: | ---: |");
    for (what, part) in parts(calibration) {
        if let Some(part) = part {
            let held_out = &part.held_out;
            line(&format!(
                "| {what} | {} | {} | {:.3} | {:.3} |",
                held_out.answers,
                held_out.right,
                held_out.expected_calibration_error,
                held_out.brier
            ));
        }
    }
    line("\n(`binscribe model export`; `calibration.json` has the bins.)\n");
    if !args.figures.is_empty() {
        line("## How well it does\n");
        line("On packages that it was not trained on.\n");
    }
    for path in &args.figures {
        card.push_str(&figures(path, engine.id())?);
    }
    Ok(card)
}

/// What one evaluation printed as JSON, as a section of the card.
fn figures(path: &Path, model: &str) -> Result<String> {
    let report = Report::read(path)?;
    if report.model.id != model {
        bail!(
            "{} has figures of model {}, but this is model {model}: measure it again",
            path.display(),
            report.model.id
        );
    }
    // Every single pair of levels is more than a card can show.
    let table = report.markdown(|name| report.task != "bcsd" || name.ends_with("mean"));
    Ok(format!(
        "### {}\n\n`{}` (split {}, seed {}, {} functions, {} rows)\n\n{table}\n",
        report.task, report.command, report.split, report.seed, report.functions, report.rows
    ))
}
