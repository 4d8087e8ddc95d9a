// What one channel said in the last minute and a half: points, holes between them, and what runs ahead of the log.
//
// Points come in order, from the complete subscription; they carry their publisher's time, so what drains late
// fills its hole in place. Latest values come from the conflating subscription and stand aside until the points
// have reached them. Pure: no page, no clock.

export const WINDOW_MS = 90_000;
const POINTS_MAX = 3000;
const AHEAD_MAX = 200;

export class Series {
  constructor() {
    /** [{time, value}], value null where it was no number. */
    this.points = [];
    /** Latest values that the points have not reached. */
    this.ahead = [];
    /** [{after, gone}]: gaps by the time of the last point before them. */
    this.gaps = [];
  }

  get last() {
    return this.points.at(-1) ?? null;
  }

  /** A message of the complete subscription. */
  add(time, value, session) {
    const last = this.last;
    // A publisher's clock may step back; the line may not.
    const at = last && time < last.time ? last.time : time;
    this.points.push({ time: at, value, session });
    let done = 0;
    while (done < this.ahead.length && this.ahead[done].time <= at) done += 1;
    if (done > 0) this.ahead.splice(0, done);
  }

  /** A message of the conflating subscription. */
  show(time, value, session) {
    const reached = this.last && time <= this.last.time;
    const known = this.ahead.length > 0 && time <= this.ahead.at(-1).time;
    if (reached || known) return;
    this.ahead.push({ time, value, session });
    if (this.ahead.length > AHEAD_MAX) this.ahead.shift();
  }

  /** Something is gone here, `{cause, count}` and what else is known of it; or by a time at which that was told. */
  gap(gone, told = Infinity) {
    const last = this.last?.time ?? (told === Infinity ? -Infinity : told);
    this.gaps.push({ after: Math.min(last, told), gone });
  }

  /** A session ended: what it said is not there any more. */
  wipe(session) {
    const stays = (point) => point.session !== session;
    this.points = this.points.filter(stays);
    this.ahead = this.ahead.filter(stays);
  }

  /** Forgets what has left the window. */
  trim(now) {
    const from = now - WINDOW_MS;
    let drop = Math.max(0, this.points.length - POINTS_MAX);
    // One point before the window stays: the line enters from the left.
    while (drop + 1 < this.points.length && this.points[drop + 1].time < from) drop += 1;
    if (drop > 0) this.points.splice(0, drop);
    while (this.ahead.length > 0 && this.ahead[0].time < from) this.ahead.shift();
    const first = this.points[0]?.time ?? -Infinity;
    this.gaps = this.gaps.filter(({ after }) => after >= first);
  }

  /** The usual distance of two points: the median of the newest. */
  pace() {
    const { points } = this;
    const steps = [];
    for (let i = Math.max(1, points.length - 24); i < points.length; i += 1) {
      steps.push(points[i].time - points[i - 1].time);
    }
    steps.sort((a, b) => a - b);
    return steps.length < 3 ? null : steps[steps.length >> 1];
  }

  /** From which distance on two points are not neighbours. */
  reach() {
    const pace = this.pace();
    return pace === null ? 6000 : Math.max(1500, pace * 4);
  }

  /** The newest thing that is known. */
  newest() {
    return this.ahead.at(-1) ?? this.last;
  }

  /** [{from, to, gone: {cause, count, …} | null}] up to now, within the window. */
  holes(now) {
    const reach = this.reach();
    const holes = [];
    const start = now - WINDOW_MS;
    const between = (from, to, isOpen) => {
      if (to - from <= reach || to < start) return;
      const gap = this.gaps.find(({ after }) => after >= from && after < to);
      if (gap || isOpen) holes.push({ from: Math.max(from, start), to, gone: gap?.gone ?? null });
    };
    // Points come in order: between two of them nothing is still to come, whoever was silent there.
    for (let i = 1; i < this.points.length; i += 1) between(this.points[i - 1].time, this.points[i].time, false);
    if (this.last) between(this.last.time, now, true);
    return holes;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * What a message shows: `{number, unit}` or `{text}`. A number is JSON, or an object's `value`, or the first
 * number in it. MQTT 3.1.1 cannot name a content type, so bytes are looked at too.
 */
export function shown(message) {
  let data = message.data;
  if (data === undefined) {
    try {
      data = decoder.decode(message.bytes);
    } catch {
      return { text: `${message.bytes.length} bytes` };
    }
  }
  if (typeof data === "string" && !message.type.includes("json")) {
    try {
      data = JSON.parse(data);
    } catch {
      return { text: data };
    }
  }
  if (typeof data === "number") return { number: data, unit: "" };
  if (data && typeof data === "object") {
    const number = typeof data.value === "number" ? data.value : Object.values(data).find((v) => typeof v === "number");
    if (number !== undefined) return { number, unit: typeof data.unit === "string" ? data.unit : "" };
  }
  return { text: typeof data === "string" ? data : JSON.stringify(data) };
}

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/**
 * A number as a person reads it: `[text, unit]`. `places` is how many decimals this channel was seen to have, so
 * that 46.0 between 45.9 and 46.1 keeps its width.
 */
export function readable(number, unit, places = decimals(number)) {
  if (unit === "B") {
    const power = Math.min(BYTES.length - 1, Math.floor(Math.log2(Math.max(1, Math.abs(number))) / 10));
    return [digits(number / 1024 ** power, power === 0 ? 0 : 2), BYTES[power]];
  }
  return [digits(number, places), unit];
}

/** How many decimals a number is written with, at most 2. */
export function decimals(number) {
  const [, fraction = ""] = String(number).split(".");
  return Math.min(2, fraction.length);
}

function digits(number, places) {
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if ((size !== 0 && size < 1e-3) || size >= 1e12) return number.toExponential(2);
  const most = Math.min(places, size >= 10_000 ? 0 : size >= 100 ? 1 : 2);
  const shown = { minimumFractionDigits: most, maximumFractionDigits: most };
  return number.toLocaleString("en", shown).replaceAll(",", "\u202f");
}

/** A count with its thousands apart. */
export function whole(number) {
  return Number(number).toLocaleString("en").replaceAll(",", "\u202f");
}

/** A duration: `0.4 s`, `12 s`, `3 min`, `2 h`. */
export function duration(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1000) return ms < 100 ? `${Math.max(0, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
