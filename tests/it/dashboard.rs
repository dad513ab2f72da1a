//! Screens of the dashboard, drawn into memory: what they look like, and that no size breaks them.

mod header;
mod keys;
mod sets;
mod stories;
mod viewport;

use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::{Frame, Terminal};
use std::time::{Duration, Instant};
use stories::{
    crowd, crowd_with, diverged, empty, full, healthy, machine, overfitting, several, several_with_examples,
};
use tune::dashboard::model::{Average, Extent, Panel, Phase, Popup, Scale, Ui, Unit, Window, XAxis};
use tune::dashboard::view::{Scene, Theme, render, tick};
use tune::dashboard::{Drawing, Runs, Trainer, Update, export};
use tune::event::record::Record;
use tune::event::{Event, Note, NoteLevel, StepStats};
use tune::monitor::Snapshot;

/// A run by itself.
fn lone<'a>(snapshot: &Snapshot<'a>) -> Scene<'a> {
    Scene { snapshot: *snapshot, runs: &[], shown: 0, system: None }
}

fn draw(snapshot: &Snapshot<'_>, ui: &Ui, theme: Theme, size: (u16, u16)) -> (String, Extent) {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let mut extent = Extent::default();
    let frame = terminal
        .draw(|frame| extent = render(frame, frame.area(), Some(&lone(snapshot)), ui, theme))
        .unwrap();
    (text(frame.buffer), extent)
}

fn draw_scene(scene: Option<&Scene<'_>>, ui: &Ui, size: (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let theme = Theme::new(true, Drawing::Braille);
    let frame = terminal
        .draw(|frame| {
            render(frame, frame.area(), scene, ui, theme);
        })
        .unwrap();
    text(frame.buffer)
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let rows = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn screen(snapshot: &Snapshot<'_>, ui: &Ui, size: (u16, u16)) -> String {
    draw(snapshot, ui, Theme::new(true, Drawing::Braille), size).0
}

/// One snapshot file a screen: `tests/snapshots/dashboard-NAME-WIDTHxHEIGHT.snap`.
fn assert_screens(name: &str, snapshot: &Snapshot<'_>, ui: &Ui) {
    snapshots(|| {
        for (width, height) in [(120, 40), (80, 24), (40, 12)] {
            let screen = screen(snapshot, ui, (width, height));
            insta::assert_snapshot!(format!("dashboard-{name}-{width}x{height}"), screen);
        }
    });
}

/// Snapshots where all of them are kept.
fn snapshots(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(check);
}

fn running() -> Ui {
    Ui { owns_run: true, trainer: Trainer::Listening, ..Ui::default() }
}

fn ended() -> Ui {
    Ui { phase: Phase::Ended, ..running() }
}

#[test]
fn a_healthy_run() {
    assert_screens("healthy", &healthy().snapshot(), &running());
}

#[test]
fn an_overfitted_run() {
    assert_screens("overfitting", &overfitting().snapshot(), &ended());
}

#[test]
fn a_diverged_run() {
    assert_screens("diverged", &diverged().snapshot(), &ended());
}

/// Every panel, at three sizes to a file, in three states.
#[test]
fn every_panel_in_every_state() {
    let machine = machine();
    let stories =
        [("healthy", 0.0, healthy()), ("overfitting", 0.75, overfitting()), ("diverged", 0.1, diverged())];
    for (name, recited, story) in &stories {
        let runs = full(name, *recited);
        let judged = story.snapshot();
        let scene = Scene::of(&runs, 0).unwrap();
        let (diagnosis, advice, log) = (judged.diagnosis, judged.advice, judged.log);
        let snapshot = Snapshot { diagnosis, advice, log, ..scene.snapshot };
        let scene = Scene { system: Some(&machine), snapshot, ..scene };
        for panel in Panel::ALL {
            let ui = Ui { panel, runs: 2, ..Ui::default() };
            let screens = [(120, 40), (80, 24), (40, 12)].map(|size| {
                let screen = draw_scene(Some(&scene), &ui, size);
                let state = name.to_uppercase();
                assert!(
                    screen.contains(&state) && screen.contains("train") && screen.contains("eval"),
                    "{screen}"
                );
                format!("{}x{}\n{screen}", size.0, size.1)
            });
            let file = format!("panel-{}-{name}", panel.name().to_lowercase());
            snapshots(|| insta::assert_snapshot!(file, screens.join("\n\n")));
        }
        let tall = Ui { panel: Panel::Samples, tall: true, runs: 2, ..Ui::default() };
        let screen = draw_scene(Some(&scene), &tall, (100, 40));
        for words in [
            "trained on: recited",
            "held out: recited",
            "Where is my <parcel>?",
            "(nothing)",
            &name.to_uppercase(),
        ] {
            assert!(screen.contains(words), "{words} is missing:\n{screen}");
        }
    }
}

#[test]
fn the_output_is_searched() {
    let runs = full("healthy", 0.0);
    let scene = Scene::of(&runs, 0).unwrap();
    let ui = Ui { panel: Panel::Output, search: "LOSS': 2.7".into(), typing: true, runs: 2, ..Ui::default() };
    let screen = draw_scene(Some(&scene), &ui, (120, 40));
    assert!(
        screen.contains("[05]") && !screen.contains("[17]") && screen.contains("/LOSS': 2.7"),
        "{screen}"
    );
    let none = Ui { search: "no such words".into(), panel: Panel::Events, ..ui };
    assert!(draw_scene(Some(&scene), &none, (80, 24)).contains("no event has that"));
}

#[test]
fn what_is_on_the_screen_can_be_kept() {
    let runs = full("overfitting", 0.75);
    let scene = Scene::of(&runs, 0).unwrap();
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let theme = Theme::new(true, Drawing::Braille);
    let ui = Ui { panel: Panel::Samples, tall: true, runs: 2, ..Ui::default() };
    let buffer = terminal
        .draw(|frame| {
            render(frame, frame.area(), Some(&scene), &ui, theme);
        })
        .unwrap()
        .buffer
        .clone();
    assert_eq!(export::text(&buffer).lines().count(), 40);
    let csv = export::csv(scene.snapshot.curves);
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 1 + 560 + 21);
    assert!(rows.iter().all(|row| row.matches(',').count() == 8), "{csv}");
    assert!(
        rows[1].starts_with("train,1,0.0178") && rows[561].starts_with("eval,0,0,"),
        "{} {}",
        rows[1],
        rows[561]
    );
    for light in [false, true] {
        let svg = export::svg(&buffer, light);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("OVERFITTING"));
        assert!(svg.contains("Where is my &lt;parcel&gt;?"), "not escaped");
        if let Some(folder) = std::env::var_os("TUNE_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join(format!("screen-{light}.svg")), svg).unwrap();
        }
    }
}

