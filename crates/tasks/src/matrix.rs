//! Vectors in rows, and all their dot products at once.

use rayon::prelude::*;

/// Rows of equal length. The rows are unit vectors wherever this crate compares
/// them, so that a dot product is a cosine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matrix {
    values: Vec<f32>,
    width: usize,
}

impl Matrix {
    /// An empty matrix whose rows will have `width` numbers.
    pub fn new(width: usize) -> Matrix {
        Matrix {
            values: Vec::new(),
            width,
        }
    }

    /// Copies `rows`; all must be of the length of the first.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    pub fn from_rows<R: AsRef<[f32]>>(rows: &[R]) -> Matrix {
        let width = rows.first().map_or(0, |row| row.as_ref().len());
        let mut matrix = Matrix::new(width);
        for row in rows {
            matrix.push(row.as_ref());
        }
        matrix
    }

    /// From all numbers, row by row.
    ///
    /// # Panics
    ///
    /// When the last row would be shorter than `width`.
    pub(crate) fn from_values(values: Vec<f32>, width: usize) -> Matrix {
        let rest = values.len().checked_rem(width).unwrap_or(values.len());
        assert_eq!(rest, 0, "a row of another width");
        Matrix { values, width }
    }

    /// Appends a row.
    ///
    /// # Panics
    ///
    /// When its length is not the matrix's width.
    pub fn push(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.width, "a row of another width");
        self.values.extend_from_slice(row);
    }

    /// All numbers, row by row.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The length of each row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// The rows `indices`, in that order.
    pub fn select(&self, indices: &[usize]) -> Matrix {
        let mut selected = Matrix::new(self.width);
        selected.values.reserve(indices.len() * self.width);
        for &index in indices {
            selected.push(self.row(index));
        }
        selected
    }

    /// For each row of `self`, `visit(row index, its dot products with every row
    /// of `others`)`, in parallel; the results in order.
    ///
    /// # Panics
    ///
    /// When the widths differ.
    pub fn against<T: Send>(
        &self,
        others: &Matrix,
        visit: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Vec<T> {
        // As many rows at once as keep a block of products within the caches of
        // the second level for ten thousand others.
        const BLOCK: usize = 32;
        let rows = self.len();
        let columns = others.len();
        if rows == 0 {
            return Vec::new();
        }
        if columns == 0 {
            return (0..rows).map(|row| visit(row, &[])).collect();
        }
        assert_eq!(self.width, others.width, "vectors of different widths");
        (0..rows.div_ceil(BLOCK))
            .into_par_iter()
            .flat_map_iter(|block| {
                let start = block * BLOCK;
                let count = BLOCK.min(rows - start);
                let mut products = vec![0.0f32; count * columns];
                let width = self.width;
                // SAFETY: the three pointers span count*width, columns*width and
                // count*columns numbers, which the strides stay within.
                #[allow(unsafe_code)]
                unsafe {
                    matrixmultiply::sgemm(
                        count,
                        width,
                        columns,
                        1.0,
                        self.values[start * width..].as_ptr(),
                        width as isize,
                        1,
                        others.values.as_ptr(),
                        1,
                        width as isize,
                        0.0,
                        products.as_mut_ptr(),
                        columns as isize,
                        1,
                    );
                }
                let visit = &visit;
                (0..count)
                    .map(move |row| visit(start + row, &products[row * columns..][..columns]))
                    .collect::<Vec<T>>()
            })
            .collect()
    }

    /// The `k` rows of `others` nearest to each row, best first; ties go to the
    /// lower index.
    pub fn nearest(&self, others: &Matrix, k: usize) -> Vec<Vec<(usize, f32)>> {
        self.against(others, |_, scores| top(scores, k))
    }
}

/// The `k` highest of `scores` with their indices, best first; ties go to the
/// lower index, and what is not a number goes last.
pub fn top(scores: &[f32], k: usize) -> Vec<(usize, f32)> {
    let key = |score: f32| {
        if score.is_nan() {
            f32::NEG_INFINITY
        } else {
            score
        }
    };
    let order =
        |a: &(usize, f32), b: &(usize, f32)| key(b.1).total_cmp(&key(a.1)).then(a.0.cmp(&b.0));
    if k == 0 {
        return Vec::new();
    }
    let keep = |best: &mut Vec<(usize, f32)>| {
        if best.len() > k {
            best.select_nth_unstable_by(k - 1, order);
            best.truncate(k);
        }
    };
    // Room for all scores, kept by each of ten thousand rows, would be gigabytes.
    let room = k.saturating_mul(2).max(64).min(scores.len());
    let mut best: Vec<(usize, f32)> = Vec::with_capacity(room);
    let mut floor = None;
    for (index, &score) in scores.iter().enumerate() {
        // Of equal ones the first is best.
        if floor.is_some_and(|floor| key(score).total_cmp(&floor).is_le()) {
            continue;
        }
        if best.len() == room {
            keep(&mut best);
            floor = best.get(k - 1).map(|worst| key(worst.1));
        }
        best.push((index, score));
    }
    keep(&mut best);
    best.sort_unstable_by(order);
    best.shrink_to_fit();
    best
}

/// Scales `vector` to length 1; a zero vector stays as it is.
pub fn normalise(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

/// The dot product of two vectors of equal length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_plain_sum() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let make = |n: usize, next: &mut dyn FnMut() -> f32| {
            let rows: Vec<Vec<f32>> = (0..n).map(|_| (0..24).map(|_| next()).collect()).collect();
            Matrix::from_rows(&rows)
        };
        let a = make(67, &mut next);
        let b = make(41, &mut next);
        let products = a.against(&b, |_, row| row.to_vec());
        assert_eq!(products.len(), 67);
        for (i, row) in products.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert!((value - dot(a.row(i), b.row(j))).abs() < 1e-5);
            }
        }
        let nearest = a.nearest(&b, 3);
        assert_eq!(nearest[0].len(), 3);
        assert!(nearest[0][0].1 >= nearest[0][1].1);
    }

    #[test]
    fn nothing_against_nothing() {
        let none = Matrix::default();
        assert!(none.nearest(&none, 3).is_empty());
        let one = Matrix::from_rows(&[[1.0f32, 0.0]]);
        assert_eq!(one.nearest(&Matrix::new(2), 3), vec![vec![]]);
    }

    #[test]
    fn top_orders_and_breaks_ties_by_index() {
        assert_eq!(
            top(&[0.1, 0.9, 0.9, f32::NAN], 3),
            vec![(1, 0.9), (2, 0.9), (0, 0.1)]
        );
        assert!(top(&[0.1], 0).is_empty());
    }

    #[test]
    fn the_best_of_many_keep_no_room_for_all() {
        // Many equal ones, in no order.
        let scores: Vec<f32> = (0..10_000u64)
            .map(|i| (i * 7_919 % 101) as f32 / 101.0)
            .collect();
        let mut all: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        for k in [1, 31, 32, 33, 500, 9_999, 20_000] {
            let best = top(&scores, k);
            assert_eq!(best, all[..k.min(10_000)], "{k}");
            assert!(best.capacity() <= k.min(10_000));
        }
    }
}
