//! Which layers lose too much in 8 bits.
//!
//! A build with every layer in 8 bits may disagree with its full model. Then each layer is tried alone, the
//! layers are ranked by the agreement that each costs, and the worst are freed (8-bit weights, floating-point
//! activations) until the whole agrees well enough: as few as a halving search finds.

use super::Plan;

/// A static layer and the agreement that remains when it alone is in 8 bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The layer's node.
    pub layer: String,
    /// Agreement with the full model, 0 … 1.
    pub agreement: f64,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The plan with the freed layers.
    pub plan: Plan,
    /// The agreement that it reached on the tuning inputs.
    pub agreement: f64,
    /// The freed layers, worst first.
    pub freed: Vec<Ranked>,
}

/// Frees the layers of `plan`, worst first, until `agreement` of the plan is at least `goal`; frees all when
/// nothing less reaches it. `ranking` is asked only when the plan does not reach the goal as it is.
///
/// # Errors
/// Whatever `agreement` or `ranking` fails with.
pub fn search<E>(
    plan: &Plan,
    goal: f64,
    agreement: &mut dyn FnMut(&Plan) -> Result<f64, E>,
    ranking: impl FnOnce() -> Result<Vec<Ranked>, E>,
) -> Result<Found, E> {
    let whole = agreement(plan)?;
    if whole >= goal || plan.static_layers().next().is_none() {
        return Ok(Found {
            plan: plan.clone(),
            agreement: whole,
            freed: Vec::new(),
        });
    }
    let mut worst = ranking()?;
    worst.sort_by(|a, b| a.agreement.total_cmp(&b.agreement));
    let freeing = |count: usize| plan.freeing(worst.iter().take(count).map(|ranked| &ranked.layer));
    // Halving: `low` layers freed are too few, `high` are enough (or all there are).
    let (mut low, mut high) = (0, worst.len());
    let mut best = (freeing(high), agreement(&freeing(high))?);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let candidate = freeing(middle);
        let reached = agreement(&candidate)?;
        if reached >= goal {
            (high, best) = (middle, (candidate, reached));
        } else {
            low = middle;
        }
    }
    worst.truncate(high);
    Ok(Found {
        plan: best.0,
        agreement: best.1,
        freed: worst,
    })
}
