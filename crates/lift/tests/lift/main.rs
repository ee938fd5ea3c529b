//! The crate from outside: listings against golden text, discovery against the
//! symbols of what `cc` makes, and files that are broken on purpose.

// Helpers outside of `#[test]` functions may fail a test, and say what they found.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod arm;
#[path = "../build/mod.rs"]
mod build;
mod containers;
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
