//! `tune generate`: what the best adapter of a run answers, and what the base model does.
//!
//! A question is put in the form of the rows that the run learnt from. On a terminal the answers come
//! token by token, and without `--prompt` one question follows another; each stands for itself.

use super::{Failure, Outcome, Output, code, open, open_run, print, replay, say, stdout_is_terminal};
use crate::config::{self, Config};
use crate::data::encode::Encoder;
use crate::data::read::{self, Body, Message, Role};
use crate::model::CausalLm;
use crate::model::adapter::peft;
use crate::model::generate::{Continuation, Listener, Sampling, generate as write_on};
use crate::model::lora::Adapter;
use crate::model::spec::Spec;
use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Args)]
pub(super) struct GenerateArgs {
    /// The run's folder
    run: PathBuf,
    /// What to ask; without it, questions are read from the terminal, or one from stdin
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Instructions to put before the question as a system turn, in place of those of the first row
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// 0 takes the likeliest token each time; higher is more varied
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f64,
    /// Choose among the likeliest tokens that have this share together
    #[arg(long, default_value_t = 1.0, value_name = "SHARE")]
    top_p: f64,
    /// Seed of the choice
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    output: Output,
}

/// Characters that are said of a system turn which nobody asked for.
const SHOWN: usize = 100;

/// All that an answer takes.
struct Pair {
    encoder: Encoder,
    model: CausalLm,
    adapter: Adapter,
    /// An adapter that adapts nothing.
    none: Adapter,
    /// The step of the adapter.
    step: u64,
    /// A row as the run learnt them, with the instructions that were asked for.
    like: Body,
    sampling: Sampling,
}

pub(super) fn generate(args: &GenerateArgs) -> Outcome {
    let sampling = sampling(args).map_err(Failure::usage)?;
    let interactive = args.prompt.is_none() && std::io::stdin().is_terminal() && !args.output.json;
    let prompt = match &args.prompt {
        Some(prompt) => Some(prompt.clone()),
        None if interactive => None,
        None => Some(from_stdin().map_err(Failure::usage)?),
    };
    let pair = pair(args, sampling)?;
    if let (Some(text), None, false) = (pair.system(), &args.system, args.output.quiet || args.output.json) {
        let begin: String = text.chars().take(SHOWN).collect();
        let more = if begin.len() < text.len() { " ..." } else { "" };
        say(&format!("system turn of the first row: {begin:?}{more}\n  hint: --system TEXT puts another"));
    }
    let brake = Brake::default();
    brake.listen().map_err(Failure::failed)?;
    if let Some(prompt) = prompt {
        return one(&pair, &prompt, args, &brake);
    }
    say("Ask, and end the line with Enter; Ctrl-C ends an answer, Ctrl-D leaves.");
    loop {
        print("\n> ");
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).map_err(Failure::failed)? == 0 {
            print("\n");
            return Ok(code::FINE);
        }
        let question = line.trim();
        if question.is_empty() {
            continue;
        }
        if let Err(failure) = one(&pair, question, args, &brake) {
            say(&format!("error: {:#}", failure.error));
        }
    }
}

fn sampling(args: &GenerateArgs) -> Result<Sampling> {
    ensure!(
        args.temperature.is_finite() && args.temperature >= 0.0,
        "--temperature {}: out of range\n  hint: 0 takes the likeliest token, 0.7 is a usual value",
        args.temperature
    );
    ensure!(
        args.top_p > 0.0 && args.top_p <= 1.0,
        "--top-p {}: out of range\n  hint: a share above 0 and up to 1, such as 0.9",
        args.top_p
    );
    Ok(Sampling {
        max_tokens: args.max_tokens as usize,
        temperature: args.temperature,
        top_p: args.top_p,
        seed: args.seed,
    })
}

/// All of stdin as one question.
fn from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("stdin cannot be read")?;
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    ensure!(!text.is_empty(), "nothing to ask\n  hint: tune generate RUN --prompt \"...\"");
    Ok(text)
}

fn pair(args: &GenerateArgs, sampling: Sampling) -> Result<Pair, Failure> {
    let dir = open_run(&args.run)?;
    let monitor = replay(&dir)?;
    let Some(saved) = monitor.snapshot().best_saved.filter(|_| dir.best().is_dir()) else {
        return Err(Failure::usage(anyhow!(
            "{}: no adapter was saved yet\n  hint: the first is saved at the run's first evaluation",
            args.run.display()
        )));
    };
    let mut config = config::load::load(&dir.config(), &[]).map_err(Failure::usage)?;
    let device = open::device(&args.device, &args.output).map_err(Failure::usage)?;
    let encoder = open::encoder(&config).map_err(Failure::usage)?;
    // How long the rows were that it learnt from is no limit to what it is asked.
    config.data.max_length = Spec::of(&config.model.path).map_err(Failure::usage)?.max_positions;
    let model = open::model(&config, &encoder, &device).map_err(Failure::usage)?;
    open::warn_of_base(&dir, &config, &model);
    let adapter = peft::read(&dir.best(), &model.spec, &model.device).map_err(Failure::usage)?;
    let none = Adapter::none(&model.spec);
    let like = instructed(like(&config), args, &encoder).map_err(Failure::usage)?;
    Ok(Pair { encoder, model, adapter, none, step: saved.step, like, sampling })
}

/// The first row that the run learnt from; a chat, where that is not there any more, which is said.
fn like(config: &Config) -> Body {
    match read::read(&config.data.train, "data.train") {
        Ok(rows) => rows.into_iter().next().map_or(Body::Chat(Vec::new()), |row| row.body),
        Err(error) => {
            say(&format!(
                "warning: the form of the rows is not known, and the question is put as a chat: {error:#}"
            ));
            Body::Chat(Vec::new())
        }
    }
}