#[test]
fn every_way_to_look_at_the_chart() {
    let story = overfitting();
    let plot = draw(&story.snapshot(), &ended(), Theme::new(true, Drawing::Braille), (120, 40)).1.plot;
    assert_eq!((plot.lo, plot.hi, plot.newest, plot.whole), (0.0, 560.0, 560.0, (0.0, 560.0)));
    let ui = Ui { extent: Extent { plot, ..Extent::default() }, ..ended() };
    let crosshair = Ui { cursor: Some(251.0), ..ui.clone() };
    let shown = screen(&story.snapshot(), &crosshair, (120, 40));
    for words in ["step 251", "train 0.9", "5 steps)", "eval 2.453 @ step 252", "lr 1.00e-3", "grad 1.000"] {
        assert!(shown.contains(words), "{words} is missing:\n{shown}");
    }
    let close = Ui { window: Window::Fixed(150.0, 200.0), ..ui.clone() };
    let shown = screen(&story.snapshot(), &close, (120, 40));
    assert!(shown.contains("STANDS STILL at step 150–200, f follows"), "{shown}");
    assert_screens("overfitting-close", &story.snapshot(), &close);
    let perplexity = Ui { unit: Unit::Perplexity, average: Average::Moving, ..ui.clone() };
    let shown = screen(&story.snapshot(), &perplexity, (120, 40));
    assert!(shown.contains("perplexity, moving average") && shown.contains("best 10.58"), "{shown}");
    let time = Ui { x: XAxis::Time, window: Window::Latest(60.0), ..ui };
    let shown = screen(&story.snapshot(), &time, (120, 40));
    assert!(shown.contains("1:30") && shown.contains("time") && shown.contains("the latest"), "{shown}");
    // Without colours the gap is dotted.
    let plain = Theme::new(false, Drawing::HalfBlock);
    assert!(draw(&story.snapshot(), &ended(), plain, (80, 24)).0.contains('·'));
}

