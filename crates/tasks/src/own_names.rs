//! What a program calls its functions itself. Assertions and logs are given the
//! name of the function that they stand in (`__func__`), and often its source
//! file and line; the strings of a stripped file still hold them:
//!
//! ```text
//! lea     rcx, aWriteHeader2; "write_header2"
//! mov     edx, 69Eh
//! lea     rsi, aG10BuildPacket; "../../g10/build-packet.c"
//! call    sub_47360
//! ```
//!
//! No model is asked. What is told from other strings is which parameter of
//! which function takes such names: one that nearly always gets an identifier,
//! another one in each function, beside a source file or beside a format that
//! begins with `%s`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

/// No file has more lines than this.
const LAST_LINE: u64 = 1_000_000;
/// Right, of names that were the only ones of their functions: see
/// `docs/own-names.md`.
const ONLY: f32 = 0.99;
/// Right, of the best of several: those of functions that were inlined are
/// among them.
const BEST: f32 = 0.72;

/// A function as this module sees it.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// Its listing.
    pub listing: &'a str,
    /// Its name, where a symbol tells it.
    pub symbol: Option<&'a str>,
}

/// A name that a function gives itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnName {
    /// The name.
    pub name: String,
    /// How often such a name was right where the true one was known.
    pub confidence: f32,
    /// Where it stands, in words.
    pub why: String,
}

/// What a function says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Names, best first; mostly none.
    pub names: Vec<OwnName>,
    /// The source file.
    pub file: Option<SourceFile>,
}

/// A source file that a function was compiled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as the compiler was given it.
    pub path: String,
    /// The first and the last line of it that the function tells.
    pub lines: Option<(u64, u64)>,
    /// Whether the function itself says so, and not those before and after it,
    /// which agree: a compiler leaves the functions of a file together.
    pub told: bool,
}

impl SourceFile {
    /// The path without what says only where the compiler ran, or where cargo
    /// keeps the sources of others.
    pub fn short(&self) -> &str {
        const KEPT: [&str; 3] = ["/registry/src/", r"\registry\src\", "/rustc/"];
        let path = self.path.as_str();
        let inside = KEPT.iter().find_map(|kept| path.split_once(kept));
        match inside.and_then(|(_, rest)| rest.split_once(['/', '\\'])) {
            Some((_, rest)) => rest,
            None => path.trim_start_matches("../").trim_start_matches("./"),
        }
    }
}

/// What each function of a program says of itself. They are in the order of
/// their addresses, and so are the answers.
///
/// A name that several functions claim is that of a function inlined into all
/// of them, and given to none. One that contradicts a symbol is that of an inlined
/// function, too.
pub fn told(speakers: &[Speaker<'_>]) -> Vec<Told> {
    let sites: Vec<Vec<Site<'_>>> = speakers.par_iter().map(|s| calls(s.listing)).collect();
    let mut uses = Uses::new(&sites);
    let files = uses.find_files();
    let names = uses.find_names(&files, &sites);
    let symbols: HashSet<&str> = speakers.iter().filter_map(|s| s.symbol).collect();

    let claims: Vec<Vec<Claim<'_>>> = sites
        .iter()
        .zip(speakers)
        .map(|(sites, speaker)| {
            let mut claims = claims(sites, &names, &files, &uses);
            claims.retain(|claim| match speaker.symbol {
                Some(symbol) => symbol == claim.name,
                None => !symbols.contains(claim.name),
            });
            claims
        })
        .collect();
    let mut claimants: HashMap<&str, usize> = HashMap::new();
    for claim in claims.iter().flatten() {
        *claimants.entry(claim.name).or_default() += 1;
    }
    let mut told: Vec<Told> = sites
        .iter()
        .zip(claims)
        .map(|(sites, mut claims)| {
            claims.retain(|claim| claimants[claim.name] == 1);
            // What was inlined is often of a header, and mostly defined before
            // the function that it is inlined into.
            claims.sort_unstable_by_key(|claim| {
                let Claim {
                    name, line, count, ..
                } = *claim;
                (claim.in_header(), Reverse((line, count)), name)
            });
            let first = if claims.len() == 1 { ONLY } else { BEST };
            let rest = (1.0 - BEST) / claims.len().max(2) as f32;
            let file = claims.first().and_then(|claim| claim.file);
            let file = file.or_else(|| file_of(sites, &files));
            let file = file.map(|path| SourceFile {
                path: path.to_owned(),
                lines: uses.lines_of(path, sites, &files),
                told: true,
            });
            Told {
                names: claims
                    .iter()
                    .enumerate()
                    .map(|(rank, claim)| OwnName {
                        name: claim.name.to_owned(),
                        confidence: if rank == 0 { first } else { rest },
                        why: claim.why(),
                    })
                    .collect(),
                file,
            }
        })
        .collect();
    let between: Vec<Option<String>> = between(&told)
        .into_iter()
        .map(|path| path.map(str::to_owned))
        .collect();
    for (told, between) in told.iter_mut().zip(between) {
        // A header is told by what was inlined.
        if let (None, Some(path)) = (told.anchor(), between) {
            told.file = Some(SourceFile {
                path,
                lines: None,
                told: false,
            });
        }
    }
    told
}

impl Told {
    /// The source file that the function itself tells, unless it is a header.
    fn anchor(&self) -> Option<&str> {
        let file = self.file.as_ref().filter(|file| file.told);
        let path = file.map(|file| file.path.as_str());
        path.filter(|path| !is_header(path))
    }
}

/// For each function the file that the nearest before and after it tell, where
/// these agree; what it tells itself does not count.
fn between(told: &[Told]) -> Vec<Option<&str>> {
    let nearest = |towards: &mut dyn Iterator<Item = usize>| {
        let mut found = vec![None; told.len()];
        let mut last = None;
        for at in towards {
            found[at] = last;
            last = told[at].anchor().or(last);
        }
        found
    };
    let before = nearest(&mut (0..told.len()));
    let after = nearest(&mut (0..told.len()).rev());
    let both = before.into_iter().zip(after);
    both.map(|(before, after)| before.filter(|_| before == after))
        .collect()
}

/// How good the files are that functions get by those before and after them:
/// of functions that tell one themselves, how many would get one, and how many
/// that one.
pub fn left_out(told: &[Told]) -> (usize, usize) {
    let pairs = told.iter().zip(between(told));
    let pairs = pairs.filter_map(|(told, between)| Some((told.anchor()?, between?)));
    pairs.fold((0, 0), |(checked, right), (own, between)| {
        (checked + 1, right + usize::from(own == between))
    })
}

/// A name that a function gives to calls.
#[derive(Debug, Clone, Copy)]
struct Claim<'t> {
    name: &'t str,
    callee: &'t str,
    file: Option<&'t str>,
    /// The last line that stands beside it, 0 if none does.
    line: u64,
    /// Calls that are given it.
    count: usize,
}

impl Claim<'_> {
    fn in_header(&self) -> bool {
        self.file.is_some_and(is_header)
    }

