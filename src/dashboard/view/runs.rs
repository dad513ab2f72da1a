//! The list of runs: how each stands, and what in its settings differs from the run on the screen.

use super::theme::Theme;
use super::{Line, MOST_CURVES, Scene, Span, wrapped};
use crate::dashboard::model::Ui;
use crate::dashboard::runs::{Run, Trainer};
use crate::diagnosis::Severity;
use crate::fmt;
use crate::monitor::settings::{changed, settings};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::collections::BTreeMap;

/// Columns before the name, and of the verdict behind it; and the least that a name has.
const LEAD: usize = 7;
const VERDICT: usize = 15;
const LEAST_NAME: usize = 14;

/// Draws the part of the list around the run that it points at, and below it the differences.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    let width = area.width.saturating_sub(2);
    let differences = differences(scene, ui, usize::from(width), theme);
    let rows = usize::from(area.height);
    let below = differences.len().min(rows / 2);
    let room = (rows - below).min(scene.runs.len());
    let selected = ui.selected.min(scene.runs.len().saturating_sub(1));
    let first = (selected + 1).saturating_sub(room).min(scene.runs.len() - room);
    let names = told_apart(&scene.runs.iter().map(name).collect::<Vec<_>>());
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let figures: Vec<[String; 3]> = scene.runs.iter().map(figures).collect();
    // What has no room beside the shortest name gives way from the right.
    let mut taken = LEAD + VERDICT;
    let mut widths = Vec::new();
    for column in 0..3 {
        let widest = figures.iter().map(|of| of[column].chars().count()).max().unwrap_or(0);
        if taken + 2 + widest + longest.min(LEAST_NAME) > usize::from(width) {
            break;
        }
        taken += 2 + widest;
        widths.push(widest);
    }
    let columns = longest.min(usize::from(width).saturating_sub(taken).max(LEAST_NAME));
    let lines = (first..first + room).map(|index| {
        let name = format!("{:<columns$}", shortened(&names[index], columns, theme));
        let figures = figures[index].iter().zip(&widths);
        let rest: Vec<String> = figures.map(|(figure, widest)| format!("  {figure:<widest$}")).collect();
        line(scene, index, name, rest.concat(), ui, theme)
    });
    for (line, row) in lines.chain(differences).zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, &line, width);
    }
}

/// The best evaluation, how far the run is, and whether it goes on.
fn figures(run: &Run) -> [String; 3] {
    let snapshot = run.monitor.snapshot();
    let places = snapshot.run.places();
    let best = snapshot.diagnosis.best.and_then(|best| snapshot.curves.eval.get(best));
    [
        best.map_or(String::new(), |best| {
            format!("best {} @ {}", fmt::loss(best.loss), places.number(best.step))
        }),
        places.at(snapshot.progress.step),
        match run.stale_s() {
            Some(idle) => format!("silent {}", fmt::duration(idle as f64)),
            None if snapshot.ended.is_some() => String::new(),
            None if run.gone => "end of log".into(),
            None if run.trainer == Trainer::Paused => "paused".into(),
            None if run.trainer == Trainer::Asked => "asked to stop".into(),
            None => "running".into(),
        },
    ]
}

/// What a run is called.
pub fn name(run: &Run) -> &str {
    let told = run.monitor.snapshot().run.name.as_str();
    [run.name.as_str(), told].into_iter().find(|name| !name.is_empty()).unwrap_or("run")
}

/// What of their names tells runs apart: without the folders that all are in, and without the name of a file
/// that several runs have, each in a folder of its own.
fn told_apart(names: &[&str]) -> Vec<String> {
    let between = |c: char| matches!(c, '/' | '\\');
    let prefix = common(names);
    let names = names.iter().map(|name| &name[prefix..]);
    // How many runs are in a folder or in one below it, and how many have a file of this name.
    let (mut within, mut files) = (BTreeMap::new(), BTreeMap::new());
    for name in names.clone() {
        for (at, _) in name.match_indices(between) {
            *within.entry(&name[..at]).or_insert(0) += 1;
        }
        *files.entry(name.rfind(between).map(|at| &name[at..])).or_insert(0) += 1;
    }
    let told = names.map(|name| match name.rfind(between) {
        Some(at) if within[&name[..at]] == 1 && files[&Some(&name[at..])] > 1 => &name[..at],
        _ => name,
    });
    told.map(str::to_owned).collect()
}

