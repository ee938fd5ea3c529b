//! The corpus in memory: every listing once, as 16-bit tokens, and the
//! functions that they belong to. Tokenized once, and kept in the run
//! directory under a name that stands for rows and tokenizer.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use binscribe_corpus::Row;
use binscribe_corpus::explain::{Explanations, Preference};
use binscribe_model::AsmTokenizer;
use binscribe_model::text::first_sentences;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::words::{call_words, topic_words};
use crate::{Error, Result, name_words};

/// Changes whenever what [`Dataset`] keeps does.
const VERSION: &[u8] = b"binscribe dataset 4";

/// Which packages a function may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Split {
    /// Learned from.
    Train,
    /// Watched while learning.
    Validation,
}

/// One function as it was built once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Whether clang built it; gcc otherwise.
    pub clang: bool,
    /// Place of the level in O0, O1, O2, O3, Os.
    pub level: u8,
    /// Which listing; the same for builds that came out the same.
    pub listing: u32,
}

/// One function of the source, with all its builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its name as English words.
    pub words: String,
    /// Its name and the names of what its source calls, as English words.
    pub calls: String,
    /// What its file is about, by the words of its path; may be empty.
    pub topic: String,
    /// What its authors say of it, or what a model explained.
    pub comment: Option<String>,
    /// Who said that: `doc` for its authors, `teacher:MODEL` or `shadow:MODEL`.
    pub origin: Option<String>,
    /// The start of that, as a query would have it.
    pub brief: Option<String>,
    /// Stands for its source body.
    pub source_hash: String,
    /// Its use.
    pub split: Split,
    /// Its builds.
    pub variants: Vec<Variant>,
}

/// Tokens and instruction ids of one listing.
pub type Tokens<'a> = (&'a [u16], &'a [u16]);

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    functions: Vec<Function>,
    ids: Vec<u16>,
    instruction_ids: Vec<u16>,
    /// Where each listing starts in `ids`, and where the last ends.
    starts: Vec<u64>,
    /// Instructions of each listing.
    instructions: Vec<u32>,
}

/// Characters of a comment's start.
const BRIEF: usize = 256;
const LEVELS: [&str; 5] = ["O0", "O1", "O2", "O3", "Os"];

impl Dataset {
    /// Reads the rows in `corpus` (or in its folder `rows`), tokenized by
    /// `tokenizer`, of which `json` is the file, or what an earlier call kept of
    /// them in `cache`. With `keep`, this one leaves them there. Explanations of
    /// the corpus take the place of comments where there is one of a `preferred`
    /// origin.
    pub(crate) fn load(
        corpus: &Path,
        tokenizer: &AsmTokenizer,
        json: &[u8],
        preferred: &str,
        cache: &Path,
        keep: bool,
    ) -> Result<Dataset> {
        let mut files = row_files(corpus)?;
        let rows = files.len();
        let explanations = corpus.join("explanations");
        if !preferred.is_empty() && explanations.is_dir() {
            files.extend(parquet_files(&explanations)?);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(VERSION);
        hasher.update(blake3::hash(json).as_bytes());
        hasher.update(blake3::hash(preferred.as_bytes()).as_bytes());
        for path in &files {
            let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
            hasher.update(blake3::hash(&bytes).as_bytes());
        }
        let key = &hasher.finalize().to_hex()[..16];
        let kept = cache.join(format!("dataset-{key}.bin"));
        if kept.exists() {
            return Dataset::read(&kept);
        }
        let mut builder = Builder::default();
        for file in &files[..rows] {
            builder.add(&binscribe_corpus::read_rows(file)?, tokenizer);
        }
        let mut dataset = builder.finish();
        if files.len() > rows {
            dataset.explain(&Explanations::read(corpus)?, &preferred.parse()?);
        }
        if keep {
            dataset.write(&kept)?;
        }
        Ok(dataset)
    }

    /// Puts explanations in the place of comments.
    fn explain(&mut self, explanations: &Explanations, preferred: &Preference) {
        for function in &mut self.functions {
            if let Some(best) = explanations.best(&function.source_hash, preferred) {
                function.brief = Some(first_sentences(&best.text, BRIEF));
                function.comment = Some(best.text.clone());
                function.origin = Some(best.origin.to_string());
            }
        }
    }

    /// Stands for everything in it.
    pub(crate) fn digest(&self) -> Result<[u8; 32]> {
        let fail = |error| Error::Corpus(format!("functions as JSON: {error}"));
        let mut hasher = blake3::Hasher::new();
        hasher.update(&serde_json::to_vec(&self.functions).map_err(fail)?);
        for start in &self.starts {
            hasher.update(&start.to_le_bytes());
        }
        let tokens: Vec<u8> = self
            .ids
            .iter()
            .chain(&self.instruction_ids)
            .flat_map(|token| token.to_le_bytes())
            .collect();
        hasher.update(&tokens);
        Ok(*hasher.finalize().as_bytes())
    }

    /// The dataset of some rows.
    pub fn from_rows(rows: &[Row], tokenizer: &AsmTokenizer) -> Dataset {
        let mut builder = Builder::default();
        builder.add(rows, tokenizer);
        builder.finish()
    }

    /// The functions.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// How many listings there are.
    pub fn listings(&self) -> usize {
        self.instructions.len()
    }

    /// Instructions of a listing.
    pub fn instructions(&self, listing: u32) -> u32 {
        self.instructions[listing as usize]
    }

    /// The first `max_tokens` tokens of a listing.
    pub fn tokens(&self, listing: u32, max_tokens: usize) -> Tokens<'_> {
        let (start, end) = self.range(listing);
        let end = end.min(start.saturating_add(max_tokens));
        (&self.ids[start..end], &self.instruction_ids[start..end])
    }

