//! What the user has chosen to see, and how far leaving has come: everything that the screen
//! depends on beside the runs. Changed by `update` only.

use super::{Exit, Trainer};

/// The state of the user interface.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, and none excludes another")]
pub struct Ui {
    /// What the x axis counts.
    pub x: XAxis,
    /// How the losses are spread.
    pub y: Scale,
    /// In which unit they are.
    pub unit: Unit,
    /// The line through the training steps.
    pub average: Average,
    /// The part of the x axis on the screen.
    pub window: Window,
    /// Where the crosshair stands, in units of the x axis.
    pub cursor: Option<f64>,
    /// The panel that keys scroll.
    pub panel: Panel,
    /// Whether the panel takes the place of the chart.
    pub tall: bool,
    /// What the events and the output are searched for; empty: nothing.
    pub search: String,
    /// Whether keys are letters of `search`.
    pub typing: bool,
    /// Index of the run on the screen.
    pub shown: usize,
    /// Index of the run that the list points at.
    pub selected: usize,
    /// Runs that Space was pressed on, by index: of few runs the curves of these are left out of the
    /// chart, of many only these are laid over the one on the screen.
    pub marked: Vec<usize>,
    /// How many runs there are.
    pub runs: usize,
    /// Lines scrolled down from the top of the verdict.
    pub verdict_scroll: usize,
    /// Lines scrolled up from the newest event; 0 follows what comes.
    pub event_scroll: usize,
    /// Lines scrolled up from the newest line of output.
    pub output_scroll: usize,
    /// Lines scrolled down from the first sample.
    pub samples_scroll: usize,
    /// The trainer that keys ask for something: that of the run that this process owns, else of the
    /// one on the screen.
    pub trainer: Trainer,
    /// Whether it was asked to wait.
    pub paused: bool,
    /// What became of the last key: a file that was written, a wish that was sent.
    pub notice: Option<String>,
    /// Whether the screen is to be wiped first: something else has written on it.
    pub redraw: bool,
    /// The box over the screen.
    pub popup: Option<Popup>,
    /// How far the run has come, as its user has asked.
    pub phase: Phase,
    /// Whole seconds since the newest record came in: how far the clock has run on without news.
    pub idle_s: u64,
    /// Whether leaving would take the run along: it is trained by this process.
    pub owns_run: bool,
    /// Whether the run of this process can go on without it, in the background.
    pub detaches: bool,
    /// Whether it is to: it saves now, to go on from there.
    pub detaching: bool,
    /// Whether to leave as soon as the run has ended.
    pub leave_at_end: bool,
    /// What the chart is drawn with.
    pub drawing: Drawing,
    /// Whether the terminal has a light background.
    pub light: bool,
    /// Set when the dashboard is to be left now.
    pub exit: Option<Exit>,
    /// What the newest frame found.
    pub extent: Extent,
}

impl Ui {
    /// Whether a line has what is searched for, whatever the case of its letters.
    pub fn finds(&self, line: &str) -> bool {
        self.search.is_empty() || line.to_lowercase().contains(&self.search.to_lowercase())
    }

    /// Whether there is something to see in a panel.
    pub fn has(&self, panel: Panel) -> bool {
        match panel {
            Panel::Verdict | Panel::Events | Panel::System => true,
            Panel::Samples => self.extent.has_samples,
            Panel::Output => self.extent.has_output,
            Panel::Runs => self.runs > 1,
        }
    }
}

/// How much there is to scroll and where things are, as the newest frame found it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// Lines of the verdict that do not fit.
    pub verdict: usize,
    /// Events that do not fit.
    pub events: usize,
    /// Lines of output that do not fit.
    pub output: usize,
    /// Lines of the samples that do not fit.
    pub samples: usize,
    /// Whether there are samples.
    pub has_samples: bool,
    /// Whether there is output.
    pub has_output: bool,
    /// What else the x axis can count, next in turn.
    pub next_x: Option<XAxis>,
    /// Lines of a page.
    pub page: usize,
    /// Where the chart is.
    pub plot: PlotExtent,
}

/// Where the chart is, and which x it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlotExtent {
    /// Its leftmost column on the screen.
    pub left: u16,
    /// Its uppermost row.
    pub top: u16,
    /// Columns from there on.
    pub columns: u16,
    /// Rows from there on.
    pub rows: u16,
    /// The x at its left end.
    pub lo: f64,
    /// The x at its right end.
    pub hi: f64,
    /// The x of the newest point.
    pub newest: f64,
    /// The ends of the chart that shows all.
    pub whole: (f64, f64),
}

