//! A whole run: pairs, tokenizer, both stages, the model directory and how
//! well it does.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use binscribe_model::export::{Precision, export_seq2seq};
use binscribe_model::{PieceTokenizer, Seq2Seq, Seq2SeqConfig, source_words};
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::baseline::{Nearest, most_common};
use super::card;
use super::metrics::TextScores;
use super::network::{Network, PairBatch};
use super::pairs::{Pair, Pairs};
use super::recipe::Seq2SeqRecipe;
use super::stages::{DenoiseStage, Example, FinetuneStage, Perplexity, encode};
use crate::encoder::{compute_kind, precision_of};
use crate::parameters::write_tensors;
use crate::stage::{Event, Outcome, Stage as _, State, Validation, drive};
use crate::world::Group;
use crate::{Error, Result, files, name_words};

/// Which stages a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seq2SeqStages {
    /// Both, one after the other.
    All,
    /// Restoring sources only.
    Denoise,
    /// Writing texts only, from what an earlier run of the first stage left.
    Finetune,
}

/// What is to be done, and where.
#[derive(Debug, Clone)]
pub struct Seq2SeqRequest {
    /// How.
    pub recipe: Seq2SeqRecipe,
    /// A folder of rows, or a corpus with one.
    pub corpus: PathBuf,
    /// Explanations as chat, one a line; the comments in the rows without.
    pub pairs: Option<PathBuf>,
    /// Where everything is written.
    pub run: PathBuf,
    /// Goes on from the checkpoint of `run`.
    pub resume: bool,
    /// What it runs on.
    pub device: Device,
    /// Which stages.
    pub stages: Seq2SeqStages,
}

/// `metrics.json`.
#[derive(Debug, Serialize)]
pub(super) struct Metrics {
    pub(super) name: String,
    /// Stands for the graphs, the tokenizer and the configuration.
    pub(super) id: String,
    pub(super) seed: u64,
    pub(super) device: String,
    pub(super) precision: String,
    /// `comments`, or the name of the file of pairs.
    pub(super) pairs: String,
    pub(super) parameters: i64,
    pub(super) functions: usize,
    pub(super) training_pairs: usize,
    pub(super) validation_pairs: usize,
    pub(super) steps: [u64; 2],
    pub(super) minutes: [f64; 2],
    pub(super) tokens_seen: [usize; 2],
    /// Of the weights that were kept.
    pub(super) best: Option<Perplexity>,
    pub(super) validations: Vec<Validation<Perplexity>>,
    /// How near texts are to the references, on how many validation pairs.
    pub(super) texts: usize,
    pub(super) scores: Vec<(String, TextScores)>,
    /// Seconds that the model took for each text.
    pub(super) seconds_per_text: f64,
    pub(super) examples: Vec<Sample>,
}

/// A text that was written, for people to judge.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    pub(super) function: String,
    pub(super) written: String,
    pub(super) reference: String,
}

