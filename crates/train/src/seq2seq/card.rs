//! The model card.

use std::fmt::Write as _;

use binscribe_model::Seq2SeqConfig;
use binscribe_model::text::shorten;

use super::recipe::Seq2SeqRecipe;
use super::run::Metrics;

/// Characters of an example that are shown.
const CELL: usize = 160;

/// The text of `README.md`. Every number in it is of this run.
pub(super) fn write(metrics: &Metrics, config: &Seq2SeqConfig, recipe: &Seq2SeqRecipe) -> String {
    let Metrics {
        name,
        id,
        pairs,
        functions,
        training_pairs,
        validation_pairs,
        steps,
        minutes,
        tokens_seen,
        texts,
        ..
    } = metrics;
    let origin = match pairs.as_str() {
        "comments" => "the first sentences of their authors' comments".to_owned(),
        file => format!("the explanations in `{}`", escaped(file)),
    };
    let extra = match pairs.as_str() {
        "comments" => String::new(),
        file => format!(" --stage finetune --pairs {}", escaped(file)),
    };
    let copied = metrics.best.as_ref().map_or_else(
        || "It was not validated.".to_owned(),
        |best| format!("Validation: {best}, a token of the reference."),
    );
    let mut card = format!(
        "---\ntags: [code-summarization, text2text-generation]\n---\n\n\
         # {name}\n\n\
         Model `{id}`: writes a sentence about what a C function does from its source. A *shadow \
         model* (CLAP, section 3.1): it explains the functions of a corpus that no teacher \
         explained. What it writes is a guess by a small model and often wrong; rows keep \
         `shadow:{name}` as the origin, and people should not be shown it as fact.\n\n\
         An encoder and decoder of {} and {} layers, {} wide, {:.1} million parameters, {} pieces \
         of vocabulary, with a copy mechanism; at most {} tokens of a source and {} of a text. \
         Sources are read as words in lower case, identifiers taken apart. Graphs are ONNX; \
         `.int8.` ones hold 8-bit weights and are what is run where both are there.\n\n\
         ## Data\n\n\
         {functions} functions of the training packages (each body once) to restore; of these \
         {training_pairs} with a text, to write: {origin}. {validation_pairs} pairs of the \
         validation packages. Test packages were not read.\n\n\
         ## Training\n\n\
         Recipe `{}`, seed {}, {} in {}: {:.1} minutes and {} steps of restoring hidden spans and \
         names ({:.2} million tokens), {:.1} minutes and {} steps of writing texts ({:.2} million \
         tokens). {copied}\n\n\
         ```sh\ncargo xtask train recipes/{name}.toml --corpus corpus --out runs/{name}{extra}\n```\n\n\
         ## How well it does\n\n\
         On {texts} pairs of packages that it was not trained on; the weights were chosen by the \
         loss on the same packages. Means over the texts, words in lower case:\n\n\
         | | BLEU-4 | ROUGE-L | METEOR-lite |\n| --- | ---: | ---: | ---: |\n",
        config.encoder_layers,
        config.decoder_layers,
        config.hidden_size,
        metrics.parameters as f64 / 1e6,
        config.vocab_size,
        config.max_source_tokens,
        config.max_target_tokens,
        recipe.name,
        recipe.seed,
        metrics.precision,
        metrics.device,
        minutes[0],
        steps[0],
        tokens_seen[0] as f64 / 1e6,
        minutes[1],
        steps[1],
        tokens_seen[1] as f64 / 1e6,
    );
    for (name, scores) in &metrics.scores {
        let _ = writeln!(
            card,
            "| {name} | {:.3} | {:.3} | {:.3} |",
            scores.bleu_4, scores.rouge_l, scores.meteor_lite
        );
    }
    let _ = write!(
        card,
        "\nBLEU-4 is smoothed by one for two words and more; METEOR-lite knows neither stems nor \
         synonyms. {:.2} s a text on one thread. The command above ends with these numbers; with \
         `--resume` it only makes them again.\n\n\
         The first functions of the sample, not chosen:\n\n\
         | function | written | reference |\n| --- | --- | --- |\n",
        metrics.seconds_per_text
    );
    for example in &metrics.examples {
        let _ = writeln!(
            card,
            "| `{}` | {} | {} |",
            escaped(&example.function),
            escaped(&shorten(&example.written, CELL)),
            escaped(&shorten(&example.reference, CELL))
        );
    }
    card.push_str(
        "\n## Known weaknesses\n\n\
         - It has seen few texts, and C of a few packages; it knows no library that they do not \
         use.\n\
         - It goes by names. A source whose names say nothing gets a sentence that says nothing.\n\
         - It is fluent where it is wrong, and nothing in its score says so.\n\
         - It reads the start of a function only.\n",
    );
    card
}

/// Text of packages and models, safe in a cell of a table.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '|' | '`' | '[' | ']' | '*' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            _ if c.is_control() => safe.push(' '),
            _ => safe.push(c),
        }
    }
    safe
}
