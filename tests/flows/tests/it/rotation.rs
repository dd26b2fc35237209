//! Every key of a running fleet is replaced by the ceremony's own commands, while a third of the fleet is away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use espalier_api::{claim::ClaimView, release::ReleaseView, rollout::RolloutView};
use espalier_protocol::{Digest, ModelName};
use espalier_sim::{Device, Fleet};
use espalier_support::{
    Operator,
    cloud::CloudOptions,
    workshop::{DEVICE_CLASS, MODEL, Workshop},
};
use serde_json::{Value, json};

const DEVICES: u64 = 50;
const AWAY: usize = 17;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_replaced_while_a_third_of_the_fleet_is_away() -> Result<()> {
    let workshop = Workshop::open(CloudOptions::default()).await?;
    let operator = workshop.operator();
    let model: ModelName = MODEL.parse()?;
    let (first, bundle) = release(&workshop, 1).await?;
    let mut fleet = enrol(&operator, workshop.folder()).await?;
    fleet.go_online()?;
    let rollout = roll_out(&operator, &first).await?;
    fleet.until_all_serve(&model, &bundle, PATIENCE).await?;
    // Who goes before the cloud has heard that it serves would hold up the next rollout.
    operator.ended(rollout.id, PATIENCE, |_| ()).await?;
    for device in &mut fleet.devices()[..AWAY] {
        device.go_offline().await?;
    }

    let ceremony = Ceremony {
        operator: operator.clone(),
        keys: workshop.cloud.state().join("keys"),
    };
    ceremony.replace_online("timestamp", 2).await?;
    ceremony.replace_online("snapshot", 3).await?;
    ceremony.replace_root(4).await?;
    ceremony.replace_targets(5).await?;
    ceremony.replace_deployer(5).await?;

    let (second, bundle) = release(&workshop, 2).await?;
    roll_out(&operator, &second).await?;
    for device in &mut fleet.devices()[AWAY..] {
        device.until_it_serves(&model, &bundle, PATIENCE).await?;
    }
    fleet.devices()[..AWAY]
        .iter_mut()
        .try_for_each(Device::go_online)?;
    fleet.until_all_serve(&model, &bundle, PATIENCE).await?;
    fleet.go_offline().await
}

/// A signed release of one build, and the digest of its bundle.
async fn release(workshop: &Workshop, flavour: u32) -> Result<(ReleaseView, Digest)> {
    let operator = workshop.operator();
    let build = workshop.order(DEVICE_CLASS, flavour).await?;
    operator.built(build, |_| ()).await?;
    let release = operator.release(&[build]).await?;
    let bundle = release.builds.first().context("no build")?.bundle;
    Ok((release, bundle))
}

async fn enrol(operator: &Operator, scratch: &Path) -> Result<Fleet> {
    let wish = json!({ "class": DEVICE_CLASS, "uses": DEVICES });
    let claim: ClaimView = operator.post("/claims", &wish).await?;
    let class = DEVICE_CLASS.parse()?;
    Fleet::enrol(&claim.claim, DEVICES, &class, &scratch.join("fleet")).await
}

/// To all at once: those who are away must hold nobody up.
async fn roll_out(operator: &Operator, release: &ReleaseView) -> Result<RolloutView> {
    let id = release.id.to_string();
    let start = ["rollout", "start", &id, "--canary", "100%"];
    operator.run(&start).await
}

/// An operator with all keys of a development installation in one folder.
struct Ceremony {
    operator: Operator,
    keys: PathBuf,
}

impl Ceremony {
    /// A new key for a role that the server signs by itself.
    async fn replace_online(&self, role: &str, version: u32) -> Result<()> {
        let fresh = self.generate(role).await?;
        let old = self.id(&format!("{role}.key.json")).await?;
        let draft = self.draft(version, role, &fresh, &old).await?;
        self.sign(&draft, version, "root.key.json").await?;
        self.publish(version, None).await
    }