    /// How many tokens a listing has.
    pub fn length(&self, listing: u32) -> usize {
        let (start, end) = self.range(listing);
        end - start
    }

    fn range(&self, listing: u32) -> (usize, usize) {
        let listing = listing as usize;
        (
            self.starts[listing] as usize,
            self.starts[listing + 1] as usize,
        )
    }

    /// The different listings of a function, those with fewer than
    /// `min_instructions` left out.
    pub fn listings_of(&self, function: &Function, min_instructions: u32) -> Vec<u32> {
        let mut listings: Vec<u32> = function
            .variants
            .iter()
            .map(|variant| variant.listing)
            .filter(|&listing| self.instructions(listing) >= min_instructions)
            .collect();
        listings.sort_unstable();
        listings.dedup();
        listings
    }

    /// The listings of the functions of one split, ascending, each once.
    pub fn split_listings(&self, split: Split) -> Vec<u32> {
        let listings: HashSet<u32> = self
            .functions
            .iter()
            .filter(|function| function.split == split)
            .flat_map(|function| function.variants.iter().map(|v| v.listing))
            .collect();
        let mut listings: Vec<u32> = listings.into_iter().collect();
        listings.sort_unstable();
        listings
    }

    fn write(&self, path: &Path) -> Result<()> {
        let fail = |error: std::io::Error| Error::io(path, error);
        let header = Header {
            functions: self.functions.clone(),
            tokens: self.ids.len(),
            instructions: self.instructions.clone(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| fail(error.into()))?;
        let temporary = path.with_extension("tmp");
        let file = std::fs::File::create(&temporary).map_err(fail)?;
        let mut out = std::io::BufWriter::new(file);
        let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(fail);
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        for start in &self.starts {
            write(&start.to_le_bytes())?;
        }
        for token in self.ids.iter().chain(&self.instruction_ids) {
            write(&token.to_le_bytes())?;
        }
        out.flush().map_err(fail)?;
        std::fs::rename(&temporary, path).map_err(fail)
    }

    fn read(path: &Path) -> Result<Dataset> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        Dataset::decode(&bytes).ok_or_else(|| Error::RunDirectory {
            path: path.to_owned(),
            reason: "is damaged; remove it and start again".to_owned(),
        })
    }

