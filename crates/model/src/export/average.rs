//! The mean of two models' weights.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};

use super::{BY_TOKEN, HEAD, Weight, assembly_weights};
use crate::{AsmTokenizer, Config, Error, Result};

/// A run that has tuned the text encoder has its weights here.
const TUNED_TEXT: &str = "text.safetensors";

/// Writes to the directory `out`, as a finished run has them, the weights
/// `(1 - share)` of `before` and `share` of `after`: finished runs, or model
/// directories. `after` went on from `before`, so that what lies between them is a
/// model, too; it keeps more of what `before` knew (Wortsman et al. 2022, "Robust
/// fine-tuning of zero-shot models", equation 1). Vocabulary and configuration are
/// those of `after`: a token that `before` has not keeps the row it has there. The head
/// of the first stage, which no model directory has, is left out if one lacks it.
/// Gives the number of tokens that both have.
///
/// # Errors
///
/// Where either cannot be read or `out` not be written, where they have not the same
/// shapes, and where one of them has tuned the text encoder: its mean is not made.
pub fn average(before: &Path, after: &Path, share: f32, out: &Path) -> Result<usize> {
    for dir in [before, after] {
        let text = dir.join(TUNED_TEXT);
        if text.exists() {
            let reason = "this run tuned the text encoder, of which no mean is made";
            return Err(Error::bad_file(text, reason));
        }
    }
    let vocabulary = |dir: &Path| AsmTokenizer::from_file(&dir.join("tokenizer.json"));
    let (old_tokens, tokens) = (vocabulary(before)?, vocabulary(after)?);
    // Of each token, where `before` has it.
    let from = tokens.places_in(&old_tokens);

    let mut old: HashMap<String, Weight> = assembly_weights(before)?
        .into_iter()
        .map(|weight| (weight.name.clone(), weight))
        .collect();
    let differ = |name: &str, here: &[usize], there: &[usize]| {
        let before = before.display();
        let reason = format!(
            "{name} is {here:?} here and {there:?} in {before}: only models of one shape have a mean"
        );
        Error::bad_file(after, reason)
    };
    let mix = |values: &mut [f32], old: &[f32]| {
        for (value, old) in values.iter_mut().zip(old) {
            *value = share * *value + (1.0 - share) * old;
        }
    };
    let mut mean = Vec::new();
    for mut weight in assembly_weights(after)? {
        let Some(was) = old.remove(&weight.name) else {
            if weight.name == HEAD {
                continue;
            }
            return Err(differ(&weight.name, &weight.shape, &[]));
        };
        if BY_TOKEN.contains(&weight.name.as_str()) {
            let width = weight.values.len() / tokens.vocab_size();
            let shape = |rows: usize| [&[rows], &weight.shape[1..]].concat();
            if weight.shape != shape(tokens.vocab_size())
                || was.shape != shape(old_tokens.vocab_size())
            {
                return Err(differ(&weight.name, &weight.shape, &was.shape));
            }
            for (row, from) in weight.values.chunks_exact_mut(width).zip(&from) {
                if let Some(at) = from.map(|at| at as usize) {
                    mix(row, &was.values[at * width..(at + 1) * width]);
                }
            }
        } else if weight.shape == was.shape {
            mix(&mut weight.values, &was.values);
        } else {
            return Err(differ(&weight.name, &weight.shape, &was.shape));
        }
        mean.push(weight);
    }
    if let Some(weight) = old.into_values().find(|weight| weight.name != HEAD) {
        return Err(differ(&weight.name, &[], &weight.shape));
    }
    save(&mean, &out.join("model.safetensors"))?;
    tokens.save(&out.join("tokenizer.json"))?;
    Config::from_file(&after.join("config.json"))?.save(&out.join("config.json"))?;
    Ok(from.iter().flatten().count())
}

