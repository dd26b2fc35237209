import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";

import { drawCrosshair, drawPrompt, maskImage } from "./overlay";
import type { Picture } from "./picture";
import { CLICK_SLACK, clicked, dragged, type Mode, type Prompt } from "./prompt";
import type { Mask } from "./rle";

type Props = {
  picture: Picture;
  mask: Mask | undefined;
  prompt: Prompt;
  mode: Mode;
  onPrompt: (prompt: Prompt) => void;
};

/** A share of the picture that an arrow key moves the cross-hair by. */
const STEP = 0.02;
const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The picture with the mask over it. A click, a dragged box, or arrows and Enter make a prompt. */
export function PromptCanvas({ picture, mask, prompt, mode, onPrompt }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [start, setStart] = useState<PointerEvent | null>(null);
  const [drag, setDrag] = useState<Prompt | null>(null);
  const [cursor, setCursor] = useState<[number, number] | null>(null);

  useEffect(() => {
    const pen = canvas.current?.getContext("2d");
    if (pen) draw(pen, picture, mask, drag ?? prompt, cursor);
  }, [picture, mask, prompt, drag, cursor]);

  const at = (event: { clientX: number; clientY: number }): [number, number] => {
    const frame = canvas.current?.getBoundingClientRect();
    if (!frame) return [0, 0];
    return [
      clamp(((event.clientX - frame.left) / frame.width) * picture.width, picture.width),
      clamp(((event.clientY - frame.top) / frame.height) * picture.height, picture.height),
    ];
  };
  const moved = (event: PointerEvent) =>
    start !== null && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > CLICK_SLACK;

  const onPointerDown = (event: PointerEvent<HTMLCanvasElement>) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    setCursor(null);
    setStart(event);
  };
  const onPointerMove = (event: PointerEvent) => {
    if (start && moved(event)) setDrag(dragged(at(start), at(event)));
  };
  const onPointerUp = (event: PointerEvent) => {
    if (!start) return;
    onPrompt(moved(event) ? dragged(at(start), at(event)) : clicked(prompt, modeOf(event, mode), ...at(event)));
    setStart(null);
    setDrag(null);
  };
  const onPointerCancel = () => {
    setStart(null);
    setDrag(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const [x, y] = cursor ?? [picture.width / 2, picture.height / 2];
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = STEP * Math.max(picture.width, picture.height);
      setCursor([clamp(x + arrow[0] * step, picture.width), clamp(y + arrow[1] * step, picture.height)]);
    } else if (event.key === "Enter" || event.key === " ") {
      onPrompt(clicked(prompt, modeOf(event, mode), x, y));
    } else {
      return;
    }
    event.preventDefault();
  };

  return (
    <div className="picture">
      <img src={picture.url} alt={picture.name} draggable={false} />
      <canvas
        ref={canvas}
        width={picture.width}
        height={picture.height}
        tabIndex={0}
        role="application"
        aria-label="Picture. Click an object or drag a box around it. With the keyboard: arrows move, Enter asks."
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerCancel={onPointerCancel}
        onKeyDown={onKeyDown}
        onContextMenu={(event) => event.preventDefault()}
      />
    </div>
  );
}

/** Shift says "not this", Control "this too"; without a key it is the chosen mode. */
function modeOf(event: { shiftKey: boolean; ctrlKey: boolean; metaKey: boolean }, mode: Mode): Mode {
  if (event.shiftKey) return "remove";
  return event.ctrlKey || event.metaKey ? "add" : mode;
}

function clamp(value: number, size: number): number {
  return Math.min(Math.max(value, 0), size - 1);
}

function draw(
  pen: CanvasRenderingContext2D,
  picture: Picture,
  mask: Mask | undefined,
  prompt: Prompt,
  cursor: [number, number] | null,
) {
  pen.clearRect(0, 0, picture.width, picture.height);
  if (mask && mask.width === picture.width && mask.height === picture.height) {
    pen.putImageData(maskImage(mask), 0, 0);
  }
  // One screen pixel in pixels of the picture, so that dots look alike on any picture.
  const shown = pen.canvas.getBoundingClientRect().width || picture.width;
  const unit = picture.width / shown;
  drawPrompt(pen, prompt, unit);
  if (cursor) drawCrosshair(pen, ...cursor, unit);
}
