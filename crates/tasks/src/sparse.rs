//! The baselines: what can be told about a listing, or found by words, without
//! a trained model.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::text;

/// A sparse vector: (feature, weight), ascending by feature.
pub type Sparse = Vec<(u32, f32)>;

/// Numbers for strings, in the order of their first appearance.
#[derive(Debug, Default)]
struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    fn id(&mut self, word: &str) -> u32 {
        match self.0.get(word) {
            Some(&id) => id,
            None => {
                let id = self.0.len() as u32;
                self.0.insert(word.to_owned(), id);
                id
            }
        }
    }
}

/// Counts of `items`, in order of the item.
fn counts<T: Ord>(mut items: Vec<T>) -> Vec<(T, u32)> {
    items.sort_unstable();
    let mut counted: Vec<(T, u32)> = Vec::new();
    for item in items {
        match counted.last_mut() {
            Some((last, count)) if *last == item => *count += 1,
            _ => counted.push((item, 1)),
        }
    }
    counted
}

fn unit(mut vector: Sparse) -> Sparse {
    let length = vector.iter().map(|(_, w)| w * w).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|(_, w)| *w /= length);
    }
    vector
}

/// Histograms of mnemonics as unit vectors: the oldest baseline of binary code
/// similarity, and a strong one for what it costs.
pub fn opcode_histograms<'a>(listings: impl IntoIterator<Item = &'a str>) -> Vec<Sparse> {
    let mut vocabulary = Vocabulary::default();
    listings
        .into_iter()
        .map(|listing| {
            let ids = listing
                .lines()
                .filter_map(|line| line.split_whitespace().next())
                .map(|mnemonic| vocabulary.id(mnemonic))
                .collect();
            unit(
                counts(ids)
                    .into_iter()
                    .map(|(id, n)| (id, n as f32))
                    .collect(),
            )
        })
        .collect()
}

/// The words of a listing as the model's tokenizer sees them before it cuts
/// them into pieces: what TF-IDF counts.
pub fn tokens(listing: &str) -> Vec<String> {
    listing.lines().flat_map(binscribe_model::chunks).collect()
}

/// Inverse document frequencies of a set of training documents, and the unit
/// vectors that they give: weights (1 + ln tf) · (1 + ln((1 + N) / (1 + df))),
/// compared by cosine.
#[derive(Debug)]
pub struct TfIdf {
    weights: HashMap<String, (u32, f32)>,
    /// What a word weighs that no training document has.
    unseen: f32,
    next: u32,
}

impl TfIdf {
    /// Counts the words of the training documents.
    pub fn fit<D: IntoIterator<Item = String>>(documents: impl IntoIterator<Item = D>) -> TfIdf {
        let mut frequency: HashMap<String, u32> = HashMap::new();
        let mut total = 0u32;
        for document in documents {
            total += 1;
            for (word, _) in counts(document.into_iter().collect()) {
                *frequency.entry(word).or_default() += 1;
            }
        }
        let idf = |df: u32| 1.0 + ((1.0 + total as f32) / (1.0 + df as f32)).ln();
        let mut words: Vec<(String, u32)> = frequency.into_iter().collect();
        words.sort_unstable();
        let next = words.len() as u32;
        let weights = words
            .into_iter()
            .enumerate()
            .map(|(id, (word, df))| (word, (id as u32, idf(df))))
            .collect();
        TfIdf {
            weights,
            unseen: idf(0),
            next,
        }
    }

    /// One more than the largest feature of a word that the training documents
    /// have.
    pub fn width(&self) -> usize {
        self.next as usize
    }

    /// The unit vectors of `documents`. Words that no training document has are
    /// kept: two listings that share a rare string are alike all the more.
    pub fn vectors<D: IntoIterator<Item = String>>(
        &self,
        documents: impl IntoIterator<Item = D>,
    ) -> Vec<Sparse> {
        let mut new_words = Vocabulary::default();
        documents
            .into_iter()
            .map(|document| {
                let mut vector: Sparse = counts(document.into_iter().collect())
                    .into_iter()
                    .map(|(word, n)| {
                        let (id, idf) = match self.weights.get(&word) {
                            Some(&known) => known,
                            None => (self.next + new_words.id(&word), self.unseen),
                        };
                        (id, (1.0 + (n as f32).ln()) * idf)
                    })
                    .collect();
                vector.sort_unstable_by_key(|(id, _)| *id);
                unit(vector)
            })
            .collect()
    }
}

