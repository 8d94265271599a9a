#!/usr/bin/env node
// Checks Node's version before anything is imported that an older Node cannot read.
const [major = 0] = process.versions.node.split('.').map(Number);
if (major < 24) {
  console.error(
    `Berth needs Node 24 or newer, this is ${process.versions.node}. Run "npm ci" and then "npm run berth".`,
  );
  process.exit(1);
}
await import('./main.ts');
