import react from "@vitejs/plugin-react";
import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

// `npm run dev` serves the console by itself and passes API calls to a running `espalier up`.
const cloud = (mode: string) => loadEnv(mode, ".", "ESPALIER_").ESPALIER_URL ?? "http://127.0.0.1:7070";

export default defineConfig(({ mode }) => ({
  plugins: [react()],
  server: { proxy: { "/api": cloud(mode), "/version": cloud(mode) } },
  build: { outDir: "dist", emptyOutDir: true, sourcemap: false, chunkSizeWarningLimit: 900 },
  test: { environment: "jsdom", include: ["test/**/*.test.{ts,tsx}"], setupFiles: ["test/setup.ts"] },
}));
