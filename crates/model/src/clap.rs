//! CLAP's assembly tokenizer and its input files (Wang et al. 2024, section 3).

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::tokenizer::tokenizer_error;
use crate::{Config, Encoding, Error, Result};

/// What CLAP calls a token that its vocabulary has not. `<unk>`, of the same
/// meaning, is never used.
const UNKNOWN: &str = "[UNK]";

/// The tokenizer of CLAP's released assembly encoder.
///
/// WordPiece, as in the `tokenizer.json` that the weights come with, over each
/// line without its commas; the first 20 pieces of an instruction and the first
/// 1,024 of a function are read. Every piece is labelled with its instruction:
/// the id of `INSTRk`, or that of `[UNK]` where the vocabulary has none, as for
/// an instruction numbered 0.
#[derive(Debug)]
pub struct ClapTokenizer {
    inner: Tokenizer,
    unknown: u32,
    max_tokens: usize,
    max_pieces: usize,
}

impl ClapTokenizer {
    /// Reads the content of a `tokenizer.json`.
    pub fn from_bytes(bytes: &[u8]) -> Result<ClapTokenizer> {
        let mut inner = Tokenizer::from_bytes(bytes).map_err(tokenizer_error)?;
        // Lines are cut off here, and sequences are never padded.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(tokenizer_error)?;
        let unknown = inner
            .token_to_id(UNKNOWN)
            .ok_or_else(|| Error::Tokenizer(format!("it has no token {UNKNOWN}")))?;
        Ok(ClapTokenizer {
            inner,
            unknown,
            max_tokens: 1024,
            max_pieces: 20,
        })
    }

    /// Cuts listings off as `config` says, not as CLAP was published.
    pub fn with_limits(mut self, config: &Config) -> ClapTokenizer {
        self.max_tokens = config.max_tokens;
        self.max_pieces = config.max_pieces_per_instruction;
        self
    }

    /// Entries of the vocabulary, specials included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of `INSTR1`.
    pub fn instruction_base(&self) -> Result<u32> {
        self.inner
            .token_to_id("INSTR1")
            .ok_or_else(|| Error::Tokenizer("it has no token INSTR1".to_owned()))
    }

    /// How many `INSTRk` tokens there are, one id after another from `base` on.
    pub fn max_instructions(&self, base: u32) -> usize {
        (0..)
            .take_while(|&k| self.label_id(&(k + 1).to_string()) == base + k)
            .count()
    }

    /// Tokenizes a listing, one instruction a line.
    pub fn encode(&self, listing_text: &str) -> Result<Encoding> {
        let lines = listing_text.lines().enumerate();
        self.encode_labelled(lines.map(|(at, line)| ((at + 1).to_string(), line)))
    }

    /// Tokenizes a function of CLAP's own files, whatever its numbers are.
    pub fn encode_function(&self, function: &ClapFunction) -> Result<Encoding> {
        let lines = function.0.iter();
        self.encode_labelled(lines.map(|(key, line)| (key.clone(), line.as_str())))
    }

    fn encode_labelled<'a>(
        &self,
        lines: impl Iterator<Item = (String, &'a str)>,
    ) -> Result<Encoding> {
        let mut encoding = Encoding::default();
        for (label, line) in lines {
            let pieces = self
                .inner
                .encode_fast(line.replace(',', ""), false)
                .map_err(tokenizer_error)?;
            let ids = pieces.get_ids();
            encoding.ids.extend(&ids[..ids.len().min(self.max_pieces)]);
            encoding
                .instruction_ids
                .resize(encoding.ids.len(), self.label_id(&label));
            if encoding.len() >= self.max_tokens {
                break;
            }
        }
        encoding.ids.truncate(self.max_tokens);
        encoding.instruction_ids.truncate(self.max_tokens);
        if encoding.is_empty() {
            // The encoder has to be given something.
            encoding.ids.push(self.unknown);
            encoding.instruction_ids.push(self.unknown);
        }
        Ok(encoding)
    }

    /// The id that the tokens of the instruction of this number are labelled
    /// with.
    fn label_id(&self, number: &str) -> u32 {
        let label = format!("INSTR{number}");
        self.inner.token_to_id(&label).unwrap_or(self.unknown)
    }
}

