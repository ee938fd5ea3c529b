//! What discovery must know of an instruction, whatever the processor.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use crate::address::AddressSet;
use crate::image::Image;
use crate::program::{Arch, Format};
use crate::risc::{Codes, isa};
use crate::skip::{self, Lead};

/// One instruction, as far as it leads elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) address: u64,
    pub(crate) length: u64,
    /// No instruction of this processor.
    pub(crate) invalid: bool,
    /// The next instruction is not reached from this one.
    pub(crate) ends: bool,
    /// Nothing is reached from this one: `ud2`, `hlt`, `brk`.
    pub(crate) traps: bool,
    /// Calls, be it through a pointer.
    pub(crate) calls: bool,
    /// Jumps to where a register or a table says.
    pub(crate) indirect: bool,
    /// The address that it refers to, if that may be code.
    pub(crate) reference: Option<(u64, Reference)>,
    /// Constant data that may be a jump table.
    pub(crate) table: Option<u64>,
    /// Where it reads a pointer.
    pub(crate) reads: Option<u64>,
    /// Takes down the stack frame, or a part of it.
    pub(crate) restores: bool,
    /// Saves the return address, which a function does before it calls.
    pub(crate) saves: bool,
    /// The number that something is compared with.
    pub(crate) compares: Option<u64>,
    /// Bytes of an entry that is loaded from a table; 0 if none is.
    pub(crate) entry: u64,
    /// How far from the address that the code has the entries begin.
    pub(crate) offset: i64,
    /// Takes what was loaded for a number with a sign, and adds it.
    pub(crate) adds_signed: bool,
}

/// How an instruction refers to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    Call,
    Jump,
    Branch,
    Address,
    /// A call or a jump to where a pointer at the address leads.
    Through,
}

/// The same for what only asks where an instruction leads.
pub(crate) struct Short {
    pub(crate) invalid: bool,
    pub(crate) ends: bool,
    pub(crate) traps: bool,
    /// Jumps, always, to an address that it names.
    pub(crate) jumps: bool,
    pub(crate) reference: Option<(u64, Reference)>,
}

/// What a walk comes to.
pub(crate) enum Walked {
    To(Short),
    /// An instruction that was not agreed to.
    Refused,
    End,
}

impl Short {
    /// Of an instruction before `next` that leads somewhere.
    fn told(next: u64, lead: Lead) -> Short {
        let reference = match lead {
            Lead::To(how, by) => Some((next.wrapping_add_signed(by), how)),
            Lead::Takes(number) => Some((number, Reference::Address)),
            Lead::Reads(_) | Lead::ReadsAt(_) | Lead::Returns => None,
        };
        let jumps = matches!(reference, Some((_, Reference::Jump)));
        Short {
            invalid: false,
            ends: jumps || lead == Lead::Returns,
            traps: false,
            jumps,
            reference,
        }
    }
}

impl Step {
    pub(crate) fn next(&self) -> u64 {
        self.address + self.length
    }

    /// Whether it jumps, always, to an address that it names.
    pub(crate) fn is_jump(&self) -> bool {
        matches!(self.reference, Some((_, Reference::Jump)))
    }

    /// The target of a direct jump.
    pub(crate) fn branch_target(&self) -> Option<u64> {
        let (target, how) = self.reference?;
        matches!(how, Reference::Jump | Reference::Branch).then_some(target)
    }
}

/// The instructions at `address`, one after the other.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is made, and lies on the stack"
)]
pub(crate) enum Steps<'b> {
    X86 {
        decoder: Decoder<'b>,
        /// What it decodes.
        bytes: &'b [u8],
        absolute: bool,
        /// Where 32-bit code counts its data from.
        got: Option<u64>,
        /// Where relocations say that 32-bit code has addresses.
        fields: Option<&'b AddressSet>,
    },
    Risc {
        codes: Codes<'b>,
        /// The instruction behind a jump that takes place after it.
        slot: Option<Step>,
    },
}