    async fn replace_root(&self, version: u32) -> Result<()> {
        let fresh = self.generate("root").await?;
        let old = self.id("root.key.json").await?;
        let draft = self.draft(version, "root", &fresh, &old).await?;
        self.sign(&draft, version, "root.key.json").await?;
        self.sign(&draft, version, "root.new.key.json").await?;
        self.publish(version, None).await
    }

    /// The new holder signs the current targets anew, and both are published together.
    async fn replace_targets(&self, version: u32) -> Result<()> {
        let fresh = self.generate("targets").await?;
        let old = self.id("targets.key.json").await?;
        let draft = self.draft(version, "targets", &fresh, &old).await?;
        self.sign(&draft, version, "root.new.key.json").await?;
        let previous = self.root(version - 1);
        let targets = self.file("again.targets.draft.json");
        let root = self.root(version);
        self.run(&[
            "targets",
            "next",
            "--root",
            &root,
            "--previous-root",
            &previous,
            "--into",
            &targets,
        ])
        .await?;
        self.sign_targets(&targets, &["--root", &root, "--previous-root", &previous])
            .await?;
        self.publish(version, Some(&targets)).await?;
        // The old key speaks for nothing any more, and must not be found by whoever signs next.
        Ok(std::fs::remove_file(self.file("targets.key.json"))?)
    }

    async fn replace_deployer(&self, root: u32) -> Result<()> {
        let fresh = self.generate("deployer").await?;
        let targets = self.file("deployer.targets.draft.json");
        let root = self.root(root);
        self.run(&[
            "targets",
            "next",
            "--root",
            &root,
            "--deployer",
            &fresh,
            "--into",
            &targets,
        ])
        .await?;
        self.sign_targets(&targets, &["--root", &root]).await?;
        self.run(&["targets", "publish", &targets]).await?;
        Ok(())
    }

    /// Makes ROLE.new.key.json; gives the file of its public half.
    async fn generate(&self, role: &str) -> Result<String> {
        let key = self.file(&format!("{role}.new.key.json"));
        self.run(&["generate", &key, "--development"]).await?;
        let public = self.run(&["public", &key]).await?;
        let file = self.file(&format!("{role}.new.pub.json"));
        std::fs::write(&file, public.to_string())?;
        Ok(file)
    }

    async fn id(&self, key: &str) -> Result<String> {
        let listed = self.run(&["list", &self.file(key)]).await?;
        let id = listed[0]["key_id"].as_str();
        Ok(id.context("a key without an id")?.to_owned())
    }

    /// A root in which one key takes another's place.
    async fn draft(&self, version: u32, role: &str, fresh: &str, old: &str) -> Result<String> {
        let current = self.root(version - 1);
        let draft = self.file(&format!("{version}.root.draft.json"));
        self.run(&[
            "root", "next", &current, "--add", role, fresh, "--revoke", role, old, "--into", &draft,
        ])
        .await?;
        Ok(draft)
    }

    async fn sign(&self, draft: &str, version: u32, key: &str) -> Result<()> {
        let (key, current) = (self.file(key), self.root(version - 1));
        self.run(&["root", "sign", draft, "--key", &key, "--current", &current])
            .await?;
        Ok(())
    }

    async fn sign_targets(&self, draft: &str, roots: &[&str]) -> Result<()> {
        let key = self.file("targets.new.key.json");
        let words = ["targets", "sign", draft, "--key", &key];
        self.run(&[&words[..], roots].concat()).await?;
        Ok(())
    }

    async fn publish(&self, version: u32, targets: Option<&str>) -> Result<()> {
        let root = self.root(version);
        let mut words = vec!["root", "publish", &root];
        words.extend(targets.into_iter().flat_map(|file| ["--targets", file]));
        self.run(&words).await?;
        Ok(())
    }

    fn root(&self, version: u32) -> String {
        self.file(&format!("{version}.root.json"))
    }

    fn file(&self, name: &str) -> String {
        self.keys.join(name).to_string_lossy().into_owned()
    }

    async fn run(&self, words: &[&str]) -> Result<Value> {
        let words: Vec<_> = ["keys"].iter().chain(words).copied().collect();
        self.operator.run(&words).await
    }
}