    fn why(&self) -> String {
        let callee = self.callee.trim_start_matches('_');
        match (self.file, self.line) {
            (Some(file), 1..) => format!("told to {callee} as of {file}:{}", self.line),
            (Some(file), _) => format!("told to {callee} as of {file}"),
            _ => format!("told to {callee}"),
        }
    }
}

fn claims<'t>(
    sites: &[Site<'t>],
    names: &HashSet<Parameter<'t>>,
    files: &HashSet<Parameter<'t>>,
    uses: &Uses<'t>,
) -> Vec<Claim<'t>> {
    // A hostile function may tell any number of names.
    let mut claims: HashMap<&str, Claim<'t>> = HashMap::new();
    for site in sites {
        let told = site
            .texts()
            .filter(|&(_, slot)| names.contains(&(site.callee, slot)));
        let told: BTreeSet<&str> = told.filter_map(|(text, _)| function_name(text)).collect();
        if told.is_empty() {
            continue;
        }
        let file = site.files(files).next().map(|(file, _)| file);
        let line = uses.line(site).unwrap_or_default();
        for name in told {
            let claim = claims.entry(name).or_insert(Claim {
                name,
                callee: site.callee,
                file,
                line,
                count: 0,
            });
            claim.count += 1;
            claim.line = claim.line.max(line);
            claim.file = claim.file.or(file);
        }
    }
    claims.into_values().collect()
}

/// The source file that most calls are told, headers last.
fn file_of<'t>(sites: &[Site<'t>], files: &HashSet<Parameter<'t>>) -> Option<&'t str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for site in sites {
        for (file, _) in site.files(files) {
            *counts.entry(file).or_default() += 1;
        }
    }
    let best = counts
        .into_iter()
        .max_by_key(|(file, count)| (!is_header(file), *count));
    best.map(|(file, _)| file)
}

/// A parameter of a function: who is called, and where it is held.
type Parameter<'t> = (&'t str, Slot);

/// What is known of a parameter from all calls.
#[derive(Debug, Default)]
struct Usage<'t> {
    /// Which function gave which text.
    pairs: BTreeSet<(usize, &'t str)>,
    numbers: BTreeSet<u64>,
    /// Calls with a text here.
    calls: usize,
    /// Those that also have a text that formats begin with.
    with_format: usize,
}

