// The setting that names mounts: what it takes, and what it refuses by saying what is allowed.
import { expect, it } from 'vitest';
import { parseMounts } from '../../../gateway/passthrough/mounts.ts';

it('reads paths, targets and words', () => {
  const text =
    '/grafana=http://grafana:3000/grafana;metrics, /prometheus=http://p:9090;read;metrics, /=https://chat;login';
  expect(parseMounts(text).map((it) => ({ ...it, target: it.target.href }))).toEqual([
    { path: '/grafana', target: 'http://grafana:3000/grafana', scope: 'metrics', readOnly: false, inference: null },
    { path: '/prometheus', target: 'http://p:9090/', scope: 'metrics', readOnly: true, inference: null },
    { path: '', target: 'https://chat/', scope: null, readOnly: false, inference: null },
  ]);
});

it('wants an administrator unless told otherwise', () => {
  expect(parseMounts('/a/b-c=http://x')).toMatchObject([{ path: '/a/b-c', scope: 'admin', readOnly: false }]);
});

it('wants a key that may infer for what computes, unless told otherwise', () => {
  const text = '/comfy=http://box:8188;inference=w1,/sd=http://box:7860;admin;inference=flux:dev';
  expect(parseMounts(text)).toMatchObject([
    { scope: 'infer', inference: 'w1' },
    { scope: 'admin', inference: 'flux:dev' },
  ]);
});

it.each([
  ['', 'must be mounts'],
  ['/a=http://x;inference', 'nothing but'],
  ['/a=http://x;inference=', 'nothing but'],
  ['/a=http://x;inference=w1;login', 'inference and login'],
  ['grafana=http://x', 'must be mounts'],
  ['/a/=http://x', 'must be mounts'],
  ['/a/../b=http://x', 'must be mounts'],
  ['/.git=http://x', 'must be mounts'],
  ['/a=x', 'must be mounts'],
  ['/a=ftp://x', 'must be mounts'],
  ['/a=http://user:pass@x', 'without user'],
  ['/a=http://x/?q=1', 'without user'],
  ['/a=http://x;write', 'nothing but read, login'],
  ['/a=http://x,/a=http://y', 'each path once'],
  [Array.from({ length: 33 }, (_, at) => `/m${at}=http://x`).join(','), 'at most 32'],
])('refuses %j', (text, why) => {
  expect(() => parseMounts(text)).toThrow(why);
});
