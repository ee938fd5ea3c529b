//! Names of Objective-C methods: the runtime finds them by name, so that no one
//! can strip them.

use super::{Image, Import};
use crate::risc::{Codes, Op, isa};
use crate::strings;

/// Instructions of a stub that sends a message.
const MAX_STUB: usize = 8;

/// What may still be read. Tables may lie over each other in a file that is made
/// to be slow.
#[derive(Debug)]
pub(super) struct Budget {
    /// Methods, classes and stubs.
    pub(super) entries: usize,
    /// Bytes of names.
    pub(super) names: usize,
}

impl Budget {
    fn entry(&mut self) -> Option<()> {
        self.entries = self.entries.checked_sub(1)?;
        Some(())
    }
}

impl Image<'_> {
    /// Names the methods of the classes that the pointers from `start` to `end`
    /// lead to.
    pub(super) fn read_objc_classes(&mut self, start: u64, end: u64, budget: &mut Budget) {
        for slot in (start..end).step_by(8) {
            let Some(class) = self.pointer(slot).filter(|_| budget.entry().is_some()) else {
                break;
            };
            let name = self.objc_class_name(class);
            // The class of the class has the methods of the class itself.
            let meta = self.pointer(class);
            for (sign, class) in [('-', Some(class)), ('+', meta)] {
                let data = class.and_then(|class| self.objc_data(class));
                let list = data.and_then(|data| self.pointer(data.checked_add(32)?));
                if let (Some(name), Some(list)) = (&name, list) {
                    self.read_objc_methods(sign, name, list, budget);
                }
            }
        }
    }

    /// The same for the categories that pointers lead to.
    pub(super) fn read_objc_categories(&mut self, start: u64, end: u64, budget: &mut Budget) {
        for slot in (start..end).step_by(8) {
            let Some(category) = self.pointer(slot).filter(|_| budget.entry().is_some()) else {
                break;
            };
            let field = |offset| category.checked_add(offset);
            // The class is often one of another library.
            let class = field(8).and_then(|slot| {
                let import = self.slots.get(&slot);
                let import = import.and_then(|name| name.strip_prefix("OBJC_CLASS_$_"));
                let own = || self.objc_class_name(self.pointer(slot)?);
                import.map(str::to_owned).or_else(own)
            });
            let Some((class, name)) = class.zip(self.objc_string(category)) else {
                continue;
            };
            let name = format!("{class}({name})");
            for (sign, offset) in [('-', 16), ('+', 24)] {
                if let Some(list) = field(offset).and_then(|slot| self.pointer(slot)) {
                    self.read_objc_methods(sign, &name, list, budget);
                }
            }
        }
    }

    /// A list has its size, its count, and for each method its name, its types
    /// and its code: as pointers, or as distances from the fields themselves.
    fn read_objc_methods(&mut self, sign: char, class: &str, list: u64, budget: &mut Budget) {
        const RELATIVE: u32 = 1 << 31;
        const DIRECT: u32 = 1 << 30;
        let Some(flags) = self.objc_word(list) else {
            return;
        };
        let size = u64::from(flags & 0xfffc);
        let count = list.checked_add(4).and_then(|at| self.objc_word(at));
        for index in 0..u64::from(count.unwrap_or(0)) {
            let entry = list.checked_add(8 + index * size);
            let Some(entry) = entry.filter(|_| size >= 12 && budget.entry().is_some()) else {
                return;
            };
            let near = |offset: u64| {
                let field = entry.checked_add(offset)?;
                let distance = self.objc_word(field)? as i32;
                Some(field.wrapping_add_signed(distance.into()))
            };
            let (name, code) = match flags & (RELATIVE | DIRECT) {
                0 => {
                    let code = entry.checked_add(16).and_then(|slot| self.pointer(slot));
                    (self.objc_string(entry), code)
                }
                RELATIVE => {
                    let name = near(0).and_then(|selector| self.objc_string(selector));
                    (name, near(8))
                }
                _ => {
                    let name = near(0).and_then(|name| self.objc_text(name));
                    (name, near(8))
                }
            };
            let code = code.filter(|&code| self.may_start(code));
            let Some((name, code)) = name.zip(code) else {
                return;
            };
            let name = strings::plain_name(format!("{sign}[{class} {name}]").as_bytes());
            let Some((name, left)) =
                name.and_then(|n| budget.names.checked_sub(n.len()).map(|left| (n, left)))
            else {
                return;
            };
            budget.names = left;
            self.known_names.entry(code).or_insert(name);
            self.roots.push(code);
        }
    }

    /// Stubs that load the name of a message into the second argument's register
    /// and jump to what sends it: `ADRP X1`, `LDR X1`, and a jump.
    pub(super) fn read_objc_stubs(&mut self, start: u64, end: u64, budget: &mut Budget) {
        let Some(isa) = isa(self.arch) else {
            return;
        };
        let mut found = Vec::new();
        let (mut begun, mut selector) = (None, None);
        for (code, whole) in Codes::new(isa, self, self.bytes_in(start, end), start) {
            match code.op {
                Op::Page { to: 1, .. } => (begun, selector) = (Some(code.address), None),
                Op::Memory { access } if access.loads == Some(1) => selector = whole,
                Op::Jump(_) | Op::Branch(_) => {
                    let near = |begun: &u64| code.address - begun < 4 * MAX_STUB as u64;
                    found.extend(begun.take().filter(near).zip(selector.take()));
                }
                _ => {}
            }
        }
        for (stub, selector) in found {
            let name = self.objc_string(selector);
            let Some(name) = name.filter(|_| budget.entry().is_some()) else {
                continue;
            };
            let name = format!("objc_msgSend${name}");
            let Some(left) = budget.names.checked_sub(name.len()) else {
                return;
            };
            budget.names = left;
            self.imports.insert(stub, Import { name, stub: true });
        }
    }

    /// What of a class is never written to. The lowest bits of the pointer are
    /// flags of Swift.
    fn objc_data(&self, class: u64) -> Option<u64> {
        Some(self.pointer(class.checked_add(32)?)? & !7)
    }

    fn objc_class_name(&self, class: u64) -> Option<String> {
        self.objc_string(self.objc_data(class)?.checked_add(24)?)
    }

    /// The string that a pointer leads to.
    fn objc_string(&self, slot: u64) -> Option<String> {
        self.objc_text(self.pointer(slot)?)
    }

    fn objc_text(&self, address: u64) -> Option<String> {
        strings::plain_name(strings::terminated(self.bytes_at(address)?, 0))
    }

    fn objc_word(&self, address: u64) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes_at(address)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::image::Region;
    use crate::program::Arch;

    /// A long stub, and a short one that jumps to another stub.
    #[test]
    fn stubs_have_the_name_of_their_message() {
        let code: Vec<u8> = [
            // `ADRP X1; LDR X1, [X1,#8]; ADRP X16; LDR X16, [X16]; BR X16`
            0xb000_0001u32,
            0xf940_0421,
            0xb000_0010,
            0xf940_0210,
            0xd61f_0200,
            // `ADRP X1; LDR X1, [X1]; B`
            0xb000_0001,
            0xf940_0021,
            0x1400_0000,
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
        let end = 0x1000 + code.len() as u64;
        let region = |start: u64, data: &'static [u8]| Region {
            start,
            end: start + data.len() as u64,
            data: Cow::Borrowed(data),
            executable: false,
            writable: false,
            plt: false,
            section: 1,
        };
        let mut image = Image {
            arch: Arch::Aarch64,
            regions: vec![
                Region {
                    end,
                    data: Cow::Owned(code),
                    executable: true,
                    plt: true,
                    ..region(0x1000, &[])
                },
                region(0x3000, b"count\0add:to:\0"),
            ],
            pointers: vec![(0x2000, 0x3000), (0x2008, 0x3006)],
            ..Image::default()
        };
        let mut budget = Budget {
            entries: 8,
            names: 100,
        };
        image.read_objc_stubs(0x1000, end, &mut budget);
        assert_eq!(image.imports[&0x1000].name, "objc_msgSend$add:to:");
        assert_eq!(image.imports[&0x1014].name, "objc_msgSend$count");
    }
}
