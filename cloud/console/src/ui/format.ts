/** Numbers and times as people read them. Pure, so that tables and tests agree. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Bytes with three figures at most: `6.42 MiB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : significant(value)} ${UNITS[unit]}`;
}

/** Milliseconds, or seconds from one second up: `41.5 ms`, `1.24 s`. */
export function milliseconds(ms: number): string {
  return ms < 1000 ? `${significant(ms)} ms` : `${significant(ms / 1000)} s`;
}

/** A fraction of one as a percentage: `93.4 %`. */
export function percent(fraction: number): string {
  return `${significant(fraction * 100)} %`;
}

/** A whole number with thin groups: `3 504 872`. */
export function count(value: number): string {
  return new Intl.NumberFormat("en", { useGrouping: true }).format(value).replaceAll(",", "\u202f");
}

/** A number of things: `1 gateway`, `4 devices`. */
export function many(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
}

function significant(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** A span of whole seconds in its largest fitting unit: `45 s`, `10 min`, `1 h`, `1 h 30 min`. */
export function span(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest === 0 ? "" : ` ${rest} min`}`;
}

/** The middle of some figures; undefined where there are none. */
export function median(figures: number[]): number | undefined {
  const sorted = figures.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? half - 1 : half], sorted[half]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}

/** The time of day, to the second, on a clock of 24 hours: `09:29:27`. */
export function clock(at: string): string {
  return new Date(at).toLocaleTimeString([], { hourCycle: "h23" });
}

/** A day, with the month as a word: nobody reads it the wrong way round. */
export function day(at: string): string {
  return new Date(at).toLocaleDateString([], { dateStyle: "medium" });
}

/** How long ago `then` was, in the largest unit that says something: `12 s ago`. */
export function ago(then: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(then)) / 1000));
  if (Number.isNaN(seconds)) return "unknown";
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** The first twelve figures of a digest or id: enough to tell two apart, the whole is in the tooltip. */
export function short(digest: string): string {
  return digest.slice(0, 12);
}

/** A state's name as words: `rolled_back` reads `rolled back`. */
export function words(name: string): string {
  return name.replaceAll(/[_-]/g, " ").replaceAll(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`).toLowerCase();
}
