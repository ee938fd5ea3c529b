use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rten::ThreadPool;
use tokenizers::{Tokenizer, TruncationParams};

use crate::encoder::{Encoder, Sequence};
use crate::export::Precision;
use crate::{
    Architecture, AsmTokenizer, ClapFunction, ClapTokenizer, Config, Encoding, Error, Result,
};

/// A model directory, ready to embed listings and texts.
///
/// ```no_run
/// use binscribe_model::Model;
/// let model = Model::load_default()?;
/// let functions = model.embed_listings(&["xor     eax, eax\nretn".to_owned()], &|_| ())?;
/// let texts = model.embed_texts(&["return zero".to_owned()])?;
/// let score: f32 = functions[0].iter().zip(&texts[0]).map(|(a, b)| a * b).sum();
/// # Ok::<(), binscribe_model::Error>(())
/// ```
pub struct Model {
    dir: PathBuf,
    id: String,
    config: Config,
    tokenizer: ListingTokenizer,
    text_tokenizer: Tokenizer,
    assembly: Graph,
    text: Graph,
    pools: Vec<Arc<ThreadPool>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("dir", &self.dir)
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Loads a model directory, the 8-bit graphs where there are both.
    pub fn load(dir: &Path) -> Result<Model> {
        let precision = |stem: &str| match graph_path(dir, stem, Precision::Int8).exists() {
            true => Precision::Int8,
            false => Precision::Float,
        };
        Model::open(dir, precision("assembly"), precision("text"))
    }

    /// Loads the graphs of one precision.
    pub fn load_with(dir: &Path, precision: Precision) -> Result<Model> {
        Model::open(dir, precision, precision)
    }

    /// Loads the model of [`default_dir`].
    pub fn load_default() -> Result<Model> {
        Model::load(&default_dir()?)
    }

    fn open(dir: &Path, assembly: Precision, text: Precision) -> Result<Model> {
        let config = Config::from_file(&dir.join("config.json"))?;
        let mut hasher = blake3::Hasher::new();
        let mut read = |path: &Path| -> Result<Vec<u8>> {
            let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
            Ok(bytes)
        };

        let path = dir.join("tokenizer.json");
        let tokenizer = ListingTokenizer::new(&read(&path)?, &config)
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;

        let path = dir.join("text_tokenizer.json");
        let text_tokenizer = text_tokenizer(&read(&path)?, config.max_text_tokens)
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;

        let mut graph = |stem: &str, precision| -> Result<Graph> {
            let path = graph_path(dir, stem, precision);
            let bytes = read(&path)?;
            Ok(Graph::new(path, bytes, config.output_size))
        };
        let assembly = graph("assembly", assembly)?;
        let text = graph("text", text)?;

        // What is cut off changes the vectors too.
        if config.model_type == Architecture::Clap {
            hasher.update(&(config.max_text_tokens as u64).to_le_bytes());
        }
        hasher.update(&(config.max_tokens as u64).to_le_bytes());
        hasher.update(&(config.max_pieces_per_instruction as u64).to_le_bytes());
        hasher.update(&(config.max_word_tokens as u64).to_le_bytes());
        let model = Model {
            dir: dir.to_owned(),
            id: hasher.finalize().to_hex()[..16].to_owned(),
            config,
            tokenizer,
            text_tokenizer,
            assembly,
            text,
            pools: Vec::new(),
        };
        Ok(model.with_threads(crate::cores()))
    }

    /// Runs on so many threads, not on one a core.
    pub fn with_threads(mut self, threads: usize) -> Model {
        self.pools = crate::thread_pools(threads);
        self
    }

    /// Which model made a vector: a hash of graphs and tokenizers.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The shape of the assembly encoder.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A listing, one instruction a line, as the tokens that its vector is made
    /// of.
    pub fn encode(&self, listing_text: &str) -> Result<Encoding> {
        match &self.tokenizer {
            ListingTokenizer::Binscribe(tokenizer) => Ok(tokenizer.encode(listing_text)),
            ListingTokenizer::Clap(tokenizer) => tokenizer.encode(listing_text),
        }
    }

    /// A function of CLAP's files as tokens. CLAP's own model reads the numbers
    /// of the file; ours counts the instructions from 1.
    pub fn encode_function(&self, function: &ClapFunction) -> Result<Encoding> {
        match &self.tokenizer {
            ListingTokenizer::Binscribe(tokenizer) => Ok(tokenizer.encode(&function.text())),
            ListingTokenizer::Clap(tokenizer) => tokenizer.encode_function(function),
        }
    }

    /// The width of the vectors.
    pub fn dim(&self) -> usize {
        self.config.output_size
    }

