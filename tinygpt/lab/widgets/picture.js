// Shows the picture that the kernel sends, tells it where the pointer is, and names the controls for screen readers.

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  const answers = Boolean(model.get("hint"));  // a picture that does nothing leaves touch and keys to the page
  canvas.style.cursor = answers ? "crosshair" : "default";
  if (answers) canvas.style.touchAction = "none";
  const caption = document.createElement("p");
  el.classList.add("tinygpt-picture");
  el.append(canvas, caption);

  let decoding = false, wanted = false;
  async function show() {  // the latest picture wins; at most one is being decoded
    wanted = true;
    if (decoding) return;
    decoding = true;
    try {
      while (wanted) {
        wanted = false;
        const bytes = model.get("image");
        if (!bytes || !bytes.byteLength) break;
        const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
        if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
          canvas.width = bitmap.width;
          canvas.height = bitmap.height;
        }
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
        caption.textContent = model.get("caption");
        canvas.setAttribute("aria-label", [model.get("caption"), model.get("hint")].join(" ").trim());
        canvas.dataset.frame = model.get("frame");
      }
    } finally {  // a picture that cannot be decoded is not the last
      decoding = false;
    }
  }
  model.on("change:frame", show);
  show();

  function point(event) {
    const box = canvas.getBoundingClientRect();
    model.set("pointer", [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    model.save_changes();
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (!answers) return;
    canvas.setPointerCapture(event.pointerId);
    point(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) point(event);
  });
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (!answers || !(event.key in arrows)) return;
    event.preventDefault();
    event.stopPropagation();
    try {
      model.send({ nudge: arrows[event.key] });
    } catch { /* the kernel is gone, and the last picture stays */ }
  });
  canvas.setAttribute("data-lm-suppress-shortcuts", "true");

  function report() {  // what the kernel must know to draw for this screen
    model.set("ratio", Math.min(Math.max(window.devicePixelRatio || 1, 1), 3));
    model.set("theme", document.body.dataset.jpThemeLight === "false" ? "dark" : "light");
    if (el.clientWidth) model.set("narrow", el.clientWidth < 600);
    model.save_changes();
  }
  const themes = new MutationObserver(report);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  const sizes = new ResizeObserver(report);
  sizes.observe(el);
  window.addEventListener("resize", report);

  function name() {  // sliders and play buttons have no accessible name of their own
    naming = 0;
    for (const row of root.querySelectorAll(".widget-slider, .widget-hslider")) {
      const handle = row.querySelector(".noUi-handle");
      if (!handle) continue;
      const label = row.querySelector(".widget-label");
      handle.setAttribute("aria-label", label?.title || label?.textContent || "");
      handle.setAttribute("aria-valuetext", row.querySelector(".widget-readout")?.textContent || "");
      handle.setAttribute("data-lm-suppress-shortcuts", "true");
    }
    for (const icon of root.querySelectorAll(".widget-play button i")) {
      icon.parentElement.setAttribute("aria-label", icon.className.replace(/.*fa-(\w+).*/, "$1"));  // play, pause, stop
    }
  }
  let root, naming = 0;
  const names = new MutationObserver(() => { naming ||= requestAnimationFrame(name); });
  requestAnimationFrame(() => {
    root = el.closest(".tinygpt-instrument") || el;
    names.observe(root, {
      childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["class"],
    });
    name();
  });

  return () => {
    model.off("change:frame", show);
    [themes, sizes, names].forEach((observer) => observer.disconnect());
    window.removeEventListener("resize", report);
  };
}

export default { render };
