//! `ar` archives: the static libraries of every system.
//!
//! Each member has a header of text before it. The variants differ in where
//! names too long for that header are: GNU and Windows archives have a member
//! for them, BSD and macOS put each before the bytes of its member.

use std::collections::HashMap;

use crate::image::{coff, macho};
use crate::{Error, strings};

pub(super) const MAGIC: &[u8] = b"!<arch>\n";
const THIN: &[u8] = b"!<thin>\n";
/// Bytes of the header before each member.
const HEADER: usize = 60;
/// Archives may have more members than this; we read no more.
const MAX_MEMBERS: usize = 65_536;

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'d> {
    /// Its name, fit to print. Where several members are called alike, the
    /// second is `name#2`, and so on.
    pub name: String,
    /// The file.
    pub bytes: &'d [u8],
}

/// Whether `bytes` are an archive, of which a member must be named: a universal
/// program has members too, but can be read as it is.
pub fn is_archive(bytes: &[u8]) -> bool {
    let archive = |bytes: &[u8]| bytes.starts_with(MAGIC) || bytes.starts_with(THIN);
    macho::first_part(bytes).is_ok_and(archive)
}

/// The members of an archive in their order, without its tables of symbols and
/// names, and without the entries of import libraries, which hold no code: at
/// least one, or an error. Of a damaged archive those that are whole come back.
///
/// The parts of a universal macOS file are its members, called `x86_64`, `arm64`
/// or `arm64e`. Of a universal library the members of the first part come back
/// by their own names, those of the others as `arm64:member.o`.
///
/// A member is read like any other file:
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bytes = std::fs::read("libexample.a")?;
/// for member in binscribe_lift::members(&bytes)? {
///     let program = binscribe_lift::Program::parse(member.bytes)?;
///     println!("{}: {} functions", member.name, program.functions().len());
/// }
/// # Ok(())
/// # }
/// ```
pub fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, Error> {
    let Some(parts) = macho::parts(bytes)? else {
        return members_of_archive(bytes);
    };
    let mut members = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        match members_of_archive(part.bytes) {
            Ok(found) => members.extend(found.into_iter().map(|member| match index {
                0 => member,
                _ => Member {
                    name: format!("{}:{}", part.name, member.name),
                    ..member
                },
            })),
            Err(Error::NotArchive) => members.push(Member {
                name: part.name.to_owned(),
                bytes: part.bytes,
            }),
            Err(error) if index == 0 => return Err(error),
            Err(_) => {}
        }
    }
    Ok(members)
}

fn members_of_archive(bytes: &[u8]) -> Result<Vec<Member<'_>>, Error> {
    if bytes.starts_with(THIN) {
        return Err(Error::ThinArchive);
    }
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err(Error::NotArchive);
    };
    let mut members = Vec::new();
    let mut long_names: &[u8] = &[];
    let mut seen: HashMap<String, usize> = HashMap::new();
    while let Some((raw_name, mut data)) = next(&mut rest) {
        if members.len() == MAX_MEMBERS {
            break;
        }
        let mut name = raw_name.trim_ascii_end();
        if name == b"//" {
            long_names = data;
            continue;
        }
        if let Some(length) = name.strip_prefix(b"#1/").and_then(number) {
            let Some((before, after)) = data.split_at_checked(length) else {
                break;
            };
            (name, data) = (strings::terminated(before, 0), after);
        } else if let Some(offset) = name.strip_prefix(b"/").and_then(number) {
            name = strings::terminated(long_names, offset);
            let end = name.iter().position(|&b| b == b'\n');
            name = &name[..end.unwrap_or(name.len())];
        }
        if coff::is_import(data) {
            continue;
        }
        let table = name.starts_with(b"/") && !name[1..].contains(&b'.');
        if table || name.starts_with(b"__.SYMDEF") {
            continue;
        }
        let name = strings::clean(name.strip_suffix(b"/").unwrap_or(name));
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        let name = match *count {
            1 => name,
            nth => format!("{name}#{nth}"),
        };
        members.push(Member { name, bytes: data });
    }
    if members.is_empty() {
        return Err(Error::EmptyArchive);
    }
    Ok(members)
}

