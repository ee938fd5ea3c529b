//! The functions of a module of LLVM IR, each on its own.

use std::collections::HashMap;

/// The definitions in the text of a module by their names, without what refers
/// to other parts of it: attribute groups and metadata.
pub(crate) fn functions(module: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut current: Option<(String, String)> = None;
    for line in module.lines() {
        if let Some((_, text)) = &mut current {
            text.push_str(without_metadata(line));
            text.push('\n');
            if line == "}"
                && let Some((name, text)) = current.take()
            {
                found.insert(name, text);
            }
        } else if line.starts_with("define ")
            && let Some(name) = name(line)
        {
            current = Some((name, format!("{}\n", header(line))));
        }
    }
    found
}

/// `f` of `define i32 @f(i32 %x) #0 {`; names may be quoted.
fn name(line: &str) -> Option<String> {
    let rest = line.split_once('@')?.1;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?.0,
        None => rest.split_once('(')?.0,
    };
    // `\01` marks names that the assembler takes as they are.
    Some(name.trim_start_matches("\\01").to_owned())
}

/// The first line of a definition without numbers of attribute groups.
fn header(line: &str) -> String {
    let words = line.split(' ');
    let plain = |word: &&str| {
        !word
            .strip_prefix('#')
            .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    words.filter(plain).collect::<Vec<_>>().join(" ")
}

/// A line up to its `, !tbaa !5` and the like.
fn without_metadata(line: &str) -> &str {
    // Strings are never in a function's body, but for those of inline assembly.
    match line.find(", !") {
        Some(end) if !line[..end].contains('"') => &line[..end],
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_stand_alone() {
        let module = "@s = global i32 0\n\
                      define dso_local i32 @f(i32 %x) local_unnamed_addr #0 {\n\
                      entry:\n  %0 = load i32, i32* @s, align 4, !tbaa !5\n  ret i32 %0\n}\n\n\
                      define internal void @\"g h\"() #1 {\n  ret void\n}\n\
                      declare i32 @p(i8*, ...) #2\n";
        let found = functions(module);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found["f"],
            "define dso_local i32 @f(i32 %x) local_unnamed_addr {\nentry:\n  \
             %0 = load i32, i32* @s, align 4\n  ret i32 %0\n}\n"
        );
        assert!(found["g h"].starts_with("define internal void @\"g h\"() {"));
    }
}
