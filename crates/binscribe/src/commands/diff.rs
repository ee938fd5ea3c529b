//! `binscribe diff`: what of one version of a program is what of another.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use binscribe_lift::{Function, Kind, Listing, Program};
use binscribe_tasks::diff::{self, Pair, Traits, Version};
use binscribe_tasks::own_names::{self, Speaker};
use binscribe_tasks::{Matrix, SMALLEST};
use rayon::prelude::*;
use similar::{ChangeTag, TextDiff};

use crate::args::Diff;
use crate::engine::Engine;
use crate::input::{self, Input};
use crate::json::{self, Binary, Change, Place, Versions};
use crate::output::{self, Field, Format, Table, hex};

/// The functions of one version that have a body of their own.
pub(super) struct Side<'p> {
    pub(super) functions: Vec<&'p Function>,
    listings: Vec<Listing>,
    /// What each calls itself.
    own_names: Vec<Option<String>>,
    /// The names of the program's functions.
    names: HashSet<String>,
    vectors: Matrix,
    traits: Vec<Traits>,
}

impl<'p> Side<'p> {
    /// With `named`, the file's names count; without, nothing of them is left, in
    /// calls neither.
    pub(super) fn of(
        input: &Input,
        program: &'p Program<'_>,
        engine: &Engine,
        named: bool,
    ) -> Result<Side<'p>> {
        engine.warn_of_unknown(program);
        let functions: Vec<&Function> = program
            .functions()
            .iter()
            .filter(|function| function.kind == Kind::Normal)
            .collect();
        let mut listings = input::listings(program, &functions);
        let hidden = if named {
            HashMap::new()
        } else {
            hidden(program)
        };
        for listing in &mut listings {
            let calls = &mut listing.facts.calls;
            calls.retain(|call| !(call.import && hidden.contains_key(&call.name)));
        }
        let speakers = functions.iter().zip(&listings);
        let speakers = speakers.map(|(function, listing)| Speaker {
            listing: listing.text(),
            symbol: function.name.as_deref().filter(|_| named),
        });
        let told = own_names::told(&speakers.collect::<Vec<_>>());
        let own_names: Vec<Option<String>> = told
            .into_iter()
            .map(|told| told.names.into_iter().next().map(|own| own.name))
            .collect();

        let large: Vec<usize> = (0..listings.len())
            .filter(|&at| listings[at].len() >= SMALLEST)
            .collect();
        let texts: Vec<String> = large
            .iter()
            .map(|&at| match hidden.is_empty() {
                true => listings[at].text().to_owned(),
                false => without(listings[at].text(), &hidden),
            })
            .collect();
        let embedded = engine.embed_listings(&input.hash(), &texts)?;
        let mut rows = vec![vec![0.0; engine.dim()]; listings.len()];
        for (row, &at) in large.iter().enumerate() {
            rows[at].copy_from_slice(embedded.row(row));
        }

        let positions: HashMap<u64, usize> = functions
            .iter()
            .enumerate()
            .map(|(position, function)| (function.address, position))
            .collect();
        let names = program.functions().iter().map(Function::display_name);
        let names: HashSet<String> = names.chain(hidden.into_keys()).collect();
        let traits = functions
            .par_iter()
            .zip(&listings)
            .zip(&own_names)
            .map(|((function, listing), own)| {
                let callees = program.callees(function);
                let mut callees: Vec<usize> = callees
                    .filter_map(|callee| positions.get(&callee.address).copied())
                    .collect();
                callees.sort_unstable();
                callees.dedup();
                Traits {
                    name: function.name.clone().filter(|_| named).or(own.clone()),
                    code: diff::code(listing, &names),
                    instructions: listing.len(),
                    callees,
                    mentions: diff::mentions(&listing.facts),
                }
            })
            .collect();
        Ok(Side {
            functions,
            listings,
            own_names,
            names,
            vectors: Matrix::from_rows(&rows),
            traits,
        })
    }

    pub(super) fn version(&self) -> Version<'_> {
        Version {
            vectors: &self.vectors,
            functions: self.traits.clone(),
        }
    }

    fn place(&self, position: usize) -> Place {
        let own = self.own_names[position].clone();
        Place::new(self.functions[position]).told(own)
    }

    /// The name that people see: its own in brackets.
    fn shown(&self, position: usize) -> String {
        let function = self.functions[position];
        match &self.own_names[position] {
            Some(own) if function.name.is_none() => format!("[{own}]"),
            _ => function.readable_name(),
        }
    }

    fn position(&self, wanted: &Function) -> Option<usize> {
        let mut functions = self.functions.iter();
        functions.position(|function| function.address == wanted.address)
    }

    /// The lines of a function, where things lie left out.
    fn lines(&self, position: usize) -> Vec<String> {
        diff::does(&self.listings[position], &self.names)
    }
}

