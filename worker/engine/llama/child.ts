// The engine's own process: one loaded model. It lives as long as the pipe to its worker (file descriptor 3).
import { Socket } from 'node:net';

// Ctrl-C and a service manager's stop reach the whole process group: the worker decides when this process ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const pipe = new Socket({ fd: 3 });
// The worker is gone. Killed rather than exited: native threads may be at work, and nothing here is worth saving.
pipe.on('close', () => process.kill(process.pid, 'SIGKILL'));
pipe.on('error', () => pipe.destroy());

const { serveEngine } = await import('./serve.ts');
await serveEngine(pipe, () => performance.now(), process.env['UV_THREADPOOL_SIZE'] === '1');
