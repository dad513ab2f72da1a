//! The loop as a whole, on the embedded base and a handful of short rows.

use super::*;
use crate::config::{Dtype, Schedule};
use crate::data::Dataset;
use crate::data::encode::TokenizerFiles;
use crate::event::{CheckpointRole, StepStats};
use crate::model::lora::{Adapter, AdapterConfig};
use crate::model::{BUILTIN, base};
use candle_core::Device;
use std::path::Path;

/// Rows of different lengths; every token after the second carries loss.
fn rows(count: u32, salt: u32) -> Vec<Example> {
    (0..count)
        .map(|row| {
            let ids: Vec<u32> =
                (0..8 + row % 5).map(|i| 40 + (i * 37 + row * 101 + salt * 13) % 900).collect();
            Example { loss_mask: (0..ids.len()).map(|i| i > 1).collect(), ids }
        })
        .collect()
}

fn config() -> Config {
    let mut config = Config::default();
    config.lora.r = 4;
    config.lora.dropout = 0.1;
    config.train.steps = Some(9);
    config.train.batch_size = 2;
    config.train.schedule = Schedule::Constant;
    config.train.learning_rate = 5e-3;
    config.eval.every_steps = Some(3);
    config.probe.rows = 4;
    config.probe.prompts = 2;
    config.probe.max_tokens = 5;
    config
}

struct Bench {
    config: Config,
    model: CausalLm,
    dataset: Dataset,
    encoder: Encoder,
}

impl Bench {
    fn new(config: Config) -> Self {
        let model = CausalLm::load(BUILTIN, Dtype::F32, 64, &Device::Cpu).unwrap();
        let splits = Splits { train: rows(7, 1), valid: rows(3, 2), test: rows(2, 3) };
        let dataset = Dataset { splits, ..Dataset::default() };
        let encoder = Encoder::new(TokenizerFiles {
            tokenizer: base::TOKENIZER.as_bytes(),
            tokenizer_config: Some(base::TOKENIZER_CONFIG),
            ..TokenizerFiles::default()
        });
        Self { config, model, dataset, encoder: encoder.unwrap() }
    }

    fn fresh(&self) -> State {
        let adapter = AdapterConfig::new(&self.config.lora).unwrap();
        let adapter = Adapter::new(adapter, &self.model.spec, self.config.train.seed, &Device::Cpu).unwrap();
        State::new(adapter, self.config.train.weight_decay).unwrap()
    }

    fn folders(dir: &Path) -> Folders {
        Folders {
            best: dir.join("best"),
            last: dir.join("last"),
            state: dir.join("state"),
            base: BUILTIN.into(),
        }
    }

    fn run(&self, dir: &Path, state: State, resumed: bool, sink: &mut dyn Sink) -> RunEnded {
        let Self { config, model, dataset, encoder } = self;
        let folders = &Self::folders(dir);
        let augmenter = Augmenter::new(config, encoder, dataset).unwrap();
        let splits = &dataset.splits;
        let job = Job { config, model, splits, augmenter, encoder, folders, info: RunInfo::default() };
        train(job, state, resumed, sink).unwrap()
    }
}

/// Collects events and says stop after the event of one step.
struct StopsAt {
    step: u64,
    reason: StopReason,
    events: Vec<Event>,
}

impl Sink for StopsAt {
    fn emit(&mut self, event: &Event) -> Control {
        self.events.push(event.clone());
        match event {
            Event::Step(stats) if stats.step == self.step => Control::Stop(self.reason),
            _ => Control::Continue,
        }
    }
}

fn steps(events: &[Event]) -> Vec<StepStats> {
    events
        .iter()
        .filter_map(|event| if let Event::Step(stats) = event { Some(*stats) } else { None })
        .collect()
}

fn evals(events: &[Event], split: Split) -> Vec<&EvalStats> {
    events
        .iter()
        .filter_map(|e| if let Event::Eval(eval) = e { Some(eval) } else { None })
        .filter(|e| e.split == split)
        .collect()
}

