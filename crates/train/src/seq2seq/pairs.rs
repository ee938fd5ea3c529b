//! What is learned from: sources with what their authors say of them, or with
//! what a teacher explained.

use std::collections::{HashMap, HashSet};
use std::io::BufRead as _;
use std::path::Path;

use binscribe_model::text::first_sentences;
use serde::Deserialize;

use super::recipe::PairRecipe;
use crate::dataset::row_files;
use crate::{Error, Result, Split};

/// A function of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) source: String,
}

/// A function with a text about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) function: Function,
    pub(super) text: String,
}

/// Everything that a run reads.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// The functions of the training packages, each body once.
    pub(super) functions: Vec<Function>,
    /// Those with a text.
    pub(super) training: Vec<Pair>,
    /// Pairs of the validation packages.
    pub(super) validation: Vec<Pair>,
    /// Pairs of the file that were left out: of test packages, or twice there.
    pub(super) left_out: usize,
}

/// A definition of some row.
struct Definition {
    function: Function,
    /// None for test packages.
    split: Option<Split>,
    comment: Option<String>,
}

impl Pairs {
    /// Reads the rows in `corpus`. The texts are the comments in them, or the
    /// answers in the chat file `explained`.
    pub(super) fn load(
        corpus: &Path,
        explained: Option<&Path>,
        recipe: &PairRecipe,
    ) -> Result<Pairs> {
        let definitions = definitions(corpus)?;
        let mut pairs = Pairs::default();
        for definition in &definitions {
            if definition.split == Some(Split::Train) {
                pairs.functions.push(definition.function.clone());
            }
        }
        let mut documented = Pairs::default();
        for definition in &definitions {
            let Some(comment) = &definition.comment else {
                continue;
            };
            let text = first_sentences(comment, recipe.comment_characters);
            if text.split_whitespace().count() >= recipe.min_words {
                documented.add(&definition.function, text, definition.split);
            }
        }
        match explained {
            None => {
                pairs.training = documented.training;
                pairs.validation = documented.validation;
            }
            Some(path) => {
                pairs.read_chat(path, &definitions)?;
                if pairs.validation.is_empty() {
                    pairs.validation = documented.validation;
                }
            }
        }
        if pairs.training.is_empty() {
            return Err(Error::Corpus(match explained {
                None => "no function of a training package has a comment".to_owned(),
                Some(path) => format!("{} has no pair to learn from", path.display()),
            }));
        }
        Ok(pairs)
    }

    fn add(&mut self, function: &Function, text: String, split: Option<Split>) {
        let pair = Pair {
            function: function.clone(),
            text,
        };
        match split {
            Some(Split::Train) => self.training.push(pair),
            Some(Split::Validation) => self.validation.push(pair),
            None => {}
        }
    }

    /// Reads `{"messages": [...]}` lines, as `corpus export --chat` writes
    /// them. A source of a validation or test package goes where its package
    /// goes; one that no row has is learned from.
    fn read_chat(&mut self, path: &Path, definitions: &[Definition]) -> Result<()> {
        let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
        let known: HashMap<String, &Definition> = definitions
            .iter()
            .map(|definition| (squeezed(&definition.function.source), definition))
            .collect();
        let mut seen = HashSet::new();
        for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| Error::io(path, error))?;
            if line.trim().is_empty() {
                continue;
            }
            let (source, text) = parse_chat(&line).ok_or_else(|| Error::Pairs {
                path: path.to_owned(),
                line: number + 1,
            })?;
            let key = squeezed(&source);
            let definition = known.get(&key).copied();
            let split = definition.map_or(Some(Split::Train), |d| d.split);
            if split.is_none() || !seen.insert(key) {
                self.left_out += 1;
                continue;
            }
            let function = definition.map_or_else(
                || Function {
                    name: String::new(),
                    source,
                },
                |d| d.function.clone(),
            );
            self.add(&function, text, split);
        }
        Ok(())
    }
}

/// The definitions of all rows, each body once, in the order of the files. A
/// body that validation or test packages have is theirs alone.
fn definitions(corpus: &Path) -> Result<Vec<Definition>> {
    let mut definitions: Vec<Definition> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for file in row_files(corpus)? {
        for row in binscribe_corpus::read_rows(&file)? {
            if row.source.trim().is_empty() {
                continue;
            }
            let split = match row.split.as_str() {
                "train" => Some(Split::Train),
                "validation" => Some(Split::Validation),
                _ => None,
            };
            let comment = row.comment.filter(|comment| !comment.trim().is_empty());
            let place = *places.entry(row.source_hash).or_insert_with(|| {
                definitions.push(Definition {
                    function: Function {
                        name: row.name,
                        source: row.source,
                    },
                    split,
                    comment: None,
                });
                definitions.len() - 1
            });
            let definition = &mut definitions[place];
            definition.split = match (definition.split, split) {
                (None, _) | (_, None) => None,
                (Some(Split::Validation), _) | (_, Some(Split::Validation)) => {
                    Some(Split::Validation)
                }
                _ => Some(Split::Train),
            };
            if definition.comment.is_none() {
                definition.comment = comment;
            }
        }
    }
    Ok(definitions)
}