/// What stands for the names of the program's own functions, as they are called and
/// as they are reached through a stub or a pointer.
fn hidden(program: &Program<'_>) -> HashMap<String, String> {
    let normal = program.functions().iter();
    let named = normal.filter_map(|function| {
        // Stubs have the names of other programs' functions.
        let name = function.name.as_deref();
        let name = name.filter(|_| function.kind == Kind::Normal)?;
        Some((name, format!("sub_{:X}", function.address)))
    });
    named
        .flat_map(|(name, made_up)| {
            let ways = [name.to_owned(), format!("_{name}"), format!("{name}_ptr")];
            ways.map(|way| (way, made_up.clone()))
        })
        .collect()
}

/// A listing without these names.
fn without(text: &str, hidden: &HashMap<String, String>) -> String {
    let lines = text.lines();
    let lines = lines.map(|line| diff::replaced(line, |word| hidden.get(word).cloned()));
    lines.collect::<Vec<_>>().join("\n")
}

pub(crate) fn run(args: &Diff) -> Result<()> {
    let read = |path| -> Result<Input> {
        let input = Input::read(path)?;
        // One of the two may have a format.
        Ok(if input.has_format() && args.raw.arch.is_some() {
            input
        } else {
            input.or_raw(args.raw)
        })
    };
    let (old_input, new_input) = (read(&args.old)?, read(&args.new)?);
    let (old_program, new_program) = (old_input.program()?, new_input.program()?);
    let engine = Engine::open(&args.model)?;
    let old = Side::of(&old_input, &old_program, &engine, true)?;
    let new = Side::of(&new_input, &new_program, &engine, true)?;
    let pairs = diff::pairs(&old.version(), &new.version());
    let mut changes = match &args.function {
        None => changes(&old, &new, &pairs),
        Some(wanted) => {
            let of = |side: &Side<'_>, program: &Program<'_>| {
                let found = program.find(wanted)?;
                side.position(found)
            };
            let (in_old, in_new) = (of(&old, &old_program), of(&new, &new_program));
            let found = in_old.map(|at| (Some(at), None));
            let found = found.or(in_new.map(|at| (None, Some(at))));
            let asked = found.with_context(|| {
                format!(
                    "neither {} nor {} has a function `{wanted}` with a body of its own: give a \
                     name or an address as `binscribe functions FILE` lists them",
                    args.old.display(),
                    args.new.display()
                )
            })?;
            vec![one(&pairs, asked)]
        }
    };
    let document = |functions| Versions {
        version: json::VERSION,
        old: Binary::new(&old_input.path, &old_input.hash(), &old_program),
        new: Binary::new(&new_input.path, &new_input.hash(), &new_program),
        model: engine.info(),
        functions,
    };
    if args.function.is_some() && args.format.format == Format::Table {
        return print_one(&old, &new, &changes[0]);
    }
    let count = |kind: &str| changes.iter().filter(|c| c.kind == kind).count();
    let summary = format!(
        "{} and {} functions: {} the same, {} changed, {} removed, {} added.",
        old.functions.len(),
        new.functions.len(),
        count("same"),
        count("changed"),
        count("removed"),
        count("added"),
    );
    if !args.all && args.function.is_none() {
        changes.retain(|change| change.kind != "same");
    }
    if args.format.format == Format::Json {
        let functions = changes.iter().map(|change| entry(&old, &new, change));
        return output::print_json(&document(functions.collect()));
    }
    let table = table(&old, &new, &changes);
    if args.format.format == Format::Csv {
        return table.print_csv();
    }
    if !changes.is_empty() {
        table.print()?;
        output::print_line("")?;
    }
    output::print_line(&summary)
}

