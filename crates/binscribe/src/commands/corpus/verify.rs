//! `binscribe corpus verify`: whether rows may be trained on and judged by.

use std::path::Path;

use anyhow::{Result, bail};
use binscribe_corpus::{Verdict, verify};
use serde::Serialize;

use super::rows_of;
use crate::json;
use crate::output::{Format, Table, note};

#[derive(Serialize)]
struct Verified {
    version: u32,
    #[serde(flatten)]
    verdict: Verdict,
}

pub(crate) fn run(directory: &Path, format: Format) -> Result<()> {
    let verdict = verify(&rows_of(directory)?)?;
    let mut table = Table::new(&["KIND", "WHAT IS WRONG"]);
    for fault in &verdict.faults {
        table.row(vec![fault.kind.into(), fault.message.as_str().into()]);
    }
    let faults = verdict.faults.len();
    let (files, rows) = (verdict.files, verdict.rows);
    if format != Format::Table || faults > 0 {
        let version = json::VERSION;
        table.print_as(format, &Verified { version, verdict })?;
    }
    if faults > 0 {
        bail!("the rows are not sound: train on none of them before they are built again");
    }
    note(&format!(
        "{rows} rows of {files} packages: no package, source or listing is in two splits"
    ));
    Ok(())
}