impl Usage<'_> {
    /// Functions that give texts.
    fn functions(&self) -> BTreeSet<usize> {
        self.pairs.iter().map(|(function, _)| *function).collect()
    }

    fn texts(&self) -> HashSet<&str> {
        self.pairs.iter().map(|(_, text)| *text).collect()
    }

    /// Whether it gets identifiers, mostly another one in each function, and few
    /// of them in each.
    fn gets_names(&self) -> bool {
        /// Texts of one function, functions of one text: 1 but for inlining.
        const SPREAD: usize = 2;
        let texts = self.texts();
        let names = texts.iter().filter(|text| function_name(text).is_some());
        let (texts, names) = (texts.len(), names.count());
        let pairs = self.pairs.len();
        texts > 0
            && names * 20 >= texts * 17
            && pairs <= SPREAD * texts
            && pairs <= SPREAD * self.functions().len()
    }

    fn gets_files(&self) -> bool {
        let files = self.pairs.iter();
        let files = files.filter(|(_, text)| source_file(text).is_some());
        !self.pairs.is_empty() && files.count() * 5 >= self.pairs.len() * 4
    }
}

/// Every parameter of a program that gets constants.
#[derive(Debug, Default)]
struct Uses<'t> {
    parameters: HashMap<Parameter<'t>, Usage<'t>>,
    /// The slots of each function that is called.
    slots: HashMap<&'t str, Vec<Slot>>,
    lines: HashMap<&'t str, Slot>,
}

impl<'t> Uses<'t> {
    fn new(sites: &[Vec<Site<'t>>]) -> Uses<'t> {
        let mut uses = Uses::default();
        for (function, sites) in sites.iter().enumerate() {
            for site in sites {
                for &(slot, held) in &site.held {
                    let usage = uses.parameters.entry((site.callee, slot)).or_default();
                    match held {
                        Held::Text(text) => {
                            let beside = site.texts().filter(|&(_, other)| other != slot);
                            let format = beside.map(|(text, _)| text).any(begins_with_a_name);
                            usage.pairs.insert((function, text));
                            usage.calls += 1;
                            usage.with_format += usize::from(format);
                        }
                        Held::Number(number) => {
                            usage.numbers.insert(number);
                        }
                    }
                }
            }
        }
        for &(callee, slot) in uses.parameters.keys() {
            uses.slots.entry(callee).or_default().push(slot);
        }
        uses.slots
            .values_mut()
            .for_each(|slots| slots.sort_unstable());
        uses
    }

    /// The parameters that get source files.
    fn find_files(&self) -> HashSet<Parameter<'t>> {
        let files = self
            .parameters
            .iter()
            .filter(|(_, usage)| usage.gets_files());
        files.map(|(parameter, _)| *parameter).collect()
    }

    /// The parameters that get the name of the calling function.
    fn find_names(
        &mut self,
        files: &HashSet<Parameter<'t>>,
        sites: &[Vec<Site<'t>>],
    ) -> HashSet<Parameter<'t>> {
        let mut found: HashSet<Parameter<'t>> = HashSet::new();
        let mut likely: Vec<Parameter<'t>> = Vec::new();
        for (&parameter, usage) in &self.parameters {
            let (callee, slot) = parameter;
            if !usage.gets_names() {
                continue;
            }
            let several = usage.texts().len() > 1;
            let formats = usage.calls > 1 && usage.with_format * 5 >= usage.calls * 3;
            if known_slot(callee) == Some(slot.rank())
                || (several && (formats || self.beside_a_file(callee, slot, files)))
            {
                found.insert(parameter);
            } else if several {
                likely.push(parameter);
            }
        }
        // A parameter without such a neighbour takes names, too, if it mostly
        // agrees with those that are known by now.
        let mut own: Vec<HashSet<&str>> = Vec::new();
        for sites in sites {
            let named = |site: &Site<'t>| {
                let texts = site.texts();
                let texts = texts.filter(|&(_, slot)| found.contains(&(site.callee, slot)));
                texts.map(|(text, _)| text).collect::<Vec<_>>()
            };
            own.push(sites.iter().flat_map(named).collect());
        }
        for parameter in likely {
            let pairs = &self.parameters[&parameter].pairs;
            let known = pairs
                .iter()
                .filter(|(function, _)| !own[*function].is_empty());
            let (mut all, mut right) = (0, 0);
            for (function, text) in known {
                all += 1;
                right += usize::from(own[*function].contains(text));
            }
            if all >= 3 && right * 5 >= all * 4 {
                found.insert(parameter);
            }
        }
        for (callee, _) in &found {
            let slots = self.slots[callee].iter();
            let numbers = |slot: &Slot| self.parameters[&(*callee, *slot)].numbers.len();
            let best = slots.max_by_key(|slot| numbers(slot));
            if let Some(best) = best.filter(|best| numbers(best) > 1) {
                self.lines.insert(callee, *best);
            }
        }
        found
    }

