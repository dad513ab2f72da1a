//! What a run would take, before anything of it is allocated: `tune run --plan` prints it, and a run that
//! would not fit the memory of the machine is made to.

use super::{Failure, Outcome, Output, code, meter, open, print, say};
use crate::config::Config;
use crate::data::{self, Dataset};
use crate::device::Chosen;
use crate::kernel::Kernels;
use crate::model::lora::AdapterConfig;
use crate::model::plan::{Memory, Size};
use crate::model::precision_of;
use crate::model::spec::Spec;
use crate::train::plan::Plan;
use crate::train::step::{keep, largest_batch};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;

/// What is printed.
struct Planned {
    plan: Plan,
    batch: Size,
    memory: Memory,
    /// `f32` or `bf16`.
    dtype: &'static str,
    checkpointing: bool,
}

pub(super) fn show(config: &Config, device: &str, output: &Output) -> Outcome {
    let planned = plan(config, device, output).map_err(Failure::usage)?;
    print(&if output.json { planned.json() } else { planned.text() });
    Ok(code::FINE)
}

fn plan(config: &Config, device: &str, output: &Output) -> Result<Planned> {
    let chosen = open::device(device, output)?;
    let dataset = data::load(&config.data, &open::encoder(config)?)?;
    let mut config = config.clone();
    if let Some(remark) = fit(&mut config, &dataset, &chosen, meter::free())? {
        say(&remark);
    }
    planned(&config, &dataset, &chosen)
}

fn planned(config: &Config, dataset: &Dataset, chosen: &Chosen) -> Result<Planned> {
    let spec = Spec::of(&config.model.path)?;
    let dtype = precision_of(&config.model.path, config.model.dtype, &chosen.device)?;
    let plan = Plan::new(config, dataset.splits.train.len());
    let batch = largest_batch(&dataset.splits.train, &config.train, plan);
    let adapter = AdapterConfig::new(&config.lora)?;
    let kernels = Kernels::for_device(&chosen.device);
    let bytes = dtype.size_in_bytes() as u64;
    let memory = Memory::of(&spec, &adapter, kernels, keep(&config.train), batch, bytes);
    let checkpointing = config.train.gradient_checkpointing;
    Ok(Planned { plan, batch, memory, dtype: dtype.as_str(), checkpointing })
}

/// Switches checkpointing on for a run that would not fit the `free` bytes without it; gives what to say of it.
///
/// On a device nothing is done: there the run learns by trying, see [`crate::train::step`].
pub(super) fn fit(
    config: &mut Config,
    dataset: &Dataset,
    chosen: &Chosen,
    free: Option<u64>,
) -> Result<Option<String>> {
    let Some(free) = free.filter(|_| chosen.device.is_cpu()) else { return Ok(None) };
    let needed = planned(config, dataset, chosen)?.memory.total();
    if needed <= free {
        return Ok(None);
    }
    let asked = std::mem::replace(&mut config.train.gradient_checkpointing, true);
    let least = planned(config, dataset, chosen)?.memory.total();
    Ok(Some(short_of(free, needed, least, asked)))
}

/// What is said where `needed` bytes are not free, and `least` are enough with checkpointing.
fn short_of(free: u64, needed: u64, least: u64, asked: bool) -> String {
    let [free_size, needed, least_size] = [free, needed, least].map(size);
    let smaller = "hint: a smaller train.batch_size with more train.gradient_accumulation, a shorter data.max_length or model.dtype = \"bf16\" takes less";
    match (least <= free, asked) {
        (true, _) => format!(
            "note: this run takes {needed}, and {free_size} are free: \
             train.gradient_checkpointing is switched on, with which it takes {least_size}"
        ),
        (false, true) => format!("warning: this run takes {needed}, and {free_size} are free\n  {smaller}"),
        (false, false) => format!(
            "warning: this run takes {least_size} even with train.gradient_checkpointing, which is switched on, \
             and {free_size} are free\n  {smaller}"
        ),
    }
}

/// `1.2 GiB`, `34.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1000.0 { format!("{mib:.1} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