#[test]
fn several_runs() {
    let runs = several();
    let ui = Ui { runs: 3, selected: 1, panel: Panel::Runs, ..Ui::default() };
    let scene = Scene::of(&runs, 0).unwrap();
    let screens = |ui: &Ui| [(120, 40), (80, 24), (40, 12)].map(|size| draw_scene(Some(&scene), ui, size));
    for screen in screens(&ui) {
        assert!(screen.contains("train") && screen.contains("HEALTHY"), "{screen}");
    }
    let [wide, narrow, _] = screens(&ui);
    for screen in [&wide, &narrow] {
        assert!(screen.contains("▸  2 ━"), "the pointer is missing:\n{screen}");
    }
    assert!(narrow.contains("learning rate 1e-3 → 2e-3"), "{narrow}");
    let without = draw_scene(Some(&scene), &Ui { marked: vec![1, 2], ..ui }, (80, 24));
    // The list itself shows what is hidden: only what is above it counts.
    let above =
        |screen: &str| screen.lines().take_while(|line| !line.contains("── Verdict")).collect::<String>();
    assert_ne!(above(&without), above(&narrow), "hidden curves must not be drawn");
    assert!(draw_scene(None, &Ui::default(), (80, 24)).contains("waiting for a run"));
    snapshots(|| insta::assert_snapshot!("dashboard-several-120x40", wide));
}

#[test]
fn other_runs_have_error_bars_where_their_rows_are_known() {
    let ui = Ui { runs: 3, ..Ui::default() };
    let screen = |known: &[usize]| {
        draw_scene(Some(&Scene::of(&several_with_examples(known), 0).unwrap()), &ui, (120, 40))
    };
    let [none, own, other] = [&[][..], &[0], &[1]].map(screen);
    assert!(none != own && none != other && own != other, "{other}");
}

#[test]
fn many_runs_are_a_list_to_pick_from() {
    let runs = crowd();
    let scene = Scene::of(&runs, 10).unwrap();
    let ui = Ui { runs: 12, shown: 10, selected: 2, panel: Panel::Runs, tall: true, ..Ui::default() };
    for (size, words) in [
        ((120, 40), "▸  3   300-rows   overfitting    best 2.359 @ 168  step 560\n"),
        ((80, 24), "   11 ━ 1100-rows  healthy        best 2.388 @ 280  step 300  running"),
        ((40, 12), "▸  3   300-rows   overfitting"),
    ] {
        let screen = draw_scene(Some(&scene), &ui, size);
        assert!(screen.contains(words), "{words:?} is missing:\n{screen}");
    }
    assert!(draw_scene(Some(&scene), &ui, (80, 24)).contains("run 11 of 12"));
    assert!(draw_scene(Some(&scene), &ui, (40, 12)).starts_with("11/12  quickstart  running"));
    let mut waiting = crowd();
    waiting.apply(Update::Trainer { id: 10, trainer: Trainer::Paused });
    waiting.apply(Update::Gone { id: 0 });
    let screen = draw_scene(Some(&Scene::of(&waiting, 10).unwrap()), &ui, (80, 24));
    assert!(screen.contains("step 300  paused") && screen.contains("step 300  end of log"), "{screen}");
    // None is laid over another before it is asked for; then those, as many as can be told apart.
    let curves = |marked: &[usize]| {
        let ui = Ui { marked: marked.to_vec(), ..ui.clone() };
        let screen = draw_scene(Some(&scene), &ui, (120, 40));
        screen.lines().filter(|line| line.contains("-rows ") && line.contains('━')).count()
    };
    assert_eq!([&[][..], &[2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]].map(curves), [1, 2, 8]);
    // What is laid over is seen, however much worse it is.
    let over = Ui { marked: vec![2], panel: Panel::Verdict, tall: false, ..ui.clone() };
    let screen = draw_scene(Some(&Scene::of(&crowd_with(3.0), 10).unwrap()), &over, (120, 40));
    assert!(screen.lines().any(|line| line.ends_with(" 3")), "no number at its end:\n{screen}");
    // A log that is not seen to grow does not run for all that can be known.
    let idle = Scene::of(&runs, 0).unwrap();
    let ui = Ui { shown: 0, idle_s: runs.list()[0].idle_s, ..ui };
    let screen = draw_scene(Some(&idle), &ui, (80, 24));
    assert!(screen.contains("no new line for 3h") && !screen.contains("ETA"), "{screen}");
}

