// The command line against a real gateway: what a person types, sees and gets as exit code.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { infer, locked, root } from '../gateway/policy/calls.ts';
import type { Rig } from '../gateway/rig.ts';
import { typeIn } from './typed.ts';
import type { Typed } from './typed.ts';

let rig: Rig;
beforeAll(async () => (rig = await locked()));
afterAll(() => rig[Symbol.asyncDispose]());

const type = (line: string, typed: Typed = {}) => typeIn(line, { key: root, url: rig.url, ...typed });

describe('berth keys', () => {
  it('create prints a secret that works, and nothing else to a pipe; list shows all but the secret', async () => {
    const made = await type('keys create --team research --name notebook --model tiny --output 50 --expires 90d');
    expect([made.code, made.said]).toEqual([0, expect.stringMatching(/^berth_[0-9a-f]{12}\.[\w-]{32}$/)]);
    expect((await infer(rig, made.said, { max_tokens: 50 })).status).toBe(200);
    const { said } = await type('keys list');
    expect(said).toMatch(/^ID +TEAM +NAME +SCOPES +MODELS +UNTIL\n/);
    expect(said).toMatch(/research +notebook +infer models:read +tiny:latest +\d{4}-/);
    expect(said).not.toContain(made.said.slice(-20));
    const { said: json } = await type('keys list --json');
    expect(JSON.parse(json)).toMatchObject([{ team: 'research', outputMax: 50, priorityMax: 0 }]);
  });

  it('rotate gives a new secret, revoke ends the key, export and import bring others back', async () => {
    const { said: json } = await type('keys create --json --scope infer --scope admin --priority low');
    const { id, secret, priorityMax } = JSON.parse(json) as { id: string; secret: string; priorityMax: number };
    expect(priorityMax).toBe(2);
    const { said: next } = await type(`keys rotate ${id} --overlap 1h`);
    expect([(await infer(rig, secret)).status, (await infer(rig, next)).status]).toEqual([200, 200]);
    const { said: exported } = await type('keys export');
    expect(exported).not.toContain(next.slice(-20));
    await using other = await locked();
    const options = { url: other.url, files: { 'keys.json': exported } };
    expect(await type('keys import keys.json', options)).toMatchObject({ code: 0 });
    expect((await infer(other, next)).status).toBe(200);
    expect(await type(`keys revoke ${id}`)).toMatchObject({ code: 0, said: '' });
    expect((await infer(rig, next)).status).toBe(401);
    expect((await type('keys list')).said).not.toContain(id);
    expect((await type('keys list --all')).said).toContain(id);
  });

  it.each([
    ['keys create --team a/b', 1, 'team must be'],
    ['keys create --scope everything', 1, 'must be one of'],
    ['keys revoke 000000000000', 1, 'no key with this id'],
    ['keys import nothing.json', 1, 'no such file'],
    ['keys create --output many', 2, 'must be a number'],
    ['keys create --priority urgent', 2, 'high, normal, low'],
    ['keys create --expires soon', 2, '90d'],
    ['keys create --colour red', 2, '--colour'],
    ['keys revoke', 2, 'Usage: berth keys revoke ID'],
    ['keys explode', 2, 'no command "keys explode"'],
  ])('%s ends with %i and says why', async (line, code, words) => {
    const ended = await type(line);
    expect([ended.code, ended.said]).toEqual([code, '']);
    expect(ended.explained).toContain(words);
  });

  it('without a key, with a wrong one, without a gateway: says what to set', async () => {
    expect(await type('keys list', { key: null })).toMatchObject({
      code: 1,
      explained: expect.stringContaining('BERTH_KEY'),
    });
    expect(await type('keys list', { key: 'wrong' })).toMatchObject({
      code: 1,
      explained: expect.stringContaining('admin'),
    });
    const gone = await type('keys list', { url: 'http://127.0.0.1:1' });
    expect(gone).toMatchObject({ code: 1, explained: expect.stringContaining('BERTH_URL') });
  });

  it.each(['', '--help', 'help', 'keys --help', 'help keys', 'keys create --help'])('berth %s helps', async (line) => {
    const { code, said } = await type(line);
    expect([code, said.startsWith('Usage: berth'), said.includes('keys create')]).toEqual([0, true, true]);
  });
});

describe('berth usage', () => {
  it('shows what was used, as a table and as CSV', async () => {
    expect((await type('usage')).said).toMatch(/^MONTH +TEAM +KEY[^]*research/);
    expect((await type('usage --csv')).said).toMatch(/^month,team,key,[^]*\n\d{4}-\d\d,research,/);
  });
});
