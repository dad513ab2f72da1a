//! `tune run --plan`: what a run would take, before anything of it is allocated.

use super::{Failure, Outcome, Output, code, open, print};
use crate::config::Config;
use crate::data;
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
    let spec = Spec::of(&config.model.path)?;
    let dtype = precision_of(&config.model.path, config.model.dtype, &chosen.device)?;
    let plan = Plan::new(config, dataset.splits.train.len());
    let batch = largest_batch(&dataset.splits.train, &config.train, plan);
    let adapter = AdapterConfig::new(&config.lora)?;
    let memory = Memory::of(&spec, &adapter, keep(&config.train), batch, dtype.size_in_bytes() as u64);
    let checkpointing = config.train.gradient_checkpointing;
    Ok(Planned { plan, batch, memory, dtype: dtype.as_str(), checkpointing })
}

/// `1.2 GiB`, `34.5 MiB`.
fn size(bytes: u64) -> String {
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
