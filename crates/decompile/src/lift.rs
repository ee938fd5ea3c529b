//! From instructions to statements.

use std::collections::HashMap;

use binscribe_lift::{Format, Listing, Program};
use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind, Register,
};

use crate::calls::{self, Signature};
use crate::ir::*;
use crate::simplify::simplify;
use crate::text::{self, Words};

/// What an instruction compared or computed last, which conditions ask for. The two
/// values are the variables [`Home::Compared`] 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flags {
    Unknown,
    /// The first less the second, which is 0 where a bit operation gave the first.
    Compare(Type),
    /// The same of numbers of several widths, whose signs are not known.
    Unsigned,
    /// The first is a sum, the second one part of it.
    Sum(Type),
    /// The first is a result; what was carried is not known.
    Result(Type),
    /// The first is the bit that was asked for.
    Bit,
}

impl Flags {
    /// Where ways meet on which one of the two is known.
    fn met(self, other: Flags) -> Flags {
        let whole = |flags| matches!(flags, Flags::Compare(Type::Bits(_)) | Flags::Unsigned);
        match self == other {
            true => self,
            false if whole(self) && whole(other) => Flags::Unsigned,
            false => Flags::Unknown,
        }
    }
}

pub(crate) struct Lifter<'a> {
    code: Vec<Instruction>,
    words: Vec<Words<'a>>,
    imports: Vec<&'a str>,
    windows: bool,
    known: HashMap<Home, Var>,
    body: Body,
    stmts: Vec<Stmt>,
    flags: Flags,
    /// How far below the return address the stack pointer is, by the lines that tell.
    depths: Vec<(usize, i64)>,
    /// What [`Lifter::filled`] is at the start of the block.
    filled_before: u16,
    /// What was pushed for the next call,
    /// and whether it surely was for that: it may have made room, or kept a register.
    pushed: Vec<(Expr, bool)>,
    info: InstructionInfoFactory,
    scratch: u32,
    /// Of the program's own functions, by address.
    signatures: &'a dyn Fn(u64) -> Option<Signature>,
}

fn is_windows(program: &Program<'_>) -> bool {
    matches!(program.info().format, Format::Pe | Format::Coff)
}

/// The registers of arguments by their numbers.
fn argument_registers(windows: bool) -> &'static [u8] {
    match windows {
        true => &[1, 2, 8, 9],
        false => &[7, 6, 2, 1, 8, 9],
    }
}

/// The general registers that a call may change.
fn spoiled(windows: bool) -> &'static [u8] {
    match windows {
        true => &[0, 1, 2, 8, 9, 10, 11],
        false => &[0, 1, 2, 6, 7, 8, 9, 10, 11],
    }
}

/// The instructions of a function's listing.
pub(crate) fn instructions(program: &Program<'_>, listing: &Listing) -> Vec<Instruction> {
    let lines = listing.lines();
    lines
        .map(|line| {
            let bytes = program.bytes(line.address, line.len.into());
            Decoder::with_ip(64, bytes, line.address, DecoderOptions::NONE).decode()
        })
        .collect()
}

impl<'a> Lifter<'a> {
    pub(crate) fn new(
        program: &Program<'_>,
        listing: &'a Listing,
        signatures: &'a dyn Fn(u64) -> Option<Signature>,
    ) -> Self {
        let imports = listing.facts.calls.iter().filter(|call| call.import);
        let words: Vec<Words<'_>> = listing.lines().map(|line| text::words(line.text)).collect();
        let lines = words.iter().enumerate();
        let depths = lines.filter_map(|(line, words)| {
            let depth = words.operands.iter().find_map(|o| text::depth(o))?;
            Some((line, depth))
        });
        Lifter {
            code: instructions(program, listing),
            depths: depths.collect(),
            words,
            imports: imports.map(|call| call.name.as_str()).collect(),
            windows: is_windows(program),
            known: HashMap::new(),
            body: Body::default(),
            stmts: Vec::new(),
            flags: Flags::Unknown,
            filled_before: 0,
            pushed: Vec::new(),
            info: InstructionInfoFactory::new(),
            scratch: 0,
            signatures,
        }
    }

    /// The statements of all blocks of the listing, each a number higher: the first
    /// takes in the arguments.
    pub(crate) fn lift(mut self, listing: &Listing) -> Body {
        self.find_places();
        let blocks: Vec<_> = listing.blocks().collect();
        let starts: HashMap<usize, usize> = blocks
            .iter()
            .enumerate()
            .map(|(at, block)| (block.lines.start, at + 1))
            .collect();
        let entry_flags = self.flags_at_entries(&blocks);
        // A block of its own, because a loop may lead back to the first instruction.
        self.take_parameters();
        self.body.blocks.push(Block {
            stmts: std::mem::take(&mut self.stmts),
            end: End::Goto(Some(1)),
        });
        let mut filled: Vec<Option<u16>> = vec![None; blocks.len()];
        for (number, block) in blocks.iter().enumerate() {
            self.flags = entry_flags[number];
            self.filled_before = filled[number].unwrap_or(0);
            let mut end = None;
            // What fills the room behind an end is of its block.
            let fills = |at: &usize| self.code[*at].mnemonic() == Mnemonic::Nop;
            let last = block.lines.clone().rev().find(|at| !fills(at));
            for at in block.lines.clone() {
                let i = self.code[at];
                if Some(at) == last {
                    end = self.end(at, block.lines.end, &i, block.next, &starts);
                }
                if end.is_none() {
                    self.step(at, &i);
                }
            }
            let left = std::mem::take(&mut self.pushed);
            self.leave_pushed(left);
            let now = self.filled();
            for &next in block.next {
                let before = &mut filled[next as usize];
                *before = Some(before.unwrap_or(u16::MAX) & now);
            }
            let end = end.unwrap_or_else(|| End::Goto(block.next.first().map(|&n| n as usize + 1)));
            self.body.blocks.push(Block {
                stmts: std::mem::take(&mut self.stmts),
                end,
            });
        }
        self.body
    }

    fn var(&mut self, home: Home) -> Var {
        let vars = &mut self.body.vars;
        *self.known.entry(home).or_insert_with(|| {
            vars.push(home);
            vars.len() as Var - 1
        })
    }

    fn fresh(&mut self) -> Var {
        self.scratch += 1;
        self.var(Home::Scratch(self.scratch))
    }

    fn assign(&mut self, var: Var, value: Expr) {
        let value = simplify(value);
        self.stmts.push(Stmt::Assign(var, value));
    }

    /// What the caller may have put into registers.
    fn take_parameters(&mut self) {
        for (number, &register) in argument_registers(self.windows).iter().enumerate() {
            let from = self.var(Home::Parameter(number as u8));
            let to = self.var(Home::Register(register));
            self.assign(to, Expr::Var(from, WORD));
        }
        for number in 0..if self.windows { 4 } else { 8 } {
            let from = self.var(Home::FloatParameter(number));
            let to = self.var(Home::Vector(number));
            self.assign(to, Expr::Var(from, Type::Bits(128)));
        }
        let mut pushed: Vec<(i64, u8)> = self
            .known
            .keys()
            .filter_map(|home| match home {
                Home::Slot(offset @ text::ARGUMENTS.., bits) => Some((*offset, *bits)),
                _ => None,
            })
            .collect();
        // A map has no order, and the same function is the same C each time.
        pushed.sort_unstable();
        for (offset, bits) in pushed {
            let number = 6 + (offset - text::ARGUMENTS) / 8;
            let from = self.var(Home::Parameter(number.min(99) as u8));
            let to = self.var(Home::Slot(offset, bits));
            self.assign(to, cut(Expr::Var(from, WORD), Type::Bits(bits)));
        }
    }

