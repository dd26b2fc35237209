/** What the fleet page says of devices. Pure. */
import type { Device, DeviceModel } from "../../api/client";
import { words } from "../../ui/format";

export type Filter = "all" | "gateway" | "device" | "attention";

/** Phases in which a device did not get where it should. */
const FAILED = ["failed", "rolled-back", "silent", "return-failed", "return-silent"];

/** A refusal is news for a day: afterwards it is history, and stands on the device's own page. */
const NEWS_MS = 24 * 3600 * 1000;

/** Whether a model's last word on a device is one that a person should look at. */
function troubled(model: DeviceModel): boolean {
  return model.phase != null && FAILED.includes(model.phase);
}

/** One word for a device: the worst of its models, with the named kind of failure if there is one. */
export function standing(device: Device): { state: string; reason: string | undefined } {
  const model = device.models.find(troubled) ?? device.models[0];
  const kind = model?.failure ? words(model.failure) : undefined;
  return { state: model?.phase ?? "none", reason: kind };
}

/** What a device refused within the last day, newest first. */
export function news(device: Device, now: number): Device["refused"] {
  return device.refused.filter((refused) => now - Date.parse(refused.at) < NEWS_MS);
}

/** Whether a device serves what is wanted of it, for every model. */
function serves(device: Device): boolean {
  const wanted = device.models.filter((model) => model.desired);
  return wanted.length > 0 && wanted.every((model) => model.active?.bundle === model.desired?.bundle);
}

/** Whether a person should look at a device. */
export function needsAttention(device: Device, now: number): boolean {
  return device.standing.state !== "enrolled" || device.models.some(troubled) || news(device, now).length > 0;
}

export function summary(devices: Device[], now: number) {
  const gateways = devices.filter((device) => device.role === "gateway").length;
  return {
    total: devices.length,
    gateways,
    behind: devices.filter((device) => device.gateway != null).length,
    serving: devices.filter(serves).length,
    attention: devices.filter((device) => needsAttention(device, now)).length,
  };
}

/** Whether a device is of the chosen kind and every searched word is in its name, class, gateway or labels. */
export function matches(device: Device, filter: Filter, text: string, now: number): boolean {
  const chosen = filter === "all" || (filter === "attention" ? needsAttention(device, now) : device.role === filter);
  const labels = Object.entries(device.labels).map(([name, value]) => `${name}=${value}`);
  const said = [device.name, device.class, device.gateway ?? "cloud", ...labels].join(" ").toLowerCase();
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  return chosen && wanted.every((word) => said.includes(word));
}
