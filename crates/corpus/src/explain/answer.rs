//! Answers of models are text by strangers: bounded and cleaned before they
//! are kept.

use crate::comment::pattern;

/// Characters of an answer that are looked at, and of an explanation.
const RAW: usize = 64 << 10;
const KEPT: usize = 2_000;

/// Why an answer is no explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It says nothing.
    Empty,
    /// It says that it cannot help.
    Declined,
}

/// The explanation in an answer, on one line: without the model's thoughts,
/// fences, marks of headings, and characters that act on a terminal. `cut` says
/// that the model was stopped in the middle.
pub(crate) fn clean(answer: &str, cut: bool) -> Result<String, Refusal> {
    let answer = &answer[..answer.floor_char_boundary(RAW)];
    let answer = pattern!(r"(?is)<think>.*?(?:</think>|$)").replace_all(answer, " ");
    let answer = match answer.rsplit_once("</think>") {
        Some((_, said)) => said,
        None => &answer,
    };
    let lines: Vec<String> = answer
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("```"))
        .map(|line| {
            pattern!(r"^(?:#{1,6}\s+|>\s+|[-*]{3,}$)")
                .replace(line, "")
                .replace("**", "")
        })
        .collect();
    let text: String = lines
        .join("\n")
        .chars()
        .filter_map(|c| match c {
            '\u{2019}' => Some('\''),
            c if c.is_whitespace() => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect();
    let text = text.split(' ').filter(|w| !w.is_empty());
    let text = text.collect::<Vec<_>>().join(" ");
    let text = pattern!(
        r"(?i)^(?:sure|certainly|of course)\s*[!,.:]\s*(?:here(?:'s| is| are)[^:.]{0,80}[:.]\s*)?"
    )
    .replace(&text, "");
    let declined = pattern!(concat!(
        r"(?i)^(?:(?:(?:i'm|i am)\s+)?(?:so |very |really )?sorry\b|i apologi[sz]e\b|as an ai\b|",
        r"(?:unfortunately,?\s+)?(?:i|we)\s+(?:cannot|can't|can not|could not|couldn't|won't|",
        r"am unable|am not able|do not have|don't have|don't see|do not see)\b)"
    ));
    if declined.is_match(&text) {
        return Err(Refusal::Declined);
    }
    let text = shortened(&text, cut);
    let words = text.split(' ').filter(|w| w.contains(char::is_alphabetic));
    if words.count() < 3 {
        return Err(Refusal::Empty);
    }
    Ok(text.to_owned())
}

/// Ends a text that is too long, or was not finished, behind a sentence.
fn shortened(text: &str, cut: bool) -> &str {
    let kept = &text[..text.floor_char_boundary(KEPT)];
    if kept.len() == text.len() && !cut {
        return text;
    }
    let ends = |(i, _): (usize, &str)| i + 1;
    match kept.rmatch_indices(['.', '!', '?']).next().map(ends) {
        Some(end) if end * 2 > kept.len() => &kept[..end],
        _ => kept,
    }
}

/// Characters that are not seen but reorder or hide what is.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Result<&str, Refusal>) {
        let cleaned = clean(answer, false);
        assert_eq!(cleaned.as_deref().map_err(|e| *e), expected, "{answer}");
    }

    #[test]
    fn what_is_around_the_explanation_goes() {
        check(
            "```text\n## Purpose\nThis **adds** two numbers.\n```\n\nTags: sum,\tmath",
            Ok("Purpose This adds two numbers. Tags: sum, math"),
        );
        check(
            "<think>Let me see: I cannot.</think>\nAdds two numbers.",
            Ok("Adds two numbers."),
        );
        check(
            "a lost thought</think>Adds two numbers.",
            Ok("Adds two numbers."),
        );
        check(
            "Sure! Here's a simple explanation:\nAdds two numbers.",
            Ok("Adds two numbers."),
        );
        check(
            "Adds\u{1b}[31m two\u{202e} numbers\u{7}.\u{200b}",
            Ok("Adds[31m two numbers."),
        );
    }

    #[test]
    fn who_says_nothing_is_refused() {
        check("", Err(Refusal::Empty));
        check("```\n```", Err(Refusal::Empty));
        check("N/A", Err(Refusal::Empty));
        check("<think>and then it never came", Err(Refusal::Empty));
        check(
            "I\u{2019}m sorry, but I can't help with that.",
            Err(Refusal::Declined),
        );
        check(
            "As an AI language model, I explain no code.",
            Err(Refusal::Declined),
        );
        check(
            "Unfortunately, I cannot see any code.",
            Err(Refusal::Declined),
        );
        check(
            "Sorts what cannot be sorted otherwise.",
            Ok("Sorts what cannot be sorted otherwise."),
        );
    }

    #[test]
    fn the_length_is_bounded() {
        let long = clean(&"It adds two numbers. ".repeat(10_000), false).unwrap();
        assert!(long.len() <= KEPT && long.ends_with("numbers."), "{long}");
        assert!(clean(&"\u{e9}".repeat(200_000), false).is_err(), "one word");
        assert_eq!(
            clean("It adds two numbers. And then it", true).unwrap(),
            "It adds two numbers."
        );
    }
}
