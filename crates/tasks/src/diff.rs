//! Which function of an old version is which of a new one.
//!
//! What says so beyond doubt comes first: a name, or code that is the same but for
//! where things lie. Of the rest each candidate has a score, its cosine and what
//! agrees around it: who calls it and whom it calls, which strings and imports it
//! has, and which functions lie before and after it. The best are taken, those that
//! are best for either side, and settle what agrees around others; then again.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use binscribe_lift::{Facts, Listing};

use crate::Matrix;

/// The functions of one version, in the order of their addresses.
#[derive(Debug)]
pub struct Version<'a> {
    /// The vector of each; a row of zeros where it has none.
    pub vectors: &'a Matrix,
    /// The rest of what is known of each.
    pub functions: Vec<Traits>,
}

/// What is known of a function beside its vector.
#[derive(Debug, Clone, Default)]
pub struct Traits {
    /// The name that the file gives it, or that it gives itself.
    pub name: Option<String>,
    /// [`code`] of its listing.
    pub code: u64,
    /// How many instructions it has.
    pub instructions: usize,
    /// The positions of the functions that it calls, ascending.
    pub callees: Vec<usize>,
    /// [`mentions`] of its listing, ascending.
    pub mentions: Vec<u64>,
}

/// Why two functions are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Both have the name, and no other has it.
    Name,
    /// Both have the code, and no other has it.
    Code,
    /// They are the best for each other.
    Likeness,
}

impl Why {
    /// The word that people and JSON see.
    pub fn word(self) -> &'static str {
        match self {
            Why::Name => "name",
            Why::Code => "code",
            Why::Likeness => "likeness",
        }
    }
}

/// A function of the old version and the one that it is in the new.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Its position in the old version.
    pub old: usize,
    /// Its position in the new one.
    pub new: usize,
    /// The cosine of their vectors, if both have one.
    pub cosine: Option<f32>,
    /// From 0 to 1: the cosine and what agrees around them; 1 for a name or code.
    pub score: f32,
    /// What said so.
    pub why: Why,
    /// Whether it is another now: its code differs, or whom it calls.
    pub changed: bool,
}

/// What agreement around a function may add to its cosine.
const CALLS: f32 = 0.2;
const MENTIONS: f32 = 0.2;
const PLACE: f32 = 0.1;
/// As much as all of it.
const MOST: f32 = 1.0 + CALLS + MENTIONS + PLACE;
/// How many functions of the other version are looked at for their cosine.
const NEAREST: usize = 8;
/// Scores are taken from the first downward; what has less than the last is new
/// or gone.
const STEPS: [f32; 6] = [0.85, 0.75, 0.68, 0.62, 0.56, 0.5];
/// By how much the best must beat the second best.
const MARGIN: f32 = 0.01;
/// What code of fewer instructions says is little.
pub const TELLING: usize = 8;

/// The functions that are in both versions, by their position in the old one.
pub fn pairs(old: &Version<'_>, new: &Version<'_>) -> Vec<Pair> {
    let mut matching = Matching::new(old, new);
    let name = |traits: &Traits| traits.name.as_ref().map(hash);
    matching.settle(&alone(old, name), &alone(new, name), Why::Name);
    let code = |traits: &Traits| (traits.instructions >= TELLING).then_some(traits.code);
    matching.settle(&alone(old, code), &alone(new, code), Why::Code);
    matching.grow();
    let mut pairs = std::mem::take(&mut matching.pairs);
    for pair in &mut pairs {
        pair.changed = matching.is_changed(pair);
    }
    pairs.sort_unstable_by_key(|pair| pair.old);
    pairs
}

/// The functions that alone have what `key` says of them.
fn alone(version: &Version<'_>, key: impl Fn(&Traits) -> Option<u64>) -> HashMap<u64, usize> {
    let mut found: HashMap<u64, Option<usize>> = HashMap::new();
    for (position, traits) in version.functions.iter().enumerate() {
        if let Some(key) = key(traits) {
            let others = found.entry(key).or_insert(Some(position));
            if *others != Some(position) {
                *others = None;
            }
        }
    }
    let alone = found.into_iter();
    alone.filter_map(|(key, at)| Some((key, at?))).collect()
}

