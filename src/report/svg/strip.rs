//! A low chart of figures beside the loss, for a page that has the colours.

use crate::curve::axis;
use crate::event::Places;
use crate::fmt::{self, xml};
use std::fmt::Write as _;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 96.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 742.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 74.0;

/// One line of figures over the steps.
pub struct Line {
    name: String,
    /// The name of a colour of the page: `train` or `eval`.
    colour: &'static str,
    points: Vec<(u64, f64)>,
}

impl Line {
    /// A strip of these points, each a step and its value.
    pub fn new(name: &str, colour: &'static str, points: Vec<(u64, f64)>) -> Self {
        Self { name: name.to_owned(), colour, points }
    }
}

/// From zero to the highest; `None` where there are no two figures to connect.
pub fn strip(lines: &[Line], places: Places) -> Option<String> {
    let all = || lines.iter().flat_map(|line| &line.points).filter(|point| point.1.is_finite());
    let last = all().map(|point| point.0).max().filter(|last| *last > 0)?;
    let high = all().map(|point| point.1).fold(0.0, f64::max);
    let low = all().map(|point| point.1).fold(0.0, f64::min);
    let longest =
        lines.iter().map(|line| line.points.iter().filter(|point| point.1.is_finite()).count()).max();
    if longest.unwrap_or(0) < 2 || high <= low {
        return None;
    }
    let x = |step: f64| LEFT + (RIGHT - LEFT) * step / last as f64;
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low);
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" font-size=\"12\">\
         <title>{}</title>",
        xml(&names.join(", "))
    );
    for value in [low, high] {
        let (y, label) = (y(value), short(value));
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"var(--grid)\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"var(--faint)\">{label}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    let one = places.one();
    let ticks = axis::ticks(0.0, last as f64 / one, 9);
    for (tick, label) in ticks.iter().zip(axis::labels(&ticks)) {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"var(--faint)\">{label}</text>",
            x(*tick * one),
            BOTTOM + 17.0
        );
    }
    for line in lines {
        let mut data = String::new();
        let mut down = false;
        let drawn = thinned(&line.points);
        for (step, value) in &drawn {
            if value.is_finite() {
                let _ =
                    write!(data, "{}{:.1} {:.1}", if down { 'L' } else { 'M' }, x(*step as f64), y(*value));
            }
            down = value.is_finite();
        }
        let colour = line.colour;
        let _ =
            write!(out, "<path d=\"{data}\" fill=\"none\" stroke=\"var(--{colour})\" stroke-width=\"1.6\"/>");
        // Places to hover over, no more than a reader can aim at.
        for (step, value) in drawn.iter().step_by(drawn.len().div_ceil(120).max(1)) {
            let _ = write!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"transparent\"><title>{}: {} {}</title></circle>",
                x(*step as f64),
                y(*value),
                places.at(*step),
                xml(&line.name),
                short(*value)
            );
        }
    }
    out.push_str("</svg>");
    Some(out)
}

/// A figure that fits beside the plot.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-2 => format!("{value:.1e}"),
        _ => fmt::loss(value),
    }
}

/// Of a long line the lowest and the highest of each stretch, so that no spike is lost.
fn thinned(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let finite: Vec<(u64, f64)> = points.iter().copied().filter(|point| point.1.is_finite()).collect();
    let stretch = finite.len().div_ceil(400).max(1);
    if stretch == 1 {
        return finite;
    }
    let ends = finite.chunks(stretch).flat_map(|part| {
        let low = part.iter().min_by(|a, b| a.1.total_cmp(&b.1)).copied();
        let high = part.iter().max_by(|a, b| a.1.total_cmp(&b.1)).copied();
        let mut ends: Vec<(u64, f64)> = [low, high].into_iter().flatten().collect();
        ends.sort_by_key(|point| point.0);
        ends
    });
    ends.collect()
}
