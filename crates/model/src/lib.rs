//! Model directories: a function's listing or an English text in, a unit
//! vector out. Or a function's source in, a line of English out.
//!
//! - [`Model`]: a model directory, loaded; embeds listings and texts.
//! - [`AsmTokenizer`] over [`chunks`] and [`words`]: the same code at training
//!   and inference.
//! - [`text`]: English as the text encoder is asked in it.
//! - [`Config`]: the shape of an assembly encoder, as `config.json` holds it.
//! - [`Seq2Seq`]: a model directory that writes; English for a function's source.
//! - [`export`]: trained weights to the ONNX graphs that they run.
//! - [`import`]: CLAP's published models to model directories;
//!   [`ClapTokenizer`] and [`ClapFunction`] are its tokens and its files.
//!
//! ```
//! let line = r#"lea     rdi, aUsage; "usage: %s""#;
//! assert_eq!(binscribe_model::chunks(line), ["lea", "rdi", "str_"]);
//! assert_eq!(binscribe_model::words(line), ["usage"]);
//! ```

mod chunks;
mod clap;
mod config;
mod encoder;
mod error;
pub mod export;
pub mod import;
mod model;
mod onnx;
mod seq2seq;
pub mod text;
mod tokenizer;

pub use chunks::{chunks, words};
pub use clap::{ClapFunction, ClapTokenizer};
pub use config::{Architecture, Config};
pub use error::{Error, Result};
pub use model::{Model, default_dir};
pub use seq2seq::{
    Decoding, END, FIRST_SENTINEL, PAD, PieceTokenizer, SENTINELS, SMALLEST, START, Seq2Seq,
    Seq2SeqConfig, source_words,
};
pub use tokenizer::{AsmTokenizer, Encoding};

/// Writes under a temporary name and renames, so that a killed run leaves no
/// half-written file.
fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = std::path::PathBuf::from(name);
    std::fs::write(&temporary, bytes).map_err(|e| Error::io(&temporary, e))?;
    std::fs::rename(&temporary, path).map_err(|e| Error::io(path, e))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::bad_file(path, e.to_string()))
}

fn write_json(path: &std::path::Path, value: &impl serde::Serialize) -> Result<()> {
    let mut json =
        serde_json::to_string_pretty(value).map_err(|e| Error::bad_file(path, e.to_string()))?;
    json.push('\n');
    write_file(path, json.as_bytes())
}

/// One single-threaded pool for each of so many inputs that run at once.
fn thread_pools(threads: usize) -> Vec<std::sync::Arc<rten::ThreadPool>> {
    let pool = |_| std::sync::Arc::new(rten::ThreadPool::with_num_threads(1));
    (0..threads.max(1)).map(pool).collect()
}

/// One thread a core.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