    fn decode(bytes: &[u8]) -> Option<Dataset> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (header, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        let header: Header = serde_json::from_slice(header).ok()?;
        let (starts, rest) = rest.split_at_checked((header.instructions.len() + 1) * 8)?;
        let (ids, instruction_ids) = rest.split_at_checked(header.tokens * 2)?;
        let words = |bytes: &[u8]| -> Vec<u16> {
            let pairs = bytes.chunks_exact(2);
            pairs.map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
        };
        let starts: Vec<u64> = starts
            .chunks_exact(8)
            .filter_map(|b| Some(u64::from_le_bytes(b.try_into().ok()?)))
            .collect();
        let dataset = Dataset {
            functions: header.functions,
            ids: words(ids),
            instruction_ids: words(instruction_ids),
            starts,
            instructions: header.instructions,
        };
        let whole = dataset.instruction_ids.len() == dataset.ids.len()
            && dataset.starts.last() == Some(&(dataset.ids.len() as u64));
        whole.then_some(dataset)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    functions: Vec<Function>,
    tokens: usize,
    instructions: Vec<u32>,
}

#[derive(Default)]
struct Builder {
    dataset: Dataset,
    listings: HashMap<String, u32>,
    functions: HashMap<String, usize>,
}

impl Builder {
    fn add(&mut self, rows: &[Row], tokenizer: &AsmTokenizer) {
        let rows: Vec<(&Row, Split, u8)> = rows
            .iter()
            .filter_map(|row| {
                let split = match row.split.as_str() {
                    "train" => Split::Train,
                    "validation" => Split::Validation,
                    // Test rows stay out of the trainer's sight.
                    _ => return None,
                };
                let level = LEVELS.iter().position(|level| *level == row.level)?;
                Some((row, split, level as u8))
            })
            .collect();
        let mut new: Vec<&Row> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        for (row, ..) in &rows {
            if !self.listings.contains_key(&row.listing_hash) && seen.insert(&row.listing_hash) {
                new.push(row);
            }
        }
        let encodings: Vec<_> = new
            .par_iter()
            .map(|row| tokenizer.encode(&row.listing))
            .collect();
        let data = &mut self.dataset;
        if data.starts.is_empty() {
            data.starts.push(0);
        }
        for (row, encoding) in new.iter().zip(encodings) {
            let number = data.instructions.len() as u32;
            self.listings.insert(row.listing_hash.clone(), number);
            // The recipe keeps vocabularies below 2^16.
            data.ids.extend(encoding.ids.iter().map(|&id| id as u16));
            data.instruction_ids
                .extend(encoding.instruction_ids.iter().map(|&id| id as u16));
            data.starts.push(data.ids.len() as u64);
            data.instructions.push(row.instructions);
        }
        for (row, split, level) in rows {
            let place = *self
                .functions
                .entry(row.function_id.clone())
                .or_insert_with(|| {
                    data.functions.push(Function {
                        name: row.name.clone(),
                        words: name_words(&row.name),
                        calls: call_words(&row.name, &row.source),
                        topic: topic_words(&row.file),
                        comment: None,
                        origin: None,
                        brief: None,
                        source_hash: row.source_hash.clone(),
                        split,
                        variants: Vec::new(),
                    });
                    data.functions.len() - 1
                });
            let function = &mut data.functions[place];
            if function.comment.is_none() {
                function.comment = row
                    .comment
                    .as_deref()
                    .map(str::trim)
                    .filter(|comment| !comment.is_empty())
                    .map(str::to_owned);
                function.origin = function.comment.as_ref().map(|_| "doc".to_owned());
                function.brief = function
                    .comment
                    .as_deref()
                    .map(|comment| first_sentences(comment, BRIEF));
            }
            function.variants.push(Variant {
                clang: row.compiler == "clang",
                level,
                listing: self.listings[&row.listing_hash],
            });
        }
    }

    fn finish(self) -> Dataset {
        self.dataset
    }
}

/// The Parquet files of a corpus, in the order of their names.
pub(crate) fn row_files(corpus: &Path) -> Result<Vec<PathBuf>> {
    let rows = corpus.join("rows");
    let folder = if rows.is_dir() {
        rows.as_path()
    } else {
        corpus
    };
    let files = parquet_files(folder)?;
    if files.is_empty() {
        return Err(Error::Corpus(format!(
            "no .parquet file in {}",
            folder.display()
        )));
    }
    Ok(files)
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .collect();
    files.sort();
    Ok(files)
}

/// What a tokenizer learns from: about `count` listings of the training
/// packages, each listing once, chosen by their hashes.
pub(crate) fn sample_listings(corpus: &Path, count: usize) -> Result<Vec<String>> {
    let mut listings: HashMap<String, String> = HashMap::new();
    for file in row_files(corpus)? {
        for row in binscribe_corpus::read_rows(&file)? {
            if row.split == "train" {
                listings.entry(row.listing_hash).or_insert(row.listing);
            }
        }
    }
    let mut listings: Vec<(String, String)> = listings.into_iter().collect();
    listings.sort_by_cached_key(|(hash, _)| *blake3::hash(hash.as_bytes()).as_bytes());
    listings.truncate(count);
    Ok(listings.into_iter().map(|(_, listing)| listing).collect())
}

/// Rectangles are so many tokens wide, or a multiple of it, and as many times
/// eight sequences high where possible: oneDNN compiles a kernel for each new
/// shape, which would take as long as running it.
pub(crate) const WIDTH_STEP: usize = 16;
const HEIGHT_STEP: usize = 8;

/// Groups sequences of these lengths into rectangles of at most `budget`
/// tokens, padding included. Sequences of about the same length go together,
/// so that little is padding.
pub fn rectangles(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| (lengths[i], i));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // From the longest down: it decides the width of its group.
    for i in order.into_iter().rev() {
        match groups.last_mut() {
            Some(group) if group.len() < height(lengths[group[0]], budget) => group.push(i),
            _ => groups.push(vec![i]),
        }
    }
    groups
}

