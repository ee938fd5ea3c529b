//! Control-flow flattening.
//!
//! The blocks of a function become the cases of one `switch` in a loop, and
//! each says which one comes next by the value that it leaves in a state
//! variable. Known since Wang, Hill, Knight and Davidson, "Software Tamper
//! Resistance: Obstructing Static Analysis of Programs" (2000).

use std::collections::{HashMap, HashSet};

use super::demote::demote;
use super::dice::Dice;
use super::ir::{Block, Context, Function, Instruction};
use super::text;

/// Longer switches keep their jump, to blocks that only set the state: a chain
/// of comparisons would take too long to run.
const LONGEST_CHAIN: usize = 16;

/// Flattens a function and says whether it did: one of two blocks has no
/// control flow to speak of.
pub(super) fn apply(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
) -> Result<bool, String> {
    if function.blocks.len() < 3 {
        return Ok(false);
    }
    let mut flat = function.clone();
    demote(&mut flat, context)?;
    detach_entry(&mut flat, context);

    let mut used = HashSet::new();
    let mut states = HashMap::new();
    for block in flat.blocks.iter().skip(1) {
        let mut state = dice.word();
        while !used.insert(state) {
            state = dice.word();
        }
        states.insert(block.label.clone(), state as i32);
    }
    let flow = Flow {
        state: flat.fresh(context, "state"),
        dispatcher: flat.fresh(context, "dispatch"),
        states,
        pointer: context.types.pointer("i32"),
    };
    let mut trampolines = Vec::new();
    for index in 0..flat.blocks.len() {
        let Some(terminator) = flat.blocks[index].instructions.pop() else {
            continue;
        };
        let instead = flow.replace(&terminator, &mut flat, context, &mut trampolines)?;
        flat.blocks[index].instructions.extend(instead);
    }
    flat.blocks.extend(trampolines);
    let alloca = Instruction::parse(&format!("%{} = alloca i32", flow.state));
    flat.blocks[0].instructions.insert(0, alloca);
    // Case blocks stand in any order.
    for last in (2..flat.blocks.len()).rev() {
        let other = 1 + dice.below(last);
        flat.blocks.swap(last, other);
    }
    let dispatcher = flow.dispatcher(&mut flat, context);
    flat.blocks.insert(1, dispatcher);
    *function = flat;
    Ok(true)
}

/// Leaves only the stack places in the entry block: what it did becomes a
/// block like the others.
fn detach_entry(function: &mut Function, context: &Context) {
    let label = function.fresh(context, "begin");
    let entry = &mut function.blocks[0];
    let places = entry
        .instructions
        .iter()
        .take_while(|i| i.is_static_alloca())
        .count();
    let rest = entry.instructions.split_off(places);
    let jump = Instruction::parse(&format!("br label %{label}"));
    entry.instructions.push(jump);
    function.blocks.insert(
        1,
        Block {
            label,
            instructions: rest,
        },
    );
}

struct Flow {
    state: String,
    dispatcher: String,
    states: HashMap<String, i32>,
    pointer: String,
}

impl Flow {
    fn state_of(&self, label: &str) -> Result<i32, String> {
        self.states
            .get(label)
            .copied()
            .ok_or_else(|| format!("it jumps to its entry block from {label}"))
    }