    /// The line that a call is given.
    fn line(&self, site: &Site<'t>) -> Option<u64> {
        let number = site.number(*self.lines.get(site.callee)?);
        number.filter(|line| (1..=LAST_LINE).contains(line))
    }

    /// The first and the last line that calls are given with a file.
    fn lines_of(
        &self,
        file: &str,
        sites: &[Site<'t>],
        files: &HashSet<Parameter<'t>>,
    ) -> Option<(u64, u64)> {
        let lines = sites.iter().flat_map(|site| {
            let of = site.files(files).filter(|(path, _)| *path == file);
            of.filter_map(|(_, line)| line.or_else(|| self.line(site)))
        });
        let lines: Vec<u64> = lines.collect();
        Some((*lines.iter().min()?, *lines.iter().max()?))
    }

    /// Whether most who give this parameter a text give another one a file.
    fn beside_a_file(&self, callee: &'t str, slot: Slot, files: &HashSet<Parameter<'t>>) -> bool {
        let functions = self.parameters[&(callee, slot)].functions();
        let others = self.slots[callee].iter().filter(|other| **other != slot);
        let mut files = others.filter(|other| files.contains(&(callee, **other)));
        files.any(|other| {
            let beside = self.parameters[&(callee, *other)].functions();
            beside.intersection(&functions).count() * 2 >= functions.len()
        })
    }
}

/// Where the assertions of libraries that many programs use take the name of
/// the function, counted from 0: one call of them is enough.
const KNOWN: [(&str, usize); 9] = [
    ("assert_fail", 3),
    ("assert_func", 2),
    ("assert2", 2),
    ("assert_rtn", 0),
    ("g_assertion_message_expr", 3),
    ("g_return_if_fail_warning", 1),
    ("g_warn_message", 3),
    ("ERR_set_debug", 2),
    ("qt_assert_x", 0),
];

fn known_slot(callee: &str) -> Option<usize> {
    let plain = callee.trim_start_matches('_');
    let (_, slot) = KNOWN.iter().find(|(name, _)| *name == plain)?;
    Some(*slot)
}

/// Where a call finds a constant: a register, by its name in lower case and at
/// its full width, or what was pushed so many pushes before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Slot([u8; 4]);

impl Slot {
    /// The register that an operand is, if it is one.
    fn register(operand: &str) -> Option<Slot> {
        let bytes = operand.as_bytes();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'$';
        if !(2..=4).contains(&bytes.len()) || bytes[0].is_ascii_digit() || !bytes.iter().all(plain)
        {
            return None;
        }
        let mut name = [0; 4];
        for (at, byte) in bytes.iter().enumerate() {
            name[at] = byte.to_ascii_lowercase();
        }
        // One register has several names by width: eax, ax and al are of rax,
        // r8d of r8, W0 of X0.
        Some(Slot(match name {
            [b'e', a, b @ (b'x' | b'i' | b'p'), 0] => [b'r', a, b, 0],
            [a @ b'a'..=b'd', b'x' | b'l' | b'h', 0, 0] => [b'r', a, b'x', 0],
            [a @ (b's' | b'd' | b'b'), b @ (b'i' | b'p'), 0 | b'l', 0] => [b'r', a, b, 0],
            [b'r', a @ (b'8' | b'9'), b'd' | b'w' | b'b', 0] => [b'r', a, 0, 0],
            [b'r', b'1', a, b'd' | b'w' | b'b'] => [b'r', b'1', a, 0],
            [b'w', a, b, 0] if a.is_ascii_digit() => [b'x', a, b, 0],
            other => other,
        }))
    }

    fn pushed(before: usize) -> Slot {
        Slot([b'p', b'u', b'0' + before as u8, 0])
    }

    /// Which parameter it holds by the conventions of most systems; more than
    /// there are if none.
    fn rank(self) -> usize {
        const ORDER: [[&[u8]; 6]; 4] = [
            [b"rdi", b"x0", b"r0", b"a0", b"$a0", b"pu0"],
            [b"rsi", b"x1", b"r1", b"a1", b"$a1", b"pu1"],
            [b"rdx", b"x2", b"r2", b"a2", b"$a2", b"pu2"],
            [b"rcx", b"x3", b"r3", b"a3", b"$a3", b"pu3"],
        ];
        let name = self.0.split(|b| *b == 0).next().unwrap_or_default();
        let place = ORDER.iter().position(|slots| slots.contains(&name));
        place.unwrap_or(usize::MAX)
    }

