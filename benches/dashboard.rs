//! What the dashboard costs: a frame of a run of a million steps, the memory that such a run takes, the
//! first frame, and the share of a training step. `cargo bench --bench dashboard`
//!
//! The bounds are those of the project: 4 ms a frame at 120x40, 50 MB, 50 ms to the first frame, 1 % of a
//! step. Exceeding one is said, and is the exit status.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tune::dashboard::model::{Panel, Ui, Window};
use tune::dashboard::view::{Scene, Theme, render};
use tune::dashboard::{Drawing, Runs, Update};
use tune::event::record::Record;
use tune::event::{EvalStats, Event, RunInfo, StepStats};

const STEPS: u64 = 1_000_000;
const EVAL_EVERY: u64 = 2000;
/// Frames to a median.
const FRAMES: usize = 50;

fn step(step: u64) -> Record {
    let x = step as f64;
    let stats = StepStats {
        step,
        epoch: Some(x / 5e4),
        loss: 2.0 + 2.0 * (-x / 2e5).exp() + ((step * 7919) % 1009) as f64 / 2000.0,
        tokens: 900,
        input_tokens: 1600,
        learning_rate: Some(1e-3 * (1.0 - x / STEPS as f64)),
        grad_norm: Some(1.0 + (step % 17) as f64 / 10.0),
    };
    Record { t: x * 0.1, event: Event::Step(stats) }
}

fn eval(step: u64) -> Record {
    let x = step as f64;
    let loss = 2.2 + 1.9 * (-x / 2e5).exp() + (x - 6e5).max(0.0) / 2e6;
    let stats = EvalStats { step, epoch: Some(x / 5e4), loss, tokens: 5600, ..EvalStats::default() };
    Record { t: x * 0.1, event: Event::Eval(stats) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Resident memory of this process in bytes, where the system says so.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Prints a figure beside its bound; whether it holds.
fn said(what: &str, value: f64, bound: f64, unit: &str) -> bool {
    let holds = value < bound;
    let verdict = if holds { "" } else { "  EXCEEDED" };
    let line = format!("{what:<44} {value:>9.3} {unit}, bound {bound} {unit}{verdict}\n");
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).is_ok() && holds
}

fn main() -> ExitCode {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let before = resident();
    let mut runs = Runs::default();
    runs.apply(Update::Run { id: 0, name: "a million steps".into() });
    let info = RunInfo { total_steps: Some(STEPS), ..RunInfo::default() };
    runs.apply(Update::Record { id: 0, record: Record { t: 0.0, event: Event::RunStarted(Box::new(info)) } });

    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("memory is a terminal");
    let theme = Theme::new(true, Drawing::Braille);
    let mut frame = |runs: &Runs, ui: &Ui| {
        let start = Instant::now();
        let scene = Scene::of(runs, 0);
        let drawn = terminal.draw(|frame| {
            render(frame, frame.area(), scene.as_ref(), ui, theme);
        });
        drawn.expect("memory can be drawn to");
        start.elapsed()
    };
    let first = frame(&runs, &Ui::default());
    let start = Instant::now();
    for at in 1..=STEPS {
        runs.apply(Update::Record { id: 0, record: step(at) });
        if at % EVAL_EVERY == 0 {
            runs.apply(Update::Record { id: 0, record: eval(at) });
        }
    }
    let intake = start.elapsed();
    let grown = before.zip(resident()).map(|(before, after)| after.saturating_sub(before));

    let close = Ui { window: Window::Fixed(4e5, 6e5), cursor: Some(5e5), ..Ui::default() };
    let looks = [("whole", Ui::default()), ("zoomed, with a crosshair", close)];
    let mut holds = said("first frame", ms(first), 50.0, "ms");
    for (name, ui) in looks {
        let times = (0..FRAMES).map(|_| frame(&runs, &Ui { panel: Panel::Events, ..ui.clone() }));
        holds &=
            said(&format!("frame of 1M steps at 120x40, {name}"), ms(median(times.collect())), 4.0, "ms");
    }
    if let Some(bytes) = grown {
        holds &= said("memory that 1M steps and 500 evals take", bytes as f64 / 1e6, 50.0, "MB");
    }
    // Each step is taken in once; what a live run pays in all is benches/dashboard_live.py.
    let a_step = intake.as_secs_f64() / STEPS as f64 * 1e3;
    holds &= said("taking in one step, of a step of 100 ms", a_step, 1.0, "%");
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
