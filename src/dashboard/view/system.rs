//! The machine and the pace: what the run costs, and where the time to its end goes.

use super::theme::Theme;
use super::{Line, Scene, Span, wrapped};
use crate::dashboard::System;
use crate::fmt;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Cells of a name, of a bar, and of the shortest one that is worth drawing.
const NAME: usize = 10;
const BAR: usize = 20;
const SHORTEST_BAR: usize = 4;

/// As many lines as fit, the most telling first.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, theme: Theme) {
    let width = area.width.saturating_sub(2);
    for (line, row) in lines(scene, usize::from(width), theme).iter().zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, line, width);
    }
}

fn lines<'a>(scene: &Scene<'_>, width: usize, theme: Theme) -> Vec<Line<'a>> {
    let progress = &scene.snapshot.progress;
    let mut lines = Vec::new();
    let mut say = |name: &str, value: String, share: Option<f64>| {
        let mut line = Line::from(vec![Span::styled(format!("{name:<NAME$}"), theme.faint())]);
        // The figure matters more than its bar.
        let bar = width.saturating_sub(NAME + value.chars().count() + 1).min(BAR);
        if let Some(share) = share.filter(|_| bar >= SHORTEST_BAR) {
            let full = ((share * bar as f64).round() as usize).min(bar);
            line.push_span(Span::styled(theme.sign("━", "#").repeat(full), theme.progress()));
            line.push_span(Span::styled(theme.sign("─", "-").repeat(bar - full), theme.faint()));
            line.push_span(" ");
        }
        let mut parts = wrapped(&value, width.saturating_sub(NAME)).into_iter();
        line.push_span(parts.next().unwrap_or_default());
        lines.push(line);
        lines.extend(parts.map(|part| Line::raw(format!("{:NAME$}{part}", ""))));
    };
    let pace = &progress.pace;
    if let Some(rate) = progress.tokens_per_s {
        say("speed", format!("{} tokens/s", fmt::count(rate.max(0.0) as u64)), None);
    }
    if let Some(step) = pace.step_s {
        say("a step", fmt::brief(step), None);
    }
    if let Some(eval) = pace.eval_s {
        say("an eval", fmt::brief(eval), None);
    }
    if let Some(eta) = progress.eta_s.filter(|_| scene.snapshot.ended.is_none()) {
        let training = pace.step_s.unwrap_or(0.0) * pace.steps_left as f64;
        let parts = format!(
            "{}: {} steps {}, {} evals {}",
            fmt::duration(eta),
            pace.steps_left,
            fmt::duration(training),
            pace.evals_left,
            fmt::duration(eta - training)
        );
        say("to go", parts, None);
    }
    let share = |(used, all): (u64, u64)| used as f64 / all.max(1) as f64;
    let of = |(used, all): (u64, u64)| format!("{} of {}", fmt::bytes(used), fmt::bytes(all));
    let unmeasured = System::default();
    let system = scene.system.unwrap_or(&unmeasured);
    if let Some(bytes) = system.process_bytes {
        say("process", fmt::bytes(bytes), None);
    }
    if let Some(memory) = system.memory_bytes {
        // Another process may train elsewhere.
        let place = if system.process_bytes.is_some() { "" } else { ", on this machine" };
        say("memory", of(memory) + place, Some(share(memory)));
    }
    for (index, gpu) in system.gpus.iter().enumerate() {
        let name = format!("gpu {index}");
        if let Some(load) = gpu.load {
            say(&name, format!("{:3.0} %  {}", load * 100.0, theme.text(&gpu.name)), Some(load));
        }
        if let Some(memory) = gpu.memory_bytes {
            say("", of(memory), Some(share(memory)));
        }
    }
    if lines.is_empty() {
        lines.push(Line::styled("nothing is known yet: neither a pace nor the machine", theme.faint()));
    }
    lines
}