fn save(weights: &[Weight], path: &Path) -> Result<()> {
    let bytes: Vec<Vec<u8>> = weights
        .iter()
        .map(|weight| weight.values.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let bad = |e: safetensors::SafeTensorError| Error::bad_file(path, e.to_string());
    let views = weights.iter().zip(&bytes).map(|(weight, bytes)| {
        let view = TensorView::new(Dtype::F32, weight.shape.clone(), bytes).map_err(bad)?;
        Ok((weight.name.as_str(), view))
    });
    serialize_to_file(views.collect::<Result<Vec<_>>>()?, None, path).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(name: &str, shape: &[usize], values: &[f32]) -> Weight {
        Weight {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: values.to_vec(),
        }
    }

    /// A run whose vocabulary was learned from `listing`: the rows of its table hold
    /// `row`, its only other tensor `rest`.
    fn run(listing: &str, row: f32, rest: &[f32]) -> (tempfile::TempDir, AsmTokenizer) {
        let dir = tempfile::tempdir().unwrap();
        let tokenizer = AsmTokenizer::train([listing].into_iter(), 300, 8).unwrap();
        let n = tokenizer.vocab_size();
        let weights = [
            weight("embeddings.weight", &[n, 2], &vec![row; n * 2]),
            weight(HEAD, &[n], &vec![row; n]),
            weight("norm.bias", &[rest.len()], rest),
        ];
        save(&weights, &dir.path().join("model.safetensors")).unwrap();
        tokenizer.save(&dir.path().join("tokenizer.json")).unwrap();
        let config = Config {
            vocab_size: n,
            max_instructions: 8,
            ..Config::default()
        };
        config.save(&dir.path().join("config.json")).unwrap();
        (dir, tokenizer)
    }

    #[test]
    fn what_both_have_is_mixed_and_what_is_new_is_kept() {
        let (before, old) = run("mov eax, ebx\nmov eax, ebx", 1.0, &[1.0, 3.0]);
        let (after, new) = run("mov eax, $v0\nmov eax, $v0", 5.0, &[2.0, -1.0]);
        let out = tempfile::tempdir().unwrap();
        let known = average(before.path(), after.path(), 0.25, out.path()).unwrap();
        let mean = assembly_weights(out.path()).unwrap();
        let of = |name: &str| mean.iter().find(|weight| weight.name == name).unwrap();
        assert_eq!(of("norm.bias").values, [1.25, 2.0]);
        let known_before = |id: usize| {
            let token = new.token(id as u32);
            (0..old.vocab_size() as u32).any(|id| old.token(id) == token)
        };
        let kept = (0..new.vocab_size()).filter(|id| !known_before(*id));
        assert!(kept.count() > 0 && known > 0);
        for (id, row) in of("embeddings.weight").values.chunks(2).enumerate() {
            let want = if known_before(id) { 2.0 } else { 5.0 };
            assert_eq!(row, [want; 2], "{:?}", new.token(id as u32));
            assert_eq!(of(HEAD).values[id], want);
        }
    }

    #[test]
    fn models_of_two_shapes_have_no_mean() {
        let (before, _) = run("mov eax, ebx\nmov eax, ebx", 1.0, &[1.0, 3.0]);
        let (after, _) = run("mov eax, ebx\nmov eax, ebx", 1.0, &[1.0]);
        let out = tempfile::tempdir().unwrap();
        let refused = average(before.path(), after.path(), 0.5, out.path()).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("norm.bias is [1] here and [2] in"), "{said}");
    }

    #[test]
    fn a_run_that_tuned_its_text_encoder_has_no_mean() {
        let (before, _) = run("mov eax, ebx\nmov eax, ebx", 1.0, &[1.0]);
        let (after, _) = run("mov eax, ebx\nmov eax, ebx", 1.0, &[1.0]);
        std::fs::write(after.path().join(TUNED_TEXT), "").unwrap();
        let out = tempfile::tempdir().unwrap();
        let refused = average(before.path(), after.path(), 0.5, out.path()).unwrap_err();
        assert!(refused.to_string().contains("text encoder"), "{refused}");
    }
}
