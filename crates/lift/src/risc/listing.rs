//! The listing of a load and store processor's code. Its [`Isa`] writes
//! mnemonics, registers and numbers; operands that name something are written
//! here. Imports have an underscore before their names and jumps go to `INSTRk`,
//! as on x86.

use std::collections::HashMap;

use super::{APART, Access, Code, Codes, Isa, Moves, Op, Term, Text};
use crate::address::AddressMap;
use crate::constants::known_constant;
use crate::discover::{self, MAX_BYTES, MAX_INSTRUCTIONS};
use crate::flow::{Flow, Scratch};
use crate::listing::{Call, Facts, Listing, remember};
use crate::program::{Function, Program};
use crate::strings;
use crate::tables;

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
    let index: AddressMap<usize> = code
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
        pools: pools(&code),
    };
    let mut listing = Listing::with_capacity(code.len());
    for (at, Item { code, .. }) in code.iter().enumerate() {
        listing.push(code.address, code.length, |text| writer.line(at, text));
    }
    listing.facts = writer.facts;
    listing.facts.instructions = code.len();
    listing.set_flow(flow(isa, program, function, &code, &index));
    listing
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

fn pools(code: &[Item]) -> AddressMap<(usize, u8)> {
    let mut pools = AddressMap::default();
    for (at, item) in code.iter().enumerate() {
        if let Op::Number {
            to,
            pool: Some(pool),
            ..
        } = item.code.op
        {
            pools.entry(pool).or_insert((at, to));
        }
    }
    pools
}

/// How control flows from block to block. What runs behind a jump, before it
/// takes place, belongs to the block of the jump and ends it.
fn flow(
    isa: &dyn Isa,
    program: &Program<'_>,
    function: &Function,
    code: &[Item],
    index: &AddressMap<usize>,
) -> Flow {
    let by_table = code
        .iter()
        .any(|item| matches!(item.code.op, Op::Jump(_) | Op::JumpAt { .. }));
    let tables = match by_table {
        true => discover::targets(&program.image, function),
        false => AddressMap::default(),
    };
    let returns = |target: &u64| !program.no_return.contains(target);
    // Whether the instruction behind this one runs before it jumps.
    let delays = |at: usize| {
        let Code {
            address, length, ..
        } = code[at].code;
        let next = address.wrapping_add(length.into());
        let follows = code.get(at + 1).is_some_and(|c| c.code.address == next);
        follows && isa.delays(&code[at].code)
    };
    let exit = |at: usize, jumps: &mut Vec<u32>| {
        let slot = at.checked_sub(1).filter(|&before| delays(before));
        let item = &code[slot.unwrap_or(at)];
        if slot.is_none() && delays(at) {
            return None;
        }
        let (target, falls) = match item.code.op {
            Op::Branch(target) => (Some(target), false),
            Op::Conditional(target) => (Some(target), true),
            Op::Call(target) if !returns(&target) => (None, false),
            Op::CallRegister(_) | Op::CallAt { .. } if !item.whole.as_ref().is_none_or(returns) => {
                (None, false)
            }
            Op::Switch { falls } => (None, falls),
            Op::Jump(_) | Op::JumpAt { .. } => (item.whole, false),
            Op::Return | Op::Stop | Op::Undefined => (None, false),
            _ => return None,
        };
        let table = tables.get(&code[at].code.address).into_iter().flatten();
        let switch = program.image.modes.targets(item.code.address).into_iter();
        let targets = target.into_iter().chain(table.copied());
        let targets = targets.chain(switch.flatten().copied());
        jumps.extend(targets.filter_map(|to| Some(*index.get(&to)? as u32)));
        Some(falls)
    };
    let mut scratch = Scratch::default();
    Flow::new(&mut scratch, code.len(), 0..code.len(), exit, |_| false)
}

/// How far the stack pointer is below its value at the entry, before each
/// instruction; and where the frame pointer points.
///
/// Compilers move the stack pointer at the start and before each return. After a
/// return the code goes on as deep as the function ever was.
struct Frame {
    depth: Vec<i64>,
    pointer: Option<i64>,
    register: Option<u8>,
}

