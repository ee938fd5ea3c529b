//! Several runs in one picture: loss and Recall@1 of the second stage, as
//! CLAP's Figure 4 shows them (Wang et al. 2024), where a run from scratch
//! stands beside one upon the first stage.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::stage::State;
use crate::validate::Scores;
use crate::{Error, Result, files};

/// What the curves run along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Steps of the second stage.
    Steps,
    /// Minutes of the second stage.
    Minutes,
}

/// One run as points.
struct Curve {
    label: String,
    loss: Vec<(f64, f64)>,
    recall: Vec<(f64, f64)>,
    pool: usize,
}

/// How much of the last steps stays in the smoothed loss.
const MEMORY: f64 = 0.95;
/// Points of a line; more of them cannot be seen.
const POINTS: usize = 800;
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(214, 39, 40),
    RGBColor(140, 86, 75),
];

/// Draws the runs in these directories into one SVG file. A run that still
/// trains is drawn up to its last checkpoint.
pub fn draw_curves(runs: &[PathBuf], along: Along, picture: &Path) -> Result<()> {
    let curves: Vec<Curve> = runs
        .iter()
        .map(|run| read(run, along))
        .collect::<Result<_>>()?;
    let svg = draw(&curves, along).map_err(|error| Error::Plot(error.to_string()))?;
    files::write(picture, svg.as_bytes())
}

fn read(run: &Path, along: Along) -> Result<Curve> {
    let refuse = |reason: String| Error::RunDirectory {
        path: run.to_owned(),
        reason,
    };
    let path = run.join("checkpoint").join("state.json");
    let bytes = std::fs::read(&path)
        .map_err(|error| refuse(format!("has no checkpoint to draw ({error})")))?;
    let state: State<Scores> = serde_json::from_slice(&bytes)
        .map_err(|_| refuse("is not the run of an encoder of this version".to_owned()))?;
    let points: Vec<_> = state
        .points
        .iter()
        .filter(|point| point.stage == "contrast")
        .collect();
    if points.is_empty() {
        return Err(refuse("has not reached its second stage".to_owned()));
    }
    let place = |step: u64, minutes: f64| match along {
        Along::Steps => step as f64,
        Along::Minutes => minutes,
    };
    let mut mean = points[0].second;
    let loss: Vec<(f64, f64)> = points
        .iter()
        .map(|point| {
            mean = mean * MEMORY + point.second * (1.0 - MEMORY);
            (place(point.step, point.seconds / 60.0), mean)
        })
        .collect();
    let before = state.points.iter().rfind(|p| p.stage == "pretrain");
    let start = before.map_or_else(
        || "from scratch".to_owned(),
        |last| {
            format!(
                "pre-trained ({} steps, {:.1} min)",
                last.step,
                last.seconds / 60.0
            )
        },
    );
    let name = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    Ok(Curve {
        label: format!("{name}: {start}"),
        loss: thinned(&loss),
        recall: state
            .validations
            .iter()
            .map(|v| (place(v.step, v.minutes), v.scores.explanation.recall_1))
            .collect(),
        pool: state
            .validations
            .last()
            .map_or(0, |v| v.scores.explanation.pool),
    })
}

/// Some of the points, evenly, the last among them.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS).max(1);
    let mut some: Vec<_> = points.iter().rev().step_by(each).copied().collect();
    some.reverse();
    some
}

type Lines<'a> = Vec<&'a [(f64, f64)]>;