/// Bytes that all names begin with, up to a sign between words; none of one name alone.
fn common(names: &[&str]) -> usize {
    let [first, others @ ..] = names else { return 0 };
    let mut shared = *first;
    for name in others {
        let same = shared.char_indices().zip(name.chars()).take_while(|((_, a), b)| a == b);
        shared = &shared[..same.last().map_or(0, |((at, c), _)| at + c.len_utf8())];
    }
    let between = |c: char| matches!(c, '/' | '\\' | '-' | '_' | '.' | ' ');
    if others.is_empty() { 0 } else { shared.rfind(between).map_or(0, |at| at + 1) }
}

/// The end of a name that is too long: names of one folder differ there.
pub fn shortened(name: &str, columns: usize, theme: Theme) -> String {
    let over = name.chars().count().saturating_sub(columns);
    if over == 0 {
        return name.to_owned();
    }
    theme.sign("…", "~").chars().chain(name.chars().skip(over + 1)).collect()
}

fn line<'a>(
    scene: &Scene<'_>,
    index: usize,
    name: String,
    figures: String,
    ui: &Ui,
    theme: Theme,
) -> Line<'a> {
    let snapshot = scene.runs[index].monitor.snapshot();
    let pointer = if index == ui.selected { theme.sign("▸", ">") } else { " " };
    let shown = index == ui.shown;
    let drawn = shown || scene.others(ui).any(|(other, _)| other == index);
    let curve = if drawn { theme.sign("━", "-") } else { " " };
    let style = if shown { theme.strong() } else { theme.layer_of(index) };
    let (verdict, severity) = (snapshot.diagnosis.verdict, snapshot.diagnosis.severity);
    let plain = severity == Severity::None;
    let standing = if plain { Style::new() } else { theme.plate(verdict, severity) };
    Line::from(vec![
        Span::raw(pointer),
        Span::styled(format!("{:>3} ", index + 1), theme.faint()),
        Span::styled(curve, style),
        Span::raw(" "),
        Span::styled(name, if shown { theme.strong() } else { Style::new() }),
        Span::raw(" "),
        Span::styled(format!(" {verdict:<12} "), standing),
        Span::styled(figures, theme.faint()),
    ])
}

/// What the run that the list points at has other than the one on the screen.
fn differences<'a>(scene: &Scene<'_>, ui: &Ui, width: usize, theme: Theme) -> Vec<Line<'a>> {
    let (Some(shown), Some(other)) = (scene.runs.get(ui.shown), scene.runs.get(ui.selected)) else {
        return Vec::new();
    };
    let drawn = scene.others(ui).any(|(other, _)| other == ui.selected);
    let keys = match () {
        () if ui.shown == ui.selected => "on the screen; Enter shows another",
        () if drawn => "Enter shows it, Space takes its curve away",
        () if scene.others(ui).count() + 1 == MOST_CURVES => "Enter shows it; no more curves fit",
        () => "Enter shows it, Space draws its curve too",
    };
    let mut lines = vec![Line::styled(keys, theme.faint())];
    if ui.shown == ui.selected {
        return lines;
    }
    let (here, there) = (shown.monitor.snapshot().run, other.monitor.snapshot().run);
    let changed = changed(here, there);
    let text = match changed.as_slice() {
        // Nothing is known of either.
        [] if settings(here).iter().all(|(_, value)| value == "-") => return lines,
        [] => format!("settings as in run {}", ui.shown + 1),
        changed => {
            let arrow = theme.sign("→", "->");
            let part = |(key, a, b): &(&str, String, String)| format!("{key} {a} {arrow} {b}");
            format!(
                "against run {}: {}",
                ui.shown + 1,
                changed.iter().map(part).collect::<Vec<_>>().join(", ")
            )
        }
    };
    lines.extend(wrapped(&theme.text(&text), width).into_iter().map(Line::raw));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_what_differs() {
        let told = |names: &[&str]| told_apart(names).join(" ");
        assert_eq!(told(&["logs/a/out.log", "logs/b/out.log", "logs/b/x.csv"]), "a b/out.log b/x.csv");
        assert_eq!(told(&["logs/a/one.log", "logs/b/two.log"]), "a/one.log b/two.log");
        assert_eq!(told(&["job-2026-11-20-aa", "job-2026-11-21-bb"]), "20-aa 21-bb");
        assert_eq!((told(&["logs/a.log"]), told(&[])), ("logs/a.log".into(), String::new()));
    }
}