#[test]
fn a_run_learns_evaluates_on_its_cadence_and_keeps_its_best() {
    let bench = Bench::new(config());
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    let ended = bench.run(dir.path(), bench.fresh(), false, &mut events);
    assert!(matches!(events[0], Event::RunStarted(_)));
    assert!(matches!(events.last(), Some(Event::RunEnded(_))));
    assert_eq!(ended.reason, StopReason::Finished);
    assert_eq!(steps(&events).len(), 9);
    let valid = evals(&events, Split::Valid);
    assert_eq!(valid.iter().map(|eval| eval.step).collect::<Vec<_>>(), [0, 3, 6, 9]);
    assert!(valid[3].loss < valid[0].loss, "nothing was learnt");
    assert_eq!(valid[0].examples.len(), 3);
    assert_eq!(valid[0].tokens, valid[0].examples.iter().map(|e| u64::from(e.tokens)).sum::<u64>());
    let lowest = valid.iter().map(|eval| eval.loss).fold(f64::INFINITY, f64::min);
    assert_eq!(ended.best.unwrap().loss, lowest);
    assert_eq!(evals(&events, Split::Test)[0].step, ended.best.unwrap().step);
    // Seven rows in batches of two: three whole batches and one of a single row.
    assert_eq!(steps(&events)[3].tokens, {
        let epoch = crate::data::batch::Batches::new(&bench.dataset.splits.train, 2, 0).epoch(0);
        bench.dataset.splits.train[epoch.rows(3)[0]].loss_tokens() as u64
    });
    for folder in ["best", "last"] {
        assert!(dir.path().join(folder).join("adapter_model.safetensors").exists());
    }
}

#[test]
fn the_probe_is_measured_as_the_held_out_rows_are() {
    let bench = Bench::new(config());
    let mut events = Vec::new();
    bench.run(tempfile::tempdir().unwrap().path(), bench.fresh(), false, &mut events);
    let (probe, valid) = (evals(&events, Split::TrainProbe), evals(&events, Split::Valid));
    let at = |evals: &[&EvalStats]| evals.iter().map(|eval| eval.step).collect::<Vec<_>>();
    assert_eq!(at(&probe), at(&valid));
    assert!(probe.iter().all(|eval| eval.examples.len() == 4 && eval.tokens == probe[0].tokens));
    // The rows that are learnt get better faster than those that are not.
    let gained = |evals: &[&EvalStats]| evals[0].loss - evals[3].loss;
    assert!(gained(&probe) > gained(&valid), "{} and {}", gained(&probe), gained(&valid));
    let first = |split| {
        let found =
            |event: &Event| matches!(event, Event::Eval(eval) if eval.split == split && eval.step == 3);
        events.iter().position(found).unwrap()
    };
    assert!(first(Split::TrainProbe) < first(Split::Valid));
}

#[test]
fn what_is_learnt_by_heart_is_recited_and_what_is_held_out_is_not() {
    let mut config = config();
    config.lora.r = 32;
    config.train.steps = Some(60);
    config.eval.every_steps = Some(60);
    config.probe.prompts = 9;
    let bench = Bench::new(config);
    let mut events = Vec::new();
    bench.run(tempfile::tempdir().unwrap().path(), bench.fresh(), false, &mut events);
    let generated: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Generated(generated) = event { Some(generated) } else { None })
        .collect();
    let kinds: Vec<_> = generated.iter().map(|g| (g.step, g.split, g.prompts)).collect();
    let (train, valid) = (Split::TrainProbe, Split::Valid);
    assert_eq!(kinds, [(0, train, 7), (0, valid, 3), (60, train, 7), (60, valid, 3)]);
    let [before, _, recited, skill] = generated[..] else { unreachable!() };
    assert_eq!((before.exact, before.overlap), (0.0, 0.0));
    assert!(recited.exact > 0.5 && recited.overlap >= recited.exact, "{recited:?}");
    assert!(recited.chrf > skill.chrf);
    assert_eq!((skill.exact, skill.samples.len()), (0.0, 3));
    let exact = recited.samples.iter().filter(|sample| sample.output == sample.reference).count();
    assert_eq!(exact as f64 / 7.0, recited.exact);
}

#[test]
fn the_same_seed_gives_the_same_curve_bit_for_bit() {
    let run = |seed| {
        let mut config = config();
        config.train.seed = seed;
        let bench = Bench::new(config);
        let mut events = Vec::new();
        bench.run(tempfile::tempdir().unwrap().path(), bench.fresh(), false, &mut events);
        events
    };
    let (first, second, other) = (run(1), run(1), run(2));
    assert_eq!(first, second);
    assert_ne!(steps(&first), steps(&other));
}

