//! The head of the screen: what runs, on what, how far it has come and how fast.

use super::theme::Theme;
use super::{Line, Scene, Span, fitted, runs};
use crate::dashboard::model::{Phase, Ui};
use crate::dashboard::runs::{STALE_S, Trainer};
use crate::event::{RunEnded, RunInfo, StopReason};
use crate::fmt;
use crate::monitor::{Progress, Snapshot};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// The progress bar is left out where it would be shorter.
const SHORTEST_BAR: usize = 6;
const LONGEST_BAR: usize = 48;
/// Without news for this long, the header says so.
const QUIET_S: u64 = 20;

/// One line or two, as `area` has.
pub fn render(buffer: &mut Buffer, area: Rect, scene: &Scene<'_>, ui: &Ui, theme: Theme) {
    let (snapshot, name) = (&scene.snapshot, theme.text(scene.name()));
    if area.height == 1 {
        let line = compact(scene, &name, ui, area.width, theme);
        buffer.set_line(area.x, area.y, &line, area.width);
        return;
    }
    let mut name = title(&name, theme);
    // Of a run that is trained here those beside it are the background.
    if scene.is_crowded() || scene.runs.len() > 1 && !(ui.owns_run && scene.shown == 0) {
        let place = format!("  run {} of {}", scene.shown + 1, scene.runs.len());
        name.push_span(Span::styled(place, theme.faint()));
    }
    buffer.set_line(area.x + 1, area.y, &name, area.width.saturating_sub(2));
    let room = area.width.saturating_sub(name.width() as u16 + 5);
    let about = Line::from(about(snapshot.run, room, theme)).style(theme.faint());
    let width = about.width() as u16;
    if width > 0 && width <= room {
        buffer.set_line(area.right() - width - 1, area.y, &about, width);
    }
    let line = progress(scene, ui, usize::from(area.width) - 2, theme);
    buffer.set_line(area.x + 1, area.y + 1, &line, area.width - 2);
}

/// Step and share, for the smallest screens.
pub fn brief<'a>(snapshot: &Snapshot<'_>, width: u16) -> Line<'a> {
    let mut parts = vec![vec![Span::raw(steps(snapshot))]];
    if let Some(ended) = snapshot.ended {
        parts.push(vec![Span::raw(why(ended))]);
    } else if let Some(share) = share(&snapshot.progress) {
        parts.push(vec![Span::raw(format!("{:.0}%", share * 100.0))]);
    }
    fitted(parts, "  ", width)
}

fn title<'a>(name: &str, theme: Theme) -> Line<'a> {
    let mut spans = vec![Span::styled("tune", theme.strong())];
    if !name.is_empty() {
        spans.push(Span::raw("  "));
        spans.push(Span::raw(name.to_owned()));
    }
    Line::from(spans)
}

/// Name, step, share and ETA on one line. A long name gives way to the state.
fn compact<'a>(scene: &Scene<'_>, name: &str, ui: &Ui, width: u16, theme: Theme) -> Line<'a> {
    /// Less of a name tells nothing.
    const LEAST_NAME: usize = 8;
    let snapshot = &scene.snapshot;
    let progress = &snapshot.progress;
    let mut parts = Vec::new();
    if scene.runs.len() > 1 {
        let place = format!("{}/{}", scene.shown + 1, scene.runs.len());
        parts.push(vec![Span::styled(place, theme.faint())]);
    }
    let before = parts.len();
    parts.push(vec![Span::styled(state(snapshot, ui), theme.strong())]);
    if snapshot.ended.is_none() {
        if let Some(share) = share(progress) {
            parts.push(vec![Span::raw(format!("{:.0}%", share * 100.0))]);
        }
        if let Some(eta) = eta(progress, ui) {
            parts.push(vec![Span::raw(format!("ETA {eta}"))]);
        }
    }
    parts.push(vec![Span::raw(steps(snapshot))]);
    let needed: usize = parts.iter().take(before + 2).flatten().map(|span| span.width() + 2).sum();
    let room = usize::from(width).saturating_sub(needed);
    let title = title(name, theme);
    if before == 0 && title.width() <= room {
        parts.insert(before, title.spans);
    } else if room >= LEAST_NAME {
        parts.insert(before, vec![Span::raw(runs::shortened(name, room, theme))]);
    }
    fitted(parts, "  ", width)
}

/// What the run is made of, as much as fits.
fn about(run: &RunInfo, width: u16, theme: Theme) -> String {
    let mut parts = Vec::new();
    if let Some(model) = &run.model {
        let sizes = format!("{} {}", model.name, fmt::count(model.params));
        parts.push(if model.trainable > 0 {
            format!("{sizes} + {} trained", fmt::count(model.trainable))
        } else {
            sizes
        });
    }
    if let Some(data) = &run.data {
        let eval = fmt::counted(data.valid_rows, "eval row");
        parts.push(format!("{} train, {eval}", data.train_rows));
    }
    if let Some(model) = &run.model {
        parts.push(model.device.clone());
    }
    if parts.is_empty() && run.trainer != "tune" {
        parts.push(run.trainer.clone());
    }
    parts.retain(|part| !part.is_empty());
    while parts.len() > 1 && Span::raw(parts.join(theme.dot())).width() > usize::from(width) {
        parts.pop();
    }
    parts.join(theme.dot())
}

