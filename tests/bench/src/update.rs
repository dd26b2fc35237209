//! An update as a device and the camera beside it see it.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_api::{release::ReleaseView, rollout::RolloutState};
use espalier_support::{
    Agent, Operator,
    agent::AgentSpec,
    cloud::CloudOptions,
    process, scenes,
    wire::Wire,
    workshop::{DEVICE_CLASS, MODEL, Workshop},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    figures::{Row, quantile},
    load::{Asked, Camera},
    verify,
};

/// Releases that are rolled out one after the other, each with bytes of its own.
const RELEASES: u32 = 60;
/// One, as in the field: two would take one another's processors.
const DEVICES: [&str; 1] = ["device-1"];
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// After its first answer by a new bundle a device still puts the old one away.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Frames after each rollout in which nothing is switched.
const QUIET_FRAMES: usize = 20;

/// A device whose whole traffic goes over counted wires, with a camera that asks it.
struct Station {
    agent: Agent,
    broker: Wire,
    door: Wire,
    camera: Camera,
}

/// Runs all releases and gives the rows.
///
/// # Errors
/// When anything on the way fails: a bench of a broken update is no bench.
pub async fn measure() -> Result<Vec<Row>> {
    let mut workshop = Workshop::open(CloudOptions::default()).await?;
    let operator = workshop.operator();
    let mut releases = Vec::new();
    for flavour in 0..=RELEASES {
        releases.push(release(&workshop, flavour + 1).await?);
    }
    let stations = stations(&operator, workshop.folder()).await?;
    // In the field the control plane has processors of its own.
    let cloud = workshop.cloud.process().id().context("no control plane")?;
    process::stand_back(cloud)?;
    // The first release is what is replaced: nothing answers before it.
    roll_out(&operator, &releases[0]).await?;
    let mut stations = with_cameras(stations, workshop.folder()).await?;
    let mut published = Vec::new();
    let bytes_before: u64 = stations.iter().map(Station::bytes).sum();
    for release in &releases[1..] {
        published.push((
            release.digest.to_string(),
            roll_out(&operator, release).await?,
        ));
        // What is near to no switch is what a switch is compared with.
        for station in &mut stations {
            station.camera.see(QUIET_FRAMES).await?;
        }
    }
    let bytes = stations.iter().map(Station::bytes).sum::<u64>() - bytes_before;
    let (mut asked, mut stores) = (Vec::new(), Vec::new());
    for mut station in stations {
        asked.push(station.camera.end().await?);
        station.agent.stop().await?;
        stores.push(station.agent.state().join("store"));
    }
    let mut rows = vec![
        Row::printed(
            "wire_bytes",
            bytes as f64 / f64::from(RELEASES) / DEVICES.len() as f64,
            "bytes a device and update",
        )
        .beside(bundle_bytes(&releases[1])?),
    ];
    rows.extend(latencies(&published, &asked)?);
    rows.push(verify::measure(stores.first().context("no device")?)?);
    rows.extend(switching(&published, &asked));
    Ok(rows)
}

impl Station {
    fn bytes(&self) -> u64 {
        self.broker.bytes() + self.door.bytes()
    }
}

/// Devices whose claims name wires as broker and door.
async fn stations(operator: &Operator, folder: &Path) -> Result<Vec<(Agent, Wire, Wire)>> {
    let mut stations = Vec::new();
    for name in DEVICES {
        let broker = Wire::to(address(&operator.endpoints().broker)?).await?;
        let door = Wire::to(address(&operator.endpoints().device_door)?).await?;
        let claim = folder.join(format!("{name}.claim"));
        operator.claim(&claim, None).await?;
        let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&claim)?)?;
        content["uplink"]["broker"] = format!("mqtts://{}", broker.address()).into();
        content["uplink"]["door"] = format!("https://{}/", door.address()).into();
        std::fs::write(&claim, content.to_string())?;
        let spec = AgentSpec {
            name: name.to_owned(),
            class: DEVICE_CLASS.to_owned(),
            gateway: false,
        };
        let mut agent = Agent::enrol(spec, &folder.join(name), &claim).await?;
        agent.start().await?;
        stations.push((agent, broker, door));
    }
    Ok(stations)
}

