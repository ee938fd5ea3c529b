//! `binscribe corpus explain`: what each function does, in English.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use binscribe_corpus::explain::{
    Asking, Budget, Explainer, ExplanationStore, Follow, Origin, Outcome, Plan, Server,
    SourceFunction, Step, USEFUL, source_functions,
};
use binscribe_model::Seq2Seq;
use indicatif::ProgressBar;
use serde::Serialize;

use super::{STOP, choose, rows_of, watch_for_ctrl_c};
use crate::args;
use crate::json;
use crate::output::{self, Field, Format, Table, note};

#[derive(Serialize)]
struct Explained {
    version: u32,
    /// Bodies of source that were chosen.
    functions: usize,
    docs: Docs,
    models: Vec<Model<Outcome>>,
}

#[derive(Serialize)]
struct Planned {
    version: u32,
    dry_run: bool,
    functions: usize,
    models: Vec<Model<Plan>>,
}

/// Comments, of the whole corpus.
#[derive(Serialize)]
struct Docs {
    explanations: usize,
    useful: usize,
}

#[derive(Serialize)]
struct Model<T> {
    origin: Origin,
    #[serde(flatten)]
    what: T,
}

pub(crate) fn run(args: &args::CorpusExplain) -> Result<()> {
    let rows = rows_of(&args.functions.corpus)?;
    let models = models(args)?;
    let asking = Asking {
        source_bytes: args.source_bytes,
        batch: args.batch.into(),
        parallel: args.parallel.into(),
        budget: budget(args)?,
    };
    let store = ExplanationStore::open(&args.functions.corpus)?;
    let all = source_functions(&rows)?;
    let useful = all.iter().filter(|f| f.comment.is_some());
    let useful = useful.filter(|f| f.comment_quality >= USEFUL).count();
    let docs = if args.dry_run {
        None
    } else {
        Some(Docs {
            explanations: store.write_docs(&all)?,
            useful,
        })
    };
    let functions = choose(&args.functions, all, |f| {
        f.source.lines().count() >= args.min_lines
    })?;

    let Some(docs) = docs else {
        return plan(args, &store, &functions, &models, &asking);
    };
    watch_for_ctrl_c()?;
    let mut answered = Vec::new();
    for (origin, server) in models {
        let functions = due(&store, &functions, &origin)?;
        let outcome = ask(&store, &functions, &origin, &server, &asking)?;
        answered.push(Model {
            origin,
            what: outcome,
        });
    }
    if let Some(dir) = &args.model {
        let mut own = Own(Seq2Seq::load(dir)?);
        let origin = Origin::Shadow(own.name());
        let outcome = followed(&functions, &origin, |follow| {
            store.explain_rest(&functions, &mut own, follow)
        })?;
        answered.push(Model {
            origin,
            what: outcome,
        });
    }
    report(args.format.format, functions.len(), docs, answered)
}

/// A model of ours, that runs on this machine.
struct Own(Seq2Seq);

impl Explainer for Own {
    fn name(&self) -> String {
        // Another training under the same name may say something else.
        let id: String = self.0.id().chars().take(12).collect();
        format!("{}-{id}", self.0.name())
    }

    fn explain(&mut self, sources: &[&str]) -> binscribe_corpus::Result<Vec<String>> {
        let failed = |error: binscribe_model::Error| binscribe_corpus::Error::Explainer {
            name: self.name(),
            reason: error.to_string(),
        };
        self.0.generate(sources).map_err(failed)
    }
}

/// The models to ask, teacher first: its answers are none of the shadow's work.
fn models(args: &args::CorpusExplain) -> Result<Vec<(Origin, Server)>> {
    let mut models = Vec::new();
    let teacher = args.teacher.iter().zip(&args.teacher_model);
    let shadow = args.shadow.iter().zip(&args.shadow_model);
    for (base, model) in teacher {
        let server = server(args, base, model, "BINSCRIBE_TEACHER_KEY")?;
        models.push((Origin::Teacher(model.clone()), server));
    }
    for (base, model) in shadow {
        let server = server(args, base, model, "BINSCRIBE_SHADOW_KEY")?;
        models.push((Origin::Shadow(model.clone()), server));
    }
    Ok(models)
}

