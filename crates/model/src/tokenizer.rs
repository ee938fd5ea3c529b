use std::collections::HashMap;
use std::path::Path;
use std::sync::RwLock;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, Model as _, Tokenizer};

use crate::chunks::{chunks, instruction_number, words};
use crate::{Config, Error, Result};

const PAD: &str = "[PAD]";
const UNKNOWN: &str = "[UNK]";
const MASK: &str = "[MASK]";
/// Stands where an instruction's id would, for tokens before the first one.
const WORDS: &str = "[WORDS]";

/// Chunks whose ids are remembered. A corpus has fewer distinct ones; a hostile
/// file may have more, and must not fill the memory.
const CACHED_CHUNKS: usize = 1 << 18;

/// The tokenizer of function listings.
///
/// Byte-pair encoding (as Hugging Face's `tokenizer.json`) over [`chunks`],
/// with `[PAD]`, `[UNK]`, `[MASK]`, `[WORDS]` and the `INSTRk` tokens before the
/// learned pieces. Each token also knows its instruction, under the same ids as
/// the jump targets: CLAP's "a jump target and the instruction it names share
/// one embedding" (Wang et al. 2024, section 3).
///
/// Before the code come the [`words`] of the whole listing, so that a string at
/// the end of a long function is read too; `[WORDS]` is their instruction.
///
/// ```
/// use binscribe_model::AsmTokenizer;
/// let listing = "push    rbp\njmp     short INSTR1";
/// let tokenizer = AsmTokenizer::train([listing].into_iter(), 600, 512)?;
/// let encoding = tokenizer.encode(listing);
/// // The jump's operand and the first instruction have the same id.
/// assert_eq!(encoding.ids.last(), encoding.instruction_ids.first());
/// # Ok::<(), binscribe_model::Error>(())
/// ```
#[derive(Debug)]
pub struct AsmTokenizer {
    inner: Tokenizer,
    instruction_base: u32,
    max_instructions: usize,
    max_tokens: usize,
    max_pieces: usize,
    max_words: usize,
    unknown: u32,
    mask: u32,
    words: u32,
    cache: RwLock<HashMap<String, Box<[u32]>>>,
}

/// One listing as token ids; both lists have one entry a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// What the token is.
    pub ids: Vec<u32>,
    /// Which instruction it belongs to: the vocabulary id of that `INSTRk`, or
    /// of `[WORDS]`.
    pub instruction_ids: Vec<u32>,
}

