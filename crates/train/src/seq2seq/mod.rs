//! Training a sequence-to-sequence model: CLAP's *shadow model* (Wang et al.
//! 2024, section 3.1), which learns to explain from (source, explanation)
//! pairs. There it is a LLaMA that is fine-tuned; here a small transformer
//! that starts from nothing, so it first restores the sources of all training
//! packages.

mod baseline;
mod card;
mod metrics;
mod network;
mod pairs;
mod recipe;
mod run;
mod stages;

pub use metrics::TextScores;
pub use network::{Losses, Network, PairBatch};
pub use recipe::{
    Denoise, Finetune, Generate, Judging, ModelRecipe, PairRecipe, Parts, PieceRecipe,
    Seq2SeqRecipe,
};
pub use run::{Seq2SeqRequest, Seq2SeqStages, train_seq2seq};
pub use stages::Perplexity;
