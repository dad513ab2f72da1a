//! Rules across the keys of a configuration, collected, not first-fail.