/// A source without white space, to find it again.
fn squeezed(source: &str) -> String {
    source.split_whitespace().collect()
}

/// The source and the answer of one line of chat. The source stands in a
/// fenced block of the question, or is all of it.
fn parse_chat(line: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Chat {
        messages: Vec<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        role: String,
        content: String,
    }
    let chat: Chat = serde_json::from_str(line).ok()?;
    let of = |role: &str| {
        let message = chat.messages.iter().rev().find(|m| m.role == role)?;
        Some(message.content.trim()).filter(|content| !content.is_empty())
    };
    let (question, answer) = (of("user")?, of("assistant")?);
    let source = fenced(question).unwrap_or(question);
    Some((source.to_owned(), answer.to_owned()))
}

/// The first fenced block of a text: it ends with as many backquotes as it
/// starts with.
fn fenced(text: &str) -> Option<&str> {
    let start = text
        .match_indices("```")
        .map(|(at, _)| at)
        .find(|&at| at == 0 || text[..at].ends_with('\n'))?;
    let ticks = text[start..].len() - text[start..].trim_start_matches('`').len();
    let fence = &text[start..start + ticks];
    let body = start + text[start..].find('\n')? + 1;
    let end = text[body..].find(&format!("\n{fence}"))?;
    Some(&text[body..body + end])
}

#[cfg(test)]
mod tests {
    use binscribe_corpus::Row;

    use super::*;

    const RECIPE: PairRecipe = PairRecipe {
        comment_characters: 80,
        min_words: 3,
    };

    fn row(split: &str, name: &str, comment: Option<&str>) -> Row {
        Row {
            split: split.to_owned(),
            name: name.to_owned(),
            source: format!("int {name}(void)\n{{ return 1; }}"),
            source_hash: name.to_owned(),
            comment: comment.map(str::to_owned),
            ..Row::default()
        }
    }

    fn corpus() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            row("train", "a", Some("Counts the open files. More.")),
            row("train", "a", Some("Another build of it.")),
            row("train", "b", Some("Short.")),
            row("train", "c", None),
            row("train", "both", Some("Stands in two packages alike.")),
            row("test", "both", None),
            row("validation", "v", Some("Validates what was typed.")),
            row("test", "t", Some("Must not be seen by anyone.")),
        ];
        binscribe_corpus::write_rows(&folder.path().join("x.parquet"), &rows).unwrap();
        folder
    }

    #[test]
    fn comments_of_each_body_become_pairs_once_and_tests_stay_away() {
        let pairs = Pairs::load(corpus().path(), None, &RECIPE).unwrap();
        let texts =
            |pairs: &[Pair]| -> Vec<String> { pairs.iter().map(|p| p.text.clone()).collect() };
        assert_eq!(texts(&pairs.training), ["Counts the open files"]);
        assert_eq!(texts(&pairs.validation), ["Validates what was typed"]);
        let names: Vec<&str> = pairs.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn explanations_go_where_their_package_goes() {
        let folder = corpus();
        let path = folder.path().join("pairs.jsonl");
        let line = |source: &str, answer: &str| {
            let question = format!("Explain.\n\n````c\n{source}\n````\nBriefly.");
            serde_json::json!({"messages": [
                {"role": "system", "content": "You explain."},
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]})
            .to_string()
        };
        let source = |name: &str| format!("int {name}(void)\n{{  return 1; }}");
        let lines = [
            line(&source("c"), "Returns one."),
            line(&source("c"), "Returns one again."),
            line(&source("v"), "Validates."),
            line(&source("t"), "A test."),
            line("int new(void) { /* ``` */ }", "Nobody's."),
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let pairs = Pairs::load(folder.path(), Some(&path), &RECIPE).unwrap();
        let of = |pairs: &[Pair]| -> Vec<(String, String)> {
            let pair = |p: &Pair| (p.function.name.clone(), p.text.clone());
            pairs.iter().map(pair).collect()
        };
        let expected = [("c", "Returns one."), ("", "Nobody's.")];
        assert_eq!(
            of(&pairs.training),
            expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(of(&pairs.validation)[0].1, "Validates.");
        assert_eq!(pairs.left_out, 2);

        std::fs::write(&path, "{\"messages\": []}").unwrap();
        let said = Pairs::load(folder.path(), Some(&path), &RECIPE).unwrap_err();
        assert!(said.to_string().contains("line 1"), "{said}");
    }
}