struct Matching<'a> {
    old: &'a Version<'a>,
    new: &'a Version<'a>,
    old_callers: Vec<Vec<usize>>,
    new_callers: Vec<Vec<usize>>,
    /// Whom each old function is, and the other way.
    to_new: Vec<Option<usize>>,
    to_old: Vec<Option<usize>>,
    /// How much a mention says: it is the less, the more functions have it.
    weights: HashMap<u64, f32>,
    pairs: Vec<Pair>,
}

impl<'a> Matching<'a> {
    fn new(old: &'a Version<'a>, new: &'a Version<'a>) -> Matching<'a> {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        let functions = old.functions.iter().chain(&new.functions);
        for mention in functions.flat_map(|traits| &traits.mentions) {
            *counts.entry(*mention).or_default() += 1;
        }
        let all = (old.functions.len() + new.functions.len()) as f32;
        let weight = |count: usize| (all / count as f32).ln();
        Matching {
            old,
            new,
            old_callers: callers(old),
            new_callers: callers(new),
            to_new: vec![None; old.functions.len()],
            to_old: vec![None; new.functions.len()],
            weights: counts
                .into_iter()
                .map(|(mention, count)| (mention, weight(count)))
                .collect(),
            pairs: Vec::new(),
        }
    }

    fn take(&mut self, old: usize, new: usize, score: f32, why: Why) {
        self.to_new[old] = Some(new);
        self.to_old[new] = Some(old);
        self.pairs.push(Pair {
            old,
            new,
            cosine: [(self.old, old), (self.new, new)]
                .iter()
                .all(|(version, at)| version.vectors.row(*at).iter().any(|x| *x != 0.0))
                .then(|| self.cosine(old, new)),
            score,
            why,
            changed: false,
        });
    }

    /// Takes those that alone have the same key, as far as they are free.
    fn settle(&mut self, old: &HashMap<u64, usize>, new: &HashMap<u64, usize>, why: Why) {
        for (key, &position) in old {
            if let Some(&other) = new.get(key)
                && self.is_free(position, other)
            {
                self.take(position, other, 1.0, why);
            }
        }
    }

    fn is_free(&self, old: usize, new: usize) -> bool {
        self.to_new[old].is_none() && self.to_old[new].is_none()
    }

    fn cosine(&self, old: usize, new: usize) -> f32 {
        crate::dot(self.old.vectors.row(old), self.new.vectors.row(new))
    }

    fn is_changed(&self, pair: &Pair) -> bool {
        let (old, new) = (&self.old.functions[pair.old], &self.new.functions[pair.new]);
        let calls_another = || {
            let callees = old.callees.iter().filter_map(|&callee| self.to_new[callee]);
            old.callees.len() != new.callees.len() || { callees }
                .any(|callee| new.callees.binary_search(&callee).is_err())
        };
        old.code != new.code || calls_another()
    }

    fn grow(&mut self) {
        let nearest = self.nearest();
        for least in STEPS {
            loop {
                let taken = self.round(&nearest, least * MOST);
                if taken == 0 {
                    break;
                }
            }
        }
    }

    /// The free functions of the new version that are most like each free one of
    /// the old.
    fn nearest(&self) -> Vec<(usize, usize)> {
        let free = |taken: &[Option<usize>]| -> Vec<usize> {
            (0..taken.len()).filter(|&at| taken[at].is_none()).collect()
        };
        let (old, new) = (free(&self.to_new), free(&self.to_old));
        let near = (self.old.vectors.select(&old)).nearest(&self.new.vectors.select(&new), NEAREST);
        let pairs = old.iter().zip(near);
        pairs
            .flat_map(|(&position, near)| {
                let new = &new;
                near.into_iter()
                    .map(move |(other, _)| (position, new[other]))
            })
            .collect()
    }

    /// Takes the pairs that are best for both and have at least this score; how
    /// many they are.
    fn round(&mut self, nearest: &[(usize, usize)], least: f32) -> usize {
        let mut candidates: HashSet<(usize, usize)> = nearest.iter().copied().collect();
        candidates.extend(self.around());
        let mut scored: Vec<(f32, usize, usize)> = candidates
            .into_iter()
            .filter(|&(old, new)| self.is_free(old, new))
            .map(|(old, new)| (self.score(old, new), old, new))
            .collect();
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        // The best and the second best score of each function of either version.
        let mut seconds: HashMap<(bool, usize), (f32, Option<f32>)> = HashMap::new();
        for &(score, old, new) in &scored {
            for side in [(false, old), (true, new)] {
                seconds
                    .entry(side)
                    .and_modify(|(_, second)| *second = second.or(Some(score)))
                    .or_insert((score, None));
            }
        }
        let mut taken = 0;
        for (score, old, new) in scored {
            if score < least {
                break;
            }
            let clear = [(false, old), (true, new)].iter().all(|side| {
                let (best, second) = seconds[side];
                best == score && second.is_none_or(|second| score - second >= MARGIN)
            });
            if clear && self.is_free(old, new) {
                self.take(old, new, score / MOST, Why::Likeness);
                taken += 1;
            }
        }
        taken
    }

    /// Pairs whose place or whose callers say that they might be one.
    fn around(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (old, new) in self.to_new.iter().enumerate() {
            let Some(new) = *new else { continue };
            for (a, b) in [
                (old.checked_sub(1), new.checked_sub(1)),
                (Some(old + 1), Some(new + 1)),
            ] {
                if let (Some(a), Some(b)) = (a, b)
                    && a < self.to_new.len()
                    && b < self.to_old.len()
                {
                    found.push((a, b));
                }
            }
            for (olds, news) in [
                (
                    &self.old.functions[old].callees,
                    &self.new.functions[new].callees,
                ),
                (&self.old_callers[old], &self.new_callers[new]),
            ] {
                // All with all of those that many call would be many.
                const FEW: usize = 8;
                let olds = olds.iter().filter(|&&at| self.to_new[at].is_none());
                let news = news.iter().filter(|&&at| self.to_old[at].is_none());
                let (olds, news): (Vec<usize>, Vec<usize>) =
                    (olds.copied().collect(), news.copied().collect());
                if olds.len() <= FEW && news.len() <= FEW {
                    for &a in &olds {
                        found.extend(news.iter().map(|&b| (a, b)));
                    }
                }
            }
        }
        found
    }

    fn score(&self, old: usize, new: usize) -> f32 {
        let (a, b) = (&self.old.functions[old], &self.new.functions[new]);
        let is_named = a.name.is_some() && b.name.is_some();
        let cosine = match a.code == b.code {
            true => 1.0,
            // Two names are two functions, unless the code says that one was renamed.
            false if is_named && a.name != b.name => return 0.0,
            false => self.cosine(old, new),
        };
        cosine
            + CALLS * self.calls(old, new)
            + MENTIONS * self.mentions(a, b)
            + PLACE * self.place(old, new)
    }

    /// Of the callers and callees that are known on both sides, the share that are
    /// each other's; 0 where none is known.
    fn calls(&self, old: usize, new: usize) -> f32 {
        let mut known = 0;
        let mut agree = 0;
        for (olds, news) in [
            (
                &self.old.functions[old].callees,
                &self.new.functions[new].callees,
            ),
            (&self.old_callers[old], &self.new_callers[new]),
        ] {
            for at in olds {
                if let Some(other) = self.to_new[*at] {
                    known += 1;
                    agree += usize::from(news.binary_search(&other).is_ok());
                }
            }
            known += news.iter().filter(|at| self.to_old[**at].is_some()).count();
        }
        // Each that agrees is among the known of either side.
        match known {
            0 => 0.0,
            known => 2.0 * agree as f32 / known as f32,
        }
    }

    /// The weighted share of what they mention that both do.
    fn mentions(&self, a: &Traits, b: &Traits) -> f32 {
        let weight = |mentions: &[u64]| -> f32 { mentions.iter().map(|m| self.weights[m]).sum() };
        let common: Vec<u64> = a
            .mentions
            .iter()
            .copied()
            .filter(|mention| b.mentions.binary_search(mention).is_ok())
            .collect();
        let common = weight(&common);
        let all = weight(&a.mentions) + weight(&b.mentions) - common;
        if all > 0.0 { common / all } else { 0.0 }
    }

    /// Half for each of the functions before and after them that are one.
    fn place(&self, old: usize, new: usize) -> f32 {
        let before = match (old.checked_sub(1), new.checked_sub(1)) {
            (Some(a), Some(b)) => self.to_new[a] == Some(b),
            (None, None) => true,
            _ => false,
        };
        let after = match (self.to_new.get(old + 1), new + 1 < self.to_old.len()) {
            (Some(other), true) => *other == Some(new + 1),
            (None, false) => true,
            _ => false,
        };
        (f32::from(u8::from(before)) + f32::from(u8::from(after))) / 2.0
    }
}

