//! The picture of a run: train and eval loss on one step axis, as a self-contained SVG.
//!
//! Drawn on a card of its own, so that it reads the same on a light and on a dark page; no scripts,
//! no fonts but the reader's. Colours are Okabe & Ito's (2008), which colour-blind readers tell apart.

mod frame;
mod strip;

pub use strip::{Line, strip};

use crate::curve::{Curves, EvalPoint, TrainPoint};
use crate::diagnosis::{Verdict, paired};
use crate::event::Places;
use crate::fmt::{self, xml};
use crate::monitor::Snapshot;
use crate::report::text;
use frame::{BOTTOM, Frame, LEFT, RIGHT, TOP, WIDTH};
use std::fmt::Write as _;

/// Darker than [`EVAL`], for eyes and printers that know no colours.
const TRAIN: &str = "#00508f";
const EVAL: &str = "#d55e00";
/// The other evaluation sets.
const SETS: &str = "#9c4a7e";
/// How their lines are broken, in turn.
const DASHES: [&str; 3] = ["none", "7 3", "2 3"];
const INK: &str = "#1f2933";
const FAINT: &str = "#6b7785";
const BEST: &str = "#00664f";

/// The chart of a run as it stands.
pub fn chart(snapshot: &Snapshot) -> String {
    let curves = snapshot.curves;
    let frame = Frame::around(curves, snapshot.progress.step, snapshot.run.places());
    let best = snapshot.diagnosis.best.and_then(|index| curves.eval.get(index));
    let onset = snapshot.diagnosis.onset.and_then(|index| curves.eval.get(index));
    let mut out = frame::open(&title(snapshot));
    heading(&mut out, snapshot);
    match frame {
        Some(frame) => {
            frame.grid(&mut out);
            gap(&mut out, &frame, curves);
            raw_train(&mut out, &frame, &curves.train);
            interval_means(&mut out, &frame, &curves.eval);
            marks(&mut out, &frame, best, onset);
            other_sets(&mut out, &frame, curves);
            evals(&mut out, &frame, curves, snapshot.diagnosis.best);
            mark_labels(&mut out, &frame, best, onset);
            legend(&mut out, curves);
        }
        None => frame::text(&mut out, (WIDTH / 2.0, 220.0), "middle", FAINT, 14, "no finite loss yet"),
    }
    out.push_str("</svg>\n");
    out
}

/// The same chart in the colours of the page that it stands in, which has them as variables.
pub fn inline(snapshot: &Snapshot) -> String {
    let named = [
        ("#ffffff", "var(--paper)"),
        ("#fff\"", "var(--paper)\""),
        ("#d5dbe1", "var(--line)"),
        ("#e4e8ec", "var(--grid)"),
        (TRAIN, "var(--train)"),
        (EVAL, "var(--eval)"),
        (SETS, "var(--sets)"),
        (INK, "var(--ink)"),
        (FAINT, "var(--faint)"),
        (BEST, "var(--best)"),
    ];
    named.iter().fold(chart(snapshot), |chart, (colour, name)| chart.replace(colour, name))
}

fn title(snapshot: &Snapshot) -> String {
    let name = if snapshot.run.name.is_empty() { "run" } else { &snapshot.run.name };
    match &snapshot.run.model {
        Some(model) => format!("{name}: {}", model.name),
        None => name.into(),
    }
}

/// Title and verdict, with the gravest finding in words under them.
fn heading(out: &mut String, snapshot: &Snapshot) {
    let _ = write!(
        out,
        "<text x=\"{LEFT}\" y=\"30\" font-size=\"17\" font-weight=\"600\" fill=\"{INK}\">{}</text>",
        xml(&title(snapshot))
    );
    let colour = match snapshot.diagnosis.verdict {
        Verdict::Healthy => BEST,
        Verdict::Undecided => FAINT,
        _ => EVAL,
    };
    frame::text(out, (LEFT, 51.0), "start", colour, 13, &text::verdict(snapshot));
    let message = snapshot
        .diagnosis
        .findings
        .first()
        .map_or(String::new(), |finding| finding.message(snapshot.run.places()));
    let mut lines = wrapped(&message, 110);
    if lines.len() > 2 {
        lines.truncate(2);
        lines[1].push('…');
    }
    for (row, line) in lines.iter().enumerate() {
        frame::text(out, (LEFT, 69.0 + 16.0 * row as f64), "start", FAINT, 12, line);
    }
}

/// Lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// The distance between the curves, lightly shaded where both are known.
fn gap(out: &mut String, frame: &Frame, curves: &Curves) {
    let both = |p: &&EvalPoint| p.loss.is_finite() && p.train_loss.is_some_and(f64::is_finite);
    let known: Vec<&EvalPoint> = curves.eval.iter().filter(both).collect();
    if known.len() < 2 {
        return;
    }
    let upper = known.iter().map(|p| frame.point(p.step, p.loss));
    let lower = known.iter().rev().map(|p| frame.point(p.step, p.train_loss.unwrap_or(p.loss)));
    let points: Vec<String> = upper.chain(lower).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(out, "<polygon points=\"{}\" fill=\"{EVAL}\" fill-opacity=\"0.07\"/>", points.join(" "));
}

/// Every step, faint. More steps than pixels are drawn as the lowest and highest of each column, so
/// that no spike is lost.
fn raw_train(out: &mut String, frame: &Frame, train: &[TrainPoint]) {
    let mut points: Vec<(f64, f64)> = train.iter().map(|p| frame.point(p.step, p.loss)).collect();
    if points.len() as f64 > 2.0 * (RIGHT - LEFT) {
        points = points.chunk_by(|a, b| a.0 as u64 == b.0 as u64).flat_map(extremes).collect();
    }
    path(out, &points, &format!("stroke=\"{TRAIN}\" stroke-opacity=\"0.28\" stroke-width=\"1\""));
}

/// Of the points in one column of pixels the highest and lowest in their order, and a point that
/// is none, if there is one.
fn extremes(column: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let indices = (0..column.len()).filter(|i| column[*i].1.is_finite());
    let lowest = indices.clone().min_by(|a, b| column[*a].1.total_cmp(&column[*b].1));
    let highest = indices.max_by(|a, b| column[*a].1.total_cmp(&column[*b].1));
    let broken = column.iter().position(|point| !point.1.is_finite());
    let mut kept: Vec<usize> = [lowest, highest, broken].into_iter().flatten().collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| column[index]).collect()
}

fn interval_means(out: &mut String, frame: &Frame, eval: &[EvalPoint]) {
    let points: Vec<(f64, f64)> =
        eval.iter().filter_map(|p| p.train_loss.map(|loss| frame.point(p.step, loss))).collect();
    path(out, &points, &format!("stroke=\"{TRAIN}\" stroke-width=\"2\""));
}

/// The best as a dashed line, the onset as a dashed line upright.
fn marks(out: &mut String, frame: &Frame, best: Option<&EvalPoint>, onset: Option<&EvalPoint>) {
    let mut dashed = |x1: f64, y1: f64, x2: f64, y2: f64, style: &str| {
        let _ = write!(
            out,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke-width=\"1.2\" {style}/>"
        );
    };
    if let Some(best) = best {
        let (x, y) = frame.point(best.step, best.loss);
        dashed(LEFT, y, RIGHT, y, &format!("stroke=\"{BEST}\" stroke-dasharray=\"5 4\""));
        dashed(x, y, x, BOTTOM, &format!("stroke=\"{BEST}\" stroke-dasharray=\"2 3\""));
    }
    if let Some(onset) = onset {
        let x = frame.point(onset.step, onset.loss).0;
        dashed(x, TOP, x, BOTTOM, &format!("stroke=\"{FAINT}\" stroke-dasharray=\"5 4\""));
    }
}

/// What the marks are: the best at the foot of the plot, the onset at its head, so that the two
/// never meet; each on the side where there is room. Drawn over the curves.
fn mark_labels(out: &mut String, frame: &Frame, best: Option<&EvalPoint>, onset: Option<&EvalPoint>) {
    let side = |x: f64| if x > RIGHT - 140.0 { ("end", x - 8.0) } else { ("start", x + 8.0) };
    if let Some(best) = best {
        let (x, y) = frame.point(best.step, best.loss);
        frame::text(out, (RIGHT + 9.0, y + 4.0), "start", BEST, 12, &fmt::fixed(best.loss, 3));
        // The line of an onset close behind must not strike it through.
        let crossed = onset.is_some_and(|onset| (0.0..120.0).contains(&(frame.point(onset.step, 0.0).0 - x)));
        let (anchor, x) = if crossed && x > LEFT + 110.0 { ("end", x - 8.0) } else { side(x) };
        frame::text(
            out,
            (x, BOTTOM - 8.0),
            anchor,
            BEST,
            12,
            &format!("best, {}", frame.places.at(best.step)),
        );
    }
    if let Some(onset) = onset {
        let (anchor, x) = side(frame.point(onset.step, onset.loss).0);
        frame::text(
            out,
            (x, TOP + 12.0),
            anchor,
            FAINT,
            12,
            &format!("onset, {}", frame.places.at(onset.step)),
        );
    }
}

/// The evaluations of the other sets, a line each.
fn other_sets(out: &mut String, frame: &Frame, curves: &Curves) {
    for ((_, points), dashes) in curves.others.iter().zip(DASHES.iter().cycle()) {
        let points: Vec<(f64, f64)> = points.iter().map(|p| frame.point(p.step, p.loss)).collect();
        path(out, &points, &format!("stroke=\"{SETS}\" stroke-width=\"1.6\" stroke-dasharray=\"{dashes}\""));
    }
}

