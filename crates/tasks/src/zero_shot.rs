//! Zero-shot classification (CLAP, Wang et al., ISSTA 2024, Figure 5): each label
//! put into a template is a prompt, and a function has the label whose prompt is
//! nearest.

use std::path::Path;

use crate::error::Error;
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

/// The most labels of one list.
const MOST_LABELS: usize = 1000;

/// A label with what else it is called and how it is described: each a prompt,
/// and each a name that a listing may mention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What answers are given as.
    pub name: String,
    /// What it stands for, which templates take.
    pub words: String,
    /// The name, the words, and what else is said of it; each once.
    pub texts: Vec<String>,
}

impl Label {
    /// From one line of a list: the label, what it stands for, and what else it
    /// is called or how it is described, with `|` between them. The label is
    /// enough.
    ///
    /// ```
    /// let label = binscribe_tasks::zero_shot::Label::new("dh | Diffie-Hellman | DHM");
    /// assert_eq!((label.name.as_str(), label.words.as_str()), ("dh", "Diffie-Hellman"));
    /// assert_eq!(label.texts, ["dh", "Diffie-Hellman", "DHM"]);
    /// ```
    pub fn new(line: &str) -> Label {
        let items = line.split('|').map(str::trim);
        let items: Vec<&str> = items.filter(|item| !item.is_empty()).collect();
        let mut texts: Vec<String> = Vec::new();
        for &text in &items {
            // The last spelling counts: `AES` of `aes | AES`.
            match texts.iter_mut().find(|t| t.eq_ignore_ascii_case(text)) {
                Some(known) => text.clone_into(known),
                None => texts.push(text.to_owned()),
            }
        }
        let name = items.first().copied().unwrap_or_default();
        Label {
            name: name.to_owned(),
            words: items.get(1).copied().unwrap_or(name).to_owned(),
            texts,
        }
    }

    /// The labels of a list, a line each; lines that begin with `#` are none, and
    /// of two with one name the first counts.
    ///
    /// # Errors
    ///
    /// Where there are none, or more than 1,000; `path` is named then.
    pub fn parse(text: &str, path: &Path) -> Result<Vec<Label>, Error> {
        let wrong = |line: usize, reason: String| Error::LabelList {
            path: path.to_owned(),
            line,
            reason,
        };
        let mut labels: Vec<Label> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let label = Label::new(line);
            let known = labels.iter().any(|known| known.name == label.name);
            if known || label.name.is_empty() || label.name.starts_with('#') {
                continue;
            }
            if labels.len() == MOST_LABELS {
                return Err(wrong(number + 1, format!("more than {MOST_LABELS} labels")));
            }
            labels.push(label);
        }
        if labels.is_empty() {
            return Err(wrong(1, "no label".to_owned()));
        }
        Ok(labels)
    }

    /// Algorithms, for `classify --labels crypto`.
    pub fn crypto() -> Vec<Label> {
        built_in(include_str!("crypto.labels"))
    }

    /// Protocols, for `classify --labels protocol`.
    pub fn protocol() -> Vec<Label> {
        built_in(include_str!("protocol.labels"))
    }

    /// That of `labels` which stands for `words`, else one of that name alone.
    pub fn of_words(labels: &[Label], words: &str) -> Label {
        let known = labels.iter().find(|label| label.words == words);
        known.cloned().unwrap_or_else(|| Label::new(words))
    }
}

/// A list that is part of the program; a test reads it.
fn built_in(list: &str) -> Vec<Label> {
    Label::parse(list, Path::new("built-in labels")).unwrap_or_default()
}

/// The prompts of each label: every template filled with its words, or, without
/// templates, all that is said of it; of one that has nothing but its name, the
/// `usual` template.
pub fn label_prompts<S: AsRef<str>>(
    labels: &[Label],
    templates: &[S],
    usual: &str,
) -> Vec<Vec<String>> {
    let of = |label: &Label| -> Vec<String> {
        match templates {
            [] if label.texts.len() > 1 => label.texts.clone(),
            [] => vec![usual.replace(PLACE, &label.words)],
            _ => (templates.iter())
                .map(|template| template.as_ref().replace(PLACE, &label.words))
                .collect(),
        }
    };
    labels.iter().map(of).collect()
}

/// A unit vector for each label: the mean of those of its prompts, as CLIP
/// averages them (Radford et al., ICML 2021, section 3.1.4). `prompts` has the
/// vectors of the first label's `counts[0]` prompts, then the next one's.
pub fn label_vectors(prompts: &Matrix, counts: &[usize]) -> Matrix {
    let mut labels = Matrix::new(prompts.width());
    let mut next = 0;
    for &count in counts {
        let mut mean = vec![0.0; prompts.width()];
        for prompt in next..next + count {
            let row = prompts.row(prompt);
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        next += count;
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
        let labels = ["AES", "MD5"].map(Label::new);
        let all = label_prompts(&labels, &[GENERAL, "{} block"], GENERAL).concat();
        assert_eq!(all[0], "This is a function related to AES");
        assert_eq!(all[3], "MD5 block");
        let vectors = Matrix::from_rows(&[[1.0f32, 0.0], [0.0, 1.0], [0.0, 1.0]]);
        let labels = label_vectors(&vectors, &[2, 1]);
        assert!((labels.row(0)[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(labels.row(1), [0.0, 1.0]);
    }

    #[test]
    fn labels_with_and_without_descriptions() {
        let path = Path::new("mine.txt");
        let list = "# mine\naes | AES | Rijndael\n\nheap sort\n";
        let labels = Label::parse(list, path).expect("labels");
        assert_eq!(
            (labels[0].name.as_str(), labels[0].words.as_str()),
            ("aes", "AES")
        );
        assert_eq!(labels[0].texts, ["AES", "Rijndael"]);
        assert_eq!(labels[1], Label::new("heap sort"));
        let none: [&str; 0] = [];
        let prompts = label_prompts(&labels, &none, GENERAL);
        assert_eq!(prompts[0], ["AES", "Rijndael"]);
        assert_eq!(prompts[1], ["This is a function related to heap sort"]);
        assert_eq!(
            label_prompts(&labels, &["{} loop"], GENERAL)[0],
            ["AES loop"]
        );

        assert_eq!(
            Label::parse("a | b\nc\na | d", path).expect("labels").len(),
            2
        );
        let many: String = (0..=MOST_LABELS)
            .map(|label| format!("{label}\n"))
            .collect();
        for (list, reason) in [("# none", "no label"), (many.as_str(), "mine.txt:1001")] {
            let said = Label::parse(list, path).expect_err(reason).to_string();
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn the_lists_of_the_program_can_be_read() {
        let (crypto, protocol) = (Label::crypto(), Label::protocol());
        assert!(crypto.len() > 20 && protocol.len() > 20);
        assert_eq!(Label::of_words(&crypto, "elliptic curve").name, "ecc");
        assert_eq!(Label::of_words(&protocol, "GOPHER").texts, ["GOPHER"]);
    }
}
