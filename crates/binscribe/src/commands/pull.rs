//! `binscribe model pull`: model directories that others published.

use std::fs;

use anyhow::{Context, Result, bail};
use binscribe_tasks::{calibration, reference};

use crate::args;
use crate::commands::model::{GRAPHS, info};
use crate::engine::Engine;
use crate::hub;
use crate::output::{self, Format, note};

/// What every model directory has.
const NEEDED: [&str; 3] = ["config.json", "tokenizer.json", "text_tokenizer.json"];
const CARD: &str = "README.md";

pub(crate) fn run(args: &args::Pull) -> Result<()> {
    let (name, out) = (&args.name, &args.output);
    output::refuse_existing(out)?;
    let (id, revision) = hub::parts(name)?;
    let repo = hub::repository(id, revision)?;
    let found = repo.info().with_context(|| {
        format!("{name}: the Hub does not say what is in it (HF_ENDPOINT names another one)")
    })?;
    // Files of one revision, even if another is published meanwhile.
    let repo = hub::repository(id, &found.sha)?;
    let has = |file: &str| found.siblings.iter().any(|s| s.rfilename == file);
    if let Some(lacking) = NEEDED.iter().find(|file| !has(file)) {
        bail!(
            "{name} is no model directory of binscribe: it has no {lacking} (CLAP's encoders are \
             made one by `binscribe model import`)"
        );
    }
    let known = [reference::FILE_NAME, calibration::FILE_NAME, CARD];
    let files = NEEDED.iter().chain(&GRAPHS).chain(&known);
    output::new_directory(out, |new| {
        for file in files.filter(|file| has(file)) {
            let from = hub::file(&repo, name, file)?;
            fs::copy(&from, new.join(file))
                .with_context(|| format!("cannot write {}", new.join(file).display()))?;
        }
        // That it can be used is what is promised.
        let engine = Engine::open(&args::ModelArgs {
            model: Some(new.to_owned()),
            no_cache: true,
        })?;
        engine.reference()?;
        engine.calibration()?;
        Ok(())
    })
    .with_context(|| name.clone())?;
    note(&format!(
        "{} is ready: {id} at revision {}",
        out.display(),
        found.sha
    ));
    info(Some(out), Format::Table)
}
