// Reads WARC files with warcio, an implementation that is not ours, computes each response's payload digest anew, and prints one
// JSON line for each record.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { WARCParser } from 'warcio';

const base32 = createRequire(import.meta.url)('base32-encode').default ?? createRequire(import.meta.url)('base32-encode');

for (const file of process.argv.slice(2)) {
  for await (const record of new WARCParser(createReadStream(file))) {
    const content = (await record.readFully(true)) ?? new Uint8Array();
    const sum = createHash('sha1').update(content).digest();
    const said = record.warcPayloadDigest;
    console.log(JSON.stringify({
      type: record.warcType, url: record.warcTargetURI ?? '', bytes: content.length,
      digest: record.warcType === 'response' ? said === `sha1:${base32(sum, 'RFC4648')}` : true,
    }));
  }
}
