//! What functions do, in English, with who said so.
//!
//! Explanations lie beside the rows, one for each distinct body of source and
//! each [`Origin`]: what the authors wrote (`doc`), what a large model said
//! (`teacher:<model>`), and what a small one fine-tuned on its answers says
//! (`shadow:<model>`). That is the dataset engine of CLAP (abstract and
//! Figure 2), whose released prompt [`INSTRUCTION`] is.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use binscribe_corpus::explain::{ExplanationStore, Explanations, Preference, source_functions};
//! use binscribe_corpus::read_rows;
//!
//! # fn main() -> binscribe_corpus::Result<()> {
//! let corpus = Path::new("corpus");
//! let functions = source_functions(&corpus.join("rows"))?;
//! ExplanationStore::open(corpus)?.write_docs(&functions)?;
//!
//! let rows = read_rows(&corpus.join("rows"))?;
//! let explanations = Explanations::read(corpus)?;
//! let preference: Preference = "teacher,shadow,doc".parse()?;
//! for (row, explanation) in explanations.join(&rows, &preference) {
//!     println!("{}: {}", row.name, explanation.text);
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod ask;
mod chat;
mod export;
mod functions;
mod log;
mod prompt;
mod quality;
mod review;
mod shadow;
mod store;

pub use ask::{Asking, Budget, FirstPrompt, Outcome, Plan};
pub use chat::Server;
pub use export::{ChatExport, Exported, export_chat, export_clap};
pub use functions::{SourceFunction, sample, source_functions};
pub use prompt::{INSTRUCTION, Prompt};
pub use quality::{Quality, USEFUL};
pub use review::{Pair, Rating, Review, Summary, listing_of, pairs};
pub use shadow::Explainer;
pub use store::{
    Explanation, ExplanationStore, Explanations, Origin, Preference, read_explanations,
    write_explanations,
};

use std::sync::atomic::{AtomicBool, Ordering};

/// Something that happened while explanations were asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Functions that are done with, well or badly.
    Done {
        /// How many.
        done: usize,
        /// Of how many.
        total: usize,
        /// Tokens used so far, those of earlier runs included.
        tokens: u64,
    },
    /// A request failed and is made again later.
    Waiting {
        /// Why.
        reason: String,
    },
    /// A function stays without explanation in this run.
    Failed {
        /// The function.
        function: String,
        /// Why.
        reason: String,
    },
}

/// How a caller follows a long run, and ends it.
#[derive(Clone, Copy)]
pub struct Follow<'a> {
    /// Called for every step, from any thread.
    pub report: &'a (dyn Fn(Step) + Sync),
    /// Once true, nothing more is asked; what was answered is kept.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("stop", self.stop)
            .finish_non_exhaustive()
    }
}

impl Follow<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
