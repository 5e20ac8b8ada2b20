import { fileURLToPath, URL } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The server that `npm run dev` talks to; the built page is served by the control plane itself.
const server = process.env["COX_PUBLIC_URL"] ?? "http://127.0.0.1:8000";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig(({ command }) => ({
  base: command === "build" ? "/static/app/" : "/",
  plugins: [react()],
  resolve: {
    alias: {
      "@": path("./src"),
      // @rjsf/core names this package in a helper of its tests that it exports; ours needs no eval and no 35 kB
      "@rjsf/validator-ajv8": path("./src/features/new-job/spec-validator.ts"),
    },
  },
  build: { outDir: "dist", manifest: true, sourcemap: false, chunkSizeWarningLimit: 700 },
  server: {
    proxy: {
      "/api": server,
      "/ws": { target: server.replace(/^http/, "ws"), ws: true },
    },
  },
  test: {
    environment: "jsdom",
    setupFiles: ["tests/setup.ts"],
    include: ["tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    server: { deps: { inline: [/@rjsf\//] } },
    testTimeout: 15_000,
  },
}));