/// How many sequences as long as the longest, of `width` tokens, fit.
fn height(width: usize, budget: usize) -> usize {
    let most = budget / width.next_multiple_of(WIDTH_STEP).max(1);
    match most {
        0..HEIGHT_STEP => most,
        _ => most - most % HEIGHT_STEP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn little_is_padding() {
        let lengths: Vec<usize> = (0..400).map(|i| 5 + (i * 7919) % 180).collect();
        let groups = rectangles(&lengths, 2048);
        let mut seen: Vec<usize> = groups.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..400).collect::<Vec<_>>());
        let wide = |g: &Vec<usize>| lengths[g[0]].next_multiple_of(WIDTH_STEP);
        let area: usize = groups.iter().map(|g| g.len() * wide(g)).sum();
        let tokens: usize = lengths.iter().sum();
        assert!(groups.iter().all(|g| g.len() * wide(g) <= 2048));
        assert!((area - tokens) * 8 < area, "{tokens} of {area}");
    }

    #[test]
    fn equal_listings_are_kept_once_and_builds_are_joined() {
        let rows = testing::rows(20);
        let tokenizer = testing::tokenizer(&rows);
        let dataset = Dataset::from_rows(&rows, &tokenizer);
        assert_eq!(dataset.functions().len(), 20);
        assert!(dataset.functions().iter().all(|f| f.variants.len() == 4));
        let hashes: HashSet<&str> = rows.iter().map(|r| r.listing_hash.as_str()).collect();
        assert_eq!(dataset.listings(), hashes.len());
        let first = dataset.functions()[0].variants[0].listing;
        let encoding = tokenizer.encode(&rows[0].listing);
        let tokens = dataset.tokens(first, usize::MAX).0;
        assert!(tokens.iter().map(|&t| u32::from(t)).eq(encoding.ids));
        assert_eq!(dataset.tokens(first, 3).1.len(), 3);
    }

    #[test]
    fn explanations_of_the_wanted_origins_take_the_place_of_comments() {
        use binscribe_corpus::explain::{Explanation, write_explanations};

        let folder = tempfile::tempdir().unwrap();
        let corpus = folder.path();
        for name in ["rows", "explanations"] {
            std::fs::create_dir(corpus.join(name)).unwrap();
        }
        let rows = testing::rows(6);
        binscribe_corpus::write_rows(&corpus.join("rows/tiny.parquet"), &rows).unwrap();
        let said = ["teacher:large", "shadow:small"].map(|origin| Explanation {
            function_id: "f0".to_owned(),
            source_hash: "s0".to_owned(),
            text: format!("{origin} has read it. It reads a file."),
            origin: origin.parse().unwrap(),
            prompt_hash: String::new(),
            tokens: 1,
            quality: 1.0,
        });
        write_explanations(&corpus.join("explanations/e.parquet"), &said).unwrap();
        let tokenizer = testing::tokenizer(&rows);
        let origins = |preferred: &str| -> Vec<Option<String>> {
            let dataset =
                Dataset::load(corpus, &tokenizer, b"json", preferred, corpus, true).unwrap();
            let functions = dataset.functions();
            let with = |f: &Function| f.comment.as_ref().zip(f.origin.clone()).map(|(_, o)| o);
            functions.iter().map(with).collect()
        };
        let expected = |first: &str| -> Vec<Option<String>> {
            let found = [Some(first), None, Some("doc"), None, Some("doc"), None];
            found.map(|origin| origin.map(str::to_owned)).into()
        };
        assert_eq!(origins(""), expected("doc"));
        assert_eq!(origins("teacher,shadow"), expected("teacher:large"));
        assert_eq!(origins("shadow,teacher"), expected("shadow:small"));
        // What was kept of one is not taken for the other.
        assert_eq!(origins(""), expected("doc"));
    }

    #[test]
    fn a_dataset_survives_the_disk_and_a_cut_file_is_refused() {
        let rows = testing::rows(5);
        let dataset = Dataset::from_rows(&rows, &testing::tokenizer(&rows));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset.bin");
        dataset.write(&path).unwrap();
        assert_eq!(Dataset::read(&path).unwrap(), dataset);
        let bytes = std::fs::read(&path).unwrap();
        for end in [0, 7, 100, bytes.len() - 2] {
            assert_eq!(Dataset::decode(&bytes[..end]), None);
        }
    }
}