impl<'b> Steps<'b> {
    /// Those of `bytes`, which lie at `address` of `image`.
    /// `copies` are registers that hold what the global register does.
    pub(crate) fn new(
        image: &'b Image<'b>,
        bytes: &'b [u8],
        address: u64,
        copies: u32,
    ) -> Steps<'b> {
        let arch = image.arch;
        if let Some(isa) = isa(arch) {
            let codes = Codes::new(isa, image, bytes, address).with_copies(copies);
            return Steps::Risc { codes, slot: None };
        }
        Steps::X86 {
            decoder: Decoder::with_ip(arch.bits(), bytes, address, DecoderOptions::NONE),
            bytes,
            absolute: image.absolute,
            got: image.got.filter(|_| arch == Arch::X86),
            fields: (arch == Arch::X86).then_some(&image.address_fields),
        }
    }

    /// The one that lies so many bytes behind the first, decoded.
    pub(crate) fn at(&mut self, offset: usize) -> Option<Step> {
        if let Steps::X86 { decoder, .. } = self {
            let behind = (offset as u64).wrapping_sub(decoder.position() as u64);
            decoder.set_position(offset).ok()?;
            decoder.set_ip(decoder.ip().wrapping_add(behind));
        }
        self.next()
    }

    /// Goes on to the next one that leads elsewhere, or that must be decoded to
    /// tell, as long as `each` agrees to the address of the next one. `ahead` are
    /// the bytes at the first one and behind it.
    pub(crate) fn walk(&mut self, ahead: &[u8], mut each: impl FnMut(u64) -> bool) -> Walked {
        if let Steps::X86 {
            decoder,
            bytes,
            absolute,
            ..
        } = self
            && decoder.bitness() == 64
        {
            let (first, start) = (decoder.position(), decoder.ip());
            let place = |at: usize| start.wrapping_add((at - first) as u64);
            let mut agreed = true;
            let (next, lead) = skip::pass(ahead, first, bytes.len(), *absolute, |at| {
                agreed = each(place(at));
                agreed
            });
            if !agreed {
                return Walked::Refused;
            }
            // The position is one inside of the bytes.
            if decoder.set_position(next.min(bytes.len())).is_err() {
                return Walked::End;
            }
            decoder.set_ip(place(next));
            if let Some(lead) = lead {
                return Walked::To(Short::told(place(next), lead));
            }
        }
        match self.next() {
            Some(step) if !each(step.address) => Walked::Refused,
            Some(step) => Walked::To(Short {
                invalid: step.invalid,
                ends: step.ends,
                traps: step.traps,
                jumps: step.is_jump(),
                reference: step.reference,
            }),
            None => Walked::End,
        }
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match self {
            Steps::X86 {
                decoder,
                absolute,
                got,
                fields,
                ..
            } => {
                let instruction = decoder.can_decode().then(|| decoder.decode())?;
                let mut step = x86(&instruction, *absolute);
                let entry = |i: &Instruction| {
                    let scaled = i.memory_index_scale() == 4 && i.memory_index() != Register::None;
                    (scaled || i.code() == Code::Lea_r32_m)
                        && i.memory_base() != Register::None
                        && i.memory_displ_size() == 4
                };
                if let Some(got) = got.filter(|_| entry(&instruction)) {
                    let table = got.wrapping_add(instruction.memory_displacement64());
                    step.table = Some(table & 0xffff_ffff);
                    if instruction.code() == Code::Lea_r32_m && step.reference.is_none() {
                        step.reference = step.table.map(|taken| (taken, Reference::Address));
                    }
                }
                if let Some(got) = got
                    && step.reads.is_none()
                    && instruction.memory_displ_size() == 4
                    && instruction.memory_index() == Register::None
                    && matches!(instruction.code(), Code::Mov_r32_rm32 | Code::Push_rm32)
                {
                    let slot = got.wrapping_add(instruction.memory_displacement64());
                    step.reads = Some(slot & 0xffff_ffff);
                }
                if let Some(fields) = fields
                    && step.reference.is_none()
                    && let Some(value) = last_number(&instruction)
                    && fields.contains(&instruction.next_ip().wrapping_sub(4))
                {
                    step.reference = Some((value, Reference::Address));
                }
                Some(step)
            }
            Steps::Risc { codes, slot } => {
                if slot.is_some() {
                    return slot.take();
                }
                let (first, delays) = codes.step()?;
                if delays && let Some((second, false)) = codes.step() {
                    let (first, second) = delayed(first, second);
                    *slot = Some(second);
                    return Some(first);
                }
                Some(first)
            }
        }
    }
}

/// A jump and the instruction behind it, which runs first: the latter is where
/// the code leads elsewhere.
fn delayed(jump: Step, slot: Step) -> (Step, Step) {
    let first = Step {
        ends: false,
        calls: false,
        indirect: false,
        reference: slot.reference,
        table: slot.table,
        restores: slot.restores,
        ..jump
    };
    let second = Step {
        ends: jump.ends || slot.invalid,
        calls: jump.calls,
        indirect: jump.indirect,
        reference: jump.reference,
        table: None,
        ..slot
    };
    (first, second)
}

