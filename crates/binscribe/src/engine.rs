//! The model behind the commands, with what it said before.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use binscribe_index::Entry;
use binscribe_lift::{Function, Kind, Listing, Program};
use binscribe_model::{ClapFunction, Config, Model};
use binscribe_tasks::calibration::{self, Calibrated, Calibration, ranked_features};
use binscribe_tasks::report::ModelName;
use binscribe_tasks::retrieval::{self, Words};
use binscribe_tasks::zero_shot::{self, Label};
use binscribe_tasks::{Explainer, Matrix, Reference, SMALLEST, diff, reference, tags};

use crate::args::ModelArgs;
use crate::cache::VectorStore;
use crate::input::{self, Input};
use crate::json::{self, Binary, Match, Matches, Place, Query, Share};
use crate::output::{self, Field, Format, Table, note};

/// A model with what it said before.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Model,
    cache: bool,
}

/// The directory that the user named, or the default one.
pub(crate) fn resolve(named: Option<&PathBuf>) -> Result<PathBuf> {
    let Some(directory) = named else {
        return binscribe_model::default_dir().context(
            "name a model directory with --model DIR, or make one with `binscribe model export`",
        );
    };
    let what = directory.display();
    if !directory.is_dir() {
        bail!("{what}: there is no such model directory");
    }
    if !directory.join("config.json").is_file() {
        bail!("{what} is not a model directory: it has no config.json");
    }
    Ok(directory.clone())
}

impl Engine {
    pub(crate) fn open(args: &ModelArgs) -> Result<Engine> {
        let directory = resolve(args.model.as_ref())?;
        let directory = std::fs::canonicalize(&directory).unwrap_or(directory);
        Ok(Engine {
            model: Model::load(&directory)?,
            cache: !args.no_cache,
        })
    }

    pub(crate) fn id(&self) -> &str {
        self.model.id()
    }

    /// How many numbers a vector has.
    pub(crate) fn dim(&self) -> usize {
        self.model.dim()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.model.dir()
    }

    pub(crate) fn config(&self) -> &Config {
        self.model.config()
    }

    pub(crate) fn info(&self) -> ModelName {
        ModelName {
            id: self.id().to_owned(),
            directory: self.model.dir().display().to_string(),
        }
    }

    /// Says so where the model knows nothing like `program`.
    pub(crate) fn warn_of_unknown(&self, program: &Program<'_>) {
        let info = program.info();
        let this = format!("{} {}", info.format.id(), info.arch);
        let (known, measured) = (&self.config().learned_from, &self.config().measured_on);
        if !known.contains(&this) {
            note(&format!(
                "warning: the model has learned from {} code, and this is {this}: what it says is \
                 a guess, whatever its confidence",
                known.join(", ")
            ));
        } else if !measured.contains(&this) {
            note(&format!(
                "warning: the model's confidences were measured on {} code, and this is {this}: \
                 it is right less often than it says",
                measured.join(", ")
            ));
        }
    }

    /// The vectors of `listings`, those of the cache for `subject` first.
    pub(crate) fn embed_listings(&self, subject: &str, listings: &[String]) -> Result<Matrix> {
        self.embed(subject, listings, |model, new, done| {
            Ok(model.embed_listings(new, done)?)
        })
    }

    /// The vectors of functions in CLAP's form.
    pub(crate) fn embed_clap(&self, functions: &[ClapFunction]) -> Result<Vec<Vec<f32>>> {
        let encoded = functions.iter().map(|f| self.model.encode_function(f));
        let encodings = encoded.collect::<Result<Vec<_>, _>>()?;
        let bar = output::progress("embedding", encodings.len() as u64);
        let mut vectors = Vec::new();
        for some in encodings.chunks(256) {
            vectors.extend(self.model.embed_encodings(some)?);
            bar.set_position(vectors.len() as u64);
        }
        bar.finish_and_clear();
        Ok(vectors)
    }

    /// The vectors of English texts.
    pub(crate) fn embed_texts(&self, texts: &[String]) -> Result<Matrix> {
        self.embed("texts", texts, |model, new, _| Ok(model.embed_texts(new)?))
    }

    /// A vector for each label: the mean of those of its prompts.
    pub(crate) fn embed_labels(
        &self,
        labels: &[Label],
        templates: &[String],
        usual: &str,
    ) -> Result<Matrix> {
        let prompts = zero_shot::label_prompts(labels, templates, usual);
        let counts: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let vectors = self.embed_texts(&prompts.concat())?;
        Ok(zero_shot::label_vectors(&vectors, &counts))
    }

