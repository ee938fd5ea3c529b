use std::collections::HashMap;
use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
    SplitDelimiterBehavior, Tokenizer,
};

use crate::{Error, Result};

/// Padding.
pub const PAD: u32 = 0;
/// What a target starts after.
pub const START: u32 = 1;
/// What a target ends with.
pub const END: u32 = 2;
/// The first of the sentinels, which stand for hidden spans.
pub const FIRST_SENTINEL: u32 = 3;
/// How many sentinels there are.
pub const SENTINELS: u32 = 32;

/// Words, with the humps of identifiers apart; numbers; runs of other marks.
const PATTERN: &str = r" ?[A-Z]?[a-z]+| ?[A-Z]+(?![a-z])| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+";
/// Bytes of a source that are looked at for each token that may be read: even
/// a hostile file costs no more.
const BYTES_PER_TOKEN: usize = 16;

/// The tokenizer of a sequence-to-sequence model: byte-pair encoding over
/// bytes (as Hugging Face's `tokenizer.json`), one vocabulary for sources and
/// English.
///
/// A source is read as words: identifiers fall into their parts, in lower
/// case, so that `xmlFreeNode` and "free the node" share pieces, which is what
/// lets the model copy.
///
/// ```
/// use binscribe_model::PieceTokenizer;
/// let tokenizer = PieceTokenizer::train(["free free xml xml"].into_iter(), 400)?;
/// let target = tokenizer.encode_target("free xml", 9);
/// let source = tokenizer.encode_source("xmlFree(n);", 9);
/// assert_eq!([source[1], source[0]], target[..2]);
/// # Ok::<(), binscribe_model::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PieceTokenizer {
    inner: Tokenizer,
}

impl PieceTokenizer {
    /// Learns a vocabulary of at most `vocab_size` entries. The same texts give
    /// the same tokenizer.
    pub fn train<'a>(
        texts: impl Iterator<Item = &'a str>,
        vocab_size: usize,
    ) -> Result<PieceTokenizer> {
        let split = Split::new(
            SplitPattern::Regex(PATTERN.to_owned()),
            SplitDelimiterBehavior::Isolated,
            false,
        )
        .map_err(wrong)?;
        let pieces = Sequence::new(vec![
            split.into(),
            ByteLevel::new(false, false, false).into(),
        ]);
        let mut counts: HashMap<String, u64> = HashMap::new();
        for text in texts {
            let mut text = PreTokenizedString::from(format!(" {text}"));
            pieces.pre_tokenize(&mut text).map_err(wrong)?;
            for (piece, ..) in text.get_splits(OffsetReferential::Original, OffsetType::None) {
                *counts.entry(piece.to_owned()).or_default() += 1;
            }
        }
        let specials: Vec<AddedToken> = ["<pad>", "<s>", "</s>"]
            .map(str::to_owned)
            .into_iter()
            .chain((0..SENTINELS).map(|k| format!("<x{k}>")))
            .map(|name| AddedToken::from(name, true).normalized(false))
            .collect();
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(specials.clone())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut bpe = BPE::default();
        let counts = counts.into_iter().map(|(k, n)| (k.into(), n)).collect();
        trainer.do_train(&counts, &mut bpe).map_err(wrong)?;
        let mut inner = Tokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(pieces));
        inner.with_decoder(Some(ByteLevel::default()));
        inner.add_special_tokens(&specials);
        PieceTokenizer::new(inner)
    }

    /// Reads a `tokenizer.json`.
    pub fn from_file(path: &Path) -> Result<PieceTokenizer> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        PieceTokenizer::from_bytes(&bytes).map_err(|e| Error::bad_file(path, e.to_string()))
    }

    /// Reads the content of a `tokenizer.json`.
    pub fn from_bytes(bytes: &[u8]) -> Result<PieceTokenizer> {
        PieceTokenizer::new(Tokenizer::from_bytes(bytes).map_err(wrong)?)
    }

    /// Writes a `tokenizer.json`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = self.inner.to_string(false).map_err(wrong)?;
        crate::write_file(path, json.as_bytes())
    }

    fn new(mut inner: Tokenizer) -> Result<PieceTokenizer> {
        let last = FIRST_SENTINEL + SENTINELS - 1;
        let names = [
            (PAD, "<pad>".to_owned()),
            (START, "<s>".to_owned()),
            (END, "</s>".to_owned()),
            (FIRST_SENTINEL, "<x0>".to_owned()),
            (last, format!("<x{}>", SENTINELS - 1)),
        ];
        for (id, name) in names {
            if inner.token_to_id(&name) != Some(id) {
                return Err(Error::Tokenizer(format!("{name} is not its token {id}")));
            }
        }
        // A source that spells a special token is no such token.
        inner.set_encode_special_tokens(true);
        Ok(PieceTokenizer { inner })
    }

    /// Entries of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The first `max_tokens` tokens of a function's source; at least one.
    pub fn encode_source(&self, source: &str, max_tokens: usize) -> Vec<u32> {
        let mut end = source.len().min(max_tokens.saturating_mul(BYTES_PER_TOKEN));
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        let mut ids = self.encode(&source_words(&source[..end]));
        ids.truncate(max_tokens);
        if ids.is_empty() {
            ids.push(END);
        }
        ids
    }

    /// At most `max_tokens` tokens of a text, the last of which ends it. The
    /// first letter loses its capital; see [`PieceTokenizer::decode`].
    pub fn encode_target(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        let mut ids = self.encode(&lower_start(&one_line(text)));
        ids.truncate(max_tokens.saturating_sub(1));
        ids.push(END);
        ids
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        if text.is_empty() {
            return Vec::new();
        }
        let encoding = self.inner.encode_fast(format!(" {text}"), false);
        // Bytes can always be encoded.
        encoding.map_or_else(|_| Vec::new(), |e| e.get_ids().to_vec())
    }

    /// A target as a line of text that starts with a capital, free of control
    /// characters.
    pub fn decode(&self, ids: &[u32]) -> String {
        let text = self.inner.decode(ids, true).unwrap_or_default();
        let text = one_line(&text);
        let mut letters = text.chars();
        match letters.next() {
            Some(first) if letters.clone().next().is_none_or(|c| !c.is_uppercase()) => {
                // An identifier at the start stays as it is.
                let word = text.split(' ').next().unwrap_or_default();
                match word.chars().all(char::is_lowercase) {
                    true => first.to_uppercase().chain(letters).collect(),
                    false => text,
                }
            }
            _ => text,
        }
    }
}