async fn with_cameras(stations: Vec<(Agent, Wire, Wire)>, folder: &Path) -> Result<Vec<Station>> {
    let scene = scenes::render(&folder.join("scene"), 1, 7)
        .await?
        .into_iter()
        .next()
        .context("no scene")?;
    let (x, y) =
        scenes::inner_point(&scene.largest_object()?).context("an object without an inside")?;
    let picture = std::fs::read(&scene.image)?;
    let mut running = Vec::new();
    for (agent, broker, door) in stations {
        let url = format!(
            "http://{}/v1/models/{MODEL}/segment",
            agent.doors()?.serving
        );
        let camera = Camera::start(url, picture.clone(), json!({"points": [{"x": x, "y": y}]}));
        running.push(Station {
            agent,
            broker,
            door,
            camera,
        });
    }
    Ok(running)
}

/// A release for the devices alone.
async fn release(workshop: &Workshop, flavour: u32) -> Result<ReleaseView> {
    let operator = workshop.operator();
    let build = workshop.order(DEVICE_CLASS, flavour).await?;
    operator.built(build, |_| ()).await?;
    operator.release(&[build]).await
}

/// Brings a release to all devices at once, and gives the moment before its desired states.
async fn roll_out(operator: &Operator, release: &ReleaseView) -> Result<Timestamp> {
    let count = u32::try_from(DEVICES.len())?;
    let begun = crate::now();
    let rollout = operator.roll_out(release.id, "all", count).await?;
    let view = operator.ended(rollout, ENDED_WITHIN, |_| ()).await?;
    ensure!(
        matches!(view.state, RolloutState::Completed { .. }),
        "the rollout ended as {:?}",
        view.state
    );
    Ok(begun)
}

fn address(url: &str) -> Result<SocketAddr> {
    let url = reqwest::Url::parse(url)?;
    let port = url
        .port_or_known_default()
        .context("an address without a port")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn bundle_bytes(release: &ReleaseView) -> Result<f64> {
    let build = release
        .builds
        .iter()
        .find(|build| build.device_class.as_str() == DEVICE_CLASS);
    let build = build.context("a release without a build for the devices")?;
    Ok((build.manifest_bytes + build.files_bytes) as f64)
}

/// From the operator's call, which comes before the desired state is published, to the first answer
/// of the new release.
fn latencies(published: &[(String, Timestamp)], asked: &[Vec<Asked>]) -> Result<Vec<Row>> {
    let mut seconds = Vec::new();
    for (release, begun) in published {
        for calls in asked {
            let first = answered_by(calls, release).with_context(|| {
                let failed = calls.iter().find_map(|call| call.release.as_ref().err());
                format!("nobody heard release {release} answer; a failed request: {failed:?}")
            })?;
            seconds.push(first.at.duration_since(*begun).as_secs_f64());
        }
    }
    Ok(vec![
        Row::printed("desired_to_serving_p50", quantile(&seconds, 0.5), "s"),
        Row::printed("desired_to_serving_p95", quantile(&seconds, 0.95), "s"),
    ])
}

/// What cameras felt: no failed request, and no slow ones between the operator's call and the moment when the
/// device has put the old bundle away.
fn switching(published: &[(String, Timestamp)], asked: &[Vec<Asked>]) -> Vec<Row> {
    let all = asked.iter().flatten();
    let failed = all.clone().filter(|call| call.release.is_err()).count();
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for calls in asked {
        for call in calls {
            let switched = published.iter().any(|(release, begun)| {
                let first = answered_by(calls, release).map_or(*begun, |first| first.at);
                (*begun..=first + AFTERWARDS).contains(&call.at)
            });
            let side = if switched { &mut inside } else { &mut outside };
            side.push(call.took.as_secs_f64() * 1e3);
        }
    }
    let (within, without) = (quantile(&inside, 0.99), quantile(&outside, 0.99));
    vec![
        Row::printed("requests", all.count() as f64, "requests while updating"),
        Row::printed("switch_failed", failed as f64, "failed requests").must("0", failed == 0),
        Row::printed("switch_p50", quantile(&inside, 0.5), "ms").beside(quantile(&outside, 0.5)),
        Row::printed("switch_p99", within, "ms")
            .beside(without)
            .must("≤ p99 outside + 5 ms", within <= without + 5.0),
    ]
}

/// The first answer by a release.
fn answered_by<'a>(calls: &'a [Asked], release: &String) -> Option<&'a Asked> {
    calls
        .iter()
        .find(|call| call.release.as_ref() == Ok(release))
}
