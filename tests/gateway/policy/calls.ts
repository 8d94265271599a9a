// Calls of an administrator and of the keys that he makes, to a gateway that wants keys.
import { expect } from 'vitest';
import { ask, chat, startRig } from '../rig.ts';
import type { Ask, Rig, RigWish } from '../rig.ts';

export const root = 'a-key-of-the-settings';

export const locked = (wish: RigWish = {}): Promise<Rig> => startRig({ door: [root], ...wish });

export async function call(rig: Rig, key: string, method: string, path: string, body?: unknown) {
  const headers = { authorization: `Bearer ${key}` };
  const request: Ask = {
    method,
    path,
    headers,
    body: body === undefined || method !== 'POST' ? '' : JSON.stringify(body),
  };
  const answer = await ask(rig, request).answer;
  const json = (answer.text.startsWith('{') ? JSON.parse(answer.text) : {}) as Record<string, unknown>;
  return { ...answer, json };
}

export async function make(rig: Rig, wish: object, by = root): Promise<{ id: string; secret: string }> {
  const { status, json, text } = await call(rig, by, 'POST', '/admin/keys', wish);
  expect([status, text]).toEqual([201, text]);
  return { id: String(json['id']), secret: String(json['secret']) };
}

export const infer = (rig: Rig, key: string, change: object = {}, path = '/v1/chat/completions') =>
  call(rig, key, 'POST', path, JSON.parse(chat(change)));