    /// What stands in the place of a terminator.
    fn replace(
        &self,
        terminator: &Instruction,
        function: &mut Function,
        context: &Context,
        trampolines: &mut Vec<Block>,
    ) -> Result<Vec<Instruction>, String> {
        let location = terminator.debug_location();
        let targets = terminator.targets();
        let mut out = Vec::new();
        let next = match (terminator.op.as_str(), targets.as_slice()) {
            ("br", [to]) => self.state_of(to)?.to_string(),
            ("br", [yes, no]) => {
                let parts = terminator.parts();
                let condition = parts.first().copied().unwrap_or_default();
                let name = function.fresh(context, "next");
                out.push(Instruction::parse(&format!(
                    "%{name} = select {condition}, i32 {}, i32 {}{location}",
                    self.state_of(yes)?,
                    self.state_of(no)?,
                )));
                format!("%{name}")
            }
            ("switch", targets) => {
                let switch = Switch::parse(terminator)?;
                if switch.cases.len() > LONGEST_CHAIN {
                    return self.trampoline(terminator, targets, function, context, trampolines);
                }
                let mut chosen = self.state_of(&switch.default)?.to_string();
                for (value, label) in &switch.cases {
                    let (is, next) = (
                        function.fresh(context, "is"),
                        function.fresh(context, "next"),
                    );
                    out.push(Instruction::parse(&format!(
                        "%{is} = icmp eq {}, {value}{location}",
                        switch.on
                    )));
                    out.push(Instruction::parse(&format!(
                        "%{next} = select i1 %{is}, i32 {}, i32 {chosen}{location}",
                        self.state_of(label)?,
                    )));
                    chosen = format!("%{next}");
                }
                chosen
            }
            _ => return Ok(vec![terminator.clone()]),
        };
        out.extend(self.go(&next, &location));
        Ok(out)
    }

    /// Sets the state and goes to the dispatcher.
    fn go(&self, next: &str, location: &str) -> [Instruction; 2] {
        [
            Instruction::parse(&format!(
                "store i32 {next}, {} %{}{location}",
                self.pointer, self.state
            )),
            Instruction::parse(&format!("br label %{}{location}", self.dispatcher)),
        ]
    }

    fn trampoline(
        &self,
        terminator: &Instruction,
        targets: &[String],
        function: &mut Function,
        context: &Context,
        trampolines: &mut Vec<Block>,
    ) -> Result<Vec<Instruction>, String> {
        let mut by_target: HashMap<&str, String> = HashMap::new();
        for target in targets {
            if by_target.contains_key(target.as_str()) {
                continue;
            }
            let label = function.fresh(context, "case");
            let next = self.state_of(target)?.to_string();
            trampolines.push(Block {
                label: label.clone(),
                instructions: self.go(&next, &terminator.debug_location()).to_vec(),
            });
            by_target.insert(target, label);
        }
        let mut switch = terminator.clone();
        // Values and blocks share one space of names, so no value is meant.
        switch.text = text::rename(&switch.text, |n| by_target.get(n).cloned());
        Ok(vec![switch])
    }

    fn dispatcher(&self, function: &mut Function, context: &Context) -> Block {
        let first = function.blocks[0].instructions.len() - 1;
        // The entry block already goes here; its block is the first case.
        debug_assert_eq!(function.blocks[0].instructions[first].op, "br");
        let now = function.fresh(context, "now");
        let mut text = format!("switch i32 %{now}, label %{} [", self.dispatcher);
        for block in &function.blocks[1..] {
            // Trampolines are reached by the jumps of their switch.
            if let Some(state) = self.states.get(&block.label) {
                text.push_str(&format!(" i32 {state}, label %{}", block.label));
            }
        }
        text.push_str(" ]");
        Block {
            label: self.dispatcher.clone(),
            instructions: vec![
                Instruction::parse(&format!(
                    "%{now} = load i32, {} %{}",
                    self.pointer, self.state
                )),
                Instruction::parse(&text),
            ],
        }
    }
}

/// A `switch`, taken apart.
struct Switch {
    /// Type and value.
    on: String,
    default: String,
    /// Constants without type, and labels.
    cases: Vec<(String, String)>,
}

impl Switch {
    fn parse(terminator: &Instruction) -> Result<Switch, String> {
        let read = || {
            let parts = terminator.parts();
            let on = parts.first()?.to_string();
            let (default, cases) = parts.get(1)?.split_once('[')?;
            let default = default.trim().strip_prefix("label %")?.to_owned();
            let mut words = cases.trim_end_matches(']').split_whitespace();
            let mut found = Vec::new();
            // `i32 1, label %9`, again and again.
            while let Some(_of) = words.next() {
                let value = words.next()?.strip_suffix(',')?;
                words.next().filter(|w| *w == "label")?;
                let label = words.next()?.strip_prefix('%')?;
                found.push((value.to_owned(), label.to_owned()));
            }
            Some(Switch {
                on,
                default,
                cases: found,
            })
        };
        read().ok_or_else(|| format!("a switch is not understood: {}", terminator.text))
    }
}
