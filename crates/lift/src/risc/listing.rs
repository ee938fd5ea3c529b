//! The listing of a load and store processor's code. Its [`Isa`] writes
//! mnemonics, registers and numbers; operands that name something are written
//! here. Imports have an underscore before their names and jumps go to `INSTRk`,
//! as on x86.

use std::collections::HashMap;

use super::{Access, Code, Codes, Isa, Moves, Op, Text};
use crate::discover::{MAX_BYTES, MAX_INSTRUCTIONS};
use crate::listing::{Call, Facts, Line, Listing, remember};
use crate::program::{Function, Program};
use crate::strings;

/// Instructions that may lie between the two halves of an address.
const APART: usize = 24;

/// Instructions of the longest stub.
const STUB: usize = 6;

/// An instruction, and the address that it makes whole.
#[derive(Clone, Copy)]
struct Item {
    code: Code,
    whole: Option<u64>,
    /// What it counts from an address that was whole before.
    further: Option<u64>,
}

pub(crate) fn list(isa: &'static dyn Isa, program: &Program<'_>, function: &Function) -> Listing {
    let code = read(isa, program, function);
    let index: HashMap<u64, usize> = code
        .iter()
        .enumerate()
        .map(|(i, item)| (item.code.address, i))
        .collect();
    let frame = Frame::new(isa, &code);
    let mut writer = Writer {
        isa,
        program,
        code: &code,
        index: &index,
        frame: &frame,
        facts: Facts::default(),
        parts: HashMap::new(),
        uppers: HashMap::new(),
    };
    let lines = (0..code.len()).map(|at| writer.line(at)).collect();
    let mut facts = writer.facts;
    facts.instructions = code.len();
    facts.blocks = blocks(isa, &code, &index);
    Listing { lines, facts }
}

fn read(isa: &'static dyn Isa, program: &Program<'_>, function: &Function) -> Vec<Item> {
    let image = &program.image;
    let mut items = Vec::new();
    let mut bytes_left = MAX_BYTES;
    for range in &function.ranges {
        let end = range.end.min(range.start.saturating_add(bytes_left));
        bytes_left -= end - range.start;
        let bytes = image.bytes_in(range.start, end);
        let mut codes = Codes::new(isa, image, bytes, range.start);
        while items.len() < MAX_INSTRUCTIONS
            && let Some((code, whole)) = codes.next()
        {
            let further = codes.further();
            items.push(Item {
                code,
                whole,
                further,
            });
        }
    }
    items
}

fn blocks(isa: &dyn Isa, code: &[Item], index: &HashMap<u64, usize>) -> usize {
    let mut leaders = vec![false; code.len()];
    leaders.iter_mut().take(1).for_each(|first| *first = true);
    for (at, c) in code.iter().enumerate() {
        if let Op::Branch(target) | Op::Conditional(target) = c.code.op
            && let Some(&target) = index.get(&target)
        {
            leaders[target] = true;
        }
        let ends = matches!(
            c.code.op,
            Op::Branch(_)
                | Op::Conditional(_)
                | Op::Jump(_)
                | Op::JumpAt { .. }
                | Op::Return
                | Op::Stop
        );
        let next = at + 1 + usize::from(isa.delays(&c.code));
        if ends && let Some(leader) = leaders.get_mut(next) {
            *leader = true;
        }
    }
    leaders.into_iter().filter(|&leader| leader).count()
}

/// How far the stack pointer is below its value at the entry, before each
/// instruction; and where the frame pointer points.
///
/// Compilers move the stack pointer at the start and before each return. After a
/// return the code goes on as deep as the function ever was.
struct Frame {
    depth: Vec<i64>,
    pointer: Option<i64>,
}