    /// Which places on the stack are variables, and which are memory: those whose
    /// address is taken or counted from, that are read in parts, and all that lie
    /// above one of those, because they may be of the same object.
    fn find_places(&mut self) {
        let mut seen: HashMap<i64, u64> = HashMap::new();
        let mut places: Vec<i64> = Vec::new();
        for at in 0..self.code.len() {
            let i = self.code[at];
            let copies = i.mnemonic() == Mnemonic::Mov && i.op1_register() == Register::RSP;
            if copies && i.op1_kind() == OpKind::Register {
                places.extend(self.stack_pointer(at, &i));
            }
            let Some((offset, indexed)) = self.stack_place(at, &i) else {
                continue;
            };
            let width = (i.memory_size().size() * 8) as u64;
            let whole = matches!(width, 8 | 16 | 32 | 64 | 128);
            let other = *seen.entry(offset).or_insert(width) != width;
            if i.mnemonic() == Mnemonic::Lea || indexed || !whole || other {
                places.push(offset);
            }
        }
        let mut all: Vec<_> = seen.iter().map(|(o, w)| (*o, *w)).collect();
        all.sort_unstable();
        for pair in all.windows(2) {
            if pair[0].0 + (pair[0].1 / 8) as i64 > pair[1].0 {
                places.extend([pair[0].0, pair[1].0]);
            }
        }
        if let Some(&lowest) = places.iter().min() {
            // What is above may be of the same object.
            let locals = all.iter().map(|(offset, _)| *offset);
            places.extend(locals.filter(|&o| o > lowest && (o < 0 || lowest >= 0)));
        }
        places.sort_unstable();
        places.dedup();
        for (offset, width) in all {
            if places.binary_search(&offset).is_err() {
                self.var(Home::Slot(offset, width.min(128) as u8));
            }
        }
        self.body.places = places;
    }

    /// The place on the stack that the memory operand of an instruction counts from,
    /// and whether a register is added.
    fn stack_place(&self, at: usize, i: &Instruction) -> Option<(i64, bool)> {
        let base = i.memory_base();
        if !(0..i.op_count()).any(|op| i.op_kind(op) == OpKind::Memory)
            || !matches!(base, Register::RSP | Register::RBP)
            || i.mnemonic() == Mnemonic::Nop
        {
            return None;
        }
        let place = self.words[at]
            .operands
            .iter()
            .find_map(|o| text::place(o))?;
        Some((place, i.memory_index() != Register::None))
    }

    /// Where on the stack a copy of the stack pointer leads, unless it is the frame
    /// pointer: what the nearest line that counts from it says.
    fn stack_pointer(&self, at: usize, i: &Instruction) -> Option<i64> {
        let follows_push = at > 0 && self.code[at - 1].code() == Code::Push_r64;
        if i.op0_register() == Register::RBP && follows_push {
            return None;
        }
        self.depth(at).map(|depth| -depth)
    }

    /// How far below the return address the stack pointer is.
    fn depth(&self, at: usize) -> Option<i64> {
        let next = self.depths.partition_point(|(line, _)| *line < at);
        let around = &self.depths[next.saturating_sub(1)..self.depths.len().min(next + 1)];
        let nearest = around.iter().min_by_key(|(line, _)| line.abs_diff(at));
        nearest.map(|(_, depth)| *depth)
    }

    /// What lies in a place of the stack.
    fn stack_word(&mut self, offset: i64) -> Expr {
        for bits in [64, 32, 16, 8] {
            if let Some(&var) = self.known.get(&Home::Slot(offset, bits)) {
                return Expr::Var(var, Type::Bits(bits));
            }
        }
        Expr::Load(WORD, Box::new(Expr::Place(offset)))
    }

