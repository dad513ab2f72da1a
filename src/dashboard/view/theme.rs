//! Colours and signs, by what they mean. Blue is train and orange is eval, which all kinds of
//! colour-blind eyes tell apart (Okabe and Ito's palette); nothing is said by colour alone.

use crate::dashboard::model::Drawing;
use crate::diagnosis::{Severity, Verdict};
use ratatui::style::{Color, Modifier, Style};
use std::borrow::Cow;

/// What the screen is drawn with.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    color: bool,
    pub drawing: Drawing,
}

/// What a mark on the chart belongs to; later ones are drawn over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The eval curve of another run, by its index.
    Other(u8),
    /// Every training step, behind its average.
    Raw,
    /// The error bars of evaluations.
    Error,
    Train,
    Eval,
}

const BLUE: Color = Color::Indexed(75);
const DEEP_BLUE: Color = Color::Indexed(25);
const ORANGE: Color = Color::Indexed(214);
const BROWN: Color = Color::Indexed(136);
const VERMILLION: Color = Color::Indexed(202);
const GREEN: Color = Color::Indexed(36);
const YELLOW: Color = Color::Indexed(227);
/// Bluish green, reddish purple, yellow and grey, each darker than the run on the screen.
const OTHERS: [Color; 4] =
    [Color::Indexed(30), Color::Indexed(133), Color::Indexed(143), Color::Indexed(102)];
const GREY: Color = Color::Indexed(245);
const BLACK: Color = Color::Indexed(16);

impl Theme {
    pub fn new(color: bool, drawing: Drawing) -> Self {
        Self { color, drawing }
    }

    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    pub fn layer(self, layer: Layer) -> Style {
        match layer {
            Layer::Raw | Layer::Error if !self.color => Style::new().add_modifier(Modifier::DIM),
            Layer::Other(run) => self.layer_of(usize::from(run)),
            Layer::Raw => self.fg(DEEP_BLUE),
            Layer::Error => self.fg(BROWN),
            Layer::Train => self.fg(BLUE),
            Layer::Eval => self.fg(ORANGE),
        }
    }

    /// The eval curve of another run: the third colours of the palette in turn, thin and behind.
    pub fn layer_of(self, run: usize) -> Style {
        if self.color {
            self.fg(OTHERS[run % OTHERS.len()])
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    /// The best point, its line and its name.
    pub fn best(self) -> Style {
        self.fg(GREEN).add_modifier(Modifier::BOLD)
    }

    pub fn onset(self) -> Style {
        self.fg(VERMILLION)
    }

    /// Frames, axes and other furniture.
    pub fn faint(self) -> Style {
        if self.color { self.fg(GREY) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn key(self) -> Style {
        self.strong()
    }

    pub fn warning(self) -> Style {
        self.fg(VERMILLION)
    }

    /// The part of the progress bar that is done.
    pub fn progress(self) -> Style {
        self.fg(BLUE)
    }

    /// The plate that carries the name of the state.
    pub fn plate(self, verdict: Verdict, severity: Severity) -> Style {
        let color = match (severity, verdict) {
            (Severity::Severe, _) => VERMILLION,
            (Severity::Warn, _) => ORANGE,
            (Severity::Watch, _) => YELLOW,
            (Severity::None, Verdict::Healthy) => GREEN,
            (Severity::None, _) => GREY,
        };
        let plate = if self.color {
            Style::new().fg(BLACK).bg(color)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        };
        plate.add_modifier(Modifier::BOLD)
    }

    /// Whether signs beyond ASCII may be used.
    pub fn unicode(self) -> bool {
        self.drawing != Drawing::Ascii
    }

    /// The first sign where the terminal can show it, else the second.
    pub fn sign(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode() { unicode } else { ascii }
    }

    /// Text that the terminal can show.
    pub fn text(self, text: &str) -> Cow<'_, str> {
        if self.unicode() || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let plain = text.replace('±', "+-");
        Cow::Owned(plain.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect())
    }

    /// The sign between two parts of a line.
    pub fn dot(self) -> &'static str {
        self.sign(" · ", " | ")
    }
}
