//! English as comments have it and people ask in it.

/// Words of English that say nothing about what a function does.
pub const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "function", "if", "in", "into",
    "is", "it", "its", "of", "on", "or", "that", "the", "then", "this", "to", "was", "we", "when",
    "which", "will", "with",
];

/// The first sentence of a comment on one line, and the second where the first
/// has fewer than four words; at most `limit` characters, cut at a word.
pub fn first_sentences(comment: &str, limit: usize) -> String {
    let flat = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut end = flat.len();
    for (index, c) in flat.char_indices() {
        let after = &flat[index + c.len_utf8()..];
        let ends =
            matches!(c, '.' | '!' | '?' | ';') && (after.is_empty() || after.starts_with(' '));
        let sentence = &flat[..index];
        let abbreviation = ["e.g", "i.e", "etc", "cf", "vs"]
            .iter()
            .any(|short| sentence.ends_with(short));
        if ends && !abbreviation && sentence.split(' ').count() >= 4 {
            end = index;
            break;
        }
    }
    shorten(flat[..end].trim_end_matches(['.', ';', ' ']), limit)
}

/// `text`, or its first words with an ellipsis where it is longer than `limit`
/// characters.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let head: String = text.chars().take(limit.saturating_sub(1)).collect();
    let cut = head
        .rfind(' ')
        .filter(|&at| at > head.len() / 2)
        .unwrap_or(head.len());
    format!(
        "{}…",
        head[..cut].trim_end_matches([' ', ',', '.', ';', ':', '('])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let check = |text: &str, expected: &str| assert_eq!(first_sentences(text, 160), expected);
        check(
            "Print usage and exit.  The status is STATUS.",
            "Print usage and exit",
        );
        check(
            "Init.\nSets all fields to zero.",
            "Init. Sets all fields to zero",
        );
        check(
            "Handles flags, e.g. the first one. More.",
            "Handles flags, e.g. the first one",
        );
        check("", "");
        assert_eq!(
            first_sentences("one two three four five six", 12),
            "one two…"
        );
    }
}
