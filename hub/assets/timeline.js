// What one channel said since a moment: points by their publisher's time, what is gone between them and why, and what
// was there at any moment of it. Pure: no page, no clock.
//
// Messages come in the log's order. That is not the order of time where two publish, or a clock stepped: each is put
// where its time is. A gap lies where it was told, between the messages around it.

import { shown } from "./series.js";

/** Messages that are kept: what a phone holds and a plot can show. Who wants more goes on from the last one. */
export const KEPT_MAX = 20_000;

export class Timeline {
  /** `from` is the moment that was asked for, or null for the beginning. */
  constructor(from, most = KEPT_MAX) {
    this.from = from;
    this.most = most;
    /** [{time, value, text, client, pos}], by time; value is null where it is no number. */
    this.points = [];
    /** [{after, before, cause, count}]: times of the messages around it, null where there is none yet. */
    this.gaps = [];
    /** [{at, gone}]: what is gone of edges, by when that was told. Which channels that were is not known. */
    this.lost = [];
    /** Of the message that came last: the log's order, not that of time. */
    this.reached = null;
  }

  get isFull() {
    return this.points.length >= this.most;
  }

  /** Takes a message. */
  add(message) {
    const { time, client, pos } = message;
    const { number = null, unit = "", text } = shown(message);
    const point = { time, value: number, unit, text: text ?? null, client, pos, session: message.session };
    this.points.splice(this.#after(time), 0, point);
    for (const gap of this.gaps) gap.before ??= time;
    this.reached = time;
    return point;
  }

  /** A session ended: what it said is not there any more. */
  wipe(session) {
    this.points = this.points.filter((point) => point.session !== session);
  }

  /** Something is gone here. */
  gap(cause, count) {
    this.gaps.push({ after: this.reached, before: null, cause, count });
  }

  /** Something of an edge is gone, which was told then. */
  lose(at, gone) {
    this.lost.push({ at, gone });
  }

  /**
   * Where what is gone was: [{from, to, cause, count}], from the moment that was asked for up to `now`; and with `edge` where
   * it was told that something of an edge is gone, at which a line goes on. By when it began.
   */
  holes(now) {
    const first = this.from ?? this.points[0]?.time ?? now;
    const own = this.gaps.map(({ after, before, cause, count }) => {
      const [from, to] = [after ?? first, before ?? now].sort((a, b) => a - b);
      return { from, to, cause, count };
    });
    const since = Math.min(first, now);
    const told = this.lost.filter(({ at }) => at >= since && at <= now);
    return own.concat(told.map(({ at, gone }) => ({ from: at, to: at, ...gone }))).sort((a, b) => a.from - b.from);
  }

  /** Its beginning and end, `now` at the latest. */
  reach(now) {
    const from = this.from ?? this.points[0]?.time ?? now;
    return { from: Math.min(from, now), to: Math.max(now, this.points.at(-1)?.time ?? now) };
  }

  /** What was the newest at a moment; null before the first. */
  at(time) {
    return this.points[this.#after(time) - 1] ?? null;
  }

  /** The newest of a moment, the newest first, at most so many. */
  before(time, most) {
    const end = this.#after(time);
    return this.points.slice(Math.max(0, end - most), end).reverse();
  }

  /** Lowest and highest number of all; null where there is none. */
  bounds() {
    let low = Infinity;
    let high = -Infinity;
    for (const { value } of this.points) {
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return low <= high ? { low, high } : null;
  }

  /**
   * Runs of points without a hole between them, thinned to the first, lowest, highest and last of each of `columns`
   * equal stretches of time: what a plot so many pixels wide can show, in order.
   */
  runs(now, columns) {
    const { from, to } = this.reach(now);
    const width = Math.max(1, (to - from) / columns);
    const holes = this.holes(now).filter(({ edge }) => edge === undefined);
    const runs = [];
    let run = [];
    let column = null;
    const flush = () => {
      if (!column) return;
      run.push(...[...new Set([column.first, column.low, column.high, column.last])].sort((a, b) => a.time - b.time));
      column = null;
    };
    const end = () => {
      flush();
      if (run.length > 0) runs.push(run);
      run = [];
    };
    let last = null;
    for (const point of this.points) {
      if (point.value === null) continue;
      if (last && holes.some((hole) => hole.from >= last.time && hole.to <= point.time)) end();
      const at = Math.floor((point.time - from) / width);
      if (column?.at !== at) {
        flush();
        column = { at, first: point, low: point, high: point, last: point };
      }
      if (point.value < column.low.value) column.low = point;
      if (point.value > column.high.value) column.high = point;
      column.last = point;
      last = point;
    }
    end();
    return runs;
  }

  /** How many points are not after that time. */
  #after(time) {
    const { points } = this;
    if (points.length === 0 || points.at(-1).time <= time) return points.length;
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle].time <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The newest of these holes, at most so many of the channel's own and as many of edges: neither kind crowds out the other. */
export function newest(holes, most) {
  const [own, told] = [false, true].map((isTold) => holes.filter(({ edge }) => (edge !== undefined) === isTold));
  const kept = new Set([...own.slice(-most), ...told.slice(-most)]);
  return holes.filter((hole) => kept.has(hole));
}
