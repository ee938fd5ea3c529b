//! Images without a format: the memory of a device, or code cut out of a file.

use std::borrow::Cow;

use super::{Image, Region};
use crate::Error;
use crate::program::{Arch, BinaryKind, Format};
use crate::step::{self, Steps};
use crate::strings;

/// Instructions that are looked at to tell code from data.
const LOOKED_AT: usize = 64;

impl<'d> Image<'d> {
    /// All of `bytes` as one region at `base`, in which anything may be code.
    pub(crate) fn raw(bytes: &'d [u8], arch: Arch, base: u64) -> Result<Image<'d>, Error> {
        // The last page of 64 bits stays free, so that no address near the end
        // overflows; that of 32 bits is where processors start.
        let last = match arch.bits() {
            32 => 1 << 32,
            _ => u64::MAX - 0xfff,
        };
        let end = base.checked_add(bytes.len() as u64);
        let end = end.filter(|&end| end <= last).ok_or(Error::Malformed {
            format: Format::Raw,
            what: "at this base it ends beyond the last address",
        })?;
        if bytes.is_empty() {
            return Err(Error::NoCode {
                format: Format::Raw,
            });
        }
        let mut image = Image {
            format: Format::Raw,
            arch,
            kind: BinaryKind::Executable,
            base,
            stripped: true,
            absolute: true,
            regions: vec![Region {
                start: base,
                end,
                data: Cow::Borrowed(bytes),
                executable: true,
                writable: false,
                plt: false,
                section: 0,
            }],
            ..Image::default()
        };
        image.pointers = image.raw_pointers();
        Ok(image)
    }

    /// Words that are the address of what begins like a function: tables of
    /// vectors and of callbacks. Small numbers are addresses too in an image
    /// that begins at zero, so that not every address in it is believed.
    fn raw_pointers(&self) -> Vec<(u64, u64)> {
        let size = self.arch.pointer_size();
        let region = &self.regions[0];
        let first = region.start.next_multiple_of(size);
        (first..region.data_end())
            .step_by(size as usize)
            .filter_map(|slot| {
                let target = self.pointer(slot)?;
                (self.begins_function(target) && self.looks_like_code(target))
                    .then_some((slot, target))
            })
            .collect()
    }

    fn begins_function(&self, address: u64) -> bool {
        let bytes = self.bytes_in(address, address.saturating_add(16));
        step::is_prologue(self, bytes, address)
    }

    /// Whether a function is likelier than data at `address` of a raw image,
    /// where anything may be either: it is no text and goes on to an end without
    /// what no compiler writes.
    pub(crate) fn looks_like_code(&self, address: u64) -> bool {
        let bytes = self.bytes_at(address).unwrap_or(&[]);
        if strings::literal(bytes, 4).is_some() {
            return false;
        }
        let begins = self.begins_function(address);
        if !begins && !address.is_multiple_of(16) && matches!(self.arch, Arch::X86_64 | Arch::X86) {
            return false;
        }
        for step in Steps::new(self, bytes, address, 0).take(LOOKED_AT) {
            let at = (step.address - address) as usize;
            // Zeros are instructions of x86: `add [rax], al`.
            if step.invalid || bytes[at..].starts_with(&[0, 0]) {
                return false;
            }
            if step.ends {
                return true;
            }
        }
        begins
    }
}
