//! One line about a function, from evidence alone.

use binscribe_lift::Facts;

use crate::evidence;
use crate::own_names::Told;
use crate::text;

/// The longest string that is quoted, in characters.
const QUOTED: usize = 48;

/// A known function that the calibration lets us name.
#[derive(Debug, Clone, Copy)]
pub struct Resemblance<'a> {
    /// Its name.
    pub name: &'a str,
    /// The package that it is from.
    pub package: &'a str,
    /// One line about it.
    pub explanation: &'a str,
}

/// Says in one line what the function does: which file it is of, where it says
/// so itself, whom it resembles (only where the caller is confident enough to say
/// so), what it calls, which well-known constants and which strings it holds.
pub fn summary(facts: &Facts, told: &Told, resemblance: Option<Resemblance<'_>>) -> String {
    let mut sentences = Vec::new();
    if let Some(file) = &told.file {
        let path = file.short();
        sentences.push(match (file.told, file.lines) {
            (true, Some((first, last))) if first < last => {
                format!("Of {path} (lines {first} to {last}).")
            }
            (true, Some((line, _))) => format!("Of {path} (line {line})."),
            (true, None) => format!("Of {path}."),
            (false, _) => format!("Between functions of {path}."),
        });
    }
    if let Some(Resemblance {
        name,
        package,
        explanation,
    }) = resemblance
    {
        let said = text::words(explanation) != text::words(name);
        let what = if said {
            format!(": {explanation}")
        } else {
            String::new()
        };
        sentences.push(format!("Resembles {name} ({package}){what}."));
    }
    let actions = evidence::actions(facts);
    if !actions.is_empty() {
        let phrases: Vec<String> = actions
            .iter()
            .take(3)
            .map(|action| {
                let names: Vec<&str> = action.names.iter().take(3).map(String::as_str).collect();
                format!("{} ({})", action.phrase, names.join(", "))
            })
            .collect();
        sentences.push(format!("{}.", capital(&list(&phrases))));
    }
    for constant in evidence::constants(facts).iter().take(2) {
        sentences.push(format!("Holds the {}.", constant.why));
    }
    let tables: Vec<String> = facts
        .tables
        .iter()
        .take(3)
        .map(|table| table.name.to_owned())
        .collect();
    if !tables.is_empty() {
        sentences.push(format!("Uses the {}.", list(&tables)));
    }
    let strings = telling_strings(facts, told);
    if !strings.is_empty() {
        sentences.push(format!("Mentions {}.", list(&strings)));
    }
    if sentences.len() == usize::from(told.file.is_some()) {
        sentences.push(shape(facts));
    }
    sentences.join(" ")
}

/// What is left to say of a function without imports, strings and constants
/// that mean something.
fn shape(facts: &Facts) -> String {
    let size = format!(
        "{} instructions in {} {}",
        facts.instructions,
        facts.blocks,
        if facts.blocks == 1 { "block" } else { "blocks" }
    );
    let mut names: Vec<&str> = Vec::new();
    for call in &facts.calls {
        if !names.contains(&call.name.as_str()) {
            names.push(&call.name);
        }
    }
    // Names that say something first.
    names.sort_by_key(|name| name.starts_with("sub_"));
    let telling = names.iter().filter(|name| !name.starts_with("sub_"));
    let shown = telling.count().clamp(1, 3);
    match names.len().saturating_sub(shown) {
        _ if names.is_empty() => {
            format!("Computes without calling anything: {size}, no telling strings or constants.")
        }
        0 => {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            format!("Calls only {}: {size}.", list(&names))
        }
        rest => format!(
            "Calls {} and {rest} more of this program's functions: {size}.",
            names[..shown].join(", ")
        ),
    }
}

/// The strings that say most: with at least one word of three letters, the
/// longest first, two at most; not those that its name and file were told by.
fn telling_strings(facts: &Facts, told: &Told) -> Vec<String> {
    let mut strings: Vec<&str> = Vec::new();
    let is_told = |string: &String| {
        told.file
            .as_ref()
            .is_some_and(|file| string.starts_with(&file.path))
            || told.names.iter().any(|own| own.name == *string)
    };
    for string in facts.strings.iter().filter(|string| !is_told(string)) {
        let telling = text::words(string)
            .iter()
            .any(|word| word.chars().count() >= 3 && word.chars().all(char::is_alphabetic));
        if telling && !strings.contains(&string.as_str()) {
            strings.push(string);
        }
    }
    // A stable sort: of two equally long the one that the code mentions first.
    strings.sort_by_key(|string| std::cmp::Reverse(string.chars().count().min(QUOTED)));
    let quote = |string: &&str| {
        format!(
            "\"{}\"",
            binscribe_model::text::shorten(string.trim(), QUOTED)
        )
    };
    strings.iter().take(2).map(quote).collect()
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use binscribe_lift::Call;

    fn facts(imports: &[&str], strings: &[&str]) -> Facts {
        let call = |name: &&str| Call {
            name: (*name).to_owned(),
            address: None,
            import: true,
        };
        Facts {
            instructions: 12,
            blocks: 3,
            calls: imports.iter().map(call).collect(),
            strings: strings.iter().map(|s| (*s).to_owned()).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn evidence_in_words() {
        let check = |facts: &Facts, expected: &str| {
            assert_eq!(summary(facts, &Told::default(), None), expected)
        };
        check(
            &facts(
                &["socket", "connect", "malloc", "fprintf"],
                &["%d", "cannot connect to %s"],
            ),
            "Talks over the network (socket, connect), formats text (fprintf) and allocates memory \
             (malloc). Mentions \"cannot connect to %s\".",
        );
        check(
            &facts(&[], &[]),
            "Computes without calling anything: 12 instructions in 3 blocks, no telling strings or \
             constants.",
        );
        let constants = Facts {
            constants: vec![0xffff_ffff_edb8_8320],
            ..facts(&[], &[])
        };
        check(&constants, "Holds the CRC-32 polynomial 0xedb88320.");
        check(
            &facts(&["sub_10", "sub_20"], &[]),
            "Calls sub_10 and 1 more of this program's functions: 12 instructions in 3 blocks.",
        );
        check(
            &facts(&["sub_10", "node_new", "node_link"], &[]),
            "Calls node_new, node_link and 1 more of this program's functions: 12 instructions in \
             3 blocks.",
        );
        check(
            &facts(&["node_new", "node_link"], &[]),
            "Calls only node_new and node_link: 12 instructions in 3 blocks.",
        );
    }

    #[test]
    fn a_resemblance_comes_first_and_does_not_repeat_itself() {
        let mut known = Resemblance {
            name: "xmalloc",
            package: "coreutils",
            explanation: "Allocate N bytes, or die",
        };
        assert_eq!(
            summary(&facts(&["malloc"], &[]), &Told::default(), Some(known)),
            "Resembles xmalloc (coreutils): Allocate N bytes, or die. Allocates memory (malloc)."
        );
        known.explanation = "xmalloc";
        assert_eq!(
            summary(&facts(&[], &[]), &Told::default(), Some(known)),
            "Resembles xmalloc (coreutils)."
        );
    }
}
