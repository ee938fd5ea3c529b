//! `binscribe-train`: recipes in, model directories out.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use binscribe_train::{
    Event, Outcome, Recipe, Request, Seq2SeqRecipe, Seq2SeqRequest, Seq2SeqStages, Stages, train,
    train_seq2seq,
};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tch::{Cuda, Device};

const EXAMPLES: &str = "\
Examples:
  Train the default model on a corpus that `binscribe corpus build` made:
    binscribe-train recipes/default.toml --corpus corpus --out runs/default
  Go on after Ctrl-C or a crash:
    binscribe-train recipes/default.toml --corpus corpus --out runs/default --resume
  Try another second stage on the same pretrained weights:
    binscribe-train mine.toml --corpus corpus --out runs/default --stage contrast
  Train the shadow model, which explains sources in English:
    binscribe-train recipes/shadow.toml --corpus corpus --out runs/shadow
  Teach it the explanations of a teacher (`binscribe corpus export --chat`):
    binscribe-train recipes/shadow.toml --corpus corpus --out runs/shadow \
        --stage finetune --pairs pairs.jsonl

The run directory gets config.json, tokenizer.json, model.safetensors,
text.safetensors (if the text encoder was tuned), recipe.toml, metrics.json,
parity.safetensors, loss.csv and loss.svg; that of a shadow model a whole model
directory in its folder `model`. `cargo xtask train` builds this
program and runs it with libtorch and the text encoder in place.";

/// Train an assembly encoder: masked tokens and jump targets first, then
/// contrast with other builds of the same function and with English. Or, by a
/// recipe with a table [seq2seq], a model that explains sources in English.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// The corpus: a folder of Parquet rows, or one with a folder `rows`.
    #[arg(long, value_name = "DIR")]
    corpus: PathBuf,
    /// The run directory.
    #[arg(long, value_name = "RUN_DIR")]
    out: PathBuf,
    /// Go on from the checkpoint of the run directory.
    #[arg(long)]
    resume: bool,
    /// What to run on; `cuda` applies the recipe's [gpu] table.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// Which stages to do. `contrast` starts from pretrained.safetensors in
    /// the run directory, `finetune` from denoised.safetensors in it.
    #[arg(long, value_enum, default_value = "all")]
    stage: StageName,
    /// Explanations to learn from instead of comments, as chat, one a line;
    /// only for a recipe with a table [seq2seq].
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// The text encoder: a folder with all-MiniLM-L6-v2.
    #[arg(
        long,
        value_name = "DIR",
        env = "BINSCRIBE_MINILM",
        default_value = "target/minilm"
    )]
    minilm: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum DeviceName {
    Cpu,
    Cuda,
}

#[derive(Clone, Copy, ValueEnum)]
enum StageName {
    All,
    /// The first stage of an encoder.
    Pretrain,
    /// The second stage of an encoder.
    Contrast,
    /// The first stage of a sequence-to-sequence model.
    Denoise,
    /// The second stage of a sequence-to-sequence model.
    Finetune,
}