#[test]
fn the_clocks_run_on_as_in_a_new_frame() {
    let monitors = several();
    let theme = Theme::new(true, Drawing::Braille);
    for (width, height) in [(120, 40), (80, 24), (40, 12), (30, 8)] {
        let area = Rect::new(0, 0, width, height);
        let scene = Scene::of(&monitors, 0).unwrap();
        let frame = |idle_s| {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            let ui = Ui { idle_s, ..running() };
            let draw = |frame: &mut Frame<'_>| {
                render(frame, area, Some(&scene), &ui, theme);
            };
            terminal.draw(draw).unwrap().buffer.clone()
        };
        for idle_s in [75, 4000] {
            let mut kept = frame(2);
            tick(&mut kept, area, &scene, &Ui { idle_s, ..running() }, theme);
            assert_eq!(kept, frame(idle_s));
            assert_eq!(kept != frame(2), height >= 9, "{width} by {height}");
        }
    }
}

#[test]
fn a_log_that_has_long_been_silent_is_not_said_to_be_running() {
    let monitors = several();
    let scene = Scene::of(&monitors, 0).unwrap();
    let state = |ui: Ui| draw_scene(Some(&scene), &ui, (120, 40));
    let idle = Ui { idle_s: 3 * 3600, ..Ui::default() };
    assert!(state(Ui { idle_s: 30, ..idle.clone() }).contains("running"));
    let silent = state(idle.clone());
    assert!(silent.contains("no new line for 3h 00m") && !silent.contains(" running"), "{silent}");
    assert!(state(Ui { owns_run: true, ..idle }).contains("running"), "a step may take long");
}

#[test]
fn how_long_a_run_has_been_silent_is_told_by_its_source_and_by_the_clock() {
    let record = |step| {
        let event = Event::Step(StepStats { step, loss: 1.0, ..StepStats::default() });
        Update::Record { id: 0, record: Record { t: 0.0, event } }
    };
    let (start, mut runs) = (Instant::now(), Runs::default());
    let at = |seconds| start + Duration::from_secs(seconds);
    runs.apply(record(1));
    runs.tick(at(100));
    runs.tick(at(130));
    assert_eq!((runs.get(0).unwrap().idle_s, runs.get(0).unwrap().stale_s()), (30, None));
    runs.apply(Update::Written { id: 0, age: Duration::from_secs(80) });
    runs.tick(at(130));
    runs.tick(at(130 + 600));
    assert_eq!(runs.get(0).unwrap().stale_s(), Some(80 + 600));
    runs.apply(Update::Trainer { id: 0, trainer: Trainer::Listening });
    assert_eq!(runs.get(0).unwrap().stale_s(), None, "whoever can be asked is there");
    runs.apply(record(2));
    runs.tick(at(2000));
    assert_eq!(runs.get(0).unwrap().idle_s, 0);
    runs.apply(Update::Gone { id: 0 });
    runs.tick(at(9000));
    assert_eq!(runs.get(0).unwrap().idle_s, 0, "nothing is waited for");
}

#[test]
fn before_the_first_record_it_says_what_it_waits_for_and_why() {
    let mut monitor = empty();
    let text = "its figures are called acc and wer. ".repeat(3);
    monitor.apply(&Record { t: 0.0, event: Event::Note(Note { level: NoteLevel::Warning, text }) });
    let screen = screen(&monitor.snapshot(), &running(), (80, 24));
    for words in ["starting", "waiting for the first step", "UNDECIDED", "train", "eval", "acc and wer."] {
        assert!(screen.contains(words), "{words} is missing:\n{screen}");
    }
}