    /// Whether a call leaves it as it is: so by the conventions of the
    /// processors that have a register of this name.
    fn survives_calls(self) -> bool {
        matches!(
            self.0,
            [b'r', b'b', b'x' | b'p', 0]
                | [b'r', b'1', b'2'..=b'5', 0]
                | [b'r', b'4'..=b'7', 0, 0]
                | [b'x', b'1', b'9', 0]
                | [b'x', b'2', b'0'..=b'8', 0]
                | [b's', b'0'..=b'9', 0, 0]
                | [b's', b'1', b'0' | b'1', 0]
                | [b'$', b's', b'0'..=b'8', 0]
        )
    }
}

/// A constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held<'t> {
    Text(&'t str),
    Number(u64),
}

/// A call, and the constants that are at hand there. Whether they are its
/// arguments is not known of one call alone.
#[derive(Debug, Clone)]
struct Site<'t> {
    callee: &'t str,
    held: Vec<(Slot, Held<'t>)>,
}

impl<'t> Site<'t> {
    fn texts(&self) -> impl Iterator<Item = (&'t str, Slot)> + '_ {
        self.held.iter().filter_map(|&(slot, held)| match held {
            Held::Text(text) => Some((text, slot)),
            Held::Number(_) => None,
        })
    }

    /// The source files that it gives to parameters which take them, with the line
    /// where one is said beside it.
    fn files<'s>(
        &'s self,
        files: &'s HashSet<Parameter<'t>>,
    ) -> impl Iterator<Item = (&'t str, Option<u64>)> + 's {
        let given = self.texts();
        let given = given.filter(|&(_, slot)| files.contains(&(self.callee, slot)));
        given.filter_map(|(text, _)| source_file(text))
    }

    fn number(&self, wanted: Slot) -> Option<u64> {
        self.held.iter().find_map(|&(slot, held)| match held {
            Held::Number(number) if slot == wanted => Some(number),
            _ => None,
        })
    }
}

/// The calls of a listing that have a text at hand.
///
/// Registers are followed line by line. Where jumps lead to, those are forgotten
/// that calls change; the others are mostly set once for the whole function.
fn calls(listing: &str) -> Vec<Site<'_>> {
    let mut sites = Vec::new();
    if !listing.contains("; \"") {
        return sites;
    }
    let targets = targets(listing);
    let mut registers: Vec<(Slot, Held<'_>)> = Vec::new();
    let mut pushed: Vec<Option<Held<'_>>> = Vec::new();
    for (at, line) in listing.lines().enumerate() {
        if targets.contains(&(at + 1)) {
            registers.retain(|(slot, _)| slot.survives_calls());
            pushed.clear();
        }
        let (code, text) = match line.split_once("; \"") {
            Some((code, text)) => (code, text.strip_suffix('"')),
            None => (line, None),
        };
        let Some((mnemonic, operands)) = code.trim_end().split_once(' ') else {
            continue;
        };
        let operands = operands.trim_start();
        let (first, rest) = operands.split_once(", ").unwrap_or((operands, ""));
        let value = |operand: &str| {
            let of = |slot| registers.iter().find(|(known, _)| *known == slot);
            let held = Slot::register(operand).and_then(of).map(|(_, held)| *held);
            text.map(Held::Text).or(held)
        };
        match effect(mnemonic) {
            Effect::Calls | Effect::Jumps => {
                let callee = operands.rsplit(", ").next().unwrap_or(operands);
                if callee.contains("INSTR") {
                    continue;
                }
                let texts = |held: &Held<'_>| matches!(held, Held::Text(_));
                let on_stack = pushed.iter().rev().take(10).enumerate();
                let on_stack = on_stack.filter_map(|(n, held)| Some((Slot::pushed(n), (*held)?)));
                let held: Vec<_> = registers.iter().copied().chain(on_stack).collect();
                if held.iter().any(|(_, held)| texts(held)) {
                    sites.push(Site { callee, held });
                }
                registers.retain(|(slot, _)| slot.survives_calls());
                pushed.clear();
            }
            Effect::Pushes => pushed.push(value(first)),
            Effect::Nothing => {}
            Effect::Sets => {
                let Some(slot) = Slot::register(first) else {
                    continue;
                };
                let copies = mnemonic.eq_ignore_ascii_case("mov");
                let new = match text {
                    Some(text) => Some(Held::Text(text)),
                    None if copies => value(rest).or_else(|| number(rest).map(Held::Number)),
                    None => None,
                };
                registers.retain(|(known, _)| *known != slot);
                registers.extend(new.map(|held| (slot, held)));
            }
        }
    }
    sites
}

/// The lines that a listing's jumps lead to, counted from 1.
fn targets(listing: &str) -> HashSet<usize> {
    let jumps = listing.lines().filter(|line| !line.contains("; \""));
    let places = jumps.filter_map(|line| line.split_once("INSTR"));
    let numbers = places.filter_map(|(_, rest)| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().ok()
    });
    numbers.collect()
}

/// What an instruction does to the register that it names first.
enum Effect {
    Calls,
    Jumps,
    Pushes,
    Nothing,
    Sets,
}

fn effect(mnemonic: &str) -> Effect {
    let mut lower = [0; 8];
    let bytes = mnemonic.as_bytes();
    if bytes.len() > lower.len() {
        return Effect::Sets;
    }
    for (at, byte) in bytes.iter().enumerate() {
        lower[at] = byte.to_ascii_lowercase();
    }
    match &lower[..bytes.len()] {
        b"call" | b"bl" | b"blx" | b"jal" | b"jalr" | b"bal" => Effect::Calls,
        b"jmp" | b"b" | b"j" | b"tail" => Effect::Jumps,
        b"push" => Effect::Pushes,
        b"cmp" | b"test" | b"tst" | b"nop" | b"str" | b"strb" | b"strh" | b"stp" | b"cbz"
        | b"cbnz" | b"tbz" | b"tbnz" | b"sb" | b"sh" | b"sw" | b"sd" => Effect::Nothing,
        _ => Effect::Sets,
    }
}

/// The number that an operand is: `3Fh`, `9`, `#0x3f` or `#9`.
fn number(operand: &str) -> Option<u64> {
    let plain = operand.strip_prefix('#').unwrap_or(operand);
    if let Some(hexadecimal) = plain.strip_prefix("0x") {
        return u64::from_str_radix(hexadecimal, 16).ok();
    }
    match plain.strip_suffix('h') {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => plain.parse().ok(),
    }
}

/// The name in what compilers put for `__func__` or `__PRETTY_FUNCTION__`.
fn function_name(text: &str) -> Option<&str> {
    const LONGEST: usize = 200;
    if !(3..=LONGEST).contains(&text.len()) {
        return None;
    }
    let name = match text.contains('(') {
        true => declared(text)?,
        false => text,
    };
    let mut parts = name.split("::");
    let is_part = |part: &str| {
        let part = part.split('<').next().unwrap_or(part);
        let part = part.strip_prefix('~').unwrap_or(part);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(word)
    };
    // Without a small letter it is a constant or an acronym.
    let fits = parts.all(is_part) && name.contains(|c: char| c.is_ascii_lowercase());
    (fits && name.len() >= 3).then_some(name)
}

/// The name in a declaration: `bool png::reader::next(int) const`.
fn declared(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.checked_sub(1)?,
            ' ' | '*' | '&' if depth == 0 => start = at + 1,
            '(' if depth == 0 => {
                // A name alone before brackets is a message: "free() failed".
                return (start > 0 && text.ends_with([')', ']', 't'])).then(|| &text[start..at]);
            }
            _ => {}
        }
    }
    None
}