fn main() -> ExitCode {
    keep_memory();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("binscribe-train: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let gpu = arguments.device == DeviceName::Cuda;
    if gpu && !Cuda::is_available() {
        bail!("--device cuda, but libtorch sees no GPU (BINSCRIBE_TORCH with cargo xtask train)");
    }
    let device = if gpu { Device::Cuda(0) } else { Device::Cpu };
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .context("cannot listen for Ctrl-C")?;
    let mut display = Display::new();
    let mut watch = |event: &Event| display.show(event);
    let outcome = match Seq2SeqRecipe::read(&arguments.recipe, gpu)? {
        Some(recipe) => train_seq2seq(
            &seq2seq_request(arguments, recipe, device)?,
            &stop,
            &mut watch,
        )?,
        None => train(&encoder_request(arguments, gpu, device)?, &stop, &mut watch)?,
    };
    match outcome {
        Outcome::Finished => {}
        Outcome::Stopped => report("stopped; --resume goes on"),
    }
    Ok(())
}

fn encoder_request(arguments: &Arguments, gpu: bool, device: Device) -> anyhow::Result<Request> {
    if arguments.pairs.is_some() {
        bail!("--pairs is for a recipe with a table [seq2seq], as recipes/shadow.toml is");
    }
    Ok(Request {
        recipe: Recipe::read(&arguments.recipe, gpu)?,
        corpus: arguments.corpus.clone(),
        run: arguments.out.clone(),
        minilm: arguments.minilm.clone(),
        resume: arguments.resume,
        device,
        stages: match arguments.stage {
            StageName::All => Stages::All,
            StageName::Pretrain => Stages::Pretrain,
            StageName::Contrast => Stages::Contrast,
            _ => bail!("the stages of this recipe are pretrain and contrast"),
        },
    })
}

fn seq2seq_request(
    arguments: &Arguments,
    recipe: Seq2SeqRecipe,
    device: Device,
) -> anyhow::Result<Seq2SeqRequest> {
    Ok(Seq2SeqRequest {
        recipe,
        corpus: arguments.corpus.clone(),
        pairs: arguments.pairs.clone(),
        run: arguments.out.clone(),
        resume: arguments.resume,
        device,
        stages: match arguments.stage {
            StageName::All => Seq2SeqStages::All,
            StageName::Denoise => Seq2SeqStages::Denoise,
            StageName::Finetune => Seq2SeqStages::Finetune,
            _ => bail!("the stages of this recipe are denoise and finetune"),
        },
    })
}

/// A bar on a terminal, a line every half minute elsewhere.
struct Display {
    bar: ProgressBar,
    terminal: bool,
    last: Option<Instant>,
}

impl Display {
    fn new() -> Display {
        let bar = ProgressBar::new(1000);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}") {
            bar.set_style(style);
        }
        Display {
            bar,
            terminal: std::io::stderr().is_terminal(),
            last: None,
        }
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Note(note) => self.line(note),
            Event::Step {
                stage,
                step,
                fraction,
                loss,
                parts,
                speed,
                left,
            } => {
                let message = format!(
                    "{stage} step {step}, loss {loss:.3} ({} {:.3}, {} {:.3}), {speed:.0} tokens/s, {} left",
                    parts[0].0,
                    parts[0].1,
                    parts[1].0,
                    parts[1].1,
                    indicatif::HumanDuration(Duration::from_secs_f64(left.min(1e9))),
                );
                if self.terminal {
                    self.bar.set_position((fraction * 1000.0) as u64);
                    self.bar.set_message(message);
                } else if self
                    .last
                    .is_none_or(|l| l.elapsed() > Duration::from_secs(30))
                {
                    self.last = Some(Instant::now());
                    report(&format!("{:>3.0}% {message}", fraction * 100.0));
                }
            }
            Event::Validated { step, scores, best } => self.line(&format!(
                "validation after step {step}: {scores}{}",
                if *best { ", the best so far" } else { "" }
            )),
            Event::Judged { step, scores, best } => self.line(&format!(
                "validation after step {step}: {scores}{}",
                if *best { ", the best so far" } else { "" }
            )),
            _ => {}
        }
    }

    fn line(&self, text: &str) {
        if self.terminal {
            self.bar.suspend(|| report(text));
        } else {
            report(text);
        }
    }
}

#[allow(clippy::print_stderr)]
fn report(line: &str) {
    eprintln!("{line}");
}

/// Makes the allocator keep large blocks instead of giving them back to the
/// system after every tensor: page faults cost a training step on the CPU a
/// good part of its time.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const M_TRIM_THRESHOLD: i32 = -1;
        const M_MMAP_MAX: i32 = -4;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        // SAFETY: mallopt(3) takes two integers and may be called before other
        // threads exist.
        unsafe {
            mallopt(M_MMAP_MAX, 0);
            mallopt(M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