/// A run whose training rows are varied in every way, from a file of questions and answers.
fn augmented() -> Bench {
    let mut config = config();
    let folder = tempfile::tempdir().unwrap();
    config.data.train = folder.path().join("train.jsonl");
    config.data.valid = crate::config::Holdout::Rows(3);
    let row = |i| {
        let prompt = format!("What is the number of house {i}, please? We would like to know it.");
        serde_json::json!({"prompt": prompt, "completion": format!("It is {}.", 7 * i)}).to_string()
    };
    std::fs::write(&config.data.train, (0..10).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    config.augment.word_dropout = 0.2;
    config.augment.typos = 0.2;
    config.augment.lowercase = 0.2;
    config.augment.neftune_noise_alpha = 5.0;
    let mut bench = Bench::new(config);
    bench.dataset = crate::data::load(&bench.config.data, &bench.encoder).unwrap();
    bench
}

#[test]
fn augmentation_changes_what_is_trained_on_and_nothing_that_is_judged_by() {
    let run = |change: fn(&mut Config)| {
        let mut bench = augmented();
        change(&mut bench.config);
        let mut events = Vec::new();
        bench.run(tempfile::tempdir().unwrap().path(), bench.fresh(), false, &mut events);
        events
    };
    let off = run(|config| config.augment = crate::config::Augment::default());
    for on in [
        run(|_| ()),
        run(|config| config.augment.neftune_noise_alpha = 0.0),
        run(|config| {
            config.augment = crate::config::Augment { neftune_noise_alpha: 5.0, ..Default::default() };
        }),
    ] {
        // Before the first step there is only the judgement.
        for split in [Split::Valid, Split::TrainProbe] {
            assert_eq!(evals(&on, split)[0], evals(&off, split)[0]);
        }
        assert_ne!(steps(&on)[0].loss, steps(&off)[0].loss);
        for (on, off) in steps(&on).iter().zip(steps(&off)) {
            assert_eq!(on.tokens, off.tokens, "tokens that carry loss");
        }
    }
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_curve() {
    for bench in [Bench::new(config()), augmented()] {
        goes_on_to_the_same_curve(&bench);
    }
}

fn goes_on_to_the_same_curve(bench: &Bench) {
    let whole_dir = tempfile::tempdir().unwrap();
    let mut whole = Vec::new();
    bench.run(whole_dir.path(), bench.fresh(), false, &mut whole);
    // In the middle of an interval, right at an evaluation, and at the last step.
    for at in [1, 4, 6, 8] {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = StopsAt { step: at, reason: StopReason::Interrupted, events: vec![] };
        let ended = bench.run(dir.path(), bench.fresh(), false, &mut sink);
        assert_eq!((ended.reason, ended.step, ended.restored_best), (StopReason::Interrupted, at, false));
        let state = Bench::folders(dir.path()).load(bench.fresh()).unwrap().unwrap();
        assert_eq!(state.step, at);
        let mut rest = Vec::new();
        bench.run(dir.path(), state, true, &mut rest);
        assert_eq!(rest[0], Event::RunResumed(Resumed { step: at }));
        let expected =
            whole.iter().position(|event| matches!(event, Event::Step(s) if s.step == at + 1)).unwrap();
        assert_eq!(rest[1..], whole[expected..], "resumed after step {at}");
        for folder in ["best", "last"] {
            let bytes =
                |dir: &Path| std::fs::read(dir.join(folder).join("adapter_model.safetensors")).unwrap();
            assert_eq!(bytes(dir.path()), bytes(whole_dir.path()), "{folder}, resumed after step {at}");
        }
    }
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let run = |batch_size, accumulation| {
        let mut config = config();
        config.lora.dropout = 0.0;
        config.train.batch_size = batch_size;
        config.train.gradient_accumulation = accumulation;
        let bench = Bench::new(config);
        let mut events = Vec::new();
        bench.run(tempfile::tempdir().unwrap().path(), bench.fresh(), false, &mut events);
        steps(&events)
    };
    // Seven rows: four and the last three, whichever way they are cut.
    for (one, many) in run(4, 1).iter().zip(run(1, 4)) {
        assert_eq!(one.tokens, many.tokens);
        assert!((one.loss - many.loss).abs() < 1e-5 * one.loss, "{one:?} and {many:?}");
        let norms = (one.grad_norm.unwrap(), many.grad_norm.unwrap());
        assert!((norms.0 - norms.1).abs() < 1e-4 * norms.0, "{norms:?}");
    }
}

#[test]
fn a_device_without_memory_for_a_batch_computes_it_in_parts() {
    let mut config = config();
    config.lora.dropout = 0.0;
    config.train.batch_size = 4;
    let bench = Bench::new(config);
    let rows = &bench.dataset.splits.train;
    let plan = Plan::new(&bench.config, rows.len());
    let longest = rows.iter().map(|row| row.ids.len()).max().unwrap();
    let steps = |memory| {
        let mut stepper = Stepper::new(&bench.model, rows, None, &bench.config, plan);
        stepper.memory = memory;
        let mut state = bench.fresh();
        let stats: Result<Vec<_>> =
            (1..=2).map(|step| stepper.take(step, &mut state.adapter, &mut state.optimiser)).collect();
        (stats, stepper.parts())
    };
    let (whole, parts) = steps(None);
    assert_eq!(parts, 1);
    let (cut, parts) = steps(Some(longest));
    assert!(parts > 1);
    for (one, many) in whole.unwrap().iter().zip(cut.unwrap()) {
        assert_eq!((one.tokens, one.input_tokens), (many.tokens, many.input_tokens));
        assert!((one.loss - many.loss).abs() < 1e-5 * one.loss, "{one:?} and {many:?}");
    }
    // Not even one row fits.
    let error = steps(Some(1)).0.unwrap_err();
    assert!(crate::device::is_out_of_memory(&error), "{error}");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_spoils_nothing() {
    let bench = Bench::new(config());
    let dir = tempfile::tempdir().unwrap();
    let mut state = bench.fresh();
    let mut events = Vec::new();
    for tensor in state.adapter.tensors_mut() {
        *tensor = tensor.affine(0.0, f64::NAN).unwrap();
    }
    let ended = bench.run(dir.path(), state, false, &mut events);
    assert_eq!(ended.reason, StopReason::NonFinite);
    assert!(ended.best.is_none() && !ended.restored_best);
    assert!(!dir.path().join("best").exists() && !dir.path().join("last").exists());
    assert!(evals(&events, Split::Valid)[0].loss.is_nan());
}

#[test]
fn a_step_that_diverges_leaves_the_last_good_adapter() {
    let mut config = config();
    config.train.learning_rate = 1e30;
    let bench = Bench::new(config);
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    let ended = bench.run(dir.path(), bench.fresh(), false, &mut events);
    assert_eq!(ended.reason, StopReason::NonFinite);
    assert_eq!(ended.best.unwrap().step, 0);
    let saved: Vec<_> = events
        .iter()
        .filter(|e| matches!(e, Event::CheckpointSaved(s) if s.role == CheckpointRole::Last))
        .collect();
    assert_eq!(saved.len(), 1, "only the untouched adapter was worth saving");
    let state = Bench::folders(dir.path()).load(bench.fresh()).unwrap().unwrap();
    let (point, best) = state.best.unwrap();
    assert_eq!((state.step, point), (0, ended.best.unwrap()));
    // It is the untouched adapter, and written once.
    for ((_, best), (_, fresh)) in best.tensors().into_iter().zip(bench.fresh().adapter.tensors()) {
        assert_eq!(
            best.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            fresh.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }
    let bytes = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().len();
    assert!(bytes("state/state.safetensors") < bytes("last/adapter_model.safetensors") * 3 / 2);
}

#[test]
fn a_state_of_another_shape_is_refused() {
    let bench = Bench::new(config());
    let dir = tempfile::tempdir().unwrap();
    let folders = Bench::folders(dir.path());
    assert!(folders.load(bench.fresh()).unwrap().is_none());
    folders.save_last(&bench.fresh(), None).unwrap();
    let mut other = config();
    other.lora.r = 5;
    let error = format!("{:#}", folders.load(Bench::new(other).fresh()).unwrap_err());
    assert!(error.contains("expected f32 [5, 192]"), "{error}");
    std::fs::write(dir.path().join("state/state.safetensors"), b"short").unwrap();
    assert!(folders.load(bench.fresh()).is_err());
}

/// Asks for one thing after the event of each step that is named.
struct Asks {
    wishes: Vec<(u64, Control)>,
    events: Vec<Event>,
}

impl Sink for Asks {
    fn emit(&mut self, event: &Event) -> Control {
        self.events.push(event.clone());
        let Event::Step(stats) = event else { return Control::Continue };
        let wish = self.wishes.iter().find(|(step, _)| *step == stats.step);
        wish.map_or(Control::Continue, |(_, wish)| *wish)
    }
}

#[test]
fn the_sink_can_ask_for_a_checkpoint_and_for_an_evaluation() {
    let bench = Bench::new(config());
    let dir = tempfile::tempdir().unwrap();
    let wishes = vec![(1, Control::Evaluate), (4, Control::Save), (5, Control::Stop(StopReason::Requested))];
    let mut sink = Asks { wishes, events: vec![] };
    let ended = bench.run(dir.path(), bench.fresh(), false, &mut sink);
    assert_eq!((ended.reason, ended.step), (StopReason::Requested, 5));
    let at: Vec<u64> = evals(&sink.events, Split::Valid).iter().map(|eval| eval.step).collect();
    assert_eq!(at, [0, 1, 3]);
    let saved: Vec<u64> = sink
        .events
        .iter()
        .filter_map(|event| if let Event::CheckpointSaved(saved) = event { Some(saved) } else { None })
        .filter(|saved| saved.role == CheckpointRole::Last)
        .map(|saved| saved.step)
        .collect();
    assert_eq!(saved, [0, 1, 3, 4, 5]);
}
