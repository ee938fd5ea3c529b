//! A start that knows English. Words in strings and in the names of imports
//! are tokens of the assembly vocabulary, and the text encoder knows what they
//! mean: their rows of the token table start from its vectors, projected to
//! the encoder's width by principal components, and the output projection
//! starts as the way back.
//!
//! Or a start from the weights of another run, or of a model directory: its layers
//! as they are, and the rows of its token table for those tokens that both
//! vocabularies have.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use binscribe_model::AsmTokenizer;
use binscribe_model::export::{BY_TOKEN, HEAD, assembly_weights};
use tch::{Device, Kind, Tensor, no_grad};

use crate::encoder::{Encoder, INITIAL_STD};
use crate::text::TextEncoder;
use crate::{Error, Result};

/// Instruction embeddings start this much smaller, so that they do not drown
/// the words that they are added to.
const INSTRUCTION_SHARE: f64 = 0.25;
/// What looks like an English word but is none.
const REGISTERS: [&str; 34] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "eax", "ebx", "ecx", "edx", "esi",
    "edi", "ebp", "esp", "xmm", "ymm", "zmm", "sil", "dil", "bpl", "spl", "rip", "byte", "word",
    "dword", "qword", "xmmword", "sub", "loc", "var", "arg", "str",
];

/// Tokens of the vocabulary that may be English words: three lower-case letters
/// or more, neither a mnemonic nor a register.
pub(crate) fn words(tokenizer: &AsmTokenizer, mnemonics: &HashSet<String>) -> Vec<(u32, String)> {
    (0..tokenizer.vocab_size() as u32)
        .filter_map(|id| Some((id, tokenizer.token(id)?)))
        .filter(|(_, token)| {
            token.len() >= 3
                && token.bytes().all(|b| b.is_ascii_lowercase())
                && !mnemonics.contains(token)
                && !REGISTERS.contains(&token.as_str())
        })
        .collect()
}

/// Sets the token table and the projection of a new encoder.
pub(crate) fn warm_start(
    encoder: &Encoder,
    text: &mut TextEncoder,
    words: &[(u32, String)],
) -> Result<()> {
    let hidden = encoder.config().hidden_size as i64;
    if (words.len() as i64) <= hidden {
        return Err(Error::Corpus(format!(
            "{} words in the vocabulary are too few for a warm start; use warm_start = \"random\"",
            words.len()
        )));
    }
    let texts: Vec<&str> = words.iter().map(|(_, word)| word.as_str()).collect();
    no_grad(|| {
        let vectors = text.embed(&texts)?.to_kind(Kind::Double);
        let mean = vectors.mean_dim([0i64].as_slice(), true, Kind::Double);
        let centred = &vectors - &mean;
        let covariance = centred.tr().matmul(&centred) / words.len() as f64;
        // Ascending: the last are the principal ones.
        let (_, axes) = covariance.linalg_eigh("L");
        let axes = axes.narrow(1, axes.size()[1] - hidden, hidden);
        let coordinates = centred.matmul(&axes);
        let spread = coordinates.square().mean(Kind::Double).sqrt();
        let rows = &coordinates / &spread * INITIAL_STD;

        let p = encoder.parameters();
        let mut table = p.get("embeddings.weight").detach();
        let config = encoder.config();
        let mut instructions = table.narrow(
            0,
            i64::from(config.instruction_base),
            config.max_instructions as i64,
        );
        let _ = instructions.g_mul_scalar_(INSTRUCTION_SHARE);
        let ids: Vec<i64> = words.iter().map(|(id, _)| i64::from(*id)).collect();
        let ids = Tensor::from_slice(&ids).to_device(table.device());
        let _ = table.index_copy_(0, &ids, &rows.to_kind(Kind::Float));

        // Layer norms bring a row to spread one, so the way back is one spread.
        let mut weight = p.get("projection.weight").detach();
        weight.copy_(&(axes * &spread).to_kind(Kind::Float));
        let mut bias = p.get("projection.bias").detach();
        bias.copy_(&mean.squeeze_dim(0).to_kind(Kind::Float));
        Ok(())
    })
}

/// The weights of a finished run, or of a model directory with a vocabulary of
/// `tokens`. What only the first stage needs is in no model: it is 0, as in a new
/// encoder.
fn stored(start: &Path, tokens: usize) -> Result<HashMap<String, Tensor>> {
    let bias = Tensor::zeros([tokens as i64], (Kind::Float, Device::Cpu));
    let weights = assembly_weights(start)?.into_iter().map(|weight| {
        let shape: Vec<i64> = weight.shape.iter().map(|n| *n as i64).collect();
        (
            weight.name,
            Tensor::from_slice(&weight.values).view(&shape[..]),
        )
    });
    let head = (HEAD.to_owned(), bias);
    Ok([head].into_iter().chain(weights).collect())
}

