// The look of the API page: the console's colours, type and spacing. Every text pair is at least 4.5:1 in both themes.

export const style = `
:root {
  color-scheme: light dark;
  --canvas: light-dark(#F7F8FA, #0D1014); --surface: light-dark(#FFFFFF, #14181E); --sunken: light-dark(#EEF1F5, #0A0C10);
  --border: light-dark(#D9DEE6, #2A313B); --control: light-dark(#7C8798, #6B7686);
  --text: light-dark(#14181F, #E9EDF2); --text-2: light-dark(#4A5464, #AEB8C6); --text-3: light-dark(#5F6B7D, #8C97A7);
  --accent: light-dark(#2F5BEA, #7C9BFF); --on-accent: light-dark(#FFFFFF, #0B1020);
  --ok: light-dark(#0B7A4B, #4CC38A); --ok-bg: light-dark(#E3F5EC, #10281D);
  --warn: light-dark(#8A5A00, #E5B454); --warn-bg: light-dark(#FBF0D9, #2B2210);
  --bad: light-dark(#C0262D, #FF7B7B); --bad-bg: light-dark(#FCE8E8, #311618);
  --info: light-dark(#1663B8, #6CB2FF); --info-bg: light-dark(#E5F0FB, #10233A);
  --mono: "JetBrains Mono", ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; }
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body {
  display: grid; grid-template: 48px minmax(0, 1fr) / 248px minmax(0, 1fr);
  background: var(--canvas); color: var(--text); font: 13px/20px Inter, "Inter Variable", system-ui, "Segoe UI", Roboto, sans-serif;
}
h1, h2, h3, p { margin: 0; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -999px; z-index: 2; padding: 8px 12px; background: var(--surface); color: var(--accent); }
.skip:focus { left: 8px; top: 8px; }

header { grid-column: 1 / -1; display: flex; align-items: center; gap: 12px; padding: 0 16px; background: var(--surface); border-bottom: 1px solid var(--border); }
header h1 { font-size: 14px; font-weight: 620; }
header .kind { color: var(--text-3); }
header .space { flex: 1; }
header > * { white-space: nowrap; }
header a { color: var(--accent); text-decoration: none; }
header a:hover { text-decoration: underline; }
.mark { width: 20px; height: 20px; flex: none; }

nav { overflow: auto; padding: 12px 8px 24px; background: var(--surface); border-right: 1px solid var(--border); }
nav input { width: 100%; margin-bottom: 12px; }
nav h2 { display: flex; align-items: baseline; gap: 8px; margin: 16px 8px 4px; font-size: 12px; font-weight: 620; }
nav h2 span { color: var(--text-3); font-weight: 400; }
nav a { display: flex; align-items: center; gap: 8px; min-height: 28px; padding: 4px 8px; border-radius: 6px; color: var(--text-2); text-decoration: none; }
nav a:hover { background: var(--sunken); color: var(--text); }
nav a[aria-current] { background: var(--info-bg); color: var(--text); font-weight: 550; }
nav a .tag { flex: none; width: 38px; font: 11px/16px var(--mono); color: var(--text-3); }
nav a[aria-current] .tag { color: var(--accent); }

main { overflow: auto; padding: 24px; }
.view { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 24px; max-width: 1320px; align-items: start; }
.view > .title { grid-column: 1 / -1; }
.title h2 { font-size: 18px; line-height: 24px; font-weight: 620; }
.title .row { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-top: 8px; color: var(--text-2); }
.chip { display: inline-flex; align-items: center; gap: 4px; padding: 0 8px; border-radius: 4px; font-size: 12px; font-weight: 550; background: var(--sunken); color: var(--text-2); }
.chip.ok { background: var(--ok-bg); color: var(--ok); } .chip.warn { background: var(--warn-bg); color: var(--warn); }
.chip.bad { background: var(--bad-bg); color: var(--bad); } .chip.info { background: var(--info-bg); color: var(--info); }
.card { background: var(--surface); border: 1px solid var(--border); border-radius: 8px; overflow: hidden; }
.card + .card { margin-top: 16px; }
.card > h3 { display: flex; align-items: center; gap: 8px; min-height: 40px; padding: 0 16px; font-size: 13px; font-weight: 620; border-bottom: 1px solid var(--border); }
.card > h3 .space { flex: 1; }
.card .in { padding: 16px; }
.muted { color: var(--text-3); }
form { display: grid; grid-template-columns: 1fr 1fr; gap: 12px 16px; }
form .wide { grid-column: 1 / -1; }
label { display: block; margin-bottom: 4px; color: var(--text-2); font-size: 12px; line-height: 16px; font-weight: 550; }
label span { color: var(--text-3); font-weight: 400; }
input, select, textarea, button { font: inherit; color: inherit; font-weight: 400; }
code, pre, textarea, .mono { font-family: var(--mono); font-size: 12px; line-height: 18px; font-weight: 400; font-variant-ligatures: none; }
input, select, textarea { width: 100%; padding: 6px 8px; background: var(--surface); border: 1px solid var(--control); border-radius: 6px; }
input, select { height: 34px; }
input::placeholder { color: var(--text-3); opacity: 1; }
textarea { min-height: 112px; resize: vertical; background: var(--sunken); tab-size: 2; }
.join { display: flex; gap: 8px; }
button { height: 34px; padding: 0 12px; background: var(--surface); border: 1px solid var(--control); border-radius: 6px; cursor: pointer; white-space: nowrap; }
button:hover { background: var(--sunken); }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 550; }
button.primary:hover { filter: brightness(1.08); }
button:disabled { opacity: .6; cursor: default; }
button.quiet { height: 28px; padding: 0 8px; border-color: transparent; background: none; color: var(--text-2); font-size: 12px; }
button.quiet:hover { background: var(--sunken); color: var(--text); }
button[aria-pressed="true"], button[aria-selected="true"] { background: var(--info-bg); color: var(--text); font-weight: 550; }
.send { display: flex; align-items: center; gap: 12px; }
kbd { padding: 0 4px; border: 1px solid var(--border); border-radius: 4px; font: 11px/16px var(--mono); color: var(--text-3); }
pre { margin: 0; padding: 12px 16px; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--sunken); }
pre .k { color: var(--info); } pre .s { color: var(--ok); } pre .n { color: var(--warn); }
.heads { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 16px; margin: 0; padding: 12px 16px; border-bottom: 1px solid var(--border); font-family: var(--mono); font-size: 12px; line-height: 18px; }
.heads dt { color: var(--text-3); } .heads dd { margin: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.empty { padding: 24px 16px; color: var(--text-3); text-align: center; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th, td { padding: 6px 16px; text-align: left; vertical-align: top; border-top: 1px solid var(--border); }
tr:first-child > * { border-top: 0; }
td { overflow-wrap: anywhere; }
td:first-child { width: 34%; font-family: var(--mono); font-size: 12px; }
td .req { color: var(--bad); }
h4 { margin: 0; padding: 8px 16px; font-size: 12px; font-weight: 550; color: var(--text-2); background: var(--sunken); border-top: 1px solid var(--border); }
.card > h3 + h4 { border-top: 0; }
@media (max-width: 1080px) { .view { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 720px) {
  body { display: block; height: auto; } header { height: 48px; } header .kind, header a { display: none; } nav { border-right: 0; border-bottom: 1px solid var(--border); max-height: 40vh; }
  main { padding: 16px; } form { grid-template-columns: 1fr; }
}
@media (prefers-reduced-motion: no-preference) { button, nav a { transition: background-color 100ms; } }
`;
