//! What discovery must know of an instruction, whatever the processor.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use crate::aarch64::{self, Op, Pages};
use crate::program::Arch;

/// One instruction, as far as it leads elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) address: u64,
    pub(crate) length: u64,
    /// No instruction of this processor.
    pub(crate) invalid: bool,
    /// The next instruction is not reached from this one.
    pub(crate) ends: bool,
    /// Jumps to where a register or a table says.
    pub(crate) indirect: bool,
    /// The address that it refers to, if that may be code.
    pub(crate) reference: Option<(u64, Reference)>,
    /// Constant data that may be a jump table.
    pub(crate) table: Option<u64>,
}

/// How an instruction refers to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    Call,
    Jump,
    Branch,
    Address,
}

impl Step {
    pub(crate) fn next(&self) -> u64 {
        self.address + self.length
    }

    /// The target of a direct jump.
    pub(crate) fn branch_target(&self) -> Option<u64> {
        let (target, how) = self.reference?;
        matches!(how, Reference::Jump | Reference::Branch).then_some(target)
    }
}

/// The instructions at `address`, one after the other.
pub(crate) enum Steps<'b> {
    X86 {
        decoder: Decoder<'b>,
        absolute: bool,
    },
    Aarch64 {
        bytes: &'b [u8],
        address: u64,
        pages: Pages,
    },
}

impl<'b> Steps<'b> {
    /// `absolute`: numbers in the code may be addresses.
    pub(crate) fn new(arch: Arch, absolute: bool, bytes: &'b [u8], address: u64) -> Steps<'b> {
        match arch {
            Arch::X86_64 | Arch::X86 => Steps::X86 {
                decoder: Decoder::with_ip(arch.bits(), bytes, address, DecoderOptions::NONE),
                absolute,
            },
            Arch::Aarch64 => Steps::Aarch64 {
                bytes,
                address,
                pages: Pages::default(),
            },
        }
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match self {
            Steps::X86 { decoder, absolute } => {
                let instruction = decoder.can_decode().then(|| decoder.decode())?;
                Some(x86(&instruction, *absolute))
            }
            Steps::Aarch64 {
                bytes,
                address,
                pages,
            } => {
                let (word, rest) = bytes.split_first_chunk()?;
                let step = aarch64_step(u32::from_le_bytes(*word), *address, pages);
                (*bytes, *address) = (rest, *address + 4);
                Some(step)
            }
        }
    }
}

fn aarch64_step(word: u32, address: u64, pages: &mut Pages) -> Step {
    let op = aarch64::decode(word, address);
    let whole = pages.follow(op, word);
    // What is read or written there is data.
    let taken = whole.filter(|_| !matches!(op, Op::Memory { .. }));
    let mut step = Step {
        address,
        length: 4,
        invalid: false,
        ends: false,
        indirect: false,
        reference: taken.map(|target| (target, Reference::Address)),
        table: taken,
    };
    match op {
        Op::Branch(target) => {
            step.reference = Some((target, Reference::Jump));
            step.ends = true;
        }
        Op::Conditional(target) => step.reference = Some((target, Reference::Branch)),
        Op::Call(target) => step.reference = Some((target, Reference::Call)),
        Op::Jump(_) => (step.ends, step.indirect) = (true, true),
        Op::Return | Op::Stop => step.ends = true,
        Op::Undefined => (step.ends, step.invalid) = (true, true),
        _ => {}
    }
    step
}

fn x86(instruction: &Instruction, absolute: bool) -> Step {
    Step {
        address: instruction.ip(),
        length: instruction.len() as u64,
        invalid: instruction.is_invalid(),
        ends: ends_block(instruction),
        indirect: instruction.flow_control() == FlowControl::IndirectBranch,
        reference: reference(instruction, absolute),
        table: jump_table(instruction),
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
fn jump_table(instruction: &Instruction) -> Option<u64> {
    match instruction.code() {
        Code::Lea_r64_m if instruction.is_ip_rel_memory_operand() => {
            Some(instruction.ip_rel_memory_address())
        }
        Code::Jmp_rm64 | Code::Jmp_rm32 if instruction.memory_index() != Register::None => {
            Some(instruction.memory_displacement64())
        }
        _ => None,
    }
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
