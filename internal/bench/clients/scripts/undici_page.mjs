// Fetches one page through a proxy with Node's undici: undici_page.mjs PROXY NAME KEY URL CA.
import { readFileSync } from "node:fs";
import { ProxyAgent, request } from "undici";

const [proxy, name, key, url, ca] = process.argv.slice(2);
const trust = { ca: readFileSync(ca) };
const agent = new ProxyAgent({
  uri: proxy, token: "Basic " + Buffer.from(`${name}:${key}`).toString("base64"), requestTls: trust, proxyTls: trust,
});
try {
  const answer = await request(url, { dispatcher: agent });
  console.log(answer.statusCode, answer.headers["sward-error"], await answer.body.text());
} catch (refused) {
  console.log("refused:", refused.message, refused.cause?.message ?? "");
}
await agent.close().catch(() => {});
process.exit(0);