/// What discovery must know of an instruction of x86.
pub(crate) fn x86(instruction: &Instruction, absolute: bool) -> Step {
    Step {
        address: instruction.ip(),
        length: instruction.len() as u64,
        invalid: instruction.is_invalid(),
        ends: ends_block(instruction),
        traps: instruction.flow_control() == FlowControl::Exception
            || instruction.code() == Code::Hlt,
        calls: matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        ),
        indirect: instruction.flow_control() == FlowControl::IndirectBranch,
        reference: reference(instruction, absolute),
        table: jump_table(instruction),
        reads: matches!(
            instruction.code(),
            Code::Mov_r64_rm64 | Code::Mov_r32_rm32 | Code::Push_rm64 | Code::Push_rm32
        )
        .then(|| absolute_operand(instruction))
        .flatten(),
        restores: match instruction.mnemonic() {
            Mnemonic::Leave | Mnemonic::Pop => true,
            Mnemonic::Add => matches!(instruction.op0_register(), Register::RSP | Register::ESP),
            _ => false,
        },
        saves: false,
        compares: compared(instruction),
        entry: X86_ENTRY,
        offset: 0,
        adds_signed: false,
    }
}

/// Bytes of an entry of a table that code of x86 counts from.
pub(crate) const X86_ENTRY: u64 = 4;

/// The number that something is compared with. Code that is not optimised
/// compares by taking away.
pub(crate) fn compared(instruction: &Instruction) -> Option<u64> {
    (matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Sub)
        && is_immediate(instruction.op1_kind())
        && !matches!(instruction.op0_register(), Register::RSP | Register::ESP))
    .then(|| instruction.immediate(1))
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate32
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

/// The last four bytes of an instruction, where they are a number or what `lea`
/// takes for one.
fn last_number(instruction: &Instruction) -> Option<u64> {
    let last = instruction.op_count().checked_sub(1)?;
    match instruction.op_kind(last) {
        OpKind::Immediate32 => Some(instruction.immediate(last)),
        _ if instruction.code() == Code::Lea_r32_m => absolute_operand(instruction),
        _ => None,
    }
}

fn near_target(instruction: &Instruction) -> Option<u64> {
    matches!(
        instruction.op0_kind(),
        OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16
    )
    .then(|| instruction.near_branch_target())
}

fn ends_block(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::Return
            | FlowControl::Exception
    ) || instruction.code() == Code::Hlt
}

