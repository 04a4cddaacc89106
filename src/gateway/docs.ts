// The API page at /docs: one page, offline, that lists what the application offers and lets a person try it. It is served without
// credentials because it holds none of the application: names and schemas come from /openapi.json, which asks for a key where one
// is required. Script and style are files of this origin, so the policy allows nothing inline.

import type { Edge } from "../http/index.ts";
import { script } from "./docs-script.ts";
import { style } from "./docs-style.ts";

const mark =
  '<svg class="mark" viewBox="0 0 20 20" aria-hidden="true"><g fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round">' +
  '<path d="M10 18V9M10 12C6 11 4.500 8 4.500 3c3 1.500 5 4 5.500 9M10 12c4-1 5.500-4 5.500-9-3 1.500-5 4-5.500 9"/><path d="M7 15.500h6"/></g></svg>';

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/style.css">
<script src="/docs/script.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header>
  ${mark}<h1 id="app">API</h1><span class="kind">HTTP API</span>
  <span class="space"></span>
  <span id="ready" class="chip" role="status"></span>
  <a href="/openapi.json">openapi.json</a>
  <button id="theme" class="quiet" type="button">Theme: system</button>
</header>
<nav id="nav" aria-label="Operations"></nav>
<main id="main" tabindex="-1"><noscript>This page needs JavaScript. The same document, for machines, is at /openapi.json.</noscript></main>
</body>
</html>
`;

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Adds `/docs` and its two files. */
export function docs(edge: Edge): void {
  const serve = (at: string, type: string, body: string): void =>
    edge.open("GET", at, () => ({
      status: 200,
      headers: {
        "content-type": `${type}; charset=utf-8`,
        "content-security-policy": policy,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
      },
      body,
    }));
  serve("/docs", "text/html", page);
  serve("/docs/style.css", "text/css", style);
  serve("/docs/script.js", "text/javascript", script);
}