fn server(args: &args::CorpusExplain, base: &str, model: &str, variable: &str) -> Result<Server> {
    if !base.starts_with("http://") && !base.starts_with("https://") {
        bail!("{base}: an address of a server begins with http:// or https://");
    }
    let key = match std::env::var(variable) {
        Ok(key) if !key.trim().is_empty() => Some(key.trim().to_owned()),
        Ok(_) | Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(error).with_context(|| variable.to_owned()),
    };
    let authorities = match &args.ca_file {
        Some(file) => Some(certificates(file)?),
        None => None,
    };
    let server = Server {
        base: base.to_owned(),
        model: model.to_owned(),
        key,
        authorities,
        answer_tokens: args.answer_tokens,
        reasoning: args.reasoning,
        timeout: Duration::from_secs(args.timeout),
        tries: args.tries,
    };
    if server.key.is_some() && base.starts_with("http://") && !server.is_local() {
        note(&format!(
            "warning: the key in {variable} goes to {base} unencrypted; use https:// if you can"
        ));
    }
    Ok(server)
}

fn certificates(file: &Path) -> Result<Vec<u8>> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        bail!("{}: there is no certificate in it (PEM)", file.display());
    }
    Ok(pem)
}

fn budget(args: &args::CorpusExplain) -> Result<Budget> {
    Ok(
        match (args.budget_tokens, args.budget_cost, &args.price[..]) {
            (Some(tokens), _, _) => Budget::Tokens(tokens),
            (None, Some(limit), &[input, output]) => Budget::Cost {
                limit,
                input,
                output,
            },
            (None, Some(_), _) => {
                bail!("--price takes two numbers, as in --price 0.15,0.60")
            }
            (None, None, _) => Budget::Unlimited,
        },
    )
}

/// The functions that are a model's to explain.
fn due(
    store: &ExplanationStore,
    functions: &[SourceFunction],
    origin: &Origin,
) -> Result<Vec<SourceFunction>> {
    Ok(match origin {
        Origin::Shadow(_) => store.without_teacher(functions)?,
        _ => functions.to_vec(),
    })
}

fn plan(
    args: &args::CorpusExplain,
    store: &ExplanationStore,
    functions: &[SourceFunction],
    models: &[(Origin, Server)],
    asking: &Asking,
) -> Result<()> {
    let mut plans = Vec::new();
    for (origin, server) in models {
        let functions = due(store, functions, origin)?;
        plans.push(Model {
            origin: origin.clone(),
            what: store.plan(&functions, origin, server, asking)?,
        });
    }
    let estimate: f64 = plans.iter().map(|model| model.what.estimate).sum();
    let mut table = Table::new(&[
        "ORIGIN",
        "FUNCTIONS",
        "ANSWERED",
        "REQUESTS",
        "INPUT TOKENS",
        "OUTPUT AT MOST",
    ]);
    for model in &plans {
        let plan = &model.what;
        table.row(vec![
            model.origin.to_string().into(),
            Field::Count(plan.functions as u64),
            Field::Count(plan.known as u64),
            Field::Count(plan.requests as u64),
            Field::Count(plan.question_tokens),
            Field::Count(plan.answer_tokens),
        ]);
    }
    let format = args.format.format;
    if models.is_empty() {
        note("no model is named, so nothing would be asked: see --teacher and --shadow");
    }
    if format == Format::Table {
        let first = plans.iter().find_map(|m| Some((m, m.what.first.as_ref()?)));
        if let Some((model, first)) = first {
            output::print_line(&format!("The first question to {}:", model.origin))?;
            for (role, text) in [("system", &first.system), ("user", &first.user)] {
                output::print_line("")?;
                output::print_line(&format!("[{role}]"))?;
                output::print_text(text)?;
            }
            output::print_line("")?;
        }
    }
    table.print_as(
        format,
        &Planned {
            version: json::VERSION,
            dry_run: true,
            functions: functions.len(),
            models: plans,
        },
    )?;
    if format == Format::Table && !models.is_empty() {
        note("tokens of the input are estimated; nothing was asked");
        if let Budget::Cost { .. } = asking.budget {
            note(&format!(
                "at these prices about {estimate:.2}, if every answer is as long as it may be"
            ));
        }
    }
    Ok(())
}

