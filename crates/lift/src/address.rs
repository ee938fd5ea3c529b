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

/// Ascending addresses, to be searched: a table tells about where each is.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    addresses: Vec<u64>,
    /// The first address of each stretch of so many bits, counted from the first
    /// of all; there are no more stretches than addresses.
    firsts: Vec<u32>,
    bits: u32,
}

impl Sorted {
    pub(crate) fn new(addresses: Vec<u64>) -> Sorted {
        let span = match (addresses.first(), addresses.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0,
        };
        let count = addresses.len() as u64;
        let bits = (0..63).find(|bits| span >> bits <= count).unwrap_or(63);
        let mut firsts = Vec::with_capacity((span >> bits) as usize + 2);
        for (at, address) in (0..).zip(&addresses) {
            let stretch = (address - addresses[0]) >> bits;
            while firsts.len() as u64 <= stretch {
                firsts.push(at);
            }
        }
        firsts.push(addresses.len() as u32);
        Sorted {
            addresses,
            firsts,
            bits,
        }
    }

    /// The index of the last one that is not above `address`.
    pub(crate) fn last_up_to(&self, address: u64) -> Option<usize> {
        let inside = address.checked_sub(*self.addresses.first()?)?;
        let stretch = usize::try_from(inside >> self.bits).unwrap_or(usize::MAX);
        let last = self.addresses.len();
        let bound = |stretch: usize| self.firsts.get(stretch).map_or(last, |&at| at as usize);
        let (first, last) = (bound(stretch), bound(stretch.saturating_add(1)));
        let above = self.addresses[first..last].partition_point(|&held| held <= address);
        (first + above).checked_sub(1)
    }

    /// The index of an address.
    pub(crate) fn find(&self, address: u64) -> Option<usize> {
        let inside = address.checked_sub(*self.addresses.first()?)?;
        let stretch = usize::try_from(inside >> self.bits).ok()?;
        // There is one more than stretches, for the end of the last.
        let [first, last] = *self.firsts.get(stretch..)?.first_chunk()?;
        let first = first as usize;
        match &self.addresses[first..last as usize] {
            [] => None,
            [one] => (*one == address).then_some(first),
            held => Some(first + held.binary_search(&address).ok()?),
        }
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

    #[test]
    fn addresses_are_found_however_far_apart() {
        let close = (0..1000).map(|n| 0x40_1000 + n * 7);
        let far = [u64::MAX - 5, u64::MAX];
        for addresses in [
            vec![],
            vec![9],
            close.clone().collect(),
            close.chain(far).collect(),
        ] {
            let sorted = Sorted::new(addresses.clone());
            for (at, &address) in addresses.iter().enumerate() {
                assert_eq!(sorted.find(address), Some(at));
                assert_eq!(sorted.find(address - 1), None);
                assert_eq!(sorted.last_up_to(address), Some(at));
                assert_eq!(sorted.last_up_to(address - 1), at.checked_sub(1));
            }
            assert_eq!(sorted.find(0), None);
        }
    }
}