    fn embed(
        &self,
        subject: &str,
        texts: &[String],
        compute: impl Fn(&Model, &[String], &dyn Fn(usize)) -> Result<Vec<Vec<f32>>>,
    ) -> Result<Matrix> {
        // So much is lost at most where a long run is ended.
        const AT_ONCE: usize = 16_384;
        let mut store = VectorStore::open(self.cache, self.id(), subject);
        let mut new: Vec<String> = texts
            .iter()
            .filter(|text| store.get(text).is_none())
            .cloned()
            .collect();
        new.sort_unstable();
        new.dedup();
        // Equal lengths together, and the first estimate of the time is not the
        // best one.
        new.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let bar = output::progress("embedding", new.len() as u64);
        for (number, some) in new.chunks(AT_ONCE).enumerate() {
            let before = number * AT_ONCE;
            let vectors = compute(&self.model, some, &|done| {
                bar.set_position((before + done) as u64)
            })?;
            for (text, vector) in some.iter().zip(vectors) {
                store.insert(text, vector);
            }
            if let Err(reason) = store.save() {
                note(&format!(
                    "warning: the vectors could not be kept for next time: {reason}"
                ));
            }
        }
        bar.finish_and_clear();
        let mut matrix = Matrix::new(texts.first().map_or(0, |text| width(&store, text)));
        for text in texts {
            // What was missing has just been computed.
            let vector = store.get(text).context("the model gave too few vectors")?;
            matrix.push(vector);
        }
        Ok(matrix)
    }

    /// The reference set of the model directory, empty where it has none.
    pub(crate) fn reference(&self) -> Result<Reference> {
        let path = self.model.dir().join(reference::FILE_NAME);
        if !path.exists() {
            return Ok(Reference::empty(self.id(), self.model.dim()));
        }
        Ok(Reference::read(&path, self.id())?)
    }

    /// The calibration of the model directory, if it has one.
    pub(crate) fn calibration(&self) -> Result<Option<Calibration>> {
        let path = self.model.dir().join(calibration::FILE_NAME);
        if !path.exists() {
            note(
                "warning: the model directory has no calibration.json: answers have no confidence",
            );
            return Ok(None);
        }
        Ok(Some(Calibration::read(&path, self.id())?))
    }

    /// All that the model directory knows.
    pub(crate) fn explainer(&self) -> Result<Explainer> {
        let prompts = self.embed_texts(&tags::prompts())?;
        Ok(Explainer::new(
            self.reference()?,
            self.calibration()?,
            prompts,
        ))
    }
}

fn width(store: &VectorStore, text: &str) -> usize {
    store.get(text).map_or(0, <[f32]>::len)
}

/// What may be searched for of a function beside its listing: its symbol, what it calls
/// itself, its source file.
fn known_names(
    function: &Function,
    own: &Option<String>,
    file: &Option<String>,
) -> impl Iterator<Item = String> {
    let symbol = function.name.as_ref().map(|_| function.readable_name());
    [symbol, own.clone(), file.clone()].into_iter().flatten()
}

/// What equal names have in common, and others not; never 0.
fn number_of(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let first = hash.as_bytes().first_chunk();
    first.map_or(1, |bytes| u64::from_le_bytes(*bytes).max(1))
}

/// What equal code has in common wherever it lies, and other code not. Addresses do not
/// count where there is enough beside them to tell one function from another.
fn code_of(listing: &Listing, names: &HashSet<String>) -> u128 {
    let lines = diff::does(listing, names);
    let text = match lines.len() < diff::TELLING {
        true => listing.text().to_owned(),
        false => lines.join("\n"),
    };
    let hash = blake3::hash(text.as_bytes());
    let first = hash.as_bytes().first_chunk();
    first.map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// The functions of a program that can be told apart, with their vectors.
#[derive(Debug)]
pub(crate) struct Candidates<'p> {
    binary: Binary,
    functions: Vec<&'p Function>,
    /// What each calls itself.
    own_names: Vec<Option<String>>,
    /// The source file of each, as far as it is known.
    files: Vec<Option<String>>,
    listings: Vec<Listing>,
    pub(crate) vectors: Matrix,
}

/// An answer: which candidate, and how good.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) function: usize,
    pub(crate) label: Option<String>,
    pub(crate) score: f32,
    pub(crate) confidence: Option<f32>,
}

