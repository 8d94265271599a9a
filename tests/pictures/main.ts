// Takes the README's pictures anew, by `npm run pictures`: of real pools, in a real browser. It takes three minutes.
import { resolve } from 'node:path';
import { programs } from '../tools/prometheus.ts';
import { startChromium } from '../tools/chromium.ts';
import { takeConsole } from './console.ts';
import { takeDashboard } from './dashboard.ts';

const folder = resolve(import.meta.dirname, '../../docs');
const wanted = process.argv[2];
await using browser = await startChromium();
if (wanted !== 'dashboard') await takeConsole(browser, folder);
if (wanted !== 'console') {
  await programs();
  await takeDashboard(browser, folder);
}
