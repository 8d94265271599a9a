// Loaded into each worker of a soak before its own code: puts the witness between the worker and its echo engine.
import { registerHooks } from 'node:module';

registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== './engine/echo.ts' || !context.parentURL?.endsWith('/worker/main.ts'))
      return next(specifier, context);
    return next(new URL('./witness-engine.ts', import.meta.url).href, context);
  },
});
