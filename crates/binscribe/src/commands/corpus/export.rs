//! `binscribe corpus export`: pairs for other programs to train on.

use anyhow::{Result, bail};
use binscribe_corpus::explain::{
    ChatExport, Explanations, Exported, export_chat, export_clap, source_functions,
};
use serde::Serialize;

use super::{choose, rows_of};
use crate::args;
use crate::json;
use crate::output::{Field, Table};

#[derive(Serialize)]
struct Written {
    version: u32,
    file: String,
    kind: &'static str,
    split: String,
    #[serde(flatten)]
    exported: Exported,
}

pub(crate) fn run(args: &args::CorpusExport) -> Result<()> {
    let corpus = &args.functions.corpus;
    let rows = rows_of(corpus)?;
    let explanations = explanations(corpus)?;
    let preference = args.origins.preference();
    let (kind, file, exported) = if let Some(file) = &args.chat {
        let functions = choose(&args.functions, source_functions(&rows)?, |f| {
            f.split == args.split
        })?;
        let export = ChatExport {
            preference,
            source_bytes: args.source_bytes,
        };
        let exported = export_chat(file, &functions, &explanations, &export)?;
        ("chat", file, exported)
    } else if let Some(file) = &args.clap {
        let exported = export_clap(file, &rows, &args.split, &explanations, &preference)?;
        ("clap", file, exported)
    } else {
        bail!("say what to write: --chat OUT.jsonl or --clap OUT.jsonl");
    };
    if exported.pairs == 0 {
        bail!(
            "no function of the {} split has such an explanation, so nothing is written; see \
             --origins and --min-quality",
            args.split
        );
    }
    let mut table = Table::new(&["FILE", "SPLIT", "PAIRS", "WITHOUT EXPLANATION"]);
    table.row(vec![
        file.display().to_string().into(),
        args.split.as_str().into(),
        Field::Count(exported.pairs as u64),
        Field::Count(exported.without as u64),
    ]);
    table.print_as(
        args.format.format,
        &Written {
            version: json::VERSION,
            file: file.display().to_string(),
            kind,
            split: args.split.clone(),
            exported,
        },
    )
}

/// The explanations of a corpus, of which there have to be some.
pub(super) fn explanations(corpus: &std::path::Path) -> Result<Explanations> {
    let explanations = Explanations::read(corpus)?;
    if explanations.is_empty() {
        bail!(
            "{} has no explanations: make them with `binscribe corpus explain`",
            corpus.display()
        );
    }
    Ok(explanations)
}
