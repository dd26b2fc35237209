/** What a device says about its hardware, as names and values for people. Pure. */
import { bytes, words } from "../../ui/format";

/** Facts in the order in which the device gave them. Members that a later version adds are shown as they are. */
export function inventoryFacts(inventory: Record<string, unknown>): [name: string, value: string][] {
  return Object.entries(inventory).map(([name, value]) =>
    name.endsWith("_bytes") && typeof value === "number"
      ? [words(name.slice(0, -"_bytes".length)), bytes(value)]
      : [words(name), text(value)],
  );
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
