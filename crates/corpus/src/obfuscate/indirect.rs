//! Indirect branches.
//!
//! A jump reads its target from a table of block addresses, so that the
//! instruction does not say where it leads.

use super::dice::Dice;
use super::ir::{Context, Function, Instruction};
use super::opaque::Builder;

/// How many of a hundred jumps become indirect.
const PERCENT: usize = 60;

/// Makes jumps of a function indirect and says whether there was one.
pub(super) fn apply(
    function: &mut Function,
    context: &mut Context,
    dice: &mut Dice,
) -> Result<bool, String> {
    // A linker may drop such a function for another file's copy, and the table
    // would refer to what is gone.
    let shared = ["linkonce", "linkonce_odr", "weak", "weak_odr", "comdat"];
    let mut words = function.header.split_whitespace();
    if words.any(|w| shared.contains(&w) || w.starts_with("comdat(")) {
        return Err("a linker may drop it, but not the table of its blocks".to_owned());
    }
    let chosen: Vec<usize> = function
        .blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.terminator().is_some_and(is_plain_jump))
        .map(|(index, _)| index)
        .filter(|_| dice.percent(PERCENT))
        .collect();
    let entries: Vec<String> = chosen
        .iter()
        .filter_map(|index| function.blocks[*index].terminator())
        .flat_map(Instruction::targets)
        .map(|target| format!("blockaddress({}, %{target})", function.name))
        .collect();
    if entries.is_empty() {
        return Ok(false);
    }
    let pointer = context.types.pointer("i8");
    let name = format!("@{}.targets.{}", context.prefix, plain(&function.name));
    let of = format!("[{} x {pointer}]", entries.len());
    let table = Table {
        place: format!("{of}, {} {name}", context.types.pointer(&of)),
        entry: context.types.pointer(&pointer),
        pointer,
    };
    let mut first = 0;
    for index in chosen {
        let Some(jump) = function.blocks[index].instructions.pop() else {
            continue;
        };
        let instead = table.jump(&jump, first, function, context);
        function.blocks[index].instructions.extend(instead);
        first += jump.targets().len();
    }
    let entries: Vec<String> = entries
        .iter()
        .map(|e| format!("{} {e}", table.pointer))
        .collect();
    let entries = entries.join(", ");
    context
        .added
        .push(format!("{name} = internal global {of} [{entries}]"));
    Ok(true)
}

/// A `br` of one or two ways. One whose ways are the same has two entries in a
/// `phi` of its target, which is no matter to make harder.
fn is_plain_jump(jump: &Instruction) -> bool {
    let targets = jump.targets();
    jump.op == "br" && (targets.len() < 2 || targets[0] != targets[1])
}

/// The table of a function's block addresses.
struct Table {
    /// Its type and its address, as `getelementptr` wants them.
    place: String,
    /// The type of an entry, and of a pointer to one.
    pointer: String,
    entry: String,
}

impl Table {
    /// What stands in the place of a jump whose targets begin at an index.
    fn jump(
        &self,
        jump: &Instruction,
        first: usize,
        function: &mut Function,
        context: &Context,
    ) -> Vec<Instruction> {
        let (targets, location) = (jump.targets(), jump.debug_location());
        let mut build = Builder {
            function,
            context,
            location: &location,
            out: Vec::new(),
        };
        let word = context.word;
        let at = match jump.parts().first() {
            Some(condition) if targets.len() == 2 => {
                let second = first + 1;
                build.value(&format!(
                    "select {condition}, {word} {first}, {word} {second}"
                ))
            }
            _ => first.to_string(),
        };
        let place = build.value(&format!(
            "getelementptr inbounds {}, {word} 0, {word} {at}",
            self.place
        ));
        // Read anew each time: a compiler that knew the table would jump.
        let load = format!("load volatile {}, {} {place}", self.pointer, self.entry);
        let to = build.value(&load);
        let labels: Vec<String> = targets.iter().map(|t| format!("label %{t}")).collect();
        build.plain(&format!(
            "indirectbr {} {to}, [{}]",
            self.pointer,
            labels.join(", ")
        ));
        build.out
    }
}

/// A function's name as a part of another name.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "$._-".contains(*c))
        .collect()
}