impl Frame {
    fn new(isa: &dyn Isa, items: &[Item]) -> Frame {
        let (sp, fp) = (isa.stack_pointer(), isa.frame_pointer());
        let (mut now, mut deepest) = (0i64, 0i64);
        let mut frame = Frame {
            depth: Vec::with_capacity(items.len()),
            pointer: None,
        };
        let mut left = false;
        for item in items {
            frame.depth.push(now);
            let delayed = std::mem::take(&mut left);
            match item.code.op {
                Op::Add { to, from, value } if to == sp && from == sp => {
                    now = now.saturating_sub(value);
                }
                Op::Add { to, from, value } if to == sp && Some(from) == fp => {
                    now = frame.pointer.unwrap_or(now).saturating_sub(value);
                }
                Op::Add { to, from, value } if Some(to) == fp && from == sp => {
                    frame.pointer = frame.pointer.or(Some(now.saturating_sub(value)));
                }
                Op::Memory { access } if access.base == sp && access.moves.is_some() => {
                    now = now.saturating_sub(access.offset);
                }
                Op::Return | Op::Branch(_) | Op::Jump(_) | Op::JumpAt { .. } => {
                    left = isa.delays(&item.code);
                    if !left {
                        now = deepest;
                    }
                }
                _ => {}
            }
            deepest = deepest.max(now);
            if delayed {
                now = deepest;
            }
        }
        frame
    }

    /// The stack variable at `base` plus `offset`, as IDA writes it.
    fn variable(&self, isa: &dyn Isa, at: usize, base: u8, offset: i64) -> Option<String> {
        let on_stack = base == isa.stack_pointer();
        let depth = if on_stack {
            *self.depth.get(at)?
        } else {
            self.pointer.filter(|_| Some(base) == isa.frame_pointer())?
        };
        let place = offset.checked_sub(depth)?;
        let name = if place < 0 {
            format!("var_{:X}", place.unsigned_abs())
        } else {
            format!("arg_{place:X}")
        };
        Some(match depth {
            1.. if on_stack => format!("{}+{name}", isa.number(depth)),
            _ => name,
        })
    }
}

struct Writer<'a, 'd> {
    isa: &'static dyn Isa,
    program: &'a Program<'d>,
    code: &'a [Item],
    index: &'a HashMap<u64, usize>,
    frame: &'a Frame,
    facts: Facts,
    /// Numbers that `MOV` and `MOVK` put together, by register.
    parts: HashMap<u8, u64>,
    /// Numbers whose lower half is added, by register.
    uppers: HashMap<u8, u64>,
}

impl Writer<'_, '_> {
    fn line(&mut self, at: usize) -> Line {
        let code = &self.code[at].code;
        let mut comment = None;
        let plain = self.isa.text(code).filter(|_| code.op != Op::Undefined);
        let mut text = match plain {
            Some(plain) => self.write(at, plain, &mut comment),
            None => self.isa.data(code),
        };
        if let Some(string) = comment {
            text.push_str("; ");
            strings::quote(&mut text, &string);
            remember(&mut self.facts.strings, string);
        }
        self.constants(at);
        Line {
            address: code.address,
            len: code.length,
            text,
        }
    }

    fn write(&mut self, at: usize, plain: Text, comment: &mut Option<String>) -> String {
        let isa = self.isa;
        let Text {
            mnemonic: mut out,
            mut operands,
        } = plain;
        if !operands.is_empty() {
            let padding = isa.column().saturating_sub(out.len()).max(1);
            out.extend(std::iter::repeat_n(' ', padding));
        }
        let Item {
            code,
            whole,
            further,
        } = self.code[at];
        let last = match code.op {
            Op::Branch(target) | Op::Conditional(target) | Op::Call(target) => {
                Some(self.target(target, matches!(code.op, Op::Call(_))))
            }
            Op::Page { to, .. } | Op::Upper { to, .. } | Op::AddUpper { to, .. } => {
                let globals = [isa.global(), isa.local_global()];
                let meant = self.meant(at, to).filter(|_| !globals.contains(&Some(to)));
                meant.map(|(address, taken)| {
                    isa.high(&match taken {
                        true => self.name(address, &mut None),
                        false => self.slot(address, &mut None),
                    })
                })
            }
            Op::JumpAt { base, .. } | Op::CallAt { base, .. } => whole.map(|target| {
                let name = self.target(target, matches!(code.op, Op::CallAt { .. }));
                isa.memory_low(base, &name)
            }),
            Op::Address { address, .. } | Op::Literal { address, .. } => {
                Some(self.name(address, comment))
            }
            Op::Add { to, from, value } => {
                let frame = [Some(isa.stack_pointer()), isa.frame_pointer()];
                match whole {
                    Some(address) => Some(isa.low(&self.name(address, comment))),
                    None if further.is_some() => {
                        *comment = further.and_then(|address| self.pooled(address));
                        None
                    }
                    None if operands.len() == 3 && !frame.contains(&Some(to)) => self
                        .frame
                        .variable(isa, at, from, value)
                        .map(|variable| isa.immediate(&variable)),
                    None => None,
                }
            }
            Op::Memory { access } => {
                if let Some(place) = operands.iter().position(|o| isa.is_memory(o)) {
                    self.memory(at, access, &mut operands, place, comment);
                }
                None
            }
            _ => None,
        };
        if let (Some(operand), Some(last)) = (last, operands.last_mut()) {
            *last = operand;
        }
        for (number, operand) in operands.iter().enumerate() {
            if number > 0 {
                out.push_str(isa.separator(&operands[number - 1], operand));
            }
            out.push_str(operand);
        }
        if let (Op::CallRegister(_) | Op::Jump(_), Some(target)) = (code.op, whole) {
            out.push_str("; ");
            out.push_str(&self.callee(target));
        }
        out
    }

