"""The page's style sheet and its script: key bindings, and labels for screen readers."""

from __future__ import annotations

__all__ = ["COLOURS", "CSS", "HEAT", "JS"]


COLOURS = {
    "instruction": "#8a63d2",
    "shot input": "#2f81c7",
    "shot target": "#2e9e5b",
    "query": "#d9822b",
}
HEAT = {
    "over 50 %": "#2e9e5b",
    "10 to 50 %": "#a8b820",
    "1 to 10 %": "#d9822b",
    "under 1 %": "#cf3b3b",
}
CSS = """
button { font-family: inherit !important; }
button.primary { background: #c2410c !important; color: #ffffff !important; }
button.primary:hover { background: #9a3412 !important; }
body:not(.dark) button[role="tab"][aria-selected="true"] { color: #c2410c !important; }
body:not(.dark) .cm-line > span { filter: brightness(0.5); }
body:not(.dark) .cm-gutterElement { color: #59636e; }
.dark .cm-line > .ͼ2c { color: #9aa3b2 !important; }
::placeholder { color: #59636e !important; opacity: 1 !important; }
.dark ::placeholder { color: #a8b0bb !important; }
#template .cm-editor { height: 300px; }
#export .cm-editor { height: 400px; }
#prompt { height: 340px; overflow: auto; }
#heat { height: 300px; overflow: auto; }
.legend { margin-bottom: 6px; }
.textfield { display: block; font: 0/19px var(--font-mono); word-break: normal; }
.textfield .token { margin: 0 !important; padding: 0 !important; }
.textfield .text { font-size: 13px; overflow-wrap: anywhere; padding: 2px 0; cursor: text;
  background: inherit; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.dark .textfield .text, .dark .legend button { color: #ffffff !important; }
.dark .textfield .text {
  background-image: linear-gradient(rgba(0, 0, 0, 0.25), rgba(0, 0, 0, 0.25)); }
#heat .text { cursor: pointer; }
.textfield .line-break::after { content: "\\A"; white-space: pre; }
#problem textarea, #counts textarea, #told textarea, #output textarea, #reference textarea,
#scored textarea, #changed textarea { font-family: var(--font-mono); font-size: 12.5px; }
#rows, #shot-buttons, #answer-buttons, #feedback { flex-wrap: nowrap; align-items: stretch; }
#back, #forth { flex: none; width: 44px; min-width: 44px; }
#run, #stop { height: 46px; }
#labels, #calibrated { min-height: 424px; }
#output textarea { height: 180px !important; overflow-y: auto !important; }
#told textarea { height: 90px !important; overflow-y: auto !important; }
#scored textarea { height: 54px !important; overflow-y: auto !important; }
#shots { max-height: 250px; overflow: auto; }
#shots .wrap { flex-direction: column; flex-wrap: nowrap; gap: 4px; }
#shots label { width: 100%; padding: 3px 8px; }
#shots label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#c-diff { max-height: 300px; min-height: 90px; overflow: auto; }
.matrix { --good: #1a7f37; --bad: #b42318; --faint: #59636e; max-height: 620px; overflow: auto; }
.dark .matrix { --good: #56d364; --bad: #ff8a80; --faint: #a8b0bb; }
.matrix table { border: 0 !important; margin: 0 !important; border-collapse: separate;
  border-spacing: 0; width: 100%; font-size: 13px; }
.matrix th, .matrix td { border: 0 !important; border-bottom: 1px solid
  var(--border-color-primary) !important; padding: 4px 8px !important; text-align: start;
  vertical-align: top; font-weight: normal; min-width: 120px; max-width: 320px;
  overflow-wrap: anywhere; white-space: pre-line; }
.matrix th.wide, .matrix td.wide { min-width: 460px; max-width: none; }
.matrix thead th { position: sticky; top: 0; z-index: 1;
  background: var(--background-fill-primary); }
.matrix tbody th { min-width: 200px; }
.matrix small { display: block; color: var(--faint); font-size: 12px; }
.matrix td[data-row] { cursor: pointer; }
.matrix td[data-row]:focus { outline: 2px solid var(--a0, #0072b2); outline-offset: -2px; }
.matrix td[data-chosen] { background: var(--background-fill-secondary);
  box-shadow: inset 3px 0 0 var(--color-accent); }
.matrix .right .mark { color: var(--good); } .matrix .wrong .mark { color: var(--bad); }
.matrix em { display: block; font-style: normal; color: var(--faint); border-inline-start: 2px
  solid var(--color-accent); padding-inline-start: 6px; }
.columns > * { align-self: flex-start; }
#c-desk { min-width: max-content !important; }
#c-desk label span { white-space: nowrap; }
.running { align-items: flex-end; }
.running > button { flex: none; height: 42px; }
#c-output textarea, #c-reference textarea, #c-check textarea, #c-told textarea,
#x-told textarea, #x-check textarea, .printed textarea, #b-left textarea, #b-right textarea,
#b-input textarea, #b-told textarea { font-family: var(--font-mono); font-size: 12.5px; }
.printed textarea { white-space: pre; overflow-x: auto; }
body { --marked: #fdebd8; } body.dark { --marked: #4a3420; }
.progress { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; }
.progress progress { flex: 1 1 200px; height: 12px; appearance: none; border: 0;
  border-radius: 4px; overflow: hidden; background: var(--border-color-primary); }
.progress ::-webkit-progress-bar { background: var(--border-color-primary); }
.progress ::-webkit-progress-value { background: #c2410c; }
.progress ::-moz-progress-bar { background: #c2410c; }
.meter { display: flex; height: 12px; border-radius: 4px; overflow: hidden;
  background: var(--border-color-primary); }
.meter i { display: block; }
.wrong textarea { color: #b42318 !important; -webkit-text-fill-color: #b42318 !important; }
.dark .wrong textarea { color: #ff8a80 !important; -webkit-text-fill-color: #ff8a80 !important; }
.stale { opacity: 0.4; }
.figures, .heat { --a0: #0072b2; --a1: #c04f00; --a2: #00805c; --a3: #a8457f; --a4: #2b83ba;
  --a5: #946000; --f0: #1c2024; --f1: #8b939b; overflow: auto; }
.dark .figures, .dark .heat { --a0: #56b4e9; --a1: #ff8f47; --a2: #35c797; --a3: #e58fc0;
  --a4: #8fcdf0; --a5: #e6b23e; --f0: #e4e7ea; --f1: #7b848d; }
.figures figure { margin: 8px 0 16px; max-width: 600px; }
.figures svg text { font-family: system-ui, sans-serif; }
.figures figcaption { font-weight: 600; overflow-wrap: anywhere; }
.strips, .strips tr, .strips th, .strips td, .heat table, .heat tr, .heat th, .heat td {
  border: 0 !important; font-weight: normal; }
.strips { width: 100%; }
.strips th, .strips td { padding: 1px 8px 1px 0 !important; text-align: right;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
.strips th { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 80px; }
.strips td.line { width: 42%; min-width: 70px; }
.ends { display: flex; justify-content: space-between; }
.strip { overflow: visible; }
.strip line.whole { stroke: var(--f1); opacity: 0.4; }
.strip line.int { stroke: var(--a0); stroke-width: 3; opacity: 0.5; }
.strip circle { fill: var(--a0); } .strip .one { opacity: 0.6; } .strip .tick { fill: var(--a1); }
.heat { max-height: 620px; }
.heat table { font-size: 12px; width: auto; border-collapse: separate; border-spacing: 1px; }
.heat th { text-align: right; white-space: nowrap; padding: 1px 6px !important; }
.heat tr:first-child th { vertical-align: bottom; padding: 4px 0 !important; }
.heat tr:first-child span { writing-mode: vertical-rl; transform: rotate(180deg); }
.heat th + td, .heat td + td { min-width: 22px; text-align: center; padding: 2px !important;
  background: color-mix(in srgb, var(--a1) calc(75% * var(--share)), transparent); }
.heat tr td.same { background: color-mix(in srgb, var(--a2) calc(75% * var(--share)),
  transparent); }
#result-facts textarea, #result-output textarea { font-family: var(--font-mono);
  font-size: 12.5px; }
#result-prompt { max-height: 420px; overflow: auto; }
#result-pages { flex-wrap: nowrap; align-items: center; }
#result-back, #result-forth { flex: none; width: 44px; min-width: 44px; }
#result-conditions .body-cell, #result-records .body-cell { cursor: pointer; }
footer { display: none !important; }
"""
"""Boxes have the size of their later content, so that an answer moves nothing. Colours have a
contrast of 4.5:1 where Gradio's own do not: its orange, and the editor's, whose classes have no
names (the one named here is that of comments in its dark theme).

The prompt's lines are laid out as text, since Gradio's own layout drops blank ones; white space
that it puts between two pieces of one line is its own, so that has no width.
"""
JS = """
() => {
  document.addEventListener("keydown", event => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      const run = [...document.querySelectorAll("#run, .runs")]
        .find(one => !one.disabled && one.offsetParent !== null);
      if (run) run.click();
    }
    if (event.key === "Escape" && event.target.closest(".cm-content")) event.target.blur();
  }, true);
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input, textarea:enabled, [contenteditable], .cm-editor")) return;
    const verdict = { 1: "left", 2: "tie", 3: "right", 4: "skip" }[event.key];
    const button = verdict && document.querySelector(`#b-${verdict}-wins`);
    if (button && !button.disabled && button.offsetParent !== null) button.click();
  });
  const names = {back: "Previous row", forth: "Next row", template: "Template",
    export: "As experiment", "x-yaml": "Experiment"};
  document.addEventListener("focusin", event => {
    const part = event.target;
    const id = part.matches(".cm-content")
      ? Object.keys(names).find(one => part.closest("#" + one)) : part.id;
    if (id in names) part.setAttribute("aria-label", names[id]);
  });
}
"""
"""Ctrl+Enter is handled before the editor, which would insert a line; 1 to 4 give a verdict in the
tab Blind A/B. An editor captures Tab; Escape leaves the editor. Elements that show only a symbol or
a text get a name for screen readers."""
