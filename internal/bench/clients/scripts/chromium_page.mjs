// Opens one page through a proxy in headless Chromium: chromium_page.mjs CHROMIUM PROXY NAME KEY URL. Chromium takes no
// credentials in --proxy-server; it asks for them after a 407, and the debugger answers, as a person would.
import { chromium } from "playwright-core";

const [executablePath, server, username, password, url] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath, headless: true, proxy: { server, username, password },
  args: ["--no-sandbox", "--disable-quic", "--ignore-certificate-errors", "--disable-background-networking"],
});
try {
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  const answer = await page.goto(url, { timeout: 25_000, waitUntil: "domcontentloaded" });
  console.log(answer.status(), answer.headers()["sward-error"], await page.content());
} catch (refused) {
  console.log("refused:", refused.message.split("\n")[0]);
}
await browser.close();
