import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";

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

type Place = [x: number, y: number];

/** A share of the picture that an arrow key moves the cross-hair by. */
const STEP = 0.02;
const ARROWS: Record<string, Place> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The picture with the mask over it. A click, a dragged box, or the keyboard make a prompt. */
export function PromptCanvas({ picture, mask, prompt, mode, onPrompt }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [start, setStart] = useState<PointerEvent | null>(null);
  const [drag, setDrag] = useState<Prompt | null>(null);
  const [cursor, setCursor] = useState<Place | null>(null);
  const [corner, setCorner] = useState<Place | null>(null);
  const overlay = useMemo(() => mask && maskImage(mask), [mask]);
  const box = drag ?? (corner && cursor ? dragged(corner, cursor) : prompt);

  useEffect(() => {
    const pen = canvas.current?.getContext("2d");
    if (pen) draw(pen, overlay, box, cursor);
  }, [overlay, box, cursor]);

  const at = (event: { clientX: number; clientY: number }): Place => {
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
    setCorner(null);
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
    const here = cursor ?? [picture.width / 2, picture.height / 2];
    const arrow = ARROWS[event.key];
    if (arrow) {
      setCursor(stepped(here, arrow, picture));
    } else if (event.key === "Enter" || event.key === " ") {
      onPrompt(clicked(prompt, modeOf(event, mode), ...here));
    } else if (event.key === "b") {
      onCorner(here);
    } else if (event.key === "Escape") {
      setCorner(null);
      setCursor(null);
      onPrompt({ points: [] });
    } else {
      return;
    }
    event.preventDefault();
  };
  const onCorner = (here: Place) => {
    setCursor(here);
    setCorner(corner ? null : here);
    if (corner) onPrompt(dragged(corner, here));
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
        aria-label="Picture. Click an object or drag a box around it. Keyboard: arrows move, Enter asks, B begins and ends a box, Escape clears."
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

function stepped([x, y]: Place, [right, down]: Place, { width, height }: Picture): Place {
  const step = STEP * Math.max(width, height);
  return [clamp(x + right * step, width), clamp(y + down * step, height)];
}

function clamp(value: number, size: number): number {
  return Math.min(Math.max(value, 0), size - 1);
}

function draw(pen: CanvasRenderingContext2D, overlay: ImageData | undefined, prompt: Prompt, cursor: Place | null) {
  const { canvas } = pen;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (overlay) pen.putImageData(overlay, 0, 0);
  // One screen pixel in pixels of the picture, so that dots look alike on any picture.
  const unit = canvas.width / (canvas.getBoundingClientRect().width || canvas.width);
  drawPrompt(pen, prompt, unit);
  if (cursor) drawCrosshair(pen, ...cursor, unit);
}