/// Who calls each function.
fn callers(version: &Version<'_>) -> Vec<Vec<usize>> {
    let mut callers = vec![Vec::new(); version.functions.len()];
    for (caller, traits) in version.functions.iter().enumerate() {
        for &callee in &traits.callees {
            callers[callee].push(caller);
        }
    }
    callers
}

/// A function's code but for where things lie: two versions of a program have them
/// elsewhere, whether or not this function has changed. `names` are those of the
/// program's functions, which another version may know by others. Instructions that
/// do nothing do not count: whether jumps are guarded (`endbr64`) is a switch of the
/// compiler's.
pub fn code(listing: &Listing, names: &HashSet<String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for line in does(listing, names) {
        line.hash(&mut hasher);
    }
    hasher.finish()
}

/// The instructions of a function that do anything, without addresses, numbered anew
/// where one jumps to another.
pub fn does(listing: &Listing, names: &HashSet<String>) -> Vec<String> {
    let is_kept = |text: &str| {
        let mnemonic = text.split(' ').next().unwrap_or_default();
        let nothing = ["endbr64", "endbr32", "nop", "BTI", "NOP"];
        !nothing.contains(&mnemonic) && text != "xchg    ax, ax"
    };
    // What the number of each line is among those that are kept.
    let mut kept = 0;
    let numbers: Vec<usize> = listing
        .lines()
        .map(|line| {
            let number = kept + 1;
            kept += usize::from(is_kept(line.text));
            number
        })
        .collect();
    let lines = listing.lines().filter(|line| is_kept(line.text));
    lines
        .map(|line| renumbered(&settled(line.text, names), &numbers))
        .collect()
}