/// Fills a new encoder from the finished run or the model directory `start`; says
/// how many tokens both vocabularies have. Rows of the others keep their random
/// values, as long as the known ones are: none shall drown what stands beside it.
pub(crate) fn start_from(
    encoder: &Encoder,
    tokenizer: &AsmTokenizer,
    start: &Path,
) -> Result<usize> {
    let before = AsmTokenizer::from_file(&start.join("tokenizer.json"))?;
    let places = tokenizer.places_in(&before).into_iter();
    let (new, old): (Vec<i64>, Vec<i64>) = (0..)
        .zip(places)
        .filter_map(|(id, place)| Some((id, i64::from(place?))))
        .unzip();
    let device = encoder.device();
    let (rows, from) = (Tensor::from_slice(&new), Tensor::from_slice(&old));
    let (rows, from) = (rows.to_device(device), from.to_device(device));
    let mut stored = stored(start, before.vocab_size())?;
    no_grad(|| {
        for (name, tensor) in encoder.parameters().iter() {
            let by_token = BY_TOKEN.contains(&name);
            let fits = |value: &Tensor| {
                let (was, is) = (value.size(), tensor.size());
                was == is || (by_token && was[1..] == is[1..])
            };
            let value = stored
                .remove(name)
                .filter(fits)
                .ok_or_else(|| Error::Weights {
                    path: start.to_owned(),
                    name: name.to_owned(),
                })?
                .to_device(device);
            let mut tensor = tensor.detach();
            if by_token {
                let known = value.index_select(0, &from);
                if name == BY_TOKEN[0] {
                    let spread = known.square().mean(Kind::Float).sqrt();
                    let _ = tensor.g_mul_(&(spread / INITIAL_STD));
                }
                let _ = tensor.index_copy_(0, &rows, &known);
            } else {
                tensor.copy_(&value);
            }
        }
        Ok(new.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Recipe, testing};
    use binscribe_model::export::{Precision, export_assembly};

    #[test]
    fn a_run_gives_its_layers_and_the_tokens_that_are_known() {
        let recipe = Recipe::parse(include_str!("../../../recipes/tiny.toml"), false).unwrap();
        let encoder = |tokenizer: &AsmTokenizer, seed| {
            let mut config = recipe.config(tokenizer.vocab_size(), tokenizer.instruction_base());
            // The tests' tokenizers know fewer than the recipe asks for.
            config.max_instructions = tokenizer.max_instructions();
            Encoder::new(config, seed, Device::Cpu, Kind::Float)
        };
        let folder = tempfile::tempdir().unwrap();
        let rows = testing::rows(20);
        let before = testing::tokenizer(&rows);
        let old = encoder(&before, 1);
        old.save(&folder.path().join("model.safetensors")).unwrap();
        before.save(&folder.path().join("tokenizer.json")).unwrap();
        let mut others = testing::rows(20);
        for row in &mut others {
            row.listing = row.listing.replace("eax", "$v0");
        }
        let after = testing::tokenizer(&others);
        let new = encoder(&after, 2);
        let known = start_from(&new, &after, folder.path()).unwrap();
        assert!(known > 0 && known < after.vocab_size());

        let norm = |e: &Encoder| e.parameters().get("layers.0.ffn.up.weight").copy();
        assert!(norm(&old).equal(&norm(&new)));
        let places: HashMap<String, i64> = (0..before.vocab_size() as u32)
            .filter_map(|id| Some((before.token(id)?, i64::from(id))))
            .collect();
        let mut found = 0;
        for id in 0..after.vocab_size() as u32 {
            let row = |e: &Encoder, at| e.parameters().get(BY_TOKEN[0]).get(at);
            if let Some(&place) = after.token(id).and_then(|token| places.get(&token)) {
                assert!(row(&old, place).equal(&row(&new, i64::from(id))));
                found += 1;
            }
        }
        assert_eq!(found, known);
        let refused = start_from(&new, &after, &folder.path().join("nothing"));
        assert!(refused.is_err());

        // A model directory has the same, but for the first stage's head.
        let model = tempfile::tempdir().unwrap();
        let place = |name: &str| model.path().join(name);
        before.save(&place("tokenizer.json")).unwrap();
        old.config().save(&place("config.json")).unwrap();
        let weights = folder.path().join("model.safetensors");
        let graph = place("assembly.onnx");
        export_assembly(&weights, old.config(), &graph, Precision::Float).unwrap();
        let from_model = encoder(&after, 2);
        let known_of_model = start_from(&from_model, &after, model.path()).unwrap();
        assert_eq!(known_of_model, known);
        for (name, tensor) in from_model.parameters().iter() {
            let of_run = new.parameters().get(name);
            let near = tensor.allclose(of_run, 1e-5, 1e-7, false);
            assert!(near, "{name}");
        }
    }
}
