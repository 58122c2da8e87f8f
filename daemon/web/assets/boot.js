// The page is seen before its scripts are fetched and run: on two cores they would
// take turns with the first paint. A tab in the background paints nothing, and
// waits for nothing.
//
// What is done before they run is kept and done then. So this is no module: a module
// runs after the page stands, and what was done in between would be lost.

(() => {
  let asked = false;
  let pressed = null; // a button that a script answers
  let shift = false;
  const of = (e) => (e.target.id === "question" ? e.target : null);
  const kept = {
    keydown(e) {
      shift = e.shiftKey;
      const box = of(e);
      if (box && e.ctrlKey && (e.key === "]" || e.key === "\x1d")) {
        e.preventDefault(); // the sign that separates fields of a scanned code
        box.setRangeText("\x1d", box.selectionStart, box.selectionEnd, "end");
      }
    },
    beforeinput(e) {
      if (!of(e) || e.inputType !== "insertLineBreak" || shift) return;
      e.preventDefault();
      asked = true;
    },
    submit(e) {
      e.preventDefault();
      asked = true;
    },
    click(e) {
      pressed = e.target.closest("button[type=button]") ?? pressed;
    },
  };
  const each = (f) => Object.keys(kept).forEach((type) => f.call(window, type, kept[type], true));
  each(addEventListener);

  const start = async () => {
    await import("./page.js");
    each(removeEventListener);
    const box = document.getElementById("question");
    if (pressed) pressed.click();
    else if (asked) box.form.requestSubmit();
    else if (box.value) box.dispatchEvent(new InputEvent("input", { bubbles: true }));
  };

  const standing = () => (document.readyState === "loading" ? addEventListener("DOMContentLoaded", start) : start());
  if (document.hidden) standing();
  else requestAnimationFrame(() => setTimeout(standing));
})();
