//! `binscribe model import`: models that others published.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use binscribe_model::export::Precision;
use binscribe_model::import::{self, CLAP_FILES, CLAP_OPTIONAL_FILES, Imported};

use crate::args::Import;
use crate::commands::model::info;
use crate::hub;
use crate::output::{self, Format, note};

pub(crate) fn run(args: &Import) -> Result<()> {
    let out = &args.output;
    output::refuse_existing(out)?;
    let assembly = directory(&args.assembly)?;
    let text = directory(&args.text)?;
    let precision = match args.int8 {
        true => Precision::Int8,
        false => Precision::Float,
    };
    let imported = output::new_directory(out, |new| {
        let imported = import::clap(&assembly, &text, new, &[precision])?;
        let card = card(args, &imported);
        output::write_file(&new.join("README.md"), card.as_bytes())?;
        Ok(imported)
    })?;
    for (name, published) in [&args.assembly, &args.text]
        .into_iter()
        .zip(imported.published)
    {
        if !published {
            note(&format!(
                "warning: the weights of {name} are not those that CLAP's authors published"
            ));
        }
    }
    note(&format!("{} is ready", out.display()));
    info(Some(out), Format::Table)
}

/// Where the files of a model are: here, or on the Hub and then here.
fn directory(name: &str) -> Result<PathBuf> {
    let local = Path::new(name);
    if !local.is_dir() {
        return download(name);
    }
    for file in CLAP_FILES {
        if !local.join(file).is_file() {
            bail!("{name}: it has no {file}; download all of the model's repository");
        }
    }
    Ok(local.to_owned())
}

/// Takes what is needed of a repository of the Hub; what is in the cache of the
/// Hub's tools is not loaded again, and what was begun goes on.
fn download(name: &str) -> Result<PathBuf> {
    let (id, revision) = hub::parts(name).with_context(|| {
        format!(
            "{name}: it is no directory either; name a directory with {}",
            CLAP_FILES.join(", ")
        )
    })?;
    let repo = hub::repository(id, revision)?;
    let mut weights = PathBuf::new();
    for file in CLAP_FILES {
        weights = hub::file(&repo, name, file)?;
    }
    for file in CLAP_OPTIONAL_FILES {
        // Only refines what the others say.
        if let Err(error) = repo.get(file) {
            note(&format!("warning: {name}: without {file}: {error}"));
        }
    }
    let directory = weights.parent().context("a file of the Hub lies nowhere")?;
    Ok(directory.to_owned())
}

fn card(args: &Import, imported: &Imported) -> String {
    let line = |name: &str, at: usize| {
        let published = match imported.published[at] {
            true => "as published by CLAP's authors",
            false => "not what CLAP's authors published",
        };
        format!("- {name}: SHA-256 {}, {published}\n", imported.sha256[at])
    };
    format!(
        "---\nlicense: mit\ntags: [binary-analysis, assembly, sentence-similarity]\n---\n\n\
         # CLAP\n\n\
         The assembly and the text encoder of CLAP (Wang et al., ISSTA 2024; weights MIT), made \
         into a model directory by `binscribe model import`{}. x86-64 listings in, as IDA writes \
         them and `binscribe listing --clap` does.\n\n{}{}\n\
         It has no reference set and no calibration: `explain` proposes no names, and answers \
         have no confidence.\n",
        if args.int8 { " --int8" } else { "" },
        line(&args.assembly, 0),
        line(&args.text, 1),
    )
}