/// The address that an instruction refers to, if it may be code.
pub(crate) fn reference(instruction: &Instruction, absolute: bool) -> Option<(u64, Reference)> {
    match instruction.flow_control() {
        FlowControl::Call => Some((near_target(instruction)?, Reference::Call)),
        FlowControl::UnconditionalBranch => Some((near_target(instruction)?, Reference::Jump)),
        FlowControl::ConditionalBranch => Some((near_target(instruction)?, Reference::Branch)),
        FlowControl::IndirectCall | FlowControl::IndirectBranch => {
            Some((absolute_operand(instruction)?, Reference::Through))
        }
        FlowControl::Next => match instruction.code() {
            Code::Lea_r64_m if instruction.is_ip_rel_memory_operand() => {
                Some((instruction.ip_rel_memory_address(), Reference::Address))
            }
            // Position-dependent code has its addresses in immediates.
            Code::Mov_r32_imm32
            | Code::Mov_rm32_imm32
            | Code::Mov_rm64_imm32
            | Code::Mov_r64_imm64
                if absolute =>
            {
                Some((instruction.immediate(1), Reference::Address))
            }
            Code::Pushq_imm32 | Code::Pushd_imm32 if absolute => {
                Some((instruction.immediate(0), Reference::Address))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The constant data that an instruction refers to and that may be a jump
/// table: `lea rdx, table` or `jmp table[rax*8]`.
pub(crate) fn jump_table(instruction: &Instruction) -> Option<u64> {
    match instruction.code() {
        Code::Lea_r64_m if instruction.is_ip_rel_memory_operand() => {
            Some(instruction.ip_rel_memory_address())
        }
        Code::Jmp_rm64 | Code::Jmp_rm32 if instruction.memory_index() != Register::None => {
            Some(instruction.memory_displacement64())
        }
        // The same in two steps.
        Code::Mov_r32_rm32 | Code::Mov_r64_rm64
            if instruction.memory_index_scale() == word(instruction)
                && instruction.memory_index() != Register::None
                && instruction.memory_base() == Register::None =>
        {
            Some(instruction.memory_displacement64())
        }
        _ => None,
    }
}

/// Bytes of the register that an instruction puts something into.
fn word(instruction: &Instruction) -> u32 {
    instruction.op0_register().size() as u32
}

/// The address of a memory operand that has no register but `rip`: how 64-bit
/// code reaches its pointer slots, and 32-bit code its own.
pub(crate) fn absolute_operand(instruction: &Instruction) -> Option<u64> {
    if instruction.is_ip_rel_memory_operand() {
        return Some(instruction.ip_rel_memory_address());
    }
    let plain = instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
        && instruction.memory_displ_size() >= 4;
    plain.then(|| instruction.memory_displacement64())
}

/// Where 32-bit code has the tables that it jumps by: `jmp table[eax*4]`, or the
/// same in two steps. Ascending.
pub(crate) fn tables_of_addresses(image: &Image<'_>) -> Vec<u64> {
    let mut tables = Vec::new();
    for region in image.regions.iter().filter(|r| r.executable) {
        for (at, code) in region.data.windows(7).enumerate() {
            let &[
                opcode,
                operand,
                0x85 | 0x8d | 0x95 | 0x9d | 0xad | 0xb5 | 0xbd,
                ref table @ ..,
            ] = code
            else {
                continue;
            };
            let register = operand >> 3;
            let jumps = match opcode {
                0xff => operand == 0x24,
                0x8b if operand & 0xc7 == 4 => {
                    region.data[at + 7..].starts_with(&[0xff, 0xe0 | register])
                }
                _ => false,
            };
            let field = region.start + at as u64 + 3;
            if jumps && (image.absolute || image.address_fields.contains(&field)) {
                let table = table.first_chunk().map(|table| u32::from_le_bytes(*table));
                tables.extend(table.map(u64::from));
            }
        }
    }
    tables.sort_unstable();
    tables.dedup();
    tables
}

/// Where code begins at or after `address`: behind what fills the space between
/// functions.
pub(crate) fn after_padding(image: &Image<'_>, bytes: &[u8], address: u64) -> Option<u64> {
    let mut at = 0;
    if let Some(isa) = isa(image.arch) {
        at = (address.next_multiple_of(isa.alignment()) - address) as usize;
        loop {
            let place = address + at as u64;
            let code = isa.decode(image, bytes.get(at..)?, place)?;
            // On macOS functions stand close together, and a linker that shortens
            // one leaves it with a `NOP` at its start.
            let padding = match image.format {
                Format::MachO => code.word == 0,
                _ => isa.is_padding(&code),
            };
            if !padding {
                return Some(place);
            }
            at += usize::from(code.length);
        }
    }
    loop {
        match *bytes.get(at)? {
            0 | 0xcc => at += 1,
            _ => {
                let rest = &bytes[at..];
                let bits = image.arch.bits();
                let mut decoder = Decoder::with_ip(bits, rest, 0, DecoderOptions::NONE);
                let instruction = decoder.decode();
                if instruction.mnemonic() != Mnemonic::Nop && !copies_itself(&instruction) {
                    return Some(address + at as u64);
                }
                at += instruction.len();
            }
        }
    }
}

/// `lea esi, [esi+0]`: what pads 32-bit code where no processor is named that
/// has long `nop`s.
fn copies_itself(instruction: &Instruction) -> bool {
    instruction.code() == Code::Lea_r32_m
        && instruction.memory_base() == instruction.op0_register()
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement64() == 0
}

/// Whether what begins at `bytes`, which lie at `address`, looks like the start
/// of a function.
pub(crate) fn is_prologue(image: &Image<'_>, bytes: &[u8], address: u64) -> bool {
    if let Some(isa) = isa(image.arch) {
        let code = isa.decode(image, bytes, address);
        return code.is_some_and(|code| isa.is_prologue(&code));
    }
    let bits = image.arch.bits();
    let mut decoder = Decoder::with_ip(bits, bytes, 0, DecoderOptions::NONE);
    let instruction = decoder.decode();
    match instruction.mnemonic() {
        Mnemonic::Endbr64 | Mnemonic::Endbr32 | Mnemonic::Push => true,
        Mnemonic::Sub => matches!(instruction.op0_register(), Register::RSP | Register::ESP),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk tells where instructions begin, and stops at those that lead
    /// elsewhere, be they decoded or not.
    #[test]
    fn a_walk_stops_at_what_leads_elsewhere() {
        let image = Image::default();
        // `nop`, `call $+5`, `nop`, `jmp rax`, `ret`.
        let mut code = [0x90; 20];
        code[1..6].copy_from_slice(&[0xe8, 0, 0, 0, 0]);
        code[7..9].copy_from_slice(&[0xff, 0xe0]);
        code[9] = 0xc3;
        let mut steps = Steps::new(&image, &code[..10], 0x1000, 0);
        let mut met = Vec::new();
        let mut next = |most: u64| {
            steps.walk(&code, |address| {
                met.push(address - 0x1000);
                address <= 0x1000 + most
            })
        };
        let reference = |walked: Walked| match walked {
            Walked::To(step) => (step.reference, step.ends),
            _ => panic!("it stopped elsewhere"),
        };
        let call = Some((0x1006, Reference::Call));
        assert_eq!(reference(next(9)), (call, false));
        assert_eq!(reference(next(9)), (None, true));
        assert!(matches!(next(8), Walked::Refused));
        assert_eq!(reference(next(9)), (None, true));
        assert!(matches!(next(9), Walked::End));
        assert_eq!(met, [0, 1, 6, 7, 9, 9]);
    }
}
