//! What an evaluation found: one form for every task, kept as JSON, shown as a
//! table, and put together into a page with pictures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bootstrap::Value;
use crate::error::Error;
use crate::sample::Sample;

/// The version of the form (docs/json.md).
pub const VERSION: u32 = 2;

/// The model that was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelName {
    /// The hash of its weights and tokenizer.
    pub id: String,
    /// Where it lay.
    pub directory: String,
}

/// What one evaluation found, and how to have it found again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// `bcsd`, `retrieval`, `crypto`, `protocol`, `category`, `labels`; with
    /// ` probe` after it where shots were varied.
    pub task: String,
    /// The command, to be repeated.
    pub command: String,
    /// The model.
    pub model: ModelName,
    /// `validation`, `test`, or `unseen` for both.
    pub split: String,
    /// What pools, shots and samples were drawn by.
    pub seed: u64,
    /// The packages asked about, with their versions.
    pub packages: Vec<String>,
    /// How many rows of them.
    pub rows: usize,
    /// How many functions.
    pub functions: usize,
    /// The labels, in the order of confusion matrices.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What a reader must know, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// What one method reached in one comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What gave the answers.
    pub method: String,
    /// What was asked: `gcc O0-O3`, `levels mean`, `function`, `file`.
    pub comparison: String,
    /// The pool size that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<usize>,
    /// The size that the pools had; smaller where there were not as many
    /// functions. The smallest of those averaged, on a line of means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_actual: Option<usize>,
    /// How many pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<usize>,
    /// How many functions of each label a probe has learned from; none where it
    /// had all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shots: Option<usize>,
    /// How many queries.
    pub queries: usize,
    /// The figures by name: `recall_1`, `recall_10`, `mrr`, `map`, `accuracy`,
    /// `macro_f1`.
    pub values: BTreeMap<String, Value>,
    /// How often each label (a row) was taken for each (a column).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<usize>>>,
}

/// Figures by name, their names for people, in the order of tables.
const VALUES: [(&str, &str); 6] = [
    ("recall_1", "Recall@1"),
    ("recall_10", "Recall@10"),
    ("mrr", "MRR"),
    ("map", "MAP"),
    ("accuracy", "accuracy"),
    ("macro_f1", "macro-F1"),
];

/// A field of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing to say.
    Empty,
    /// A name.
    Text(String),
    /// A number of things.
    Count(usize),
    /// A figure.
    Value(Value),
}

impl Report {
    /// A report without figures about `samples`.
    pub fn about(task: &str, samples: &[&Sample]) -> Report {
        let mut functions: Vec<&str> = samples.iter().map(|s| s.function_id.as_str()).collect();
        functions.sort_unstable();
        functions.dedup();
        let mut packages: Vec<String> = samples
            .iter()
            .map(|s| format!("{} {}", s.package, s.version))
            .collect();
        packages.sort_unstable();
        packages.dedup();
        Report {
            version: VERSION,
            task: task.to_owned(),
            packages,
            rows: samples.len(),
            functions: functions.len(),
            ..Report::default()
        }
    }

