//! Bogus control flow.
//!
//! A block is entered through an opaque predicate whose other outcome, which
//! never comes, leads through an altered copy of the block.

use std::collections::{HashMap, HashSet};

use super::dice::Dice;
use super::ir::{Block, Context, Function, Instruction};
use super::opaque::Builder;
use super::text;
use super::types::{Type, first_type};

/// How many of a hundred blocks get a bogus twin.
const PERCENT: usize = 45;
/// The longest copy.
const LONGEST: usize = 24;

/// Gives blocks of a function bogus twins and says whether it did.
pub(super) fn apply(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
) -> Result<bool, String> {
    let places = function.hoist_allocas();
    let chosen: Vec<bool> = function
        .blocks
        .iter()
        .map(|_| dice.percent(PERCENT))
        .collect();
    // At least one, so that the pass is to be seen in every function.
    let sure = dice.below(chosen.len());
    let old = std::mem::take(&mut function.blocks);
    let mut renamed = Vec::new();
    for (index, mut block) in old.into_iter().enumerate() {
        if !chosen[index] && index != sure {
            function.blocks.push(block);
            continue;
        }
        let first = if index == 0 { places } else { block.head() };
        let body = Block {
            label: function.fresh(context, "real"),
            instructions: block.instructions.split_off(first),
        };
        let label = function.fresh(context, "bogus");
        let twin = Block {
            instructions: altered(&body, function, context, dice),
            label,
        };
        block
            .instructions
            .extend(enter(function, context, dice, &body.label, &twin.label));
        renamed.push((block.label.clone(), body.label.clone()));
        function.blocks.push(block);
        if dice.percent(50) {
            function.blocks.extend([body, twin]);
        } else {
            function.blocks.extend([twin, body]);
        }
    }
    for (from, to) in renamed {
        function.rename_predecessor(&from, &to);
    }
    Ok(true)
}

/// The branch that always goes to the real block.
fn enter(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
    real: &str,
    bogus: &str,
) -> Vec<Instruction> {
    let mut build = Builder::new(function, context);
    let holds = build.always(dice);
    if dice.percent(50) {
        build.plain(&format!("br i1 {holds}, label %{real}, label %{bogus}"));
    } else {
        let fails = build.value(&format!("xor i1 {holds}, true"));
        build.plain(&format!("br i1 {fails}, label %{bogus}, label %{real}"));
    }
    build.out
}

/// A copy of a block's instructions with other operations. It never runs, but
/// it has to be code that a compiler accepts and keeps.
fn altered(
    block: &Block,
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
) -> Vec<Instruction> {
    let made: HashSet<&str> = block
        .instructions
        .iter()
        .filter_map(|i| i.result.as_deref())
        .collect();
    let mut names: HashMap<String, String> = HashMap::new();
    let mut out: Vec<Instruction> = Vec::new();
    for instruction in &block.instructions {
        let copied_operands = instruction
            .locals()
            .all(|n| !made.contains(n) || names.contains_key(n));
        if out.len() >= LONGEST || !copied_operands || !may_copy(instruction) {
            continue;
        }
        let mut copy = alter(instruction, dice);
        copy.text = text::rename(&copy.text, |n| names.get(n).cloned());
        if let Some(old) = &instruction.result {
            let new = function.fresh(context, "alt");
            names.insert(old.clone(), new.clone());
            copy.result = Some(new);
        }
        out.push(copy);
    }
    let loose = unused_integers(&out);
    let mut build = Builder {
        function,
        context,
        location: "",
        out,
    };
    let mut value = build.read("i32", "x");
    for (of, name) in loose {
        let word = match of.integer_bits() {
            Some(32) => name,
            Some(bits) if bits > 32 => build.value(&format!("trunc {of} {name} to i32")),
            _ => build.value(&format!("zext {of} {name} to i32")),
        };
        let op = ["add", "xor", "sub"][dice.below(3)];
        value = build.value(&format!("{op} i32 {value}, {word}"));
    }
    build.sink(&value);
    build.plain(&format!("br label %{}", block.label));
    build.out
}

/// Results that nothing in the copy uses would be dropped with all that makes
/// them, so they are written away.
fn unused_integers(copy: &[Instruction]) -> Vec<(Type, String)> {
    let used: HashSet<&str> = copy.iter().flat_map(Instruction::locals).collect();
    copy.iter()
        .filter_map(|i| {
            let name = i.result.as_deref().filter(|n| !used.contains(n))?;
            if !is_arithmetic(&i.op) {
                return None;
            }
            let (of, _) = first_type(i.text.strip_prefix(i.op.as_str())?)?;
            of.integer_bits()?;
            Some((of, format!("%{name}")))
        })
        .collect()
}

fn is_arithmetic(op: &str) -> bool {
    [
        "add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr",
    ]
    .contains(&op)
}

fn may_copy(instruction: &Instruction) -> bool {
    let text = &instruction.text;
    match instruction.op.as_str() {
        "load" | "store" => !text.contains(" volatile ") && !text.contains(" atomic "),
        "icmp" | "trunc" | "zext" | "sext" | "bitcast" | "getelementptr" | "select"
        | "ptrtoint" | "fadd" | "fsub" | "fmul" | "sitofp" => true,
        // A plain function called by its name; intrinsics may want constants or
        // be meant for one place, and assembly may define a label.
        "call" => {
            !instruction.is_debug()
                && text::find_outside(text, "@").is_some()
                && !text.contains("@llvm.")
                && !text.contains(" asm ")
                && text::find_outside(text, " [").is_none()
        }
        op => is_arithmetic(op),
    }
}

/// The instruction with another operation.
fn alter(instruction: &Instruction, dice: &mut Dice) -> Instruction {
    let mut copy = instruction.clone();
    let others: &[&str] = match instruction.op.as_str() {
        "add" => &["sub", "xor"],
        "sub" => &["add", "or"],
        "mul" => &["add", "sub"],
        "and" => &["or", "xor"],
        "or" => &["and", "add"],
        "xor" => &["and", "sub"],
        "shl" => &["lshr"],
        "lshr" | "ashr" => &["shl"],
        "fadd" => &["fsub"],
        "fsub" => &["fadd", "fmul"],
        "fmul" => &["fadd"],
        "icmp" => {
            let pairs = [
                (" eq ", " ne "),
                (" slt ", " sge "),
                (" sgt ", " sle "),
                (" ult ", " uge "),
                (" ugt ", " ule "),
            ];
            for (a, b) in pairs {
                if copy.text.contains(a) {
                    copy.text = copy.text.replacen(a, b, 1);
                    break;
                } else if copy.text.contains(b) {
                    copy.text = copy.text.replacen(b, a, 1);
                    break;
                }
            }
            return copy;
        }
        _ => return copy,
    };
    let op = others[dice.below(others.len())];
    let operands = instruction.text.strip_prefix(instruction.op.as_str());
    let mut operands = operands.unwrap_or_default();
    // What was promised of the one operation does not hold for the other.
    if is_arithmetic(&instruction.op) {
        for flag in [" nuw", " nsw", " exact", " disjoint"] {
            operands = operands.strip_prefix(flag).unwrap_or(operands);
        }
    }
    copy.text = format!("{op}{operands}");
    copy.op = op.to_owned();
    copy
}
