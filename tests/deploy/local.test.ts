// `npm start` with keys of the operator's own.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { cleanEnv, startLocal } from '../e2e/berth.ts';

it('npm start takes the keys that it is given, does not show them, and prints a curl line that works', async () => {
  const API_KEY = 'the-first-key-of-this-test,the-second-key-of-this-test';
  await using berth = await startLocal({ env: { API_KEY } });
  expect(berth.output).toContain('berth-demo');
  expect(berth.output).not.toMatch(/the-(first|second)-key/);
  const [curl = ''] = /^ {2}curl [^]*?'$/m.exec(berth.output) ?? [];
  const { stdout } = await promisify(execFile)('sh', ['-c', `${curl} --silent --fail`], {
    env: { ...cleanEnv(), API_KEY },
  });
  expect(stdout).toContain('"chat.completion"');
  expect((await fetch(`${berth.url}/v1/models`)).status).toBe(401);
});
