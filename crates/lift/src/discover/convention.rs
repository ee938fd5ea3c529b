//! Whether code may be the start of a function, by the calling convention.
//!
//! Where exceptions are handled, code lies behind a function that nothing but
//! the unwinder leads to. It goes on with the frame and the registers of its
//! function, which no function may: that is how Qiao and Sekar tell the two
//! apart ("Function Interface Analysis: A Principled Approach for Function
//! Recognition in COTS Binaries", 2017).

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use crate::image::Image;
use crate::program::Arch;

/// Instructions that are looked at.
const LOOK: usize = 24;
/// What a function may read at its start: arguments, the stack, the static
/// chain, and what the linker may use.
const GIVEN: [Register; 9] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RSP,
];

/// Whether the code at `start` cannot be called: it reads a register that is not
/// set, or calls with the stack not aligned as it must be. Of the latter gcc knows
/// where its own functions do not need it, but not those of other files, nor does
/// it spare a frame where there are arguments on the stack. `begins` tells where
/// functions do: a jump there says nothing.
pub(super) fn cannot_be_called(
    image: &Image<'_>,
    start: u64,
    begins: impl Fn(u64) -> bool,
) -> bool {
    // On Windows the stack is aligned only behind a call that touches it.
    if image.arch != Arch::X86_64 || image.is_windows() {
        return false;
    }
    let mut set: u32 = GIVEN.iter().map(|register| bit(*register)).sum();
    let (mut pushed, mut above) = (0i64, false);
    let mut infos = InstructionInfoFactory::new();
    let Some(bytes) = image.bytes_at(start) else {
        return false;
    };
    let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    for _ in 0..LOOK {
        if !decoder.can_decode() {
            return false;
        }
        let instruction = decoder.decode();
        let (reads, writes) = registers(&mut infos, &instruction);
        if reads & !set != 0 {
            return true;
        }
        set |= writes;
        above |= instruction.memory_base() == Register::RSP
            && instruction.memory_displacement64() as i64 >= pushed;
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            // The caller's call has pushed eight bytes.
            FlowControl::Call => return above && pushed.rem_euclid(16) != 8,
            FlowControl::IndirectCall => return pushed.rem_euclid(16) != 8,
            FlowControl::UnconditionalBranch => {
                let target = instruction.near_branch_target();
                let Some(bytes) = image.bytes_at(target).filter(|_| !begins(target)) else {
                    return false;
                };
                decoder = Decoder::with_ip(64, bytes, target, DecoderOptions::NONE);
            }
            _ => return false,
        }
        match stack(&instruction) {
            Some(taken) => pushed += taken,
            None => return false,
        }
    }
    false
}

fn bit(register: Register) -> u32 {
    1 << (register.number() as u32 & 31)
}

/// The general registers that an instruction reads and those that it writes.
/// Saving one is no use of it, nor is the count of vector registers in `al` that
/// functions with any number of arguments are called with. Some instructions
/// read what does not matter to them.
fn registers(infos: &mut InstructionInfoFactory, instruction: &Instruction) -> (u32, u32) {
    if matches!(
        instruction.mnemonic(),
        Mnemonic::Push | Mnemonic::Nop | Mnemonic::Endbr64
    ) {
        return (0, 0);
    }
    let alike = instruction.op0_register() == instruction.op1_register();
    let overwrites = match instruction.mnemonic() {
        Mnemonic::Bsf | Mnemonic::Bsr | Mnemonic::Xchg => true,
        Mnemonic::Sbb | Mnemonic::Sub | Mnemonic::Xor => alike,
        Mnemonic::Or | Mnemonic::And => instruction.op1_kind() != OpKind::Register,
        _ => false,
    };
    let saves = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Memory
        && matches!(
            instruction.memory_base().full_register(),
            Register::RSP | Register::RBP
        );
    let saved = match saves && instruction.op1_kind() == OpKind::Register {
        true => instruction.op1_register(),
        false => Register::None,
    };
    let (mut reads, mut writes) = (0, 0);
    for used in infos.info(instruction).used_registers() {
        let register = used.register();
        if !register.is_gpr() {
            continue;
        }
        let whole = bit(register.full_register());
        if matches!(
            used.access(),
            OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        ) && register != Register::AL
            && register != saved
        {
            reads |= whole;
        }
        if !matches!(
            used.access(),
            OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
        ) {
            writes |= whole;
        }
    }
    if overwrites && instruction.op0_kind() == OpKind::Register {
        reads &= !bit(instruction.op0_register().full_register());
    }
    (reads, writes)
}

/// By how much an instruction moves the stack pointer down, if that can be told.
fn stack(instruction: &Instruction) -> Option<i64> {
    let sets = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::RSP;
    let number = instruction.op_count() == 2
        && matches!(
            instruction.op1_kind(),
            OpKind::Immediate8to64 | OpKind::Immediate32to64
        );
    match instruction.mnemonic() {
        Mnemonic::Sub if sets && number => Some(instruction.immediate(1) as i64),
        Mnemonic::Add if sets && number => Some((instruction.immediate(1) as i64).wrapping_neg()),
        Mnemonic::Cmp | Mnemonic::Test => Some(0),
        Mnemonic::Leave => None,
        _ if sets => None,
        _ => Some(-i64::from(instruction.stack_pointer_increment())),
    }
}
