//! What the two stages share: steps, schedule, checkpoints, reports.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::history::Point;
use crate::optimizer::Optimizer;
use crate::recipe::Schedule;
use crate::seq2seq::Perplexity;
use crate::validate::Scores;
use crate::world::Group;
use crate::{Error, Result, files};

/// What happened in a run, for whoever watches it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Something was prepared or written.
    Note(String),
    /// A step was done.
    Step {
        /// `pretrain` or `contrast`; `denoise` or `finetune`.
        stage: &'static str,
        /// How many steps of the stage are done.
        step: u64,
        /// How much of the stage is over, 0 to 1.
        fraction: f64,
        /// Smoothed loss.
        loss: f64,
        /// Smoothed parts of the loss, with their names.
        parts: [(&'static str, f64); 2],
        /// Tokens a second, padding not counted.
        speed: f64,
        /// Seconds that the stage will take still.
        left: f64,
    },
    /// The model was judged.
    Validated {
        /// How many steps of the stage are done.
        step: u64,
        /// What came out.
        scores: Scores,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A sequence-to-sequence model was judged.
    Judged {
        /// How many steps of the stage are done.
        step: u64,
        /// What came out.
        scores: Perplexity,
        /// Whether it is the best so far.
        best: bool,
    },
}

/// How a model was judged while it trained.
pub(crate) trait Judgement: Clone + Serialize + DeserializeOwned {
    /// What the best weights are chosen by.
    fn total(&self) -> f64;
    fn event(self, step: u64, best: bool) -> Event;
}

impl Judgement for Scores {
    fn total(&self) -> f64 {
        Scores::total(self)
    }

    fn event(self, step: u64, best: bool) -> Event {
        let scores = self;
        Event::Validated { step, scores, best }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The run directory is complete.
    Finished,
    /// It was asked to stop; a checkpoint was written.
    Stopped,
}

/// Loss and size of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measures {
    pub(crate) loss: f64,
    pub(crate) parts: [f64; 2],
    pub(crate) tokens: usize,
}

/// Where a run stands: what a checkpoint holds besides tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State<J> {
    pub(crate) stage: String,
    pub(crate) step: u64,
    pub(crate) seconds: f64,
    pub(crate) best: Option<f64>,
    pub(crate) points: Vec<Point>,
    pub(crate) validations: Vec<Validation<J>>,
}

impl<J> Default for State<J> {
    fn default() -> State<J> {
        State {
            stage: String::new(),
            step: 0,
            seconds: 0.0,
            best: None,
            points: Vec::new(),
            validations: Vec::new(),
        }
    }
}

/// One validation, as `metrics.json` lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Validation<J> {
    pub(crate) step: u64,
    pub(crate) minutes: f64,
    pub(crate) scores: J,
}

pub(crate) trait Stage {
    const NAME: &'static str;
    const PARTS: [&'static str; 2];
    type Judgement: Judgement;
    fn schedule(&self) -> &Schedule;
    /// Adds the gradients of step `step` that this process's part of the data
    /// gives; the measures are those of all processes.
    fn gradients(&mut self, step: u64, group: &Group) -> Result<Measures>;
    fn optimizer(&mut self) -> &mut Optimizer;
    /// Writes the weights into a folder.
    fn save(&self, folder: &Path) -> Result<()>;
    fn load(&mut self, folder: &Path) -> Result<()>;
    /// Takes everything that changes in training from process 0.
    fn share(&mut self, group: &Group) -> Result<()> {
        self.optimizer().share(group)
    }
    /// Judges the weights, if this stage is judged.
    fn validate(&mut self) -> Result<Option<Self::Judgement>>;
    fn validate_every_seconds(&self) -> f64;
}

/// The generator of one step: it depends on nothing but seed, stage and step,
/// so a run that goes on from a checkpoint sees what it would have seen.
pub(crate) fn generator(seed: u64, stage: &str, step: u64) -> StdRng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(stage.as_bytes());
    hasher.update(&step.to_le_bytes());
    StdRng::from_seed(*hasher.finalize().as_bytes())
}

