//! Go programs, whose runtime needs a table of functions that stripping leaves.

use binscribe_lift::{Program, Source};

use crate::fixture;

const VERSIONS: [&str; 4] = ["go12", "go116", "go118", "go120"];

fn check(bytes: &[u8]) {
    let program = Program::parse(bytes).unwrap();
    let functions = program.functions().iter();
    let functions: Vec<_> = functions
        .map(|f| (f.display_name(), f.size, f.source))
        .collect();
    let expected = [
        ("_rt0_amd64_linux", 14),
        ("main.(*Number).Triple", 4),
        // It does not return, and the `nop` behind its call is its own.
        ("main.Map[go.shape.struct_{_A_int_}]", 6),
    ];
    let expected = expected.map(|(name, size)| (name.to_owned(), size, Source::GoTable));
    assert_eq!(functions, expected);
    let start = program.find("_rt0_amd64_linux").unwrap();
    let text = program.listing(start).into_text();
    assert!(
        text.starts_with("call    main.(*Number).Triple\n"),
        "{text}"
    );
}

/// Names, starts and ends, in each layout that the table ever had.
#[test]
fn table_of_each_version() {
    for name in VERSIONS {
        check(&fixture(name));
    }
}

/// The table is found by its contents.
#[test]
fn table_without_section_headers() {
    for name in VERSIONS {
        let mut bytes = fixture(name);
        bytes[40..48].fill(0);
        bytes[58..64].fill(0);
        check(&bytes);
    }
}

/// Where the runtime's description of the program is not found, code begins a
/// section.
#[test]
fn table_without_address_of_code() {
    let mut bytes = fixture("go120");
    let (start, end) = (bytes.len() - 2048, bytes.len());
    let program = Program::parse(&bytes).unwrap();
    let entry = program.functions()[0].address.to_le_bytes();
    drop(program);
    let text = (start..end - 8).find(|&at| bytes[at..at + 8] == entry);
    bytes[text.unwrap()] ^= 1;
    check(&bytes);
}

/// Addresses in the wrong order, names beyond the end: the program is read as
/// if it were another compiler's.
#[test]
fn damaged_table() {
    for name in VERSIONS {
        let original = fixture(name);
        let magic = original
            .windows(8)
            .position(|w| w[1..] == [255, 255, 255, 0, 0, 1, 8]);
        let table = magic.unwrap();
        for at in table + 8..table + 200 {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = original.clone();
                bytes[at] = value;
                let program = Program::parse(&bytes).unwrap();
                assert!(!program.functions().is_empty(), "{name}, byte {at}");
            }
        }
    }
}
