//! Names of C++ functions: the same whether a symbol, debug information or the
//! source tells them. Names of C are left as they are.

use cpp_demangle::{DemangleOptions, Symbol};

/// A longer symbol is no name that anybody wrote.
const MAX_SYMBOL: usize = 4096;

/// The name with its namespaces and classes that a symbol stands for, without
/// parameters and template arguments: `geo::Box::area` of `_ZNK3geo3Box4areaEv`.
pub(crate) fn of_symbol(symbol: &str) -> String {
    let plain = || {
        let symbol = Some(symbol).filter(|s| s.starts_with("_Z") && s.len() < MAX_SYMBOL)?;
        let options = DemangleOptions::new().no_params().no_return_type();
        let name = Symbol::new(symbol).ok()?.demangle_with_options(&options);
        let name = name.ok()?.replace("(anonymous namespace)::", "");
        Some(without_templates(name.trim_end_matches(" const")))
    };
    plain().unwrap_or_else(|| symbol.to_owned())
}

/// The name without template arguments: `Stack::push` of `Stack<int>::push`.
pub(crate) fn without_templates(name: &str) -> String {
    // The angles of `operator<` and `operator->` are names.
    let angles = name.find("operator").filter(|at| {
        let rest = &name[at + "operator".len()..];
        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    let (head, tail) = name.split_at(angles.unwrap_or(name.len()));
    let mut depth = 0usize;
    let mut out = String::new();
    for c in head.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            c if depth == 0 && !c.is_whitespace() => out.push(c),
            _ => {}
        }
    }
    out.extend(tail.chars().filter(|c| !c.is_whitespace()));
    out
}

/// The name without its namespaces and classes.
pub(crate) fn last(name: &str) -> &str {
    name.rsplit_once("::").map_or(name, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_a_name_gives_the_same() {
        assert_eq!(of_symbol("_ZNK3geo3Box4areaEv"), "geo::Box::area");
        assert_eq!(of_symbol("_ZN5StackIiE4pushEi"), "Stack::push");
        assert_eq!(of_symbol("_ZN12_GLOBAL__N_16hiddenEv"), "hidden");
        assert_eq!(of_symbol("_ZltRK1AS1_"), "operator<");
        assert_eq!(of_symbol("_start"), "_start");
        assert_eq!(without_templates("Stack<T>::push"), "Stack::push");
        assert_eq!(without_templates("A<int>::operator->"), "A::operator->");
        assert_eq!(last("geo::Box::area"), "area");
    }
}
