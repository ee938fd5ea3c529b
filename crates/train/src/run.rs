//! A whole run: tokenizer, dataset, both stages, the files of a model.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use binscribe_model::AsmTokenizer;
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use crate::contrast::{ContrastStage, embed_listings};
use crate::dataset::{Dataset, Split, sample_listings};
use crate::encoder::{Encoder, compute_kind, precision_of};
use crate::parameters::write_tensors;
use crate::pretrain::PretrainStage;
use crate::recipe::Recipe;
use crate::stage::{Event, Outcome, State, Validation, drive};
use crate::text::TextEncoder;
use crate::validate::{Judge, Scores};
use crate::world::{Group, World};
use crate::{Error, Result, files, warm};

/// Which stages a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stages {
    /// Both, one after the other.
    All,
    /// Masked tokens and jump targets only.
    Pretrain,
    /// Contrast only, from what an earlier run of the first stage left.
    Contrast,
    /// Contrast only, from the first weights: what the first stage is worth
    /// shows beside such a run.
    Scratch,
}

/// What is to be done, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// How.
    pub recipe: Recipe,
    /// A folder of rows, or a corpus with one.
    pub corpus: PathBuf,
    /// Where everything is written.
    pub run: PathBuf,
    /// The text encoder: a folder with all-MiniLM-L6-v2.
    pub minilm: PathBuf,
    /// Goes on from the checkpoint of `run`.
    pub resume: bool,
    /// What it runs on.
    pub device: Device,
    /// Which stages.
    pub stages: Stages,
    /// A finished run or a model directory of the same shape whose weights are the
    /// first ones.
    pub start: Option<PathBuf>,
    /// The processes that this one trains together with; process 0 alone
    /// writes to `run`.
    pub world: Option<World>,
}

/// `metrics.json`.
#[derive(Serialize)]
struct Metrics<'a> {
    name: &'a str,
    seed: u64,
    device: String,
    precision: &'a str,
    parameters: i64,
    training_listings: usize,
    training_tokens: usize,
    functions: usize,
    documented_functions: usize,
    /// How many of them by the origin of the text.
    texts: BTreeMap<String, usize>,
    steps: [u64; 2],
    minutes: [f64; 2],
    tokens_seen: [usize; 2],
    /// The best weights at several lengths; the best length is in config.json.
    by_max_tokens: Vec<AtLength>,
    validations: &'a [Validation<Scores>],
}

#[derive(Serialize)]
struct AtLength {
    max_tokens: usize,
    scores: Scores,
}