#[test]
fn other_drawings_axes_and_panels() {
    let story = overfitting();
    let ascii = Theme::new(false, Drawing::Ascii);
    for ui in [
        ended(),
        Ui { y: Scale::Log, x: XAxis::Epoch, panel: Panel::Events, ..running() },
        Ui { popup: Some(Popup::Help), ..running() },
        Ui { popup: Some(Popup::Confirm { leave: true }), ..running() },
        Ui { popup: Some(Popup::Copy), typing: true, search: "a".into(), ..running() },
        Ui { panel: Panel::System, tall: true, ..running() },
    ] {
        let (screen, _) = draw(&story.snapshot(), &ui, ascii, (80, 24));
        assert!(screen.is_ascii(), "{screen}");
    }
    let ui = Ui { y: Scale::Log, x: XAxis::Epoch, panel: Panel::Events, ..ended() };
    assert_screens("overfitting-log-epochs-events", &story.snapshot(), &ui);
    assert_screens("help", &story.snapshot(), &Ui { popup: Some(Popup::Help), ..running() });
}

#[test]
fn every_question_at_every_size() {
    let story = healthy();
    for (name, popup) in [("confirm", Popup::Confirm { leave: true }), ("copy", Popup::Copy)] {
        let ui = Ui { popup: Some(popup), detaches: true, ..running() };
        assert_screens(&format!("question-{name}"), &story.snapshot(), &ui);
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let story = overfitting();
    for (color, expected) in [(true, true), (false, false)] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let theme = Theme::new(color, Drawing::Braille);
        let frame = terminal
            .draw(|frame| {
                render(frame, frame.area(), Some(&lone(&story.snapshot())), &ended(), theme);
            })
            .unwrap();
        let coloured = frame.buffer.content.iter().any(|c| c.fg != Color::Reset || c.bg != Color::Reset);
        assert_eq!(coloured, expected);
    }
}

#[test]
fn no_size_breaks_the_screen() {
    let (overfitting, diverged, empty) = (overfitting(), diverged(), empty());
    let stories = [
        (overfitting.snapshot(), "OVERFITTING"),
        (diverged.snapshot(), "DIVERGED"),
        (empty.snapshot(), "UNDECIDED"),
    ];
    let popups = [None, Some(Popup::Help), Some(Popup::Confirm { leave: true }), Some(Popup::Copy)];
    let drawings = [Drawing::Braille, Drawing::HalfBlock, Drawing::Ascii];
    for width in 0..=130 {
        for height in 0..=45 {
            // Every size once, every combination of the rest somewhere.
            let turn = usize::from(width) * 7 + usize::from(height);
            let (story, verdict) = &stories[turn % 3];
            let popup = popups[turn / 3 % 7 % 4];
            let panel = Panel::ALL[turn % 6];
            let window = [Window::Whole, Window::Latest(100.0), Window::Fixed(20.0, 30.0)][turn / 5 % 3];
            let cursor = (turn % 4 == 0).then_some(turn as f64);
            let (x, unit, average) = (
                [XAxis::Step, XAxis::Epoch, XAxis::Time][turn / 2 % 3],
                [Unit::Nats, Unit::Perplexity][turn / 4 % 2],
                [Average::Interval, Average::Moving, Average::None][turn / 6 % 3],
            );
            let viewed = Ui { x, unit, average, window, cursor, tall: turn % 11 == 0, ..running() };
            let ui = Ui { popup, panel, event_scroll: turn, verdict_scroll: turn, ..viewed };
            let theme = Theme::new(true, drawings[turn / 7 % 3]);
            let (screen, _) = draw(story, &ui, theme, (width, height));
            if width >= 40 && height >= 12 && popup.is_none() {
                let upright = Ui { verdict_scroll: 0, ..ui };
                let (upright, _) = draw(story, &upright, theme, (width, height));
                assert!(screen.contains("train") && screen.contains("eval"), "{width}x{height}\n{screen}");
                assert!(upright.contains(verdict), "{width}x{height}\n{upright}");
            }
        }
    }
}

#[test]
fn a_very_small_terminal_still_says_what_matters() {
    let screen = screen(&overfitting().snapshot(), &ended(), (20, 5));
    assert_eq!(screen.lines().next(), Some(" OVERFITTING"));
    assert!(screen.contains("train 0.36 eval 3.00"), "{screen}");
}
