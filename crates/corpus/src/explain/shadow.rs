use super::ask::Outcome;
use super::functions::SourceFunction;
use super::log::{Answer, AnswerLog};
use super::prompt::Prompt;
use super::store::{ExplanationStore, Origin};
use super::{Follow, Step};
use crate::error::{Error, Result};

/// A model in this process that says what functions do: CLAP's shadow model
/// (abstract and Figure 2), which explains what its teacher did not.
pub trait Explainer {
    /// The model's name; its explanations have the origin `shadow:<name>`. Two
    /// models that may say different things have different names.
    fn name(&self) -> String;

    /// One explanation for each source.
    fn explain(&mut self, sources: &[&str]) -> Result<Vec<String>>;
}

/// Sources that a model is given at once; after each batch what it said is on
/// disk.
const BATCH: usize = 16;

impl ExplanationStore {
    /// Those of the functions that no teacher has explained.
    pub fn without_teacher(&self, functions: &[SourceFunction]) -> Result<Vec<SourceFunction>> {
        let explained = self.taught()?;
        Ok(functions
            .iter()
            .filter(|f| !explained.contains(&f.source_hash))
            .cloned()
            .collect())
    }

    /// Has a model explain every function that no teacher explained, and that
    /// it has not explained already.
    pub fn explain_rest(
        &self,
        functions: &[SourceFunction],
        model: &mut dyn Explainer,
        follow: Follow<'_>,
    ) -> Result<Outcome> {
        let name = model.name();
        let origin = Origin::Shadow(name.clone());
        let functions = self.without_teacher(functions)?;
        let mut log = AnswerLog::open(&self.answers_path(&origin))?;
        // What such a model reads is the source alone, and all of it that it
        // can.
        let prompt_hash = |f: &SourceFunction| {
            let prompt = Prompt {
                system: String::new(),
                user: f.source.clone(),
            };
            prompt.hash(&name)
        };
        let asked: Vec<(String, &SourceFunction)> =
            functions.iter().map(|f| (prompt_hash(f), f)).collect();
        let new: Vec<_> = asked
            .iter()
            .filter(|(hash, _)| log.get(hash).is_none())
            .collect();

        let mut done = asked.len() - new.len();
        for batch in new.chunks(BATCH) {
            if follow.stopped() {
                break;
            }
            let sources: Vec<&str> = batch.iter().map(|(_, f)| f.source.as_str()).collect();
            let texts = model.explain(&sources)?;
            if texts.len() != batch.len() {
                return Err(Error::Explainer {
                    name,
                    reason: format!("{} answers to {} sources", texts.len(), batch.len()),
                });
            }
            let answers = batch.iter().zip(texts).map(|((hash, _), text)| Answer {
                prompt: Some(hash.clone()),
                text,
                cut: false,
                tokens: (0, 0),
            });
            log.add(answers.collect())?;
            done += batch.len();
            (follow.report)(Step::Done {
                done,
                total: asked.len(),
                tokens: 0,
            });
        }
        let mut outcome = Outcome {
            functions: asked.len(),
            ..Outcome::default()
        };
        self.keep(&origin, &asked, &log, &mut outcome)?;
        outcome.left = asked.len() - done;
        outcome.stopped = outcome.left > 0;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::store::tests::explanation;
    use super::super::{Explanations, Preference};
    use super::*;

    /// Says which identifiers it saw, as the simplest model of all would.
    struct Identifiers {
        asked: Vec<String>,
    }

    impl Explainer for Identifiers {
        fn name(&self) -> String {
            "identifiers".into()
        }

        fn explain(&mut self, sources: &[&str]) -> Result<Vec<String>> {
            self.asked.extend(sources.iter().map(|s| (*s).to_owned()));
            Ok(sources
                .iter()
                .map(|source| format!("Does something with {}.", source.replace("()", "")))
                .collect())
        }
    }

    #[test]
    fn a_shadow_explains_what_no_teacher_did_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = ExplanationStore::open(dir.path()).unwrap();
        let taught = explanation("3", "teacher:m", 1.0);
        store.merge(&taught.origin.clone(), vec![taught]).unwrap();
        let functions: Vec<_> = (0..40)
            .map(|i| SourceFunction {
                source_hash: i.to_string(),
                source: format!("int f{i}()"),
                ..SourceFunction::default()
            })
            .collect();
        let mut model = Identifiers { asked: Vec::new() };

        // Ended after the first batch, and gone on with.
        let stop = AtomicBool::new(false);
        let report = |_: Step| stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let follow = Follow {
            report: &report,
            stop: &stop,
        };
        let first = store.explain_rest(&functions, &mut model, follow).unwrap();
        assert!(first.stopped);
        assert_eq!((first.explained, first.left), (BATCH, 39 - BATCH));
        let follow = Follow {
            report: &|_| {},
            stop: &AtomicBool::new(false),
        };
        let second = store.explain_rest(&functions, &mut model, follow).unwrap();
        assert_eq!((second.explained, second.left), (39, 0));

        assert_eq!(model.asked.len(), 39, "none was asked twice");
        assert!(!model.asked.contains(&"int f3()".to_owned()));
        let all = Explanations::read(dir.path()).unwrap();
        let preference: Preference = "teacher,shadow".parse().unwrap();
        let origin = |hash| all.best(hash, &preference).unwrap().origin.to_string();
        assert_eq!(origin("3"), "teacher:m");
        assert_eq!(origin("4"), "shadow:identifiers");
    }
}