impl PlotExtent {
    /// The x of a column of the screen, where it is one of the chart.
    pub fn x_at(&self, column: u16) -> Option<f64> {
        let within = (self.left..self.left + self.columns).contains(&column) && self.columns > 1;
        let share = f64::from(column.saturating_sub(self.left)) / f64::from(self.columns.max(2) - 1);
        within.then_some(self.lo + share * (self.hi - self.lo))
    }

    /// Whether a cell of the screen is one of the chart.
    pub fn contains(&self, column: u16, row: u16) -> bool {
        self.x_at(column).is_some() && (self.top..self.top + self.rows).contains(&row)
    }

    /// How much x a column is.
    pub fn column_width(&self) -> f64 {
        (self.hi - self.lo) / f64::from(self.columns.max(2) - 1)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
/// What the x axis counts.
pub enum XAxis {
    #[default]
    Step,
    Epoch,
    /// Seconds since the start of the run.
    Time,
}

/// How losses are spread along their axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    #[default]
    Linear,
    Log,
}

/// In which unit losses are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// As they are recorded.
    #[default]
    Nats,
    /// Their exponential.
    Perplexity,
}

impl Unit {
    /// A loss in this unit.
    pub fn of(self, loss: f64) -> f64 {
        match self {
            Self::Nats => loss,
            Self::Perplexity => loss.exp(),
        }
    }
}

/// Which line is laid through the training steps; the steps themselves are always drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// The mean between two evaluations, which is what an evaluation compares with.
    #[default]
    Interval,
    /// The mean around each place over a small share of what is on the screen.
    Moving,
    None,
}

/// Which part of the x axis is on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Window {
    /// All of it.
    #[default]
    Whole,
    /// The newest stretch of this length; it moves on as the run does.
    Latest(f64),
    /// From here to there: it stands still.
    Fixed(f64, f64),
}

/// The panels below the chart; the verdict and another are shown where there is room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    #[default]
    Verdict,
    Events,
    /// What the model writes.
    Samples,
    /// The machine and the pace.
    System,
    /// What a foreign trainer prints.
    Output,
    /// All runs, one of which is on the screen.
    Runs,
}

impl Panel {
    /// In the order in which Tab walks through them.
    pub const ALL: [Self; 6] =
        [Self::Verdict, Self::Events, Self::Samples, Self::System, Self::Output, Self::Runs];

    /// As its tab has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict => "Verdict",
            Self::Events => "Events",
            Self::Samples => "Samples",
            Self::System => "System",
            Self::Output => "Output",
            Self::Runs => "Runs",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
/// A box over the screen.
pub enum Popup {
    Help,
    /// Asks what to write to a file.
    Copy,
    /// Asks whether to stop the run, and then to stay or to leave.
    Confirm {
        /// Whether the question is to leave as well.
        leave: bool,
    },
}

/// How far the run has come, as seen from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Running,
    /// Asked to stop; the trainer finishes its step and saves.
    Stopping,
    /// Asked to stop after the next evaluation.
    Finishing,
    /// Asked to stop by Ctrl-C: the same, and the run can be resumed.
    Interrupting,
    Ended,
}

/// What the chart is drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drawing {
    /// Eight dots to a cell.
    #[default]
    Braille,
    /// Two blocks to a cell, for fonts without braille.
    HalfBlock,
    /// Letters and signs only.
    Ascii,
}

impl Drawing {
    /// The best that the terminal can show, told from its name and the locale, where `variable` looks
    /// up what the environment says. The Linux console has no braille in its font.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let console = variable("TERM").is_some_and(|name| name == "linux");
        let named = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| variable(name));
        let locale = named.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        if cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8") {
            if console { Self::HalfBlock } else { Self::Braille }
        } else {
            Self::Ascii
        }
    }
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// What a chart can be drawn with.
    pub drawing: Drawing,
    /// Whether colours may be used at all.
    pub color: bool,
    /// Whether its background is light.
    pub light: bool,
}

impl Capabilities {
    /// As the environment tells, where `variable` looks up what it says.
    pub fn from_environment(color: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        Self { drawing: Drawing::from_environment(&variable), color, light: is_light(&variable) }
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { drawing: Drawing::default(), color: true, light: false }
    }
}

/// Whether the terminal has a light background, as far as its environment tells: `COLORFGBG` ends
/// with the number of the background, of which 7 and 9 to 15 are light.
pub fn is_light(variable: impl Fn(&str) -> Option<String>) -> bool {
    let background = variable("COLORFGBG").and_then(|value| value.rsplit(';').next()?.parse::<u8>().ok());
    background.is_some_and(|number| number == 7 || (9..=15).contains(&number))
}