/// What became of one function.
struct Became {
    kind: &'static str,
    old: Option<usize>,
    new: Option<usize>,
    pair: Option<Pair>,
    /// Whether it is shown line by line.
    whole: bool,
}

fn of_pair(pair: &Pair) -> Became {
    Became {
        kind: if pair.changed { "changed" } else { "same" },
        old: Some(pair.old),
        new: Some(pair.new),
        pair: Some(*pair),
        whole: false,
    }
}

fn of_one(kind: &'static str, old: Option<usize>, new: Option<usize>) -> Became {
    Became {
        kind,
        old,
        new,
        pair: None,
        whole: false,
    }
}

/// The changed first, those that are least alike before others; then the removed,
/// the added and the same, by address.
fn changes(old: &Side<'_>, new: &Side<'_>, pairs: &[Pair]) -> Vec<Became> {
    let olds: HashSet<usize> = pairs.iter().map(|pair| pair.old).collect();
    let news: HashSet<usize> = pairs.iter().map(|pair| pair.new).collect();
    let mut changed: Vec<&Pair> = pairs.iter().filter(|pair| pair.changed).collect();
    // What is too small to be compared comes last.
    let alike = |pair: &Pair| pair.cosine.unwrap_or(f32::INFINITY);
    changed.sort_by(|a, b| alike(a).total_cmp(&alike(b)));
    let changed = changed.into_iter().map(of_pair);
    let removed = (0..old.functions.len())
        .filter(|at| !olds.contains(at))
        .map(|at| of_one("removed", Some(at), None));
    let added = (0..new.functions.len())
        .filter(|at| !news.contains(at))
        .map(|at| of_one("added", None, Some(at)));
    let same = pairs.iter().filter(|pair| !pair.changed).map(of_pair);
    changed.chain(removed).chain(added).chain(same).collect()
}

/// What became of the function at this place of the old version or of the new.
fn one(pairs: &[Pair], asked: (Option<usize>, Option<usize>)) -> Became {
    let mut pairs = pairs.iter();
    let pair = pairs.find(|pair| match asked {
        (Some(old), _) => pair.old == old,
        (None, new) => Some(pair.new) == new,
    });
    let became = match (pair, asked) {
        (Some(pair), _) => of_pair(pair),
        (None, (Some(old), _)) => of_one("removed", Some(old), None),
        (None, (None, new)) => of_one("added", None, new),
    };
    Became {
        whole: true,
        ..became
    }
}

/// The lines of both, those that are gone with `-` and those that are new with `+`.
fn lines(old: &Side<'_>, new: &Side<'_>, became: &Became) -> Vec<String> {
    let side = |side: &Side<'_>, at: Option<usize>| at.map_or(Vec::new(), |at| side.lines(at));
    let (before, after) = (side(old, became.old), side(new, became.new));
    // Where an instruction lies in its function moves with every other change.
    let settle = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| without_numbers(line)).collect()
    };
    let (a, b) = (settle(&before), settle(&after));
    let (a, b): (Vec<&str>, Vec<&str>) = (
        a.iter().map(String::as_str).collect(),
        b.iter().map(String::as_str).collect(),
    );
    let difference = TextDiff::from_slices(&a, &b);
    let shown = |sign: char, line: &str| format!("{sign} {line}");
    difference
        .iter_all_changes()
        .filter_map(|change| match change.tag() {
            ChangeTag::Equal => Some(shown(' ', &after[change.new_index()?])),
            ChangeTag::Delete => Some(shown('-', &before[change.old_index()?])),
            ChangeTag::Insert => Some(shown('+', &after[change.new_index()?])),
        })
        .collect()
}

