//! Enlisting: which devices a rollout takes, and in which stage. Fixed once, when the rollout starts.

use espalier_protocol::id::RolloutId;
use espalier_protocol::{DeviceClassName, DeviceName, Digest};

use crate::labels::Labels;
use crate::release::Release;
use crate::selector::Subject;

use super::policy::{Policy, StageSize};

/// A device as the planner sees it before a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub device: DeviceName,
    /// Its class.
    pub class: DeviceClassName,
    /// Its labels.
    pub labels: Labels,
    /// Whether it may not speak.
    pub barred: bool,
    /// Another rollout of the same model that it is in and that has not ended.
    pub busy_with: Option<RolloutId>,
}

/// A device that a rollout takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub device: DeviceName,
    /// Its class.
    pub class: DeviceClassName,
    /// The bundle for its class.
    pub bundle: Digest,
    /// Its stage, from 0.
    pub stage: u32,
}

/// Why a selected device is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeftOut {
    /// The release has no build for it.
    #[error("the release has no build for device class {0}")]
    NoBuild(DeviceClassName),
    /// It may not speak.
    #[error("the device is revoked or in quarantine")]
    Barred,
    /// It is in another rollout of the same model.
    #[error("rollout {0} of the same model has not ended for the device")]
    Busy(RolloutId),
}

/// Who is taken, and who is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enlistment {
    /// Taken, by stage and within it in the order in which they are told.
    pub members: Vec<Member>,
    /// Selected and not taken.
    pub left_out: Vec<(DeviceName, LeftOut)>,
}

/// Enlists those of `candidates` that the policy selects and that the release has a build for.
///
/// The order is a hash of rollout and device: the same for every call, spread over the fleet, and another for
/// every rollout, so that no device is everybody's canary.
#[must_use]
pub fn enlist(
    rollout: RolloutId,
    policy: &Policy,
    release: &Release,
    candidates: &[Candidate],
) -> Enlistment {
    let mut enlistment = Enlistment::default();
    for candidate in candidates
        .iter()
        .filter(|candidate| selected(policy, candidate))
    {
        match take(release, candidate) {
            Ok(member) => enlistment.members.push(member),
            Err(reason) => enlistment.left_out.push((candidate.device.clone(), reason)),
        }
    }
    enlistment
        .members
        .sort_by_cached_key(|member| place(rollout, &member.device));
    divide(policy, &mut enlistment.members);
    enlistment
}

fn selected(policy: &Policy, candidate: &Candidate) -> bool {
    let subject = Subject {
        device: &candidate.device,
        class: &candidate.class,
        labels: &candidate.labels,
    };
    policy.selector().matches(subject)
}

fn take(release: &Release, candidate: &Candidate) -> Result<Member, LeftOut> {
    if candidate.barred {
        return Err(LeftOut::Barred);
    }
    if let Some(rollout) = candidate.busy_with {
        return Err(LeftOut::Busy(rollout));
    }
    let bundle = release
        .bundle_for(&candidate.class)
        .ok_or_else(|| LeftOut::NoBuild(candidate.class.clone()))?;
    Ok(Member {
        device: candidate.device.clone(),
        class: candidate.class.clone(),
        bundle,
        stage: 0,
    })
}

fn place(rollout: RolloutId, device: &DeviceName) -> (Digest, DeviceName) {
    let mut text = rollout.0.as_bytes().to_vec();
    text.extend_from_slice(device.as_str().as_bytes());
    (Digest::of(&text), device.clone())
}

fn divide(policy: &Policy, members: &mut [Member]) {
    let all = members.len() as u64;
    let mut left = members.iter_mut();
    for (stage, spec) in (0_u32..).zip(policy.stages()) {
        let size = match spec.size {
            StageSize::Count(count) => u64::from(count),
            StageSize::Percent(share) => share.of_rounded_up(all),
            StageSize::Rest => all,
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        left.by_ref()
            .take(size)
            .for_each(|member| member.stage = stage);
    }
}
