//! How near a text is to what people wrote: BLEU, ROUGE-L and METEOR, over
//! words in lower case, marks left out.

use std::collections::HashMap;

use serde::Serialize;

/// Means over some texts, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct TextScores {
    /// BLEU-4 of a sentence, with one added to the counts of two words and
    /// more (Lin and Och 2004, "ORANGE"), as code summaries are judged.
    pub bleu_4: f64,
    /// ROUGE-L, F1 (Lin 2004).
    pub rouge_l: f64,
    /// METEOR (Banerjee and Lavie 2005) with equal words alone: without stems
    /// and synonyms.
    pub meteor_lite: f64,
}

impl TextScores {
    /// The scores of texts beside their references.
    pub(super) fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> TextScores {
        let (mut sum, mut count) = (TextScores::default(), 0.0);
        for (text, reference) in pairs {
            let (text, reference) = (words(text), words(reference));
            sum.bleu_4 += bleu_4(&text, &reference);
            sum.rouge_l += rouge_l(&text, &reference);
            sum.meteor_lite += meteor_lite(&text, &reference);
            count += 1.0;
        }
        let count = f64::max(count, 1.0);
        TextScores {
            bleu_4: sum.bleu_4 / count,
            rouge_l: sum.rouge_l / count,
            meteor_lite: sum.meteor_lite / count,
        }
    }
}

impl std::fmt::Display for TextScores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "BLEU-4 {:.3}, ROUGE-L {:.3}, METEOR-lite {:.3}",
            self.bleu_4, self.rouge_l, self.meteor_lite
        )
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn bleu_4(text: &[String], reference: &[String]) -> f64 {
    if text.is_empty() || reference.is_empty() {
        return 0.0;
    }
    let mut log = 0.0;
    for n in 1..=4 {
        let mut left: HashMap<&[String], usize> = HashMap::new();
        for gram in reference.windows(n) {
            *left.entry(gram).or_default() += 1;
        }
        let mut hits = 0;
        for gram in text.windows(n) {
            if let Some(count) = left.get_mut(gram).filter(|count| **count > 0) {
                *count -= 1;
                hits += 1;
            }
        }
        let all = (text.len() + 1).saturating_sub(n);
        let add = usize::from(n > 1);
        if hits + add == 0 {
            return 0.0;
        }
        log += ((hits + add) as f64 / (all + add) as f64).ln() / 4.0;
    }
    let brevity = (1.0 - reference.len() as f64 / text.len() as f64).min(0.0);
    (log + brevity).exp()
}

fn rouge_l(text: &[String], reference: &[String]) -> f64 {
    let mut row = vec![0usize; reference.len() + 1];
    for word in text {
        let mut diagonal = 0;
        for (i, other) in reference.iter().enumerate() {
            let above = row[i + 1];
            row[i + 1] = match word == other {
                true => diagonal + 1,
                false => above.max(row[i]),
            };
            diagonal = above;
        }
    }
    let common = row[reference.len()] as f64;
    2.0 * common / ((text.len() + reference.len()) as f64).max(1.0)
}

fn meteor_lite(text: &[String], reference: &[String]) -> f64 {
    let mut free: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, word) in reference.iter().enumerate().rev() {
        free.entry(word).or_default().push(i);
    }
    // Each word of the text with its place in the reference: that after the
    // word before if it can be, else the first that is free.
    let (mut matches, mut chunks) = (0usize, 0usize);
    let mut before: Option<usize> = None;
    for word in text {
        let place = free.get_mut(word.as_str()).and_then(|places| {
            let next = before.and_then(|b| places.iter().position(|&p| p == b + 1));
            match next {
                Some(at) => Some(places.remove(at)),
                None => places.pop(),
            }
        });
        if let Some(place) = place {
            matches += 1;
            if before.is_none_or(|b| b + 1 != place) {
                chunks += 1;
            }
        }
        before = place;
    }
    if matches == 0 {
        return 0.0;
    }
    let matched = matches as f64;
    let (precision, recall) = (
        matched / text.len() as f64,
        matched / reference.len() as f64,
    );
    let mean = 10.0 * precision * recall / (recall + 9.0 * precision);
    mean * (1.0 - 0.5 * (chunks as f64 / matched).powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, reference: &str) -> TextScores {
        TextScores::of(std::iter::once((text, reference)))
    }

    #[test]
    fn equal_texts_score_one_and_strangers_nothing() {
        let same = of("Reads a file into memory.", "reads a file into memory");
        assert!((same.bleu_4 - 1.0).abs() < 1e-9 && (same.rouge_l - 1.0).abs() < 1e-9);
        // One chunk of five words: 1 - 0.5 / 125.
        assert!((same.meteor_lite - 0.996).abs() < 1e-9);
        assert_eq!(of("one two", "three four"), TextScores::default());
        assert_eq!(of("", "three four"), TextScores::default());
    }

    #[test]
    fn scores_by_hand() {
        let scores = of("the cat sat", "the cat was sat on");
        // 3/3 words, (1+1)/(2+1) pairs, (0+1)/(1+1) triples, (0+1)/(0+1).
        let bleu = (1.0f64 * (2.0 / 3.0) * 0.5).powf(0.25) * (1.0f64 - 5.0 / 3.0).exp();
        assert!((scores.bleu_4 - bleu).abs() < 1e-9);
        assert!((scores.rouge_l - 6.0 / 8.0).abs() < 1e-9);
        let (p, r) = (1.0, 0.6);
        let meteor = 10.0 * p * r / (r + 9.0 * p) * (1.0 - 0.5 * (2.0f64 / 3.0).powi(3));
        assert!((scores.meteor_lite - meteor).abs() < 1e-9);
    }
}
