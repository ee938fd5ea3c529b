//! Values of a function kept in memory between blocks.
//!
//! What LLVM's `reg2mem` does: `phi`s become loads from a stack slot that their
//! predecessors store to, and a value that another block uses is stored where
//! it is made and loaded where it is used. After that blocks can be put in any
//! order under any control flow.

use std::collections::{HashMap, HashSet};

use super::ir::{Context, Function, Instruction};
use super::text;

/// Keeps everything that crosses blocks in stack slots. On an error the
/// function is not fit for use.
pub(super) fn demote(function: &mut Function, context: &Context) -> Result<(), String> {
    function.hoist_allocas();
    for block in &mut function.blocks {
        block.instructions.retain(|i| !i.tracks_value());
    }
    let mut slots = Vec::new();
    phis(function, context, &mut slots)?;
    crossing(function, context, &mut slots)?;
    if let Some(entry) = function.blocks.first_mut() {
        entry.instructions.splice(0..0, slots);
    }
    Ok(())
}

/// Reserves a stack slot and gives its name.
fn slot(
    function: &mut Function,
    context: &Context,
    of: &str,
    slots: &mut Vec<Instruction>,
) -> String {
    let name = function.fresh(context, "slot");
    slots.push(Instruction::parse(&format!("%{name} = alloca {of}")));
    name
}

/// Replaces `phi`s by slots. A slot is stored to at the end of each
/// predecessor and loaded at the beginning of the block, before anything else:
/// so the `phi`s of a block still change all at once.
fn phis(
    function: &mut Function,
    context: &Context,
    slots: &mut Vec<Instruction>,
) -> Result<(), String> {
    let labels: HashMap<String, usize> = function
        .blocks
        .iter()
        .enumerate()
        .map(|(index, block)| (block.label.clone(), index))
        .collect();
    for block in 0..function.blocks.len() {
        for at in 0..function.blocks[block].head() {
            let phi = &function.blocks[block].instructions[at];
            let (of, incoming) = phi
                .incoming()
                .ok_or_else(|| format!("a phi is not understood: {}", phi.text))?;
            let of = of.to_string();
            let pointer = context.types.pointer(&of);
            let location = phi.debug_location();
            let name = slot(function, context, &of, slots);
            // A switch may reach the block by several cases, with one value.
            let mut stored = HashSet::new();
            for (value, from) in incoming {
                let from = *labels
                    .get(&from)
                    .ok_or_else(|| format!("a phi names an unknown block {from}"))?;
                if !stored.insert(from) {
                    continue;
                }
                let store = Instruction::parse(&format!("store {of} {value}, {pointer} %{name}"));
                let end = function.blocks[from].instructions.len() - 1;
                function.blocks[from].instructions.insert(end, store);
            }
            let phi = &mut function.blocks[block].instructions[at];
            phi.op = "load".to_owned();
            phi.text = format!("load {of}, {pointer} %{name}{location}");
        }
    }
    Ok(())
}

/// Keeps in slots what is used in another block than the one that makes it.
/// Fixed stack places stay: the entry block comes before all others.
fn crossing(
    function: &mut Function,
    context: &Context,
    slots: &mut Vec<Instruction>,
) -> Result<(), String> {
    let mut made_in: HashMap<String, usize> = HashMap::new();
    for (index, block) in function.blocks.iter().enumerate() {
        for instruction in &block.instructions {
            let fixed = index == 0 && instruction.is_static_alloca();
            if let Some(name) = instruction.result.as_ref().filter(|_| !fixed) {
                made_in.insert(name.clone(), index);
            }
        }
    }
    let mut crossing: HashSet<String> = HashSet::new();
    for (index, block) in function.blocks.iter().enumerate() {
        for instruction in &block.instructions {
            let names = instruction.locals();
            crossing.extend(
                names
                    .filter(|n| made_in.get(*n).is_some_and(|at| *at != index))
                    .map(str::to_owned),
            );
        }
    }

    // Slots are reserved in the order of the text, so that the result does not
    // depend on the order of a hash table.
    let mut places: HashMap<String, (String, String)> = HashMap::new();
    for block in 0..function.blocks.len() {
        for at in 0..function.blocks[block].instructions.len() {
            let instruction = &function.blocks[block].instructions[at];
            let Some(name) = instruction.result.clone().filter(|n| crossing.contains(n)) else {
                continue;
            };
            let of = context
                .types
                .of_result(&instruction.op, &instruction.text)
                .ok_or_else(|| format!("the type of a value is not known: {}", instruction.text))?
                .to_string();
            let place = slot(function, context, &of, slots);
            places.insert(name, (of, place));
        }
    }

    for index in 0..function.blocks.len() {
        let old = std::mem::take(&mut function.blocks[index].instructions);
        let mut new = Vec::with_capacity(old.len());
        let mut loaded: HashMap<String, String> = HashMap::new();
        for mut instruction in old {
            let foreign: Vec<String> = instruction
                .locals()
                .filter(|n| places.contains_key(*n) && made_in.get(*n) != Some(&index))
                .map(str::to_owned)
                .collect();
            // Where a variable lies is worth no load of its own.
            if instruction.is_debug() && !foreign.is_empty() {
                continue;
            }
            for name in foreign {
                if loaded.contains_key(&name) {
                    continue;
                }
                let (of, place) = &places[&name];
                let copy = function.fresh(context, "reload");
                let pointer = context.types.pointer(of);
                new.push(Instruction::parse(&format!(
                    "%{copy} = load {of}, {pointer} %{place}"
                )));
                loaded.insert(name, copy);
            }
            instruction.text = text::rename(&instruction.text, |n| loaded.get(n).cloned());
            let store = instruction.result.as_ref().and_then(|name| {
                let (of, place) = places.get(name)?;
                let pointer = context.types.pointer(of);
                Some(Instruction::parse(&format!(
                    "store {of} %{name}, {pointer} %{place}"
                )))
            });
            new.push(instruction);
            new.extend(store);
        }
        function.blocks[index].instructions = new;
    }
    Ok(())
}