fn progress<'a>(scene: &Scene<'_>, ui: &Ui, width: usize, theme: Theme) -> Line<'a> {
    let snapshot = &scene.snapshot;
    let progress = &snapshot.progress;
    let mut left = Line::from(Span::styled(state(snapshot, ui), theme.strong()));
    left.push_span(format!("  {}", steps(snapshot)));
    if let Some(epoch) = snapshot.run.places().epoch(progress.epoch).filter(|epoch| *epoch > 0.0) {
        left.push_span(format!("  epoch {epoch:.1}"));
    }
    let mut right = Vec::new();
    if let Some(share) = share(progress) {
        right.push(format!("{:3.0}%", share * 100.0));
    }
    // Most trainers' logs have no times.
    if progress.elapsed_s > 0.0 || ui.owns_run {
        right.push(fmt::clock(progress.elapsed_s + gone_on(ui) as f64));
    }
    if let Some(eta) = eta(progress, ui).filter(|_| snapshot.ended.is_none()) {
        right.push(format!("ETA {eta}"));
    }
    if gone_on(ui) >= QUIET_S {
        right.push(format!("no news for {}", fmt::duration(gone_on(ui) as f64)));
    } else if let Some(rate) = progress.tokens_per_s {
        right.push(format!("{} tok/s", fmt::count(rate.max(0.0) as u64)));
    }
    while right.len() > 1 && left.width() + 2 + right.join("  ").len() > width {
        right.pop();
    }
    let right = right.join("  ");
    let room = width.saturating_sub(left.width() + right.len() + 4).min(LONGEST_BAR);
    if let Some(share) = share(progress).filter(|_| room >= SHORTEST_BAR) {
        let done = ((share * room as f64).round() as usize).min(room);
        left.push_span("  ");
        left.push_span(Span::styled(theme.sign("━", "#").repeat(done), theme.progress()));
        left.push_span(Span::styled(theme.sign("─", "-").repeat(room - done), theme.faint()));
    }
    left.push_span("  ");
    left.push_span(right);
    left
}

/// One word or two: running, ended and why, or on the way there.
fn state(snapshot: &Snapshot<'_>, ui: &Ui) -> String {
    match (snapshot.ended, ui.phase) {
        // That is the session before.
        (Some(_), Phase::Running) if ui.owns_run => "starting".into(),
        (Some(ended), _) => why(ended),
        (None, Phase::Stopping) => "stopping, saving".into(),
        (None, Phase::Finishing) => "stops after the next eval".into(),
        (None, Phase::Ended) => "end of log".into(),
        (None, Phase::Interrupting) if ui.detaching => "saving, to go on in the background".into(),
        (None, Phase::Interrupting) => "interrupted, saving".into(),
        (None, _) if ui.trainer == Trainer::Asked => "asked to stop".into(),
        (None, _) if ui.paused => "PAUSED".into(),
        (None, _) if snapshot.progress.step == 0 && snapshot.curves.eval.is_empty() => "starting".into(),
        (None, _) if is_stale(ui) => format!("no new line for {}", fmt::duration(ui.idle_s as f64)),
        (None, _) => "running".into(),
    }
}

/// Whether nothing has been written for so long that the run may well be over, and nobody can be asked.
fn is_stale(ui: &Ui) -> bool {
    ui.idle_s >= STALE_S && ui.trainer == Trainer::Deaf && !ui.owns_run
}

/// Seconds by which the clocks have gone on since the newest record: none in a pause, or where it may well be over.
fn gone_on(ui: &Ui) -> u64 {
    if ui.paused || is_stale(ui) { 0 } else { ui.idle_s }
}

fn why(ended: &RunEnded) -> String {
    match ended.reason {
        StopReason::Finished => "ended: all steps taken",
        StopReason::EarlyStopping => "ended: early stopping",
        StopReason::Requested => "ended: on request",
        StopReason::Interrupted => "ended: interrupted",
        StopReason::NonFinite => "ended: loss not finite",
    }
    .into()
}

fn steps(snapshot: &Snapshot<'_>) -> String {
    let (progress, places) = (&snapshot.progress, snapshot.run.places());
    format!("{} {}", places.unit(), places.of_all(progress.step, progress.total_steps))
}

fn share(progress: &Progress) -> Option<f64> {
    let total = progress.total_steps.filter(|&total| total > 0)?;
    Some((progress.step as f64 / total as f64).min(1.0))
}

fn eta(progress: &Progress, ui: &Ui) -> Option<String> {
    progress.eta_s.filter(|_| !is_stale(ui)).map(|s| fmt::clock((s - gone_on(ui) as f64).max(0.0)))
}