    fn flags_at_entries(&mut self, blocks: &[binscribe_lift::Block<'_>]) -> Vec<Flags> {
        let own: Vec<Option<Flags>> = blocks
            .iter()
            .map(|block| {
                let lines = block.lines.clone().rev();
                lines.filter_map(|at| sets_flags(&self.code[at])).next()
            })
            .collect();
        let mut entries: Vec<Option<Flags>> = vec![None; blocks.len()];
        if let Some(first) = entries.first_mut() {
            *first = Some(Flags::Unknown);
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (number, block) in blocks.iter().enumerate() {
                let Some(out) = own[number].or(entries[number]) else {
                    continue;
                };
                for &next in block.next {
                    let next = &mut entries[next as usize];
                    let met = next.map_or(out, |held| held.met(out));
                    changed |= *next != Some(met);
                    *next = Some(met);
                }
            }
        }
        entries
            .into_iter()
            .map(|e| e.unwrap_or(Flags::Unknown))
            .collect()
    }

    // Operands.

    fn register(&mut self, register: Register) -> Expr {
        if let Some(number) = vector(register) {
            let var = self.var(Home::Vector(number));
            return Expr::Var(var, Type::Bits(128));
        }
        let Some((number, high)) = general(register) else {
            return Expr::Other(WORD, format!("{register:?}").to_lowercase(), Vec::new());
        };
        let var = self.var(Home::Register(number));
        let whole = Expr::Var(var, WORD);
        let ty = Type::Bits(bits(register.size()));
        match high {
            true => cut(binary(Binary::Shr, WORD, whole, Expr::Const(8, WORD)), ty),
            false => cut(whole, ty),
        }
    }

    fn set_register(&mut self, register: Register, value: Expr) {
        if let Some(number) = vector(register) {
            let var = self.var(Home::Vector(number));
            return self.assign(var, value);
        }
        let Some((number, high)) = general(register) else {
            return self.stmts.push(Stmt::Other(
                format!("set_{register:?}").to_lowercase(),
                vec![value],
            ));
        };
        let var = self.var(Home::Register(number));
        let bits = bits(register.size());
        let wide = |value| match bits {
            64 => value,
            _ => Expr::Unary(Unary::Widen(bits), WORD, Box::new(value)),
        };
        let value = match bits {
            8 | 16 => {
                let shift = if high { 8 } else { 0 };
                let mask = Type::Bits(bits).mask() << shift;
                let old = binary(
                    Binary::And,
                    WORD,
                    Expr::Var(var, WORD),
                    Expr::Const(!mask, WORD),
                );
                let new = binary(Binary::Shl, WORD, wide(value), Expr::Const(shift, WORD));
                binary(Binary::Or, WORD, old, new)
            }
            _ => wide(value),
        };
        self.assign(var, value);
    }

    /// The address of the memory operand; `None` where it is one that C has no word
    /// for.
    fn address(&mut self, at: usize, i: &Instruction) -> Option<Expr> {
        if matches!(i.segment_prefix(), Register::FS | Register::GS) {
            return None;
        }
        let words: Vec<&str> = self.words[at].operands.clone();
        let (base, index) = (i.memory_base(), i.memory_index());
        let displacement = i.memory_displacement64();
        let mut sum = if let Some((place, _)) = self.stack_place(at, i) {
            Expr::Place(place)
        } else if base == Register::RIP || (base == Register::None && index == Register::None) {
            let operand = words.iter().rev().find_map(|o| memory_name(o)).or(
                // `lea rdi, name` has neither brackets nor a segment.
                words.last().and_then(|o| text::name(o)),
            );
            let address = i
                .is_ip_rel_memory_operand()
                .then(|| i.ip_rel_memory_address());
            let address = address.unwrap_or(displacement);
            match operand {
                Some(name) => Expr::Name(text::identifier(name), Some(address)),
                None => Expr::Const(address, WORD),
            }
        } else {
            let constant = match words
                .iter()
                .rev()
                .find_map(|o| o.contains('[').then(|| text::name(o)).flatten())
            {
                Some(name) => Expr::Name(text::identifier(name), Some(displacement)),
                None => Expr::Const(displacement, WORD),
            };
            match base {
                Register::None => constant,
                _ => {
                    let base = self.register(base);
                    binary(Binary::Add, WORD, base, constant)
                }
            }
        };
        if index != Register::None {
            let index = self.register(index);
            let scale = Expr::Const(i.memory_index_scale().into(), WORD);
            let scaled = binary(Binary::Mul, WORD, index, scale);
            sum = binary(Binary::Add, WORD, sum, scaled);
        }
        if base.is_gpr32() || index.is_gpr32() {
            sum = Expr::Unary(Unary::Widen(32), WORD, Box::new(cut(sum, INT)));
        }
        Some(simplify(sum))
    }

    fn load(&mut self, at: usize, i: &Instruction, ty: Type) -> Expr {
        if let Some(var) = self.slot(at, i) {
            let Home::Slot(_, bits) = self.body.vars[var as usize] else {
                return Expr::Undefined(ty);
            };
            return match ty {
                Type::Bits(wanted) if wanted <= bits => cut(Expr::Var(var, Type::Bits(bits)), ty),
                _ => Expr::Var(var, ty),
            };
        }
        match self.address(at, i) {
            Some(Expr::Name(name, address)) => Expr::Global(ty, name, address),
            Some(address) => Expr::Load(ty, Box::new(address)),
            None => {
                let from = Expr::Const(i.memory_displacement64(), WORD);
                Expr::Other(ty, THREAD_LOCAL.into(), vec![from])
            }
        }
    }

    fn store(&mut self, at: usize, i: &Instruction, value: Expr) {
        if let Some(var) = self.slot(at, i) {
            return self.assign(var, value);
        }
        let value = simplify(value);
        match self.address(at, i) {
            Some(Expr::Name(name, address)) => {
                self.stmts.push(Stmt::StoreGlobal(name, address, value));
            }
            Some(address) => self.stmts.push(Stmt::Store(address, value)),
            None => {
                let to = Expr::Const(i.memory_displacement64(), WORD);
                self.stmts
                    .push(Stmt::Other("set_thread_local".into(), vec![to, value]));
            }
        }
    }

    /// The variable on the stack that an instruction's memory operand is.
    fn slot(&mut self, at: usize, i: &Instruction) -> Option<Var> {
        let (offset, _) = self.stack_place(at, i)?;
        let width = (i.memory_size().size() * 8).min(128) as u8;
        self.known.get(&Home::Slot(offset, width)).copied()
    }

    fn operand(&mut self, at: usize, i: &Instruction, op: u32) -> Expr {
        match i.op_kind(op) {
            OpKind::Register => self.register(i.op_register(op)),
            OpKind::Memory => {
                let ty = Type::Bits(bits(i.memory_size().size()));
                self.load(at, i, ty)
            }
            OpKind::NearBranch64 | OpKind::NearBranch32 => {
                Expr::Const(i.near_branch_target(), WORD)
            }
            _ => {
                let words = &self.words[at];
                let named = words.operands.get(op as usize);
                let named = named.filter(|o| o.starts_with("offset "));
                if let Some(name) = named.and_then(|o| text::name(o)) {
                    let name = match words.literal {
                        Some(literal) => return Expr::Text(text::literal(literal)),
                        None => text::identifier(name),
                    };
                    return Expr::Name(name, Some(i.immediate(op)));
                }
                let ty = self.width(i, op);
                Expr::Const(i.immediate(op) & ty.mask(), ty)
            }
        }
    }

    /// How wide an immediate is meant: as the first operand.
    fn width(&self, i: &Instruction, op: u32) -> Type {
        let of = |op: u32| match i.op_kind(op) {
            OpKind::Register => bits(i.op_register(op).size()),
            OpKind::Memory => bits(i.memory_size().size()),
            _ => 64,
        };
        let first = if op == 0 { 64 } else { of(0) };
        Type::Bits(first.min(64))
    }

    fn set_operand(&mut self, at: usize, i: &Instruction, op: u32, value: Expr) {
        match i.op_kind(op) {
            OpKind::Register => self.set_register(i.op_register(op), value),
            _ => self.store(at, i, value),
        }
    }

    /// A float in an operand.
    fn float(&mut self, at: usize, i: &Instruction, op: u32, bits: u8) -> Expr {
        let ty = Type::Float(bits);
        match i.op_kind(op) {
            OpKind::Memory => self.load(at, i, ty),
            _ => match self.register(i.op_register(op)) {
                Expr::Var(var, _) => Expr::Var(var, ty),
                other => other,
            },
        }
    }

    fn compared(&mut self, first: Expr, second: Expr) {
        let (a, b) = (self.var(Home::Compared(0)), self.var(Home::Compared(1)));
        self.assign(a, first);
        self.assign(b, second);
    }

    fn result(&mut self, value: Expr) {
        let a = self.var(Home::Compared(0));
        self.assign(a, value);
    }

    /// Whether a condition holds: 1 or 0.
    fn condition(&mut self, condition: ConditionCode) -> Expr {
        use ConditionCode as C;
        let (a, b) = (self.var(Home::Compared(0)), self.var(Home::Compared(1)));
        let unknown = |c: ConditionCode| Expr::Other(BYTE, format!("condition_{c:?}"), Vec::new());
        let negated = |e: Expr| binary(Binary::Equal, BYTE, e, Expr::Const(0, BYTE));
        let overflows = |op: &str, ty: Type, a: Expr, b: Expr| {
            Expr::Other(BYTE, format!("{op}_overflows{}", ty.bits()), vec![a, b])
        };
        let value = match self.flags {
            Flags::Compare(ty) => {
                let (a, b) = (Expr::Var(a, ty), Expr::Var(b, ty));
                let float = matches!(ty, Type::Float(_));
                let difference = || binary(Binary::Sub, ty, a.clone(), b.clone());
                let zero = || Expr::Const(0, ty);
                match condition {
                    C::e => binary(Binary::Equal, ty, a, b),
                    C::ne => binary(Binary::Unequal, ty, a, b),
                    // Of floats these also hold where there is no order.
                    C::b if float => negated(binary(Binary::LessEqual, ty, b, a)),
                    C::be if float => negated(binary(Binary::Less, ty, b, a)),
                    C::p if float => Expr::Other(BYTE, "isunordered".into(), vec![a, b]),
                    C::np if float => negated(Expr::Other(BYTE, "isunordered".into(), vec![a, b])),
                    C::b => binary(Binary::Less, ty, a, b),
                    C::ae => binary(Binary::LessEqual, ty, b, a),
                    C::be => binary(Binary::LessEqual, ty, a, b),
                    C::a => binary(Binary::Less, ty, b, a),
                    C::l => binary(Binary::SignedLess, ty, a, b),
                    C::ge => binary(Binary::SignedLessEqual, ty, b, a),
                    C::le => binary(Binary::SignedLessEqual, ty, a, b),
                    C::g => binary(Binary::SignedLess, ty, b, a),
                    C::s => binary(Binary::SignedLess, ty, difference(), zero()),
                    C::ns => binary(Binary::SignedLessEqual, ty, zero(), difference()),
                    C::o => overflows("sub", ty, a, b),
                    C::no => negated(overflows("sub", ty, a, b)),
                    other => unknown(other),
                }
            }
            Flags::Sum(ty) | Flags::Result(ty) => {
                let sum = matches!(self.flags, Flags::Sum(_));
                let (a, b, zero) = (Expr::Var(a, ty), Expr::Var(b, ty), Expr::Const(0, ty));
                match condition {
                    C::e => binary(Binary::Equal, ty, a, zero),
                    C::ne => binary(Binary::Unequal, ty, a, zero),
                    C::s => binary(Binary::SignedLess, ty, a, zero),
                    C::ns => binary(Binary::SignedLessEqual, ty, zero, a),
                    C::b if sum => binary(Binary::Less, ty, a, b),
                    C::ae if sum => binary(Binary::LessEqual, ty, b, a),
                    C::o if sum => overflows("add", ty, binary(Binary::Sub, ty, a, b.clone()), b),
                    C::no if sum => {
                        let first = binary(Binary::Sub, ty, a, b.clone());
                        negated(overflows("add", ty, first, b))
                    }
                    other => unknown(other),
                }
            }
            Flags::Unsigned => {
                // Narrower ones were widened when they were kept.
                let (a, b) = (Expr::Var(a, WORD), Expr::Var(b, WORD));
                match condition {
                    C::e => binary(Binary::Equal, WORD, a, b),
                    C::ne => binary(Binary::Unequal, WORD, a, b),
                    C::b => binary(Binary::Less, WORD, a, b),
                    C::ae => binary(Binary::LessEqual, WORD, b, a),
                    C::be => binary(Binary::LessEqual, WORD, a, b),
                    C::a => binary(Binary::Less, WORD, b, a),
                    other => unknown(other),
                }
            }
            Flags::Bit => {
                let bit = Expr::Var(a, BYTE);
                match condition {
                    C::b => binary(Binary::Unequal, BYTE, bit, Expr::Const(0, BYTE)),
                    C::ae => binary(Binary::Equal, BYTE, bit, Expr::Const(0, BYTE)),
                    other => unknown(other),
                }
            }
            Flags::Unknown => unknown(condition),
        };
        simplify(value)
    }

    /// The end of a block, where the instruction is one.
    fn end(
        &mut self,
        at: usize,
        behind: usize,
        i: &Instruction,
        next: &[u32],
        starts: &HashMap<usize, usize>,
    ) -> Option<End> {
        let next: Vec<usize> = next.iter().map(|&n| n as usize + 1).collect();
        match i.flow_control() {
            FlowControl::Return => Some(self.returned()),
            FlowControl::ConditionalBranch => {
                let target = self.words[at].operands.last().and_then(|o| {
                    let o = o.strip_prefix("short ").unwrap_or(o);
                    o.strip_prefix("INSTR")?.parse::<usize>().ok()
                });
                let Some(yes) = target.and_then(|t| starts.get(&t.checked_sub(1)?).copied()) else {
                    // It leaves the function: as a call of what is there.
                    return None;
                };
                let no = *starts.get(&behind)?;
                let condition = match i.condition_code() {
                    ConditionCode::None => Expr::Other(
                        BYTE,
                        format!("{:?}", i.mnemonic()).to_lowercase(),
                        Vec::new(),
                    ),
                    code => self.condition(code),
                };
                Some(End::If(condition, yes, no))
            }
            FlowControl::UnconditionalBranch if !next.is_empty() => {
                Some(End::Goto(next.first().copied()))
            }
            FlowControl::IndirectBranch if !next.is_empty() => {
                let to = self.operand(at, i, 0);
                Some(End::Jump(simplify(to), next))
            }
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                // A call in the place of the last return.
                self.call(at, i);
                Some(self.returned())
            }
            _ => None,
        }
    }

