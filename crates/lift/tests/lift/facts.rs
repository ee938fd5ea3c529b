//! What a listing tells beside its lines: blocks, callers, what never returns,
//! and tables of known algorithms.

use std::process::Command;

use binscribe_lift::{Function, Program};

use crate::fixture;

const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static const unsigned char box[256] = { 0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30 };
static const unsigned crc[256] = { 0, 0x77073096, 0xee0e612c, 0x990951ba, 0x76dc419 };
__attribute__((noinline)) void give_up(const char *why) { fprintf(stderr, "%s\n", why); exit(3); }
__attribute__((noinline)) void give_up_twice(const char *why) { puts(why); give_up(why); }
__attribute__((noinline)) int substitute(unsigned char c) { return box[c]; }
__attribute__((noinline)) unsigned sum(unsigned char c) { return crc[c]; }
__attribute__((noinline)) int choose(int x, int *out) {
  switch (x) {
    case 0: out[0] = 5; return 1; case 1: out[1] = 7; return 9; case 2: out[2] = 1; return 4;
    case 3: out[3] = 8; return 2; case 4: out[4] = 3; return 6; case 5: out[5] = 4; return 11;
    default: give_up_twice("no such case"); return 0;
  }
}
int main(int argc, char **argv) {
  int out[6];
  if (argc > 9) give_up("too many");
  return choose(argc, out) + substitute(argv[0][0]) + (int)sum(argv[0][1]);
}
"#;

fn compiled() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("facts.c"), SOURCE).unwrap();
    let status = Command::new("cc")
        .args(["-O2", "-w", "-o"])
        .arg(at("facts"))
        .arg(at("facts.c"))
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(at("facts")).unwrap()
}

fn names<'p>(functions: impl Iterator<Item = &'p Function>) -> Vec<String> {
    let mut names: Vec<String> = functions.map(Function::display_name).collect();
    names.sort();
    names
}

#[test]
fn the_call_graph_and_what_never_returns() {
    let bytes = compiled();
    let program = Program::parse(&bytes).unwrap();
    let find = |name: &str| program.find(name).unwrap();
    assert_eq!(
        names(program.callers(find("give_up"))),
        ["give_up_twice", "main"]
    );
    assert_eq!(names(program.callees(find("give_up_twice"))), ["give_up"]);
    assert_eq!(
        names(program.callees(find("main"))),
        ["choose", "give_up", "substitute", "sum"]
    );
    for (name, never) in [
        ("give_up", true),
        ("give_up_twice", true),
        ("choose", false),
        ("main", false),
    ] {
        assert_eq!(program.never_returns(find(name)), never, "{name}");
    }
}

#[test]
fn tables_of_algorithms_are_named() {
    let bytes = compiled();
    let program = Program::parse(&bytes).unwrap();
    for (function, wanted) in [("substitute", "AES S-box"), ("sum", "CRC-32 table")] {
        let listing = program.listing(program.find(function).unwrap());
        let tables: Vec<_> = listing.facts.tables.iter().map(|t| t.name).collect();
        assert_eq!(tables, [wanted], "{}", listing.text());
        let comment = format!("; {wanted}\n");
        assert!(listing.text().contains(&comment), "{}", listing.text());
    }
}

/// Every line is in one block, every edge leads to a block that begins where
/// something jumps or falls to, and all cases of the switch are reached.
#[test]
fn blocks_cover_the_listing_and_cases_are_reached() {
    let bytes = compiled();
    let program = Program::parse(&bytes).unwrap();
    for function in program.functions() {
        let listing = program.listing(function);
        let mut next = 0;
        for block in listing.blocks() {
            assert_eq!(block.lines.start, next);
            assert!(!block.lines.is_empty());
            next = block.lines.end;
            assert!(
                block
                    .next
                    .iter()
                    .all(|&to| (to as usize) < listing.facts.blocks)
            );
        }
        assert_eq!(next, listing.len());
    }
    let choose = program.listing(program.find("choose").unwrap());
    let blocks: Vec<_> = choose.blocks().collect();
    let mut reached = vec![false; blocks.len()];
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut reached[at], true) {
            open.extend(blocks[at].next.iter().map(|&to| to as usize));
        }
    }
    assert!(blocks.len() >= 7, "{}", choose.text());
    assert!(reached.iter().all(|&r| r), "{reached:?}\n{}", choose.text());
}

/// Instructions and lines are kept from one listing to the next: what a thread
/// listed before, of this program or of another, changes none.
#[test]
fn listings_do_not_depend_on_what_was_listed_before() {
    let files = [
        "small",
        "small-fixed",
        "small.o",
        "windows.exe",
        "small.macho",
        "small-x86",
    ];
    let files: Vec<_> = files.iter().map(|name| fixture(name)).collect();
    for bytes in files.iter().chain(&files) {
        let program = Program::parse(bytes).unwrap();
        for function in program.functions() {
            let here = program.listing(function);
            let afresh = std::thread::scope(|scope| {
                let other = scope.spawn(|| program.listing(function));
                other.join().unwrap()
            });
            assert_eq!(here, afresh);
        }
    }
}