impl Encoding {
    /// How many tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl AsmTokenizer {
    /// Learns a vocabulary of `vocab_size` entries, `max_instructions` `INSTRk`
    /// tokens among them. The same listings give the same tokenizer.
    pub fn train<'a>(
        listings: impl Iterator<Item = &'a str>,
        vocab_size: usize,
        max_instructions: usize,
    ) -> Result<AsmTokenizer> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for listing in listings {
            let code = listing.lines().flat_map(chunks);
            for chunk in code.chain(words(listing)) {
                if instruction_number(&chunk).is_none() {
                    *counts.entry(chunk).or_default() += 1;
                }
            }
        }
        let specials: Vec<AddedToken> = [PAD, UNKNOWN, MASK, WORDS]
            .map(str::to_owned)
            .into_iter()
            .chain((1..=max_instructions).map(|k| format!("INSTR{k}")))
            .map(|name| AddedToken::from(name, true).normalized(false))
            .collect();
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(specials.clone())
            // Every printable ASCII character that a chunk can hold, seen or not.
            .initial_alphabet(
                ('!'..='~')
                    .filter(|c| !c.is_ascii_uppercase() && *c != ',')
                    .collect(),
            )
            .limit_alphabet(256)
            .build();
        let mut bpe = BPE::builder()
            .unk_token(UNKNOWN.to_owned())
            .fuse_unk(true)
            .build()
            .map_err(tokenizer_error)?;
        let counts = counts.into_iter().map(|(k, n)| (k.into(), n)).collect();
        trainer
            .do_train(&counts, &mut bpe)
            .map_err(tokenizer_error)?;
        let mut inner = Tokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(WhitespaceSplit));
        inner.add_special_tokens(&specials);
        AsmTokenizer::new(inner)
    }

    /// Reads a `tokenizer.json`.
    pub fn from_file(path: &Path) -> Result<AsmTokenizer> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        AsmTokenizer::from_bytes(&bytes).map_err(|e| Error::bad_file(path, e.to_string()))
    }

    /// Reads the content of a `tokenizer.json`.
    pub fn from_bytes(bytes: &[u8]) -> Result<AsmTokenizer> {
        AsmTokenizer::new(Tokenizer::from_bytes(bytes).map_err(tokenizer_error)?)
    }

    /// Writes a `tokenizer.json`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = self.inner.to_string(false).map_err(tokenizer_error)?;
        crate::write_file(path, json.as_bytes())
    }

    fn new(inner: Tokenizer) -> Result<AsmTokenizer> {
        let id = |name: &str| {
            inner
                .token_to_id(name)
                .ok_or_else(|| Error::Tokenizer(format!("it has no token {name}")))
        };
        let (unknown, mask, words) = (id(UNKNOWN)?, id(MASK)?, id(WORDS)?);
        let instruction_base = id("INSTR1")?;
        let max_instructions = (1..)
            .take_while(|k| {
                inner.token_to_id(&format!("INSTR{k}")) == Some(instruction_base + k - 1)
            })
            .count();
        let defaults = Config::default();
        Ok(AsmTokenizer {
            inner,
            instruction_base,
            max_instructions,
            max_tokens: defaults.max_tokens,
            max_pieces: defaults.max_pieces_per_instruction,
            max_words: defaults.max_word_tokens,
            unknown,
            mask,
            words,
            cache: RwLock::default(),
        })
    }

    /// Cuts listings off as `config` says, not as the default model does.
    pub fn with_limits(mut self, config: &Config) -> AsmTokenizer {
        self.max_tokens = config.max_tokens;
        self.max_pieces = config.max_pieces_per_instruction;
        self.max_words = config.max_word_tokens;
        self
    }

    /// Entries of the vocabulary, specials included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Where each token is in the vocabulary of `other`, in the order of the ids.
    pub fn places_in(&self, other: &AsmTokenizer) -> Vec<Option<u32>> {
        let places: HashMap<String, u32> = (0..other.vocab_size() as u32)
            .filter_map(|id| Some((other.token(id)?, id)))
            .collect();
        (0..self.vocab_size() as u32)
            .map(|id| places.get(&self.token(id)?).copied())
            .collect()
    }

    /// The id of `INSTR1`.
    pub fn instruction_base(&self) -> u32 {
        self.instruction_base
    }

    /// How many `INSTRk` tokens there are.
    pub fn max_instructions(&self) -> usize {
        self.max_instructions
    }

    /// The id of the mask token.
    pub fn mask_id(&self) -> u32 {
        self.mask
    }

    /// The text of a token.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Tokenizes a listing, one instruction a line, and cuts off what is too
    /// long. Never empty: a listing without text is one unknown token.
    pub fn encode(&self, listing_text: &str) -> Encoding {
        let mut encoding = Encoding::default();
        let most = self.max_words.min(self.max_tokens);
        if most > 0 {
            for word in words(listing_text) {
                self.encode_chunk(&word, &mut encoding.ids);
                if encoding.ids.len() >= most {
                    break;
                }
            }
            encoding.ids.truncate(most);
            let header = encoding.ids.len();
            encoding.instruction_ids.resize(header, self.words);
        }
        for (line_number, line) in listing_text.lines().enumerate() {
            if encoding.ids.len() >= self.max_tokens {
                break;
            }
            let instruction = self.instruction_id(line_number + 1);
            let end = self
                .max_tokens
                .min(encoding.ids.len().saturating_add(self.max_pieces));
            for chunk in chunks(line) {
                self.encode_chunk(&chunk, &mut encoding.ids);
            }
            encoding.ids.truncate(end);
            encoding
                .instruction_ids
                .resize(encoding.ids.len(), instruction);
        }
        if encoding.is_empty() {
            encoding.ids.push(self.unknown);
            encoding.instruction_ids.push(self.instruction_base);
        }
        encoding
    }

    /// The id of `INSTRk`, or of the last one for instructions beyond it.
    fn instruction_id(&self, k: usize) -> u32 {
        // Both fit: there are fewer INSTR tokens than ids.
        self.instruction_base + (k.clamp(1, self.max_instructions) - 1) as u32
    }

    fn encode_chunk(&self, chunk: &str, ids: &mut Vec<u32>) {
        if let Some(k) = instruction_number(chunk) {
            ids.push(self.instruction_id(k));
            return;
        }
        // A poisoned lock still guards whole entries.
        if let Some(known) = self
            .cache
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .get(chunk)
        {
            ids.extend_from_slice(known);
            return;
        }
        let pieces: Box<[u32]> = match self.inner.get_model().tokenize(chunk) {
            Ok(tokens) => tokens.iter().map(|t| t.id).collect(),
            Err(_) => [self.unknown].into(),
        };
        ids.extend_from_slice(&pieces);
        let mut cache = self.cache.write().unwrap_or_else(|e| e.into_inner());
        if cache.len() < CACHED_CHUNKS {
            cache.insert(chunk.to_owned(), pieces);
        }
    }
}

