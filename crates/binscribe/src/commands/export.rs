//! `binscribe export`: names and remarks for the programs that analysts work in.
//!
//! A script is the one of `plugins/` with the data put in, as a string of JSON in
//! ASCII: nothing of the analysed file can end the string or be run.

use std::collections::HashSet;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use binscribe_lift::{BinaryKind, Function};
use binscribe_tasks::{Explanation, Undecided};
use sha2::{Digest, Sha256};

use crate::args::{ExportNames, Mode, Target};
use crate::commands::explain::explain;
use crate::engine::Engine;
use crate::input::Input;
use crate::json::{self, Binary, Exported, ExportedFunction};
use crate::output::{self, Field, Table, hex, note};
use crate::terminal;

const GHIDRA: &str = include_str!("../../../../plugins/ghidra/binscribe_names.py");
const IDA: &str = include_str!("../../../../plugins/ida/binscribe_names.py");
const BINARY_NINJA: &str = include_str!("../../../../plugins/binaryninja/binscribe_names.py");
const RADARE2: &str = include_str!("../../../../plugins/radare2/binscribe_names.r2.js");

pub(crate) fn run(args: &ExportNames) -> Result<()> {
    if matches!(args.to, Target::Csv | Target::Json) && args.mode != Mode::Apply {
        bail!("--mode is for scripts: csv and json do nothing by themselves");
    }
    let input = Input::read(&args.file)?
        .or_raw(args.raw)
        .with_pdb(&args.pdb)?;
    let program = input.program()?;
    if program.info().kind == BinaryKind::Relocatable {
        bail!(
            "{}: an object file has no addresses that another program would know: export what it \
             is linked into",
            input.path.display()
        );
    }
    let engine = Engine::open(&args.model)?;
    let explainer = engine.explainer()?;
    let hash = input.hash();
    let explanations = explain(&program, &hash, &engine, &explainer, 1, args.min_confidence)?;
    let functions = exported(program.functions(), &explanations, args.summaries);
    let named = functions.iter().filter(|f| f.name.is_some()).count();
    let document = Exported {
        version: json::VERSION,
        binary: Binary::new(&input.path, &hash, &program),
        sha256: sha256(&input.bytes),
        model: engine.info(),
        functions,
    };
    let text = match args.to {
        Target::Csv => table(&document.functions).csv()?,
        Target::Json => output::json_text(&document)?,
        Target::Ghidra => python(GHIDRA, args.mode, &document)?,
        Target::Ida => python(IDA, args.mode, &document)?,
        Target::BinaryNinja => python(BINARY_NINJA, args.mode, &document)?,
        Target::R2 => javascript(RADARE2, args.mode, &document)?,
    };
    match &args.output {
        Some(path) => {
            output::write_file(path, text.as_bytes())?;
            note(&format!(
                "{}: {named} names and {} remarks for {} functions",
                path.display(),
                document.functions.len(),
                program.functions().len()
            ));
            Ok(())
        }
        None => output::write_out(&text),
    }
}

