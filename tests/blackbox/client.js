// The npm `ws` client as a third, independent client: two users talk, and one of them comes back.
// node client.js ws://127.0.0.1:PORT/ws NAME; exits with 0 if all went well.
"use strict";

const assert = require("node:assert");
const WebSocket = require("ws");

const [url, base] = process.argv.slice(2);
const PASSWORD = "correct horse battery";
setTimeout(() => { console.error("too slow"); process.exit(3); }, 60000).unref();

class Client {
	constructor() {
		this.next = 1;
		this.waiting = new Map();
		this.notes = [];
		this.takers = [];
		this.socket = new WebSocket(url, ["confab.v1"]); // offers permessage-deflate too
		this.opened = new Promise((resolve, reject) => {
			this.socket.on("open", resolve);
			this.socket.on("error", reject);
		});
		this.closed = new Promise((resolve) => this.socket.on("close", (code) => resolve(code)));
		this.socket.on("message", (bytes, binary) => {
			assert.strictEqual(binary, false);
			const frame = JSON.parse(bytes.toString("utf8"));
			assert.strictEqual(frame.jsonrpc, "2.0");
			if (frame.method) {
				this.notes.push(frame);
				this.takers.splice(0).forEach((wake) => wake());
			} else {
				this.waiting.get(frame.id)(frame);
			}
		});
	}

	async call(method, params) {
		const id = this.next++;
		const answer = new Promise((resolve) => this.waiting.set(id, resolve));
		this.socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
		const frame = await answer;
		if (frame.error)
			throw Object.assign(new Error(frame.error.message), { name: frame.error.data.name });
		return frame.result;
	}

	async note(method) {
		for (;;) {
			const at = this.notes.findIndex((n) => n.method === method);
			if (at >= 0)
				return this.notes.splice(at, 1)[0].params;
			await new Promise((resolve) => this.takers.push(resolve));
		}
	}
}

async function main() {
	const alice = new Client(), bob = new Client();
	await Promise.all([alice.opened, bob.opened]);
	assert.strictEqual(alice.socket.protocol, "confab.v1");
	assert.strictEqual(alice.socket.extensions, "");
	const a = await alice.call("register", { user: base + "-a", password: PASSWORD, sync: true });
	const b = await bob.call("register", { user: base + "-b", password: PASSWORD, sync: true });
	assert.strictEqual(a.total, 0);

	const bodies = ["hi", "grüße 🎈", "\u2028", "x".repeat(16000), JSON.stringify({ a: "\\" })];
	const answers = await Promise.all(bodies.map((body, i) =>
		alice.call("send", { to: "@" + b.user, body, cmid: "c" + i, data: { i } })));
	assert.deepStrictEqual(answers.map((r) => r.seq), [1, 2, 3, 4, 5]);
	for (const client of [alice, bob])
		for (const [i, body] of bodies.entries()) {
			const m = await client.note("message");
			assert.deepStrictEqual([m.seq, m.body, m.from, m.to, m.cmid, m.data.i],
				[i + 1, body, a.user, "@" + b.user, "c" + i, i]);
		}
	const again = await alice.call("send", { to: "@" + b.user, body: "hi", cmid: "c0", data: { i: 0 } });
	assert.deepStrictEqual(again, { ...answers[0], dup: true });

	bob.socket.ping("are you there");
	await new Promise((resolve) => bob.socket.once("pong", resolve));
	await assert.rejects(bob.call("send", { to: "@no-such-user", body: "x" }), { name: "not_found" });
	bob.socket.close(1000);
	assert.strictEqual(await bob.closed, 1000);

	await Promise.all([...Array(200).keys()].map((i) => alice.call("send", { to: answers[0].cid, body: "n" + i })));
	const back = new Client();
	await back.opened;
	const sync = await back.call("resume", { token: b.token,
		sync: { epoch: b.epoch, cursors: { [answers[0].cid]: 5 }, backlog: 500 } });
	assert.strictEqual(sync.conversations[0].next, 6);
	for (let i = 0; i < 200; i++)
		assert.strictEqual((await back.note("message")).seq, 6 + i);
	await back.call("logout", {});
	await back.closed;
	await assert.rejects((async () => { const c = new Client(); await c.opened; await c.call("resume", { token: b.token }); })(),
		{ name: "token_invalid" });

	alice.socket.send(Buffer.from("{}"), { binary: true });
	assert.strictEqual(await alice.closed, 1003);
	console.log("ok");
	process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