/// `line` with the numbers that the instructions it jumps to have in `numbers`.
fn renumbered(line: &str, numbers: &[usize]) -> String {
    let Some((before, after)) = line.split_once("INSTR") else {
        return line.to_owned();
    };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = after.split_at(digits);
    let number = number.parse().ok().and_then(|number: usize| {
        let place = number.checked_sub(1)?;
        numbers.get(place).copied()
    });
    match number {
        Some(number) => format!("{before}INSTR{number}{rest}"),
        None => line.to_owned(),
    }
}

/// An instruction without the addresses in its names: `lea rdi, unk_`.
pub fn settled(line: &str, names: &HashSet<String>) -> String {
    replaced(line, |word| match word.rsplit_once('_') {
        _ if names.contains(word) => Some("sub_".to_owned()),
        Some((kind, address)) if is_made_up(kind, address) => Some(format!("{kind}_")),
        _ => None,
    })
}

/// An instruction in which other words stand for some of those of its operands.
/// Comments stay: what they say of a string is the string.
pub fn replaced(line: &str, other: impl Fn(&str) -> Option<String>) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '@' | '?' | '.');
    let (code, comment) = line.split_at(line.find("; ").unwrap_or(line.len()));
    let mut text = String::with_capacity(line.len());
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        rest = more;
        match other(word) {
            Some(other) => text.push_str(&other),
            None => text.push_str(word),
        }
    }
    text.push_str(rest);
    text.push_str(comment);
    text
}

/// Whether it is a name of ours: a word, and the address in capital digits.
fn is_made_up(kind: &str, address: &str) -> bool {
    const KINDS: [&str; 12] = [
        "sub", "loc", "byte", "word", "dword", "qword", "xmmword", "ymmword", "off", "unk", "jpt",
        "def",
    ];
    let capital = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    KINDS.contains(&kind) && !address.is_empty() && address.bytes().all(capital)
}