/// Trains a sequence-to-sequence model. Stops after the current step once
/// `stop` is set, with a checkpoint to go on from.
pub fn train_seq2seq(
    request: &Seq2SeqRequest,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    let (recipe, run) = (&request.recipe, request.run.as_path());
    let compute = compute_kind(&recipe.precision, request.device)?;
    std::fs::create_dir_all(run).map_err(|error| Error::io(run, error))?;
    let mut state = open(request)?;
    let text = toml::to_string(recipe).map_err(|error| Error::Recipe(error.to_string()))?;
    files::write(&run.join("recipe.toml"), text.as_bytes())?;

    watch(&Event::Note("reading the rows".to_owned()));
    let pairs = Pairs::load(
        &request.corpus,
        request.pairs.as_deref(),
        &recipe.seq2seq.pairs,
    )?;
    watch(&Event::Note(format!(
        "{} functions to restore, {} texts to learn from, {} to validate with, {} left out",
        pairs.functions.len(),
        pairs.training.len(),
        pairs.validation.len(),
        pairs.left_out,
    )));
    let tokenizer = tokenizer(request, &pairs, watch)?;
    let config = recipe.config(tokenizer.vocab_size());
    let network = Network::new(config, recipe.seed, request.device, compute);

    let alone = Group::alone();
    let denoised = run.join("denoised.safetensors");
    if request.stages != Seq2SeqStages::Finetune && state.stage != FinetuneStage::NAME {
        let mut stage = DenoiseStage::new(recipe, &pairs.functions, &tokenizer, &network)?;
        if drive(&mut stage, &mut state, run, &alone, stop, watch)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        network.parameters().save(&denoised)?;
    } else if state.stage != FinetuneStage::NAME {
        network.parameters().load(&denoised)?;
    }
    if request.stages == Seq2SeqStages::Denoise {
        return Ok(Outcome::Finished);
    }

    let judged = sample(&pairs.validation, recipe.seq2seq.validation.pairs);
    let validation = encode(&judged, &tokenizer, recipe);
    {
        let training = encode(&pairs.training, &tokenizer, recipe);
        let mut stage = FinetuneStage::new(recipe, training, validation.clone(), &network);
        if drive(&mut stage, &mut state, run, &alone, stop, watch)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        let best = run.join("best");
        if best.exists() {
            stage.load(&best)?;
        }
    }
    finish(
        request,
        &pairs,
        &network,
        &tokenizer,
        &validation,
        state,
        watch,
    )?;
    Ok(Outcome::Finished)
}

/// Writes the model directory and judges it as its users will run it.
fn finish(
    request: &Seq2SeqRequest,
    pairs: &Pairs,
    network: &Network,
    tokenizer: &PieceTokenizer,
    validation: &[Example],
    state: State<Perplexity>,
    watch: &mut dyn FnMut(&Event),
) -> Result<()> {
    let (recipe, run) = (&request.recipe, request.run.as_path());
    let model = run.join("model");
    files::replace_folder(&model, |folder| {
        write_model(folder, network, tokenizer)?;
        watch(&Event::Note("writing texts to judge them".to_owned()));
        let metrics = judge(request, pairs, network, state, folder, watch)?;
        files::write_json(&folder.join("metrics.json"), &metrics)?;
        let card = card::write(&metrics, network.config(), recipe);
        files::write(&folder.join("README.md"), card.as_bytes())
    })?;
    let weights = model.join("model.safetensors");
    let config = network.config().clone();
    let exact = Network::load(&weights, config, Device::Cpu, Kind::Float)?;
    let parity = &validation[..validation.len().min(recipe.seq2seq.validation.parity)];
    write_parity(&run.join("parity.safetensors"), &exact, parity)?;
    watch(&Event::Note(format!("wrote {}", model.display())));
    Ok(())
}

fn write_model(folder: &Path, network: &Network, tokenizer: &PieceTokenizer) -> Result<()> {
    let config: &Seq2SeqConfig = network.config();
    config.save(&folder.join("config.json"))?;
    tokenizer.save(&folder.join("tokenizer.json"))?;
    let weights = folder.join("model.safetensors");
    network.parameters().save(&weights)?;
    for (ending, precision) in [("onnx", Precision::Float), ("int8.onnx", Precision::Int8)] {
        let [encoder, decoder] =
            ["encoder", "decoder"].map(|stem| folder.join(format!("{stem}.{ending}")));
        export_seq2seq(&weights, config, &encoder, &decoder, precision)?;
    }
    Ok(())
}

