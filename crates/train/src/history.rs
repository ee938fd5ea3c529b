//! The loss of every step, as CSV and as a picture.

use std::fmt::Write as _;
use std::path::Path;

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, files};

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) stage: String,
    pub(crate) step: u64,
    pub(crate) seconds: f64,
    pub(crate) tokens: usize,
    pub(crate) learning_rate: f64,
    pub(crate) gradient: f64,
    pub(crate) loss: f64,
    pub(crate) first: f64,
    pub(crate) second: f64,
}

/// Writes `loss.csv` and `loss.svg`. `first` and `second` are the loss on
/// tokens and on jump targets in stage 1, between builds and against texts in
/// stage 2; of a sequence-to-sequence model the loss on tokens and the share
/// that is copied.
pub(crate) fn write(run: &Path, points: &[Point]) -> Result<()> {
    let mut csv = "stage,step,seconds,tokens,learning_rate,gradient,loss,first,second\n".to_owned();
    for p in points {
        let _ = writeln!(
            csv,
            "{},{},{:.2},{},{:.6e},{:.4},{:.5},{:.5},{:.5}",
            p.stage,
            p.step,
            p.seconds,
            p.tokens,
            p.learning_rate,
            p.gradient,
            p.loss,
            p.first,
            p.second
        );
    }
    files::write(&run.join("loss.csv"), csv.as_bytes())?;
    let svg = draw(points).map_err(|error| Error::Plot(error.to_string()))?;
    files::write(&run.join("loss.svg"), svg.as_bytes())
}

type Value = fn(&Point) -> f64;

fn draw(points: &[Point]) -> std::result::Result<String, Box<dyn std::error::Error>> {
    const STAGES: [(&str, &str, &str); 4] = [
        ("pretrain", "masked tokens", "jump targets"),
        ("contrast", "other build", "text"),
        ("denoise", "hidden tokens", "share copied"),
        ("finetune", "tokens", "share copied"),
    ];
    let both = match points.first().map(|p| p.stage.as_str()) {
        Some("denoise" | "finetune") => &STAGES[2..],
        _ => &STAGES[..2],
    };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (960, 640)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (stage, first, second)) in root.split_evenly((2, 1)).iter().zip(both) {
            let points: Vec<&Point> = points.iter().filter(|p| p.stage == *stage).collect();
            let last = points.last().map_or(1.0, |p| p.step as f64);
            let top = points
                .iter()
                .flat_map(|p| [p.first, p.second])
                .fold(0.1, f64::max);
            let mut chart = ChartBuilder::on(area)
                .caption(format!("{stage}: loss by step"), ("sans-serif", 18))
                .margin(8)
                .x_label_area_size(28)
                .y_label_area_size(44)
                .build_cartesian_2d(0.0..last, 0.0..top)?;
            chart.configure_mesh().light_line_style(WHITE).draw()?;
            let series: [(&str, RGBColor, Value); 2] = [
                (*first, RGBColor(31, 119, 180), |p| p.first),
                (*second, RGBColor(255, 127, 14), |p| p.second),
            ];
            for (name, colour, value) in series {
                chart
                    .draw_series(LineSeries::new(
                        points.iter().map(|p| (p.step as f64, value(p))),
                        colour,
                    ))?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            }
            chart
                .configure_series_labels()
                .background_style(WHITE)
                .draw()?;
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_written_as_csv_and_as_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let points: Vec<Point> = (1..20)
            .map(|step| Point {
                stage: "pretrain".to_owned(),
                step,
                seconds: step as f64,
                tokens: 100,
                learning_rate: 1e-3,
                gradient: 1.0,
                loss: 5.0 / step as f64,
                first: 5.0 / step as f64,
                second: 2.0,
            })
            .collect();
        write(folder.path(), &points).unwrap();
        let csv = std::fs::read_to_string(folder.path().join("loss.csv")).unwrap();
        assert_eq!(csv.lines().count(), 20);
        assert!(
            csv.lines()
                .nth(1)
                .unwrap()
                .starts_with("pretrain,1,1.00,100,")
        );
        let svg = std::fs::read_to_string(folder.path().join("loss.svg")).unwrap();
        assert!(svg.contains("<polyline") && svg.contains("jump targets"));
    }
}
