/**
 * Server-sent events read with `fetch`: the browser's own EventSource cannot send a token, and a token
 * in an address would end up in logs.
 */

/** Cuts a text stream into the `data` of events. */
export class EventParser {
  private pending = "";

  /** Takes the next text and gives the data of every event that is whole now. */
  feed(text: string): string[] {
    this.pending += text.replaceAll("\r", "");
    const blocks = this.pending.split("\n\n");
    this.pending = blocks.pop() ?? "";
    return blocks.map(dataOf).filter((data) => data !== "");
  }
}

function dataOf(block: string): string {
  return block
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice("data:".length).replace(/^ /, ""))
    .join("\n");
}

/** Calls `each` with the data of every event until the server ends the stream or `signal` aborts it. */
export async function follow(
  address: string,
  token: string,
  signal: AbortSignal,
  opened: () => void,
  each: (data: string) => void,
): Promise<void> {
  const response = await fetch(address, {
    headers: { accept: "text/event-stream", authorization: `Bearer ${token}` },
    signal,
  });
  if (!response.ok || !response.body) throw new Error(`events: status ${response.status}`);
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parser.feed(value).forEach(each);
  }
}
