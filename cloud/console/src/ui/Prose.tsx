import { Code } from "@mantine/core";

/** A sentence of the server's; what stands between backticks is shown as what a person types. */
export function Prose({ text }: { text: string }) {
  // Every second piece stands between two backticks; one without its partner is left as it is.
  const pieces = text.split(/`([^`]+)`/);
  return pieces.map((piece, place) => (place % 2 === 1 ? <Code key={place}>{piece}</Code> : piece));
}