pub(crate) fn tokenizer_error(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SORT: &str = "endbr64\nmov     edx, 6\nxor     eax, eax\ncmp     edx, eax\n\
        jle     short INSTR14\nmov     ecx, [rdi+rax*4]\nmov     esi, [rdi+rax*4+4]\n\
        cmp     ecx, esi\njle     short INSTR12\nmov     [rdi+rax*4], esi\n\
        mov     [rdi+rax*4+4], ecx\ninc     rax\njmp     short INSTR4\ndec     edx\n\
        jnz     short INSTR3\nretn";

    fn trained() -> AsmTokenizer {
        let listings = [SORT, SORT, "call    _error_at_line\njmp     INSTR1"];
        AsmTokenizer::train(listings.into_iter(), 700, 512).unwrap()
    }

    #[test]
    fn specials_come_first() {
        let t = trained();
        assert_eq!(t.token(0).unwrap(), PAD);
        assert_eq!(t.token(1).unwrap(), UNKNOWN);
        assert_eq!(t.token(2).unwrap(), MASK);
        assert_eq!(t.mask_id(), 2);
        assert_eq!(t.token(3).unwrap(), WORDS);
        assert_eq!(t.instruction_base(), 4);
        assert_eq!(t.max_instructions(), 512);
        assert_eq!(t.token(4).unwrap(), "INSTR1");
        assert_eq!(t.token(515).unwrap(), "INSTR512");
        assert!(t.vocab_size() <= 700);
    }

    #[test]
    fn tokens_know_their_instruction() {
        let t = trained();
        let encoding = t.encode("xor     eax, eax\ncmp     edx, eax\njle     short INSTR2");
        let text: Vec<String> = encoding
            .ids
            .iter()
            .map(|id| t.token(*id).unwrap())
            .collect();
        assert_eq!(
            text,
            ["xor", "eax", "eax", "cmp", "edx", "eax", "jle", "INSTR2"]
        );
        assert_eq!(encoding.instruction_ids, [4, 4, 4, 5, 5, 5, 6, 6]);
    }

    #[test]
    fn words_of_the_whole_listing_come_first() {
        let t = trained();
        let code = "retn\n".repeat(600);
        let listing = format!("xor     eax, eax\n{code}call    _error_at_line");
        let encoding = t.encode(&listing);
        let text: Vec<String> = encoding.ids[..4]
            .iter()
            .map(|id| t.token(*id).unwrap())
            .collect();
        assert_eq!(text, ["error", "line", "xor", "eax"]);
        assert_eq!(encoding.instruction_ids[..4], [3, 3, 4, 4]);
        assert_eq!(encoding.len(), 512);
        let short = Config {
            max_word_tokens: 1,
            ..Config::default()
        };
        assert_eq!(
            t.with_limits(&short).encode(&listing).instruction_ids[..2],
            [3, 4]
        );
    }

    #[test]
    fn instructions_beyond_the_last_share_it() {
        let t = trained();
        let listing = vec!["retn"; 600].join("\n") + "\njmp     INSTR600";
        let t = t.with_limits(&Config {
            max_tokens: 10_000,
            ..Config::default()
        });
        let encoding = t.encode(&listing);
        assert_eq!(encoding.instruction_ids[511], 515);
        assert_eq!(encoding.instruction_ids[512], 515);
        assert_eq!(encoding.ids.last(), Some(&515));
    }

    #[test]
    fn long_lines_and_long_listings_are_cut() {
        let t = trained();
        let line = "call    qqqqwwwwzzzzqqqqwwwwzzzzqqqqwwwwzzzzqqqqwwwwzzzz";
        assert_eq!(t.encode(line).len(), 20);
        let two = t.encode(&format!("{line}\nretn"));
        assert_eq!(two.instruction_ids[19..], [4, 5]);
        assert_eq!(t.encode(&"retn\n".repeat(5000)).len(), 512);
        assert_eq!(t.encode(&format!("{line}\n").repeat(5000)).len(), 512);
    }

    #[test]
    fn nothing_is_one_unknown_token() {
        let t = trained();
        let nothing = Encoding {
            ids: vec![1],
            instruction_ids: vec![4],
        };
        assert_eq!(t.encode(""), nothing);
        assert_eq!(t.encode("\n\n"), nothing);
        assert_eq!(t.encode("é").ids, [1]);
    }

    #[test]
    fn the_file_is_a_hugging_face_tokenizer_of_the_same_ids() {
        let t = trained();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        t.save(&path).unwrap();

        let again = AsmTokenizer::from_file(&path).unwrap();
        assert_eq!(again.encode(SORT), t.encode(SORT));
        // From the cache, too.
        assert_eq!(again.encode(SORT), t.encode(SORT));

        let plain = Tokenizer::from_file(&path).unwrap();
        let joined = SORT.lines().flat_map(chunks).collect::<Vec<_>>().join(" ");
        let ids = plain.encode(joined, false).unwrap().get_ids().to_vec();
        assert_eq!(ids, t.encode(SORT).ids);
    }

    #[test]
    fn training_is_repeatable() {
        let json = |t: AsmTokenizer| t.inner.to_string(false).unwrap();
        assert_eq!(json(trained()), json(trained()));
    }

    #[test]
    fn a_broken_file_says_so() {
        let said = AsmTokenizer::from_bytes(b"{\"version\":").unwrap_err();
        assert!(said.to_string().starts_with("tokenizer: "), "{said}");
        let empty = Tokenizer::new(BPE::default()).to_string(false).unwrap();
        let said = AsmTokenizer::from_bytes(empty.as_bytes()).unwrap_err();
        assert_eq!(said.to_string(), "tokenizer: it has no token [UNK]");
    }
}
