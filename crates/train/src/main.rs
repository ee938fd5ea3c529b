//! `binscribe-train`: recipes in, model directories out.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use binscribe_train::{
    Along, Event, Outcome, Recipe, Request, Seq2SeqRecipe, Seq2SeqRequest, Seq2SeqStages, Stages,
    World, draw_curves, train, train_seq2seq,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
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
  Go on from a model of fewer packages or processors, with a vocabulary of its own:
    binscribe-train recipes/default.toml --corpus more --out runs/more --start runs/default
  Or from the model that binscribe comes with:
    binscribe-train recipes/topics.toml --corpus mine --out runs/mine --start models/default
  The same recipe without its first stage, to see what that is worth:
    binscribe-train recipes/default.toml --corpus corpus --out runs/scratch --stage scratch
  And both in one picture:
    binscribe-train curves runs/default runs/scratch -o curves.svg
  Train with two processes, each on its half of every batch:
    binscribe-train recipes/default.toml --corpus corpus --out runs/default \
        --world 2 --rank 0 --meet localhost:29400 &
    binscribe-train recipes/default.toml --corpus corpus --out runs/default \
        --world 2 --rank 1 --meet localhost:29400
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
#[command(
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// The recipe, a TOML file.
    #[arg(required = true)]
    recipe: Option<PathBuf>,
    /// The corpus: a folder of Parquet rows, or one with a folder `rows`.
    #[arg(long, value_name = "DIR", required = true)]
    corpus: Option<PathBuf>,
    /// The run directory.
    #[arg(long, value_name = "RUN_DIR", required = true)]
    out: Option<PathBuf>,
    /// Go on from the checkpoint of the run directory.
    #[arg(long)]
    resume: bool,
    /// What to run on; `cuda` applies the recipe's [gpu] table.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// Which stages to do. `contrast` starts from pretrained.safetensors in
    /// the run directory, `scratch` from the first weights, `finetune` from
    /// denoised.safetensors in the run directory.
    #[arg(long, value_enum, default_value = "all")]
    stage: StageName,
    /// Start from the weights of a finished run or of a model directory of the
    /// same shape: its layers, and what it knows of the tokens that both
    /// vocabularies have.
    #[arg(long, value_name = "DIR")]
    start: Option<PathBuf>,
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
    /// How many processes train together. Their gradients are summed and their
    /// vectors put together, so that the steps are those of one process with
    /// the whole batch. Process 0 alone writes files; when it is killed or
    /// another one is, start all again with --resume.
    #[arg(long, value_name = "N", env = "WORLD_SIZE", default_value_t = 1)]
    world: usize,
    /// The number of this process, from 0.
    #[arg(long, value_name = "I", env = "RANK", default_value_t = 0)]
    rank: usize,
    /// Where process 0 listens and the others find it. Anyone who reaches the
    /// port can join in, so keep it inside a network that you trust. Without
    /// this, MASTER_ADDR and MASTER_PORT of the environment.
    #[arg(long, value_name = "HOST:PORT")]
    meet: Option<String>,
}

/// What is done with runs, besides training.
#[derive(Subcommand)]
enum Other {
    /// Draw loss and Recall@1 of the second stage of several runs, to see what
    /// the first stage is worth (CLAP's Figure 4).
    Curves(Curves),
}

#[derive(Args)]
struct Curves {
    /// Run directories, finished or not.
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// The picture.
    #[arg(short, long, value_name = "FILE", default_value = "curves.svg")]
    output: PathBuf,
    /// What the curves run along.
    #[arg(long, value_enum, default_value = "steps")]
    along: AlongName,
}