    /// A return of either register; which of the two it is, the data say later.
    fn returned(&mut self) -> End {
        let (rax, xmm0) = (self.var(Home::Register(0)), self.var(Home::Vector(0)));
        let both = vec![Expr::Var(rax, WORD), Expr::Var(xmm0, Type::Bits(128))];
        End::Return(Some(Expr::Other(WORD, RETURNED.into(), both)))
    }

    fn call(&mut self, at: usize, i: &Instruction) {
        let windows = self.windows;
        let word = self.words[at].operands.last().copied().unwrap_or_default();
        let name = match i.op0_kind() {
            OpKind::Register => None,
            OpKind::Memory
                if i.memory_base() != Register::RIP && i.memory_base() != Register::None =>
            {
                None
            }
            _ => text::name(word),
        };
        let import = name.and_then(|name| {
            let plain = name.strip_prefix("__imp_").unwrap_or(name);
            let plain = plain.strip_suffix("_ptr").unwrap_or(plain);
            let bare = plain.strip_prefix('_').unwrap_or(plain);
            [plain, bare].into_iter().find(|n| self.imports.contains(n))
        });
        let near = matches!(i.op0_kind(), OpKind::NearBranch64);
        let signature = match import.and_then(calls::known) {
            Some(known) => Some(known),
            None if near => name
                .and_then(calls::known)
                .or_else(|| (self.signatures)(i.near_branch_target())),
            None => None,
        };
        let callee = match (import, name) {
            (Some(name), _) => Callee::Name(text::identifier(name)),
            (None, Some(name)) if near => Callee::Name(text::identifier(name)),
            _ => Callee::Pointer(simplify(self.operand(at, i, 0))),
        };
        let registers = argument_registers(windows);
        let whole = signature.and_then(|s| s.whole(|| self.format_arguments(s.format?)));
        let count = whole.unwrap_or_else(|| self.filled().trailing_ones() as usize);
        let mut arguments = Vec::new();
        for &register in registers.iter().take(count) {
            let var = self.var(Home::Register(register));
            arguments.push(Expr::Var(var, WORD));
        }
        // Those that have no register were pushed, the last first.
        let surely = self.pushed.iter().filter(|(_, surely)| *surely).count();
        let wanted = match signature {
            Some(signature) => usize::from(signature.pushed),
            None if count >= registers.len() => surely,
            None => 0,
        };
        let mut pushed = std::mem::take(&mut self.pushed);
        let taken = pushed.split_off(pushed.len().saturating_sub(wanted));
        let stored = wanted - taken.len();
        arguments.extend(taken.into_iter().rev().map(|(value, _)| value));
        self.leave_pushed(pushed);
        // Or they were put where a push would have.
        if stored == wanted
            && signature.is_some()
            && let Some(depth) = self.depth(at)
        {
            for number in 0..stored as i64 {
                arguments.push(self.stack_word(8 * number - depth));
            }
        }
        let floats = signature.map_or(0, |s| s.floats);
        let float = signature.map_or(Type::Float(64), |s| s.float);
        for number in 0..floats {
            let var = self.var(Home::Vector(number));
            arguments.push(Expr::Var(var, float));
        }
        let answers_float = match signature {
            Some(signature) if signature.is_known => signature.answers_float,
            _ => self.float_is_read_after(at),
        };
        let answer = match (signature, answers_float) {
            (Some(Signature { answers: false, .. }), _) => None,
            (_, true) => Some((self.var(Home::Vector(0)), float)),
            (_, false) => Some((self.var(Home::Register(0)), WORD)),
        };
        let changes = signature.and_then(|s| s.changes).unwrap_or(u32::MAX);
        let changed = |bit: u8| changes & 1 << bit != 0;
        let general = spoiled(windows).iter().filter(|&&r| changed(r));
        let general = general.map(|&r| Home::Register(r));
        let vectors = (0..16).filter(|&v| changed(16 + v)).map(Home::Vector);
        let homes: Vec<Home> = general.chain(vectors).collect();
        let spoils: Vec<Var> = homes
            .into_iter()
            .map(|home| self.var(home))
            .filter(|var| answer.is_none_or(|(answer, _)| answer != *var))
            .collect();
        self.stmts.push(Stmt::Call {
            answer,
            callee,
            arguments,
            spoils,
        });
        self.flags = Flags::Unknown;
    }

    /// How many arguments the text of a format at an argument asks for, itself
    /// included.
    fn format_arguments(&mut self, format: u8) -> Option<usize> {
        let register = *argument_registers(self.windows).get(usize::from(format))?;
        let var = self.var(Home::Register(register));
        let value = self.stmts.iter().rev().find_map(|stmt| match stmt {
            Stmt::Assign(to, value) if *to == var => Some(value),
            _ => None,
        })?;
        let Expr::Text(text) = value else { return None };
        Some(usize::from(format) + 1 + calls::conversions(text))
    }

    /// A bit for each register of an argument that something was put into since the
    /// last call, on all ways to here that are known.
    fn filled(&self) -> u16 {
        let registers = argument_registers(self.windows);
        let mut filled = 0;
        for stmt in self.stmts.iter().rev() {
            match stmt {
                Stmt::Call { .. } => return filled,
                Stmt::Assign(var, _) => {
                    let home = self.body.vars[*var as usize];
                    let place = registers.iter().position(|&r| home == Home::Register(r));
                    filled |= place.map_or(0, |place| 1 << place);
                }
                _ => {}
            }
        }
        filled | self.filled_before
    }

    /// Whether the code behind a call takes a float from it.
    fn float_is_read_after(&mut self, at: usize) -> bool {
        for at in at + 1..self.code.len().min(at + 12) {
            let i = self.code[at];
            if i.flow_control() != FlowControl::Next {
                return false;
            }
            let info = self.info.info(&i);
            for used in info.used_registers() {
                let vector = vector(used.register()) == Some(0);
                let whole = general(used.register()) == Some((0, false));
                if vector || whole {
                    return vector && reads(used.access());
                }
            }
        }
        false
    }

