"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  // Theme. Where a page may not keep anything (some file: URLs), it holds for this visit.
  const theme = byId("theme");
  const recall = () => { try { return localStorage.getItem("portcullis-theme") || ""; } catch { return ""; } };
  const keep = (value) => { try { localStorage.setItem("portcullis-theme", value); } catch { /* see above */ } };
  const paint = (value) => {
    if (value === "light" || value === "dark") document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  };
  theme.parentElement.hidden = false;
  theme.value = recall();
  paint(theme.value);
  theme.addEventListener("change", () => { paint(theme.value); keep(theme.value); });

  const form = document.querySelector(".filter");
  if (!form) return;
  form.hidden = false;

  const say = (text) => { byId("status").textContent = text; };
  const groups = [...document.querySelectorAll(".object")].map((element) => ({
    element,
    namespace: element.dataset.namespace,
    heading: element.querySelector("h3").textContent + "\n" + element.querySelector(".source").textContent,
    findings: [...element.querySelectorAll(".finding")].map((finding) => ({
      element: finding, result: finding.dataset.result, rule: finding.dataset.rule, text: null,
    })),
  }));
  const total = groups.reduce((sum, group) => sum + group.findings.length, 0);

  // What a finding is searched in, read from the page when it is first asked for.
  const textOf = (group, finding) => {
    finding.text ??= (group.heading + "\n" + finding.element.textContent).toLowerCase();
    return finding.text;
  };

  const apply = () => {
    const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rule = byId("rule").value;
    const namespace = byId("namespace").value;
    const results = new Set([...form.querySelectorAll("[name=result]:checked")].map((box) => box.value));
    let findings = 0, objects = 0;
    for (const group of groups) {
      let visible = 0;
      const here = namespace === "" || group.namespace === namespace;
      for (const finding of group.findings) {
        const match = here && results.has(finding.result) &&
          (rule === "" || finding.rule === rule || finding.rule.startsWith(rule + "/")) &&
          words.every((word) => textOf(group, finding).includes(word));
        if (finding.element.hidden === match) finding.element.hidden = !match;
        if (match) visible++;
      }
      if (group.element.hidden === visible > 0) group.element.hidden = visible === 0;
      findings += visible;
      if (visible > 0) objects++;
    }
    byId("nothing").hidden = findings > 0;
    byId("shown").textContent = `${findings} of ${total} findings, in ${objects} of ${groups.length} objects`;
  };

  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(apply, 80); };
  byId("text").addEventListener("input", soon);
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    byId("text").focus();
  });

  // The fix with the place that it is for, in one line for a ticket or a chat.
  const copied = (finding) => {
    const part = (name) => finding.querySelector(name)?.textContent ?? "";
    return `${part(".place")} ${part(".field")}: ${part(".fix")}`.replace(/\s+/g, " ").trim();
  };
  // Without the clipboard interface, which a page over plain http does not have.
  const copyBySelection = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  const copy = async (button) => {
    const text = copied(button.closest(".finding"));
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = copyBySelection(text);
      button.focus();
    }
    button.textContent = done ? "Copied" : "Not copied";
    say(done ? "Copied: " + text : "The browser did not allow copying");
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const button = event.target.closest("button");
    if (button?.classList.contains("copy")) copy(button);
    const field = button?.classList.contains("rule-filter") ? "rule" : button?.classList.contains("namespace-filter") ? "namespace" : "";
    if (field) {
      form.reset();
      byId(field).value = button.value;
      setTimeout(() => { // after what the reset asks for
        apply();
        byId("findings").scrollIntoView();
        byId("findings").focus({ preventScroll: true });
      });
    }
  });
  apply();
})();
