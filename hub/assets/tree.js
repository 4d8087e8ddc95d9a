// What a row says of an edge below an edge, as `/api/status` has it. Pure: no page, no clock.

import { duration, whole } from "./series.js";

/** What links do: a sign for who sees, and a word. */
export const STATES = {
  flowing: ["●", "flowing"],
  behind: ["◐", "catching up"],
  silent: ["◌", "silent"],
  offline: ["✕", "offline"],
  unknown: ["?", "unknown"],
};

/** How many edges lie between one and the edge whose card it is on. */
export function depth(edge) {
  return edge.path?.length ?? 0;
}

/** A row's state for its looks: that of a log without a name is that of the edge that brings it. */
export function state(edge, away) {
  return edge.state ?? (away ? "cut" : "reached");
}

/** What there is to read of it. `at` shows a moment as a text; `away` says that the edge that brings it is cut off. */
export function told(edge, away, at) {
  const gone = edge.gapped > 0 ? `, ${whole(edge.gapped)} gone` : "";
  const here = `${whole(edge.synced)} of ${whole(edge.accepted)} here${gone}`;
  if (edge.state === undefined) return `${away ? "cut off, " : ""}${here}`;
  const [sign, word] = STATES[edge.state] ?? ["?", edge.state];
  // Of an edge that is not heard only what was known is.
  const least = edge.state === "offline" || edge.state === "unknown";
  const since = least ? ` since ${at(edge.since)}` : "";
  const parts = [`${sign} ${word}${since}`];
  if (edge.backlog > 0) {
    const lag = edge.lag_ms === null ? "" : `, ${least ? "≥ " : ""}${duration(edge.lag_ms)}`;
    parts.push(`${least ? "at least " : ""}${whole(edge.backlog)} wait${lag}`);
    if (!least) parts.push(edge.eta_s === null ? "done in: unknown" : `done in ${duration(edge.eta_s * 1000)}`);
  } else if (!least) parts.push("nothing waits");
  if (edge.accepted > 0) parts.push(here);
  return parts.join(" · ");
}
