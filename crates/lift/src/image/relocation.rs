//! Relocations inside of the instructions of RISC-V, MIPS and PowerPC objects,
//! whose fields are spread over the bits of one instruction or of two.

use object::elf;

use crate::program::Arch;

/// What a relocation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A symbol's address.
    Address,
    /// How far a symbol is from the field.
    Distance,
    /// How far a symbol is from what the global register holds.
    Global,
    /// How far a symbol's slot of the GOT is from the field.
    SlotDistance,
    /// How far a symbol's slot is from what the global register holds.
    Slot,
    /// The second half of the distance whose first half is at the symbol.
    Lower,
    /// The field's own number and a symbol's address.
    Sum,
    /// The field's own number without a symbol's address.
    Difference,
}

/// Where in the instruction the number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Bytes(usize),
    /// RISC-V: upper 20 bits, and the formats I, S, B and J of lower ones.
    Upper,
    I,
    S,
    B,
    J,
    /// RISC-V: `AUIPC` and `JALR`.
    Pair,
    CompressedBranch,
    CompressedJump,
    /// The upper half, made fit for a signed lower half.
    High,
    /// The upper half as it is.
    PlainHigh,
    Low,
    /// The lower half, without its last two bits.
    LowWords,
    /// MIPS: words, in the lower bits.
    Words(u32),
    /// PowerPC: bytes, of which the last two bits are flags.
    Branch(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) of: Of,
    pub(super) form: Form,
}

impl Form {
    /// Bytes that the field is a part of.
    pub(super) fn width(self, arch: Arch) -> usize {
        match self {
            Form::Bytes(width) => width,
            Form::Pair => 8,
            Form::CompressedBranch | Form::CompressedJump => 2,
            Form::High | Form::PlainHigh | Form::Low | Form::LowWords if is_powerpc(arch) => 2,
            _ => 4,
        }
    }

    /// `bits`, the bytes as a number, with `value` in the field.
    pub(super) fn put(self, bits: u64, value: u64) -> u64 {
        // The lower half is signed: the upper one makes up for it.
        let upper = value.wrapping_add(0x800) & 0xffff_f000;
        let at = |from: u32, count: u32, to: u32| (value >> from & ((1 << count) - 1)) << to;
        let set = |mask: u64, field: u64| (bits & !mask) | (field & mask);
        match self {
            Form::Bytes(_) => value,
            Form::Upper => set(0xffff_f000, upper),
            Form::I => set(0xfff0_0000, at(0, 12, 20)),
            Form::S => set(0xfe00_0f80, at(5, 7, 25) | at(0, 5, 7)),
            Form::B => set(
                0xfe00_0f80,
                at(12, 1, 31) | at(5, 6, 25) | at(1, 4, 8) | at(11, 1, 7),
            ),
            Form::J => set(
                0xffff_f000,
                at(20, 1, 31) | at(1, 10, 21) | at(11, 1, 20) | at(12, 8, 12),
            ),
            Form::Pair => set(0xfff0_0000_ffff_f000, upper | at(0, 12, 52)),
            Form::CompressedBranch => set(
                0x1c7c,
                at(8, 1, 12) | at(3, 2, 10) | at(6, 2, 5) | at(1, 2, 3) | at(5, 1, 2),
            ),
            Form::CompressedJump => set(
                0x1ffc,
                at(11, 1, 12)
                    | at(4, 1, 11)
                    | at(8, 2, 9)
                    | at(10, 1, 8)
                    | at(6, 1, 7)
                    | at(7, 1, 6)
                    | at(1, 3, 3)
                    | at(5, 1, 2),
            ),
            Form::High => set(0xffff, value.wrapping_add(0x8000) >> 16),
            Form::PlainHigh => set(0xffff, value >> 16),
            Form::Low => set(0xffff, value),
            Form::LowWords => set(0xfffc, value),
            Form::Words(count) => set((1 << count) - 1, value >> 2),
            Form::Branch(count) => set((1 << count) - 4, value),
        }
    }

    /// The number in the field of `bits`, for relocations that have no addend of
    /// their own.
    pub(super) fn addend(self, bits: u64) -> i64 {
        let bits = bits as i64;
        match self {
            Form::Bytes(4) => i64::from(bits as i32),
            Form::High => (bits & 0xffff) << 16,
            Form::Low => i64::from(bits as i16),
            Form::Words(count) => (bits << (64 - count)) >> (62 - count),
            _ => 0,
        }
    }
}

fn is_powerpc(arch: Arch) -> bool {
    matches!(arch, Arch::PowerPc | Arch::PowerPc64 | Arch::PowerPc64Le)
}

pub(super) fn patch(arch: Arch, kind: u32) -> Option<Patch> {
    let kind = elf::RelocationType(kind);
    let (of, form) = match arch {
        Arch::Riscv64 => riscv(kind)?,
        Arch::Mips | Arch::Mipsel => mips(kind)?,
        Arch::PowerPc => powerpc(kind)?,
        Arch::PowerPc64 | Arch::PowerPc64Le => powerpc64(kind)?,
        _ => return None,
    };
    Some(Patch { of, form })
}