    /// Takes in an instruction that is not the end of a block.
    fn step(&mut self, at: usize, i: &Instruction) {
        use Mnemonic as M;
        let flags = sets_flags(i);
        let size = |i: &Instruction, op: u32| match i.op_kind(op) {
            OpKind::Register => bits(i.op_register(op).size()),
            OpKind::Memory => bits(i.memory_size().size()),
            _ => 64,
        };
        let ty = Type::Bits(size(i, 0));
        let stack = matches!(i.op0_register(), Register::RSP) && i.op0_kind() == OpKind::Register;
        match i.mnemonic() {
            M::Nop
            | M::Endbr64
            | M::Leave
            | M::Prefetcht0
            | M::Prefetcht1
            | M::Prefetcht2
            | M::Prefetchnta
            | M::Prefetchw
            | M::Pause
            | M::Vzeroupper
            | M::Int3 => {}
            M::Ud2 | M::Hlt => self.other(at, i),
            _ if stack => {}
            M::Push => {
                let kept = general(i.op0_register())
                    .is_some_and(|(number, _)| !spoiled(self.windows).contains(&number));
                let first = self.is_first(at, i);
                if !(kept && first) {
                    let value = self.operand(at, i, 0);
                    let held = self.hold(value);
                    self.pushed.push((held, !first));
                }
            }
            M::Pop if i.op0_kind() == OpKind::Register => {
                if let Some((number, _)) = general(i.op0_register()) {
                    let var = self.var(Home::Register(number));
                    self.stmts.push(Stmt::Assign(var, Expr::Undefined(WORD)));
                }
            }
            M::Mov if i.op1_kind() == OpKind::Register && i.op1_register() == Register::RSP => {
                if let Some(place) = self.stack_pointer(at, i) {
                    self.set_register(i.op0_register(), Expr::Place(place));
                }
            }
            M::Mov => {
                let value = self.operand(at, i, 1);
                self.set_operand(at, i, 0, value);
            }
            M::Movzx | M::Movsx | M::Movsxd => {
                let from = size(i, 1);
                let value = self.operand(at, i, 1);
                let op = match i.mnemonic() {
                    M::Movzx => Unary::Widen(from),
                    _ => Unary::Extend(from),
                };
                let value = match from == ty.bits() {
                    true => value,
                    false => Expr::Unary(op, ty, Box::new(value)),
                };
                self.set_operand(at, i, 0, value);
            }
            M::Lea => {
                let literal = self.words[at].literal.map(text::literal);
                let value = match literal {
                    Some(text) => Expr::Text(text),
                    None => self.address(at, i).unwrap_or(Expr::Undefined(WORD)),
                };
                self.set_register(i.op0_register(), cut(value, ty));
            }
            M::Add | M::Sub | M::And | M::Or | M::Xor | M::Cmp | M::Test => {
                self.arithmetic(at, i, ty);
            }
            M::Adc | M::Sbb => {
                let carry = self.condition(ConditionCode::b);
                let carry = Expr::Unary(Unary::Widen(8), ty, Box::new(carry));
                let (a, b) = (self.operand(at, i, 0), self.operand(at, i, 1));
                let op = match i.mnemonic() {
                    M::Adc => Binary::Add,
                    _ => Binary::Sub,
                };
                let value = match is_same(i) && op == Binary::Sub {
                    true => binary(op, ty, Expr::Const(0, ty), carry),
                    false => binary(op, ty, binary(op, ty, a, b), carry),
                };
                self.set_with_result(at, i, value);
            }
            M::Inc | M::Dec => {
                let op = match i.mnemonic() {
                    M::Inc => Binary::Add,
                    _ => Binary::Sub,
                };
                let a = self.operand(at, i, 0);
                let value = binary(op, ty, a, Expr::Const(1, ty));
                self.set_with_result(at, i, value);
            }
            M::Neg => {
                let a = self.operand(at, i, 0);
                self.compared(Expr::Const(0, ty), a.clone());
                self.set_operand(at, i, 0, Expr::Unary(Unary::Negate, ty, Box::new(a)));
            }
            M::Not => {
                let a = self.operand(at, i, 0);
                self.set_operand(at, i, 0, Expr::Unary(Unary::Not, ty, Box::new(a)));
            }
            M::Shl
            | M::Sal
            | M::Shr
            | M::Sar
            | M::Rol
            | M::Ror
            | M::Shlx
            | M::Shrx
            | M::Sarx
            | M::Rorx => self.shift(at, i, ty),
            M::Imul if i.op_count() > 1 => {
                let (a, b) = match i.op_count() {
                    2 => (self.operand(at, i, 0), self.operand(at, i, 1)),
                    _ => (self.operand(at, i, 1), self.operand(at, i, 2)),
                };
                self.set_operand(at, i, 0, binary(Binary::Mul, ty, a, b));
            }
            M::Mul | M::Imul if ty.bits() >= 32 => {
                let high = match i.mnemonic() {
                    M::Mul => Binary::HighMul,
                    _ => Binary::SignedHighMul,
                };
                let (low, up) = pair(ty);
                let (a, b) = (self.register(low), self.operand(at, i, 0));
                let (first, second) = (self.hold(a), self.hold(b));
                let product = binary(Binary::Mul, ty, first.clone(), second.clone());
                self.set_register(low, product);
                self.set_register(up, binary(high, ty, first, second));
            }
            M::Div | M::Idiv if ty.bits() >= 32 => self.divide(at, i, ty),
            M::Cdq => self.spread(Register::EAX, Register::EDX),
            M::Cqo => self.spread(Register::RAX, Register::RDX),
            M::Cdqe => {
                let a = self.register(Register::EAX);
                self.set_register(
                    Register::RAX,
                    Expr::Unary(Unary::Extend(32), WORD, Box::new(a)),
                );
            }
            M::Cwde => {
                let a = self.register(Register::AX);
                self.set_register(
                    Register::EAX,
                    Expr::Unary(Unary::Extend(16), INT, Box::new(a)),
                );
            }
            M::Xchg => {
                let (a, b) = (self.operand(at, i, 0), self.operand(at, i, 1));
                let (a, b) = (self.hold(a), self.hold(b));
                self.set_operand(at, i, 0, b);
                self.set_operand(at, i, 1, a);
            }
            M::Bt => {
                let (a, b) = (self.operand(at, i, 0), self.operand(at, i, 1));
                let count = match i.op1_kind() {
                    OpKind::Register => b,
                    _ => Expr::Const(i.immediate(1), ty),
                };
                let most = Expr::Const(u64::from(ty.bits()) - 1, ty);
                let count = binary(Binary::And, ty, count, most);
                let bit = binary(Binary::Shr, ty, a, count);
                let bit = binary(Binary::And, ty, bit, Expr::Const(1, ty));
                self.result(cut(bit, BYTE));
            }
            M::Bswap => {
                let a = self.operand(at, i, 0);
                let value = Expr::Other(ty, format!("bswap{}", ty.bits()), vec![a]);
                self.set_operand(at, i, 0, value);
            }
            M::Call => self.call(at, i),
            _ if i.condition_code() != ConditionCode::None => self.conditional(at, i, ty),
            _ => {
                if !self.string(i) && !self.scalar(at, i) {
                    self.other(at, i);
                }
            }
        }
        if let Some(flags) = flags {
            self.flags = flags;
        }
    }

    fn arithmetic(&mut self, at: usize, i: &Instruction, ty: Type) {
        use Mnemonic as M;
        let same = is_same(i);
        let (a, b) = (self.operand(at, i, 0), self.operand(at, i, 1));
        match i.mnemonic() {
            M::Cmp => self.compared(a, b),
            M::Test if same => self.compared(a, Expr::Const(0, ty)),
            M::Test => {
                let both = binary(Binary::And, ty, a, b);
                self.compared(both, Expr::Const(0, ty));
            }
            M::Xor | M::Sub if same => {
                let zero = Expr::Const(0, ty);
                self.compared(zero.clone(), zero.clone());
                self.set_operand(at, i, 0, zero);
            }
            M::Sub => {
                self.compared(a.clone(), b.clone());
                self.set_operand(at, i, 0, binary(Binary::Sub, ty, a, b));
            }
            M::Add => {
                let part = self.var(Home::Compared(1));
                let value = binary(Binary::Add, ty, a, b.clone());
                self.assign(part, b);
                self.set_with_result(at, i, value);
            }
            mnemonic => {
                let op = match mnemonic {
                    M::And => Binary::And,
                    M::Or => Binary::Or,
                    _ => Binary::Xor,
                };
                self.set_with_result(at, i, binary(op, ty, a, b));
                let second = self.var(Home::Compared(1));
                self.assign(second, Expr::Const(0, ty));
            }
        }
    }

    /// What was pushed and is no argument.
    fn leave_pushed(&mut self, pushed: Vec<(Expr, bool)>) {
        for (left, _) in pushed.into_iter().filter(|(_, surely)| *surely) {
            self.stmts.push(Stmt::Other("push".into(), vec![left]));
        }
    }

    /// Whether what is pushed is a register that nothing was put into yet, and no call
    /// stands before.
    fn is_first(&mut self, at: usize, i: &Instruction) -> bool {
        /// Instructions within which a function keeps what it must.
        const PROLOGUE: usize = 64;
        if i.op0_kind() != OpKind::Register || at > PROLOGUE {
            return false;
        }
        let register = i.op0_register().full_register();
        let (code, info) = (&self.code[..at], &mut self.info);
        !code.iter().any(|before| {
            let used = info.info(before).used_registers();
            before.mnemonic() == Mnemonic::Call
                || used.iter().any(|used| {
                    used.register().full_register() == register
                        && used.access() != OpAccess::Read
                        && register != Register::RBP
                })
        })
    }

    /// Sets the first operand, and what conditions ask for.
    fn set_with_result(&mut self, at: usize, i: &Instruction, value: Expr) {
        let value = simplify(value);
        if i.op0_kind() == OpKind::Register {
            // Conditions ask for what is in the register now.
            self.set_operand(at, i, 0, value);
            let now = self.register(i.op0_register());
            return self.result(now);
        }
        let held = self.var(Home::Compared(0));
        let ty = value.ty();
        self.result(value);
        self.set_operand(at, i, 0, Expr::Var(held, ty));
    }

