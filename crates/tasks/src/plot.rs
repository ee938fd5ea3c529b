//! Pictures of reports, as SVG.

use std::collections::BTreeSet;

use plotters::prelude::*;

use crate::bootstrap::Value;
use crate::error::Error;
use crate::report::{Figure, Report};

const COLOURS: [RGBColor; 10] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(214, 39, 40),
    RGBColor(140, 86, 75),
    RGBColor(127, 127, 127),
    RGBColor(23, 190, 207),
    RGBColor(188, 189, 34),
    RGBColor(227, 119, 194),
];

type Drawn = Result<String, Box<dyn std::error::Error>>;

impl Report {
    /// What is most worth seeing of this report: figures against pool sizes or
    /// shots as lines, or methods side by side as bars, with their 95 %
    /// intervals; `None` where there is nothing.
    ///
    /// # Errors
    ///
    /// Where a picture cannot be drawn.
    pub fn picture(&self) -> Result<Option<String>, Error> {
        let drawn = if self.task.ends_with("probe") {
            self.lines(
                "accuracy",
                "function",
                |f| Some(f.shots),
                "examples of each label",
            )
        } else {
            match self.task.as_str() {
                "bcsd" => self.lines("recall_1", "levels mean", pool, "functions in the pool"),
                "retrieval" => self.lines("recall_10", "gcc O2", pool, "functions in the pool"),
                _ => self.bars("accuracy"),
            }
        };
        drawn.map_err(|error| Error::Plot(error.to_string()))
    }

    /// A line for each method over the places on the axis that there are; what
    /// has no number stands at its end.
    fn lines(
        &self,
        value: &str,
        comparison: &str,
        place: fn(&Figure) -> Option<Option<usize>>,
        axis: &str,
    ) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let shown = self
            .figures
            .iter()
            .filter(|f| f.comparison == comparison)
            .filter_map(|f| Some((f, place(f)?.unwrap_or(usize::MAX), f.values.get(value)?)));
        let shown: Vec<(&Figure, usize, &Value)> = shown.collect();
        let places: BTreeSet<usize> = shown.iter().map(|(_, place, _)| *place).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let position = |place: &usize| places.range(..place).count();
        let series: Vec<Series<'_>> = self
            .methods()
            .into_iter()
            .map(|name| {
                let own = shown.iter().filter(|(f, _, _)| f.method == name);
                let point = |(_, place, value): &(&Figure, usize, &Value)| {
                    (position(place), value.value, value.interval)
                };
                Series {
                    name,
                    points: own.map(point).collect(),
                }
            })
            .filter(|series| !series.points.is_empty())
            .collect();
        let label = |place: &usize| match *place {
            usize::MAX => "all".to_owned(),
            number => number.to_string(),
        };
        let labels: Vec<String> = places.iter().map(label).collect();
        let description = format!("{}, {comparison}", name_of(value));
        line_chart(&series, &labels, (axis, &description)).map(Some)
    }

    /// A bar for each method and comparison.
    fn bars(&self, value: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
        let bars: Vec<(String, f64, Option<[f64; 2]>, usize)> = self
            .figures
            .iter()
            .filter_map(|figure| {
                let value = figure.values.get(value)?;
                let kind = usize::from(figure.comparison != "function");
                let name = format!("{}, {}", figure.method, figure.comparison);
                Some((name, value.value, value.interval, kind))
            })
            .collect();
        if bars.is_empty() {
            return Ok(None);
        }
        bar_chart(&bars, name_of(value)).map(Some)
    }
}

fn pool(figure: &Figure) -> Option<Option<usize>> {
    Some(Some(figure.pool_actual?))
}

fn name_of(value: &str) -> &str {
    match value {
        "recall_1" => "Recall@1",
        "recall_10" => "Recall@10",
        other => other,
    }
}

/// One method's points: place, value, interval.
struct Series<'m> {
    name: &'m str,
    points: Vec<(usize, f64, Option<[f64; 2]>)>,
}