/// The evaluations: a line, points, and bars of one standard error of the difference from the best.
fn evals(out: &mut String, frame: &Frame, curves: &Curves, best: Option<usize>) {
    let points: Vec<(f64, f64)> = curves.eval.iter().map(|p| frame.point(p.step, p.loss)).collect();
    for (index, point) in curves.eval.iter().enumerate() {
        let Some(best) = best.filter(|best| *best != index).and_then(|best| curves.eval.get(best)) else {
            continue;
        };
        let Some(paired::Difference { error, .. }) = paired::difference(&best.examples, &point.examples)
        else {
            continue;
        };
        let (x, low) = frame.point(point.step, point.loss - error);
        let (_, high) = frame.point(point.step, point.loss + error);
        let (left, right) = (x - 2.5, x + 2.5);
        let _ = write!(
            out,
            "<path d=\"M{x:.1} {low:.1}V{high:.1}M{left:.1} {low:.1}H{right:.1}M{left:.1} {high:.1}H{right:.1}\" \
             stroke=\"{EVAL}\" stroke-opacity=\"0.55\" fill=\"none\"/>"
        );
    }
    path(out, &points, &format!("stroke=\"{EVAL}\" stroke-width=\"2.4\""));
    // A dot each, while there is room for dots.
    let fill = if points.len() <= 80 { EVAL } else { "transparent" };
    let every = points.len().div_ceil(HOVERED).max(1);
    for ((x, y), point) in points.iter().zip(&curves.eval).step_by(every).filter(|(at, _)| at.1.is_finite()) {
        let title = xml(&told(point, frame.places));
        let _ = write!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.8\" fill=\"{fill}\"><title>{title}</title></circle>"
        );
    }
    if let Some(best) = best.and_then(|best| points.get(best)) {
        let _ = write!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5.5\" fill=\"#fff\" stroke=\"{BEST}\" stroke-width=\"2.2\"/>",
            best.0, best.1
        );
    }
}

/// Places to hover over, no more than a reader can aim at.
const HOVERED: usize = 400;

/// One evaluation in words, for whoever points at it.
fn told(point: &EvalPoint, places: Places) -> String {
    let mut words = format!("{}: eval {}", places.with_epoch(point.step, point.epoch), fmt::loss(point.loss));
    if let Some(train) = point.train_loss {
        let _ = write!(words, ", train {}", fmt::loss(train));
    }
    words
}

fn legend(out: &mut String, curves: &Curves) {
    let with_errors = curves.eval.iter().any(|point| !point.examples.is_empty());
    let eval = text::eval_name(curves);
    let eval =
        if with_errors { format!("{eval}, with the error of its distance from the best") } else { eval };
    let train = [(0.35, "train, each step"), (1.0, "mean between evals")];
    let train = train.map(|(opacity, label)| (TRAIN, opacity, DASHES[0], label.to_owned()));
    let train = train.into_iter().filter(|_| !curves.train.is_empty());
    let eval = (!curves.eval.is_empty()).then_some((EVAL, 1.0, DASHES[0], eval));
    let sets = curves.others.iter().zip(DASHES.iter().cycle());
    let sets = sets.map(|((name, _), dashes)| (SETS, 1.0, *dashes, format!("eval {name}")));
    let mut x = LEFT;
    for (colour, opacity, dashes, label) in train.chain(eval).chain(sets) {
        let end = x + 20.0;
        // Room for a wide font, as the reader's is not known.
        let next = end + 30.0 + 6.8 * label.chars().count() as f64;
        if next > WIDTH + 20.0 {
            frame::text(out, (x, 410.0), "start", FAINT, 12, "…");
            break;
        }
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" y1=\"406\" x2=\"{end:.1}\" y2=\"406\" stroke=\"{colour}\" \
             stroke-opacity=\"{opacity}\" stroke-width=\"2.4\" stroke-dasharray=\"{dashes}\"/>"
        );
        frame::text(out, (end + 6.0, 410.0), "start", INK, 12, &label);
        x = next;
    }
}

/// A line through the points, broken where one is not finite.
fn path(out: &mut String, points: &[(f64, f64)], style: &str) {
    let mut data = String::new();
    let mut down = false;
    for (x, y) in points {
        if y.is_finite() {
            let _ = write!(data, "{}{x:.1} {y:.1}", if down { 'L' } else { 'M' });
        }
        down = y.is_finite();
    }
    if !data.is_empty() {
        let _ = write!(out, "<path d=\"{data}\" fill=\"none\" stroke-linejoin=\"round\" {style}/>");
    }
}
