// A room's administration on the page: configured by keyboard, refused with the server's words, not overwritten where
// somebody else was first; rights, members, revocation and the audit log. Asked: as all that look at the page, `guest`, a
// member who administers nothing, `keeper`, who looks after `board` alone, `board`, a room, and `spare`, a client with a
// password that is revoked.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const enter = async (user) => {
    const page = await open();
    await signIn(page, { user, room: want.board });
    await page.waitForSelector('#connection[data-state="open"]');
    return page;
  };
  const unfold = async (page, name) => {
    const details = page.locator(`#administration [data-part="${name}"]`).first();
    await details.locator("summary").press("Enter");
    return details;
  };
  const ann = await enter(want.user);
  await ann.locator("#administration:not([hidden])", { hasText: "you administer the account" }).waitFor();

  // Configured by keyboard: a bound on the past, and a gate of two stages that change places.
  const settings = await unfold(ann, "configuration");
  await settings.locator('[name="retention.count"]').fill("500");
  await settings.locator('[name="quota.connections"]').fill("70");
  for (const stage of ["key", '{"seats":20}']) {
    await settings.getByRole("button", { name: "Add a stage" }).press("Enter");
    await ann.keyboard.type(stage);
  }
  await settings.getByRole("button", { name: "Earlier: stage 2" }).press("Enter");
  await judge(ann, "the configuration");
  await settings.getByRole("button", { name: "Remove: stage 2" }).press("Enter");
  await settings.getByRole("button", { name: "Save" }).press("Enter");
  // Another gate asks everybody anew: the page goes into the room again.
  await ann.locator('#administration:not([hidden]) details:not([open])[data-part="configuration"]').waitFor();
  await unfold(ann, "configuration");
  const shown = async (page) => {
    const { room } = await page.evaluate(ask, { want, user: want.user, path: `rooms/${want.board}` });
    return { retention: room.retention, quota: room.quota, gate: room.gate };
  };
  const now = JSON.stringify(await shown(ann));
  if (now !== '{"retention":{"count":500},"quota":{"connections":70},"gate":[{"seats":20}]}') throw new Error(now);
  saw("a room is configured by keyboard");

  // What is wrong is said as the server says it.
  await settings.locator('[name="retention.bytes"]').fill("lots");
  await settings.getByRole("button", { name: "Save" }).press("Enter");
  await settings.locator(".error", { hasText: /The room: .*lots.*Needed: the fields of/ }).waitFor();
  saw("what is wrong is said in the server's words");
  await settings.locator('[name="retention.bytes"]').fill("");

  // Two at once: the second is told, and nothing is overwritten until it has looked again.
  const keeper = await enter(want.keeper);
  await keeper.locator("#administration:not([hidden])", { hasText: "you look after this room" }).waitFor();
  const theirs = await unfold(keeper, "configuration");
  if (!(await theirs.locator('[name="quota.connections"]').isDisabled())) throw new Error("a quota is theirs to edit");
  await theirs.locator('[name="retention.count"]').fill("300");
  await settings.locator('[name="retention.count"]').fill("400");
  await settings.getByRole("button", { name: "Save" }).press("Enter");
  await settings.getByText("Saved.").waitFor();
  await theirs.getByRole("button", { name: "Save" }).press("Enter");
  await theirs.locator(".error", { hasText: "Somebody else changed this room meanwhile" }).waitFor();
  if ((await shown(ann)).retention.count !== 400) throw new Error("it was overwritten");
  await judge(keeper, "who was second");
  await theirs.getByRole("button", { name: "Look again" }).press("Enter");
  await keeper.waitForFunction(() => document.querySelector('[name="retention.count"]').value === "400");
  await theirs.locator('[name="retention.count"]').fill("300");
  await theirs.getByRole("button", { name: "Save" }).press("Enter");
  await theirs.getByText("Saved.").waitFor();
  // Who was first is shown what is new, without a word.
  await ann.waitForFunction(() => document.querySelector('[name="retention.count"]').value === "300");
  saw("who is second is told and overwrites nothing");

  // Rights, by who looks after the room; they hold at once, and so does what is taken back.
  const rights = await unfold(keeper, "rights");
  await rights.locator('[name="to"]').fill(want.guest);
  await rights.locator('[name="channels"]').fill("secret/#");
  await rights.getByLabel("denied: that wins").press("Space");
  await judge(keeper, "the rights");
  await rights.getByRole("button", { name: "Grant or deny" }).press("Enter");
  const grant = rights.locator("li", { hasText: `${want.guest} is denied subscribe on secret/#` });
  await grant.getByRole("button", { name: /^Take back/ }).press("Enter");
  await grant.waitFor({ state: "detached" });
  saw("rights are given and taken back");

  // Members: who looks after the room sees who there is, and no credentials; who administers the account revokes one.
  const known = await unfold(keeper, "members");
  await known.locator("li", { hasText: want.spare }).waitFor();
  if ((await known.getByRole("button", { name: /^Revoke/ }).count()) !== 0) throw new Error("credentials are theirs");
  const theirSpare = known.locator(`li[data-name="${want.spare}"]`);
  if ((await theirSpare.getByLabel("Role in every room").count()) !== 0) throw new Error("a role in every room is theirs");
  await theirSpare.getByLabel("Role in this room").selectOption("device");
  await judge(keeper, "a role in the room");
  await theirSpare.getByRole("button", { name: /^Set the role of .* in this room/ }).press("Enter");
  await theirSpare.locator("p", { hasText: "device in this room" }).waitFor();
  const role = rights.locator("li", { hasText: `${want.spare} is device` });
  await role.getByRole("button", { name: /^Take back/ }).press("Enter");
  await role.waitFor({ state: "detached" });
  saw("a role in the room is given and taken back");
  const members = await unfold(ann, "members");
  await members.locator('[name="contains"]').fill(want.spare);
  await members.getByRole("button", { name: "Show" }).press("Enter");
  const spare = members.locator(`li[data-name="${want.spare}"]`);
  const revoke = spare.getByRole("button", { name: /^Revoke password .* of/ });
  await revoke.press("Enter");
  await spare.getByRole("button", { name: /: sure\? Revoke/ }).waitFor();
  await judge(ann, "the members");
  await spare.getByRole("button", { name: /: sure\? Revoke/ }).press("Enter");
  await revoke.waitFor({ state: "detached" });
  await spare.getByLabel("Role in every room").selectOption("reader");
  await spare.getByRole("button", { name: /^Set role and groups/ }).press("Enter");
  await spare.locator("p", { hasText: "client, reader" }).waitFor();
  saw("a credential is revoked and a role set");

  // What was done is in the audit log, which is the account's.
  const log = await unfold(ann, "audit");
  await log.locator("li", { hasText: "room set" }).first().waitFor();
  await log.locator('[name="contains"]').fill("REVOKED");
  await log.getByRole("button", { name: "Show" }).press("Enter");
  await log.locator("li", { hasText: "room set" }).first().waitFor({ state: "detached" });
  await log.locator("li", { hasText: `credential revoked: ${want.spare}` }).waitFor();
  await judge(ann, "the audit log");
  if (await keeper.locator('#administration [data-part="audit"]').isVisible()) throw new Error("the audit log is theirs");
  saw("the audit log is filtered");

  // Who administers nothing sees nothing of it, and is refused by the server too.
  const mia = await enter(want.guest);
  await mia.locator("#people li", { hasText: want.guest }).waitFor();
  if (await mia.locator("#administration").isVisible()) throw new Error("she sees it");
  for (const path of [`rooms/${want.board}`, `rooms/${want.board}/members`, "audit"]) {
    const { error } = await mia.evaluate(ask, { want, user: want.guest, path });
    if (error?.code !== "not_authorised") throw new Error(`${path}: ${JSON.stringify(error)}`);
  }
  saw("who administers nothing is shown nothing and refused");

  // Who said something and was not seen to come has a name all the same.
  await ann.locator('#board [name="text"]').fill("from ann");
  await ann.locator("#board").getByRole("button", { name: "Say" }).press("Enter");
  await ann.locator("#board .said > li", { hasText: "from ann" }).waitFor();
  await ann.close();
  const late = await open();
  await signIn(late, { user: want.guest, room: want.board });
  await late.locator("#board .said > li", { hasText: "from ann" }).locator("strong", { hasText: want.user }).waitFor();
  saw("who is away has a name");
});

/** A request of the hub's interface for administration, as somebody. */
async function ask({ want, user, path }) {
  const authorization = `Basic ${btoa(`${want.account}/${user}:${want.password}`)}`;
  const answer = await fetch(`/api/admin/v1/accounts/${want.account}/${path}`, { headers: { authorization } });
  return answer.json();
}
