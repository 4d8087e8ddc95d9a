// Signing in and out. Where the hub gives cookies, the password is shown once and kept nowhere: what comes back is a
// cookie that no script reads. Where it gives none, the password stays in this page's memory until it is left.

const LOGIN = "/api/login";
const LOGOUT = "/api/logout";

/** What is wrong, as the hub says it. */
export class Refused extends Error {
  constructor({ code, what, want = "" }) {
    super(what);
    Object.assign(this, { code, what, want });
  }
}

/** Who is signed in. */
export class Session {
  constructor({ account, user, password = null }) {
    this.account = account;
    this.user = user;
    /** Null where a cookie says it. */
    this.password = password;
    /** The hub has let this one in before: what is refused from here on is a room. */
    this.isProven = password === null;
  }

  /** What a room of the account is shown. */
  get credential() {
    return this.password === null ? undefined : { user: this.user, password: this.password };
  }

  /** What the front door is shown, which belongs to no account. */
  get frontCredential() {
    return this.password === null ? undefined : { user: `${this.account}/${this.user}`, password: this.password };
  }

  /** For requests. */
  get headers() {
    if (this.password === null) return {};
    const bytes = new TextEncoder().encode(`${this.account}/${this.user}:${this.password}`);
    return { authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
  }

  async end() {
    if (this.password === null) await fetch(LOGOUT, { method: "POST" }).catch(() => {});
  }
}

/** Whoever a cookie of this browser says, or null. */
export async function known() {
  try {
    const answer = await fetch(LOGIN, { cache: "no-store" });
    if (!answer.ok) return null;
    const { account, name } = await answer.json();
    return new Session({ account, user: name });
  } catch {
    return null;
  }
}

/** What the providers of an account are called that people may sign in with; none where there is no such door. */
export async function providersOf(account) {
  try {
    const answer = await fetch(`${LOGIN}/providers?${new URLSearchParams({ account })}`, { cache: "no-store" });
    if (!answer.ok) return [];
    return (await answer.json()).providers;
  } catch {
    return [];
  }
}

/** Where a provider is asked who this is, by its place in that list. It sends the person back here. */
export function wayTo({ account, provider, room }) {
  return `${LOGIN}/with?${new URLSearchParams({ account, provider, room })}`;
}

const WAYS = {
  unknown: { what: "there is no such provider for this account any more", want: "another way to sign in" },
  away: { what: "the provider does not answer", want: "to come back in a moment, or another way to sign in" },
  late: { what: "this sign-in was not begun in this browser, or took too long", want: "to begin again here" },
  refused: { what: "the provider did not let you in, or you are not known here", want: "a user of this account" },
  too_many: { what: "wrong too often from there", want: "to come back in some minutes" },
};

/** Why who was sent to a provider came back without being signed in, as this page's address says it; null if it does not. */
export function cameBack() {
  const word = new URLSearchParams(location.search).get("signin");
  if (word === null) return null;
  history.replaceState(null, "", `${location.pathname}${location.hash}`);
  return Object.hasOwn(WAYS, word) ? WAYS[word] : WAYS.refused;
}

/** Signs in; throws what the hub refuses. */
export async function signIn({ account, user, password }) {
  const body = JSON.stringify({ user: `${account}/${user}`, password });
  const answer = await fetch(LOGIN, { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
  if (answer?.ok) return new Session({ account, user });
  // No such door here, or nobody hears at the moment: rooms say for themselves whom they let in.
  if (!answer || answer.status === 404 || answer.status === 405) return new Session({ account, user, password });
  const { error } = await answer.json().catch(() => ({ error: { code: "unreachable", what: `the hub answers ${answer.status}` } }));
  // A page that gets no cookie over plain HTTP from elsewhere signs in at each room.
  if (error.code === "denied") return new Session({ account, user, password });
  throw new Refused(error);
}