    /// Reads what an evaluation printed.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or is not such a report.
    pub fn read(path: &Path) -> Result<Report, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let wrong = |reason: String| Error::Report {
            path: path.to_owned(),
            reason,
        };
        let report: Report = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if report.version != VERSION {
            return Err(wrong(format!("its version is {}", report.version)));
        }
        Ok(report)
    }

    /// The names of the values that any figure has, in the order of tables.
    fn values(&self) -> Vec<(&'static str, &'static str)> {
        VALUES
            .into_iter()
            .filter(|(key, _)| self.figures.iter().any(|f| f.values.contains_key(*key)))
            .collect()
    }

    /// The figures as a table: headings, and rows under them.
    pub fn table(&self) -> (Vec<&'static str>, Vec<Vec<Cell>>) {
        type Column = (&'static str, fn(&Figure) -> Cell);
        let optional: [Column; 4] = [
            ("pool", |f| f.pool.map_or(Cell::Empty, Cell::Count)),
            ("of", |f| f.pool_actual.map_or(Cell::Empty, Cell::Count)),
            ("pools", |f| f.pools.map_or(Cell::Empty, Cell::Count)),
            ("shots", |f| f.shots.map_or(Cell::Empty, Cell::Count)),
        ];
        let mut columns: Vec<Column> = vec![("comparison", |f| Cell::Text(f.comparison.clone()))];
        columns.extend(optional.into_iter().filter(|(_, cell)| {
            let mut figures = self.figures.iter();
            figures.any(|figure| cell(figure) != Cell::Empty)
        }));
        columns.push(("queries", |f| Cell::Count(f.queries)));
        columns.push(("method", |f| Cell::Text(f.method.clone())));
        let values = self.values();
        let headings = columns.iter().map(|(heading, _)| *heading);
        let headings = headings
            .chain(values.iter().map(|(_, heading)| *heading))
            .collect();
        let rows = self.figures.iter().map(|figure| {
            let own = columns.iter().map(|(_, cell)| cell(figure));
            let value = |key: &str| {
                figure
                    .values
                    .get(key)
                    .map_or(Cell::Empty, |v| Cell::Value(*v))
            };
            own.chain(values.iter().map(|(key, _)| value(key)))
                .collect()
        });
        (headings, rows.collect())
    }

    /// The methods, in the order of their first figures.
    pub fn methods(&self) -> Vec<&str> {
        let mut methods: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !methods.contains(&figure.method.as_str()) {
                methods.push(&figure.method);
            }
        }
        methods
    }

    /// The figures in Markdown, a column for each method and a row for each
    /// thing that was measured; `keep` says which comparisons.
    pub fn markdown(&self, keep: impl Fn(&str) -> bool) -> String {
        let methods = self.methods();
        // By what was asked and which figure: their names, and a cell a method.
        type Row<'m> = (String, BTreeMap<&'m str, String>);
        let mut rows: BTreeMap<(usize, usize), Row<'_>> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for figure in self
            .figures
            .iter()
            .filter(|figure| keep(&figure.comparison))
        {
            let asked = figure.asked();
            let place = match order.iter().position(|known| *known == asked) {
                Some(place) => place,
                None => {
                    order.push(asked.clone());
                    order.len() - 1
                }
            };
            for (number, (key, heading)) in self.values().into_iter().enumerate() {
                if let Some(value) = figure.values.get(key) {
                    let row = rows.entry((place, number)).or_default();
                    row.0 = format!("{} | {heading}", escape(&asked));
                    row.1.insert(&figure.method, shown(value));
                }
            }
        }
        let mut table = String::new();
        let names: Vec<String> = methods.iter().map(|method| escape(method)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| what | figure | {} |", names.join(" | "));
        let _ = writeln!(table, "| --- | --- |{}", " --- |".repeat(methods.len()));
        for (asked, cells) in rows.values() {
            let cells = methods
                .iter()
                .map(|method| cells.get(method).map_or("", String::as_str));
            let cells: Vec<&str> = cells.collect();
            let _ = writeln!(table, "| {asked} | {} |", cells.join(" | "));
        }
        table
    }

    /// The confusion matrix of a figure in Markdown.
    pub fn confusion(&self, figure: &Figure) -> Option<String> {
        let matrix = figure.confusion.as_ref()?;
        let mut table = String::new();
        let names: Vec<String> = self.labels.iter().map(|label| escape(label)).collect();
        let _ = writeln!(table, "| is \\ taken for | {} |", names.join(" | "));
        let _ = writeln!(table, "| --- |{}", " ---: |".repeat(names.len()));
        for (name, row) in names.iter().zip(matrix) {
            let counts = row.iter().map(|n| {
                if *n == 0 {
                    String::new()
                } else {
                    n.to_string()
                }
            });
            let counts: Vec<String> = counts.collect();
            let _ = writeln!(table, "| {name} | {} |", counts.join(" | "));
        }
        Some(table)
    }
}

impl Figure {
    /// What was asked, in words.
    fn asked(&self) -> String {
        let mut asked = self.comparison.clone();
        match (self.pool, self.pool_actual) {
            (Some(pool), Some(actual)) if actual < pool => {
                let _ = write!(asked, ", pool {pool} (there are {actual})");
            }
            (Some(pool), _) => {
                let _ = write!(asked, ", pool {pool}");
            }
            _ => {}
        }
        if let Some(shots) = self.shots {
            let _ = write!(asked, ", {shots} of each label");
        }
        asked
    }
}

/// Text that is no markup of a table.
fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// `0.725 (0.702–0.748)`, and the interval over packages where there is one.
pub fn shown(value: &Value) -> String {
    let range = |[low, high]: [f64; 2]| format!("{low:.3}–{high:.3}");
    match (value.interval, value.by_package) {
        (Some(own), Some(packages)) => {
            format!(
                "{:.3} ({}; packages {})",
                value.value,
                range(own),
                range(packages)
            )
        }
        (Some(own), None) => format!("{:.3} ({})", value.value, range(own)),
        _ => format!("{:.3}", value.value),
    }
}