fn riscv(kind: elf::RelocationType) -> Option<(Of, Form)> {
    Some(match kind {
        elf::R_RISCV_32_PCREL => (Of::Distance, Form::Bytes(4)),
        elf::R_RISCV_CALL | elf::R_RISCV_CALL_PLT => (Of::Distance, Form::Pair),
        elf::R_RISCV_BRANCH => (Of::Distance, Form::B),
        elf::R_RISCV_JAL => (Of::Distance, Form::J),
        elf::R_RISCV_RVC_BRANCH => (Of::Distance, Form::CompressedBranch),
        elf::R_RISCV_RVC_JUMP => (Of::Distance, Form::CompressedJump),
        elf::R_RISCV_PCREL_HI20 => (Of::Distance, Form::Upper),
        elf::R_RISCV_GOT_HI20 => (Of::SlotDistance, Form::Upper),
        elf::R_RISCV_PCREL_LO12_I => (Of::Lower, Form::I),
        elf::R_RISCV_PCREL_LO12_S => (Of::Lower, Form::S),
        elf::R_RISCV_HI20 => (Of::Address, Form::Upper),
        elf::R_RISCV_LO12_I => (Of::Address, Form::I),
        elf::R_RISCV_LO12_S => (Of::Address, Form::S),
        elf::R_RISCV_ADD8 => (Of::Sum, Form::Bytes(1)),
        elf::R_RISCV_ADD16 => (Of::Sum, Form::Bytes(2)),
        elf::R_RISCV_ADD32 => (Of::Sum, Form::Bytes(4)),
        elf::R_RISCV_ADD64 => (Of::Sum, Form::Bytes(8)),
        elf::R_RISCV_SUB8 => (Of::Difference, Form::Bytes(1)),
        elf::R_RISCV_SUB16 => (Of::Difference, Form::Bytes(2)),
        elf::R_RISCV_SUB32 => (Of::Difference, Form::Bytes(4)),
        elf::R_RISCV_SUB64 => (Of::Difference, Form::Bytes(8)),
        _ => return None,
    })
}

fn mips(kind: elf::RelocationType) -> Option<(Of, Form)> {
    Some(match kind {
        elf::R_MIPS_26 => (Of::Address, Form::Words(26)),
        elf::R_MIPS_HI16 => (Of::Address, Form::High),
        elf::R_MIPS_LO16 => (Of::Address, Form::Low),
        elf::R_MIPS_GOT16 | elf::R_MIPS_CALL16 => (Of::Slot, Form::Low),
        elf::R_MIPS_GPREL16 => (Of::Global, Form::Low),
        elf::R_MIPS_GPREL32 => (Of::Global, Form::Bytes(4)),
        elf::R_MIPS_PC16 => (Of::Distance, Form::Words(16)),
        PC21 => (Of::Distance, Form::Words(21)),
        PC26 => (Of::Distance, Form::Words(26)),
        elf::RelocationType(248) => (Of::Distance, Form::Bytes(4)),
        _ => return None,
    })
}

/// `R_MIPS_PC21_S2` and `R_MIPS_PC26_S2` of release 6.
const PC21: elf::RelocationType = elf::RelocationType(60);
const PC26: elf::RelocationType = elf::RelocationType(61);

fn powerpc(kind: elf::RelocationType) -> Option<(Of, Form)> {
    Some(match kind {
        elf::R_PPC_ADDR24 => (Of::Address, Form::Branch(26)),
        elf::R_PPC_REL24 | elf::R_PPC_PLTREL24 | elf::R_PPC_LOCAL24PC => {
            (Of::Distance, Form::Branch(26))
        }
        elf::R_PPC_REL14 => (Of::Distance, Form::Branch(16)),
        elf::R_PPC_ADDR16_HA => (Of::Address, Form::High),
        elf::R_PPC_ADDR16_HI => (Of::Address, Form::PlainHigh),
        elf::R_PPC_ADDR16_LO => (Of::Address, Form::Low),
        elf::R_PPC_REL16_HA => (Of::Distance, Form::High),
        elf::R_PPC_REL16_LO => (Of::Distance, Form::Low),
        elf::R_PPC_GOT16 => (Of::Slot, Form::Low),
        _ => return None,
    })
}

fn powerpc64(kind: elf::RelocationType) -> Option<(Of, Form)> {
    Some(match kind {
        elf::R_PPC64_REL24 | elf::RelocationType(116) => (Of::Distance, Form::Branch(26)),
        elf::R_PPC64_REL14 => (Of::Distance, Form::Branch(16)),
        elf::R_PPC64_TOC16_HA => (Of::Global, Form::High),
        elf::R_PPC64_TOC16_HI => (Of::Global, Form::PlainHigh),
        elf::R_PPC64_TOC16 | elf::R_PPC64_TOC16_LO => (Of::Global, Form::Low),
        elf::R_PPC64_TOC16_DS | elf::R_PPC64_TOC16_LO_DS => (Of::Global, Form::LowWords),
        _ => return None,
    })
}
