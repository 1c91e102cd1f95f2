/** Against the servers of ../check.py, which says where they are. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

import { Budget, call, connect, noodles, type Options } from "./client.js";

/** Longer than any of this takes on a busy machine. */
const PATIENCE_MS = 60_000;

function options(servers: string, more: Partial<Options> = {}): Options {
  const address = process.env[servers] ?? assert.fail(`${servers}: not set; run ../check.py`);
  return {
    servers: address.includes(",") ? `ipv4:${address}` : address,
    deadlineMs: PATIENCE_MS,
    budget: new Budget(),
    ...more,
  };
}

const key = (name: string) => join(process.env.SOUK_KEYS ?? "", name);

async function predict(options: Options) {
  const client = connect(options);
  try {
    return await call(client.predictGmv.bind(client), noodles(), options);
  } finally {
    client.close();
  }
}

/** A server whose queue holds one row, for half a second: of two calls at a time one is refused. */
async function twoAtATime(options: Options): Promise<void> {
  const client = connect(options);
  try {
    const predict = () => call(client.predictGmv.bind(client), noodles(), options);
    const ended = await Promise.allSettled([predict(), predict()]);
    for (const call of ended) if (call.status === "rejected") throw call.reason;
  } finally {
    client.close();
  }
}

function ends(ended: Promise<unknown>, code: status, words: RegExp = /./): Promise<void> {
  return assert.rejects(ended, (error: ServiceError) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.details, words);
    return true;
  });
}

test("calls take turns over all servers", async () => {
  const client = connect(options("SOUK_BOTH"));
  const asked = new Set<string>();
  for (const until = Date.now() + PATIENCE_MS; asked.size < 2; ) {
    assert.ok(Date.now() < until, `only ${[...asked]} were asked`);
    await new Promise<void>((resolve, reject) => {
      const called = client.predictGmv(noodles(), new Metadata(), { deadline: until }, (error, reply) => {
        if (error) return reject(error);
        asked.add(called.getPeer());
        const outcome = reply.results[0].outcome;
        assert.ok(outcome?.$case === "forecast" && outcome.value.expectedGmv > 0);
        resolve();
      });
    });
  }
  client.close();
});

test("what was refused is tried again when the server said", async () => {
  const waits: [number, number][] = [];
  const given = options("SOUK_FULL", { onRetry: (...wait) => waits.push(wait) });
  for (const until = Date.now() + PATIENCE_MS; waits.length === 0; ) {
    assert.ok(Date.now() < until, "nothing was refused");
    await twoAtATime(given);
  }
  for (const [asked, wait] of waits) assert.ok(0 < asked && asked < wait, `${waits}`);
});

test("without a budget a refusal is the caller's", async () => {
  const given = options("SOUK_FULL", { budget: new Budget(0) });
  const refused = async () => {
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until; ) await twoAtATime(given);
  };
  await ends(refused(), status.RESOURCE_EXHAUSTED, /overloaded/);
});

test("a deadline ends a call", () =>
  ends(predict(options("SOUK_FULL", { deadlineMs: 100 })), status.DEADLINE_EXCEEDED, /deadline/i));

test("TLS with the right roots is answered", async () => {
  await predict(options("SOUK_TLS", { roots: key("roots.pem") }));
});

test("a server that others signed is not trusted", () =>
  ends(predict(options("SOUK_TLS", { roots: key("others.pem") })), status.UNAVAILABLE, /certificate/));

test("TLS to a server without it says so", () =>
  ends(predict(options("SOUK_FULL", { roots: key("roots.pem") })), status.UNAVAILABLE, /ssl|tls/i));

test("a server that wants a certificate answers who has one", async () => {
  const without = options("SOUK_MTLS", { roots: key("roots.pem") });
  await ends(predict(without), status.UNAVAILABLE);
  await predict({ ...without, cert: key("client.pem"), key: key("client.key") });
});

test("a server that wants a token answers who may ask", async () => {
  const without = options("SOUK_TOKENS", { roots: key("roots.pem") });
  await ends(predict(without), status.UNAUTHENTICATED, /token/i);
  await ends(predict({ ...without, token: key("observer.token") }), status.PERMISSION_DENIED, /observer/);
  await predict({ ...without, token: key("caller.token") });
});
