//! Greedy and beam search.

use std::collections::HashSet;

use super::{Decoding, END, FIRST_SENTINEL, PAD, Past, SENTINELS, START};
use crate::Result;

/// What stays the same when hypotheses are chosen: the decoder's past, or
/// nothing in a test.
pub(super) trait Choose {
    fn choose(&self, places: &[usize]) -> Self;
}

impl Choose for Past {
    fn choose(&self, places: &[usize]) -> Past {
        self.select(places)
    }
}

struct Hypothesis {
    tokens: Vec<u32>,
    score: f32,
}

/// The best target, its end left out. `step` gets the last token of each
/// hypothesis and the past, and returns a row of log-probabilities for each,
/// and the past with those tokens in it.
pub(super) fn search<P: Choose>(
    decoding: &Decoding,
    past: P,
    mut step: impl FnMut(&[u32], P) -> Result<(Vec<Vec<f32>>, P)>,
) -> Result<Vec<u32>> {
    let worth = |score: f32, length: usize| score / (length as f32).powf(decoding.length_penalty);
    let mut alive = vec![Hypothesis {
        tokens: Vec::new(),
        score: 0.0,
    }];
    let mut finished: Option<(f32, Vec<u32>)> = None;
    let mut ends = 0;
    let mut past = Some(past);
    for length in 1..=decoding.max_tokens {
        let Some(before) = past.take() else { break };
        let last: Vec<u32> = alive
            .iter()
            .map(|h| h.tokens.last().copied().unwrap_or(START))
            .collect();
        let (rows, after) = step(&last, before)?;
        let mut candidates: Vec<(f32, usize, u32)> = Vec::new();
        for (place, (hypothesis, row)) in alive.iter().zip(&rows).enumerate() {
            let banned = repeated(&hypothesis.tokens, decoding.no_repeat);
            let mut best: Vec<(f32, u32)> = Vec::new();
            // An end first of all would be no answer.
            for (id, &x) in (0..).zip(row) {
                let special = id == PAD
                    || id == START
                    || (FIRST_SENTINEL..FIRST_SENTINEL + SENTINELS).contains(&id)
                    || (id == END && length == 1);
                let worst = best.last().map_or(f32::NEG_INFINITY, |b| b.0);
                let full = best.len() > decoding.beams;
                if special || !x.is_finite() || banned.contains(&id) || (full && x <= worst) {
                    continue;
                }
                let at = best.partition_point(|b| b.0 >= x);
                best.insert(at, (x, id));
                best.truncate(decoding.beams + 1);
            }
            candidates.extend(
                best.iter()
                    .map(|&(x, id)| (hypothesis.score + x, place, id)),
            );
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let (mut places, mut next) = (Vec::new(), Vec::new());
        for (rank, &(score, place, id)) in candidates.iter().enumerate() {
            if next.len() == decoding.beams {
                break;
            }
            let tokens = &alive[place].tokens;
            if id == END {
                // As in other beam searches, an end counts only where it is
                // among the best.
                if rank < decoding.beams {
                    ends += 1;
                    let worth = worth(score, length);
                    if finished.as_ref().is_none_or(|(best, _)| worth > *best) {
                        finished = Some((worth, tokens.clone()));
                    }
                }
                continue;
            }
            let mut tokens = tokens.clone();
            tokens.push(id);
            places.push(place);
            next.push(Hypothesis { tokens, score });
        }
        if next.is_empty() {
            // Nothing may follow: what is there stays.
            break;
        }
        alive = next;
        let hopeless = match (&finished, alive.first()) {
            // Scores only fall; the penalty may favour length up to the limit.
            (Some((best, _)), Some(first)) => worth(first.score, decoding.max_tokens) <= *best,
            _ => false,
        };
        if hopeless || ends >= decoding.beams {
            break;
        }
        past = Some(after.choose(&places));
    }
    // Cut off where nothing ended in time.
    let cut = alive.into_iter().next().map(|h| h.tokens);
    Ok(finished
        .map(|(_, tokens)| tokens)
        .or(cut)
        .unwrap_or_default())
}

/// Tokens that would write some `size` tokens in a row a second time.
fn repeated(tokens: &[u32], size: usize) -> HashSet<u32> {
    let Some(start) = size
        .checked_sub(1)
        .filter(|_| size > 0)
        .and_then(|context| tokens.len().checked_sub(context))
    else {
        return HashSet::new();
    };
    let context = &tokens[start..];
    tokens
        .windows(size)
        .filter(|window| window[..size - 1] == *context)
        .map(|window| window[size - 1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Choose for () {
        fn choose(&self, _: &[usize]) {}
    }

    const A: u32 = FIRST_SENTINEL + SENTINELS;
    const B: u32 = A + 1;

    fn decoding(beams: usize) -> Decoding {
        Decoding {
            beams,
            length_penalty: 0.0,
            max_tokens: 12,
            no_repeat: 4,
        }
    }

    /// A model that only looks at the last token.
    fn write(beams: usize, next: fn(u32) -> [(u32, f32); 2]) -> Vec<u32> {
        let step = |last: &[u32], ()| {
            let row = |&token: &u32| {
                let mut row = vec![f32::NEG_INFINITY; B as usize + 1];
                for (id, p) in next(token) {
                    row[id as usize] = p.ln();
                }
                row
            };
            Ok((last.iter().map(row).collect(), ()))
        };
        search(&decoding(beams), (), step).unwrap()
    }

    #[test]
    fn a_beam_finds_what_greed_misses() {
        let next = |token| match token {
            START => [(A, 0.6), (B, 0.4)],
            A => [(A, 0.5), (END, 0.5)],
            _ => [(END, 1.0), (A, 0.0)],
        };
        assert_eq!(write(1, next)[0], A);
        assert_eq!(write(4, next), [B]);
    }

    #[test]
    fn no_four_tokens_are_written_twice_and_targets_end() {
        let forever = |_| [(A, 0.9), (B, 0.1)];
        let tokens = write(1, forever);
        assert!((4..=12).contains(&tokens.len()), "{tokens:?}");
        let windows: HashSet<&[u32]> = tokens.windows(4).collect();
        assert_eq!(windows.len(), tokens.len() - 3);
    }

    #[test]
    fn specials_are_never_written() {
        let next = |_| [(FIRST_SENTINEL, 0.9), (END, 0.1)];
        assert_eq!(write(2, next), [0u32; 0]);
    }
}
