//! `binscribe eval report`: reports in, a page with pictures out.

use std::path::Path;

use anyhow::{Context, Result};
use binscribe_tasks::report::{self, Report};

use crate::args::EvalReport;
use crate::output;

pub(crate) fn run(args: &EvalReport) -> Result<()> {
    let mut page = match &args.notes {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => "# Results\n".to_owned(),
    };
    let reports: Result<Vec<Report>, _> = args.reports.iter().map(|p| Report::read(p)).collect();
    let reports = reports?;
    if let Some(directory) = args.output.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut pictures = Vec::new();
    for (number, report) in reports.iter().enumerate() {
        pictures.push(picture(report, &args.output, number + 1)?);
    }
    page.push('\n');
    page.push_str(&report::page(&reports, &pictures));
    output::write_file(&args.output, page.as_bytes())
}

/// Writes the picture of a report beside the page; its name, if there is one.
fn picture(report: &Report, page: &Path, number: usize) -> Result<Option<String>> {
    let Some(svg) = report.picture()? else {
        return Ok(None);
    };
    let stem = page.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}-{number}-{}.svg", report.task.replace(' ', "-"));
    output::write_file(&page.with_file_name(&name), svg.as_bytes())?;
    Ok(Some(name))
}