    fn shift(&mut self, at: usize, i: &Instruction, ty: Type) {
        use Mnemonic as M;
        let three = i.op_count() == 3;
        let a = self.operand(at, i, if three { 1 } else { 0 });
        let place = if three { 2 } else { 1 };
        let count = match i.op_kind(place) {
            OpKind::Register => {
                let count = self.operand(at, i, place);
                let count = match count.ty() == ty {
                    true => count,
                    false if count.ty().bits() < ty.bits() => {
                        let from = count.ty().bits();
                        Expr::Unary(Unary::Widen(from), ty, Box::new(count))
                    }
                    false => cut(count, ty),
                };
                let most = if ty.bits() == 64 { 63 } else { 31 };
                binary(Binary::And, ty, count, Expr::Const(most, ty))
            }
            _ => {
                let most = if ty.bits() == 64 { 63 } else { 31 };
                Expr::Const(i.immediate(place) & most, ty)
            }
        };
        let op = match i.mnemonic() {
            M::Shl | M::Sal | M::Shlx => Binary::Shl,
            M::Shr | M::Shrx => Binary::Shr,
            M::Sar | M::Sarx => Binary::SignedShr,
            M::Rol => Binary::RotateLeft,
            _ => Binary::RotateRight,
        };
        let value = binary(op, ty, a, count);
        match three || matches!(op, Binary::RotateLeft | Binary::RotateRight) {
            true => self.set_operand(at, i, 0, value),
            false => self.set_with_result(at, i, value),
        }
    }

    fn divide(&mut self, at: usize, i: &Instruction, ty: Type) {
        let signed = i.mnemonic() == Mnemonic::Idiv;
        let (low, up) = pair(ty);
        let b = self.operand(at, i, 0);
        let (a, high) = (self.register(low), self.register(up));
        let plain = self.is_spread(low, up, signed);
        let (a, b, high) = (self.hold(a), self.hold(b), self.hold(high));
        let (div, rem) = match signed {
            true => (Binary::SignedDiv, Binary::SignedRem),
            false => (Binary::Div, Binary::Rem),
        };
        // Most often the upper half is 0, or the sign of the lower one.
        let whole = |op| match plain {
            true => binary(op, ty, a.clone(), b.clone()),
            false => {
                let part = if op == div { "quotient" } else { "remainder" };
                let operands = vec![high.clone(), a.clone(), b.clone()];
                let sign = if signed { "signed_" } else { "" };
                Expr::Other(ty, format!("{sign}{part}{}", ty.bits()), operands)
            }
        };
        let (quotient, remainder) = (whole(div), whole(rem));
        self.set_register(low, quotient);
        self.set_register(up, remainder);
    }

    /// Whether the statement before put 0, or the sign of the lower half, into the
    /// upper half.
    fn is_spread(&mut self, low: Register, up: Register, signed: bool) -> bool {
        let homes = [low, up].map(|r| general(r).map(|(number, _)| Home::Register(number)));
        let [Some(low), Some(up)] = homes else {
            return false;
        };
        let (low, up) = (self.var(low), self.var(up));
        for stmt in self.stmts.iter().rev() {
            match stmt {
                Stmt::Assign(var, value) if *var == up => {
                    let inner = match value {
                        Expr::Unary(Unary::Widen(_), _, inner) => inner,
                        other => other,
                    };
                    return match inner {
                        Expr::Const(0, _) => !signed,
                        Expr::Binary(Binary::SignedShr, _, of, _) => signed && of.mentions(low),
                        _ => false,
                    };
                }
                other if other.defines().contains(&low) => return false,
                _ => {}
            }
        }
        false
    }

    /// The sign of one register all over another.
    fn spread(&mut self, from: Register, to: Register) {
        let a = self.register(from);
        let ty = a.ty();
        let most = Expr::Const(u64::from(ty.bits()) - 1, ty);
        self.set_register(to, binary(Binary::SignedShr, ty, a, most));
    }

    /// Puts a value into a variable of its own, so that it is what it is now.
    fn hold(&mut self, value: Expr) -> Expr {
        let ty = value.ty();
        let var = self.fresh();
        self.assign(var, value);
        Expr::Var(var, ty)
    }

    /// `setcc`, `cmovcc`, and conditional jumps that leave the function.
    fn conditional(&mut self, at: usize, i: &Instruction, ty: Type) {
        let holds = self.condition(i.condition_code());
        match i.flow_control() {
            FlowControl::Next if i.op_count() == 1 => self.set_operand(at, i, 0, holds),
            FlowControl::Next => {
                let (old, new) = (self.operand(at, i, 0), self.operand(at, i, 1));
                let value = Expr::Choice(ty, Box::new(holds), Box::new(new), Box::new(old));
                self.set_operand(at, i, 0, value);
            }
            _ => {
                let word = self.words[at].operands.last().copied().unwrap_or_default();
                let name = text::name(word).map_or_else(
                    || format!("{:#x}", i.near_branch_target()),
                    text::identifier,
                );
                let to = Expr::Name(name, None);
                self.stmts
                    .push(Stmt::Other("leave_if".into(), vec![holds, to]));
            }
        }
    }

