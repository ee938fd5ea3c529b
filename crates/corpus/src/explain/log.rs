use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{At as _, Result};

/// Every answer that a model gave, as it gave it, each on disk before the next
/// question: what was paid for once is not paid for again, whatever ends the
/// process.
#[derive(Debug)]
pub(crate) struct AnswerLog {
    path: PathBuf,
    file: fs::File,
    answers: HashMap<String, Answer>,
    /// Tokens of questions and of answers, over all runs.
    pub(crate) spent: (u64, u64),
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The hash of the prompt. None for tokens that bought no answer.
    pub(crate) prompt: Option<String>,
    /// What the model said, before any cleaning.
    pub(crate) text: String,
    /// Whether it was stopped before its end.
    pub(crate) cut: bool,
    /// Tokens of question and answer.
    pub(crate) tokens: (u64, u64),
}

impl AnswerLog {
    /// Opens the log at `path`, or begins it. A last line that a killed process
    /// left half-written is taken off.
    pub(crate) fn open(path: &Path) -> Result<AnswerLog> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at(parent)?;
        }
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .at(path)?;
        let bytes = fs::read(path).at(path)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).at(path)?;
        }
        let mut log = AnswerLog {
            path: path.to_owned(),
            file,
            answers: HashMap::new(),
            spent: (0, 0),
        };
        for line in bytes[..whole].split(|b| *b == b'\n') {
            if let Ok(answer) = serde_json::from_slice::<Answer>(line) {
                log.take(answer);
            }
        }
        Ok(log)
    }

    /// Writes answers down, all of them or none.
    pub(crate) fn add(&mut self, answers: Vec<Answer>) -> Result<()> {
        let mut lines = Vec::new();
        for answer in &answers {
            // A line of strings and numbers always becomes JSON.
            lines.extend(serde_json::to_vec(answer).unwrap_or_default());
            lines.push(b'\n');
        }
        self.file.write_all(&lines).at(&self.path)?;
        self.file.sync_data().at(&self.path)?;
        for answer in answers {
            self.take(answer);
        }
        Ok(())
    }

    /// What was answered to the prompt with this hash.
    pub(crate) fn get(&self, prompt: &str) -> Option<&Answer> {
        self.answers.get(prompt)
    }

    fn take(&mut self, answer: Answer) {
        self.spent.0 += answer.tokens.0;
        self.spent.1 += answer.tokens.1;
        if let Some(prompt) = &answer.prompt {
            self.answers.insert(prompt.clone(), answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(prompt: Option<&str>, text: &str) -> Answer {
        Answer {
            prompt: prompt.map(str::to_owned),
            text: text.into(),
            cut: false,
            tokens: (10, 5),
        }
    }

    #[test]
    fn a_torn_line_is_taken_off_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers/m.jsonl");
        let mut log = AnswerLog::open(&path).unwrap();
        log.add(vec![answer(Some("a"), "one\nline\u{1b}"), answer(None, "")])
            .unwrap();
        drop(log);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(b"{\"prompt\":\"b\",\"te");
        fs::write(&path, bytes).unwrap();

        let mut log = AnswerLog::open(&path).unwrap();
        assert_eq!(log.get("a"), Some(&answer(Some("a"), "one\nline\u{1b}")));
        assert_eq!(log.get("b"), None);
        assert_eq!(log.spent, (20, 10));
        log.add(vec![answer(Some("b"), "two")]).unwrap();
        drop(log);
        let log = AnswerLog::open(&path).unwrap();
        assert_eq!(log.get("b"), Some(&answer(Some("b"), "two")));
        assert_eq!(log.spent, (30, 15));
    }
}
