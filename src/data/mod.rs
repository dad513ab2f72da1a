//! Rows to learn from and rows to judge by: read, split, and turned into tokens.
//!
//! Host memory only: nothing here knows a tensor.

pub mod batch;

/// One row as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether token `i` carries loss, that is: whether predicting it from the tokens before it is trained. Same length as `ids`; the first is always false.
    pub loss_mask: Vec<bool>,
}

impl Example {
    /// Tokens that carry loss.
    pub fn loss_tokens(&self) -> usize {
        self.loss_mask.iter().filter(|&&on| on).count()
    }
}

/// The three sides of a dataset.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    pub train: Vec<Example>,
    pub valid: Vec<Example>,
    /// Empty where there is none.
    pub test: Vec<Example>,
}