    /// Instructions on one float. Returns false where it is none.
    fn scalar(&mut self, at: usize, i: &Instruction) -> bool {
        use Mnemonic as M;
        let two = |m: M| match m {
            M::Addss | M::Vaddss => Some((Binary::Add, 32)),
            M::Addsd | M::Vaddsd => Some((Binary::Add, 64)),
            M::Subss | M::Vsubss => Some((Binary::Sub, 32)),
            M::Subsd | M::Vsubsd => Some((Binary::Sub, 64)),
            M::Mulss | M::Vmulss => Some((Binary::Mul, 32)),
            M::Mulsd | M::Vmulsd => Some((Binary::Mul, 64)),
            M::Divss | M::Vdivss => Some((Binary::Div, 32)),
            M::Divsd | M::Vdivsd => Some((Binary::Div, 64)),
            _ => None,
        };
        let last = i.op_count().saturating_sub(1);
        if let Some((op, bits)) = two(i.mnemonic()) {
            let a = self.float(at, i, last.saturating_sub(1), bits);
            let b = self.float(at, i, last, bits);
            self.set_operand(at, i, 0, binary(op, Type::Float(bits), a, b));
            return true;
        }
        let is_wider = i.memory_size().size() > 16 || i.op0_register().size() > 16;
        match i.mnemonic() {
            M::Movss | M::Vmovss if i.op_count() == 2 => {
                let value = self.float(at, i, 1, 32);
                self.set_operand(at, i, 0, value);
                true
            }
            M::Movsd | M::Vmovsd if i.op_count() == 2 => {
                let value = self.float(at, i, 1, 64);
                self.set_operand(at, i, 0, value);
                true
            }
            M::Movaps
            | M::Movapd
            | M::Movups
            | M::Movupd
            | M::Movdqa
            | M::Movdqu
            | M::Vmovaps
            | M::Vmovapd
            | M::Vmovdqa
            | M::Vmovdqu
            | M::Vmovups
            | M::Vmovupd
                if !is_wider =>
            {
                let value = self.operand(at, i, 1);
                self.set_operand(at, i, 0, value);
                true
            }
            M::Pxor | M::Xorps | M::Xorpd | M::Vpxor | M::Vxorps | M::Vxorpd
                if i.op_kind(last) == OpKind::Register
                    && i.op_register(last) == i.op_register(last - 1) =>
            {
                self.set_operand(at, i, 0, Expr::Const(0, Type::Bits(128)));
                true
            }
            M::Movd | M::Movq | M::Vmovd | M::Vmovq => {
                let from_vector =
                    i.op1_kind() == OpKind::Register && vector(i.op1_register()).is_some();
                let to_vector =
                    i.op0_kind() == OpKind::Register && vector(i.op0_register()).is_some();
                let bits = if matches!(i.mnemonic(), M::Movd | M::Vmovd) {
                    32
                } else {
                    64
                };
                let float = Type::Float(bits);
                match (from_vector, to_vector) {
                    (true, true) => {
                        let value = self.float(at, i, 1, bits);
                        self.set_operand(at, i, 0, value);
                    }
                    (true, false) => {
                        let value = self.float(at, i, 1, bits);
                        let value =
                            Expr::Unary(Unary::Bits(float), Type::Bits(bits), Box::new(value));
                        self.set_operand(at, i, 0, value);
                    }
                    _ => {
                        let value = match i.op1_kind() {
                            OpKind::Memory => self.load(at, i, float),
                            _ => {
                                let value = self.operand(at, i, 1);
                                Expr::Unary(Unary::Bits(Type::Bits(bits)), float, Box::new(value))
                            }
                        };
                        self.set_operand(at, i, 0, value);
                    }
                }
                true
            }
            M::Cvtsi2sd | M::Cvtsi2ss | M::Vcvtsi2sd | M::Vcvtsi2ss => {
                let to = if matches!(i.mnemonic(), M::Cvtsi2sd | M::Vcvtsi2sd) {
                    64
                } else {
                    32
                };
                let value = self.operand(at, i, last);
                let value =
                    Expr::Unary(Unary::ToFloat(value.ty()), Type::Float(to), Box::new(value));
                self.set_operand(at, i, 0, value);
                true
            }
            M::Cvttsd2si | M::Cvttss2si | M::Vcvttsd2si | M::Vcvttss2si => {
                let from = if matches!(i.mnemonic(), M::Cvttsd2si | M::Vcvttsd2si) {
                    64
                } else {
                    32
                };
                let ty = Type::Bits(bits(i.op0_register().size()));
                let value = self.float(at, i, 1, from);
                let value = Expr::Unary(Unary::ToWhole(Type::Float(from)), ty, Box::new(value));
                self.set_operand(at, i, 0, value);
                true
            }
            M::Cvtss2sd | M::Cvtsd2ss | M::Vcvtss2sd | M::Vcvtsd2ss => {
                let (from, to) = match i.mnemonic() {
                    M::Cvtss2sd | M::Vcvtss2sd => (32, 64),
                    _ => (64, 32),
                };
                let value = self.float(at, i, last, from);
                let value = Expr::Unary(
                    Unary::ToFloat(Type::Float(from)),
                    Type::Float(to),
                    Box::new(value),
                );
                self.set_operand(at, i, 0, value);
                true
            }
            M::Sqrtsd | M::Sqrtss | M::Vsqrtsd | M::Vsqrtss => {
                let bits = if matches!(i.mnemonic(), M::Sqrtsd | M::Vsqrtsd) {
                    64
                } else {
                    32
                };
                let value = self.float(at, i, last, bits);
                self.set_operand(
                    at,
                    i,
                    0,
                    Expr::Unary(Unary::Sqrt, Type::Float(bits), Box::new(value)),
                );
                true
            }
            M::Ucomisd
            | M::Comisd
            | M::Ucomiss
            | M::Comiss
            | M::Vucomisd
            | M::Vcomisd
            | M::Vucomiss
            | M::Vcomiss => {
                let bits = match sets_flags(i) {
                    Some(Flags::Compare(Type::Float(bits))) => bits,
                    _ => 64,
                };
                let (a, b) = (self.float(at, i, 0, bits), self.float(at, i, 1, bits));
                self.compared(a, b);
                true
            }
            // Half of a vector register and memory.
            M::Movhps | M::Movhpd | M::Movlps | M::Movlpd if i.op_count() == 2 => {
                let high = matches!(i.mnemonic(), M::Movhps | M::Movhpd);
                let part = if high { "high" } else { "low" };
                let value = match i.op0_kind() {
                    OpKind::Memory => {
                        let whole = self.register(i.op1_register());
                        Expr::Other(WORD, format!("{part}_of"), vec![whole])
                    }
                    _ => {
                        let whole = self.register(i.op0_register());
                        let half = self.operand(at, i, 1);
                        Expr::Other(Type::Bits(128), format!("with_{part}"), vec![whole, half])
                    }
                };
                self.set_operand(at, i, 0, value);
                true
            }
            M::Maxsd | M::Minsd | M::Maxss | M::Minss => {
                let bits = if matches!(i.mnemonic(), M::Maxsd | M::Minsd) {
                    64
                } else {
                    32
                };
                let ty = Type::Float(bits);
                let (a, b) = (self.float(at, i, 0, bits), self.float(at, i, 1, bits));
                let holds = match i.mnemonic() {
                    M::Maxsd | M::Maxss => binary(Binary::Less, ty, b.clone(), a.clone()),
                    _ => binary(Binary::Less, ty, a.clone(), b.clone()),
                };
                self.set_operand(
                    at,
                    i,
                    0,
                    Expr::Choice(ty, Box::new(holds), Box::new(a), Box::new(b)),
                );
                true
            }
            _ => false,
        }
    }

    /// `rep stosb` and its like: memory that is filled or copied, upwards. Returns
    /// false where it is none.
    fn string(&mut self, i: &Instruction) -> bool {
        use Mnemonic as M;
        if !i.is_string_instruction() {
            return false;
        }
        let (size, copies) = match i.mnemonic() {
            M::Stosb => (1, false),
            M::Stosw => (2, false),
            M::Stosd => (4, false),
            M::Stosq => (8, false),
            M::Movsb => (1, true),
            M::Movsw => (2, true),
            M::Movsd => (4, true),
            M::Movsq => (8, true),
            _ => return false,
        };
        let to = self.register(Register::RDI);
        let count = match i.has_rep_prefix() {
            true => self.register(Register::RCX),
            false => Expr::Const(1, WORD),
        };
        let (to, count) = (self.hold(to), self.hold(count));
        let what = match copies {
            true => {
                let from = self.register(Register::RSI);
                self.hold(from)
            }
            false => {
                let value = self.register(Register::RAX);
                cut(value, Type::Bits(8 * size))
            }
        };
        let name = if copies { "copy" } else { "fill" };
        let bytes = binary(
            Binary::Mul,
            WORD,
            count.clone(),
            Expr::Const(size.into(), WORD),
        );
        let behind = |from: Expr| binary(Binary::Add, WORD, from, bytes.clone());
        let operands = vec![to.clone(), what.clone(), count];
        let operands = operands.into_iter().map(simplify).collect();
        self.stmts
            .push(Stmt::Other(format!("{name}{}", 8 * size), operands));
        self.set_register(Register::RDI, behind(to));
        if copies {
            self.set_register(Register::RSI, behind(what));
        }
        if i.has_rep_prefix() {
            self.set_register(Register::RCX, Expr::Const(0, WORD));
        }
        true
    }

    /// An instruction that C has no word for: its first operand becomes what a
    /// function of its name makes of all; where it has none that is written, the
    /// registers that it changes do.
    fn other(&mut self, at: usize, i: &Instruction) {
        let mut name = format!("{:?}", i.mnemonic()).to_lowercase();
        if i.has_rep_prefix() || i.has_repe_prefix() {
            name.insert_str(0, "rep_");
        } else if i.has_repne_prefix() {
            name.insert_str(0, "repne_");
        }
        let only_written = self.info.info(i).op0_access() == OpAccess::Write;
        let operands: Vec<Expr> = (0..i.op_count())
            .filter(|&op| {
                let implied = matches!(
                    i.op_kind(op),
                    OpKind::MemoryESRDI | OpKind::MemorySegRSI | OpKind::MemorySegRDI
                );
                !(implied || op == 0 && only_written)
            })
            .map(|op| match i.op_kind(op) {
                OpKind::Memory if !matches!(i.memory_size().size(), 1 | 2 | 4 | 8 | 16) => {
                    self.address(at, i).unwrap_or(Expr::Undefined(WORD))
                }
                _ => simplify(self.operand(at, i, op)),
            })
            .collect();
        let info = self.info.info(i);
        let writes_first = i.op_count() > 0 && writes(info.op0_access());
        let used: Vec<(Register, bool, bool)> = info
            .used_registers()
            .iter()
            .map(|u| (u.register(), reads(u.access()), writes(u.access())))
            .collect();
        let named: Vec<Register> = (0..i.op_count())
            .filter(|&op| i.op_kind(op) == OpKind::Register)
            .map(|op| i.op_register(op).full_register())
            .collect();
        let in_memory = [
            i.memory_base().full_register(),
            i.memory_index().full_register(),
        ];
        let implied: Vec<_> = used
            .iter()
            .filter(|(r, ..)| {
                let full = r.full_register();
                full != Register::RSP
                    && !named.contains(&full)
                    && !in_memory.contains(&full)
                    && (general(*r).is_some() || vector(*r).is_some())
            })
            .collect();
        let mut arguments = operands;
        for (register, reads, _) in &implied {
            if *reads {
                arguments.push(self.register(*register));
            }
        }
        let changed: Vec<Register> = implied
            .iter()
            .filter(|(.., writes)| *writes)
            .map(|(register, ..)| *register)
            .collect();
        let memory = i.is_string_instruction();
        if writes_first && changed.is_empty() && !memory {
            let ty = match i.op_kind(0) {
                OpKind::Register if vector(i.op0_register()).is_some() => Type::Bits(128),
                OpKind::Register => Type::Bits(bits(i.op0_register().size()).min(64)),
                _ => Type::Bits(bits(i.memory_size().size())),
            };
            self.set_operand(at, i, 0, Expr::Other(ty, name, arguments));
            return;
        }
        self.stmts.push(Stmt::Other(name.clone(), arguments));
        let first = (writes_first && i.op0_kind() == OpKind::Register).then(|| i.op0_register());
        for register in changed.into_iter().chain(first) {
            let ty = match vector(register) {
                Some(_) => Type::Bits(128),
                None => Type::Bits(bits(register.size())),
            };
            let part = format!("{name}_{register:?}").to_lowercase();
            self.set_register(register, Expr::Other(ty, part, Vec::new()));
        }
    }
}

