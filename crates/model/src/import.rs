//! Published models as model directories.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::export::{ClapTextConfig, Precision, export_clap_assembly, export_clap_text};
use crate::{Architecture, ClapTokenizer, Config, Error, Result};

/// The files that are needed of `clap-asm`, and of `clap-text` too.
pub const CLAP_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// A file that is read where it is there.
pub const CLAP_OPTIONAL_FILES: [&str; 1] = ["tokenizer_config.json"];

/// SHA-256 of the weights of `hustcw/clap-asm` and `hustcw/clap-text`, as they
/// have been published since February 2024.
const PUBLISHED: [&str; 2] = [
    "dea0c38285733170fdd47021092efcbbde68118ae9c8977a41811e6b1c9162cb",
    "0b3c8c717335c801abb15983036a6f1df4b6943fd6b93717969efd96d22eeec6",
];

/// Where CLAP's temperature comes from: its own examples, not its weights.
const TEMPERATURE: f32 = 0.07;

/// What [`clap`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// SHA-256 of the assembly encoder's and of the text encoder's weights.
    pub sha256: [String; 2],
    /// Whether each is what CLAP's authors published, to the byte.
    pub published: [bool; 2],
}

/// What is needed of `clap-asm`'s `config.json`.
#[derive(Deserialize)]
struct AssemblyConfig {
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    max_position_embeddings: usize,
    pad_token_id: u32,
    #[serde(default)]
    rotary_value: bool,
    #[serde(default)]
    use_bias: bool,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

/// Makes a model directory of CLAP's two encoders, each in a directory as the
/// Hugging Face Hub has it: `config.json`, `tokenizer.json`,
/// `model.safetensors` and, if it is there, `tokenizer_config.json`.
///
/// `out` must exist; it gets `config.json`, both tokenizers and both graphs in
/// each precision. The vectors of [`Precision::Float`] are those of the
/// published code.
///
/// # Errors
///
/// A file is missing, or is not of the shapes that CLAP has.
pub fn clap(
    assembly: &Path,
    text: &Path,
    out: &Path,
    precisions: &[Precision],
) -> Result<Imported> {
    let text_config = ClapTextConfig::from_file(&text.join("config.json"))?;
    let config = config(assembly, &text_config)?;
    config.save(&out.join("config.json"))?;
    copy(assembly, out, "tokenizer.json")?;
    copy(text, out, "text_tokenizer.json")?;
    let weights = |dir: &Path| dir.join("model.safetensors");
    for &precision in precisions {
        let path = |stem| crate::model::graph_path(out, stem, precision);
        export_clap_assembly(&weights(assembly), &config, &path("assembly"), precision)?;
        export_clap_text(&weights(text), &text_config, &path("text"), precision)?;
    }
    let sha256 = [sha256(&weights(assembly))?, sha256(&weights(text))?];
    let published = [0, 1].map(|at| sha256[at] == PUBLISHED[at]);
    Ok(Imported { sha256, published })
}

fn copy(from: &Path, out: &Path, name: &str) -> Result<()> {
    let from = from.join("tokenizer.json");
    let bytes = std::fs::read(&from).map_err(|e| Error::io(&from, e))?;
    crate::write_file(&out.join(name), &bytes)
}

fn sha256(path: &Path) -> Result<String> {
    let io = |e| Error::io(path, e);
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut hasher = Sha256::new();
    let mut part = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut part).map_err(io)?;
        if read == 0 {
            break;
        }
        hasher.update(&part[..read]);
    }
    let hex = hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    Ok(hex)
}

/// Checks which kind of model a `config.json` is of, before anything else is
/// read from it.
pub(crate) fn expect_model_type(path: &Path, expected: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Kind {
        model_type: Option<String>,
    }
    let kind: Kind = crate::read_json(path)?;
    match kind.model_type {
        Some(found) if found == expected => Ok(()),
        found => Err(Error::bad_file(
            path,
            format!(
                "model_type is {:?}, not {expected:?}: name clap-asm first, then clap-text",
                found.unwrap_or_default()
            ),
        )),
    }
}

fn config(assembly: &Path, text: &ClapTextConfig) -> Result<Config> {
    let path = assembly.join("config.json");
    let bad = |reason: String| Error::bad_file(&path, reason);
    expect_model_type(&path, "roformer")?;
    let shape: AssemblyConfig = crate::read_json(&path)?;
    if shape.rotary_value
        || shape.use_bias
        || shape.hidden_act != "gelu"
        || shape.embedding_size != shape.hidden_size
    {
        return Err(bad(
            "rotary_value, use_bias, hidden_act or embedding_size is not CLAP's".to_owned(),
        ));
    }
    let tokenizer_path = assembly.join("tokenizer.json");
    let bytes = std::fs::read(&tokenizer_path).map_err(|e| Error::io(&tokenizer_path, e))?;
    let unreadable = |e: Error| Error::bad_file(&tokenizer_path, e.to_string());
    let tokenizer = ClapTokenizer::from_bytes(&bytes).map_err(unreadable)?;
    let instruction_base = tokenizer.instruction_base().map_err(unreadable)?;
    let longest = max_length(&assembly.join("tokenizer_config.json"))?.unwrap_or(1024);
    let config = Config {
        model_type: Architecture::Clap,
        vocab_size: shape.vocab_size,
        hidden_size: shape.hidden_size,
        num_hidden_layers: shape.num_hidden_layers,
        num_attention_heads: shape.num_attention_heads,
        intermediate_size: shape.intermediate_size,
        layer_norm_eps: shape.layer_norm_eps,
        max_tokens: longest.min(shape.max_position_embeddings),
        max_word_tokens: 0,
        instruction_base,
        max_instructions: tokenizer.max_instructions(instruction_base),
        output_size: text.hidden_size,
        temperature: TEMPERATURE,
        pad_token_id: shape.pad_token_id,
        max_text_tokens: text.max_tokens(),
        ..Config::default()
    };
    config.check().map_err(bad)?;
    Ok(config)
}

/// Tokens of the longest function, where the tokenizer says so.
fn max_length(path: &Path) -> Result<Option<usize>> {
    if !path.exists() {
        return Ok(None);
    }
    let config: TokenizerConfig = crate::read_json(path)?;
    // A tokenizer without a limit is saved with a number beyond any memory.
    let limit = config.model_max_length.filter(|n| (1.0..1e6).contains(n));
    Ok(limit.map(|n| n as usize))
}
