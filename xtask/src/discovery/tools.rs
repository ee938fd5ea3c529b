//! What binscribe and other programs make of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::build::{newest, within};
use crate::apt::{self, quietly};
use crate::{Result, cargo};

const LIMIT: Duration = Duration::from_secs(60);

/// Starts and sizes of what binscribe finds, or why it does not read the file.
pub(super) enum Found {
    Functions(BTreeMap<u64, u64>),
    Refused(String),
}

/// The small programs of the lifter's crate.
#[derive(Debug)]
pub(super) struct Ours {
    examples: PathBuf,
}

impl Ours {
    pub(super) fn build(root: &Path) -> Result<Ours> {
        crate::run(cargo(root).args(["build", "--release", "--quiet"]).args([
            "--package",
            "binscribe-lift",
            "--examples",
        ]))?;
        let metadata =
            quietly(cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&metadata).map_err(|error| error.to_string())?;
        let target = metadata["target_directory"].as_str().unwrap_or("target");
        Ok(Ours {
            examples: Path::new(target).join("release/examples"),
        })
    }

    pub(super) fn functions(&self, file: &Path) -> Result<Found> {
        let output = within(
            LIMIT,
            Command::new(self.examples.join("functions")).arg(file),
        )?;
        let answer: serde_json::Value =
            serde_json::from_slice(&output).map_err(|error| error.to_string())?;
        if let Some(refusal) = answer["refused"].as_str() {
            return Ok(Found::Refused(refusal.to_owned()));
        }
        let functions = answer["functions"].as_array();
        let pair = |f: &serde_json::Value| Some((f["start"].as_u64()?, f["size"].as_u64()?));
        let functions = functions.into_iter().flatten().filter_map(pair);
        Ok(Found::Functions(functions.collect()))
    }

    /// Length of each instruction by its address.
    pub(super) fn lengths(&self, file: &Path) -> Result<BTreeMap<u64, u64>> {
        let output = within(LIMIT, Command::new(self.examples.join("lengths")).arg(file))?;
        let pair = |line: &str| {
            let (address, length) = line.split_once(' ')?;
            Some((u64::from_str_radix(address, 16).ok()?, length.parse().ok()?))
        };
        Ok(String::from_utf8_lossy(&output)
            .lines()
            .filter_map(pair)
            .collect())
    }
}

/// Length and text of each instruction by its address, as LLVM has them.
pub(super) fn llvm_lengths(file: &Path) -> Result<BTreeMap<u64, (u64, String)>> {
    let mut objdump = Command::new(newest("llvm-objdump")?);
    objdump.args(["-d", "--no-leading-headers"]).arg(file);
    let output = within(2 * LIMIT, &mut objdump)?;
    let lines = String::from_utf8_lossy(&output);
    Ok(joined(lines.lines().filter_map(instruction)))
}

/// One line, such as `401000: f3 0f 1e fa`, a tab, `endbr64`.
fn instruction(line: &str) -> Option<(u64, u64, String)> {
    let (address, rest) = line.split_once(": ")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    let (bytes, text) = rest.split_once('\t')?;
    let digits = bytes.chars().filter(char::is_ascii_hexdigit).count();
    // Data between functions, and what it does not know either.
    let known = !text.starts_with('.') && !text.contains("<unknown>");
    known.then(|| (address, digits as u64 / 2, text.replace('\t', " ")))
}

/// Prefixes of x86, which LLVM prints as instructions of their own where it does
/// not know them as part of the next.
const PREFIXES: [&str; 16] = [
    "addr32", "cs", "data16", "ds", "es", "fs", "gs", "lock", "rep", "repe", "repne", "repz",
    "rex64", "ss", "xacquire", "xrelease",
];

/// Instructions together with the prefixes that stand before them.
fn joined(lines: impl Iterator<Item = (u64, u64, String)>) -> BTreeMap<u64, (u64, String)> {
    let mut lengths = BTreeMap::new();
    let mut prefix: Option<(u64, u64, String)> = None;
    for (address, length, text) in lines {
        let before = prefix.take().filter(|held| held.0 + held.1 == address);
        let (start, length, whole) = match before {
            Some((start, before, held)) => (start, before + length, format!("{held} {text}")),
            None => (address, length, text.clone()),
        };
        if PREFIXES.contains(&text.trim()) {
            prefix = Some((start, length, whole));
        } else {
            lengths.insert(start, (length, whole));
        }
    }
    lengths
}