fn ask(
    store: &ExplanationStore,
    functions: &[SourceFunction],
    origin: &Origin,
    server: &Server,
    asking: &Asking,
) -> Result<Outcome> {
    followed(functions, origin, |follow| {
        store.ask(functions, origin, server, asking, follow)
    })
}

/// Shows how far a model is.
fn followed(
    functions: &[SourceFunction],
    origin: &Origin,
    work: impl FnOnce(Follow<'_>) -> binscribe_corpus::Result<Outcome>,
) -> Result<Outcome> {
    let display = Display {
        origin: origin.to_string(),
        bar: output::progress("", functions.len() as u64),
        waited: AtomicBool::new(false),
        failed: AtomicUsize::new(0),
        last: Mutex::new(0),
    };
    let report = |step: Step| display.show(step);
    let outcome = work(Follow {
        report: &report,
        stop: &STOP,
    });
    display.bar.finish_and_clear();
    Ok(outcome?)
}

struct Display {
    origin: String,
    bar: ProgressBar,
    waited: AtomicBool,
    failed: AtomicUsize,
    /// Steps come from several threads, and may overtake each other.
    last: Mutex<usize>,
}

/// So many failures are told one by one.
const TOLD: usize = 5;

impl Display {
    fn show(&self, step: Step) {
        let say = |text: String| self.bar.suspend(|| note(&text));
        match step {
            Step::Done {
                done,
                total,
                tokens,
            } => {
                if let Ok(mut last) = self.last.lock()
                    && done >= *last
                {
                    *last = done;
                    self.bar.set_length(total as u64);
                    self.bar.set_position(done as u64);
                    self.bar
                        .set_message(format!("{}, {tokens} tokens", self.origin));
                }
            }
            Step::Waiting { reason } => {
                if !self.waited.swap(true, Ordering::Relaxed) {
                    say(format!("{}: {reason}; trying again", self.origin));
                }
                self.bar.set_message(format!("{}, waiting", self.origin));
            }
            Step::Failed { function, reason } => {
                match self.failed.fetch_add(1, Ordering::Relaxed) {
                    0..TOLD => say(format!("warning: {function}: {reason}")),
                    TOLD => say("warning: further failures are only counted".to_owned()),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn report(format: Format, functions: usize, docs: Docs, models: Vec<Model<Outcome>>) -> Result<()> {
    let mut table = Table::new(&[
        "ORIGIN",
        "FUNCTIONS",
        "EXPLAINED",
        "REFUSED",
        "FAILED",
        "LEFT",
        "TOKENS",
    ]);
    for model in &models {
        let outcome = &model.what;
        let count = |n: usize| Field::Count(n as u64);
        table.row(vec![
            model.origin.to_string().into(),
            count(outcome.functions),
            count(outcome.explained),
            count(outcome.declined + outcome.empty),
            count(outcome.failed),
            count(outcome.left),
            Field::Count(outcome.tokens_in_all),
        ]);
    }
    note(&format!(
        "{} comments kept as explanations, {} of them useful",
        docs.explanations, docs.useful
    ));
    for Model { origin, what } in &models {
        note(&format!(
            "{origin}: {} requests and {} tokens in this run",
            what.requests, what.tokens
        ));
    }
    let document = Explained {
        version: json::VERSION,
        functions,
        docs,
        models,
    };
    if !document.models.is_empty() || format == Format::Json {
        table.print_as(format, &document)?;
    }
    for Model { origin, what } in &document.models {
        if what.over_budget {
            note(&format!(
                "{origin}: the next request could go beyond the budget; {} functions are left \
                 (raise it, and the same command goes on)",
                what.left
            ));
        }
    }
    for Model { origin, what } in &document.models {
        if let Some(reason) = what.gave_up.as_ref().filter(|r| r.contains("certificate")) {
            bail!("{origin}: {reason}; --ca-file names an authority of your own");
        }
        if let Some(reason) = &what.gave_up {
            bail!("{origin}: {reason}; what was answered is kept, and the same command goes on");
        }
        if what.stopped {
            bail!("{origin}: stopped; what was answered is kept, and the same command goes on");
        }
        if what.failed > 0 {
            bail!(
                "{origin}: {} functions got no answer; the same command asks for them again",
                what.failed
            );
        }
    }
    Ok(())
}