/// Reports on one page, each with its command, its table and its notes, and the
/// picture that `picture` names for it.
pub fn page(reports: &[Report], pictures: &[Option<String>]) -> String {
    let mut page = String::new();
    for (report, picture) in reports.iter().zip(pictures) {
        let _ = writeln!(page, "## {}\n", title(report));
        let _ = writeln!(page, "    {}\n", report.command);
        let _ = writeln!(
            page,
            "{} split, seed {}, {} rows of {} functions of {}. Model `{}`.\n",
            report.split,
            report.seed,
            report.rows,
            report.functions,
            report.packages.join(", "),
            report.model.id
        );
        if let Some(picture) = picture {
            let _ = writeln!(page, "![{}]({picture})\n", title(report));
        }
        page.push_str(&report.markdown(|comparison| is_shown(report, comparison)));
        page.push('\n');
        for note in &report.notes {
            let _ = writeln!(page, "- {note}");
        }
        if !report.notes.is_empty() {
            page.push('\n');
        }
        for figure in report.figures.iter().filter(|f| f.confusion.is_some()) {
            if let Some(matrix) = report.confusion(figure) {
                let _ = writeln!(
                    page,
                    "{}, {}:\n\n{matrix}",
                    figure.method, figure.comparison
                );
            }
        }
    }
    page
}

/// Every single pair of levels is more than a page can show.
fn is_shown(report: &Report, comparison: &str) -> bool {
    let pair = |compiler: &str| {
        comparison.strip_prefix(compiler).is_some_and(|rest| {
            let levels: Vec<&str> = rest.split('-').collect();
            levels.len() == 2 && levels.iter().all(|level| level.len() == 2)
        })
    };
    report.task != "bcsd"
        || !(pair("gcc ") || pair("clang ") || comparison.starts_with("gcc-clang"))
}

fn title(report: &Report) -> String {
    let corpus = report.split.as_str();
    let what = match report.task.as_str() {
        "bcsd" => "Binary code similarity",
        "retrieval" => "From English to a function",
        "crypto" => "Crypto identification",
        "protocol" => "Protocol categorisation",
        "crypto probe" => "Crypto identification from few examples",
        "protocol probe" => "Protocol categorisation from few examples",
        "category probe" => "Categories of packages from few examples",
        other => other,
    };
    format!("{what} ({corpus} packages)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(method: &str, comparison: &str, value: f64) -> Figure {
        let value = Value {
            value,
            interval: Some([value - 0.1, value + 0.1]),
            by_package: None,
        };
        Figure {
            method: method.to_owned(),
            comparison: comparison.to_owned(),
            pool: Some(100),
            pool_actual: Some(60),
            queries: 60,
            values: BTreeMap::from([("recall_1".to_owned(), value)]),
            ..Figure::default()
        }
    }

    fn report() -> Report {
        let sample = Sample::default();
        Report {
            figures: vec![
                figure("model", "gcc O0-O3", 0.5),
                figure("model", "levels mean", 0.5),
                figure("a|b", "levels mean", 0.25),
            ],
            ..Report::about("bcsd", &[&sample])
        }
    }

    #[test]
    fn methods_are_columns() {
        let table = report().markdown(|comparison| comparison.ends_with("mean"));
        let expected = "| what | figure | model | a\\|b |\n| --- | --- | --- | --- |\n\
            | levels mean, pool 100 (there are 60) | Recall@1 | 0.500 (0.400–0.600) \
            | 0.250 (0.150–0.350) |\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_table_has_the_columns_that_are_filled() {
        let (headings, rows) = report().table();
        assert_eq!(
            headings.join(" "),
            "comparison pool of queries method Recall@1"
        );
        assert_eq!(rows[0][1], Cell::Count(100));
        assert!(matches!(rows[2][5], Cell::Value(value) if value.value == 0.25));
    }

    #[test]
    fn reports_come_back_and_others_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.json");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write(&serde_json::to_string(&report()).expect("JSON"));
        assert_eq!(Report::read(&path).expect("a report"), report());
        let old = Report {
            version: 1,
            ..report()
        };
        write(&serde_json::to_string(&old).expect("JSON"));
        let said = Report::read(&path).expect_err("old").to_string();
        assert!(
            said.contains("version is 1") && said.contains("binscribe eval"),
            "{said}"
        );
    }

    #[test]
    fn a_page_shows_means_and_confusions() {
        let mut report = report();
        report.labels = vec!["AES".to_owned(), "MD5".to_owned()];
        report.figures[1].confusion = Some(vec![vec![3, 0], vec![1, 2]]);
        let page = page(&[report], &[Some("clap-bcsd.svg".to_owned())]);
        assert!(
            page.contains("(clap-bcsd.svg)") && page.contains("| MD5 | 1 | 2 |"),
            "{page}"
        );
        assert!(
            page.contains("levels mean") && !page.contains("gcc O0-O3"),
            "{page}"
        );
    }
}