impl Frame {
    fn new(isa: &dyn Isa, items: &[Item]) -> Frame {
        let sp = isa.stack_pointer();
        let fp = items
            .first()
            .and_then(|item| isa.frame_pointer_of(&item.code));
        let (mut now, mut deepest) = (0i64, 0i64);
        // Go makes the new value of the stack pointer in another register.
        let mut made: Option<(u8, i64)> = None;
        let mut frame = Frame {
            depth: Vec::with_capacity(items.len()),
            pointer: None,
            register: fp,
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
                Op::Add { to, from, value } if from == sp => {
                    made = Some((to, now.saturating_sub(value)));
                }
                Op::Add { to, from, value } if to == sp => {
                    let depth = made.filter(|made| made.0 == from).map(|made| made.1);
                    now = depth.unwrap_or(now).saturating_sub(value);
                }
                Op::Memory { access } if access.base == sp && access.moves.is_some() => {
                    now = now.saturating_sub(access.offset);
                }
                Op::Return
                | Op::Branch(_)
                | Op::Jump(_)
                | Op::JumpAt { .. }
                | Op::Switch { falls: false } => {
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
            self.pointer.filter(|_| Some(base) == self.register)?
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
    index: &'a AddressMap<usize>,
    frame: &'a Frame,
    facts: Facts,
    /// Numbers that `MOV` and `MOVK` put together, by register.
    parts: HashMap<u8, u64>,
    /// Numbers whose lower half is added, by register.
    uppers: HashMap<u8, u64>,
    /// Which instruction loads from a literal pool, and into which register.
    pools: AddressMap<(usize, u8)>,
}

impl Writer<'_, '_> {
    fn line(&mut self, at: usize, text: &mut String) {
        let code = &self.code[at].code;
        let mut comment = None;
        let plain = match code.op {
            Op::Undefined | Op::Data => None,
            _ => self.isa.text(code),
        };
        text.push_str(&match plain {
            Some(plain) => self.write(at, plain, &mut comment),
            None => self.data(code, &mut comment),
        });
        if let Some(string) = comment {
            text.push_str("; ");
            strings::quote(text, &string);
            remember(&mut self.facts.strings, string);
        }
        let whole = self.code[at].whole;
        let table = whole.and_then(|address| tables::at(&self.program.image, address));
        let table = table.map(|table| {
            let name = table.name;
            remember(&mut self.facts.tables, table);
            name
        });
        if let Some(name) = table.or(self.constants(at)) {
            text.push_str("; ");
            text.push_str(name);
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
        let behind = whole
            .filter(|_| {
                isa.names_behind() && !matches!(code.op, Op::Number { .. } | Op::Address { .. })
            })
            .map(|address| self.behind(&code, address, comment));
        let last = match code.op {
            Op::Branch(target) | Op::Conditional(target) | Op::Call(target) => {
                Some(self.target(target, matches!(code.op, Op::Call(_))))
            }
            Op::Page { to, .. } | Op::Upper { to, .. } | Op::AddUpper { to, .. } => {
                let globals = [isa.global(), isa.local_global()];
                let meant = self.meant(at, to).filter(|_| !globals.contains(&Some(to)));
                meant.map(|(address, by)| {
                    isa.high(&match self.code[by].code.op {
                        Op::Memory { .. } => self.slot(address, &mut None),
                        op => self.text_name(by, op.changes(), address, &mut None),
                    })
                })
            }
            Op::JumpAt { base, .. } | Op::CallAt { base, .. } => whole.map(|target| {
                let name = self.target(target, matches!(code.op, Op::CallAt { .. }));
                isa.memory_low(base, &name)
            }),
            _ if behind.is_some() => None,
            Op::Number {
                to,
                value,
                keep,
                pool,
            } => self.moved(at, to, value, keep, pool, comment),
            Op::Address { to, address } => Some(self.text_name(at, Some(to), address, comment)),
            Op::Literal { address, .. } => Some(self.slot(address, comment)),
            Op::Add { to, from, value } => {
                let frame = [Some(isa.stack_pointer()), self.frame.register];
                match whole {
                    Some(address) => Some(isa.low(&self.text_name(at, Some(to), address, comment))),
                    None if further.is_some() => {
                        let length = |address| self.length_beside(at, to, address);
                        *comment =
                            further.and_then(|address| self.pooled(address, length(address)));
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
        if let Some(name) = behind.flatten() {
            out.push_str("; ");
            out.push_str(&name);
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

    /// What stands behind an instruction that makes `address` or reads there: a
    /// name, unless a string does.
    fn behind(
        &mut self,
        code: &Code,
        address: u64,
        comment: &mut Option<String>,
    ) -> Option<String> {
        let name = match code.op {
            Op::Memory { .. } | Op::SumMemory { .. } => self.slot(address, comment),
            _ => self.name(address, comment),
        };
        comment.is_none().then_some(name)
    }

    /// Data among the code: what is loaded from there has the name that the
    /// load shows.
    fn data(&self, code: &Code, comment: &mut Option<String>) -> String {
        let text = self.isa.data(code);
        let image = &self.program.image;
        let name = match self.pools.get(&code.address) {
            Some(&(at, to)) => match self.code[at].whole {
                Some(address) => Some(self.name(address, comment)),
                None => self.becomes(at, to),
            },
            None if image.address_fields.contains(&code.address) => {
                Some(self.name(code.word.into(), comment))
            }
            None => None,
        };
        match (text.rfind(' '), name) {
            (Some(at), Some(name)) if code.length == 4 && code.op == Op::Data => {
                text[..=at].to_owned() + name.trim_matches(['(', ')'])
            }
            _ => text,
        }
    }

    /// The number that an instruction moves, as a name if it is an address or
    /// becomes one.
    fn moved(
        &self,
        at: usize,
        to: u8,
        value: u64,
        keep: bool,
        pool: Option<u64>,
        comment: &mut Option<String>,
    ) -> Option<String> {
        let isa = self.isa;
        let name = match self.code[at].whole {
            Some(address) => Some(self.name(address, comment)),
            None => self.becomes(at, to),
        };
        match (pool, name) {
            (Some(_), Some(name)) => Some(format!("={name}")),
            (Some(_), None) => Some(format!("={}", isa.number(value as i64))),
            (None, name) if keep => name.map(|name| isa.high(&name)),
            (None, name) => name.map(|name| isa.low(&name)),
        }
    }

    /// The address that a number in `register` will be part of: in the second
    /// half of its move, or counted from the place of the code.
    fn becomes(&self, at: usize, register: u8) -> Option<String> {
        for Item { code, whole, .. } in self.code[at + 1..].iter().take(APART) {
            let terms = match code.op {
                Op::Number { to, keep: true, .. } if to == register => match whole {
                    Some(address) => return Some(self.name(*address, &mut None)),
                    None => continue,
                },
                Op::Number { to, .. } if to == register => return None,
                Op::Sum { terms, .. } | Op::SumMemory { terms, .. } => terms,
                Op::Other(Some(to)) if to == register => return None,
                _ => continue,
            };
            let from = terms.contains(&Term::Register(register));
            let here = terms.iter().find_map(|term| match term {
                Term::Here(here) => Some(*here),
                Term::Register(_) => None,
            });
            match (from, here, whole) {
                (true, Some(here), Some(address)) => {
                    let name = match code.op {
                        Op::SumMemory { .. } => self.slot_name(*address),
                        _ => self.name(*address, &mut None),
                    };
                    return Some(format!("({name} - {})", self.isa.number(here as i64)));
                }
                (true, None, Some(address)) => return Some(self.slot_name(*address)),
                _ => {}
            }
        }
        None
    }

    /// The name of a slot, where it has one.
    fn slot_name(&self, address: u64) -> String {
        match self.program.image.slots.get(&address) {
            Some(name) => format!("{name}_ptr"),
            None if self.program.image.pointer(address).is_some() => format!("off_{address:X}"),
            None => self.name(address, &mut None),
        }
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
        if let Some(address) = self.code[at].whole.filter(|_| !isa.names_behind()) {
            let global = self.program.image.global.filter(|_| access.moves.is_none());
            if isa.local_global() == Some(base)
                || global.map(|global| global.wrapping_add_signed(access.offset)) == Some(address)
            {
                let name = self.global(at, access, address, comment);
                operands[place] = isa.memory_global(access, &name);
                return;
            }
            if let Some(name) = self.program.image.slots.get(&address)
                && access.loads.is_some_and(|loads| self.is_called(at, loads))
            {
                let call = Call {
                    name: name.clone(),
                    address: None,
                    import: true,
                };
                remember(&mut self.facts.calls, call);
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

    /// Whether what `register` holds after instruction `at` is called: programs
    /// for Windows reach their imports so.
    fn is_called(&self, at: usize, register: u8) -> bool {
        for item in self.code[at + 1..].iter().take(APART) {
            match item.code.op {
                Op::CallRegister(called) | Op::Jump(called) => return called == register,
                Op::Call(_) | Op::Return => return false,
                Op::Memory { access } if access.loads == Some(register) => return false,
                _ => {}
            }
        }
        false
    }

    /// The address that the page in `register` will be part of, and which
    /// instruction makes it whole.
    fn meant(&self, at: usize, mut register: u8) -> Option<(u64, usize)> {
        let behind = self.code.iter().enumerate().skip(at + 1);
        for (by, Item { code, whole, .. }) in behind.take(APART) {
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
                return Some((whole, by));
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
            .code_name(target, call, Some(&mut self.facts), &mut name);
        name
    }

    fn name(&self, address: u64, comment: &mut Option<String>) -> String {
        self.name_of(address, None, comment)
    }

    /// The name of what the instruction at an index takes the address of, into
    /// `register`.
    fn text_name(
        &self,
        at: usize,
        register: Option<u8>,
        address: u64,
        comment: &mut Option<String>,
    ) -> String {
        let length = register.and_then(|to| self.length_beside(at, to, address));
        self.name_of(address, length, comment)
    }

    fn name_of(&self, address: u64, length: Option<u64>, comment: &mut Option<String>) -> String {
        let address = self.program.image.code_address(address);
        let mut name = String::new();
        self.program
            .address_name(address, length, &mut name, comment);
        name
    }

    /// How long the text at `address` is, which the instruction at an index puts
    /// into `register`: a number that is moved beside it, best into the next
    /// register.
    fn length_beside(&self, at: usize, register: u8, address: u64) -> Option<u64> {
        /// Instructions that may lie between.
        const NEAR: usize = 6;
        if !self.program.image.counted {
            return None;
        }
        let plain = |item: &&Item| {
            !matches!(
                item.code.op,
                Op::Branch(_) | Op::Conditional(_) | Op::Call(_) | Op::CallRegister(_) | Op::Return
            )
        };
        let after = self.code[at + 1..].iter().take(NEAR).take_while(plain);
        let before = self.code[..at].iter().rev().take(NEAR).take_while(plain);
        let number = |item: &Item| match item.code.op {
            Op::Move {
                to,
                value,
                keep: false,
            } => Some((to, value)),
            _ => None,
        };
        let told = |&(_, length): &(u8, u64)| self.program.counted_at(address, length).is_some();
        let around = after.chain(before).filter_map(number).filter(told);
        let next = |to: u8| register.checked_add(1) == Some(to);
        let mut beside = around.clone().filter(|&(to, _)| next(to));
        let found = beside.next().or_else(|| {
            let neighbours = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
            let mut neighbours = neighbours.filter_map(|at| number(self.code.get(at)?));
            neighbours.find(told)
        });
        found.map(|(_, length)| length)
    }

    /// The string that begins at an address, behind other data.
    fn pooled(&self, address: u64, length: Option<u64>) -> Option<String> {
        if let Some(length) = length {
            return self.program.counted_at(address, length);
        }
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
            let text = self.program.counted_through(address);
            *comment = text.or_else(|| self.program.string_at(target, 4));
            return format!("off_{address:X}");
        }
        match image.object(address) {
            Some(_) => self.name(address, comment),
            None if image.arch.pointer_size() == 4 => format!("dword_{address:X}"),
            None => format!("qword_{address:X}"),
        }
    }

    /// Remembers a number that says what a function computes; its name, where it
    /// has one.
    fn constants(&mut self, at: usize) -> Option<&'static str> {
        let item = &self.code[at];
        let op = item.code.op;
        let upper = match op {
            Op::Add { from, .. } | Op::Join { from, .. } => self.uppers.get(&from).copied(),
            _ => None,
        };
        if let Some(changed) = op.changes() {
            self.uppers.remove(&changed);
        }
        let (to, value, keep) = match op {
            Op::Move { to, value, keep } => (to, value, keep),
            Op::Number {
                to, value, keep, ..
            } if item.whole.is_none() && self.becomes(at, to).is_none() => (to, value, keep),
            Op::Upper { to, value } => {
                self.uppers.insert(to, value);
                return None;
            }
            Op::Add { .. } | Op::Join { .. } if item.whole.is_none() => {
                let (to, upper) = op.changes().zip(upper)?;
                let whole = match op {
                    Op::Add { value, .. } => upper.wrapping_add_signed(value),
                    Op::Join { value, .. } => upper | value,
                    _ => upper,
                };
                // Registers of 64 bits hold 32-bit numbers with their sign.
                let narrow = i32::try_from(whole as i64).map(|n| u64::from(n as u32));
                (to, narrow.unwrap_or(whole), false)
            }
            _ => return None,
        };
        let whole = match keep {
            true => self.parts.get(&to).copied().unwrap_or(0) | value,
            false => value,
        };
        self.parts.insert(to, whole);
        let more = self.code[at + 1..].iter().take(4).any(|item| {
            matches!(item.code.op, Op::Move { to: t, keep: true, .. }
                    | Op::Number { to: t, keep: true, .. } if t == to)
        });
        let mask = |v: u64| v & v.wrapping_add(1) == 0;
        let plain = whole < 0x10000 || whole.is_power_of_two() || mask(whole) || mask(!whole);
        if more || plain {
            return None;
        }
        remember(&mut self.facts.constants, whole);
        known_constant(whole).map(|known| known.name)
    }
}
