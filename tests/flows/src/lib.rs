//! Forbids untested walks: one file per walk or hazard.