    /// Where the model was loaded from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A unit vector for each listing. `progress` hears how many are done.
    pub fn embed_listings(
        &self,
        listings: &[String],
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Vec<f32>>> {
        let encodings: Result<Vec<Encoding>> = listings.iter().map(|l| self.encode(l)).collect();
        self.embed_with_progress(&encodings?, progress)
    }

    /// A unit vector for each tokenized listing.
    pub fn embed_encodings(&self, encodings: &[Encoding]) -> Result<Vec<Vec<f32>>> {
        self.embed_with_progress(encodings, &|_| ())
    }

    fn embed_with_progress(
        &self,
        encodings: &[Encoding],
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Vec<f32>>> {
        let sequences: Vec<Sequence> = encodings
            .iter()
            .map(|e| Sequence {
                ids: &e.ids,
                instruction_ids: Some(&e.instruction_ids),
            })
            .collect();
        let encoder = self.assembly.get()?;
        encoder.embed_all(&sequences, &self.pools, progress)
    }

    /// A unit vector for each English text, in the space of the listings.
    pub fn embed_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut encodings = Vec::with_capacity(texts.len());
        for text in texts {
            let encoding = self
                .text_tokenizer
                .encode_fast(text.as_str(), true)
                .map_err(|e| Error::Tokenizer(e.to_string()))?;
            encodings.push(encoding);
        }
        let sequences: Vec<Sequence> = encodings
            .iter()
            .map(|e| Sequence {
                ids: e.get_ids(),
                instruction_ids: None,
            })
            .collect();
        let encoder = self.text.get()?;
        encoder.embed_all(&sequences, &self.pools, &|_| ())
    }
}

/// A listing becomes tokens as its encoder learned it.
enum ListingTokenizer {
    Binscribe(AsmTokenizer),
    Clap(ClapTokenizer),
}

impl ListingTokenizer {
    /// Reads a `tokenizer.json` and compares it with `config`.
    fn new(bytes: &[u8], config: &Config) -> Result<ListingTokenizer> {
        let (tokenizer, entries, base, instructions) = match config.model_type {
            Architecture::Binscribe => {
                let t = AsmTokenizer::from_bytes(bytes)?.with_limits(config);
                let (entries, base) = (t.vocab_size(), t.instruction_base());
                let instructions = t.max_instructions();
                (ListingTokenizer::Binscribe(t), entries, base, instructions)
            }
            Architecture::Clap => {
                let t = ClapTokenizer::from_bytes(bytes)?.with_limits(config);
                let (entries, base) = (t.vocab_size(), t.instruction_base()?);
                let instructions = t.max_instructions(base);
                (ListingTokenizer::Clap(t), entries, base, instructions)
            }
        };
        if entries > config.vocab_size
            || base != config.instruction_base
            || instructions != config.max_instructions
        {
            return Err(Error::Tokenizer(format!(
                "its {entries} entries, with {instructions} INSTR tokens from {base}, are not \
                 what config.json says"
            )));
        }
        Ok(tokenizer)
    }
}

/// Where the default model is: `$BINSCRIBE_MODEL`, else beside the program,
/// else in the source tree that it was built from.
pub fn default_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("BINSCRIBE_MODEL") {
        return Ok(dir.into());
    }
    let mut candidates = Vec::new();
    if let Ok(program) = std::env::current_exe()
        && let Some(beside) = program.parent()
    {
        candidates.push(beside.join("models/default"));
        candidates.push(beside.join("../share/binscribe/models/default"));
    }
    candidates.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default"));
    candidates
        .iter()
        .find(|dir| dir.join("config.json").is_file())
        .cloned()
        .ok_or(Error::NoModel { candidates })
}

pub(crate) fn graph_path(dir: &Path, stem: &str, precision: Precision) -> PathBuf {
    dir.join(match precision {
        Precision::Float => format!("{stem}.onnx"),
        Precision::Int8 => format!("{stem}.int8.onnx"),
    })
}

fn text_tokenizer(bytes: &[u8], max_tokens: usize) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_bytes(bytes)?;
    // The published file pads to a fixed length, which costs time and changes
    // nothing.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(Some(TruncationParams {
        max_length: max_tokens,
        ..TruncationParams::default()
    }))?;
    Ok(tokenizer)
}

/// A graph that is prepared when it is first needed: a search needs one of the
/// two, a cached answer neither.
struct Graph {
    path: PathBuf,
    width: usize,
    bytes: Mutex<Vec<u8>>,
    encoder: OnceLock<Result<Encoder, String>>,
}

impl Graph {
    fn new(path: PathBuf, bytes: Vec<u8>, width: usize) -> Graph {
        Graph {
            path,
            width,
            bytes: Mutex::new(bytes),
            encoder: OnceLock::new(),
        }
    }

    fn get(&self) -> Result<&Encoder> {
        let load = || {
            let bytes = std::mem::take(&mut *self.bytes.lock().unwrap_or_else(|e| e.into_inner()));
            Encoder::load(&self.path, bytes, self.width)
        };
        self.encoder
            .get_or_init(load)
            .as_ref()
            .map_err(|reason| Error::bad_file(&self.path, reason))
    }
}
