// Verifies with another implementation of RFC 9421 what the test gives on standard input: a signed request and a signed
// directory, {request: {uri, fields}, directory: {uri, fields, body}}. Keys come from the directory alone.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { component, verifySignature } from "http-message-sig";

const given = JSON.parse(readFileSync(0, "utf8"));
const occurrences = (fields) => Object.entries(fields).map(([name, value]) => ({ name: name.toLowerCase(), value }));
const digest = "sha-256=:" + createHash("sha256").update(given.directory.body).digest("base64") + ":";
if (given.directory.fields["Content-Digest"] !== digest) throw new Error("the digest of the directory is another");
const keys = new Map(JSON.parse(given.directory.body).keys.map((k) => [k.kid, createPublicKey({ key: k, format: "jwk" })]));
const resolveVerifier = (candidate) => ({
  algorithm: "ed25519",
  verify: (data, signature) => {
    const key = keys.get(candidate.parameters.keyid);
    return key !== undefined && verify(null, data, key, signature);
  },
});
const ask = (uri, fields) => ({ kind: "request", method: "GET", targetUri: uri, fields: occurrences(fields) });
const policy = (tag, label, requiredComponents) => ({
  label, algorithms: ["ed25519"], requiredComponents, requiredParameters: ["created", "expires", "keyid", "tag"], tag, clockSkew: 0,
});

await verifySignature(ask(given.request.uri, given.request.fields), {
  policy: policy("web-bot-auth", "sig1", ["@authority", component("signature-agent", { key: "sig1" })]), resolveVerifier,
});
await verifySignature(
  { kind: "response", status: 200, fields: occurrences(given.directory.fields), request: ask(given.directory.uri, {}) },
  { policy: policy("http-message-signatures-directory", "binding0", [component("@authority", { req: true }), "content-digest"]), resolveVerifier },
);
console.log("verified");