fn line_chart(
    series: &[Series<'_>],
    labels: &[String],
    (axis, description): (&str, &str),
) -> Drawn {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (960, 460)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .margin_right(260)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d((0..labels.len() - 1).into_segmented(), 0.0..1.0)?;
        let name = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(n) | SegmentValue::Exact(n) => {
                labels.get(*n).cloned().unwrap_or_default()
            }
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .x_labels(labels.len())
            .x_label_formatter(&name)
            .x_desc(axis)
            .y_desc(description)
            .draw()?;
        for (number, one) in series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let line = one
                .points
                .iter()
                .map(|(x, y, _)| (SegmentValue::CenterOf(*x), *y));
            chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
            chart.draw_series(line.map(|point| Circle::new(point, 3, colour.filled())))?;
            let intervals = one.points.iter().filter_map(|(x, _, i)| Some((*x, (*i)?)));
            chart.draw_series(intervals.map(|(x, [low, high])| {
                let ends = [low, high].map(|y| (SegmentValue::CenterOf(x), y));
                PathElement::new(ends.to_vec(), colour.stroke_width(1))
            }))?;
            // Beside the chart, where no line is hidden by it.
            let at = (716, 24 + 20 * number as i32);
            root.draw(&Rectangle::new(
                [at, (at.0 + 14, at.1 + 4)],
                colour.filled(),
            ))?;
            let text = Text::new(
                one.name.to_owned(),
                (at.0 + 20, at.1 - 5),
                ("sans-serif", 14),
            );
            root.draw(&text)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn bar_chart(bars: &[(String, f64, Option<[f64; 2]>, usize)], description: &str) -> Drawn {
    let count = bars.len();
    // A letter of a name takes some five points and a half.
    let longest = bars.iter().map(|bar| bar.0.len()).max().unwrap_or(0) as i32;
    let names = (longest * 11 / 2 + 24).clamp(120, 480);
    let mut svg = String::new();
    {
        let size = (960, 70 + 24 * count as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(names)
            .build_cartesian_2d(0.0..1.0, (0..count - 1).into_segmented())?;
        let name = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(n) | SegmentValue::Exact(n) => bars
                .get(count - 1 - n)
                .map_or_else(String::new, |bar| bar.0.clone()),
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .y_labels(count)
            .y_label_formatter(&name)
            .x_desc(description)
            .draw()?;
        for (at, (_, value, interval, kind)) in bars.iter().rev().enumerate() {
            let ends = [
                (0.0, SegmentValue::Exact(at)),
                (*value, SegmentValue::Exact(at + 1)),
            ];
            let mut bar = Rectangle::new(ends, COLOURS[*kind].filled());
            bar.set_margin(4, 4, 0, 0);
            chart.draw_series([bar])?;
            if let Some([low, high]) = interval {
                let middle = SegmentValue::CenterOf(at);
                let line = vec![(*low, middle.clone()), (*high, middle)];
                chart.draw_series([PathElement::new(line, BLACK.stroke_width(1))])?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(method: &str, comparison: &str, key: &str, at: Option<usize>) -> Figure {
        let value = Value {
            value: 0.5,
            interval: Some([0.4, 0.6]),
            by_package: None,
        };
        Figure {
            method: method.to_owned(),
            comparison: comparison.to_owned(),
            pool_actual: at,
            shots: at,
            values: [(key.to_owned(), value)].into(),
            ..Figure::default()
        }
    }

    #[test]
    fn every_task_has_its_picture() {
        let draw = |task: &str, figures: Vec<Figure>| {
            let report = Report {
                task: task.to_owned(),
                figures,
                ..Report::default()
            };
            report.picture().expect("drawn")
        };
        let pools = [2, 10_000].map(|n| figure("TF-IDF <1>", "levels mean", "recall_1", Some(n)));
        let svg = draw("bcsd", pools.to_vec()).expect("a picture");
        assert!(
            svg.contains("TF-IDF &lt;1&gt;") && svg.contains("Recall@1"),
            "{svg}"
        );
        let shots = [Some(1), Some(16), None].map(|n| figure("probe", "function", "accuracy", n));
        assert!(
            draw("crypto probe", shots.to_vec())
                .expect("one")
                .contains(">\nall\n")
        );
        let bars = ["function", "file"].map(|c| figure("zero-shot", c, "accuracy", None));
        assert!(
            draw("crypto", bars.to_vec())
                .expect("one")
                .contains("zero-shot, file")
        );
        assert!(draw("bcsd", Vec::new()).is_none() && draw("crypto", Vec::new()).is_none());
    }
}
