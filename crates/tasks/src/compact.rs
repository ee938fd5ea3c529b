//! Many vectors of a model in little room.

use nalgebra::DMatrix;

use crate::matrix::Matrix;

/// How much of the vectors' squared length, in the mean, may lie off the axes
/// that are kept.
const LEFT_OUT: f64 = 1e-4;
/// Coordinates of unit vectors are from -1 to 1, and so many steps of it.
const STEPS: f32 = 127.0;

/// Unit vectors by their coordinates on the axes along which they differ most
/// (principal components about zero), each rounded to one byte.
///
/// A model's vectors have fewer dimensions than numbers: 176 axes hold all but a
/// ten thousandth of what the 384 numbers of the default model's do. On axes most
/// coordinates are small, so that the bytes compress to a quarter. Cosines move by
/// some 0.002.
#[derive(Debug, Clone, PartialEq)]
pub struct Compact {
    /// Orthogonal unit vectors in rows, the longest first; `None` where vectors
    /// are kept as they are.
    axes: Option<Matrix>,
    /// In steps of 1/127 on axes.
    coordinates: Matrix,
    width: usize,
}

impl Compact {
    /// The vectors (a row each) as they are, on no axes of their own.
    pub fn plain(vectors: Matrix) -> Compact {
        Compact {
            axes: None,
            width: vectors.width(),
            coordinates: vectors,
        }
    }

    /// Finds the axes of `vectors` and rounds each vector to them.
    pub fn of(vectors: &Matrix) -> Compact {
        let axes = principal_axes(vectors);
        let exact = onto(&axes, vectors);
        let rounded = exact.values().iter().map(|x| coordinate(step(*x)));
        Compact {
            coordinates: Matrix::from_values(rounded.collect(), axes.len()),
            axes: Some(axes),
            width: vectors.width(),
        }
    }

    /// What [`Compact::axes`] and [`Compact::bytes`] gave. `None` where these are
    /// not of one set: `axes` are rows of `width` numbers, and `bytes` hold one for
    /// each axis, vector by vector.
    pub(crate) fn from_parts(axes: Vec<f32>, width: usize, bytes: &[u8]) -> Option<Compact> {
        if width == 0 && axes.is_empty() && bytes.is_empty() {
            return Some(Compact::plain(Matrix::new(0)));
        }
        let count = axes.len().checked_div(width)?;
        if !axes.len().is_multiple_of(width) || !axes.iter().all(|x| x.is_finite()) {
            return None;
        }
        if bytes.len().checked_rem(count).unwrap_or(bytes.len()) != 0 {
            return None;
        }
        let coordinates = bytes.iter().map(|b| coordinate(b.cast_signed()));
        Some(Compact {
            coordinates: Matrix::from_values(coordinates.collect(), count),
            axes: Some(Matrix::from_values(axes, width)),
            width,
        })
    }

    /// The axes, a row each.
    pub(crate) fn axes(&self) -> Option<&Matrix> {
        self.axes.as_ref()
    }

    /// The coordinates of all vectors, a byte for each axis.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let coordinates = self.coordinates.values().iter();
        coordinates.map(|x| step(*x).cast_unsigned()).collect()
    }

    /// The number of vectors.
    pub fn len(&self) -> usize {
        self.coordinates.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }

    /// The numbers of a vector of the model.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vectors as the model gives them, but for what rounding took.
    pub fn vectors(&self) -> Matrix {
        let Some(axes) = &self.axes else {
            return self.coordinates.clone();
        };
        let mut vectors = Matrix::new(self.width);
        for row in 0..self.len() {
            let mut vector = vec![0.0f32; self.width];
            for (number, coordinate) in self.coordinates.row(row).iter().enumerate() {
                let axis = axes.row(number).iter();
                vector
                    .iter_mut()
                    .zip(axis)
                    .for_each(|(v, a)| *v += coordinate * a);
            }
            vectors.push(&vector);
        }
        vectors
    }

    /// What `visit` makes of the cosines of each of `queries` (the model's unit
    /// vectors, a row each) with all vectors, as [`Matrix::against`].
    ///
    /// # Panics
    ///
    /// When the widths differ and neither is without rows.
    pub fn against<T: Send>(
        &self,
        queries: &Matrix,
        visit: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Vec<T> {
        match &self.axes {
            Some(axes) if !self.is_empty() => onto(axes, queries).against(&self.coordinates, visit),
            _ => queries.against(&self.coordinates, visit),
        }
    }

    /// The `k` nearest vectors of each of `queries`, best first, with the cosines.
    pub fn nearest(&self, queries: &Matrix, k: usize) -> Vec<Vec<(usize, f32)>> {
        self.against(queries, |_, cosines| crate::matrix::top(cosines, k))
    }
}

fn step(coordinate: f32) -> i8 {
    // From -127 to 127 for whatever is no longer than a unit vector.
    (coordinate * STEPS).round() as i8
}

fn coordinate(step: i8) -> f32 {
    f32::from(step) / STEPS
}