/// Takes the next member off: its name as the header has it, and its bytes.
fn next<'d>(rest: &mut &'d [u8]) -> Option<(&'d [u8], &'d [u8])> {
    let (header, after) = rest.split_at_checked(HEADER)?;
    if !header.ends_with(b"`\n") {
        return None;
    }
    let size = number(&header[48..58])?;
    let (data, after) = after.split_at_checked(size)?;
    // Members begin at even offsets.
    *rest = after.get(size % 2..).unwrap_or(&[]);
    Some((&header[..16], data))
}

fn number(digits: &[u8]) -> Option<usize> {
    let digits = digits.trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            644,
            data.len()
        );
        if data.len() % 2 == 1 {
            bytes.push('\n');
        }
        let mut bytes = bytes.into_bytes();
        let at = HEADER;
        bytes.splice(at..at, data.iter().copied());
        bytes
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (name, data) in members {
            bytes.extend(member(name, data));
        }
        bytes
    }

    fn check(members: &[(&str, &[u8])], expected: &[(&str, &[u8])]) {
        let bytes = archive(members);
        let read = super::members(&bytes).unwrap();
        let read: Vec<_> = read.iter().map(|m| (m.name.as_str(), m.bytes)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn gnu_names_are_in_a_member_of_their_own() {
        check(
            &[
                ("/", b"symbols"),
                ("//", b"a-rather-long-name.o/\nanother-long-name.o/\n"),
                ("short.o/", b"one"),
                ("/22", b"three"),
                ("/0", b"two"),
            ],
            &[
                ("short.o", b"one"),
                ("another-long-name.o", b"three"),
                ("a-rather-long-name.o", b"two"),
            ],
        );
    }

    #[test]
    fn windows_names_end_with_a_zero() {
        check(
            &[
                ("/", b"first"),
                ("/", b"second"),
                ("//", b"dir\\long-object-name.obj\0b.obj\0"),
                ("/<ECSYMBOLS>/", b"table"),
                ("/0", b"one"),
                ("/25", b"two"),
            ],
            &[("dir\\long-object-name.obj", b"one"), ("b.obj", b"two")],
        );
    }

    #[test]
    fn bsd_names_come_before_the_bytes() {
        check(
            &[
                ("__.SYMDEF SORTED", b"symbols"),
                ("#1/20", b"__.SYMDEF_64\0\0\0\0\0\0\0\0symbols"),
                ("#1/12", b"with space.oone"),
                ("#1/8", b"b.o\0\0\0\0\0two"),
                ("c.o", b"three"),
            ],
            &[("with_space.o", b"one"), ("b.o", b"two"), ("c.o", b"three")],
        );
    }

    #[test]
    fn members_of_one_name_are_told_apart() {
        check(
            &[
                ("a.o/", b"1"),
                ("a.o/", b"2"),
                ("b.o/", b"3"),
                ("a.o/", b"4"),
            ],
            &[
                ("a.o", b"1"),
                ("a.o#2", b"2"),
                ("b.o", b"3"),
                ("a.o#3", b"4"),
            ],
        );
    }

    #[test]
    fn damaged_archive_gives_what_is_whole() {
        let bytes = archive(&[("a.o/", b"one"), ("b.o/", b"two")]);
        for end in 0..bytes.len() - 1 {
            match members(&bytes[..end]) {
                Ok(members) => assert_eq!(members[0].bytes, b"one"),
                Err(error) => assert!(end < 72, "{end}: {error}"),
            }
        }
        assert_eq!(members(b"!<thin>\n"), Err(Error::ThinArchive));
        assert_eq!(members(b"!<arch>\n"), Err(Error::EmptyArchive));
        assert_eq!(members(b"text"), Err(Error::NotArchive));
        // Sizes and offsets beyond the file, and names that are no numbers.
        for name in ["/9999999", "#1/9999999", "#1/x", "/99999999999999999999"] {
            let _ = members(&archive(&[(name, b"one"), ("b.o/", b"two")]));
        }
    }
}