/// `jz short INSTR12` without the number.
fn without_numbers(line: &str) -> String {
    match line.split_once("INSTR") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}INSTR{rest}")
        }
        None => line.to_owned(),
    }
}

fn entry(old: &Side<'_>, new: &Side<'_>, became: &Became) -> Change {
    Change {
        change: became.kind,
        old: became.old.map(|at| old.place(at)),
        new: became.new.map(|at| new.place(at)),
        score: became.pair.map(|pair| pair.score),
        cosine: became.pair.and_then(|pair| pair.cosine),
        why: became.pair.map(|pair| pair.why.word()),
        lines: became.whole.then(|| lines(old, new, became)),
    }
}

fn table(old: &Side<'_>, new: &Side<'_>, changes: &[Became]) -> Table {
    let mut table = Table::new(&[
        "OLD",
        "NEW",
        "CHANGE",
        "FUNCTION",
        "IN NEW",
        "INSTRUCTIONS",
        "ALIKE",
        "SCORE",
        "WHY",
    ]);
    for became in changes {
        let address = |side: &Side<'_>, at: Option<usize>| {
            at.map_or(Field::Empty, |at| {
                Field::Address(side.functions[at].address)
            })
        };
        let name = |side: &Side<'_>, at: Option<usize>| {
            at.map_or(Field::Empty, |at| side.shown(at).into())
        };
        let length = |side: &Side<'_>, at: Option<usize>| at.map(|at| side.listings[at].len());
        let lengths = match (length(old, became.old), length(new, became.new)) {
            (Some(a), Some(b)) if a != b => format!("{a} to {b}"),
            (a, b) => a.or(b).unwrap_or_default().to_string(),
        };
        table.row(vec![
            address(old, became.old),
            address(new, became.new),
            became.kind.into(),
            name(old, became.old),
            name(new, became.new),
            lengths.into(),
            became
                .pair
                .map_or(Field::Empty, |pair| Field::Number(f64::from(pair.score), 3)),
            became.pair.map_or("", |pair| pair.why.word()).into(),
        ]);
    }
    table
}

fn print_one(old: &Side<'_>, new: &Side<'_>, became: &Became) -> Result<()> {
    let what = |side: &Side<'_>, at: Option<usize>| {
        at.map(|at| format!("{} at {}", side.shown(at), hex(side.functions[at].address)))
    };
    let places: Vec<String> = [what(old, became.old), what(new, became.new)]
        .into_iter()
        .flatten()
        .collect();
    let why = became.pair.map_or(String::new(), |pair| {
        format!(" ({}, score {:.3})", pair.why.word(), pair.score)
    });
    output::print_line(&format!("{}, {}{why}", places.join(" is "), became.kind))?;
    for line in lines(old, new, became) {
        output::print_line(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_and_strings_are_not() {
        let hidden = ["BN_new", "_BN_new"].map(|name| (name.to_owned(), "sub_40".to_owned()));
        let listing = "call    BN_new\njmp     _BN_new\nlea     rdi, aBnNew; \"BN_new\"";
        let expected = "call    sub_40\njmp     sub_40\nlea     rdi, aBnNew; \"BN_new\"";
        assert_eq!(without(listing, &HashMap::from(hidden)), expected);
    }

    #[test]
    fn jumps_have_no_numbers_to_compare() {
        assert_eq!(
            without_numbers("jz      short INSTR12"),
            "jz      short INSTR"
        );
        assert_eq!(without_numbers("retn"), "retn");
    }
}