/// Scores of every query against every candidate, through an inverted index.
pub fn sparse_scores<T: Send>(
    queries: &[&Sparse],
    candidates: &[&Sparse],
    visit: impl Fn(usize, &[f32]) -> T + Sync,
) -> Vec<T> {
    let mut index: HashMap<u32, Vec<(u32, f32)>> = HashMap::new();
    for (number, candidate) in candidates.iter().enumerate() {
        for &(feature, weight) in candidate.iter() {
            index
                .entry(feature)
                .or_default()
                .push((number as u32, weight));
        }
    }
    queries
        .par_iter()
        .enumerate()
        .map_init(
            || vec![0.0f32; candidates.len()],
            |scores, (number, query)| {
                scores.fill(0.0);
                for (feature, weight) in query.iter() {
                    for (candidate, other) in index.get(feature).map_or(&[][..], Vec::as_slice) {
                        scores[*candidate as usize] += weight * other;
                    }
                }
                visit(number, scores)
            },
        )
        .collect()
}

/// Okapi BM25 (Robertson et al., TREC-3) over documents of words, with the
/// customary k1 = 1.2 and b = 0.75.
#[derive(Debug)]
pub struct Bm25 {
    postings: HashMap<String, Vec<(u32, f32)>>,
    documents: usize,
}

const K1: f32 = 1.2;
const B: f32 = 0.75;

/// What a word weighs that `df` of `total` documents have.
fn idf(df: f32, total: f32) -> f32 {
    (1.0 + (total - df + 0.5) / (df + 0.5)).ln()
}

/// What a document of `length` words, where the mean is `mean`, has for a word that
/// it says `tf` times.
fn weight(idf: f32, tf: f32, length: f32, mean: f32) -> f32 {
    let norm = 1.0 - B + B * length / mean.max(1.0);
    idf * tf * (K1 + 1.0) / (tf + K1 * norm)
}

/// The words of one query: what [`Bm25`] finds for it, where there are too many
/// documents to index for one question.
#[derive(Debug)]
pub struct QueryWords(Vec<String>);

/// What a document has of a query's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    length: u32,
    /// A word of the query, and how often the document says it.
    said: Vec<(u32, u32)>,
}

impl QueryWords {
    /// Those of `query`.
    pub fn new(query: &str) -> QueryWords {
        let mut words = text::content_words(query);
        words.sort_unstable();
        words.dedup();
        QueryWords(words)
    }

    /// How often a document says them.
    pub fn count<'d>(&self, document: impl IntoIterator<Item = &'d str>) -> Counted {
        let mut counted = Counted::default();
        for word in document {
            counted.length += 1;
            if let Ok(at) = self.0.binary_search_by(|own| own.as_str().cmp(word)) {
                let at = at as u32;
                match counted.said.iter_mut().find(|(own, _)| *own == at) {
                    Some((_, n)) => *n += 1,
                    None => counted.said.push((at, 1)),
                }
            }
        }
        counted
    }

    /// For all documents, what [`Bm25::shares`] gives.
    pub fn shares(&self, documents: &[Counted]) -> Vec<f32> {
        let total = documents.len() as f32;
        let lengths: f64 = documents.iter().map(|d| f64::from(d.length)).sum();
        let mean = lengths as f32 / total.max(1.0);
        let mut frequency = vec![0u32; self.0.len()];
        for (word, _) in documents.iter().flat_map(|d| &d.said) {
            frequency[*word as usize] += 1;
        }
        let idfs: Vec<f32> = frequency.iter().map(|n| idf(*n as f32, total)).collect();
        let most: f32 = idfs.iter().map(|idf| idf * (K1 + 1.0)).sum();
        let score = |document: &Counted| -> f32 {
            let said = document.said.iter();
            let weights = said.map(|(word, n)| {
                let idf = idfs[*word as usize];
                weight(idf, *n as f32, document.length as f32, mean)
            });
            weights.sum()
        };
        documents
            .iter()
            .map(|document| score(document) / most.max(f32::MIN_POSITIVE))
            .collect()
    }
}

