//! Colours and signs, by what they mean. Blue is train and orange is eval, which all kinds of
//! colour-blind eyes tell apart (after Okabe and Ito's palette), and which differ in luminance too, for
//! eyes and terminals that see none; nothing is said by colour alone.

use crate::dashboard::model::Drawing;
use crate::diagnosis::{Severity, Verdict};
use ratatui::style::{Color, Modifier, Style};
use std::borrow::Cow;

/// What the screen is drawn with.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    color: bool,
    light: bool,
    /// What the chart is drawn with.
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
    /// The evaluations of another validation set than the one that is judged by.
    Set,
    /// The training rows, measured as the held-out ones are.
    Probe,
    Train,
    Eval,
}

/// A colour on a dark background and on a light one.
type Tone = (Color, Color);

const fn tone(dark: u8, light: u8) -> Tone {
    (Color::Indexed(dark), Color::Indexed(light))
}

const BLUE: Tone = tone(33, 19);
const DEEP_BLUE: Tone = tone(25, 110);
const CYAN: Tone = tone(44, 30);
const ORANGE: Tone = tone(214, 166);
const PURPLE: Tone = tone(175, 127);
const BROWN: Tone = tone(136, 180);
const VERMILLION: Tone = tone(202, 160);
const GREEN: Tone = tone(36, 29);
/// Bluish green, reddish purple, yellow and grey, each fainter than the run on the screen.
const OTHERS: [Tone; 4] = [tone(30, 73), tone(133, 176), tone(143, 178), tone(102, 247)];
const GREY: Tone = tone(245, 242);
/// Behind the gap between the curves.
const SHADE: Tone = tone(235, 255);
const BLACK: Color = Color::Indexed(16);
/// The plates, which carry black letters on any background.
const PLATES: [Color; 5] =
    [Color::Indexed(202), Color::Indexed(214), Color::Indexed(227), Color::Indexed(36), Color::Indexed(245)];

impl Theme {
    /// For a dark background.
    pub fn new(color: bool, drawing: Drawing) -> Self {
        Self { color, light: false, drawing }
    }

    /// The same on a light background, or on a dark one.
    #[must_use]
    pub fn on(self, light: bool) -> Self {
        Self { light, ..self }
    }

    fn pick(self, tone: Tone) -> Color {
        if self.light { tone.1 } else { tone.0 }
    }

    fn fg(self, tone: Tone) -> Style {
        if self.color { Style::new().fg(self.pick(tone)) } else { Style::new() }
    }

    /// The same in the gap between the curves.
    pub fn shaded(self, style: Style) -> Style {
        match (self.color, style.fg) {
            (true, _) => style.bg(self.pick(SHADE)),
            (false, None) => style.add_modifier(Modifier::DIM),
            (false, _) => style,
        }
    }

    /// What fills an empty cell of the gap: nothing where a colour is behind it, else now and then a dot.
    pub fn shade_sign(self, column: usize, row: usize) -> char {
        match (self.color, self.unicode()) {
            (false, true) if (column + 2 * row).is_multiple_of(4) => '·',
            (false, false) if (column + 2 * row).is_multiple_of(4) => '\'',
            _ => ' ',
        }
    }

    /// The crosshair, and where it stands.
    pub fn crosshair(self) -> Style {
        self.fg(VERMILLION).add_modifier(Modifier::BOLD)
    }

    /// Something that must not be overlooked.
    pub fn notice(self) -> Style {
        let plate = if self.color {
            Style::new().fg(BLACK).bg(PLATES[2])
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        };
        plate.add_modifier(Modifier::BOLD)
    }

    /// The strips below the chart.
    pub fn strip(self) -> Style {
        if self.color { self.fg(DEEP_BLUE) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// What belongs to this layer of the chart.
    pub fn layer(self, layer: Layer) -> Style {
        match layer {
            Layer::Raw | Layer::Error | Layer::Other(_) if !self.color => {
                Style::new().add_modifier(Modifier::DIM)
            }
            Layer::Other(run) => self.layer_of(usize::from(run)),
            Layer::Raw => self.fg(DEEP_BLUE),
            Layer::Error => self.fg(BROWN),
            Layer::Set => self.fg(PURPLE),
            Layer::Probe => self.fg(CYAN),
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

    /// The line at the turn, and its name.
    pub fn onset(self) -> Style {
        self.fg(VERMILLION)
    }

    /// Frames, axes and other furniture.
    pub fn faint(self) -> Style {
        if self.color { self.fg(GREY) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// What is to be read first.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The name of a key.
    pub fn key(self) -> Style {
        self.strong()
    }

    /// Something that went wrong.
    pub fn warning(self) -> Style {
        self.fg(VERMILLION)
    }

    /// The part of the progress bar that is done.
    pub fn progress(self) -> Style {
        self.fg(BLUE)
    }

    /// The plate that carries the name of the state.
    pub fn plate(self, verdict: Verdict, severity: Severity) -> Style {
        let [severe, warn, watch, fine, unknown] = PLATES;
        let color = match (severity, verdict) {
            (Severity::Severe, _) => severe,
            (Severity::Warn, _) => warn,
            (Severity::Watch, _) => watch,
            (Severity::None, Verdict::Healthy) => fine,
            (Severity::None, _) => unknown,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of a colour of the 6x6x6 cube or of the greys, as WCAG 2 defines it.
    fn luminance(color: Color) -> f64 {
        let Color::Indexed(index @ 16..) = color else { panic!("{color:?} is what the user made it") };
        let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
        let cube = index.wrapping_sub(16);
        let [r, g, b] = match index {
            232.. => [8 + 10 * (index - 232); 3],
            _ => [level(cube / 36), level(cube / 6 % 6), level(cube % 6)],
        };
        let linear = |value: u8| {
            let share = f64::from(value) / 255.0;
            if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    fn contrast(a: f64, b: f64) -> f64 {
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn train_and_eval_differ_in_luminance_and_are_seen_on_their_background() {
        for light in [false, true] {
            let theme = Theme::new(true, Drawing::Braille).on(light);
            let of = |layer| luminance(theme.layer(layer).fg.unwrap());
            let (train, eval) = (of(Layer::Train), of(Layer::Eval));
            assert!(contrast(train, eval) > 1.8, "light {light}: {}", contrast(train, eval));
            let background = if light { 1.0 } else { 0.0 };
            for line in [train, eval] {
                assert!(contrast(line, background) > 3.0, "light {light}: {}", contrast(line, background));
            }
            // The raw steps stay behind their average.
            assert!(contrast(of(Layer::Raw), background) < contrast(train, background), "light {light}");
        }
    }
}