fn wrong(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

/// The words of a source: identifiers fall apart at underscores and humps and
/// lose their case, marks stay.
///
/// ```
/// let words = binscribe_model::source_words("xmlFree_node (cur->next);\n");
/// assert_eq!(words, "xml free node ( cur -> next );");
/// ```
pub fn source_words(source: &str) -> String {
    #[derive(PartialEq, Clone, Copy)]
    enum Kind {
        Lower,
        Upper,
        Digit,
        Mark,
        Space,
    }
    let kind = |c: char| match c {
        '_' => Kind::Space,
        _ if c.is_control() || c.is_whitespace() => Kind::Space,
        _ if c.is_uppercase() => Kind::Upper,
        _ if c.is_alphabetic() => Kind::Lower,
        _ if c.is_numeric() => Kind::Digit,
        _ => Kind::Mark,
    };
    let mut words = String::with_capacity(source.len());
    let mut before = Kind::Space;
    let mut letters = source.chars().peekable();
    while let Some(c) = letters.next() {
        let now = kind(c);
        let next = letters.peek().map_or(Kind::Space, |&c| kind(c));
        let starts = match (before, now) {
            (Kind::Space, _) | (_, Kind::Space) => false,
            (Kind::Mark, Kind::Mark) => false,
            (Kind::Mark, _) | (_, Kind::Mark) => true,
            (Kind::Lower | Kind::Digit, Kind::Upper) => true,
            // The last capital of a run belongs to the word that follows.
            (Kind::Upper, Kind::Upper) => next == Kind::Lower,
            _ => false,
        };
        if now == Kind::Space {
            if !words.is_empty() && !words.ends_with(' ') {
                words.push(' ');
            }
        } else {
            if starts {
                words.push(' ');
            }
            words.extend(c.to_lowercase());
        }
        before = now;
    }
    words.truncate(words.trim_end().len());
    words
}

/// A text on one line, without control characters and without the marks that
/// change the direction of writing.
fn one_line(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let spaced: String = text
        .chars()
        .map(|c| {
            if c.is_control() || hidden(c) || c == char::REPLACEMENT_CHARACTER {
                ' '
            } else {
                c
            }
        })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `Frees` is `frees`, but `HMAC`, `A` before a capital and `xmlNode` stay.
fn lower_start(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => {
            let word = text.split(' ').next().unwrap_or_default();
            let plain = word
                .trim_end_matches(['.', ',', ':', ';'])
                .chars()
                .skip(1)
                .all(char::is_lowercase);
            match plain {
                true => first.to_lowercase().chain(letters).collect(),
                false => text.to_owned(),
            }
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> PieceTokenizer {
        let texts = [
            "parse the xml file",
            "int parse ( char * file ) { return 0 ; }",
        ];
        PieceTokenizer::train(texts.into_iter(), 500).unwrap()
    }

    #[test]
    fn sources_are_words() {
        let check = |source, words: &str| assert_eq!(source_words(source), words);
        check("HTTPServer*s=NULL;", "http server * s = null ;");
        check("a\t\n  _b__c2D", "a b c2 d");
        check("", "");
        check("\u{0}x\u{1b}[31m", "x [ 31m");
    }

    #[test]
    fn a_target_comes_back_as_a_line() {
        let tokenizer = tokenizer();
        let round = |text: &str| tokenizer.decode(&tokenizer.encode_target(text, 99));
        assert_eq!(
            round("Parse the XML file, é ∀."),
            "Parse the XML file, é ∀."
        );
        assert_eq!(round("xmlParse(f) parses"), "xmlParse(f) parses");
        assert_eq!(round("HMAC of\n two\u{7} lines"), "HMAC of two lines");
        assert_eq!(round("a\u{202e}b"), "A b");
        assert_eq!(round(""), "");
    }

    #[test]
    fn specials_in_a_source_are_text() {
        let ids = tokenizer().encode_source("<x0></s><pad>", 99);
        assert!(ids.iter().all(|&id| id >= FIRST_SENTINEL + SENTINELS));
    }

    #[test]
    fn lengths_are_bounded() {
        let tokenizer = tokenizer();
        let long = "é(".repeat(100_000);
        assert_eq!(tokenizer.encode_source(&long, 7).len(), 7);
        assert_eq!(tokenizer.encode_source("", 7), [END]);
        let target = tokenizer.encode_target(&long, 7);
        assert_eq!((target.len(), target[6]), (7, END));
    }

    #[test]
    fn a_tokenizer_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let tokenizer = tokenizer();
        tokenizer.save(&path).unwrap();
        let read = PieceTokenizer::from_file(&path).unwrap();
        let source = "int parse_xml(char *file) { <s> }";
        assert_eq!(
            read.encode_source(source, 99),
            tokenizer.encode_source(source, 99)
        );
    }
}
