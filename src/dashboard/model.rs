//! What the user has chosen to see, and how far leaving has come: everything that the screen
//! depends on beside the runs. Changed by `update` only.

use super::Exit;

/// The state of the user interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ui {
    pub x: XAxis,
    pub y: Scale,
    pub panel: Panel,
    /// Index of the run on the screen.
    pub shown: usize,
    /// Index of the run that the list points at.
    pub selected: usize,
    /// Runs whose curves are left out of the chart, by index.
    pub hidden: Vec<usize>,
    /// How many runs there are.
    pub runs: usize,
    /// Lines scrolled down from the top of the verdict.
    pub verdict_scroll: usize,
    /// Lines scrolled up from the newest event; 0 follows what comes.
    pub event_scroll: usize,
    pub popup: Option<Popup>,
    pub phase: Phase,
    /// Whole seconds since the newest record came in: how far the clock has run on without news.
    pub idle_s: u64,
    /// Whether leaving would take the run along: it is trained by this process.
    pub owns_run: bool,
    /// Whether to leave as soon as the run has ended.
    pub leave_at_end: bool,
    /// Set when the dashboard is to be left now.
    pub exit: Option<Exit>,
    pub extent: Extent,
}

/// How much there is to scroll, as the newest frame found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Lines of the verdict that do not fit.
    pub verdict: usize,
    /// Events that do not fit.
    pub events: usize,
    /// Lines of a page.
    pub page: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XAxis {
    #[default]
    Step,
    Epoch,
}

/// How losses are spread along their axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    #[default]
    Linear,
    Log,
}

/// The panels below the chart; the verdict and another are shown where there is room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    #[default]
    Verdict,
    Events,
    /// All runs, one of which is on the screen.
    Runs,
}

impl Panel {
    /// In the order in which Tab walks through them.
    pub const ALL: [Self; 3] = [Self::Verdict, Self::Events, Self::Runs];

    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict => "Verdict",
            Self::Events => "Events",
            Self::Runs => "Runs",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popup {
    Help,
    /// Asks whether to stop the run, and then to stay or to leave.
    Confirm {
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
    /// The best that the locale allows, told from the variables that name it, where
    /// `variable` looks one up.
    pub fn from_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| variable(name));
        let locale = named.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        if cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8") {
            Self::Braille
        } else {
            Self::Ascii
        }
    }
}
