//! Zero-shot classification (CLAP, Wang et al., ISSTA 2024, Figure 5): each label
//! put into a template is a prompt, and a function has the label whose prompt is
//! nearest.

use crate::matrix::{self, Matrix};

/// Where a template takes the label.
pub const PLACE: &str = "{}";

/// `Prompts/crypto.txt` of CLAP's release.
pub const CRYPTO: &str = "This function is a function implements {} cryptography algorithm.";
/// `Prompts/protocol.txt` of CLAP's release.
pub const PROTOCOL: &str = "This function is a function implements protocol {}.";
/// That of its case studies, for anything else.
pub const GENERAL: &str = "This is a function related to {}";

/// The temperature of CLAP's softmax.
pub const TEMPERATURE: f32 = 0.07;

/// Every template filled with every label, the templates of one label together.
pub fn prompts<S: AsRef<str>>(templates: &[S], labels: &[String]) -> Vec<String> {
    labels
        .iter()
        .flat_map(|label| templates.iter().map(|t| t.as_ref().replace(PLACE, label)))
        .collect()
}

/// A unit vector for each label: the mean of those of its prompts, as CLIP
/// averages them (Radford et al., ICML 2021, section 3.1.4).
pub fn label_vectors(prompts: &Matrix, templates: usize) -> Matrix {
    let templates = templates.max(1);
    let mut labels = Matrix::new(prompts.width());
    for label in 0..prompts.len() / templates {
        let mut mean = vec![0.0; prompts.width()];
        for prompt in label * templates..(label + 1) * templates {
            let row = prompts.row(prompt);
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        matrix::normalise(&mut mean);
        labels.push(&mean);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_and_averaged() {
        let labels = ["AES".to_owned(), "MD5".to_owned()];
        let all = prompts(&[GENERAL, "{} block"], &labels);
        assert_eq!(all[0], "This is a function related to AES");
        assert_eq!(all[3], "MD5 block");
        let vectors = Matrix::from_rows(&[[1.0f32, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]);
        let labels = label_vectors(&vectors, 2);
        assert!((labels.row(0)[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(labels.row(1), [0.0, 1.0]);
    }
}
