import { type DragEvent, type ReactNode, useState } from "react";

type Props = { onFile: (file: File) => void; children: ReactNode };

/** A place to drop a file on. */
export function DropZone({ onFile, children }: Props) {
  const [over, setOver] = useState(false);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const file = event.dataTransfer.files[0];
    if (file) onFile(file);
  };
  const onDragOver = (event: DragEvent) => {
    event.preventDefault();
    setOver(true);
  };
  return (
    <div className="drop-zone" data-over={over} onDrop={onDrop} onDragOver={onDragOver} onDragLeave={() => setOver(false)}>
      {children}
    </div>
  );
}
