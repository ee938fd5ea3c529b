//! `binscribe similar`: one function in, those like it out.

use anyhow::{Result, bail};
use binscribe_index::Index;
use binscribe_lift::Kind;
use binscribe_tasks::SMALLEST;

use crate::args::Similar;
use crate::commands::index::{self, Question};
use crate::engine::{Candidates, Engine};
use crate::input::{self, Input};
use crate::json::{Place, Query};

pub(crate) fn run(args: &Similar) -> Result<()> {
    let input = Input::read(&args.file)?.or_raw(args.raw);
    let program = input.program()?;
    let example = input::find(&program, &input.path, &args.function)?;
    let listing = program.listing(example);
    if example.kind != Kind::Normal || listing.len() < SMALLEST {
        bail!(
            "{} is a thunk or has fewer than {SMALLEST} instructions: too small to be told from \
             others; take a bigger one",
            example.display_name()
        );
    }
    let engine = Engine::open(&args.model)?;
    let within = args.within.as_deref();
    let index = within.filter(|path| Index::is_at(path));
    let index = index.map(|path| index::open(path, &engine)).transpose()?;
    let hash = input.hash();
    let query = engine.embed_listings(&hash, &[listing.into_text()])?;
    let calibration = engine.calibration()?;
    let calibrated = calibration
        .as_ref()
        .and_then(|calibration| calibration.similar.as_ref());
    let asked = Query::Function {
        path: input.path.display().to_string(),
        function: Place::new(example),
    };
    let format = args.format.format;
    match (within, &index) {
        (_, Some(index)) => {
            let question = Question {
                query: asked,
                vector: &query,
                words: None,
                except: Some((hash, example.address)),
                k: args.k,
            };
            index::ask(index, &engine, question, calibrated, format)
        }
        (Some(path), None) => {
            let mut other = Input::read(path)?;
            if !other.has_format() {
                other = other.or_raw(args.raw);
            }
            let other_program = other.program()?;
            let candidates = Candidates::of(&other, &other_program, &engine, None)?;
            let matches = candidates.ranked(&query, args.k, calibrated, <[f32]>::to_vec);
            candidates.print(&engine, asked, matches, Vec::new(), format)
        }
        (None, None) => {
            let candidates = Candidates::of(&input, &program, &engine, Some(example.address))?;
            let matches = candidates.ranked(&query, args.k, calibrated, <[f32]>::to_vec);
            candidates.print(&engine, asked, matches, Vec::new(), format)
        }
    }
}
