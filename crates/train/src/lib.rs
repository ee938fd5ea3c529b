//! Training: recipes and rows in, weights of a model directory out.
//!
//! A [`Recipe`] says everything about a run but its corpus; [`train`] does it,
//! in two stages, and tells what happens as [`Event`]s. [`Encoder`] is the
//! assembly encoder and [`TextEncoder`] the English one, both on libtorch,
//! which no other crate of binscribe knows. [`Dataset`] holds the corpus as
//! tokens. [`train_seq2seq`] trains a model that explains sources in English,
//! by a [`Seq2SeqRecipe`].
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use binscribe_train::{Recipe, Request, Stages, train};
//!
//! let request = Request {
//!     recipe: Recipe::read("recipes/tiny.toml".as_ref(), false)?,
//!     corpus: "corpus".into(),
//!     run: "runs/tiny".into(),
//!     minilm: "target/minilm".into(),
//!     resume: false,
//!     device: tch::Device::Cpu,
//!     stages: Stages::All,
//!     start: None,
//!     world: None,
//! };
//! train(&request, &AtomicBool::new(false), &mut |event| drop(event))?;
//! # Ok::<(), binscribe_train::Error>(())
//! ```

mod bank;
mod batches;
mod contrast;
mod curves;
mod dataset;
mod encoder;
mod error;
mod files;
mod history;
mod loss;
mod optimizer;
mod parameters;
mod plan;
mod pretrain;
mod recipe;
mod run;
mod seq2seq;
mod stage;
#[cfg(test)]
mod testing;
mod text;
mod topics;
mod validate;
mod warm;
mod words;
mod world;

pub use curves::{Along, draw_curves};
pub use dataset::{Dataset, Function, Split, Tokens, Variant, rectangles};
pub use encoder::{Batch, Encoder, compute_kind};
pub use error::{Error, Result};
pub use optimizer::Optimizer;
pub use parameters::Parameters;
pub use recipe::{Contrast, Pretrain, Recipe, Schedule, Shape, TokenizerRecipe, Validation};
pub use run::{Request, Stages, train};
pub use seq2seq::{
    Denoise, Finetune, Generate, Judging, Losses, ModelRecipe, Network, PairBatch, PairRecipe,
    Parts, Perplexity, PieceRecipe, Seq2SeqRecipe, Seq2SeqRequest, Seq2SeqStages, TextScores,
    train_seq2seq,
};
pub use stage::{Event, Outcome};
pub use text::TextEncoder;
pub use validate::{Score, Scores};
pub use words::name_words;
pub use world::World;