/// Runs a stage to its end, from `state` on. With several processes, all take
/// the same steps; only process 0 judges the model and writes files.
pub(crate) fn drive<S: Stage>(
    stage: &mut S,
    state: &mut State<S::Judgement>,
    run: &Path,
    group: &Group,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    let checkpoint = run.join("checkpoint");
    if state.stage != S::NAME {
        state.stage = S::NAME.to_owned();
        (state.step, state.seconds) = (0, 0.0);
    } else if group.first() {
        stage.load(&checkpoint)?;
        stage
            .optimizer()
            .load(&checkpoint.join("optimizer.safetensors"))?;
    }
    if group.size() > 1 {
        stage.share(group)?;
    }
    let mut smooth: Option<[f64; 3]> = None;
    let (mut last_checkpoint, mut last_validation) = (state.seconds, state.seconds);
    // Speed is that of the last steps, not that of the start.
    let mut window: std::collections::VecDeque<(usize, f64)> = Default::default();
    loop {
        let schedule = stage.schedule().clone();
        // The clock is that of process 0, for the learning rate follows it;
        // whoever is asked to stop stops all.
        let asked = f64::from(u8::from(stop.load(Ordering::Relaxed)));
        let clock = if group.first() { state.seconds } else { 0.0 };
        let [asked, clock] = group.sum_of([asked, clock])?;
        state.seconds = clock;
        if schedule.fraction(state.step, state.seconds) >= 1.0 {
            break;
        }
        if asked > 0.0 {
            save_checkpoint(stage, state, group, &checkpoint)?;
            return Ok(Outcome::Stopped);
        }
        let start = Instant::now();
        let learning_rate = schedule.rate(state.step, state.seconds);
        stage.optimizer().zero_grad();
        let measures = stage.gradients(state.step, group)?;
        stage.optimizer().sum_gradients(group)?;
        let length = stage.optimizer().step(learning_rate, schedule.clip);
        if !measures.loss.is_finite() || !length.is_finite() {
            return Err(Error::Diverged {
                stage: S::NAME.to_owned(),
                step: state.step,
            });
        }
        let seconds = start.elapsed().as_secs_f64();
        state.step += 1;
        state.seconds += seconds;
        state.points.push(Point {
            stage: S::NAME.to_owned(),
            step: state.step,
            seconds: state.seconds,
            tokens: measures.tokens,
            learning_rate,
            gradient: length,
            loss: measures.loss,
            first: measures.parts[0],
            second: measures.parts[1],
        });
        window.push_back((measures.tokens, seconds));
        if window.len() > 20 {
            window.pop_front();
        }
        let now = [measures.loss, measures.parts[0], measures.parts[1]];
        let old = smooth.unwrap_or(now);
        let mean: [f64; 3] = std::array::from_fn(|i| old[i] * 0.9 + now[i] * 0.1);
        smooth = Some(mean);
        let tokens: usize = window.iter().map(|w| w.0).sum();
        let spent: f64 = window.iter().map(|w| w.1).sum();
        let fraction = schedule.fraction(state.step, state.seconds);
        let pace = spent / window.len() as f64;
        let left = (schedule.steps.saturating_sub(state.step) as f64 * pace).min(
            schedule
                .max_minutes
                .map_or(f64::INFINITY, |m| m * 60.0 - state.seconds),
        );
        watch(&Event::Step {
            stage: S::NAME,
            step: state.step,
            fraction,
            loss: mean[0],
            parts: [(S::PARTS[0], mean[1]), (S::PARTS[1], mean[2])],
            speed: tokens as f64 / spent,
            left: left.max(0.0),
        });

        let due = state.seconds - last_validation >= stage.validate_every_seconds();
        if due || fraction >= 1.0 {
            last_validation = state.seconds;
            if group.first()
                && let Some(scores) = stage.validate()?
            {
                let best = state.best.is_none_or(|best| scores.total() > best);
                if best {
                    state.best = Some(scores.total());
                    files::replace_folder(&run.join("best"), |folder| stage.save(folder))?;
                }
                state.validations.push(Validation {
                    step: state.step,
                    minutes: state.seconds / 60.0,
                    scores: scores.clone(),
                });
                watch(&scores.event(state.step, best));
                last_checkpoint = state.seconds;
                save_checkpoint(stage, state, group, &checkpoint)?;
            }
        }
        if state.seconds - last_checkpoint >= schedule.checkpoint_minutes * 60.0 {
            last_checkpoint = state.seconds;
            save_checkpoint(stage, state, group, &checkpoint)?;
        }
    }
    save_checkpoint(stage, state, group, &checkpoint)?;
    Ok(Outcome::Finished)
}

fn save_checkpoint<S: Stage>(
    stage: &mut S,
    state: &State<S::Judgement>,
    group: &Group,
    checkpoint: &Path,
) -> Result<()> {
    if !group.first() {
        return Ok(());
    }
    files::replace_folder(checkpoint, |folder| {
        stage.save(folder)?;
        stage
            .optimizer()
            .save(&folder.join("optimizer.safetensors"))?;
        files::write_json(&folder.join("state.json"), state)
    })?;
    if let Some(run) = checkpoint.parent() {
        crate::history::write(run, &state.points)?;
    }
    Ok(())
}
