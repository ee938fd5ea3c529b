//! What relocations do to the bytes they are for, in formats that share a
//! processor.

/// What a relocation puts into its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fix {
    /// An address of this file.
    Relative,
    /// A symbol's address, in a slot of the GOT.
    Slot,
    /// MIPS: a symbol's address, or one of this file without a symbol.
    RelativeOrSlot,
    /// A symbol's address.
    Absolute,
    /// How far a symbol is from the field.
    Distance,
    /// How far a symbol's slot in the GOT is from the field.
    GotDistance,
    /// How far a symbol's slot is from the start of the GOT.
    GotOffset,
    /// How far the GOT is from the field.
    GotBase,
    /// How far a symbol is from the GOT.
    FromGot,
    /// AArch64: how far a symbol is, in words, in some bits of the instruction.
    Words { low: u32, bits: u32 },
    /// How far a symbol is, in bytes, in an `ADR`.
    Near,
    /// How far a symbol's page is, or its slot's, in an `ADRP`.
    Page { got: bool },
    /// The last twelve bits of a symbol's address, or its slot's, counted in
    /// units of so many bits.
    Low { shift: u32, got: bool },
    /// 32-bit ARM: a symbol's address or how far it is (`true`), in this form.
    Arm(super::arm::Field, bool),
}

impl Fix {
    pub(super) fn low(shift: u32, got: bool) -> Fix {
        Fix::Low { shift, got }
    }

    /// `word` with the field set, for those that are part of an instruction.
    pub(super) fn instruction(self, word: u32, target: u64, place: u64) -> Option<u32> {
        let put = |value: u64, low: u32, bits: u32| {
            let mask = ((1u32 << bits) - 1) << low;
            (word & !mask) | (((value as u32) << low) & mask)
        };
        // The two lowest bits of the distance stand apart from the others.
        let split = |value: u64| {
            let word = put(value >> 2, 5, 19);
            (word & !(3 << 29)) | ((value as u32 & 3) << 29)
        };
        match self {
            Fix::Words { low, bits } => Some(put(target.wrapping_sub(place) >> 2, low, bits)),
            Fix::Near => Some(split(target.wrapping_sub(place))),
            Fix::Page { .. } => {
                let pages = (target & !0xfff).wrapping_sub(place & !0xfff) >> 12;
                Some(split(pages))
            }
            Fix::Low { shift, .. } => Some(put((target & 0xfff) >> shift, 10, 12)),
            Fix::Arm(form, _) => Some(form.put(word, target)),
            _ => None,
        }
    }

    /// What Windows adds to the symbol's address: it stands in the field.
    pub(super) fn addend(self, word: u32) -> i64 {
        match self {
            Fix::Near | Fix::Page { .. } => {
                let high = i64::from((word << 8) as i32 >> 13);
                high << 2 | i64::from(word >> 29 & 3)
            }
            Fix::Low { shift, .. } => i64::from(word >> 10 & 0xfff) << shift,
            _ => 0,
        }
    }
}
