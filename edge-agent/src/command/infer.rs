//! `espalier-agent infer`: a picture and a prompt, answered by the bytes that are installed here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use espalier_link::{Identity, StateFolder};
use espalier_protocol::{
    ModelName,
    manifest::{PointLabel, PointPrompt, Prompt},
    report::Installed,
};
use espalier_runtime::{GraphOptions, Mask, ModelFolder, Picture};
use espalier_serving::{Answer, HostOptions, ModelHost, Origin};
use espalier_slots::{Disk, ReadOnly, Store, VerifiedBundle};

use crate::{config::Config, overlay, place};

/// Segment a picture with the model that is installed here; no agent needs to run.
///
/// The installed bundle's bytes are digested before they are used. Coordinates are pixels of the
/// picture as it is shown, from its upper left corner.
#[derive(Debug, clap::Args)]
pub struct Infer {
    /// A JPEG or PNG file
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// A click on the object; several are allowed
    #[arg(long = "point", value_name = "X,Y", value_parser = point)]
    points: Vec<(f32, f32)>,
    /// A click beside the object
    #[arg(long = "not", value_name = "X,Y", value_parser = point)]
    background: Vec<(f32, f32)>,
    /// A box around the object
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", value_parser = bounds)]
    bounds: Option<Bounds>,
    /// Which model, when several are installed
    #[arg(long)]
    model: Option<ModelName>,
    /// Write the picture with the best mask over it (PNG)
    #[arg(short = 'o', long = "overlay", value_name = "FILE")]
    overlay: Option<PathBuf>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

impl Infer {
    /// Answers.
    ///
    /// # Errors
    /// When nothing is installed, or the picture or the prompt is at fault.
    pub fn run(self, config: &Config) -> Result<()> {
        let file = std::fs::read(&self.image)
            .with_context(|| format!("cannot read {}", self.image.display()))?;
        let picture = Picture::decode(&file)
            .with_context(|| format!("cannot use {}", self.image.display()))?;
        let answer = self.answer(config, &file)?;
        let best = answer.masks.first().context("the model gave no mask")?;
        let mask = Mask::from_rle(&best.rle).context("the model gave a broken mask")?;
        if let Some(path) = &self.overlay {
            overlay::write(&picture, &mask, &self.prompt(), path)?;
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&answer)?);
        } else {
            self.tell(&answer, &mask);
        }
        Ok(())
    }

    fn answer(&self, config: &Config, file: &[u8]) -> Result<Answer> {
        let state = StateFolder::new(&config.state);
        // An agent may be running on the same folder.
        let files = Arc::new(ReadOnly(Arc::new(Disk)));
        let identity = Identity::load(files.clone(), &state)?
            .context("this device is not enrolled, so nothing is installed")?;
        let store = Store::open(files, &state.store())?;
        let (installed, bundle) = self.installed(&store)?;
        let options = HostOptions {
            graphs: GraphOptions {
                providers: config.providers.clone(),
                threads: config.threads,
                ..GraphOptions::default()
            },
            ..HostOptions::default()
        };
        let host = ModelHost::new(options);
        let candidate = host.load(&ModelFolder::open(bundle.folder())?)?;
        let origin = Origin {
            release: Some(installed.release.digest),
            model_version: None,
        };
        host.switch(candidate, origin);
        let instance = host
            .instance(bundle.manifest().model.as_str())
            .context("the model was not loaded")?;
        let segmentation = host.segment(&instance, file, &self.prompt())?;
        Ok(Answer::new(
            &segmentation,
            &instance,
            &place::of(identity.facts()),
        ))
    }

    /// The active bundle of the wanted model, every byte digested.
    fn installed(&self, store: &Store) -> Result<(Installed, VerifiedBundle)> {
        let active = store
            .slots()
            .iter()
            .filter_map(|(model, slots)| Some((model, slots.serving.active()?)));
        let wanted: Vec<_> = active
            .filter(|(model, _)| self.model.as_ref().is_none_or(|name| name == *model))
            .collect();
        let (model, installed) = match wanted.as_slice() {
            [one] => *one,
            [] => bail!(
                "no such model is installed here: bring it by a rollout, and see `espalier-agent status`"
            ),
            several => {
                let names: Vec<_> = several.iter().map(|(model, _)| model.as_str()).collect();
                bail!(
                    "several models are installed ({}): choose one with --model",
                    names.join(", ")
                )
            }
        };
        let bundle = store.content().verify(&installed.bundle)?;
        Ok((
            installed,
            bundle.with_context(|| format!("the bundle of {model} is not in the store"))?,
        ))
    }

    fn prompt(&self) -> Prompt {
        let labelled = |points: &[(f32, f32)], label| {
            points
                .iter()
                .map(|&(x, y)| PointPrompt { x, y, label })
                .collect::<Vec<_>>()
        };
        let mut points = labelled(&self.points, PointLabel::Foreground);
        points.extend(labelled(&self.background, PointLabel::Background));
        Prompt {
            points,
            bounds: self.bounds.as_ref().map(|bounds| bounds.0),
        }
    }

    fn tell(&self, answer: &Answer, mask: &Mask) {
        let score = answer.masks.first().map_or(0.0, |mask| mask.score);
        println!(
            "mask        {} pixels, predicted IoU {score:.2}",
            mask.area()
        );
        println!(
            "computed on {} ({:?})",
            answer.computed_on.name, answer.computed_on.tier
        );
        println!("bundle      {}", answer.bundle_digest);
        println!("took        {:.1} ms", answer.latency_ms.total);
        if let Some(path) = &self.overlay {
            println!("overlay     {}", Path::display(path));
        }
    }
}

/// A box as it was typed.
#[derive(Debug, Clone)]
struct Bounds([f32; 4]);

fn numbers<const N: usize>(text: &str) -> Result<[f32; N], String> {
    let parsed: Result<Vec<f32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    parsed
        .ok()
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| format!("give {N} numbers with commas between them"))
}

fn point(text: &str) -> Result<(f32, f32), String> {
    numbers::<2>(text).map(|[x, y]| (x, y))
}

fn bounds(text: &str) -> Result<Bounds, String> {
    numbers(text).map(Bounds)
}