/// The strings, imports and telling constants of a function, as numbers, ascending.
pub fn mentions(facts: &Facts) -> Vec<u64> {
    // Smaller numbers are sizes and flags.
    const TELLING: u64 = 0x1_0000;
    let strings = facts.strings.iter().map(|string| hash(&("string", string)));
    let imports = facts.calls.iter().filter(|call| call.import);
    let imports = imports.map(|call| hash(&("import", &call.name)));
    let constants = facts.constants.iter().filter(|&&c| c >= TELLING);
    let constants = constants.map(|constant| hash(&("constant", constant)));
    let mut mentions: Vec<u64> = strings.chain(imports).chain(constants).collect();
    mentions.sort_unstable();
    mentions.dedup();
    mentions
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_renumbered() {
        // The second instruction is left out.
        let numbers = [1, 2, 2, 3];
        let check = |line: &str, expected: &str| assert_eq!(renumbered(line, &numbers), expected);
        check("jz      short INSTR4", "jz      short INSTR3");
        check("jmp     INSTR1", "jmp     INSTR1");
        check("jmp     INSTR9", "jmp     INSTR9");
        check("nop", "nop");
    }

    #[test]
    fn code_has_no_addresses() {
        let names = HashSet::from(["parse_line".to_owned()]);
        let check = |line: &str, expected: &str| assert_eq!(settled(line, &names), expected);
        check("call    sub_401A30", "call    sub_");
        check("call    parse_line", "call    sub_");
        check("call    _strlen", "call    _strlen");
        check("mov     eax, cs:dword_4010", "mov     eax, cs:dword_");
        check(
            "lea     rdi, aUsage; \"usage: sub_12\"",
            "lea     rdi, aUsage; \"usage: sub_12\"",
        );
        check("cmp     eax, 1Fh", "cmp     eax, 1Fh");
        check("mov     eax, [rbp+var_18]", "mov     eax, [rbp+var_18]");
    }

    fn traits(code: u64, callees: &[usize], mentions: &[u64]) -> Traits {
        Traits {
            name: None,
            code,
            instructions: 20,
            callees: callees.to_vec(),
            mentions: mentions.to_vec(),
        }
    }

    fn found(old: &Version<'_>, new: &Version<'_>) -> Vec<(usize, usize, Why)> {
        let pairs = pairs(old, new).into_iter();
        pairs.map(|pair| (pair.old, pair.new, pair.why)).collect()
    }

    /// Two functions that look alike are told apart by whom they call.
    #[test]
    fn callees_decide_between_equals() {
        let like = [0.6, 0.8];
        let old = Matrix::from_rows(&[like, like, [1.0, 0.0], [0.0, 1.0]]);
        let new = Matrix::from_rows(&[[1.0, 0.0], [0.0, 1.0], like, like]);
        let old = Version {
            vectors: &old,
            functions: vec![
                traits(1, &[2], &[]),
                traits(2, &[3], &[]),
                traits(7, &[], &[]),
                traits(8, &[], &[]),
            ],
        };
        let new = Version {
            vectors: &new,
            functions: vec![
                traits(7, &[], &[]),
                traits(8, &[], &[]),
                traits(3, &[1], &[]),
                traits(4, &[0], &[]),
            ],
        };
        let expected = [
            (0, 3, Why::Likeness),
            (1, 2, Why::Likeness),
            (2, 0, Why::Code),
            (3, 1, Why::Code),
        ];
        assert_eq!(found(&old, &new), expected);
    }

    #[test]
    fn what_is_like_nothing_is_new() {
        let old = Matrix::from_rows(&[[1.0, 0.0]]);
        let new = Matrix::from_rows(&[[0.0, 1.0], [0.99, 0.1]]);
        let named = |name: &str| Traits {
            name: Some(name.to_owned()),
            ..traits(0, &[], &[])
        };
        let only = Version {
            vectors: &old,
            functions: vec![traits(1, &[], &[])],
        };
        let both = Version {
            vectors: &new,
            functions: vec![traits(2, &[], &[]), traits(3, &[], &[])],
        };
        assert_eq!(found(&only, &both), [(0, 1, Why::Likeness)]);
        let only = Version {
            vectors: &old,
            functions: vec![named("init")],
        };
        let both = Version {
            vectors: &new,
            functions: vec![named("init"), traits(3, &[], &[])],
        };
        assert_eq!(found(&only, &both), [(0, 0, Why::Name)]);
    }
}