/// The source file that a text names, and the line of it: `src/main.rs:12:5` in a
/// panic of Rust.
fn source_file(text: &str) -> Option<(&str, Option<u64>)> {
    const ENDINGS: [&str; 15] = [
        "c", "cc", "cpp", "cxx", "C", "h", "hh", "hpp", "hxx", "m", "mm", "inl", "y", "l", "rs",
    ];
    let place = text.rsplit_once(':').and_then(|(before, _column)| {
        let (path, line) = before.rsplit_once(':')?;
        Some((path, line.parse().ok()?)).filter(|_| path.ends_with(".rs"))
    });
    let (path, line) = place.map_or((text, None), |(path, line)| (path, Some(line)));
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    let part = |c: char| c.is_ascii_alphanumeric() || "_./\\:+-".contains(c);
    let names = ending.is_some_and(|ending| ENDINGS.contains(&ending));
    (names && path.chars().all(part)).then_some((path, line))
}

/// Whether functions of a file are mostly inlined into those of others: a header,
/// the libraries of Rust.
fn is_header(file: &str) -> bool {
    if file.contains("/rustc/") {
        return true;
    }
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["h", "hh", "hpp", "hxx", "inl"].contains(&ending)
}

/// Whether a format writes a name first: `%s: cannot open`.
fn begins_with_a_name(format: &str) -> bool {
    let start = format.find(|c: char| c.is_ascii_alphanumeric() || c == '%');
    let start = start.filter(|&at| at <= 3).map(|at| &format[at..]);
    let rest = start.and_then(|rest| rest.strip_prefix("%s"));
    rest.is_some_and(|rest| {
        [": ", "(", ":%", "[", " -", ","]
            .iter()
            .any(|after| rest.starts_with(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listings: &[String]) -> Vec<Told> {
        let speaker = |listing: &'static str| Speaker {
            listing,
            symbol: None,
        };
        let leaked = listings.iter().map(|l| &*l.clone().leak());
        let speakers: Vec<Speaker<'_>> = leaked.map(speaker).collect();
        told(&speakers)
    }

    fn asserting(name: &str, file: &str, line: u32) -> String {
        format!(
            "push    rbx\ntest    rdi, rdi\njz      INSTR5\nretn\n\
             lea     rcx, aName; \"{name}\"\nmov     edx, {line:X}h\n\
             lea     rsi, aFile; \"{file}\"\nlea     rdi, aP; \"p != NULL\"\ncall    sub_100\n"
        )
    }

    fn name(told: &Told) -> Option<(&str, f32)> {
        told.names.first().map(|n| (n.name.as_str(), n.confidence))
    }

    fn file(told: &Told) -> Option<(&str, bool)> {
        told.file.as_ref().map(|f| (f.path.as_str(), f.told))
    }

    #[test]
    fn silent_functions_are_of_the_file_around_them() {
        let silent = || "xor     eax, eax\nretn\n".to_owned();
        let heard = of(&[
            silent(),
            asserting("first", "a.c", 0x20),
            silent(),
            asserting("inlined", "safe.h", 0x20),
            asserting("second", "a.c", 0x90),
            silent(),
            asserting("third", "b.c", 0x90),
        ]);
        let files: Vec<_> = heard.iter().map(file).collect();
        let (told, around) = (Some(("a.c", true)), Some(("a.c", false)));
        let other = Some(("b.c", true));
        assert_eq!(files, [None, told, around, around, told, None, other]);
        assert_eq!(left_out(&heard), (0, 0));
        let heard = of(&[0x20, 0x30, 0x40].map(|at| asserting(&format!("f{at}_"), "a.c", at)));
        assert_eq!(left_out(&heard), (1, 1));
    }

    #[test]
    fn an_assertion_names_its_function_and_file() {
        let heard = of(&[
            asserting("write_header2", "g10/build-packet.c", 0x69E),
            asserting("ctb_new_format_p", "g10/build-packet.c", 0x3F),
        ]);
        assert_eq!(name(&heard[0]), Some(("write_header2", ONLY)));
        assert_eq!(name(&heard[1]), Some(("ctb_new_format_p", ONLY)));
        assert_eq!(file(&heard[0]), Some(("g10/build-packet.c", true)));
        assert_eq!(
            heard[0].names[0].why,
            "told to sub_100 as of g10/build-packet.c:1694"
        );
    }

    #[test]
    fn what_is_beyond_any_file_is_no_line() {
        let heard = of(&[
            asserting("first", "a.c", 0x20),
            asserting("second", "a.c", 0x30),
            asserting("third", "a.c", 0x8000_0003),
        ]);
        let lines = heard.iter().map(|told| told.file.as_ref().unwrap().lines);
        let expected = [Some((32, 32)), Some((48, 48)), None];
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn panics_of_rust_tell_the_file_and_lines() {
        let panics = |places: &[&str]| {
            let one = |place| format!("lea     rdx, off_9A0; \"{place}\"\ncall    sub_200\n");
            places.iter().map(one).collect::<String>()
        };
        let library = "/rustc/598076/library/core/src/slice/index.rs:1020:9";
        let kept = "/home/me/.cargo/registry/src/index-19/indexmap-2.14.0/src/inner.rs";
        let heard = of(&[
            panics(&[library, "src/main.rs:30:5", library, "src/main.rs:12:33"]),
            panics(&[library]),
            panics(&[&format!("{kept}:38:15")]),
        ]);
        let said = |told: &Told| {
            let file = told.file.clone().unwrap();
            (file.short().to_owned(), file.lines)
        };
        assert_eq!(said(&heard[0]), ("src/main.rs".to_owned(), Some((12, 30))));
        let (path, lines) = said(&heard[1]);
        assert_eq!(
            (path.as_str(), lines),
            ("library/core/src/slice/index.rs", Some((1020, 1020)))
        );
        let inner = "indexmap-2.14.0/src/inner.rs".to_owned();
        assert_eq!(said(&heard[2]), (inner, Some((38, 38))));
        assert!(heard.iter().all(|told| told.names.is_empty()));
    }

    #[test]
    fn what_is_inlined_is_told_from_what_it_is_inlined_into() {
        let both = asserting("helper", "a.c", 0x20) + &asserting("caller", "a.c", 0x90);
        let shared = asserting("checked_add", "safe.h", 0x200);
        let heard = of(&[
            both,
            asserting("one", "a.c", 0x99) + &shared,
            asserting("two", "a.c", 0xA9) + &shared,
            shared,
        ]);
        assert_eq!(name(&heard[0]), Some(("caller", BEST)));
        assert_eq!(heard[0].names[1].name, "helper");
        assert_eq!(name(&heard[1]), Some(("one", ONLY)));
        assert_eq!(name(&heard[2]), Some(("two", ONLY)));
        // Claimed by three, it is nobody's.
        assert_eq!(heard[3].names, []);
        assert_eq!(file(&heard[3]), Some(("safe.h", true)));
    }

    #[test]
    fn a_log_that_begins_with_a_name_is_given_one() {
        let logging = |name: &str, what: &str| {
            format!(
                "lea     rbx, aName; \"{name}\"\nmov     rsi, rbx\n\
                 lea     rdi, aFormat; \"%s: {what}\"\nxor     eax, eax\ncall    sub_5E650\n"
            )
        };
        let heard = of(&[
            logging("grid_move_cells", "too far"),
            logging("style_parse", "no style"),
        ]);
        assert_eq!(name(&heard[0]), Some(("grid_move_cells", ONLY)));
        assert_eq!(name(&heard[1]), Some(("style_parse", ONLY)));
    }

    #[test]
    fn keys_and_words_are_no_names() {
        let asks = |key: &str| {
            format!("lea     rsi, aKey; \"{key}\"\nmov     rdi, rbx\ncall    sub_9000\n")
        };
        let heard = of(&[asks("user_name"), asks("max_size"), asks("debug_level")]);
        assert!(heard.iter().all(|told| told.names.is_empty()), "{heard:?}");

        // The same few words in many functions, beside a file.
        let domain = |n: u32| asserting(["GLib", "Gio"][n as usize % 2], "a.c", n + 0x10);
        let heard = of(&(0..9).map(domain).collect::<Vec<_>>());
        assert!(heard.iter().all(|told| told.names.is_empty()), "{heard:?}");
    }

    #[test]
    fn one_call_of_assert_fail_is_enough_on_every_processor() {
        let arm = "ADRP    X0, #aP@PAGE\nADD     X0, X0, #aP@PAGEOFF; \"p\"\n\
                   ADRP    X3, #aF@PAGE\nADD     X3, X3, #aF@PAGEOFF; \"list_pop\"\n\
                   MOV     W2, #0x20\nBL      ___assert_fail\n";
        assert_eq!(name(&of(&[arm.to_owned()])[0]), Some(("list_pop", ONLY)));
        let x86 = "push    offset aF; \"list_pop\"\npush    20h\npush    offset aL; \"l.c\"\n\
                   push    offset aP; \"p\"\ncall    ___assert_fail\n";
        assert_eq!(name(&of(&[x86.to_owned()])[0]), Some(("list_pop", ONLY)));
    }

    #[test]
    fn a_symbol_says_whose_name_it_is() {
        let listing = asserting("buffer_grow", "b.c", 0x30);
        let other = asserting("buffer_free", "b.c", 0x40);
        let third = asserting("buffer_new", "b.c", 0x50);
        let speaker = |listing, symbol| Speaker { listing, symbol };
        let said = told(&[
            // The first has that of one that it takes in, as the second, which is
            // called so.
            speaker(listing.as_str(), Some("buffer_append")),
            speaker("retn", Some("buffer_grow")),
            speaker(other.as_str(), None),
            speaker(third.as_str(), Some("buffer_new")),
        ]);
        assert_eq!(said[0].names, []);
        assert_eq!(name(&said[2]), Some(("buffer_free", ONLY)));
        assert_eq!(name(&said[3]), Some(("buffer_new", ONLY)));
    }

    #[test]
    fn names_are_read_from_declarations() {
        let named = |text| function_name(text);
        assert_eq!(named("png_read_row"), Some("png_read_row"));
        assert_eq!(
            named("std::vector<int, A<int> > png::reader::next(int) const"),
            Some("png::reader::next")
        );
        assert_eq!(
            named("void* Pool::~Pool(int, void (*)(int))"),
            Some("Pool::~Pool")
        );
        assert_eq!(named("free() failed"), None);
        assert_eq!(named("cannot open"), None);
        assert_eq!(named("EINVAL"), None);
        assert_eq!(named("a.c"), None);
    }
}
