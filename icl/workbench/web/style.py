"""The page's style sheet and its script: keys, names for screen readers, directions of writing."""

from __future__ import annotations

__all__ = ["COLOURS", "CSS", "HEAD", "JS"]


COLOURS = {
    "instruction": "#8a63d2",
    "shot input": "#2f81c7",
    "shot target": "#2e9e5b",
    "query": "#d9822b",
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
#template .cm-editor { height: calc(100vh - 400px); min-height: 240px; }
#template .cm-scroller { overflow: auto !important; }
#export .cm-editor { height: 400px; }
.cm-line { unicode-bidi: plaintext; text-align: start; }
textarea, input[type="text"] { unicode-bidi: plaintext; text-align: start; }
#desk .html-container, #brand .html-container, #chip .html-container {
  padding: 0 2px !important; }
#desk .column { gap: 8px; }
.captions { min-height: 0 !important; padding: 0 2px !important; }
.caption { margin: 2px 0 !important; font-size: 12px !important; line-height: 17px !important;
  color: #59636e !important; white-space: pre-wrap; overflow-wrap: anywhere; }
.dark .caption { color: #a8b0bb !important; }
.caption.wrong, .verdict.wrong b { color: #b42318 !important; }
.dark .caption.wrong { color: #ff8a80 !important; }
.dark .verdict.wrong b { color: #ff8a80 !important; }
.caption.remark { color: #8a5300 !important; }
.dark .caption.remark { color: #f0b95a !important; }
.verdict.right b { color: #146c2e !important; }
.dark .verdict.right b { color: #6fd08c !important; }
#problem { max-height: 88px; overflow: auto; }
#noted { min-height: 21px !important; }
#told { min-height: 40px !important; max-height: 60px; overflow: auto; }
#prompt .textfield { height: calc(100vh - 476px); min-height: 230px; overflow: auto; }
#heat .textfield { height: calc(100vh - 520px); min-height: 230px; overflow: auto; }
#answered { height: calc(100vh - 330px); min-height: 320px; overflow: auto; padding: 2px;
  border-top: 1px solid var(--border-color-primary); }
.legend { margin-bottom: 4px; display: flex; flex-wrap: wrap; gap: 4px; }
.legend span { padding: 0 6px; font-size: 11px; border-radius: 3px; }
pre.textfield, pre.said, pre.difference { margin: 0; white-space: pre-wrap; text-align: start;
  overflow-wrap: anywhere; line-break: auto; unicode-bidi: plaintext;
  font: 13px/20px var(--font-mono); color: var(--body-text-color); }
div.textfield { display: block; font: 0/19px var(--font-mono); word-break: normal; }
div.textfield .token { margin: 0 !important; padding: 0 !important; }
div.textfield .text { font-size: 13px; overflow-wrap: anywhere; padding: 2px 0; cursor: text;
  background: inherit; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.dark div.textfield .text, .dark .legend button { color: #ffffff !important; }
.dark div.textfield .text {
  background-image: linear-gradient(rgba(0, 0, 0, 0.25), rgba(0, 0, 0, 0.25)); }
div.textfield .line-break::after { content: "\\A"; white-space: pre; }
pre.textfield { padding: 8px; border: 1px solid var(--border-color-primary); border-radius: 4px; }
pre.said { max-height: 240px; overflow: auto; }
pre.difference { max-height: 200px; overflow: auto; }
ins, del { text-decoration: none; }
.instruction { background: #e5dcf5; color: #1c2024; }
.shot-input { background: #d6e7f6; color: #1c2024; }
.shot-target { background: #d2eeda; color: #1c2024; }
.query { background: #f8e3cb; color: #1c2024; }
.dark .instruction { background: #46366b; color: #ffffff; }
.dark .shot-input { background: #1f4a70; color: #ffffff; }
.dark .shot-target { background: #1f5636; color: #ffffff; }
.dark .query { background: #6b4416; color: #ffffff; }
.grade0 { background: #cfe9d8; color: #1c2024; } .grade1 { background: #e9edc0; color: #1c2024; }
.grade2 { background: #f8e3cb; color: #1c2024; } .grade3 { background: #f5d0d0; color: #1c2024; }
.dark .grade0 { background: #1f5636; color: #fff; }
.dark .grade1 { background: #565c16; color: #fff; }
.dark .grade2 { background: #6b4416; color: #fff; }
.dark .grade3 { background: #702626; color: #fff; }
#heat .text { cursor: pointer; }
.appended { border-bottom: 2px solid #8a63d2; }
.mark { outline: 1px solid currentColor; outline-offset: -1px; border-radius: 2px; font-size: 11px;
  padding: 0 1px; }
ins { background: #d2eeda; color: #1c2024; } del { background: #f5d0d0; color: #1c2024; }
.dark ins { background: #1f5636; color: #fff; } .dark del { background: #702626; color: #fff; }
.band { margin: 0 0 6px !important; padding: 5px 8px; border-radius: 4px; background: #fff1d6;
  color: #5c3a00 !important; }
.dark .band { background: #4a3510; color: #ffe3b0 !important; }
.empty { color: #59636e; } .dark .empty { color: #a8b0bb; }
.verdict { display: flex; flex-direction: column; margin: 2px 0 6px !important; font-size: 15px; }
.verdict b { font-size: 17px; overflow-wrap: anywhere; }
#answered h4 { margin: 8px 0 2px; font-size: 12px; }
ol.bars { list-style: none; margin: 0; padding: 0; }
ol.bars li { position: relative; display: flex; justify-content: space-between; gap: 8px;
  margin: 0 0 3px; padding: 2px 6px; min-height: 24px; overflow-wrap: anywhere; }
ol.bars li i { position: absolute; inset: 0 auto 0 0; background: #d6e7f6; border-radius: 3px; }
ol.bars li.right i { background: #bfe6cb; } ol.bars li.right { font-weight: 600; }
.dark ol.bars li i { background: #1f4a70; } .dark ol.bars li.right i { background: #1f5636; }
ol.bars li > span, ol.bars li > em { position: relative; font-style: normal; }
#answered summary { cursor: pointer; padding: 2px 6px; font-size: 12px; }
#brand { position: absolute; left: 4px; top: 9px; z-index: 2; width: auto !important; }
#brand b { font-size: 15px; } #brand p { margin: 0; }
#tabs > .tab-wrapper { padding-left: 118px; }
#chip { position: absolute; right: 4px; top: -40px; width: auto !important; z-index: 2;
  pointer-events: none; }
#chip .caption { border: 1px solid var(--border-color-primary); border-radius: 10px;
  padding: 1px 9px; }
@media (max-width: 900px) {
  #brand, #chip { position: static; } #tabs > .tab-wrapper { padding-left: 0; }
  #template .cm-editor { height: 320px; }
  #prompt .textfield, #heat .textfield, #answered { height: auto;
    min-height: 120px; max-height: 70vh; }
  #answer-buttons { position: fixed; bottom: 0; left: 0; right: 0; z-index: 50; padding: 8px 16px;
    background: var(--background-fill-primary); box-shadow: 0 -1px 4px rgba(0, 0, 0, 0.25); }
  #desk { padding-bottom: 60px; }
}
#rows, #shot-buttons, #answer-buttons, #feedback { flex-wrap: nowrap; align-items: center; }
#back, #forth { flex: none; width: 44px; min-width: 44px; }
#row { flex: none; width: 90px; } #row-facts { flex: 1; }
#run, #stop { height: 40px; }
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
.stale { opacity: 0.4; } .stale .stale { opacity: 1; }
body { --right: #1a7f37; --wrong: #b42318; }
body.dark { --right: #56d364; --wrong: #ff8a80; }
#rows-table .body-cell { cursor: pointer; }
#run-on { align-self: center; }
#rows-show .wrap { flex-wrap: nowrap; }
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

The prompts of other tabs are laid out as text, since Gradio's own layout drops blank lines; white
space that it puts between two pieces of one line is its own, so that has no width. Every paragraph
of a text has its own direction of writing (``unicode-bidi: plaintext``).
"""
HEAD = """<script>
(() => {
  const {getItem, setItem} = Storage.prototype;
  Storage.prototype.getItem = function (key) {
    const own = this === localStorage && String(key).startsWith("icl-");
    return (own ? getItem.call(sessionStorage, key) : null) ?? getItem.call(this, key);
  };
  Storage.prototype.setItem = function (key, value) {
    if (this === localStorage && String(key).startsWith("icl-"))
      setItem.call(sessionStorage, key, value);
    setItem.call(this, key, value);
  };
})();
</script>"""
"""Script that stores drafts for each browser tab: two tabs have two drafts, and each finds its own
after a reload. A new tab begins with what was written last. It runs before Gradio reads anything.
"""
JS = """
() => {
  document.addEventListener("keydown", event => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      // Run of this row is hidden while another choice is on the button.
      const seen = one => one.offsetParent !== null
        || (one.id === "run" && document.querySelector("#run-rows")?.offsetParent != null);
      const run = [...document.querySelectorAll("#run, .runs")]
        .find(one => !one.disabled && seen(one));
      if (run) run.click();
    }
    const editor = event.target.closest?.(".cm-editor");
    if (!editor || event.isComposing) return;
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "Escape" && !document.querySelector(".cm-tooltip, .cm-panel")) {
      const all = [...document.querySelectorAll(
        "input:enabled, textarea:enabled, button:enabled, select:enabled")];
      const next = all.find(one => one.offsetParent !== null && !editor.contains(one)
        && editor.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
      if (next) next.focus();
      else event.target.blur();
    }
    if (event.key === "Tab" && plain) event.stopPropagation();
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
  let query = "", top = 0;
  const place = shown => {
    const asked = shown.querySelector(".query");
    const text = asked ? asked.textContent : "";
    if (text !== query || !top) {
      const end = shown.scrollHeight - shown.clientHeight;
      top = asked ? Math.min(end, asked.offsetTop - shown.offsetTop) : 0;
      if (asked && asked.offsetHeight < shown.clientHeight) top = end;
    }
    query = text;
    shown.scrollTop = top;
    shown.addEventListener("scroll", () => { top = shown.scrollTop; });
  };
  const tidy = () => {
    for (const one of document.querySelectorAll('textarea, input[type="text"], input:not([type])'))
      if (one.dir !== "auto") one.dir = "auto";
    for (const id of ["told", "problem", "noted", "saved"])
      document.getElementById(id)?.setAttribute("aria-live", "polite");
    const shown = document.querySelector("#prompt pre.textfield:not([data-placed])");
    if (shown && shown.clientHeight) {
      shown.dataset.placed = "";
      place(shown);
    }
  };
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; tidy(); });
  }).observe(document.body, {childList: true, subtree: true});
  tidy();
}"""
"""Ctrl+Enter is handled before the editor, which would insert a line; 1 to 4 give a verdict in the
tab Blind A/B. Tab passes an editor by and Escape leaves it for the control below, so that the focus
never falls to nowhere. Elements that show only a symbol or a text get a name for screen readers,
every box of text its own direction of writing, and the prompt is scrolled to its query.
"""
