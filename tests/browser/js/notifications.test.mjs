import assert from "node:assert/strict";
import { test } from "node:test";

import { coalesced } from "../../../static/notifications/coalesced.js";
import { actionsOf, badgeWords, countOf, leadOf, pathOf, tabOf } from "../../../static/notifications/words.js";

test("an address names a tab, and anything else the inbox", () => {
  for (const tab of ["inbox", "unread", "archived"]) assert.equal(tabOf(new URL(pathOf(tab), "http://x").search), tab);
  for (const search of ["", "?tab=", "?tab=constructor", "?tab=nonsense"]) assert.equal(tabOf(search), "inbox");
});

test("tabs count what they hold", () => {
  const counts = { unseen: 1, seen: 2, read: 4, archived: 8, unread: 3 };
  assert.deepEqual(["inbox", "unread", "archived"].map((tab) => countOf(tab, counts)), [7, 3, 8]);
  assert.deepEqual([0, 99, 100].map(badgeWords), ["0", "99", "99+"]);
});

test("a notification leads to this server or to the web, and runs nothing", () => {
  assert.deepEqual(leadOf("/sources?x=1"), { href: "/sources?x=1", host: "" });
  assert.deepEqual(leadOf("https://example.org/a"), { href: "https://example.org/a", host: "example.org" });
  for (const url of ["", "javascript:alert(1)", " javascript:alert(1)", "//elsewhere", "/\\elsewhere", "data:text/html,x", "https://", "sources"])
    assert.equal(leadOf(url), null, url);
});

test("each state offers what changes it", () => {
  const names = (state, readAt = null) => actionsOf({ state, read_at: readAt }).map(({ action }) => action);
  assert.deepEqual(names("unseen"), ["read", "archive", "delete"]);
  assert.deepEqual(names("read", "2026-01-01"), ["unread", "archive", "delete"]);
  assert.deepEqual(names("archived"), ["unarchive", "delete"]);
});

test("who asks while it is being done has it done once more, all together", async () => {
  const releases = [];
  const begun = async (count) => {
    while (releases.length < count) await new Promise((resolve) => setTimeout(resolve));
    assert.equal(releases.length, count);
  };
  const work = coalesced(() => new Promise((resolve, reject) => releases.push({ resolve, reject })), 20);
  const first = work();
  const [second, third] = [work(), work()];
  await begun(1);
  releases[0].resolve("first");
  assert.equal(await first, "first");
  const fourth = work(); // within the pause
  await begun(2);
  releases[1].reject(new Error("away"));
  for (const each of [second, third, fourth]) await assert.rejects(each, /away/);
  const fifth = work();
  await begun(3);
  releases[2].resolve("fifth");
  assert.equal(await fifth, "fifth");
});
