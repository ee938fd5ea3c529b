//! What the model has to beat.

use std::collections::HashMap;

use binscribe_model::source_words;

use super::pairs::Pair;

/// The text that most pairs have.
pub(super) fn most_common(pairs: &[Pair]) -> &str {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for pair in pairs {
        *counts.entry(&pair.text).or_default() += 1;
    }
    let best = counts
        .into_iter()
        .max_by_key(|&(text, n)| (n, std::cmp::Reverse(text)));
    best.map_or("", |(text, _)| text)
}

/// Finds the training source nearest to another, by TF-IDF over words.
pub(super) struct Nearest<'a> {
    pairs: &'a [Pair],
    /// Pairs that have a word, with its weight in their unit vectors.
    postings: HashMap<String, Vec<(u32, f32)>>,
    /// How rare each word is.
    rarity: HashMap<String, f32>,
}

impl<'a> Nearest<'a> {
    pub(super) fn new(pairs: &'a [Pair]) -> Nearest<'a> {
        let counts: Vec<HashMap<String, f32>> = pairs
            .iter()
            .map(|pair| counts(&pair.function.source))
            .collect();
        let mut rarity: HashMap<String, f32> = HashMap::new();
        for word in counts.iter().flat_map(HashMap::keys) {
            *rarity.entry(word.clone()).or_default() += 1.0;
        }
        for documents in rarity.values_mut() {
            *documents = (pairs.len() as f32 / *documents).ln() + 1.0;
        }
        let mut postings: HashMap<String, Vec<(u32, f32)>> = HashMap::new();
        for (i, counts) in counts.into_iter().enumerate() {
            for (word, weight) in unit(counts, &rarity) {
                postings.entry(word).or_default().push((i as u32, weight));
            }
        }
        Nearest {
            pairs,
            postings,
            rarity,
        }
    }

    /// The text of the nearest source.
    pub(super) fn text(&self, source: &str) -> &str {
        let mut scores = vec![0f32; self.pairs.len()];
        for (word, weight) in unit(counts(source), &self.rarity) {
            for &(i, other) in self.postings.get(&word).into_iter().flatten() {
                scores[i as usize] += weight * other;
            }
        }
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        best.map_or("", |best| &self.pairs[best].text)
    }
}

fn counts(source: &str) -> HashMap<String, f32> {
    let mut counts: HashMap<String, f32> = HashMap::new();
    let words = source_words(source);
    let words = words.split(' ');
    for word in words.filter(|w| w.starts_with(char::is_alphanumeric)) {
        *counts.entry(word.to_owned()).or_default() += 1.0;
    }
    counts
}

/// Logarithmic counts by rarity, as a unit vector of the known words. In the
/// order of the words, so that sums come out the same.
fn unit(counts: HashMap<String, f32>, rarity: &HashMap<String, f32>) -> Vec<(String, f32)> {
    let mut weights: Vec<(String, f32)> = counts
        .into_iter()
        .filter_map(|(word, count)| {
            let weight = (1.0 + count.ln()) * rarity.get(&word)?;
            Some((word, weight))
        })
        .collect();
    weights.sort_by(|a, b| a.0.cmp(&b.0));
    let length = weights.iter().map(|w| w.1 * w.1).sum::<f32>().sqrt();
    for (_, weight) in &mut weights {
        *weight /= length.max(1e-9);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::super::pairs::Function;
    use super::*;

    #[test]
    fn the_nearest_source_and_the_commonest_text_are_found() {
        let pair = |source: &str, text: &str| Pair {
            function: Function {
                name: String::new(),
                source: source.to_owned(),
            },
            text: text.to_owned(),
        };
        let pairs = [
            pair(
                "int open_socket(int port) { bind(port); }",
                "Opens a socket.",
            ),
            pair("void free_list(list *l) { free(l->next); }", "Frees it."),
            pair("void free_tree(tree *t) { free(t->left); }", "Frees it."),
        ];
        let nearest = Nearest::new(&pairs);
        assert_eq!(
            nearest.text("socket *makeSocket(int port);"),
            "Opens a socket."
        );
        assert_eq!(nearest.text("void drop_list(list *next)"), "Frees it.");
        assert_eq!(most_common(&pairs), "Frees it.");
    }
}
