// Fetches one page over HTTP/2 CONNECT with Node's http2: h2_page.mjs PROXY NAME KEY URL CA.
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import tls from "node:tls";

const [proxy, name, key, address, ca] = process.argv.slice(2);
const url = new URL(address), trust = readFileSync(ca);
const authority = `${url.hostname}:${url.protocol === "https:" ? 443 : 80}`;
const session = http2.connect(proxy, { ca: trust });
session.on("error", (refused) => { console.log("refused:", refused.message); process.exit(0); });
const tunnel = session.request({
  ":method": "CONNECT", ":authority": authority,
  "proxy-authorization": "Basic " + Buffer.from(`${name}:${key}`).toString("base64"),
});
tunnel.on("error", (refused) => { console.log("refused:", refused.message); process.exit(0); });
tunnel.on("response", (head) => {
  if (head[":status"] !== 200) {
    console.log(head[":status"], head["sward-error"]);
    process.exit(0);
  }
  const line = url.protocol === "https:" ? tls.connect({ socket: tunnel, servername: url.hostname, ca: trust }) : tunnel;
  line.write(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.hostname}\r\nConnection: close\r\n\r\n`);
  let text = "";
  line.on("data", (data) => { text += data; });
  line.on("end", () => { console.log(text); process.exit(0); });
  line.on("error", (refused) => { console.log("refused:", refused.message); process.exit(0); });
});
setTimeout(() => { console.log("refused: no answer in time"); process.exit(0); }, 20_000);
