//! Builders of archives and of compressed data, whole and hostile.

// Each test program uses some of them.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Cursor, Read, Write};

pub(crate) const BLOCK: usize = 512;

/// How a container is compressed, by the ending that its name has.
pub(crate) const METHODS: [&str; 5] = ["", "gz", "xz", "zst", "bz2"];

pub(crate) fn compress(method: &str, bytes: impl Read) -> Vec<u8> {
    let mut bytes = bytes;
    let mut out = Vec::new();
    match method {
        "gz" => {
            let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            std::io::copy(&mut bytes, &mut writer).unwrap();
            out = writer.finish().unwrap();
        }
        "xz" => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut writer = lzma_rust2::XzWriter::new(out, options).unwrap();
            std::io::copy(&mut bytes, &mut writer).unwrap();
            out = writer.finish().unwrap();
        }
        "zst" => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress(bytes, &mut out, level);
        }
        "bz2" => {
            let mut writer = bzip2::write::BzEncoder::new(out, bzip2::Compression::fast());
            std::io::copy(&mut bytes, &mut writer).unwrap();
            out = writer.finish().unwrap();
        }
        _ => {
            bytes.read_to_end(&mut out).unwrap();
        }
    }
    out
}

/// `count` zero bytes.
pub(crate) fn zeros(count: u64) -> impl Read {
    std::io::repeat(0).take(count)
}

/// A tar header with the right sum.
pub(crate) fn header(name: &str, kind: u8, size: u64, link: &str) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    if size < 1 << 33 {
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    } else {
        header[124] = 0x80;
        header[128..136].copy_from_slice(&size.to_be_bytes());
    }
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut header);
    header
}

/// Puts the right sum in.
pub(crate) fn sum(header: &mut [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A member with its header and what fills its last block.
pub(crate) fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, data.len() as u64, "").to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

pub(crate) fn link(name: &str, kind: u8, target: &str) -> Vec<u8> {
    header(name, kind, 0, target).to_vec()
}

pub(crate) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        let size = data.len();
        writeln!(
            bytes,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`",
            0, 0, 0, 644
        )
        .unwrap();
        bytes.extend(*data);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

pub(crate) fn deb(method: &str, files: &[Vec<u8>]) -> Vec<u8> {
    let name = match method {
        "" => "data.tar".to_owned(),
        method => format!("data.tar.{method}"),
    };
    let data = compress(method, Cursor::new(tar(files)));
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &compress("gz", Cursor::new(tar(&[])))),
        (&name, &data),
    ])
}

/// Zstandard data whose window is as large as the format allows.
pub(crate) fn zstandard_with_window(descriptor: u8) -> Vec<u8> {
    // No content size, no checksum; one last raw block of one byte.
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 0x09, 0, 0, b'x']
}

/// xz data that says its dictionary is of the given size (40 is 4 GiB).
pub(crate) fn xz_with_dictionary(size: u8) -> Vec<u8> {
    let mut bytes = compress("xz", &b"some bytes"[..]);
    // The header of the first block: its size in words less one, flags, the
    // filter LZMA2 with one byte of properties.
    let length = (usize::from(bytes[12]) + 1) * 4;
    let at = bytes[12..12 + length]
        .windows(2)
        .position(|pair| pair == [0x21, 1])
        .unwrap();
    bytes[12 + at + 2] = size;
    let end = 12 + length - 4;
    let sum = crc32(&bytes[12..end]);
    bytes[end..end + 4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The programs in `fixtures/`, each with its name: whatever of it is read.
pub(crate) fn programs() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    let files = std::fs::read_dir(folder).unwrap();
    let mut programs: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let file = file.unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(file.path()).unwrap())
        })
        .filter(|(_, bytes)| binscribe_lift::Program::parse(bytes).is_ok())
        .collect();
    programs.sort();
    assert!(programs.len() > 25, "{} programs", programs.len());
    programs
}

/// A small generator of repeatable random numbers (Marsaglia's xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Changes a few bytes, most of them where the structure of the file is.
pub(crate) fn mutate(bytes: &mut [u8], random: &mut Random) {
    let kept = bytes[..20].to_vec();
    let size = bytes.len();
    let structural = [0..64, 64..size.min(1024), size.saturating_sub(2048)..size];
    for _ in 0..1 + random.below(8) {
        let at = match random.below(4) {
            part @ 0..3 => structural[part].start + random.below(structural[part].len()),
            _ => random.below(bytes.len()),
        };
        bytes[at] = match random.below(4) {
            0 => 0xff,
            1 => 0x7f,
            2 => bytes[at] ^ (1 << random.below(8)),
            _ => random.below(256) as u8,
        };
    }
    // Leave the file recognisable, or most mutants end at the first check.
    bytes[..8].copy_from_slice(&kept[..8]);
    bytes[18..20].copy_from_slice(&kept[18..]);
}
