// The echo engine with a witness: what really ran, written to a file before it goes on, so that kill -9 loses nothing.
import { appendFileSync } from 'node:fs';
import type { Clock } from '@berth/shared/clock.ts';
import { echoEngines as plainEngines } from '../../worker/engine/echo.ts';
import type { EchoEngines, EchoScript } from '../../worker/engine/echo.ts';
import type { Engine, EngineEvent, EngineRequest, OpenEngine } from '../../worker/engine/engine.ts';
import { nonceIn } from './nonce.ts';

let running = 0;

/** One line: time in ms, what happened, to which request, and how many run in this process now. */
function write(what: string, nonce: string): void {
  const file = process.env['SOAK_WITNESS'];
  if (file === undefined) throw new Error('SOAK_WITNESS names no file');
  appendFileSync(file, `${Date.now()} ${process.pid} ${what} ${nonce} ${running}\n`);
}

export function echoEngines(clock: Clock, script: Partial<EchoScript> = {}): EchoEngines {
  const engines = plainEngines(clock, script);
  const open: OpenEngine = async (options, signal) => watched(await engines.open(options, signal));
  return { ...engines, open };
}

/** Counts outside of the echo engine's own slots: what the worker lets in is seen, not what the engine makes of it. */
function watched(engine: Engine): Engine {
  async function* generate(request: EngineRequest, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const nonce = nonceIn(JSON.stringify(request.prompt));
    running += 1;
    write('start', nonce);
    try {
      for await (const event of engine.generate(request, signal)) {
        if (event.kind === 'end') write('whole', nonce);
        yield event;
      }
    } finally {
      running -= 1;
    }
  }
  return { ...engine, generate };
}
