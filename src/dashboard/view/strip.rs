//! Thin strips below the chart, on its x axis: learning rate, gradient norm, and how often the model
//! is right. Each is a row of bars from zero to the highest.

use super::Span;
use super::plot::Plot;
use super::series::{self, Point};
use super::theme::Theme;
use crate::dashboard::model::Unit;
use crate::monitor::Snapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// One strip.
pub enum Strip {
    LearningRate,
    GradNorm,
    /// A figure of the evaluations, by its short name.
    Eval(String, Vec<Figure>),
}

/// A figure at an evaluation: step, epoch, seconds, value.
pub struct Figure {
    step: f64,
    epoch: f64,
    t: f64,
    value: f64,
}

/// Those that there is something to draw for.
pub fn all(snapshot: &Snapshot<'_>) -> Vec<Strip> {
    let curves = snapshot.curves;
    let mut strips = Vec::new();
    let newest = curves.train.last();
    if newest.is_some_and(|point| point.learning_rate().is_some()) {
        strips.push(Strip::LearningRate);
    }
    if newest.is_some_and(|point| point.grad_norm().is_some()) {
        strips.push(Strip::GradNorm);
    }
    let figure = |value: &dyn Fn(&crate::curve::EvalPoint) -> Option<f64>| -> Vec<Figure> {
        let figures = curves.eval.iter().filter_map(|point| {
            let epoch = point.epoch.unwrap_or(f64::NAN);
            Some(Figure { step: point.step as f64, epoch, t: point.t, value: value(point)? })
        });
        figures.collect()
    };
    // A task metric says more than the share of right tokens.
    let metric = curves.eval.last().and_then(|point| point.metrics.first()).map(|metric| metric.name.clone());
    let (name, figures) = match metric {
        Some(name) => {
            let of = |point: &crate::curve::EvalPoint| {
                point.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
            };
            (name.clone(), figure(&of))
        }
        None => ("acc".to_owned(), figure(&|point| point.token_accuracy)),
    };
    if figures.len() > 1 {
        strips.push(Strip::Eval(name, figures));
    }
    strips
}

/// One row: the name, the bars, and up to which value they go.
pub fn render(buffer: &mut Buffer, row: Rect, strip: &Strip, plot: &Plot, theme: Theme) {
    let columns = usize::from(plot.columns);
    let mut heights = vec![f64::NAN; columns];
    let name = match strip {
        Strip::LearningRate => "lr",
        Strip::GradNorm => "grad",
        Strip::Eval(name, _) => name,
    };
    match strip {
        Strip::LearningRate | Strip::GradNorm => {
            for column in &plot.steps {
                let value = match strip {
                    Strip::LearningRate => column.learning_rate.unwrap_or(f64::NAN),
                    _ => column.grad_norm,
                };
                if let Some(cell) = plot.cell(column.x) {
                    let height = &mut heights[usize::from(cell)];
                    *height = height.max(value);
                }
            }
            // A step stands for the columns up to the next one.
            for column in 1..columns {
                let next = plot.steps.last().and_then(|step| plot.cell(step.x)).unwrap_or(0);
                if heights[column].is_nan() && column <= usize::from(next) {
                    heights[column] = heights[column - 1];
                }
            }
        }
        Strip::Eval(_, figures) => {
            let points: Vec<Point> = figures.iter().map(|f| (f.x(plot), Unit::Nats.of(f.value))).collect();
            for (column, height) in heights.iter_mut().enumerate() {
                *height = series::height(&points, plot.x_of(column as u16)).unwrap_or(f64::NAN);
            }
        }
    }
    let highest = heights.iter().copied().filter(|h| h.is_finite()).fold(f64::NAN, f64::max);
    let faint = theme.faint();
    let left = row.x + plot.margin + 1;
    buffer.set_stringn(row.x, row.y, name, usize::from(plot.margin) + 1, faint);
    if highest.is_nan() || highest <= 0.0 {
        return;
    }
    for (column, height) in heights.iter().enumerate().filter(|(_, height)| height.is_finite()) {
        buffer.set_string(left + column as u16, row.y, bar(height / highest, theme), theme.strip());
    }
    let label = format!("{}{}", theme.sign("↑", "^"), figure(highest));
    let room = row.right().saturating_sub(left + plot.columns + 1);
    if usize::from(room) >= Span::raw(&label).width() {
        buffer.set_string(left + plot.columns + 1, row.y, label, faint);
    }
}

/// A figure in at most six columns.
fn figure(value: f64) -> String {
    match value {
        100.0..1e6 => format!("{value:.0}"),
        0.01..100.0 => format!("{value:.2}"),
        _ => {
            let rough = format!("{value:.0e}");
            let exact = format!("{value:.1e}");
            // 1.5e-4 is not 2e-4.
            if rough.parse::<f64>() == exact.parse::<f64>() { rough } else { exact }
        }
    }
}

impl Figure {
    fn x(&self, plot: &Plot) -> f64 {
        match plot.x_kind {
            crate::dashboard::model::XAxis::Step => self.step,
            crate::dashboard::model::XAxis::Epoch => self.epoch,
            crate::dashboard::model::XAxis::Time => self.t,
        }
    }
}

/// A share of a cell's height.
fn bar(share: f64, theme: Theme) -> &'static str {
    const BLOCKS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    const SIGNS: [&str; 8] = ["_", "_", ".", "-", "-", "=", "=", "#"];
    let index = (share * 8.0).ceil().clamp(1.0, 8.0) as usize - 1;
    theme.sign(BLOCKS[index], SIGNS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_fit_beside_the_plot_and_are_not_rounded_up() {
        let figures = [1e-3, 1.5e-4, 0.0123, 1.0, 99.999, 12_345.6, 2.5e7].map(figure);
        assert_eq!(figures, ["1e-3", "1.5e-4", "0.01", "1.00", "100.00", "12346", "2.5e7"]);
    }
}
