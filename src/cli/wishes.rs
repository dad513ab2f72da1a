//! What the user asks of the training thread from outside of it: Ctrl-C, the dashboard's keys, and what
//! [`crate::store::control`] brings from other processes.

use crate::dashboard::{self, Command};
use crate::event::sink::Control;
use crate::event::{Event, Split, StopReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Signals within this time of the first are the same request.
const SAME_REQUEST: Duration = Duration::from_secs(1);
/// A trainer that waits looks up this often.
const LOOK_UP: Duration = Duration::from_millis(50);

/// The wishes, shared by those who have them and the one who fulfils them.
#[derive(Clone, Default)]
pub(super) struct Wishes(Arc<Open>);

/// Those that are not fulfilled yet.
#[derive(Default)]
struct Open {
    /// How the run is to end, from the mildest to the gravest.
    end: AtomicU8,
    save: AtomicBool,
    evaluate: AtomicBool,
    pause: AtomicBool,
}

const NONE: u8 = 0;
const AFTER_EVAL: u8 = 1;
const STOP: u8 = 2;
const INTERRUPT: u8 = 3;

impl Wishes {
    /// Wires up Ctrl-C and the like: the first asks for an orderly end, the second leaves at once.
    pub(super) fn listen(&self) -> anyhow::Result<()> {
        let wishes = self.clone();
        let mut first = None::<Instant>;
        super::signals::on_request(move || {
            wishes.0.end.store(INTERRUPT, Ordering::SeqCst);
            // One request may come as two signals, to the process and to its group.
            if first.get_or_insert_with(Instant::now).elapsed() > SAME_REQUEST {
                dashboard::term::restore();
                std::process::exit(i32::from(super::code::INTERRUPTED));
            }
        })
    }

    /// A key of the dashboard.
    pub(super) fn take(&self, command: Command) {
        let open = &self.0;
        let end = |wish| {
            open.end.fetch_max(wish, Ordering::SeqCst);
        };
        match command {
            Command::StopAfterEval => end(AFTER_EVAL),
            Command::Stop => end(STOP),
            Command::Interrupt => end(INTERRUPT),
            Command::Save => open.save.store(true, Ordering::SeqCst),
            Command::Evaluate => open.evaluate.store(true, Ordering::SeqCst),
            Command::Pause(pause) => open.pause.store(pause, Ordering::SeqCst),
        }
    }

    /// For the time before there is anything to save.
    ///
    /// # Errors
    /// When the user has asked for the end already.
    pub(super) fn check(&self) -> Result<(), super::Failure> {
        if self.0.end.load(Ordering::SeqCst) == NONE {
            return Ok(());
        }
        let error = anyhow::anyhow!("interrupted before the run began, nothing was written");
        Err(super::Failure { code: super::code::INTERRUPTED, error })
    }

    /// What the trainer is to do after an event. A wish to save or to evaluate is heard after a step
    /// only, and is fulfilled with that.
    pub(super) fn answer(&self, event: &Event) -> Control {
        let evaluated = matches!(event, Event::Eval(stats) if stats.split == Split::Valid);
        match self.0.end.load(Ordering::SeqCst) {
            STOP => return Control::Stop(StopReason::Requested),
            AFTER_EVAL if evaluated => return Control::Stop(StopReason::Requested),
            INTERRUPT => return Control::Stop(StopReason::Interrupted),
            _ => {}
        }
        let stepped = matches!(event, Event::Step(_));
        if stepped && self.0.evaluate.swap(false, Ordering::SeqCst) {
            Control::Evaluate
        } else if stepped && self.0.save.swap(false, Ordering::SeqCst) {
            Control::Save
        } else {
            Control::Continue
        }
    }

    /// Whether the user wants the trainer to wait.
    pub(super) fn pauses(&self) -> bool {
        self.0.pause.load(Ordering::SeqCst) && self.0.end.load(Ordering::SeqCst) <= AFTER_EVAL
    }

    /// Waits as long as the user wants the trainer to, and looks around meanwhile; how long that was.
    pub(super) fn wait(&self, look: &mut dyn FnMut()) -> Duration {
        let start = Instant::now();
        while self.pauses() {
            std::thread::sleep(LOOK_UP);
            look();
        }
        start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EvalStats, StepStats};

    #[test]
    fn each_wish_is_fulfilled_once_and_at_its_time() {
        let (step, eval) = (Event::Step(StepStats::default()), Event::Eval(EvalStats::default()));
        let wishes = Wishes::default();
        wishes.take(Command::Save);
        wishes.take(Command::Evaluate);
        assert_eq!(wishes.answer(&eval), Control::Continue);
        assert_eq!(
            [(); 3].map(|()| wishes.answer(&step)),
            [Control::Evaluate, Control::Save, Control::Continue]
        );
        wishes.take(Command::StopAfterEval);
        assert_eq!(wishes.answer(&step), Control::Continue);
        let probe = Event::Eval(EvalStats { split: Split::TrainProbe, ..EvalStats::default() });
        assert_eq!(wishes.answer(&probe), Control::Continue);
        assert_eq!(wishes.answer(&eval), Control::Stop(StopReason::Requested));
        wishes.take(Command::Interrupt);
        wishes.take(Command::Stop);
        assert_eq!(wishes.answer(&step), Control::Stop(StopReason::Interrupted), "the graver wish stays");
    }

    #[test]
    fn a_pause_ends_when_it_is_taken_back_or_the_run_is_to_end() {
        for end in [Command::Pause(false), Command::Stop, Command::Interrupt] {
            let wishes = Wishes::default();
            wishes.take(Command::Pause(true));
            let mut looks = 0;
            wishes.wait(&mut || {
                looks += 1;
                if looks == 2 {
                    wishes.take(end);
                }
            });
            assert_eq!(looks, 2, "{end:?}");
        }
    }
}