/// The row with the instructions that were asked for in the place of its own.
fn instructed(like: Body, args: &GenerateArgs, encoder: &Encoder) -> Result<Body> {
    let Some(system) = &args.system else { return Ok(like) };
    ensure!(
        encoder.asks_in_chat(&like),
        "--system: the rows that {} learnt from are no chats, so there is no system turn\n  \
         hint: write it into --prompt, in the form of the rows",
        args.run.display()
    );
    Ok(Body::Chat(vec![Message { role: Role::System, content: system.clone() }]))
}

impl Pair {
    /// The instructions before the question.
    fn system(&self) -> Option<&str> {
        let Body::Chat(messages) = &self.like else { return None };
        let first = messages.first().filter(|first| matches!(first.role, Role::System | Role::Developer))?;
        Some(&first.content)
    }

    /// The question as the model is asked it.
    fn ask(&self, question: &str, args: &GenerateArgs) -> Result<Vec<u32>> {
        self.encoder.ask(question, &self.like).map_err(|fault| {
            let hint = if args.system.is_some() {
                "the model's chat template may take no system turn: put the text into the question"
            } else {
                fault.hint(false)
            };
            anyhow!("{fault}\n  hint: {hint}")
        })
    }
}

/// One question, both answers.
fn one(pair: &Pair, question: &str, args: &GenerateArgs, brake: &Brake) -> Outcome {
    let ids = pair.ask(question, args).map_err(Failure::usage)?;
    let positions = pair.model.max_length();
    if ids.len() >= positions {
        return Err(Failure::usage(anyhow!(
            "the prompt is {} tokens long, and the model knows {positions} positions\n  \
             hint: shorten it: the answer needs some of them",
            ids.len()
        )));
    }
    brake.arm();
    let sides =
        [(format!("best adapter, step {}", pair.step), &pair.adapter), ("base model".to_owned(), &pair.none)];
    let mut answers = Vec::new();
    for (name, adapter) in sides {
        let live = !args.output.json;
        let gap = if answers.is_empty() { "" } else { "\n" };
        let title = live.then(|| format!("{gap}{name}:\n"));
        let mut voice = Voice { encoder: &pair.encoder, brake, live, title, tokens: Vec::new(), spoken: 0 };
        let written = write_on(&pair.model, adapter, &[&ids], pair.sampling, &mut voice);
        let written = written.map_err(Failure::usage)?.into_iter().next().unwrap_or_default();
        voice.begin();
        if live {
            print(if written.ended || brake.is_pulled() { "\n" } else { " ...\n" });
        }
        let text = pair.encoder.decode(&written.tokens).map_err(Failure::failed)?;
        answers.push((text, written));
        if brake.is_pulled() {
            break;
        }
    }
    let stopped = brake.release();
    if let ([(answer, written), (base, of_base)], true) = (answers.as_slice(), args.output.json) {
        let side = |text: &str, written: &Continuation| json!({"text": text, "tokens": written.tokens.len(), "ended": written.ended});
        let document = json!({
            "system": pair.system(), "prompt": question, "step": pair.step,
            "answer": side(answer, written), "base": side(base, of_base),
        });
        print(&format!("{document}\n"));
    }
    Ok(if stopped { code::INTERRUPTED } else { code::FINE })
}

/// Says what is written as it is written, and listens to Ctrl-C.
struct Voice<'a> {
    encoder: &'a Encoder,
    brake: &'a Brake,
    live: bool,
    /// Whose answer it is, until that is said.
    title: Option<String>,
    tokens: Vec<u32>,
    /// Bytes of the text that have been said.
    spoken: usize,
}

impl Voice<'_> {
    fn begin(&mut self) {
        if let Some(title) = self.title.take() {
            print(&title);
        }
    }
}

impl Listener for Voice<'_> {
    fn ends(&self, token: u32) -> bool {
        self.encoder.ends(token)
    }

    fn hear(&mut self, _row: usize, token: u32) -> bool {
        self.begin();
        self.tokens.push(token);
        if self.live {
            let text = self.encoder.decode(&self.tokens).unwrap_or_default();
            // Half a character is said when its other half is there.
            let whole = text.trim_end_matches('\u{fffd}');
            let fresh = whole.get(self.spoken..).unwrap_or_default();
            print(&printable(fresh));
            self.spoken = self.spoken.max(whole.len());
        }
        !self.brake.is_pulled()
    }
}

/// `text` without what would steer a terminal: a model may have learnt anything.
fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if stdout_is_terminal() { text.replace(steers, "") } else { text.into() }
}

/// Ctrl-C: ends the answer that is being written, else the program.
#[derive(Clone, Default)]
struct Brake(Arc<AtomicU8>);

const IDLE: u8 = 0;
const ARMED: u8 = 1;
const PULLED: u8 = 2;

impl Brake {
    fn listen(&self) -> Result<()> {
        let brake = self.clone();
        super::signals::on_request(move || {
            let pulled = brake.0.compare_exchange(ARMED, PULLED, Ordering::SeqCst, Ordering::SeqCst);
            if pulled.is_err() {
                print("\n");
                std::process::exit(i32::from(code::INTERRUPTED));
            }
        })
    }

    fn arm(&self) {
        self.0.store(ARMED, Ordering::SeqCst);
    }

    fn is_pulled(&self) -> bool {
        self.0.load(Ordering::SeqCst) == PULLED
    }

    /// Whether it was pulled.
    fn release(&self) -> bool {
        self.0.swap(IDLE, Ordering::SeqCst) == PULLED
    }
}
