/** What the fleet page says of devices. Pure. */
import type { Device, DeviceModel } from "../../api/client";

export type Filter = "all" | "gateway" | "device" | "attention";

/** Phases in which a device did not get where it should. */
const FAILED = ["failed", "rolled-back", "silent", "return-failed", "return-silent"];

/** Whether a model's last word on a device is one that a person should look at. */
function troubled(model: DeviceModel): boolean {
  return model.phase != null && FAILED.includes(model.phase);
}

/** One word for a device: the worst of its models, with the named kind of failure if there is one. */
export function standing(device: Device): { state: string; reason: string | undefined } {
  const model = device.models.find(troubled) ?? device.models[0];
  return { state: model?.phase ?? "none", reason: model?.failure ?? undefined };
}

/** Whether a device serves what is wanted of it, for every model. */
function serves(device: Device): boolean {
  const wanted = device.models.filter((model) => model.desired);
  return wanted.length > 0 && wanted.every((model) => model.active?.bundle === model.desired?.bundle);
}

/** Whether a person should look at a device. */
export function needsAttention(device: Device): boolean {
  return device.certificate.revoked || device.models.some(troubled) || device.refused.length > 0;
}

export function summary(devices: Device[]) {
  return {
    total: devices.length,
    gateways: devices.filter((device) => device.role === "gateway").length,
    serving: devices.filter(serves).length,
    failing: devices.filter(needsAttention).length,
  };
}

/** Whether a device is of the chosen kind and every searched word is in its name, class, gateway or labels. */
export function matches(device: Device, filter: Filter, text: string): boolean {
  const chosen = filter === "all" || (filter === "attention" ? needsAttention(device) : device.role === filter);
  const labels = Object.entries(device.labels).map(([name, value]) => `${name}=${value}`);
  const said = [device.name, device.class, device.gateway ?? "cloud", ...labels].join(" ").toLowerCase();
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  return chosen && wanted.every((word) => said.includes(word));
}
