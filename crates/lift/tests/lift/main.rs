//! The crate from outside: listings against golden text, discovery against the
//! symbols of what `cc` makes, and files that are broken on purpose.

// Helpers outside of `#[test]` functions may fail a test, and say what they found.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod arm;
#[path = "../build/mod.rs"]
mod build;
mod containers;
mod counted;
mod discovery;
mod facts;
mod go;
mod golden;
mod macho;
mod malformed;
mod raw;
mod risc;
mod windows;

/// A binary from `fixtures/`, which says how each was made.
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/../../fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Compares the listing of a function of a fixture with the expected text.
#[track_caller]
fn check(file: &str, function: &str, expected: &str) {
    let bytes = fixture(file);
    let program = binscribe_lift::Program::parse(&bytes).unwrap();
    let function = program.find(function).unwrap();
    let text = program.listing(function).into_text();
    assert_eq!(text, expected.trim_start(), "\nthe listing is:\n{text}");
}
