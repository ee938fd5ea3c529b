//! Choices that depend on a seed and on nothing else.

/// A stream of numbers from BLAKE3's extendable output: its bits are fixed by
/// its specification, so that a row can be made again in years to come.
#[derive(Debug)]
pub(super) struct Dice(blake3::OutputReader);

impl Dice {
    /// Each pass over each function has its own, so that what happens to one
    /// function does not depend on its neighbours.
    pub(super) fn new(seed: u64, pass: &str, function: &str) -> Dice {
        let mut hash = blake3::Hasher::new();
        hash.update(&seed.to_le_bytes());
        for part in [pass, function] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Dice(hash.finalize_xof())
    }

    /// Any number of 32 bits.
    pub(super) fn word(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A number below `bound`, which is small.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.word() as usize % bound.max(1)
    }

    /// True so many times in a hundred.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