/// The coordinates of `vectors` on `axes`.
fn onto(axes: &Matrix, vectors: &Matrix) -> Matrix {
    let rows = vectors.against(axes, |_, products| products.to_vec());
    Matrix::from_values(rows.concat(), axes.len())
}

/// The eigenvectors of the vectors' second moments with the largest eigenvalues:
/// as few as leave [`LEFT_OUT`] out.
fn principal_axes(vectors: &Matrix) -> Matrix {
    let width = vectors.width();
    if vectors.is_empty() {
        return Matrix::new(width);
    }
    let mut moments = DMatrix::<f64>::zeros(width, width);
    // A block at a time, as a product of matrices.
    const BLOCK: usize = 1024;
    for start in (0..vectors.len()).step_by(BLOCK) {
        let rows = BLOCK.min(vectors.len() - start);
        let block = DMatrix::from_fn(width, rows, |number, row| {
            f64::from(vectors.row(start + row)[number])
        });
        moments.gemm(1.0, &block, &block.transpose(), 1.0);
    }
    let eigen = moments.symmetric_eigen();
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let mut left: f64 = eigen.eigenvalues.iter().map(|value| value.max(0.0)).sum();
    let enough = left * LEFT_OUT;
    let mut axes = Matrix::new(width);
    for index in order {
        if left <= enough {
            break;
        }
        left -= eigen.eigenvalues[index].max(0.0);
        let axis = eigen.eigenvectors.column(index);
        axes.push(&axis.iter().map(|x| *x as f32).collect::<Vec<_>>());
    }
    axes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{dot, normalise};

    /// 400 vectors of 24 numbers in 6 dimensions.
    fn vectors() -> Matrix {
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let directions: Vec<Vec<f32>> = (0..6)
            .map(|_| (0..24).map(|_| random()).collect())
            .collect();
        let mut vectors = Matrix::new(24);
        for _ in 0..400 {
            let mut vector = vec![0.0f32; 24];
            for direction in &directions {
                let share = random();
                for (v, d) in vector.iter_mut().zip(direction) {
                    *v += share * d;
                }
            }
            normalise(&mut vector);
            vectors.push(&vector);
        }
        vectors
    }

    #[test]
    fn cosines_are_kept_on_as_many_axes_as_there_are_dimensions() {
        let vectors = vectors();
        let compact = Compact::of(&vectors);
        assert_eq!((compact.len(), compact.width()), (400, 24));
        let axes = compact.axes().expect("axes");
        assert_eq!(axes.len(), 6);
        for a in 0..6 {
            for b in 0..=a {
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!((dot(axes.row(a), axes.row(b)) - expected).abs() < 1e-5);
            }
        }
        let before = vectors.against(&vectors, |_, cosines| cosines.to_vec());
        let after = compact.against(&vectors, |_, cosines| cosines.to_vec());
        let room = 6f32.sqrt() * 0.5 / STEPS;
        for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
            assert!((before - after).abs() <= room, "{before} {after}");
        }
        let nearest = compact.nearest(&vectors, 1);
        let right = nearest.iter().enumerate().filter(|(i, n)| n[0].0 == *i);
        assert!(right.count() > 390);
        let back = compact.vectors();
        for row in 0..vectors.len() {
            assert!(dot(back.row(row), vectors.row(row)) > 0.99);
        }
    }

    #[test]
    fn parts_make_the_same_again_or_nothing() {
        let compact = Compact::of(&vectors());
        let axes = compact.axes().expect("axes");
        let (numbers, bytes) = (axes.values().to_vec(), compact.bytes());
        let again = Compact::from_parts(numbers.clone(), 24, &bytes);
        assert_eq!(again, Some(compact));
        assert_eq!(Compact::from_parts(numbers.clone(), 24, &bytes[1..]), None);
        assert_eq!(Compact::from_parts(numbers[1..].to_vec(), 24, &bytes), None);
        assert_eq!(Compact::from_parts(numbers, 0, &bytes), None);
        assert_eq!(Compact::from_parts(vec![f32::NAN; 24], 24, &bytes), None);
    }

    #[test]
    fn nothing_has_no_axes() {
        let none = Compact::of(&Matrix::new(3));
        assert!(none.is_empty());
        let queries = Matrix::from_rows(&[[1.0f32, 0.0, 0.0]]);
        assert_eq!(none.nearest(&queries, 2), [vec![]]);
        let plain = Compact::plain(queries.clone());
        assert_eq!(plain.nearest(&queries, 2), [vec![(0, 1.0)]]);
        assert_eq!(plain.vectors(), queries);
        let nothing = Compact::of(&Matrix::new(0));
        assert!(nothing.is_empty());
        assert!(Compact::from_parts(Vec::new(), 0, &[]).is_some_and(|c| c.is_empty()));
        assert!(Compact::from_parts(Vec::new(), 3, &[]).is_some_and(|c| c.is_empty()));
    }
}