fn draw(curves: &[Curve], along: Along) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let mut pools: Vec<usize> = curves.iter().map(|c| c.pool).filter(|&p| p > 0).collect();
    pools.sort_unstable();
    pools.dedup();
    let pools: Vec<String> = pools.iter().map(ToString::to_string).collect();
    let losses: Lines = curves.iter().map(|c| &c.loss[..]).collect();
    let recalls: Lines = curves.iter().map(|c| &c.recall[..]).collect();
    let panels = [
        ("InfoNCE loss against texts".to_owned(), losses, false),
        (
            format!("Recall@1 among {} explanations", pools.join(" or ")),
            recalls,
            true,
        ),
    ];
    let all = || curves.iter().flat_map(|c| c.loss.iter().chain(&c.recall));
    let last = all().map(|p| p.0).fold(1e-9, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1100, 440)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (caption, lines, marked)) in root.split_evenly((1, 2)).iter().zip(panels) {
            let values = lines.iter().flat_map(|line| line.iter().map(|p| p.1));
            let top = values.fold(1e-3, f64::max) * 1.08;
            let mut chart = ChartBuilder::on(area)
                .caption(caption, ("sans-serif", 18))
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(52)
                .build_cartesian_2d(0.0..last, 0.0..top)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .x_desc(match along {
                    Along::Steps => "step of the second stage",
                    Along::Minutes => "minutes of the second stage",
                })
                .draw()?;
            for (i, (line, curve)) in lines.iter().zip(curves).enumerate() {
                let colour = COLOURS[i % COLOURS.len()];
                let points = line.iter().copied();
                chart
                    .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
                    .label(curve.label.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
                if marked {
                    let dots = points.map(|at| Circle::new(at, 3, colour.filled()));
                    chart.draw_series(dots)?;
                }
            }
            chart
                .configure_series_labels()
                .position(match marked {
                    true => SeriesLabelPosition::LowerRight,
                    false => SeriesLabelPosition::UpperRight,
                })
                .background_style(WHITE.mix(0.8))
                .draw()?;
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Point;
    use crate::stage::Validation;
    use crate::validate::Score;

    fn run(folder: &Path, name: &str, pretrained: bool) -> PathBuf {
        let point = |stage: &str, step: u64| Point {
            stage: stage.to_owned(),
            step,
            seconds: step as f64,
            tokens: 1,
            learning_rate: 1.0,
            gradient: 1.0,
            loss: 1.0,
            first: 1.0,
            second: 10.0 / step as f64,
        };
        let mut state = State::<Scores>::default();
        if pretrained {
            state.points.extend((1..=30).map(|i| point("pretrain", i)));
        }
        state
            .points
            .extend((1..=2000).map(|i| point("contrast", i)));
        state.validations = [60, 120, 1800]
            .map(|step| Validation {
                step,
                minutes: step as f64 / 60.0,
                scores: Scores {
                    explanation: Score {
                        pool: 77,
                        recall_1: step as f64 / 2000.0,
                        ..Score::default()
                    },
                    ..Scores::default()
                },
            })
            .into();
        let path = folder.join(name);
        std::fs::create_dir_all(path.join("checkpoint")).unwrap();
        files::write_json(&path.join("checkpoint/state.json"), &state).unwrap();
        path
    }

    #[test]
    fn runs_are_told_apart_by_how_they_began() {
        let folder = tempfile::tempdir().unwrap();
        let runs = [
            run(folder.path(), "with", true),
            run(folder.path(), "a<b", false),
        ];
        let curve = read(&runs[0], Along::Minutes).unwrap();
        assert!(curve.loss.len() <= POINTS && curve.loss.last().unwrap().0 > 33.3);
        assert_eq!(curve.recall[1], (2.0, 0.06));
        let picture = folder.path().join("curves.svg");
        draw_curves(&runs, Along::Steps, &picture).unwrap();
        let svg = std::fs::read_to_string(&picture).unwrap();
        for text in [
            "with: pre-trained (30 steps, 0.5 min)",
            "a&lt;b: from scratch",
            "Recall@1 among 77 explanations",
            "step of the second stage",
        ] {
            assert!(svg.contains(text), "no {text}");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
    }

    #[test]
    fn a_directory_without_a_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let runs = [folder.path().join("none")];
        let said = draw_curves(&runs, Along::Steps, &folder.path().join("a.svg"));
        let said = said.unwrap_err().to_string();
        assert!(said.contains("none: has no checkpoint"), "{said}");
    }
}