#[derive(Clone, Copy, ValueEnum)]
enum AlongName {
    Steps,
    Minutes,
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
    /// The second stage without the first.
    Scratch,
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
    if let Some(Other::Curves(curves)) = &arguments.other {
        let along = match curves.along {
            AlongName::Steps => Along::Steps,
            AlongName::Minutes => Along::Minutes,
        };
        draw_curves(&curves.runs, along, &curves.output)?;
        report(&format!("wrote {}", curves.output.display()));
        return Ok(());
    }
    let (Some(recipe), Some(corpus), Some(out)) =
        (&arguments.recipe, &arguments.corpus, &arguments.out)
    else {
        bail!("a recipe, --corpus and --out are needed; --help has examples");
    };
    let paths = Paths {
        recipe,
        corpus,
        out,
    };
    let gpu = arguments.device == DeviceName::Cuda;
    if gpu && !Cuda::is_available() {
        bail!("--device cuda, but libtorch sees no GPU (BINSCRIBE_TORCH with cargo xtask train)");
    }
    let world = world(arguments)?;
    let device = if gpu {
        Device::Cuda(local_rank(arguments.rank))
    } else {
        Device::Cpu
    };
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))
        .context("cannot listen for Ctrl-C")?;
    let mut display = Display::new();
    // All processes do the same; one of them says so.
    let first = world.as_ref().is_none_or(|world| world.rank == 0);
    let mut watch = |event: &Event| {
        if first {
            display.show(event);
        }
    };
    let outcome = match Seq2SeqRecipe::read(recipe, gpu)? {
        Some(_) if world.is_some() => {
            bail!("a recipe with a table [seq2seq] trains in one process: leave --world out")
        }
        Some(recipe) => train_seq2seq(
            &seq2seq_request(arguments, &paths, recipe, device)?,
            &stop,
            &mut watch,
        )?,
        None => {
            let request = encoder_request(arguments, &paths, gpu, device, world)?;
            train(&request, &stop, &mut watch)?
        }
    };
    match outcome {
        Outcome::Finished => {}
        Outcome::Stopped if first => report("stopped; --resume goes on"),
        Outcome::Stopped => {}
    }
    Ok(())
}

/// The place among other processes, by the arguments or by the environment
/// variables that torchrun sets.
fn world(arguments: &Arguments) -> anyhow::Result<Option<World>> {
    if arguments.world <= 1 {
        return Ok(None);
    }
    let meet = match &arguments.meet {
        Some(meet) => meet.clone(),
        None => meeting_place()
            .context("--world needs --meet HOST:PORT, or MASTER_ADDR and MASTER_PORT")?,
    };
    Ok(Some(World {
        rank: arguments.rank,
        size: arguments.world,
        meet,
    }))
}

fn meeting_place() -> Option<String> {
    let variable = |name| std::env::var(name).ok();
    let port: u16 = variable("MASTER_PORT")?.parse().ok()?;
    // torchrun itself listens at the port when it says so.
    let taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|v| v == "True");
    let port = port.checked_add(u16::from(taken))?;
    Some(format!("{}:{port}", variable("MASTER_ADDR")?))
}

/// The GPU of this process: LOCAL_RANK where torchrun says so; else one after
/// the other.
fn local_rank(rank: usize) -> usize {
    let local = std::env::var("LOCAL_RANK").ok();
    let local = local.and_then(|local| local.parse().ok());
    let gpus = usize::try_from(Cuda::device_count()).unwrap_or(1);
    local.unwrap_or(rank) % gpus.max(1)
}

/// What a training run cannot do without.
struct Paths<'a> {
    recipe: &'a Path,
    corpus: &'a Path,
    out: &'a Path,
}

fn encoder_request(
    arguments: &Arguments,
    paths: &Paths,
    gpu: bool,
    device: Device,
    world: Option<World>,
) -> anyhow::Result<Request> {
    if arguments.pairs.is_some() {
        bail!("--pairs is for a recipe with a table [seq2seq], as recipes/shadow.toml is");
    }
    if arguments.start.is_some() && matches!(arguments.stage, StageName::Contrast) {
        bail!("--stage contrast starts from the run directory's own first stage, not from --start");
    }
    Ok(Request {
        recipe: Recipe::read(paths.recipe, gpu)?,
        corpus: paths.corpus.to_owned(),
        run: paths.out.to_owned(),
        minilm: arguments.minilm.clone(),
        resume: arguments.resume,
        device,
        stages: match arguments.stage {
            StageName::All => Stages::All,
            StageName::Pretrain => Stages::Pretrain,
            StageName::Contrast => Stages::Contrast,
            StageName::Scratch => Stages::Scratch,
            _ => bail!("the stages of this recipe are pretrain and contrast"),
        },
        start: arguments.start.clone(),
        world,
    })
}

fn seq2seq_request(
    arguments: &Arguments,
    paths: &Paths,
    recipe: Seq2SeqRecipe,
    device: Device,
) -> anyhow::Result<Seq2SeqRequest> {
    if arguments.start.is_some() {
        bail!("--start is for the assembly encoder; a shadow model starts from its first weights");
    }
    Ok(Seq2SeqRequest {
        recipe,
        corpus: paths.corpus.to_owned(),
        pairs: arguments.pairs.clone(),
        run: paths.out.to_owned(),
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