/// Trains a model. Stops after the current step once `stop` is set, with a
/// checkpoint to go on from.
pub fn train(
    request: &Request,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    let (recipe, run) = (&request.recipe, request.run.as_path());
    let compute = compute_kind(&recipe.precision, request.device)?;
    let text = toml::to_string(recipe).map_err(|error| Error::Recipe(error.to_string()))?;
    let group = match &request.world {
        None => Group::alone(),
        Some(world) => Group::meet(world, &plan(request, &text), stop)?,
    };
    let mut state = State::default();
    if group.first() {
        std::fs::create_dir_all(run).map_err(|error| Error::io(run, error))?;
        state = open(request)?;
        files::write(&run.join("recipe.toml"), text.as_bytes())?;
    }
    share_place(&mut state, &group)?;

    let json = if group.first() {
        tokenizer(request, watch)?
    } else {
        Vec::new()
    };
    let json = group.broadcast(json)?;
    let tokenizer = AsmTokenizer::from_bytes(&json)?;
    let config = recipe.config(tokenizer.vocab_size(), tokenizer.instruction_base());
    let tokenizer = tokenizer.with_limits(&config);
    watch(&Event::Note("reading and tokenizing the rows".to_owned()));
    let dataset = dataset(request, &tokenizer, &json, &group)?;
    let training = dataset.split_listings(Split::Train);
    let training_tokens: usize = training.iter().map(|&l| dataset.length(l)).sum();
    watch(&Event::Note(format!(
        "{} functions, {} different listings, {} of them to learn from with {training_tokens} tokens",
        dataset.functions().len(),
        dataset.listings(),
        training.len(),
    )));

    let encoder = Encoder::new(config, recipe.seed, request.device, compute);
    let mut text = TextEncoder::load(
        &request.minilm,
        recipe.contrast.text_trainable_layers,
        recipe.contrast.text_pieces,
        request.device,
        compute,
    )?;
    let fresh = state.stage.is_empty() && request.stages != Stages::Contrast && group.first();
    if fresh && let Some(start) = &request.start {
        let known = warm::start_from(&encoder, &tokenizer, start)?;
        watch(&Event::Note(format!(
            "the weights of {}; its vocabulary has {known} of the {} tokens",
            start.display(),
            tokenizer.vocab_size()
        )));
    } else if fresh && recipe.model.warm_start == "minilm" {
        let words = warm::words(&tokenizer, &mnemonics(&dataset, &training, &tokenizer));
        watch(&Event::Note(format!(
            "{} words of the vocabulary start from the text encoder",
            words.len()
        )));
        warm::warm_start(&encoder, &mut text, &words)?;
    }

    let pretrained = run.join("pretrained.safetensors");
    let first_stage = matches!(request.stages, Stages::All | Stages::Pretrain);
    if first_stage && state.stage != "contrast" {
        let mut stage = PretrainStage::new(recipe, &dataset, &encoder)?;
        if drive(&mut stage, &mut state, run, &group, stop, watch)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        if group.first() {
            encoder.save(&pretrained)?;
        }
    } else if request.stages == Stages::Contrast && state.stage != "contrast" && group.first() {
        encoder.parameters().load(&pretrained)?;
    }
    if request.stages == Stages::Pretrain {
        return Ok(Outcome::Finished);
    }

    let (temperature, functions, origins);
    watch(&Event::Note("encoding the texts".to_owned()));
    {
        let mut stage = ContrastStage::new(recipe, &dataset, &encoder, &mut text)?;
        functions = stage.functions();
        origins = stage.origins();
        watch(&Event::Note(format!(
            "{} functions to contrast, {} of them with a comment",
            functions.0, functions.1
        )));
        if drive(&mut stage, &mut state, run, &group, stop, watch)? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        if !group.first() {
            return Ok(Outcome::Finished);
        }
        crate::stage::Stage::load(&mut stage, &run.join("best"))?;
        temperature = stage.temperature();
    }

    let judge = Judge::new(recipe, &dataset);
    let mut by_max_tokens = Vec::new();
    for max_tokens in lengths(recipe) {
        let scores = judge.judge(&encoder, &mut text, max_tokens)?;
        watch(&Event::Note(format!(
            "best weights, {max_tokens} tokens: {scores}"
        )));
        by_max_tokens.push(AtLength { max_tokens, scores });
    }
    let mut config = encoder.config().clone();
    config.temperature = temperature as f32;
    if let Some(best) = by_max_tokens
        .iter()
        .max_by(|a, b| a.scores.total().total_cmp(&b.scores.total()))
    {
        config.max_tokens = best.max_tokens;
    }
    let weights = run.join("model.safetensors");
    encoder.save(&weights)?;
    config.save(&run.join("config.json"))?;
    if recipe.contrast.text_trainable_layers > 0 {
        text.save(&run.join("text.safetensors"))?;
    }
    let exact = Encoder::load(&weights, config, Device::Cpu, Kind::Float)?;
    write_parity(
        &run.join("parity.safetensors"),
        &exact,
        &dataset,
        &judge,
        recipe,
    )?;
    let of = |stage: &str| {
        let points = state.points.iter().filter(|p| p.stage == stage);
        points.fold((0, 0.0, 0), |(_, _, tokens), p| {
            (p.step, p.seconds / 60.0, tokens + p.tokens)
        })
    };
    let (one, two) = (of("pretrain"), of("contrast"));
    let metrics = Metrics {
        name: &recipe.name,
        seed: recipe.seed,
        device: format!("{:?}", request.device),
        precision: precision_of(compute),
        parameters: encoder
            .parameters()
            .iter()
            .map(|(_, tensor)| tensor.numel() as i64)
            .sum(),
        training_listings: training.len(),
        training_tokens,
        functions: functions.0,
        documented_functions: functions.1,
        texts: origins,
        steps: [one.0, two.0],
        minutes: [one.1, two.1],
        tokens_seen: [one.2, two.2],
        by_max_tokens,
        validations: &state.validations,
    };
    files::write_json(&run.join("metrics.json"), &metrics)?;
    watch(&Event::Note(format!("wrote {}", run.display())));
    Ok(Outcome::Finished)
}