    /// The function at an address, or the one whose address the loader puts
    /// there.
    fn callee(&mut self, target: u64) -> String {
        let Some(name) = self.program.image.slots.get(&target) else {
            return self.target(target, true);
        };
        let call = Call {
            name: name.clone(),
            address: None,
            import: true,
        };
        remember(&mut self.facts.calls, call);
        name.clone()
    }

    fn memory(
        &mut self,
        at: usize,
        access: Access,
        operands: &mut Vec<String>,
        place: usize,
        comment: &mut Option<String>,
    ) {
        let isa = self.isa;
        let base = access.base;
        if let Some(address) = self.code[at].whole {
            let global = self.program.image.global.filter(|_| access.moves.is_none());
            if isa.local_global() == Some(base)
                || global.map(|global| global.wrapping_add_signed(access.offset)) == Some(address)
            {
                let name = self.global(at, access, address, comment);
                operands[place] = isa.memory_global(access, &name);
                return;
            }
            operands[place] = isa.memory_low(base, &self.slot(address, comment));
            return;
        }
        let offset = match access.moves {
            Some(Moves::After) => 0,
            _ => access.offset,
        };
        let Some(variable) = self.frame.variable(isa, at, base, offset) else {
            return;
        };
        let by = isa.number(access.offset);
        match access.moves {
            None => operands[place] = isa.memory(base, &variable),
            Some(Moves::Before) => {
                let name = variable.rsplit('+').next().unwrap_or(&variable);
                operands[place] = isa.memory_before(base, &by, name);
            }
            Some(Moves::After) => {
                operands.truncate(place);
                operands.extend(isa.memory_after(base, &by, &variable));
            }
        }
    }

    /// What is read or written at the global register: a slot that holds the
    /// address of something is called like it.
    fn global(
        &mut self,
        at: usize,
        access: Access,
        address: u64,
        comment: &mut Option<String>,
    ) -> String {
        if let Some(name) = self.program.image.slots.get(&address) {
            return name.clone();
        }
        let loaded = access.loads.filter(|&register| self.isa.holds(register));
        if let Some((meant, _)) = loaded.and_then(|register| self.meant(at, register)) {
            return self.name(meant, &mut None);
        }
        match self.program.image.pointer(address) {
            Some(target) if loaded.is_some() => self.name(target, comment),
            _ => self.slot(address, comment),
        }
    }

    /// The address that the page in `register` will be part of, and whether the
    /// address itself is taken, not what lies there.
    fn meant(&self, at: usize, mut register: u8) -> Option<(u64, bool)> {
        for Item { code, whole, .. } in self.code[at + 1..].iter().take(APART) {
            let uses = match code.op {
                Op::Add { from, .. } => from == register,
                Op::Memory { access } => access.base == register,
                Op::JumpAt { base, .. } | Op::CallAt { base, .. } => base == register,
                Op::CallRegister(by) | Op::Jump(by) => by == register,
                Op::Index { to, a, b } => {
                    if a == register || b == register {
                        register = to;
                    }
                    false
                }
                Op::AddUpper { to, from, .. } => {
                    if from == register {
                        register = to;
                    }
                    false
                }
                _ => false,
            };
            if uses && let Some(whole) = *whole {
                return Some((whole, !matches!(code.op, Op::Memory { .. })));
            }
            let changes = match code.op {
                Op::Page { to, .. } => Some(to),
                op if self.isa.keeps() => op.changes(),
                _ => None,
            };
            if changes == Some(register) {
                return None;
            }
        }
        None
    }