impl Bm25 {
    /// Indexes `documents`.
    pub fn new<D: IntoIterator<Item = String>>(documents: impl IntoIterator<Item = D>) -> Bm25 {
        let counted: Vec<(usize, Vec<(String, u32)>)> = documents
            .into_iter()
            .map(|document| {
                let words: Vec<String> = document.into_iter().collect();
                (words.len(), counts(words))
            })
            .collect();
        let total = counted.len();
        let mean = counted
            .iter()
            .map(|(length, _)| *length as f32)
            .sum::<f32>()
            / (total as f32).max(1.0);
        let mut frequency: HashMap<&str, u32> = HashMap::new();
        for (_, words) in &counted {
            for (word, _) in words {
                *frequency.entry(word).or_default() += 1;
            }
        }
        let mut postings: HashMap<String, Vec<(u32, f32)>> = HashMap::new();
        for (number, (length, words)) in counted.iter().enumerate() {
            for (word, n) in words {
                let idf = idf(frequency[word.as_str()] as f32, total as f32);
                let weight = weight(idf, *n as f32, *length as f32, mean);
                postings
                    .entry(word.clone())
                    .or_default()
                    .push((number as u32, weight));
            }
        }
        Bm25 {
            postings,
            documents: total,
        }
    }

    /// The scores as shares of what a document would have that says every word
    /// of `query` over and over: from 0 to 1.
    pub fn shares(&self, query: &str) -> Vec<f32> {
        let mut words = text::content_words(query);
        words.sort_unstable();
        words.dedup();
        let most: f32 = words
            .iter()
            .map(|word| self.postings.get(word).map_or(0, Vec::len) as f32)
            .map(|df| idf(df, self.documents as f32) * (K1 + 1.0))
            .sum();
        let scores = self.scores(query);
        scores
            .into_iter()
            .map(|score| score / most.max(f32::MIN_POSITIVE))
            .collect()
    }

    /// The score of each document for the words of `query`.
    pub fn scores(&self, query: &str) -> Vec<f32> {
        let mut scores = vec![0.0; self.documents];
        let mut words = text::content_words(query);
        words.sort_unstable();
        words.dedup();
        for word in words {
            for (document, weight) in self.postings.get(&word).map_or(&[][..], Vec::as_slice) {
                scores[*document as usize] += weight;
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosines(vectors: &[Sparse]) -> Vec<Vec<f32>> {
        let all: Vec<&Sparse> = vectors.iter().collect();
        sparse_scores(&all, &all, |_, scores| scores.to_vec())
    }

    #[test]
    fn histograms_ignore_operands() {
        let vectors = opcode_histograms([
            "mov eax, 1\nretn",
            "mov rbx, [rax]\nretn",
            "push rbp\npush rax",
        ]);
        let cosines = cosines(&vectors);
        assert!((cosines[0][1] - 1.0).abs() < 1e-6);
        assert_eq!(cosines[0][2], 0.0);
    }

    #[test]
    fn one_query_finds_what_an_index_finds() {
        let documents = [
            "read the next line of the file",
            "write line line line",
            "",
            "close file",
        ];
        let words = documents.map(text::content_words);
        let bm25 = Bm25::new(words.clone());
        for text in [
            "read lines of a file",
            "file, file: closed?",
            "nothing here",
        ] {
            let query = QueryWords::new(text);
            let counted = words
                .each_ref()
                .map(|w| query.count(w.iter().map(String::as_str)));
            let pairs = bm25.shares(text).into_iter().zip(query.shares(&counted));
            for (indexed, counted) in pairs {
                assert!(
                    (indexed - counted).abs() < 1e-6,
                    "{text}: {indexed} {counted}"
                );
            }
        }
    }

    #[test]
    fn rare_words_weigh_more() {
        let document = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let training = ["mov a", "mov b", "mov c", "mov d"];
        let model = TfIdf::fit(training.map(document));
        let vectors = model.vectors(["mov a", "mov b", "xor a", "new a", "new b"].map(document));
        let cosines = cosines(&vectors);
        assert!(cosines[0][2] > cosines[0][1]);
        assert!(
            cosines[3][4] > cosines[0][1],
            "a word new to training still counts"
        );
    }

    #[test]
    fn bm25_prefers_the_document_with_the_words() {
        let documents = ["usage option help", "socket connect", "usage"];
        let index = Bm25::new(documents.map(text::content_words));
        let scores = index.scores("connect a socket");
        assert_eq!(crate::top(&scores, 1)[0].0, 1);
        assert_eq!(scores[0], 0.0);
        let shares = index.shares("connect a socket");
        assert!(
            shares[1] > 0.3 && shares[1] <= 1.0 && shares[0] == 0.0,
            "{shares:?}"
        );
        assert!(index.shares("of the").iter().all(|share| *share == 0.0));
        assert!(Bm25::new(Vec::<Vec<String>>::new()).scores("x").is_empty());
    }
}
