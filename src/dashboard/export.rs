//! What is on the screen as something to keep: the chart's data as CSV, the screen as text or as a
//! picture. Returns text; who asks writes it somewhere.

use crate::curve::{Curves, EvalPoint};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// The series of a run, one row a step or an evaluation, in the order of the steps.
pub fn csv(curves: &Curves) -> String {
    let mut out =
        String::from("series,step,epoch,seconds,loss,tokens,learning_rate,grad_norm,token_accuracy\n");
    let known = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for point in &curves.train {
        let _ = writeln!(
            out,
            "train,{},{},{},{},{},{},{},",
            point.step,
            known(point.epoch()),
            point.t(),
            point.loss,
            point.tokens,
            known(point.learning_rate()),
            known(point.grad_norm())
        );
    }
    let mut evals = |series: &str, points: &[EvalPoint]| {
        for point in points {
            let (epoch, accuracy) = (known(point.epoch), known(point.token_accuracy));
            let (step, t, loss, tokens) = (point.step, point.t, point.loss, point.tokens);
            let _ = writeln!(out, "{series},{step},{epoch},{t},{loss},{tokens},,,{accuracy}");
        }
    };
    evals("eval", &curves.eval);
    evals("train probe", &curves.probe);
    for (name, points) in &curves.others {
        evals(&format!("\"eval {}\"", name.replace('"', "\"\"")), points);
    }
    out
}

/// The screen as lines of text.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in rows(buffer) {
        let line: String = row.iter().map(Cell::symbol).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The screen as a picture, in the colours that it has on a dark terminal or on a light one.
pub fn svg(buffer: &Buffer, light: bool) -> String {
    const CELL: (f64, f64) = (8.4, 17.0);
    const MARGIN: f64 = 10.0;
    let (paper, ink) = if light { ("#ffffff", "#1f2933") } else { ("#11151a", "#d7dde3") };
    let width = f64::from(buffer.area.width) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(buffer.area.height) * CELL.1 + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{paper}\"/>\n"
    );
    for (y, row) in rows(buffer).enumerate() {
        let top = MARGIN + y as f64 * CELL.1;
        let mut column = 0;
        for run in row.chunk_by(|a, b| a.style() == b.style()) {
            let left = MARGIN + column as f64 * CELL.0;
            let wide = run.len() as f64 * CELL.0;
            column += run.len();
            let cell = &run[0];
            let reversed = cell.modifier.contains(Modifier::REVERSED);
            let (mut fg, mut bg) = (hex(cell.fg).unwrap_or(ink.into()), hex(cell.bg));
            if reversed {
                (fg, bg) = (bg.unwrap_or(paper.into()), Some(fg));
            }
            if let Some(bg) = bg {
                let _ = write!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{}\" fill=\"{bg}\"/>",
                    CELL.1
                );
            }
            let text: String = run.iter().map(Cell::symbol).collect();
            if text.trim().is_empty() {
                continue;
            }
            let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            let dim = if cell.modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
            // The length keeps columns in line whatever font the reader has.
            let _ = write!(
                out,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{wide:.1}\" xml:space=\"preserve\" \
                 fill=\"{fg}\"{weight}{dim}>{}</text>",
                top + 13.0,
                crate::fmt::xml(&text)
            );
        }
        out.push('\n');
    }
    out.push_str("</svg>\n");
    out
}

fn rows(buffer: &Buffer) -> impl Iterator<Item = &[Cell]> {
    buffer.content.chunks(usize::from(buffer.area.width).max(1))
}

/// A colour of the 256 as the terminal has it: 16 of its own, a cube of six levels, and greys.
fn hex(color: Color) -> Option<String> {
    let Color::Indexed(index) = color else { return None };
    let level = |i: u8| if i == 0 { 0 } else { 55 + 40 * u32::from(i) };
    let (r, g, b) = match index {
        0..16 => (0, 0, 0),
        16..232 => {
            let i = index - 16;
            (level(i / 36), level(i / 6 % 6), level(i % 6))
        }
        _ => {
            let grey = 8 + 10 * u32::from(index - 232);
            (grey, grey, grey)
        }
    };
    Some(format!("#{r:02x}{g:02x}{b:02x}"))
}
