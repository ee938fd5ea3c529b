//! Images without a format: the memory of a device, or code cut out of a file.

use std::borrow::Cow;

use super::{Image, Region};
use crate::Error;
use crate::program::{Arch, BinaryKind, Format};
use crate::step;

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
                let code = self.bytes_in(target, target.saturating_add(16));
                step::is_prologue(self.arch, code).then_some((slot, target))
            })
            .collect()
    }
}