/// What [`End::Return`] has until the data say which register it is.
pub(crate) const RETURNED: &str = "returned";

/// What lies at an address of the thread.
pub(crate) const THREAD_LOCAL: &str = "thread_local";

/// What an instruction leaves for conditions, if it changes that.
fn sets_flags(i: &Instruction) -> Option<Flags> {
    use Mnemonic as M;
    let bytes = match i.op0_kind() {
        OpKind::Register => i.op0_register().size(),
        _ => i.memory_size().size(),
    };
    let ty = Type::Bits(bits(bytes).min(64));
    Some(match i.mnemonic() {
        M::Cmp | M::Neg | M::Sub | M::Test | M::And | M::Or | M::Xor => Flags::Compare(ty),
        M::Add => Flags::Sum(ty),
        M::Inc | M::Dec | M::Shl | M::Sal | M::Shr | M::Sar | M::Adc | M::Sbb => Flags::Result(ty),
        M::Bt => Flags::Bit,
        M::Ucomisd | M::Comisd | M::Vucomisd | M::Vcomisd => Flags::Compare(Type::Float(64)),
        M::Ucomiss | M::Comiss | M::Vucomiss | M::Vcomiss => Flags::Compare(Type::Float(32)),
        M::Call => Flags::Unknown,
        _ if i.rflags_modified() != 0 => Flags::Unknown,
        _ => return None,
    })
}

/// Whether both operands are one register.
fn is_same(i: &Instruction) -> bool {
    i.op0_kind() == OpKind::Register
        && i.op1_kind() == OpKind::Register
        && i.op0_register() == i.op1_register()
}

fn reads(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Read | OpAccess::ReadWrite | OpAccess::CondRead | OpAccess::ReadCondWrite
    )
}

fn writes(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
    )
}

/// Bits of so many bytes of a register or of memory, as far as a type has them.
fn bits(bytes: usize) -> u8 {
    (8 * bytes).clamp(8, 128) as u8
}

/// The number of a general register, and whether it is bits 8 to 15.
fn general(register: Register) -> Option<(u8, bool)> {
    let high = matches!(
        register,
        Register::AH | Register::BH | Register::CH | Register::DH
    );
    let full = register.full_register();
    full.is_gpr64()
        .then(|| (full as u8 - Register::RAX as u8, high))
}

/// The number of a vector register.
fn vector(register: Register) -> Option<u8> {
    register
        .is_vector_register()
        .then(|| register.number() as u8)
}

/// The registers of a wide product or dividend, the lower first.
fn pair(ty: Type) -> (Register, Register) {
    match ty.bits() {
        64 => (Register::RAX, Register::RDX),
        _ => (Register::EAX, Register::EDX),
    }
}

/// The name in an operand that is memory.
fn memory_name(operand: &str) -> Option<&str> {
    let marked = operand.contains("cs:") || operand.contains("ds:") || operand.contains(" ptr ");
    text::name(operand).filter(|_| marked)
}

fn cut(value: Expr, ty: Type) -> Expr {
    match value.ty() == ty {
        true => value,
        false => Expr::Unary(Unary::Cut(ty.bits()), ty, Box::new(value)),
    }
}

/// Registers that a function reads before it puts anything into them tell what it
/// takes; one that goes on to another takes also what `other` says of that. `None`
/// where that is not known.
pub(crate) fn signature(
    program: &Program<'_>,
    listing: &Listing,
    other: impl Fn(u64) -> Option<Signature>,
) -> Option<Signature> {
    let code = instructions(program, listing);
    let windows = is_windows(program);
    let blocks: Vec<_> = listing.blocks().collect();
    let mut info = InstructionInfoFactory::new();
    // A bit for each register.
    let (mut taken, mut written) = (vec![0u32; blocks.len()], vec![0u32; blocks.len()]);
    let (mut leaves, mut calls_any, mut pushed_only) = (false, false, true);
    let kept = |(number, _): (u8, bool)| !spoiled(windows).contains(&number);
    let mut others = Signature::default();
    let lines: Vec<&str> = listing.lines().map(|line| line.text).collect();
    for (number, block) in blocks.iter().enumerate() {
        for at in block.lines.clone() {
            let i = &code[at];
            // At the very start only registers are kept, or room is made.
            let pushes = i.mnemonic() == Mnemonic::Push
                && (pushed_only || calls_any || general(i.op0_register()).is_some_and(kept));
            let clears = is_same(i)
                && (matches!(i.code(), Code::Xor_r32_rm32 | Code::Xor_rm32_r32)
                    || matches!(i.mnemonic(), Mnemonic::Pxor | Mnemonic::Xorps));
            let used = info.info(i).used_registers();
            // It reads before it writes.
            for reading in [true, false] {
                for used in used {
                    let bit = match (general(used.register()), vector(used.register())) {
                        (Some((number, _)), _) => 1 << number,
                        (_, Some(number @ 0..16)) => 1 << (16 + number),
                        _ => continue,
                    };
                    let access = used.access();
                    if reading && reads(access) && !pushes && !clears && written[number] & bit == 0
                    {
                        taken[number] |= bit;
                    }
                    if !reading && writes(access) {
                        written[number] |= bit;
                    }
                }
            }
            leaves |= match i.flow_control() {
                FlowControl::Next | FlowControl::Return => false,
                FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
                    if block.next.is_empty() =>
                {
                    let to = matches!(i.op0_kind(), OpKind::NearBranch64);
                    let found = other(i.near_branch_target()).filter(|_| to)?;
                    others.whole = others.whole.max(found.whole);
                    others.floats = others.floats.max(found.floats);
                    others.pushed = others.pushed.max(found.pushed);
                    true
                }
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => false,
                _ => true,
            };
            if matches!(
                i.flow_control(),
                FlowControl::Call | FlowControl::IndirectCall
            ) {
                let near = matches!(i.op0_kind(), OpKind::NearBranch64);
                let called = other(i.near_branch_target()).filter(|_| near).or_else(|| {
                    let words = text::words(lines[at]);
                    let name = text::name(words.operands.last()?)?;
                    calls::known(name.strip_prefix('_').unwrap_or(name))
                });
                // What it takes and nothing was put into was given on.
                let given = called.map_or(0, |c| usize::from(c.whole));
                for &register in argument_registers(windows).iter().take(given) {
                    taken[number] |= 1 << register & !written[number];
                }
                let changes = called.and_then(|c| c.changes).unwrap_or(u32::MAX);
                for &register in spoiled(windows) {
                    written[number] |= 1 << register & changes;
                }
                written[number] |= 0xffff << 16 & changes;
                calls_any = true;
            }
            pushed_only &= pushes;
        }
    }
    let mut live = taken.clone();
    let mut changed = true;
    while changed {
        changed = false;
        for number in (0..blocks.len()).rev() {
            let after = blocks[number]
                .next
                .iter()
                .fold(0, |l, &n| l | live[n as usize]);
            let now = taken[number] | after & !written[number];
            changed |= now != live[number];
            live[number] = now;
        }
    }
    let taken = live.first().copied().unwrap_or(0);
    let registers = argument_registers(windows);
    let last = registers.iter().rposition(|&r| taken & 1 << r != 0);
    let floats = (0..8).rev().find(|n| taken & 1 << (16 + n) != 0);
    // One that takes any number of arguments keeps all registers that they may be in.
    if floats == Some(7) && taken >> 16 & 0xff == 0xff {
        return None;
    }
    let places = listing.lines().filter_map(|line| {
        let words = text::words(line.text);
        words
            .operands
            .iter()
            .find_map(|operand| text::place(operand))
    });
    let above = places.filter(|place| *place >= text::ARGUMENTS).max();
    let pushed = above.map_or(0, |place| (place - text::ARGUMENTS) / 8 + 1);
    Some(Signature {
        whole: others.whole.max(last.map_or(0, |last| last as u8 + 1)),
        floats: others.floats.max(floats.map_or(0, |n| n + 1)),
        pushed: others.pushed.max(pushed.min(32) as u8),
        changes: (!leaves).then(|| written.iter().fold(0, |all, some| all | some)),
        ..Signature::default()
    })
}
