//! The verdict: the state in one large line, then the evidence in words, then what to change, and what
//! else was noted.

use super::theme::Theme;
use super::{Line, Span, fitted, wrapped};
use crate::dashboard::model::Ui;
use crate::diagnosis::advice::Advice;
use crate::diagnosis::{Evidence, Severity, Verdict};
use crate::monitor::Snapshot;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the verdict; how many of its lines do not fit.
pub fn render(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme) -> usize {
    let width = area.width.saturating_sub(2);
    let mut lines = vec![headline(snapshot, width, theme)];
    lines.extend(reasons(snapshot, usize::from(width), theme));
    let hidden = lines.len().saturating_sub(usize::from(area.height));
    let first = ui.verdict_scroll.min(hidden);
    for (line, row) in lines[first..].iter().zip(area.rows()) {
        buffer.set_line(row.x + 1, row.y, line, width);
    }
    if first < hidden && area.width > 1 {
        let more = theme.sign("▼", "v");
        buffer.set_string(area.right() - 1, area.bottom() - 1, more, theme.faint());
    }
    hidden
}

/// What the state's line has no room for, then why and what to change; how many of these lines do not fit.
pub fn brief(buffer: &mut Buffer, area: Rect, snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme) -> usize {
    let mut lines = reasons(snapshot, usize::from(area.width), theme);
    if headline(snapshot, u16::MAX, theme).width() > usize::from(area.width) {
        lines.splice(0..0, rise(snapshot, theme).map(|words| Line::raw(format!(" {words}"))));
    }
    let hidden = lines.len().saturating_sub(usize::from(area.height));
    for (line, row) in lines[ui.verdict_scroll.min(hidden)..].iter().zip(area.rows()) {
        buffer.set_line(row.x, row.y, line, row.width);
    }
    hidden
}

/// The name of the state on its plate.
pub fn plate(snapshot: &Snapshot<'_>, theme: Theme) -> Span<'static> {
    let diagnosis = snapshot.diagnosis;
    let name = format!(" {} ", diagnosis.verdict.to_string().to_uppercase());
    Span::styled(name, theme.plate(diagnosis.verdict, diagnosis.severity))
}

/// The name of the state on its plate, then since when, how grave, and the rise with its noise.
pub fn headline<'a>(snapshot: &Snapshot<'_>, width: u16, theme: Theme) -> Line<'a> {
    let diagnosis = snapshot.diagnosis;
    let mut parts = vec![vec![plate(snapshot, theme)]];
    let grave = (diagnosis.severity != Severity::None).then(|| diagnosis.severity.to_string());
    let standing: Vec<String> = grave.into_iter().chain(since(snapshot)).collect();
    if !standing.is_empty() {
        parts.push(vec![Span::styled(standing.join(", "), theme.strong())]);
    }
    parts.extend(rise(snapshot, theme).map(|words| vec![Span::raw(words)]));
    fitted(parts, "  ", width)
}

