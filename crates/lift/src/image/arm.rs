//! What relocations put into the instructions of 32-bit ARM (ELF for the Arm
//! Architecture, 5.6). Addends are in the place that they are for.

use object::elf;

/// The form of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `BL`, `B`, `BLX` of A32.
    Words,
    /// `BL`, `BLX`, `B.W` of T32.
    Halves,
    /// `B<c>.W` of T32.
    Conditional,
    /// `B` and `B<c>` of T32, of so many bits.
    Short(u32),
    /// `MOVW` of A32, or its upper half, `MOVT`.
    Move { upper: bool },
    /// The same of T32.
    ThumbMove { upper: bool },
    /// Thirty-one bits of a word.
    Word31,
}

/// The form of a relocation's field, and whether it holds a distance.
pub(super) fn field(kind: elf::RelocationType) -> Option<(Field, bool)> {
    Some(match kind {
        elf::R_ARM_PC24 | elf::R_ARM_CALL | elf::R_ARM_JUMP24 | elf::R_ARM_PLT32 => {
            (Field::Words, true)
        }
        elf::R_ARM_THM_PC22 | elf::R_ARM_THM_JUMP24 => (Field::Halves, true),
        elf::R_ARM_THM_JUMP19 => (Field::Conditional, true),
        elf::R_ARM_THM_PC11 => (Field::Short(11), true),
        elf::R_ARM_THM_PC9 => (Field::Short(8), true),
        elf::R_ARM_MOVW_ABS_NC => (Field::Move { upper: false }, false),
        elf::R_ARM_MOVT_ABS => (Field::Move { upper: true }, false),
        elf::R_ARM_MOVW_PREL_NC => (Field::Move { upper: false }, true),
        elf::R_ARM_MOVT_PREL => (Field::Move { upper: true }, true),
        elf::R_ARM_THM_MOVW_ABS_NC => (Field::ThumbMove { upper: false }, false),
        elf::R_ARM_THM_MOVT_ABS => (Field::ThumbMove { upper: true }, false),
        elf::R_ARM_THM_MOVW_PREL_NC => (Field::ThumbMove { upper: false }, true),
        elf::R_ARM_THM_MOVT_PREL => (Field::ThumbMove { upper: true }, true),
        elf::R_ARM_PREL31 => (Field::Word31, true),
        _ => return None,
    })
}

impl Field {
    /// Whether the field holds where code is, without the bit for its state.
    pub(super) fn is_code(self) -> bool {
        matches!(
            self,
            Field::Words | Field::Halves | Field::Conditional | Field::Short(_)
        )
    }

    /// The addend that `raw`, a little-endian word of the file, holds.
    pub(super) fn addend(self, raw: u32) -> i64 {
        let signed =
            |value: u32, bits: u32| i64::from((value << (32 - bits)) as i32 >> (32 - bits));
        let word = raw.rotate_left(16);
        match self {
            Field::Words => signed(raw, 24) * 4,
            Field::Halves => {
                let sign = word >> 26 & 1;
                let bit = |at: u32| 1 ^ (word >> at & 1) ^ sign;
                let value = sign << 24
                    | bit(13) << 23
                    | bit(11) << 22
                    | (word >> 16 & 0x3ff) << 12
                    | (word & 0x7ff) << 1;
                signed(value, 25)
            }
            Field::Conditional => {
                let value = (word >> 26 & 1) << 20
                    | (word >> 11 & 1) << 19
                    | (word >> 13 & 1) << 18
                    | (word >> 16 & 0x3f) << 12
                    | (word & 0x7ff) << 1;
                signed(value, 21)
            }
            Field::Short(bits) => signed(raw, bits) * 2,
            Field::Move { .. } => signed(raw >> 4 & 0xf000 | raw & 0xfff, 16),
            Field::ThumbMove { .. } => {
                let value =
                    word >> 4 & 0xf000 | word >> 15 & 0x800 | word >> 4 & 0x700 | word & 0xff;
                signed(value, 16)
            }
            Field::Word31 => signed(raw, 31),
        }
    }

    /// `raw` with `value` in its field.
    pub(super) fn put(self, raw: u32, value: u64) -> u32 {
        let value = value as u32;
        let word = raw.rotate_left(16);
        let half = |upper: bool| if upper { value >> 16 } else { value & 0xffff };
        match self {
            Field::Words => raw & 0xff00_0000 | value >> 2 & 0xff_ffff,
            Field::Halves => {
                let sign = value >> 24 & 1;
                let bit = |at: u32| (value >> at & 1) ^ sign ^ 1;
                let word = word & 0xf800_d000
                    | sign << 26
                    | (value >> 12 & 0x3ff) << 16
                    | bit(23) << 13
                    | bit(22) << 11
                    | value >> 1 & 0x7ff;
                word.rotate_left(16)
            }
            Field::Conditional => {
                let word = word & 0xfbc0_d000
                    | (value >> 20 & 1) << 26
                    | (value >> 12 & 0x3f) << 16
                    | (value >> 18 & 1) << 13
                    | (value >> 19 & 1) << 11
                    | value >> 1 & 0x7ff;
                word.rotate_left(16)
            }
            Field::Short(bits) => {
                let mask = (1 << bits) - 1;
                raw & !mask | value >> 1 & mask
            }
            Field::Move { upper } => {
                let half = half(upper);
                raw & 0xfff0_f000 | (half & 0xf000) << 4 | half & 0xfff
            }
            Field::ThumbMove { upper } => {
                let half = half(upper);
                let word = word & 0xfbf0_8f00
                    | (half & 0xf000) << 4
                    | (half & 0x800) << 15
                    | (half & 0x700) << 4
                    | half & 0xff;
                word.rotate_left(16)
            }
            Field::Word31 => raw & 0x8000_0000 | value & 0x7fff_ffff,
        }
    }
}
