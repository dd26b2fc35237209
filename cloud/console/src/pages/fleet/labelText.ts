/** Labels between the API's map and the tags that a person types. */

export function writeLabels(labels: Record<string, string>): string[] {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`);
}

/** The map, or null while a tag is not `name=value`. A name given twice keeps its last value. */
export function readLabels(tags: string[]): Record<string, string> | null {
  const labels: Record<string, string> = {};
  for (const tag of tags) {
    const at = tag.indexOf("=");
    if (at < 1) return null;
    labels[tag.slice(0, at).trim()] = tag.slice(at + 1).trim();
  }
  return labels;
}
