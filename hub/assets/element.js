// Elements of the page, made in one call each, and buttons for what is done at a server.

/** An element with properties (`dataset`, `role` and `aria-…` too) and children; those that are null are left out. */
export function made(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "role" || name.startsWith("aria-") || name === "list") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Another text, where it is another one: what reads the page aloud is not told the same again. */
export function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** What is wrong, and what would be right, as a sentence. */
export function reason({ what, want, message }) {
  const text = what ?? message;
  const sentence = `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
  return want ? `${sentence} Needed: ${want}.` : sentence;
}

/** A button that does something at the server, and is not pressed twice meanwhile. What goes wrong is `said`. */
export function button(text, label, act, said) {
  const pressed = made("button", { type: "button", textContent: text, "aria-label": label });
  pressed.addEventListener("click", async () => {
    pressed.disabled = true;
    said.textContent = "";
    try {
      await act();
    } catch (error) {
      said.textContent = reason(error);
    } finally {
      pressed.disabled = false;
    }
  });
  return pressed;
}

/** The same for what cannot be taken back: it asks, and does it when it is pressed again before it is left. */
export function finalButton(text, label, act, said) {
  let isSure = false;
  const ask = (sure) => {
    isSure = sure;
    pressed.textContent = sure ? `${text}: sure?` : text;
    pressed.setAttribute("aria-label", sure ? `${text}: sure? ${label}, for ever` : label);
  };
  const pressed = button(text, label, async () => {
    if (!isSure) return ask(true);
    ask(false);
    await act();
  }, said);
  pressed.addEventListener("blur", () => !pressed.disabled && ask(false));
  return pressed;
}

/**
 * What a form does at the server, once at a time. `whose` says by whom it is done at the moment, which `act` is told; by nobody
 * nothing is. What goes wrong is said in the form, unless it is somebody else's by then.
 */
export function onSubmit(form, whose, act) {
  const [said, submit] = [form.querySelector(".error"), form.querySelector('[type="submit"]')];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const own = whose();
    if (!own) return;
    submit.disabled = true;
    said.textContent = "";
    try {
      await act(own);
    } catch (error) {
      if (own === whose()) said.textContent = reason(error);
    } finally {
      submit.disabled = false;
    }
  });
}

/** A secret that nobody shows again: it is there until it is put away, which `away` hears. */
export function secretOnce(what, value, away = () => {}) {
  const close = made("button", { type: "button", textContent: "Put away", "aria-label": `Put away: ${what}` });
  const note = made("p", { textContent: `${what}, shown this once: ` }, made("code", { className: "secret", textContent: value }));
  const shown = made("div", { className: "once", role: "status" }, note, close);
  close.addEventListener("click", () => {
    shown.remove();
    away();
  });
  return shown;
}
