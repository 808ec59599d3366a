import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// During development the data comes from a running server: HINOMI=http://127.0.0.1:9090, ALERTMANAGER if it is apart.
const server = process.env.HINOMI ?? "http://127.0.0.1:9090";
const alertmanager = process.env.ALERTMANAGER ?? server;
const proxy = { "/api/v1": server, "/-": server, "/metrics": server, "/api/v2": alertmanager };

// The same policy as the server sends, so that what it forbids fails here first.
const headers = {
  "Content-Security-Policy":
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
};

export default defineConfig({
  // Relative to <base>, which the server sets to its route prefix.
  base: "./",
  plugins: [react()],
  server: { host: "127.0.0.1", port: 5173, proxy },
  preview: { host: "127.0.0.1", port: 4173, proxy, headers },
  build: {
    target: "es2022",
    // Fonts and pictures are few and small; a data: address would need a wider content policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
  test: { environment: "node", include: ["src/**/*.test.ts"], env: { TZ: "Asia/Tokyo" } },
});