    fn target(&mut self, target: u64, call: bool) -> String {
        if !call && let Some(at) = self.index.get(&target) {
            return format!("INSTR{}", at + 1);
        }
        let mut name = String::new();
        self.program
            .code_name(target, call, &mut self.facts, &mut name);
        name
    }

    fn name(&self, address: u64, comment: &mut Option<String>) -> String {
        let mut name = String::new();
        self.program.address_name(address, &mut name, comment);
        name
    }

    /// The string that begins at an address, behind other data.
    fn pooled(&self, address: u64) -> Option<String> {
        let before = self
            .program
            .image
            .bytes_in(address.checked_sub(1)?, address);
        let inside = before.iter().any(|b| matches!(b, b' '..=b'~'));
        self.program.string_at(address, 1).filter(|_| !inside)
    }

    /// What lies at an address that is read or written.
    fn slot(&mut self, address: u64, comment: &mut Option<String>) -> String {
        let image = &self.program.image;
        if let Some(name) = image.slots.get(&address) {
            // A function of a few instructions that ends in a jump is a stub.
            let last = self.code.last().map(|item| item.code.op);
            let jumps = matches!(last, Some(Op::Jump(_) | Op::JumpAt { .. }));
            if jumps && self.code.len() <= STUB {
                let call = Call {
                    name: name.clone(),
                    address: None,
                    import: true,
                };
                remember(&mut self.facts.calls, call);
            }
            return format!("{name}_ptr");
        }
        if let Some(target) = image.pointer(address).filter(|&target| target != 0) {
            *comment = self.program.string_at(target, 4);
            return format!("off_{address:X}");
        }
        match image.object(address) {
            Some(_) => self.name(address, comment),
            None if image.arch.bits() == 32 => format!("dword_{address:X}"),
            None => format!("qword_{address:X}"),
        }
    }

    /// Remembers a number that says what a function computes.
    fn constants(&mut self, at: usize) {
        let op = self.code[at].code.op;
        let upper = match op {
            Op::Add { from, .. } | Op::Join { from, .. } => self.uppers.get(&from).copied(),
            _ => None,
        };
        if let Some(changed) = op.changes() {
            self.uppers.remove(&changed);
        }
        let (to, value, keep) = match op {
            Op::Move { to, value, keep } => (to, value, keep),
            Op::Upper { to, value } => {
                self.uppers.insert(to, value);
                return;
            }
            Op::Add { .. } | Op::Join { .. } if self.code[at].whole.is_none() => {
                let Some((to, upper)) = op.changes().zip(upper) else {
                    return;
                };
                let whole = match op {
                    Op::Add { value, .. } => upper.wrapping_add_signed(value),
                    Op::Join { value, .. } => upper | value,
                    _ => upper,
                };
                // Registers of 64 bits hold 32-bit numbers with their sign.
                let narrow = i32::try_from(whole as i64).map(|n| u64::from(n as u32));
                (to, narrow.unwrap_or(whole), false)
            }
            _ => return,
        };
        let whole = match keep {
            true => self.parts.get(&to).copied().unwrap_or(0) | value,
            false => value,
        };
        self.parts.insert(to, whole);
        let more = self.code[at + 1..]
            .iter()
            .take(4)
            .any(|item| matches!(item.code.op, Op::Move { to: t, keep: true, .. } if t == to));
        let mask = |v: u64| v & v.wrapping_add(1) == 0;
        let plain = whole < 0x10000 || whole.is_power_of_two() || mask(whole) || mask(!whole);
        if !more && !plain {
            remember(&mut self.facts.constants, whole);
        }
    }
}