/// Stands for what a process is about to do.
fn plan(request: &Request, recipe: &str) -> [u8; 32] {
    let kind = if request.device.is_cuda() {
        "cuda"
    } else {
        "cpu"
    };
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("{version} {kind} {:?}\n{recipe}", request.stages);
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// Tells all processes where process 0 goes on.
fn share_place(state: &mut State<Scores>, group: &Group) -> Result<()> {
    let fail = |error: serde_json::Error| Error::World(format!("state: {error}"));
    let place = (&state.stage, state.step, state.seconds);
    let place = group.broadcast(serde_json::to_vec(&place).map_err(fail)?)?;
    (state.stage, state.step, state.seconds) = serde_json::from_slice(&place).map_err(fail)?;
    Ok(())
}

/// The corpus, which has to be the same for all processes. Process 0 reads it
/// first, so that on one machine it is tokenized once.
fn dataset(
    request: &Request,
    tokenizer: &AsmTokenizer,
    json: &[u8],
    group: &Group,
) -> Result<Dataset> {
    let load = || {
        let (corpus, run) = (&request.corpus, &request.run);
        let preferred = &request.recipe.contrast.explanations;
        Dataset::load(corpus, tokenizer, json, preferred, run, group.first())
    };
    if group.size() == 1 {
        return load();
    }
    if group.first() {
        let dataset = load()?;
        group.broadcast(dataset.digest()?.to_vec())?;
        return Ok(dataset);
    }
    let digest = group.broadcast(Vec::new())?;
    let dataset = load()?;
    if digest != dataset.digest()? {
        return Err(Error::Corpus(format!(
            "{} is not the one that process 0 reads; give all processes the same rows",
            request.corpus.display()
        )));
    }
    Ok(dataset)
}

/// Where the run stands: at its start, or where its checkpoint says.
fn open(request: &Request) -> Result<State<Scores>> {
    let run = &request.run;
    let checkpoint = run.join("checkpoint");
    files::recover_folder(&checkpoint)?;
    files::recover_folder(&run.join("best"))?;
    let refuse = |reason: &str| {
        Err(Error::RunDirectory {
            path: run.clone(),
            reason: reason.to_owned(),
        })
    };
    if !checkpoint.exists() {
        return Ok(State::default());
    }
    if !request.resume && request.stages != Stages::Contrast {
        return refuse("holds a run already; --resume goes on with it");
    }
    let text = std::fs::read_to_string(run.join("recipe.toml"))
        .map_err(|error| Error::io(&run.join("recipe.toml"), error))?;
    let before = Recipe::parse(&text, false)?;
    let same = before.seed == request.recipe.seed
        && before.model == request.recipe.model
        && before.tokenizer == request.recipe.tokenizer;
    if !same {
        return refuse("was started with another seed, model or tokenizer");
    }
    let path = checkpoint.join("state.json");
    let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    let mut state: State<Scores> =
        serde_json::from_slice(&bytes).map_err(|error| Error::io(&path, error.into()))?;
    if !request.resume && request.stages == Stages::Contrast {
        // A fresh second stage upon the first one's weights.
        state.points.retain(|point| point.stage == "pretrain");
        state.stage = "pretrain".to_owned();
        (state.best, state.validations) = (None, Vec::new());
    }
    Ok(state)
}

/// The file of the tokenizer, which is trained if there is none.
fn tokenizer(request: &Request, watch: &mut dyn FnMut(&Event)) -> Result<Vec<u8>> {
    let path = request.run.join("tokenizer.json");
    let read = || std::fs::read(&path).map_err(|error| Error::io(&path, error));
    if path.exists() {
        return read();
    }
    let settings = &request.recipe.tokenizer;
    watch(&Event::Note("training the tokenizer".to_owned()));
    let listings = sample_listings(&request.corpus, settings.listings)?;
    let tokenizer = AsmTokenizer::train(
        listings.iter().map(String::as_str),
        settings.vocab_size,
        settings.max_instructions,
    )?;
    tokenizer.save(&path)?;
    read()
}

/// Tokens that instructions start with.
fn mnemonics(dataset: &Dataset, listings: &[u32], tokenizer: &AsmTokenizer) -> HashSet<String> {
    let mut starts: HashSet<u16> = HashSet::new();
    for &listing in listings {
        let (ids, instructions) = dataset.tokens(listing, usize::MAX);
        let mut before = None;
        for (&id, &instruction) in ids.iter().zip(instructions) {
            if before.replace(instruction) != Some(instruction) {
                starts.insert(id);
            }
        }
    }
    starts
        .into_iter()
        .filter_map(|id| tokenizer.token(u32::from(id)))
        .collect()
}

/// The lengths at which the finished model is judged: trained on the start of
/// long functions, it may or may not gain by reading more.
fn lengths(recipe: &Recipe) -> Vec<usize> {
    let most = recipe.model.max_tokens;
    let mut lengths = vec![recipe.contrast.max_tokens.min(most), 256.min(most), most];
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// Functions and what this encoder makes of them in `f32`, for the test that
/// inference agrees: `input_ids` and `instruction_ids` one function after the
/// other, `lengths`, and `embeddings`.
fn write_parity(
    path: &Path,
    encoder: &Encoder,
    dataset: &Dataset,
    judge: &Judge,
    recipe: &Recipe,
) -> Result<()> {
    let mut seen = HashSet::new();
    let listings: Vec<u32> = judge
        .listings()
        .filter(|&listing| seen.insert(listing))
        .take(recipe.validation.parity)
        .collect();
    if listings.is_empty() {
        return Ok(());
    }
    let max_tokens = encoder.config().max_tokens;
    let (mut ids, mut instructions, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for &listing in &listings {
        let tokens = dataset.tokens(listing, max_tokens);
        lengths.push(tokens.0.len() as i64);
        ids.extend(tokens.0.iter().map(|&id| i64::from(id)));
        instructions.extend(tokens.1.iter().map(|&id| i64::from(id)));
    }
    let embeddings = no_grad(|| embed_listings(encoder, dataset, &listings, max_tokens, 4096));
    write_tensors(
        path,
        &[
            ("input_ids", Tensor::from_slice(&ids)),
            ("instruction_ids", Tensor::from_slice(&instructions)),
            ("lengths", Tensor::from_slice(&lengths)),
            ("embeddings", embeddings),
        ],
    )
}