/// The other programs that can be had here.
#[derive(Debug)]
pub(super) struct Peers {
    radare2: Option<Vec<PathBuf>>,
    /// The Python that has smda.
    smda: Option<PathBuf>,
}

const SMDA: &str = "\
import json, sys
from smda.Disassembler import Disassembler
report = Disassembler().disassembleFile(sys.argv[1])
if not report.xcfg: sys.exit(report.message or 'nothing found')
print(json.dumps([f.offset for f in report.getFunctions()]))
";

impl Peers {
    pub(super) const NAMES: [&str; 2] = ["radare2", "smda"];

    /// Fetches them; says on the terminal which cannot be had.
    pub(super) fn fetch(work: &Path) -> Peers {
        let had = |name: &str, tool: Result<_>| {
            tool.inspect_err(|why| eprintln!("without {name}: {why}"))
                .ok()
        };
        let radare2 = apt::radare2(&work.join("apt"), &work.join("radare2"));
        let smda = smda(&work.join("smda"));
        Peers {
            radare2: had("radare2", radare2),
            smda: had("smda", smda.map(|python| vec![python])).and_then(|mut s| s.pop()),
        }
    }

    /// What each finds; answers are kept beside the file.
    pub(super) fn functions(&self, file: &Path) -> [Result<Vec<u64>>; 2] {
        [
            kept(file, "radare2", || self.radare2(file)),
            kept(file, "smda", || self.smda(file)),
        ]
    }

    fn radare2(&self, file: &Path) -> Result<Vec<u64>> {
        let [program, arguments @ ..] = self.radare2.as_deref().ok_or("not here")? else {
            return Err("not here".to_owned());
        };
        let output = within(
            LIMIT,
            Command::new(program)
                .args(arguments)
                .args(["-q", "-2", "-N", "-e", "scr.color=0", "-c", "aaa;aflj"])
                .arg(file),
        )?;
        let text = String::from_utf8_lossy(&output);
        let list = text.lines().rfind(|line| line.starts_with('['));
        let list: serde_json::Value =
            serde_json::from_str(list.unwrap_or("[]")).map_err(|error| error.to_string())?;
        let functions = list.as_array().into_iter().flatten();
        Ok(functions.filter_map(|f| f["addr"].as_u64()).collect())
    }

    fn smda(&self, file: &Path) -> Result<Vec<u64>> {
        let python = self.smda.as_ref().ok_or("not here")?;
        let output = within(LIMIT, Command::new(python).args(["-c", SMDA]).arg(file))?;
        let text = String::from_utf8_lossy(&output);
        let list = text.lines().rfind(|line| line.starts_with('['));
        serde_json::from_str(list.unwrap_or("[]")).map_err(|error| error.to_string())
    }
}

/// The answer of an earlier run, or a new one: starts, or why there are none.
fn kept(file: &Path, tool: &str, ask: impl FnOnce() -> Result<Vec<u64>>) -> Result<Vec<u64>> {
    let answers = file.with_added_extension(format!("{tool}.json"));
    if let Ok(text) = std::fs::read_to_string(&answers)
        && let Ok(answer) = serde_json::from_str::<serde_json::Value>(&text)
    {
        if let Some(why) = answer.as_str() {
            return Err(why.to_owned());
        }
        let starts = answer.as_array().into_iter().flatten();
        return Ok(starts.filter_map(serde_json::Value::as_u64).collect());
    }
    let answer = ask();
    let json = match &answer {
        // A tool that is not here today may be tomorrow.
        Err(why) if why == "not here" => return answer,
        Err(why) => serde_json::json!(why),
        Ok(starts) => serde_json::json!(starts),
    };
    std::fs::write(&answers, json.to_string()).map_err(|error| error.to_string())?;
    answer
}

fn smda(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    if !folder.join("ready").is_file() {
        quietly(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        quietly(Command::new(&python).args(["-m", "pip", "install", "-q", "smda==5.0.1"]))?;
        std::fs::write(folder.join("ready"), "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_a_part_of_the_next_instruction() {
        let lines = [
            "  1000: f0                           \tlock",
            "  1001: 48 0f b1 0f                  \tcmpxchgq\t%rcx, (%rdi)",
            "  1005: c3                           \tretq",
            "  1006: 00 00 00 00                  \t.word\t0x00000000",
        ];
        let lengths = joined(lines.into_iter().filter_map(instruction));
        let whole = "lock cmpxchgq %rcx, (%rdi)".to_owned();
        let expected = [(0x1000, (5, whole)), (0x1005, (1, "retq".to_owned()))];
        assert_eq!(lengths, expected.into());
    }
}
