//! Maps and sets whose keys are addresses.
//!
//! Addresses are asked for about once for each instruction. The hash of the
//! standard library is made for keys of any kind and takes longer than decoding
//! does; this one is two multiplications, and its key is drawn for each run, so
//! that no file can be made whose addresses collide.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

pub(crate) type AddressMap<V> = HashMap<u64, V, ByAddress>;
pub(crate) type AddressSet = HashSet<u64, ByAddress>;

/// Makes hashes of numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByAddress {
    start: u64,
    factor: u64,
}

impl Default for ByAddress {
    fn default() -> ByAddress {
        static DRAWN: OnceLock<ByAddress> = OnceLock::new();
        *DRAWN.get_or_init(|| {
            let random = RandomState::new();
            ByAddress {
                start: random.hash_one(0),
                factor: random.hash_one(1) | 1,
            }
        })
    }
}

impl BuildHasher for ByAddress {
    type Hasher = AddressHasher;

    fn build_hasher(&self) -> AddressHasher {
        AddressHasher {
            state: self.start,
            factor: self.factor,
        }
    }
}

#[derive(Debug)]
pub(crate) struct AddressHasher {
    state: u64,
    factor: u64,
}

impl AddressHasher {
    /// Both halves of the product.
    fn folded(&self, number: u64) -> u64 {
        let product = u128::from(number) * u128::from(self.factor);
        product as u64 ^ (product >> 64) as u64
    }
}

impl Hasher for AddressHasher {
    fn write_u64(&mut self, number: u64) {
        self.state = self.folded(self.state ^ number);
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            self.write_u64(part.iter().rev().fold(0, push));
        }
    }

    /// Once more, because one product spreads the high bits of a number little.
    fn finish(&self) -> u64 {
        self.folded(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table takes the bucket from the low bits and a mark from the high
    /// ones: both must differ for addresses that differ in a few bits.
    #[test]
    fn addresses_are_spread() {
        let hash = ByAddress::default();
        for stride in [1, 4, 16, 4096, 1 << 32, 1 << 48] {
            let hashes = (0..4096u64).map(|n| hash.hash_one(0x40_1000 + n * stride));
            let (mut low, mut high) = (HashSet::new(), HashSet::new());
            for hash in hashes {
                low.insert(hash & 0xfff);
                high.insert(hash >> 57);
            }
            // 2,589 of 4,096 if drawn by chance.
            assert!(low.len() > 1024, "{stride}: {}", low.len());
            assert!(high.len() > 64, "{stride}: {}", high.len());
        }
    }
}
