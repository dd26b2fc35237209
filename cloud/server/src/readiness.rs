//! Which parts answer now. Reconcilers and links write it as they succeed and fail; `/readyz` reads it.

use std::sync::Mutex;

use espalier_api::system::{PartView, ReadinessView};

use crate::{
    metrics::{Metrics, PartLabels},
    refusal::Refusal,
};

/// A part that the server needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Postgres.
    Database,
    /// The MQTT broker.
    Broker,
    /// The store of blobs.
    Blobs,
    /// The first edition of the signed metadata.
    Trust,
}

impl Part {
    const ALL: [Self; 4] = [Self::Database, Self::Broker, Self::Blobs, Self::Trust];

    const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Broker => "broker",
            Self::Blobs => "blobs",
            Self::Trust => "trust",
        }
    }
}

/// What each part last said.
pub struct Readiness {
    problems: Mutex<[Option<String>; Part::ALL.len()]>,
}

impl Readiness {
    /// Nothing has answered yet.
    #[must_use]
    pub fn starting() -> Self {
        Self {
            problems: Mutex::new(Part::ALL.map(|_| Some("it has not answered yet".to_owned()))),
        }
    }

    /// The part answers.
    pub fn up(&self, part: Part, metrics: &Metrics) {
        self.set(part, None, metrics);
    }

    /// The part does not answer. `/readyz` is open to everybody, so it has the refusal's words for callers, and only the
    /// log has the causes.
    pub fn down(&self, part: Part, refusal: &Refusal, metrics: &Metrics) {
        self.set(part, Some(refusal), metrics);
    }

    /// Whether the part answered when it was last asked.
    #[must_use]
    pub fn is_up(&self, part: Part) -> bool {
        let problems = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        problems[part as usize].is_none()
    }

    fn set(&self, part: Part, refusal: Option<&Refusal>, metrics: &Metrics) {
        let problem = refusal.map(|refusal| refusal.detail.clone());
        metrics
            .part_up
            .get_or_create(&PartLabels { part: part.name() })
            .set(i64::from(problem.is_none()));
        let mut problems = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let slot = &mut problems[part as usize];
        match refusal {
            Some(refusal) if *slot != problem => {
                let causes = refusal.causes();
                tracing::warn!(part = part.name(), problem = %refusal, causes, "a part is away");
            }
            None if slot.is_some() => tracing::info!(part = part.name(), "a part is ready"),
            _ => {}
        }
        *slot = problem;
    }

    /// Everything, for `/readyz`.
    #[must_use]
    pub fn view(&self) -> ReadinessView {
        let problems = self
            .problems
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let parts: Vec<_> = Part::ALL
            .iter()
            .zip(problems.iter())
            .map(|(part, problem)| PartView {
                name: part.name().to_owned(),
                ready: problem.is_none(),
                problem: problem.clone(),
            })
            .collect();
        ReadinessView {
            ready: parts.iter().all(|part| part.ready),
            parts,
        }
    }
}
