//! Labels that a function names itself: in a string, in the name of an import,
//! or in what the listing says of a table or a constant (`AES S-box`). No vector
//! is needed to see those, and one of some hundred numbers loses them.

use std::collections::BTreeSet;

use crate::text;
use crate::zero_shot::Label;

/// By how much the odds of a label rise with each mention of it alone.
///
/// Not tuned: so much that one mention outweighs what cosines usually tell
/// between labels, and two leave no doubt. `binscribe eval crypto --split
/// validation` shows what it does to packages that nothing is reported of.
pub const FACTOR: f32 = 30.0;
/// More mentions than these say nothing new.
const MOST: f32 = 3.0;

/// What a listing says in words, a phrase for each thing mentioned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    phrases: BTreeSet<String>,
}

impl Mentions {
    /// Those of a listing.
    pub fn of(listing: &str) -> Mentions {
        let texts = listing.lines().flat_map(text::line_texts);
        Mentions {
            phrases: texts.map(|said| phrase(&said)).collect(),
        }
    }
}

/// What the functions of one file say together of labels: each votes with its
/// shares, one that could be anything votes for nothing, and the file mentions
/// what any of them does.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    votes: Vec<f32>,
    said: Mentions,
}

impl Whole {
    /// Takes a function in: its shares of the labels, and what it mentions.
    pub fn add(&mut self, shares: &[f32], said: &Mentions) {
        self.votes.resize(shares.len(), 0.0);
        let votes = self.votes.iter_mut().zip(shares);
        votes.for_each(|(sum, share)| *sum += share);
        self.said.phrases.extend(said.phrases.iter().cloned());
    }

    /// The file's shares of the labels.
    pub fn shares(&self, labels: &Labels) -> Vec<f32> {
        weighed(&self.votes, &labels.counts(&self.said))
    }
}

/// Labels as they are looked for: all that each is called.
#[derive(Debug, Clone)]
pub struct Labels {
    phrases: Vec<Vec<String>>,
}

impl Labels {
    /// From what they are called.
    pub fn new(labels: &[Label]) -> Labels {
        let phrases = |label: &Label| label.texts.iter().map(|text| phrase(text)).collect();
        Labels {
            phrases: labels.iter().map(phrases).collect(),
        }
    }

    /// How often each label is mentioned. What could mean several of them, such
    /// as `MD5 or SHA-1 initial state`, counts as a part for each.
    pub fn counts(&self, mentions: &Mentions) -> Vec<f32> {
        let mut counts = vec![0.0f32; self.phrases.len()];
        for said in &mentions.phrases {
            let has = |phrase: &String| phrase.len() > 1 && said.contains(phrase);
            let named: Vec<usize> = (0..counts.len())
                .filter(|&label| self.phrases[label].iter().any(has))
                .collect();
            for &label in &named {
                counts[label] += 1.0 / named.len() as f32;
            }
        }
        counts.iter().map(|count| count.min(MOST)).collect()
    }
}

/// Shares of labels, each multiplied by [`FACTOR`] to the power of its mentions.
pub fn weighed(shares: &[f32], mentions: &[f32]) -> Vec<f32> {
    let raised: Vec<f32> = shares
        .iter()
        .zip(mentions)
        .map(|(share, &count)| share * FACTOR.powf(count))
        .collect();
    let total: f32 = raised.iter().sum();
    raised.iter().map(|share| share / total).collect()
}

/// A probability whose odds rise in the same way.
pub fn raised(probability: f32, mentions: f32) -> f32 {
    let odds = probability * FACTOR.powf(mentions);
    odds / (odds + 1.0 - probability)
}

/// ` sha 256 ` of `SHA256` and of `SHA-256`: lower case, letters and digits
/// apart, one space between.
fn phrase(text: &str) -> String {
    let mut phrase = String::from(" ");
    for word in text::words(text) {
        let mut previous = None;
        for c in word.chars() {
            let digit = c.is_ascii_digit();
            if previous.is_some_and(|before| before != digit) {
                phrase.push(' ');
            }
            previous = Some(digit);
            phrase.push(c);
        }
        phrase.push(' ');
    }
    phrase
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_whole_and_shared_mentions_count_in_part() {
        let listing = "lea     rsi, unk_73040; SHA-256 round constants\n\
            mov     eax, 67452301h; MD5 or SHA-1 initial state\n\
            call    _AES_encrypt\nlea     rdi, aDes; \"describe AES128\"\n\
            mov     eax, 256";
        let labels = [
            "SHA-1",
            "SHA-256",
            "SHA-512",
            "MD5",
            "AES | Rijndael",
            "DES",
            "RC2",
            "",
        ];
        let labels = labels.map(Label::new);
        let counts = Labels::new(&labels).counts(&Mentions::of(listing));
        assert_eq!(counts, [0.5, 1.0, 0.0, 0.5, 2.0, 0.0, 0.0, 0.0]);
        let mut whole = Whole::default();
        for listing in ["call    _rijndael_setup", listing] {
            whole.add(&[0.125; 8], &Mentions::of(listing));
        }
        assert_eq!(Labels::new(&labels).counts(&whole.said)[4], 3.0);
        assert!(whole.shares(&Labels::new(&labels))[4] > 0.9);
    }

    #[test]
    fn a_mention_outweighs_a_guess_and_shares_stay_shares() {
        let shares = weighed(&[0.6, 0.4], &[0.0, 1.0]);
        assert!(shares[1] > 0.9 && (shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(weighed(&[0.6, 0.4], &[0.0, 0.0]), [0.6, 0.4]);
        assert_eq!(raised(0.25, 0.0), 0.25);
        assert!(raised(0.25, 1.0) > 0.9 && raised(1.0, 1.0) == 1.0 && raised(0.0, 1.0) == 0.0);
    }
}