impl Planned {
    fn parts(&self) -> [(&'static str, u64); 6] {
        let Memory { weights, adapter, optimiser, activations, head, program } = self.memory;
        [
            ("weights", weights),
            ("adapter", adapter),
            ("optimiser", optimiser),
            ("activations", activations),
            ("head", head),
            ("program", program),
        ]
    }

    fn json(&self) -> String {
        let memory: serde_json::Map<String, serde_json::Value> =
            self.parts().iter().map(|(name, bytes)| ((*name).to_owned(), json!(bytes))).collect();
        let document = json!({
            "steps": self.plan.total_steps,
            "steps_per_epoch": self.plan.steps_per_epoch,
            "eval_every": self.plan.eval_every,
            "largest_batch": {"tokens": self.batch.tokens, "targets": self.batch.targets},
            "dtype": self.dtype,
            "gradient_checkpointing": self.checkpointing,
            "memory": memory,
            "total": self.memory.total(),
        });
        format!("{document:#}\n")
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} steps, {} in an epoch, evaluated every {}\nlargest batch: {} tokens, {} with loss\n\n",
            self.plan.total_steps,
            self.plan.steps_per_epoch,
            self.plan.eval_every,
            self.batch.tokens,
            self.batch.targets,
        );
        for (name, bytes) in self.parts() {
            let remark = match name {
                "weights" => format!("  {}", self.dtype),
                "activations" if self.checkpointing => "  checkpointed".into(),
                "activations" => {
                    "  train.gradient_checkpointing = true takes less, and a third longer".into()
                }
                _ => String::new(),
            };
            let _ = writeln!(text, "{name:<12}{:>12}{remark}", size(bytes));
        }
        let _ = writeln!(text, "{:<12}{:>12}", "in all", size(self.memory.total()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_fit_is_told_what_was_done_and_what_could_be() {
        let [one, two, three] = [1_u64, 2, 3].map(|gib| gib << 30);
        let fits = short_of(two, three, one, false);
        assert!(fits.starts_with("note: this run takes 3.00 GiB, and 2.00 GiB are free: "), "{fits}");
        assert!(fits.ends_with("with which it takes 1.00 GiB") && !fits.contains("hint:"), "{fits}");
        for (asked, told) in
            [(false, "which is switched on"), (true, "this run takes 3.00 GiB, and 1.00 GiB")]
        {
            let short = short_of(one, three, if asked { three } else { two }, asked);
            assert!(
                short.starts_with("warning: ") && short.contains(told) && short.contains("\n  hint: "),
                "{short}"
            );
        }
    }

    #[test]
    fn checkpointing_is_switched_on_where_a_run_would_not_fit_without_it() {
        let mut config = Config::default();
        let dataset = data::load(&config.data, &open::encoder(&config).unwrap()).unwrap();
        let chosen = crate::device::choose("cpu").unwrap();
        let needed = planned(&config, &dataset, &chosen).unwrap().memory.total();
        for enough in [None, Some(needed)] {
            assert_eq!(fit(&mut config, &dataset, &chosen, enough).unwrap(), None);
            assert!(!config.train.gradient_checkpointing);
        }
        let said = fit(&mut config, &dataset, &chosen, Some(needed - 1)).unwrap();
        assert!(said.is_some_and(|said| said.starts_with("note: ")));
        assert!(config.train.gradient_checkpointing);
        assert!(planned(&config, &dataset, &chosen).unwrap().memory.total() < needed);
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let memory =
            Memory { weights: 1 << 30, adapter: 2, optimiser: 3, activations: 5 << 20, head: 7, program: 11 };
        let plan = Plan::new(&Config::default(), 80);
        let batch = Size { tokens: 100, targets: 40 };
        let planned = Planned { plan, batch, memory, dtype: "bf16", checkpointing: false };
        assert_eq!(planned.parts().iter().map(|(_, bytes)| bytes).sum::<u64>(), memory.total());
        assert!(planned.text().contains("weights         1.00 GiB  bf16\n"), "{}", planned.text());
        let document: serde_json::Value = serde_json::from_str(&planned.json()).unwrap();
        assert_eq!(document["total"], memory.total());
    }
}
