//! Pictures of a corpus.

use std::path::Path;

use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::process;
use crate::stats::{Histogram, Stats};

const COLOURS: [RGBColor; 4] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
];

impl Stats {
    /// Writes `lengths.svg`, the distributions of ContraBin's Figure 5, and
    /// `toolchains.svg`, the rows under each toolchain, into a directory.
    pub fn draw(&self, dir: &Path) -> Result<()> {
        let fail = |error: Box<dyn std::error::Error>| Error::Plot(error.to_string());
        let lengths = self.draw_lengths().map_err(fail)?;
        process::write_atomically(&dir.join("lengths.svg"), lengths.as_bytes())?;
        let toolchains = self.draw_toolchains().map_err(fail)?;
        process::write_atomically(&dir.join("toolchains.svg"), toolchains.as_bytes())
    }

    fn draw_lengths(&self) -> std::result::Result<String, Box<dyn std::error::Error>> {
        let shown: Vec<(&str, &Histogram)> = self.lengths.all().into();
        let shown: Vec<_> = shown.into_iter().filter(|(_, h)| h.count > 0).collect();
        let classes = shown.iter().flat_map(|(_, h)| h.classes.keys());
        let longest = classes.max().copied().unwrap_or(2).max(2) as f64;
        let share = |h: &Histogram, n: usize| 100.0 * n as f64 / h.count as f64;
        let highest = shown
            .iter()
            .flat_map(|(_, h)| h.classes.values().map(|n| share(h, *n)))
            .fold(1.0, f64::max);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (960, 420)).into_drawing_area();
            root.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&root)
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(56)
                .build_cartesian_2d((1.0..longest).log_scale(), 0.0..highest * 1.05)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .x_label_formatter(&|length| format!("{length:.0}"))
                .x_desc("characters")
                .y_desc("percent of texts")
                .draw()?;
            for ((name, histogram), colour) in shown.iter().zip(COLOURS) {
                let points = histogram.classes.iter();
                let points = points.map(|(l, n)| (*l as f64, share(histogram, *n)));
                let top = histogram.percentile(0.9).unwrap_or_default();
                chart
                    .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                    .label(format!(
                        "{name}: {} of them, 9 in 10 up to about {top}",
                        histogram.count
                    ))
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE)
                .draw()?;
            root.present()?;
        }
        Ok(svg)
    }

    fn draw_toolchains(&self) -> std::result::Result<String, Box<dyn std::error::Error>> {
        let bars: Vec<(&String, &usize)> = self.rows_by_toolchain.iter().collect();
        let longest = bars.iter().map(|(_, n)| **n).max().unwrap_or(1);
        let height = 60 + 18 * bars.len().max(1) as u32;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (960, height)).into_drawing_area();
            root.fill(&WHITE)?;
            let last = bars.len().max(1);
            let mut chart = ChartBuilder::on(&root)
                .margin(12)
                .x_label_area_size(32)
                .y_label_area_size(280)
                .build_cartesian_2d(
                    0..longest + longest / 20 + 1,
                    (0..last - 1).into_segmented(),
                )?;
            let name = |at: &SegmentValue<usize>| match at {
                SegmentValue::CenterOf(n) | SegmentValue::Exact(n) => bars
                    .get(last - 1 - n)
                    .map_or_else(String::new, |(name, _)| (*name).clone()),
                SegmentValue::Last => String::new(),
            };
            chart
                .configure_mesh()
                .disable_y_mesh()
                .light_line_style(WHITE)
                .y_labels(last)
                .y_label_formatter(&name)
                .x_desc("rows")
                .draw()?;
            chart.draw_series(bars.iter().rev().enumerate().map(|(at, (_, n))| {
                let ends = [
                    (0, SegmentValue::Exact(at)),
                    (**n, SegmentValue::Exact(at + 1)),
                ];
                let mut bar = Rectangle::new(ends, COLOURS[0].filled());
                bar.set_margin(3, 3, 0, 0);
                bar
            }))?;
            root.present()?;
        }
        Ok(svg)
    }
}