impl<'p> Candidates<'p> {
    /// All but thunks, what is too small, and the function at `except`.
    pub(crate) fn of(
        input: &Input,
        program: &'p Program<'_>,
        engine: &Engine,
        except: Option<u64>,
    ) -> Result<Candidates<'p>> {
        engine.warn_of_unknown(program);
        let normal: Vec<&Function> = program
            .functions()
            .iter()
            .filter(|function| function.kind == Kind::Normal)
            .collect();
        let listings = input::listings(program, &normal);
        let told = input::told(&normal, &listings);
        let (mut functions, mut kept) = (Vec::new(), Vec::new());
        let (mut own_names, mut files) = (Vec::new(), Vec::new());
        for ((function, listing), told) in normal.into_iter().zip(listings).zip(told) {
            if listing.len() >= SMALLEST {
                functions.push(function);
                own_names.push(told.names.into_iter().next().map(|own| own.name));
                files.push(told.file.map(|file| file.short().to_owned()));
                kept.push(listing);
            }
        }
        let hash = input.hash();
        // All are embedded, so that the cache holds them all for the next
        // question.
        let texts: Vec<String> = kept
            .iter()
            .map(|listing| listing.text().to_owned())
            .collect();
        let mut vectors = engine.embed_listings(&hash, &texts)?;
        if let Some(position) = functions.iter().position(|f| Some(f.address) == except) {
            functions.remove(position);
            own_names.remove(position);
            files.remove(position);
            kept.remove(position);
            let rest: Vec<usize> = (0..vectors.len()).filter(|&row| row != position).collect();
            vectors = vectors.select(&rest);
        }
        if functions.is_empty() {
            bail!(
                "{}: no other function of at least {SMALLEST} instructions is in it",
                input.path.display()
            );
        }
        Ok(Candidates {
            binary: Binary::new(&input.path, &hash, program),
            functions,
            own_names,
            files,
            listings: kept,
            vectors,
        })
    }

    /// The functions, in the order of the vectors.
    pub(crate) fn functions(&self) -> &[&'p Function] {
        &self.functions
    }

    /// Their listings.
    pub(crate) fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// The words of their listings, names and source files.
    pub(crate) fn words(&self) -> Words {
        let functions = self.functions.iter().zip(&self.own_names).zip(&self.files);
        let functions = self.listings.iter().zip(functions);
        Words::with_names(functions.map(|(listing, ((function, own), file))| {
            (listing.text(), known_names(function, own, file))
        }))
    }

    /// What an index keeps of them, in the order of the vectors.
    pub(crate) fn entries(&self, program: &Program<'_>) -> Vec<Entry> {
        let names = program.functions().iter().map(Function::display_name);
        let names: HashSet<String> = names.collect();
        let told = self.own_names.iter().zip(&self.files);
        let functions = self.functions.iter().zip(&self.listings).zip(told);
        functions
            .map(|((function, listing), (own, file))| Entry {
                address: function.address,
                rva: function.rva,
                size: function.size,
                name: function.display_name(),
                symbol: function.name.as_deref().map_or(0, number_of),
                own_name: own.clone(),
                source_file: file.clone(),
                words: retrieval::words_of(listing.text(), known_names(function, own, file))
                    .join(" "),
                code: code_of(listing, &names),
            })
            .collect()
    }

    /// Which of them the function at `address` is.
    pub(crate) fn position(&self, address: u64) -> Result<usize> {
        let position = self.functions.iter().position(|f| f.address == address);
        position.with_context(|| {
            format!(
                "the function at {address:#x} is a thunk or has fewer than {SMALLEST} \
                 instructions: too small to be told from others"
            )
        })
    }

    /// The `k` best for the one row of `query`, by what `judge` makes of the
    /// cosines.
    pub(crate) fn ranked(
        &self,
        query: &Matrix,
        k: usize,
        calibrated: Option<&Calibrated>,
        judge: impl Fn(&[f32]) -> Vec<f32> + Sync,
    ) -> Vec<Found> {
        let found = query.against(&self.vectors, |_, cosines| {
            let scores = &judge(cosines)[..];
            let best = binscribe_tasks::top(scores, k).into_iter();
            best.map(|(function, score)| Found {
                function,
                label: None,
                score,
                confidence: calibrated
                    .map(|calibrated| calibrated.probability(&ranked_features(scores, function))),
            })
            .collect::<Vec<_>>()
        });
        found.concat()
    }

    /// Prints the answers, and what they make of the whole file.
    pub(crate) fn print(
        self,
        engine: &Engine,
        query: Query,
        found: Vec<Found>,
        whole: Vec<Share>,
        format: Format,
    ) -> Result<()> {
        let labelled = matches!(query, Query::Labels(_));
        let mut table = Table::new(if labelled {
            &["ADDRESS", "FUNCTION", "LABEL", "SCORE", "CONFIDENCE"]
        } else {
            &["ADDRESS", "FUNCTION", "SCORE", "CONFIDENCE"]
        });
        for found in &found {
            let function = self.functions[found.function];
            let name = match (&function.name, &self.own_names[found.function]) {
                (None, Some(own)) => format!("{} [{own}]", function.display_name()),
                _ => function.display_name(),
            };
            let mut row = vec![Field::Address(function.address), name.into()];
            row.extend(found.label.as_deref().map(Field::from));
            row.push(Field::Number(f64::from(found.score), 3));
            row.push(
                found
                    .confidence
                    .map_or(Field::Empty, |c| Field::Number(f64::from(c), 2)),
            );
            table.row(row);
        }
        let document = Matches {
            version: json::VERSION,
            binary: self.binary,
            model: engine.info(),
            query,
            whole,
            matches: found
                .into_iter()
                .map(|found| Match {
                    function: Place::new(self.functions[found.function])
                        .told(self.own_names[found.function].clone()),
                    label: found.label,
                    score: found.score,
                    confidence: found.confidence,
                })
                .collect(),
        };
        table.print_as(format, &document)
    }
}
