//! What the machine has to say about a run. The figures come from outside: who starts the dashboard
//! measures them, and how is not known here.

/// The figures of a moment; what cannot be measured is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct System {
    /// Resident memory of the process that trains.
    pub process_bytes: Option<u64>,
    /// Memory of the machine: used, and all there is.
    pub memory_bytes: Option<(u64, u64)>,
    /// Its graphics processors.
    pub gpus: Vec<Gpu>,
}

/// One graphics processor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpu {
    /// As its driver names it.
    pub name: String,
    /// Share of the time in which it computed, 0 to 1.
    pub load: Option<f64>,
    /// Used, and all there is.
    pub memory_bytes: Option<(u64, u64)>,
}
