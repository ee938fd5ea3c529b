//! A start that knows English. Words in strings and in the names of imports
//! are tokens of the assembly vocabulary, and the text encoder knows what they
//! mean: their rows of the token table start from its vectors, projected to
//! the encoder's width by principal components, and the output projection
//! starts as the way back.

use std::collections::HashSet;

use binscribe_model::AsmTokenizer;
use tch::{Kind, Tensor, no_grad};

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