fn judge(
    request: &Seq2SeqRequest,
    pairs: &Pairs,
    network: &Network,
    state: State<Perplexity>,
    folder: &Path,
    watch: &mut dyn FnMut(&Event),
) -> Result<Metrics> {
    let recipe = &request.recipe;
    let judged = sample(&pairs.validation, recipe.seq2seq.validation.texts);
    let sources: Vec<&str> = judged.iter().map(|p| p.function.source.as_str()).collect();
    // libtorch's threads are still there; one more is enough.
    let shadow = Seq2Seq::load(folder)?.with_threads(1);
    let start = Instant::now();
    let written = shadow.generate(&sources)?;
    let seconds_per_text = start.elapsed().as_secs_f64() / sources.len().max(1) as f64;
    let nearest = Nearest::new(&pairs.training);
    let common = most_common(&pairs.training);
    let score = |texts: &mut dyn Iterator<Item = String>| {
        let texts: Vec<String> = texts.collect();
        let references = judged.iter().map(|pair| pair.text.as_str());
        TextScores::of(texts.iter().map(String::as_str).zip(references))
    };
    let functions = || judged.iter().map(|pair| &pair.function);
    let scores = [
        (
            "this model, beam search",
            score(&mut written.iter().cloned()),
        ),
        (
            "the function's name in words",
            score(&mut functions().map(|f| name_words(&f.name))),
        ),
        (
            "text of the nearest training source (TF-IDF)",
            score(&mut functions().map(|f| nearest.text(&f.source).to_owned())),
        ),
        (
            "the most common training text",
            score(&mut functions().map(|_| common.to_owned())),
        ),
    ]
    .map(|(name, scores)| (name.to_owned(), scores));
    for (name, scores) in &scores {
        watch(&Event::Note(format!("{name}: {scores}")));
    }
    let examples = judged
        .iter()
        .zip(&written)
        .take(12)
        .map(|(pair, written)| Sample {
            function: pair.function.name.clone(),
            written: written.clone(),
            reference: pair.text.clone(),
        })
        .collect();
    let of = |stage: &str| {
        let points = state.points.iter().filter(|p| p.stage == stage);
        points.fold((0, 0.0, 0), |(_, _, tokens), p| {
            (p.step, p.seconds / 60.0, tokens + p.tokens)
        })
    };
    let (one, two) = (of(DenoiseStage::NAME), of(FinetuneStage::NAME));
    let best = state
        .validations
        .iter()
        .min_by(|a, b| a.scores.loss.total_cmp(&b.scores.loss))
        .map(|validation| validation.scores.clone());
    let file = request.pairs.as_deref().and_then(Path::file_name);
    Ok(Metrics {
        name: recipe.name.clone(),
        id: shadow.id().to_owned(),
        seed: recipe.seed,
        device: format!("{:?}", request.device),
        precision: precision_of(compute_kind(&recipe.precision, request.device)?).to_owned(),
        pairs: file.map_or_else(
            || "comments".to_owned(),
            |file| file.to_string_lossy().into_owned(),
        ),
        parameters: network
            .parameters()
            .iter()
            .map(|(_, tensor)| tensor.numel() as i64)
            .sum(),
        functions: pairs.functions.len(),
        training_pairs: pairs.training.len(),
        validation_pairs: pairs.validation.len(),
        steps: [one.0, two.0],
        minutes: [one.1, two.1],
        tokens_seen: [one.2, two.2],
        best,
        validations: state.validations,
        texts: judged.len(),
        scores: scores.to_vec(),
        seconds_per_text,
        examples,
    })
}

/// At most `count` pairs, the same in every run over the same corpus.
fn sample(pairs: &[Pair], count: usize) -> Vec<Pair> {
    let mut order: Vec<&Pair> = pairs.iter().collect();
    order.sort_by_cached_key(|pair| *blake3::hash(pair.function.source.as_bytes()).as_bytes());
    order.into_iter().take(count).cloned().collect()
}

