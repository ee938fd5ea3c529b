//! Unit vectors in a byte for each number.

/// The largest value of a byte.
const STEPS: f32 = 127.0;
/// What a number of a query is multiplied by.
const QUERY_STEPS: f32 = 32_767.0;

/// Vectors, each as whole steps of its own size: a cosine between two unit vectors
/// of 384 numbers moves by some 0.0005.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Vectors {
    pub(crate) width: usize,
    /// What a step of each vector is.
    pub(crate) scales: Vec<f32>,
    /// Signed bytes, vector by vector.
    pub(crate) steps: Vec<u8>,
}

impl Vectors {
    pub(crate) fn new(width: usize) -> Vectors {
        Vectors {
            width,
            ..Vectors::default()
        }
    }

    pub(crate) fn push(&mut self, vector: &[f32]) {
        let largest = vector.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = largest.max(f32::MIN_POSITIVE) / STEPS;
        self.scales.push(scale);
        let steps = vector.iter().map(|x| (x / scale).round() as i8);
        self.steps.extend(steps.map(i8::cast_unsigned));
    }

    /// The cosine of each with the unit vector `query`.
    pub(crate) fn cosines(&self, query: &[f32]) -> Vec<f32> {
        let query: Vec<i16> = query
            .iter()
            .map(|x| (x * QUERY_STEPS).round() as i16)
            .collect();
        let vectors = self.steps.chunks_exact(self.width.max(1));
        vectors
            .zip(&self.scales)
            .map(|(steps, scale)| dot(&query, steps) as f32 * scale / QUERY_STEPS)
            .collect()
    }
}

/// In whole numbers, which the compiler takes eight at a time on any x86-64. It stays
/// below 2^31: a unit vector's steps are at most 127 * sqrt(width) long.
fn dot(query: &[i16], steps: &[u8]) -> i32 {
    let pairs = query.iter().zip(steps);
    pairs
        .map(|(a, b)| i32::from(*a) * i32::from(b.cast_signed()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any unit vector of 384 numbers.
    fn unit(seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut vector: Vec<f32> = (0..384)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
            })
            .collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }

    #[test]
    fn cosines_hardly_move() {
        let rows: Vec<Vec<f32>> = (1..200).map(unit).collect();
        let mut vectors = Vectors::new(384);
        rows.iter().for_each(|row| vectors.push(row));
        for (query, row) in rows.iter().enumerate().take(20) {
            let found = vectors.cosines(row);
            for (other, cosine) in rows.iter().zip(&found) {
                let exact: f32 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                assert!((exact - cosine).abs() < 0.002, "{exact} {cosine}");
            }
            assert!(found[query] > 0.999);
        }
    }

    #[test]
    fn the_axes_and_nothing_are_vectors_too() {
        let mut vectors = Vectors::new(2);
        vectors.push(&[0.0, -1.0]);
        vectors.push(&[0.0, 0.0]);
        assert_eq!(vectors.cosines(&[0.0, 1.0]), [-1.0, 0.0]);
        assert!(Vectors::default().cosines(&[]).is_empty());
    }
}