/// What there is to say of `functions`: of each that has no name in the file and
/// gets one, and with `summaries` of every other that was judged.
fn exported(
    functions: &[Function],
    explanations: &[Explanation<'_>],
    summaries: bool,
) -> Vec<ExportedFunction> {
    let mut taken: HashSet<String> = functions
        .iter()
        .filter_map(|function| function.name.clone())
        .collect();
    // The surest of those that should have one name gets it as it is.
    let mut order: Vec<usize> = (0..functions.len()).collect();
    order.sort_by(|&a, &b| {
        let sure = |index: usize| best(&explanations[index]).map_or(0.0, |best| best.confidence);
        sure(b).total_cmp(&sure(a)).then(a.cmp(&b))
    });
    let mut entries: Vec<(usize, ExportedFunction)> = Vec::new();
    for index in order {
        let (function, explanation) = (&functions[index], &explanations[index]);
        let best = best(explanation).filter(|_| function.name.is_none());
        let judged = !matches!(
            explanation.undecided,
            Some(Undecided::Thunk | Undecided::TooSmall | Undecided::StartFile)
        );
        if best.is_none() && !(summaries && judged) {
            continue;
        }
        let name = best.as_ref().map(|best| {
            let mut name = plain(best.name);
            if taken.contains(&name) {
                // Writing to a string cannot fail.
                let _ = write!(name, "_{:X}", function.address);
            }
            taken.insert(name.clone());
            name
        });
        let mut comment = String::new();
        if let Some(best) = &best {
            let _ = writeln!(
                comment,
                "{} {:.0}%: {}",
                best.name,
                best.confidence * 100.0,
                best.why
            );
        }
        comment.push_str(&explanation.summary);
        let entry = ExportedFunction {
            address: hex(function.address),
            rva: hex(function.rva),
            name,
            source: best.as_ref().map(|best| best.source),
            confidence: best.as_ref().map(|best| best.confidence),
            comment: remark(&comment),
        };
        entries.push((index, entry));
    }
    entries.sort_unstable_by_key(|&(index, _)| index);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// The name that a function gets.
struct Best<'e> {
    name: &'e str,
    source: &'static str,
    confidence: f32,
    why: String,
}

fn best<'e>(explanation: &'e Explanation<'_>) -> Option<Best<'e>> {
    if let Some(own) = explanation.told.names.first() {
        return Some(Best {
            name: &own.name,
            source: "program",
            confidence: own.confidence,
            why: own.why.clone(),
        });
    }
    let name = explanation.names.first()?;
    let known = name.evidence.first()?.entry;
    Some(Best {
        name: name.name,
        source: "model",
        confidence: name.confidence,
        why: format!(
            "like that of {} {} at {}:{} ({})",
            known.package, known.version, known.file, known.line, known.license
        ),
    })
}

/// `name` in the characters that all programs take in one, and colons.
fn plain(name: &str) -> String {
    const LONGEST: usize = 200;
    let allowed = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | ':' => c,
        _ => '_',
    };
    let mut plain: String = name.chars().map(allowed).take(LONGEST).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        plain.insert(0, '_');
    }
    plain
}

/// A remark of one or two lines without anything that could act: Ghidra takes
/// `{@...}` in a comment for a link, which may be to a program.
fn remark(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(terminal::clean).collect();
    lines.join("\n").replace("{@", "{ @")
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn table(functions: &[ExportedFunction]) -> Table {
    let mut table = Table::new(&["ADDRESS", "RVA", "NAME", "SOURCE", "CONFIDENCE", "COMMENT"]);
    for function in functions {
        table.row(vec![
            function.address.as_str().into(),
            function.rva.as_str().into(),
            function.name.as_deref().unwrap_or_default().into(),
            function.source.unwrap_or_default().into(),
            function.confidence.map_or(Field::Empty, |confidence| {
                Field::Number(f64::from(confidence), 2)
            }),
            function.comment.replace('\n', " | ").into(),
        ]);
    }
    table
}

/// JSON in ASCII, without the quote that ends Python's strings, and with each
/// function in a line of its own.
fn ascii(document: &Exported) -> Result<String> {
    let json = serde_json::to_string(document)?.replace("{\"address\"", "\n{\"address\"");
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\'' {
            text.push(c);
        } else {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    Ok(text)
}

fn python(script: &str, mode: Mode, document: &Exported) -> Result<String> {
    let data = format!("DATA = r'''{}'''", ascii(document)?);
    Ok(script
        .replacen("MODE = \"apply\"", &format!("MODE = \"{}\"", word(mode)), 1)
        .replacen("DATA = None", &data, 1))
}

fn javascript(script: &str, mode: Mode, document: &Exported) -> Result<String> {
    let data = format!("const DATA = {};", ascii(document)?);
    Ok(script
        .replacen(
            "const MODE = \"apply\";",
            &format!("const MODE = \"{}\";", word(mode)),
            1,
        )
        .replacen("const DATA = null;", &data, 1))
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Apply => "apply",
        Mode::Comment => "comment",
        Mode::Show => "show",
        Mode::Undo => "undo",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let check = |name: &str, expected: &str| assert_eq!(plain(name), expected);
        check("dir_read", "dir_read");
        check("Foo::bar(int)", "Foo::bar_int_");
        check("7zip", "_7zip");
        check("a;!sh @ 0", "a__sh___0");
        check("naïve", "na_ve");
        assert_eq!(plain(&"x".repeat(999)).len(), 200);
    }

    #[test]
    fn remarks_act_on_nothing() {
        let check = |text: &str, expected: &str| assert_eq!(remark(text), expected);
        check("one\ntwo", "one\ntwo");
        check("{@execute \"sh\"}\x1b[2J", "{ @execute \"sh\"}\\x1b[2J");
    }
}
