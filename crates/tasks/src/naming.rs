//! A name for a function from the known functions nearest to it.

use std::collections::HashMap;

use crate::reference::Reference;
use crate::text;

/// How many known functions are looked at for a name.
pub const NEIGHBOURS: usize = 16;

/// A name that may be the function's, with what speaks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The name.
    pub name: String,
    /// The cosine of the nearest known function of that name.
    pub score: f32,
    /// That cosine less the best one of a name that says something else:
    /// negative for all but the first.
    pub margin: f32,
    /// The share of the close neighbours that have this name or one that agrees.
    pub support: f32,
    /// The known functions of that name: index in the reference set, and cosine;
    /// best first.
    pub evidence: Vec<(usize, f32)>,
}

impl Candidate {
    /// What the features of a name are called in a calibration.
    pub const FEATURES: [&'static str; 4] = ["score", "margin", "support", "log_instructions"];

    /// The features from which the confidence in this name is computed.
    pub fn features(&self, instructions: usize) -> Vec<f64> {
        vec![
            f64::from(self.score),
            f64::from(self.margin.clamp(-0.3, 0.3)),
            f64::from(self.support),
            (instructions.max(1) as f64).ln().min(6.0),
        ]
    }
}

/// Sums up the neighbours of one function (indices of `reference` with their
/// cosines, best first) by name; best first.
pub fn candidates(reference: &Reference, neighbours: &[(usize, f32)]) -> Vec<Candidate> {
    // Neighbours further than this from the nearest say nothing about it.
    const CLOSE: f32 = 0.08;
    let Some(&(_, best)) = neighbours.first() else {
        return Vec::new();
    };
    let name_of = |index: usize| reference.entries()[index].name.as_str();
    let mut order: Vec<&str> = Vec::new();
    let mut by_name: HashMap<&str, Vec<(usize, f32)>> = HashMap::new();
    for &(index, score) in neighbours {
        let name = name_of(index);
        let evidence = by_name.entry(name).or_default();
        if evidence.is_empty() {
            order.push(name);
        }
        evidence.push((index, score));
    }
    let close: Vec<&str> = neighbours
        .iter()
        .filter(|(_, score)| *score >= best - CLOSE)
        .map(|&(index, _)| name_of(index))
        .collect();
    order
        .iter()
        .map(|name| {
            let evidence = by_name[name].clone();
            let score = evidence[0].1;
            let other = neighbours
                .iter()
                .filter(|(index, _)| !text::names_agree(name, name_of(*index)))
                .map(|(_, score)| *score)
                .next();
            let agreeing = close
                .iter()
                .filter(|other| text::names_agree(name, other))
                .count();
            Candidate {
                name: (*name).to_owned(),
                score,
                // With all neighbours of one name there is no rival in sight;
                // the last of them bounds what a rival could have.
                margin: score - other.unwrap_or(neighbours[neighbours.len() - 1].1),
                support: agreeing as f32 / close.len().max(1) as f32,
                evidence,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::sample::Sample;

    #[test]
    fn neighbours_of_one_name_speak_together() {
        let names = ["xmalloc", "xrealloc", "xmalloc", "quotearg"];
        let samples: Vec<Sample> = names
            .iter()
            .enumerate()
            .map(|(i, name)| Sample {
                name: (*name).to_owned(),
                source_hash: i.to_string(),
                line: i as u32,
                ..Sample::default()
            })
            .collect();
        let vectors = Matrix::from_rows(&[[1.0f32, 0.0]; 4]);
        let reference = Reference::build(&samples, &vectors, "m", 10).expect("a set");
        let found = candidates(&reference, &[(0, 0.9), (1, 0.88), (2, 0.87), (3, 0.5)]);
        assert_eq!(found[0].name, "xmalloc");
        assert_eq!(found[0].evidence, [(0, 0.9), (2, 0.87)]);
        assert!((found[0].margin - 0.02).abs() < 1e-6);
        assert!((found[0].support - 2.0 / 3.0).abs() < 1e-6);
        assert!((found[1].margin + 0.02).abs() < 1e-6);
        assert!(candidates(&reference, &[]).is_empty());
    }
}