/// How far the eval loss is from its best, or why nothing can be said.
fn rise(snapshot: &Snapshot<'_>, theme: Theme) -> Option<String> {
    let diagnosis = snapshot.diagnosis;
    if let Some(Evidence::SetRise(found)) = diagnosis.findings.first().map(|finding| &finding.evidence) {
        return Some(format!("{} median {:+.1} %", found.set, found.rise.rise * 100.0));
    }
    let rise = match diagnosis.verdict {
        Verdict::Undecided => return diagnosis.undecided.clone(),
        Verdict::Diverged => return None,
        _ => diagnosis.rise?,
    };
    // A run that was cut short has not shown the rest.
    let so_far = if snapshot.cut_short().is_some() { "so far: " } else { "" };
    if diagnosis.verdict == Verdict::Healthy && rise <= 0.0 {
        let find = |index: Option<usize>| index.and_then(|index| snapshot.curves.eval.get(index));
        let (best, last) = (find(diagnosis.best), snapshot.curves.eval.last());
        let above = best.zip(last).map_or(0.0, |(best, last)| last.loss / best.loss - 1.0);
        return Some(if above > 0.0 {
            format!("{so_far}eval median is at its best, the last one {:+.1} %", above * 100.0)
        } else {
            format!("{so_far}eval loss is at its best")
        });
    }
    // In short for the median of the last three, which the findings spell out.
    let noise = diagnosis.noise.unwrap_or(0.0);
    let words = match () {
        () if rise > 1.0 => format!("{:.1} times its best", 1.0 + rise),
        () if rise <= noise => format!("{:+.1} %, within its noise", rise * 100.0),
        () if noise > 0.0 => {
            let assumed = if diagnosis.noise_assumed { " assumed" } else { "" };
            format!("{:+.1} % {} {:.1} %{assumed}", rise * 100.0, theme.sign("±", "+-"), noise * 100.0)
        }
        () => format!("{:+.1} %", rise * 100.0),
    };
    Some(format!("{so_far}eval median {words}"))
}

fn since(snapshot: &Snapshot<'_>) -> Option<String> {
    let places = snapshot.run.places();
    let onset = snapshot.diagnosis.onset.and_then(|i| snapshot.curves.eval.get(i));
    if let Some(onset) = onset {
        return Some(format!("since {}", places.at(onset.step)));
    }
    let first = snapshot.diagnosis.findings.first()?;
    let since = if matches!(first.evidence, Evidence::NonFinite(_)) { "at" } else { "since" };
    first.step().map(|step| format!("{since} {}", places.at(step)))
}

/// What to change, then the evidence of every finding, and the notes: of a low panel the first lines are
/// seen, and the state's own line has told the rise.
fn reasons<'a>(snapshot: &Snapshot<'_>, width: usize, theme: Theme) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for advice in snapshot.advice {
        item(&mut lines, theme.sign("→", ">"), &advice.text, width, theme);
        patch(&mut lines, advice, width, theme);
    }
    for finding in &snapshot.diagnosis.findings {
        item(&mut lines, theme.sign("•", "*"), &finding.message(snapshot.run.places()), width, theme);
    }
    if snapshot.diagnosis.findings.is_empty()
        && let Some(saved) = snapshot.best_saved
    {
        let text = format!("best adapter saved at step {}", saved.step);
        item(&mut lines, theme.sign("•", "*"), &text, width, theme);
    }
    let notes = snapshot.diagnosis.notes(snapshot.curves, snapshot.run.places());
    if !notes.is_empty() {
        lines.push(Line::styled("Also noted", theme.strong()));
    }
    for note in notes {
        item(&mut lines, theme.sign("•", "*"), &note, width, theme);
    }
    lines
}

/// The settings of an advice, ready to be pasted: behind its text where there is room, else below.
fn patch(lines: &mut Vec<Line<'_>>, advice: &Advice, width: usize, theme: Theme) {
    let set = |(key, value): &(String, String)| format!("--set {key}={value}");
    let sets = advice.patch.iter().map(set).collect::<Vec<_>>().join(" ");
    if sets.is_empty() {
        return;
    }
    let sets = Span::styled(sets, theme.strong());
    match lines.last_mut() {
        Some(line) if line.width() + 2 + sets.width() <= width => {
            line.push_span("  ");
            line.push_span(sets);
        }
        _ => lines.push(Line::from(vec![Span::raw("  "), sets])),
    }
}

/// One wrapped paragraph behind a sign.
fn item(lines: &mut Vec<Line<'_>>, sign: &'static str, text: &str, width: usize, theme: Theme) {
    for (i, text) in wrapped(&theme.text(text), width.saturating_sub(2)).into_iter().enumerate() {
        let lead = if i == 0 { sign } else { " " };
        lines.push(Line::from(vec![Span::styled(lead, theme.faint()), Span::raw(" "), Span::raw(text)]));
    }
}
