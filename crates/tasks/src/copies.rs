//! Functions with equal code are one answer: `_start`, a static library in a hundred
//! programs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Functions of equal code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copies {
    /// The one to show: the best, of equal ones one that has a symbol, then the first.
    pub shown: usize,
    /// Its score.
    pub score: f32,
    /// How many there are.
    pub count: usize,
}

/// A function, as far as it may be another one's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Equal for equal code.
    pub code: u128,
    /// Equal for equal symbols, 0 where there is none.
    pub symbol: u64,
}

/// Puts functions of equal code together, but not those of different symbols: a
/// wrapper looks like another. One without a symbol is taken for a copy of those that
/// have one if all of these have the same. They come in the order of the first of each.
///
/// # Panics
///
/// When there is not a code for each score.
pub fn copies(scores: &[f32], codes: &[Code]) -> Vec<Copies> {
    assert_eq!(scores.len(), codes.len(), "a code for each score");
    // 0 where a code has several symbols.
    let mut symbols: HashMap<u128, u64> = HashMap::new();
    for Code { code, symbol } in codes.iter().filter(|code| code.symbol != 0) {
        let known = symbols.entry(*code).or_insert(*symbol);
        if known != symbol {
            *known = 0;
        }
    }
    let mut places: HashMap<(u128, u64), usize> = HashMap::new();
    let mut found: Vec<Copies> = Vec::new();
    for (number, (&score, own)) in scores.iter().zip(codes).enumerate() {
        let symbol = match own.symbol {
            0 => symbols.get(&own.code).copied().unwrap_or(0),
            symbol => symbol,
        };
        match places.entry((own.code, symbol)) {
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
                let named = own.symbol != 0 && codes[known.shown].symbol == 0;
                if score > known.score || score == known.score && named {
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

    fn found(functions: &[(f32, u128, u64)]) -> Vec<(usize, usize)> {
        let scores: Vec<f32> = functions.iter().map(|f| f.0).collect();
        let codes = functions
            .iter()
            .map(|&(_, code, symbol)| Code { code, symbol });
        let found = copies(&scores, &codes.collect::<Vec<_>>());
        found.iter().map(|c| (c.shown, c.count)).collect()
    }

    #[test]
    fn the_best_is_shown_and_among_equals_one_with_a_symbol() {
        let functions = [
            (0.5, 1, 0),
            (0.7, 2, 0),
            (0.5, 1, 9),
            (0.5, 1, 9),
            (0.2, 3, 0),
            (0.9, 3, 0),
        ];
        assert_eq!(found(&functions), [(2, 3), (1, 1), (5, 2)]);
    }

    #[test]
    fn different_symbols_are_different_functions() {
        let functions = [(0.5, 1, 8), (0.5, 1, 9), (0.5, 1, 0), (0.5, 1, 8)];
        // Which of both the one without a symbol is cannot be told.
        assert_eq!(found(&functions), [(0, 2), (1, 1), (2, 1)]);
    }
}