/// Where the run stands: at its start, or where its checkpoint says.
fn open(request: &Seq2SeqRequest) -> Result<State<Perplexity>> {
    let run = &request.run;
    let checkpoint = run.join("checkpoint");
    for folder in ["checkpoint", "best", "model"] {
        files::recover_folder(&run.join(folder))?;
    }
    let refuse = |reason: &str| {
        Err(Error::RunDirectory {
            path: run.clone(),
            reason: reason.to_owned(),
        })
    };
    let finetune = request.stages == Seq2SeqStages::Finetune;
    if !checkpoint.exists() {
        return match finetune && !run.join("denoised.safetensors").exists() {
            true => refuse("has no denoised.safetensors; do the stage `denoise` first"),
            false => Ok(State::default()),
        };
    }
    if !request.resume && !finetune {
        return refuse("holds a run already; --resume goes on with it");
    }
    let path = run.join("recipe.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, error))?;
    let same = Seq2SeqRecipe::parse(&text, false)?.is_some_and(|before| {
        let (before, now) = ((before.seed, before.seq2seq), &request.recipe);
        before.0 == now.seed
            && before.1.model == now.seq2seq.model
            && before.1.tokenizer == now.seq2seq.tokenizer
    });
    if !same {
        return refuse("was started with another seed, model or tokenizer");
    }
    let path = checkpoint.join("state.json");
    let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    let mut state: State<Perplexity> =
        serde_json::from_slice(&bytes).map_err(|error| Error::io(&path, error.into()))?;
    if !request.resume && finetune {
        // A fresh second stage upon the first one's weights.
        state
            .points
            .retain(|point| point.stage == DenoiseStage::NAME);
        state.stage = DenoiseStage::NAME.to_owned();
        (state.best, state.validations) = (None, Vec::new());
    }
    Ok(state)
}

fn tokenizer(
    request: &Seq2SeqRequest,
    pairs: &Pairs,
    watch: &mut dyn FnMut(&Event),
) -> Result<PieceTokenizer> {
    let path = request.run.join("tokenizer.json");
    if path.exists() {
        return Ok(PieceTokenizer::from_file(&path)?);
    }
    watch(&Event::Note("training the tokenizer".to_owned()));
    let settings = &request.recipe.seq2seq.tokenizer;
    let mut sources: Vec<&str> = pairs.functions.iter().map(|f| f.source.as_str()).collect();
    sources.sort_by_cached_key(|source| *blake3::hash(source.as_bytes()).as_bytes());
    sources.truncate(settings.sources);
    let sources: Vec<String> = sources.into_iter().map(source_words).collect();
    let texts = pairs.training.iter().map(|pair| pair.text.as_str());
    let tokenizer = PieceTokenizer::train(
        sources.iter().map(String::as_str).chain(texts),
        settings.vocab_size,
    )?;
    tokenizer.save(&path)?;
    Ok(tokenizer)
}

/// Pairs and what this model makes of them in `f32`, for the test that
/// inference agrees: `source_ids` and `target_ids` one pair after the other,
/// with their lengths, and the log-probabilities of every place.
fn write_parity(path: &Path, network: &Network, examples: &[Example]) -> Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    let flat = |of: fn(&Example) -> &Vec<u32>| -> [Tensor; 2] {
        let ids = examples.iter().flat_map(of).map(|&id| i64::from(id));
        let ids: Vec<i64> = ids.collect();
        let lengths: Vec<i64> = examples.iter().map(|e| of(e).len() as i64).collect();
        [Tensor::from_slice(&ids), Tensor::from_slice(&lengths)]
    };
    let [sources, source_lengths] = flat(|e| &e.0);
    let [targets, target_lengths] = flat(|e| &e.1);
    let rows: Vec<Tensor> = no_grad(|| {
        let one = |(source, target): &Example| {
            let batch = PairBatch::new(&[(source, target)], Device::Cpu);
            let places = network.log_probabilities(&batch).squeeze_dim(0);
            places.narrow(0, 0, target.len() as i64)
        };
        examples.iter().map(one).collect()
    });
    write_tensors(
        path,
        &[
            ("source_ids", sources),
            ("source_lengths", source_lengths),
            ("target_ids", targets),
            ("target_lengths", target_lengths),
            ("log_probabilities", Tensor::cat(&rows, 0)),
        ],
    )
}
