//! Blocks cut into pieces.
//!
//! A compiler would join pieces that merely follow each other again, so each cut
//! is a branch on a variable that the compiler must read: one way leads on, the
//! other makes a detour that leads to the same place. Whatever the variable
//! holds, the function does what it did.

use super::dice::Dice;
use super::ir::{Block, Context, Function, Instruction};
use super::opaque::Builder;

/// Blocks with fewer instructions stay whole.
const SMALLEST: usize = 4;
/// A piece has about this many instructions.
const PIECE: usize = 8;

/// Cuts the longer blocks of a function and says whether there was one.
pub(super) fn apply(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
) -> Result<bool, String> {
    let places = function.hoist_allocas();
    let mut changed = false;
    let old = std::mem::take(&mut function.blocks);
    let mut renamed = Vec::new();
    for (index, mut block) in old.into_iter().enumerate() {
        let first = if index == 0 { places } else { block.head() };
        // The terminator is no place to cut at, but before it is.
        let body = block.instructions.len().saturating_sub(first + 1);
        let cuts = if body < SMALLEST { 0 } else { 1 + body / PIECE };
        let from = block.label.clone();
        let mut points: Vec<usize> = (0..cuts).map(|_| first + 1 + dice.below(body)).collect();
        points.sort_unstable();
        points.dedup();
        // From the end, so that the earlier points stay true.
        let mut pieces = Vec::new();
        for point in points.into_iter().rev() {
            let rest = Block {
                label: function.fresh(context, "piece"),
                instructions: block.instructions.split_off(point),
            };
            let detour = function.fresh(context, "detour");
            block
                .instructions
                .extend(fork(function, context, dice, &rest.label, &detour));
            let instructions = wander(function, context, dice, &rest.label);
            pieces.push(rest);
            pieces.push(Block {
                label: detour,
                instructions,
            });
        }
        if let Some(last) = pieces.first() {
            renamed.push((from, last.label.clone()));
            changed = true;
        }
        function.blocks.push(block);
        function.blocks.extend(pieces.into_iter().rev());
    }
    for (from, to) in renamed {
        function.rename_predecessor(&from, &to);
    }
    Ok(changed)
}

/// The branch at a cut.
fn fork(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
    rest: &str,
    detour: &str,
) -> Vec<Instruction> {
    let mut build = Builder::new(function, context);
    let variable = if dice.percent(50) { "x" } else { "y" };
    let x = build.read("i32", variable);
    let bound = dice.word() as i32;
    let test = build.value(&format!("icmp slt i32 {x}, {bound}"));
    build.plain(&format!("br i1 {test}, label %{rest}, label %{detour}"));
    build.out
}

/// What the detour does: nothing that matters.
fn wander(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
    rest: &str,
) -> Vec<Instruction> {
    let mut build = Builder::new(function, context);
    let mut value = build.read("i32", "y");
    for _ in 0..=dice.below(3) {
        let op = ["add", "xor", "mul", "sub"][dice.below(4)];
        value = build.value(&format!("{op} i32 {value}, {}", dice.word() as i32));
    }
    build.sink(&value);
    build.plain(&format!("br label %{rest}"));
    build.out
}