/// One function of a file that CLAP reads: instructions by their numbers, in
/// the order of the file.
///
/// ```
/// use binscribe_model::ClapFunction;
/// let functions = ClapFunction::parse(r#"{"1": "xor     eax, eax", "2": "retn"}"#)?;
/// assert_eq!(functions[0].text(), "xor     eax, eax\nretn");
/// assert!(functions[0].warning().is_none());
/// # Ok::<(), binscribe_model::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClapFunction(Vec<(String, String)>);

impl ClapFunction {
    /// Reads a file of CLAP's form: an array of objects, one a function, or one
    /// such object. What is not of this form, but is often taken for it, is
    /// refused with the reason.
    pub fn parse(text: &str) -> Result<Vec<ClapFunction>> {
        let wrong = |reason: String| Error::ClapInput(reason);
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let functions = match value {
            Value::Object(_) => vec![value],
            Value::Array(functions) => functions,
            Value::String(_) => return Err(wrong(ONE_STRING.to_owned())),
            _ => {
                return Err(wrong(format!(
                    "it is neither an object nor an array; {FORM}"
                )));
            }
        };
        let function = |(at, value): (usize, Value)| {
            let named = |reason: &str| wrong(format!("function {}: {reason}", at + 1));
            match value {
                Value::Object(lines) => ClapFunction::new(lines).map_err(|r| named(&r)),
                Value::String(_) => Err(named(ONE_STRING)),
                _ => Err(named(&format!("it is no object; {FORM}"))),
            }
        };
        functions.into_iter().enumerate().map(function).collect()
    }

    fn new(lines: Map<String, Value>) -> Result<ClapFunction, String> {
        if lines.is_empty() {
            return Err("it has no instructions".to_owned());
        }
        let line = |(key, value): (String, Value)| {
            if key.is_empty() || !key.bytes().all(|b| b.is_ascii_digit()) {
                return Err(format!(
                    "its key {key:?} is no number of an instruction; {FORM}"
                ));
            }
            match value {
                Value::String(line) if line.trim_end().contains('\n') => Err(format!(
                    "its instruction {key} has several lines, and would be cut off after 20 word \
                     pieces; {FORM}"
                )),
                Value::String(line) => Ok((key, line)),
                _ => Err(format!("its instruction {key} is no string; {FORM}")),
            }
        };
        let lines: Result<_, String> = lines.into_iter().map(line).collect();
        Ok(ClapFunction(lines?))
    }

    /// The instructions, one a line.
    pub fn text(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    /// How many instructions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with the numbers, where they are not 1, 2, 3...
    pub fn warning(&self) -> Option<&'static str> {
        let numbers = || self.0.iter().map(|(key, _)| key.parse::<usize>().ok());
        if numbers().eq((1..=self.len()).map(Some)) {
            None
        } else if numbers().eq((0..self.len()).map(Some)) {
            Some(
                "its instructions are numbered from 0; CLAP was trained with numbers from 1, so \
                 every jump names the instruction before its target and the first instruction is \
                 an unknown one",
            )
        } else {
            Some("its instructions are not numbered 1, 2, 3...: jumps do not find their targets")
        }
    }
}

const FORM: &str = r#"a function is {"1": "push    rbp", "2": "retn"}, one instruction a number"#;
const ONE_STRING: &str = "it is one string, which CLAP would take for one instruction and cut off \
    after 20 word pieces; write one instruction a number: {\"1\": \"push    rbp\", \"2\": \"retn\"}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_often_fed_instead_is_named() {
        let said = |text: &str| ClapFunction::parse(text).unwrap_err().to_string();
        let one = said(r#"["push rbp\nretn"]"#);
        assert!(one.contains("function 1: it is one string"), "{one}");
        let key = said(r#"{"function": "push rbp\nretn"}"#);
        assert!(key.contains("\"function\" is no number"), "{key}");
        let lines = said(r#"[{"1": "retn"}, {"1": "push rbp\nretn"}]"#);
        assert!(
            lines.contains("function 2: its instruction 1 has several lines"),
            "{lines}"
        );
        assert!(said("[{}]").contains("it has no instructions"));
        assert!(said("[1]").contains("it is no object"));
        assert!(said("{").contains("EOF"));

        let zero = &ClapFunction::parse(r#"{"0": "nop", "1": "retn"}"#).unwrap()[0];
        assert!(zero.warning().unwrap().contains("numbered from 0"));
        let gap = &ClapFunction::parse(r#"{"1": "nop", "3": "retn"}"#).unwrap()[0];
        assert!(gap.warning().unwrap().contains("not numbered"));
    }
}
