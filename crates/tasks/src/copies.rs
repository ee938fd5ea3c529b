//! Functions with equal code are one answer: `_start`, a static library in a hundred
//! programs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Functions of equal code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copies {
    /// The one to show: the best, of equal ones one that has a name, then the first.
    pub shown: usize,
    /// Its score.
    pub score: f32,
    /// How many there are.
    pub count: usize,
}

/// Puts functions of equal `codes` together; `named` says of which the name is known.
/// They come in the order of the first of each.
///
/// # Panics
///
/// When there is not a code for each score.
pub fn copies(scores: &[f32], codes: &[u128], named: impl Fn(usize) -> bool) -> Vec<Copies> {
    assert_eq!(scores.len(), codes.len(), "a code for each score");
    let mut places: HashMap<u128, usize> = HashMap::new();
    let mut found: Vec<Copies> = Vec::new();
    for (number, (&score, &code)) in scores.iter().zip(codes).enumerate() {
        match places.entry(code) {
            Entry::Vacant(place) => {
                place.insert(found.len());
                found.push(Copies {
                    shown: number,
                    score,
                    count: 1,
                });
            }
            Entry::Occupied(place) => {
                let known = &mut found[*place.get()];
                known.count += 1;
                let better = score > known.score
                    || score == known.score && named(number) && !named(known.shown);
                if better {
                    (known.shown, known.score) = (number, score);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_shown_and_among_equals_one_with_a_name() {
        let scores = [0.5, 0.7, 0.5, 0.5, 0.2, 0.9];
        let codes = [1, 2, 1, 1, 3, 3];
        let found = copies(&scores, &codes, |number| number == 2 || number == 3);
        let expected = [(2, 0.5, 3), (1, 0.7, 1), (5, 0.9, 2)];
        let expected = expected.map(|(shown, score, count)| Copies {
            shown,
            score,
            count,
        });
        assert_eq!(found, expected);
    }
}
